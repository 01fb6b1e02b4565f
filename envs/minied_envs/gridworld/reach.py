"""Can a level of the gridworld be solved? An answer in boards of bits, that of an agent with room to put things down.

The agent floods the map from its start, through doors that are not locked and through objects, which it may carry away; what
it comes to in this way unlocks doors, and it floods on, until nothing is new. A level that cannot be solved so cannot be
solved. One that can is solvable where there is room: in a corridor one cell wide things may be in each other's way for ever.
Letters: ``H W`` grid, ``K`` words a row.
"""

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard, search
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.level import GridLevel


def is_solvable(level: GridLevel) -> jax.Array:
    """Return whether the agent can come to what its mission asks for, or to a goal, ``bool[]``; see above."""
    width = level.cells.shape[1]
    reached, _ = _reached(level)
    near = _grown(reached, width)
    to_touch, to_enter = (bitboard.pack(mask) for mask in _targets(level))
    return jnp.any((reached & to_touch) != 0) | jnp.any((near & to_enter) != 0)


def distance(level: GridLevel) -> jax.Array:
    """Return the moves from the start to the nearest cell that ends the episode with a reward, ``i32[]``.

    Through doors and objects that the agent can open or carry away, as if they were not there; `search.UNREACHABLE` if there
    is no way.
    """
    height, width = level.cells.shape
    to_touch, to_enter = (bitboard.pack(mask) for mask in _targets(level))
    reached, free = _reached(level)
    near = _grown(reached, width)
    targets = (to_touch & reached) | (to_enter & near)
    start = bitboard.cell(height, width, level.start)
    return search.shortest_path_between(free | targets, start, targets, width)


def _targets(level: GridLevel) -> tuple[jax.Array, jax.Array]:
    """Return the objects and doors that the mission asks for, and the cells to enter, ``bool[H, W]`` each."""
    cells, task = level.cells.astype(jnp.int32), level.task
    inside = _contents(cells)
    picked = missions.is_picked_up(task, cells) | ((inside > 0) & missions.is_picked_up(task, inside))
    colour = task - missions.OPEN
    is_door = (cells == codes.CLOSED_DOOR + colour) | (cells == codes.LOCKED_DOOR + colour)
    is_to_open = (task >= missions.OPEN) & (task < missions.PICK_UP) & is_door
    return (codes.is_object(cells) & picked) | is_to_open, (cells == codes.GOAL) | (cells == codes.RIGHT_ANSWER)


def _reached(level: GridLevel) -> tuple[jax.Array, jax.Array]:
    """Return the cells that the agent can come to, and those that it can pass, ``u32[H, K]`` each."""
    height, width = level.cells.shape
    cells = level.cells.astype(jnp.int32)
    ends = (cells == codes.GOAL) | (cells == codes.LAVA) | (cells == codes.RIGHT_ANSWER) | (cells == codes.WRONG_ANSWER)
    is_locked = (cells >= codes.LOCKED_DOOR) & (cells < codes.KEY)
    passable = (codes.is_walkable(cells) | codes.is_object(cells) | codes.is_door(cells)) & ~ends & ~is_locked
    start = bitboard.cell(height, width, level.start)
    colours = jnp.arange(codes.NUM_COLOURS, dtype=jnp.int32)[:, None, None]
    keys = (cells[None] - codes.KEY == colours) | (_contents(cells)[None] - codes.KEY == colours)
    locks = cells[None] - codes.LOCKED_DOOR == colours
    key_boards, lock_boards = jax.vmap(bitboard.pack)(keys), jax.vmap(bitboard.pack)(locks)

    def unlock(carry: tuple[jax.Array, jax.Array, jax.Array]):
        reached, free, _ = carry
        has_key = jnp.any((key_boards & reached[None]) != 0, axis=(1, 2))
        opened = jnp.where(has_key[:, None, None], lock_boards, jnp.uint32(0))
        wider = free | jax.lax.reduce(opened, jnp.uint32(0), jax.lax.bitwise_or, (0,))
        return search.flood(wider, start, width), wider, jnp.any(wider != free)

    free = bitboard.pack(passable)
    first = (search.flood(free, start, width), free, jnp.bool_(True))
    reached, free, _ = jax.lax.while_loop(lambda carry: carry[2], unlock, first)
    return reached, free


def _contents(cells: jax.Array) -> jax.Array:
    """Return what is in the box of each cell, ``i32[H, W]``, 0 for nothing."""
    return jnp.where(cells >= codes.FILLED_BOX, codes.contents(cells), 0)


def _grown(board: jax.Array, width: int) -> jax.Array:
    """Return a board with the four neighbours of its cells."""
    beside = bitboard.shift_east(board, width) | bitboard.shift_west(board)
    return board | beside | bitboard.shift_north(board) | bitboard.shift_south(board)
