"""Scores: hand values on two episodes and a tail, and what makes a score valid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import ensemble_score, failure_rate, nan_score, undeclared_score

from minied.episodes import summarise
from minied.errors import UserError
from minied.scores import Signals, score, score_levels
from minied.scores.base import validate_score
from minied.scores.max_mc import max_mc
from minied.scores.positive_value_loss import positive_value_loss

# Two episodes, steps 0-1 (return 3) and 2-4 (return −1), and a tail.
ENDED = [0, 1, 0, 0, 1, 0, 0]
REWARDS = [1.0, 2.0, 0.0, 0.0, -1.0, 50.0, 50.0]
RETURNS = [1.0, 3.0, 0.0, 0.0, -1.0, 50.0, 100.0]
LENGTHS = [1, 2, 1, 2, 3, 1, 2]
VALUES = [1.0, 2.0, 0.0, 3.0, 6.0]
ADVANTAGES = [4.0, -2.0, 3.0, -1.0, 6.0]


def signals(*, tail=1e9, max_return=None, values=None, advantages=None, ended=ENDED, num_heads=1, returns=None):
    """Signals of one level with one agent; `tail` stands in everything that is not of a finished episode."""
    ended = jnp.asarray(ended, bool)
    returns = jnp.asarray(RETURNS if returns is None else returns, jnp.float32)[:, None]
    episodes = summarise(ended, returns, jnp.asarray(LENGTHS, jnp.int32), returns[:, 0] > 0)
    values = jnp.asarray((VALUES if values is None else values) + [tail] * 2, jnp.float32)
    advantages = jnp.asarray((ADVANTAGES if advantages is None else advantages) + [tail] * 2, jnp.float32)
    return Signals(
        rewards=jnp.asarray(REWARDS)[:, None],
        values=jnp.repeat(values[:, None, None], num_heads, axis=2),
        advantages=advantages[:, None],
        ended=ended,
        episodes=episodes,
        max_return=episodes.max_return if max_return is None else jnp.float32(max_return),
    )


def stack(*items):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)


def test_max_mc_by_hand():
    # R⁺ = 3. Episode 1: ((3−1) + (3−2)) / 2 = 1.5. Episode 2: (3 + 0 − 3) / 3 = 0. Mean 0.75
    assert float(max_mc(signals())) == pytest.approx(0.75, rel=1e-6)


def test_max_mc_measures_against_the_best_return_ever_seen():
    # R⁺ = 5: (4 + 3)/2 = 3.5 and (5 + 2 − 1)/3 = 2; mean 2.75
    assert float(max_mc(signals(max_return=5.0))) == pytest.approx(2.75, rel=1e-6)


def test_trap_03_max_mc_of_negative_returns_is_not_lifted_to_zero():
    # the best return ever is −1 (not 0): (−1−1 −1−2)/2 = −2.5 and (−1 −4 −7)/3 = −4; mean −3.25
    got = max_mc(signals(returns=[-1.0, -2.0, 0.0, 0.0, -1.0, 50.0, 100.0]))
    assert float(got) == pytest.approx(-3.25, rel=1e-6)


def test_max_mc_takes_the_mean_of_the_value_heads():
    both = signals(num_heads=2)
    spread = both.replace(values=both.values + jnp.asarray([-0.5, 0.5])[None, None])
    assert float(max_mc(spread)) == pytest.approx(0.75, rel=1e-5)


def test_positive_value_loss_by_hand():
    # positive parts: (4 + 0)/2 = 2 and (3 + 0 + 6)/3 = 3; mean 2.5
    assert float(positive_value_loss(signals())) == pytest.approx(2.5, rel=1e-6)


def test_positive_value_loss_is_never_negative():
    assert float(positive_value_loss(signals(advantages=[-1.0] * 5))) == 0.0


@pytest.mark.parametrize("function", [max_mc, positive_value_loss])
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e9])
def test_unfinished_tail_never_reaches_a_score(function, poison):
    assert float(function(signals(tail=poison))) == float(function(signals(tail=0.0)))


@pytest.mark.parametrize("function", [max_mc, positive_value_loss, failure_rate])
def test_trap_04_a_level_without_a_finished_episode_is_invalid_and_its_score_is_a_plain_zero(function):
    batch = stack(signals(), signals(ended=[0] * 7), signals())
    scores, valid = jax.jit(lambda s: score_levels(function, s))(batch)
    np.testing.assert_array_equal(valid, [True, False, True])
    assert float(scores[1]) == 0.0
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[0], function(signals()), rtol=1e-6)


def test_trap_04_scores_that_are_not_finite_are_invalid():
    batch = stack(signals(), signals(values=[np.nan] * 5), signals(max_return=np.inf), signals(max_return=-np.inf))
    scores, valid = score_levels(max_mc, batch)
    np.testing.assert_array_equal(valid, [True, False, False, False])
    np.testing.assert_array_equal(scores[1:], [0, 0, 0])
    scores, valid = score_levels(nan_score, batch)
    np.testing.assert_array_equal(valid, [False] * 4)
    np.testing.assert_array_equal(scores, np.zeros(4))


def test_mean_over_episodes_averages_agents_first():
    # agents 1 and 3 → 2 at every step
    one = signals()
    per_step = jnp.broadcast_to(jnp.asarray([1.0, 3.0])[None], (7, 2))
    assert float(one.mean_over_episodes(per_step)) == pytest.approx(2.0, rel=1e-6)
    assert float(signals(ended=[0] * 7).mean_over_episodes(per_step)) == 0.0


def test_mean_over_episodes_weighs_episodes_not_steps():
    # a step of the short episode weighs ¼, one of the long ⅙: indicator of the short episode gives ½
    per_step = jnp.asarray([1.0, 1, 0, 0, 0, 9, 9])[:, None]
    assert float(signals().mean_over_episodes(per_step)) == pytest.approx(0.5, rel=1e-6)


def test_scores_declare_what_they_need():
    assert "max_return" in max_mc.needs
    assert "values" in max_mc.needs
    assert "advantages" in positive_value_loss.needs
    assert "ended" in max_mc.needs
    assert "ended" in positive_value_loss.needs


def test_a_need_that_no_signal_meets_is_refused_at_once():
    with pytest.raises(UserError, match="vaules") as error:
        score(needs=("vaules",))
    assert "values" in str(error.value)
    assert "\n" not in str(error.value)


def test_validation_refuses_what_declares_nothing_or_needs_an_ensemble_that_is_not_there():
    validate_score(max_mc, "max_mc", 1)
    validate_score(ensemble_score, "mine", 2)
    with pytest.raises(UserError, match="'mine' declares no signals"):
        validate_score(undeclared_score, "mine", 1)
    with pytest.raises(UserError, match=r"'mine' needs an ensemble.*num_value_heads is 1.*at least 2"):
        validate_score(ensemble_score, "mine", 1)


def test_decorated_score_is_the_function_itself():
    @score(needs=("rewards",))
    def plain(signals):
        return signals.rewards.sum()

    assert plain.needs == ("rewards",)
    assert float(plain(signals())) == 102.0  # 1 + 2 − 1 + 50 + 50


def test_a_score_that_is_not_one_number_is_told_in_one_line():
    @score(needs=("rewards",))
    def per_step(given):
        return given.rewards[:, 0]

    with pytest.raises(UserError, match=r"score 'per_step' returns \(7,\); allowed: one number"):
        score_levels(per_step, stack(signals(), signals()))
