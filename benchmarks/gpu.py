"""How fast is training on this GPU, and what bounds it? All that is claimed of a GPU, in one call of under ten minutes.

Workload: the standard one of the literature (13×13 maze, 256 steps, 5 epochs × 1 minibatch, convolution of 16 filters, LSTM
of 256 units), domain randomisation, 32, 1,024 and 8,192 environments, and 32 members of 32 environments (aggregate). Each
case is a process of its own, one after the other; the first call, which compiles, is apart. Precisions are cases of their
own and stand in no common column. At 32 environments also with loops recorded as command buffers, as `minied train
--loop-capture` has them.

Bounds: the kernels that one iteration launched, counted in a profile of one at 32 environments, beside the dependent steps
of its chain, T + epochs · 2 T; and for each case the arithmetic that it did a second, of 13.93 MFLOP a step learnt from
(the network forwards in the rollout, forwards and backwards in every epoch). Where kernels a step times their launch is all
the time, launches bound it; where the arithmetic is near the processor's, that does.

    python benchmarks/gpu.py
"""

import argparse
import collections
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

from minied.bench import cases, machine
from minied.bench.measure import measure
from minied.bench.scripts import main, script_parser, surviving
from minied.commands.shared import LOOP_CAPTURE
from minied.errors import UserError
from minied.run.console import Reporter

FLOP_A_STEP = 13.93e6
LEAST_SECONDS = 2.0
"""Of a timing: all cases shall fit ten minutes."""
ALONE = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
"""One process at a time has the GPU."""
CAPTURE = ("XLA_FLAGS", LOOP_CAPTURE)


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__, rounds=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 1024, 8192], help="environments")
    parser.add_argument("--precisions", nargs="+", default=["tf32", "bfloat16"], help="of --network.precision")
    parser.add_argument("--members", type=int, default=32, help="of 32 environments each; 0: leave them out")
    parser.add_argument(
        "--without-gpu", action="store_true", help="run on what there is; its figures say nothing of a GPU"
    )
    arguments = parser.parse_args()
    platform, kind, _ = machine.accelerator()
    if platform != "gpu" and not arguments.without_gpu:
        raise UserError(
            f"jax computes on {platform} ({kind}) here; allowed: a GPU, or --without-gpu to see that it runs"
        )
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for case in _cases(arguments):
        with surviving(case, failed, reporter):
            done = measure([case], arguments.rounds, reporter, platform=platform, least_seconds=LEAST_SECONDS)
            rows += [_row(each) for each in done]
    reporter.phase("counting kernels")
    return {"rounds": arguments.rounds, "measurements": rows, "failed": failed, "kernels": _kernels()}


def _cases(arguments: argparse.Namespace) -> list[cases.Case]:
    chosen = []
    for num_envs in arguments.sizes:
        for precision in arguments.precisions:
            chosen.append(_case(num_envs, precision))
    chosen.append(_case(32, "float32"))
    chosen.append(_case(32, arguments.precisions[0], variables=(ALONE, CAPTURE), by="minied, loops captured"))
    if arguments.members:
        chosen.append(_case(32, arguments.precisions[0], members=arguments.members, by=f"{arguments.members} members"))
    return chosen


def _case(num_envs: int, precision: str, members: int = 1, variables: Any = (ALONE,), **how: Any) -> cases.Case:
    options = ["--network.precision", precision, "--num-seeds", str(members)]
    return cases.training(
        options=options, num_envs=num_envs, iterations=max(1, 1024 // num_envs), variables=variables, **how
    )


def _row(measurement: Any) -> dict[str, Any]:
    row = measurement.to_dict()
    return row | {"teraflops": measurement.rate("learnt").median * FLOP_A_STEP / 1e12}


def _kernels() -> dict[str, Any]:
    """Return what one iteration at 32 environments launched on the GPU, by the profiler of JAX; null on other devices."""
    import jax

    from minied.config import load_config
    from minied.train.program import Program

    config = load_config("maze/minimax_dr", ["--network.precision", "tf32", "--num-devices", "1"])
    program = Program(config)
    state = program.init()
    for count in (1, 2):
        state, _ = program.advance(state, count)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            program.advance(state, 3)
        traces = sorted(Path(folder).rglob("*.trace.json.gz"))
        events = json.loads(gzip.decompress(traces[-1].read_bytes()))["traceEvents"] if traces else []
    names = {e["pid"]: e["args"]["name"] for e in events if e.get("ph") == "M" and e["name"] == "process_name"}
    streams = {
        (e["pid"], e["tid"]) for e in events if e.get("name") == "thread_name" and "Stream" in e["args"].get("name", "")
    }
    kernels = [
        e for e in events
        if e.get("ph") == "X" and "GPU" in names.get(e["pid"], "") and (e["pid"], e["tid"]) in streams
    ]  # fmt: skip
    chain = config.num_steps * (1 + 2 * config.ppo.num_epochs)
    if not kernels:
        return {"launched": None, "steps_of_the_chain": chain}
    most = collections.Counter(e["name"] for e in kernels).most_common(20)
    return {
        "launched": len(kernels),
        "steps_of_the_chain": chain,
        "kernels_a_step": len(kernels) / chain,
        "busy_seconds": sum(e["dur"] for e in kernels) / 1e6,
        "most_launched": dict(most),
    }


if __name__ == "__main__":
    main(script)
