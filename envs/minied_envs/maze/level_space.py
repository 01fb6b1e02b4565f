"""What can be done with the levels of a maze? The face that teachers, evaluation and people see.

Letters: ``H W`` grid, ``M`` named levels of the world's size.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.levels.space import LevelSpace, Suite
from minied_envs.grid import bitboard, draw, tiles
from minied_envs.maze import acceptance, generators, metrics, mutators, named
from minied_envs.maze import level as levels
from minied_envs.maze.designer import MazeDesigner
from minied_envs.maze.parameters import MazeParameters

if TYPE_CHECKING:
    from minied_envs.maze.world import Maze


@dataclasses.dataclass(frozen=True)
class MazeLevelSpace(LevelSpace[levels.MazeLevel]):
    """The levels of ``maze``: walls, a start, a direction and a goal."""

    maze: "Maze"

    def sample(self, key: jax.Array) -> levels.MazeLevel:
        """Return a level of the chosen generator that may be trained on. Consumes ``key``."""
        if not self._refuses:
            return self.draw_raw(key)
        return acceptance.accepted_draw(key, self.draw_raw, self._accepts, _last_resort(self), self.maze.width)

    def mutate(self, key: jax.Array, level: levels.MazeLevel) -> levels.MazeLevel:
        """Return an edited copy, or ``level`` itself if what came out must not be trained on. Consumes ``key``."""
        child = mutators.mutate(key, level, self.maze.levels, self.maze.width)
        return acceptance.choose(self._accepts(child), child, level) if self._refuses else child

    def optimal_return(self, level: levels.MazeLevel) -> jax.Array:
        """Return the highest undiscounted return, ``f32[]``; `metrics.best_return` also takes a discount."""
        return metrics.optimal_return(level, self.maze.width, self.maze.max_steps, self.maze.time_penalty)

    @property
    def designer(self) -> MazeDesigner:
        """The environment in which a teacher builds a level. Raises `UserError` if some levels must not be trained on."""
        self._require_all_levels("designer")
        return MazeDesigner(self.maze.height, self.maze.width, self.maze.noisy_tv, self.maze.design)

    @property
    def parameters(self) -> MazeParameters:
        """Number of walls, start and goal. Raises `UserError` if some levels must not be trained on."""
        self._require_all_levels("parameters")
        return MazeParameters(self.maze.height, self.maze.width, self.maze.levels.num_walls, self.maze.noisy_tv)

    def describe(self, level: levels.MazeLevel) -> dict[str, jax.Array]:
        """Return number of walls, path lengths in moves and in actions, best return, solvability, Manhattan distance.

        With ``noisy_tv`` also whether there is a television. Paths and solvability are those of the goal.
        """
        features = metrics.describe(level, self.maze.width, self.maze.max_steps, self.maze.time_penalty)
        if self.maze.noisy_tv:
            features["television"] = level.has_television.astype(jnp.float32)
        return features

    def is_valid(self, level: levels.MazeLevel) -> jax.Array:
        """Return whether start, goal and any television are different free cells of the grid, ``bool[]``."""
        return levels.is_valid(level, self.maze.height, self.maze.width)

    def check(self, level: levels.MazeLevel) -> None:
        """Raise `UserError` that says what is wrong with ``level``. Host only."""
        levels.check(level, self.maze.height, self.maze.width, self.maze.noisy_tv)

    def is_reserved(self, level: levels.MazeLevel) -> jax.Array:
        """Return whether ``holdout`` keeps ``level`` for evaluation, ``bool[]``, whether it has a television or not."""
        if self.maze.levels.holdout == 0:
            return jnp.bool_(False)
        names = jnp.asarray(_named_fingerprints(self))
        bare = level.replace(television=None)
        return acceptance.is_reserved(self.fingerprint(bare), self.maze.levels.holdout, names)

    def draw_raw(self, key: jax.Array) -> levels.MazeLevel:
        """Return one draw of the generator, solvable or not, reserved or not. Consumes ``key``."""
        maze = self.maze
        if not maze.noisy_tv:
            return generators.draw(key, maze.levels, maze.height, maze.width)
        key_level, key_television = jax.random.split(key)
        level = generators.draw(key_level, maze.levels, maze.height, maze.width)
        return generators.maybe_with_television(key_television, level, maze.width)

    # -- host only ----------------------------------------------------------------------------------------------------

    def draw(self, level: levels.MazeLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``, with what the agent sees tinted."""
        walls = np.asarray(bitboard.unpack(jnp.asarray(level.walls), self.maze.width))
        codes = np.where(walls, tiles.WALL, tiles.EMPTY).astype(np.uint8)
        codes[tuple(np.asarray(level.goal_position, int))] = tiles.GOAL
        if bool(level.has_television):
            codes[tuple(np.asarray(level.television, int))] = tiles.TELEVISION
        position, direction = (level.start, level.direction) if state is None else (state.position, state.direction)
        row, col = (int(i) for i in np.asarray(position))
        return draw.draw(codes, (row, col), int(direction), self.maze.view_size)

    def to_text(self, level: levels.MazeLevel) -> str:
        """Return the drawing of ``level``, see `from_text`."""
        self.check(level)
        return levels.to_text(level, self.maze.width)

    def from_text(self, text: str) -> levels.MazeLevel:
        """Return the level drawn with ``#`` wall, ``.`` floor, ``G`` goal and one of ``> v < ^`` for the agent.

        With ``noisy_tv`` there may be a ``T``, the television.
        """
        return levels.from_text(text, self.maze.height, self.maze.width, self.maze.noisy_tv)

    @property
    def suites(self) -> Mapping[str, str]:
        """The held-out suites, see `minied_envs.maze.suites`."""
        from minied_envs.maze import suites

        return suites.descriptions(self.maze)

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the parts of a suite, the same at every call."""
        from minied_envs.maze import suites

        return suites.build(self.maze, name)

    # -----------------------------------------------------------------------------------------------------------------

    @property
    def _refuses(self) -> bool:
        return self.maze.levels.solvable_only or self.maze.levels.holdout > 0

    def _require_all_levels(self, by: str) -> None:
        """Raise `UserError` if the world refuses levels: a teacher that makes them ``by`` this cannot be told to."""
        options = {name: getattr(self.maze.levels, name) for name in ("holdout", "solvable_only")}
        refusing = {name: value for name, value in options.items() if value}
        if refusing:
            told = " and ".join(f"env.levels.{name} is {value}" for name, value in refusing.items())
            allowed = " and ".join(str(type(value)(0)) for value in refusing.values())
            raise UserError(
                f"{told}; allowed with a teacher that uses `{by}`: {allowed}, because it can make any level, and none can be"
                " kept from it"
            )

    def _accepts(self, level: levels.MazeLevel) -> jax.Array:
        accepted = ~self.is_reserved(level)
        if self.maze.levels.solvable_only:
            accepted = accepted & acceptance.is_solvable(level, self.maze.width)
        return accepted


@functools.cache
def _named_fingerprints(space: MazeLevelSpace) -> np.ndarray:
    """Return the fingerprints of the named levels of this size, ``u32[M, 2]``."""
    names = named.names_of_size(space.maze.height, space.maze.width)
    variants = [level for name in names for level in named.named_levels(name)]
    with jax.ensure_compile_time_eval():
        prints = [np.asarray(space.fingerprint(level)) for level in variants]
    return np.array(prints, np.uint32).reshape(-1, 2)


@functools.cache
def _last_resort(space: MazeLevelSpace) -> levels.MazeLevel:
    """Return the first level without walls that is not reserved (NumPy leaves)."""
    with jax.ensure_compile_time_eval():
        # Without a holdout the first will do; with one, each is reserved with a chance of at most one half.
        at_most = 4096 if space.maze.levels.holdout else 1
        plain = acceptance.plain_levels(space.maze.height, space.maze.width, at_most)
        plain = levels.with_television(plain, space.maze.noisy_tv)
        usable = np.flatnonzero(~np.asarray(jax.vmap(space.is_reserved)(plain)))
    if usable.size == 0:
        raise UserError(
            f"levels.holdout is {space.maze.levels.holdout}, which reserves every level without walls of a"
            f" {space.maze.height}x{space.maze.width} maze; allowed: a larger holdout, or 0"
        )
    return jax.tree.map(lambda leaf: np.asarray(leaf)[usable[0]], plain)
