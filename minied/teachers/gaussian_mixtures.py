"""Which mixture of Gaussians describes some points best? Expectation maximisation for several numbers of components at once.

Everything has a fixed size: a mixture has room for ``K`` components, and one that does not exist has the weight 0. It then
takes no part in a density, gains no responsibility and stays as it is, so that fits with fewer components are the same
computation as the largest, side by side. The number of components is chosen by an information criterion (Akaike 1974).

Letters: ``n`` points, ``D`` dimensions, ``K`` components that there is room for, ``k`` of them that a fit uses. Points are
meant to lie in or near the unit box: the covariance floor is in its units.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

Covariance = Literal["full", "diagonal"]
"""Shape of a component."""
Criterion = Literal["aic", "bic", "aicc"]
"""What the number of components is chosen by, the least is best: Akaike's, Schwarz's, Akaike's corrected for few points."""

_LEAST_TOTAL = 1e-6  # of a point: a component that is responsible for less than this is none any more


class Mixture(struct.PyTreeNode):
    """``Σ_k weight_k N(mean_k, factor_k factor_kᵀ)``."""

    weights: jax.Array  # f32[K], they sum to 1; 0 for a component that does not exist
    means: jax.Array  # f32[K, D], 0 likewise
    factors: jax.Array  # f32[K, D, D], lower triangular: of Cholesky

    @classmethod
    def none(cls, num_components: int, num_dimensions: int) -> "Mixture":
        """Return a mixture without a component."""
        identity = jnp.broadcast_to(jnp.eye(num_dimensions), (num_components, num_dimensions, num_dimensions))
        return cls(jnp.zeros(num_components), jnp.zeros((num_components, num_dimensions)), identity)

    @property
    def exists(self) -> jax.Array:
        """Which components there are, ``bool[K]``."""
        return self.weights > 0


# -- densities ---------------------------------------------------------------------------------------------------------


def log_joint(mixture: Mixture, points: jax.Array) -> jax.Array:
    """Return ``log(weight_k N(x_i; k))``, ``f32[K, n]``, of ``points`` ``f32[n, D]``; −∞ where there is no component."""
    num_dimensions = points.shape[1]
    identity = jnp.broadcast_to(jnp.eye(num_dimensions), mixture.factors.shape)
    inverses = jax.scipy.linalg.solve_triangular(mixture.factors, identity, lower=True)
    differences = points.T[None] - mixture.means[:, :, None]  # [K, D, n]
    scaled = jnp.matmul(inverses, differences, precision="highest")
    log_determinants = jnp.sum(jnp.log(jnp.diagonal(mixture.factors, axis1=-2, axis2=-1)), axis=-1)
    constants = jnp.log(mixture.weights) - log_determinants - 0.5 * num_dimensions * jnp.log(2 * jnp.pi)
    return constants[:, None] - 0.5 * jnp.sum(jnp.square(scaled), axis=1)


def log_likelihood(mixture: Mixture, points: jax.Array) -> jax.Array:
    """Return ``Σ_i log p(x_i)``, ``f32[]``, of ``points`` ``f32[n, D]``."""
    return jnp.sum(jax.nn.logsumexp(log_joint(mixture, points), axis=0))


def draw(key: jax.Array, mixture: Mixture, component: jax.Array) -> jax.Array:
    """Return a point of ``component`` ``i32[]``, ``f32[D]``. Consumes ``key``."""
    normal = jax.random.normal(key, mixture.means.shape[1:])
    return mixture.means[component] + jnp.sum(mixture.factors[component] * normal[None, :], axis=1)


# -- expectation maximisation ------------------------------------------------------------------------------------------


def responsibilities(mixture: Mixture, points: jax.Array) -> jax.Array:
    """Return how probably each point is of each component, ``f32[K, n]``, of ``points`` ``f32[n, D]``."""
    return jax.nn.softmax(log_joint(mixture, points), axis=0)


def maximised(
    shares: jax.Array, points: jax.Array, floor: jax.Array | float, covariance: Covariance = "full"
) -> Mixture:
    """Return the mixture of greatest likelihood for these responsibilities.

    Args:
        shares: ``f32[K, n]``, see `responsibilities`.
        points: ``f32[n, D]``.
        floor: ``f32[]``, added to every variance: no component becomes narrower.
        covariance: whether a component may lie aslant.
    """
    num_points, num_dimensions = points.shape
    totals = jnp.sum(shares, axis=1)
    exists = totals > _LEAST_TOTAL
    shares = jnp.where(exists[:, None], shares / jnp.maximum(totals, _LEAST_TOTAL)[:, None], 0.0)
    means = jnp.matmul(shares, points, precision="highest")
    differences = points.T[None] - means[:, :, None]  # [K, D, n]; of the mean first, so that nothing cancels
    weighted = shares[:, None] * differences
    if covariance == "full":
        covariances = jnp.matmul(weighted, jnp.swapaxes(differences, -1, -2), precision="highest")
        factors = jnp.linalg.cholesky(covariances + floor * jnp.eye(num_dimensions)[None])
    else:
        deviations = jnp.sqrt(jnp.sum(weighted * differences, axis=-1) + floor)
        factors = deviations[:, :, None] * jnp.eye(num_dimensions)[None]
    return Mixture(jnp.where(exists, totals / num_points, 0.0), means, factors)


def far_apart(key: jax.Array, points: jax.Array, number: int) -> jax.Array:
    """Return ``number`` of the points, ``f32[number, D]``, each drawn by its squared distance to those before it.

    That is k-means++ (Arthur and Vassilvitskii 2007). The first k of them are such a choice of k. Consumes ``key``.
    """
    keys = jax.random.split(key, number)
    first = points[jax.random.randint(keys[0], (), 0, points.shape[0])]

    def choose_next(squared: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        chosen = points[jax.random.categorical(key, jnp.log(squared))]  # where all are 0, the first
        return jnp.minimum(squared, _squared_distances(points, chosen)), chosen

    _, others = jax.lax.scan(choose_next, _squared_distances(points, first), keys[1:])
    return jnp.concatenate([first[None], others])


def assigned(points: jax.Array, centres: jax.Array, number: jax.Array) -> jax.Array:
    """Return responsibilities ``f32[K, n]`` of 0 and 1: each point is of the nearest of the first ``number`` centres.

    ``points`` is ``f32[n, D]``, ``centres`` ``f32[K, D]``, ``number`` ``i32[]``, at least 1.
    """
    squared = jax.vmap(_squared_distances, (None, 0))(points, centres)
    is_used = jnp.arange(centres.shape[0], dtype=jnp.int32) < number
    nearest = jnp.argmin(jnp.where(is_used[:, None], squared, jnp.inf), axis=0)
    return jax.nn.one_hot(nearest, centres.shape[0], axis=0)


def _squared_distances(points: jax.Array, centre: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(points - centre[None, :]), axis=1)


# -- how many components -----------------------------------------------------------------------------------------------


def num_free_parameters(num_components: jax.Array, num_dimensions: int, covariance: Covariance) -> jax.Array:
    """Return how many numbers say a mixture: means, covariances, and weights that sum to 1. As ``num_components``."""
    of_covariance = num_dimensions * (num_dimensions + 1) // 2 if covariance == "full" else num_dimensions
    return num_components * (num_dimensions + of_covariance) + num_components - 1


def information_criterion(
    criterion: Criterion, log_likelihood: jax.Array, num_parameters: jax.Array, num_points: int
) -> jax.Array:
    """Return ``2 p − 2 log L`` (aic), ``p log n − 2 log L`` (bic) or ``aic + 2 p (p + 1) / (n − p − 1)`` (aicc), ``f32[]``.

    The last is ∞ where there are too few points for it, n ≤ p + 1.
    """
    number = num_parameters.astype(jnp.float32)
    if criterion == "bic":
        return number * jnp.log(float(num_points)) - 2.0 * log_likelihood
    akaike = 2.0 * number - 2.0 * log_likelihood
    if criterion == "aic":
        return akaike
    left = num_points - number - 1.0
    return jnp.where(left > 0, akaike + 2.0 * number * (number + 1.0) / jnp.maximum(left, 1.0), jnp.inf)


def fit(
    key: jax.Array,
    points: jax.Array,
    smallest: int,
    largest: int,
    *,
    iterations: int,
    floor: jax.Array | float,
    covariance: Covariance = "full",
    criterion: Criterion = "aic",
) -> tuple[Mixture, jax.Array]:
    """Fit mixtures of ``smallest`` to ``largest`` components and return the best and its number, ``i32[]``.

    Args:
        key: consumed.
        points: ``f32[n, D]``.
        smallest: number of components of the smallest mixture, at least 1.
        largest: of the largest, K.
        iterations: steps of expectation maximisation, always as many.
        floor: ``f32[]``, added to every variance.
        covariance: whether a component may lie aslant.
        criterion: what is least for the best.
    """
    centres = far_apart(key, points, largest)
    numbers = jnp.arange(smallest, largest + 1, dtype=jnp.int32)

    def climb(number: jax.Array) -> tuple[Mixture, jax.Array]:
        first = maximised(assigned(points, centres, number), points, floor, covariance)

        def step(_: jax.Array, mixture: Mixture) -> Mixture:
            return maximised(responsibilities(mixture, points), points, floor, covariance)

        mixture = jax.lax.fori_loop(0, iterations, step, first)
        num_parameters = num_free_parameters(number, points.shape[1], covariance)
        likelihood = log_likelihood(mixture, points)
        return mixture, information_criterion(criterion, likelihood, num_parameters, points.shape[0])

    mixtures, costs = jax.vmap(climb)(numbers)
    best = jnp.argmin(costs)
    return jax.tree.map(lambda leaf: leaf[best], mixtures), numbers[best]
