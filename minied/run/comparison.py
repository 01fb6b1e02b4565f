"""Which method is better at the same price? Runs compared by their saved evaluations, at equal environment steps.

A *method* is a config without its seeds: runs that differ in nothing else are pooled, and their members are the runs of
the statistics (`minied.evaluate.statistics`). The tasks are the entries of the suite. The price is ``env_steps`` of one
member: every simulated step of training, those that only score levels included.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minied.config import presets
from minied.errors import UserError
from minied.evaluate import statistics
from minied.run.evaluated_runs import EvaluatedRun, pools_of, read, refuse_other_measures
from minied.run.evaluation import scores_of
from minied.run.folder import RunFolder
from minied.run.labels import labels_of
from minied.run.metrics import Row
from minied.run.milestones import MilestoneOfGroups, compare_milestones


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, None if there are too few runs to have one."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class CurvePoint:
    """The interquartile mean of a method at one of its evaluations."""

    env_steps: int
    iqm: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Method:
    """One line of a comparison. Solve rates; the last two are against the first line, which has None there."""

    label: str
    runs: tuple[str, ...]
    members: int
    env_steps: tuple[int, int]  # least and most that any of the runs really had when it was evaluated
    student_updates: tuple[int, int]
    mean: float
    median: float
    iqm: Estimate
    optimality_gap: Estimate
    improvement: Estimate | None  # probability of improvement over the first line
    difference: Estimate | None  # of interquartile means, this one less the first
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Comparison:
    """Methods at equal environment steps."""

    suite: str
    attempts: int
    entries: tuple[str, ...]
    at: int
    confidence: float
    repetitions: int
    methods: tuple[Method, ...]
    milestones: tuple[MilestoneOfGroups, ...]
    """Of the world, in all that each run has, not only until ``at``: a run that is shorter is censored earlier."""
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return asdict(self)


def compare(paths: Sequence[Path], at: int | None = None, *, other_levels: bool = False) -> Comparison:
    """Compare the runs in these folders, finished or not, by their last evaluations at or before ``at``.

    Args:
        paths: of run folders.
        at: environment steps of one member; by default as many as every run has been evaluated at.
        other_levels: whether to compare, with a warning, runs whose suites have other levels, as those of an ablation have.

    Raises `UserError` for a folder that is no run, a run without evaluations, or none before ``at``, runs of different
    suites, levels or attempts, and members that are there twice.
    """
    runs = [read(path) for path in paths]
    warnings = refuse_other_measures(runs, other_levels=other_levels)
    pools = pools_of(runs)
    common = min(run.rows[-1]["env_steps"] for run in runs) if at is None else at
    for run in runs:
        if run.at(common) is None:
            first = run.rows[0]["env_steps"]
            raise UserError(f"--at is {common}; allowed: at least {first}, the first evaluation of {run.path}")
    warnings += tuple(
        f"{run.path} was last evaluated at {run.rows[-1]['env_steps']} environment steps, before --at {common}"
        for run in runs
        if run.rows[-1]["env_steps"] < common
    )
    farthest = max(_row(run, common)["env_steps"] for run in runs)
    warnings += tuple(
        f"{run.path} stands here as it was at {_row(run, common)['env_steps']} environment steps, others at {farthest}: it"
        f" was not evaluated again until {common}; allowed with --at: a count near which all were evaluated"
        for run in runs
        if _row(run, common)["env_steps"] < 0.9 * farthest and run.rows[-1]["env_steps"] >= common
    )
    labels = labels_of([(_name(pool[0]), pool[0].method) for pool in pools])
    names = list(runs[0].rows[-1]["entries"])
    baseline = _scores(pools[0], common, names)
    methods = [
        _method(label, pool, common, names, None if pool is pools[0] else baseline)
        for label, pool in zip(labels, pools, strict=True)
    ]
    last = runs[0].rows[-1]
    groups = {label: [RunFolder(run.path) for run in pool] for label, pool in zip(labels, pools, strict=True)}
    tells_statistics = any("statistics" in row for run in runs for row in run.rows)
    return Comparison(
        suite=last["suite"],
        attempts=last["attempts"],
        entries=tuple(names),
        at=common,
        confidence=statistics.CONFIDENCE,
        repetitions=statistics.REPETITIONS,
        methods=tuple(methods),
        milestones=compare_milestones(groups) if tells_statistics else (),
        warnings=warnings,
    )


def _method(label: str, pool: list[EvaluatedRun], at: int, names: list[str], baseline: np.ndarray | None) -> Method:
    scores = _scores(pool, at, names)
    rows = [_row(run, at) for run in pool]
    counts = sorted({row["env_steps"] for run in pool for row in run.rows})
    reached = min(run.rows[-1]["env_steps"] for run in pool)
    begun = max(run.rows[0]["env_steps"] for run in pool)
    curve = []
    for count in counts:
        if begun <= count <= reached:
            point = estimate(statistics.interquartile_mean, _scores(pool, count, names))
            curve.append(CurvePoint(count, point.value, point.interval))
    versus = (scores, baseline) if baseline is not None else None
    return Method(
        label=label,
        runs=tuple(str(run.path) for run in pool),
        members=scores.shape[0],
        env_steps=_range(rows, "env_steps"),
        student_updates=_range(rows, "student_updates"),
        mean=float(statistics.mean(scores)),
        median=float(statistics.median(scores)),
        iqm=estimate(statistics.interquartile_mean, scores),
        optimality_gap=estimate(statistics.optimality_gap, scores),
        improvement=estimate(statistics.probability_of_improvement, *versus) if versus else None,
        difference=estimate(statistics.difference_of_interquartile_means, *versus) if versus else None,
        curve=tuple(curve),
    )


def estimate(statistic: Any, *scores: np.ndarray) -> Estimate:
    """Return a statistic with its interval; the bootstrap always starts from the same seed."""
    low, high = statistics.stratified_bootstrap(statistic, *scores, generator=np.random.default_rng(0))
    known = bool(np.isfinite(low) and np.isfinite(high))
    return Estimate(float(statistic(*scores)), (float(low), float(high)) if known else None)


def _scores(pool: list[EvaluatedRun], at: int, names: list[str]) -> np.ndarray:
    """Return the solve rates of all members of a pool, ``f64[members, entries]``, entries in the order of ``names``."""
    rows = [_row(run, at) for run in pool]
    return np.concatenate([scores_of({"entries": {name: row["entries"][name] for name in names}}) for row in rows])


def _row(run: EvaluatedRun, at: int) -> Row:
    row = run.at(at)
    assert row is not None
    return row


def _range(rows: list[Row], counter: str) -> tuple[int, int]:
    counts = [row[counter] for row in rows]
    return min(counts), max(counts)


# -- names -------------------------------------------------------------------------------------------------------------


def _name(run: EvaluatedRun) -> str:
    """Return the preset's name, with the teacher's where the run has another than its preset."""
    preset, teacher = run.description.get("preset") or "", run.config["teacher"]["name"]
    if preset.endswith(presets.ENDINGS):
        return Path(preset).stem
    file = presets.available().get(preset)
    is_the_presets = file is None or presets.read(file).get("teacher", {}).get("name", teacher) == teacher
    return (preset or teacher) if is_the_presets else f"{preset} with {teacher}"
