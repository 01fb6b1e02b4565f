"""Which random levels may a teacher see, and what happens when a draw is refused?

A level is refused when ``solvable_only`` is set and its goal cannot be reached, or when ``holdout`` reserves it for
evaluation. Fresh draws replace refused ones, so the result is the generator's distribution given acceptance, exact but
for the chance that `MAX_TRIES` draws in a row are refused. Letters: ``H W`` grid, ``M`` named levels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard, search
from minied_envs.maze.level import NO_TELEVISION, MazeLevel, make_level, passable

MAX_TRIES = 64

Test = Callable[[MazeLevel], jax.Array]  # level -> bool[]


def is_solvable(level: MazeLevel, width: int) -> jax.Array:
    """Return whether the goal can be reached, ``bool[]``."""
    return search.shortest_path(passable(level, width), level.start, level.goal, width) < search.UNREACHABLE


def is_reserved(fingerprint: jax.Array, holdout: int, named: jax.Array) -> jax.Array:
    """Return whether a level is kept for evaluation, ``bool[]``.

    Args:
        fingerprint: of the level, ``u32[2]``.
        holdout: one level in this many is reserved, by its fingerprint alone: the same levels in every run.
        named: fingerprints of the named levels of this size, ``u32[M, 2]``.
    """
    is_named = jnp.any(jnp.all(named == fingerprint[None], axis=1))
    return (fingerprint[0] % jnp.uint32(holdout) == 0) | is_named


def accepted_draw(
    key: jax.Array, draw: Callable[[jax.Array], MazeLevel], accept: Test, last_resort: MazeLevel, width: int
) -> MazeLevel:
    """Return a level that is accepted: the first such draw, or failing that something made from the last.

    After `MAX_TRIES` refusals the last draw gets a corridor between start and goal, which makes it solvable; if that is
    refused too, the result is ``last_resort``. With 60 walls in 13 × 13 cells the chance of either is below 1e-15.

    Args:
        key: consumed.
        draw: one raw draw, consuming its key.
        accept: tells whether a level may be returned.
        last_resort: a level that is accepted.
        width: ``W``.
    """

    def again(carry: tuple[jax.Array, MazeLevel, jax.Array]):
        tries, previous, _ = carry
        level = draw(jax.random.fold_in(key, tries))
        level = choose(tries < MAX_TRIES, level, carve(previous, width))
        return tries + 1, level, accept(level)

    def is_refused(carry: tuple[jax.Array, MazeLevel, jax.Array]) -> jax.Array:
        tries, _, is_accepted = carry
        return ~is_accepted & (tries <= MAX_TRIES)

    # The loop starts with nothing drawn, so that a draw and its test are compiled once.
    nothing = (jnp.int32(0), last_resort, jnp.bool_(False))
    _, level, is_accepted = jax.lax.while_loop(is_refused, again, nothing)
    return choose(is_accepted, level, last_resort)


def choose(condition: jax.Array, a: MazeLevel, b: MazeLevel) -> MazeLevel:
    """Return ``a`` where ``condition`` (``bool[]``) holds, else ``b``."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def carve(level: MazeLevel, width: int) -> MazeLevel:
    """Return the level without what stands in one corridor: along the start's row, then along the goal's column."""
    height = level.walls.shape[0]
    (row, col), (goal_row, goal_col) = level.start, level.goal
    rows = jnp.arange(height, dtype=jnp.int32)[:, None]
    cols = jnp.arange(width, dtype=jnp.int32)[None, :]
    along_row = (rows == row) & (cols >= jnp.minimum(col, goal_col)) & (cols <= jnp.maximum(col, goal_col))
    along_col = (cols == goal_col) & (rows >= jnp.minimum(row, goal_row)) & (rows <= jnp.maximum(row, goal_row))
    corridor = bitboard.pack(along_row | along_col)
    level = level.replace(walls=level.walls & ~corridor)
    if level.television is None:
        return level
    is_in_the_way = bitboard.get(corridor, width, *level.television_cell, outside=False)
    return level.replace(television=jnp.where(is_in_the_way, jnp.uint8(NO_TELEVISION), level.television))


def plain_levels(height: int, width: int, at_most: int) -> MazeLevel:
    """Return levels without walls: goals from the last cell on and every direction, from the first cell, ``[n, ...]``.

    ``n`` is ``4 (H W - 1)``, all there are, or ``at_most``.
    """
    number = min(at_most, 4 * (height * width - 1))
    index = jnp.arange(number, dtype=jnp.int32)
    goal = height * width - 1 - index // 4
    goals = jnp.stack([goal // width, goal % width], axis=-1)
    walls = jnp.zeros((number, height, bitboard.num_words(width)), jnp.uint32)
    return make_level(walls, jnp.zeros((number, 2), jnp.int32), index % 4, goals)
