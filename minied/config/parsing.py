"""From presets, YAML files, saved configs and command-line options to one checked `TrainConfig`.

There is one validator. A file is flattened to the options that a user would type (``ppo: {clip: 0.1}`` is
``--ppo.clip 0.1``), the user's own options follow, and all go through the same parser: later wins. The classes of the
world, of the teacher and of the bonus are chosen first, since their fields are options too.
"""

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from minied import registry
from minied.config import presets
from minied.config.options import build, draft_of, fields_of, no_options, parse, take_option
from minied.env import Environment
from minied.errors import UserError, suggestion
from minied.students.bonuses.base import BonusChoice
from minied.teachers.base import Teacher
from minied.train.config import TrainConfig

T = TypeVar("T")
_BASES = {"env": ("environment", Environment), "teacher": ("teacher", Teacher), "bonus": ("bonus", BonusChoice)}
_DEFAULTS = {"bonus": "none"}  # of sections that a document need not have


class Parsed(NamedTuple):
    """A config, and the options of a command that are no part of it."""

    config: TrainConfig
    command: Any


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """A command without options of its own."""


def load_config(preset: str, arguments: Sequence[str] = ()) -> TrainConfig:
    """Return the config of a preset or YAML file with options on top. Raises `UserError`."""
    path = presets.find(preset)
    return parse_config(arguments, presets.read(path), str(path)).config


def config_from_dict(data: Mapping[str, Any], source: str = "the config") -> TrainConfig:
    """Return the config that `TrainConfig.to_dict` gave. Raises `UserError`, which names ``source``."""
    return parse_config((), data, source).config


def parse_config(
    arguments: Sequence[str],
    document: Mapping[str, Any],
    source: str,
    command: type = NoOptions,
    program: str = "minied train",
    description: str = "",
) -> Parsed:
    """Return the config that a document and the options after it describe.

    Args:
        arguments: options as typed; `UserError` tells what is wrong with them.
        document: nested data, as in a preset.
        source: what to call the document in errors.
        command: a dataclass with the options of the command itself.
        program: the command's name, for its help.
        description: what its help says first.
    """
    document = dict(document)
    classes: dict[str, type] = {}
    for section in presets.NAMED_SECTIONS:
        chosen, arguments = take_option(arguments, f"--{section}")
        classes[section], document[section] = _choose(section, chosen, document.get(section), source)
    draft = draft_of(TrainConfig, **classes)
    options = dataclasses.make_dataclass(
        "Options", [("command", _flat(command)), ("config", _flat(draft))], frozen=True
    )
    options.__doc__ = description
    tokens = [*_flatten(document, draft, source), *arguments]
    parsed = parse(options, tokens, program, description, [f"--{section}" for section in presets.NAMED_SECTIONS])
    return Parsed(build(TrainConfig, parsed.config, classes), parsed.command)


def parse_world(
    arguments: Sequence[str], command: type[T], program: str, description: str = ""
) -> tuple[Environment, T]:
    """Return the world that ``--env NAME`` and ``--env.OPTION`` describe, and the options of the command.

    Without ``--env`` it is the world of the default preset, with the preset's options. Raises `UserError`.
    """
    name, arguments = take_option(arguments, "--env")
    source = str(presets.find(presets.DEFAULT_PRESET))
    preset = presets.read(Path(source))["env"] if name is None else {}
    cls, document = _choose("env", name, preset, source)
    arguments = [*_flatten(document, draft_of(cls), source, "env."), *arguments]
    options = dataclasses.make_dataclass(
        "Options",
        [("command", _flat(command)), ("env", draft_of(cls), dataclasses.field(default_factory=draft_of(cls)))],
    )
    parsed = parse(options, arguments, program, description, ["--env"])
    return build(cls, parsed.env, path="env."), parsed.command


def _flat(cls: type) -> Any:
    """Return the type of a section whose options carry no prefix."""
    import tyro

    return Annotated[cls, tyro.conf.arg(name="")]


# -- which world, which teacher, which bonus ----------------------------------------------------------------------------


def _choose(section: str, chosen: str | None, saved: Any, source: str) -> tuple[type, dict[str, Any]]:
    """Return the class of a section and the document's options for it: none if the user chose another class."""
    saved = {} if saved is None else saved
    if isinstance(saved, str):
        saved = {"name": saved}
    if not isinstance(saved, Mapping):
        raise UserError(f"{source}: {section} is {saved!r}; allowed: a mapping with a name and options")
    options = {key: value for key, value in saved.items() if key != "name"}
    name = chosen if chosen is not None else _require_name(section, saved.get("name"), source)
    cls = _class_of(section, name)
    if (
        chosen is not None
        and "name" in saved
        and _class_of(section, _require_name(section, saved["name"], source)) is not cls
    ):
        options = {}
    return cls, options


def _require_name(section: str, name: Any, source: str) -> str:
    kind, _ = _BASES[section]
    if name is None and section in _DEFAULTS:
        return _DEFAULTS[section]
    if name is None:
        known = ", ".join(registry.names(kind)) or "none installed"
        raise UserError(
            f"{source} names no {section}: add `include: quick`, `{section}: {{name: …}}` or --{section}; known: {known}"
        )
    if not isinstance(name, str):
        raise UserError(f"{source}: {section}.name is {name!r}; allowed: {', '.join(registry.names(kind))}")
    return name


def _class_of(section: str, name: str) -> type:
    kind, base = _BASES[section]
    cls = registry.load(kind, name)
    if not (isinstance(cls, type) and issubclass(cls, base) and dataclasses.is_dataclass(cls)):
        raise UserError(f"the {kind} {name!r} is {cls!r}; allowed: a dataclass that subclasses {base.__name__}")
    if inspect.isabstract(cls):
        missing = ", ".join(name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False))
        raise UserError(
            f"the {kind} {name!r} lacks {missing}; allowed: a subclass of {base.__name__} that defines them"
        )
    return cls


# -- documents to options ----------------------------------------------------------------------------------------------


def _flatten(document: Mapping[str, Any], cls: type, source: str, prefix: str = "") -> Iterator[str]:
    """Yield the options that a document stands for. Raises `UserError` for an unknown key or a value of a wrong kind."""
    hints = fields_of(cls)
    for key, value in document.items():
        name = str(key).replace("-", "_")
        path = f"{prefix}{name}"
        if name not in hints:
            raise UserError(f"{source}: unknown key {prefix + str(key)!r}{_suggest_key(name, prefix, hints)}")
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise UserError(f"{source}: {path} is {value!r}; allowed: a mapping of options")
            assert isinstance(hint, type)
            yield from _flatten(value, hint, source, f"{path}.")
        else:
            _check_kind(value, hint, path, source)
            yield from _option(f"{prefix}{{}}{name}".replace("_", "-"), value)


def _suggest_key(name: str, prefix: str, hints: Mapping[str, Any]) -> str:
    found = suggestion(name, list(hints))
    if not hints:
        return no_options(prefix.rstrip("."))
    return found.replace("'", f"'{prefix}", 1) if found else f"; known: {', '.join(hints)}"


def _check_kind(value: Any, hint: Any, path: str, source: str) -> None:
    """Raise `UserError` if a file's value is of another kind than the field: words for numbers above all."""
    if isinstance(value, Mapping):
        raise UserError(f"{source}: {path} is {dict(value)!r}; allowed: {_kind_name(hint)}")
    kinds = {bool: (bool,), int: (int,), float: (float, int), str: (str,)}
    expected = kinds.get(hint) if isinstance(hint, type) else None
    if expected is None:
        return
    if not isinstance(value, expected) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{source}: {path} is {value!r}; allowed: {_kind_name(hint)}")


def _kind_name(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(str(choice) for choice in typing.get_args(hint))
    return names.get(hint, str(hint))


def _option(flag: str, value: Any) -> Iterator[str]:
    """Yield the option that sets ``flag``, a name with a place ``{}`` for ``no-``, to ``value``."""
    plain = f"--{flag.format('')}"
    if isinstance(value, bool):
        yield plain if value else f"--{flag.format('no-')}"
    elif isinstance(value, (list, tuple)):
        yield plain
        yield from (str(item) for item in value)
    else:
        yield f"{plain}={value}"
