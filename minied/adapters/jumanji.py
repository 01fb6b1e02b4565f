"""Worlds of Jumanji (Bonnet et al. 2024, arXiv 2306.09884): a level is the start that an environment's generator makes.

The observation is read part by part, see `minied.adapters.jumanji_library`; an environment of several agents or factors is
one agent with a joint action.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters import jumanji_maze
from minied.adapters.base import (
    AdaptedEnvironment,
    Library,
    lenient,
    require,
    require_finite,
    sampled_suite,
)
from minied.adapters.jumanji_library import (
    GENERATED,
    LIBRARY,
    MAZE,
    Adapted,
    JumanjiLevel,
    adapted,
    time_limit,
)
from minied.adapters.jumanji_maze import Maze
from minied.adapters.trees import tree_from_text, tree_to_text, with_types
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace, Suite
from minied.spaces import MOST_JOINT_ACTIONS, Dict, Discrete, MultiDiscrete

LIMITS = {
    "BinPack-v2": None, "CVRP-v1": None, "Cleaner-v0": 100, "Game2048-v1": None, "GraphColoring-v1": None,
    "Knapsack-v1": None, "LevelBasedForaging-v0": 100, MAZE: 100, "Minesweeper-v0": None, "MultiCVRP-v0": None,
    "PacMan-v1": 1000, "RobotWarehouse-v0": 500, "RubiksCube-partly-scrambled-v0": 20, "RubiksCube-v0": 200,
    "SlidingTilePuzzle-v0": 500, "Snake-v1": 4000, "Sudoku-v0": None, "Sudoku-very-easy-v0": None, "TSP-v1": None,
    "Tetris-v0": 400,
}  # fmt: skip
"""Time limits of the environments that the adapter was run with, in steps, None if there is none.

Written down because the library computes as it is imported, and a config is to be read without."""
DEFAULT_LIMIT = 1000
"""Steps of an episode of an environment without a limit."""
_TOO_MANY = f"joint actions, of which minied has at most {MOST_JOINT_ACTIONS}"
REFUSED = {
    "Connector-v3": f"has 9,765,625 {_TOO_MANY}",
    "FlatPack-v0": f"has 8,100 {_TOO_MANY}",
    "JobShop-v0": f"has 21^10 {_TOO_MANY}",
    "MMST-v0": f"has 46,656 {_TOO_MANY}",
    "SearchAndRescue-v0": "has continuous actions",
    "Sokoban-v0": "downloads its levels and generates none",
}
"""Environments that minied cannot play, and why."""
RESIZABLE = ("Cleaner-v0", MAZE, "Snake-v1", "Tetris-v0")
"""Environments whose grid can be of another size."""
BOARDS = {
    "Cleaner-v0": "grid", "Game2048-v1": "board", "Minesweeper-v0": "board", "PacMan-v1": "grid", "Snake-v1": "body_state",
    "SlidingTilePuzzle-v0": "puzzle", "Sudoku-v0": "board", "Sudoku-very-easy-v0": "board", "Tetris-v0": "grid_padded",
}  # fmt: skip
"""What of a state is drawn, by environment."""


class JumanjiState(struct.PyTreeNode):
    """A moment of an episode."""

    inner: Any  # the library's state
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class Jumanji(AdaptedEnvironment[JumanjiLevel, JumanjiState]):
    """An environment of Jumanji, told its start and never reset by itself. Run with Jumanji 1.1.2.

    What a state draws later (the next tile of 2048, say) is drawn anew in every episode: its key is no part of a level. A
    time limit of the library's, which ends episodes as if they were over, is replaced by ours, which truncates them.
    Rewards of several agents are added up.
    """

    id: str = MAZE
    """Which environment, as jumanji.make knows it; those that were registered by others too."""
    height: int = 0
    """Rows of the grid of Cleaner-v0, Maze-v0, Snake-v1 and Tetris-v0; 0: the library's."""
    width: int = 0
    """Columns of it; 0: the library's."""
    max_steps: int = 0
    """Steps after which an episode is truncated; 0: the library's (of mazes as many as cells), or 1000 where it has none."""
    num_edits: int = 5
    """Changes that a mutation of a level makes (Maze-v0)."""
    solved_return: float = 0.0
    """Return from which an episode is solved; 0: any that is positive, as in Maze-v0."""

    library: ClassVar[Library] = LIBRARY
    offers: ClassVar[tuple[str, ...]] = (
        "mutate", "optimal_return", "is_valid", "describe", "draw", "to_text", "from_text", "suites",
    )  # fmt: skip
    """Of Maze-v0. Others have to_text, from_text and suites, and draw where they have a board."""

    def __post_init__(self) -> None:
        if self.id in REFUSED:
            raise UserError(f"id is {self.id!r}, which {REFUSED[self.id]}; allowed: {', '.join(LIMITS)}")
        if self.id not in LIMITS:
            known = require(LIBRARY).registered_environments()
            if self.id not in known:
                raise unknown_name("environment of Jumanji", self.id, sorted(known - REFUSED.keys()))
        for field in ("height", "width"):
            value = getattr(self, field)
            if value and self.id not in RESIZABLE:
                raise UserError(f"{field} is {value}; allowed for {self.id}: 0, the library's")
            if value and not 4 <= value <= 100:
                raise UserError(f"{field} is {value}; allowed: 0, the library's, or 4 to 100")
        for field, least in (("max_steps", 0), ("num_edits", 1)):
            if not least <= getattr(self, field) < 2**24:
                raise UserError(f"{field} is {getattr(self, field)}; allowed: {least} to {2**24 - 1}")
        require_finite("solved_return", self.solved_return)
        if self.max_steps == 0:
            object.__setattr__(self, "max_steps", self._limit())

    def _limit(self) -> int:
        if self.id in GENERATED and (self.height or self.width):
            return (self.height or 10) * (self.width or 10)
        limit = LIMITS[self.id] if self.id in LIMITS else time_limit(self.id)
        return DEFAULT_LIMIT if limit is None else limit

    @property
    def action_space(self) -> Discrete | MultiDiscrete:
        """The actions; of several factors or agents one joint action."""
        return self.adapted.actions

    @property
    def observation_space(self) -> Dict:
        """The parts of the observation; of a maze its ``grid`` in place of walls and positions."""
        return self.adapted.observation_space

    @property
    def level_space(self) -> "JumanjiLevels":
        """The starts."""
        if self.id == MAZE:
            return MazeLevels(self)
        return BoardLevels(self) if self.id in BOARDS else JumanjiLevels(self)

    @property
    def adapted(self) -> Adapted:
        """The library's object, made when it is first needed."""
        return adapted(self.id, self.height, self.width, self.max_steps)

    def reset(self, key: jax.Array, level: JumanjiLevel) -> tuple[Any, JumanjiState]:
        """Return the level's start. ``key``, which is consumed, is for what the state draws later."""
        inner, observation = self.adapted.start_of(jnp.copy(key), level)  # states may be given away, and keys kept
        return self.adapted.read(observation), JumanjiState(inner, jnp.int32(0))

    def step(self, key: jax.Array, state: JumanjiState, action: jax.Array, level: JumanjiLevel):
        """Step the environment. What is random comes from its state: ``key`` is not used."""
        known = self.adapted
        with lenient():
            inner, timestep = known.env.step(state.inner, known.action(action))
        time = state.time + 1
        is_late, is_over = time >= self.max_steps, timestep.last() & (jnp.max(timestep.discount) == 0)
        terminated = is_over if known.is_unlimited else is_over & ~is_late
        truncated = ~terminated & (timestep.last() | is_late)
        reward = jnp.sum(jnp.asarray(timestep.reward, jnp.float32))
        observation = known.read(with_types(timestep.observation, known.observation_form))
        statistics = {name: jnp.asarray(value, jnp.float32) for name, value in timestep.extras.items()}
        state = JumanjiState(with_types(inner, known.state_form), time)
        return observation, state, reward, terminated, truncated, {"statistics": statistics}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the return reaches `solved_return`; of 0, whether it is positive."""
        return episode_return >= self.solved_return if self.solved_return else episode_return > 0


# -- levels ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class JumanjiLevels(LevelSpace[JumanjiLevel]):
    """The starts of ``world``."""

    world: Jumanji

    def sample(self, key: jax.Array) -> JumanjiLevel:
        """Return a start of the environment's generator. Consumes ``key``."""
        known = self.world.adapted
        with lenient():
            state, timestep = known.env.reset(key)
        return known.level_of(state, timestep.observation)

    def to_text(self, level: JumanjiLevel) -> str:
        """Return the arrays as one line of JSON."""
        return tree_to_text(level)

    def from_text(self, text: str) -> JumanjiLevel:
        """Return the level that `to_text` wrote. Raises `UserError` naming the array that is wrong."""
        level = tree_from_text(text, jax.eval_shape(self.sample, jax.random.key(0)))
        self.world.adapted.require_start(level)
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """Starts of the generator."""
        return {"sampled": f"Starts of the generator of {self.world.id}, 32 levels."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        return sampled_suite(self.world, name, 32, seed=0x4A55, description=self.suites[name])

    def state_of(self, level: JumanjiLevel, state: JumanjiState | None) -> Any:
        """Return the library's state of a moment, or of the start."""
        return self.world.adapted.start_of(jax.random.key(0), level)[0] if state is None else state.inner


@dataclasses.dataclass(frozen=True)
class BoardLevels(JumanjiLevels):
    """The starts of a ``world`` with a board."""

    def draw(self, level: JumanjiLevel, state: Any = None) -> np.ndarray:
        """Return a picture of the board, ``u8[height, width, 3]``, a colour for each number."""
        return jumanji_maze.draw_board(np.asarray(getattr(self.state_of(level, state), BOARDS[self.world.id])))


@dataclasses.dataclass(frozen=True)
class MazeLevels(JumanjiLevels):
    """The mazes of ``world``. The generator's have one path between any two cells; edited ones may have none or several."""

    def mutate(self, key: jax.Array, level: JumanjiLevel) -> JumanjiLevel:
        """Return ``level`` after a few edits of walls, agent and target. Consumes ``key``."""
        return self.level_of(jumanji_maze.edited(key, self.maze_of(level), self.world.num_edits))

    def optimal_return(self, level: JumanjiLevel) -> jax.Array:
        """Return 1 where the target can be reached in time, else 0, ``f32[]``."""
        steps = jumanji_maze.shortest_path(self.maze_of(level))
        return (steps <= self.world.max_steps).astype(jnp.float32)

    def describe(self, level: JumanjiLevel) -> dict[str, jax.Array]:
        """Return the number of walls and the steps of the shortest path, NaN where there is none."""
        maze = self.maze_of(level)
        steps = jumanji_maze.shortest_path(maze)
        walls = jnp.sum(maze.walls, dtype=jnp.float32)
        return {"walls": walls, "shortest_path": jnp.where(jnp.isfinite(steps), steps, jnp.nan)}

    def is_valid(self, level: JumanjiLevel) -> jax.Array:
        """Return whether agent and target are in different free cells and the rest is as it is at a start, ``bool[]``."""
        maze = self.maze_of(level)
        size = jnp.asarray(maze.walls.shape, jnp.int32)
        places = jnp.stack([maze.agent, maze.target])
        is_inside = jnp.all((places >= 0) & (places < size[None]))
        is_free = ~maze.walls[tuple(maze.agent)] & ~maze.walls[tuple(maze.target)]
        same = jax.tree.map(lambda a, b: jnp.all(a == b), level, self.level_of(maze))
        is_start = jnp.all(jnp.stack(jax.tree.leaves(same)))
        return is_inside & is_free & jnp.any(maze.agent != maze.target) & is_start

    def draw(self, level: JumanjiLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``: the agent blue, the target green."""
        return jumanji_maze.draw_maze(jumanji_maze.maze_of(self.state_of(level, state)))

    def to_text(self, level: JumanjiLevel) -> str:
        """Return the drawing: ``#`` walls, ``A`` the agent, ``G`` the target."""
        return jumanji_maze.maze_text(self.maze_of(level))

    def from_text(self, text: str) -> JumanjiLevel:
        """Return the maze that is drawn. Raises `UserError` naming the line and the symbol that is wrong."""
        env = self.world.adapted.env
        return self.level_of(jumanji_maze.maze_of_text(text, env.num_rows, env.num_cols))

    def maze_of(self, level: JumanjiLevel) -> Maze:
        """Return what a level is made of."""
        return jumanji_maze.maze_of(self.world.adapted.start_of(jax.random.key(0), level)[0])

    def level_of(self, maze: Maze) -> JumanjiLevel:
        """Return the level of a maze. The library itself completes the start, from a generator that gives this maze."""
        known = self.world.adapted

        def generator(key: jax.Array) -> Any:
            form = known.state_form
            places = [type(form.agent_position)(*place) for place in (maze.agent, maze.target)]
            return form.replace(
                agent_position=places[0], target_position=places[1], walls=maze.walls, key=key, step_count=jnp.int32(0)
            )

        env = copy.copy(known.env)
        env.generator = generator
        with lenient():
            state, timestep = env.reset(jax.random.key(0))  # which is in no level
        return known.level_of(state, timestep.observation)
