"""The features of a level as numbers side by side, and how far apart levels are. Letters: ``B C`` levels, ``F`` features."""

from typing import Any

import jax
import jax.numpy as jnp

from minied.levels.space import LevelSpace

UNDEFINED = -1.0
"""Stands for a feature that a level does not have (the path of an unsolvable maze): apart from every length or count."""


def feature_names(space: LevelSpace) -> tuple[str, ...]:
    """Return the names of the features of ``describe``, sorted. Nothing is computed."""
    return tuple(sorted(jax.eval_shape(lambda key: space.describe(space.sample(key)), jax.random.key(0))))


def feature_vector(space: LevelSpace, level: Any) -> jax.Array:
    """Return the features of one level in the order of `feature_names`, ``f32[F]``, `UNDEFINED` for NaN."""
    described = space.describe(level)
    if not described:
        return jnp.zeros(0)
    vector = jnp.stack([jnp.asarray(described[name], jnp.float32) for name in sorted(described)])
    return jnp.where(jnp.isnan(vector), UNDEFINED, vector)


def neighbour_distances(
    features: jax.Array, slots: jax.Array, known: jax.Array, filled: jax.Array, num_neighbours: int
) -> jax.Array:
    """Return the distances to the nearest known levels, ``f32[B, k]``, rising; inf where fewer than k are known.

    Euclidean, each feature in units of its standard deviation over the known levels (a feature that never varies: as it
    is). A level is no neighbour of itself.

    Args:
        features: ``f32[B, F]``.
        slots: ``i32[B]``, where each level stands among the known ones, −1 for nowhere.
        known: ``f32[C, F]``.
        filled: ``bool[C]``, which of the known ones count.
        num_neighbours: k.
    """
    count = jnp.maximum(jnp.sum(filled), 1).astype(jnp.float32)
    mean = jnp.sum(jnp.where(filled[:, None], known, 0.0), axis=0) / count
    variance = jnp.sum(jnp.where(filled[:, None], jnp.square(known - mean[None, :]), 0.0), axis=0) / count
    deviation = jnp.where(variance > 0, jnp.sqrt(variance), 1.0)

    def one(vector: jax.Array, slot: jax.Array) -> jax.Array:
        squared = jnp.sum(jnp.square((known - vector[None, :]) / deviation[None, :]), axis=1)
        others = filled & (jnp.arange(filled.shape[0], dtype=jnp.int32) != slot)
        nearest, _ = jax.lax.top_k(-jnp.where(others, squared, jnp.inf), min(num_neighbours, filled.shape[0]))
        return jnp.sqrt(-nearest)

    return jax.vmap(one)(features, slots)
