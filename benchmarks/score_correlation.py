"""Which scores rank levels by the student's regret, and when in training?

The test bench T8: students learn by domain randomisation on 5×5 mazes of at most three walls, start and goal anywhere. At
three points of training each of them plays all 2048 levels with at most three walls between opposite corners. Every
registered score is computed from that rollout as a teacher would on a first visit (``max_mc`` knows no earlier return),
and compared, by Spearman's rank correlation over the levels, with the exact regret of the same policy.

- An ensemble acts by row: each level is played by one policy head, and its regret is that head's, the policy that acted,
  not the mean over heads.
- ``exact_regret`` is the oracle's estimate from the episodes of the same rollout: what is lacking to 1 is luck alone.
- ``novelty`` knows all of these levels, as a teacher would that keeps them in its buffer. Nearly all have ten others with
  the very same features, and score 0: little can be told of it here.

Prints a table: mean over seeds ± half the width of the 95 % interval (Student's t). A correlation is undefined where a
score or the regret is the same on all levels. Options of `minied train` are understood too, but for ``--updates``.

    python benchmarks/score_correlation.py --json score_correlation.json

The same in little: ``--seeds 2 --env-steps 40000``. Letters: ``L`` levels, ``S`` seeds.
"""

import argparse
import dataclasses
import functools
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from scipy import stats

from minied import __version__, registry
from minied.config import load_config
from minied.errors import UserError
from minied.levels.features import feature_vector, neighbour_distances
from minied.scores.base import Signals, score_levels
from minied.scores.correlation import rank_correlation
from minied.students.base import Parameters, Student
from minied.teachers.scoring import NUM_NEIGHBOURS
from minied.train.config import TrainConfig
from minied.train.playing import probe_of
from minied.train.program import Program
from minied.train.setting import Setting
from minied_envs.maze import Maze, exact, metrics
from minied_envs.maze.enumeration import enumerate_levels
from minied_envs.maze.level import MazeLevel

OPTIONS = [
    "--teacher", "domain_randomization",
    "--env.height", "5", "--env.width", "5", "--env.max-steps", "50",
    "--env.levels.num-walls", "3", "--env.levels.holdout", "0", "--env.levels.no-solvable-only",
    "--network.memory", "none", "--network.num-value-heads", "3", "--network.num-policy-heads", "3",
    # So that students end up good at opposite corners as well, one pair of a start and a goal in 600.
    "--ppo.entropy-coefficient", "0.1", "--ppo.anneal", "linear",
]  # fmt: skip
MOST_AT_ONCE = 256  # levels that are played side by side: what bounds the memory
KEY_NUMBER = 0x7E57  # names the keys of the rollouts that are scored


class Bench(struct.PyTreeNode):
    """The levels, and what is known of them without a student."""

    levels: MazeLevel  # [L, ...]
    neighbours: jax.Array  # f32[L, k], the signal `neighbour_distances`
    solvable: jax.Array  # bool[L], within the horizon


class Measured(struct.PyTreeNode):
    """What one student came to at one point of training."""

    regret: jax.Array  # f32[], exact, mean over all levels
    solve_rate: jax.Array  # f32[], exact, mean over the solvable levels
    estimation_error: jax.Array  # f32[], mean over all levels of the regret that was estimated less the exact one
    on_all: dict[str, jax.Array]  # f32[], Spearman's correlation of each score with the exact regret
    on_solvable: dict[str, jax.Array]  # f32[], likewise, over the solvable levels only


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="students")
    parser.add_argument("--env-steps", type=int, default=300_000, help="environment steps of training, each student")
    parser.add_argument(
        "--points", type=float, nargs="+", default=[0.05, 0.12, 1.0], help="when to measure, as shares of training"
    )
    parser.add_argument("--rollouts", type=int, default=4, help="length of a scored rollout, in rollouts of training")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    arguments, options = parser.parse_known_args()
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {arguments.json.absolute().parent}")
    begin = time.perf_counter()
    try:
        sizes = ["--num-seeds", str(arguments.seeds), "--env-steps", str(arguments.env_steps)]
        config = load_config("small/dr", [*OPTIONS, *sizes, *options])
        config = dataclasses.replace(config, updates=config.max_rollouts)  # what the learning rate is annealed over
        points = measure_points(config, arguments.points, arguments.rollouts)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(table(points))
    if arguments.json:
        result = {
            "minied": __version__,
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
            "arguments": sys.argv[1:],
            "seconds": round(time.perf_counter() - begin, 1),
            "config": config.to_dict(),
            "points": points,
        }
        arguments.json.write_text(json.dumps(_plain(result), indent=2) + "\n")


def measure_points(config: TrainConfig, shares: list[float], num_rollouts: int) -> list[dict[str, Any]]:
    """Train, and return what was measured after each share of the training, all values ``[S]``."""
    maze = config.env
    if not isinstance(maze, Maze):
        raise UserError(f"env is {type(maze).__name__}; allowed: maze, of which the exact regret is known")
    if config.network.memory != "none":
        raise UserError(f"network.memory is {config.network.memory!r}; allowed: none, or the regret is not exact")
    if sorted(shares) != shares or not 0 < shares[0] <= shares[-1] <= 1:
        raise UserError(f"points are {shares}; allowed: rising, above 0, at most 1")
    if config.num_steps * num_rollouts < maze.max_steps:
        raise UserError(f"rollouts is {num_rollouts}; allowed: so many that each level finishes an episode")
    program = Program(config)
    state = program.init()
    setting = Setting.of(config).replace(correlations=tuple(registry.names("score")))  # all that any score needs
    bench = bench_of(maze)
    points = []
    for number, share in enumerate(shares):
        state, _ = program.advance(state, max(1, round(share * config.max_rollouts)))
        found = []
        for member in range(config.num_seeds):
            parameters = jax.tree.map(lambda leaf, member=member: leaf[member], state.members.student.parameters)
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(KEY_NUMBER), number), member)
            found.append(jax.device_get(measure(setting, maze, num_rollouts, bench, key, parameters)))
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float64), *found)
        counters = {"env_steps": program.counters(state)["env_steps"], "num_levels": bench.solvable.shape[0]}
        points.append(counters | {field: getattr(stacked, field) for field in Measured.__dataclass_fields__})
        rate, steps = stacked.solve_rate.mean(), counters["env_steps"]
        print(f"after {steps} environment steps: solve rate {rate:.2f}", file=sys.stderr)
    return points


@functools.partial(jax.jit, static_argnums=0)
def bench_of(maze: Maze) -> Bench:
    """Return all levels with at most as many walls as the maze's own have."""
    with jax.ensure_compile_time_eval():
        levels = enumerate_levels(maze, maze.levels.num_walls)
    space = maze.level_space
    features = jax.vmap(lambda level: feature_vector(space, level))(levels)
    slots = jnp.arange(features.shape[0], dtype=jnp.int32)
    neighbours = neighbour_distances(features, slots, features, jnp.ones(slots.shape, bool), NUM_NEIGHBOURS)
    fewest = jax.vmap(lambda level: metrics.fewest_actions(level, maze.width))(levels)
    return Bench(levels, neighbours, fewest <= maze.max_steps)


def measure(
    setting: Setting, maze: Maze, num_rollouts: int, bench: Bench, key: jax.Array, parameters: Parameters
) -> Measured:
    """Return how each score ranks the levels, for one student. Consumes ``key``."""
    # One call a chunk: inside a loop of the compiled program the gradients of single levels are several times slower on CPU.
    played = []
    for start in range(0, bench.solvable.shape[0], MOST_AT_ONCE):
        chunk = jax.tree.map(lambda leaf, start=start: leaf[start : start + MOST_AT_ONCE], bench.levels)
        played.append(play(setting, maze, num_rollouts, jax.random.fold_in(key, start), chunk, parameters))
    signals, regrets, chances = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *played)
    return correlate(setting, bench, signals, regrets, chances)


@functools.partial(jax.jit, static_argnums=(1, 2))
def play(
    setting: Setting, maze: Maze, num_rollouts: int, key: jax.Array, levels: MazeLevel, parameters: Parameters
) -> tuple[Signals, jax.Array, jax.Array]:
    """Return the signals of each level, its exact regret and its chance to be solved. Consumes ``key``."""
    signals = probe_of(setting, parameters)(key, levels, num_rollouts).signals

    def known(level: MazeLevel, row: Any) -> tuple[jax.Array, jax.Array]:
        policy = policy_of(setting.student, parameters, row)
        return exact.exact_regret(maze, level, policy), exact.solve_probability(maze, level, policy)

    # A row is the student's memory in one environment of a rollout; here there is nothing in it but which head acts.
    rows = jax.tree.map(lambda leaf: leaf[:, None], setting.student.initial_carry(signals.ended.shape[0]))
    # The share of maxima is no level's own: `score_levels` sets it.
    return signals.replace(max_share=None), *jax.vmap(known)(levels, rows)


@jax.jit
def correlate(setting: Setting, bench: Bench, signals: Signals, regrets: jax.Array, chances: jax.Array) -> Measured:
    """Return how each score ranks the levels; arguments ``[L, ...]``, see `play`."""
    # Beyond the sixth decimal there is rounding only, which must not put levels in an order.
    regrets = jnp.round(regrets, 6)
    signals = signals.replace(neighbour_distances=bench.neighbours)
    on_all, on_solvable = {}, {}
    for name in setting.correlations:
        scores, valid, _ = score_levels(registry.load("score", name), signals)
        on_all[name] = rank_correlation(scores, regrets, valid)
        on_solvable[name] = rank_correlation(scores, regrets, valid & bench.solvable)
    estimated = signals.optimal_return - signals.episodes.mean_return
    solve_rate = jnp.sum(jnp.where(bench.solvable, chances, 0.0)) / jnp.sum(bench.solvable)
    return Measured(regrets.mean(), solve_rate, jnp.mean(estimated - regrets), on_all, on_solvable)


def policy_of(student: Student, parameters: Parameters, row: Any) -> exact.Policy:
    """Return the policy that acts in a row of a rollout; ``row`` is its memory, ``[1, ...]``."""

    def policy(observation: Any) -> jax.Array:
        sequence = jax.tree.map(lambda leaf: leaf[None, None], observation)
        _, logits, _ = student.apply(parameters, row, sequence, jnp.ones((1, 1), bool))
        return jax.nn.softmax(logits[0, 0])

    return policy


# -- the table --------------------------------------------------------------------------------------------------------


def table(points: list[dict[str, Any]]) -> str:
    """Return a Markdown table, the scores in the order of their mean over the points, best first."""
    last = points[-1]
    columns = [point["on_all"] for point in points] + [last["on_solvable"]]
    titles = [f"{point['env_steps']:,} steps" for point in points] + ["the last, solvable levels"]
    about = [[_cell(point[field]) for point in [*points, last]] for field in ("solve_rate", "regret")]
    rows = [
        ["score", *titles],
        ["---"] * (len(columns) + 1),
        ["*solve rate, of solvable levels*", *about[0]],
        ["*mean regret*", *about[1][:-1], ""],
    ]
    means = {name: np.mean([_mean(point["on_all"][name]) for point in points]) for name in last["on_all"]}
    for name in sorted(means, key=lambda name: (np.isnan(means[name]), -means[name])):
        rows.append([f"`{name}`", *(_cell(column[name]) for column in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _cell(values: np.ndarray) -> str:
    """Return the mean of the defined ones of ``values``, ``f64[S]``, and how far the 95 % interval reaches from it."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return "undefined"
    text = f"{defined.mean():.2f}"
    if defined.size > 1:
        half = stats.t.ppf(0.975, defined.size - 1) * defined.std(ddof=1) / np.sqrt(defined.size)
        text += f" ± {half:.2f}"
    return text if defined.size == values.size else f"{text} (of {defined.size} seeds)"


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON takes it, NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    main()
