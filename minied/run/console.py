"""What a person sees of a run: a live bar at a terminal, plain lines in a log, next to nothing if quiet.

Progress goes to standard error; results go to standard output.
"""

import math
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

from minied.config.options import is_terminal
from minied.run.metrics import Row, member_mean, member_values

PLAIN_SECONDS = 10.0
"""Least time between two plain lines of progress."""


class Progress(NamedTuple):
    """How far a run is."""

    updates: int  # student updates so far
    total: int  # student updates in all
    steps_per_second: float  # environment steps of all members; NaN before it is known
    solve_rate: float  # of levels just played, mean over members; NaN if unknown
    solved_levels: str  # which levels those were
    solved_means: str  # see `minied.env.Environment.solved_means`
    tasks_done: str  # how many tasks are done; empty for a teacher of none
    seconds_left: float  # NaN before it is known


class Reporter(Protocol):
    """Tells a person what goes on."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End."""

    def phase(self, text: str) -> None:
        """Say what is done now that takes a while."""

    def progress(self, now: Progress) -> None:
        """Say how far the run is."""

    def note(self, text: str) -> None:
        """Say something worth keeping on the screen."""

    def warn(self, text: str) -> None:
        """Say that something went wrong that does not stop the run."""


def make_reporter(*, quiet: bool, silent: bool = False) -> Reporter:
    """Return the reporter for where the output goes; one that is ``silent`` does not even warn."""
    if silent:
        return SilentReporter()
    if quiet:
        return QuietReporter()
    return LiveReporter() if is_terminal() else PlainReporter()


class QuietReporter:
    """Only warnings."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def phase(self, text: str) -> None:
        """Nothing."""

    def progress(self, now: Progress) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """One line on standard error."""
        print(f"minied: {text}", file=sys.stderr, flush=True)


class SilentReporter(QuietReporter):
    """Nothing at all: of several processes one speaks."""

    def warn(self, text: str) -> None:
        """Nothing."""


class PlainReporter(QuietReporter):
    """Lines for a log: phases when they first come, notes, and progress at most once in `PLAIN_SECONDS`, but the last."""

    def __init__(self) -> None:
        self._last = -math.inf
        self._phases: set[str] = set()

    def phase(self, text: str) -> None:
        """One line, the first time."""
        if text not in self._phases:
            self._phases.add(text)
            self.note(text)

    def note(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr, flush=True)

    def progress(self, now: Progress) -> None:
        """One line, if it is time."""
        if now.updates < now.total and time.monotonic() - self._last < PLAIN_SECONDS:
            return
        self._last = time.monotonic()
        parts = [f"updates {now.updates}/{now.total}", *_parts(now)]
        print("  ".join(parts), file=sys.stderr, flush=True)


class LiveReporter:
    """A progress bar that also moves while a program compiles."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
        self._console = Console(stderr=True)
        self._bar = Bar(*columns, TextColumn("{task.fields[details]}"), console=self._console, transient=False)
        self._task = self._bar.add_task("starting", total=None, details="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def phase(self, text: str) -> None:
        """Name the phase beside the bar."""
        self._bar.update(self._task, description=text, refresh=True)

    def progress(self, now: Progress) -> None:
        """Move the bar."""
        details = "  ".join(_parts(now))
        self._bar.update(
            self._task, description="training", completed=now.updates, total=now.total, details=details, refresh=True
        )

    def note(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(f"minied: {text}", markup=False, highlight=False, soft_wrap=True)


def _parts(now: Progress) -> list[str]:
    parts = []
    if not math.isnan(now.solve_rate):
        parts.append(f"{now.solve_rate:.0%} of {now.solved_levels} levels {now.solved_means}")
    if now.tasks_done:
        parts.append(now.tasks_done)
    if not math.isnan(now.steps_per_second):
        parts.append(f"{_short(now.steps_per_second)} steps/s")
    if not math.isnan(now.seconds_left):
        parts.append(f"{duration(now.seconds_left)} left")
    return parts


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """Return a time span in two units at most, such as ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def results_table(rows: Sequence[tuple[str, Row]], solved_means: str = "solved") -> Any:
    """Return a table of solve rates: one line a suite entry, one column an evaluation of ``rows`` (title, row).

    With several members, the last evaluation is also given member by member. ``solved_means`` is the world's.
    """
    from rich.table import Table

    last = rows[-1][1]
    members = member_values(last["solve_rate"]).size
    what = "solve rate" if solved_means == "solved" else f"solve rate (levels {solved_means})"
    title = f"{what} on {last['suite']!r}, {last['attempts']} attempts a level"
    table = Table(title=title, title_justify="left", min_width=len(title))
    table.add_column("level")
    table.add_column("horizon", justify="right")
    for name, _ in rows:
        table.add_column(name, justify="right")
    for index in range(members if members > 1 else 0):
        table.add_column(f"member {index}", justify="right")

    def add(label: str, pick: Any, horizon: str = "", *, end_section: bool = False) -> None:
        cells = [_percent(member_mean(pick(row))) for _, row in rows]
        if members > 1:
            cells += [_percent(value) for value in member_values(pick(last))]
        table.add_row(label, horizon, *cells, end_section=end_section)

    entries = last["entries"]
    for index, (name, entry) in enumerate(entries.items()):
        count = entry["num_levels"]
        label = f"{name} ({count} levels)" if count > 1 else name
        pick = lambda row, name=name: row["entries"].get(name, {}).get("solve_rate")  # noqa: E731
        add(label, pick, str(entry["horizon"]), end_section=index == len(entries) - 1)
    count = sum(entry["num_levels"] for entry in entries.values())
    add(f"mean over {count} levels", lambda row: row["solve_rate"])
    if 1 < len(entries) < count:
        add(f"mean over {len(entries)} entries", lambda row: row["solve_rate_of_entries"])
    if "generalization_gap" in last:
        add("training levels", lambda row: row.get("train_solve_rate"))
        add("unseen levels of their kind", lambda row: row.get("test_solve_rate"))
        add("generalization gap", lambda row: row.get("generalization_gap"))
    return table


def _percent(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{rate:.0%}"


def print_table(table: Any) -> None:
    """Print a table to standard output, in a width that fits a log if nobody watches."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(table)
