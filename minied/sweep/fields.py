"""Fields of a config by their dotted names, and the keys that a section of a sweep file may have."""

from collections.abc import Mapping, Sequence
from typing import Any

from minied.config.presets import NAMED_SECTIONS
from minied.errors import UserError, suggestion


def dotted(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested fields by their dotted names, with underscores; ``teacher: plr`` is ``teacher.name``.

    Raises `UserError` for a field that is there in two forms.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}".replace("-", "_")
        name = f"{name}.name" if name in NAMED_SECTIONS and not isinstance(value, Mapping) else name
        found = dotted(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
        for twice in found.keys() & flat.keys():
            raise UserError(f"{twice} is listed twice in one section of a sweep; allowed: each field once")
        flat |= found
    return flat


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted fields as nested data, the form of a config file."""
    data: dict[str, Any] = {}
    for name, value in fields.items():
        *sections, last = name.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return data


def require_keys(data: Any, known: Sequence[str], section: str, source: str) -> None:
    """Raise `UserError` unless ``data`` of a ``section`` is a mapping whose keys are ``known``."""
    if not isinstance(data, Mapping):
        raise UserError(f"{source}: {section} is {data!r}; allowed: a mapping with {', '.join(known)}")
    for key in data:
        if key not in known:
            raise UserError(
                f"{source}: unknown key '{section}.{key}'{suggestion(key, list(known))}; known: {', '.join(known)}"
            )
