"""How long does an evaluation take?

Workload: the held-out suite of a preset, untrained student, so that most episodes last to the horizon: the slowest that an
evaluation can be. Every timing plays the whole suite and waits for the results.

Counted: seconds, and steps a second of the episodes that count (not those of environments that go on while others finish).
The first call, which compiles, is apart. Other options are those of `minied train`.

    python benchmarks/evaluation.py --preset quick
"""

import math
import time
from typing import Any

import jax
import numpy as np

from minied.bench.scripts import main, script_parser
from minied.bench.timing import Timing, estimate, in_turn, rates
from minied.commands.shared import use_cores
from minied.config import load_config
from minied.errors import UserError
from minied.run.console import Reporter
from minied.run.evaluation import evaluation_key, suite_of
from minied.train.program import Program


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument("--preset", default="quick", help="preset or YAML file of the run")
    arguments, options = parser.parse_known_args()
    use_cores()
    config = load_config(arguments.preset, options)
    name = suite_of(config, config.env.level_space)
    if not name:
        raise UserError(f"{arguments.preset} has no suite; allowed: a world that has one")
    program = Program(config)
    state, key = program.init(), evaluation_key(config)
    parts = config.env.level_space.suite(name)

    calls = 1

    def play() -> Timing:
        began = time.perf_counter()
        for _ in range(calls):
            results = [program.evaluate(state, part, key, config.attempts) for part in parts]
        seconds = (time.perf_counter() - began) / calls
        steps = sum(int(np.rint(each.mean_length.sum() * config.attempts)) for each in results)
        episodes = sum(each.mean_length.size * config.attempts for each in results)
        return Timing(seconds, {"steps": steps, "episodes": episodes})

    reporter.phase(f"compiling the evaluation on {name!r}")
    first_call = play().seconds
    calls = math.ceil(arguments.least_seconds / play().seconds)
    reporter.phase("timing it")
    timings = in_turn({"evaluation": play}, arguments.rounds)["evaluation"]
    return {
        "rounds": arguments.rounds,
        "preset": arguments.preset,
        "suite": name,
        "devices": len(jax.devices()),
        "precision": config.network.precision,
        "episodes": timings[0].counts["episodes"],
        "first_call_seconds": first_call,
        "seconds": estimate([timing.seconds for timing in timings]).to_dict(),
        "steps_per_second": rates(timings, "steps").to_dict(),
    }


if __name__ == "__main__":
    main(script)
