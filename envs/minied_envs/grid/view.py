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
from minied_envs.grid.once import once


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


def crop_codes(cells: jax.Array, outside: int, position: jax.Array, direction: jax.Array, view_size: int) -> jax.Array:
    """Return the codes that an agent sees of a map of codes, ``[v, v]`` of its type; `crop` is for boards of bits.

    Args:
        cells: ``u8[H, W]``, all below 255.
        outside: the code of cells that are not on the grid.
        position: of the agent, a cell of the grid, ``i32[2]``.
        direction: of the agent, ``i32[]``.
        view_size: ``v``.
    """
    height, width = cells.shape
    # Places are added up from two tables, whose entries off the grid are too large for any sum: compiled, they are read
    # where they are needed, while coordinates and their four comparisons would be computed anew for each use of the view.
    of_row, of_col = (jnp.asarray(table) for table in _places(height, width, view_size))
    rows = of_row.at[position[0], direction].get(mode="promise_in_bounds")
    cols = of_col.at[position[1], direction].get(mode="promise_in_bounds")
    place = rows + cols
    inside = place < height * width
    seen = cells.reshape(-1).at[jnp.where(inside, place, 0)].get(mode="promise_in_bounds")
    return once(jnp.where(inside, seen, jnp.asarray(outside, cells.dtype)))


@functools.cache
def _places(height: int, width: int, view_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what each cell of the view adds to a place in reading order.

    By row and direction of the agent, ``i32[H, 4, v, v]``, and by column and direction, ``i32[W, 4, v, v]``; ``H W`` where
    it is off the grid.
    """
    rows = np.arange(height, dtype=np.int32)[:, None, None, None] + offsets(view_size)[None, ..., 0]
    cols = np.arange(width, dtype=np.int32)[:, None, None, None] + offsets(view_size)[None, ..., 1]
    beyond = np.int32(height * width)
    of_row = np.where((rows >= 0) & (rows < height), rows * np.int32(width), beyond)
    of_col = np.where((cols >= 0) & (cols < width), cols, beyond)
    return of_row, of_col


def image(codes: jax.Array) -> jax.Array:
    """Return the image of tile codes ``u8[v, v]`` in MiniGrid's numbers, ``u8[v, v, 3]`` as ``[row, col, channel]``."""
    return jnp.asarray(np.asarray(tiles.TRIPLES, np.uint8))[codes]
