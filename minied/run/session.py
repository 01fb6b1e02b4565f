"""Training with everything around it: the run folder, metrics, evaluations, checkpoints, pictures, and being stopped.

The loop is plain Python between compiled chunks. At each boundary, in this order: a row of metrics, an evaluation if one
is due, a checkpoint if one is due. A run that is stopped or killed anywhere goes on from its newest checkpoint and
writes the same rows again, bit for bit.
"""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import jax

from minied.errors import UserError
from minied.run import metrics
from minied.run.checkpoint import Checkpoints
from minied.run.console import Progress, Reporter, duration, make_reporter
from minied.run.doubts import doubts
from minied.run.ending import conclude
from minied.run.evaluation import evaluate, suite_of
from minied.run.folder import RunFolder, create, refuse_existing
from minied.run.labels import differences
from minied.run.milestones import phases_in
from minied.run.stopping import StopFlag
from minied.run.transfer import Earlier, earlier_of, told
from minied.train.config import FREE_WHEN_RESUMING, TrainConfig
from minied.train.setting import spread_for

AGENT = "agent.gif"  # the last picture that a finished run draws


@dataclasses.dataclass(frozen=True)
class SessionOptions:
    """How a run is watched and told; nothing of this changes what is computed."""

    quiet: bool = False
    """Print nothing but errors and the last line."""
    pictures: bool = True
    """Draw the learning curve, proposed levels and the agent."""
    loop_capture: bool = False
    """On a GPU, record loops as command buffers (CUDA graphs). Computes the same; experimental, as XLA leaves it off."""
    wandb: metrics.WandbMode = "disabled"
    """Also log to Weights & Biases: offline writes files for `wandb sync`, online needs a login."""


def train(config: TrainConfig, path: Path, options: SessionOptions, preset: str = "") -> int:
    """Train a new run in the folder ``path``. Return the exit code: 0, or 130 or 143 if it was stopped.

    Raises `UserError` before anything is written if the path exists or the config cannot be trained.
    """
    from minied.train.program import Program

    refuse_existing(path)
    program = Program(config)
    earlier = earlier_of(config)
    if earlier:
        program.transfer(earlier.parameters)
    program.check()
    suite = suite_of(config, config.env.level_space)
    if suite:
        config.env.level_space.suite(suite)
    folder = create(path, config, preset)
    with folder.locked():
        return _run(program, folder, config, options, resuming=False, earlier=earlier)


def resume(folder: RunFolder, config: TrainConfig, options: SessionOptions) -> int:
    """Go on with a run from its newest whole checkpoint. Return the exit code, as `train` does.

    Args:
        folder: of the run.
        config: of the run, with options on top; only `FREE_WHEN_RESUMING` may differ from the saved config.
        options: of the session.

    Raises `UserError` naming the fields that differ, or if no checkpoint can be read.
    """
    from minied.train.program import Program

    description = folder.description()
    saved = folder.config()
    if saved.fingerprint != description.get("fingerprint"):
        raise UserError(
            f"{folder.path / 'config.json'} was edited, or another minied wrote it: its fingerprint differs"
        )
    refuse_changes(saved, config)
    with folder.locked():
        return _run(Program(config), folder, saved, options, resuming=True)


def refuse_changes(saved: TrainConfig, wanted: TrainConfig) -> None:
    """Raise `UserError` naming each field in which ``wanted`` differs, but for those that are free when resuming."""
    differing = [name for name in differences(saved.to_dict(), wanted.to_dict()) if name not in FREE_WHEN_RESUMING]
    if differing:
        raise UserError(
            f"a resumed run keeps its config, and these differ: {', '.join(differing)};"
            f" allowed: {', '.join(FREE_WHEN_RESUMING)}"
        )


def _run(
    program: Any,
    folder: RunFolder,
    saved: TrainConfig,
    options: SessionOptions,
    *,
    resuming: bool,
    earlier: Earlier | None = None,
) -> int:
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopFlag(quiet=options.quiet))
        checkpoints = stack.enter_context(Checkpoints(folder.checkpoints, saved.fingerprint))
        restored, warnings = _restore(program, folder, checkpoints) if resuming else (None, [])
        reporter = stack.enter_context(make_reporter(quiet=options.quiet))
        for line in warnings:
            reporter.warn(line)
        if restored is None and resuming:
            earlier = earlier_of(saved)
        reporter.phase("preparing the run")
        state = _first_state(program, earlier, reporter) if restored is None else restored
        sinks: list[Any] = [metrics.JsonlSink(folder)]
        if options.wandb != "disabled":
            sinks.append(metrics.WandbSink(folder, saved, options.wandb))
        session = _Session(
            program, folder, checkpoints, stack.enter_context(metrics.Sinks(*sinks)), reporter, stop, options
        )
        finished = session.run(state)
        num_kept = len(checkpoints.steps())
    conclude(folder, saved, options, session.updates, finished=finished, num_kept=num_kept)
    return 0 if finished else stop.exit_code


def _restore(program: Any, folder: RunFolder, checkpoints: Checkpoints) -> tuple[Any, list[str]]:
    """Return the state of the newest whole checkpoint, None if none was ever saved, and what to tell about it.

    The rows are cut back to what the checkpoint counts.
    """
    if not checkpoints.steps():
        folder.cut_rows({})
        return None, ["no checkpoint was saved yet: starting from the beginning"]
    restored = checkpoints.restore(jax.eval_shape(program.init))
    folder.cut_rows(restored.row_counts)
    warnings = [f"{line}; going on from iteration {restored.step}" for line in restored.skipped]
    before, now = folder.description().get("spread"), dataclasses.asdict(spread_for(program.config))
    if before not in (None, now):
        told = [
            f"{each['number']} devices ({each['axis']})" if each["number"] > 1 else "one device"
            for each in (before, now)
        ]
        warnings.append(f"this run was on {told[0]} and goes on on {told[1]}: what follows differs by rounding")
    return restored.state, warnings


def _first_state(program: Any, earlier: Earlier | None, reporter: Reporter) -> Any:
    """Return the state of a run that begins, with parameters of an earlier run if there is one, and tell which."""
    if earlier is None:
        return program.init()
    for line in earlier.skipped:
        reporter.warn(f"{line}; starting from iteration {earlier.step}")
    reporter.note(told(program.config, earlier, program.transfer(earlier.parameters)))
    return program.init(earlier.parameters)


class _Session:
    """One stretch of a run, from start or resume to its end or a stop."""

    def __init__(
        self,
        program: Any,
        folder: RunFolder,
        checkpoints: Checkpoints,
        sinks: metrics.Sinks,
        reporter: Reporter,
        stop: StopFlag,
        options: SessionOptions,
    ) -> None:
        self.program, self.folder, self.checkpoints, self.sinks = program, folder, checkpoints, sinks
        self.reporter, self.stop, self.options = reporter, stop, options
        self.config: TrainConfig = program.config
        self.suite = suite_of(self.config, self.config.env.level_space)
        self.counters: dict[str, int] = {}
        self._trained_seconds = 0.0  # of chunks after the first, which compiles
        self._trained_updates = 0
        self._trained_steps = 0
        self._started = time.monotonic()
        self._drawing_seconds = 0.0

    @property
    def updates(self) -> int:
        """Student updates so far."""
        return self.counters["student_updates"]

    def run(self, state: Any) -> bool:
        """Train until the run is finished or a stop is asked for; return whether it is finished."""
        self.counters = self.program.counters(state)
        finished = self.program.is_finished(state)
        if self.counters["iterations"]:
            what = "finished already" if finished else "going on"
            steps = self.config.env_steps  # the run ends by whichever comes first
            budget = f", {self.counters['env_steps']} of {steps} environment steps" if steps else ""
            of_updates = "" if steps and self.updates < self.config.updates else f" of {self.config.updates}"
            self.reporter.note(f"{what}, at {self.updates}{of_updates} updates{budget}")
        for line in doubts(self.config):
            self.reporter.warn(line)
        if self.counters["iterations"] == 0 and not self.folder.row_counts()["evaluations"]:
            self._evaluate(state)
        chunk = 0
        if self.config.start_from.run and not self.checkpoints.steps():
            self._save(state)  # so that the run that it goes on from is not needed again
        saved = self.counters["iterations"] if self.checkpoints.steps() else None
        while not (finished or self.stop.is_set):
            state = self._advance(state, first=chunk == 0)
            finished = self.program.is_finished(state)
            if finished or self._is_due(self.config.evaluate_every):
                self._evaluate(state)
            if self._is_due(self.config.checkpoint_every):
                self._save(state)
                saved = self.counters["iterations"]
            chunk += 1
        # After the loop, whatever ended it: a stop may be asked for between any two lines above.
        if saved != self.counters["iterations"]:
            self._save(state)
        if finished and self.options.pictures and (chunk or not (self.folder.pictures / AGENT).exists()):
            self._draw(state, final=True)
        return finished

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.counters["iterations"] % every == 0

    def _advance(self, state: Any, *, first: bool) -> Any:
        """Run to the next log boundary and write its rows."""
        if first:
            self.reporter.phase("loading or compiling the training program")
        before, start = self.counters, time.monotonic()
        every = self.config.log_every
        state, measured = self.program.advance(state, (before["iterations"] // every + 1) * every)
        seconds = time.monotonic() - start
        self.counters = self.program.counters(state)
        steps = (self.counters["env_steps"] - before["env_steps"]) * self.config.num_seeds
        if first:
            done = self.counters["iterations"] - before["iterations"]
            self.reporter.phase(f"compiled, first {done} iterations done in {duration(seconds)}")
        else:
            self._trained_seconds += seconds
            self._trained_steps += steps
            self._trained_updates += self.counters["student_updates"] - before["student_updates"]
        row = metrics.metrics_row(self.counters, measured)
        self.sinks.write("metrics", row)
        timing = {"seconds": round(seconds, 6), "steps_per_second": round(steps / seconds, 1), "compiling": first}
        self.sinks.write("timing", metrics.counters_row(self.counters) | timing)
        self.reporter.progress(self._progress(row))
        return state

    def _progress(self, row: dict[str, Any]) -> Progress:
        known = self._trained_seconds > 0
        total, steps = self.config.updates, self.counters["env_steps"]
        if self.config.env_steps and self.updates:  # the run ends by whichever comes first
            total = min(total, max(self.updates, math.ceil(self.updates * self.config.env_steps / steps)))
        rate = self._trained_updates / self._trained_seconds if known else 0.0
        levels, solve_rate = metrics.solve_rate_of(row)
        return Progress(
            updates=self.updates,
            total=total,
            steps_per_second=self._trained_steps / self._trained_seconds if known else math.nan,
            solve_rate=solve_rate,
            solved_levels=levels,
            solved_means=self.config.env.solved_means,
            tasks_done=metrics.tasks_done(row),
            seconds_left=(total - self.updates) / rate if rate else math.nan,
        )

    def _evaluate(self, state: Any) -> None:
        if not self.suite:
            return
        self.reporter.phase(f"evaluating on {self.suite!r}")
        row = evaluate(self.program, state, self.suite, self.config.attempts, self.counters)
        self.sinks.write("evaluations", row)
        rate = metrics.member_mean(row["solve_rate"])
        seen = phases_in(self.config.env.milestones, row.get("statistics", {}))
        self.reporter.note(
            f"after {self.updates} updates: {rate:.0%} of {self.suite!r} {self.config.env.solved_means}{seen}"
        )
        if self.options.pictures and self._drawing_seconds < 0.02 * (time.monotonic() - self._started):
            self._draw(state, final=False)

    def _save(self, state: Any) -> None:
        self.reporter.phase("saving a checkpoint")
        self.sinks.flush()
        counts = self.folder.row_counts()
        step = self.counters["iterations"]
        self.checkpoints.save(step, state, self.counters, counts, self.config.keep_checkpoints)

    def _draw(self, state: Any, *, final: bool) -> None:
        from minied.run.pictures import draw_run

        start = time.monotonic()
        self.reporter.phase("drawing pictures")
        for line in draw_run(self.folder, self.program, state, self.suite, with_agent=final):
            self.reporter.warn(line)
        self._drawing_seconds += time.monotonic() - start
