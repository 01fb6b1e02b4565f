"""Positive value loss: where the student did better than it expected."""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score


@score(needs=("advantages", "ended"))
def positive_value_loss(signals: Signals) -> jax.Array:
    """Return the mean of ``max(A_t, 0)`` over finished episodes, ``f32[]``.

    ``A_t`` is the generalised advantage. Jiang et al. 2021, "Replay-Guided Adversarial Environment Design", section 4.2.
    """
    return signals.mean_over_episodes(jnp.maximum(signals.advantages, 0.0))
