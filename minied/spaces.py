"""Descriptions of observations and actions: hashable, in gymnax's vocabulary, plus one of our own (`Coded`).

A space says what a network must be able to read or emit. It holds no data and does no work at import.
"""

import dataclasses
import math
from collections.abc import Mapping
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
        value = np.asarray(value)
        return value.shape == () and value.dtype.kind in "iu" and 0 <= int(value) < self.n


@dataclasses.dataclass(frozen=True)
class Box:
    """Numbers in ``[low, high]``, ``f32[shape]``."""

    low: float
    high: float
    shape: tuple[int, ...]

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform sample, ``f32[shape]``; both bounds must be finite. Consumes ``key``."""
        if math.isinf(self.low) or math.isinf(self.high):
            raise UserError(f"Box({self.low}, {self.high}) is unbounded and has no uniform sample")
        return jax.random.uniform(key, self.shape, minval=self.low, maxval=self.high)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` has the shape and lies inside the bounds."""
        value = np.asarray(value)
        return value.shape == self.shape and bool(np.all((value >= self.low) & (value <= self.high)))


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
class Dict:
    """Named parts; a value is a plain ``dict`` with the same keys. ``parts`` is ``((name, space), ...)``."""

    parts: tuple[tuple[str, "Space"], ...]

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


Space = Discrete | Box | Coded | Mask | Dict
