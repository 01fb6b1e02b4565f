"""Fresh levels one after the other, drawn many at a time: a supply for environments that restart on a new level.

Drawing a level where an episode ends would, under vmap, draw one for every environment in every step, and use one in
hundreds. Here a stock of levels is drawn at once, each is handed out once, and a new stock is drawn when the rest does not
suffice: about one draw an episode. What is left over then is dropped unseen, so that every level handed out is an
independent draw.

Letters: ``P`` levels of a stock, ``N`` environments.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.levels.space import LevelSpace


class LevelStream(struct.PyTreeNode):
    """A stock of levels and how many of them are gone."""

    key: jax.Array  # key[], of the stocks to come
    levels: Any  # [P, ...]
    taken: jax.Array  # i32[]


def start(key: jax.Array, space: LevelSpace, size: int) -> LevelStream:
    """Return a stream with a full stock of ``size`` levels. Consumes ``key``."""
    key, stock_key = jax.random.split(key)
    return LevelStream(key, _stock(stock_key, space, size), jnp.int32(0))


def take(stream: LevelStream, space: LevelSpace, wanted: jax.Array) -> tuple[LevelStream, Any]:
    """Return the stream after, and levels ``[N, ...]``: a fresh one where ``wanted``, and elsewhere anything.

    Not to be vmapped: each call would then draw a stock. The environments are the batch.

    Args:
        stream: before.
        space: that it was started with.
        wanted: ``bool[N]``, with ``N ≤ P``.

    Raises `ValueError` if a whole stock could not serve all ``N``.
    """
    size = jax.tree.leaves(stream.levels)[0].shape[0]
    if wanted.shape[0] > size:
        raise ValueError(f"{wanted.shape[0]} environments may want a level at once, and the stock is of {size}")
    number = jnp.sum(wanted, dtype=jnp.int32)

    def restock() -> LevelStream:
        key, stock_key = jax.random.split(stream.key)
        return LevelStream(key, _stock(stock_key, space, size), jnp.int32(0))

    stream = jax.lax.cond(stream.taken + number > size, restock, lambda: stream)
    turn = stream.taken + jnp.cumsum(wanted, dtype=jnp.int32) - 1
    levels = jax.tree.map(lambda leaf: leaf[jnp.clip(turn, 0, size - 1)], stream.levels)
    return stream.replace(taken=stream.taken + number), levels


def _stock(key: jax.Array, space: LevelSpace, size: int) -> Any:
    return jax.vmap(space.sample)(jax.random.split(key, size))
