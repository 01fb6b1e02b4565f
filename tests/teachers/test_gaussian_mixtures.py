"""Mixtures of Gaussians: densities and steps as float64 NumPy has them, rising likelihoods, clusters that are found."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.teachers import gaussian_mixtures as mixtures
from minied.teachers.gaussian_mixtures import Mixture

FLOOR = 1e-6
fit = jax.jit(
    mixtures.fit, static_argnums=(2, 3), static_argnames=("iterations", "covariance", "criterion")
)  # (key, points, smallest, largest, ...)


def clusters(centres, each, spread=0.02, seed=0):
    """``each`` points around each centre, in no order."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.normal(centre, spread, (each, len(centre))) for centre in centres])
    return jnp.asarray(rng.permutation(points), jnp.float32)


def random_mixture(seed, K, D):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(K, D, D))
    covariances = roots @ roots.transpose(0, 2, 1) * 0.02 + 0.01 * np.eye(D)
    weights, means = rng.dirichlet(np.ones(K)), rng.uniform(size=(K, D))
    parts = (weights, means, np.linalg.cholesky(covariances))
    return Mixture(*(jnp.asarray(part, jnp.float32) for part in parts)), (weights, means, covariances)


def joint_by_numpy(weights, means, covariances, points):
    """log(weight N), float64 [K, n]."""
    return np.stack([
        np.log(w) + scipy.stats.multivariate_normal(m, c).logpdf(points)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ])  # fmt: skip


# -- densities ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "D"), [(1, 1), (3, 2), (4, 5)])
def test_densities_are_scipys(K, D):
    mixture, parts = random_mixture(K, K, D)
    points = np.random.default_rng(9).uniform(size=(30, D))
    expected = joint_by_numpy(*parts, points)
    np.testing.assert_allclose(
        mixtures.log_joint(mixture, jnp.asarray(points, jnp.float32)), expected, rtol=1e-3, atol=1e-3
    )
    total = scipy.special.logsumexp(expected, axis=0).sum()
    assert float(mixtures.log_likelihood(mixture, jnp.asarray(points, jnp.float32))) == pytest.approx(total, rel=1e-4)


def test_a_density_by_hand():
    # N(1; mean 0, deviation 2) with weight ½: log ½ − log 2 − ½ log 2π − ½ (1 / 2)² = −0.693 − 0.693 − 0.919 − 0.125
    mixture = Mixture(jnp.asarray([0.5, 0.5, 0.0]), jnp.zeros((3, 1)), jnp.full((3, 1, 1), 2.0))
    found = mixtures.log_joint(mixture, jnp.ones((1, 1)))
    np.testing.assert_allclose(found[:2, 0], -2.4302, atol=1e-4)
    assert np.isneginf(found[2, 0])  # there is none
    np.testing.assert_allclose(mixtures.responsibilities(mixture, jnp.ones((1, 1)))[:, 0], [0.5, 0.5, 0.0])


def test_draws_have_the_mean_and_the_covariance():
    mixture, (_, means, covariances) = random_mixture(1, 3, 3)
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(mixtures.draw, (0, None, None)))(keys, mixture, jnp.int32(1)))
    deviations = np.sqrt(np.diag(covariances[1]))
    np.testing.assert_allclose(draws.mean(axis=0), means[1], atol=5 * deviations.max() / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(draws.T), covariances[1], atol=0.05 * deviations.max() ** 2)


# -- expectation maximisation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_step_is_numpys(covariance):
    mixture, parts = random_mixture(3, 4, 3)
    points = np.random.default_rng(5).uniform(size=(60, 3))
    joint = joint_by_numpy(*parts, points)
    shares = np.exp(joint - scipy.special.logsumexp(joint, axis=0))
    totals = shares.sum(axis=1)
    means = shares @ points / totals[:, None]
    after = mixtures.maximised(
        mixtures.responsibilities(mixture, jnp.asarray(points, jnp.float32)),
        jnp.asarray(points, jnp.float32),
        0.01,
        covariance,
    )
    np.testing.assert_allclose(after.weights, totals / 60, rtol=2e-3)
    np.testing.assert_allclose(after.means, means, rtol=2e-3)
    for k in range(4):
        apart = points - means[k]
        expected = (shares[k][:, None] * apart).T @ apart / totals[k] + 0.01 * np.eye(3)
        expected = expected if covariance == "full" else np.diag(np.diag(expected))
        np.testing.assert_allclose(after.factors[k] @ after.factors[k].T, expected, atol=2e-4)
        assert np.all(np.triu(after.factors[k], 1) == 0)


def test_a_step_by_hand():
    # Of the points 0, 1 and 4 the first two are of component 0, the last of component 1; component 2 has none.
    shares = jnp.asarray([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    found = mixtures.maximised(shares, jnp.asarray([[0.0], [1.0], [4.0]]), 0.01)
    np.testing.assert_allclose(found.weights, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(found.means[:, 0], [0.5, 4, 0])
    # variances: mean of ¼ and ¼; 0; each with the floor
    np.testing.assert_allclose(found.factors[:2, 0, 0], np.sqrt([0.26, 0.01]), rtol=1e-6)
    assert np.isfinite(np.asarray(found.factors)).all()


@functools.cache
def climbing(covariance):
    @jax.jit
    def climb(points, centres, number):
        first = mixtures.maximised(mixtures.assigned(points, centres, number), points, FLOOR, covariance)

        def step(mixture, _):
            after = mixtures.maximised(mixtures.responsibilities(mixture, points), points, FLOOR, covariance)
            return after, mixtures.log_likelihood(mixture, points)

        return jax.lax.scan(step, first, length=30)

    return climb


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from(["full", "diagonal"]))
def test_the_likelihood_never_falls(seed, number, covariance):
    points = jnp.asarray(np.random.default_rng(seed).uniform(size=(80, 2)) ** 2, jnp.float32)
    centres = mixtures.far_apart(jax.random.key(seed), points, 5)
    mixture, likelihoods = climbing(covariance)(points, centres, number)
    # The floor is added after the step, and sums of 80 logarithms are rounded: hence a little room.
    assert np.diff(np.asarray(likelihoods)).min() > -0.02
    assert np.asarray(likelihoods)[-1] >= np.asarray(likelihoods)[0]
    assert float(mixture.weights.sum()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(np.asarray(mixture.weights)[number:], 0)


def test_two_clusters_are_recovered():
    rng = np.random.default_rng(0)
    root = np.array([[0.05, 0.0], [0.03, 0.02]])
    first, second = rng.normal(size=(180, 2)) @ root.T + [0.2, 0.3], rng.normal(size=(60, 2)) * 0.01 + [0.8, 0.7]
    points = jnp.asarray(np.concatenate([first, second]), jnp.float32)
    mixture, number = fit(jax.random.key(1), points, 2, 2, iterations=30, floor=FLOOR)
    assert int(number) == 2
    order = np.argsort(-np.asarray(mixture.weights))
    np.testing.assert_allclose(mixture.weights[order], [0.75, 0.25], atol=1e-3)
    np.testing.assert_allclose(mixture.means[order], [first.mean(0), second.mean(0)], atol=1e-4)
    found = [mixture.factors[k] @ mixture.factors[k].T for k in order]
    np.testing.assert_allclose(found[0], np.cov(first.T, bias=True), atol=2e-5)
    np.testing.assert_allclose(found[1], np.cov(second.T, bias=True), atol=2e-5)


# -- where it starts ---------------------------------------------------------------------------------------------------


def test_centres_are_points_far_apart():
    points = clusters([(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)], each=20, spread=0.001)
    draw = jax.jit(mixtures.far_apart, static_argnums=2)
    for seed in range(20):
        centres = np.asarray(draw(jax.random.key(seed), points, 3))
        assert all((np.asarray(points) == centre).all(axis=1).any() for centre in centres)
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(3, 1)]
        assert apart.min() > 0.5  # one a cluster: within one the chance is a millionth of that


def test_centres_are_drawn_by_squared_distance():
    # From 0 the others are at squared distances 1 and 9; from 1 at 1 and 4; from 3 at 9 and 4.
    points = jnp.asarray([[0.0], [1.0], [3.0]])
    keys = jax.random.split(jax.random.key(0), 12_000)
    pairs = np.asarray(jax.jit(jax.vmap(lambda key: mixtures.far_apart(key, points, 2)))(keys))[..., 0]
    chances = {(0, 1): 1 / 10, (0, 3): 9 / 10, (1, 0): 1 / 5, (1, 3): 4 / 5, (3, 0): 9 / 13, (3, 1): 4 / 13}
    counts = [np.all(pairs == pair, axis=1).sum() for pair in chances]
    assert scipy.stats.chisquare(counts, np.array([*chances.values()]) * 4000).pvalue > 1e-3


def test_each_point_is_of_the_nearest_centre_that_is_used():
    points, centres = jnp.asarray([[0.0], [0.4], [1.0]]), jnp.asarray([[0.0], [1.0], [0.5]])
    np.testing.assert_array_equal(mixtures.assigned(points, centres, 2), [[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(mixtures.assigned(points, centres, 3), [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(mixtures.assigned(points, centres, 1), [[1, 1, 1], [0, 0, 0], [0, 0, 0]])


# -- how many ----------------------------------------------------------------------------------------------------------


def test_numbers_of_parameters_by_hand():
    # 3 components in 2 dimensions: 3 · 2 means, 3 · 3 or 3 · 2 numbers of the covariances, 2 weights
    assert mixtures.num_free_parameters(3, 2, "full") == 17
    assert mixtures.num_free_parameters(3, 2, "diagonal") == 14
    assert mixtures.num_free_parameters(1, 4, "full") == 14
    assert mixtures.num_free_parameters(20, 4, "full") == 20 * 14 + 19


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        # log L = −10, 5 parameters, 12 points
        ("aic", 10 + 20),
        ("bic", 5 * np.log(12) + 20),
        ("aicc", 30 + 2 * 5 * 6 / (12 - 5 - 1)),
    ],
)
def test_criteria_by_hand(criterion, expected):
    found = mixtures.information_criterion(criterion, jnp.float32(-10), jnp.int32(5), 12)
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize(("num_points", "is_finite"), [(7, True), (6, False), (5, False)])
def test_the_corrected_criterion_refuses_more_parameters_than_points(num_points, is_finite):
    """n − p − 1 is 1, 0 and −1 for p = 5: where it is negative the published term would be a reward."""
    found = mixtures.information_criterion("aicc", jnp.float32(-10), jnp.int32(5), num_points)
    assert bool(jnp.isfinite(found)) == is_finite


@pytest.mark.parametrize("criterion", ["aic", "bic", "aicc"])
def test_the_best_is_the_least_of_the_criterion_by_numpy(criterion):
    points = clusters([(0.2, 0.2), (0.8, 0.4), (0.4, 0.9)], each=30, spread=0.06)
    options = {"iterations": 25, "floor": FLOOR, "criterion": criterion}
    _, best = fit(jax.random.key(3), points, 1, 6, **options)
    costs = {}
    for number in range(1, 7):
        # The first centres of a larger choice are not those of a smaller one, so the centres are given.
        centres = mixtures.far_apart(jax.random.key(3), points, 6)
        mixture, _ = climbing("full")(points, centres, number)
        weights, means = np.asarray(mixture.weights, np.float64)[:number], np.asarray(mixture.means, np.float64)
        covariances = [np.asarray(f, np.float64) @ np.asarray(f, np.float64).T for f in mixture.factors]
        joint = joint_by_numpy(weights, means[:number], covariances[:number], np.asarray(points, np.float64))
        likelihood = scipy.special.logsumexp(joint, axis=0).sum()
        p = number * (2 + 3) + number - 1
        correction = {"aic": 2 * p, "bic": p * np.log(90), "aicc": 2 * p + 2 * p * (p + 1) / (90 - p - 1)}[criterion]
        costs[number] = correction - 2 * likelihood
    assert costs[int(best)] <= min(costs.values()) + 1.0  # 25 steps here, 30 there
    if criterion != "aic":
        assert int(best) == 3


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_as_many_components_as_clusters(number):
    centres = [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)][:number]
    points = clusters(centres, each=200 // number, spread=0.04, seed=number)
    found = [
        int(fit(jax.random.key(s), points, 1, 6, iterations=25, floor=FLOOR, criterion="bic")[1]) for s in range(5)
    ]
    assert np.median(found) == number
    # AIC pays 12 for a component of 6 numbers and finds one more now and then.
    loose = [int(fit(jax.random.key(s), points, 1, 6, iterations=25, floor=FLOOR)[1]) for s in range(5)]
    assert number <= np.median(loose) <= number + 2


# -- what may go wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((40, 3)),
        np.full((40, 3), 0.37),
        np.repeat(np.eye(3)[:2], 20, axis=0),
        np.linspace(0, 1, 40)[:, None] * np.ones((1, 3)),
        np.linspace(0, 1, 40)[:, None] * np.array([[1.0, 0.0, 1e-6]]),
        np.concatenate([np.random.default_rng(0).uniform(size=(40, 2)), np.zeros((40, 1))], axis=1),
    ],
    ids=["origin", "one-point", "two-points", "a-line", "a-flat-line", "no-progress"],
)
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_points_that_do_not_fill_the_box_give_finite_mixtures(points, covariance):
    mixture, number = fit(
        jax.random.key(0), jnp.asarray(points, jnp.float32), 2, 8, iterations=20, floor=1e-7, covariance=covariance
    )
    assert 2 <= int(number) <= 8
    for leaf in jax.tree.leaves(mixture):
        assert np.isfinite(leaf).all()
    assert float(mixture.weights.sum()) == pytest.approx(1, abs=1e-4)
    assert np.asarray(mixture.means).min() >= -1e-6
    assert np.asarray(mixture.means).max() <= 1 + 1e-6


def test_no_component_is_narrower_than_the_floor():
    points = jnp.asarray(np.repeat(np.random.default_rng(0).uniform(size=(5, 2)), 20, axis=0), jnp.float32)
    mixture, _ = fit(jax.random.key(0), points, 5, 5, iterations=10, floor=0.01)
    for factor in np.asarray(mixture.factors):
        assert np.linalg.eigvalsh(factor @ factor.T).min() > 0.0099


def test_compiled_or_not_and_side_by_side_it_is_the_same():
    batch = jnp.stack([clusters([(0.2, 0.2), (0.8, 0.8)], each=25, spread=0.05, seed=s) for s in range(3)])
    keys = jax.random.split(jax.random.key(0), 3)
    one = functools.partial(mixtures.fit, smallest=1, largest=3, iterations=5, floor=FLOOR)
    together, numbers = jax.jit(jax.vmap(lambda key, points: one(key, points)))(keys, batch)
    for i in range(3):
        with jax.disable_jit(i == 0):
            mixture, number = one(keys[i], batch[i])
        assert int(number) == int(numbers[i])
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-4), together, mixture)
