"""Mean and variance of what is long gone, against NumPy on all of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.spread import ALONE, Spread
from minied.students.running_statistics import Moments

TWO = Spread("environments", 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(-100, 100), st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_merged_they_are_those_of_all_samples_together(seed, offset, sizes):
    random = np.random.default_rng(seed)
    parts = [offset + random.normal(size=(3, size, 2)).astype(np.float32) for size in sizes]
    masks = [random.random(part.shape[:2]) < 0.7 for part in parts]
    moments = Moments.of_nothing((2,))
    for part, mask in zip(parts, masks, strict=True):
        moments = moments.merged(Moments.of(jnp.asarray(part), jnp.asarray(mask), ALONE))
    counted = np.concatenate([part[mask] for part, mask in zip(parts, masks, strict=True)]).astype(np.float64)
    assert float(moments.number) == len(counted)
    if len(counted):
        np.testing.assert_allclose(moments.mean, counted.mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(moments.variance, counted.var(axis=0), rtol=1e-3, atol=1e-4)


def test_by_hand():
    # 1, 3: mean 2, variance 1. 5: mean 5, variance 0. Together 3, 8/3: (1·2 + 0·1)/3 + 9·(1/3)(2/3) = 2/3 + 2.
    first = Moments.of(jnp.asarray([1.0, 3.0]), jnp.ones(2, bool), ALONE)
    both = first.merged(Moments.of(jnp.asarray([5.0]), jnp.ones(1, bool), ALONE))
    assert [float(x) for x in (both.number, both.mean, both.variance)] == pytest.approx([3, 3, 8 / 3])
    assert float(both.deviation) == pytest.approx((8 / 3) ** 0.5)
    assert float(Moments.of_nothing().deviation) == pytest.approx(1e-4)


def test_nothing_changes_nothing_and_what_does_not_count_may_be_anything():
    first = Moments.of(jnp.asarray([1.0, 3.0]), jnp.ones(2, bool), ALONE)
    nothing = Moments.of(jnp.asarray([jnp.nan, jnp.inf]), jnp.zeros(2, bool), ALONE)
    for merged in (first.merged(nothing), nothing.merged(first), first.merged(Moments.of_nothing())):
        np.testing.assert_array_equal(jnp.stack(jax.tree.leaves(merged)), jnp.stack(jax.tree.leaves(first)))


def test_on_two_devices_they_are_those_of_both():
    samples = jax.random.normal(jax.random.key(0), (5, 8, 3))
    counts = jax.random.bernoulli(jax.random.key(1), 0.6, (5, 8)).at[:, 4:].set(False)  # the second device has none
    expected = Moments.of(samples, counts, ALONE)

    def on_each(samples, counts):
        return Moments.of(*TWO.part((samples, counts), axis=1), TWO)

    found = jax.jit(functools.partial(TWO.run, on_each, specs=(jax.P(), jax.P()), out=jax.P()))((samples, counts))
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-5)
