"""Members in one process, or as many processes: which gets more seeds done?

Workload: S members of the standard workload (13×13 maze, 32 environments × 256 steps, 5 epochs, LSTM of 256 units), once
side by side in one process, once as S processes of one member each that run at the same time on the same cores, timed in
turn.

Counted: environment steps learnt from a second, of all members together; of the processes until the last has answered. First
calls, which compile, are apart: one for the one process, and the sum for the others, which compile one after the other here.
Every process has memory of its own; ``--members 1 4`` if 16 of them do not fit. Other options are those of `minied train`.

    python benchmarks/members.py --members 1 4 16
"""

import contextlib
from typing import Any

from minied.bench import cases, machine
from minied.bench.measure import timing_of, timing_of_all
from minied.bench.peers.process import Peer, start_peer
from minied.bench.scripts import main, script_parser
from minied.bench.timing import in_turn, rates, ratio
from minied.commands.shared import usable_cores
from minied.run.console import Reporter


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--with-teacher", default="domain_randomization", help="registered name")
    parser.add_argument("--iterations", type=int, default=4, help="iterations in a timing")
    arguments, options = parser.parse_known_args()
    return {
        "rounds": arguments.rounds,
        "members": {str(number): _compare(number, arguments, options, reporter) for number in arguments.members},
    }


def _compare(number: int, arguments: Any, options: list[str], reporter: Reporter) -> dict[str, Any]:
    """Return what S members come to in one process and in S."""
    with contextlib.ExitStack() as stack:

        def opened(*more: str) -> Peer:
            case = cases.training(arguments.with_teacher, [*options, *more], iterations=arguments.iterations)
            return stack.enter_context(start_peer(case.script, case.arguments, machine.accelerator()[0]))

        reporter.phase(f"starting {number} members in one process")
        together = opened("--num-seeds", str(number))
        # A process for each core or more: none of them should spread itself over all cores.
        alone = ["--num-devices", "1"] if number >= usable_cores() else []
        apart = []
        for seed in range(number):
            reporter.phase(f"starting process {seed + 1} of {number}")
            apart.append(opened("--seed", str(seed), *alone))
        reporter.phase(f"timing {number} members in one process and in {number}, in turn")
        timings = in_turn(
            {"one process": lambda: timing_of(together), "processes": lambda: timing_of_all(apart)}, arguments.rounds
        )
        faster = ratio(timings["one process"], timings["processes"], "learnt")
        peers = {"one process": [together], "processes": apart}
        told = {
            name: {
                "train_steps_per_second": rates(each, "learnt").to_dict(),
                "env_steps_per_second": rates(each, "steps").to_dict(),
                "first_call_seconds": sum(peer.ready["first_call_seconds"] for peer in peers[name]),
                "peak_resident_bytes": sum(peer.last["peak_resident_bytes"] for peer in peers[name]),
                "workload": peers[name][0].ready["workload"],
            }
            for name, each in timings.items()
        }
        return told | {"one_process_over_processes": faster and faster.to_dict()}


if __name__ == "__main__":
    main(script)
