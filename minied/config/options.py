"""Command-line options from dataclasses by tyro, with every error told in one line.

tyro reads types and docstrings; its own error boxes are replaced through its hook for parse errors. A *draft* of a
config class is the same fields without the checks, so that the checks run once, on the whole, and name the full path of
the field that is wrong.
"""

import dataclasses
import functools
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from minied import registry
from minied.errors import UserError, suggestion

T = TypeVar("T")


def take_option(arguments: Sequence[str], flag: str) -> tuple[str | None, list[str]]:
    """Return the last value of ``flag`` (``--flag x`` or ``--flag=x``) or None, and the arguments without it."""
    value, rest, remaining = None, [], iter(arguments)
    for argument in remaining:
        if argument == flag:
            value = next(remaining, None)
            if value is None or value.startswith("--"):
                raise UserError(f"{flag} needs a value")
        elif argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
        else:
            rest.append(argument)
    return value, rest


def parse(
    options: type[T], arguments: Sequence[str], program: str, description: str = "", taken: Sequence[str] = ()
) -> T:
    """Return an instance of the dataclass ``options`` as the arguments say. Raises `UserError`; exits on ``--help``.

    What stands before ``--help`` is shown there as the default: a preset's values. ``taken`` are flags that were read before
    (`take_option`), for suggestions.
    """
    import tyro

    try:
        from tyro._errors import on_parse_error
    except ImportError as error:  # a private hook of tyro's
        raise ImportError("minied needs a tyro with the hook tyro._errors.on_parse_error, as 1.0.16 has it") from error
    known = [*_flags(options), *taken]
    with warnings.catch_warnings(), on_parse_error(lambda event: _refuse(event, known)):
        # The type variables of a world (its level, its state) name no option.
        warnings.filterwarnings("ignore", message="Could not resolve type parameter")
        arguments = list(arguments)
        helps = [each for each in arguments if each in ("-h", "--help")]
        if not helps:
            return tyro.cli(options, args=arguments, prog=program, description=description)
        shown = tyro.cli(options, args=[each for each in arguments if each not in helps], prog=program)
        return tyro.cli(options, args=helps[:1], prog=program, description=description, default=shown)


def _refuse(event: Any, known: list[str]) -> None:
    """Raise what tyro is about to complain of as a `UserError`."""
    argument = getattr(event, "argument", None)
    flag = argument.display_name() if argument is not None else ""
    kind = type(event).__name__
    if kind == "UnrecognizedArgs":
        raise UserError(_unrecognized(event.tokens[0], known))
    if kind == "InvalidChoice":
        raise UserError(f"{flag} is {event.value!r}{suggestion(event.value, event.choices)};"
                        f" allowed: {', '.join(event.choices)}")  # fmt: skip
    if kind == "BadValue" and event.reason == "too_few_values":
        raise UserError(f"{flag} needs a value")
    if kind == "BadValue":
        raise UserError(f"{flag} cannot be set: its type has no form on the command line")
    if kind == "MissingArgs":
        names = ", ".join(each.arg.display_name() for each in event.missing_arguments)
        raise UserError(f"missing: {names}")
    if kind == "InstantiationFailure":
        allowed = f"; allowed: {argument.lowered.metavar}" if argument is not None and argument.lowered.metavar else ""
        raise UserError(" ".join(f"{flag}: {_plain_reason(event.message)}{allowed}".split()))
    raise UserError(f"the command line cannot be understood ({kind})")


def _plain_reason(message: str) -> str:
    """Return Python's words for a wrong number in ours."""
    for start, noun in (
        ("invalid literal for int()", "a whole number"),
        ("could not convert string to float", "a number"),
    ):
        if message.startswith(start):
            return f"{message.rpartition(': ')[2]} is not {noun}"
    return message


def _unrecognized(token: str, known: list[str]) -> str:
    if not token.startswith("-"):
        return f"unexpected argument {token!r}; see --help"
    word = token.partition("=")[0].replace("_", "-")
    section = word.rpartition(".")[0]
    if section in known and not any(each.startswith(f"{section}.") for each in known):
        return f"unknown option {token.partition('=')[0]!r}{no_options(section.removeprefix('--'))}"
    return f"unknown option {token.partition('=')[0]!r}{_nearest(word, known)}; see --help"


def no_options(section: str) -> str:
    """Return what is told to who sets an option of a named section whose class has none."""
    if section == "bonus":
        choice = ", ".join(name for name in registry.names("bonus") if name != "none")
        return f"; no bonus is chosen: --bonus NAME, or `name` in its section; known: {choice}"
    return f"; this {section} has no options"


def _nearest(flag: str, known: list[str]) -> str:
    """Return a suggestion for a flag, comparing the last part of dotted names if the whole is near none."""
    found = suggestion(flag, known)
    if found:
        return found
    by_last_part = {each.rpartition(".")[2].removeprefix("--"): each for each in known}
    found = suggestion(flag.rpartition(".")[2].removeprefix("--"), list(by_last_part))
    for last_part, each in by_last_part.items():
        found = found.replace(f"'{last_part}'", f"'{each}'")
    return found


def _flags(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield every flag of an options dataclass, nested ones dotted."""
    for name, hint in fields_of(cls).items():
        path = prefix if _is_flattened(cls, name) else f"{prefix}{name}."
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _flags(hint, path)
        else:
            yield f"--{prefix}{name}".replace("_", "-")
            if hint is bool:
                yield f"--{prefix}no-{name}".replace("_", "-")


def _is_flattened(cls: type, name: str) -> bool:
    hint = typing.get_type_hints(cls, include_extras=True)[name]
    return any(getattr(extra, "name", None) == "" for extra in getattr(hint, "__metadata__", ()))


# -- drafts ------------------------------------------------------------------------------------------------------------


@functools.cache
def fields_of(cls: type) -> dict[str, Any]:
    """Return the type of each init field of a dataclass by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


@functools.cache
def draft_of(cls: type, **replaced: type) -> type:
    """Return a subclass of the dataclass ``cls`` whose checks are left out, also in the dataclasses nested in it.

    ``replaced`` gives another type to some fields: the concrete class of an abstract one.
    """
    annotations, defaults = {}, {}
    for field in dataclasses.fields(cls):
        hint = replaced.get(field.name, typing.get_type_hints(cls)[field.name])
        if field.init and dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            annotations[field.name] = draft_of(hint)
            default = field.default if field.name not in replaced else dataclasses.MISSING
            defaults[field.name] = _draft_default(draft_of(hint), default)

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(
            defaults,
            __annotations__=annotations,
            __post_init__=_no_checks,
            __module__=cls.__module__,
            __doc__=cls.__doc__,
            __qualname__=cls.__qualname__,
        )

    draft = types.new_class(cls.__name__, (cls,), exec_body=fill)
    if "__dataclass_fields__" in vars(draft):
        return draft  # a `Hyperparameters` makes dataclasses of its subclasses by itself
    return dataclasses.dataclass(frozen=True, kw_only=True)(draft)


def _no_checks(draft: Any) -> None:
    """Stand in for the ``__post_init__`` of a config."""
    del draft


def _draft_default(draft: type, default: Any) -> Any:
    """Return the default of a nested section as a draft instance, so that tyro shows its values."""
    if default is dataclasses.MISSING:
        return dataclasses.field(default_factory=draft)
    values = {name: getattr(default, name) for name in fields_of(draft)}
    return dataclasses.field(default_factory=lambda: _as_draft(draft, values))


def _as_draft(draft: type, values: dict[str, Any]) -> Any:
    hints = fields_of(draft)
    return draft(**{
        name: _as_draft(hints[name], {each: getattr(value, each) for each in fields_of(hints[name])})
        if dataclasses.is_dataclass(hints[name]) else value
        for name, value in values.items()
    })  # fmt: skip


def build(cls: Callable[..., T], draft: Any, classes: dict[str, type] | None = None, path: str = "") -> T:
    """Return an instance of ``cls`` with the values of ``draft``, checked. Errors name the full path of the field.

    ``classes`` gives the class of the fields that are declared with an abstract one.
    """
    hints = fields_of(cls) if isinstance(cls, type) else {}
    values = {}
    for name, hint in hints.items():
        value = getattr(draft, name)
        section = (classes or {}).get(name, hint)
        if dataclasses.is_dataclass(section) and isinstance(section, type):
            value = build(section, value, path=f"{path}{name}.")
        values[name] = value
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(_with_path(str(error), path, values)) from error
    except Exception as error:
        if getattr(cls, "__module__", "minied").partition(".")[0] in ("minied", "minied_envs"):
            raise  # a mistake of ours, to be seen whole
        raise UserError(f"{cls} cannot be made of its options: {type(error).__name__}: {error}") from error


def _with_path(message: str, path: str, fields: dict[str, Any]) -> str:
    """Return a config's message with the full path of the field that it starts with, if it starts with one."""
    first, _, rest = message.partition(" ")[0].partition(".")
    outer, _, section = path.rstrip(".").rpartition(".")
    if path and first in fields:
        return f"{path}{message}"
    if rest in fields and first == section and outer:  # it named its own section, not knowing what is around it
        return f"{outer}.{message}"
    return message


def is_terminal() -> bool:
    """Return whether a person watches: both standard output and standard error are terminals."""
    return sys.stdout.isatty() and sys.stderr.isatty()
