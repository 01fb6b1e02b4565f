"""Is what was learnt in hide and seek of use in other tasks? Fine-tuned, against exploration for its own sake and nothing.

For each of four tasks of the transfer suite the students of one or more runs of hide and seek are trained on, their last
layer before the memory drawn anew, beside a student of the same network that starts with nothing, and another such that is
also paid for states that it has seldom seen. The baseline that Baker et al. 2020 (arXiv 1909.07528) have is a run that saw
the same arenas and was paid for seldom states alone, which is fine-tuned likewise: give it as a second RUN. All have the
same environment steps and the learner of the first run; a task's rollouts are as long as its episodes. Seeds are members of
one program. Evaluated on the task's held-out levels at equal parts of the budget: the mean return tells how soon, and at
the end the solve rate and what the task says of itself. Of object counting, where nothing is learnt, the accuracy of a
linear classifier on the memory is told, for the runs that are given and for fresh networks.

Results are kept in a file as they come, and a second call goes on from there. Prints tables in Markdown; intervals of 95 %
are over seeds.

    minied train hide_and_seek/fort_memory --num-seeds 3 --env-steps 5_000_000 --run-dir runs/game
    # and with --run-dir runs/counts --bonus counts --bonus.reward-weight 0
    python benchmarks/transfer.py runs/game runs/counts --env-steps 2000000 --output transfer.jsonl
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import kept_rows
import numpy as np

from minied import registry
from minied.env import Environment
from minied.evaluate import statistics
from minied.run.evaluation import evaluate
from minied.run.folder import open_run
from minied.run.metrics import member_values
from minied.run.probing import probe_run
from minied.run.transfer import earlier_of
from minied.students.bonuses.base import NoBonus
from minied.students.bonuses.counts import CountBonus
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import StartFrom, TrainConfig
from minied.train.program import Program
from minied.train.self_play import SelfPlayConfig

TASKS = ("lock_and_return", "sequential_lock", "blueprint", "shelter")
FINE_TUNED, SCRATCH, SCRATCH_AND_COUNTS = "fine-tuned", "scratch", "scratch + counts"
METHODS = (FINE_TUNED, SCRATCH, SCRATCH_AND_COUNTS)
TABLE_SIZE = 2**22
"""Slots of the table of counts: ten times the states that two million steps of building meet."""
POINTS = 5
"""Equal parts of the budget after which is evaluated."""
SHARED = (
    "max_hiders", "max_seekers", "surf", "ramps_lockable", "field_of_view", "observation", "view_size", "lidar",
    "lidar_reach",
)  # fmt: skip
"""Options by which a task is seen as hide and seek is."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--output", type=Path, default=Path("transfer.jsonl"))
    parser.add_argument("--tasks", nargs="*", default=TASKS, choices=TASKS)
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--env-steps", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--num-envs", type=int, default=64, help="environments side by side")
    parser.add_argument("--learning-rate", type=float, default=0.0, help="0: that of the run")
    parser.add_argument("--bonus", type=float, default=0.1, help="coefficient of the bonus for counts")
    parser.add_argument("--levels", type=int, default=3000, help="levels of object counting; 0: leave it out")
    parser.add_argument("--attempts", type=int, default=4)
    arguments = parser.parse_args()
    done = kept_rows.read(arguments.output)
    methods = [
        (method, run)
        for method in arguments.methods
        for run in (arguments.runs if method == FINE_TUNED else arguments.runs[:1])
    ]
    for task in arguments.tasks:
        for method, run in methods:
            if not kept_rows.found(done, what := _what(task, method, run, arguments)):
                kept_rows.keep(done, arguments.output, what | _measure(task, method, run, arguments))
    for run in arguments.runs if arguments.levels else ():
        if open_run(run).config().network.memory == "none":
            print(f"{run}: no memory to be asked what it counted")
            continue
        what = {"task": "object_counting", "levels": arguments.levels} | _of_run(run)
        if not kept_rows.found(done, what):
            kept_rows.keep(done, arguments.output, what | _probe(run, arguments.levels))
    rows = [
        kept_rows.found(done, _what(task, method, run, arguments))[0]
        for task in arguments.tasks
        for method, run in methods
    ]
    print(_table(rows))
    asked = [{"task": "object_counting", "levels": arguments.levels} | _of_run(run) for run in arguments.runs]
    print(_counting_table([row for what in asked for row in kept_rows.found(done, what)]))


def _what(task: str, method: str, run: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what identifies a measurement; ``run`` is fine-tuned, or gives network and learner alone."""
    names = ("env_steps", "seeds", "num_envs", "learning_rate", "attempts")
    what = {"task": task, "method": method} | {name: getattr(arguments, name) for name in names}
    what |= _of_run(run)
    return what | ({"bonus": arguments.bonus, "table_size": TABLE_SIZE} if method == SCRATCH_AND_COUNTS else {})


def _of_run(path: Path) -> dict[str, Any]:
    """Return what identifies a run, also if another one comes to stand in its folder, or if it goes on."""
    folder = open_run(path)
    rows = folder.read_rows("metrics")
    return {
        "run": str(path),
        "fingerprint": folder.description()["fingerprint"],
        "env_steps_of_run": rows[-1]["env_steps"],
    }


# -- runs --------------------------------------------------------------------------------------------------------------


def _world(name: str, game: Environment) -> Environment:
    """Return a task that is seen as the game is."""
    return registry.load("environment", name)(**{option: getattr(game, option) for option in SHARED})


def _config(task: str, method: str, run: Path, arguments: argparse.Namespace) -> TrainConfig:
    """Return how a task is trained: by network and learner of the first run, begun with ``run`` if that is the method."""
    config = open_run(arguments.runs[0]).config()
    world = _world(task, config.env)
    ppo = config.ppo
    if arguments.learning_rate:
        ppo = dataclasses.replace(ppo, learning_rate=arguments.learning_rate)
    return dataclasses.replace(
        config,
        env=world,
        teacher=DomainRandomization(),
        ppo=ppo,
        self_play=SelfPlayConfig(),
        num_envs=arguments.num_envs,
        num_steps=world.max_steps,
        num_seeds=arguments.seeds,
        num_students=1,
        cloning="none",
        num_train_levels=0,
        log_score_correlations=(),
        suite="",
        updates=2**31 - 1,
        env_steps=arguments.env_steps,
        start_from=StartFrom(str(run)) if method == FINE_TUNED else StartFrom(),
        bonus=CountBonus(coefficient=arguments.bonus, table_size=TABLE_SIZE)
        if method == SCRATCH_AND_COUNTS
        else NoBonus(),
    )


def _measure(task: str, method: str, run: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, and return the mean return by member at each part of the budget, and what there is to be told at the end."""
    config = _config(task, method, run, arguments)
    program, earlier = Program(config), earlier_of(config)
    state = program.init(earlier.parameters if earlier else None)
    curve, row = [], {}
    for point in range(POINTS + 1):
        state, _ = program.advance(state, config.max_rollouts * point // POINTS)
        row = evaluate(program, state, "held_out", arguments.attempts, program.counters(state))
        # Every entry by its number of levels.
        weights = [entry["num_levels"] for entry in row["entries"].values()]
        returns = [member_values(entry["mean_return"]) for entry in row["entries"].values()]
        curve.append(np.average(returns, axis=0, weights=weights).tolist())
    told = {name: member_values(value).tolist() for name, value in row["statistics"].items()}
    simulated = program.counters(state)["env_steps"]  # whole batches
    end = {"solve_rate": member_values(row["solve_rate"]).tolist(), "statistics": told, "simulated_steps": simulated}
    return {"returns": curve} | end


def _probe(run: Path, levels: int) -> dict[str, Any]:
    folder = open_run(run)
    return probe_run(folder, _world("object_counting", folder.config().env), None, levels, ridge=0.01)[0]


# -- results -----------------------------------------------------------------------------------------------------------


def _table(rows: list[dict[str, Any]]) -> str:
    """Return a table of one task and method a line; differences are of the mean returns over the budget, to scratch."""
    parts = " | ".join(f"{100 * point // POINTS} %" for point in range(POINTS + 1))
    lines = [
        "Mean return after parts of the budget, its mean over them less that from scratch, and the end of it.",
        "",
        f"| task | method | {parts} | over all, less scratch | solve rate | statistics |",
        f"|---|---|{'---|' * (POINTS + 1)}---|---|---|",
    ]
    scratch = {row["task"]: _over_budget(row) for row in rows if row["method"] == SCRATCH}
    for row in rows:
        base = scratch.get(row["task"])
        difference = "" if base is None or row["method"] == SCRATCH else _less(_over_budget(row), base)
        told = ", ".join(f"{name} {_estimate(values)}" for name, values in row["statistics"].items())
        returns = " | ".join(_estimate(values) for values in row["returns"])
        method = f"fine-tuned from {row['run']}" if row["method"] == FINE_TUNED else row["method"]
        cells = [row["task"], method, returns, difference, _estimate(row["solve_rate"]), told]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _counting_table(rows: list[dict[str, Any]]) -> str:
    lines = ["", "| object counting | accuracy | fresh networks | chance |", "|---|---|---|---|"]
    for row in rows:
        trained, untrained = (_estimate(row[name]["members"]) for name in ("trained", "untrained"))
        lines.append(f"| {row['run']} | {trained} | {untrained} | {row['chance']:.3f} |")
    return "\n".join(lines) if rows else ""


def _over_budget(row: dict[str, Any]) -> np.ndarray:
    """Return the mean of a member's returns after the parts of the budget, but for the start, ``f64[S, 1]``."""
    return np.mean(row["returns"][1:], axis=0)[:, np.newaxis]


def _less(one: np.ndarray, other: np.ndarray) -> str:
    return _told(lambda x, y: statistics.mean(x) - statistics.mean(y), one, other)


def _estimate(values: list[float]) -> str:
    return _told(statistics.mean, np.asarray(values)[:, np.newaxis])


def _told(statistic: Any, *scores: np.ndarray) -> str:
    value = f"{float(statistic(*scores)):.3g}"
    if len(scores[0]) < 2:
        return value
    interval = statistics.stratified_bootstrap(statistic, *scores, generator=np.random.default_rng(0))
    return f"{value} [{float(interval.low):.3g}, {float(interval.high):.3g}]"


if __name__ == "__main__":
    main()
