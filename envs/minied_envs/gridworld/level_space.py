"""What can be done with the levels of the gridworld? The face that teachers, evaluation and people see."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.levels.parameters import Choice, Interval, Parameters
from minied.levels.space import LevelSpace, Suite
from minied.levels.tasks import Tasks
from minied_envs.grid import search
from minied_envs.gridworld import codes, missions, mutators, reach
from minied_envs.gridworld import level as levels
from minied_envs.gridworld import text as codec
from minied_envs.gridworld.families import Mixture, standard
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, padded

if TYPE_CHECKING:
    from minied_envs.gridworld.world import GridWorld

MAX_TRIES = 64  # draws of a described level, where levels must be solvable


@functools.cache
def require_solvable(family: Family) -> None:
    """Raise `UserError` if of `MAX_TRIES` levels of a family none can be solved. Host only."""
    drawn = jax.vmap(family.draw)(jax.random.split(jax.random.key(0), MAX_TRIES))
    if not bool(jnp.any(jax.vmap(reach.is_solvable)(drawn))):
        raise UserError(
            f"levels.solvable_only is True, but of {MAX_TRIES} levels of levels.description none can be solved; allowed: a"
            " description with a way to what its mission asks for"
        )


@dataclasses.dataclass(frozen=True)
class GridLevelSpace(LevelSpace[GridLevel]):
    """The levels of ``world``."""

    world: "GridWorld"

    def sample(self, key: jax.Array) -> GridLevel:
        """Return a level of the chosen family. Consumes ``key``.

        With ``solvable_only`` a described level is drawn again until it is solvable, at most `MAX_TRIES` times; the other
        families have no level that is not.
        """
        if not (self.world.levels.description and self.world.levels.solvable_only):
            return self._drawn(key)

        def again(carry: tuple[jax.Array, GridLevel]) -> tuple[jax.Array, GridLevel]:
            tries, _ = carry
            return tries + 1, self._drawn(jax.random.fold_in(key, tries))

        def is_refused(carry: tuple[jax.Array, GridLevel]) -> jax.Array:
            tries, level = carry
            return (tries == 0) | (~reach.is_solvable(level) & (tries < MAX_TRIES))

        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(self._drawn, key))
        return jax.lax.while_loop(is_refused, again, (jnp.int32(0), nothing))[1]

    def mutate(self, key: jax.Array, level: GridLevel) -> GridLevel:
        """Return an edited copy, see `minied_envs.gridworld.mutators`. Consumes ``key``.

        With ``solvable_only``, ``level`` itself if what came out cannot be solved.
        """
        child = mutators.mutate(key, level, self.world.levels.num_edits)
        if not self.world.levels.solvable_only:
            return child
        is_good = reach.is_solvable(child)
        return jax.tree.map(lambda new, old: jnp.where(is_good, new, old), child, level)

    @property
    def tasks(self) -> "GridTasks":
        """MiniGrid's families in standard settings, those that fit, from easy to hard."""
        chosen = self.world.levels
        if chosen.description or chosen.family != "mixed":
            told = "description is set" if chosen.description else f"family is {chosen.family!r}"
            raise UserError(
                f"env.levels.{told}; allowed with a teacher of tasks, whose tasks are the standard families that fit:"
                " --env.levels.family mixed, and no description"
            )
        Mixture(self.world.height, self.world.width)  # which says so if there are none
        return GridTasks(self.world.height, self.world.width)

    @property
    def parameters(self) -> "GridParameters":
        """The numbers of the chosen family. Raises `UserError` if it has none."""
        if not self.world.family.parts:
            chosen = self.world.levels
            told = "description" if chosen.description else f"family {chosen.family!r}"
            raise UserError(
                f"env.levels.{told} has no parameters; allowed with a teacher that uses them: a family, or choices or"
                " probabilities of a description, that leave something open (door_key, unlock, crossing, ...)"
            )
        return GridParameters(self.world.family, self.world.height, self.world.width)

    def describe(self, level: GridLevel) -> dict[str, jax.Array]:
        """Return how many there are of each thing, whether the level is solvable, and the moves to what ends it well.

        Solvable and the distance are those of `minied_envs.gridworld.reach`; the distance is NaN where there is no way.
        """
        cells = level.cells.astype(jnp.int32)
        doors, objects = codes.is_door(cells), codes.is_object(cells)
        locked = doors & (cells >= codes.LOCKED_DOOR)
        moves = reach.distance(level)
        counts = {
            "num_walls": cells == codes.WALL,
            "num_doors": doors,
            "num_locked_doors": locked,
            "num_objects": objects,
            "num_lava": cells == codes.LAVA,
        }
        return {name: jnp.sum(mask).astype(jnp.float32) for name, mask in counts.items()} | {
            "solvable": reach.is_solvable(level).astype(jnp.float32),
            "distance": jnp.where(moves < search.UNREACHABLE, moves.astype(jnp.float32), jnp.nan),
        }

    def is_valid(self, level: GridLevel) -> jax.Array:
        """Return whether the agent begins on an empty cell and the map has what it is to find, ``bool[]``."""
        return levels.is_valid(level)

    def check(self, level: GridLevel) -> None:
        """Raise `UserError` that says what is wrong with ``level``. Host only."""
        levels.check(level, self.world.height, self.world.width)

    # -- host only ----------------------------------------------------------------------------------------------------

    def draw(self, level: GridLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``, with what the agent sees tinted."""
        from minied_envs.gridworld import drawing

        return drawing.draw(self.world, level, state)

    def title(self, level: GridLevel) -> str:
        """Return the mission."""
        return missions.words()[int(level.mission)]

    def to_text(self, level: GridLevel) -> str:
        """Return the drawing of ``level``, see `minied_envs.gridworld.text`."""
        self.check(level)
        return codec.to_text(level)

    def from_text(self, text: str) -> GridLevel:
        """Return the level that ``text`` draws, see `minied_envs.gridworld.text`."""
        level = codec.from_text(text, self.world.height, self.world.width, self.world.max_steps)
        self.check(level)
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """The held-out suites, see `minied_envs.gridworld.suites`."""
        from minied_envs.gridworld import suites

        return suites.descriptions(self.world)

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the parts of a suite, the same at every call."""
        from minied_envs.gridworld import suites

        return suites.build(self.world, name)

    # -----------------------------------------------------------------------------------------------------------------

    def _drawn(self, key: jax.Array) -> GridLevel:
        return padded(self.world.family.draw(key), self.world.height, self.world.width)


@dataclasses.dataclass(frozen=True)
class GridTasks(Tasks[GridLevel]):
    """The standard families that fit ``height × width`` cells."""

    height: int
    width: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the families, from easy to hard as far as we know."""
        return tuple(standard(self.height, self.width))

    def level(self, key: jax.Array, tasks: jax.Array) -> GridLevel:
        """Return a level of family ``tasks[0]``. Consumes ``key``."""
        return Mixture(self.height, self.width).of(key, tasks[0])


@dataclasses.dataclass(frozen=True)
class GridParameters(Parameters[GridLevel]):
    """The numbers of the levels of ``family``, in a grid of ``height × width`` cells."""

    family: Family
    height: int
    width: int

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """The family's own."""
        return self.family.parts

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level with these numbers, ``f32[h]``. Consumes ``key``."""
        return padded(self.family.level(key, values), self.height, self.width)
