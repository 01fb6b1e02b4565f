"""Spearman's correlation in the loop, against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from minied.scores.correlation import rank_correlation

correlate = jax.jit(rank_correlation)
N = 9


def correlation(x, y, valid=None):
    valid = np.ones(len(x), bool) if valid is None else np.asarray(valid)
    return float(correlate(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(valid)))


def test_by_hand_with_a_tie():
    # ranks of x: 1, 2.5, 2.5, 4; of y: 4, 3, 2, 1. Centred: −1.5 0 0 1.5 and 1.5 0.5 −0.5 −1.5
    # Σ = −2.25 − 2.25 = −4.5; Σx² = 4.5, Σy² = 5; ρ = −4.5 / √22.5 = −0.9487
    assert correlation([0, 1, 1, 7], [9, 5, 3, 2]) == pytest.approx(-0.94868, rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.booleans()), min_size=N, max_size=N))
def test_equals_scipy_on_the_valid_ones(rows):
    x, y, valid = (np.asarray(column) for column in zip(*rows, strict=True))
    got = correlation(np.where(valid, x, np.nan), np.where(valid, y, np.inf), valid)
    if valid.sum() < 2 or np.ptp(x[valid]) == 0 or np.ptp(y[valid]) == 0:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(stats.spearmanr(x[valid], y[valid]).statistic, abs=1e-5)
