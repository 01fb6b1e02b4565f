"""Which parameters does a run start from, if not from fresh ones? Those of a checkpoint of another run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from minied.errors import UserError
from minied.run.checkpoint import Checkpoints
from minied.run.folder import RunFolder, open_run
from minied.students.transfer import Transfer, layers
from minied.train.config import TrainConfig

T = TypeVar("T")
STUDENT = ".members.student.parameters"
"""Where in the state of a run its first student's parameters are."""


class Earlier(NamedTuple):
    """Parameters of another run."""

    parameters: dict[str, np.ndarray]  # [Q, ...] by name, Q members
    step: int  # the iteration of their checkpoint
    teams: tuple[int, ...] | None  # of each agent where they were learnt; None: a world that cannot be made any more
    skipped: tuple[str, ...]  # one line for each newer checkpoint that is damaged


def earlier_of(config: TrainConfig) -> Earlier | None:
    """Return what ``config.start_from`` names, None if it names nothing.

    Raises `UserError` that names the option if there is no such run or checkpoint, or if its parameters are of other teams.
    """
    start = config.start_from
    if not start.run:
        return None
    folder = _named("run", lambda: open_run(Path(start.run)))
    _refuse_other_teams(config, folder)
    fingerprint = folder.description()["fingerprint"]
    with Checkpoints(folder.checkpoints, fingerprint, read_only=True) as checkpoints:
        if start.checkpoint and start.checkpoint not in (steps := checkpoints.steps()):
            known = ", ".join(map(str, steps)) or "none, none was saved"
            raise UserError(f"start_from.checkpoint is {start.checkpoint}; allowed: 0, the newest, or {known}")
        restored = _named("run", lambda: checkpoints.restore_part(STUDENT, start.checkpoint or None))
    return Earlier(restored.state, restored.step, _teams_of(folder), restored.skipped)


def told(config: TrainConfig, earlier: Earlier, transfer: Transfer) -> str:
    """Return what was taken and what is new, in a line, and between how many it was learnt if they are others here."""
    anew = f"; drawn anew: {layers(transfer.reset)}" if transfer.reset else ""
    new = f"; new: {layers(transfer.new)}" if transfer.new else ""
    taken, total = len(transfer.taken), sum(len(names) for names in transfer)
    here = tuple(config.env.teams)
    there = here if earlier.teams is None else earlier.teams
    sizes = "" if _sizes(there) == _sizes(here) else f"; learnt {_sizes(there)}, goes on {_sizes(here)}"
    where = f"{config.start_from.run}, iteration {earlier.step}"
    return f"{taken} of {total} parameters are those of {where}{anew}{new}{sizes}"


def _teams_of(folder: RunFolder) -> tuple[int, ...] | None:
    """Return the teams of a run's world, None if its config is of another version: its parameters may fit all the same."""
    try:
        return tuple(folder.config().env.teams)
    except UserError:
        return None


def _sizes(teams: Sequence[int]) -> str:
    """Return how many are in each team, in words."""
    return " against ".join(str(list(teams).count(team)) for team in sorted(set(teams)))


def _refuse_other_teams(config: TrainConfig, folder: RunFolder) -> None:
    """Raise `UserError` if parameters of each team would go to other teams, or to nobody."""
    there, here = folder.description()["config"].get("network", {}).get("parameters"), config.network.parameters
    if "team" not in (there, here):
        return
    teams = tuple(_named("run", folder.config).env.teams)
    # Of one team, or of teams that share, the parameters are the same tree.
    if (there == here and teams == tuple(config.env.teams)) or len({*teams, *config.env.teams}) == 1:
        return
    raise UserError(
        f"start_from.run has parameters {there!r} for teams {teams}; allowed with network.parameters {here!r} and teams"
        f" {tuple(config.env.teams)}: the same"
    )


def _named(option: str, read: Callable[[], T]) -> T:
    """Return what ``read`` does, its error with the option's name before it."""
    try:
        return read()
    except UserError as error:
        raise UserError(f"start_from.{option}: {error}") from error
