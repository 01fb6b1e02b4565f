"""`minied compare`: hand-made runs with known numbers, and what cannot be compared."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_world import ENV, TEACHER

from minied.errors import UserError
from minied.evaluate import statistics
from minied.run import comparison as comparisons
from minied.run import figures
from minied.run.comparison import compare
from minied.run.labels import labels_of

ENTRIES = ("left", "right")
CONFIG = {
    "env": {"name": ENV, "size": 4, "kind": "open"},
    "teacher": {"name": TEACHER, "temperature": 0.3},
    "ppo": {"clip": 0.2},
    "seed": 0,
    "num_seeds": 1,
    "schedule_seed": 0,
    "checkpoint_every": 200,
    "keep_checkpoints": 3,
}


@pytest.fixture
def make_run(tmp_path):
    """Write a run folder: `evaluations` maps env_steps to the solve rates of the members, `[S][entries]`."""

    def make(name, evaluations, preset="", attempts=5, suite="ends", entries=ENTRIES, **config):
        folder = tmp_path / name
        folder.mkdir()
        config = CONFIG | config
        config["num_seeds"] = len(next(iter(evaluations.values()), [[]]))
        description = {"schema_version": 1, "fingerprint": "f", "preset": preset, "config": config}
        (folder / "config.json").write_text(json.dumps(description))
        rows = [evaluation(steps, scores, suite, attempts, entries) for steps, scores in evaluations.items()]
        (folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


def evaluation(env_steps, scores, suite, attempts, entries):
    def by_member(values):
        return values[0] if len(values) == 1 else list(values)

    results = {
        name: {"solve_rate": by_member([member[index] for member in scores]), "num_levels": 1, "horizon": 5}
        for index, name in enumerate(entries)
    }
    counters = {"iterations": 1, "student_updates": env_steps // 10, "train_steps": 1, "env_steps": env_steps}
    rate = by_member([float(np.mean(member)) for member in scores])
    return counters | {"suite": suite, "attempts": attempts, "solve_rate": rate, "entries": results}


LOW, HIGH = [[0.0, 0.2], [0.2, 0.4]], [[0.2, 0.6], [0.4, 0.8], [0.6, 1.0]]


def test_numbers_by_hand(make_run):
    one = make_run("one", {0: [[0.0, 0.0]] * 2, 100: LOW, 200: [[1.0, 1.0]] * 2})
    other = make_run("other", {0: [[0.0, 0.0]] * 3, 50: [[0.1, 0.1]] * 3, 150: HIGH}, ppo={"clip": 0.3})
    found = compare([one, other])
    # both were evaluated at 150 or later; at 150 the last evaluation of the first run is that at 100
    assert (found.at, found.suite, found.attempts, found.entries) == (150, "ends", 5, ENTRIES)
    first, second = found.methods
    assert (first.env_steps, second.env_steps) == ((100, 100), (150, 150))
    assert (first.student_updates, second.student_updates) == ((10, 10), (15, 15))
    assert (first.members, second.members) == (2, 3)
    # 0 .2 .2 .4: one cut off each end; .2 .4 .6 .6 .8 1: likewise, (.4 + .6 + .6 + .8) / 4
    assert first.mean == pytest.approx(0.2)
    assert first.iqm.value == pytest.approx(0.2)
    assert first.optimality_gap.value == pytest.approx(0.8)
    assert second.iqm.value == pytest.approx(0.6)
    assert (first.improvement, first.difference) == (None, None)
    assert second.difference.value == pytest.approx(0.4)
    # left: .2 .4 .6 against 0 .2: 1.5 + 2 + 2 of 6; right: .6 .8 1 against .2 .4: 6 of 6. Mean (5.5 + 6) / 12
    assert second.improvement.value == pytest.approx(11.5 / 12)
    interval = statistics.stratified_bootstrap(
        statistics.interquartile_mean, np.asarray(HIGH), generator=np.random.default_rng(0)
    )
    assert second.iqm.interval == pytest.approx(tuple(interval))
    assert second.improvement.interval[0] <= 11.5 / 12 <= second.improvement.interval[1]
    assert [(point.env_steps, point.iqm) for point in first.curve] == [(0, 0), (100, pytest.approx(0.2)), (200, 1)]


def test_at_a_given_number_of_steps(make_run):
    one = make_run("one", {0: [[0.0, 0.0]], 100: [[0.5, 0.5]], 200: [[1.0, 1.0]]})
    other = make_run("other", {0: [[0.1, 0.1]], 150: [[0.3, 0.3]]}, ppo={"clip": 0.3})
    for at, means, steps, stale in (
        (99, (0, 0.1), (0, 0), []),
        (100, (0.5, 0.1), (100, 0), ["other"]),
        (149, (0.5, 0.1), (100, 0), ["other"]),
        (151, (0.5, 0.3), (100, 150), ["other", "one"]),
        (200, (1, 0.3), (200, 150), ["other"]),
    ):
        found = compare([one, other], at)
        assert tuple(method.mean for method in found.methods) == pytest.approx(means)
        assert tuple(method.env_steps[0] for method in found.methods) == steps
        assert [Path(warning.split()[0]).name for warning in found.warnings] == stale
    assert "one stands here as it was at 100 environment steps, others at 150" in compare([one, other], 151).warnings[1]
    found = compare([one, other], 1000)
    assert [method.mean for method in found.methods] == pytest.approx([1, 0.3])
    assert len(found.warnings) == 2
    assert "other was last evaluated at 150 environment steps, before --at 1000" in found.warnings[1]


def test_runs_that_differ_in_seeds_alone_are_pooled(make_run):
    runs = [
        make_run("a", {0: [[0.0, 0.0]], 100: [[0.1, 0.1]]}, seed=0),
        make_run("b", {0: [[0.0, 0.0]], 100: [[0.9, 0.9]]}, seed=0, ppo={"clip": 0.3}),
        make_run("c", {0: [[0.0, 0.0]] * 2, 90: [[0.3, 0.3], [0.5, 0.5]]}, seed=7, checkpoint_every=10),
        make_run("d", {0: [[0.0, 0.0]], 100: [[0.7, 0.7]]}, seed=0, schedule_seed=5),
    ]
    found = compare(runs, 100)
    assert [method.members for method in found.methods] == [4, 1]
    pooled = found.methods[0]
    assert [name.rpartition("/")[2] for name in pooled.runs] == ["a", "c", "d"]
    assert pooled.mean == pytest.approx((0.1 + 0.3 + 0.5 + 0.7) / 4)
    assert pooled.env_steps == (90, 100)
    assert found.methods[1].iqm.interval is None  # one member
    assert found.methods[1].improvement.value == 1
    assert found.methods[1].improvement.interval is None
    # the curve has every count at which one of the runs was evaluated and that all of them reached
    assert [point.env_steps for point in pooled.curve] == [0, 90]


def test_entries_are_matched_by_name(make_run):
    one = make_run("one", {0: [[0.0, 1.0]]})
    other = make_run("other", {0: [[1.0, 0.0]]}, entries=("right", "left"), ppo={"clip": 0.3})
    second = compare([one, other]).methods[1]
    assert (
        second.improvement.value == 0.5
    )  # ties on both; matched by place, one would win and one lose, which is ½ too,
    assert second.difference.value == 0
    three = make_run("three", {0: [[0.0, 0.5]]}, entries=("right", "left"), ppo={"clip": 0.4})
    # left .5 > 0 wins, right 0 < 1 loses, that is ½; by place 0 = 0 ties and .5 < 1 loses, which would be ¼
    assert compare([one, three]).methods[1].improvement.value == 0.5


def test_torn_last_row_of_a_running_run_is_left_out(make_run):
    one = make_run("one", {0: [[0.0, 0.0]], 100: [[0.5, 0.5]]})
    with (one / "evaluations.jsonl").open("a") as file:
        file.write('{"env_steps": 200, "sui')
    assert compare([one]).at == 100


# -- labels ------------------------------------------------------------------------------------------------------------


def test_labels():
    base = {"teacher": {"name": "plr", "rho": 1}, "ppo": {"clip": 0.2, "lr": 1}}
    clipped = {"teacher": {"name": "plr", "rho": 1}, "ppo": {"clip": 0.3, "lr": 1}}
    other = {"teacher": {"name": "dr"}, "ppo": {"clip": 0.2, "lr": 1}}
    assert labels_of([("quick", base), ("slow", clipped)]) == ["quick", "slow"]
    assert labels_of([("quick", base), ("quick", clipped)]) == ["quick (ppo.clip=0.2)", "quick (ppo.clip=0.3)"]
    assert labels_of([("quick", base), ("quick", other)]) == ["quick (plr)", "quick (dr)"]  # its settings go with it
    many = [{"a": i, "b": i, "c": i, "d": j} for i, j in ((1, 1), (1, 2), (2, 2))]
    labels = labels_of([("x", each) for each in many])
    assert len(set(labels)) == 3
    assert labels[2] == "x (a=2, b=2, c=2)"


def test_labels_are_presets_or_teachers(make_run):
    rows = {0: [[0.0, 0.0]]}
    runs = [
        make_run("a", rows, preset="quick", teacher={"name": "robust_plr"}),
        make_run("d", rows, preset="quick"),
        make_run("b", rows, preset="some/where/mine.yaml", ppo={"clip": 0.3}),
        make_run("c", rows, ppo={"clip": 0.4}),
    ]
    assert [method.label for method in compare(runs).methods] == [
        "quick",
        f"quick with {TEACHER}",  # the preset says robust_plr, the command line said another
        "mine",
        TEACHER,
    ]


# -- what cannot be compared -------------------------------------------------------------------------------------------


def test_what_cannot_be_compared_is_told_in_one_line(make_run, minied, tmp_path):
    rows = {10: [[0.0, 0.0]]}
    make_run("one", rows)
    make_run("attempts", rows, attempts=6, seed=1)
    make_run("suite", rows, suite="all", seed=1)
    make_run("entries", rows, entries=("left", "middle"), seed=1)
    make_run("nothing", {}, seed=1)
    make_run("twin", rows, seed=0)
    broken = make_run("broken", rows, seed=1)
    (broken / "evaluations.jsonl").write_text("{]\n")
    (tmp_path / "file").write_text("")

    def check(arguments, *words):
        code, out, err = minied("compare", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("minied: error: ")
        assert len(err.splitlines()) == 1
        for word in words:
            assert word in err

    check([], "minied compare RUN")
    check(["--at", "3"], "minied compare RUN")
    check(["nowhere"], "nowhere is not a run folder")
    check(["one", "nothing"], "nothing has no evaluations")
    check(["one", "attempts"], "attempts", "one", "5", "6")
    check(["one", "suite"], "suite", "'ends'", "'all'")
    check(["one", "entries"], "'ends'", "entries", "one")
    check(["one", "one"], "seed 0", "once")
    check(["one", "twin"], "one and twin", "seed 0")
    check(["one", "broken"], "evaluations.jsonl cannot be read")
    check(["one", "--at", "9"], "--at is 9", "at least 10", "one")
    check(["one", "--att", "9"], "--att", "'--at'")
    check(["one", "--output", "file"], "--output is 'file'")
    check(["one", "--output", "no/where"], "--output is 'no/where'")
    assert not (tmp_path / "comparison").exists()


def test_suites_whose_levels_come_from_different_generators_are_refused(make_run):
    rows = {10: [[0.0]]}
    env = CONFIG["env"]
    make = {"suite": "all", "entries": ("cell",)}
    world = {"levels": {"farthest": 2, "spread": 1.0, "fair": True}, "bonus": [1, 2]}
    one = make_run("one", rows, env=env | world, **make)
    other = make_run("other", rows, env=env | world | {"size": 5}, **make)
    same = make_run("same", rows, env=env | world | {"kind": "closed"}, **make)
    with pytest.raises(UserError, match=r"'all' has other levels in .*other than in .*one, because env.size differ"):
        compare([one, other])
    with_others = compare([one, other], other_levels=True)
    assert len(with_others.methods) == 2
    assert with_others.warnings == (
        f"the suite 'all' has other levels in {other} than in {one}, because env.size differ",
    )
    assert compare([one, same], other_levels=True).warnings == ()
    assert len(compare([one, same]).methods) == 2  # another world, but the suite has the same levels in it


# -- the command -------------------------------------------------------------------------------------------------------


def test_table_picture_and_json(make_run, minied, tmp_path):
    make_run("one", {0: [[0.0, 0.0]] * 2, 1000: LOW}, preset="quick")
    make_run("other", {0: [[0.0, 0.0]] * 3, 1000: HIGH}, preset="best", ppo={"clip": 0.3})
    code, out, err = minied("compare", "one", "other")
    assert (code, err) == (0, "")
    for word in ("quick", "best", "1,000", "20.0%", "60.0%", "95.8%", "+40.0%", "2 (1)", "3 (1)", "80.0%"):
        assert word in out, word
    assert out.splitlines()[-1] == "written: comparison/comparison.json, comparison/comparison.png"
    assert max(len(line) for line in out.splitlines()) <= 100
    with Image.open(tmp_path / "comparison" / "comparison.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 3
    code, out, err = minied(
        "compare", "one", "other", "--json", "--output", "elsewhere", "--no-pictures", "--at", "500"
    )
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["files"] == ["elsewhere/comparison.json"]
    assert json.loads((tmp_path / "elsewhere" / "comparison.json").read_text()) | {"files": data["files"]} == data
    assert [method["env_steps"] for method in data["methods"]] == [[0, 0], [0, 0]]
    assert data["at"] == 500


def test_a_single_run_has_no_columns_to_compare(make_run, minied):
    make_run("one", {0: [[0.5, 0.5]]})
    code, out, _ = minied("compare", "one", "--no-pictures")
    assert code == 0
    assert "first" not in out
    assert "[" not in out  # one member: no interval is known


def test_a_picture_that_fails_is_one_line(make_run, minied, monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("no\npaint")

    monkeypatch.setattr(figures, "draw_comparison", fail)
    make_run("one", {0: [[0.5, 0.5]]})
    code, out, err = minied("compare", "one")
    assert code == 0
    assert err == "minied: comparison.png could not be written: RuntimeError: no paint\n"
    assert out.splitlines()[-1] == "written: comparison/comparison.json"
    assert [path.name for path in (tmp_path / "comparison").iterdir()] == ["comparison.json"]


def test_it_reads_what_training_writes(minied, config_file):
    for seed in (0, 2):
        options = ("--no-pictures", "--quiet", "--num-seeds", "2", "--seed", seed, "--checkpoint-every", "0")
        assert minied("train", config_file, "--run-dir", f"run{seed}", *options)[0] == 0
    code, out, _ = minied("compare", "run0", "run2", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["methods"][0]["members"] == 4
    assert data["methods"][0]["label"] == "small"
    assert len(data["methods"][0]["curve"]) == 6
    assert dataclasses.asdict(comparisons.compare([Path("run0"), Path("run2")]))["at"] == data["at"] == 160
