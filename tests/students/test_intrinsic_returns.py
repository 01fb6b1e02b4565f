"""The filter of intrinsic rewards, against sums by brute force (specification E.4 iv)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.spread import ALONE, Spread
from minied.students.bonuses.intrinsic_returns import IntrinsicReturns, discounted_sums

TWO = Spread("environments", 2)


def by_brute_force(rewards, ended, discount):
    """Every step's sum over the earlier steps of its stream, of which none after the last end before it is left out."""
    sums = np.zeros(len(rewards))
    for t in range(len(rewards)):
        for s in range(t + 1):
            if not ended[s:t].any():
                sums[t] += discount ** (t - s) * rewards[s]
    return sums


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0, 1), st.booleans())
def test_sums_are_those_by_brute_force(seed, discount, episodic):
    random = np.random.default_rng(seed)
    rewards, ended = random.random(12).astype(np.float32), (random.random(12) < 0.3) & episodic
    found = discounted_sums(jnp.zeros(()), jnp.asarray(rewards), jnp.asarray(ended), discount)
    np.testing.assert_allclose(found, by_brute_force(rewards, ended, discount), rtol=1e-5, atol=1e-6)


def test_a_stream_goes_on_from_rollout_to_rollout():
    rewards = jax.random.uniform(jax.random.key(0), (10, 3, 2))
    never, there = jnp.zeros((10, 3), bool), jnp.ones((10, 3, 2), bool)
    start = IntrinsicReturns.of_nothing(3, 2)
    whole = start.after(rewards, never, there, 0.9, ALONE)
    half = start.after(rewards[:4], never[:4], there[:4], 0.9, ALONE)
    halves = half.after(rewards[4:], never[4:], there[4:], 0.9, ALONE)
    for leaf, expected in zip(jax.tree.leaves(halves), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-5)
    sums = [by_brute_force(np.asarray(rewards[:, b, n]), np.zeros(10, bool), 0.9) for b in range(3) for n in range(2)]
    assert float(whole.moments.deviation) == pytest.approx(np.std(sums), rel=1e-4)
    np.testing.assert_allclose(whole.sums.reshape(-1), [each[-1] for each in sums], rtol=1e-5)


def test_an_episodic_stream_begins_anew_after_an_end_also_the_last_step():
    rewards, ended = jnp.ones((3, 2, 1)), jnp.asarray([[True, False], [False, False], [True, False]])
    after = IntrinsicReturns.of_nothing(2, 1).after(rewards, ended, jnp.ones((3, 2, 1), bool), 0.5, ALONE)
    assert after.sums[:, 0].tolist() == [0.0, 1.75]
    # 1 | 1, 1.5 | and 1, 1.5, 1.75.
    assert float(after.moments.mean) == pytest.approx((1 + 1 + 1.5 + 1 + 1.5 + 1.75) / 6)


def test_sums_of_agents_that_are_not_there_do_not_count():
    present = jnp.asarray([True, False])[:, None, None]
    after = IntrinsicReturns.of_nothing(1, 1).after(
        jnp.asarray([3.0, 0.0])[:, None, None], jnp.zeros((2, 1), bool), present, 0.5, ALONE
    )
    assert (float(after.moments.number), float(after.moments.mean)) == (1, 3)


def test_on_two_devices_as_on_one():
    rewards = jax.random.uniform(jax.random.key(0), (6, 4, 2))
    ended = jax.random.bernoulli(jax.random.key(1), 0.3, (6, 4))
    there = jax.random.bernoulli(jax.random.key(2), 0.8, (6, 4, 2))
    start = IntrinsicReturns.of_nothing(4, 2).replace(sums=jax.random.uniform(jax.random.key(3), (4, 2)))
    expected = start.after(rewards, ended, there, 0.9, ALONE)

    def on_each(start, *arrays):
        return start.after(*TWO.part(arrays, axis=1), 0.9, TWO)

    run = functools.partial(TWO.run, on_each, specs=(jax.P(),) * 4, out=jax.P())
    found = jax.jit(run)((start, rewards, ended, there))
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-5)
