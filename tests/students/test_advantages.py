"""Generalised advantages: hand values for each way in which a step may be followed, and two independent references."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.students.advantages import generalized_advantages

T = 7
_advantages = jax.jit(generalized_advantages)


def reference(rewards, values, last_value, ended, bootstrap, discount, lam):
    """A_t as the sum over the rest of the episode of (γλ)^k δ_{t+k}: no recursion, no vector."""
    steps = len(rewards)
    deltas = []
    for t in range(steps):
        going_on = values[t + 1] if t + 1 < steps else last_value
        after = bootstrap[t] if ended[t] else going_on
        deltas.append(rewards[t] + discount * after - values[t])
    advantages = []
    for t in range(steps):
        total, weight = 0.0, 1.0
        for k in range(t, steps):
            total += weight * deltas[k]
            if ended[k]:
                break
            weight *= discount * lam
        advantages.append(total)
    return advantages


def call(rewards, values, last_value, ended, bootstrap, discount, lam):
    f32 = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    return _advantages(
        f32(rewards), f32(values), f32(last_value), jnp.asarray(ended, bool), f32(bootstrap), f32(discount), f32(lam)
    )


def test_a_stream_that_goes_on_is_bootstrapped_from_the_last_value():
    # γ = 0.5, λ = 0.5. δ_1 = 2 + 0.5·8 − 4 = 2;  δ_0 = 1 + 0.5·4 − 2 = 1;  A_0 = 1 + 0.25·2 = 1.5
    np.testing.assert_allclose(call([1, 2], [2, 4], 8, [0, 0], [0, 0], 0.5, 0.5), [1.5, 2.0])


def test_a_terminated_step_is_worth_its_reward_alone():
    # δ_2 = 3 + 0.5·8 − 6 = 1;  δ_1 = 2 − 4 = −2 (terminated);  δ_0 = 1 + 0.5·4 − 2 = 1;  A_0 = 1 − 0.25·2 = 0.5
    np.testing.assert_allclose(call([1, 2, 3], [2, 4, 6], 8, [0, 1, 0], [0, 0, 0], 0.5, 0.5), [0.5, -2.0, 1.0])


def test_trap_06_nothing_is_bootstrapped_past_an_end_at_the_last_step():
    # δ_1 = 2 − 4 = −2 whatever the value of the next episode's first observation
    for last_value in (0.0, 1e6):
        np.testing.assert_allclose(call([1, 2], [2, 4], last_value, [0, 1], [0, 0], 0.5, 0.5), [0.5, -2.0])


def test_trap_19_a_truncated_step_with_bootstrap_is_worth_the_value_it_was_cut_off_from():
    # step 1 truncated with b = 10: δ_1 = 2 + 0.5·10 − 4 = 3;  δ_0 = 1;  A_0 = 1 + 0.25·3 = 1.75; step 2 is separate
    np.testing.assert_allclose(call([1, 2, 3], [2, 4, 6], 8, [0, 1, 0], [0, 10, 0], 0.5, 0.5), [1.75, 3.0, 1.0])


def test_truncation_without_bootstrap_is_an_end_like_any_other():
    truncated = call([1, 2, 3], [2, 4, 6], 8, [0, 1, 0], [0, 0, 0], 0.5, 0.5)
    np.testing.assert_allclose(truncated, [0.5, -2.0, 1.0])


def test_no_advantage_crosses_the_border_of_an_episode():
    quiet = call([1, 1, 1, 1], [0, 0, 0, 0], 0, [0, 1, 0, 0], [0, 0, 0, 0], 0.9, 0.9)
    loud = call([1, 1, 1e6, -1e6], [0, 0, 1e6, 5], 1e6, [0, 1, 0, 0], [0, 0, 0, 0], 0.9, 0.9)
    np.testing.assert_array_equal(quiet[:2], loud[:2])


numbers = st.floats(-10, 10, width=32)
streams = st.lists(numbers, min_size=T, max_size=T)
flags = st.lists(st.booleans(), min_size=T, max_size=T)
unit = st.floats(0, 1, width=32)


@hypothesis.settings(deadline=None, max_examples=80, derandomize=True)
@hypothesis.given(streams, streams, numbers, flags, flags, streams, unit, unit)
def test_advantages_equal_the_plain_sum(rewards, values, last, ended, truncated, bootstrap, discount, lam):
    bootstrap = [b if e and t else 0.0 for b, e, t in zip(bootstrap, ended, truncated, strict=True)]
    expected = reference(rewards, values, last, ended, bootstrap, discount, lam)
    got = call(rewards, values, last, ended, bootstrap, discount, lam)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


@hypothesis.settings(deadline=None, max_examples=40, derandomize=True)
@hypothesis.given(streams, streams, numbers, flags, unit)
def test_lambda_one_is_the_discounted_monte_carlo_return_less_the_value(rewards, values, last, ended, discount):
    expected = []
    for t in range(T):
        total, weight, k = 0.0, 1.0, t
        while True:
            total += weight * rewards[k]
            weight *= discount
            if ended[k]:
                break
            k += 1
            if k == T:
                total += weight * last
                break
        expected.append(total - values[t])
    np.testing.assert_allclose(
        call(rewards, values, last, ended, [0] * T, discount, 1.0), expected, rtol=1e-4, atol=1e-3
    )


def test_lambda_zero_is_the_one_step_error():
    got = call([1, 2, 3], [2, 4, 6], 8, [0, 0, 0], [0, 0, 0], 0.5, 0.0)
    np.testing.assert_allclose(got, [1 + 2 - 2, 2 + 3 - 4, 3 + 4 - 6])


def test_shapes_that_differ_are_refused():
    with pytest.raises(AssertionError):
        generalized_advantages(jnp.zeros(3), jnp.zeros(3), jnp.zeros(()), jnp.zeros(2, bool), jnp.zeros(3), 0.9, 0.9)
