"""Plans of a sweep, and its groups in this process, in processes of this machine, or a line each for another scheduler."""

import json

import pytest
from swept import QUIET, tables

from minied.run.console import QuietReporter
from minied.sweep import plan
from minied.sweep.folder import open_sweep
from minied.sweep.launch import run_processes


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


def test_files_that_a_container_keeps_in_memory_are_free(tmp_path):
    """Of 1000 bytes 900 are used, 600 of them by files that nobody reads now: 1000 - 900 + 600."""
    for name, text in {"max": "1000", "current": "900", "stat": "anon 300\nfile 620\ninactive_file 600\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert plan._free_of_container(tmp_path) == 700


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


@pytest.mark.slow
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
