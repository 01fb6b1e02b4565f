"""Groups as jobs: by submitit's local and debug executors, and what is refused. A real Slurm: benchmarks/slurm.py."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from minied.errors import UserError
from minied.run.console import QuietReporter
from minied.sweep import slurm
from minied.sweep.folder import open_sweep
from minied.sweep.slurm import GroupJob, SlurmOptions

QUIET = ("--quiet", "--no-pictures")


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_jobs_do_what_this_process_does(minied, start, sweep_file, workplace, cluster):
    file = sweep_file("{ppo.num_minibatches: [1, 2]}" if cluster == "local" else "{seed: [0, 1]}", updates=6)
    assert minied("sweep", file, "--sweep-dir", "here", *QUIET)[0] == 0
    options = ["--launcher", "slurm", "--slurm.cluster", cluster, "--slurm.wait"]
    process = start("sweep", file, "--sweep-dir", "s", *options, *QUIET)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "finished: s"
    assert (workplace / "s/table.json").read_bytes() == (workplace / "here/table.json").read_bytes()


@pytest.mark.parametrize("came", [signal.SIGUSR2, signal.SIGUSR1, signal.SIGTERM])
def test_a_job_whose_time_is_over_is_requeued(monkeypatch, tmp_path, came):
    """What is to be saved is saved by then; who set the handler before, submitit, does the rest."""
    heard = []
    monkeypatch.setattr(slurm, "open_sweep", lambda path: path)
    monkeypatch.setattr(slurm, "work_on", lambda sweep, number: 128 + came)
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    try:
        assert GroupJob(str(tmp_path), 3)() == 128 + came
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]


def test_a_requeued_job_does_the_same_again():
    """In a process of its own: submitit writes its log to whatever standard error is when it is imported."""
    script = "from minied.sweep.slurm import GroupJob; again = GroupJob('path', 3).checkpoint();"
    script += "print(type(again).__name__, again.function.path, again.function.number)"
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert told == "DelayedSubmission path 3\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"hours": 0.0}, "--slurm.hours is 0; allowed: more than 0"),
        ({"cpus": 0}, "--slurm.cpus is 0; allowed: at least 1"),
        ({"options": ("exclusive",)}, "--slurm.options has 'exclusive'; allowed: name=value"),
        ({"cluster": "lsf"}, "--slurm.cluster is 'lsf'"),
    ],
)
def test_what_slurm_cannot_be_asked_is_told(options, told):
    with pytest.raises(UserError, match=told):
        SlurmOptions(**options).check()


def test_without_slurm_it_is_told_what_else_there_is(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="srun is not found here; allowed: here, processes, print"):
        SlurmOptions().check()


@pytest.mark.slurm
def test_a_real_slurm_runs_an_array(minied, sweep_file, workplace):
    """With a Slurm that is up where this runs: `pytest -m slurm`; benchmarks/slurm.py brings one up and cuts jobs off."""
    file = sweep_file("{ppo.num_minibatches: [1, 2]}")
    options = ["--launcher", "slurm", "--slurm.wait", "--slurm.hours", "0.1"]
    assert minied("sweep", file, "--sweep-dir", "s", *options, *QUIET)[0] == 0
    assert open_sweep(workplace / "s").unfinished() == []
    assert os.listdir(workplace / "s/slurm")


def test_a_group_whose_job_slurm_still_knows_is_not_submitted_again(minied, sweep_file, workplace, monkeypatch):
    minied("sweep", sweep_file("{seed: [0]}"), "--sweep-dir", "s", "--launcher", "print")
    sweep, notes = open_sweep(workplace / "s"), []
    sweep.tell(0, "waiting", job="17_0")
    sweep.tell(0, "running")  # by the job itself
    assert sweep.status(0) == {"state": "running", "job": "17_0"}
    (workplace / "squeue").write_text("#!/bin/sh\necho $3 is running\n")
    (workplace / "srun").write_text("#!/bin/sh\n")
    for name in ("squeue", "srun"):
        (workplace / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(workplace), prepend=os.pathsep)
    reporter = QuietReporter()
    monkeypatch.setattr(reporter, "note", notes.append)
    assert slurm.submit(sweep, [0], SlurmOptions(), reporter) == 0
    assert notes == ["group 0 is job 17_0 still, and is not submitted again"]
    (workplace / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert slurm._queued_job(sweep, 0) == ""
