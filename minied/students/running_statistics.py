"""Mean and variance of all that was ever seen, without keeping it.

Two sets' moments are merged exactly (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
sample variances"): with ``δ = m_b − m_a`` and ``n = n_a + n_b``,

    m = m_a + δ n_b / n,     n v = n_a v_a + n_b v_b + δ² n_a n_b / n.

Letters: ``[...]`` axes over samples, ``[shape]`` those of one sample.
"""

import jax
import jax.numpy as jnp
from flax import struct

from minied.spread import Spread

LEAST_VARIANCE = 1e-8
"""Below it numbers are taken for constant: a deviation of 1e-4 is as low as one gets."""


class Moments(struct.PyTreeNode):
    """Of a number of samples. The number is a float: from 16.7 million on it is rounded, and weights by as little."""

    number: jax.Array  # f32[]
    mean: jax.Array  # f32[shape]
    variance: jax.Array  # f32[shape], mean squared distance from the mean

    @classmethod
    def of_nothing(cls, shape: tuple[int, ...] = ()) -> "Moments":
        """Return the moments of no sample: both 0."""
        return cls(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))

    @classmethod
    def of(cls, samples: jax.Array, counts: jax.Array, spread: Spread) -> "Moments":
        """Return the moments of samples.

        Args:
            samples: ``f32[..., shape]``, on several devices those of this one; those that do not count may be anything.
            counts: ``bool[...]``, which of them count.
            spread: over devices, all of whose samples are meant.
        """
        axes = tuple(range(counts.ndim))
        counted = counts.reshape(*counts.shape, *(1,) * (samples.ndim - counts.ndim))
        number = _total(jnp.sum(counts, dtype=jnp.int32).astype(jnp.float32), spread)

        def mean(values: jax.Array) -> jax.Array:
            return _total(jnp.sum(jnp.where(counted, values, 0.0), axis=axes), spread) / jnp.maximum(number, 1.0)

        centre = mean(samples)
        distance = samples - centre.reshape((1,) * counts.ndim + centre.shape)
        return cls(number, centre, mean(jnp.square(distance)))

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of samples together."""
        number = self.number + other.number
        share = other.number / jnp.maximum(number, 1.0)  # of the other
        apart = other.mean - self.mean
        between = jnp.square(apart) * share * (1.0 - share)
        return Moments(
            number,
            self.mean + apart * share,
            self.variance * (1.0 - share) + other.variance * share + between,
        )

    @property
    def deviation(self) -> jax.Array:
        """Return the standard deviation, ``f32[shape]``, at least the root of `LEAST_VARIANCE`."""
        return jnp.sqrt(jnp.maximum(self.variance, LEAST_VARIANCE))


def _total(of_device: jax.Array, spread: Spread) -> jax.Array:
    """Return the sum over devices."""
    return spread.mean(of_device) * spread.shares(spread.number)
