"""Evaluating the students of a run on a held-out suite, reported by entry."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minied.levels.space import LevelSpace
from minied.run.metrics import Row, counters_row, plain
from minied.train.config import TrainConfig

if TYPE_CHECKING:
    from minied.train.program import Program

_KEY_NUMBER = 0xE7A1
_RESULTS = ("solve_rate", "mean_return", "mean_length")


def suite_of(config: TrainConfig, space: LevelSpace) -> str:
    """Return the name of the suite that a run is evaluated on: the config's, the world's default, or ``""``."""
    return config.suite or next(iter(space.suites), "")


def evaluation_key(config: TrainConfig) -> jax.Array:
    """Return the key of every evaluation of a run.

    It is the same before, during and after training, so that differences between evaluations come from the student.
    """
    return jax.random.fold_in(jax.random.key(config.schedule_seed), _KEY_NUMBER)


def evaluate(program: "Program", state: Any, suite: str, attempts: int, counters: Mapping[str, int]) -> Row:
    """Return the row of one evaluation.

    ``entries[name]`` has the means over the levels of that name, for each member, how many there are, and the horizon
    they were played to. ``solve_rate`` is the mean over all levels, each weighing the same; ``solve_rate_of_entries`` is the
    mean over entries, as published tables of named environments have it. Raises `UserError` for an unknown suite.
    """
    config = program.config
    columns: dict[str, list[dict[str, np.ndarray]]] = {}
    horizons: dict[str, int] = {}
    for index, part in enumerate(config.env.level_space.suite(suite)):
        key = jax.random.fold_in(evaluation_key(config), index)
        results = program.evaluate(state, part, key, attempts)
        for level, name in enumerate(part.names):
            one = {kind: np.asarray(getattr(results, kind))[:, level] for kind in _RESULTS}
            columns.setdefault(name, []).append(one)
            horizons[name] = part.env.max_steps
    entries = {
        name: {kind: plain(np.mean([level[kind] for level in levels], axis=0)) for kind in _RESULTS}
        | {"num_levels": len(levels), "horizon": horizons[name]}
        for name, levels in columns.items()
    }
    by_entry = [[level["solve_rate"] for level in levels] for levels in columns.values()]
    row = {
        "suite": suite,
        "attempts": attempts,
        "solve_rate": plain(np.mean([rate for entry in by_entry for rate in entry], axis=0)),
        "solve_rate_of_entries": plain(np.mean([np.mean(entry, axis=0) for entry in by_entry], axis=0)),
        "entries": entries,
    }
    return counters_row(counters) | row
