"""When a run ends: by updates, steps, hours or a target; how it goes on past that; and signals that ask for the machine."""

import json
import signal

import pytest
import run_world

from minied.run import training
from minied.run.folder import RunFolder
from minied.run.stopping import REQUEUE, StopFlag


def evaluations(path):
    return RunFolder(path).read_rows("evaluations")


def test_a_run_ends_at_its_target_and_goes_on_to_a_higher_one(minied, config_file, tmp_path, monkeypatch):
    """The fake student's solve rate rises with the iterations."""
    code, out, _ = minied("train", config_file, "--run-dir", "whole", "--no-pictures")
    rates = [row["solve_rate"] for row in evaluations(tmp_path / "whole")]
    assert code == 0
    target = sorted({*rates})[1]
    first = next(i for i, rate in enumerate(rates) if rate >= target)
    assert 0 < first < len(rates) - 1, rates
    code, out, _ = minied("train", config_file, "--run-dir", "run", "--no-pictures", "--target", str(target))
    assert code == 0
    updates = evaluations(tmp_path / "run")[-1]["student_updates"]
    assert out.endswith(f"reached the target {target:.0%} after {updates} updates: run\n")
    assert [row["solve_rate"] for row in evaluations(tmp_path / "run")] == rates[: first + 1]
    # The same again is over at once; without the target it goes on to its end, as if it had not paused.
    assert minied("resume", "run", "--no-pictures", "--target", str(target))[1].endswith("updates: run\n")
    assert len(evaluations(tmp_path / "run")) == first + 1
    assert minied("resume", "run", "--no-pictures", "--target", "0")[0] == 0
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_ends_by_its_hours_over_all_sessions(minied, config_file, tmp_path, monkeypatch):
    """By a clock that only chunks move: 6 minutes each."""
    clock, advance = [0.0], run_world.Program.advance

    def slow_advance(self, state, until):
        clock[0] += 360.0
        return advance(self, state, until)

    monkeypatch.setattr(run_world.Program, "advance", slow_advance)
    monkeypatch.setattr(training.time, "monotonic", lambda: clock[0])
    code, out, _ = minied("train", config_file, "--run-dir", "run", "--no-pictures", "--max-hours", "0.25")
    assert code == 0
    metrics = RunFolder(tmp_path / "run").read_rows("metrics")
    assert len(metrics) == 3  # 18 minutes are the first that are at least 15
    assert evaluations(tmp_path / "run")[-1]["iterations"] == metrics[-1]["iterations"]
    assert "by max_hours = 0.25; `minied resume` with more goes on: run" in out
    # 0.35 hours are 21 minutes, of which 18 are over: one chunk more.
    code, out, _ = minied("resume", "run", "--no-pictures", "--max-hours", "0.35")
    assert code == 0
    assert len(RunFolder(tmp_path / "run").read_rows("metrics")) == 4


def test_a_finished_run_can_be_prolonged_where_nothing_goes_by_its_length(minied, config_file, tmp_path):
    constant = ["--ppo.anneal", "constant"]
    minied("train", config_file, "--run-dir", "long", "--no-pictures", "--updates", "14", *constant)
    minied("train", config_file, "--run-dir", "run", "--no-pictures", "--updates", "10", *constant)
    code, out, _ = minied("resume", "run", "--no-pictures", "--updates", "14")
    assert code == 0
    assert out.endswith("finished 14 updates: run\n")
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "long/metrics.jsonl").read_bytes()
    minied("train", config_file, "--run-dir", "falling", "--no-pictures", "--ppo.anneal", "linear")
    code, _, err = minied("resume", "falling", "--updates", "14")
    assert code == 2
    assert "these differ: updates" in err
    assert "with ppo.anneal constant" in err


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 138), ("SIGUSR2", 140), ("SIGINT", 130)])
def test_a_signal_saves_and_its_code_says_whether_to_start_again(
    minied, config_file, tmp_path, monkeypatch, name, code
):

    advance, sent = run_world.Program.advance, []

    def advance_and_signal(self, state, until):
        if not sent:
            sent.append(signal.raise_signal(getattr(signal, name)))
        return advance(self, state, until)

    monkeypatch.setattr(run_world.Program, "advance", advance_and_signal)
    assert minied("train", config_file, "--run-dir", "run", "--no-pictures")[0] == code
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert max(int(path.name) for path in (tmp_path / "run/checkpoints").iterdir()) == last["iterations"]
    assert (code in REQUEUE) == (name != "SIGINT")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-hours", "-1"], "max_hours is -1.0; allowed: [0, ∞)"),
        (["--target", "1.5"], "target is 1.5; allowed: [0, 1]"),
        (["--target", "much"], "--target: 'much' is not a number"),
    ],
)
def test_budgets_out_of_range_are_told(minied, config_file, options, told):
    code, _, err = minied("train", config_file, *options)
    assert code == 2
    assert told in err


def test_the_own_copy_of_a_signal_that_another_process_told_of_is_no_second_wish():
    """Slurm signals every process of a job, one after the other; it would end this one in the middle of its save."""
    with StopFlag(quiet=True) as stop:
        stop.ask(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert stop.exit_code == 138
