"""`minied sweep`: members as their solo runs, one program, resumed by what is missing, and told when something fails."""

import csv
import json
import signal

import pytest
from commands import ended, killed, wait_for_rows
from swept import QUIET, Counted, rows, tables

from minied.run.folder import RunFolder, open_run
from minied.sweep import work
from minied.sweep.folder import open_sweep
from minied.train import group as groups


def test_a_sweep_leaves_runs_a_table_and_a_picture(minied, unbroken, workplace, sweep_file):
    sweep = open_sweep(unbroken)
    assert sweep.groups == [list(range(8))]
    assert sweep.status(0) == {"state": "finished", "members": {str(i): "finished" for i in range(8)}}
    lines = json.loads((unbroken / "table.json").read_text())
    assert [line["fields"].keys() for line in lines] == [{"ppo.learning_rate", "teacher.replay_probability"}] * 4
    assert sorted(member for line in lines for member in line["members"]) == list(range(8))
    assert all(line["evaluated"] == 2 and line["ended"] == ["finished"] * 2 for line in lines)
    rates = [line["iqm"]["value"] for line in lines]
    assert rates == sorted(rates, reverse=True)
    with (unbroken / "table.csv").open() as file:
        told = list(csv.DictReader(file))
    assert [float(each["iqm"]) for each in told] == rates
    assert (unbroken / "sweep.png").stat().st_size > 10_000
    # Each member is a run like any other: the same rows as alone, its last state, evaluated and compared as one.
    config = open_run(unbroken / "members/005").config()
    assert (config.seed, config.ppo.learning_rate, config.teacher.replay_probability) == (1, 1e-2, 0.5)
    overrides = ["--ppo.learning-rate", "1e-2", "--teacher.replay-probability", "0.5", "--seed", "1"]
    (workplace / "solo.yaml").write_text(json.dumps(config.to_dict()))
    code, _, _ = minied("train", "solo.yaml", "--run-dir", "solo", *QUIET, "--num-devices", "1", *overrides)
    assert code == 0
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert (unbroken / "members/005" / name).read_bytes() == (workplace / "solo" / name).read_bytes()
    code, out, _ = minied("eval", unbroken / "members/005", "--json", "--no-pictures")
    assert code == 0
    assert json.loads(out)["checkpoint"] == RunFolder(unbroken / "members/005").read_rows("metrics")[-1]["iterations"]
    code, out, _ = minied("compare", "unbroken", "--no-pictures", "--json")
    assert code == 0
    assert [method["members"] for method in json.loads(out)["methods"]] == [2] * 4
    # What is finished is left as it is.
    before = tables(unbroken), rows(unbroken)
    assert minied("sweep", sweep_file(), "--sweep-dir", "unbroken", "--resume", *QUIET)[0] == 0
    assert (tables(unbroken), rows(unbroken)) == before


def test_members_share_one_program(minied, sweep_file, monkeypatch):
    """Traced once for all eight, and once only: compiled ahead, it is what runs."""
    traced = []
    real = groups._advance
    monkeypatch.setattr(groups.Group, "compile", lambda self, real=groups.Group.compile: traced.append(1) or real(self))
    monkeypatch.setattr(groups, "_advance", Counted(real, traced))
    assert minied("sweep", sweep_file(), "--sweep-dir", "s", *QUIET)[0] == 0
    assert traced == [1, "lowered"]


@pytest.mark.parametrize("moments", [(0.2,), pytest.param((0.1, 1.3, 0.6, 0.0, 0.9), marks=pytest.mark.slow)])
def test_a_killed_sweep_ends_in_the_very_tables_of_one_that_was_not(start, unbroken, workplace, sweep_file, moments):
    """SIGKILL at moments after the first row of each stretch."""
    broken, kills = workplace / "broken", 0
    for moment in moments:
        resume = ["--resume"] if broken.exists() else []
        kills += killed(start("sweep", sweep_file(), "--sweep-dir", "broken", *QUIET, *resume), broken, moment)
    ended(start("sweep", sweep_file(), "--sweep-dir", "broken", "--resume", *QUIET))
    assert kills
    assert tables(broken) == tables(unbroken)
    assert rows(broken) == rows(unbroken)


@pytest.mark.parametrize("name", ["SIGUSR1", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_a_sweep_that_is_asked_to_stop_saves_and_says_how_to_go_on(start, workplace, sweep_file, minied, name):
    file = sweep_file(updates=3000)
    process = start("sweep", file, "--sweep-dir", "s", *QUIET)
    wait_for_rows(process, workplace / "s")
    process.send_signal(getattr(signal, name))
    ((output, _),) = ended(process, code=128 + getattr(signal, name))
    assert output.endswith("stopped; go on with: minied sweep s --resume\n")
    assert open_sweep(workplace / "s").status(0)["state"] == "paused"
    checkpoints = [int(path.name) for path in (workplace / "s/groups/000/checkpoints").iterdir()]
    last = [json.loads(path.read_text().splitlines()[-1]) for path in workplace.glob("s/members/*/metrics.jsonl")]
    assert max(checkpoints) == sum(row["iterations"] for row in last)  # nothing that was done is lost


def test_other_shapes_are_other_groups_and_a_failed_one_leaves_the_rest(minied, sweep_file, workplace, monkeypatch):
    file = sweep_file("{ppo.num_minibatches: [1, 2], seed: [0, 1]}")
    real, failing = work.Session.run, [True]

    def fail_once(self, saved):
        if failing and len(self.members) == 2 and self.config.ppo.num_minibatches == 1:
            failing.pop()
            raise MemoryError("no room for it")
        return real(self, saved)

    monkeypatch.setattr(work.Session, "run", fail_once)
    code, out, err = minied("sweep", file, "--sweep-dir", "s", *QUIET)
    assert code == 1
    assert "group 0 failed: MemoryError: no room for it" in err
    assert out.splitlines()[-2:] == ["group 0 failed: MemoryError: no room for it", "1 of 2 groups finished: s"]
    sweep = open_sweep(workplace / "s")
    assert [sweep.status(i)["state"] for i in range(2)] == ["failed", "finished"]
    finished = sweep.group(1) / "status.json"
    before = finished.stat().st_mtime_ns
    assert minied("sweep", "s", "--resume", *QUIET)[0] == 0
    assert finished.stat().st_mtime_ns == before
    assert sweep.unfinished() == []
    assert {line["fields"]["ppo.num_minibatches"] for line in json.loads((sweep.path / "table.json").read_text())} == {
        1,
        2,
    }


def test_a_member_that_diverges_is_told_and_leaves_the_rest(minied, sweep_file, workplace):
    code, _, err = minied("sweep", sweep_file("{ppo.learning_rate: [1e-3, 1e38]}"), "--sweep-dir", "s", *QUIET)
    assert code == 0
    ends = open_sweep(workplace / "s").status(0)["members"]
    assert ends["0"] == "finished"
    assert ends["1"].startswith("failed: the student's parameters are not finite in iteration")
    assert "s/members/001: the student's parameters are not finite" in err
    assert "failed" in (workplace / "s/table.csv").read_text()
    # also of a sweep of one, which is a group of one run
    code, *_ = minied("sweep", sweep_file("{ppo.learning_rate: [1e38]}"), "--sweep-dir", "t", *QUIET)
    assert code == 0
    assert open_sweep(workplace / "t").status(0)["members"]["0"].startswith("failed: the student's parameters")
