"""``minied compare``: runs against each other at equal environment steps."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minied.commands.shared import print_json
from minied.config.options import parse
from minied.errors import UserError
from minied.run.folder import RunFolder

if TYPE_CHECKING:
    from minied.run.comparison import Comparison, Estimate
    from minied.run.milestones import MilestoneOfGroup

DESCRIPTION = """Compare the runs in folders RUN... (of a sweep: all its members), finished or not, by their evaluations at
equal environment steps. Runs that differ in their seeds alone are one method. Intervals are of 95 % (stratified bootstrap
over members); methods are compared with that of the first RUN. Of a world with milestones also: in how many members each
phase emerged, and when."""


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Options of `minied compare`."""

    at: int | None = None
    """Compare the last evaluations at or before so many environment steps of a member; by default what all runs reached."""
    other_levels: bool = False
    """Also compare runs whose suites have other levels, as that of an ablation has, and tell what differs. It is for their
    milestones: solve rates on other levels say little against each other."""
    output: str = "comparison"
    """Folder for comparison.json and comparison.png; made if it does not exist."""
    pictures: bool = True
    """Draw the picture."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: list[str]) -> int:
    """Compare; return the exit code."""
    count = next((index for index, each in enumerate(arguments) if each.startswith("-")), len(arguments))
    paths = [path for each in arguments[:count] for path in _runs_in(Path(each))]
    options = parse(CompareOptions, arguments[count:], "minied compare RUN...", DESCRIPTION)
    if not paths:
        raise UserError("minied compare needs the folders of runs: minied compare RUN...")
    output = Path(options.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output is {options.output!r}, which is a file; allowed: a folder")
    if not output.parent.is_dir():
        raise UserError(f"--output is {options.output!r}; allowed: a folder in a folder that exists")

    from minied.run.comparison import compare
    from minied.run.console import make_reporter, print_table

    comparison = compare(paths, options.at, other_levels=options.other_levels)
    reporter = make_reporter(quiet=True)  # warnings only: there is nothing to wait for
    for line in comparison.warnings:
        reporter.warn(line)
    files = _write(comparison, output, options, reporter)
    if options.json:
        print_json(comparison.to_dict() | {"files": files})
        return 0
    print_table(_table(comparison))
    if comparison.milestones:
        print_table(_milestones_table(comparison))
    if files:
        print(f"written: {', '.join(files)}")
    return 0


def _runs_in(path: Path) -> list[Path]:
    """Return the run at ``path``, or the members of the sweep there that were evaluated."""
    if not (path / "sweep.json").is_file():
        return [path]
    members = sorted(path.glob("members/*"))
    return [member for member in members if RunFolder(member).row_counts()["evaluations"]] or members[:1]


def _write(comparison: "Comparison", output: Path, options: CompareOptions, reporter: Any) -> list[str]:
    """Write the numbers and the picture; return the files, and tell of what fails in a line each."""
    import json

    from minied.run.figures import draw_comparison
    from minied.run.files import Write, write_all

    text = json.dumps(comparison.to_dict(), allow_nan=False, indent=2) + "\n"
    files: dict[Path, Write] = {output / "comparison.json": lambda path: path.write_text(text, encoding="utf-8")}
    if options.pictures:
        files[output / "comparison.png"] = lambda path: draw_comparison(comparison, path)
    written, failures = write_all(files)
    for line in failures:
        reporter.warn(line)
    return [str(path) for path in written]


def _table(comparison: "Comparison") -> Any:
    """Return a table of one method a line, narrow enough for the 100 columns of a log."""
    from rich import box
    from rich.table import Table

    entries = f"{len(comparison.entries)} {'entries' if len(comparison.entries) > 1 else 'entry'}"
    title = (
        f"solve rate on {comparison.suite!r} ({entries}, {comparison.attempts} attempts a level)"
        f" at {comparison.at:,} environment steps"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0, show_lines=True)
    table.add_column("method", overflow="fold", min_width=16)
    names = ["members\n(runs)", "env_steps", "mean", "IQM", "optimality\ngap"]
    several = len(comparison.methods) > 1
    for name in [*names, *(["P(better\nthan first)", "IQM less\nfirst's"] if several else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for method in comparison.methods:
        low, high = method.env_steps
        cells = [
            f"{method.members} ({len(method.runs)})",
            f"{low:,}" if low == high else f"{low:,}\nto {high:,}",
            f"{method.mean:.1%}",
            _cell(method.iqm),
            _cell(method.optimality_gap),
        ]
        versus = [_cell(method.improvement), _cell(method.difference, sign="+")] if several else []
        table.add_row(method.label, *cells, *versus)
    return table


def _milestones_table(comparison: "Comparison") -> Any:
    """Return a table of one milestone and method a line."""
    from rich import box
    from rich.table import Table

    title = "milestones, in environment steps of a member (median of Kaplan-Meier)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0, min_width=len(title))
    table.add_column("milestone", overflow="fold")
    table.add_column("method", overflow="fold", min_width=16)
    several = len(comparison.methods) > 1
    for name in ["reached", "median", *(["p (log-rank,\nagainst first)"] if several else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for milestone in comparison.milestones:
        for index, group in enumerate(milestone.groups):
            cells = [milestone.name if index == 0 else "", *_milestone_cells(group)]
            table.add_row(*cells[: len(table.columns)], end_section=group is milestone.groups[-1])
    return table


def _milestone_cells(group: "MilestoneOfGroup") -> list[str]:
    reached = f"{group.reached} of {len(group.members)}" if group.members else "-"
    median = "not reached" if group.median is None else f"{group.median:,}"
    p_value = "-" if group.p_value is None else f"{group.p_value:.3f}"
    return [group.label, reached, median if group.members else "-", p_value]


def _cell(estimate: "Estimate | None", sign: str = "") -> str:
    """Return an estimate in percent, its interval in a line below."""
    if estimate is None:
        return "-"
    told = f"{100 * estimate.value:{sign}.1f}%"
    if estimate.interval is None:
        return told
    low, high = estimate.interval
    return f"{told}\n[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
