"""`minied eval`: what it keeps beside what it prints, the CVaR, and the generalization gap."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import run_world
import yaml
from PIL import Image
from run_world import Line, LineSpace, Results

from minied.evaluate import cvar, statistics
from minied.run import figures, reports


class SolvableSpace(LineSpace):
    """All but cell 0 can be solved."""

    def optimal_return(self, level):
        return (level > 0).astype(jnp.float32)


class SolvableLine(Line):
    @property
    def level_space(self):
        return SolvableSpace(self)


BRIEFLY = ("--no-pictures", "--quiet", "--evaluate-every", "0", "--checkpoint-every", "0")


@pytest.fixture
def run(minied, config_file, tmp_path):
    assert minied("train", config_file, "--run-dir", "run", "--num-seeds", "2", *BRIEFLY)[0] == 0
    return tmp_path / "run"


@pytest.fixture
def solvable(minied, document, tmp_path):
    document["env"] |= {"name": "test_evaluate_command:SolvableLine", "size": 11}
    (tmp_path / "solvable.yaml").write_text(yaml.safe_dump(document))
    assert minied("train", "solvable.yaml", "--run-dir", "run", "--num-seeds", "2", *BRIEFLY)[0] == 0
    return tmp_path / "run"


def written(run):
    return sorted(path.name for path in (run / "evaluation").iterdir())


def test_numbers_and_a_picture_are_kept(minied, run):
    code, out, _ = minied("eval", "run", "--suite", "ends", "--suite", "all", "--attempts", "3")
    assert code == 0
    assert written(run) == ["all-20.json", "all-20.png", "ends-20.json", "ends-20.png"]
    report = json.loads((run / "evaluation" / "ends-20.json").read_text())
    assert (report["run"], report["checkpoint"]) == ("run", 20)
    assert {"minied", "jax", "python"} <= set(report["versions"])
    row = report["evaluation"]
    assert (row["suite"], row["attempts"], row["student_updates"]) == ("ends", 3, 10)
    assert {entry["horizon"] for entry in row["entries"].values()} == {5}
    scores = np.asarray([entry["solve_rate"] for entry in row["entries"].values()]).T
    assert scores.shape == (2, 2)
    found = report["aggregates"]
    assert (found["members"], found["entries"]) == (2, 2)
    assert found["iqm"]["value"] == pytest.approx(statistics.interquartile_mean(scores))
    assert found["optimality_gap"]["value"] == pytest.approx(1 - scores.mean())
    interval = statistics.stratified_bootstrap(statistics.mean, scores, generator=np.random.default_rng(0))
    assert found["mean"]["interval"] == pytest.approx(list(interval))
    assert "cvar" not in report
    with Image.open(run / "evaluation" / "ends-20.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 3
    assert "over 2 members x 2 entries: interquartile mean" in out
    assert out.splitlines()[-1].startswith("written: run/evaluation/ends-20.json, run/evaluation/ends-20.png, ")


def test_json_says_what_the_file_says(minied, run):
    code, out, err = minied("eval", "run", "--json", "--checkpoint", "20", "--no-pictures")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert written(run) == ["ends-20.json"]
    report = json.loads((run / "evaluation" / "ends-20.json").read_text())
    assert data["evaluations"] == [report["evaluation"]]
    assert data["aggregates"] == [report["aggregates"]]
    assert data["files"] == ["run/evaluation/ends-20.json"]


def test_a_single_member_has_no_interval(minied, config_file, tmp_path):
    assert minied("train", config_file, "--run-dir", "run", *BRIEFLY)[0] == 0
    code, out, _ = minied("eval", "run", "--json")
    assert code == 0
    assert json.loads(out)["aggregates"][0]["iqm"]["interval"] is None
    assert written(tmp_path / "run") == ["ends-20.json", "ends-20.png"]


def test_what_cannot_be_written_is_one_line_each(minied, run, monkeypatch):
    def fail(*_):
        raise RuntimeError("no\npaint")

    monkeypatch.setattr(figures, "draw_evaluation", fail)
    code, out, err = minied("eval", "run", "--json")
    assert code == 0
    assert err == "minied: ends-20.png could not be written: RuntimeError: no paint\n"
    assert written(run) == ["ends-20.json"]  # and nothing half made
    (run / "evaluation" / "ends-20.json").unlink()
    (run / "evaluation").rmdir()
    (run / "evaluation").write_text("a file is in the way")
    code, out, err = minied("eval", "run", "--json", "--no-pictures")
    assert code == 0
    assert json.loads(out)["files"] == []
    assert len(err.splitlines()) == 1
    assert "ends-20.json could not be written" in err


def test_bad_options(minied, run):
    for arguments, words in (
        (["--cvar"], ["minied eval --cvar needs `optimal_return`", "LineSpace"]),
        (["--cvar-levels", "0"], ["--cvar-levels is 0", "allowed: 1"]),
    ):
        code, out, err = minied("eval", "run", *arguments)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        for word in words:
            assert word in err
    assert not (run / "evaluation").exists()


# -- CVaR --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def plays(monkeypatch):
    """Play by rule: in the ranking play higher cells are solved more often; in the other, lower ones (member 0)."""
    calls = []
    evaluate = run_world.Program.evaluate

    def play(self, state, suite, key, attempts):
        if suite.name != "cvar":
            return evaluate(self, state, suite, key, attempts)
        calls.append((suite, key, attempts))
        starts = range(0, 100, len(suite.names))
        first = [jax.random.fold_in(jax.random.key(0xC7A41), start) for start in starts]
        ranking = any(jnp.array_equal(jax.random.key_data(key), jax.random.key_data(each)) for each in first)
        rate = np.asarray(suite.levels, np.float32) / 10
        both = np.stack([rate, rate]) if ranking else np.stack([1 - rate, np.full_like(rate, 0.25)])
        return Results(both, both, both)

    monkeypatch.setattr(run_world.Program, "evaluate", play)
    monkeypatch.setattr(reports, "LEVELS_AT_ONCE", 8)
    return calls


def test_cvar_ranks_by_one_play_and_reports_the_other(minied, solvable, plays):
    code, out, err = minied("eval", "run", "--cvar", "--cvar-levels", "20", "--attempts", "4", "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    tail = data["cvar"]
    assert json.loads((solvable / "evaluation" / "ends-20.json").read_text())["cvar"] == tail
    assert (tail["levels"], tail["attempts"], tail["horizon"]) == (20, 4, 5)
    # 20 levels in calls of 8: three a play, all of one shape; the same levels in both plays, but other random numbers
    assert [len(suite.names) for suite, _, _ in plays] == [8] * 6
    assert {attempts for _, _, attempts in plays} == {4}
    for ranked, reported in zip(plays[:3], plays[3:], strict=True):
        np.testing.assert_array_equal(ranked[0].levels, reported[0].levels)
    assert len({jax.random.key_data(key).tobytes() for _, key, _ in plays}) == 6
    cells = np.sort(np.concatenate([suite.levels for suite, _, _ in plays[:3]])[:20])
    assert cells[0] > 0  # solvable ones only
    assert [each["share"] for each in tail["shares"]] == list(cvar.SHARES)
    assert [each["num_levels"] for each in tail["shares"]] == [1, 1, 1, 1, 1, 2, 4, 10, 20]
    for each in tail["shares"]:
        worst = cells[: each["num_levels"]].mean() / 10
        assert each["biased"] == pytest.approx([worst, worst], rel=1e-5)
        assert each["cvar"] == pytest.approx([1 - worst, 0.25], rel=1e-5)
        assert each["mean"] == pytest.approx((1.25 - worst) / 2, rel=1e-5)
        # two numbers a and b: their sample deviation is |a − b| / √2, the standard error |a − b| / 2
        assert each["standard_error"] == pytest.approx(abs(0.75 - worst) / 2, rel=1e-5)
        assert each["interval"] == pytest.approx(sorted([1 - worst, 0.25]), rel=1e-5)


def test_cvar_table_and_picture(minied, solvable, plays):
    code, out, _ = minied("eval", "run", "--cvar", "--cvar-levels", "20", "--suite", "all")
    assert code == 0
    assert written(solvable) == ["all-20.json", "all-20.png"]
    for word in ("20 solvable levels", "0.01%", "100%", "member 1", "25.0%"):
        assert word in out
    with Image.open(solvable / "evaluation" / "all-20.png") as picture:
        assert picture.size[0] == 13 * 120  # two panels


def test_cvar_levels_do_not_depend_on_the_run(minied, solvable, plays, document, tmp_path):
    document["env"] |= {"name": "test_evaluate_command:SolvableLine", "size": 11}
    document |= {"seed": 4, "schedule_seed": 9}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(document))
    assert minied("train", "again.yaml", "--run-dir", "again", *BRIEFLY)[0] == 0
    for run in ("run", "again"):
        assert minied("eval", run, "--cvar", "--cvar-levels", "5", "--no-pictures", "--json")[0] == 0
    (one, key, _), (other, other_key, _) = plays[0], plays[2]
    np.testing.assert_array_equal(one.levels, other.levels)
    assert jnp.array_equal(jax.random.key_data(key), jax.random.key_data(other_key))


def test_a_world_without_suites_still_has_a_cvar(minied, solvable, plays, monkeypatch):
    monkeypatch.setattr(LineSpace, "suites", {})
    code, _, err = minied("eval", "run")
    assert code == 2
    assert "no suites" in err
    assert minied("eval", "run", "--cvar", "--cvar-levels", "20")[0] == 0
    assert written(solvable) == ["cvar-20.json", "cvar-20.png"]
    assert "evaluation" not in json.loads((solvable / "evaluation" / "cvar-20.json").read_text())


# -- generalization gap ------------------------------------------------------------------------------------------------


def test_generalization_gap_is_by_member(minied, run, monkeypatch):
    played = []

    def evaluate(self, state, suite, key, attempts):
        played.append((suite, key, attempts))
        rate = np.asarray({"training": [0.75, 1.0], "unseen": [0.5, 0.25]}.get(suite.name, [0.25, 0.0]))
        return Results(*(np.broadcast_to(rate[:, None], (2, len(suite.names))).astype(np.float32),) * 3)

    monkeypatch.setattr(run_world.Program, "evaluate", evaluate)
    monkeypatch.setattr(run_world.Program, "training_levels", lambda self: np.arange(300) % 5, raising=False)
    monkeypatch.setattr(run_world.Program, "unseen_levels", lambda self: np.arange(200) % 3, raising=False)
    code, out, _ = minied("eval", "run", "--attempts", "6")
    assert code == 0
    row = json.loads((run / "evaluation" / "ends-20.json").read_text())["evaluation"]
    assert row["solve_rate"] == [0.25, 0.0]
    assert row["test_solve_rate"] == [0.5, 0.25]
    assert row["train_solve_rate"] == [0.75, 1.0]
    assert row["generalization_gap"] == [0.25, 0.75]
    (held_out, key, _), (training, other_key, attempts), (unseen, third_key, _) = played
    np.testing.assert_array_equal(unseen.levels, np.arange(200) % 3)
    assert not jnp.array_equal(jax.random.key_data(other_key), jax.random.key_data(third_key))
    np.testing.assert_array_equal(training.levels, np.arange(200) % 5)  # the first 200, in the training world
    assert (attempts, training.env, len(training.names)) == (6, held_out.env, 200)
    assert not jnp.array_equal(jax.random.key_data(key), jax.random.key_data(other_key))
    # the mean of the members first, then each of them
    assert re.search(r"training levels\W+8[78]%\W+75%\W+100%", out), out
    assert re.search(r"generalization gap\W+50%\W+25%\W+75%", out), out


@pytest.mark.parametrize("has_hook", [True, False])
def test_without_a_finite_set_of_training_levels_there_is_no_gap(minied, run, monkeypatch, has_hook):
    if has_hook:
        monkeypatch.setattr(run_world.Program, "training_levels", lambda self: None, raising=False)
    code, out, _ = minied("eval", "run", "--no-pictures")
    assert code == 0
    row = json.loads((run / "evaluation" / "ends-20.json").read_text())["evaluation"]
    assert not {"train_solve_rate", "generalization_gap"} & set(row)
    assert "training levels" not in out


def test_a_run_over_devices_that_are_not_here_can_be_evaluated(minied, config_file, tmp_path, monkeypatch):
    """Its number of devices is no part of what an evaluation computes, and `minied eval` has no option for it."""
    arguments = ("--run-dir", "run", "--num-seeds", "2", "--num-devices", "2")
    assert minied("train", config_file, *arguments, *BRIEFLY)[0] == 0
    asked, begin = [], run_world.Program.__init__

    def note(program, config):
        asked.append(config.num_devices)
        begin(program, config)

    monkeypatch.setattr(run_world.Program, "__init__", note)
    assert minied("eval", "run", "--suite", "ends")[0] == 0
    assert asked == [0]
