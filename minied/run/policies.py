"""Which policies are to play each other, and can they? The newest of several runs, or the kept checkpoints of one."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from minied.env import Environment
from minied.errors import UserError
from minied.registry import name_of
from minied.run.checkpoint import Checkpoints
from minied.run.folder import RunFolder, open_run
from minied.run.labels import differences
from minied.train.config import TrainConfig

_MAX_DIFFERENCES = 3  # that an error tells


@dataclasses.dataclass(frozen=True)
class Policy:
    """The first student of a member of a run, as it was at a checkpoint."""

    label: str
    run: Path
    checkpoint: int  # iteration
    member: int
    counters: dict[str, int]
    parameters: Any


@dataclasses.dataclass(frozen=True)
class Run:
    """A run whose policies play."""

    folder: RunFolder
    config: TrainConfig

    @property
    def path(self) -> Path:
        """Of its folder."""
        return self.folder.path


def num_teams(env: Environment) -> int:
    """Return how many teams a world has."""
    return len(set(env.teams))


def open_runs(paths: Sequence[Path], checkpoints: Sequence[int], member: int) -> list[Run]:
    """Return the runs whose policies play.

    Args:
        paths: folders of runs. Of one run, its checkpoints play each other; of several, the newest of each.
        checkpoints: iterations, of one run; none: all that are kept.
        member: of every run.

    Raises `UserError` for runs that cannot meet (another world, other teams, observations, actions or networks), a world
    that has not two teams, and a member that is not there.
    """
    runs = [Run(folder := open_run(path), _config_of(folder)) for path in paths]
    _require_once(runs, checkpoints)
    for run in runs:
        _require_the_same_game(runs[0], run)
        if not 0 <= member < run.config.num_seeds:
            raise UserError(
                f"--member is {member}; allowed: 0 to {run.config.num_seeds - 1}, the members of {run.path}"
            )
    return runs


def untrained(run: Run, member: int) -> Policy:
    """Return the student of a run as its seed made it, before any training."""
    from minied.train.program import Program

    program = Program(dataclasses.replace(run.config, num_seeds=1, seed=run.config.seed + member))
    state = program.init()
    parameters = jax.tree.map(lambda leaf: leaf[0], state.members.student.parameters)
    return Policy("untrained", run.path, 0, member, program.counters(state), parameters)


def load_policies(
    runs: Sequence[Run], checkpoints: Sequence[int], member: int, least: int = 2
) -> tuple[list[Policy], list[str]]:
    """Return the policies, and a line for each newer checkpoint that is damaged; other arguments as of `open_runs`.

    Raises `UserError` for a checkpoint that is not there, and for fewer than ``least`` policies.
    """
    from minied.train.program import Program

    policies, warnings = [], []
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(_checkpoints_of(run)) for run in runs]
        for run, of_run in zip(runs, kept, strict=True):
            if not of_run.steps():
                raise UserError(f"{run.path} has no checkpoint; allowed: runs that have saved one")
        steps = _steps_of(runs[0], kept[0].steps(), checkpoints, least) if len(runs) == 1 else [None]
        names = [run.path.name for run in runs]
        for run, of_run in zip(runs, kept, strict=True):
            template = jax.eval_shape(Program(run.config).init)
            name = run.path.name if names.count(run.path.name) == 1 else str(run.path)
            for step in steps:
                restored = of_run.restore(template, step)
                warnings += [
                    f"{run.path}: {line}; taking that of iteration {restored.step}" for line in restored.skipped
                ]
                parameters = jax.tree.map(lambda leaf: leaf[member], restored.state.members.student.parameters)
                label = str(restored.step) if len(runs) == 1 else name
                policies.append(Policy(label, run.path, restored.step, member, restored.counters, parameters))
    return policies, warnings


def _config_of(folder: RunFolder) -> TrainConfig:
    # As for `minied eval`: what is played is the same on any number of devices.
    return dataclasses.replace(folder.config(), num_devices=0)


def _checkpoints_of(run: Run) -> Checkpoints:
    return Checkpoints(run.folder.checkpoints, run.folder.description()["fingerprint"], read_only=True)


def _require_once(runs: Sequence[Run], checkpoints: Sequence[int]) -> None:
    """Raise `UserError` for runs or checkpoints that are there twice, and for checkpoints of several runs."""
    places = [run.path.resolve() for run in runs]
    for index, run in enumerate(runs):
        if places[index] in places[:index]:
            raise UserError(f"{run.path} is given twice; allowed: each run once")
    for step in checkpoints:
        if list(checkpoints).count(step) > 1:
            raise UserError(f"--checkpoints has {step} twice; allowed: each once")
    if checkpoints and len(runs) > 1:
        raise UserError(f"--checkpoints is given with {len(runs)} runs; allowed: one run, or the newest of each")


def _steps_of(run: Run, kept: list[int], wanted: Sequence[int], least: int) -> list[int]:
    """Return the iterations of the checkpoints that play. Raises `UserError` for one that is not kept, and for too few."""
    told = ", ".join(map(str, kept)) or "none"
    for step in wanted:
        if step not in kept:
            raise UserError(f"--checkpoints has {step}; allowed: {told}, those that {run.path} keeps")
    steps = list(wanted) or kept
    if len(steps) < least:
        what = f"--checkpoints has {len(wanted)}" if wanted else f"{run.path} keeps {len(kept)} checkpoints"
        allowed = "at least two that play each other"
        more = "one with --untrained, several runs, or train with --checkpoint-every and --keep-checkpoints"
        raise UserError(f"{what}; allowed: {allowed} (kept: {told}), {more}")
    return steps


def _require_the_same_game(first: Run, run: Run) -> None:
    """Raise `UserError` unless the two can meet: in one world with two teams, seeing and doing the same, by one network."""
    ours, theirs = first.config.env, run.config.env
    worlds = [name_of(type(env)) for env in (ours, theirs)]
    if worlds[0] != worlds[1]:
        raise UserError(
            f"env is {worlds[0]!r} in {first.path} and {worlds[1]!r} in {run.path}; allowed: one world for all runs"
        )
    if (number := num_teams(ours)) != 2:
        raise UserError(f"{worlds[0]} has {number} {'teams' if number > 1 else 'team'}; allowed: worlds with two teams")
    by_config: list[tuple[str, Callable[[Environment], Any]]] = [
        ("the teams of agents", lambda env: tuple(env.teams)),
        ("observations", lambda env: env.observation_space),
        ("actions", lambda env: env.action_space),
    ]
    for what, part in by_config:
        if part(ours) != part(theirs) and what == "the teams of agents":
            told = f"{what} are {part(ours)} in {first.path} and {part(theirs)} in {run.path}"
            raise UserError(f"{told}; allowed: the same for all runs")
        if part(ours) != part(theirs):
            raise UserError(f"{_told(first, run, 'env')}: {what} differ; allowed: the same for all runs")
    if first.config.network != run.config.network:
        raise UserError(f"{_told(first, run, 'network')}; allowed: the same network for all runs")


def _told(first: Run, run: Run, section: str) -> str:
    """Return in which settings of a section two runs differ, with both values."""
    ours, theirs = (each.config.to_dict()[section] for each in (first, run))
    told = []
    for name in differences(ours, theirs)[:_MAX_DIFFERENCES]:
        values = []
        for value in (ours, theirs):
            for part in name.split("."):
                value = value[part]
            values.append(value)
        told.append(f"{section}.{name} is {values[0]!r} in {first.path} and {values[1]!r} in {run.path}")
    return ", ".join(told)
