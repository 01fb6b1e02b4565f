"""Where are the doors of an arena? Passages of one or two cells through a line of tall walls, by shifts of boards.

What is beside the arena counts as wall. A door is as deep as one cell: corridors are none. Letters: ``H W`` grid.
"""

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard
from minied_envs.grid.moves import EAST, NORTH, SOUTH, WEST
from minied_envs.hide_and_seek.dimensions import Dimensions

LENGTHS = (1, 2)  # of doors in cells
DIRECTIONS = (EAST, SOUTH, WEST, NORTH)
MOVES = tuple((direction, length) for direction in DIRECTIONS for length in LENGTHS)


def count_doors(tall: jax.Array, dimensions: Dimensions) -> jax.Array:
    """Return how many doors walls ``u32[H, 1]`` have, ``i32[]``."""
    total = jnp.int32(0)
    for direction, length in MOVES[: len(MOVES) // 2]:  # each is found once
        gaps, is_wall_behind, is_wall_ahead = _gaps(tall, direction, length, dimensions)
        total = total + bitboard.count(gaps & (is_wall_behind | is_wall_ahead))
    return total


def movable_doors(tall: jax.Array, dimensions: Dimensions) -> jax.Array:
    """Return for each of `MOVES` the first cells of doors that can go one cell on in their line, ``u32[8, H, 1]``.

    The first cell is the one that is walled up. Of a move in a direction, a wall's cell that opens is the one behind the
    door's last, see `moved_door`.
    """
    found = [_gaps(tall, direction, length, dimensions) for direction, length in MOVES]
    return jnp.stack([gaps & is_wall_ahead for gaps, _, is_wall_ahead in found])


def moved_door(tall: jax.Array, move: jax.Array, first: jax.Array, dimensions: Dimensions) -> jax.Array:
    """Return the walls after a door has gone one cell on, ``u32[H, 1]``.

    Args:
        tall: before.
        move: which of `MOVES`, ``i32[]``.
        first: the door's first cell, a board.
        dimensions: of the world.
    """
    opened = jnp.stack([_look(first, _back(direction), length, False, dimensions) for direction, length in MOVES])
    return (tall | first) & ~opened[move]


def _gaps(tall: jax.Array, direction: int, length: int, dimensions: Dimensions) -> tuple[jax.Array, ...]:
    """Find doors by their first cell, seen in ``direction``.

    Returns:
        The first cells of passages between what is solid; the cells with a wall of the arena behind them; and those with
        one ``length`` cells ahead; ``u32[H, 1]`` each.
    """
    arena = jnp.asarray(dimensions.arena())
    free, inner = arena & ~tall, arena & tall

    def look(board: jax.Array, way: int, steps: int, outside: bool) -> jax.Array:
        return _look(board, way, steps, outside, dimensions)

    between = look(~free, _back(direction), 1, True) & look(~free, direction, length, True)
    left, right = (look(free, (direction + turn) % 4, 1, False) for turn in (3, 1))
    for step in range(length):
        between = between & look(free, direction, step, False)
    if length == 2:  # a wall may end at one of its cells
        left, right = left | look(left, direction, 1, False), right | look(right, direction, 1, False)
    is_corridor = look(between, (direction + 1) % 4, 1, False) | look(between, (direction + 3) % 4, 1, False)
    gaps = between & left & right & ~is_corridor
    return gaps, look(inner, _back(direction), 1, False), look(inner, direction, length, False)


def _look(board: jax.Array, direction: int, steps: int, outside: bool, dimensions: Dimensions) -> jax.Array:
    """Return the cells that have one of ``board`` so many steps ahead, or, with ``outside``, none of the grid."""
    width = dimensions.width
    for _ in range(steps):
        if direction in (EAST, WEST):
            off_grid = jnp.uint32(1 << (width - 1) if direction == EAST else 1)
            moved = bitboard.shift_west(board) if direction == EAST else bitboard.shift_east(board, width)
        else:
            is_edge = jnp.arange(dimensions.height)[:, None] == (dimensions.height - 1 if direction == SOUTH else 0)
            off_grid = jnp.where(is_edge, jnp.uint32((1 << width) - 1), jnp.uint32(0))
            moved = bitboard.shift_north(board) if direction == SOUTH else bitboard.shift_south(board)
        board = moved | off_grid if outside else moved
    return board


def _back(direction: int) -> int:
    return (direction + 2) % 4
