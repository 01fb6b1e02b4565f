"""Statistics of episodes in the row of an evaluation: by entry and over all levels, where they are defined."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from run_world import Results

from minied.run.evaluation import evaluate

NAN = math.nan
COUNTERS = {"iterations": 3, "student_updates": 2, "train_steps": 10, "env_steps": 20}


def evaluated(*parts):
    """The row of a suite whose parts are ``(names, {statistic: f32[S, L]})``."""
    env = SimpleNamespace(max_steps=7)
    suites = [SimpleNamespace(env=env, names=names, told=told) for names, told in parts]
    space = SimpleNamespace(suite=lambda name: suites)
    members = next((len(values) for _, told in parts for values in told.values()), 1)

    def play(state, part, key, attempts):
        rate = np.full((members, len(part.names)), 0.5, np.float32)
        told = {name: np.asarray(values, np.float32) for name, values in part.told.items()}
        return Results(rate, rate, rate, told)

    return evaluate(program_of(play, space), None, "some", 2, COUNTERS)


def program_of(play, space, teams=(0,)) -> Any:
    config = SimpleNamespace(env=SimpleNamespace(level_space=space, teams=teams), schedule_seed=0)
    return SimpleNamespace(config=config, evaluate=play)


def test_means_are_over_the_levels_of_an_entry_and_over_all_levels():
    # two members; the entry `b` has a level in each part, of which the second is not defined for the first member
    first = (("a", "b"), {"far": [[1, 2], [3, 4]], "near": [[5, 6], [7, 8]]})
    row = evaluated(first, (("b",), {"far": [[NAN], [8]], "near": [[0], [0]]}))
    assert row["entries"]["a"]["statistics"] == {"far": [1, 3], "near": [5, 7]}
    assert row["entries"]["b"]["statistics"] == {"far": [2, (4 + 8) / 2], "near": [3, 4]}
    # over all three levels, not over the two entries
    assert row["statistics"] == {"far": [(1 + 2) / 2, (3 + 4 + 8) / 3], "near": [pytest.approx(11 / 3), 5]}


def test_of_one_member_they_are_numbers_and_nothing_where_not_defined():
    row = evaluated((("a", "b"), {"far": [[NAN, 2]], "never": [[NAN, NAN]]}))
    assert row["entries"]["a"]["statistics"] == {"far": None, "never": None}
    assert row["statistics"] == {"far": 2, "never": None}


def test_rows_of_worlds_without_statistics_are_as_they_were():
    row = evaluated((("a", "b"), {}))
    assert list(row) == [*COUNTERS, "suite", "attempts", "solve_rate", "solve_rate_of_entries", "entries"]
    assert list(row["entries"]["a"]) == ["solve_rate", "mean_return", "mean_length", "num_levels", "horizon"]


def test_returns_of_each_team_are_told_by_entry_where_there_are_several():
    # two members, levels a, b, b; teams are told in the order of their numbers, as the results have them
    team_returns = np.asarray([[[1, -1], [2, -2], [4, -4]], [[0, 0], [6, -6], [7, -5]]], np.float32)
    zero = np.zeros((2, 3), np.float32)
    results = SimpleNamespace(
        solve_rate=zero, mean_return=zero, mean_length=zero, team_returns=team_returns, statistics={}
    )
    part = SimpleNamespace(env=SimpleNamespace(max_steps=7), names=("a", "b", "b"))
    space = SimpleNamespace(suite=lambda name: [part])
    row = evaluate(program_of(lambda *_: results, space, (3, 3, 1)), None, "some", 2, COUNTERS)
    assert row["entries"]["a"]["team_returns"] == {"team_1": [1, 0], "team_3": [-1, 0]}
    assert row["entries"]["b"]["team_returns"] == {"team_1": [3, 6.5], "team_3": [-3, -5.5]}
