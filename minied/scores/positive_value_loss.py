"""Positive value loss: where the student did better than it expected."""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score


@score(needs=("advantages", "ended"))
def positive_value_loss(signals: Signals) -> jax.Array:
    """How much better than expected the student did, where it did better (PVL).

    The mean over finished episodes, their steps and agents of ``max(A_t, 0)``, ``f32[]``, at least 0. ``A_t`` is the
    generalised advantage.

    Source: Jiang et al. 2021, "Replay-Guided Adversarial Environment Design", section 4.2.
    High: the critic expects less on the level than the student now and then reaches.
    Bias: with a critic that has converged it goes to 0 where all is deterministic, however poor the policy, and stays above
    0 where policy or world are random.
    """
    return signals.over_episodes(jnp.maximum(signals.advantages, 0.0))
