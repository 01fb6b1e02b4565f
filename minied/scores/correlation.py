"""Spearman's rank correlation inside the compiled loop: do two numbers order levels alike? Letter: ``B`` levels."""

import jax
import jax.numpy as jnp


def rank_correlation(first: jax.Array, second: jax.Array, valid: jax.Array) -> jax.Array:
    """Return Spearman's ρ, ``f32[]``, of two numbers of each level, over the valid ones; ties share their mean rank.

    NaN where fewer than two levels are valid or either number is the same on all of them: then it has no value.

    Args:
        first: ``f32[B]``.
        second: ``f32[B]``.
        valid: ``bool[B]``.
    """
    x, y = _mean_ranks(first, valid), _mean_ranks(second, valid)
    count = jnp.sum(valid).astype(jnp.float32)
    x, y = (jnp.where(valid, rank - (count + 1.0) / 2.0, 0.0) for rank in (x, y))  # ranks 1 … n have this mean
    spread = jnp.sqrt(jnp.sum(x * x) * jnp.sum(y * y))
    return jnp.where(spread > 0, jnp.sum(x * y) / jnp.where(spread > 0, spread, 1.0), jnp.nan)


def _mean_ranks(values: jax.Array, valid: jax.Array) -> jax.Array:
    """Return ``f32[B]``: one plus how many valid values are lower, plus half of how many others are equal."""
    lower = (values[None, :] < values[:, None]) & valid[None, :]
    equal = (values[None, :] == values[:, None]) & valid[None, :]
    below, same = (jnp.sum(mask, axis=1).astype(jnp.float32) for mask in (lower, equal))
    return below + (same + 1.0) / 2.0
