"""Slow, plain answers that the worlds are compared with. No JAX but to build levels."""

import collections
import warnings

import jax.numpy as jnp
import numpy as np

from minied_envs.grid import bitboard, search
from minied_envs.maze.level import MazeLevel, make_level

STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
Maze = tuple[np.ndarray, tuple[int, int], int, tuple[int, int]]  # walls, start, direction, goal


def random_maze(rng: np.random.Generator, height: int, width: int, density: float) -> Maze:
    """A maze, solvable or not, with about this share of walls."""
    walls = rng.random((height, width)) < density
    cells = [divmod(int(i), width) for i in rng.choice(height * width, 2, replace=False)]
    for cell in cells:
        walls[cell] = False
    return walls, cells[0], int(rng.integers(4)), cells[1]


def to_level(maze: Maze) -> MazeLevel:
    walls, start, direction, goal = maze
    to_array = lambda value: jnp.asarray(value, jnp.int32)  # noqa: E731
    return make_level(bitboard.pack(jnp.asarray(walls)), to_array(start), to_array(direction), to_array(goal))


def to_levels(mazes: list[Maze]) -> MazeLevel:
    """A batch, packed by NumPy (a second opinion on `bitboard.pack`)."""
    walls = np.stack([maze[0] for maze in mazes])
    width = walls.shape[2]
    padded = np.pad(walls, ((0, 0), (0, 0), (0, -width % 32)))
    boards = np.packbits(padded, axis=-1, bitorder="little").view("<u4")
    parts = [jnp.asarray(np.array([maze[i] for maze in mazes], np.int32)) for i in (1, 2, 3)]
    return make_level(jnp.asarray(boards), *parts)


def is_free(walls: np.ndarray, row: int, col: int) -> bool:
    return 0 <= row < walls.shape[0] and 0 <= col < walls.shape[1] and not walls[row, col]


def distances(walls: np.ndarray, source: tuple[int, int]) -> np.ndarray:
    """Moves from ``source`` to each cell, by a queue."""
    field = np.full(walls.shape, search.UNREACHABLE)
    field[source] = 0
    queue = collections.deque([source])
    while queue:
        row, col = queue.popleft()
        for step_row, step_col in STEPS:
            near = (row + step_row, col + step_col)
            if is_free(walls, *near) and field[near] == search.UNREACHABLE:
                field[near] = field[row, col] + 1
                queue.append(near)
    return field


def fewest_actions(maze: Maze) -> int:
    """Actions until the agent moves into the goal, by a queue over (row, col, direction)."""
    walls, start, direction, goal = maze
    queue = collections.deque([(*start, direction, 0)])
    seen = {(*start, direction)}
    while queue:
        row, col, facing, actions = queue.popleft()
        ahead = (row + STEPS[facing][0], col + STEPS[facing][1])
        if ahead == goal:
            return actions + 1
        moved = ahead if is_free(walls, *ahead) else (row, col)
        for state in ((row, col, (facing - 1) % 4), (row, col, (facing + 1) % 4), (*moved, facing)):
            if state not in seen:
                seen.add(state)
                queue.append((*state, actions + 1))
    return search.UNREACHABLE


def best_return(maze: Maze, max_steps: int, discount: float = 1.0, time_penalty: bool = True) -> float:
    """The value of the start by backward induction over (time, direction, row, col), in float64."""
    walls, start, direction, goal = maze
    height, width = walls.shape
    values = np.zeros((4, height, width))  # after the last step nothing more is earned
    for time in reversed(range(max_steps)):
        reward = 1 - 0.9 * (time + 1) / max_steps if time_penalty else 1.0
        later = discount * values
        values = np.maximum(later, np.maximum(np.roll(later, 1, axis=0), np.roll(later, -1, axis=0)))
        for facing, (step_row, step_col) in enumerate(STEPS):
            for row in range(height):
                for col in range(width):
                    ahead = (row + step_row, col + step_col)
                    if ahead == goal:
                        values[facing, row, col] = max(values[facing, row, col], reward)
                    elif is_free(walls, *ahead):
                        values[facing, row, col] = max(values[facing, row, col], later[facing, ahead[0], ahead[1]])
    return float(values[direction, start[0], start[1]])


def rotated_crop(codes: np.ndarray, position: tuple[int, int], direction: int, view_size: int) -> np.ndarray:
    """The view by padding, cropping and rotating the whole map until the agent looks up."""
    pad = view_size
    padded = np.pad(codes, pad, constant_values=1)
    turns = (direction + 1) % 4  # quarter turns against the clock that bring the direction to north
    marker = np.zeros(padded.shape, bool)
    marker[position[0] + pad, position[1] + pad] = True
    turned = np.rot90(padded, turns)
    ((row, col),) = np.argwhere(np.rot90(marker, turns))
    half = view_size // 2
    return turned[row - view_size + 1 : row + 1, col - half : col + half + 1]


def minigrid_env(maze: Maze, max_steps: int, view_size: int):
    """The maze as MiniGrid has it: (x, y) = (col + 1, row + 1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from minigrid.core.grid import Grid
        from minigrid.core.mission import MissionSpace
        from minigrid.core.world_object import Goal, Wall
        from minigrid.minigrid_env import MiniGridEnv
    walls, start, direction, goal = maze

    class OneMaze(MiniGridEnv):
        def _gen_grid(self, width: int, height: int) -> None:
            self.grid = Grid(width, height)
            self.grid.wall_rect(0, 0, width, height)
            for row, col in np.argwhere(walls):
                self.grid.set(int(col) + 1, int(row) + 1, Wall())
            self.grid.set(goal[1] + 1, goal[0] + 1, Goal())
            self.agent_pos = (start[1] + 1, start[0] + 1)
            self.agent_dir = direction
            self.mission = "reach the goal"

    return OneMaze(
        mission_space=MissionSpace(mission_func=lambda: "reach the goal"),
        width=walls.shape[1] + 2,
        height=walls.shape[0] + 2,
        max_steps=max_steps,
        see_through_walls=True,
        agent_view_size=view_size,
    )
