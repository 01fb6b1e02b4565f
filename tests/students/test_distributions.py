"""The categorical distribution against scipy, and inverse-CDF sampling at its edges."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from minied.students import distributions

LARGEST_UNIFORM = np.nextafter(np.float32(1), np.float32(0))  # the largest f32 below 1: 1 − 2⁻²⁴

_sample = jax.jit(distributions.sample)
_entropy = jax.jit(distributions.entropy)
_log_probability = jax.jit(distributions.log_probability)


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(0).normal(scale=3.0, size=(20, 5)).astype(np.float32)


def test_log_probability_is_the_logarithm_of_the_softmax(logits):
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    actions = np.arange(20, dtype=np.int32) % 5
    expected = scipy.stats.multinomial.logpmf(np.eye(5)[actions], n=1, p=probabilities)
    np.testing.assert_allclose(_log_probability(logits, actions), expected, rtol=1e-4, atol=1e-5)


def test_log_probability_of_hand_values():
    # softmax of (log 1, log 2, log 5) is (1/8, 2/8, 5/8)
    logits = jnp.log(jnp.asarray([1.0, 2.0, 5.0]))
    for action, p in enumerate((1 / 8, 2 / 8, 5 / 8)):
        assert float(distributions.log_probability(logits, jnp.int32(action))) == pytest.approx(np.log(p), rel=1e-6)


def test_log_probabilities_take_any_leading_axes(logits):
    cube = logits.reshape(2, 2, 5, 5)
    actions = np.arange(20, dtype=np.int32).reshape(2, 2, 5) % 5
    flat = _log_probability(logits, actions.reshape(-1))
    np.testing.assert_array_equal(distributions.log_probability(cube, actions).reshape(-1), flat)
    np.testing.assert_allclose(np.exp(distributions.log_probabilities(cube)).sum(-1), 1.0, rtol=1e-5)


def test_entropy_agrees_with_scipy(logits):
    probabilities = np.exp(logits.astype(np.float64))
    expected = scipy.stats.entropy(probabilities, axis=1)  # normalises by itself, nats
    np.testing.assert_allclose(_entropy(logits), expected, rtol=1e-4, atol=1e-6)


def test_entropy_of_masked_logits_counts_the_rest_only():
    # two actions left, 1/4 and 3/4: H = −¼ ln ¼ − ¾ ln ¾ = 0.5623351446
    logits = jnp.asarray([-jnp.inf, 0.0, jnp.log(3.0), -jnp.inf])
    assert float(distributions.entropy(logits)) == pytest.approx(0.5623351446, rel=1e-6)


def test_entropy_and_its_gradient_are_finite_where_an_action_is_impossible():
    # one certain action; and a logit so low that its probability underflows to 0
    for row in ([0.0, -jnp.inf], [0.0, -1e4]):
        assert float(distributions.entropy(jnp.asarray(row))) == 0.0
    gradient = jax.grad(lambda x: distributions.entropy(x))(jnp.asarray([0.0, -1e4, 1.0]))
    assert np.all(np.isfinite(gradient))


def test_masked_action_has_log_probability_minus_infinity():
    assert float(distributions.log_probability(jnp.asarray([0.0, -jnp.inf]), jnp.int32(1))) == -np.inf


def test_sample_is_the_inverse_cumulative_distribution():
    # p = (1/8, 2/8, 5/8), so the cumulative sums are 0.125 and 0.375; a uniform on an edge belongs to the next action
    logits = jnp.log(jnp.asarray([1.0, 2.0, 5.0]))
    uniform = jnp.asarray([0.0, 0.1249, 0.1251, 0.3749, 0.3751, 0.999])
    drawn = distributions.sample(uniform, jnp.broadcast_to(logits, (6, 3)))
    np.testing.assert_array_equal(drawn, [0, 0, 1, 1, 2, 2])
    assert drawn.dtype == jnp.int32


FREQUENCIES = np.asarray([0.05, 0.0, 0.5, 0.2, 0.25])


def drawn_from_frequencies(uniform):
    logits = np.log(np.where(FREQUENCIES > 0, FREQUENCIES, 1.0)).astype(np.float32)
    logits[FREQUENCIES == 0] = -np.inf
    return np.asarray(_sample(uniform, jnp.broadcast_to(logits, (len(uniform), 5))))


def test_an_even_grid_of_uniforms_draws_each_action_in_exact_proportion():
    # 10,000 midpoints: 500, 0, 5000, 2000, 2500, no chance involved
    grid = ((np.arange(10_000) + 0.5) / 10_000).astype(np.float32)
    np.testing.assert_array_equal(np.bincount(drawn_from_frequencies(grid), minlength=5), 10_000 * FREQUENCIES)


def test_sample_frequencies_are_the_probabilities():
    # Ten keys pooled. (One key of 40,000 draws alone, key 3, gives p = 7e-4, by its uniforms: the draws equal NumPy's
    # searchsorted on the same uniforms, one for one.)
    uniform = jnp.concatenate([jax.random.uniform(jax.random.key(k), (40_000,)) for k in range(10)])
    drawn = drawn_from_frequencies(uniform)
    counts = np.bincount(drawn, minlength=5)
    assert counts[1] == 0
    kept = FREQUENCIES > 0
    assert scipy.stats.chisquare(counts[kept], 400_000 * FREQUENCIES[kept]).pvalue > 1e-3
    expected = np.searchsorted(np.cumsum(FREQUENCIES), np.asarray(uniform, np.float64), side="right")
    assert np.sum(drawn != expected) <= 4  # float32 against float64 at an edge


def test_smallest_and_largest_uniform_draw_the_first_and_last_possible_action():
    logits = jnp.asarray([-jnp.inf, 0.0, 1.0, -jnp.inf, 2.0, -jnp.inf, -jnp.inf])
    assert int(distributions.sample(jnp.float32(0.0), logits)) == 1
    assert int(distributions.sample(jnp.float32(LARGEST_UNIFORM), logits)) == 4


def test_sample_never_draws_an_action_of_probability_zero_near_any_edge():
    """Uniforms at the cumulative sums themselves and at their neighbours, for random masks."""
    rng = np.random.default_rng(1)
    for num_actions in (2, 7, 40, 169):
        logits = rng.normal(scale=2.0, size=(64, num_actions)).astype(np.float32)
        mask = rng.random((64, num_actions)) < 0.5
        mask[np.arange(64), rng.integers(num_actions, size=64)] = False
        logits[mask] = -np.inf
        edges = np.cumsum(np.asarray(jax.nn.softmax(logits)), axis=1, dtype=np.float32)
        near = np.stack([edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(2))])
        near = np.concatenate([near, np.zeros_like(edges)[None], np.full_like(edges, LARGEST_UNIFORM)[None]])
        near = np.clip(near, 0, LARGEST_UNIFORM)
        drawn = np.asarray(_sample(near, np.broadcast_to(logits, (5, 64, num_actions))[..., None, :].repeat(
            num_actions, axis=2)))  # fmt: skip
        assert drawn.max() < num_actions
        assert not np.any(mask[np.arange(64)[None, :, None], drawn])


@pytest.mark.parametrize("num_actions", [169, 400, 529, 961])
def test_sample_of_many_actions_never_draws_a_masked_one(num_actions):
    """A compiled sum over so many is made in parts, and is not even monotonic: its own edges and their neighbours."""
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=2.0, size=(4, num_actions)).astype(np.float32)
    mask = rng.random(logits.shape) < 0.8
    mask[:, 5] = False
    logits[mask] = distributions.MASKED
    edges = np.asarray(jax.jit(lambda logits: jnp.cumsum(jax.nn.softmax(logits), axis=-1))(logits))
    steps = np.arange(-1, 2, dtype=np.float32)[:, None, None] * np.float32(2**-23)  # uniforms are multiples of it
    near = np.clip(np.round(edges * 2**23).astype(np.float32) * np.float32(2**-23) + steps, 0, LARGEST_UNIFORM)
    drawn = np.asarray(_sample(near, np.broadcast_to(logits[:, None, :], (3, 4, num_actions, num_actions))))
    assert not np.any(mask[np.arange(4)[None, :, None], drawn])


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(
    st.lists(st.floats(-20, 20, width=32), min_size=6, max_size=6),
    st.floats(0, float(LARGEST_UNIFORM), width=32),
    st.sets(st.integers(0, 5), max_size=5),
)
def test_sample_draws_a_possible_action_whatever_the_logits(values, uniform, masked):
    logits = np.asarray(values, np.float32)
    logits[list(masked)] = -np.inf
    action = int(_sample(jnp.float32(uniform), logits))
    assert 0 <= action < 6
    assert action not in masked
