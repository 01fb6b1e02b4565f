"""Where does the time of one update go?

Workload: one iteration that learns, at the standard workload of the literature (13×13 maze, 32 environments × 256 steps, 5
epochs × 1 minibatch, LSTM of 256 units), with a teacher that replays. Each part is compiled by itself, on one device, and
timed on what it gets in the whole (of several students, one; a teacher that designs does so in "propose levels" and
learns in "observe"); see `minied.bench.parts` for what each holds, and why they need not add up to the whole.

Counted: seconds a call, and each part's share of the whole in the same round. First calls, which compile, are not timed.
Options of `minied train` are understood too.

    python benchmarks/update_parts.py --teacher accel
"""

from typing import Any

from minied.bench.cases import STEADY
from minied.bench.parts import parts_of_update
from minied.bench.scripts import main, script_parser
from minied.bench.timing import estimate, in_turn, ratio, timed_calls
from minied.config import load_config
from minied.run.console import Reporter

REPLAYING = ["--teacher", "robust_plr", "--teacher.replay-probability", "1", *STEADY]


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--preset", default="maze/minimax_dr", help="preset or YAML file; without --teacher, PLR⊥ that replays"
    )
    arguments, options = parser.parse_known_args()
    chosen = any(each.partition("=")[0] == "--teacher" for each in options)
    config = load_config(arguments.preset, [*([] if chosen else REPLAYING), *options])
    reporter.phase("compiling the parts")
    parts = parts_of_update(config)
    timed = {name: timed_calls(function, arguments.least_seconds) for name, function in parts.items()}
    reporter.phase("timing them in turn")
    timings = in_turn(timed, arguments.rounds)
    told = {}
    for name, each in timings.items():
        seconds = estimate([timing.seconds / timing.counts["calls"] for timing in each])
        share = ratio(timings["whole"], each, "calls")  # rates of calls: of the whole over the part
        told[name] = {"seconds": seconds.to_dict(), "share_of_whole": share and share.to_dict()}
    return {"rounds": arguments.rounds, "precision": config.network.precision, "parts": told}


if __name__ == "__main__":
    main(script)
