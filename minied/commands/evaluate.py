"""``minied eval``: play held-out suites with the students of a run."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from minied.commands.shared import positional, prepare, print_json
from minied.config.options import parse
from minied.errors import UserError
from minied.run.console import make_reporter, print_table, results_table
from minied.run.folder import open_run

DESCRIPTION = """Evaluate the students of the run in folder RUN on held-out suites, and with --cvar on the levels of its
own generator that are worst for them. The numbers are printed and kept, with a picture, in RUN/evaluation."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of `minied eval`."""

    suite: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A suite (`minied list suites`); may be given several times. By default the run's own."""
    attempts: int = 0
    """Episodes a level; 0: as many as in the run's evaluations."""
    checkpoint: int | None = None
    """Iteration of the checkpoint; by default the newest whole one."""
    cvar: bool = False
    """Also measure the solve rate on the worst 0.01 to 100 % of many solvable levels, ranked by another play of them."""
    cvar_levels: int = 10_000
    """How many solvable levels --cvar draws."""
    pictures: bool = True
    """Draw the picture beside the numbers."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: list[str]) -> int:
    """Evaluate; return the exit code."""
    run, rest = positional(arguments)
    options = parse(EvaluateOptions, rest, "minied eval RUN", DESCRIPTION)
    if run is None:
        raise UserError("minied eval needs the folder of a run: minied eval RUN")
    if options.attempts < 0:
        raise UserError(f"--attempts is {options.attempts}; allowed: at least 1, or 0 for the run's own")
    if not 1 <= options.cvar_levels < 2**31:
        raise UserError(f"--cvar-levels is {options.cvar_levels}; allowed: 1 to 2147483647")
    folder = open_run(Path(run))
    prepare()
    # An evaluation is the same on any number of devices, and this machine may not have those of the run.
    config = dataclasses.replace(folder.config(), num_devices=0)
    suites = _suites(options, config)
    attempts = options.attempts or config.attempts

    import jax

    from minied.run.checkpoint import Checkpoints
    from minied.run.evaluation import evaluate
    from minied.run.milestones import phases_in
    from minied.run.reports import measure_cvar, report_of, write_report
    from minied.train.program import Program

    program = Program(config)
    with contextlib.ExitStack() as stack:
        fingerprint = folder.description()["fingerprint"]
        checkpoints = stack.enter_context(Checkpoints(folder.checkpoints, fingerprint, read_only=True))
        restored = checkpoints.restore(jax.eval_shape(program.init), options.checkpoint)
        reporter = stack.enter_context(make_reporter(quiet=options.json))
        for line in restored.skipped:
            reporter.warn(f"{line}; taking that of iteration {restored.step}")
        rows, tail = [], None
        for suite in suites:
            reporter.phase(f"evaluating on {suite!r}")
            rows.append(evaluate(program, restored.state, suite, attempts, restored.counters))
        if options.cvar:
            reporter.phase(f"playing {options.cvar_levels} solvable levels twice, {attempts} attempts each")
            tail = measure_cvar(program, restored.state, options.cvar_levels, attempts)
        reports = [report_of(folder, restored.step, row, tail) for row in rows or [None]]
        files = []
        for report in reports:
            written, failures = write_report(folder, report, picture=options.pictures)
            files += [str(path) for path in written]
            for line in failures:
                reporter.warn(line)
    if options.json:
        told: dict[str, Any] = {"run": str(folder.path), "checkpoint": restored.step, "evaluations": rows}
        told["aggregates"] = [report["aggregates"] for report in reports if "aggregates" in report]
        print_json(told | ({"cvar": tail} if tail else {}) | {"files": files})
        return 0
    for row, report in zip(rows, reports, strict=False):
        print_table(results_table([(f"after {row['student_updates']} updates", row)], config.env.solved_means))
        print(_summary(report["aggregates"]) + phases_in(config.env.milestones, row.get("statistics", {})))
    if tail is not None:
        print_table(_cvar_table(tail))
    if files:
        print(f"written: {', '.join(files)}")
    return 0


def _suites(options: EvaluateOptions, config: Any) -> list[str]:
    """Return the suites to play. Raises `UserError` for what cannot be, before anything is read or compiled."""
    from minied.run.evaluation import suite_of

    space = config.env.level_space
    for name in options.suite:
        if name not in space.suites:
            space.suite(name)
    if options.cvar:
        space.require("optimal_return", "minied eval --cvar")
    chosen = [name for name in options.suite or (suite_of(config, space),) if name]
    if not (chosen or options.cvar):
        raise UserError(f"{type(config.env).__name__} has no suites to evaluate on")
    return chosen


def _summary(aggregates: dict[str, Any]) -> str:
    """Return what the table does not say: aggregates over members and entries."""
    members, entries = aggregates["members"], aggregates["entries"]
    counts = f"{members} {'members' if members > 1 else 'member'} x {entries} {'entries' if entries > 1 else 'entry'}"
    iqm, gap = aggregates["iqm"], aggregates["optimality_gap"]
    return (
        f"over {counts}: interquartile mean {_with_interval(iqm['value'], iqm['interval'])},"
        f" optimality gap {_with_interval(gap['value'], gap['interval'])}"
    )


def _cvar_table(tail: dict[str, Any]) -> Any:
    """Return a table of solve rates: one line a share of the levels, worst first."""
    from rich.table import Table

    from minied.run.metrics import member_values

    title = f"CVaR: solve rate on the worst of {tail['levels']} solvable levels, {tail['attempts']} attempts a level"
    table = Table(title=title, title_justify="left", min_width=len(title))
    members = member_values(tail["shares"][0]["cvar"]).size
    for name in ("worst", "levels", "solve rate", "in the play that ranked"):
        table.add_column(name, justify="right")
    for index in range(members if members > 1 else 0):
        table.add_column(f"member {index}", justify="right")
    for each in tail["shares"]:
        by_member = [f"{value:.1%}" for value in member_values(each["cvar"])] if members > 1 else []
        table.add_row(
            f"{100 * each['share']:g}%",
            str(each["num_levels"]),
            _with_interval(each["mean"], each["interval"]),
            f"{each['biased_mean']:.1%}",
            *by_member,
        )
    return table


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.1%}" + (f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")
