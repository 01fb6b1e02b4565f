"""Elo ratings in two roles: against a hand computation, against known ratings, and where all games were won.

Letters: ``n`` policies, ``L`` levels.
"""

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest

from minied.errors import UserError
from minied.evaluate.ratings import PRIOR, rating_intervals, ratings


def chances(first, second, advantage):
    """The model, written down once more."""
    return 1 / (1 + 10 ** (-(first[:, None] - second[None, :] + advantage) / 400))


def test_ten_wins_of_eleven_are_four_hundred_points():
    # Policy 0 against itself wins half as team 0: c = 0. Policy 1 as team 0 wins 10 of 11, odds of ten to one, against
    # both: a_1 = 400 log10(10) = 400. As team 1 policy 1 is to policy 0 (as team 0) what policy 0 itself is: d_1 = 0.
    found = ratings(np.array([[1 / 2, 1 / 2], [10 / 11, 10 / 11]]), 10**6)
    np.testing.assert_allclose(found.advantage, 0.0, atol=0.01)
    np.testing.assert_allclose(found.first, [0, 400], atol=0.01)
    np.testing.assert_allclose(found.second, [0, 0], atol=0.01)
    # The other way round: where policy 1 is team 1, team 0 wins 1 of 11.
    found = ratings(np.array([[1 / 2, 1 / 11], [1 / 2, 1 / 11]]), 10**6)
    np.testing.assert_allclose(found.second, [0, 400], atol=0.01)
    np.testing.assert_allclose(found.first, [0, 0], atol=0.01)
    # And the role: team 0 wins 10 of 11 whoever plays.
    found = ratings(np.full((2, 2), 10 / 11), 10**6)
    np.testing.assert_allclose(found.advantage, 400, atol=0.01)
    np.testing.assert_allclose([found.first, found.second], 0.0, atol=0.01)


def test_known_ratings_are_recovered_from_a_round_robin():
    rng = np.random.default_rng(0)
    first, second = np.append(0, rng.normal(size=5)) * 200, np.append(0, rng.normal(size=5)) * 200
    found = ratings(chances(first, second, 70), 10**6)
    np.testing.assert_allclose(found.first, first, atol=0.01)
    np.testing.assert_allclose(found.second, second, atol=0.01)
    np.testing.assert_allclose(found.advantage, 70, atol=0.01)


def test_of_drawn_games_the_intervals_hold_the_truth():
    rng = np.random.default_rng(1)
    first, second = np.array([0.0, 150.0, -80.0]), np.array([0.0, -120.0, 60.0])
    held = []
    for _ in range(20):
        wins = rng.binomial(5, chances(first, second, 40)[..., None], size=(3, 3, 40)) / 5
        low, high = rating_intervals(wins, 5)
        for a, b, truth in (
            (low.first[1:], high.first[1:], first[1:]),
            (low.second[1:], high.second[1:], second[1:]),
            ([low.advantage], [high.advantage], [40.0]),
        ):
            held += list(np.less_equal(a, truth) & np.less_equal(truth, b))
        np.testing.assert_array_equal([low.first[0], high.first[0], low.second[0], high.second[0]], 0.0)
    assert len(held) == 100
    assert 85 <= sum(held) <= 99  # of 95 % intervals


def test_levels_are_drawn_together():
    """Two policies that are equal on every level are equal however levels are drawn, though levels differ."""
    wins = np.broadcast_to(np.linspace(0, 1, 9), (2, 2, 9))
    low, high = rating_intervals(wins, 10)
    np.testing.assert_allclose([low.first, high.first, low.second, high.second], 0.0, atol=1e-6)
    assert low.advantage < -50
    assert high.advantage > 50
    # and where levels do not differ, it does not matter which are drawn: there is one rating, that of all games
    always = rating_intervals(np.ones((2, 2, 9)), 10)
    np.testing.assert_allclose([end.advantage for end in always], ratings(np.ones((2, 2)), 90).advantage, rtol=1e-6)


def test_of_one_level_no_interval_is_known():
    low, high = rating_intervals(np.full((2, 2, 1), 0.5), 10)
    assert np.isnan([low.advantage, *low.first, *high.second]).all()


def test_perfect_scores_stay_finite_and_in_order_and_more_games_show_more():
    wins = np.array([[0.5, 1.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.5]])  # as team 1, later policies lose more
    few, many = ratings(wins, 10), ratings(wins, 1000)
    for found in (few, many):
        assert np.isfinite([found.advantage, *found.first, *found.second]).all()
        assert (np.diff(found.first) < -100).all()
        assert (np.diff(found.second) < -100).all()
        assert np.abs(found.first).max() < 4 * PRIOR
    assert (np.abs(many.first[1:]) > np.abs(few.first[1:])).all()
    always = ratings(np.ones((3, 3)), 1000)
    np.testing.assert_allclose([always.first, always.second], 0.0, atol=1e-6)  # all did the same
    assert 1000 < always.advantage < 4 * PRIOR


def test_one_win_and_no_loss_is_where_the_slope_of_the_prior_meets_that_of_the_likelihood():
    # One policy and one won game: the logit is a − d + c, of which each part takes a third. With y = ln 10 / 400 and
    # x the logit: 1 − σ(x) = (x / 3) / (1000 y)²
    found = ratings(np.ones((1, 1)), 1)
    logit = float(found.advantage) * np.log(10) / 400
    np.testing.assert_allclose(1 / (1 + np.exp(logit)), logit / 3 / (PRIOR * np.log(10) / 400) ** 2, rtol=1e-5)


@hypothesis.settings(deadline=None, max_examples=30, derandomize=True)
@hypothesis.given(
    arrays.arrays(np.float64, (3, 4, 4), elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])),
    st.integers(1, 10**4),
    st.permutations(range(1, 4)),
)
def test_tables_are_rated_one_by_one_and_their_order_does_not_matter(wins, num_games, order):
    together = ratings(wins, num_games)
    assert np.isfinite(together.first).all()
    for index, table in enumerate(wins):
        alone = ratings(table, num_games)
        np.testing.assert_allclose(together.first[index], alone.first, atol=1e-3)
        np.testing.assert_allclose(together.advantage[index], alone.advantage, atol=1e-3)
    moved = np.asarray([0, *order])
    found = ratings(wins[:, moved][:, :, moved], num_games)
    np.testing.assert_allclose(found.first, together.first[:, moved], atol=1e-3)
    np.testing.assert_allclose(found.second, together.second[:, moved], atol=1e-3)


@hypothesis.settings(deadline=None, max_examples=30, derandomize=True)
@hypothesis.given(arrays.arrays(np.float64, (3, 3), elements=st.floats(0, 1)), st.integers(1, 1000))
def test_roles_and_results_turned_round_turn_the_ratings_round(wins, num_games):
    one, other = ratings(wins, num_games), ratings(1 - wins.T, num_games)
    np.testing.assert_allclose(one.first, other.second, atol=1e-3)
    np.testing.assert_allclose(one.second, other.first, atol=1e-3)
    np.testing.assert_allclose(one.advantage, -other.advantage, atol=1e-3)


@pytest.mark.parametrize(
    ("wins", "num_games", "message"),
    [
        (np.ones((2, 3)), 1, r"wins have the shape \(2, 3\)"),
        (np.full((2, 2), 1.5), 1, r"wins are outside of \[0, 1\]"),
        (np.full((2, 2), np.nan), 1, r"wins are outside of \[0, 1\]"),
        (np.ones((2, 2)), 0, "of 0 games"),
    ],
    ids=["shape", "above", "nan", "none"],
)
def test_what_is_no_table_of_wins_is_refused(wins, num_games, message):
    with pytest.raises(UserError, match=message):
        ratings(wins, num_games)
