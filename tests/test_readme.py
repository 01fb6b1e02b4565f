"""What the README shows of a user's own code works as it stands there."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from minied.config import load_config
from minied.testing import check_env, check_level_space
from minied.train.program import Program

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
OWN_CODE = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if block.startswith("# mine.py")]
DESCRIPTIONS = re.findall(r"```yaml\n(map:.*?)```", README, re.DOTALL)
SMALL = ["--num-envs", "4", "--num-steps", "8", "--env.max-steps", "8", "--network.memory-size", "8"]


@pytest.mark.parametrize("code", OWN_CODE, ids=["tasks", "score", "teacher"])
def test_own_scores_and_teachers_are_traced_as_the_readme_writes_them(code, tmp_path, monkeypatch):
    module = f"mine_{len(code)}"  # each under a name of its own: a module is imported once
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    command = code.partition("\n")[0].partition("minied train ")[2].replace("mine:", f"{module}:")
    options, _, _ = command.partition(" --run-dir")
    Program(load_config("quick", [*options.split(), *SMALL])).check()


def test_a_run_draws_its_levels_from_the_description_that_the_readme_shows(tmp_path):
    (text,) = DESCRIPTIONS
    path = tmp_path / "my_level.yaml"
    path.write_text(text)
    told = re.search(r"minied train (gridworld/.*my_level\.yaml.*) --run-dir", README)
    assert told is not None
    preset, *options = told[1].replace(path.name, str(path)).split()
    Program(load_config(preset, [*options, *SMALL, "--ppo.num-minibatches", "1"])).check()


def test_the_readme_shows_tasks_a_score_and_a_teacher():
    assert len(OWN_CODE) == 3


def test_the_world_of_the_readme_is_the_one_that_the_guide_explains_and_keeps_its_contract(tmp_path, monkeypatch):
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if block.startswith("# pond.py")
    ]
    assert len(code.splitlines()) <= 80
    guide = (Path(__file__).parents[1] / "docs" / "guide" / "world.md").read_text(encoding="utf-8")
    pieces = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert "".join("".join(pieces).split()) == "".join(code.split())
    (tmp_path / "pond.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    pond = importlib.import_module("pond").Pond()
    try:
        quick = ("identity", "spaces", "forms", "keys", "observations", "episode_length", "no_automatic_reset")
        check_env(pond, num_levels=4, only=quick).require()
        check_level_space(pond, num_levels=4, only=("level_keys", "diversity", "mutations", "not_over")).require()
    finally:
        del sys.modules["pond"]
