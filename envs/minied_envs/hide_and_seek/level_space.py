"""What can be done with the levels of hide and seek? The face that teachers, evaluation and people see."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.space import LevelSpace, Suite
from minied_envs.grid import bitboard, search
from minied_envs.hide_and_seek import checks, doors, generators, mutators, reach
from minied_envs.hide_and_seek import level as levels
from minied_envs.hide_and_seek import text as codec
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.level import HideAndSeekLevel
from minied_envs.hide_and_seek.parameters import HideAndSeekParameters

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek


@dataclasses.dataclass(frozen=True)
class HideAndSeekLevelSpace(LevelSpace[HideAndSeekLevel]):
    """The levels of ``world``: walls, agents of two teams, boxes and ramps."""

    world: "HideAndSeek"

    def sample(self, key: jax.Array) -> HideAndSeekLevel:
        """Return a level of the chosen scenario. Consumes ``key``."""
        return generators.draw(key, self.world.levels, self.dimensions)

    def mutate(self, key: jax.Array, level: HideAndSeekLevel) -> HideAndSeekLevel:
        """Return an edited copy, see `minied_envs.hide_and_seek.mutators`. Consumes ``key``."""
        return mutators.mutate(key, level, self.world.levels, self.dimensions)

    @property
    def parameters(self) -> HideAndSeekParameters:
        """Counts, walls, doors, and about where things begin."""
        return HideAndSeekParameters(self.world.levels, self.dimensions)

    def describe(self, level: HideAndSeekLevel) -> dict[str, jax.Array]:
        """Return how many there are of each thing, of walls and doors, and the steps between the teams.

        ``distance`` is of the shortest way from a seeker to a hider around walls, boxes and ramps; NaN if there is none.
        """
        counts = mutators.counts(level, self.dimensions)
        blocked = level.tall | level.low | self._cells(levels.object_cells(level))
        teams = (level.agent_present & self.world.is_hider, level.agent_present & ~self.world.is_hider)
        hiders, seekers = (self._cells((level.agent_positions, team)) for team in teams)
        free = bitboard.complement(blocked, self.world.width)
        distance = search.shortest_path_between(free, seekers, hiders, self.world.width)
        numbers = {f"num_{name}": number for name, number in counts.items()} | {
            "num_walls": bitboard.count(level.tall | level.low),
            "num_doors": doors.count_doors(level.tall, self.dimensions),
        }
        features = {name: number.astype(jnp.float32) for name, number in numbers.items()}
        return features | {"distance": jnp.where(distance < search.UNREACHABLE, distance.astype(jnp.float32), jnp.nan)}

    def is_valid(self, level: HideAndSeekLevel) -> jax.Array:
        """Return whether things are on cells of their own, both teams are there, and all agents can meet, ``bool[]``.

        Of a level of another world, larger or with room for more, it is false.
        """
        if not levels.fits(level, self.world.height, self.dimensions.room_for):
            return jnp.bool_(False)
        valid = levels.is_valid(level, self.world.height, self.world.width)
        valid = valid & levels.has_teams(level, self.world.max_hiders)
        return valid & reach.reachable(level, self.world.width, self.world.max_hiders)

    def check(self, level: HideAndSeekLevel) -> None:
        """Raise `UserError` that says what is wrong with ``level``. Host only."""
        checks.check(level, self.world.height, self.world.width, self.dimensions.room_for)
        reach.check_reachable(level, self.world.width, self.world.max_hiders)

    # -- host only ----------------------------------------------------------------------------------------------------

    def draw(self, level: HideAndSeekLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``, see `minied_envs.hide_and_seek.drawing`."""
        from minied_envs.hide_and_seek import drawing

        return drawing.draw(self.world, level, state)

    def to_text(self, level: HideAndSeekLevel) -> str:
        """Return the map of ``level``, see `minied_envs.hide_and_seek.text`."""
        self.check(level)
        return codec.to_text(level, self.dimensions)

    def from_text(self, text: str) -> HideAndSeekLevel:
        """Return the level that a map draws; things of a kind are numbered as they are read."""
        level = codec.from_text(text, self.dimensions)
        self.check(level)
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """The held-out suites, see `minied_envs.hide_and_seek.suites`."""
        from minied_envs.hide_and_seek import suites

        return suites.descriptions(self.world)

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the parts of a suite, the same at every call."""
        from minied_envs.hide_and_seek import suites

        return suites.build(self.world, name)

    # -----------------------------------------------------------------------------------------------------------------

    @property
    def dimensions(self) -> Dimensions:
        """The size of the world and its room for things."""
        return Dimensions.of(self.world)

    def _cells(self, things: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Return the board of positions ``[n, 2]`` of which some count, ``bool[n]``."""
        return levels.board_of(self.world.height, self.world.width, *things)
