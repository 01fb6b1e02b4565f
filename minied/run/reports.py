"""What `minied eval` says of a run beyond its row: aggregates, the CVaR, and the files that keep them.

Letters: ``S`` members, ``L`` levels, ``A`` shares.
"""

import importlib.metadata
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minied.evaluate import cvar, statistics
from minied.levels.space import Suite
from minied.run.evaluation import scores_of
from minied.run.files import Write, write_all
from minied.run.folder import RunFolder
from minied.run.metrics import Row, plain

if TYPE_CHECKING:
    from minied.train.program import Program

LEVELS_AT_ONCE = 1000
"""Levels of one call when the CVaR is measured: between two calls a person can stop it."""

_LEVELS_KEY, _RANKING_KEY, _REPORTED_KEY = 0xC7A40, 0xC7A41, 0xC7A42
_PACKAGES = ("minied", "jax", "jaxlib", "flax", "numpy")


def aggregates_of(row: Row) -> dict[str, Any]:
    """Return the aggregates of an evaluation over members × entries, each with its 95 % interval (None if unknown)."""
    scores = scores_of(row)
    aggregates = {
        "mean": statistics.mean,
        "median": statistics.median,
        "iqm": statistics.interquartile_mean,
        "optimality_gap": statistics.optimality_gap,
    }
    return {
        "members": scores.shape[0],
        "entries": scores.shape[1],
        "confidence": statistics.CONFIDENCE,
        "repetitions": statistics.REPETITIONS,
    } | {name: with_interval(statistic, scores) for name, statistic in aggregates.items()}


def with_interval(statistic: Callable[..., np.ndarray], *scores: np.ndarray) -> dict[str, Any]:
    """Return ``{"value": …, "interval": [low, high] or None}`` of a statistic of matrices ``[runs, tasks]``.

    The bootstrap always starts from the same seed: equal data have equal intervals.
    """
    interval = statistics.stratified_bootstrap(statistic, *scores, generator=np.random.default_rng(0))
    return {"value": float(statistic(*scores)), "interval": plain_interval(interval.low, interval.high)}


def plain_interval(low: Any, high: Any) -> list[float] | None:
    """Return an interval as JSON data."""
    return [float(low), float(high)] if np.isfinite(low) and np.isfinite(high) else None


# -- CVaR --------------------------------------------------------------------------------------------------------------


def measure_cvar(program: "Program", state: Any, num_levels: int, attempts: int) -> dict[str, Any]:
    """Play the protocol of `minied.evaluate.cvar` with every member on levels of the run's own generator.

    The levels and both plays have keys of their own, which no setting changes: all runs on one generator are measured on
    the same levels. ``shares`` has one line a share, with the figures by member, their mean with its standard error, and
    a bootstrap interval over members. Raises `UserError` as `cvar.solvable_levels` does.
    """
    env = program.config.env
    levels = cvar.solvable_levels(jax.random.key(_LEVELS_KEY), env.level_space, num_levels)
    ranking_rate, ranking_return = _play(program, state, levels, num_levels, attempts, _RANKING_KEY)
    reported_rate, _ = _play(program, state, levels, num_levels, attempts, _REPORTED_KEY)
    curves = [cvar.tail_curve(*each) for each in zip(ranking_rate, ranking_return, reported_rate, strict=True)]
    unbiased = np.stack([curve.unbiased for curve in curves])  # [S, A]
    biased = np.stack([curve.biased for curve in curves])
    interval = statistics.stratified_bootstrap(
        lambda scores: scores.mean(axis=-2), unbiased, generator=np.random.default_rng(0)
    )
    several = len(curves) > 1
    shares = [
        {
            "share": share,
            "num_levels": int(curves[0].num_levels[index]),
            "cvar": plain(unbiased[:, index]),
            "biased": plain(biased[:, index]),
            "mean": float(unbiased[:, index].mean()),
            "biased_mean": float(biased[:, index].mean()),
            "standard_error": float(unbiased[:, index].std(ddof=1) / len(curves) ** 0.5) if several else None,
            "interval": plain_interval(interval.low[index], interval.high[index]),
        }
        for index, share in enumerate(cvar.SHARES)
    ]
    return {"levels": num_levels, "attempts": attempts, "horizon": env.max_steps, "shares": shares}


def _play(
    program: "Program", state: Any, levels: Any, num_levels: int, attempts: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return solve rates and mean returns, ``f32[S, L]`` each, in calls of equally many levels: one compiled program."""
    at_once = min(LEVELS_AT_ONCE, num_levels)
    names = ("cvar",) * at_once
    rates, returns = [], []
    for start in range(0, num_levels, at_once):
        chosen = np.arange(start, start + at_once) % num_levels  # the last call may play some levels again
        suite = Suite("cvar", program.config.env, jax.tree.map(lambda leaf, at=chosen: leaf[at], levels), names)
        results = program.evaluate(state, suite, jax.random.fold_in(jax.random.key(seed), start), attempts)
        rates.append(np.asarray(results.solve_rate))
        returns.append(np.asarray(results.mean_return))
    return np.concatenate(rates, axis=1)[:, :num_levels], np.concatenate(returns, axis=1)[:, :num_levels]


# -- files -------------------------------------------------------------------------------------------------------------


def report_of(folder: RunFolder, checkpoint: int, row: Row | None, tail: dict[str, Any] | None) -> dict[str, Any]:
    """Return all that is known of one evaluation, as JSON data: of a suite, of the CVaR, or of both."""
    description = folder.description()
    report: dict[str, Any] = {
        "run": folder.path.name,
        "preset": description.get("preset"),
        "fingerprint": description.get("fingerprint"),
        "checkpoint": checkpoint,
        "versions": versions(),
    }
    if row is not None:
        report |= {"evaluation": row, "aggregates": aggregates_of(row)}
    if tail is not None:
        report["cvar"] = tail
    return report


def write_report(folder: RunFolder, report: dict[str, Any], *, picture: bool) -> tuple[list[Path], list[str]]:
    """Write a report and its picture into ``evaluation/`` of the run, each whole or not at all.

    Returns the files that were written, and one line for each that could not be: the numbers are known by now, and worth
    more than their files.
    """
    from minied.run.figures import draw_evaluation

    name = report["evaluation"]["suite"] if "evaluation" in report else "cvar"
    stem = folder.path / "evaluation" / f"{name.replace('/', '-')}-{report['checkpoint']}"
    text = json.dumps(report, allow_nan=False, indent=2) + "\n"
    files: dict[Path, Write] = {
        stem.with_name(f"{stem.name}.json"): lambda path: path.write_text(text, encoding="utf-8")
    }
    if picture:
        files[stem.with_name(f"{stem.name}.png")] = lambda path: draw_evaluation(report, path)
    return write_all(files)


def versions() -> dict[str, str | None]:
    """Return what plays the evaluation now; what trained the run is in its ``config.json``."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions
