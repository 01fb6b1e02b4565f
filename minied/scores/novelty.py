"""Novelty: how unlike the levels already known a level is. It knows nothing of what the student did there."""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score

NOVELTY_IF_NOTHING_IS_KNOWN = 1.0
"""Score of a level with nothing to compare it with, in standard deviations of the features: what is usual between levels."""


@score(needs=("neighbour_distances",))
def novelty(signals: Signals) -> jax.Array:
    """How far the level is from the most similar levels that are known.

    ``(1/k) Σ_j d(θ, θ_j)`` over the k nearest known levels, ``f32[]``, at least 0, in standard deviations of the features
    that the level space describes. Where fewer than k are known, the mean is over those; where none is,
    `NOVELTY_IF_NOTHING_IS_KNOWN`.

    Source: Lehman and Stanley 2011, "Abandoning Objectives: Evolution through the Search for Novelty Alone" (sparseness).
    High: nothing like the level has been kept.
    Bias: blind to learning: unsolvable and trivial levels are as novel as others. While few levels are known the mean is
    over nearer neighbours than later, and so too small.
    """
    distances = signals.neighbour_distances
    known = ~jnp.isposinf(distances)  # and not `isfinite`, which would pass over a NaN in silence
    count = jnp.sum(known)
    mean = jnp.sum(jnp.where(known, distances, 0.0)) / jnp.maximum(count, 1).astype(jnp.float32)
    return jnp.where(count > 0, mean, NOVELTY_IF_NOTHING_IS_KNOWN)
