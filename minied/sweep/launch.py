"""Who runs the groups of a sweep: this process, processes of this machine, Slurm, or a scheduler of the user's.

Every group is a unit that saves what it did, so that each launcher only starts what is missing; a group that was stopped
because somebody wants the machine back is started again from its checkpoint.
"""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from minied.errors import UserError
from minied.run.console import Reporter, make_reporter
from minied.run.stopping import StopFlag
from minied.run.trained import Trained
from minied.sweep.folder import SweepFolder
from minied.sweep.work import is_preempted, work_on

Launcher = Literal["here", "processes", "slurm", "print"]
_LOOK_SECONDS = 0.2


def run_here(
    sweep: SweepFolder, groups: Sequence[int], *, quiet: bool, trained: Mapping[int, Trained] | None = None
) -> int:
    """Work on the groups one after the other in this process. Return the code of a stop, 1 if one failed, or 0."""
    failed = False
    with StopFlag(quiet=quiet) as stop:  # one for all groups: a signal may come between two
        for number in groups:
            try:
                code = work_on(sweep, number, quiet=quiet, trained=(trained or {}).get(number), stop=stop)
            except UserError as error:  # another process works on it
                make_reporter(quiet=True).warn(str(error))
                code = 1
            if stop.is_set:
                return stop.exit_code
            failed |= code != 0
    return int(failed)


def command_of(sweep: SweepFolder, number: int) -> list[str]:
    """Return the command that works on one group, whoever runs it."""
    return [sys.executable, "-m", "minied.cli", "sweep", str(sweep.path), "--group", str(number)]


def lines_of(sweep: SweepFolder, groups: Sequence[int]) -> list[str]:
    """Return a line for each group, for a scheduler of the user's."""
    return [shlex.join(["minied", "sweep", str(sweep.path.absolute()), "--group", str(number)]) for number in groups]


def run_processes(
    sweep: SweepFolder,
    groups: Sequence[int],
    jobs: int,
    reporter: Reporter,
    start: Callable[..., "subprocess.Popen[bytes]"],
) -> int:
    """Work on the groups in processes of this machine, ``jobs`` at a time. Return as `run_here` does.

    What a process prints goes to the log of its group. A signal to stop is passed on to all of them, and waited for.
    """
    waiting, running, failed = list(groups), {}, False
    with StopFlag(quiet=True) as stop, contextlib.ExitStack() as logs:
        passed_on = False
        while running or (waiting and not stop.is_set):
            while waiting and len(running) < jobs and not stop.is_set:
                number = waiting.pop(0)
                log = logs.enter_context((sweep.group(number) / "log.txt").open("ab"))
                running[number] = start(command_of(sweep, number), stdout=log, stderr=log, env=_environment(jobs))
                reporter.note(f"group {number} begins; its log is {log.name}")
            if stop.is_set and not passed_on:
                passed_on = True
                reporter.note(f"stopping: {len(running)} groups save what they did")
                for process in running.values():
                    process.send_signal(stop.signal_number)
            for number, process in list(running.items()):
                if (code := process.poll()) is None:
                    continue
                del running[number]
                code = 128 - code if code < 0 else code  # of one that a signal ended before it could listen
                if is_preempted(code) and not stop.is_set:
                    reporter.note(f"group {number} was asked to stop and goes on")
                    waiting.append(number)
                elif code and not stop.is_set:
                    failed = True
                    if sweep.status(number)["state"] != "failed":  # it ended without a word
                        sweep.tell(number, "failed", error=f"exit code {code}; see {sweep.group(number) / 'log.txt'}")
                    reporter.warn(f"group {number} failed: {sweep.status(number)['error']}")
                elif not code:
                    reporter.note(f"group {number} is finished")
            time.sleep(_LOOK_SECONDS)
        return stop.exit_code or int(failed)


def _environment(jobs: int) -> dict[str, str]:
    """Return the environment of one of several processes: on CPU the cores are divided among them."""
    from minied.commands.shared import usable_cores

    if jobs == 1 or "JAX_NUM_CPU_DEVICES" in os.environ:
        return dict(os.environ)
    return os.environ | {"JAX_NUM_CPU_DEVICES": str(max(1, usable_cores() // jobs))}
