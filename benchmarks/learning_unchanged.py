"""Does the fast loop learn what the plain one does?

The same config and seeds twice: with the student of minied, its environments spread over a device a core, and with the
yardstick, `plain_student.py`, on one device. Both start from the same parameters and draw the same random numbers, so at
first they may differ by rounding alone; rounding grows, one day another action is sampled, and from then on the runs of a
seed are two runs. So two questions: how far apart are the parameters after few updates, and is there a difference in the
solve rate on held-out levels at the end, beyond what seeds differ by?

Not the standard workload, which two cores do not finish ten times: small mazes, and an LSTM of 64 units.

Prints one JSON object.

    python benchmarks/learning_unchanged.py
"""

import argparse
import json
import sys
from typing import Any

import jax
import numpy as np
from plain_student import PlainStudent

from minied.bench import machine
from minied.commands.shared import use_cores
from minied.config import load_config
from minied.evaluate import statistics
from minied.run.evaluation import evaluate, suite_of
from minied.train.config import TrainConfig
from minied.train.program import Program

NETWORK = [
    "--network.memory",
    "lstm",
    "--network.memory-size",
    "64",
    "--ppo.num-minibatches",
    "1",
    "--ppo.num-epochs",
    "5",
]
LOOKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Iterations after which the two are compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="small/dr")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    arguments, options = parser.parse_known_args()
    use_cores()
    here = machine.describe()
    options = [*NETWORK, "--env-steps", str(arguments.env_steps), *options]
    # One run after the other: several members would each have a device of their own, and the environments none.
    runs = []
    for seed in range(arguments.seeds):
        print(f"seed {seed + 1} of {arguments.seeds}", file=sys.stderr, flush=True)
        runs.append(_both(arguments.preset, [*options, "--seed", str(seed)]))
    ends = np.array([[run["held_out"] for run in both] for both in runs])  # [seeds, 2]
    difference = ends[:, 0] - ends[:, 1]
    interval = statistics.stratified_bootstrap(
        lambda scores: scores.mean(axis=-2), difference[:, None], generator=np.random.default_rng(0)
    )
    result = {
        "machine": here,
        "preset": arguments.preset,
        "options": options,
        "seeds": arguments.seeds,
        "order": ["fast", "plain"],
        "spread": [run["spread"] for run in runs[0]],
        "looks": _looks(runs),
        "held_out_solve_rate": ends.T.tolist(),
        "mean": ends.mean(axis=0).tolist(),
        "standard_deviation_over_seeds": ends.std(axis=0, ddof=1).tolist(),
        "mean_difference": float(difference.mean()),
        "interval_of_the_mean_difference": [float(interval.low[0]), float(interval.high[0])],
    }
    print(json.dumps(result, indent=2))


def _both(preset: str, options: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what came of the fast and of the plain run of one seed."""
    fast, plain = load_config(preset, options), load_config(preset, [*options, "--num-devices", "1"])
    return _train(fast, None), _train(plain, PlainStudent.of(plain.env, plain.network))


def _looks(runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return how far apart the two were after so many iterations: the largest difference of any parameter of any seed."""
    looks = []
    for index, count in enumerate(runs[0][0]["counts"]):
        pairs = [(fast["looks"][index], plain["looks"][index]) for fast, plain in runs]
        apart = [float(np.max(np.abs(one["parameters"] - other["parameters"]))) for one, other in pairs]
        rates = np.array([[float(np.mean(each["solve_rate"])) for each in pair] for pair in pairs])
        looks.append({
            "iterations": count,
            "largest_difference_of_parameters": max(apart),
            "median_over_seeds": float(np.median(apart)),
            "training_solve_rate": rates.mean(axis=0).tolist(),
        })  # fmt: skip
    return looks


def _train(config: TrainConfig, student: Any) -> dict[str, Any]:
    program = Program(config, student)
    state = program.init()
    looks, counts = [], []
    for count in LOOKS:
        state, metrics = program.advance(state, count)
        parameters = jax.tree.leaves(jax.device_get(state.members.student.parameters))
        flat = np.concatenate([leaf.reshape(-1) for leaf in parameters])
        looks.append({"parameters": flat, "solve_rate": metrics["new/solve_rate"]})
        counts.append(count)
        if program.is_finished(state):
            break
    while not program.is_finished(state):
        state, _ = program.advance(state, program.counters(state)["iterations"] + 1000)
    row = evaluate(program, state, suite_of(config, config.env.level_space), config.attempts, program.counters(state))
    told = f"{program.spread.axis}, {program.spread.number} devices"
    return {"looks": looks, "counts": counts, "held_out": float(np.mean(row["solve_rate"])), "spread": told}


if __name__ == "__main__":
    main()
