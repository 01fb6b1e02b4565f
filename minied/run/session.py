"""Training one run with everything around it: the run folder, metrics, checkpoints, pictures, and being stopped."""

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from minied import hosts
from minied.errors import UserError
from minied.run import metrics
from minied.run.checkpoint import Checkpoints, Restored
from minied.run.console import Reporter, make_reporter
from minied.run.ending import conclude
from minied.run.evaluation import suite_of
from minied.run.folder import RunFolder, create, refuse_existing
from minied.run.labels import differences
from minied.run.stopping import StopFlag
from minied.run.trained import One, Trained
from minied.run.training import Member, Session
from minied.run.transfer import Earlier, earlier_of, told
from minied.train.config import FREE_WHEN_RESUMING, LENGTHS, TrainConfig
from minied.train.setting import spread_for

AGENT = "agent.gif"  # the last picture that a finished run draws


@dataclasses.dataclass(frozen=True)
class SessionOptions(hosts.HostOptions):
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
    """Train a new run in the folder ``path``. Return the exit code: 0, or 128 and a signal if it was stopped.

    Raises `UserError` before anything is written if the path exists or the config cannot be trained.
    """
    from minied.train.program import Program

    refuse_existing(path)
    hosts.meet("nothing lies there")
    program = Program(config)
    earlier = earlier_of(config)
    if earlier:
        program.transfer(earlier.parameters)
    program.check()
    suite = suite_of(config, config.env.level_space)
    if suite:
        config.env.level_space.suite(suite)
    if hosts.is_primary():
        create(path, config, preset)
    hosts.meet("the folder is made")
    folder = RunFolder(path)
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
    if saved.ppo.anneal == "constant":
        differing = [name for name in differing if name not in LENGTHS]
    if differing:
        free = (*FREE_WHEN_RESUMING, *LENGTHS)
        why = " (the last two with ppo.anneal constant: here the learning rate goes by the length of the run)"
        raise UserError(
            f"a resumed run keeps its config, and these differ: {', '.join(differing)};"
            f" allowed: {', '.join(free)}{why if {*differing} & {*LENGTHS} else ''}"
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
    trained = One(program)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopFlag(quiet=options.quiet or not hosts.is_primary()))
        checkpoints = stack.enter_context(Checkpoints(folder.checkpoints, saved.fingerprint))
        restored, warnings = restore(trained, [folder], checkpoints) if resuming else (None, [])
        if restored:
            warnings += _told_of_devices(program, folder)
        reporter = stack.enter_context(make_reporter(quiet=options.quiet, silent=not hosts.is_primary()))
        for line in warnings:
            reporter.warn(line)
        if restored is None and resuming:
            earlier = earlier_of(saved)
        reporter.phase("preparing the run")
        state = _first_state(program, earlier, reporter) if restored is None else restored.state
        sinks: list[Any] = [metrics.JsonlSink(folder)] if hosts.is_primary() else []
        if options.wandb != "disabled" and sinks:
            sinks.append(metrics.WandbSink(folder, saved, options.wandb))
        member = Member(folder, program.config, stack.enter_context(metrics.Sinks(*sinks)))
        session = Session(
            trained,
            [member],
            checkpoints,
            reporter,
            stop,
            notes=restored.notes if restored else None,
            draw=functools.partial(_draw, folder, program) if options.pictures and hosts.is_primary() else None,
            is_pictured=(folder.pictures / AGENT).exists(),
        )
        is_over = session.run(state)
        num_kept = len(checkpoints.steps())
    if hosts.is_primary():
        conclude(folder, program.config, options, member, num_kept=num_kept)
    return 0 if is_over else stop.exit_code


def _draw(folder: RunFolder, program: Any, state: Any, suite: str, final: bool) -> list[str]:
    from minied.run.pictures import draw_run

    return draw_run(folder, program, state, suite, with_agent=final)


def restore(
    trained: Trained, folders: Sequence[RunFolder], checkpoints: Checkpoints
) -> tuple[Restored | None, list[str]]:
    """Return the newest whole checkpoint of runs in ``folders``, None if none was ever saved, and what to tell about it.

    The rows are cut back to what the checkpoint counts. Raises `UserError` if no checkpoint can be read.
    """
    if not checkpoints.steps():
        for folder in folders:
            _cut(folder, {})
        return None, ["no checkpoint was saved yet: starting from the beginning"]
    restored = checkpoints.restore(jax.eval_shape(lambda: trained.init([None] * len(folders))))
    counts = restored.row_counts
    for i, folder in enumerate(folders):
        _cut(folder, counts if len(folders) == 1 else counts[str(i)])
    return restored, [f"{line}; going on from iteration {restored.step}" for line in restored.skipped]


def _cut(folder: RunFolder, counts: Mapping[str, int]) -> None:
    if hosts.is_primary():
        folder.cut_rows(counts)
    hosts.meet("the rows are cut")


def _told_of_devices(program: Any, folder: RunFolder) -> list[str]:
    before, now = folder.description().get("spread"), dataclasses.asdict(spread_for(program.config))
    if before in (None, now):
        return []
    told = [
        f"{each['number']} devices ({each['axis']})" if each["number"] > 1 else "one device" for each in (before, now)
    ]
    return [f"this run was on {told[0]} and goes on on {told[1]}: what follows differs by rounding"]


def _first_state(program: Any, earlier: Earlier | None, reporter: Reporter) -> Any:
    """Return the state of a run that begins, with parameters of an earlier run if there is one, and tell which."""
    if earlier is None:
        return program.init()
    for line in earlier.skipped:
        reporter.warn(f"{line}; starting from iteration {earlier.step}")
    reporter.note(told(program.config, earlier, program.transfer(earlier.parameters)))
    return program.init(earlier.parameters)
