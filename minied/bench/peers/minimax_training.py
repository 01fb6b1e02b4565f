"""Training with minimax's own trainer: seconds an update, environment steps per second.

Timed: ``ExperimentRunner.step`` of minimax, called in a Python loop as its ``train`` calls it, ``--calls-per-timing``
updates in a row without waiting in between (its own loop waits for each, to read the update count); then the whole runner
state is waited for. Not run: evaluation (``test_env_names`` is left out of the recipe), logging, checkpoints. Not timed: the
first call, which compiles, and the ``--warm-up-calls`` after it.

The workload is the recipe that minimax ships (``minimax/config/configs/maze/*.json``), read from the installed package and
put through its own argument parser: 13×13 maze, 32 environments × 256 steps, 5 epochs × 1 minibatch, convolution of 16
filters, LSTM 256. Changed are only

* ``track_env_metrics``, by ``--metrics`` (on in every shipped recipe: shortest paths of every level of every update);
* ``plr_use_robust_plr``, off for ``--method plr``: its plr.json is robust PLR;
* ``plr_min_fill_ratio``, to one level: replay begins with the second update instead of after some 60, so that the state
  that most of a training is in can be timed; what an update computes does not depend on how full the buffer is;
* ``plr_replay_prob``, by ``--updates replay`` (1) or ``new`` (0), so that the two kinds can be timed apart; ``mixed``
  keeps the recipe's. The parallel forms replay in every update.

Counting: "steps" are the environment steps simulated for training, "learnt" those that a gradient step used, "updates" the
calls, "gradient_updates" those in which the student learnt. A replay update of ACCEL simulates twice, for the children. The
parallel forms simulate 2 (PLR) or 3 (ACCEL) times ``--num-envs`` environments in every update and learn from ``--num-envs``.
PAIRED counts both students, and its designer's steps nowhere.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import Any, NamedTuple

# pyright: reportMissingImports=false


class Method(NamedTuple):
    """A method of minimax: its shipped recipe and how often a batch is simulated."""

    recipe: str
    batches: int = 1  # of num_envs environments in every update
    replayed_batches: int = 0  # more of them in an update that learns from replayed levels
    robust: bool = True  # ignored where there is no buffer
    students: int = 1  # each of whom plays and learns from every batch


METHODS = {
    "dr": Method("dr"),
    "paired": Method("paired", students=2),
    "plr": Method("plr", robust=False),
    "robust_plr": Method("plr"),
    "accel": Method("accel", replayed_batches=1),
    "parallel_plr": Method("pplr", batches=2),
    "parallel_accel": Method("paccel", batches=3),
}


def arguments_of(options: argparse.Namespace, configs: pathlib.Path) -> dict[str, str]:
    """Return minimax's command-line arguments for the workload, by name."""
    method = METHODS[options.method]
    shipped = json.loads((configs / f"{method.recipe}.json").read_text())["args"]
    given = {name: str(values[0]) for name, values in shipped.items()}
    del given["test_env_names"]  # without it no evaluation is compiled
    given |= {
        "seed": str(options.seed),
        "n_parallel": str(options.num_envs),
        "n_rollout_steps": str(options.steps),
        "track_env_metrics": str(options.metrics == "on"),
    }
    if "plr_buffer_size" in given:
        given["plr_use_robust_plr"] = str(method.robust)
        given["plr_min_fill_ratio"] = str(1 / int(given["plr_buffer_size"]))
        if options.updates != "mixed":
            given["plr_replay_prob"] = "1.0" if options.updates == "replay" else "0.0"
    return given


def counts_of(method: Method, updates: int, gradient_updates: int, batch: int) -> dict[str, int]:
    """Return what so many updates did; ``batch`` is the environment steps of one batch of rollouts."""
    return {
        "steps": (updates * method.batches + gradient_updates * method.replayed_batches) * method.students * batch,
        "learnt": gradient_updates * method.students * batch,
        "updates": updates,
        "gradient_updates": gradient_updates,
    }


def make_runner(given: dict[str, str]) -> Any:
    """Return minimax's ExperimentRunner for its own arguments."""
    from minimax.arguments import parser
    from minimax.runners import ExperimentRunner

    sys.argv = [sys.argv[0], *(f"--{name}={value}" for name, value in given.items())]  # its parser reads no other place
    parsed = parser.parse_args()
    return ExperimentRunner(
        train_runner=parsed.train_runner,
        env_name=parsed.env_name,
        agent_rl_algo=parsed.agent_rl_algo,
        student_model_name=parsed.student_model_name,
        teacher_model_name=parsed.teacher_model_name,
        train_runner_kwargs=parsed.train_runner_args,
        env_kwargs=parsed.env_args,
        ued_env_kwargs=parsed.ued_env_args,
        student_rl_kwargs=parsed.student_rl_args,
        teacher_rl_kwargs=parsed.teacher_rl_args,
        student_model_kwargs=parsed.student_model_args,
        teacher_model_kwargs=parsed.teacher_model_args,
        eval_kwargs=parsed.eval_args,
        eval_env_kwargs=parsed.eval_env_args,
        n_devices=parsed.n_devices,
    )


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import jax
    import minimax.config
    from protocol import Workload

    method = METHODS[options.method]
    configs = pathlib.Path(minimax.config.__file__).parent / "configs" / "maze"
    given = arguments_of(options, configs)
    runner = make_runner(given)
    # A key of the old kind, as its own trainer makes it.
    state = runner.runner.reset(jax.random.PRNGKey(options.seed))
    leaves = jax.tree_util.tree_leaves(state[1].params)
    num_parameters = sum(leaf.size for leaf in leaves)
    smallest = min(range(len(leaves)), key=lambda index: leaves[index].size)
    calls, learnt_before = 0, 0

    def call() -> tuple[Any, Any]:
        nonlocal state, calls
        _, _, *state = runner.step(state, False)
        calls += 1
        return state, jax.tree_util.tree_leaves(state[1].params)[smallest]

    def count() -> dict[str, int]:
        nonlocal calls, learnt_before
        done, calls = calls, 0
        learnt_now = int(state[1].n_updates[0])
        learnt, learnt_before = learnt_now - learnt_before, learnt_now
        return counts_of(method, done, learnt, options.num_envs * options.steps)

    facts = {"what": "training", "parameters": num_parameters, "recipe": method.recipe, "arguments": given}
    return Workload(call, count, facts)


def main() -> None:
    """Serve timings of this trainer."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    parser.add_argument("--method", choices=tuple(METHODS), default="dr", help="what minimax trains with")
    parser.add_argument("--metrics", choices=("on", "off"), default="on", help="its track_env_metrics; on as shipped")
    parser.add_argument("--updates", choices=("mixed", "replay", "new"), default="mixed", help="which kind is timed")
    serve(parser, build, ["minimax-lib", "flax", "optax", "numpy"])


if __name__ == "__main__":
    main()
