"""Which levels has an environment of gymnax? Numbers among its parameters that vary, and where an episode starts.

Letter: ``h`` parameters that vary.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.base import sampled_suite
from minied.adapters.gymnax_made import make
from minied.adapters.gymnax_varied import Varied
from minied.adapters.trees import tree_from_text, tree_to_text
from minied.errors import UserError, unknown_name
from minied.levels.parameters import Choice, Interval, Parameters
from minied.levels.space import LevelSpace, Suite

if TYPE_CHECKING:
    from minied.adapters.gymnax import Gymnax

SUITE_SIZE = 64
_SUITE_SEED = 0x6796E


class GymnaxLevel(struct.PyTreeNode):
    """A level."""

    numbers: dict[str, jax.Array]  # f32[] each, the h parameters that vary; whole numbers and flags too
    start: jax.Array  # u32[2], words of the key from which the first state is drawn; 0 where it is always the same


@dataclasses.dataclass(frozen=True)
class StartLevelSpace(LevelSpace[GymnaxLevel]):
    """Levels of ``world`` where no parameter varies: each is a start."""

    world: "Gymnax"

    def sample(self, key: jax.Array) -> GymnaxLevel:
        """Return uniform numbers and a fresh start. Consumes ``key``."""
        start_key, *keys = jax.random.split(key, len(self._varied) + 1)
        numbers = {each.name: each.sample(each_key) for each, each_key in zip(self._varied, keys, strict=True)}
        return GymnaxLevel(numbers, self._start(start_key))

    def is_valid(self, level: GymnaxLevel) -> jax.Array:
        """Return whether every number is of its range, ``bool[]``. Every start is one."""
        inside = [each.contains(level.numbers[each.name]) for each in self._varied]
        if not self.world.starts_differ:
            inside.append(jnp.all(level.start == 0))
        return jnp.all(jnp.stack([jnp.bool_(True), *inside]))

    def describe(self, level: GymnaxLevel) -> dict[str, jax.Array]:
        """Return the numbers, by the names that gymnax has for them."""
        return dict(level.numbers)

    def draw(self, level: GymnaxLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``: the state where we know how, and the numbers in their ranges."""
        from minied.adapters.gymnax_pictures import draw

        return draw(self.world, level, state)

    def title(self, level: GymnaxLevel) -> str:
        """Return the numbers, three digits each."""
        return ", ".join(f"{name} {float(value):.3g}" for name, value in level.numbers.items())

    def to_text(self, level: GymnaxLevel) -> str:
        """Return one line of JSON: the numbers by name, and the words of the start."""
        return tree_to_text(level)

    def from_text(self, text: str) -> GymnaxLevel:
        """Return the level that `to_text` wrote. Raises `UserError` for another form, and for numbers out of range."""
        level = tree_from_text(text, jax.eval_shape(self.sample, jax.random.key(0)))
        for each in self._varied:
            if not bool(each.contains(level.numbers[each.name])):
                whole = ", whole numbers" if each.is_whole else ""
                value, ends = float(level.numbers[each.name]), f"{each.low:g} to {each.high:g}{whole}"
                raise UserError(f"{each.name} of a level is {value:g}; allowed: {ends}")
        if not bool(self.is_valid(level)):
            told = f"start of a level is {level.start.tolist()}"
            raise UserError(f"{told}; allowed in {self.world.id}, which has one start: zeros")
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """New levels; where something varies also gymnax's own parameters, the ends of the ranges, and a grid."""
        return {name: description for name, (description, _) in self._parts.items()}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self._parts:
            raise unknown_name("suite", name, list(self._parts))
        description, settings = self._parts[name]
        if settings is None:
            number = SUITE_SIZE if self._varied or self.world.starts_differ else 1
            return sampled_suite(self.world, name, number, _SUITE_SEED, description)
        with jax.ensure_compile_time_eval():
            keys = jax.random.split(jax.random.key(_SUITE_SEED), len(settings))
            starts = jax.vmap(self._start)(keys)
            columns = np.asarray(settings, np.float32).T
            numbers = {each.name: jnp.asarray(column) for each, column in zip(self._varied, columns, strict=True)}
        names = tuple(self._setting(setting) for setting in settings)
        return (Suite(name, self.world, GymnaxLevel(numbers, starts), names, description),)

    @property
    def _parts(self) -> dict[str, tuple[str, list[tuple[float, ...]] | None]]:
        """Return, by the name of a suite, a sentence and its numbers, one tuple a level; None: levels are sampled."""
        horizon, count = f"horizon {self.world.max_steps}", len(self._varied)
        found: dict[str, tuple[str, list[tuple[float, ...]] | None]] = {
            "sampled": (f"New levels of the generator, {horizon}.", None)
        }
        if not count:
            return found
        defaults = tuple(float(make(self.world.id, self.world.set).defaults[each.name]) for each in self._varied)
        if all(each.low <= value <= each.high for each, value in zip(self._varied, defaults, strict=True)):
            starts = 16 if self.world.starts_differ else 1
            found["default"] = (
                f"gymnax's own parameters, {horizon}, {starts} start{'s' * (starts > 1)}.",
                [defaults] * starts,
            )
        if 2**count <= SUITE_SIZE:
            corners = list(itertools.product(*((each.low, each.high) for each in self._varied)))
            found["corners"] = (
                f"Every combination of the ends of the ranges, {horizon}, {len(corners)} levels.",
                corners,
            )
        side = next(side for side in range(SUITE_SIZE, 0, -1) if side**count <= SUITE_SIZE)
        if side > 2:
            grid = list(itertools.product(*(each.spaced(side) for each in self._varied)))
            found["grid"] = (
                f"Numbers evenly from end to end, in every combination, {horizon}, {len(grid)} levels.",
                grid,
            )
        return found

    def _setting(self, setting: tuple[float, ...]) -> str:
        return " ".join(f"{each.name}={value:.3g}" for each, value in zip(self._varied, setting, strict=True))

    @property
    def _varied(self) -> tuple[Varied, ...]:
        return self.world.varied

    def _start(self, key: jax.Array) -> jax.Array:
        """Return the words of a start. Consumes ``key``."""
        words = jax.random.key_data(key)
        return words if self.world.starts_differ else jnp.zeros_like(words)


@dataclasses.dataclass(frozen=True)
class GymnaxLevelSpace(StartLevelSpace):
    """Levels of ``world`` where parameters vary."""

    def mutate(self, key: jax.Array, level: GymnaxLevel) -> GymnaxLevel:
        """Return a copy in which one number is another, at most ``edit_size`` of its range away, or the start is fresh.

        The numbers and the start (where starts differ) have even chances. Consumes ``key``.
        """
        place_key, noise_key, start_key = jax.random.split(key, 3)
        count = len(self._varied)
        place = jax.random.randint(place_key, (), 0, count + self.world.starts_differ)
        noise = jax.random.uniform(noise_key, (), jnp.float32, -self.world.edit_size, self.world.edit_size)
        numbers = dict(level.numbers)
        for index, each in enumerate(self._varied):
            value = numbers[each.name]
            numbers[each.name] = jnp.where(place == index, each.nudge(value, noise), value)
        return GymnaxLevel(numbers, jnp.where(place == count, self._start(start_key), level.start))

    @property
    def parameters(self) -> "GymnaxParameters":
        """The numbers that vary."""
        return GymnaxParameters(self.world)


@dataclasses.dataclass(frozen=True)
class GymnaxParameters(Parameters[GymnaxLevel]):
    """The numbers that vary in the levels of ``world``."""

    world: "Gymnax"

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """An `Interval` each; of whole numbers a `Choice`, which counts from the lower end."""
        return tuple(
            Choice(each.name, each.number) if each.is_whole else Interval(each.name, each.low, each.high)
            for each in self.world.varied
        )

    def level(self, key: jax.Array, values: jax.Array) -> GymnaxLevel:
        """Return a level of these numbers ``f32[h]`` with a fresh start. Consumes ``key``."""
        numbers = {
            each.name: each.clip(values[index] + (each.low if each.is_whole else 0.0))
            for index, each in enumerate(self.world.varied)
        }
        return GymnaxLevel(numbers, GymnaxLevelSpace(self.world)._start(key))
