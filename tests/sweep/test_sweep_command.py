"""`minied sweep`: members as their solo runs, one program, resumed by what is missing, and told when something fails."""

import csv
import json
import signal
import time

import pytest

from minied.run.console import QuietReporter
from minied.run.folder import RunFolder, open_run
from minied.sweep import plan, work
from minied.sweep.folder import open_sweep
from minied.sweep.launch import run_processes
from minied.train import group as groups

TABLES = ("table.json", "table.csv")
QUIET = ("--quiet", "--no-pictures")


def tables(sweep):
    return [(sweep / name).read_bytes() for name in TABLES]


def rows(sweep):
    return [[(path / name).read_bytes() for name in ("metrics.jsonl", "evaluations.jsonl")] for path in members(sweep)]


def members(sweep):
    return sorted((sweep / "members").iterdir())


@pytest.fixture
def unbroken(minied, sweep_file, workplace):
    code, out, _ = minied("sweep", sweep_file(), "--sweep-dir", "unbroken", "--quiet")
    assert code == 0
    assert out.splitlines()[-1] == "finished: unbroken"
    return workplace / "unbroken"


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


class Counted:
    def __init__(self, function, seen):
        self.function, self.seen = function, seen

    def __call__(self, *arguments):
        self.seen.append("called")
        return self.function(*arguments)

    def lower(self, *arguments):
        self.seen.append("lowered")
        return self.function.lower(*arguments)


@pytest.mark.parametrize("moments", [(0.2,), pytest.param((0.1, 1.3, 0.6, 0.0, 0.9), marks=pytest.mark.slow)])
def test_a_killed_sweep_ends_in_the_very_tables_of_one_that_was_not(start, unbroken, workplace, sweep_file, moments):
    """SIGKILL at moments after the first row of each stretch."""
    broken, kills = workplace / "broken", 0
    for moment in moments:
        before = written(broken)
        process = start(
            "sweep", sweep_file(), "--sweep-dir", "broken", *QUIET, *(["--resume"] if broken.exists() else [])
        )
        while process.poll() is None and written(broken) == before:
            time.sleep(0.01)
        time.sleep(moment)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    process = start("sweep", sweep_file(), "--sweep-dir", "broken", "--resume", *QUIET)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert kills
    assert tables(broken) == tables(unbroken)
    assert rows(broken) == rows(unbroken)


def written(sweep):
    return sum(file.stat().st_size for file in sweep.glob("members/*/metrics.jsonl"))


@pytest.mark.parametrize("name", ["SIGUSR1", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_a_sweep_that_is_asked_to_stop_saves_and_says_how_to_go_on(start, workplace, sweep_file, minied, name):
    file = sweep_file(updates=3000)
    process = start("sweep", file, "--sweep-dir", "s", *QUIET)
    while process.poll() is None and not written(workplace / "s"):
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + getattr(signal, name)
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


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_halving_cuts_the_hopeless_and_the_rest_end_as_without(minied, unbroken, sweep_file, workplace, monkeypatch):
    """16 iterations of 4 x 12 steps are 768; no program is compiled anew."""
    lowered = []
    monkeypatch.setattr(groups, "_advance", Counted(groups._advance, lowered))
    file = sweep_file(more="halving: {first_env_steps: 768, factor: 2}", name="half.yaml")
    assert minied("sweep", file, "--sweep-dir", "half", *QUIET)[0] == 0
    assert lowered == ["lowered"]
    ends = open_sweep(workplace / "half").status(0)["members"]
    cut = [int(number) for number, end in ends.items() if end.startswith("cut: cut at 768 environment steps")]
    assert len(cut) >= 4
    for number, path in enumerate(members(workplace / "half")):
        mine, theirs = ((each / "metrics.jsonl").read_bytes() for each in (path, members(unbroken)[number]))
        last = RunFolder(path).read_rows("evaluations")[-1]
        if number in cut:
            assert theirs.startswith(mine)
            assert len(mine) < len(theirs)
            assert last["env_steps"] >= 768
            assert [int(each.name) for each in (path / "checkpoints").iterdir()] == [last["iterations"]]
        else:
            assert mine == theirs


@pytest.mark.slow
def test_a_killed_halving_cuts_the_same(start, sweep_file, workplace, minied):
    file = sweep_file(more="halving: {first_env_steps: 400, factor: 2}", name="half.yaml")
    assert minied("sweep", file, "--sweep-dir", "half", *QUIET)[0] == 0
    broken = workplace / "broken"
    for moment in (0.3, 0.8):
        before = written(broken)
        process = start("sweep", file, "--sweep-dir", "broken", *QUIET, *(["--resume"] if broken.exists() else []))
        while process.poll() is None and written(broken) == before:
            time.sleep(0.01)
        time.sleep(moment)
        process.kill()
        process.communicate()
    assert minied("sweep", file, "--sweep-dir", "broken", "--resume", *QUIET)[0] == 0
    assert tables(broken) == tables(workplace / "half")
    assert rows(broken) == rows(workplace / "half")


def test_members_end_at_the_target(minied, sweep_file, workplace):
    file = sweep_file("{target: [0.01, 1.0]}", updates=12)
    assert minied("sweep", file, "--sweep-dir", "s", *QUIET)[0] == 0
    ends = open_sweep(workplace / "s").status(0)["members"]
    rates = [RunFolder(path).read_rows("evaluations")[-1]["solve_rate"] for path in members(workplace / "s")]
    assert ends == {"0": "target" if rates[0] >= 0.01 else "finished", "1": "target" if rates[1] >= 1 else "finished"}


# -- plans, launchers --------------------------------------------------------------------------------------------------


def test_a_plan_tells_groups_memory_and_time_and_starts_nothing(minied, sweep_file, workplace):
    code, out, _ = minied(
        "sweep", sweep_file("{ppo.num_minibatches: [1, 2], seed: [0, 1]}"), "--plan", "--plan-seconds", "1", "--quiet"
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "4 members in 2 groups, split by ppo.num_minibatches"
    assert lines[1].startswith("group 0: 2 members (0 to 1) on 2 devices; ")
    assert " MiB of " in lines[1]
    assert "40 updates, " in lines[1]
    assert lines[3].startswith("one after the other about ")
    assert not (workplace / "runs").exists()
    code, out, _ = minied("sweep", sweep_file(), "--plan", "--plan-seconds", "0", "--json")
    (told,) = json.loads(out)["groups"]
    assert told["members"] == list(range(8))
    assert told["bytes"] > told["memory"]["state"] > 10_000


def test_groups_are_divided_to_fit_the_memory(minied, sweep_file, workplace, monkeypatch):
    code, out, _ = minied("sweep", sweep_file(), "--plan", "--plan-seconds", "0", "--json")
    (all_of,) = json.loads(out)["groups"]
    limit = 0.8 * all_of["bytes"] / 2**30
    code, out, _ = minied("sweep", sweep_file(), "--plan", "--plan-seconds", "0", "--json", "--memory-gb", limit)
    assert code == 0
    parts = json.loads(out)["groups"]
    assert len(parts) > 1
    assert sorted(number for part in parts for number in part["members"]) == list(range(8))
    assert all(part["bytes"] <= limit * 2**30 for part in parts)
    code, _, err = minied("sweep", sweep_file(), "--plan", "--memory-gb", "0.00001")
    assert code == 2
    assert "a member needs" in err
    assert "allowed: a smaller num_envs = 4" in err


def test_the_free_memory_of_this_machine_is_read():
    assert 2**20 < plan.available_bytes() < 2**50


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_of_this_machine_do_the_same(minied, sweep_file, workplace, jobs):
    file = sweep_file("{ppo.num_minibatches: [1, 2], seed: [0, 1]}")
    assert minied("sweep", file, "--sweep-dir", "here", *QUIET)[0] == 0
    code, _, err = minied("sweep", file, "--sweep-dir", "s", "--launcher", "processes", "--jobs", jobs, "--no-pictures")
    assert code == 0, err
    assert "group 1 is finished" in err
    assert tables(workplace / "s") == tables(workplace / "here")
    assert (workplace / "s/groups/000/log.txt").stat().st_size > 0


def test_a_line_a_group_is_printed_for_another_scheduler(minied, sweep_file, workplace):
    code, out, _ = minied(
        "sweep", sweep_file("{ppo.num_minibatches: [1, 2]}"), "--sweep-dir", "s", "--launcher", "print"
    )
    assert code == 0
    assert out == "".join(f"minied sweep {workplace / 's'} --group {number}\n" for number in (0, 1))
    assert minied("sweep", "s", "--group", "1", *QUIET)[0] == 0
    assert open_sweep(workplace / "s").unfinished() == [0]
    assert not (workplace / "s/table.json").exists()
    assert minied("sweep", "s", "--launcher", "print", "--resume")[1] == f"minied sweep {workplace / 's'} --group 0\n"
    assert minied("sweep", "s", "--group", "0", *QUIET)[0] == 0
    assert (workplace / "s/table.json").exists()  # whoever is last writes it


def test_a_preempted_process_is_started_again(minied, sweep_file, workplace, capsys):
    minied("sweep", sweep_file("{ppo.num_minibatches: [1, 2]}"), "--sweep-dir", "s", "--launcher", "print")
    codes, asked = {0: [138, 143, 0], 1: [1]}, []

    class Process:
        def __init__(self, command, **_):
            self.code = codes[int(command[-1])].pop(0)
            asked.append(int(command[-1]))

        def poll(self):
            return self.code

    class Reporter(QuietReporter):
        def note(self, text):
            notes.append(text)

    notes = []
    assert run_processes(open_sweep(workplace / "s"), [0, 1], 1, Reporter(), Process) == 1
    assert asked == [0, 1, 0, 0]
    assert notes.count("group 0 was asked to stop and goes on") == 2
    assert "group 1 failed: exit code 1" in capsys.readouterr().err


# -- mistakes ----------------------------------------------------------------------------------------------------------


def told(minied, *arguments):
    code, _, err = minied(*arguments)
    assert code == 2
    assert err.count("\n") == 1
    return err


def test_mistakes_are_told_before_anything_starts(minied, sweep_file, workplace, monkeypatch):
    file = sweep_file()
    monkeypatch.setattr(groups.Group, "compile", lambda self: 1 / 0)
    assert "needs a sweep file" in told(minied, "sweep")
    assert "the sweep file or folder nothing.yaml does not exist" in told(minied, "sweep", "nothing.yaml")
    assert "unknown option '--jbos'" in told(minied, "sweep", file, "--jbos", "3")
    assert "--jobs is 0; allowed: at least 1" in told(minied, "sweep", file, "--jobs", "0")
    assert "listed twice" in told(minied, "sweep", file, "--seed", "3")
    other = sweep_file("{ppo.num_minibatches: [1, 2]}", name="other.yaml")
    assert "these fields split them: ppo.num_minibatches" in told(minied, "sweep", other, "--one-program")
    assert "num_devices is 3; allowed here: at most 2" in told(minied, "sweep", file, "--num-devices", "3")
    assert "is not the folder of a sweep" in told(minied, "sweep", workplace, "--resume")
    (workplace / "taken").mkdir()
    assert "--sweep-dir is 'taken', which exists already" in told(minied, "sweep", file, "--sweep-dir", "taken")
    assert "--slurm.hours is 0" in told(minied, "sweep", file, "--launcher", "slurm", "--slurm.hours", "0")
    assert not (workplace / "runs").exists()


def test_a_folder_of_another_sweep_is_refused(minied, sweep_file, workplace):
    file = sweep_file()
    assert minied("sweep", file, "--sweep-dir", "s", "--launcher", "print")[0] == 0
    assert "s exists already: go on with --resume" in told(minied, "sweep", file, "--sweep-dir", "s")
    other = sweep_file("{seed: [5]}", name="other.yaml")
    for arguments in (["--resume"], []):
        assert "s holds the results of another sweep" in told(minied, "sweep", other, "--sweep-dir", "s", *arguments)
    assert "--group is 7; allowed in s: 0 to 0" in told(minied, "sweep", "s", "--group", "7")
    assert "s is a sweep already" in told(minied, "sweep", "s")
    assert "is a member of a sweep; allowed: `minied sweep s --resume`" in told(minied, "resume", "s/members/000")
    (workplace / "s/sweep.json").write_text('{"members": [], "schema_version": 9}')
    assert "schema_version 9; allowed: 1" in told(minied, "sweep", "s", "--resume")
    (workplace / "s/sweep.json").write_text("nonsense")
    assert "sweep.json cannot be read" in told(minied, "sweep", "s", "--resume")


def test_a_group_is_worked_on_by_one_process_at_a_time(minied, sweep_file, workplace):
    assert minied("sweep", sweep_file(), "--sweep-dir", "s", "--launcher", "print")[0] == 0
    with open_sweep(workplace / "s").locked(0):
        assert "is being worked on by another process" in told(minied, "sweep", "s", "--group", "0")


@pytest.mark.parametrize("more", ["", "halving: {first_env_steps: 400, factor: 2}"])
@pytest.mark.slow
def test_members_of_one_lane_that_end_early_stay_as_they_were_after_a_resume(
    minied, sweep_file, workplace, monkeypatch, more
):
    """As on an accelerator, where they go on beside their neighbours, unread; stopped after every chunk."""
    real = groups.lanes_of
    monkeypatch.setattr(groups, "lanes_of", lambda configs, settings, width: real(configs, settings, 8))
    file = sweep_file("{target: [0.01, 1.0], ppo.learning_rate: [1e-3, 1e-2, 1e-1]}", more=more, updates=12)
    assert minied("sweep", file, "--sweep-dir", "unbroken", *QUIET)[0] == 0
    advance = groups.Group.advance

    def advance_and_signal(self, state, untils):
        signal.raise_signal(signal.SIGUSR1)
        return advance(self, state, untils)

    monkeypatch.setattr(groups.Group, "advance", advance_and_signal)
    stops = 0
    while (code := minied("sweep", file, "--sweep-dir", "s", *QUIET, *(["--resume"] if stops else []))[0]) == 138:
        stops += 1
    assert code == 0
    assert stops > 5
    assert tables(workplace / "s") == tables(workplace / "unbroken")
    assert rows(workplace / "s") == rows(workplace / "unbroken")
    ends = open_sweep(workplace / "s").status(0)["members"]
    assert {"finished", "target" if not more else "cut"} <= {end.partition(":")[0] for end in ends.values()}
