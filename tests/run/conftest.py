import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_minied import fake_program_module
from run_world import ENV, TEACHER

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _workplace(tmp_path, monkeypatch):
    """Each test in an empty folder, with a program that compiles nothing. For this folder's tests only."""
    monkeypatch.setitem(sys.modules, "minied.train.program", fake_program_module())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path.parent / "cache"))


@pytest.fixture
def document():
    """A small run's config, as a YAML file holds it."""
    return {
        "env": {"name": ENV, "size": 5, "levels": {"farthest": 2}},
        "teacher": {"name": TEACHER, "temperature": 0.5},
        "num_envs": 4,
        "updates": 10,
        "log_every": 2,
        "evaluate_every": 4,
        "checkpoint_every": 4,
        "attempts": 2,
    }


@pytest.fixture
def config_file(document, tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def minied(capsys):
    """Run a command in this process: its exit code, standard output, standard error."""
    from minied.cli import main

    def run(*arguments):
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def start_process(tmp_path):
    """Start a command in a process of its own; killed at the end of the test if it still runs."""
    started = []

    def start(*arguments, **environment):
        paths = [str(HERE), *(each for each in sys.path if each)]
        command = [sys.executable, str(HERE / "fake_minied.py"), *(str(each) for each in arguments)]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
