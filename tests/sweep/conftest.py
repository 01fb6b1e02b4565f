import os
import subprocess
import sys

import pytest

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
def minied(capsys, workplace):
    """Run a command in this process: its exit code, standard output, standard error."""
    from minied.cli import main

    def run(*arguments):
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def start(workplace):
    """Start a command in a process of its own; killed at the end of the test if it still runs."""
    started = []

    def begin(*arguments, **environment):
        command = [
            sys.executable,
            "-c",
            "import sys; from minied.cli import main; sys.exit(main())",
            *map(str, arguments),
        ]
        process = subprocess.Popen(
            command,
            cwd=workplace,
            env=os.environ
            | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()
