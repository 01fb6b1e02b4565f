"""How many steps a second does training take, with each teacher, and against whom?

Workload: the standard one of the literature (13×13 maze, 32 environments × 256 steps, 5 epochs × 1 minibatch, convolution
of 16 filters, LSTM of 256 units), float32. Every teacher is a process of its own; whole iterations of the compiled loop run,
and the whole state is waited for. Evaluation, logging and checkpoints are not run.

Counted, apart: environment steps that were simulated, and those that students learnt from. First calls, which compile, are
apart too. Teachers that replay do so from the second iteration on: the figure is of the steady state. Where new and replayed
batches come by chance, so do the steps learnt from in a round; "pooled" is over all rounds, and ``--updates replay`` takes
the chance out, for a comparison.

``--against plain`` also times the yardstick, `plain_student.py`, a student as one writes it first, on one device of the
processor; ``--against minimax`` the trainer of minimax, with its metrics of every level on, as shipped, and off. Those that
are compared are timed in turn, and the ratios are of steps learnt from, in the same round. Other options are those of
`minied train`, of minied's own process (and of the yardstick's); a ratio to minimax is of the same work only without any.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --teachers domain_randomization robust_plr accel --against minimax --updates replay
    python benchmarks/training_speed.py --teachers domain_randomization --against plain --rounds 10
"""

import os
from pathlib import Path
from typing import Any

from minied.bench import cases
from minied.bench.cases import Case
from minied.bench.scripts import main, measure_groups, script_parser
from minied.errors import UserError
from minied.run.console import Reporter

PLAIN = f"{os.path.relpath(Path(__file__).with_name('plain_student.py'))}:PlainStudent"  # as told in what is printed
AGAINST = ("plain", "minimax")


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument("--teachers", nargs="+", default=list(cases.TEACHERS), help="registered names")
    parser.add_argument("--against", nargs="*", default=[], choices=AGAINST, help="also time these, in turn")
    parser.add_argument("--iterations", type=int, default=8, help="iterations in a call")
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--updates", choices=("mixed", "replay"), default="mixed", help="replay: replays only")
    arguments, options = parser.parse_known_args()
    return measure_groups([_group(teacher, arguments, options) for teacher in arguments.teachers], arguments, reporter)


def _group(teacher: str, arguments: Any, options: list[str]) -> list[Case]:
    common: dict[str, Any] = {"num_envs": arguments.num_envs, "updates": arguments.updates}
    mine = common | {"iterations": arguments.iterations}
    group = [cases.training(teacher, options, **mine)]
    if "plain" in arguments.against:
        alone = [*options, "--num-devices", "1"]
        group.append(cases.training(teacher, alone, by="plain student, one device", student=PLAIN, **mine))
    if "minimax" in arguments.against:
        if teacher not in cases.TEACHERS:
            raise UserError(f"minimax is not timed with {teacher!r}; allowed: {', '.join(cases.TEACHERS)}")
        group += [cases.minimax_training(teacher, metrics, **common) for metrics in ("on", "off")]
    return group


if __name__ == "__main__":
    main(script)
