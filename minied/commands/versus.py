"""``minied versus``: policies of runs against each other, team against team."""

import dataclasses
from pathlib import Path
from typing import Any

from minied.commands.shared import prepare, print_json
from minied.config.options import parse
from minied.errors import UserError

DESCRIPTION = """Play every pair of policies, one as team 0 and the other as team 1: the newest of several runs in folders
RUN..., or the kept checkpoints of one RUN. Prints how often team 0 won and its mean return, and ratings (Elo) of each policy
in each role with 95 % intervals over levels; they are kept, with a picture, in evaluation/ of the first RUN."""


@dataclasses.dataclass(frozen=True)
class VersusOptions:
    """Options of `minied versus`."""

    checkpoints: tuple[int, ...] = ()
    """Iterations of the checkpoints of one RUN; by default all that are kept."""
    untrained: bool = False
    """Also play a student with the fresh parameters of the first RUN's seed, as the first policy."""
    member: int = 0
    """Which member of each run plays."""
    suite: str = ""
    """A suite of the first RUN's world (`minied list suites`); by default the run's own."""
    attempts: int = 0
    """Episodes a pair and level; 0: as many as in the evaluations of the first RUN."""
    pictures: bool = True
    """Draw the picture beside the numbers."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: list[str]) -> int:
    """Play; return the exit code."""
    count = next((index for index, each in enumerate(arguments) if each.startswith("-")), len(arguments))
    paths = [Path(each) for each in arguments[:count]]
    options = parse(VersusOptions, arguments[count:], "minied versus RUN...", DESCRIPTION)
    if not paths:
        raise UserError("minied versus needs the folder of a run, or of several: minied versus RUN...")
    if options.attempts < 0:
        raise UserError(f"--attempts is {options.attempts}; allowed: at least 1, or 0 for the run's own")
    prepare()

    from minied.run.console import make_reporter, print_table
    from minied.run.evaluation import suite_of
    from minied.run.policies import load_policies, open_runs, untrained
    from minied.run.versus import parts_of, play, report_of, write_versus
    from minied.train.program import Program

    runs = open_runs(paths, options.checkpoints, options.member)
    least = 1 if options.untrained else 2  # policies of the runs
    config = runs[0].config
    suite = options.suite or suite_of(config, config.env.level_space)
    if not suite:
        raise UserError(f"{type(config.env).__name__} has no suites to play")
    program = Program(config)
    parts = parts_of(program, suite)
    policies, warnings = load_policies(runs, options.checkpoints, options.member, least)
    if options.untrained:
        policies.insert(0, untrained(runs[0], options.member))
    attempts = options.attempts or config.attempts
    with make_reporter(quiet=options.json) as reporter:
        for line in warnings:
            reporter.warn(line)
        reporter.phase(f"playing {len(policies) ** 2} pairs on {suite!r}")
        results = play(program, policies, parts, attempts)
        reporter.phase("rating them")
        report = report_of(program, policies, suite, attempts, results)
        written, failures = write_versus(policies, report, picture=options.pictures)
        for line in failures:
            reporter.warn(line)
    files = [str(path) for path in written]
    if options.json:
        print_json(report | {"files": files})
        return 0
    print_table(_table(report))
    role = report["ratings"]["role"]
    print(
        f"to play team {report['teams'][0]} is worth {_points(role, ' ')} points to {policies[0].label} against itself"
    )
    if files:
        print(f"written: {', '.join(files)}")
    return 0


def _table(report: dict[str, Any]) -> Any:
    """Return a table of one policy a line: its wins and returns as the first team, and its ratings in both roles."""
    from rich import box
    from rich.table import Table

    one, other = report["teams"]
    title = (
        f"wins of team {one} (line) against team {other} (column) on {report['suite']!r}, {report['levels']} levels,"
        f" {report['attempts']} attempts a level; below, its mean return"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1), show_lines=True, min_width=60)
    table.add_column(f"team {one}", overflow="fold")
    labels = [policy["label"] for policy in report["policies"]]
    for label in labels:
        table.add_column(label, justify="right", overflow="fold")
    for team in (one, other):
        table.add_column(f"Elo as\nteam {team}", justify="right", no_wrap=True)
    ratings = report["ratings"]
    rows = zip(report["win_rate"], report["mean_return"], ratings["first_team"], ratings["second_team"], strict=True)
    for label, (wins, returns, first, second) in zip(labels, rows, strict=True):
        cells = [f"{win:.0%}\n{earned:.2f}" for win, earned in zip(wins, returns, strict=True)]
        table.add_row(label, *cells, _points(first), _points(second))
    return table


def _points(rating: dict[str, Any], between: str = "\n") -> str:
    """Return a rating, its interval in a line below."""
    value, low, high = (round(each) for each in (rating["value"], *(rating["interval"] or (rating["value"],) * 2)))
    return f"{value:+d}" if low == high else f"{value:+d}{between}[{low:+d}, {high:+d}]"
