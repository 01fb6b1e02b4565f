"""How are the procedural evaluation mazes made? On the host, from a seed, once.

FourRooms and SimpleCrossing follow MiniGrid as DCD and minimax use them; perfect mazes (spanning trees of the lattice of
even cells) come in the two published kinds, whose corridors differ: by depth-first search with uniform start and goal
(minimax), and by Kruskal's algorithm with start and goal in two corners (DCD). All are linear in the number of cells.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.grid.moves import STEPS
from minied_envs.maze.level import MazeLevel, make_level

FOUR_ROOMS_SIZE = 17


class Plan(NamedTuple):
    """A level on the host."""

    walls: np.ndarray  # bool[H, W]
    start: tuple[int, int]
    direction: int
    goal: tuple[int, int]


def make_levels(make: Callable[[np.random.Generator], Plan], seed: Sequence[int], number: int) -> MazeLevel:
    """Return ``number`` levels, ``[L, ...]``, the same for the same seed."""
    rng = np.random.default_rng(list(seed))
    plans = [make(rng) for _ in range(number)]
    walls = jax.vmap(bitboard.pack)(jnp.asarray(np.stack([plan.walls for plan in plans])))
    starts, directions, goals = (
        jnp.asarray(np.array([getattr(plan, name) for plan in plans], np.int32))
        for name in ("start", "direction", "goal")
    )
    return make_level(walls, starts, directions, goals)


def four_rooms(rng: np.random.Generator) -> Plan:
    """Return four rooms with a door in each of the four walls between them; start and goal uniform."""
    size, middle = FOUR_ROOMS_SIZE, FOUR_ROOMS_SIZE // 2
    walls = np.zeros((size, size), bool)
    walls[middle, :] = walls[:, middle] = True
    for first in (0, middle + 1):  # the two halves of each wall
        walls[middle, first + rng.integers(middle)] = False
        walls[first + rng.integers(middle), middle] = False
    return _with_uniform_ends(rng, walls)


def simple_crossing(rng: np.random.Generator, size: int, num_rivers: int) -> Plan:
    """Return a square crossed by walls ("rivers"), each of which the way to the far corner passes by one opening.

    Rivers lie on distinct odd rows and columns. A way through the rooms between them, east and south in uniform order,
    opens each river that it crosses at a uniform cell next to the room it is in.

    Args:
        rng: advanced.
        size: rows and columns, without the border (MiniGrid's S9 is 7, its S11 is 9).
        num_rivers: walls in both directions together.
    """
    lines = [(axis, place) for axis in (0, 1) for place in range(1, size - 1, 2)]
    chosen = [lines[i] for i in rng.permutation(len(lines))[:num_rivers]]
    rivers = [sorted(place for axis, place in chosen if axis == a) for a in (0, 1)]  # rows, columns
    walls = np.zeros((size, size), bool)
    walls[rivers[0], :] = True
    walls[:, rivers[1]] = True
    edges = [[-1, *places, size] for places in rivers]
    room = [0, 0]  # which room along each axis
    for axis in rng.permutation([0] * len(rivers[0]) + [1] * len(rivers[1])):
        across = 1 - axis
        low, high = edges[across][room[across]] + 1, edges[across][room[across] + 1]
        opening = [0, 0]
        opening[axis], opening[across] = edges[axis][room[axis] + 1], int(rng.integers(low, high))
        walls[tuple(opening)] = False
        room[axis] += 1
    return Plan(walls, (0, 0), 0, (size - 1, size - 1))


def perfect_maze_dfs(rng: np.random.Generator, height: int, width: int) -> Plan:
    """Return a perfect maze by randomised depth-first search; start and goal uniform free cells (minimax)."""
    rows, cols = _lattice(height, width)
    walls = _closed(height, width)
    # Each cell tries its neighbours in an order of its own, drawn beforehand: the same as to choose among the unvisited.
    orders = rng.random((rows * cols, 4)).argsort(axis=1).tolist()
    first = int(rng.integers(rows * cols))
    visited = bytearray(rows * cols)
    visited[first] = True
    stack = [divmod(first, cols)]
    while stack:
        row, col = stack[-1]
        order = orders[row * cols + col]
        if not order:
            stack.pop()
            continue
        step_row, step_col = STEPS[order.pop()]
        next_row, next_col = row + step_row, col + step_col
        if 0 <= next_row < rows and 0 <= next_col < cols and not visited[next_row * cols + next_col]:
            visited[next_row * cols + next_col] = True
            walls[row + next_row, col + next_col] = False
            stack.append((next_row, next_col))
    return _with_uniform_ends(rng, walls)


def perfect_maze_kruskal(rng: np.random.Generator, height: int, width: int) -> Plan:
    """Return a perfect maze by Kruskal's algorithm on random weights; start and goal in two distinct corners (DCD)."""
    rows, cols = _lattice(height, width)
    walls = _closed(height, width)
    east = [(i * cols + j, i * cols + j + 1) for i in range(rows) for j in range(cols - 1)]
    south = [(i * cols + j, (i + 1) * cols + j) for i in range(rows - 1) for j in range(cols)]
    edges = east + south
    parents = list(range(rows * cols))

    def root(cell: int) -> int:
        while parents[cell] != cell:
            parents[cell] = parents[parents[cell]]
            cell = parents[cell]
        return cell

    for index in rng.permutation(len(edges)).tolist():
        a, b = edges[index]
        root_a, root_b = root(a), root(b)
        if root_a != root_b:
            parents[root_a] = root_b
            walls[a // cols + b // cols, a % cols + b % cols] = False
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    start, goal = (corners[i] for i in rng.permutation(4)[:2])
    return Plan(walls, start, int(rng.integers(4)), goal)


def _lattice(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of the lattice of even cells."""
    if height % 2 == 0 or width % 2 == 0 or height < 3 or width < 3:
        raise UserError(f"a perfect maze of {height}x{width} was asked for; allowed: odd numbers from 3")
    return (height + 1) // 2, (width + 1) // 2


def _closed(height: int, width: int) -> np.ndarray:
    """Return walls everywhere but on the cells of the lattice, ``bool[H, W]``."""
    walls = np.ones((height, width), bool)
    walls[::2, ::2] = False
    return walls


def _with_uniform_ends(rng: np.random.Generator, walls: np.ndarray) -> Plan:
    """Return a level with start and goal uniform distinct free cells and a uniform direction."""
    free = np.argwhere(~walls)
    start, goal = rng.choice(len(free), 2, replace=False)
    return Plan(walls, tuple(free[start].tolist()), int(rng.integers(4)), tuple(free[goal].tolist()))
