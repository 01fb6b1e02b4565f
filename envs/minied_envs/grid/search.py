"""How far is one cell of a grid from another, in cells and in actions?

Breadth-first search on whole boards: one sweep moves the frontier of all cells at once, so a search costs as many sweeps
as the path is long, each a few operations on ``H·K`` words. All functions are for one maze (vmap at the caller; a batch
runs until its longest search ends). Letters: ``H W`` grid, ``K`` words a row, ``P`` bit planes of a counter.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard

# Searches are compiled by themselves too: called outside of a program, a bare loop would be compiled at every call.
_compiled = functools.partial(jax.jit, static_argnames="width")

UNREACHABLE = 1 << 30  # larger than any distance and any horizon, and safe to add to


@_compiled
def flood(free: jax.Array, source: jax.Array, width: int) -> jax.Array:
    """Return the cells that can be reached from those of ``source`` through ``free``, both ``u32[H, K]``.

    Also for batches ``[..., H, K]`` of equal rank, which are filled side by side.
    """

    def sweep(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reached, _ = carry
        grown = grow(reached, width) & free
        return grown, jnp.any(grown != reached)

    return jax.lax.while_loop(lambda carry: carry[1], sweep, (source & free, jnp.bool_(True)))[0]


@_compiled
def shortest_path(free: jax.Array, start: jax.Array, goal: jax.Array, width: int) -> jax.Array:
    """Return the moves between two free cells, ``i32[]``, or `UNREACHABLE`.

    Args:
        free: cells that can be entered, both ends among them, ``u32[H, K]``.
        start: (row, col), integer ``[2]``.
        goal: (row, col), integer ``[2]``.
        width: ``W``.
    """
    height = free.shape[0]
    ends = (bitboard.cell(height, width, end) for end in (start, goal))
    return shortest_path_between(free, *ends, width)


@_compiled
def shortest_path_between(free: jax.Array, sources: jax.Array, targets: jax.Array, width: int) -> jax.Array:
    """Return the moves from the nearest of ``sources`` to one of ``targets``, ``i32[]``, or `UNREACHABLE`.

    All three are ``u32[H, K]``; ends that are not ``free`` do not count.
    """
    targets = targets & free

    def sweep(carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array]):
        reached, moves, _, _ = carry
        grown = grow(reached, width) & free
        return grown, moves + 1, jnp.any(grown & targets != 0), jnp.any(grown != reached)

    source = sources & free
    first = (source, jnp.int32(0), jnp.any(source & targets != 0), jnp.bool_(True))
    _, moves, found, _ = jax.lax.while_loop(lambda carry: ~carry[2] & carry[3], sweep, first)
    return jnp.where(found, moves, UNREACHABLE)


@_compiled
def distance_field(free: jax.Array, source: jax.Array, width: int) -> jax.Array:
    """Return the moves from the cell ``source`` (integer ``[2]``) to every cell, ``i32[H, W]``, or `UNREACHABLE`."""
    height = free.shape[0]
    first = bitboard.cell(height, width, source) & free
    reached, planes = _record(first, lambda reached: grow(reached, width) & free, height * width)
    return _read(reached, planes, width)


@_compiled
def fewest_actions(
    free: jax.Array, position: jax.Array, direction: jax.Array, goal: jax.Array, width: int
) -> jax.Array:
    """Return the actions from a cell and direction until the agent moves into the goal, ``i32[]``, or `UNREACHABLE`.

    A turn is an action. The agent never stands on the goal: the last action is the move into it. jaxued solves the same
    problem by value iteration over (direction, row, col), and minimax counts cells only.

    Args:
        free: cells that can be entered, ``u32[H, K]``; whether the goal is among them does not matter.
        position: of the agent, a free cell, integer ``[2]``.
        direction: of the agent, integer ``[]``.
        goal: another cell, integer ``[2]``.
        width: ``W``.
    """
    height = free.shape[0]
    target = bitboard.cell(height, width, goal)[None]
    passable = free[None] & ~target

    def act(carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array]):
        reached, actions, _, _ = carry
        moved = _advance(reached, width)
        grown = reached | _turned(reached) | (moved & passable)
        return grown, actions + 1, jnp.any(moved & target != 0), jnp.any(grown != reached)

    facing = jnp.arange(4, dtype=jnp.int32) == direction.astype(jnp.int32)
    start = bitboard.cell(height, width, position)
    source = jnp.where(facing[:, None, None], start[None] & passable, jnp.uint32(0))
    first = (source, jnp.int32(0), jnp.bool_(False), jnp.bool_(True))
    _, actions, found, _ = jax.lax.while_loop(lambda carry: ~carry[2] & carry[3], act, first)
    return jnp.where(found, actions, UNREACHABLE)


@_compiled
def action_distance_field(free: jax.Array, goal: jax.Array, width: int) -> jax.Array:
    """Return the fewest actions to move into ``goal`` from each direction and cell, ``i32[4, H, W]``.

    `UNREACHABLE` where there is no way, on walls, and on the goal itself, where the agent never stands.
    """
    height = free.shape[0]
    target = bitboard.cell(height, width, goal)
    passable = free[None] & ~target[None]
    # Backwards in time: who moves forward onto a board from direction d stands one step behind it.
    last = _retreat(jnp.stack([target] * 4), width) & passable

    def act(reached: jax.Array) -> jax.Array:
        return reached | _turned(reached) | (_retreat(reached, width) & passable)

    reached, planes = _record(last, act, 4 * height * width)
    field = jax.vmap(lambda r, p: _read(r, p, width), in_axes=(0, 1))(reached, planes)
    return jnp.where(field < UNREACHABLE, field + 1, UNREACHABLE)


def grow(board: jax.Array, width: int) -> jax.Array:
    """Return the board and the four neighbours of its cells."""
    vertical = bitboard.shift_north(board) | bitboard.shift_south(board)
    return board | vertical | bitboard.shift_east(board, width) | bitboard.shift_west(board)


def _advance(boards: jax.Array, width: int) -> jax.Array:
    """Move each of the boards ``u32[4, H, K]`` one step in its own direction."""
    east, south, west, north = boards[0], boards[1], boards[2], boards[3]
    return jnp.stack(
        [
            bitboard.shift_east(east, width),
            bitboard.shift_south(south),
            bitboard.shift_west(west),
            bitboard.shift_north(north),
        ]
    )


def _retreat(boards: jax.Array, width: int) -> jax.Array:
    """Move each of the boards ``u32[4, H, K]`` one step against its own direction."""
    return jnp.roll(_advance(jnp.roll(boards, 2, axis=0), width), 2, axis=0)


def _turned(boards: jax.Array) -> jax.Array:
    """Return where ``u32[4, H, K]`` lead by one turn to the left or to the right."""
    return jnp.roll(boards, 1, axis=0) | jnp.roll(boards, -1, axis=0)


def _record(source: jax.Array, grow: Callable[[jax.Array], jax.Array], bound: int) -> tuple[jax.Array, jax.Array]:
    """Grow ``source`` until nothing changes and remember at which sweep each bit came.

    The sweep numbers are kept in binary, one board a digit, so that a sweep costs ``P`` word operations and not an
    integer per cell.

    Returns:
        The boards reached, and the digits of their sweeps, ``u32[P, ...]`` (``P`` holds numbers up to ``bound``).
    """
    num_planes = bound.bit_length()
    digits = jnp.arange(num_planes, dtype=jnp.uint32).reshape((-1,) + (1,) * source.ndim)

    def sweep(carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array]):
        reached, planes, number, _ = carry
        grown = grow(reached)
        new = grown & ~reached
        has_digit = ((number >> digits) & jnp.uint32(1)) != 0
        planes = planes | jnp.where(has_digit, new[None], jnp.uint32(0))
        return grown, planes, number + 1, jnp.any(new != 0)

    planes = jnp.zeros((num_planes, *source.shape), jnp.uint32)
    first = (source, planes, jnp.uint32(1), jnp.bool_(True))
    reached, planes, _, _ = jax.lax.while_loop(lambda carry: carry[3], sweep, first)
    return reached, planes


def _read(reached: jax.Array, planes: jax.Array, width: int) -> jax.Array:
    """Return the sweep numbers, ``i32[H, W]``, of a board recorded by `_record`."""
    digits = jax.vmap(lambda plane: bitboard.unpack(plane, width))(planes).astype(jnp.int32)
    weights = jnp.left_shift(1, jnp.arange(planes.shape[0], dtype=jnp.int32))
    numbers = jnp.sum(digits * weights[:, None, None], axis=0)
    return jnp.where(bitboard.unpack(reached, width), numbers, UNREACHABLE)
