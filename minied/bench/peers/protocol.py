"""How a script of a peer is asked for timings; imported by the scripts of this folder alone, without minied.

The script builds its workload and calls it once (compiling), then prints one line of JSON::

    {"ready": true, "first_call_seconds": 14.6, "build_seconds": 3.1, "platform": "cpu", "device": "cpu", "versions": {...},
     "workload": {...}}

Then every line ``time`` on standard input runs ``--calls-per-timing`` calls one after the other (``time 12`` runs twelve),
waits for the whole final state, fetches one number that depends on it, and prints ``{"seconds": .., "steps": .., "witness":
..}`` with whatever else the workload counts. ``quit``, or the end of the input, ends the script. Whatever a peer itself
prints goes to standard error. The lines are few, so that two processes can be timed in turn: A B, B A, ...

The words of the counts are the same in all scripts: "steps" are environment steps simulated, "learnt" those of them that
students learnt from, "updates" iterations, "gradient_updates" those in which a student learnt. "peak_resident_bytes" is the
most memory that the process ever held.

Everything here runs on Python 3.10 and on jax from 0.4.31 on.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Workload(NamedTuple):
    """What a script offers to be timed."""

    call: Callable[[], tuple[Any, Any]]  # one call: the whole state after it, and a small array that depends on its end
    count: Callable[[], dict[str, int]]  # what happened since it was last asked, with "steps" the environment steps
    facts: dict[str, Any]  # what is timed, for the record


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=32, help="environments side by side")
    parser.add_argument("--steps", type=int, default=256, help="environment steps of each environment in a call")
    parser.add_argument("--calls-per-timing", type=int, default=1, help="calls that one answer to `time` covers")
    parser.add_argument("--warm-up-calls", type=int, default=1, help="calls after the first and before `ready`")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    return parser


def serve(
    parser: argparse.ArgumentParser,
    build: Callable[[argparse.Namespace], Workload],
    distributions: Sequence[str],
    passed_on: str | None = None,
) -> None:
    """Run a script: build the workload, say `ready`, answer until the end.

    Args:
        parser: of the script's arguments, made by `argument_parser`.
        build: makes the workload from the arguments; may compile, and is timed as ``build_seconds``.
        distributions: installed packages whose versions are told, besides jax and jaxlib.
        passed_on: name of the option that holds the words that the parser does not know, a list; without it there are none.
    """
    if passed_on is None:
        options = parser.parse_args()
    else:
        options, words = parser.parse_known_args()
        setattr(options, passed_on, words)
    for name in ("num_envs", "steps", "calls_per_timing", "iterations_per_timing"):
        if getattr(options, name, 1) < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more")
    answers = _standard_output_for_answers_alone()
    began = time.perf_counter()
    workload = build(options)
    built = time.perf_counter()
    _timed(workload, 1)
    first = time.perf_counter() - built
    for _ in range(options.warm_up_calls):
        _timed(workload, 1)
    workload.count()  # forget what came before the first timing

    import jax

    device = jax.devices()[0]
    _say(
        answers,
        {
            "ready": True,
            "first_call_seconds": first,
            "build_seconds": built - began,
            "platform": device.platform,
            "device": device.device_kind,
            "versions": _versions([*distributions, "jax", "jaxlib"]),
            "peak_resident_bytes": _peak_resident_bytes(),
            "workload": {**workload.facts, **vars(options)},
        },
    )
    for line in sys.stdin:
        request, *words = line.split() or [""]
        if request == "quit":
            return
        calls = int(words[0]) if words and words[0].isdigit() else options.calls_per_timing
        if request == "time" and calls > 0:
            seconds, witness = _timed(workload, calls)
            counts = workload.count()
            _say(
                answers,
                {"seconds": seconds, "witness": witness, **counts, "peak_resident_bytes": _peak_resident_bytes()},
            )
        elif request:
            _say(answers, {"error": f"unknown request {line.strip()!r}; known: time, time CALLS, quit"})


def _timed(workload: Workload, calls: int) -> tuple[float, float]:
    """Return the seconds that so many calls take until their last state is there, and a number that depends on it."""
    import jax
    import numpy as np

    began = time.perf_counter()
    state, witness = None, None
    for _ in range(calls):
        state, witness = workload.call()
    jax.block_until_ready(state)
    number = float(np.sum(np.asarray(witness, dtype=np.float64)))
    return time.perf_counter() - began, number


def _standard_output_for_answers_alone() -> Any:
    """Return a stream to where standard output went, and send that to standard error: peers print as they like."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _say(answers: Any, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in distributions} | {"python": sys.version.split()[0]}


def _peak_resident_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # told in bytes there, in KiB elsewhere
