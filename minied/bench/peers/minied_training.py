"""Training with minied: seconds an update, environment steps per second.

Timed: ``Program.advance``, which runs ``--iterations-per-timing`` iterations in one call of the compiled loop and waits for
the whole state, as `minied train` calls it (there for ``log_every`` iterations). Not run: evaluation, logging, checkpoints.
Not timed: the first call, of one iteration, which compiles, and the ``--warm-up-calls`` after it.

The run is the preset ``--preset`` with any options of `minied train` on top. As for every command on CPU, each core is a
device unless ``--num-devices`` says otherwise. ``--student FILE.py:Class`` puts another student in the network's place: a
class with ``of(env, network)``. Teachers that replay begin to when their buffer is as full as ``--teacher.minimum-fill``
says; a small one lets the state that most of a training is in be timed, where batches of new levels, of which some teachers
learn nothing, and replayed ones come mixed, by chance. What an iteration computes does not depend on how full the buffer is.

Counting: as told in ``protocol``; steps of all members together.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

# pyright: reportMissingImports=false


def load_student_class(place: str) -> Any:
    """Return the class that ``FILE.py:Class`` names.

    Raises:
        UserError: there is no such file, or no such class in it.
    """
    from minied.errors import UserError

    file, _, name = place.rpartition(":")
    if not (name and Path(file).is_file()):
        raise UserError(f"--student is {place!r}; allowed: FILE.py:Class, of a file that exists")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise UserError(f"--student is {place!r}; allowed: a file of Python, FILE.py:Class")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise UserError(f"--student is {place!r}, and {file} has no {name}; allowed: a class with of(env, network)")
    return getattr(module, name)


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    from protocol import Workload

    from minied.commands.shared import use_cores
    from minied.config import load_config

    use_cores()
    config = load_config(options.preset, options.config)

    import jax

    from minied.registry import name_of
    from minied.train.program import Program

    student = load_student_class(options.student).of(config.env, config.network) if options.student else None
    program = Program(config, student)
    state = program.init()
    leaves = jax.tree.leaves(state.members.student.parameters)
    smallest = min(range(len(leaves)), key=lambda index: leaves[index].size)
    before = program.counters(state)
    iterations = 1  # of the first call; every later one has as many as was asked for

    def call() -> tuple[Any, Any]:
        nonlocal state, iterations
        state, _ = program.advance(state, program.counters(state)["iterations"] + iterations)
        iterations = options.iterations_per_timing
        return state, jax.tree.leaves(state.members.student.parameters)[smallest]

    def count() -> dict[str, int]:
        nonlocal before
        now = program.counters(state)
        done = {name: now[name] - before[name] for name in now}
        before = now
        return {
            "steps": done["env_steps"] * config.num_seeds,
            "learnt": done["train_steps"] * config.num_seeds,
            "updates": done["iterations"],
            "gradient_updates": done["student_updates"],
        }

    facts = {
        "what": "training",
        "parameters": sum(leaf.size for leaf in leaves) // config.num_seeds,
        "teacher": name_of(type(config.teacher)),
        "num_envs": config.num_envs,
        "num_steps": config.num_steps,
        "num_seeds": config.num_seeds,
        "devices": program.spread.number,
        "divided": program.spread.axis,
        "precision": config.network.precision,
    }
    return Workload(call, count, facts)


def main() -> None:
    """Serve timings of this trainer."""
    from protocol import serve

    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Any option of `minied train` is understood too.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--preset", default="maze/minimax_dr", help="preset or YAML file of the run")
    parser.add_argument(
        "--student", default="", metavar="FILE.py:Class", help="another student than that of the preset"
    )
    parser.add_argument("--iterations-per-timing", type=int, default=8, help="iterations of the loop in a call")
    parser.add_argument("--calls-per-timing", type=int, default=1, help="calls that one answer to `time` covers")
    parser.add_argument("--warm-up-calls", type=int, default=1, help="calls after the first and before `ready`")
    serve(parser, build, ["minied", "flax", "optax", "numpy"], passed_on="config")


if __name__ == "__main__":
    main()
