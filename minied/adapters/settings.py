"""What is set of an environment that is not as its library has it? Options ``set``, each ``NAME=VALUE``."""

import inspect
import json
from collections.abc import Iterable, Sequence
from typing import Any

from minied.errors import UserError, unknown_name


def parted(settings: Sequence[str], example: str) -> dict[str, str]:
    """Return the text of each value by its name. Raises `UserError` for another form, and for a name that is given twice.

    ``example`` is a setting that could be, as it is told.
    """
    found: dict[str, str] = {}
    for setting in settings:
        name, sign, value = (part.strip() for part in setting.partition("="))
        if not (name and sign and value):
            raise UserError(f"set has {setting!r}; allowed: NAME=VALUE, such as {example}")
        if name in found:
            raise UserError(f"set has {name!r} twice; allowed: once")
        found[name] = value
    return found


def plain(text: str) -> Any:
    """Return what ``text`` is as JSON, or else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def arguments_of(cls: type) -> list[str] | None:
    """Return the names of the arguments that a class takes; None: it takes any, as far as can be told.

    A class that passes on what it does not know itself (``**kwargs``) takes also those of the next one it derives from.
    """
    known: list[str] = []
    for each in cls.__mro__[:-1]:  # the last one is object
        if "__init__" not in vars(each):
            continue
        taken = list(inspect.signature(each.__init__).parameters.values())[1:]  # but self
        known += [one.name for one in taken if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        if not any(one.kind is one.VAR_KEYWORD for one in taken):
            return list(dict.fromkeys(known))
    return None


def require_known(what: str, given: Iterable[str], known: Sequence[str] | None) -> None:
    """Raise `UserError` for a name of ``given`` that is not ``known``; None: any may be. ``what`` says what it names."""
    if known is None:
        return
    for name in given:
        if name not in known:
            raise unknown_name(what, name, list(known))
