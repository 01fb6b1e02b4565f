"""What came of a sweep: a line for each setting, over the members that differ in their seeds alone.

Everything here is made of the rows of the members and nothing else, so that it is the same bytes whatever happened since.
"""

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minied.evaluate import statistics
from minied.run.comparison import Estimate, estimate
from minied.run.evaluation import scores_of
from minied.run.files import Write, write_all
from minied.run.metrics import Row, member_mean, solve_rate_of
from minied.sweep.folder import SweepFolder
from minied.sweep.halving import OF_THE_SEED, setting_key


@dataclass(frozen=True)
class Line:
    """One setting. Solve rates are those of the last evaluation of each member on the suite."""

    fields: dict[str, Any]  # what is varied, but for the seeds; with several bases also `base`
    members: tuple[int, ...]
    ended: tuple[str, ...]  # why each is over, or in brackets how its group stands
    env_steps: tuple[int, int]  # least and most of a member
    student_updates: tuple[int, int]
    evaluated: int  # members that were
    mean: float | None
    iqm: Estimate | None  # interquartile mean over members x entries of the suite
    training: float | None  # solve rate in the last row of metrics, of new levels first; mean over members


def lines_of(sweep: SweepFolder) -> list[Line]:
    """Return the settings, best interquartile mean first; among equals, and without one, in the order of the file."""
    description = sweep.description()
    ends = {}
    for number, members in enumerate(description["groups"]):
        status = sweep.status(number)
        ends |= {str(each): f"({status['state']})" for each in members if status["state"] != "finished"}
        ends |= {each: end for each, end in status.get("members", {}).items() if end}
    several = len({member["preset"] for member in description["members"]}) > 1
    settings: dict[str, list[int]] = {}
    for number in range(len(description["members"])):
        settings.setdefault(setting_key(sweep.member(number).description()["config"]), []).append(number)
    lines = []
    for members in settings.values():
        member = description["members"][members[0]]
        fields = {name: value for name, value in member["fields"].items() if name not in OF_THE_SEED}
        lines.append(_line(sweep, ({"base": member["preset"]} if several else {}) | fields, members, ends))
    return sorted(lines, key=lambda line: -line.iqm.value if line.iqm else math.inf)


def _line(sweep: SweepFolder, fields: dict[str, Any], members: list[int], ends: dict[str, str]) -> Line:
    evaluations = [_last(sweep, number, "evaluations") for number in members]
    rows = [_last(sweep, number, "metrics") for number in members]
    known = [row for row in evaluations if row is not None]
    scores = np.concatenate([scores_of(row) for row in known]) if known else None
    training = [solve_rate_of(row)[1] for row in rows if row is not None]
    training = [rate for rate in training if not math.isnan(rate)]
    return Line(
        fields=fields,
        members=tuple(members),
        ended=tuple(ends.get(str(number), "") for number in members),
        env_steps=_range(rows, "env_steps"),
        student_updates=_range(rows, "student_updates"),
        evaluated=len(known),
        mean=float(np.mean([member_mean(row["solve_rate"]) for row in known])) if known else None,
        iqm=None if scores is None else estimate(statistics.interquartile_mean, scores),
        training=float(np.mean(training)) if training else None,
    )


def _last(sweep: SweepFolder, number: int, kind: str) -> Row | None:
    rows = sweep.member(number).read_rows(kind)
    return rows[-1] if rows else None


def _range(rows: list[Row | None], counter: str) -> tuple[int, int]:
    counts = [0 if row is None else row[counter] for row in rows]
    return min(counts), max(counts)


def write(sweep: SweepFolder, *, pictures: bool) -> tuple[list[str], list[str]]:
    """Write the table and its pictures; return the files, and one line for each that could not be written."""
    lines = lines_of(sweep)
    text = json.dumps([asdict(line) for line in lines], indent=2, allow_nan=False) + "\n"
    files: dict[Any, Write] = {
        sweep.path / "table.json": lambda path: path.write_text(text, encoding="utf-8"),
        sweep.path / "table.csv": lambda path: path.write_text(_csv(lines), encoding="utf-8"),
    }
    if pictures:
        from minied.sweep.pictures import draw_sweep

        files[sweep.path / "sweep.png"] = lambda path: draw_sweep(lines, path)
    written, failures = write_all(files)
    return [str(path) for path in written], failures


def _csv(lines: list[Line]) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line.fields))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*names, "members", "env_steps", "mean", "iqm", "iqm_low", "iqm_high", "training_solve_rate", "ended"]
    )
    for line in lines:
        interval = line.iqm.interval if line.iqm and line.iqm.interval else (None, None)
        iqm = line.iqm.value if line.iqm else None
        numbers = [len(line.members), line.env_steps[1], line.mean, iqm, *interval, line.training]
        writer.writerow([*(line.fields.get(name) for name in names), *numbers, told_of_ends(line)])
    return text.getvalue()


def told_of_ends(line: Line) -> str:
    """Return why the members of a setting are over, each reason once, with how many if they differ."""
    reasons = [end.partition(":")[0] for end in line.ended]
    counted = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    return ", ".join(f"{number} {reason}" if len(counted) > 1 else reason for reason, number in counted.items())


def printed(lines: list[Line], most: int = 30) -> Any:
    """Return a table for a terminal, its first ``most`` lines."""
    from rich import box
    from rich.table import Table

    names = list(dict.fromkeys(name for line in lines for name in line.fields))
    shown = f", the best {most} of {len(lines)}" if len(lines) > most else ""
    table = Table(
        title=f"solve rate at the last evaluation of each member, by IQM over members and entries{shown}"
        if lines and lines[0].iqm
        else "solve rate",
        title_justify="left",
        box=box.SIMPLE,
        padding=0,
    )
    for name in names:
        table.add_column(name.replace(".", ".\n"), overflow="fold")
    evaluated = any(line.iqm for line in lines)
    for name in ("members", "env_steps", *(("mean", "IQM [95 %]") if evaluated else ("in training",)), "ended"):
        table.add_column(name, justify="right")
    for line in lines[:most]:
        interval = (
            f" [{line.iqm.interval[0]:.1%}, {line.iqm.interval[1]:.1%}]" if line.iqm and line.iqm.interval else ""
        )
        table.add_row(
            *(plain(line.fields.get(name)) for name in names),
            str(len(line.members)),
            f"{line.env_steps[1]:,}",
            *(
                (
                    "-" if line.mean is None else f"{line.mean:.1%}",
                    f"{line.iqm.value:.1%}{interval}" if line.iqm else "-",
                )
                if evaluated
                else ("-" if line.training is None else f"{line.training:.1%}",)
            ),
            told_of_ends(line),
        )
    return table


def plain(value: Any) -> str:
    """Return the value of a field as a person reads it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
