"""What are several configs called, so that a reader sees in what they differ?"""

from collections.abc import Sequence
from typing import Any

_MAX_DIFFERENCES = 3  # that a label tells


def labels_of(methods: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return a label for each ``(name, config)``: the name, and among equal names the settings in which they differ."""
    labels = []
    for name, config in methods:
        namesakes = [other for other_name, other in methods if other_name == name]
        differing = dict.fromkeys(field for other in namesakes for field in differences(config, other))
        flat = _flat(config)
        told = [
            flat[field] if field.endswith(".name") else f"{field}={flat[field]}" for field in differing if field in flat
        ][:_MAX_DIFFERENCES]
        labels.append(f"{name} ({', '.join(told)})" if told else name)
    for index, label in enumerate(labels):
        if labels.count(label) > 1:  # they differ in more than a label tells
            labels[index] = f"{label} #{index + 1}"
    return labels


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the dotted names of the settings in which two configs differ; of another class, the class alone."""
    ours, theirs = _flat(one), _flat(other)
    missing = object()
    differing = [name for name in {**ours, **theirs} if ours.get(name, missing) != theirs.get(name, missing)]
    others = tuple(name.removesuffix("name") for name in differing if name.endswith(".name"))
    return [name for name in differing if name.endswith(".name") or not name.startswith(others)]


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
