"""``minied probe``: what the students of a run keep in mind of a world that asks."""

import dataclasses
from pathlib import Path
from typing import Any

from minied.commands.shared import positional, prepare, print_json
from minied.config.options import parse, take_option
from minied.config.parsing import parse_world
from minied.errors import UserError
from minied.run.folder import open_run

DESCRIPTION = """Play the world --env NAME with the students of the run in folder RUN, which learn nothing there, and read
the answer to its question (info["label"], as object_counting has one) off their memories by a linear classifier. Prints the
accuracy on levels that the classifier has not seen, beside that of fresh networks and of the most frequent answer; kept in
RUN/evaluation."""


@dataclasses.dataclass(frozen=True)
class ProbeOptions:
    """Options of `minied probe`."""

    checkpoint: int | None = None
    """Iteration of the checkpoint; by default the newest whole one."""
    levels: int = 3000
    """Levels that are played; two thirds are learnt from, the others asked about."""
    ridge: float = 0.01
    """Weight of the squared weights of the classifier."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: list[str]) -> int:
    """Probe; return the exit code."""
    run, rest = positional(arguments)
    if run is None:
        if {"-h", "--help"} & {*rest}:
            parse(ProbeOptions, rest, "minied probe RUN --env NAME", DESCRIPTION)
        raise UserError("minied probe needs the folder of a run: minied probe RUN --env NAME")
    if take_option(rest, "--env")[0] is None:
        raise UserError("minied probe needs a world that asks: --env NAME (object_counting, say)")
    env, options = parse_world(rest, ProbeOptions, "minied probe RUN", DESCRIPTION)
    if not 30 <= options.levels <= 10**6:
        raise UserError(f"--levels is {options.levels}; allowed: 30 to 1000000")
    if not 0 < options.ridge < float("inf"):
        raise UserError(f"--ridge is {options.ridge}; allowed: above 0")
    folder = open_run(Path(run))
    prepare()

    from minied.run.console import make_reporter, print_table
    from minied.run.probing import probe_run, write_probe

    with make_reporter(quiet=options.json) as reporter:
        report, lines = probe_run(folder, env, options.checkpoint, options.levels, options.ridge, reporter.phase)
        written, failures = write_probe(folder, report)
        for line in [*lines, *failures]:
            reporter.warn(line)
    files = [str(path) for path in written]
    if options.json:
        print_json(report | {"files": files})
        return 0
    print_table(_table(report))
    if files:
        print(f"written: {', '.join(files)}")
    return 0


def _table(report: dict[str, Any]) -> Any:
    from rich.table import Table

    unseen = report["levels"] - 2 * report["levels"] // 3
    title = f"answers read off memories, on {unseen} unseen levels"
    table = Table(title=title, title_justify="left", min_width=len(title))
    table.add_column("")
    table.add_column("accuracy", justify="right")
    for name in ("trained", "untrained"):
        told = report[name]
        low, high = told["interval"] or (None, None)
        interval = "" if low is None else f" [{low:.1%}, {high:.1%}]"
        table.add_row(name, f"{told['value']:.1%}{interval}")
    table.add_row("chance", f"{report['chance']:.1%}")
    return table
