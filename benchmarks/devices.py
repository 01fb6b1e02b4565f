"""One device with threads, or one device a core: which trains sooner?

Workload: as `training_speed.py`; the one process leaves XLA to spread each operation over threads, the other has a device
for each core and its own environments, or members, on each. Timed in turn; on CPU only.

Counted: environment steps learnt from, a second, and the ratio of the first (a device a core) to the second in the same
round. First calls, which compile, are apart. Other options are those of `minied train`.

    python benchmarks/devices.py --rounds 10
"""

from typing import Any

from minied.bench import cases
from minied.bench.scripts import main, measure_groups, script_parser
from minied.commands.shared import usable_cores
from minied.errors import UserError
from minied.run.console import Reporter


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument("--cores", type=int, default=usable_cores(), help="devices of the first process")
    parser.add_argument("--with-teacher", default="domain_randomization", help="registered name")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[32], help="environments side by side")
    parser.add_argument("--iterations", type=int, default=8, help="iterations in a call")
    arguments, options = parser.parse_known_args()
    if arguments.cores < 2:
        raise UserError(f"--cores is {arguments.cores}; allowed: at least 2")

    def case(devices: int, num_envs: int) -> cases.Case:
        return cases.training(
            arguments.with_teacher,
            [*options, "--num-devices", str(devices)],
            by="one device a core" if devices > 1 else "one device",
            iterations=arguments.iterations,
            num_envs=num_envs,
            variables=(("JAX_NUM_CPU_DEVICES", str(devices)),),
        )

    groups = [[case(arguments.cores, num_envs), case(1, num_envs)] for num_envs in arguments.num_envs]
    return measure_groups(groups, arguments, reporter)


if __name__ == "__main__":
    main(script)
