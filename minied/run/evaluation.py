"""Evaluating the students of a run on a held-out suite, reported by entry."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from minied.levels.space import LevelSpace, Suite
from minied.run.metrics import Row, counters_row, member_values, plain
from minied.train.config import TrainConfig

if TYPE_CHECKING:
    from minied.evaluate.episodes import LevelResults
    from minied.train.program import Program

_KEY_NUMBER = 0xE7A1
_KEY_NUMBERS = {"training": 0x7EA1, "unseen": 0x0EE1}
_RESULTS = ("solve_rate", "mean_return", "mean_length")

MAX_TRAINING_LEVELS = 200
"""How many of a finite set of training levels an evaluation plays, the first ones, and how many unseen ones."""


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
    they were played to. ``solve_rate`` is the mean over all levels, each weighing the same; ``solve_rate_of_entries`` is
    the mean over entries, as published tables of named environments have it. Of a world of several teams each entry has
    ``team_returns["team_0"]`` and so on: of a team's agents, where that over all may say nothing, as in games of zero sum.
    Of a world with statistics of its episodes,
    the row and each entry also have ``statistics[name]``: the mean over those of their levels for which it is defined,
    by member. Where training has a finite set of levels, ``train_solve_rate`` is the mean over the first of them,
    ``test_solve_rate`` that over levels of the same generator which training never draws, and ``generalization_gap`` by
    how much the first is above the second, all by member (Procgen's protocol, Cobbe et al. 2020). Raises `UserError` for
    an unknown suite.
    """
    config, plays = program.config, plays_of(program, suite)
    results = [program.evaluate(state, play.part, play.key(config), attempts) for play in plays]
    return row_of(config, suite, attempts, plays, results, counters)


@dataclasses.dataclass(frozen=True)
class Play:
    """Levels that an evaluation plays at once."""

    part: Suite
    number: int  # names its key among those of the evaluation
    role: Literal["suite", "training", "unseen"] = "suite"

    def key(self, config: TrainConfig) -> jax.Array:
        """Return the key with which a run of ``config`` plays it."""
        return jax.random.fold_in(evaluation_key(config), self.number)


def plays_of(program: "Program", suite: str) -> list[Play]:
    """Return what an evaluation on ``suite`` plays. Raises `UserError` for an unknown suite."""
    config = program.config
    plays = [Play(part, index) for index, part in enumerate(config.env.level_space.suite(suite))]
    for role in ("training", "unseen"):
        levels_of = getattr(program, f"{role}_levels", None)
        levels = levels_of() if levels_of is not None else None
        if levels is not None:
            levels = jax.tree.map(lambda leaf: leaf[:MAX_TRAINING_LEVELS], levels)
            names = (role,) * len(jax.tree.leaves(levels)[0])
            plays.append(Play(Suite(role, config.env, levels, names), _KEY_NUMBERS[role], role))
    return plays


def row_of(
    config: TrainConfig,
    suite: str,
    attempts: int,
    plays: Sequence[Play],
    results: Sequence["LevelResults"],
    counters: Mapping[str, int],
) -> Row:
    """Return the row of an evaluation whose ``plays`` gave ``results``, leaves ``f32[S, L]``; see `evaluate`."""
    columns: dict[str, list[dict[str, np.ndarray]]] = {}
    told: dict[str, list[dict[str, np.ndarray]]] = {}  # statistics of the same levels
    horizons: dict[str, int] = {}
    rates: dict[str, np.ndarray] = {}
    for play, found in zip(plays, results, strict=True):
        if play.role != "suite":
            rates[play.role] = np.asarray(found.solve_rate).mean(axis=1)
            continue
        for level, name in enumerate(play.part.names):
            one = {kind: np.asarray(getattr(found, kind))[:, level] for kind in (*_RESULTS, "team_returns")}
            columns.setdefault(name, []).append(one)
            statistics = {kind: np.asarray(values)[:, level] for kind, values in found.statistics.items()}
            told.setdefault(name, []).append(statistics)
            horizons[name] = play.part.env.max_steps
    entries = {
        name: {kind: plain(np.mean([level[kind] for level in levels], axis=0)) for kind in _RESULTS}
        | {"num_levels": len(levels), "horizon": horizons[name]}
        | _team_returns_of([level["team_returns"] for level in levels], config.env.teams)
        | _statistics_of(told[name])
        for name, levels in columns.items()
    }
    by_entry = [[level["solve_rate"] for level in levels] for levels in columns.values()]
    solve_rate = np.mean([rate for entry in by_entry for rate in entry], axis=0)
    row = {
        "suite": suite,
        "attempts": attempts,
        "solve_rate": plain(solve_rate),
        "solve_rate_of_entries": plain(np.mean([np.mean(entry, axis=0) for entry in by_entry], axis=0)),
        "entries": entries,
    }
    row |= _statistics_of([level for levels in told.values() for level in levels])
    if rates:
        row |= {"train_solve_rate": plain(rates["training"]), "test_solve_rate": plain(rates["unseen"])}
        row |= {"generalization_gap": plain(rates["training"] - rates["unseen"])}
    return counters_row(counters) | row


def _team_returns_of(levels: Sequence[np.ndarray], teams: Sequence[int]) -> Row:
    """Return ``{"team_returns": {name: by member}}`` of levels, ``f32[S, G]`` each; nothing if there is one team."""
    names = [f"team_{team}" for team in sorted(set(teams))]
    means = np.mean(levels, axis=0)
    return {"team_returns": {name: plain(means[:, g]) for g, name in enumerate(names)}} if len(names) > 1 else {}


def _statistics_of(levels: Sequence[Mapping[str, np.ndarray]]) -> Row:
    """Return ``{"statistics": {name: by member}}`` of levels, ``f32[S]`` each; nothing if the world has none."""
    names = dict.fromkeys(name for level in levels for name in level)
    means = {name: plain(_mean_of_defined([level[name] for level in levels if name in level])) for name in names}
    return {"statistics": means} if means else {}


def _mean_of_defined(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of ``f32[S]`` each without what is NaN, NaN if nothing is left."""
    stacked = np.stack(values)
    count = np.sum(~np.isnan(stacked), axis=0)
    return np.where(count > 0, np.nansum(stacked, axis=0) / np.maximum(count, 1), np.nan).astype(stacked.dtype)


def scores_of(row: Row) -> np.ndarray:
    """Return the solve rates of an evaluation as statistics take them: ``f64[S, entries]``."""
    return np.stack([member_values(entry["solve_rate"]) for entry in row["entries"].values()], axis=1)
