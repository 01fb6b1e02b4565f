import sys
from pathlib import Path

import pytest
import yaml
from commands import started_commands
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
def start_process(tmp_path):
    """Start a command, with a program that compiles nothing, in a process of its own."""
    with started_commands(tmp_path, (sys.executable, str(HERE / "fake_minied.py"))) as start:
        yield start
