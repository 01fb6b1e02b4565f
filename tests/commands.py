"""Commands of minied in processes of their own, for tests that end them or that need several at once."""

import contextlib
import os
import subprocess
import sys
import time

from minied.run.checkpoint import Checkpoints
from minied.run.folder import open_run

COMMAND = (sys.executable, "-c", "import sys; from minied.cli import main; sys.exit(main())")


@contextlib.contextmanager
def started_commands(folder, command=COMMAND, stderr=subprocess.PIPE):
    """Give what starts a command in ``folder``; all that still run at the end are killed."""
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()
            for stream in filter(None, (process.stdout, process.stderr)):
                stream.close()


def ended(*processes, code=0):
    """Wait for processes that end in one code; return what each has said, on standard output and error."""
    told = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [code] * len(processes), told
    return told


def rows_written(folder):
    """Return the bytes of metrics so far, of a run or of the members of a sweep."""
    files = [*folder.glob("metrics.jsonl"), *folder.glob("members/*/metrics.jsonl")]
    return sum(file.stat().st_size for file in files)


def wait_for_rows(process, folder):
    """Wait until a process that has just been started writes rows, or has ended."""
    before = rows_written(folder)
    while process.poll() is None and rows_written(folder) == before:
        time.sleep(0.01)


def killed(process, folder, seconds):
    """SIGKILL a process so long after its first rows; return whether it was still running."""
    wait_for_rows(process, folder)
    time.sleep(seconds)
    running = process.poll() is None
    process.kill()
    process.communicate()
    return running


def final_state(run):
    """Return the rows of a run and the step, the digest and the counters of its last state, read back and checked.

    Every leaf of the state is in the digest: names, types, shapes and bytes.
    """
    folder = open_run(run)
    with Checkpoints(folder.checkpoints, folder.config().fingerprint, read_only=True) as checkpoints:
        step = checkpoints.steps()[-1]
        _, page = checkpoints._read(step)
    rows = [(run / name).read_bytes() for name in ("metrics.jsonl", "evaluations.jsonl")]
    return [*rows, step, page["digest"], page["counters"]]
