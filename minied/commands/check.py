"""``minied check``: the conformance kit on a world, a teacher or a score."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minied import registry
from minied.adapters.base import AdaptedEnvironment, require
from minied.commands.shared import enable_compilation_cache, positional, print_json
from minied.config.options import is_terminal, parse, take_option
from minied.config.parsing import parse_config, parse_world
from minied.env import Environment
from minied.errors import UserError, unknown_name
from minied.teachers.base import Teacher
from minied.testing.environment import ENVIRONMENT_CHECKS, check_env
from minied.testing.levels import LEVEL_CHECKS, check_level_space
from minied.testing.report import Finding, Report, lines_of
from minied.testing.score import SCORE_CHECKS, check_score
from minied.testing.teacher import SMALL_LAKE, TEACHER_CHECKS, check_teacher

DESCRIPTION = """Check a world and its levels, a teacher or a score: a registered name, or package.module:Object, also of a
file in the current folder. A world's own options follow as --env.OPTION; a teacher is checked on a small lake, or on the
world --env NAME, with its options as --teacher.OPTION. Exit code 1 if a check fails."""
SMALL = {"buffer_size": 16, "minimum_fill": 0.5}
"""Options of a teacher that are smaller in a check than by default: in a few iterations little is seen of a large buffer."""
_TABLES = {"environment": (*ENVIRONMENT_CHECKS, *LEVEL_CHECKS), "teacher": TEACHER_CHECKS, "score": SCORE_CHECKS}
_COLOURS = {"passed": "green", "failed": "bold red", "noted": "yellow", "skipped": "dim"}


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Options of `minied check`."""

    json: bool = False
    """Print the report as JSON, and nothing else."""
    report: str = ""
    """Also write it to this file, as JSON."""
    only: tuple[str, ...] = ()
    """Checks to run; empty: all."""
    skip: tuple[str, ...] = ()
    """Checks to leave out."""
    check_seed: int = 0
    """Seed of levels, keys and actions."""
    levels: int = 16
    """How many levels of a world are played."""
    most_steps: int = 2000
    """Steps that a level is played at most; a world of longer episodes is looked at with a smaller max_steps."""
    min_solvable: float = 0.5
    """Share of a world's samples that must be solvable, where it can tell."""

    def __post_init__(self) -> None:
        for name, least in (("check_seed", 0), ("levels", 2), ("most_steps", 3)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}; allowed: at least {least}")
        if not 0 <= self.min_solvable <= 1:
            raise UserError(f"--min-solvable is {self.min_solvable}; allowed: 0 to 1")


def main(arguments: list[str]) -> int:
    """Check; return the exit code."""
    target, rest = positional(arguments)
    if target is None:
        if {"-h", "--help"} & set(rest):
            parse(CheckOptions, rest, "minied check TARGET", DESCRIPTION)
        raise UserError("minied check needs a TARGET: a registered name (see `minied list`), or package.module:Object")
    enable_compilation_cache()
    kind, thing = _find(target)
    options, run = _PREPARE[kind](target, thing, rest)
    _refuse_unknown_checks(kind, options)
    report_file = Path(options.report)
    if options.report and (report_file.is_dir() or not report_file.parent.is_dir()):
        raise UserError(f"--report is {options.report!r}; allowed: a file in a folder that exists")
    chosen = {"only": options.only, "skip": options.skip, "seed": options.check_seed}
    report = dataclasses.replace(run(chosen | {"tell": None if options.json else _teller()}), target=target)
    if options.report:
        Path(options.report).write_text(
            json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
    if options.json:
        print_json(report.to_dict())
    else:
        print(_summary(report))
    return 0 if report.is_good else 1


# -- what is meant -----------------------------------------------------------------------------------------------------


def _find(target: str) -> tuple[str, Any]:
    """Return what ``target`` names, and of which kind it is. Raises `UserError`."""
    if ":" in target:
        thing = registry.load_path(target, repr(target))
        return _kind_of(thing, target), thing
    kinds = [kind for kind in _TABLES if target in registry.names(kind)]
    if not kinds:
        known = [name for kind in _TABLES for name in registry.names(kind)]
        raise unknown_name("world, teacher or score", target, known)
    thing = registry.load(kinds[0], target)
    return _kind_of(thing, target), thing


def _kind_of(thing: Any, target: str) -> str:
    """Return of which kind a loaded object is. Raises `UserError` for none, and for a class that lacks what it must have."""
    for kind, base in (("environment", Environment), ("teacher", Teacher)):
        cls = thing if inspect.isclass(thing) else type(thing)
        if not issubclass(cls, base):
            continue
        if inspect.isabstract(cls):
            lacking = [name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False)]
            raise UserError(f"{target} lacks {', '.join(lacking)}; allowed: a {base.__name__} that defines them")
        return kind
    if callable(thing) and not inspect.isclass(thing):
        return "score"
    raise UserError(
        f"{target} is {thing!r}; allowed: an Environment (a class or an instance), a Teacher, or a score function"
    )


def _refuse_unknown_checks(kind: str, options: CheckOptions) -> None:
    known = [check.name for check in _TABLES[kind]]
    for name in (*options.only, *options.skip):
        if name not in known:
            raise unknown_name(f"check of a {kind}", name, known)
    if not set(options.only or known) - set(options.skip):
        raise UserError(f"--skip leaves none of the checks; allowed: some of {', '.join(options.only or known)}")


# -- of each kind ------------------------------------------------------------------------------------------------------

Prepared = tuple[CheckOptions, Callable[[Mapping[str, Any]], Report]]


def _of_world(target: str, thing: Any, rest: Sequence[str]) -> Prepared:
    if isinstance(thing, Environment):
        world, options = thing, parse(CheckOptions, rest, "minied check TARGET", DESCRIPTION)
    else:
        world, options = parse_world([f"--env={target}", *rest], CheckOptions, "minied check TARGET", DESCRIPTION)
    if isinstance(world, AdaptedEnvironment):
        require(world.library)  # or each check would say in turn that it is missing
    size = {"num_levels": options.levels, "most_steps": options.most_steps}

    def run(chosen: Mapping[str, Any]) -> Report:
        of_world = check_env(world, **size, **chosen)
        return of_world + check_level_space(world, **size, min_solvable=options.min_solvable, **chosen)

    return options, run


def _of_teacher(target: str, thing: Any, rest: Sequence[str]) -> Prepared:
    if isinstance(thing, Teacher):
        options = parse(CheckOptions, rest, "minied check TARGET", DESCRIPTION)
        return options, lambda chosen: check_teacher(thing, **chosen)
    fields = {field.name for field in dataclasses.fields(thing)}
    name, _ = take_option(rest, "--env")
    small = {key: getattr(SMALL_LAKE, key) for key in ("height", "width", "max_steps", "max_holes")}
    document = {
        "env": {"name": name} if name else {"name": "minied.testing.lake:Lake", **small},
        "teacher": {"name": target, **{key: value for key, value in SMALL.items() if key in fields}},
        "network": {"num_value_heads": 2, "num_policy_heads": 2},
        "num_envs": 4,
        "num_steps": 16,
    }
    parsed = None
    for num_students in (1, 2):  # some teachers compare students, and say so
        try:
            parsed = parse_config(
                rest, document | {"num_students": num_students}, "minied check", CheckOptions, "minied check"
            )
        except UserError as error:
            if num_students == 2 or "num_students" not in str(error):
                raise
        else:
            break
    assert parsed is not None
    config = parsed.config
    return parsed.command, lambda chosen: check_teacher(config.teacher, config.env, num_envs=config.num_envs, **chosen)


def _of_score(target: str, thing: Any, rest: Sequence[str]) -> Prepared:
    options = parse(CheckOptions, rest, "minied check TARGET", DESCRIPTION)
    return options, lambda chosen: check_score(thing, target, **chosen)


_PREPARE = {"environment": _of_world, "teacher": _of_teacher, "score": _of_score}


# -- telling -----------------------------------------------------------------------------------------------------------


def _teller() -> Callable[[Finding], None]:
    """Return what prints a finding as soon as it is there."""
    if not is_terminal():
        return lambda finding: print(*lines_of(finding), sep="\n", flush=True)
    from rich.console import Console
    from rich.text import Text

    console = Console()

    def tell(finding: Finding) -> None:
        first, *rest = lines_of(finding)
        console.print(Text(first[:6], _COLOURS[finding.verdict]).append(first[6:], "default"), soft_wrap=True)
        for line in rest:
            console.print(Text(line), soft_wrap=True)

    return tell


def _summary(report: Report) -> str:
    counts = {verdict: sum(each.verdict == verdict for each in report.findings) for verdict in _COLOURS}
    told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    return f"{report.target}: {told}" if report.is_good else f"{report.target}: {told}; it does not keep its contract"
