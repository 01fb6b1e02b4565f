"""Config dataclasses whose numbers can be traced: the rule of one line that lets settings share a program.

**A `float` field is a number that the compiled program takes as an argument; every other field shapes the program.** (A
field that is itself such a config is both: its floats are arguments.)
Changing a learning rate, a temperature or a coefficient therefore never compiles anew, and a batch of members with
different floats is the same pytree with a leading axis. Integers, booleans and names decide shapes and branches and
stay static, part of the key under which the compiled program is cached.
"""

import dataclasses
import math
from typing import Any, Self, dataclass_transform, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Hyperparameters:
    """Base of frozen, keyword-only config dataclasses whose float fields are pytree leaves.

    A subclass declares fields with defaults and may define ``check()``, called once when a user builds the config and
    never when JAX rebuilds it around tracers.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, lambda aux, leaves: _rebuild(cls, aux, leaves))

    def __post_init__(self) -> None:
        for name, hint in _numeric_fields(type(self)).items():
            if hint is float:
                object.__setattr__(self, name, float(getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Raise `UserError` for a value out of range. Overridden by configs that have ranges."""

    def traced(self) -> Self:
        """Return the same config with each float as an ``f32[]`` array, ready to be an argument of a jitted function."""
        return jax.tree.map(jnp.float32, self)


_LARGEST = float(np.finfo(np.float32).max)  # what a traced number can hold


def require_range(config: Any, name: str, low: float, high: float, *, open_low: bool = False) -> None:
    """Raise `UserError` unless ``low <= config.name <= high`` (``low <`` if ``open_low``)."""
    value = getattr(config, name)
    inside = (low < value if open_low else low <= value) and value <= high
    if not inside or not math.isfinite(value) or abs(value) > _LARGEST:
        interval = f"{'(' if open_low else '['}{low:g}, {'∞)' if math.isinf(high) else f'{high:.10g}]'}"
        raise UserError(f"{name} is {value!r}; allowed: {interval}")


def require_choice(config: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise `UserError` unless ``config.name`` is one of ``choices``."""
    value = getattr(config, name)
    if value not in choices:
        raise UserError(f"{name} is {value!r}; allowed: {', '.join(choices)}")


def _numeric_fields(cls: type) -> dict[str, type]:
    """Return the type of each field that is a number of the program, or a config with such numbers."""
    hints = get_type_hints(cls)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(cls)
        if hints[field.name] is float or _is_config(hints[field.name])
    }


def _is_config(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Hyperparameters)


def _flatten_with_keys(config: Any) -> tuple[list[tuple[Any, Any]], tuple[tuple[str, Any], ...]]:
    names = _numeric_fields(type(config))
    leaves = [(jax.tree_util.GetAttrKey(name), getattr(config, name)) for name in names]
    static = tuple((f.name, getattr(config, f.name)) for f in dataclasses.fields(config) if f.name not in names)
    return leaves, static


def _rebuild(cls: type, static: tuple[tuple[str, Any], ...], leaves: Any) -> Any:
    config = object.__new__(cls)
    for name, value in (*static, *zip(_numeric_fields(cls), leaves, strict=True)):
        object.__setattr__(config, name, value)
    return config
