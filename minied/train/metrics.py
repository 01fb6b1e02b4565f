"""What is logged of an iteration: means over levels by their source, of each student, and how scores agree with regret.

Every metric is ``f32[]``, NaN where it is not defined. Letters: ``R`` levels, ``P`` students.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from minied import registry
from minied.episodes import EpisodeSummary, mean_of_defined
from minied.scores.base import score_levels
from minied.scores.correlation import rank_correlation
from minied.teachers.base import SOURCES, Outcome

Metrics = dict[str, jax.Array]


def metrics_by_student(metrics: Metrics, sources: jax.Array, episodes: EpisodeSummary) -> Metrics:
    """Return the learner's metrics ``[P]`` by student, and what the others than the first earned, by source of the levels.

    Args:
        metrics: of the learner.
        sources: ``i32[P, R]``, of the levels that each student played.
        episodes: ``[P, R]``.
    """
    named = {f"student/{name}": value[0] for name, value in metrics.items()}
    for number in range(1, episodes.num_finished.shape[0]):
        named |= {f"student_{number}/{name}": value[number] for name, value in metrics.items()}
        earned = {"return": episodes.mean_return[number], "solve_rate": episodes.solve_rate[number]}
        by_source = _means_by_source(sources[number], earned)
        named |= {f"student_{number}/{name}": value for name, value in by_source.items()}
    return named


def level_metrics(sources: jax.Array, episodes: EpisodeSummary, features: Metrics) -> Metrics:
    """Return means over the levels of each source, under its name, NaN where the batch has none of it.

    Args:
        sources: ``i32[R]``, of each level.
        episodes: ``[R]``.
        features: named ``f32[R]``.
    """
    per_level = {
        "solve_rate": episodes.solve_rate,
        "return": episodes.mean_return,
        "episode_length": episodes.mean_length,
        "finished_levels": episodes.valid.astype(jnp.float32),
    }
    per_level |= {f"episode/{name}": value for name, value in episodes.statistics.items()}
    per_level |= {f"levels/{name}": value for name, value in features.items()}
    return _means_by_source(sources, per_level)


def _means_by_source(sources: jax.Array, per_level: Metrics) -> Metrics:
    """Return the mean of each of ``per_level`` ``f32[R]`` over the levels of each source, ``source/name``."""
    return {
        f"{source}/{name}": mean_of_defined(jnp.where(sources == number, value, jnp.nan))
        for number, source in enumerate(SOURCES)
        for name, value in per_level.items()
    }


def score_correlations(names: Sequence[str], sources: jax.Array, outcome: Outcome, again: EpisodeSummary) -> Metrics:
    """Return Spearman's correlation of scores that were asked for with exact regret, over the levels of each source.

    The regret is that of another play of the same levels, ``again``: of the play that was scored it would share the luck.
    """
    regret = outcome.signals.optimal_return - again.mean_return
    metrics = {}
    for name in names:
        scores, valid, _ = score_levels(registry.load("score", name), outcome.signals)
        for number, source in enumerate(SOURCES):
            of_source = valid & again.valid & (sources == number)
            metrics[f"{source}/correlation_with_regret/{name}"] = rank_correlation(scores, regret, of_source)
    return metrics
