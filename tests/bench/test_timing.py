"""Timings in turn, their medians and ratios, computed by hand; no real time is looked at."""

import io
import json
import math
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minied.bench import cases, machine, measure, scripts, tables
from minied.bench.cases import Case
from minied.bench.measure import Measurement, timing_of_all
from minied.bench.peers.environments import PEERS
from minied.bench.peers.process import SCRIPTS, Peer
from minied.bench.timing import (
    Timing,
    estimate,
    geometric_mean,
    in_turn,
    pooled_rate,
    rates,
    ratio,
    timed_calls,
)
from minied.errors import UserError


def test_the_order_is_reversed_in_every_other_round():
    order = []

    def case(name):
        order.append(name)
        return Timing(float(len(order)), {})

    timings = in_turn({name: (lambda name=name: case(name)) for name in "abc"}, 3)
    assert "".join(order) == "abc" "cba" "abc"  # fmt: skip
    assert [each.seconds for each in timings["c"]] == [3.0, 4.0, 9.0]
    with pytest.raises(UserError, match="rounds is 0; allowed: at least 1"):
        in_turn({}, 0)


def test_medians_and_their_spread():
    """1, 2, 4, 10: median 3; deviations 2, 1, 1, 7, of which the median is 1.5."""
    told = estimate([4.0, 1.0, 10.0, 2.0])
    assert told[:5] == (3.0, 1.5, 1.0, 10.0, 4)
    assert told.interval is None
    assert told.to_dict() == {"median": 3.0, "deviation": 1.5, "least": 1.0, "most": 10.0, "number": 4}


def test_the_interval_is_of_the_median_over_rounds():
    """One value in nine is wild: the median of a resample is 1 but for a chance of some 10⁻³; their mean would not be."""
    values = [1.0] * 8 + [1000.0]
    told = estimate(values, with_interval=True)
    assert told.interval == (1.0, 1.0)
    assert estimate(values, with_interval=True) == told  # the same draws
    assert estimate([1.0, 2.0], with_interval=True).interval is None
    interval = estimate(list(np.arange(1.0, 12.0)), with_interval=True).interval
    assert interval is not None
    low, high = interval
    assert 1.0 < low < 6.0 < high < 11.0


def test_rates_and_ratios_are_of_the_same_round():
    """100 in 2 s and 300 in 3 s: 50 and 100 a second, pooled 400 / 5 = 80. Against 25 and 20 a second: 2 and 5 times."""
    ours = [Timing(2.0, {"steps": 100, "learnt": 0}), Timing(3.0, {"steps": 300, "learnt": 30})]
    theirs = [Timing(4.0, {"steps": 100, "learnt": 9}), Timing(5.0, {"steps": 100, "learnt": 9})]
    assert rates(ours, "steps")[:4] == (75.0, 25.0, 50.0, 100.0)
    assert pooled_rate(ours, "steps") == 80.0
    found = ratio(ours, theirs, "steps")
    assert found is not None
    assert (found.median, found.least, found.most) == (3.5, 2.0, 5.0)
    assert ratio(ours, theirs, "learnt") is None  # nothing was learnt in a round
    assert ratio(theirs, ours, "learnt") is None
    with pytest.raises(ValueError, match="zip"):
        ratio(ours, theirs[:1], "steps")
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_functions_are_called_as_often_as_fills_the_time(monkeypatch):
    """A clock that a call moves by 2 s: 5 s are filled by three calls, after one that compiles and one to know."""
    clock, calls = [0.0], []

    def function():
        calls.append(1)
        clock[0] += 2.0
        return np.zeros(1)

    monkeypatch.setattr("minied.bench.timing.time.perf_counter", lambda: clock[0])
    once = timed_calls(function, 5.0)
    assert len(calls) == 2
    assert once() == Timing(6.0, {"calls": 3})
    assert timed_calls(function, 0.0)().counts == {"calls": 1}


# --- groups of processes ---

READY = """
import json, os, sys
def say(**answer):
    print(json.dumps(answer), flush=True)
say(ready=True, platform="cpu", first_call_seconds=1.5, versions={"fake": "1"}, workload={"arguments": sys.argv[1:]})
for number, line in enumerate(sys.stdin):
    words = line.split()
    if words[0] == "quit":
        break
    calls = int(words[1])
"""
# A call takes 0.3 s and makes 60 steps, of which the half is learnt from.
STEADY = "    say(seconds=0.3 * calls, steps=60 * calls, learnt=30 * calls, updates=calls, peak_resident_bytes=1000)\n"
SLOW = "    say(seconds=1.2 * calls, steps=60 * calls, learnt=30 * calls, updates=calls, peak_resident_bytes=2000)\n"
DYING = "    os._exit(3) if number == 2 else say(seconds=1.0, steps=1, learnt=1)\n"


class Told:
    def __init__(self):
        self.phases, self.warnings = [], []

    def phase(self, text):
        self.phases.append(text)

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def start(tmp_path):
    """Start a fake process by the name of its "script"."""
    texts = {
        "steady": READY + STEADY,
        "slow": READY + SLOW,
        "dying": READY + DYING,
        "dead": "raise SystemExit('no such')",
    }

    def begin(script, arguments, platform, variables):
        begin.variables.append(variables)
        path = tmp_path / f"{script}.py"
        path.write_text(textwrap.dedent(texts[script]))
        return Peer(path, Path(sys.executable), arguments, platform=platform, patience_seconds=30.0)

    begin.variables = []
    return begin


def case(script, by="minied", **more):
    return Case("training", "DR", by, script, ("--x", "1"), "learnt", 32, **more)


def test_a_group_is_compared_with_its_first(start):
    """Each timing is of four calls of 0.3 s, or one of 1.2 s, at least 1 s: 100 and 25 learnt steps a second."""
    group = [case("steady", variables=(("A", "b"),)), case("slow", by="other")]
    ours, theirs = measure.measure(group, 3, Told(), platform="cpu", least_seconds=1.0, start=start)
    assert [each.seconds for each in ours.timings] == pytest.approx([1.2] * 3)
    assert [each.counts["steps"] for each in theirs.timings] == [60] * 3
    assert ours.rate("learnt").median == pytest.approx(100)
    assert ours.ratio is None
    assert theirs.ratio is not None
    assert theirs.ratio.median == pytest.approx(4.0)
    assert start.variables == [{"A": "b"}, {}]
    told = theirs.to_dict()
    assert told["first_of_group_over_this"]["counted"] == "learnt"
    assert told["env_steps_per_second"]["median"] == pytest.approx(50)
    assert told["train_steps_per_second"]["pooled"] == pytest.approx(25)
    assert told["seconds_an_update"]["median"] == pytest.approx(1.2)
    assert (told["peak_resident_bytes"], told["precision"], told["first_call_seconds"]) == (2000, "float32", 1.5)
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("bad", ["dead", "dying"])
def test_one_that_fails_is_told_in_one_line_and_the_rest_goes_on(start, bad):
    told = Told()
    group = [case("steady"), case(bad, by="broken"), case("slow", by="other")]
    rows = measure.measure(group, 3, told, platform="cpu", least_seconds=0.1, start=start)
    assert [row.case.by for row in rows] == ["minied", "other"]
    assert [len(row.timings) for row in rows] == [3, 3]
    assert len(told.warnings) == 1
    assert "broken" in told.warnings[0]
    assert "\n" not in told.warnings[0]
    with pytest.raises(UserError, match="died"):  # what all are compared with must not fail
        measure.measure([case(bad), case("steady")], 3, told, platform="cpu", least_seconds=0.1, start=start)


def test_processes_at_the_same_time_take_as_long_as_the_last(start):
    """Two of them are asked at once; each answers when both were asked."""
    both = threading.Barrier(2, timeout=30)

    class Waiting:
        def __init__(self):
            self.last = {"steps": 5, "learnt": 3, "seconds": 1.0, "peak_resident_bytes": 7}

        def time(self, calls):
            both.wait()
            assert calls == 2
            return 1.0, 5

    timing = timing_of_all([Waiting(), Waiting()], 2)  # type: ignore[list-item]
    assert timing.counts == {"steps": 10, "learnt": 6}
    assert timing.seconds > 0


# --- what is timed, and how it is shown ---


def test_cases_of_the_teachers_are_those_of_minimax_too():
    for teacher in cases.TEACHERS:
        ours, theirs = cases.training(teacher), cases.minimax_training(teacher, "off")
        assert (ours.name, ours.counted, ours.num_envs) == (theirs.name, theirs.counted, theirs.num_envs)
        assert SCRIPTS[ours.script] == "minied"
        assert theirs.peer in PEERS
        replays = teacher not in ("domain_randomization", "paired")
        assert ("--teacher.minimum-fill" in ours.arguments) == replays
    replaying = cases.training("robust_plr", updates="replay").arguments
    assert replaying[replaying.index("--teacher.replay-probability") + 1] == "1"
    assert "--teacher.replay-probability" not in cases.training("parallel_plr", updates="replay").arguments
    assert cases.training("accel", ["--seed", "3"]).arguments[-2:] == ("--seed", "3")
    with pytest.raises(UserError, match="unknown teacher 'robust_prl'"):
        cases.training("robust_prl")


def test_recipes_of_cases_exist_and_parse():
    """The options of every case make a config, as the process will read them."""
    from minied.config import load_config

    for teacher in (*cases.TEACHERS, "sfl", "ncc"):
        words = list(cases.training(teacher, iterations=3).arguments)
        assert words[:4:2] == ["--preset", "--iterations-per-timing"]
        config = load_config(words[1], words[4:])
        assert (config.num_envs, config.num_steps, config.network.memory_size) == (32, 256, 256)


def measurement(by="minied", what: Any = "training", ratios=None, name="DR", counts=None, note=""):
    counts = {"steps": 20_000, "learnt": 10_000, "updates": 4} if counts is None else counts
    shown = Case(what, name, by, "minied_training", (), "learnt", 32, note)
    found = None if ratios is None else estimate(ratios, with_interval=True)
    timings = (Timing(2.0, counts), Timing(2.0, counts))
    return Measurement(shown, {"first_call_seconds": 6.04}, timings, 10, found)


def shown(rows):
    from rich.console import Console

    console = Console(width=100, file=io.StringIO())
    for table in tables.tables(rows):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_says_what_is_counted():
    text = shown([measurement(), measurement("minimax", ratios=[2.0, 3.0, 4.0])])
    for word in ("steps simulated and steps learnt from", "10k ±0%", "5k ±0%", "0.5", "6.0", "float32", "3 [2, 4]"):
        assert word in text, text
    assert "worlds" not in text
    text = shown([measurement(what="world", name="maze 13×13", note="same level", counts={"steps": 3_000_000})])
    assert "environment steps a second" in text
    assert "1.5M ±0%" in text
    assert "÷" not in text  # nothing to compare with


def test_what_did_not_learn_has_no_rate_of_it():
    rows = [measurement(counts={"steps": 4000, "learnt": 0, "updates": 4})]
    line = next(line for line in shown(rows).splitlines() if "DR" in line)
    assert "2k" in line
    assert " - " in line


def test_the_machine_is_told_without_its_places(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_dump_to=/home/me/dump")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/home/me/cache")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    monkeypatch.setattr(machine, "accelerator", lambda: ("cpu", "cpu", 1))
    told = machine.describe()
    assert told["settings"]["XLA_FLAGS"] == "--xla_a=1 --xla_dump_to=…"
    assert told["settings"]["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert "/home/me" not in json.dumps(told)
    assert told["processors_usable"] >= 1
    assert {"processor", "memory_bytes", "system", "python", "jax", "jaxlib", "minied", "device", "date"} <= set(told)


def test_jax_that_does_not_start_is_told_in_one_line(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonexistent")
    machine.accelerator.cache_clear()
    try:
        with pytest.raises(UserError, match=r"jax does not start here: .*nonexistent"):
            machine.accelerator()
    finally:
        machine.accelerator.cache_clear()


def test_a_script_prints_one_object_or_ends_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(machine, "describe", lambda: {"processor": "of a test"})
    scripts.main(lambda reporter: {"answer": 42})
    assert json.loads(capsys.readouterr().out) == {"machine": {"processor": "of a test"}, "answer": 42}

    def fails(reporter):
        raise UserError("rounds is 0;\nallowed: more")

    with pytest.raises(SystemExit, match=r"^error: rounds is 0; allowed: more$"):
        scripts.main(fails)
    assert capsys.readouterr().out == ""


def test_scripts_sum_ratios_up_by_whom_they_compare_with(monkeypatch):
    """2 and 8 against one: 4 in the geometric mean; those without a ratio count nothing."""
    groups = {"a": [measurement(), measurement("other", ratios=[2.0])], "b": [measurement("other", ratios=[8.0])]}
    monkeypatch.setattr(machine, "accelerator", lambda: ("cpu", "cpu", 1))
    monkeypatch.setattr(scripts, "measure", lambda group, *_, **__: groups[group])
    arguments = scripts.script_parser("A test.\nMore.").parse_args(["--rounds", "2"])
    told = scripts.measure_groups(["a", "b"], arguments, Told())  # type: ignore[arg-type]
    assert len(told["measurements"]) == 3
    found = told["first_of_group_over"]["other"]
    assert (found["cases"], math.isclose(found["geometric_mean"], 4.0)) == (2, True)
