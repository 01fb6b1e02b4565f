"""What the scripts in ``benchmarks/`` share: their options, and the one JSON object that each prints."""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minied.bench import machine
from minied.bench.cases import Case
from minied.bench.measure import LEAST_SECONDS, Measurement, Tell, measure
from minied.bench.timing import geometric_mean
from minied.errors import UserError
from minied.run.console import PlainReporter, Reporter


def script_parser(description: str | None, rounds: int = 5) -> argparse.ArgumentParser:
    """Return a parser with the options that every script has; the first line of ``description`` is shown as its help."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=rounds, help="timings of each, in turn")
    parser.add_argument("--least-seconds", type=float, default=LEAST_SECONDS, help="of a timing")
    return parser


def main(script: Callable[[Reporter], dict[str, Any]]) -> None:
    """Run a script with a reporter of its progress, and print what it returns, with the machine, as one JSON object.

    Ends the process with one line for anything that the user can mend.
    """
    try:
        here = machine.describe()
        with PlainReporter() as reporter:
            result = script(reporter)
    except UserError as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None
    print(json.dumps({"machine": here} | result, indent=2, allow_nan=False))


def measure_groups(
    groups: Sequence[Sequence[Case]], arguments: argparse.Namespace, reporter: Reporter
) -> dict[str, Any]:
    """Return what came of groups of cases, each open at once, as JSON has it."""
    platform = machine.accelerator()[0]
    rows: list[Measurement] = []
    failed: list[str] = []
    for group in groups:
        with surviving(group[0], failed, reporter):
            rows += measure(group, arguments.rounds, reporter, platform=platform, least_seconds=arguments.least_seconds)
    told = {"rounds": arguments.rounds, "measurements": [row.to_dict() for row in rows]} | _means(rows)
    return told | ({"failed": failed} if failed else {})


@contextlib.contextmanager
def surviving(case: Case, failed: list[str], reporter: Tell) -> Iterator[None]:
    """Tell of a case that cannot be measured, and go on: what was measured before it is not lost for it."""
    try:
        yield
    except UserError as error:
        failed.append(f"{case.title}: {' '.join(str(error).split())}")
        reporter.warn(f"not measured: {failed[-1]}")


def _means(rows: Sequence[Measurement]) -> dict[str, Any]:
    """Return the geometric mean of the ratios to each of those that were compared with, over cases."""
    by_whom: dict[str, list[float]] = {}
    for row in rows:
        if row.ratio is not None:
            by_whom.setdefault(row.case.by, []).append(row.ratio.median)
    means = {by: {"geometric_mean": geometric_mean(each), "cases": len(each)} for by, each in by_whom.items()}
    return {"first_of_group_over": means} if means else {}
