"""Does a sweep survive a real Slurm? One node on loopback, an array of two groups, a time limit that cuts both off.

Needs Debian's packages (``apt-get install slurmctld slurmd munge``), root, and nothing else that runs Slurm on this machine:
a controller and a node daemon are started with a configuration of their own in a temporary folder, and ended afterwards.

Workload: six members of a small maze in two groups (two sizes of batch), each group a job of one core. The time limit of a
job is `--minutes`, less than a group takes; Slurm warns it `--signal-seconds` before, or up to a minute sooner.

Told: how often each job was requeued, whether all groups finished, and whether the table is, byte for byte, that of the same
sweep run here without any interruption.

    python benchmarks/slurm.py
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SWEEP = """
base: small/robust_plr
options: {{updates: {updates}, log_every: 5, evaluate_every: 100, checkpoint_every: 100, num_devices: 1}}
grid:
  num_envs: [16, 32]
  ppo.learning_rate: [1e-4, 3e-4, 1e-3]
"""

CONFIGURATION = """
ClusterName=minied
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
JobRequeue=1
KillWait=30
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A Slurm of this node; yield the environment in which its commands find it."""
    configuration = folder / "slurm.conf"
    host, cpus = socket.gethostname().split(".")[0], os.cpu_count() or 1
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, cpus=cpus))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    with ExitStack() as stack:
        if not Path("/run/munge/munge.socket.2").exists():
            Path("/run/munge").mkdir(exist_ok=True)
            subprocess.run(["chown", "munge:munge", "/run/munge"], check=True)
            stack.enter_context(daemon(["runuser", "-u", "munge", "--", "munged", "--foreground"], environment))
            wait_for(lambda: Path("/run/munge/munge.socket.2").exists(), "munge")
        stack.enter_context(daemon(["slurmctld", "-D"], environment))
        stack.enter_context(daemon(["slurmd", "-D", "-N", host], environment))

        def is_up() -> bool:
            told = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
            return told.stdout.strip() == "idle"

        wait_for(is_up, "the node")
        yield environment


@contextmanager
def daemon(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def wait_for(condition, what: str, seconds: float = 60.0) -> None:
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise SystemExit(f"{what} did not come up in {seconds:.0f} s")
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=2, help="time limit of a job")
    parser.add_argument("--signal-seconds", type=int, default=30, help="Slurm's warning before it")
    parser.add_argument("--updates", type=int, default=1500, help="length of each member")
    parser.add_argument("--give-up-minutes", type=int, default=40)
    arguments = parser.parse_args()
    minied = [sys.executable, "-m", "minied.cli"]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "sweep.yaml").write_text(SWEEP.format(updates=arguments.updates))
        environment = stack.enter_context(slurm(folder))
        options = [
            "--slurm.hours",
            str(arguments.minutes / 60),
            "--slurm.signal-seconds",
            str(arguments.signal_seconds),
        ]
        start = time.monotonic()
        submitted = subprocess.run(
            [*minied, "sweep", "sweep.yaml", "--sweep-dir", "by_slurm", "--launcher", "slurm", *options],
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        print(submitted.stderr, flush=True)
        requeues: dict[str, int] = {}
        while True:
            queue = subprocess.run(
                ["squeue", "-h", "-r", "-o", "%i"], env=environment, capture_output=True, text=True
            ).stdout.split()
            for job in queue:
                shown = subprocess.run(
                    ["scontrol", "show", "job", job], env=environment, capture_output=True, text=True
                ).stdout
                requeues[job] = int(shown.partition("Restarts=")[2].split()[0]) if "Restarts=" in shown else 0
            if not queue or time.monotonic() - start > 60 * arguments.give_up_minutes:
                break
            time.sleep(2)
        seconds = time.monotonic() - start
        states = [
            json.loads(file.read_text())["state"] for file in sorted(folder.glob("by_slurm/groups/*/status.json"))
        ]
        subprocess.run([*minied, "sweep", "by_slurm", "--table", "--no-pictures", "--quiet"], cwd=folder, check=True)
        here = [*minied, "sweep", "sweep.yaml", "--sweep-dir", "here", "--quiet", "--no-pictures"]
        subprocess.run(here, cwd=folder, check=True)
        same = (folder / "by_slurm/table.json").read_bytes() == (folder / "here/table.json").read_bytes()
        print(json.dumps({
            "slurm": subprocess.run(["slurmctld", "-V"], capture_output=True, text=True).stdout.strip(),
            "time_limit_minutes": arguments.minutes,
            "seconds": round(seconds),
            "requeues_by_job": requeues,
            "states": states,
            "table_is_that_of_an_unbroken_sweep": same,
        }, indent=2))  # fmt: skip
        for log in [] if same else sorted((folder / "by_slurm").glob("slurm/*.err")):
            print(log.name, log.read_text()[-1500:])


if __name__ == "__main__":
    main()
