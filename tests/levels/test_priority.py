"""How likely each level is to be replayed, and which goes first: closed forms, by hand and against NumPy in float64."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from buffer_reference import distribution, distribution_by_score

from minied.levels.priority import EVICTIONS, PRIORITIZATIONS, Priority

_distribution = jax.jit(lambda priority, scores, ages, filled: priority.distribution(scores, ages, filled))
_keep_order = jax.jit(lambda priority, scores, ages, filled: priority.keep_order(scores, ages, filled))


def of(scores, kind, temperature=1.0, staleness=0.0, ages=None, top_k=1, function=_distribution, eviction="weight"):
    """The distribution over these scores; None is a slot that is not filled."""
    filled = jnp.asarray([s is not None for s in scores])
    numbers = jnp.asarray([0.0 if s is None else s for s in scores], jnp.float32)
    ages = jnp.zeros(len(scores), jnp.int32) if ages is None else jnp.asarray(ages, jnp.int32)
    priority = Priority(jnp.float32(temperature), jnp.float32(staleness), kind, top_k, eviction)
    return np.asarray(function(priority, numbers, ages, filled))


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1])
def test_trap_02_rank_is_one_over_rank_to_the_inverse_temperature_from_rank_one(temperature):
    # scores 5, 1, 9, 3 have ranks 2, 4, 1, 3; weight rank^(−1/τ)
    weights = np.asarray([2, 4, 1, 3], np.float64) ** (-1.0 / temperature)
    got = of([5, 1, 9, 3, None, None], "rank", temperature)
    np.testing.assert_allclose(got[:4], weights / weights.sum(), rtol=1e-4)
    np.testing.assert_array_equal(got[4:], 0)
    if temperature == 0.1:  # 1 / (1 + 2⁻¹⁰ + 3⁻¹⁰ + 4⁻¹⁰) = 0.999007
        assert float(got[2]) == pytest.approx(0.999007, abs=1e-5)


def test_trap_02_first_rank_is_finite_and_never_the_whole_mass_by_division_by_zero():
    np.testing.assert_allclose(of([2, 1], "rank"), [2 / 3, 1 / 3], rtol=1e-6)  # 1 and 1/2


def test_rank_at_the_smallest_temperature_is_the_highest_score_alone():
    # 2⁻¹⁰⁰⁰ is 0 in float32, and nothing overflows on the way
    np.testing.assert_array_equal(of([5, 1, 9, 3], "rank", 0.001), [0, 0, 1, 0])


def test_rank_goes_by_the_order_of_scores_and_not_by_their_size():
    np.testing.assert_array_equal(of([5, 1, 9, -3], "rank", 0.3), of([0.05, 0.04, 1e6, -1e6], "rank", 0.3))


def test_rank_of_equal_scores_goes_to_the_lower_slot():
    # 1, 1/2, 1/3 over 11/6
    np.testing.assert_allclose(of([4, 4, 4], "rank"), [6 / 11, 3 / 11, 2 / 11], rtol=1e-6)


def test_power_is_the_positive_part_to_the_inverse_temperature():
    # with staleness there is no floor; ρ = 1/2 of ages 0: half uniform. 4² = 16, 1² = 1, 0 and −3 weigh nothing
    got = of([4, 1, 0, -3], "power", 0.5, staleness=0.5)
    np.testing.assert_allclose(got, [0.5 * 16 / 17 + 1 / 8, 0.5 / 17 + 1 / 8, 1 / 8, 1 / 8], rtol=1e-6)


def test_power_without_staleness_keeps_a_thousandth_for_every_level():
    weights = np.asarray([4.001, 1.001, 0.001, 0.001]) ** 2
    np.testing.assert_allclose(of([4, 1, 0, -3], "power", 0.5), weights / weights.sum(), rtol=1e-5)


@pytest.mark.parametrize("scores", [[0, 0, 0], [-1, -5, 0], [-2, -2, -2]])
@pytest.mark.parametrize("staleness", [0.0, 0.25])
def test_power_of_nothing_positive_is_uniform(scores, staleness):
    np.testing.assert_allclose(of([*scores, None], "power", 0.1, staleness), [1 / 3] * 3 + [0], rtol=1e-6)


def test_softmax_is_the_exponential_over_the_temperature():
    scores = np.log([1, 2, 5])
    np.testing.assert_allclose(of(scores, "softmax"), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)
    np.testing.assert_allclose(of(scores, "softmax", 0.5), [1 / 30, 4 / 30, 25 / 30], rtol=1e-5)
    np.testing.assert_allclose(of(scores - 40, "softmax"), [1 / 8, 2 / 8, 5 / 8], rtol=1e-5)  # negative ones alike


def test_top_k_is_a_softmax_among_the_highest():
    # the two highest of 3, 2, 1, 5 weigh 3 and 5
    np.testing.assert_allclose(of(np.log([3, 2, 1, 5]), "top_k", top_k=2), [3 / 8, 0, 0, 5 / 8], rtol=1e-6)


def test_top_k_of_ties_goes_to_the_lower_slots():
    np.testing.assert_allclose(of([1, 7, 7, 7], "top_k", top_k=2), [0, 1 / 2, 1 / 2, 0], rtol=1e-6)
    np.testing.assert_array_equal(of([7, 7], "top_k", top_k=1), [1, 0])


def test_top_k_of_more_than_are_filled_is_the_softmax_of_all():
    scores = [None, 0.0, np.log(3), None, None]
    np.testing.assert_allclose(of(scores, "top_k", top_k=4), [0, 1 / 4, 3 / 4, 0, 0], rtol=1e-6)


def test_uniform_knows_no_score():
    np.testing.assert_allclose(of([9, -9, None, 0], "uniform", 0.001), [1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)


def test_staleness_is_proportional_to_batches_since_last_seen():
    np.testing.assert_allclose(of([1, 1, 1], "rank", 0.3, 1.0, [1, 6, 0]), [1 / 7, 6 / 7, 0], rtol=1e-6)


def test_staleness_of_levels_all_just_seen_is_uniform():
    np.testing.assert_allclose(of([3, 2, None], "rank", 0.3, 1.0, [0, 0, 0]), [1 / 2, 1 / 2, 0], rtol=1e-6)


def test_distribution_is_the_mixture_of_score_and_staleness():
    # τ = 1, scores 2 and 1: (2/3, 1/3); ages 1 and 3: (1/4, 3/4); ρ = 0.3: 0.7·2/3 + 0.3/4 = 0.541666…
    got = of([2, 1], "rank", 1.0, 0.3, [1, 3])
    np.testing.assert_allclose(got, [0.541666, 0.458333], rtol=1e-5)


@pytest.mark.parametrize("kind", PRIORITIZATIONS)
def test_nothing_filled_has_no_probability_at_all(kind):
    np.testing.assert_array_equal(of([None] * 4, kind, 0.3, 0.3), 0)


def test_what_stands_in_slots_that_are_not_filled_does_not_count():
    filled = jnp.asarray([False, True, False, True])
    scores, ages = jnp.asarray([1e9, 1.0, 1e9, 2.0]), jnp.asarray([0, 3, 0, 2], jnp.int32)
    for kind in PRIORITIZATIONS:
        got = np.asarray(_distribution(Priority(0.5, 0.5, kind, 2), scores, ages, filled))
        expected = of([1, 2], kind, 0.5, 0.5, [3, 2], top_k=2)
        np.testing.assert_array_equal(got[[0, 2]], 0)
        np.testing.assert_allclose(got[[1, 3]], expected, rtol=1e-6)


def test_eviction_by_weight_lets_the_least_likely_go_and_by_score_the_lowest():
    # The oldest level has the lowest score: by weight it is kept for its age, by score it goes.
    scores, ages = [9, 5, 1], [0, 0, 8]
    by_weight = of(scores, "rank", 1.0, 0.9, ages, function=_keep_order)
    by_score = of(scores, "rank", 1.0, 0.9, ages, function=_keep_order, eviction="score")
    assert by_weight.argmin() == 1  # 0.1·3/11 = 0.027; the oldest has 0.1·2/11 + 0.9 = 0.918
    assert by_score.argmin() == 2


@pytest.mark.parametrize("eviction", EVICTIONS)
@pytest.mark.parametrize("kind", PRIORITIZATIONS)
def test_slots_that_are_not_filled_go_before_all_others(kind, eviction):
    got = of([-1e30, None, 0, None], kind, 0.1, 0.0, top_k=1, function=_keep_order, eviction=eviction)
    assert set(np.argsort(got, kind="stable")[:2].tolist()) == {1, 3}
    assert max(got[1], got[3]) < min(got[0], got[2])


# -- against NumPy -----------------------------------------------------------------------------------------------------

TEMPERATURES = (0.001, 0.1, 0.3, 1.0, 30.0)
slots = st.lists(
    st.tuples(
        st.booleans(),  # filled
        st.sampled_from([-3.0, -0.25, 0.0, 0.0, 0.25, 0.5, 2.0, 2.0, 7.75]),  # few values: many ties, zeros, negatives
        st.integers(0, 9),
    ),
    min_size=7,
    max_size=7,
)


@pytest.mark.parametrize("kind", PRIORITIZATIONS)
@hypothesis.settings(deadline=None, max_examples=150, derandomize=True)
@hypothesis.given(slots, st.sampled_from(TEMPERATURES), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([1, 3]))
def test_replay_distribution_equals_its_closed_form(kind, slots, temperature, staleness, top_k):
    filled, scores, ages = map(list, zip(*slots, strict=True))
    ages = [age if full else 0 for age, full in zip(ages, filled, strict=True)]
    priority = Priority(jnp.float32(temperature), jnp.float32(staleness), kind, top_k)
    got = np.asarray(_distribution(priority, jnp.asarray(scores), jnp.asarray(ages, jnp.int32), jnp.asarray(filled)))
    # the numbers that float32 holds, so that only the arithmetic differs; an exponent of 1000 multiplies its rounding
    temperature, staleness = float(np.float32(temperature)), float(np.float32(staleness))
    expected = distribution(kind, scores, ages, filled, temperature, staleness, top_k)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-3 if temperature < 0.01 else 1e-6)
    assert got.sum() == pytest.approx(1.0 if any(filled) else 0.0, abs=1e-5)


def test_the_oracle_agrees_with_values_by_hand():
    """The oracle is worth as much as this."""
    assert distribution_by_score("rank", [5, 1, 9], [1, 1, 1], 1.0, 0.0, 1) == pytest.approx([3 / 11, 2 / 11, 6 / 11])
    assert distribution_by_score("power", [4, 1, 0], [1, 1, 1], 0.5, 0.5, 1) == pytest.approx([16 / 17, 1 / 17, 0])
    assert distribution_by_score("top_k", [0, 1, 1], [1, 1, 1], 1.0, 0.5, 1) == pytest.approx([0, 1, 0])
    assert distribution("rank", [2, 1], [1, 3], [1, 1], 1.0, 0.3) == pytest.approx([0.541666, 0.458333], rel=1e-5)


@pytest.mark.parametrize("kind", PRIORITIZATIONS)
@pytest.mark.parametrize("temperature", [0.001, 0.1, 1.0, 1e6])
def test_distribution_over_a_large_buffer_is_finite_and_sums_to_one(kind, temperature):
    rng = np.random.default_rng(0)
    scores, ages = jnp.asarray(rng.normal(size=4000), jnp.float32), jnp.asarray(rng.integers(0, 500, 4000), jnp.int32)
    filled = jnp.asarray(rng.random(4000) < 0.7)
    for staleness in (0.0, 0.3, 1.0):
        priority = Priority(jnp.float32(temperature), jnp.float32(staleness), kind, 100)
        got = np.asarray(_distribution(priority, scores, jnp.where(filled, ages, 0), filled), np.float64)
        assert (got >= 0).all()
        assert not got[~np.asarray(filled)].any()
        assert got.sum() == pytest.approx(1.0, abs=1e-4)
