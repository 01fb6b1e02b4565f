"""Does the fast loop learn what the plain one does?

The same config and seeds twice: with the student of minied on as many devices as there are cores, and with the yardstick,
`plain_student.py`, on one device. Both start from the same parameters and draw the same random numbers, so at first they may
differ by rounding alone; rounding grows, one day another action is sampled, and from then on the runs of a seed are two
runs. So two questions: how far apart are the parameters after few updates, and is there a difference in the solve rate on
held-out levels at the end, beyond what seeds differ by?

Prints one JSON object.

    python benchmarks/learning_unchanged.py
"""

import argparse
import json
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small/dr")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    arguments, options = parser.parse_known_args()
    options = [*NETWORK, "--num-seeds", str(arguments.seeds), "--env-steps", str(arguments.env_steps), *options]
    fast = load_config(arguments.preset, options)
    plain = load_config(arguments.preset, [*options, "--num-devices", "1"])
    use_cores(fast.num_devices, fast.num_seeds, fast.num_envs, fast.ppo.num_minibatches)
    here = machine.describe()

    students = (None, PlainStudent.of(plain.env, plain.network))
    runs = [_train(config, student) for config, student in zip((fast, plain), students, strict=True)]
    looks = [
        {
            "iterations": count,
            "largest_difference_of_parameters": float(np.max(np.abs(one["parameters"] - other["parameters"]))),
            "largest_parameter": float(np.max(np.abs(other["parameters"]))),
            "training_solve_rate": [float(np.mean(each["solve_rate"])) for each in (one, other)],
        }
        for count, one, other in zip(runs[0]["counts"], runs[0]["looks"], runs[1]["looks"], strict=True)
    ]
    ends = [np.asarray(run["held_out"]) for run in runs]
    difference = ends[0] - ends[1]
    interval = statistics.stratified_bootstrap(
        lambda scores: scores.mean(axis=-2), difference[:, None], generator=np.random.default_rng(0)
    )
    result = {
        "machine": here,
        "preset": arguments.preset,
        "options": options,
        "seeds": arguments.seeds,
        "order": ["fast", "plain"],
        "looks": looks,
        "held_out_solve_rate": [end.tolist() for end in ends],
        "mean": [float(end.mean()) for end in ends],
        "standard_deviation_over_seeds": [float(end.std(ddof=1)) for end in ends],
        "mean_difference": float(difference.mean()),
        "interval_of_the_mean_difference": [float(interval.low[0]), float(interval.high[0])],
    }
    print(json.dumps(result, indent=2))


def _train(config: TrainConfig, student: Any) -> dict[str, Any]:
    program = Program(config, student)
    state = program.init()
    looks, counts = [], []
    for count in LOOKS:
        state, metrics = program.advance(state, count)
        parameters = jax.tree.leaves(jax.device_get(state.members.student.parameters))
        flat = np.concatenate([leaf.reshape(config.num_seeds, -1) for leaf in parameters], axis=1)
        looks.append({"parameters": flat, "solve_rate": metrics["new/solve_rate"]})
        counts.append(count)
        if program.is_finished(state):
            break
    while not program.is_finished(state):
        state, _ = program.advance(state, program.counters(state)["iterations"] + 1000)
    row = evaluate(program, state, suite_of(config, config.env.level_space), config.attempts, program.counters(state))
    return {"looks": looks, "counts": counts, "held_out": row["solve_rate"]}


if __name__ == "__main__":
    main()
