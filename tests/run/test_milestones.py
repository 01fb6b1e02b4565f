"""Milestones: when a phase emerged, in how many members, and in which group sooner."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from run_world import FORT

from minied.env import Environment, Milestone
from minied.errors import UserError
from minied.run import pictures
from minied.run.milestones import (
    Emergence,
    History,
    compare_milestones,
    emergences,
    histories,
    log_rank,
    median_steps,
    phases_in,
    reached_lines,
    steps_to,
)

NAN = math.nan
STEPS = (0, 10, 20, 30, 40, 50)


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        # averages 0, 1, 1.5, .75, 2.375, 3.19: above 1 twice in a row from 40 on; 1 itself is not above
        ((0, 2, 2, 0, 4, 4), {"rows": 2}, 40),
        ((0, 2, 2, 0, 4, 4), {"rows": 1}, 20),
        ((0, 2, 2, 0, 4, 4), {"rows": 3}, None),
        ((0, 2, 2, 0, 4, 4), {"rows": 2, "smoothing": 0.0}, 10),
        # ¾ of the past: 0, .5, .875, .65625, 1.492, 2.119
        ((0, 2, 2, 0, 4, 4), {"rows": 2, "smoothing": 0.75}, 40),
        # the first value starts the average
        ((3, 3, 3, 0, 0, 0), {"rows": 3}, 0),
        # averages 0, -, 2, -, -, 3: rows without a value neither count nor break off
        ((0, NAN, 4, NAN, NAN, 4), {"rows": 2}, 20),
        ((NAN, NAN, 4, 4, NAN, 4), {"rows": 3}, 20),
        ((NAN,) * 6, {"rows": 1}, None),
        # averages 4, 2, 1, .5, .25, .125
        ((4, 0, 0, 0, 0, 0), {"rows": 3, "below": True}, 30),
        ((4, 0, 0, 0, 0, NAN), {"rows": 3, "below": True}, None),
    ],
)
def test_steps_until_a_phase_emerged(values, options, expected):
    assert steps_to(STEPS, values, 1.0, **options) == expected


def test_members_in_which_it_did_not_emerge_are_censored_where_they_end():
    values = np.asarray([[0, 4, 4, 4, 4, 4], [0] * 6, [NAN] * 6, [0, 0, 0, 0, 8, NAN]], float).T
    found = emergences(Milestone("fort", "walls", 1.0), History(STEPS, values))
    assert found == (Emergence(10, True), Emergence(50, False), Emergence(50, False), Emergence(50, False))
    assert emergences(Milestone("fort", "walls", 1.0), None) == ()


def members(*steps):
    """Members in which a phase emerged at so many steps; of a negative number it had not until then."""
    return [Emergence(abs(each), each > 0) for each in steps]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # four at risk at 10: ¾ left; one censored; two at risk at 30: ¾ · ½ = ⅜
        ((10, -20, 30, -40), 30),
        ((10, 20, -30, -30), 20),  # ¾, then ¾ · ⅔ = ½: enough
        ((*range(1, 13), *[-99] * 12), 12),  # 23/24 · 22/23 · ... · 12/13 = ½, which comes to a rounding more
        ((10, -20, -20), None),  # ⅔ left for ever
        # who is censored at 20 was still at risk there: ⅔, not ½
        ((20, -20, -30), None),
        ((-10, 20, 30), 20),  # who left before counts no more: ½
        ((-10, -20), None),
        ((), None),
        ((7,), 7),
    ],
)
def test_median_of_kaplan_and_meier(steps, expected):
    assert median_steps(members(*steps)) == expected


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_of_members_in_which_it_emerged_everywhere_it_is_the_median(steps):
    assert median_steps(members(*steps)) == sorted(steps)[(len(steps) - 1) // 2]


def test_log_rank_by_hand():
    # of the first group 1 and 3, of the second 2, and one censored at 4. Expected in the first, and variance
    # n₁ n₂ / n² (one at a time):
    #   at 1: 2 and 2 at risk, 1/2, 4/16;   at 2: 1 and 2, 1/3, 2/9;   at 3: 1 and 1, 1/2, 1/4
    z = (2 - (1 / 2 + 1 / 3 + 1 / 2)) / math.sqrt(1 / 4 + 2 / 9 + 1 / 4)
    expected = math.erfc(abs(z) / math.sqrt(2))  # two-sided
    assert log_rank(members(1, 3), members(2, -4)) == pytest.approx(expected)
    assert log_rank(members(2, -4), members(1, 3)) == pytest.approx(expected)
    sooner, later = members(*range(1, 9)), members(*range(21, 27), -30, -30)
    assert (log_rank(sooner, later) or 1) < 0.001


@pytest.mark.parametrize(("one", "other"), [((-5, -5), (-5,)), ((), (5,)), ((5,), ()), ((5,), (5,))])
def test_what_cannot_be_tested_has_no_p_value(one, other):
    """Nothing emerged, nobody is there, or all that is at risk emerges at once."""
    assert log_rank(members(*one), members(*other)) is None


# -- from the rows -----------------------------------------------------------------------------------------------------


def folder_of(evaluations=(), metrics=()) -> Any:
    rows = {
        "evaluations": [{"env_steps": steps} | ({"statistics": told} if told else {}) for steps, told in evaluations],
        "metrics": [{"env_steps": steps, "metrics": told} for steps, told in metrics],
    }
    return SimpleNamespace(read_rows=lambda kind: rows[kind])


def test_evaluations_come_first_and_then_the_metrics_of_new_levels():
    folder = folder_of(
        [(0, {}), (10, {"a": [1, None], "b": None}), (20, {"a": [2, 3], "b": None})],
        [
            (5, {"new/episode/a": [9, 9], "new/episode/b": [None, 5], "replay/episode/b": [8, 8], "new/return": 7}),
            (15, {"new/episode/b": [6, 7], "replay/episode/c": [4, 4], "new/episode/c": [None, None]}),
        ],
    )
    found = histories(folder)
    assert sorted(found) == ["a", "b", "c"]
    expected = {"a": ((10, 20), [[1, NAN], [2, 3]]), "b": ((5, 15), [[NAN, 5], [6, 7]]), "c": ((15,), [[4, 4]])}
    for name, (steps, values) in expected.items():
        assert found[name].env_steps == steps
        np.testing.assert_array_equal(found[name].values, values)


def test_nothing_is_told_of_what_was_not_reached():
    rows = [(steps, {"walls": 5.0}) for steps in (10, 2000, 30000, 40000)]
    milestones = [Milestone("fort", "walls", 4.0), Milestone("never", "walls", 6.0), Milestone("other", "ramps", 0.0)]
    assert reached_lines(milestones, folder_of(rows[1:])) == ["fort: reached after 2,000 environment steps"]
    assert reached_lines(milestones, folder_of(rows[:2])) == []  # three rows in a row are asked for
    assert reached_lines((), folder_of(rows)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "walls", 1.0), "name of a milestone is ''; allowed: a name"),
        (("fort", "", 1.0), "statistic of a milestone is ''; allowed: a name"),
        (("fort", "walls", NAN), "threshold of the milestone 'fort' is nan; allowed: a finite number"),
    ],
)
def test_bad_milestones_are_told(arguments, message):
    with pytest.raises(UserError) as error:
        Milestone(*arguments)
    assert str(error.value) == message
    assert Environment.milestones == ()


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fort(document, tmp_path):
    """The config file of a world with milestones, evaluated at 0, 32, ... 160 environment steps."""
    path = tmp_path / "fort.yaml"
    path.write_text(yaml.safe_dump(document | {"env": {"name": FORT, "size": 5}}))
    return str(path)


def test_training_tells_the_milestones_at_its_end(minied, fort, tmp_path):
    code, out, _ = minied("train", fort, "--run-dir", "run", "--num-seeds", "3")
    assert code == 0
    # Walls, averaged: member 0 has 0, 2, 5, 8.5, ... in evaluations (above 4 at 64 steps), member 1 half of it (4.25 at 96).
    # Moves in rows at 16, 32, 48, ... steps: −2, −3, −4.5, ...: below −3 at 48.
    assert [line for line in out.splitlines() if "reached" in line] == [
        "fort: reached after 96 environment steps (2 of 3 members)",
        "rest: reached after 48 environment steps (3 of 3 members)",
    ]
    row = json.loads((tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()[-1])
    assert row["statistics"] == {"walls": [20, 10, 0]}
    with Image.open(tmp_path / "run" / "pictures" / "statistics.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 3
    code, out, _ = minied("resume", "run", "--quiet")
    assert (code, "reached" in out) == (0, False)


def test_compare_tells_who_reached_them_sooner(minied, fort, tmp_path):
    options = ("--quiet", "--no-pictures", "--checkpoint-every", "0")
    for name, more in (("one", ("--num-seeds", 2)), ("same", ("--seed", 5)), ("other", ("--num-envs", 8))):
        assert minied("train", fort, "--run-dir", name, *options, *more)[0] == 0
    code, out, err = minied("compare", "one", "same", "other", "--no-pictures")
    assert (code, err) == (0, "")
    assert max(len(line) for line in out.splitlines()) <= 100
    lines = [" ".join(line.split()) for line in out.splitlines()]
    # 64 and 96, and 64 of the other seed: one third is left after two of three; of the other method one, at 64
    assert any("3 of 3 64 -" in line and "fort" in line for line in lines)
    assert any("0 of 3 not reached -" in line and "never" in line for line in lines)
    code, out, _ = minied("compare", "one", "same", "other", "--no-pictures", "--json")
    data = json.loads(out)["milestones"]
    assert data == json.loads(Path("comparison/comparison.json").read_text())["milestones"]
    assert [milestone["name"] for milestone in data] == ["fort", "rest", "never"]
    fort_of, other = data[0]["groups"]
    assert [each["env_steps"] for each in fort_of["members"]] == [64, 96, 64]
    assert (fort_of["reached"], fort_of["median"], fort_of["p_value"]) == (3, 64, None)
    assert (other["reached"], other["median"]) == (1, 64)
    # all four at risk at 64, three emerge: of three in the first 9/4 expected and 2 seen; variance 3 · (1/4)(3/4)(1/3)
    z = (2 - 9 / 4) / math.sqrt(3 * (3 / 4) * (1 / 4) * (1 / 3))
    assert other["p_value"] == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))
    assert [group["p_value"] for group in data[2]["groups"]] == [None, None]


def test_a_milestone_that_a_control_has_not_is_compared_all_the_same():
    """A phase is shown to be caused by something where that is absent: so there it is counted too."""

    def run(milestones, told):
        folder = folder_of([(steps, told) for steps in (0, 10, 20)])
        folder.config = lambda: SimpleNamespace(env=SimpleNamespace(milestones=milestones))
        return [folder]

    fort, surf = Milestone("fort", "walls", 4.0), Milestone("surf", "moves", 1.0)
    groups = {
        "whole": run((fort, surf), {"walls": 5.0, "moves": 2.0}),
        "control": run((fort,), {"walls": 5.0, "moves": 0.0}),
        "silent": run((Milestone("walk", "steps", 1.0), fort), {"walls": 5.0}),
    }
    compared = compare_milestones(groups)
    assert [each.name for each in compared] == ["fort", "surf"]  # no run tells steps
    told = [[(group.label, group.reached, len(group.members)) for group in each.groups] for each in compared]
    assert told == [
        [("whole", 1, 1), ("control", 1, 1), ("silent", 1, 1)],
        [("whole", 1, 1), ("control", 0, 1), ("silent", 0, 0)],
    ]
    other = run((Milestone("fort", "walls", 9.0), surf), {"walls": 5.0, "moves": 2.0})
    assert [each.name for each in compare_milestones(groups | {"other": other})] == ["surf"]  # two forts are not one


def test_runs_of_worlds_without_statistics_have_no_milestones(minied, config_file):
    assert minied("train", config_file, "--run-dir", "run", "--quiet", "--no-pictures")[0] == 0
    code, out, _ = minied("compare", "run", "--no-pictures", "--json")
    assert (code, json.loads(out)["milestones"]) == (0, [])
    assert "milestones" not in minied("compare", "run", "--no-pictures")[1]
    assert not Path("run/pictures/statistics.png").exists()


def test_picture_of_statistics(monkeypatch, tmp_path):
    figures, plain = [], pictures.empty_figure
    monkeypatch.setattr(pictures, "empty_figure", lambda *size: figures.append(plain(*size)) or figures[-1])
    statistics = {
        "walls": History((0, 10, 20), np.asarray([[0, 1], [2, NAN], [4, 5]], float)),
        "surfs": History((0, 10), np.asarray([[0, NAN], [0, 0]], float)),
        "moves": History((5,), np.asarray([[3, NAN]], float)),
    }
    milestones = [Milestone("fort", "walls", 2.5), Milestone("other", "ramps", 1.0)]
    pictures.draw_statistics(statistics, milestones, tmp_path / "statistics.png")
    walls, moves, *empty = figures[0].axes  # no panel for what never changed
    assert not any(axis.axison for axis in empty)
    assert (walls.get_title(), moves.get_title()) == ("walls", "moves")
    *lines, threshold = (line.get_xydata().tolist() for line in walls.get_lines())
    assert lines == [[[0, 0], [10, 2], [20, 4]], [[0, 1], [20, 5]]]
    assert [y for _, y in threshold] == [2.5, 2.5]
    assert walls.get_lines()[-1].get_linestyle() == "--"
    assert [line.get_xydata().tolist() for line in moves.get_lines()] == [[[5, 3]], []]
    pictures.draw_statistics({"surfs": statistics["surfs"]}, milestones, tmp_path / "statistics.png")
    assert [axis.get_title() for axis in figures[1].axes] == ["surfs"]


def test_how_far_an_evaluation_is_from_each_milestone():
    milestones = (
        Milestone("fort", "enclosed", 0.5),
        Milestone("kept", "boxes_free", 1, below=True),
        Milestone("never", "absent", 1),
    )
    # Means over members: (0.25 + 0.75) / 2, and of what is defined 2.
    row = {"enclosed": [0.25, 0.75], "boxes_free": [None, 2.0], "other": 1.0}
    assert phases_in(milestones, row) == "; fort: enclosed 0.50 (> 0.5), kept: boxes_free 2.00 (< 1)"
    assert phases_in(milestones, {}) == phases_in((), row) == ""
