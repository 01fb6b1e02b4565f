"""A run that is stopped, killed, damaged or gone on with ends as the unbroken one does, and says what it did."""

import json
import re
import signal
import time

import pytest
import run_world

from minied.config import config_from_dict, load_config
from minied.run.folder import RunFolder, open_run

FILES = ("metrics.jsonl", "evaluations.jsonl")


def contents(run):
    return {name: (run / name).read_bytes() for name in FILES}


@pytest.fixture
def unbroken(minied, config_file, tmp_path):
    """What the files of an undisturbed run hold."""
    code, out, _ = minied("train", config_file, "--run-dir", "unbroken", "--no-pictures", "--num-seeds", "2")
    assert code == 0
    assert out.endswith("finished 10 updates: unbroken\n")
    return contents(tmp_path / "unbroken")


def test_a_run_leaves_its_rows(minied, config_file, tmp_path, unbroken):
    rows = [json.loads(line) for line in unbroken["metrics.jsonl"].splitlines()]
    assert [row["iterations"] for row in rows] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert list(rows[0]) == ["iterations", "student_updates", "train_steps", "env_steps", "metrics"]
    assert rows[0]["metrics"]["replay/solve_rate"] == [None, None]
    assert len(rows[1]["metrics"]["replay/solve_rate"]) == 2
    assert rows[0]["metrics"]["never"] == [None, None]
    rows = [json.loads(line) for line in unbroken["evaluations.jsonl"].splitlines()]
    assert [row["iterations"] for row in rows] == [0, 4, 8, 12, 16, 20]
    assert list(rows[0]["entries"]) == ["left", "right"]
    assert rows[-1]["entries"]["right"] == {
        "solve_rate": [1.0] * 2,
        "mean_return": [1.0] * 2,
        "mean_length": [1.0] * 2,
        "num_levels": 1,
        "horizon": 5,
    }
    # The first level's result is the evaluation's key, which is the same every time.
    assert len({json.dumps(row["entries"]["left"]) for row in rows}) == 1
    timing = RunFolder(tmp_path / "unbroken").read_rows("timing")
    assert [row["compiling"] for row in timing] == [True] + [False] * 9
    description = json.loads((tmp_path / "unbroken" / "config.json").read_text())
    assert description["versions"].keys() == {"python", "minied", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint"}
    config = config_from_dict(description["config"])
    assert config == load_config(config_file, ["--num-seeds", "2"])
    assert description["fingerprint"] == config.fingerprint


def test_evaluations_in_the_middle_and_only_at_the_end(minied, config_file, tmp_path):
    options = [
        "--evaluate-every",
        "0",
        "--checkpoint-every",
        "0",
        "--suite",
        "all",
        "--updates",
        "9",
        "--log-every",
        "4",
    ]
    assert minied("train", config_file, "--run-dir", "run", "--no-pictures", *options)[0] == 0
    folder = RunFolder(tmp_path / "run")
    assert [row["iterations"] for row in folder.read_rows("evaluations")] == [0, 18]
    last = folder.read_rows("evaluations")[1]
    assert last["entries"]["cell"]["num_levels"] == 5
    # Every level weighs the same in the one mean, every entry in the other.
    weights = {name: entry["num_levels"] for name, entry in last["entries"].items()}
    rates = {name: entry["solve_rate"] for name, entry in last["entries"].items()}
    by_level = sum(rates[name] * weight for name, weight in weights.items()) / sum(weights.values())
    assert last["solve_rate"] == pytest.approx(by_level)
    assert last["solve_rate_of_entries"] == pytest.approx(sum(rates.values()) / len(rates))
    assert [row["iterations"] for row in folder.read_rows("metrics")] == [4, 8, 12, 16, 18]
    assert [int(path.name) for path in folder.checkpoints.iterdir()] == [18]


@pytest.mark.parametrize("stop_after", [0, 1, 2, 5, 9])
def test_a_stopped_run_goes_on_as_if_it_had_not(minied, config_file, tmp_path, unbroken, monkeypatch, stop_after):
    """Stop by a real signal, sent while a chunk runs; the files end up the same, byte for byte."""
    advance, calls = run_world.Program.advance, []

    def advance_and_interrupt(self, state, until):
        calls.append(until)
        if len(calls) == stop_after:
            signal.raise_signal(signal.SIGTERM if stop_after % 2 else signal.SIGINT)
        return advance(self, state, until)

    evaluate = run_world.Program.evaluate

    def evaluate_and_interrupt(self, state, *rest):
        if stop_after == 0 and not calls:
            calls.append(0)
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, state, *rest)

    monkeypatch.setattr(run_world.Program, "advance", advance_and_interrupt)
    monkeypatch.setattr(run_world.Program, "evaluate", evaluate_and_interrupt)
    before = signal.getsignal(signal.SIGINT)
    code, out, _ = minied("train", config_file, "--run-dir", "run", "--no-pictures", "--num-seeds", "2")
    assert code == (143 if stop_after % 2 else 130)
    assert out == f"stopped after {stop_after} updates; go on with: minied resume run\n"
    assert signal.getsignal(signal.SIGINT) is before
    # What was done is saved: without it the resumed run would end in the same bytes, having done the work again.
    folder = RunFolder(tmp_path / "run")
    done = [row["iterations"] for row in folder.read_rows("metrics")] or [0]
    assert max(int(each.name) for each in folder.checkpoints.iterdir()) == done[-1]
    stop_after = -1
    code, out, _ = minied("resume", "run", "--no-pictures")
    assert code == 0
    assert contents(tmp_path / "run") == unbroken


@pytest.mark.parametrize("damage", [False, True])
def test_a_crashed_run_goes_on_as_if_it_had_not(minied, config_file, tmp_path, unbroken, monkeypatch, damage):
    advance, calls = run_world.Program.advance, []

    def advance_and_crash(self, state, until):
        calls.append(until)
        if len(calls) == 8:
            raise MemoryError
        return advance(self, state, until)

    monkeypatch.setattr(run_world.Program, "advance", advance_and_crash)
    with pytest.raises(MemoryError):
        minied("train", config_file, "--run-dir", "run", "--no-pictures", "--num-seeds", "2")
    run = tmp_path / "run"
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"iterations": 16, "torn')
    if damage:
        page = run / "checkpoints" / "12" / "meta" / "metadata"
        page.write_text(page.read_text()[:-5])
    code, _, err = minied("resume", "run", "--no-pictures")
    assert code == 0
    assert contents(run) == unbroken
    assert ("iteration 12 is damaged" in err and "going on from iteration 8" in err) == damage


def test_resume_before_the_first_checkpoint(minied, config_file, tmp_path, unbroken, monkeypatch):
    advance = run_world.Program.advance
    monkeypatch.setattr(run_world.Program, "advance", lambda self, state, until: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        minied("train", config_file, "--run-dir", "run", "--no-pictures", "--num-seeds", "2")
    monkeypatch.setattr(run_world.Program, "advance", advance)
    code, _, err = minied("resume", "run", "--no-pictures")
    assert code == 0
    assert "starting from the beginning" in err
    assert contents(tmp_path / "run") == unbroken


def test_a_run_whose_checkpoints_can_meet_says_how(minied, config_file):
    told = "play its checkpoints against each other with: minied versus sides\n"
    options = ["--no-pictures", "--evaluate-every", "0"]
    code, out, _ = minied("train", config_file, "--env", "run_world:Sides", "--run-dir", "sides", *options)
    assert code == 0
    assert out.endswith(f"{told}finished 10 updates: sides\n")
    assert told in minied("resume", "sides", "--no-pictures")[1]
    # not with one team, one checkpoint, or if it shall be quiet
    for name, more in (
        ("one_team", []),
        ("one_checkpoint", ["--env", "run_world:Sides", "--checkpoint-every", "0"]),
        ("quiet", ["--env", "run_world:Sides", "--quiet"]),
    ):
        code, out, _ = minied("train", config_file, "--run-dir", name, *options, *more)
        assert code == 0
        assert "versus" not in out


def test_resuming_a_finished_run_changes_nothing(minied, unbroken, tmp_path):
    code, out, _ = minied("resume", "unbroken", "--no-pictures")
    assert code == 0
    assert "before" in out
    assert out.endswith("finished 10 updates: unbroken\n")
    assert contents(tmp_path / "unbroken") == unbroken


def test_all_checkpoints_damaged(minied, unbroken, tmp_path):
    for page in (tmp_path / "unbroken" / "checkpoints").glob("*/meta/metadata"):
        page.unlink()
    code, _, err = minied("resume", "unbroken")
    assert code == 2
    assert err.count("\n") == 1
    assert "iteration 20 is damaged" in err
    assert contents(tmp_path / "unbroken") == unbroken


def test_kill_in_the_middle_of_saves(start_process, minied, config_file, tmp_path, unbroken):
    """SIGKILL at unlucky moments; each time the run can be resumed, and at last it equals the unbroken one."""
    options = ["--checkpoint-every", "2", "--no-pictures", "--quiet"]
    arguments = ["train", config_file, "--run-dir", "run", "--num-seeds", "2", *options]
    run, kept = tmp_path / "run", []
    for moment in (0.01, 0.0, 0.01, 0.03):  # seconds after the first sign of a save; the first time after a whole one
        process = start_process(*arguments, FAKE_ITERATION_SECONDS="0.01")
        before = entries(run)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            new = entries(run) - before
            if any(name.isdigit() for name in new) if not kept else new:
                break
            time.sleep(0.0005)
        time.sleep(moment)
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        assert err in ("", "minied: no checkpoint was saved yet: starting from the beginning\n")
        kept.append(max([int(path.name) for path in run.glob("checkpoints/*") if path.name.isdigit()], default=0))
        arguments = ["resume", "run", *options]
    assert kept == sorted(kept)  # nothing that was saved is ever lost
    assert kept[0] > 0
    code, _, err = minied("resume", "run", *options)
    assert (code, err) == (0, "")
    assert contents(run) == unbroken


def entries(run):
    return {path.name for path in run.glob("checkpoints/*")} if run.exists() else set()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_to_a_process(start_process, config_file, tmp_path, number, code):
    process = start_process(
        "train", config_file, "--run-dir", "run", "--no-pictures", "--updates", "100000", FAKE_ITERATION_SECONDS="0.02"
    )
    wait_for_rows(process, tmp_path / "run", 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert re.fullmatch(r"stopped after \d+ updates; go on with: minied resume run\n", out)
    assert "Traceback" not in err


def test_a_second_signal_aborts_at_once(start_process, config_file, tmp_path):
    arguments = ["train", config_file, "--run-dir", "run", "--no-pictures", "--updates", "1000"]
    process = start_process(
        *arguments, "--log-every", "1", "--evaluate-every", "0", "--checkpoint-every", "0", FAKE_ITERATION_SECONDS="4"
    )
    wait_for_rows(process, tmp_path / "run", 1)
    process.send_signal(signal.SIGINT)
    time.sleep(1.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - start < 2


def test_a_signal_that_comes_twice_at_once_is_one(start_process, config_file, tmp_path):
    """As GNU timeout sends it: to the process, and to its group."""
    process = start_process(
        "train", config_file, "--run-dir", "run", "--no-pictures", "--updates", "100000", FAKE_ITERATION_SECONDS="0.3"
    )
    wait_for_rows(process, tmp_path / "run", 1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert out.startswith("stopped after ")
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def wait_for_rows(process, run, count):
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"no rows: {process.communicate()}")


def test_two_processes_do_not_write_to_one_run(minied, config_file, unbroken, tmp_path):
    with open_run(tmp_path / "unbroken").locked():
        code, _, err = minied("resume", "unbroken")
    assert code == 2
    assert err == "minied: error: unbroken is being written by another process\n"


def test_a_resumed_run_says_where_it_starts(minied, config_file):
    assert minied("train", config_file, "--run-dir", "run", "--no-pictures")[0] == 0
    code, _, err = minied("resume", "run", "--no-pictures")
    assert code == 0
    assert "finished already, at 10 of 10 updates" in err


def test_rollouts_too_short_for_an_episode_are_told(minied, config_file):
    options = ("--run-dir", "run", "--no-pictures", "--updates", "2")
    _, _, err = minied("train", config_file, *options, "--num-steps", "2")
    assert "num_steps is 2, less than the world's max_steps = 5" in err


def test_a_run_that_goes_on_over_other_devices_says_so(minied, unbroken, tmp_path):
    """The figures of its config stay those it began with; only rounding is another, and a person shall know why."""
    path = tmp_path / "unbroken" / "config.json"
    description = json.loads(path.read_text())
    assert set(description["spread"]) == {"axis", "number"}
    code, out, err = minied("resume", "unbroken", "--no-pictures")
    assert code == 0
    assert "goes on on" not in out + err
    path.write_text(json.dumps(description | {"spread": {"axis": "environments", "number": 16}}))
    code, out, err = minied("resume", "unbroken", "--no-pictures")
    assert code == 0
    assert "this run was on 16 devices (environments) and goes on on" in " ".join((out + err).split())
