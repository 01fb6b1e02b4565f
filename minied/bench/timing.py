"""What is faster, by how much, and how sure is that? Cases timed in turn, medians, and ratios of the same round.

A machine that slows down slows whatever runs just then. So cases are timed in turn, A B C, then C B A, and compared within
a round: the ratio of two timings taken side by side varies less than either. Medians throughout, never a best of; the spread
is the median absolute deviation, the interval of a ratio that of a bootstrap over rounds.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minied.errors import UserError
from minied.evaluate.statistics import stratified_bootstrap

LEAST_ROUNDS_OF_AN_INTERVAL = 3
"""With fewer rounds an interval is not told: two values know nothing of how they spread."""


class Timing(NamedTuple):
    """One timing."""

    seconds: float
    counts: Mapping[str, int]  # what was done in it, by name

    def rate(self, name: str) -> float:
        """Return how many of ``name`` were done a second."""
        return self.counts.get(name, 0) / self.seconds


class Estimate(NamedTuple):
    """What many values come to."""

    median: float
    deviation: float  # median absolute deviation from the median
    least: float
    most: float
    number: int
    interval: tuple[float, float] | None = None  # 95 %, of the median; None where it was not asked for or is unknown

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = self._asdict()
        interval = told.pop("interval")
        return told | ({} if interval is None else {"interval": list(interval)})


def in_turn(cases: Mapping[str, Callable[[], Timing]], rounds: int) -> dict[str, list[Timing]]:
    """Return ``rounds`` timings of each case, taken in turn: in their order, then the other way round, and so on.

    Raises `UserError` for fewer rounds than one.
    """
    if rounds < 1:
        raise UserError(f"rounds is {rounds}; allowed: at least 1")
    timings: dict[str, list[Timing]] = {name: [] for name in cases}
    for number in range(rounds):
        for name in list(cases) if number % 2 == 0 else reversed(list(cases)):
            timings[name].append(cases[name]())
    return timings


def timed_calls(function: Callable[[], Any], least_seconds: float) -> Callable[[], Timing]:
    """Return what times a function of this process, which returns arrays: the count "calls" of as many as take so long.

    Each call is waited for: on CPU jax may otherwise run several at a time. The first call, here, compiles; the second says
    how many there shall be.
    """
    import jax

    def run(calls: int) -> Timing:
        began = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(function())
        return Timing(time.perf_counter() - began, {"calls": calls})

    run(1)
    calls = max(1, math.ceil(least_seconds / run(1).seconds))
    return lambda: run(calls)


def estimate(values: Sequence[float], *, with_interval: bool = False) -> Estimate:
    """Return median and spread of finite numbers, with the interval of the median by a percentile bootstrap if asked for.

    The interval is None for fewer than `LEAST_ROUNDS_OF_AN_INTERVAL` values; with fewer than about ten it is too narrow, as
    all such intervals are. The bootstrap's draws are the same at every call.
    """
    array = np.asarray(values, np.float64)
    middle = float(np.median(array))
    deviation = float(np.median(np.abs(array - middle)))
    interval = None
    if with_interval and array.size >= LEAST_ROUNDS_OF_AN_INTERVAL:
        # The values are the runs of a single task; `statistics.median` would be of the means over runs.
        ends = stratified_bootstrap(_median, array[:, None], generator=np.random.default_rng(0))
        interval = (float(ends.low), float(ends.high))
    return Estimate(middle, deviation, float(array.min()), float(array.max()), array.size, interval)


def rates(timings: Sequence[Timing], name: str) -> Estimate:
    """Return how many of ``name`` were done a second, over timings."""
    return estimate([timing.rate(name) for timing in timings])


def pooled_rate(timings: Sequence[Timing], name: str) -> float:
    """Return how many of ``name`` were done a second in all timings together.

    For counts that chance decides, as of steps learnt from where batches are replayed by chance, it is nearer to the rate of
    a long run than the median over timings is.
    """
    return sum(timing.counts.get(name, 0) for timing in timings) / sum(timing.seconds for timing in timings)


def ratio(ours: Sequence[Timing], theirs: Sequence[Timing], name: str) -> Estimate | None:
    """Return how many times as many of ``name`` a second ``ours`` did as ``theirs``, over rounds, with its interval.

    Args:
        ours: one timing a round.
        theirs: of the same rounds.
        name: of what is counted.

    Returns:
        None if a round of either did none of it: a ratio then says nothing.
    """
    values = [
        (mine.rate(name) / other.rate(name)) if other.rate(name) > 0 else math.nan
        for mine, other in zip(ours, theirs, strict=True)
    ]
    return estimate(values, with_interval=True) if all(value > 0 for value in values) else None


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers: what ratios over several cases come to."""
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


def _median(scores: np.ndarray) -> np.ndarray:
    return np.median(scores, axis=(-2, -1))
