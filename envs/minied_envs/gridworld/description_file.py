"""How is a description of levels written in a file? As YAML, data only: nothing in it is ever executed.

map: |                    # words with blanks between them, as in the text of a level; the agent may be drawn
. . . # . . .
. . . # . . G
choices:
lock: any               # a colour drawn once a level: any, one, or a list
regions:
left: {top: 0, left: 0, height: 2, width: 3}      # or a list of several
between: {top: 0, left: 3, height: 2, width: 1}
placements:
- {put: locked lock door, region: between, replaces: wall}
- {put: lock key, region: left}
- {put: any ball, count: 2, probability: 0.5}
agent: {region: left, facing: any, clear_front: true}
mission: get to the goal
max_steps: 100
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minied.errors import UserError, suggestion
from minied.yaml_text import read_yaml
from minied_envs.grid.text import read_words
from minied_envs.gridworld.codes import COLOURS
from minied_envs.gridworld.description import ANY, Description, Placement, Rectangle
from minied_envs.gridworld.text import DRAWN_WITH, cell_codes

ENDINGS = (".yaml", ".yml")
_SIDES = ("top", "left", "height", "width")
_KEYS = ("map", "choices", "regions", "placements", "agent", "mission", "max_steps")
_AGENT = {"region": str, "facing": str, "clear_front": bool}


def read_text(value: str) -> str:
    """Return a description's text: what stands in the file that ``value`` names, or ``value`` if it is the text itself."""
    is_path = value.endswith(ENDINGS) and "\n" not in value
    if not is_path and (":" in value or "\n" in value):
        return value
    if not is_path:
        raise UserError(
            f"{value!r} is no description; allowed: a file that ends in {' or '.join(ENDINGS)}, or its text"
        )
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(f"{value} cannot be read: {found}; allowed: a YAML file that describes levels") from error


def from_text(text: str) -> Description:
    """Return the description that ``text`` is. Raises `UserError` that names the key, or the line, that is wrong."""
    data = _mapping(read_yaml(text, "the description"), _KEYS, "the description")
    if "map" not in data:
        raise UserError("the description has no map; allowed: `map: |` and the drawing below it")
    rows = read_words(_typed(data, "map", str, "the description"), cell_codes(), DRAWN_WITH)
    agent = _mapping(data.get("agent", {}), tuple(_AGENT), "agent")
    fields: dict[str, Any] = {f"agent_{name}": _typed(agent, name, _AGENT[name], "agent") for name in agent}
    for name, kind in (("mission", str), ("max_steps", int)):
        if name in data:
            fields[name] = _typed(data, name, kind, "the description")
    return Description(
        map=tuple(tuple(row) for row in rows),
        regions=tuple((name, _rectangles(name, value)) for name, value in _words(data, "regions").items()),
        choices=tuple((name, _colours(name, value)) for name, value in _words(data, "choices").items()),
        placements=tuple(_placement(i, each) for i, each in enumerate(_list(data, "placements"), 1)),
        **fields,
    )


def _placement(number: int, value: Any) -> Placement:
    where = f"placement {number}"
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Placement)} | {"put": str}
    data = _mapping(value, tuple(kinds), where)
    if "put" not in data:
        raise UserError(f"{where} does not say what to put; allowed: `put: red key`")
    return Placement(**{name: _typed(data, name, kinds[name], where) for name in data})


def _rectangles(name: str, value: Any) -> tuple[Rectangle, ...]:
    found = []
    for each in value if isinstance(value, list) else [value]:
        data = _mapping(each, _SIDES, f"region {name!r}")
        for side in _SIDES:
            if side not in data:
                raise UserError(f"region {name!r} has no {side}; allowed: {{{', '.join(f'{s}: …' for s in _SIDES)}}}")
        top, left, height, width = (_typed(data, side, int, f"region {name!r}") for side in _SIDES)
        found.append((top, left, height, width))
    return tuple(found)


def _colours(name: str, value: Any) -> tuple[str, ...]:
    if value == ANY:
        return COLOURS
    colours = value if isinstance(value, list) else [value]
    if not all(isinstance(colour, str) for colour in colours):
        raise UserError(f"choice {name!r} is {value!r}; allowed: any, a colour, or a list of colours")
    return tuple(colours)


def _words(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise UserError(f"{key} is {value!r}; allowed: names, each with what it stands for")
    return dict(value)


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    if not isinstance(value, list):
        raise UserError(f"{key} is {value!r}; allowed: a list")
    return value


def _mapping(value: Any, known: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is {value!r}; allowed: {{{', '.join(f'{name}: …' for name in known)}}}")
    for key in value:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}{suggestion(str(key), known)}; known: {', '.join(known)}")
    return value


def _typed(data: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = data[name]
    allowed = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        told = {bool: "true or false", int: "a whole number", float: "a number", str: "words"}[kind]
        raise UserError(f"{where}: {name} is {value!r}; allowed: {told}")
    return kind(value)
