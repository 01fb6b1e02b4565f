"""The groups of a sweep as an array of Slurm jobs, through submitit: the only importer of it.

A job that its time limit cuts off is told some time before by a signal; it saves, has itself requeued, and goes on from its
checkpoint in the same place of the array. submitit writes its jobs as pickles of its own, which are in no way needed to read
a sweep; what is in them is a path and a number.
"""

import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minied.errors import UserError
from minied.run.console import Reporter
from minied.sweep.folder import SweepFolder, open_sweep
from minied.sweep.work import is_preempted, work_on


@dataclasses.dataclass(frozen=True)
class SlurmOptions:
    """What is asked of Slurm for each group."""

    partition: str = ""
    """Partition; empty: Slurm's default."""
    hours: float = 24.0
    """Time limit of a job; a group that is cut off by it goes on in the same job, requeued."""
    signal_seconds: int = 180
    """So long before the limit a job is told; it must be enough for a chunk, or for compiling, and a checkpoint."""
    gpus: int = 0
    """GPUs of a job."""
    cpus: int = 1
    """CPU cores of a task."""
    tasks: int = 1
    """Processes of a job, one a node: each group over so many hosts."""
    memory_gb: float = 0.0
    """Main memory of a job; 0: Slurm's default."""
    at_once: int = 0
    """Groups that run at the same time at most; 0: as many as Slurm lets."""
    requeues: int = 100
    """How often a group may be cut off by its time limit and go on."""
    options: tuple[str, ...] = ()
    """More options of sbatch, each `name=value`."""
    wait: bool = False
    """Wait until all groups are over."""
    cluster: str = ""
    """`local` or `debug` run the same jobs here, by submitit; empty: Slurm."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range, and if there is no Slurm here."""
        at_least = {"gpus": 0, "cpus": 1, "tasks": 1, "memory_gb": 0, "at_once": 0, "requeues": 0, "signal_seconds": 1}
        for name, least in at_least.items():
            if not getattr(self, name) >= least:
                raise UserError(f"--slurm.{name.replace('_', '-')} is {getattr(self, name)}; allowed: at least {least}")
        if not self.hours > 0:
            raise UserError(f"--slurm.hours is {self.hours:g}; allowed: more than 0")
        for option in self.options:
            if "=" not in option:
                raise UserError(
                    f"--slurm.options has {option!r}; allowed: name=value, an option of sbatch without dashes"
                )
        if self.cluster not in ("", "local", "debug"):
            raise UserError(f"--slurm.cluster is {self.cluster!r}; allowed: local, debug, or nothing")
        if not self.cluster and shutil.which("srun") is None:
            raise UserError(
                "--launcher slurm needs Slurm, and srun is not found here; allowed: here, processes, print, or"
                " --slurm.cluster local"
            )


class GroupJob:
    """What a job does: work on one group; and what it leaves to be done if it is requeued: the same."""

    def __init__(self, path: str, number: int) -> None:
        self.path, self.number = path, number

    def __call__(self) -> int:
        """Work on the group. Return the exit code, or, if its time is over, have the job requeued and do not return."""
        from minied.commands.shared import prepare

        several = int(os.environ.get("SLURM_NTASKS", "1")) > 1
        prepare(["--distributed"] if several else [])
        code = work_on(open_sweep(Path(self.path)), self.number)
        if is_preempted(code):
            # What was to be saved is saved. The handler of submitit's own signal is submitit's again: it has the job
            # requeued and ends the process, whichever signal it was that came.
            os.kill(os.getpid(), getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))
        return code

    def checkpoint(self) -> Any:
        """Return what submitit shall run after a requeue."""
        return _submitit().helpers.DelayedSubmission(GroupJob(self.path, self.number))


def submit(sweep: SweepFolder, groups: Sequence[int], options: SlurmOptions, reporter: Reporter) -> int:
    """Submit the groups as jobs. Return 0, or with ``options.wait`` 1 if one of them failed."""
    options.check()
    queued = {} if options.cluster else {number: job for number in groups if (job := _queued_job(sweep, number))}
    for number, job in queued.items():
        reporter.note(f"group {number} is job {job} still, and is not submitted again")
    groups = [number for number in groups if number not in queued]
    if not groups:
        return 0
    folder = sweep.path / "slurm"
    executor = _submitit().AutoExecutor(
        folder=folder, cluster=options.cluster or "slurm", slurm_max_num_timeout=options.requeues
    )
    parameters: dict[str, Any] = {
        "name": "minied",
        "timeout_min": max(1, round(60 * options.hours)),
        "cpus_per_task": options.cpus,
        "gpus_per_node": options.gpus,
        "tasks_per_node": 1,
        "nodes": options.tasks,
        "slurm_signal_delay_s": options.signal_seconds,
        "slurm_array_parallelism": options.at_once or len(groups),
        "slurm_additional_parameters": dict(option.split("=", 1) for option in options.options),
    }
    if options.memory_gb:
        parameters["mem_gb"] = options.memory_gb
    if options.partition:
        parameters["slurm_partition"] = options.partition
    if not options.gpus:
        del parameters["gpus_per_node"]
    executor.update_parameters(**parameters)
    path = str(sweep.path.absolute())
    with executor.batch():
        jobs = [executor.submit(GroupJob(path, number)) for number in groups]
    for number, job in zip(groups, jobs, strict=True):
        if not options.cluster:
            sweep.tell(number, sweep.status(number)["state"], job=job.job_id)
        reporter.note(f"group {number} is job {job.job_id}; its logs lie in {folder}")
    if not (options.wait or options.cluster == "debug"):
        reporter.note(f"when they are over: minied sweep {sweep.path} --table")
        return 0
    codes = [_code_of(job, reporter) for job in jobs]  # waits for all of them
    return int(any(codes))


def _queued_job(sweep: SweepFolder, number: int) -> str:
    """Return the job of a group that Slurm still knows, or an empty string."""
    job = sweep.status(number).get("job", "")
    known = job and subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True)
    return job if known and known.returncode == 0 and known.stdout.strip() else ""


def _code_of(job: Any, reporter: Reporter) -> int:
    try:
        return max(job.results())  # of every task
    except Exception as error:  # whatever became of it there, or on the way back
        reporter.warn(f"job {job.job_id}: {' '.join(str(error).split())[:300]}")
        return 1


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError("--launcher slurm needs submitit: pip install 'minied[slurm]'") from error
    return submitit
