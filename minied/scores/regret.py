"""Regret as the students of one population show it: how much better one does on a level than another.

Students are numbered; the first is the protagonist, the others are antagonists. All returns are undiscounted, of finished
episodes, with several agents of the mean over agents; a level on which some student finished no episode has no score.
Source: Dennis et al. 2020, "Emergent Complexity and Zero-shot Transfer via Unsupervised Environment Design" (PAIRED),
and the forms that its descendants use. Letter: ``P`` students.
"""

import jax
import jax.numpy as jnp

from minied.scores.base import Signals, score


@score(needs=("population",))
def relative_regret(signals: Signals) -> jax.Array:
    """How much better the antagonist's best episode is than the protagonist's mean.

    ``max(0, max_e R_e(antagonist) − mean_e R_e(protagonist))``, ``f32[]``, at least 0; with several antagonists the best of
    them.

    Source: Dennis et al. 2020, algorithm 1; DCD and minimax cut it off at 0, as here.
    High: the level can be done better than the protagonist does it, and somebody of its kind knows how.
    Bias: below exact regret where the antagonist is no optimum, above it where luck makes a best episode.
    """
    students = signals.population
    return jnp.maximum(students.max_return[1:].max() - students.mean_return[0], 0.0)


@score(needs=("population",))
def mean_relative_regret(signals: Signals) -> jax.Array:
    """How much better the antagonist does than the protagonist, on average.

    ``max(0, mean_e R_e(antagonist) − mean_e R_e(protagonist))``, ``f32[]``, at least 0; with several antagonists the best of
    them.

    Source: Dennis et al. 2020, in the form with means (minimax: mean relative regret).
    High: as `relative_regret`.
    Bias: with one antagonist never above exact regret on average but for the cut at 0; smaller than `relative_regret`.
    """
    students = signals.population
    return jnp.maximum(students.mean_return[1:].max() - students.mean_return[0], 0.0)


@score(needs=("population",))
def flexible_regret(signals: Signals) -> jax.Array:
    """How much better the student who does better on this level is than the one who does worse.

    ``max_e R_e(better) − mean_e R_e(worse)``, ``f32[]``, at least 0: whoever has the best episode takes the antagonist's
    part, level by level, and of the others the one who does worst on average the protagonist's. Where all have an episode as
    good, anybody may be the worse one.

    Source: flexible PAIRED, an ablation of Dennis et al. 2020; roles by the best episode as in DCD,
    where of students whose best episodes are alike the first one is the better one.
    High: two students differ in what they can do.
    Bias: rewards levels on which the protagonist is ahead, as much as those on which it falls behind.
    """
    students = signals.population
    best = students.max_return.max()
    is_worse = students.max_return < best
    worst = jnp.min(jnp.where(is_worse | ~jnp.any(is_worse), students.mean_return, jnp.inf))
    return jnp.maximum(best - worst, 0.0)


@score(needs=("population",))
def population_regret(signals: Signals) -> jax.Array:
    """How much better the best of a population does than the population on average.

    ``max_i mean_e R_e(i) − mean_i mean_e R_e(i)``, ``f32[]``, at least 0.

    Source: the population form of Dennis et al. 2020 (appendix), in which nobody has a fixed part. minimax takes the best
    single episode in place of the best mean.
    High: somebody of the population can do what most cannot.
    Bias: at most (P − 1)/P of the distance between best and worst; 0 for students who are all alike, good or bad.
    """
    means = signals.population.mean_return
    return jnp.maximum(means.max() - means.mean(), 0.0)
