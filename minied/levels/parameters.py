"""A few named numbers from which a level can be made: what teachers choose in worlds that nobody builds cell by cell.

`Parameters` is what an author writes. `ParameterDesigner` makes a `minied.levels.designer.Designer` of it, in which each
step chooses one number and sees those chosen before: an autoregressive policy. Letters: ``h`` parameters, ``n`` choices
of the parameter that has most.
"""

import abc
import dataclasses
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Observation
from minied.errors import UserError
from minied.levels.designer import Designer
from minied.spaces import Box, Dict, Discrete, Mask

LevelT = TypeVar("LevelT")


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of ``number`` things, 0 to ``number − 1``."""

    name: str
    number: int

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"the parameter {self.name!r} has number {self.number}; allowed: at least 1")


@dataclasses.dataclass(frozen=True)
class Interval:
    """A number from ``low`` to ``high``."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise UserError(
                f"the parameter {self.name!r} goes from {self.low} to {self.high}; allowed: low < high, finite"
            )


class Parameters(abc.ABC, Generic[LevelT]):
    """The numbers of a world's levels. Subclass as a frozen dataclass."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[Choice | Interval, ...]:
        """The parameters, in the order in which they are chosen."""

    @abc.abstractmethod
    def level(self, key: jax.Array, values: jax.Array) -> LevelT:
        """Return a level with these parameters; what they leave open is random. Consumes ``key``.

        ``values`` is ``f32[h]``, choices as whole numbers.
        """

    def allowed(self, part: int, values: jax.Array) -> jax.Array:
        """Return which choices of parameter ``part`` are left, ``bool[number]``, of a `Choice`.

        ``values`` ``f32[h]`` holds what was chosen for the parameters before ``part``. At least one must be left. By default
        all are.
        """
        del values
        choice = self.parts[part]
        assert isinstance(choice, Choice)
        return jnp.ones(choice.number, bool)


def check_parameters(parameters: Parameters) -> None:
    """Raise `UserError` if ``parameters`` are none, or none of their parts is there, or two have one name."""
    if not isinstance(parameters, Parameters):
        raise UserError(
            f"`parameters` of a level space is {parameters!r}; allowed: an instance of"
            " minied.levels.parameters.Parameters, by a property"
        )
    parts = parameters.parts
    if not isinstance(parts, (tuple, list)) or not all(isinstance(part, (Choice, Interval)) for part in parts):
        raise UserError(
            f"parts of {type(parameters).__name__} are {parts!r}; allowed: a tuple of Choice and Interval, by a property"
        )
    names = [part.name for part in parts]
    if not names or len(set(names)) < len(names):
        raise UserError(f"parts of {type(parameters).__name__} are named {names}; allowed: at least one, no name twice")


def allowed_choices(parameters: Parameters, index: int, values: jax.Array) -> jax.Array:
    """Return `Parameters.allowed` of the `Choice` at ``index``, ``bool[number]``. Raises `UserError` for another shape."""
    part = parameters.parts[index]
    assert isinstance(part, Choice)
    allowed = parameters.allowed(index, values)
    if allowed.shape != (part.number,):
        raise UserError(
            f"allowed of {type(parameters).__name__} gives {list(allowed.shape)} for the parameter {part.name!r};"
            f" allowed: one bool for each of its {part.number} choices"
        )
    return allowed


class ParameterState(struct.PyTreeNode):
    """The parameters chosen so far."""

    time: jax.Array  # i32[], how many
    values: jax.Array  # f32[h], 0 or the lower end where not chosen yet
    choices: jax.Array  # i32[h], the actions that chose them, 0 where not chosen yet
    key: jax.Array  # key[], of what the parameters leave open


@dataclasses.dataclass(frozen=True)
class ParameterDesigner(Designer[Any, ParameterState]):
    """Chooses one parameter a step. An `Interval` is cut into equal bins; within the chosen bin the number is uniform."""

    parameters: Parameters
    num_bins: int = 16
    """Bins of an `Interval`."""

    def __post_init__(self) -> None:
        check_parameters(self.parameters)

    @property
    def max_steps(self) -> int:
        """One for each parameter, h."""
        return len(self.parameters.parts)

    @property
    def action_space(self) -> Discrete:
        """The choices of the parameter that has most, n; of the others the first ones."""
        return Discrete(max(self._numbers))

    @property
    def observation_space(self) -> Dict:
        """``time``; ``chosen``, what was chosen so far, one-hot side by side; ``mask``, the choices that are left."""
        chosen = Box(0.0, 1.0, (sum(self._numbers),))
        return Dict((("time", Discrete(self.max_steps + 1)), ("chosen", chosen), ("mask", Mask(self.action_space.n))))

    def empty(self) -> jax.Array:
        """Return nothing: a choice of parameters does not start from a level."""
        return jnp.zeros((), jnp.int32)

    def reset(self, key: jax.Array, level: jax.Array) -> tuple[Observation, ParameterState]:
        """Return the state in which nothing is chosen. Consumes ``key``."""
        lows = jnp.asarray(
            [0.0 if isinstance(part, Choice) else part.low for part in self.parameters.parts], jnp.float32
        )
        zeros = jnp.zeros(self.max_steps, jnp.int32)
        state = ParameterState(jnp.zeros((), jnp.int32), lows, zeros, key)
        return self._observe(state), state

    def build(self, key: jax.Array, state: ParameterState, action: jax.Array) -> tuple[Observation, ParameterState]:
        """Choose the next parameter. Consumes ``key``."""
        within = jax.random.uniform(key, (self.max_steps,))
        value = jnp.stack([self._value(part, action, within[i]) for i, part in enumerate(self.parameters.parts)])
        is_next = jnp.arange(self.max_steps, dtype=jnp.int32) == state.time
        state = ParameterState(
            time=state.time + 1,
            values=jnp.where(is_next, value, state.values),
            choices=jnp.where(is_next, action, state.choices),
            key=state.key,
        )
        return self._observe(state), state

    def level_of(self, state: ParameterState) -> Any:
        """Return the level with the parameters chosen so far."""
        return self.parameters.level(state.key, state.values)

    def means(self, choices: jax.Array) -> dict[str, jax.Array]:
        """Return the mean of each parameter, by name, ``f32[]``, of ``choices`` ``i32[h, B]``; of a bin, its middle."""
        parts = zip(self.parameters.parts, choices, strict=True)
        return {part.name: jnp.mean(self._value(part, chosen, jnp.float32(0.5))) for part, chosen in parts}

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(part.number if isinstance(part, Choice) else self.num_bins for part in self.parameters.parts)

    def _value(self, part: Choice | Interval, action: jax.Array, within: jax.Array) -> jax.Array:
        if isinstance(part, Choice):
            return action.astype(jnp.float32)
        value = part.low + (part.high - part.low) * (action.astype(jnp.float32) + within) / self.num_bins
        return jnp.minimum(value, part.high)  # which rounding would else exceed now and then

    def _observe(self, state: ParameterState) -> Observation:
        is_chosen = jnp.arange(self.max_steps, dtype=jnp.int32) < state.time
        chosen = [
            jnp.where(is_chosen[i], jax.nn.one_hot(state.choices[i], number), 0.0)
            for i, number in enumerate(self._numbers)
        ]
        masks = jnp.stack([self._mask(i, state.values) for i in range(self.max_steps)])
        last = jnp.minimum(state.time, self.max_steps - 1)
        return {"time": state.time, "chosen": jnp.concatenate(chosen), "mask": masks[last]}

    def _mask(self, index: int, values: jax.Array) -> jax.Array:
        """Return the actions that parameter ``index`` has left, ``bool[n]``."""
        part, total = self.parameters.parts[index], self.action_space.n
        is_choice = isinstance(part, Choice)
        own = allowed_choices(self.parameters, index, values) if is_choice else jnp.ones(self.num_bins, bool)
        return jnp.concatenate([own, jnp.zeros(total - own.shape[0], bool)])
