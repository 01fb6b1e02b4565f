"""Successive halving: who is hopeless, by hand."""

import dataclasses
from types import SimpleNamespace

import pytest
from tiny_runs import config_of

from minied.run.training import CUT, FAILED, ON_TARGET, Member
from minied.sweep.halving import Halving


def member(rate, solved, seed=0, ended=""):
    base = config_of("domain_randomization", seed=seed)
    config = dataclasses.replace(base, ppo=dataclasses.replace(base.ppo, learning_rate=rate))
    row = None if solved is None else {"solve_rate": solved, "iterations": 3}
    return Member(SimpleNamespace(path="run"), config, None, {}, row, ended)


def test_rungs_lie_at_equal_steps():
    assert [Halving(1000, 3).rung(passed) for passed in range(3)] == [1000, 3000, 9000]


def test_the_better_half_of_the_settings_goes_on_by_the_mean_of_their_seeds():
    """0.1: (0.9 + 0.1) / 2 = 0.5; 0.2: (0.6 + 0.6) / 2 = 0.6; 0.3: (0.2 + 0.3) / 2 = 0.25. Two of three go on."""
    members = [member(0.1, 0.9, 0), member(0.2, 0.6, 0), member(0.3, 0.2, 0)]
    members += [member(0.1, 0.1, 1), member(0.2, 0.6, 1), member(0.3, 0.3, 1)]
    told = Halving(1000).hopeless(members, 0)
    assert sorted(told) == [2, 5]
    assert told[2] == told[5]
    assert told[2].startswith("cut at 1000 environment steps: 3. of 3 settings with a solve rate of 0.250")
    assert told[2].endswith("the last that goes on has 0.500")


@pytest.mark.parametrize(("factor", "at_least", "goes_on"), [(2, 1, 3), (3, 1, 2), (6, 1, 1), (6, 4, 4), (2, 9, 5)])
def test_one_in_factor_goes_on_rounded_up_and_never_fewer_than_at_least(factor, at_least, goes_on):
    members = [member(0.1 * (i + 1), 0.1 * i) for i in range(5)]
    told = Halving(1000, factor, at_least).hopeless(members, 1)
    assert sorted(told) == list(range(5 - goes_on))


def test_among_equals_the_first_goes_on():
    assert sorted(Halving(1).hopeless([member(0.3, 0.5), member(0.1, 0.5), member(0.2, 0.5)], 0)) == [2]


def test_what_failed_counts_as_nothing_and_what_is_over_is_left_alone():
    """0.1: (0.9 + 0) / 2 = 0.45 < 0.5. The settings cut before and without a member that goes on are no more counted."""
    members = [
        member(0.1, 0.9),
        member(0.1, 0.9, 1, ended=f"{FAILED}: it diverged"),
        member(0.2, 0.5),
        member(0.3, 0.1),
    ]
    members[3].end(CUT, "before")
    assert sorted(Halving(1).hopeless(members, 1)) == [0]
    # A seed that reached its target speaks for its setting.
    members = [member(0.1, 0.4), member(0.1, 1.0, 1, ended=ON_TARGET), member(0.2, 0.6)]
    assert sorted(Halving(1).hopeless(members, 0)) == [2]


def test_no_number_is_the_worst():
    assert sorted(Halving(1).hopeless([member(0.1, None), member(0.2, 0.0), member(0.3, 0.2)], 0)) == [1]
