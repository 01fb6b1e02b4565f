"""One sweep of 24 members, or 24 processes two at a time: which is done sooner, and what does each compile?

Workload: 4 seeds × 3 learning rates × 2 replay probabilities of the preset `quick` (PLR⊥, 13×13 mazes, 32 environments × 256
steps), so many updates each, evaluated before and after, with a checkpoint at the end. On CPU.

Counted: wall time of everything from the start of the first process to the end of the last; seconds of compiling the
sweep's training program, and those of first chunks, which compile or load it, summed over the processes; seconds in which
chunks were computed (of a sweep those of all members, of processes summed); environment steps of all members. Each way
begins with an empty folder of compiled programs; the 24 processes share one, as they would, so that most of them load what
another has compiled. With `--predict` also what `minied sweep --plan` said of memory and time, beside what was measured.

    python benchmarks/sweep.py --updates 30
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SEEDS, RATES, PROBABILITIES = (0, 1, 2, 3), (1e-4, 3e-4, 1e-3), (0.5, 0.8)
MINIED = [sys.executable, "-m", "minied.cli"]
OPTIONS = ["--evaluate-every", "0", "--checkpoint-every", "0"]


def sweep_file(folder: Path) -> None:
    data = {
        "base": "quick",
        "grid": {"ppo.learning_rate": RATES, "teacher.replay_probability": PROBABILITIES, "seed": SEEDS},
    }
    (folder / "sweep.yaml").write_text(json.dumps(data))  # JSON is YAML


def rows_of(runs: list[Path]) -> dict[str, Any]:
    timing = [[json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()] for run in runs]
    return {
        "env_steps": sum(rows[-1]["env_steps"] for rows in timing),
        "first_chunk_seconds": [rows[0]["seconds"] for rows in timing],
        "training_seconds": [sum(row["seconds"] for row in rows) for rows in timing],
    }


def as_sweep(folder: Path, options: list[str]) -> dict[str, Any]:
    sweep_file(folder)
    environment = os.environ | {"MINIED_CACHE_DIR": str(folder / "cache_sweep")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    start = time.monotonic()
    command = [*MINIED, "sweep", "sweep.yaml", "--sweep-dir", "sweep", "--no-pictures", *options]
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    assert status == 0, (folder / "out.txt").read_text()
    told = [line for line in (folder / "out.txt").read_text().splitlines() if line.startswith("group")]
    compiled = sum(float(line.split("compiled in ")[1].split(" s")[0]) for line in told)
    rows = rows_of(sorted((folder / "sweep/members").iterdir()))
    return {
        "wall_seconds": round(seconds, 1),
        "env_steps": rows["env_steps"],
        "plan": told,
        "compile_seconds": round(compiled, 1),
        "training_seconds": round(max(rows["training_seconds"]), 1),
        "peak_resident_gib": round(usage.ru_maxrss / 2**20, 2),
    }


def as_processes(folder: Path, options: list[str], at_once: int) -> dict[str, Any]:
    environment = os.environ | {"MINIED_CACHE_DIR": str(folder / "cache_processes"), "JAX_NUM_CPU_DEVICES": "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    runs, commands = [], []
    for rate, probability, seed in itertools.product(RATES, PROBABILITIES, SEEDS):
        runs.append(folder / f"run{len(runs):02}")
        setting = [
            "--ppo.learning-rate",
            str(rate),
            "--teacher.replay-probability",
            str(probability),
            "--seed",
            str(seed),
        ]
        commands.append(
            [*MINIED, "train", "quick", "--run-dir", str(runs[-1]), "--quiet", "--no-pictures", *setting, *options]
        )
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(
            lambda command: subprocess.run(command, env=environment, check=True, capture_output=True), commands
        ):
            pass
    seconds = time.monotonic() - start
    rows = rows_of(runs)
    return {
        "wall_seconds": round(seconds, 1),
        "env_steps": rows["env_steps"],
        "first_chunk_seconds": round(sum(rows["first_chunk_seconds"]), 1),
        "training_seconds": round(sum(rows["training_seconds"]), 1),
    }


def compared_rows(folder: Path) -> dict[str, Any]:
    """How many members wrote the very rows of their processes, and, of the others, which metrics differ and by how much."""
    names, same, pairs = ("metrics.jsonl", "evaluations.jsonl"), 0, 0
    differing: dict[str, float] = {}
    for member, run in zip(sorted((folder / "sweep/members").iterdir()), sorted(folder.glob("run??")), strict=True):
        pairs += 1
        same += all((member / name).read_bytes() == (run / name).read_bytes() for name in names)
        ours, theirs = (
            [json.loads(line) for name in names for line in (each / name).read_text().splitlines()]
            for each in (member, run)
        )
        for mine, other in zip(ours, theirs, strict=True):
            for name, (a, b) in _numbers_that_differ(mine, other).items():
                differing[name] = max(differing.get(name, 0.0), abs(a - b) / max(abs(a), abs(b)))
    return {"members": pairs, "same_bytes": same, "largest_relative_difference": differing}


def _numbers_that_differ(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, value in mine.items():
        if isinstance(value, dict):
            found |= _numbers_that_differ(value, other[name])
        elif value != other[name]:
            found[name] = (float(value), float(other[name]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--at-once", type=int, default=2, help="processes at a time")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--predict", action="store_true", help="also predict memory and time, with `--plan`")
    arguments = parser.parse_args()
    options = [*OPTIONS, "--updates", str(arguments.updates)]
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            told: dict[str, Any] = {"round": number, "updates": arguments.updates}
            if arguments.predict:
                sweep_file(folder)
                command = [*MINIED, "sweep", "sweep.yaml", "--plan", "--json", *options]
                planned = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
                told["predicted"] = json.loads(planned.stdout)["groups"]
            told["sweep"] = as_sweep(folder, options)
            told["processes"] = as_processes(folder, options, arguments.at_once)
            told["ratio_of_wall_times"] = round(told["processes"]["wall_seconds"] / told["sweep"]["wall_seconds"], 2)
            told["rows"] = compared_rows(folder)
            print(json.dumps(told, indent=2), flush=True)


if __name__ == "__main__":
    main()
