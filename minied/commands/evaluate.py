"""``minied eval``: play held-out suites with the students of a run."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from minied.commands.shared import enable_compilation_cache, positional, print_json
from minied.config.options import parse
from minied.errors import UserError
from minied.run.console import print_table, results_table
from minied.run.folder import open_run

DESCRIPTION = "Evaluate the students of the run in folder RUN on held-out suites."


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of `minied eval`."""

    suite: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A suite (`minied list suites`); may be given several times. By default the run's own."""
    attempts: int = 0
    """Episodes a level; 0: as many as in the run's evaluations."""
    checkpoint: int | None = None
    """Iteration of the checkpoint; by default the newest whole one."""
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
    folder = open_run(Path(run))
    config = folder.config()
    suites = _suites(options.suite, config)
    enable_compilation_cache()

    import jax

    from minied.run.checkpoint import Checkpoints
    from minied.run.console import make_reporter
    from minied.run.evaluation import evaluate
    from minied.train.program import Program

    program = Program(config)
    with contextlib.ExitStack() as stack:
        fingerprint = folder.description()["fingerprint"]
        checkpoints = stack.enter_context(Checkpoints(folder.checkpoints, fingerprint, read_only=True))
        restored = checkpoints.restore(jax.eval_shape(program.init), options.checkpoint)
        reporter = stack.enter_context(make_reporter(quiet=options.json))
        for line in restored.skipped:
            reporter.warn(f"{line}; taking that of iteration {restored.step}")
        rows = []
        for suite in suites:
            reporter.phase(f"evaluating on {suite!r}")
            attempts = options.attempts or config.attempts
            rows.append(evaluate(program, restored.state, suite, attempts, restored.counters))
    if options.json:
        print_json({"run": str(folder.path), "checkpoint": restored.step, "evaluations": rows})
        return 0
    for row in rows:
        print_table(results_table([(f"after {row['student_updates']} updates", row)]))
    return 0


def _suites(given: tuple[str, ...], config) -> list[str]:
    """Return the suites to play. Raises `UserError` for an unknown one, before anything is read or compiled."""
    from minied.run.evaluation import suite_of

    space = config.env.level_space
    for name in given:
        if name not in space.suites:
            space.suite(name)
    chosen = list(given) or [suite_of(config, space)]
    if not chosen[0]:
        raise UserError(f"{type(config.env).__name__} has no suites to evaluate on")
    return chosen
