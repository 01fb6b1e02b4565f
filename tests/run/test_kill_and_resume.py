"""A run of the real program that is killed, at any moment, and resumed ends in the very bytes of one that was not."""

import functools
import json
import random

import pytest
from commands import ended, final_state, killed, started_commands

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


@pytest.fixture
def start(tmp_path):
    with started_commands(tmp_path) as start:
        yield functools.partial(start, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "cache"))


@pytest.fixture
def unbroken(start, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    ended(start("train", "config.yaml", "--run-dir", "unbroken", "--quiet"))
    return final_state(tmp_path / "unbroken")


def kill_until_finished(start, run, moments):
    """Kill ``run`` at each of the moments, seconds after its first row of this stretch; return the kills."""
    kills = 0
    for moment in moments:
        process = start("resume", run.name) if run.exists() else start("train", "config.yaml", "--run-dir", run.name)
        kills += killed(process, run, moment)
    ended(start("resume", run.name))
    return kills


def test_trap_10_a_killed_run_ends_in_the_same_bytes(start, tmp_path, unbroken):
    assert kill_until_finished(start, tmp_path / "killed", [0.0, 0.3]) >= 1
    assert final_state(tmp_path / "killed") == unbroken


@pytest.mark.slow
def test_ten_kills_at_random_moments_end_in_the_same_bytes(start, tmp_path, unbroken):
    # A checkpoint is due at every second iteration, so most of these moments fall into a save.
    generator = random.Random(0)
    kills = 0
    for round_number in range(10):
        run = tmp_path / f"killed_{round_number}"
        kills += kill_until_finished(start, run, [generator.uniform(0, 1.0)])
        assert final_state(run) == unbroken, round_number
    print(json.dumps({"rounds": 10, "kills": kills}))
    assert kills >= 10
