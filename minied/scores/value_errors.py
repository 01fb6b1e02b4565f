"""Errors of the critic along the episode: their size, their sign, and those of one step alone."""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score


@score(needs=("advantages", "ended"))
def l1_value_loss(signals: Signals) -> jax.Array:
    """How far the student's returns are from what it expected, in either direction.

    The mean over finished episodes, their steps and agents of ``|A_t|``, ``f32[]``, at least 0. ``A_t`` is the generalised
    advantage, so that ``A_t + V_t`` is the return that the critic learns.

    Source: Jiang et al. 2021, "Prioritized Level Replay", table 1 (the score that the paper settles on).
    High: the critic has much to learn on the level.
    Bias: above 0 for a perfect critic wherever outcomes are random: with returns 1 and 0 at chances p and 1 − p it is
    2p(1 − p), and no training lowers it (the noisy television).
    """
    return signals.over_episodes(jnp.abs(signals.advantages))


@score(needs=("advantages", "ended"))
def signed_gae(signals: Signals) -> jax.Array:
    """How much better than expected the student did, with worse counted against it.

    The mean over finished episodes, their steps and agents of ``A_t``, the generalised advantage, ``f32[]``.

    Source: Jiang et al. 2021, "Prioritized Level Replay", table 1 (GAE).
    High: the student does better on the level than its critic has noticed: it is improving there.
    Bias: 0 in the mean once the critic has converged if all episodes are equally long, and above 0 where success ends an
    episode early, as its few steps weigh more; negative where the critic over-estimates, so that levels on which the student
    is getting worse rank last.
    """
    return signals.over_episodes(signals.advantages)


@score(needs=("td_errors", "ended"))
def one_step_td(signals: Signals) -> jax.Array:
    """How far each step's reward and next value are from the value before it.

    The mean over finished episodes, their steps and agents of ``|r_t + γ V_{t+1} − V_t|``, ``f32[]``, at least 0; no value
    follows an end.

    Source: Jiang et al. 2021, "Prioritized Level Replay", table 1 (one-step temporal-difference error).
    High: the critic contradicts itself from one step to the next.
    Bias: blind to errors that neighbouring states share (a sparse reward at the end shows in one step of many), and above 0
    under randomness.
    Deviations: the authors' code has γ = 1, the two values in each other's place, and leaves out the last step of an
    episode, where a sparse reward lies; here the error is the one that the paper names, over all steps.
    """
    return signals.over_episodes(jnp.abs(signals.td_errors))
