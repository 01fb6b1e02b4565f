"""Learnability: levels on which the student sometimes succeeds and sometimes fails.

All three estimate a spread from the few episodes that finish in one rollout. A plug-in variance of ``n`` episodes is
``(n − 1)/n`` of the true one in the mean, and 0 for a single episode: play levels for several episodes before they are
ranked by these.
"""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score

SMALLEST_STD = 1e-3
"""Units of return; the least standard deviation of the levels' returns that `generalized_learnability` reckons with."""


@score(needs=("episodes",))
def learnability(signals: Signals) -> jax.Array:
    """How near the student's success rate on the level is to one half.

    ``p (1 − p)``, ``f32[]``, in [0, 1/4]; ``p`` is the solved share of the finished episodes.

    Source: Rutherford et al. 2024, "No Regrets: Investigating and Improving Regret Approximations for Curriculum
    Discovery" (sampling for learnability).
    High: the student solves the level about every other time.
    Bias: (n − 1)/n of the true value in the mean over n episodes, 0 for a single one; a level that is solved by chance alone
    scores as one that can be learned.
    """
    rate = signals.episodes.solve_rate
    return rate * (1.0 - rate)


@score(needs=("episodes",))
def return_variance(signals: Signals) -> jax.Array:
    """How much the student's return on the level varies from episode to episode.

    ``Var(R)`` over the finished episodes, divided by their number, ``f32[]``, at least 0; with several agents of the mean
    return over agents. Equal to `learnability` if the return is 1 for a solved episode and 0 for another.

    Source: the variance of which learnability is the binary case (Rutherford et al. 2024); used as such for levels and
    partners in arXiv 2508.06336.
    High: the outcome is not settled.
    Bias: (n − 1)/n of the true value in the mean over n episodes, 0 for a single one; grows with the square of the
    rewards' scale, and randomness of the world counts as much as the student's.
    """
    return signals.episodes.return_variance


@score(needs=("episodes", "mean_return_of_levels", "std_return_of_levels"))
def generalized_learnability(signals: Signals) -> jax.Array:
    """How much the return varies on the level, weighed by how ordinary its mean return is among levels.

    ``σ_θ · Normal(μ_θ | μ, σ²)``, ``f32[]``, at least 0: ``μ_θ`` and ``σ_θ`` are the mean and the standard deviation of the
    returns on this level, ``μ`` and ``σ`` those of the levels' mean returns over the batch.

    Source: Monette et al. 2025, "An Optimisation Framework for Unsupervised Environment Design", arXiv 2505.20659, for
    returns that are not binary.
    High: the outcome is not settled, on a level that is neither among the easiest nor the hardest.
    Bias: σ_θ is too small for few episodes and 0 for a single one; the density compares levels of one batch only, so that
    scores of different batches differ in scale by 1/σ.
    Deviations: σ is at least `SMALLEST_STD`, so that levels of one and the same mean return are ranked by σ_θ and nothing
    is divided by 0. The authors' code divides by the square root of the number of episodes too, and hands the variance to a
    density that takes a standard deviation; here the equation is followed.
    """
    std = jnp.maximum(signals.std_return_of_levels, SMALLEST_STD)
    standardised = (signals.episodes.mean_return - signals.mean_return_of_levels) / std
    density = jnp.exp(-0.5 * jnp.square(standardised)) / (std * jnp.sqrt(2.0 * jnp.pi))
    return jnp.sqrt(signals.episodes.return_variance) * density
