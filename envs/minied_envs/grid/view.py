"""What does an agent see of a grid in front of it?

The view is a square of ``v × v`` cells, ``v`` odd, turned so that the agent looks up from the middle of the bottom row:
``v`` rows ahead, its own among them, and ``v // 2`` columns to each side. Cells outside of the grid are walls, and walls
hide nothing (minimax, jaxued and DCD all see through walls). It is read at offsets from a table per direction; peers
crop a padded map and rotate it, of which all four rotations are computed under `vmap`.

Axes are ``[row, col]`` of the picture the agent sees, as in minimax. MiniGrid and jaxued have ``[col, row]``.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.grid import bitboard, tiles
from minied_envs.grid.moves import STEPS


@functools.cache
def offsets(view_size: int) -> np.ndarray:
    """Return where each cell of the view lies, relative to the agent: ``i32[4, v, v, 2]`` by direction."""
    distance = view_size - 1 - np.arange(view_size)[:, None, None]
    side = np.arange(view_size)[None, :, None] - view_size // 2
    forward = np.asarray(STEPS, np.int32)
    right = np.roll(forward, -1, axis=0)  # clockwise: east's right hand is south
    table = distance * forward[:, None, None, :] + side * right[:, None, None, :]
    table = table.astype(np.int32)
    table.flags.writeable = False
    return table


def visible_cells(position: jax.Array, direction: jax.Array, view_size: int) -> tuple[jax.Array, jax.Array]:
    """Return the rows and columns, ``i32[v, v]`` each, that an agent sees; some may lie outside of the grid."""
    table = jnp.asarray(offsets(view_size))[direction]
    return table[..., 0] + position[0], table[..., 1] + position[1]


def crop(
    walls: jax.Array,
    width: int,
    marks: Sequence[tuple[jax.Array, int | jax.Array]],
    position: jax.Array,
    direction: jax.Array,
    view_size: int,
) -> jax.Array:
    """Return the tile codes that an agent sees, ``u8[v, v]``. Its own cell shows what it stands on, never itself.

    Args:
        walls: ``u32[H, K]``.
        width: ``W``.
        marks: (position ``i32[2]``, tile code) of the few things that are not walls, drawn in this order.
        position: of the agent, ``i32[2]``.
        direction: of the agent, ``i32[]``.
        view_size: ``v``.
    """
    rows, cols = visible_cells(position, direction, view_size)
    codes = bitboard.get(walls, width, rows, cols, outside=True).astype(jnp.uint8)  # EMPTY is 0 and WALL is 1
    for place, code in marks:
        there = (rows == place[0]) & (cols == place[1])
        codes = jnp.where(there, jnp.asarray(code, jnp.uint8), codes)
    return codes


def image(codes: jax.Array) -> jax.Array:
    """Return the image of tile codes ``u8[v, v]`` in MiniGrid's numbers, ``u8[v, v, 3]`` as ``[row, col, channel]``."""
    return jnp.asarray(np.asarray(tiles.TRIPLES, np.uint8))[codes]
