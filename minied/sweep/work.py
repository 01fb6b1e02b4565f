"""Training one group of a sweep: a unit that can be stopped, killed and resumed by itself."""

import contextlib
import hashlib
import json
from typing import Any

from minied import hosts
from minied.errors import UserError
from minied.run import metrics
from minied.run.checkpoint import Checkpoints
from minied.run.console import Reporter, make_reporter
from minied.run.session import restore
from minied.run.stopping import REQUEUE, StopFlag
from minied.run.trained import Trained
from minied.run.training import FAILED, Member, Session
from minied.run.transfer import earlier_of
from minied.sweep.folder import SweepFolder
from minied.sweep.plan import trained_of
from minied.train.program import BrokenError

FAILED_CODE = 1


def work_on(
    sweep: SweepFolder,
    number: int,
    *,
    quiet: bool = False,
    trained: Trained | None = None,
    stop: StopFlag | None = None,
) -> int:
    """Train a group from where it is to its end, or until it is asked to stop. Return the exit code.

    0 if it is over, 130, 143, 138 or 140 if it was stopped by a signal, 1 if it failed, which is told in its status and in a
    line. A group that is finished is left as it is. ``trained`` is what trains it, if that is compiled already;
    ``stop`` is the wish to stop of who works on several groups.

    Raises `UserError` if another process works on it.
    """
    with sweep.locked(number):
        if hosts.agreed(sweep.status(number)["state"] == "finished"):
            return 0
        sweep.tell(number, "running")
        try:
            return _train(sweep, number, quiet=quiet, trained=trained, stop=stop)
        except KeyboardInterrupt:
            sweep.tell(number, "paused")
            return 130
        # Anything at all: the other groups shall go on, and this one is told.
        except Exception as error:
            told = " ".join(str(error).split()) or type(error).__name__
            if not isinstance(error, UserError):
                told = f"{type(error).__name__}: {told}"
            sweep.tell(number, "failed", error=told)
            if not hosts.is_primary():
                raise  # its own words may be the only ones
            make_reporter(quiet=True).warn(f"group {number} failed: {told}")
            return FAILED_CODE


def _train(sweep: SweepFolder, number: int, *, quiet: bool, trained: Trained | None, stop: StopFlag | None) -> int:
    folders = [sweep.member(each) for each in sweep.groups[number]]
    configs = [folder.config() for folder in folders]
    trained, primary = trained or trained_of(configs), hosts.is_primary()
    directory = sweep.group(number) / "checkpoints"
    _allow_files(4 * len(folders) + 256)
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(folder.locked())
        stop = stop or stack.enter_context(StopFlag(quiet=quiet or not primary))
        checkpoints = stack.enter_context(Checkpoints(directory, _fingerprint(configs)))
        begun = bool(checkpoints.steps())
        restored, warnings = restore(trained, folders, checkpoints)
        reporter = stack.enter_context(make_reporter(quiet=quiet, silent=not primary))
        reporter.note(_told(sweep, number))
        for line in warnings if begun else ():
            reporter.warn(line)
        reporter.phase("preparing the group")
        state = _first_state(trained, configs, reporter) if restored is None else restored.state
        members = [
            Member(
                folder, config, stack.enter_context(metrics.Sinks(*([metrics.JsonlSink(folder)] if primary else [])))
            )
            for folder, config in zip(folders, configs, strict=True)
        ]

        def keep(alone: Any, i: int) -> None:
            _keep(members[i], alone)

        notes = restored.notes if restored else None
        session = Session(trained, members, checkpoints, reporter, stop, rule=sweep.halving, notes=notes, keep=keep)
        try:
            over = session.run(state)
        except BrokenError as error:  # of a group of one, whose only member it is
            members[0].end(FAILED, str(error))
            reporter.warn(f"{members[0].folder.path}: {error}")
            over = True
    ends = {str(each): member.ended for each, member in zip(sweep.groups[number], members, strict=True)}
    sweep.tell(number, "finished" if over else "paused", members=ends)
    return 0 if over else stop.exit_code


def _allow_files(number: int) -> None:
    """Let this process have so many files open, if the system allows it: every member has some."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (number if hard == resource.RLIM_INFINITY else min(number, hard), hard)
        )


def _told(sweep: SweepFolder, number: int) -> str:
    members = sweep.groups[number]
    many = f"{len(members)} members" if len(members) > 1 else "1 member"
    return f"group {number} of {len(sweep.groups)}: {many}"


def _first_state(trained: Trained, configs: list[Any], reporter: Reporter) -> Any:
    earlier = [earlier_of(config) for config in configs]
    for each in earlier:
        for line in each.skipped if each else ():
            reporter.warn(line)
    return trained.init([each.parameters if each else None for each in earlier])


def _keep(member: Member, state: Any) -> None:
    """Save the state of a member that is over in its own folder, so that it is a run like any other."""
    with Checkpoints(member.folder.checkpoints, member.config.fingerprint) as checkpoints:
        step = member.counters["iterations"]
        if not member.ended.startswith(FAILED) and step not in checkpoints.steps():
            member.sinks.flush()
            checkpoints.save(step, state, member.counters, member.folder.row_counts(), 2)


def _fingerprint(configs: list[Any]) -> str:
    """Return what tells the checkpoints of this group from those of another."""
    text = json.dumps([config.fingerprint for config in configs])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_preempted(code: int) -> bool:
    """Return whether an exit code asks to be started again."""
    return code in REQUEUE
