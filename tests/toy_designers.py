"""The corridor of `toy_worlds` with what teachers that edit or design ask for.

One can be edited, designed step by step, chosen by parameters, read and written; of one the mask leaves nothing at a step;
of one the levels are chosen by parameters alone.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from toy_worlds import Corridor, CorridorLevel, CorridorLevels

from minied.errors import UserError
from minied.levels.designer import Designer
from minied.levels.parameters import Choice, Interval, Parameters
from minied.levels.space import Suite
from minied.levels.tasks import Tasks
from minied.spaces import Box, Dict, Discrete, Mask

DESIGN_STEPS = 4
STAY, FARTHER, NEARER = range(3)


class CorridorDesign(struct.PyTreeNode):
    start: jax.Array  # i32[], of the level so far
    time: jax.Array  # i32[]
    noise: jax.Array  # f32[2], drawn anew at every step


@dataclasses.dataclass(frozen=True)
class CorridorDesigner(Designer):
    """Moves the start of a corridor, a cell a step; what would leave the corridor is masked."""

    length: int
    stuck_at: int = -1  # a step at which nothing is allowed
    stuck_start: int = 0  # and the start of the level so far, if only of such a design

    @property
    def max_steps(self):
        return DESIGN_STEPS

    @property
    def action_space(self):
        return Discrete(3)

    @property
    def observation_space(self):
        time = Discrete(DESIGN_STEPS + 1)
        return Dict(
            (("time", time), ("start", Box(0.0, 1.0, (1,))), ("noise", Box(-4.0, 4.0, (2,))), ("mask", Mask(3)))
        )

    def empty(self):
        return CorridorLevel(jnp.int32(1))

    def reset(self, key, level):
        return self._seen(CorridorDesign(level.start, jnp.int32(0), jax.random.normal(key, (2,))))

    def build(self, key, state, action):
        start = state.start + jnp.asarray([0, 1, -1], jnp.int32)[action]
        return self._seen(CorridorDesign(start, state.time + 1, jax.random.normal(key, (2,))))

    def level_of(self, state):
        return CorridorLevel(state.start)

    def _is_stuck(self, state):
        return (state.time == self.stuck_at) & ((self.stuck_start == 0) | (state.start == self.stuck_start))

    def _seen(self, state):
        allowed = jnp.stack([jnp.asarray(True), state.start < self.length, state.start > 1])
        observation = {
            "time": state.time,
            "start": jnp.stack([state.start / self.length]),
            "noise": state.noise,
            "mask": allowed & ~self._is_stuck(state),
        }
        return observation, state


@dataclasses.dataclass(frozen=True)
class CorridorTasks(Tasks):
    """The starts, near ones first."""

    length: int

    @property
    def names(self):
        return tuple(f"start_{start}" for start in range(1, self.length + 1))

    def level(self, key, tasks):
        return CorridorLevel(tasks[0] + 1)


@dataclasses.dataclass(frozen=True)
class EditableCorridorLevels(CorridorLevels):
    """Corridors that can do all that a teacher may ask for. A level is drawn as ``S..G``: the start, and the goal."""

    def mutate(self, key, level):
        """Move the start one cell, never none; the last cell is next to the first."""
        step = jnp.where(jax.random.bernoulli(key), 1, -1)
        return CorridorLevel((level.start - 1 + step) % self.length + 1)

    @property
    def designer(self):
        return CorridorDesigner(self.length)

    @property
    def tasks(self):
        return CorridorTasks(self.length)

    @property
    def parameters(self):
        return CorridorParameters(self.length)

    def to_text(self, level):
        return "S" + "." * (int(level.start) - 1) + "G"

    def from_text(self, text):
        distance = len(text) - 1
        if text != "S" + "." * (distance - 1) + "G" or not 1 <= distance <= self.length:
            raise UserError(f"line 1 is {text!r}; allowed: S, at most {self.length - 1} dots, G")
        return CorridorLevel(jnp.int32(distance))

    @property
    def suites(self):
        return {
            "ends": "The nearest and the farthest start.",
            "long": "Corridors of another kind.",
            "huge": "Corridors twice as long.",
        }

    def suite(self, name):
        if name == "ends":
            levels = CorridorLevel(jnp.asarray([1, self.length], jnp.int32))
            return (Suite("ends", Corridor(self.length, self.max_steps), levels, ("near", "far")),)
        if name == "huge":  # levels of the same shape that do not fit, as those of a packed maze of another size are
            env = EditableCorridor(2 * self.length, self.max_steps)
            return (Suite("huge", env, CorridorLevel(jnp.asarray([2 * self.length], jnp.int32)), ("huge",)),)
        if name == "long":  # levels of another shape, as those of a maze of another size are
            levels = CorridorLevel(jnp.ones((2, 3), jnp.int32))
            return (Suite("long", Corridor(self.length, self.max_steps), levels, ("one", "two")),)
        return super().suite(name)


@dataclasses.dataclass(frozen=True)
class EditableCorridor(Corridor):
    @property
    def level_space(self):
        return EditableCorridorLevels(self.length, self.max_steps)


@dataclasses.dataclass(frozen=True)
class StuckCorridorLevels(EditableCorridorLevels):
    stuck_at: int
    stuck_start: int

    @property
    def designer(self):
        return CorridorDesigner(self.length, self.stuck_at, self.stuck_start)


@dataclasses.dataclass(frozen=True)
class StuckCorridor(EditableCorridor):
    """Its designer's mask leaves nothing at a step."""

    stuck_at: int = 2
    stuck_start: int = 0

    @property
    def level_space(self):
        return StuckCorridorLevels(self.length, self.max_steps, self.stuck_at, self.stuck_start)


@dataclasses.dataclass(frozen=True)
class CorridorParameters(Parameters):
    """Near or far, and then which of these cells; a slope, which nothing is made of but what `level` says."""

    length: int
    wrong: bool = False  # its `allowed` has the wrong shape

    @property
    def parts(self):
        return Choice("half", 2), Choice("cell", self.length), Interval("slope", -1.0, 3.0)

    def level(self, key, values):
        return CorridorLevel(1 + values[1].astype(jnp.int32))

    def allowed(self, part, values):
        if part == 0 or self.wrong:
            return super().allowed(0, values)
        cells = jnp.arange(self.length, dtype=jnp.int32)
        return (cells >= self.length // 2) == (values[0] == 1)


@dataclasses.dataclass(frozen=True)
class ParameterCorridorLevels(CorridorLevels):
    wrong: bool

    @property
    def parameters(self):
        return CorridorParameters(self.length, self.wrong)


@dataclasses.dataclass(frozen=True)
class ParameterCorridor(Corridor):
    """A corridor without a designer whose levels are chosen by numbers."""

    wrong: bool = False

    @property
    def level_space(self):
        return ParameterCorridorLevels(self.length, self.max_steps, self.wrong)
