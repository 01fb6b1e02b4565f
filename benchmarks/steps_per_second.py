"""How many steps a second does training take, compile time apart?

The standard workload of the literature: 13×13 maze, 32 environments × 256 steps, 5 epochs × 1 minibatch, convolution of 16
filters and an LSTM of 256 units. Every timed call runs whole iterations of the compiled loop and waits for the state.
Prints one JSON object.

    python benchmarks/steps_per_second.py --teacher robust_plr
"""

import argparse
import json
import platform
import statistics
import time

import jax

from minied import __version__
from minied.config import load_config
from minied.train.program import Program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", default="robust_plr", choices=("domain_randomization", "robust_plr", "plr"))
    parser.add_argument("--iterations", type=int, default=8, help="iterations in each timed call")
    parser.add_argument("--calls", type=int, default=7, help="timed calls")
    parser.add_argument("--num-seeds", type=int, default=1)
    arguments, options = parser.parse_known_args()

    options = ["--teacher", arguments.teacher, "--num-seeds", str(arguments.num_seeds), *options]
    if arguments.teacher != "domain_randomization":
        # Warm after eight batches instead of 63: the figure is of the steady state, new and replayed batches mixed.
        options += ["--teacher.minimum-fill", "0.064"]
    config = load_config("maze/minimax_dr", options)
    program = Program(config)
    state = program.init()

    start = time.perf_counter()
    state, _ = program.advance(state, 1)
    first_call = time.perf_counter() - start
    state, _ = program.advance(state, 12)  # past the warm-up of the buffer

    rates, seconds = [], []
    for _ in range(arguments.calls):
        before = program.counters(state)
        start = time.perf_counter()
        state, _ = program.advance(state, before["iterations"] + arguments.iterations)
        seconds.append(time.perf_counter() - start)
        done = {name: value - before[name] for name, value in program.counters(state).items()}
        rates.append({name: done[name] * config.num_seeds / seconds[-1] for name in ("env_steps", "train_steps")})

    result = {
        "minied": __version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
        "teacher": arguments.teacher,
        "num_seeds": arguments.num_seeds,
        "num_envs": config.num_envs,
        "num_steps": config.num_steps,
        "first_call_seconds": round(first_call, 2),
        "seconds_an_iteration": [round(s / arguments.iterations, 3) for s in seconds],
        "env_steps_per_second_median": round(statistics.median(rate["env_steps"] for rate in rates)),
        "train_steps_per_second_median": round(statistics.median(rate["train_steps"] for rate in rates)),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
