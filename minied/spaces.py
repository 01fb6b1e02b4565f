"""Descriptions of observations and actions: hashable, in gymnax's vocabulary, plus some of our own (from `Coded` on).

A space says what a network must be able to read or emit. It holds no data and does no work at import. Letters: ``E``
entities, ``F`` features of one.
"""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError


@dataclasses.dataclass(frozen=True)
class Discrete:
    """One of ``n`` choices, an ``i32[]`` in ``[0, n)``."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UserError(f"Discrete.n is {self.n}; allowed: at least 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """``()``: a scalar."""
        return ()

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform choice, ``i32[]``. Consumes ``key``."""
        return jax.random.randint(key, (), 0, self.n)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one integer of the range."""
        return _is_choice(value, self.n)


MOST_JOINT_ACTIONS = 4096
"""Largest ``n`` of a `MultiDiscrete`: each has a logit of its own, in every step of every agent."""


@dataclasses.dataclass(frozen=True)
class MultiDiscrete:
    """One choice of each of several factors, as one ``i32[]`` in ``[0, n)``, the first factor slowest; for actions.

    A policy chooses the factors independently of each other, from ``sum(numbers)`` outputs. As the action is one number,
    all else sees a `Discrete` of ``n``; the world takes it apart by `split`.
    """

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.numbers or min(self.numbers) < 1:
            raise UserError(f"MultiDiscrete.numbers is {self.numbers}; allowed: one number or more, each at least 1")
        if self.n > MOST_JOINT_ACTIONS:
            raise UserError(
                f"MultiDiscrete.numbers is {self.numbers}; allowed: a product of at most {MOST_JOINT_ACTIONS}, not {self.n}"
            )

    @property
    def n(self) -> int:
        """The number of joint choices."""
        return math.prod(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """``()``: a scalar."""
        return ()

    def split(self, action: jax.Array) -> tuple[jax.Array, ...]:
        """Return the choice of each factor, ``i32[...]`` each, of ``action`` ``i32[...]``."""
        choices = []
        for number in reversed(self.numbers):
            choices.append(action % number)
            action = action // number
        return tuple(reversed(choices))

    def join(self, choices: Sequence[jax.Array]) -> jax.Array:
        """Return the action ``i32[...]`` of one choice of each factor, ``i32[...]`` each."""
        action = jnp.zeros_like(choices[0])
        for number, choice in zip(self.numbers, choices, strict=True):
            action = action * number + choice
        return action

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform choice, ``i32[]``. Consumes ``key``."""
        return jax.random.randint(key, (), 0, self.n)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one integer of the range."""
        return _is_choice(value, self.n)


def _is_choice(value: Any, number: int) -> bool:
    value = np.asarray(value)
    return value.shape == () and value.dtype.kind in "iu" and 0 <= int(value) < number


_ROUNDING = 1e-6  # where XLA multiplies and subtracts in one go, 13 · (2 / 13) − 1 comes out above 1


@dataclasses.dataclass(frozen=True)
class Box:
    """Numbers in ``[low, high]``, ``f32[shape]``. Raises `UserError` for what is no bound or no shape."""

    low: float
    high: float
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple):  # a slip in the order: other spaces have their shape first
            raise UserError(f"Box has the shape {self.shape!r}; allowed: a tuple of ints, as in Box(low, high, shape)")
        if not all(isinstance(bound, numbers.Real) for bound in (self.low, self.high)) or not self.low <= self.high:
            raise UserError(f"Box goes from {self.low!r} to {self.high!r}; allowed: low <= high, numbers for all of it")

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform sample, ``f32[shape]``; both bounds must be finite. Consumes ``key``."""
        if math.isinf(self.low) or math.isinf(self.high):
            raise UserError(f"Box({self.low}, {self.high}) is unbounded and has no uniform sample")
        return jax.random.uniform(key, self.shape, minval=self.low, maxval=self.high)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` has the shape and lies inside the bounds, but for rounding."""
        value = np.asarray(value)
        low, high = (
            bound + sign * _ROUNDING * max(1.0, abs(bound)) for bound, sign in ((self.low, -1), (self.high, 1))
        )
        return value.shape == self.shape and bool(np.all((value >= low) & (value <= high)))


@dataclasses.dataclass(frozen=True)
class Coded:
    """An array of small codes, ``u8[shape]``, each of which stands for a row of numbers.

    Worlds store and move one byte a cell; the student's encoder looks the numbers up when it reads. ``features[c]`` is
    what code ``c`` means, in the channels that the network sees (``[num_codes, num_channels]``).
    """

    shape: tuple[int, ...]
    features: tuple[tuple[float, ...], ...]

    @property
    def num_codes(self) -> int:
        """The number of codes."""
        return len(self.features)

    def decode(self, codes: jax.Array) -> jax.Array:
        """Return ``f32[..., num_channels]`` for ``u8[...]``."""
        return jnp.asarray(np.asarray(self.features, np.float32))[codes]

    def sample(self, key: jax.Array) -> jax.Array:
        """Return uniform codes, ``u8[shape]``. Consumes ``key``."""
        return jax.random.randint(key, self.shape, 0, self.num_codes).astype(jnp.uint8)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is an array of codes of this shape."""
        value = np.asarray(value)
        return value.shape == self.shape and value.dtype == np.uint8 and bool(np.all(value < self.num_codes))


@dataclasses.dataclass(frozen=True)
class Mask:
    """Which of ``n`` actions are allowed now, ``bool[n]``, at least one of them.

    A part of an observation. It is no input of a network, whose policy gives the other actions no probability.
    """

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n,)``."""
        return (self.n,)

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a mask that allows everything."""
        return jnp.ones(self.n, bool)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is a mask of this length that leaves something."""
        value = np.asarray(value)
        return value.shape == self.shape and value.dtype == bool and bool(value.any())


@dataclasses.dataclass(frozen=True)
class Entities:
    """Up to ``number`` things of one kind, in any order.

    A value is a ``dict``:

    - ``features``: ``f32[E, F]``;
    - ``visible``: ``bool[E]``, which of them the agent sees now: a policy reads these;
    - ``present``: ``bool[E]``, which of them exist: a critic with an encoder of its own reads these.

    What is visible is present. The features of what is not may be anything.
    """

    number: int
    num_features: int

    def __post_init__(self) -> None:
        _require_at_least(1, self, "number", "num_features")

    def sample(self, key: jax.Array) -> dict[str, jax.Array]:
        """Return features in [−1, 1], each entity present, and then visible, with even chances. Consumes ``key``."""
        keys = jax.random.split(key, 3)
        present = jax.random.bernoulli(keys[1], shape=(self.number,))
        return {
            "features": jax.random.uniform(keys[0], (self.number, self.num_features), minval=-1.0, maxval=1.0),
            "visible": present & jax.random.bernoulli(keys[2], shape=(self.number,)),
            "present": present,
        }

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` has these three parts, finite where present, and what is visible is present."""
        if not isinstance(value, Mapping) or set(value) != {"features", "visible", "present"}:
            return False
        features, visible, present = (np.asarray(value[name]) for name in ("features", "visible", "present"))
        if features.shape != (self.number, self.num_features) or features.dtype != np.float32:
            return False
        if any(flags.shape != (self.number,) or flags.dtype != bool for flags in (visible, present)):
            return False
        return bool(np.all(present | ~visible)) and bool(np.all(np.isfinite(features[present])))


@dataclasses.dataclass(frozen=True)
class Ring:
    """Numbers in directions around the agent (lidar), ``f32[number, num_channels]``; the last is beside the first."""

    number: int
    num_channels: int = 1

    def __post_init__(self) -> None:
        _require_at_least(3, self, "number")  # what a filter reads
        _require_at_least(1, self, "num_channels")

    @property
    def shape(self) -> tuple[int, ...]:
        """``(number, num_channels)``."""
        return (self.number, self.num_channels)

    def sample(self, key: jax.Array) -> jax.Array:
        """Return numbers in [0, 1). Consumes ``key``."""
        return jax.random.uniform(key, self.shape)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is finite and of this shape."""
        value = np.asarray(value)
        return value.shape == self.shape and value.dtype == np.float32 and bool(np.all(np.isfinite(value)))


def _require_at_least(least: int, space: Any, *names: str) -> None:
    for name in names:
        if getattr(space, name) < least:
            raise UserError(f"{type(space).__name__}.{name} is {getattr(space, name)}; allowed: at least {least}")


@dataclasses.dataclass(frozen=True)
class Dict:
    """Named parts; a value is a plain ``dict`` with the same keys. ``parts`` is ``((name, space), ...)``.

    ``privileged`` names the parts that no policy reads, but a critic with an encoder of its own does; without one nobody.
    """

    parts: tuple[tuple[str, "Space"], ...]
    privileged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.privileged:
            return
        inputs = [name for name, space in self.parts if not isinstance(space, Mask)]
        for name in self.privileged:
            if name not in inputs:
                raise UserError(f"Dict.privileged has {name!r}; allowed: parts that are no Mask, {', '.join(inputs)}")
        if set(inputs) <= set(self.privileged):
            raise UserError(
                f"Dict.privileged is {self.privileged}; allowed: to leave the policy a part that is no Mask"
            )

    @property
    def spaces(self) -> Mapping[str, "Space"]:
        """The parts by name, in their order."""
        return dict(self.parts)

    def sample(self, key: jax.Array) -> dict[str, Any]:
        """Return one sample of each part. Consumes ``key``."""
        keys = jax.random.split(key, len(self.parts))
        return {name: space.sample(k) for k, (name, space) in zip(keys, self.parts, strict=True)}

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is a mapping with exactly these keys, each part in its space."""
        if not isinstance(value, Mapping) or set(value) != set(self.spaces):
            return False
        return all(space.contains(value[name]) for name, space in self.parts)


Space = Discrete | Box | Coded | Mask | Entities | Ring | Dict
ActionSpace = Discrete | MultiDiscrete
