"""How much memory does training hold at most?

Workload: as `training_speed.py`, for some iterations, each teacher in a process of its own. ``--against minimax`` measures
its trainer too.

Counted: the most bytes of main memory that the process ever held, compiling included, at the end of the timings; on an
accelerator its own memory is not in it. The speed that is printed too is measured in short. Other options are those of
`minied train`.

    python benchmarks/memory.py --teachers domain_randomization accel --num-envs 32 1024
"""

from typing import Any

from minied.bench import cases
from minied.bench.scripts import main, measure_groups, script_parser
from minied.run.console import Reporter


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__, rounds=1)
    parser.set_defaults(least_seconds=0.1)
    parser.add_argument("--teachers", nargs="+", default=["domain_randomization", "robust_plr", "accel"])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[32])
    parser.add_argument("--against", nargs="*", default=[], choices=("minimax",))
    arguments, options = parser.parse_known_args()
    groups = []
    for num_envs in arguments.num_envs:
        for teacher in arguments.teachers:
            ours = cases.training(teacher, options, iterations=4, num_envs=num_envs)
            theirs = [cases.minimax_training(teacher, "on", num_envs)] if arguments.against else []
            groups.append([ours, *theirs])
    return measure_groups(groups, arguments, reporter)


if __name__ == "__main__":
    main(script)
