"""Who beats whom? Every pair of policies plays a suite, and what came of it is rated and kept.

Letters: ``n`` policies, ``L`` levels.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minied.errors import UserError
from minied.evaluate import statistics
from minied.evaluate.ratings import PRIOR, SCALE, rating_intervals, ratings
from minied.levels.space import Suite
from minied.run.evaluation import evaluation_key
from minied.run.files import Write, free_stem, write_all
from minied.run.policies import Policy, num_teams
from minied.run.reports import plain_interval, versions
from minied.students.networks.teams import require_same_teams

if TYPE_CHECKING:
    from minied.train.program import Program


@dataclasses.dataclass(frozen=True)
class Results:
    """What policy i came to as team 0 against policy j as team 1, on each level."""

    wins: np.ndarray  # f64[n, n, L], share of its attempts
    returns: np.ndarray  # f64[n, n, L], of team 0


def parts_of(program: "Program", suite: str) -> tuple[Suite, ...]:
    """Return the parts of a suite. Raises `UserError` for an unknown one, and for one with other teams than two."""
    parts = program.config.env.level_space.suite(suite)
    for part in parts:
        require_same_teams(program.student, part.env)
        if num_teams(part.env) != 2:
            raise UserError(f"the suite {suite!r} has a world with {num_teams(part.env)} teams; allowed: two")
    return parts


def play(program: "Program", policies: Sequence[Policy], parts: Sequence[Suite], attempts: int) -> Results:
    """Play every pair on all levels, each with the same random numbers: those of the run's evaluations."""
    key = evaluation_key(program.config)

    def pair(first: Policy, second: Policy) -> tuple[np.ndarray, np.ndarray]:
        every = [
            program.play_against(first.parameters, second.parameters, part, jax.random.fold_in(key, index), attempts)
            for index, part in enumerate(parts)
        ]
        wins, returns = [each.solve_rate for each in every], [each.team_returns[:, 0] for each in every]
        return np.concatenate(wins, dtype=np.float64), np.concatenate(returns, dtype=np.float64)

    results = [[pair(first, second) for second in policies] for first in policies]
    wins, returns = (np.asarray([[cell[index] for cell in row] for row in results]) for index in (0, 1))
    return Results(wins, returns)


def report_of(
    program: "Program", policies: Sequence[Policy], suite: str, attempts: int, results: Results
) -> dict[str, Any]:
    """Return all that is known of a contest, as JSON data.

    ``win_rate[i][j]`` and ``mean_return[i][j]`` are of team 0, played by policy i against policy j as team 1, over all
    levels. ``ratings`` has points of Elo, see `minied.evaluate.ratings`, each with its interval over levels.
    """
    num_levels = results.wins.shape[-1]
    found = ratings(results.wins.mean(axis=-1), attempts * num_levels)
    low, high = rating_intervals(results.wins, attempts)

    def told(values: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> list[dict[str, Any]]:
        numbers = (np.reshape(each, -1) for each in (values, lows, highs))
        return [{"value": float(v), "interval": plain_interval(a, b)} for v, a, b in zip(*numbers, strict=True)]

    return {
        "policies": [_described(policy) for policy in policies],
        "suite": suite,
        "attempts": attempts,
        "levels": num_levels,
        "teams": sorted(set(program.config.env.teams)),
        "win_rate": results.wins.mean(axis=-1).tolist(),
        "mean_return": results.returns.mean(axis=-1).tolist(),
        "ratings": {
            "scale": SCALE,
            "prior": PRIOR,
            "confidence": statistics.CONFIDENCE,
            "repetitions": statistics.REPETITIONS,
            "role": told(found.advantage, low.advantage, high.advantage)[0],
            "first_team": told(found.first, low.first, high.first),
            "second_team": told(found.second, low.second, high.second),
        },
        "versions": versions(),
    }


def _described(policy: Policy) -> dict[str, Any]:
    counters = {name: policy.counters[name] for name in ("student_updates", "env_steps")}
    return {
        "label": policy.label, "run": str(policy.run), "checkpoint": policy.checkpoint, "member": policy.member,
    } | counters  # fmt: skip


def write_versus(policies: Sequence[Policy], report: dict[str, Any], *, picture: bool) -> tuple[list[Path], list[str]]:
    """Write a report and its picture into ``evaluation/`` of the first run, each whole or not at all.

    Those of the same contest are written over, those of others, with another member or other attempts, say, are not.
    Returns the files that were written, and one line for each that could not be.
    """
    from minied.run.figures import draw_versus

    first, last = policies[0], policies[-1]
    of_one_run = first.run == last.run
    who = f"{first.checkpoint}-to-{last.checkpoint}" if of_one_run else f"{first.checkpoint}-of-{len(policies)}-runs"
    folder = first.run / "evaluation"
    name = f"versus-{report['suite'].replace('/', '-')}-{who}"
    stem = free_stem(folder, name, report, ("policies", "suite", "attempts"))
    text = json.dumps(report, allow_nan=False, indent=2) + "\n"
    files: dict[Path, Write] = {folder / f"{stem}.json": lambda path: path.write_text(text, encoding="utf-8")}
    if picture:
        files[folder / f"{stem}.png"] = lambda path: draw_versus(report, path)
    return write_all(files)
