"""Which runs can be compared? Those that were evaluated on the same levels, equally often; each member once."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minied.errors import UserError
from minied.run.folder import RunFolder, open_run
from minied.run.labels import differences
from minied.run.metrics import Row
from minied.train.config import FREE_WHEN_RESUMING

_SEEDS = ("seed", "num_seeds", "schedule_seed")
_NOT_OF_THE_METHOD = (*_SEEDS, *FREE_WHEN_RESUMING)


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with its evaluations."""

    path: Path
    description: dict[str, Any]
    rows: list[Row]  # evaluations, at least one

    @property
    def config(self) -> dict[str, Any]:
        """Its settings, nested, as in its file."""
        return self.description["config"]

    @property
    def method(self) -> dict[str, Any]:
        """What is not its seed nor of no account for what it learns."""
        return {name: value for name, value in self.config.items() if name not in _NOT_OF_THE_METHOD}

    @property
    def seeds(self) -> set[tuple[int, int]]:
        """Of each member its own seed and that of the schedule."""
        first = self.config["seed"]
        return {(first + member, self.config["schedule_seed"]) for member in range(self.config["num_seeds"])}

    def at(self, env_steps: int) -> Row | None:
        """Return the last evaluation at or before ``env_steps``."""
        before = [row for row in self.rows if row["env_steps"] <= env_steps]
        return before[-1] if before else None


def read(path: Path) -> EvaluatedRun:
    """Return the run in a folder. Raises `UserError` if it is none, or has no evaluations that can be read."""
    folder = open_run(path)
    try:
        rows = folder.read_rows("evaluations")
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{folder.rows_path('evaluations')} cannot be read: {' '.join(str(error).split())}") from error
    if not rows:
        raise UserError(f"{path} has no evaluations yet; allowed: runs with rows in evaluations.jsonl")
    return EvaluatedRun(path, folder.description(), rows)


def refuse_other_measures(runs: list[EvaluatedRun], *, other_levels: bool) -> tuple[str, ...]:
    """Raise `UserError` unless all runs were evaluated on the same levels, equally often.

    With ``other_levels`` the levels may differ, if their numbers do not: one line is returned for each run whose do.
    """
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
    told = []
    for run in worlds.values():
        if run is not first and _levels_differ(first, run):
            fields = ", ".join(f"env.{name}" for name in differences(first.config["env"], run.config["env"]))
            line = (
                f"the suite {first_row['suite']!r} has other levels in {run.path} than in {first.path}, because"
                f" {fields} differ"
            )
            if not other_levels:
                raise UserError(
                    f"{line}; allowed: the same for all runs, or any with --other-levels (for an ablation, say)"
                )
            told.append(line)
    return tuple(told)


def _outline(row: Row) -> dict[str, Any]:
    return {name: (entry["num_levels"], entry["horizon"]) for name, entry in row["entries"].items()}


def _levels_differ(one: EvaluatedRun, other: EvaluatedRun) -> bool:
    """Return whether the suite of the runs has other levels in their two worlds: some suites come from the generator."""
    import jax

    suite = one.rows[-1]["suite"]
    worlds = [RunFolder(run.path).config().env for run in (one, other)]
    parts = [
        [leaf for part in world.level_space.suite(suite) for leaf in jax.tree.leaves(part.levels)] for world in worlds
    ]
    return len(parts[0]) != len(parts[1]) or any(not np.array_equal(a, b) for a, b in zip(*parts, strict=True))


def pools_of(runs: list[EvaluatedRun]) -> list[list[EvaluatedRun]]:
    """Return the runs by method, in the order in which methods first come."""
    pools: dict[str, list[EvaluatedRun]] = {}
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
