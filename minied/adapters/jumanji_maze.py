"""Mazes of Jumanji: edited, measured, written and drawn.

Pure functions of one maze; the library makes and plays them. Letters: ``H W`` rows and columns.
"""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.cells import enlarged, steps_from
from minied.errors import UserError
from minied.spaces import Coded

EMPTY, WALL, TARGET, AGENT = range(4)
SYMBOLS = ".#GA"
_ONE_HOT = tuple(map(tuple, np.eye(4).tolist()))
_COLOURS = np.asarray([(236, 236, 232), (58, 62, 70), (76, 175, 100), (38, 99, 190)], np.uint8)


class Maze(struct.PyTreeNode):
    """A level of ``Maze-v0``, or a moment of an episode on it."""

    walls: jax.Array  # bool[H, W]
    agent: jax.Array  # i32[2], (row, col)
    target: jax.Array  # i32[2], likewise

    @property
    def codes(self) -> jax.Array:
        """What is in each cell, ``u8[H, W]``; the agent hides a target that it has reached."""
        codes = jnp.where(self.walls, WALL, EMPTY).at[tuple(self.target)].set(TARGET)
        return codes.at[tuple(self.agent)].set(AGENT).astype(jnp.uint8)


def maze_of(thing: Any) -> Maze:
    """Return the maze of a state or an observation of the library."""
    agent, target = (
        jnp.stack([jnp.asarray(each.row, jnp.int32), jnp.asarray(each.col, jnp.int32)])
        for each in (thing.agent_position, thing.target_position)
    )
    return Maze(jnp.asarray(thing.walls), agent, target)


def maze_space(height: int, width: int) -> Coded:
    """Return the space of `Maze.codes`."""
    return Coded((height, width), _ONE_HOT)


def edited(key: jax.Array, maze: Maze, num_edits: int) -> Maze:
    """Return ``maze`` after ``num_edits`` edits. Consumes ``key``.

    Two in three build or tear down the wall of a random cell other than the agent's and the target's. The others move the
    agent or the target to a random free cell; where there is none they change nothing.
    """

    def edit(maze: Maze, key: jax.Array) -> tuple[Maze, None]:
        kind_key, cell_key, free_key = jax.random.split(key, 3)
        kind = jax.random.randint(kind_key, (), 0, 6)
        taken = jnp.zeros_like(maze.walls).at[tuple(maze.agent)].set(True).at[tuple(maze.target)].set(True)
        toggled = maze.walls ^ (_one_of(cell_key, ~taken) & (kind < 4))
        free = ~maze.walls & ~taken
        index = jnp.argmax(_one_of(free_key, free).ravel())
        cell = jnp.stack(jnp.unravel_index(index, maze.walls.shape)).astype(jnp.int32)
        moves = jnp.any(free)
        agent = jnp.where(moves & (kind == 4), cell, maze.agent)
        return Maze(toggled, agent, jnp.where(moves & (kind == 5), cell, maze.target)), None

    return jax.lax.scan(edit, maze, jax.random.split(key, num_edits))[0]


def _one_of(key: jax.Array, cells: jax.Array) -> jax.Array:
    """Return one of the true ``cells`` ``bool[H, W]``, as ``bool[H, W]``; none where there is none. Consumes ``key``."""
    drawn = jax.random.uniform(key, cells.shape)
    return cells & (drawn == jnp.max(jnp.where(cells, drawn, -1.0)))


def shortest_path(maze: Maze) -> jax.Array:
    """Return the steps from agent to target, ``f32[]``, infinite where there is no path."""
    steps = steps_from(~maze.walls, maze.agent, maze.target)[tuple(maze.target)]
    return jnp.where(steps >= 0, steps.astype(jnp.float32), jnp.inf)


def maze_text(maze: Maze) -> str:
    """Return a maze as rows of symbols. Host only."""
    return "\n".join("".join(SYMBOLS[code] for code in row) for row in np.asarray(maze.codes))


def maze_of_text(text: str, height: int, width: int) -> Maze:
    """Return the maze that `maze_text` wrote. Raises `UserError` naming what is wrong. Host only."""
    lines = text.strip().splitlines()
    if len(lines) != height:
        raise UserError(f"the maze has {len(lines)} lines; allowed: {height}")
    for number, line in enumerate(lines, start=1):
        if len(line) != width:
            raise UserError(f"line {number} of the maze has {len(line)} symbols; allowed: {width}")
        for symbol in sorted(set(line) - set(SYMBOLS)):
            raise UserError(f"line {number} of the maze has {symbol!r}; allowed: {', '.join(SYMBOLS)}")
    counts = Counter(text)
    for symbol, what in (("A", "agent"), ("G", "target")):
        if counts[symbol] != 1:
            raise UserError(f"the maze has {counts[symbol]} cells {symbol!r}; allowed: 1, of the {what}")
    codes = np.asarray([[SYMBOLS.index(symbol) for symbol in line] for line in lines])
    agent, target = (np.argwhere(codes == code)[0].astype(np.int32) for code in (AGENT, TARGET))
    return Maze(jnp.asarray(codes == WALL), jnp.asarray(agent), jnp.asarray(target))


# -- pictures ----------------------------------------------------------------------------------------------------------


def draw_maze(maze: Maze) -> np.ndarray:
    """Return a picture, ``u8[height, width, 3]``, with a wall around. Host only."""
    codes = np.pad(np.asarray(maze.codes), 1, constant_values=WALL)
    return _tiled(_COLOURS[codes])


def draw_board(board: np.ndarray) -> np.ndarray:
    """Return a picture of a board of integers ``[H, W]``: dark is the least number, each has a colour. Host only."""
    values = board.astype(np.int64) - board.min()
    hues = np.stack([values * 67 % 200, values * 131 % 200, values * 29 % 200], axis=-1) + 40
    return _tiled(np.where(values[..., None] == 0, 30, hues).astype(np.uint8))


def _tiled(picture: np.ndarray, side: int = 256) -> np.ndarray:
    """Return a picture with square tiles in place of pixels, thin lines between them where there is room."""
    tile = max(4, side // max(picture.shape[:2]))
    large = enlarged(picture, tile)
    if tile >= 8:
        large[::tile] = large[:, ::tile] = 120
    return large
