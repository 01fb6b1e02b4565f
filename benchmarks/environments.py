"""How does the speed of training grow with the number of environments?

Workload: as `training_speed.py`, with 32 to 8,192 environments side by side, each number in a process of its own; a larger
batch is another recipe, so no ratio between two numbers compares the same work. One minibatch, as for 32: memory grows with
the number, and on few cores the largest take minutes an update.

Counted, apart: environment steps that were simulated, and those that students learnt from, a second; the most memory held.
First calls, which compile, are apart. Other options are those of `minied train`.

    python benchmarks/environments.py --num-envs 32 128 512 2048 --rounds 3
"""

from typing import Any

from minied.bench import cases
from minied.bench.scripts import main, measure_groups, script_parser
from minied.run.console import Reporter


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__, rounds=3)
    parser.add_argument("--num-envs", type=int, nargs="+", default=[32, 128, 512, 1024, 2048, 8192])
    parser.add_argument("--with-teacher", default="domain_randomization", help="registered name")
    arguments, options = parser.parse_known_args()
    groups = []
    for num_envs in arguments.num_envs:
        iterations = max(1, 256 // num_envs)  # about as many steps in a call, as far as that goes
        groups.append([cases.training(arguments.with_teacher, options, iterations=iterations, num_envs=num_envs)])
    return measure_groups(groups, arguments, reporter)


if __name__ == "__main__":
    main(script)
