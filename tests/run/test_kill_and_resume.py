"""A run of the real program that is killed, at any moment, and resumed ends in the very bytes of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from minied.run.checkpoint import Checkpoints
from minied.run.folder import open_run

CONFIG = """
env: {name: maze, height: 5, width: 5, max_steps: 20, num_actions: 3, levels: {num_walls: 6, holdout: 8}}
teacher: {name: robust_plr, buffer_size: 64, minimum_fill: 0.5}
network: {memory_size: 16}
ppo: {learning_rate: 1e-3, anneal: linear, num_epochs: 2, num_minibatches: 2}
num_envs: 8
num_steps: 24
num_seeds: 2
updates: 40
log_every: 2
evaluate_every: 20
checkpoint_every: 2
attempts: 2
"""
# Every leaf of the state is in the digest that a checkpoint carries: names, types, shapes and bytes.
COMPARED = ("metrics.jsonl", "evaluations.jsonl")


def start(*arguments, cwd):
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cwd / "cache"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "import sys; from minied.cli import main; sys.exit(main())", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*arguments, cwd):
    process = start(*arguments, cwd=cwd)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def final_state(run):
    """Return the rows of a finished run and the digest of its last state, read back and checked."""
    folder = open_run(run)
    with Checkpoints(folder.checkpoints, folder.config().fingerprint, read_only=True) as checkpoints:
        step = checkpoints.steps()[-1]
        _, page = checkpoints._read(step)
    return [(run / name).read_bytes() for name in COMPARED] + [step, page["digest"], page["counters"]]


def kill_until_finished(run, moments, cwd):
    """Kill ``run`` by SIGKILL at each of the moments, seconds after its first row of this stretch; return the kills."""
    kills = 0
    for moment in moments:
        before = (run / "metrics.jsonl").stat().st_size if (run / "metrics.jsonl").exists() else -1
        first = not run.exists()
        process = start(*(("train", "config.yaml", "--run-dir", run.name) if first else ("resume", run.name)), cwd=cwd)
        while process.poll() is None:
            rows = run / "metrics.jsonl"
            if rows.exists() and rows.stat().st_size != before:
                time.sleep(moment)
                break
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    finish("resume", run.name, cwd=cwd)
    return kills


@pytest.fixture
def unbroken(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    finish("train", "config.yaml", "--run-dir", "unbroken", "--quiet", cwd=tmp_path)
    return final_state(tmp_path / "unbroken")


def test_trap_10_a_killed_run_ends_in_the_same_bytes(tmp_path, unbroken):
    assert kill_until_finished(tmp_path / "killed", [0.0, 0.3], tmp_path) >= 1
    assert final_state(tmp_path / "killed") == unbroken


@pytest.mark.slow
def test_ten_kills_at_random_moments_end_in_the_same_bytes(tmp_path, unbroken):
    # A checkpoint is due at every second iteration, so most of these moments fall into a save.
    generator = random.Random(0)
    kills = 0
    for round_number in range(10):
        run = tmp_path / f"killed_{round_number}"
        kills += kill_until_finished(run, [generator.uniform(0, 1.0)], tmp_path)
        assert final_state(run) == unbroken, round_number
    print(json.dumps({"rounds": 10, "kills": kills}))
    assert kills >= 10
