"""The tail of solve rates: by hand, and without the bias of reporting the play that ranked the levels."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_worlds import Corridor, Lottery, LotteryLevels, always

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.evaluate import cvar
from minied.evaluate.episodes import evaluate_levels

ZEROS = np.zeros(5)


def test_tail_by_hand():
    ranking = np.asarray([1.0, 0.0, 0.5, 0.25, 1.0])
    reported = np.asarray([0.5, 0.25, 1.0, 0.75, 0.0])
    # worst first by the first play: levels 1, 3, 2, then 0 and 4, which tie and keep their order
    curve = cvar.tail_curve(ranking, ZEROS, reported, (0.2, 0.21, 0.6, 0.8, 1.0))
    np.testing.assert_array_equal(curve.num_levels, [1, 2, 3, 4, 5])
    # second play: .25, then (.25 + .75) / 2, (… + 1) / 3, (… + .5) / 4, (… + 0) / 5
    np.testing.assert_allclose(curve.unbiased, [0.25, 0.5, 2 / 3, 0.625, 0.5])
    np.testing.assert_allclose(curve.biased, [0, 0.125, 0.25, 0.4375, 0.55])


def test_ties_are_broken_by_the_return_then_by_the_index():
    rate = np.asarray([0.5, 0.0, 0.5, 0.0, 0.5])
    returns = np.asarray([0.3, 0.0, 0.2, -1.0, 0.2])
    np.testing.assert_array_equal(cvar.worst_levels(rate, returns), [3, 1, 2, 4, 0])
    np.testing.assert_array_equal(cvar.worst_levels(ZEROS, ZEROS), np.arange(5))


@pytest.mark.parametrize(
    ("share", "levels", "count"),
    [(0.0001, 10_000, 1), (0.0001, 10_001, 2), (0.0001, 30, 1), (0.07, 100, 7), (0.01, 10_000, 100), (1e-12, 10, 1)],
)
def test_share_is_rounded_up_to_whole_levels_but_not_by_rounding_errors(share, levels, count):
    zeros = np.zeros(levels)
    assert cvar.tail_curve(zeros, zeros, zeros, (share,)).num_levels[0] == count


@given(st.integers(1, 300), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_properties_of_the_curve(levels, seed):
    generator = np.random.default_rng(seed)
    ranking, returns, reported = generator.integers(0, 5, (3, levels)) / 4
    curve = cvar.tail_curve(ranking, returns, reported)
    assert curve.unbiased[-1] == pytest.approx(reported.mean())  # the CVaR of 100 % is the mean
    assert curve.biased[-1] == pytest.approx(ranking.mean())
    assert np.all(np.diff(curve.biased) >= -1e-12)  # the more levels, the better ones are among them
    assert curve.biased[0] == pytest.approx(np.sort(ranking)[: math.ceil(levels / 10_000)].mean())
    order = generator.permutation(levels)  # the order of levels matters for none but exact ties
    shuffled = cvar.tail_curve(ranking[order], returns[order], reported[order])
    np.testing.assert_allclose(shuffled.biased, curve.biased, atol=1e-12)


def test_shares_are_those_of_the_paper():
    assert cvar.SHARES == (0.01 / 100, 0.1 / 100, 1 / 100, 2 / 100, 5 / 100, 10 / 100, 20 / 100, 50 / 100, 1)
    for shares in ((0.0,), (1.1,)):
        with pytest.raises(UserError, match="shares"):
            cvar.tail_curve(ZEROS, ZEROS, ZEROS, shares)


def test_coin_flips_have_no_worst_levels_but_a_biased_figure_says_so():
    # 1000 levels that are all alike, solved with an even chance whatever one does, 4 attempts each
    env = with_agent_axis(Lottery(max_steps=3))
    levels = jnp.zeros(1000)
    play = jax.jit(lambda key: evaluate_levels(key, always(0, 2), (), env, levels, 4))
    ranking, reported = play(jax.random.key(0)), play(jax.random.key(1))
    curve = cvar.tail_curve(ranking.solve_rate, ranking.mean_return, reported.solve_rate, (0.05, 0.2, 1.0))
    # 5 %: 50 levels x 4 attempts, σ = .5 / √200 = .035; 1 in 16 levels fails four times, thus the worst 5 % at 0
    assert curve.biased[0] == 0
    assert abs(curve.unbiased[0] - 0.5) < 0.12
    assert curve.biased[1] < 0.25
    assert abs(curve.unbiased[1] - 0.5) < 0.06  # 800 episodes, σ .018
    assert abs(curve.unbiased[2] - curve.biased[2]) < 0.05


# -- solvable levels ---------------------------------------------------------------------------------------------------


def test_levels_are_solvable_and_as_many_as_asked():
    # of the starts 1 … 8 those up to 5 are solved within 5 steps
    space = Corridor(length=8, max_steps=5).level_space
    levels = cvar.solvable_levels(jax.random.key(0), space, 3000)  # more than one batch has
    assert isinstance(levels.start, np.ndarray)
    assert levels.start.shape == (3000,)
    counts = np.bincount(levels.start, minlength=9)
    assert counts[0] == counts[6:].sum() == 0
    assert counts[1:6].min() > 3000 / 5 - 5 * 22  # uniform, σ = √(3000 · .2 · .8) = 22
    again = cvar.solvable_levels(jax.random.key(0), space, 3000)
    np.testing.assert_array_equal(levels.start, again.start)
    few = cvar.solvable_levels(jax.random.key(0), space, 7)
    np.testing.assert_array_equal(few.start, levels.start[:7])


def test_batches_of_draws_differ():
    levels = cvar.solvable_levels(jax.random.key(0), Corridor(length=500, max_steps=500).level_space, 2 * 2048)
    assert not np.array_equal(levels.start[:2048], levels.start[2048:])


@dataclasses.dataclass(frozen=True)
class RareLevels(LotteryLevels):
    share: float

    def optimal_return(self, level):
        return (level < self.share).astype(jnp.float32)


def test_generator_without_solvable_levels_is_an_error():
    with pytest.raises(UserError, match=r"0 of 65536 levels of the generator of RareLevels.*allowed: at least 0.1%"):
        cvar.solvable_levels(jax.random.key(0), RareLevels(0.0), 10)
    with pytest.raises(UserError, match="of 65536 levels"):
        cvar.solvable_levels(jax.random.key(0), RareLevels(0.0002), 1000)


def test_rare_levels_are_found_with_patience():
    levels = cvar.solvable_levels(jax.random.key(0), RareLevels(0.002), 200)
    assert levels.shape == (200,)
    assert levels.max() < 0.002


def test_world_that_does_not_know_its_optimal_return_is_told_so():
    with pytest.raises(UserError, match=r"CVaR.* needs `optimal_return`, which LotteryLevels does not have"):
        cvar.solvable_levels(jax.random.key(0), LotteryLevels(), 10)
