"""How long until the first update, from the start of the process?

Workload: what a run does up to the end of its first iteration, for a preset: import, config, check, first state, first
call of the compiled loop. (`minied train` also evaluates the untrained student first, unless the world has no suite, and
opens the run's folder; that is not in it.) In a process of its own, first with an empty folder of compiled programs (cold),
then again with what the first has left there (warm); each round has a temporary folder of its own.

Counted: seconds from before the process starts, by stage. What jax tells of itself (tracing, lowering, compiling or fetching
what was compiled) is summed over all programs up to the first update, and so is in the stages too; a program traced inside
of another counts in both. The "second call" is one iteration more. Other options are those of `minied train`.

    python benchmarks/start_up.py --preset quick --rounds 3
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from minied.bench.scripts import main, script_parser
from minied.bench.timing import estimate
from minied.errors import UserError
from minied.run.console import Reporter

_CHILD = "--as-child-started-at"
_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile or fetch",
}


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__, rounds=3)
    parser.add_argument("--preset", default="maze/minimax_dr", help="preset or YAML file of the run")
    arguments, options = parser.parse_known_args()
    seen: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, rows in seen.items():
                reporter.phase(f"{name} start {number + 1} of {arguments.rounds}")
                rows.append(_started(folder, [arguments.preset, *options]))
    told = {
        name: {stage: estimate([row[stage] for row in rows]).to_dict() for stage in rows[0]}
        for name, rows in seen.items()
    }
    return {"rounds": arguments.rounds, "preset": arguments.preset, "options": options, "seconds": told}


def _started(folder: str, words: list[str]) -> dict[str, float]:
    """Return the seconds of each stage of a process whose compiled programs are kept in ``folder``."""
    variables = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, __file__, _CHILD, repr(time.time()), *words]
    done = subprocess.run(command, env=variables | {"MINIED_CACHE_DIR": folder}, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the process failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1][:300]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(started: float, preset: str, options: list[str]) -> None:
    """Do what is timed, and print the seconds of each stage."""
    stages: dict[str, float] = {}
    before = started

    def ends(stage: str) -> None:
        nonlocal before
        now = time.time()
        stages[stage] = now - before
        before = now

    from minied.commands.shared import prepare
    from minied.config import load_config
    from minied.train.program import Program

    jax_says = _listen()
    ends("interpreter and import")
    prepare()
    config = load_config(preset, options)
    ends("config")
    program = Program(config)
    program.check()
    ends("check")
    state = program.init()
    ends("first state")
    state, _ = program.advance(state, 1)
    ends("first update")
    total = before - started
    told = dict(jax_says)
    program.advance(state, 2)
    ends("second call")
    print(json.dumps({"until first update": total} | stages | {f"jax: {name}": value for name, value in told.items()}))


def _listen() -> dict[str, float]:
    """Return the seconds that jax tells of itself, kept up to date."""
    import jax

    seconds = dict.fromkeys(_EVENTS.values(), 0.0)

    def add(event: str, duration_secs: float, **_: Any) -> None:
        if event in _EVENTS:
            seconds[_EVENTS[event]] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(add)
    return seconds


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        child(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        main(script)
