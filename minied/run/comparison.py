"""Which method is better at the same price? Runs compared by their saved evaluations, at equal environment steps.

A *method* is a config without its seeds: runs that differ in nothing else are pooled, and their members are the runs of
the statistics (`minied.evaluate.statistics`). The tasks are the entries of the suite. The price is ``env_steps`` of one
member: every simulated step of training, those that only score levels included.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minied.config import presets
from minied.errors import UserError
from minied.evaluate import statistics
from minied.run.evaluation import scores_of
from minied.run.folder import RunFolder, open_run
from minied.run.labels import differences, labels_of
from minied.run.metrics import Row
from minied.run.milestones import MilestoneOfGroups, compare_milestones
from minied.train.config import FREE_WHEN_RESUMING

_SEEDS = ("seed", "num_seeds", "schedule_seed")
_NOT_OF_THE_METHOD = (*_SEEDS, *FREE_WHEN_RESUMING)


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


@dataclass(frozen=True)
class _Run:
    path: Path
    description: dict[str, Any]
    rows: list[Row]  # evaluations, at least one

    @property
    def config(self) -> dict[str, Any]:
        return self.description["config"]

    @property
    def method(self) -> dict[str, Any]:
        return {name: value for name, value in self.config.items() if name not in _NOT_OF_THE_METHOD}

    @property
    def seeds(self) -> set[tuple[int, int]]:
        first = self.config["seed"]
        return {(first + member, self.config["schedule_seed"]) for member in range(self.config["num_seeds"])}

    def at(self, env_steps: int) -> Row | None:
        """Return the last evaluation at or before ``env_steps``."""
        before = [row for row in self.rows if row["env_steps"] <= env_steps]
        return before[-1] if before else None


def compare(paths: Sequence[Path], at: int | None = None) -> Comparison:
    """Compare the runs in these folders, finished or not, by their last evaluations at or before ``at``.

    ``at`` is in environment steps of one member; by default as many as every run has been evaluated at.

    Raises `UserError` for a folder that is no run, a run without evaluations, or none before ``at``, runs of different
    suites, levels or attempts, and members that are there twice.
    """
    runs = [_read(path) for path in paths]
    _require_one_measure(runs)
    pools = _pools(runs)
    common = min(run.rows[-1]["env_steps"] for run in runs) if at is None else at
    for run in runs:
        if run.at(common) is None:
            first = run.rows[0]["env_steps"]
            raise UserError(f"--at is {common}; allowed: at least {first}, the first evaluation of {run.path}")
    warnings = tuple(
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


def _method(label: str, pool: list[_Run], at: int, names: list[str], baseline: np.ndarray | None) -> Method:
    scores = _scores(pool, at, names)
    rows = [_row(run, at) for run in pool]
    counts = sorted({row["env_steps"] for run in pool for row in run.rows})
    reached = min(run.rows[-1]["env_steps"] for run in pool)
    begun = max(run.rows[0]["env_steps"] for run in pool)
    curve = []
    for count in counts:
        if begun <= count <= reached:
            point = _estimate(statistics.interquartile_mean, _scores(pool, count, names))
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
        iqm=_estimate(statistics.interquartile_mean, scores),
        optimality_gap=_estimate(statistics.optimality_gap, scores),
        improvement=_estimate(statistics.probability_of_improvement, *versus) if versus else None,
        difference=_estimate(statistics.difference_of_interquartile_means, *versus) if versus else None,
        curve=tuple(curve),
    )


def _estimate(statistic: Any, *scores: np.ndarray) -> Estimate:
    """Return a statistic with its interval; the bootstrap always starts from the same seed."""
    low, high = statistics.stratified_bootstrap(statistic, *scores, generator=np.random.default_rng(0))
    known = bool(np.isfinite(low) and np.isfinite(high))
    return Estimate(float(statistic(*scores)), (float(low), float(high)) if known else None)


def _scores(pool: list[_Run], at: int, names: list[str]) -> np.ndarray:
    """Return the solve rates of all members of a pool, ``f64[members, entries]``, entries in the order of ``names``."""
    rows = [_row(run, at) for run in pool]
    return np.concatenate([scores_of({"entries": {name: row["entries"][name] for name in names}}) for row in rows])


def _row(run: _Run, at: int) -> Row:
    row = run.at(at)
    assert row is not None
    return row


def _range(rows: list[Row], counter: str) -> tuple[int, int]:
    counts = [row[counter] for row in rows]
    return min(counts), max(counts)


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(path: Path) -> _Run:
    folder = open_run(path)
    try:
        rows = folder.read_rows("evaluations")
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{folder.rows_path('evaluations')} cannot be read: {' '.join(str(error).split())}") from error
    if not rows:
        raise UserError(f"{path} has no evaluations yet; allowed: runs with rows in evaluations.jsonl")
    return _Run(path, folder.description(), rows)


def _require_one_measure(runs: list[_Run]) -> None:
    """Raise `UserError` unless all runs were evaluated on the same levels, equally often."""
    first, first_row = runs[0], runs[0].rows[-1]
    for run in runs[1:]:
        row = run.rows[-1]
        for name, what in (("suite", "on suite"), ("attempts", "with attempts a level")):
            if row[name] != first_row[name]:
                raise UserError(
                    f"{first.path} was evaluated {what} {first_row[name]!r}, {run.path} {what} {row[name]!r};"
                    " allowed: the same for all runs while they train (`minied eval` changes nothing here)"
                )
        if _outline(row) != _outline(first_row):
            raise UserError(
                f"the suite {row['suite']!r} has other entries, numbers of levels or horizons in {run.path} than in"
                f" {first.path}; allowed: the same for all runs"
            )
    worlds = {json.dumps(run.config["env"], sort_keys=True): run for run in reversed(runs)}
    for run in worlds.values():
        if run is not first and _levels_differ(first, run):
            fields = ", ".join(f"env.{name}" for name in differences(first.config["env"], run.config["env"]))
            raise UserError(
                f"the suite {first_row['suite']!r} has other levels in {run.path} than in {first.path}, because"
                f" {fields} differ; allowed: the same for all runs"
            )


def _outline(row: Row) -> dict[str, Any]:
    return {name: (entry["num_levels"], entry["horizon"]) for name, entry in row["entries"].items()}


def _levels_differ(one: _Run, other: _Run) -> bool:
    """Return whether the suite of the runs has other levels in their two worlds: some suites come from the generator."""
    import jax

    suite = one.rows[-1]["suite"]
    worlds = [RunFolder(run.path).config().env for run in (one, other)]
    parts = [
        [leaf for part in world.level_space.suite(suite) for leaf in jax.tree.leaves(part.levels)] for world in worlds
    ]
    return len(parts[0]) != len(parts[1]) or any(not np.array_equal(a, b) for a, b in zip(*parts, strict=True))


def _pools(runs: list[_Run]) -> list[list[_Run]]:
    """Return the runs by method, in the order in which methods first come."""
    pools: dict[str, list[_Run]] = {}
    for run in runs:
        pool = pools.setdefault(json.dumps(run.method, sort_keys=True), [])
        for other in pool:
            if run.seeds & other.seeds:
                seed = min(run.seeds & other.seeds)[0]
                raise UserError(
                    f"{other.path} and {run.path} both hold the member of seed {seed}; allowed: each member once"
                )
        pool.append(run)
    return list(pools.values())


# -- names -------------------------------------------------------------------------------------------------------------


def _name(run: _Run) -> str:
    """Return the preset's name, with the teacher's where the run has another than its preset."""
    preset, teacher = run.description.get("preset") or "", run.config["teacher"]["name"]
    if preset.endswith(presets.ENDINGS):
        return Path(preset).stem
    file = presets.available().get(preset)
    is_the_presets = file is None or presets.read(file).get("teacher", {}).get("name", teacher) == teacher
    return (preset or teacher) if is_the_presets else f"{preset} with {teacher}"
