"""What a person sees of a run: progress, tables, lists, help."""

import json
import re
import subprocess
import types

import numpy as np
import pytest
import run_world

from minied import registry
from minied.run import console, training
from minied.run.folder import RunFolder


def test_quiet_prints_the_last_line(minied, config_file):
    code, out, err = minied("train", config_file, "--run-dir", "run", "--quiet", "--no-pictures")
    assert (code, out, err) == (0, "finished 10 updates: run\n", "")


def test_plain_output(minied, config_file):
    code, out, err = minied("train", config_file, "--run-dir", "run", "--no-pictures", "--num-seeds", "2")
    assert code == 0
    assert "\x1b" not in out + err
    assert "compiling" in err
    assert len(re.findall(r"^updates ", err, re.MULTILINE)) == 2  # the first and the last, however many chunks
    assert re.search(r"^updates 10/10 .* steps/s", err, re.MULTILINE)
    for word in (
        "before",
        "after 10 updates",
        "member 0",
        "member 1",
        "right",
        "100%",
        "mean",
        "minied eval run --suite",
    ):
        assert word in out


def test_terminal_output(minied, config_file, monkeypatch):
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    code, out, err = minied("train", config_file, "--run-dir", "run", "--no-pictures")
    assert code == 0
    assert "\x1b[" in err
    assert "training" in err
    assert "10/10" in err
    assert "finished 10 updates: run" in out


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (61, "1 min 01 s"), (7500, "2 h 05 min")])
def test_durations(seconds, text):
    assert console.duration(seconds) == text


def test_eval_prints_one_json_object(minied, config_file):
    assert minied("train", config_file, "--run-dir", "run", "--no-pictures", "--quiet")[0] == 0
    code, out, err = minied("eval", "run", "--json", "--suite", "ends", "--suite", "all", "--attempts", "3")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert [row["suite"] for row in data["evaluations"]] == ["ends", "all"]
    assert data["checkpoint"] == 20
    assert data["evaluations"][0]["attempts"] == 3
    code, out, _ = minied("eval", "run", "--json", "--checkpoint", "16")
    again = json.loads(out)
    assert again["checkpoint"] == 16
    saved = RunFolder(run_path()).read_rows("evaluations")
    assert again["evaluations"][0] == saved[-2]  # the same key and attempts as during the run
    code, out, _ = minied("eval", "run")
    assert code == 0
    assert "after 10 updates" in out


def run_path():
    from pathlib import Path

    return Path("run")


def test_list(minied):
    code, out, _ = minied("list", "--json")
    data = json.loads(out)
    assert code == 0
    assert set(data) == {"envs", "teachers", "scores", "bonuses", "suites", "presets", "sweeps"}
    assert "robust_plr" in data["teachers"]
    assert "quick" in data["presets"]
    code, out, _ = minied("list", "suites", "--env", run_world.ENV, "--json")
    assert json.loads(out) == {
        "suites": {run_world.ENV: {"ends": "Both ends, 2 levels.", "all": "Every cell, as one entry."}}
    }
    code, out, _ = minied("list", "presets")
    assert "maze/minimax_dr" in out


class WithoutDefaults(run_world.Line):
    def __init__(self, needed):
        self.needed = needed


def test_a_world_that_cannot_be_made_hides_no_other_in_lists(minied, monkeypatch):
    worlds = {"broken": f"{__name__}:WithoutDefaults", "missing": "nowhere:World", "line": run_world.ENV}
    real = registry._registered
    more = {name: (path,) for name, path in worlds.items()}
    monkeypatch.setattr(registry, "_registered", lambda kind: real(kind) | (more if kind == "environment" else {}))
    code, out, _ = minied("list", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["suites"]["broken"].startswith("the environment 'broken' cannot be made of its defaults: ")
    assert found["suites"]["missing"].startswith("the environment 'missing' cannot be loaded: ")
    assert {*found["suites"]["line"]} == {"ends", "all"}
    assert "Levels have" in found["envs"]["line"]
    assert "Levels have" not in found["envs"]["broken"] + found["envs"]["missing"]


def test_trap_14_speed_is_the_steps_over_the_seconds_in_which_they_were_made(
    minied, config_file, monkeypatch, tmp_path
):
    """By a clock that only the fake program moves: 50 s to compile, 2 s an iteration, 1000 s an evaluation."""
    clock, shown, first = [100.0], [], [True]
    advance, evaluate = run_world.Program.advance, run_world.Program.evaluate

    def slow_advance(self, state, until):
        done = until - int(state.iterations)
        clock[0] += 2.0 * done + 50.0 * first.pop() if first else 2.0 * done
        return advance(self, state, until)

    def slow_evaluate(self, *rest):
        clock[0] += 1000.0
        return evaluate(self, *rest)

    monkeypatch.setattr(training, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(run_world.Program, "advance", slow_advance)
    monkeypatch.setattr(run_world.Program, "evaluate", slow_evaluate)
    monkeypatch.setattr(console.PlainReporter, "progress", lambda self, now: shown.append(now))
    options = ["--no-pictures", "--num-seeds", "2"]
    assert minied("train", config_file, "--run-dir", "run", *options, "--updates", "4")[0] == 0
    rows = RunFolder(tmp_path / "run").read_rows("timing")
    # two iterations a row, 8 steps each, for each of two members: 32 steps in 4 s; the first row took 50 s more
    assert [row["seconds"] for row in rows] == [54.0, 4.0, 4.0, 4.0]
    assert [row["steps_per_second"] for row in rows] == [round(32 / 54, 1), 8.0, 8.0, 8.0]
    assert [now.steps_per_second for now in shown[1:]] == [8.0] * 3
    assert np.isnan(shown[0].steps_per_second)
    # an update is two iterations, 4 s: one is done with each row, and four are asked for
    assert [now.seconds_left for now in shown[1:]] == [8.0, 4.0, 0.0]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"new": 0.25, "designed": 0.75}, "25% of new levels solved"),
        ({"new": np.nan, "designed": 0.75, "replay": 0.5}, "75% of designed levels solved"),
        ({"replay": 0.5}, "50% of replayed levels solved"),
        ({"new": np.nan}, ""),
    ],
    ids=str,
)
def test_of_which_levels_the_solve_rate_is_that_is_shown(minied, config_file, monkeypatch, rates, words):
    advance, shown = run_world.Program.advance, []

    def with_rates(self, state, until):
        metrics = {f"{source}/solve_rate": np.asarray([rate, rate]) for source, rate in rates.items()}
        return advance(self, state, until)[0], metrics

    monkeypatch.setattr(run_world.Program, "advance", with_rates)
    monkeypatch.setattr(console.PlainReporter, "progress", lambda self, now: shown.extend(console._parts(now)))
    options = ["--no-pictures", "--num-seeds", "2", "--updates", "2"]
    assert minied("train", config_file, "--run-dir", "run", *options)[0] == 0
    assert {part for part in shown if "solved" in part} == ({words} if words else set())


@pytest.mark.parametrize(("measured", "words"), [(2, {"2 of 2 tasks succeed in 5 % or more"}), (0, set())], ids=str)
def test_progress_tells_how_many_tasks_are_done(minied, config_file, monkeypatch, measured, words):
    advance, shown = run_world.Program.advance, []
    told = {
        "tasks_above_5_percent": [2.0, 1.4],  # 1.7 in the mean
        "tasks_measured": [measured, measured],
        "success/near": [0.5, 0.5],
        "success/far": [0.1, 0.0],
        "attention/far": [1, 1],
    }

    def with_tasks(self, state, until):
        return advance(self, state, until)[0], {f"teacher/{name}": np.asarray(each) for name, each in told.items()}

    monkeypatch.setattr(run_world.Program, "advance", with_tasks)
    monkeypatch.setattr(console.PlainReporter, "progress", lambda self, now: shown.extend(console._parts(now)))
    options = ["--no-pictures", "--num-seeds", "2", "--updates", "2"]
    assert minied("train", config_file, "--run-dir", "run", *options)[0] == 0
    assert {part for part in shown if "tasks" in part} == words


def test_help_and_version(minied):
    code, out, _ = minied("--help")
    assert code == 0
    assert "minied train" in out
    assert minied("--version")[1].startswith("minied ")
    assert minied()[1] == out
    for command in ("train", "eval", "list", "draw", "resume"):
        code, out, err = minied(command, "--help")
        assert (code, err) == (0, "")
        assert f"minied {command}" in out
    out = minied("train", "--help")[1]
    for words in (
        "--ppo.learning-rate",
        "Step size of Adam",
        "--env NAME",
        "--teacher.temperature",
        "--run-dir",
        "--env.levels.num-walls",
    ):
        assert words in out


def test_help_is_quick(start_process):
    """Nothing heavy is imported to answer --help."""
    import sys

    heavy = {"jax", "tyro", "orbax", "matplotlib", "wandb", "rich", "yaml"}
    code = "import sys; from minied.cli import main; main(['--help']); main(['--version']);"
    code += f"print({heavy} & set(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(each for each in sys.path if each)},
    )
    assert out.stdout.strip().endswith("set()")
