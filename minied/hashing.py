"""Hashes by which things are told apart: levels, states, observations."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from minied.errors import UserError


def hash_words(words: jax.Array) -> jax.Array:
    """Return a 64-bit hash, ``u32[2]``, of ``u32[n]``: two independent 32-bit multiply-xorshift accumulations.

    Not cryptographic: it tells levels apart, it does not withstand an adversary.
    """
    chex.assert_rank(words, 1)
    index = jnp.arange(words.shape[0], dtype=jnp.uint32)

    def lane(seed: int) -> jax.Array:
        # Each word is mixed with its place by a bijection of u32, then summed; the sum is mixed once more. Sums (not
        # a sequential chain) keep it one fused reduction for any number of words.
        mixed = _avalanche(words ^ _avalanche(index + jnp.uint32(seed)))
        return _avalanche(jnp.sum(mixed, dtype=jnp.uint32) + jnp.uint32(seed))

    return jnp.stack([lane(0x9E3779B9), lane(0x7F4A7C15)])


def hash_tree(tree: Any, what: str) -> jax.Array:
    """Return a hash ``u32[2]`` of the values of all leaves. Raises `UserError` naming ``what`` for other numbers."""
    return hash_words(jnp.concatenate([_leaf_words(jnp.ravel(leaf), what) for leaf in jax.tree.leaves(tree)]))


def _avalanche(x: jax.Array) -> jax.Array:
    """Mix the bits of ``u32`` values by a bijection (the finaliser constants of MurmurHash3)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def _leaf_words(leaf: jax.Array, what: str) -> jax.Array:
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    if leaf.dtype.itemsize == 4:
        # Adding 0.0 turns -0.0 into 0.0: equal things have equal hashes.
        leaf = leaf + 0.0 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        return jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.dtype.itemsize < 4:
        return leaf.astype(jnp.uint32)
    raise UserError(f"{what} has dtype {leaf.dtype}; allowed: bool, integers of at most 32 bits, float32")
