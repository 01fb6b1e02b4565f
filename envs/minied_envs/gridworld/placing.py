"""How are things put on uniform random cells of a map? Letters: ``H W`` grid."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.grid import bitboard, moves
from minied_envs.gridworld import codes


def pick_cell(candidates: jax.Array, word: jax.Array) -> jax.Array:
    """Return a uniform one of the cells that are candidates (``bool[H, W]``), ``i32[2]``, by a random word ``u32[]``.

    Without a candidate it is any cell: callers rule that out, or check.
    """
    picked = bitboard.pick(bitboard.pack(candidates), word)
    height, width = candidates.shape
    return jnp.stack([jnp.clip(picked[0], 0, height - 1), jnp.clip(picked[1], 0, width - 1)])


def at(size: tuple[int, ...], position: jax.Array) -> jax.Array:
    """Return the mask of one cell, ``bool[H, W]``; ``size`` is ``(H, W)`` and ``position`` ``i32[2]``."""
    height, width = size
    rows = jnp.arange(height, dtype=jnp.int32)[:, None] == position[0]
    return rows & (jnp.arange(width, dtype=jnp.int32)[None, :] == position[1])


def put(cells: jax.Array, position: jax.Array, code: int | jax.Array) -> jax.Array:
    """Return ``cells``, ``i32[H, W]``, with ``code`` at ``position``, ``i32[2]``."""
    return jnp.where(at(cells.shape, position), code, cells)


def pick_pose(
    cells: jax.Array,
    candidates: jax.Array,
    word: jax.Array,
    clear_front: bool,
    directions: Sequence[int] = range(4),
) -> tuple[jax.Array, jax.Array]:
    """Return a uniform empty cell, ``i32[2]``, and direction, ``i32[]``, for the agent.

    Args:
        cells: ``i32[H, W]``.
        candidates: where it may begin, ``bool[H, W]``; those that are not empty do not count.
        word: ``u32[]``.
        clear_front: only poses in front of which there is an empty cell or a wall, if there are any, as MiniGrid's
            ``RoomGrid`` has it.
        directions: that it may have.
    """
    height, width = cells.shape
    free = jnp.stack([candidates & (cells == codes.EMPTY)] * len(directions))
    if clear_front:
        poses = free & jnp.stack([_before_clear(cells, direction) for direction in directions])
        free = jnp.where(jnp.any(poses), poses, free)
    row, col = pick_cell(free.reshape(len(directions) * height, width), word)
    return jnp.stack([row % height, col]), jnp.asarray(np.array(directions, np.int32))[row // height]


def _before_clear(cells: jax.Array, direction: int) -> jax.Array:
    """Return from which cells one looks at an empty cell or a wall, ``bool[H, W]``."""
    clear = (cells == codes.EMPTY) | (cells == codes.WALL)
    step_row, step_col = moves.STEPS[direction]
    padded = jnp.pad(clear, 1, constant_values=True)
    height, width = cells.shape
    return padded[1 + step_row : 1 + step_row + height, 1 + step_col : 1 + step_col + width]


def scaled(share: jax.Array, low: int | jax.Array, high: int | jax.Array) -> jax.Array:
    """Return the whole number from ``low`` to ``high``, ends included, at a ``share`` (``f32[]`` in [0, 1]) of the way.

    Of a uniform share every number is as likely.
    """
    number = jnp.asarray(high - low + 1).astype(jnp.float32)
    return low + jnp.clip(jnp.floor(share * number), 0, number - 1).astype(jnp.int32)


def shares(words: jax.Array) -> jax.Array:
    """Return random words ``u32[...]`` as shares, ``f32[...]`` in [0, 1)."""
    return (words >> 8).astype(jnp.float32) * (1.0 / (1 << 24))
