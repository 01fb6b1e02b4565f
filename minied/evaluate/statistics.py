"""What can be said of an algorithm from few runs? Robust aggregates with intervals, as Agarwal et al. 2021 propose.

The definitions are those of the library `rliable` that came with the paper (Deep RL at the Edge of the Statistical
Precipice, arXiv 2108.13264). Scores are matrices ``[..., runs, tasks]`` of finite numbers; here a run is one trained
member and a task one entry of a suite. Every statistic works on the last two axes, so that all the resampled matrices of
a bootstrap are handled in one call. NumPy, float64.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minied.errors import UserError

REPETITIONS = 2000
CONFIDENCE = 0.95
_CHUNK = 100  # resampled matrices held in memory at once


class Interval(NamedTuple):
    """A confidence interval; NaN at both ends where it is unknown."""

    low: np.ndarray  # f64[...]
    high: np.ndarray  # f64[...]


def mean(scores: np.ndarray) -> np.ndarray:
    """Return the mean over runs and tasks, ``f64[...]`` for scores ``[..., runs, tasks]``."""
    return np.mean(_checked(scores), axis=(-2, -1))


def median(scores: np.ndarray) -> np.ndarray:
    """Return the median over tasks of the mean over runs, ``f64[...]`` for scores ``[..., runs, tasks]``."""
    return np.median(np.mean(_checked(scores), axis=-2), axis=-1)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Return the mean of the middle half of all runs × tasks, ``f64[...]`` for scores ``[..., runs, tasks]``.

    Of ``n`` sorted scores the ``⌊n / 4⌋`` lowest and as many of the highest are left out: a trimmed mean of 25 %, which
    keeps a little more than half if ``n`` is no multiple of four (and all of them if ``n < 4``).
    """
    scores = _checked(scores)
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.mean(flat[..., cut : flat.shape[-1] - cut], axis=-1)


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> np.ndarray:
    """Return by how much scores fall short of ``target``, ``f64[...]``; what is above it makes up for nothing."""
    return target - np.mean(np.minimum(_checked(scores), target), axis=(-2, -1))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the chance that a run of ``x`` beats one of ``y`` on a task, ties counting a half: ``f64[...]``.

    It is the mean over tasks of ``U / (runs_x · runs_y)``, the Mann-Whitney statistic over the number of pairs. How much
    better a run is does not count.

    Args:
        x: scores ``[..., runs_x, tasks]``.
        y: scores ``[..., runs_y, tasks]`` of the same tasks.
    """
    x, y = _checked(x), _checked(y)
    _require_same_tasks(x, y)
    ours, theirs = x[..., :, None, :], y[..., None, :, :]
    return np.mean(np.where(ours == theirs, 0.5, ours > theirs), axis=(-3, -2, -1))


def difference_of_interquartile_means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the interquartile mean of ``x`` less that of ``y``, ``f64[...]``; arguments as above."""
    _require_same_tasks(x, y)
    return interquartile_mean(x) - interquartile_mean(y)


def stratified_bootstrap(
    statistic: Callable[..., np.ndarray],
    *scores: np.ndarray,
    generator: np.random.Generator,
    repetitions: int = REPETITIONS,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the percentile interval of ``statistic(*scores)`` by the stratified bootstrap.

    Each repetition draws, for each task by itself, as many runs as there are, with replacement; several samples are
    resampled one by one. The tasks stay what they are: the interval is about other runs on these tasks. As in rliable,
    the draws of two tasks are independent, although one trained member plays both; where good members are good at
    everything, the interval is too narrow. It also is with fewer than about ten runs, as all percentile intervals are.

    Args:
        statistic: of matrices ``[..., runs, tasks]``, on their last two axes.
        scores: one matrix ``[runs, tasks]`` or several.
        generator: advanced by the draws.
        repetitions: resampled data sets.
        confidence: the share of such intervals that should hold the true value.

    Returns:
        The interval, with the shape of what ``statistic`` returns. NaN if any sample has a single run: nothing is known
        of how runs differ.
    """
    matrices = [_checked(each) for each in scores]
    if any(each.ndim != 2 for each in matrices):
        raise UserError(f"scores are {[each.shape for each in matrices]}; allowed: matrices [runs, tasks]")
    if repetitions < 1 or not 0 < confidence < 1:
        raise UserError(f"{repetitions} repetitions, confidence {confidence}; allowed: at least 1, and between 0 and 1")
    if any(each.shape[0] < 2 for each in matrices):
        unknown = np.full(np.shape(statistic(*matrices)), np.nan)
        return Interval(unknown, unknown)
    drawn = []
    for start in range(0, repetitions, _CHUNK):
        count = min(_CHUNK, repetitions - start)
        drawn.append(statistic(*(_resample(each, count, generator) for each in matrices)))
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(drawn), [outside, 1.0 - outside], axis=0)
    return Interval(low, high)


def _resample(scores: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return ``count`` matrices like ``scores``, each column drawn from its own with replacement."""
    runs, tasks = scores.shape
    chosen = generator.integers(runs, size=(count, runs, tasks))
    return scores[chosen, np.arange(tasks)]


def _checked(scores: np.ndarray) -> np.ndarray:
    """Return ``scores`` as ``f64[..., runs, tasks]``. Raises `UserError` if they are no such thing."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim < 2 or 0 in scores.shape:
        raise UserError(f"scores have the shape {scores.shape}; allowed: [..., runs, tasks] with at least one of each")
    if not np.all(np.isfinite(scores)):
        raise UserError("scores hold NaN or infinity; allowed: finite numbers")
    return scores


def _require_same_tasks(x: np.ndarray, y: np.ndarray) -> None:
    if np.shape(x)[-1] != np.shape(y)[-1]:
        raise UserError(f"the samples have {np.shape(x)[-1]} and {np.shape(y)[-1]} tasks; allowed: the same tasks")
