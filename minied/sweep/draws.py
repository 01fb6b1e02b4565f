"""Points of a sweep that are drawn: by chance, or by a sequence that fills the box evenly (Sobol' 1967).

A sequence is shifted by one random vector, modulo 1 (Cranley and Patterson 1976), so that another seed gives other points.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from minied.errors import UserError
from minied.sweep.fields import dotted, require_keys

Method = Literal["random", "sobol"]
Scale = Literal["linear", "log", "integer", "log_integer"]
_KEYS = ("number", "method", "seed", "fields")


@dataclasses.dataclass(frozen=True)
class Range:
    """What a field is drawn from: an interval, whole numbers of one, or choices."""

    low: float = 0.0
    high: float = 0.0
    scale: Scale = "linear"
    choices: tuple[Any, ...] = ()

    def at(self, share: float) -> Any:
        """Return the value below which ``share``, in [0, 1), of the draws lie."""
        if self.choices:
            return self.choices[int(share * len(self.choices))]
        whole = "integer" in self.scale
        low, high = self.low, self.high + 1 if whole else self.high
        if "log" in self.scale:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        # Six digits are enough to tell settings apart, and can be read.
        return min(int(value), int(self.high)) if whole else min(max(float(f"{value:.6g}"), self.low), self.high)


@dataclasses.dataclass(frozen=True)
class Draws:
    """The section ``draws`` of a sweep file."""

    number: int
    method: Method
    seed: int
    fields: Mapping[str, Range]

    def points(self) -> list[dict[str, Any]]:
        """Return the points, always the same."""
        generator = np.random.default_rng(self.seed)
        size = len(self.fields)
        if self.method == "random":
            shares = generator.random((self.number, size))
        else:
            from scipy.stats import qmc

            powers = max(1, math.ceil(math.log2(self.number)))
            shares = qmc.Sobol(size, scramble=False).random_base2(powers)[: self.number]
            shares = (shares + generator.random(size)) % 1.0
        return [
            {name: each.at(float(share)) for (name, each), share in zip(self.fields.items(), row, strict=True)}
            for row in shares
        ]

    @classmethod
    def parse(cls, data: Any, source: str) -> "Draws":
        """Return what the data of the section say. Raises `UserError`."""
        require_keys(data, _KEYS, "draws", source)
        number, method, seed = data.get("number"), data.get("method", "random"), data.get("seed", 0)
        for name, value, least in (("number", number, 1), ("seed", seed, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{source}: draws.{name} is {value!r}; allowed: a whole number, at least {least}")
        if method not in get_args(Method):
            raise UserError(f"{source}: draws.method is {method!r}; allowed: {', '.join(get_args(Method))}")
        fields = data.get("fields")
        if not isinstance(fields, Mapping) or not fields:
            raise UserError(
                f"{source}: draws.fields is {fields!r}; allowed: fields, each with low and high, or choices"
            )
        ranges = {next(iter(dotted({name: None}))): _range(name, each, source) for name, each in fields.items()}
        if len(ranges) < len(fields):
            raise UserError(f"{source}: draws.fields names a field twice; allowed: each field once")
        return cls(int(number or 0), method, seed, ranges)


def _range(name: str, data: Any, source: str) -> Range:
    where = f"{source}: draws.fields.{name}"
    if not isinstance(data, Mapping) or not (
        {*data} == {"choices"} or {"low", "high"} <= {*data} <= {"low", "high", "scale"}
    ):
        raise UserError(f"{where} is {data!r}; allowed: {{low: …, high: …, scale: …}} or {{choices: […]}}")
    if "choices" in data:
        if not isinstance(data["choices"], list) or not data["choices"]:
            raise UserError(f"{where}.choices is {data['choices']!r}; allowed: a list of at least one value")
        return Range(choices=tuple(data["choices"]))
    low, high, scale = data["low"], data["high"], data.get("scale", "linear")
    for end, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UserError(f"{where}.{end} is {value!r}; allowed: a number")
    if not low < high:
        raise UserError(f"{where}.high is {high!r}; allowed: more than low = {low!r}")
    if scale not in get_args(Scale):
        raise UserError(f"{where}.scale is {scale!r}; allowed: {', '.join(get_args(Scale))}")
    if "log" in scale and low <= 0:
        raise UserError(f"{where}.low is {low!r}; allowed with scale {scale}: more than 0")
    if "integer" in scale and not (isinstance(low, int) and isinstance(high, int)):
        raise UserError(f"{where} goes from {low!r} to {high!r}; allowed with scale {scale}: whole numbers")
    return Range(low, high, scale)
