import subprocess

import pytest
from commands import started_commands

TINY = """
base: small/robust_plr
options:
  env: {{height: 5, width: 5, max_steps: 12, levels: {{num_walls: 6, holdout: 8}}}}
  network: {{memory: none, memory_size: 4, head_size: 4}}
  teacher: {{buffer_size: 32, minimum_fill: 0.5}}
  ppo: {{num_epochs: 1}}
  num_envs: 4
  num_steps: 12
  updates: {updates}
  log_every: 2
  evaluate_every: 10
  checkpoint_every: 4
  attempts: 1
  suite: held_out
grid:
  {grid}
{more}
"""
GRID = "{ppo.learning_rate: [1e-3, 1e-2], teacher.replay_probability: [0.5, 0.8], seed: [0, 1]}"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path.parent / "cache"))
    return tmp_path


@pytest.fixture
def sweep_file(workplace):
    """Write a sweep of 8 members of one program, or another; return its path."""

    def write(grid=GRID, updates=20, more="", name="tiny.yaml"):
        path = workplace / name
        path.write_text(TINY.format(grid=grid, updates=updates, more=more))
        return str(path)

    return write


@pytest.fixture
def start(workplace):
    """Start a command in a process of its own, what it says in one stream."""
    with started_commands(workplace, stderr=subprocess.STDOUT) as start:
        yield start


@pytest.fixture
def unbroken(minied, sweep_file, workplace):
    code, out, _ = minied("sweep", sweep_file(), "--sweep-dir", "unbroken", "--quiet")
    assert code == 0
    assert out.splitlines()[-1] == "finished: unbroken"
    return workplace / "unbroken"
