"""Learning progress in closed form, and attention to it; see the laws of B.5 in the papers' own terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.teachers.progress import Averages, attention, progress, reweighted, slopes, smoothed, without_chance

THETA = 0.1
PROBABILITIES = st.floats(0.0, 1.0, width=32)


def logit(p):
    return np.log(p / (1 - p))


def followed(successes, rate, first=0.0, slow_rate=None):
    """Both averages of one task after each measurement; ``first`` was measured before."""
    averages = smoothed(Averages.start(1), jnp.asarray([first]), jnp.asarray([True]), rate, rate)
    rows = []
    for success in successes:
        averages = smoothed(averages, jnp.asarray([success]), jnp.asarray([True]), rate, slow_rate or rate)
        rows.append((float(averages.fast[0]), float(averages.slow[0])))
    return np.asarray(rows).T


# -- averages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.02, 0.5])
def test_a_step_is_followed_in_closed_form(rate):
    """From 0 to 1: p_fast = 1 − qⁿ, p_slow = 1 − qⁿ (1 + nα), so that their distance is nα qⁿ, q = 1 − α."""
    n = np.arange(1, 121)
    fast, slow = followed(np.ones(120), rate)
    q = (1 - rate) ** n
    np.testing.assert_allclose(fast, 1 - q, atol=2e-6)
    np.testing.assert_allclose(slow, 1 - q * (1 + n * rate), atol=2e-6)
    np.testing.assert_allclose(fast - slow, n * rate * q, atol=2e-6)
    # Highest where the derivative of n qⁿ is 0: n = −1 / ln q, about 1/α; and there (1/α) α e⁻¹ at most.
    highest = int(n[np.argmax(fast - slow)])
    assert abs(highest + 1 / np.log(1 - rate)) <= 1
    if rate < 0.5:
        assert (fast - slow).max() == pytest.approx(np.exp(-1), rel=rate)


def test_a_ramp_is_followed_at_a_constant_lag():
    """p = v t: each average lags its input by v (1 − α) / α in the end."""
    v, rate = 0.001, 0.1
    ramp = v * np.arange(1, 301)
    fast, slow = followed(ramp, rate)
    lag = v * (1 - rate) / rate  # 0.009
    assert ramp[-1] - fast[-1] == pytest.approx(lag, rel=1e-3)
    assert fast[-1] - slow[-1] == pytest.approx(lag, rel=1e-3)
    down_fast, down_slow = followed(1 - ramp, rate, first=1.0)
    assert down_fast[-1] - down_slow[-1] == pytest.approx(-lag, rel=1e-3)


def test_the_first_measurement_sets_both_and_what_is_not_measured_stays():
    start = Averages.start(3)
    is_new = jnp.asarray([True, False, True])
    after = smoothed(start, jnp.asarray([0.5, 0.9, 1.0]), is_new, 0.1, 0.1)
    np.testing.assert_allclose(after.fast, [0.5, 0.0, 1.0])
    np.testing.assert_allclose(after.slow, [0.5, 0.0, 1.0])
    assert after.measured.tolist() == [True, False, True]
    again = smoothed(after, jnp.asarray([0.0, 0.4, 0.0]), jnp.asarray([True, True, False]), 0.1, 0.1)
    np.testing.assert_allclose(again.fast, [0.45, 0.4, 1.0])  # 0.5 + 0.1 (0 − 0.5)
    np.testing.assert_allclose(again.slow, [0.495, 0.4, 1.0])  # 0.5 + 0.1 (0.45 − 0.5), not 0.5 + 0.1 (0 − 0.5)
    np.testing.assert_allclose(again.first, [0.5, 0.4, 1.0])


def test_with_a_fast_rate_of_one_the_fast_average_is_the_last_measurement():
    fast, slow = followed([0.2, 0.8], rate=1.0, first=0.4, slow_rate=0.25)
    np.testing.assert_allclose(fast, [0.2, 0.8])
    np.testing.assert_allclose(slow, [0.35, 0.4625])  # 0.4 + (0.2 − 0.4) / 4, then 0.35 + (0.8 − 0.35) / 4


# -- reweighting -------------------------------------------------------------------------------------------------------


def test_reweighting_in_logits_is_a_shift():
    p = np.linspace(0.001, 0.999, 333)
    for theta in (0.01, 0.1, 0.5, 0.9):
        np.testing.assert_allclose(logit(np.asarray(reweighted(p, theta))), logit(p) - logit(theta), atol=1e-9)
    np.testing.assert_allclose(reweighted(p, 0.5), p, rtol=1e-12)


def test_reweighting_at_its_fixed_points():
    assert [float(reweighted(jnp.float32(p), THETA)) for p in (0.0, 0.1, 1.0)] == pytest.approx([0.0, 0.5, 1.0])
    slope = jax.grad(lambda p: reweighted(p, THETA))(0.0)
    assert float(slope) == pytest.approx(9.0)  # (1 − θ) / θ


@given(PROBABILITIES, PROBABILITIES, st.floats(0.01, 0.99))
def test_reweighting_rises_and_stays_a_probability(a, b, theta):
    low, high = (float(reweighted(np.float64(p), theta)) for p in sorted((a, b)))
    assert -1e-12 <= low <= high <= 1 + 1e-12


def test_progress_one_way_and_both_ways():
    fast, slow = jnp.asarray([0.3, 0.1, 0.5]), jnp.asarray([0.1, 0.3, 0.5])
    np.testing.assert_allclose(progress(fast, slow, bidirectional=True), [0.2, 0.2, 0.0])
    np.testing.assert_allclose(progress(fast, slow, bidirectional=False), [0.2, 0.0, 0.0])


# -- attention ---------------------------------------------------------------------------------------------------------

ALL = jnp.ones(5, bool)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_one_task_that_stands_out():
    """N tasks, one with progress: z = √(N − 1) there and −1 / √(N − 1) elsewhere."""
    number, centre, slope = 101, 1.28, 3.0
    made = jnp.zeros(number).at[7].set(0.02)
    shares = np.asarray(attention(made, jnp.ones(number, bool), centre, slope))
    hot, cold = sigmoid(slope * (10 - centre)), sigmoid(slope * (-0.1 - centre))
    assert shares[7] / shares[8] == pytest.approx(hot / cold, rel=1e-4)
    assert shares[7] == pytest.approx(hot / (hot + 100 * cold), rel=1e-4)  # 0.38: it cannot take all
    assert shares.sum() == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.0, 1.0, width=32), min_size=5, max_size=5),
    st.floats(2.0**-6, 128.0, width=32),
    st.floats(-1.0, 1.0, width=32),
)
def test_attention_does_not_change_when_progress_is_scaled_or_shifted(made, scale, shift):
    made = np.asarray(made, np.float32)
    if np.std(made) < 1e-2:
        return
    shares = attention(jnp.asarray(made), ALL, 1.28, 3.0)
    moved = attention(jnp.asarray(scale * (made + shift)), ALL, 1.28, 3.0)
    np.testing.assert_allclose(moved, shares, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.3, 1e-20])
def test_where_no_task_stands_out_all_are_equal(value):
    np.testing.assert_allclose(attention(jnp.full(5, value), ALL, 1.28, 3.0), np.full(5, 0.2), rtol=1e-6)


def test_tiny_progress_is_progress():
    shares = np.asarray(attention(jnp.asarray([0.0, 0.0, 0.0, 0.0, 1e-25]), ALL, 1.28, 3.0))
    np.testing.assert_allclose(shares, attention(jnp.asarray([0.0, 0.0, 0.0, 0.0, 1.0]), ALL, 1.28, 3.0), rtol=1e-5)
    assert shares[4] > 0.8


def test_a_centre_that_no_task_reaches_still_gives_a_distribution():
    shares = np.asarray(attention(jnp.asarray([0.0, 0.1, 0.2, 0.3, 0.4]), ALL, 60.0, 10.0))
    assert np.all(np.isfinite(shares))
    # Far below the centre a sigmoid is an exponential: neighbours differ by s Δz, z = ±√2, ±1/√2, 0 here.
    np.testing.assert_allclose(shares[1:] / shares[:-1], np.exp(10 / 2**0.5), rtol=1e-2)


def test_tasks_that_do_not_count_get_nothing():
    counts = jnp.asarray([True, False, True, False, True])
    shares = np.asarray(attention(jnp.asarray([0.0, 9.0, 0.1, 9.0, 0.2]), counts, 0.0, 1.0))
    z = np.sqrt(1.5)  # of three equidistant values: −z, 0, z
    weights = sigmoid(np.asarray([-z, 0.0, z]))
    np.testing.assert_allclose(shares, [weights[0], 0, weights[1], 0, weights[2]] / weights.sum(), rtol=1e-5)
    nobody = attention(jnp.asarray([0.0, 9.0, 0.1, 9.0, 0.2]), jnp.zeros(5, bool), 0.0, 1.0)
    assert float(nobody.sum()) == pytest.approx(1.0)  # as if all did
    assert float(nobody[1]) > float(nobody[0]) > 0


def test_attention_saturates():
    """Two tasks far out, one twice as far: a softmax would give it all."""
    made = jnp.zeros(100).at[0].set(1.0).at[1].set(0.5)
    shares = np.asarray(attention(made, jnp.ones(100, bool), 1.28, 3.0))
    assert 0.95 < shares[1] / shares[0] <= 1


# -- OMNI and the windowed slope ---------------------------------------------------------------------------------------


def test_success_beyond_chance():
    success, chance = jnp.asarray([0.5, 0.2, 0.9, 1.0]), jnp.asarray([0.0, 0.5, 0.8, 1.0])
    # (0.5 − 0) / 1; less than chance: 0; (0.9 − 0.75) / 0.25, as b is at most 0.75; (1 − 0.75) / 0.25
    np.testing.assert_allclose(without_chance(success, chance), [0.5, 0.0, 0.6, 1.0], rtol=1e-5)


def test_slopes_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    times, successes = rng.integers(0, 50, (6, 8)).astype(np.float32), rng.random((6, 8)).astype(np.float32)
    known = rng.random((6, 8)) < 0.7
    known[0], known[1] = False, np.arange(8) == 3  # nothing, and a single measurement: flat
    times[2] = 4.0  # all at once: flat
    found = np.asarray(slopes(jnp.asarray(times), jnp.asarray(successes), jnp.asarray(known)))
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    for k in (3, 4, 5):
        expected = np.polyfit(times[k, known[k]], successes[k, known[k]], 1)[0]
        assert found[k] == pytest.approx(expected, abs=1e-5)
