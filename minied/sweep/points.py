"""From the points of a sweep file to checked configs, and from those to groups that share a program."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from minied.config import presets
from minied.config.parsing import parse_config
from minied.errors import UserError
from minied.sweep.fields import nested
from minied.sweep.file import SweepFile
from minied.train.config import TrainConfig
from minied.train.lanes import program_key, splitting_fields


class Point(NamedTuple):
    """One member of a sweep."""

    preset: str
    fields: dict[str, Any]  # what is varied, dotted
    config: TrainConfig  # of one seed


def options_of(file: SweepFile, arguments: Sequence[str], command: type, source: str, description: str = "") -> Any:
    """Return the options of the command itself among ``arguments``. Raises `UserError`; exits on ``--help``."""
    base, fields = next(file.points())
    return _parsed(file, base, fields, arguments, command, source, description).command


def points_of(file: SweepFile, arguments: Sequence[str], command: type, source: str) -> list[Point]:
    """Return the members of a sweep, each of one seed: ``num_seeds`` above 1 in a base are so many members.

    Args:
        file: that was read.
        arguments: options of the command line, which win over the base.
        command: a dataclass with the options of the command itself, which stand among them.
        source: what errors call the file.

    Raises `UserError` for a field or a value that no config has, for a field that is varied and set on the command line, and
    for two members that are the same run.
    """
    _refuse_set_and_varied(file, arguments, source)
    points = []
    for base, fields in file.points():
        config = _parsed(file, base, fields, arguments, command, source).config
        several = config.num_seeds > 1
        for seed in range(config.seed, config.seed + config.num_seeds):
            one = dataclasses.replace(config, seed=seed, num_seeds=1)
            points.append(Point(base, {**fields, "seed": seed} if several else fields, one))
    seen: dict[str, int] = {}
    for i, point in enumerate(points):
        other = seen.setdefault(point.config.fingerprint, i)
        if other != i:
            told = points[other].fields or "the base"
            raise UserError(f"{source}: the members {other} and {i} are the same run ({told}); allowed: each once")
    return points


def _parsed(
    file: SweepFile,
    base: str,
    fields: Mapping[str, Any],
    arguments: Sequence[str],
    command: type,
    source: str,
    description: str = "",
) -> Any:
    document = presets.merge(presets.read(presets.find(base)), nested(file.options))
    document = presets.merge(document, nested(fields))
    told = f"{source} over {base}"
    return parse_config(arguments, document, told, command, program="minied sweep FILE", description=description)


def _refuse_set_and_varied(file: SweepFile, arguments: Sequence[str], source: str) -> None:
    for argument in arguments:
        if not argument.startswith("--"):
            continue
        *sections, last = argument.removeprefix("--").partition("=")[0].replace("-", "_").split(".")
        names = {".".join([*sections, each]) for each in (last, last.removeprefix("no_"))}
        names |= {f"{name}.name" for name in names if name in presets.NAMED_SECTIONS}
        for name in names & {*file.fields}:
            raise UserError(f"{name} is listed twice, in {source} and as {argument}; allowed: each field once")


def groups_of(configs: Sequence[TrainConfig], *, most: Mapping[Hashable, int] | None = None) -> list[list[int]]:
    """Return the members by program, each group in the order of the members.

    ``most`` says of some programs how many members fit into memory at once; their groups are divided evenly.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, config in enumerate(configs):
        groups.setdefault(program_key(config), []).append(number)
    found = []
    for key, members in groups.items():
        parts = -(-len(members) // max((most or {}).get(key, len(members)), 1))
        size = -(-len(members) // parts)
        found += [members[i : i + size] for i in range(0, len(members), size)]
    return found


def refuse_several_programs(configs: Sequence[TrainConfig]) -> None:
    """Raise `UserError`, which names the fields, unless all members share one program."""
    if fields := splitting_fields(configs):
        raise UserError(
            f"the members cannot share one program, because these fields split them: {', '.join(fields)}; allowed with"
            " --one-program: fields that only change numbers"
        )
