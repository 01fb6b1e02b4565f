"""Which levels are there with few walls? All of them, for tests and studies in which every level counts.

A maze of 5 × 5 cells has 2048 levels with at most three walls between opposite corners: few enough to know the exact
regret of a policy on each (`minied_envs.maze.exact`), many enough to rank. Letters: ``H W`` grid, ``K`` words a row,
``L`` levels.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.maze.level import MazeLevel, make_level
from minied_envs.maze.world import Maze

MAX_LEVELS = 1 << 23  # a few hundred megabytes; more is a mistake rather than a wish

Cell = tuple[int, int]  # (row, col)


def all_cells(maze: Maze) -> list[Cell]:
    """Return the cells of the grid in reading order, for ``starts`` and ``goals`` of `enumerate_levels`."""
    return list(itertools.product(range(maze.height), range(maze.width)))


def enumerate_levels(
    maze: Maze,
    max_walls: int,
    *,
    starts: Sequence[Cell] = ((0, 0),),
    directions: Sequence[int] = (0,),
    goals: Sequence[Cell] | None = None,
) -> MazeLevel:
    """Return every level with at most ``max_walls`` walls, solvable or not, each once. Host only.

    By start, direction and goal in the order given, pairs of a start and a goal on one cell left out; then by number of
    walls, from none; then in reading order of the walls. ``L`` is the number of such triples times the sum over
    ``k <= max_walls`` of ``H W - 2`` choose ``k``.

    Args:
        maze: the world; its size counts, not what its own generator draws or holds out.
        max_walls: most walls of a level.
        starts: cells (row, col) that the agent may start from; the first cell of the grid unless told.
        directions: that it may start in, of 0 east, 1 south, 2 west, 3 north.
        goals: cells that the goal may be on; the last cell of the grid unless told.

    Returns:
        A batch of levels, ``[L, ...]``.

    Raises:
        UserError: if a number or a cell is outside of the maze, nothing is left to enumerate, or far too much is.
    """
    goals = [(maze.height - 1, maze.width - 1)] if goals is None else goals
    _check(maze, max_walls, starts, directions, goals)
    # Repetitions in what was asked for must not repeat levels.
    asked = itertools.product(dict.fromkeys(starts), dict.fromkeys(directions), dict.fromkeys(goals))
    triples = [(start, direction, goal) for start, direction, goal in asked if start != goal]
    num_free = maze.height * maze.width - 2
    per_triple = sum(math.comb(num_free, k) for k in range(max_walls + 1))
    _check_number(len(triples) * per_triple)
    choices = [_choices(num_free, k) for k in range(max_walls + 1)]
    boards = _one_cell_boards(maze)
    walls = np.concatenate(
        [_wall_boards(boards, _free_cells(maze, start, goal), choices) for start, _, goal in triples]
    )

    def column(values: Sequence) -> jax.Array:
        return jnp.asarray(np.repeat(np.array(values, np.uint8), per_triple, axis=0))

    start_column, direction_column, goal_column = (column(values) for values in zip(*triples, strict=True))
    return make_level(jnp.asarray(walls), start_column, direction_column, goal_column)


def _choices(number: int, size: int) -> np.ndarray:
    """Return the subsets of ``size`` of the numbers below ``number``, in order, ``int[number choose size, size]``."""
    flat = itertools.chain.from_iterable(itertools.combinations(range(number), size))
    return np.fromiter(flat, int).reshape(math.comb(number, size), size)


def _one_cell_boards(maze: Maze) -> np.ndarray:
    """Return the board of each cell alone, in reading order, ``u32[H W, H, K]``."""
    cells = jnp.asarray(all_cells(maze), jnp.int32)
    return np.asarray(jax.vmap(lambda cell: bitboard.cell(maze.height, maze.width, cell))(cells))


def _free_cells(maze: Maze, start: Cell, goal: Cell) -> np.ndarray:
    """Return the places in reading order, ``int[H W - 2]``, of the cells that may be walls."""
    return np.array([place for place, cell in enumerate(all_cells(maze)) if cell not in (start, goal)], int)


def _wall_boards(boards: np.ndarray, free: np.ndarray, choices: list[np.ndarray]) -> np.ndarray:
    """Return the walls of each choice among the ``free`` cells, ``u32[n, H, K]``; ``choices`` are ``int[n_k, k]``."""
    return np.concatenate([np.bitwise_or.reduce(boards[free[choice]], axis=1) for choice in choices])


def _check(
    maze: Maze, max_walls: int, starts: Sequence[Cell], directions: Sequence[int], goals: Sequence[Cell]
) -> None:
    most = maze.height * maze.width - 2
    if not 0 <= max_walls <= most:
        raise UserError(f"max_walls is {max_walls}; allowed in a {maze.height}x{maze.width} maze: 0 to {most}")
    for name, cells in (("starts", starts), ("goals", goals)):
        for row, col in cells:
            if not (0 <= row < maze.height and 0 <= col < maze.width):
                raise UserError(
                    f"{name} has row {row}, column {col};"
                    f" allowed: rows 0 to {maze.height - 1}, columns 0 to {maze.width - 1}"
                )
    for direction in directions:
        if not 0 <= direction < 4:
            raise UserError(f"directions has {direction}; allowed: 0, 1, 2, 3")


def _check_number(number: int) -> None:
    if number == 0:
        raise UserError("starts, directions and goals leave no level; allowed: a start and a goal on different cells")
    if number > MAX_LEVELS:
        raise UserError(f"max_walls and the starts, directions and goals make {number} levels; allowed: {MAX_LEVELS}")
