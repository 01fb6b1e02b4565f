"""Which numbers of a gymnax environment vary, from where to where, and how is one drawn, edited and told apart?"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters.base import NO_BOUND
from minied.adapters.gymnax_made import USUAL, Kind, Made, kind_of, make, require_free
from minied.errors import UserError, unknown_name

USUAL_WORD = "usual"


@dataclasses.dataclass(frozen=True)
class Varied:
    """A parameter that differs from level to level, from ``low`` to ``high``, both included."""

    name: str
    low: float
    high: float
    kind: Kind = "float"

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number; of a flag, 0 or 1."""
        return self.kind != "float"

    @property
    def number(self) -> int:
        """How many values it takes, if it is whole."""
        return round(self.high - self.low) + 1

    def clip(self, value: jax.Array) -> jax.Array:
        """Return the nearest number of the range, ``f32[]``."""
        value = jnp.round(value) if self.is_whole else value
        return jnp.clip(value, jnp.float32(self.low), jnp.float32(self.high))

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform number of the range, ``f32[]``. Consumes ``key``."""
        if self.is_whole:
            return jax.random.randint(key, (), int(self.low), int(self.high) + 1).astype(jnp.float32)
        return self.clip(jax.random.uniform(key, (), jnp.float32, self.low, self.high))

    def nudge(self, value: jax.Array, noise: jax.Array) -> jax.Array:
        """Return another number nearby, ``f32[]``: ``noise`` widths of the range away, turned back at its ends."""
        change = noise * (self.high - self.low)
        if self.is_whole:
            change = jnp.where(noise < 0, -1.0, 1.0) * jnp.maximum(1.0, jnp.round(jnp.abs(change)))
        moved = value + change
        moved = jnp.where(moved > self.high, 2 * self.high - moved, moved)
        moved = jnp.where(moved < self.low, 2 * self.low - moved, moved)
        return self.clip(moved)

    def contains(self, value: jax.Array) -> jax.Array:
        """Return whether ``value`` ``f32[]`` is one of the range, ``bool[]``."""
        return value == self.clip(value)

    def spaced(self, number: int) -> list[float]:
        """Return ``number`` values from end to end, or all if it is whole and has fewer."""
        if self.is_whole:
            number = min(number, self.number)
        values = np.linspace(self.low, self.high, number)
        return [float(value) for value in (np.round(values) if self.is_whole else values)]

    @property
    def dtype(self) -> Any:
        """Its type in the environment."""
        return {"float": jnp.float32, "int": jnp.int32, "bool": jnp.bool_}[self.kind]


@functools.cache
def varied(name: str, settings: tuple[str, ...], vary: tuple[str, ...], spread: float) -> tuple[Varied, ...]:
    """Return what the options ``vary`` and ``spread`` of an environment say. Raises `UserError`."""
    made = make(name, settings)
    entries = [each for word in vary for each in (USUAL.get(name, ()) if word == USUAL_WORD else (word,))]
    found = [_varied(made, entry, spread) for entry in entries]
    names = [each.name for each in found]
    for each in names:
        if names.count(each) > 1:
            raise UserError(
                f"vary has {each!r} twice; allowed: once ({USUAL_WORD} is {', '.join(USUAL.get(name, ()))})"
            )
    return tuple(found)


def _varied(made: Made, entry: str, spread: float) -> Varied:
    name, sign, ends = (part.strip() for part in entry.partition("="))
    if name not in made.defaults:
        raise unknown_name(f"parameter of {made.name}", name, [*made.defaults, USUAL_WORD])
    require_free(made, name, "vary")
    default = made.defaults[name]
    kind = kind_of(default)
    if kind is None:
        raise UserError(
            f"vary has {name!r}, which is {np.asarray(default).tolist()}; allowed: parameters of one number"
        )
    low, high = _ends(entry, ends) if sign else _around(name, float(default), kind, spread)
    if not (max(abs(low), abs(high)) <= NO_BOUND and np.float32(low) < np.float32(high)):  # of NaN false as well
        raise UserError(
            f"vary has {entry!r}, from {low:g} to {high:g}; allowed: low < high, finite and at most {NO_BOUND:g}, as"
            f" {name}=LOW:HIGH"
        )
    if kind != "float" and not (low.is_integer() and high.is_integer() and max(abs(low), abs(high)) < 2**24):
        raise UserError(f"vary has {entry!r}; allowed for {name}: whole numbers")
    if kind == "bool" and (low, high) != (0.0, 1.0):
        raise UserError(f"vary has {entry!r}; allowed for {name}: 0:1, it is true or false")
    return Varied(name, low, high, kind)


def _ends(entry: str, ends: str) -> tuple[float, float]:
    low, _, high = ends.partition(":")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UserError(f"vary has {entry!r}; allowed: NAME, or NAME=LOW:HIGH such as gravity=5:15") from error


def _around(name: str, default: float, kind: Kind, spread: float) -> tuple[float, float]:
    """Return the ends of a parameter that is only named: from default / (1 + spread) to default · (1 + spread)."""
    if kind == "bool":
        return 0.0, 1.0
    low, high = sorted((default / (1 + spread), default * (1 + spread)))
    if kind == "int":
        low, high = float(math.ceil(low)), float(math.floor(high))
    if not low < high:
        raise UserError(
            f"vary has {name!r}, whose default {default:g} has no range of its own; allowed: {name}=LOW:HIGH"
        )
    return low, high
