"""The command `minied bench` around measurements that are made up: its groups, its table, its JSON, its errors."""

import itertools
import json

import pytest

from minied.bench import machine
from minied.bench import measure as measuring
from minied.bench.measure import Measurement
from minied.bench.timing import Timing, estimate
from minied.commands.bench import _groups, _peers
from minied.errors import UserError

HERE = {
    "processor": "of a test", "processors_usable": 2, "memory_bytes": 2**34, "platform": "cpu", "device": "cpu",
    "jax": "1", "jaxlib": "2", "python": "3", "load_average_before": 0.5, "settings": {"XLA_FLAGS": "-x"}, "date": "today",
}  # fmt: skip


@pytest.fixture
def measured(monkeypatch):
    """Every case takes 2 s for 4,000 steps, the half of them learnt from, and is compared by 3, 4 and 5 times."""
    groups = []

    def measure(group, rounds, tell, **_):
        groups.append((group, rounds))
        tell.phase("timing")
        if len(group) > 1:
            tell.warn("not measured: a peer")
        timings = tuple(Timing(2.0, {"steps": 4000, "learnt": 2000, "updates": 2}) for _ in range(rounds))
        compared = estimate([3.0, 4.0, 5.0], with_interval=True)
        ready = {"first_call_seconds": 7.0, "versions": {"jax": "1"}, "workload": {}}
        return [Measurement(case, ready, timings, 5, compared if number else None) for number, case in enumerate(group)]

    monkeypatch.setattr(measuring, "measure", measure)
    monkeypatch.setattr(machine, "describe", lambda: HERE)
    return groups


def test_tables_of_what_was_measured(minied, measured):
    code, out, err = minied("bench", "--quick", "--rounds", "3")
    assert code == 0
    assert {rounds for _, rounds in measured} == {3}
    for word in (
        "steps learnt from",
        "environment steps a second",
        "DR",
        "PLR⊥",
        "2k ±0%",
        "1k ±0%",
        "of a test",
        "XLA_FLAGS",
    ):
        assert word in out, out
    assert "÷" not in out
    assert "1/6 timing" in err


def test_peers_are_compared_and_failures_told(minied, measured):
    code, out, err = minied("bench", "--quick", "--peers", "minimax", "navix")
    assert code == 0
    assert "minied ÷" in out
    assert "4 [3, 5]" in out
    assert "no metrics" in out
    assert "not measured: a peer" in err


def test_json_is_one_object(minied, measured):
    code, out, err = minied("bench", "--quick", "--peers", "--json", "--rounds", "1")
    assert code == 0
    told = json.loads(out)
    assert told["machine"] == HERE
    assert (told["rounds"], told["quick"]) == (1, True)
    assert sum(len(group) for group, _ in measured) == len(told["measurements"])
    row = told["measurements"][0]
    assert (row["by"], row["env_steps_per_second"]["median"], row["first_call_seconds"]) == ("minied", 2000, 7.0)
    assert row["train_steps_per_second"]["median"] == 1000
    assert set(err.splitlines()) <= {"minied: not measured: a peer"}


def test_what_is_timed():
    alone = _groups(False, ())
    assert all(len(group) == 1 for group in alone)
    names = [group[0].name for group in alone if group[0].what == "training"]
    assert names == ["DR", "PLR", "PLR⊥", "ACCEL", "PLR∥", "ACCEL∥", "PAIRED"]
    worlds = [(group[0].num_envs, group[0].note) for group in alone if group[0].what == "world"]
    assert worlds == [(size, f"{restart} level") for size in (32, 1024, 8192) for restart in ("same", "fresh")]
    compared = _groups(False, _peers(()))
    assert len(compared) == len(alone)
    assert all(group[0].by == "minied" for group in compared)
    assert {case.by for group in compared for case in group} == {
        "minied", "minimax", "minimax, no metrics", "jaxued", "xminigrid", "navix",
    }  # fmt: skip
    # Teachers that learn by chance are compared on replays, which are the same work in every round.
    notes = {group[0].name: {case.note for case in group} for group in compared if group[0].what == "training"}
    assert notes["PLR⊥"] == notes["ACCEL"] == {"replays"}
    assert notes["DR"] == notes["ACCEL∥"] == {""}
    # An update of PAIRED is long, in minimax above all: here minied's alone is timed, one update at a time.
    paired = [case for group in compared for case in group if case.name == "PAIRED"]
    assert [case.by for case in paired] == ["minied"]
    assert ("--iterations-per-timing", "1") in itertools.pairwise(paired[0].arguments)


def test_which_peers():
    assert _peers(None) == ()
    assert _peers(()) == ("minimax", "jaxued", "xminigrid", "navix")
    assert _peers(("navix", "navix")) == ("navix",)
    with pytest.raises(UserError, match=r"unknown peer 'jaxud' \(did you mean 'jaxued'\?\)"):
        _peers(("jaxud",))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], ["--rounds is 0", "at least 1"]),
        (["--rounds", "x"], ["--rounds", "'x' is not a whole number"]),
        (["--peers", "jaxud"], ["unknown peer 'jaxud'", "did you mean 'jaxued'"]),
        (["--peer"], ["--peer", "did you mean '--peers'"]),
        (["now"], ["unexpected argument 'now'"]),
    ],
    ids=str,
)
def test_bad_input_is_told_in_one_line(minied, measured, arguments, words):
    code, out, err = minied("bench", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    for word in words:
        assert word in err, err
    assert not measured
