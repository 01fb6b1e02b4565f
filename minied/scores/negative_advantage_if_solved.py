"""Maximised negative advantage: what the student loses against its own expectation on levels that it can solve."""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score


@score(needs=("advantages", "ended", "episodes"))
def negative_advantage_if_solved(signals: Signals) -> jax.Array:
    """How much worse than expected the student did, on a level that it solved at least once (MNA).

    ``1[solved] · mean of −min(A_t, 0)`` over finished episodes, their steps and agents, ``f32[]``, at least 0. ``A_t`` is
    the generalised advantage; a level is solved if at least one finished episode of this rollout was.

    Source: Mead et al. 2026, "Improving Regret Approximation for Unsupervised Dynamic Environment Generation",
    arXiv 2601.14957 (Maximised Negative Advantage).
    High: the level can be solved, and the student often falls short of what its critic expects there.
    Bias: 0 where the student never succeeds, however near it is, so that one lucky episode moves a level from last to first;
    above 0 for a perfect critic under a random policy or world.
    Deviations: a mean over steps, as the README of the authors has it; their code sums, which favours long episodes and
    counts the unfinished tail. Their advantage clips each partial sum of temporal differences at 0 before weighing it by
    λ; ours is the plain one that the student learns from.
    """
    solved = (signals.episodes.num_solved > 0).astype(jnp.float32)
    return solved * signals.over_episodes(-jnp.minimum(signals.advantages, 0.0))
