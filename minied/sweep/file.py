"""What does a sweep file say? Its base, what is varied, and how: a grid, a list, or draws; every field once.

    base: maze/accel                 # a preset or a config file, or a list of them
    options: {updates: 2000}         # over the base, nested or dotted
    grid:
      ppo.learning_rate: [1e-4, 3e-4, 1e-3]
      seed: [0, 1, 2, 3]
    list:
      - {teacher.replay_probability: 0.5}
      - {teacher.replay_probability: 0.8, teacher.staleness_coefficient: 0.1}
    draws:
      number: 16
      method: sobol                  # or random
      fields: {teacher.temperature: {low: 0.1, high: 1, scale: log}, ppo.num_epochs: {choices: [2, 5]}}
    halving: {first_env_steps: 1000000, factor: 2}

What grid, list and draws say is combined, each with each. Nothing in a file is ever executed.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minied.errors import UserError, suggestion
from minied.sweep.draws import Draws
from minied.sweep.fields import dotted
from minied.sweep.halving import Halving
from minied.yaml_text import read_yaml

_SECTIONS = ("base", "options", "grid", "list", "draws", "halving")
MAX_POINTS = 10_000


@dataclasses.dataclass(frozen=True)
class SweepFile:
    """A file that was read. Fields are dotted, with underscores."""

    name: str
    bases: tuple[str, ...]
    options: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    list: tuple[Mapping[str, Any], ...]
    draws: Draws | None
    halving: Halving | None

    @property
    def fields(self) -> tuple[str, ...]:
        """What is varied, in the order of the file."""
        listed = dict.fromkeys(name for each in self.list for name in each)
        return (*listed, *(self.draws.fields if self.draws else ()), *self.grid)

    def points(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the base and the fields of every point; what comes last in `fields` varies fastest."""
        drawn = self.draws.points() if self.draws else [{}]
        combined = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        for base, listed, draw, point in itertools.product(self.bases, self.list or ({},), drawn, combined):
            yield base, {**listed, **draw, **point}


def read(path: Path) -> SweepFile:
    """Return what a sweep file says. Raises `UserError`, which names the file, the field and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error
    return parse(read_yaml(text, str(path)), str(path), path.stem)


def parse(data: Any, source: str, name: str = "sweep") -> SweepFile:
    """Return what the data of a sweep file say; ``source`` is what errors call it."""
    if not isinstance(data, Mapping):
        raise UserError(f"{source} is no sweep; allowed: a mapping with a base and a grid, a list or draws")
    for key in data:
        if key not in _SECTIONS:
            raise UserError(f"{source}: unknown key {key!r}{suggestion(key, _SECTIONS)}; known: {', '.join(_SECTIONS)}")
    listed = _list(data.get("list", []), source)
    draws = Draws.parse(data["draws"], source) if data.get("draws") is not None else None
    file = SweepFile(
        name=name,
        bases=_bases(data.get("base"), source),
        options=dotted(_mapping(data.get("options") or {}, "options", source)),
        grid=_grid(data.get("grid"), source),
        list=listed,
        draws=draws,
        halving=Halving.parse(data["halving"], source) if data.get("halving") is not None else None,
    )
    _refuse_twice(file, source)
    if not file.fields and len(file.bases) == 1:
        raise UserError(f"{source} varies nothing; allowed: a grid, a list, draws, or several bases")
    number = len(file.bases) * max(len(listed), 1) * (draws.number if draws else 1)
    for values in file.grid.values():
        number *= len(values)
    if number > MAX_POINTS:
        raise UserError(f"{source} has {number} points; allowed: at most {MAX_POINTS}")
    return file


def _bases(value: Any, source: str) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{source}: base is {value!r}; allowed: the name of a preset or a file, or a list of them")
    if len({*names}) < len(names):
        raise UserError(f"{source}: base is {value!r}; allowed: each once")
    return tuple(names)


def _mapping(value: Any, section: str, source: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{source}: {section} is {value!r}; allowed: a mapping of fields")
    return value


def _grid(value: Any, source: str) -> dict[str, tuple[Any, ...]]:
    if value is None:
        return {}
    fields = dotted(_mapping(value, "grid", source))
    if not fields:
        raise UserError(f"{source}: grid is empty; allowed: fields, each with a list of values")
    for name, values in fields.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{source}: grid.{name} is {values!r}; allowed: a list of at least one value")
        if any(values.count(each) > 1 for each in values):
            raise UserError(f"{source}: grid.{name} is {values!r}; allowed: each value once")
    return {name: tuple(values) for name, values in fields.items()}


def _list(value: Any, source: str) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) and each for each in value):
        raise UserError(f"{source}: list is {value!r}; allowed: a list of mappings of fields")
    points = tuple(dotted(each) for each in value)
    for i, point in enumerate(points):
        if point in points[:i]:
            raise UserError(f"{source}: list has {point!r} twice; allowed: each point once")
    return points


def _refuse_twice(file: SweepFile, source: str) -> None:
    """Raise `UserError` for a field that two sections set."""
    listed = dict.fromkeys(name for each in file.list for name in each)
    drawn = file.draws.fields if file.draws else {}
    told: dict[str, str] = {}
    parts = {"options": file.options, "grid": file.grid, "list": listed, "draws": drawn}
    for section, names in parts.items():
        for name in names:
            for other, where in told.items():
                if _clash(name, other):
                    both = f"{where} and {section}" if where != section else section
                    raise UserError(f"{source}: {name} is listed twice, in {both}; allowed: each field once")
        told |= dict.fromkeys(names, section)


def _clash(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
