"""What does the teacher itself cost?

The standard workload of the literature (13×13 maze, 32 environments × 256 steps, 5 epochs, LSTM of 256 units). Teachers that
learn from every batch they play are compared with domain randomisation iteration by iteration: both simulate and learn from
the same number of steps, so what is left is the teacher. PLR is split into its two kinds of iteration: only replaying (draw,
rescore) and only new levels (score, insert), on a full buffer. The other teachers play more than they learn from: for them
seconds an environment step, over that of domain randomisation, are printed as well.

Programs are timed in turn (A B C … then C … B A) so that a machine that slows down slows all of them. Prints JSON.

    python benchmarks/teacher_cost.py
"""

import argparse
import json
import platform
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from minied import __version__
from minied.config import load_config
from minied.train.program import Program

FULL = ["--teacher.minimum-fill", "0.001"]
CASES = {
    "domain_randomization": ["--teacher", "domain_randomization"],
    "replay iterations, C = 4000": ["--teacher", "plr", "--teacher.replay-probability", "1", *FULL],
    "replay iterations, C = 100000": [
        "--teacher", "plr", "--teacher.replay-probability", "1", "--teacher.buffer-size", "100000", *FULL,
    ],
    "new iterations, C = 4000": ["--teacher", "plr", "--teacher.replay-probability", "0"],
    "new iterations, C = 100000": [
        "--teacher", "plr", "--teacher.replay-probability", "0", "--teacher.buffer-size", "100000",
    ],
    "robust_plr": ["--teacher", "robust_plr", *FULL],
    "robust_plr, C = 100000": ["--teacher", "robust_plr", "--teacher.buffer-size", "100000", *FULL],
    "accel": ["--teacher", "accel", *FULL],
    "parallel_plr": ["--teacher", "parallel_plr", *FULL],
    "parallel_accel": ["--teacher", "parallel_accel", *FULL],
    "learned_mixture": ["--teacher", "learned_mixture", *FULL],
    "map_elites": ["--teacher", "map_elites", "--teacher.features", "num_walls", "shortest_path", *FULL],
    "sfl": ["--teacher", "sfl", "--teacher.num-candidates", "1024", "--teacher.candidate-rollouts", "2",
            "--teacher.refresh-every", "8"],
    "ncc": ["--teacher", "ncc"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=8, help="iterations in each timed call")
    parser.add_argument("--rounds", type=int, default=4, help="timed calls of each program, an even number")
    parser.add_argument(
        "--only", nargs="*", default=list(CASES), help="which cases; domain_randomization is always run"
    )
    arguments, options = parser.parse_known_args()
    names = list(dict.fromkeys(["domain_randomization", *arguments.only]))
    programs = {name: Timed(name, CASES[name] + options) for name in names}
    for turn in range(arguments.rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            programs[name].run(arguments.iterations)
    base = programs["domain_randomization"]
    result = {
        "minied": __version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
        "cases": {name: program.result(base) for name, program in programs.items()},
    }
    print(json.dumps(result, indent=2))


class Timed:
    """A program, warm and with a full buffer, and the times of its calls."""

    def __init__(self, name: str, options: list[str]) -> None:
        self.name = name
        self.config = load_config("maze/minimax_dr", options)
        self.program = Program(self.config)
        self.state = self.program.init()
        self.state, _ = self.program.advance(self.state, 3)
        self.state = self.state.replace(members=_filled(self.state.members))
        self.seconds: list[float] = []
        self.steps: list[int] = []

    def run(self, iterations: int) -> None:
        """Time one call."""
        before = self.program.counters(self.state)
        start = time.perf_counter()
        self.state, _ = self.program.advance(self.state, before["iterations"] + iterations)
        self.seconds.append((time.perf_counter() - start) / iterations)
        self.steps.append((self.program.counters(self.state)["env_steps"] - before["env_steps"]) // iterations)

    def result(self, base: "Timed") -> dict[str, Any]:
        """Return the times, and their ratios to those of ``base`` in the same round."""
        ratios = sorted(mine / theirs for mine, theirs in zip(self.seconds, base.seconds, strict=True))
        a_step = [
            (mine / steps) / (theirs / base_steps)
            for mine, steps, theirs, base_steps in zip(self.seconds, self.steps, base.seconds, base.steps, strict=True)
        ]
        return {
            "seconds_an_iteration": round(statistics.median(self.seconds), 4),
            "over_domain_randomization": round(statistics.median(ratios), 3),
            "spread": [round(ratios[0], 3), round(ratios[-1], 3)],
            "over_domain_randomization_an_environment_step": round(statistics.median(a_step), 3),
        }


def _filled(members: Any) -> Any:
    """Return members whose buffers are full of scored levels, so that none is faster for being empty."""

    def fill(leaf: Any) -> Any:
        if not hasattr(leaf, "filled"):
            return leaf
        scores = jax.random.uniform(jax.random.key(0), leaf.scores.shape)
        return leaf.replace(filled=jnp.ones_like(leaf.filled), scores=scores)

    teacher = jax.tree.map(fill, members.teacher, is_leaf=lambda node: hasattr(node, "filled"))
    return members.replace(teacher=teacher)


if __name__ == "__main__":
    main()
