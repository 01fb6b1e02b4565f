"""Does a student remember what it saw? The memory level of minimax, after MiniGrid's Memory, as a world of its own.

At the start of a corridor the agent passes a clue, a red or a green tile; at its end lie a red and a green tile, one to
each side. Entering the one of the clue's colour is rewarded as a goal is; entering the other ends the episode with 0. It
observes and acts like `Maze`, so a student of mazes can be tested on it. minimax means it to be seen through a 7 × 7
window but does not pass the number on (it is 5 there); here ``view_size`` counts.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.errors import unknown_name
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Dict, Discrete
from minied_envs.grid import bitboard, draw, moves, search, tiles, view
from minied_envs.maze import level as levels
from minied_envs.maze import metrics, named, world

CLUE = "C"
CLUE_COLOURS = (tiles.GOAL, tiles.RED_GOAL)


class MemoryLevel(struct.PyTreeNode):
    """A corridor with a clue and two tiles to choose from."""

    walls: jax.Array  # u32[H, K]; the clue is not among them but cannot be entered either
    agent_position: jax.Array  # u8[2] (row, col)
    agent_direction: jax.Array  # u8[]
    clue_position: jax.Array  # u8[2]
    red_position: jax.Array  # u8[2]
    green_position: jax.Array  # u8[2]
    clue: jax.Array  # u8[]: the tile code of the clue, GOAL (green) or RED_GOAL

    @property
    def right_position(self) -> jax.Array:
        """The tile of the clue's colour, ``i32[2]``."""
        return jnp.where(self.clue == tiles.RED_GOAL, self.red_position, self.green_position).astype(jnp.int32)

    @property
    def wrong_position(self) -> jax.Array:
        """The other tile, ``i32[2]``."""
        return jnp.where(self.clue == tiles.RED_GOAL, self.green_position, self.red_position).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class MemoryMaze(Environment[MemoryLevel, world.MazeState]):
    """A corridor whose clue tells which of two tiles at its end is the goal."""

    max_steps: int = 250
    """Steps after which an episode is truncated, T."""
    view_size: int = 5
    """Side of the square that the agent sees, odd."""
    num_actions: int = 7
    """7 for MiniGrid's actions, of which the last four do nothing here and cost a step, or 3 for those that move."""
    time_penalty: bool = True
    """Reward the right tile with 1 - 0.9 n / T after n steps; if false, with 1."""

    def __post_init__(self) -> None:
        world.check_options(self.max_steps, self.view_size, self.num_actions)

    @property
    def width(self) -> int:
        """Columns of the grid."""
        return named.drawings()[named.MEMORY].size[1]

    @property
    def action_space(self) -> Discrete:
        """As in `Maze`."""
        return Discrete(self.num_actions)

    @property
    def observation_space(self) -> Dict:
        """As in `Maze`."""
        return world.observation_space_of(self.view_size)

    @property
    def level_space(self) -> "MemoryLevelSpace":
        """The two levels, one a clue."""
        return MemoryLevelSpace(self)

    def reset(self, key: jax.Array, level: MemoryLevel) -> tuple[world.Observation, world.MazeState]:
        """Return the first observation and state. Nothing is random: ``key`` is not used."""
        start = level.agent_position.astype(jnp.int32)
        state = world.MazeState(start, level.agent_direction.astype(jnp.int32), jnp.int32(0))
        return self._observe(state, level), state

    def step(self, key: jax.Array, state: world.MazeState, action: jax.Array, level: MemoryLevel):
        """Turn, walk, or only let time pass. Nothing is random: ``key`` is not used."""
        target = moves.ahead(state.position, state.direction)
        is_forward = action == moves.FORWARD
        is_right, is_wrong = moves.same(target, level.right_position), moves.same(target, level.wrong_position)
        is_blocked = bitboard.get(level.walls, self.width, target[0], target[1], outside=True)
        is_blocked = is_blocked | is_right | is_wrong | moves.same(target, level.clue_position.astype(jnp.int32))
        state = world.MazeState(
            position=jnp.where(is_forward & ~is_blocked, target, state.position),
            direction=moves.turn(state.direction, action),
            time=state.time + 1,
        )
        terminated = is_forward & (is_right | is_wrong)
        truncated = ~terminated & (state.time >= self.max_steps)
        reward = world.goal_reward(state.time, self.max_steps, self.time_penalty)
        reward = jnp.where(is_forward & is_right, reward, 0.0)
        return self._observe(state, level), state, reward, terminated, truncated, {}

    def _observe(self, state: world.MazeState, level: MemoryLevel) -> world.Observation:
        marks = (
            (level.clue_position.astype(jnp.int32), level.clue),
            (level.red_position.astype(jnp.int32), tiles.RED_GOAL),
            (level.green_position.astype(jnp.int32), tiles.GOAL),
        )
        codes = view.crop(level.walls, self.width, marks, state.position, state.direction, self.view_size)
        return {"view": codes, "direction": state.direction}


@dataclasses.dataclass(frozen=True)
class MemoryLevelSpace(LevelSpace[MemoryLevel]):
    """The two levels of ``maze``: the same drawing with a green and with a red clue."""

    maze: MemoryMaze

    def sample(self, key: jax.Array) -> MemoryLevel:
        """Return one of the two levels, with equal chances. Consumes ``key``."""
        return memory_level(jax.random.randint(key, (), 0, len(CLUE_COLOURS)))

    def optimal_return(self, level: MemoryLevel) -> jax.Array:
        """Return the highest undiscounted return of an agent that knows the right tile, ``f32[]``."""
        width = self.maze.width
        free = bitboard.complement(level.walls, width)
        for obstacle in (level.clue_position, level.wrong_position):
            free = bitboard.put(free, width, obstacle, False)
        actions = search.fewest_actions(free, level.agent_position, level.agent_direction, level.right_position, width)
        return metrics.best_return(actions, self.maze.max_steps, self.maze.time_penalty)

    def draw(self, level: MemoryLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``, with what the agent sees tinted."""
        walls = np.asarray(bitboard.unpack(jnp.asarray(level.walls), self.maze.width))
        codes = np.where(walls, tiles.WALL, tiles.EMPTY).astype(np.uint8)
        codes[tuple(np.asarray(level.clue_position, int))] = int(level.clue)
        codes[tuple(np.asarray(level.red_position, int))] = tiles.RED_GOAL
        codes[tuple(np.asarray(level.green_position, int))] = tiles.GOAL
        start = (level.agent_position, level.agent_direction)
        position, direction = start if state is None else (state.position, state.direction)
        row, col = (int(i) for i in np.asarray(position))
        return draw.draw(codes, (row, col), int(direction), self.maze.view_size)

    @property
    def suites(self) -> Mapping[str, str]:
        """One suite."""
        return {"memory": f"Both clues of the memory level, 15x15, horizon {self.maze.max_steps}, 2 levels."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return both levels."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        both = jax.vmap(memory_level)(jnp.arange(len(CLUE_COLOURS), dtype=jnp.int32))
        return (Suite(name, self.maze, both, (named.MEMORY,) * len(CLUE_COLOURS), self.suites[name]),)


def memory_level(which: jax.Array) -> MemoryLevel:
    """Return the level with a green (0) or red (1) clue; ``which`` is ``i32[]``."""
    rows = named.drawings()[named.MEMORY].rows
    cells = np.array([list(row) for row in rows])
    agent, symbol = levels.find_one(rows, levels.AGENTS, "agent")
    clue, _ = levels.find_one(rows, CLUE, "clue")
    red, green = np.argwhere(cells == named.MAYBE_GOAL)  # the upper tile is red
    return MemoryLevel(
        walls=bitboard.pack(jnp.asarray(cells == levels.WALL)),
        agent_position=jnp.asarray(agent, jnp.uint8),
        agent_direction=jnp.asarray(levels.AGENTS.index(symbol), jnp.uint8),
        clue_position=jnp.asarray(clue, jnp.uint8),
        red_position=jnp.asarray(red, jnp.uint8),
        green_position=jnp.asarray(green, jnp.uint8),
        clue=jnp.asarray(CLUE_COLOURS, jnp.uint8)[which],
    )
