"""What is learning progress, and how is attention given to it? Pure functions of success probabilities, no teacher.

Kanitscheider et al. 2021 ("Multi-task curriculum learning in a complex, visual, hard-exploration domain: Minecraft",
arXiv 2106.14876), section 2.2: a task is worth practising while its success probability changes. The probability is
smoothed twice, fast and slow; the distance between the two, after a reweighting that magnifies small probabilities,
is the learning progress of a task; and attention goes to the tasks whose progress stands out. Letter: ``K`` tasks.
"""

import jax
import jax.numpy as jnp
from flax import struct

_SMALLEST = 1e-30  # a standard deviation below which all tasks progress alike


class Averages(struct.PyTreeNode):
    """Success probabilities of tasks, smoothed. Before the first measurement all are 0."""

    fast: jax.Array  # f32[K], p_fast
    slow: jax.Array  # f32[K], p_slow, which follows p_fast
    first: jax.Array  # f32[K], the first measurement
    measured: jax.Array  # bool[K], whether there was one

    @classmethod
    def start(cls, number: int) -> "Averages":
        """Return averages of ``number`` tasks of which nothing is known."""
        zeros = jnp.zeros(number)
        return cls(zeros, zeros, zeros, jnp.zeros(number, bool))


def smoothed(
    averages: Averages,
    success: jax.Array,
    is_new: jax.Array,
    fast_rate: jax.Array | float,
    slow_rate: jax.Array | float,
) -> Averages:
    """Return the averages with measurements taken in.

    ``p_fast ← p_fast + α (p − p_fast)``, then ``p_slow ← p_slow + α' (p_fast − p_slow)``: cascaded, the slow one smooths the
    fast one and not p. The first measurement of a task sets both, so that its progress is 0.

    Args:
        averages: so far.
        success: p, ``f32[K]`` in [0, 1], share of attempts that succeeded; any where there is no measurement.
        is_new: ``bool[K]``, which tasks were measured.
        fast_rate: α.
        slow_rate: α'.
    """
    is_first = is_new & ~averages.measured
    fast = jnp.where(is_first, success, averages.fast + fast_rate * (success - averages.fast))
    slow = jnp.where(is_first, success, averages.slow + slow_rate * (fast - averages.slow))
    return Averages(
        fast=jnp.where(is_new, fast, averages.fast),
        slow=jnp.where(is_new, slow, averages.slow),
        first=jnp.where(is_first, success, averages.first),
        measured=averages.measured | is_new,
    )


def reweighted(success: jax.Array, magnified: jax.Array | float) -> jax.Array:
    """Return ``f(p) = (1 − θ) p / (p + θ (1 − 2 p))``, ``f32[...]``, of p in [0, 1]; θ ``magnified`` in (0, 1).

    ``f(0) = 0``, ``f(θ) = ½``, ``f(1) = 1``, and ``logit f(p) = logit p − logit θ``: progress from small probabilities is
    magnified, by up to ``(1 − θ) / θ``, and where the fast average lags the slow one less so.
    """
    return (1.0 - magnified) * success / (success + magnified * (1.0 - 2.0 * success))


def progress(fast: jax.Array, slow: jax.Array, bidirectional: bool) -> jax.Array:
    """Return learning progress, ``f32[K]``, of reweighted averages: ``|fast − slow|``, or what of it is a gain.

    Bidirectional progress also returns to tasks that are being forgotten.
    """
    change = fast - slow
    return jnp.abs(change) if bidirectional else jnp.maximum(change, 0.0)


def attention(progress: jax.Array, counts: jax.Array, centre: jax.Array | float, slope: jax.Array | float) -> jax.Array:
    """Return a distribution over tasks, ``f32[K]``: ``w_k = σ(s (z_k − z_0))``, normalised.

    ``z`` is progress in standard deviations from its mean. With ``z_0 = 1.28``, the 90 % quantile of a normal distribution,
    attention goes to about a tenth of the tasks, and because the sigmoid saturates no single one takes it all. It does not
    change when all progress is shifted or scaled. Where no task stands out (no deviation): uniform.

    Args:
        progress: ``f32[K]``.
        counts: ``bool[K]``, tasks that take part; the others have probability 0. Where none does: uniform over all.
        centre: z_0.
        slope: s.
    """
    counts = counts | ~jnp.any(counts)
    number = jnp.sum(counts, dtype=jnp.int32).astype(jnp.float32)
    # In units of the largest, so that squares of tiny progress do not vanish.
    largest = jnp.max(jnp.where(counts, jnp.abs(progress), 0.0))
    scaled = progress / jnp.where(largest > 0, largest, 1.0)
    centred = jnp.where(counts, scaled - jnp.sum(jnp.where(counts, scaled, 0.0)) / number, 0.0)
    deviation = jnp.sqrt(jnp.sum(jnp.square(centred)) / number)
    stands_out = deviation > 1e-6
    z = centred / jnp.where(stands_out, deviation, 1.0)
    # The logarithm of the weights: far below the centre a sigmoid is 0 in float32, and all may be.
    logits = jnp.where(stands_out, jax.nn.log_sigmoid(slope * (z - centre)), 0.0)
    return jax.nn.softmax(jnp.where(counts, logits, -jnp.inf))


def without_chance(success: jax.Array, chance: jax.Array, most: float = 0.75) -> jax.Array:
    """Return ``max(p − b, 0) / (1 − b)``, ``f32[K]``, with b the lesser of ``chance`` and ``most``.

    What a policy does beyond one that acts at random (OMNI, Zhang et al. 2023, arXiv 2306.01711).
    """
    baseline = jnp.minimum(chance, most)
    return jnp.maximum(success - baseline, 0.0) / (1.0 - baseline)


def slopes(times: jax.Array, successes: jax.Array, known: jax.Array) -> jax.Array:
    """Return the least-squares slope of each task's successes over time, ``f32[K]``; 0 with fewer than two known.

    Args:
        times: ``f32[K, n]``.
        successes: ``f32[K, n]``.
        known: ``bool[K, n]``, which of them there are.
    """
    weight = known.astype(jnp.float32)
    number = jnp.maximum(jnp.sum(weight, axis=1, keepdims=True), 1.0)
    time = times - jnp.sum(times * weight, axis=1, keepdims=True) / number
    success = successes - jnp.sum(successes * weight, axis=1, keepdims=True) / number
    spread = jnp.sum(weight * jnp.square(time), axis=1)
    return jnp.where(spread > 0, jnp.sum(weight * time * success, axis=1) / jnp.maximum(spread, _SMALLEST), 0.0)
