"""Which walls does an arena have? A room in a corner, or an arena cut into rooms, by bits of rows.

Positions are counted on the whole grid. Letters: ``H W`` grid, ``M`` rooms at most.
"""

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard
from minied_envs.hide_and_seek.dimensions import Dimensions

BOTH_OPEN, FIRST_CLOSED, SECOND_CLOSED = range(3)  # doors of the quadrant


def rectangle(
    height: int, top: jax.Array | int, left: jax.Array | int, rows: jax.Array | int, cols: jax.Array | int
) -> jax.Array:
    """Return the board, ``u32[H, 1]``, of a rectangle of cells, all integers ``[]``; columns before the first are cut."""
    row = jnp.arange(height, dtype=jnp.int32)[:, None]
    word = _first_columns(left + cols) & ~_first_columns(left)
    return jnp.where((row >= top) & (row < top + rows), word, jnp.uint32(0))


def _first_columns(number: jax.Array | int) -> jax.Array:
    """Return a word with the bits of the first ``number`` columns, none for a negative number."""
    return (jnp.uint32(1) << jnp.clip(jnp.asarray(number), 0, 31).astype(jnp.uint32)) - jnp.uint32(1)


# -- quadrant ---------------------------------------------------------------------------------------------------------


def quadrant_sides(dimensions: Dimensions) -> tuple[int, int]:
    """Return rows and columns of the room in the south-east corner, its walls not counted: just under half the arena."""
    return (dimensions.arena_height - 1) // 2, (dimensions.arena_width - 1) // 2


def quadrant_room(dimensions: Dimensions) -> jax.Array:
    """Return the cells of the room, ``u32[H, 1]``."""
    top, left = _quadrant_corner(dimensions)
    return rectangle(dimensions.height, top + 1, left + 1, *quadrant_sides(dimensions))


def quadrant_outside(dimensions: Dimensions) -> jax.Array:
    """Return the cells of the arena that are neither of the room nor of its walls or doors, ``u32[H, 1]``."""
    return jnp.asarray(dimensions.arena()) & ~_quadrant(dimensions)


def quadrant_walls(dimensions: Dimensions, doors: jax.Array, closed: jax.Array) -> jax.Array:
    """Return the two walls of the room with a door of one cell each, ``u32[H, 1]``.

    Args:
        dimensions: of the world.
        doors: ``i32[2]``, the column of the room in the wall north of it, and the row in the wall west of it.
        closed: ``i32[]``, which door is walled up: `BOTH_OPEN`, `FIRST_CLOSED`, `SECOND_CLOSED`.
    """
    top, left = _quadrant_corner(dimensions)
    north = rectangle(dimensions.height, top, left + 1 + doors[0], 1, 1)
    west = rectangle(dimensions.height, top + 1 + doors[1], left, 1, 1)
    north = jnp.where(closed == FIRST_CLOSED, jnp.uint32(0), north)
    west = jnp.where(closed == SECOND_CLOSED, jnp.uint32(0), west)
    return _quadrant(dimensions) & ~quadrant_room(dimensions) & ~(north | west)


def _quadrant_corner(dimensions: Dimensions) -> tuple[int, int]:
    """Return the cell in which the two walls meet."""
    rows, cols = quadrant_sides(dimensions)
    return dimensions.height - dimensions.margin - rows - 1, dimensions.width - dimensions.margin - cols - 1


def _quadrant(dimensions: Dimensions) -> jax.Array:
    """Return the cells of the room and of its walls, ``u32[H, 1]``."""
    rows, cols = quadrant_sides(dimensions)
    return rectangle(dimensions.height, *_quadrant_corner(dimensions), rows + 1, cols + 1)


# -- rooms ------------------------------------------------------------------------------------------------------------


def room_walls(
    dimensions: Dimensions,
    num_rooms: jax.Array,
    wall_words: jax.Array,
    door_words: jax.Array,
    min_side: int,
    door_cells: int,
) -> jax.Array:
    """Return the walls that cut the arena into rooms, one after the other, ``u32[H, 1]``.

    Each wall cuts one of the rooms so far in two, along any line that leaves both at least ``min_side`` cells, all such
    lines of all rooms equally likely, and has one door. Where no room can be cut the arena has fewer. All rooms stay
    connected: a wall that ends at a door of two cells blocks only one of them, and at a door of one cell it cannot end
    (which is why more than two rooms need doors of two).

    Baker et al. 2019 (arXiv 1909.07528) draw a wall between two parallel walls and start again after ten that do not fit;
    this never fails and chooses among those that fit, which is the same up to how likely each line is.

    Args:
        dimensions: of the world.
        num_rooms: ``i32[]``, at least 1.
        wall_words: random words, ``u32[M - 1]``: which line is the next wall.
        door_words: likewise: where in the wall its door is.
        min_side: cells that a room has at least in each direction, at least ``door_cells``.
        door_cells: cells of a door.
    """
    most = wall_words.shape[0] + 1
    number = jnp.arange(most, dtype=jnp.int32)
    start = jnp.array([dimensions.margin] * 2 + [dimensions.arena_height, dimensions.arena_width], jnp.int32)
    rooms = jnp.where(number[:, None] == 0, start[None, :], 0)  # [M, 4]: top, left, rows, columns
    walls = jnp.zeros((dimensions.height, 1), jnp.uint32)
    for i in range(most - 1):
        room, lies, offset, fits = _next_wall(rooms, wall_words[i], min_side)
        is_built = fits & (i + 1 < num_rooms)
        wall, parts = _wall(dimensions.height, rooms[room], lies, min_side + offset, door_words[i], door_cells)
        walls = jnp.where(is_built, walls | wall, walls)
        cut = jnp.where((number == room)[:, None], parts[0], jnp.where((number == i + 1)[:, None], parts[1], rooms))
        rooms = jnp.where(is_built, cut, rooms)
    return walls


def _next_wall(rooms: jax.Array, word: jax.Array, min_side: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Choose a line by which one of the ``rooms`` (``i32[M, 4]``) can be cut.

    Returns:
        The number of the room ``i32[]``, whether the line lies (runs from west to east) ``bool[]``, by how much the part
        before it is larger than it must be ``i32[]``, and whether there is any such line ``bool[]``.
    """
    most = rooms.shape[0]
    lines = jnp.maximum(rooms[:, 2:].T.reshape(-1) - 2 * min_side, 0)  # [2M]: those that lie, room by room, then others
    ends = jnp.cumsum(lines)
    index = bitboard.scale(word, ends[-1])
    chosen = jnp.minimum(jnp.sum((ends <= index).astype(jnp.int32)), 2 * most - 1)
    return chosen % most, chosen < most, index - (ends[chosen] - lines[chosen]), ends[-1] > 0


def _wall(
    height: int, room: jax.Array, lies: jax.Array, before: jax.Array, word: jax.Array, door_cells: int
) -> tuple[jax.Array, jax.Array]:
    """Return the wall after ``before`` rows or columns of a room with its door, and the two parts of the room.

    Returns:
        The board ``u32[H, 1]``, and top, left, rows and columns of the part before and of the one behind, ``i32[2, 4]``.
    """
    top, left, rows, cols = room
    after = jnp.where(lies, rows, cols) - before - 1
    door = bitboard.scale(word, jnp.where(lies, cols, rows) - (door_cells - 1))
    lying = rectangle(height, top + before, left, 1, cols) & ~rectangle(
        height, top + before, left + door, 1, door_cells
    )
    standing = rectangle(height, top, left + before, rows, 1)
    standing = standing & ~rectangle(height, top + door, left + before, door_cells, 1)
    across = jnp.stack([jnp.stack([top, left, before, cols]), jnp.stack([top + before + 1, left, after, cols])])
    along = jnp.stack([jnp.stack([top, left, rows, before]), jnp.stack([top, left + before + 1, rows, after])])
    return jnp.where(lies, lying, standing), jnp.where(lies, across, along)
