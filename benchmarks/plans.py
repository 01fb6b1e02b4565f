"""How near does `minied sweep --plan` come? Memory and time, predicted and measured.

Workload: a few sweeps of seeds, each planned in one process and run in another, with compiled programs kept between the two.

Counted: memory predicted is what the process held after compiling and what the compiler, with copies of the state, adds to
it; measured is the most that the running process ever held. Time predicted is that of training and evaluations without
compiling, from a timed run of `--plan-seconds`; measured is that of all chunks (evaluations and checkpoints are in neither
`training_seconds`), and the whole process, with its start. On CPU.

    python benchmarks/plans.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MINIED = [sys.executable, "-m", "minied.cli"]
CASES: dict[str, dict[str, Any]] = {
    "small/robust_plr, 8 seeds": {"base": "small/robust_plr", "seeds": 8, "options": {"updates": 100}},
    "small/accel, 8 seeds": {"base": "small/accel", "seeds": 8, "options": {"updates": 60}},
    "quick, 4 seeds": {"base": "quick", "seeds": 4, "options": {"updates": 60}},
    "quick, 256 environments, 2 seeds": {"base": "quick", "seeds": 2, "options": {"updates": 12, "num_envs": 256}},
}


def compared(name: str, case: dict[str, Any], plan_seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        options = case["options"] | {"evaluate_every": 0, "checkpoint_every": 0}
        sweep = {"base": case["base"], "options": options, "grid": {"seed": list(range(case["seeds"]))}}
        (folder / "sweep.yaml").write_text(json.dumps(sweep))  # JSON is YAML
        environment = os.environ | {"MINIED_CACHE_DIR": str(folder / "cache")}
        command = [*MINIED, "sweep", "sweep.yaml", "--plan", "--json", "--plan-seconds", str(plan_seconds)]
        planned = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        (group,) = json.loads(planned.stdout)["groups"]
        start = time.monotonic()
        command = [*MINIED, "sweep", "sweep.yaml", "--sweep-dir", "sweep", "--no-pictures", "--quiet"]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        assert status == 0, name
        rows = [json.loads(line) for line in (folder / "sweep/members/000/timing.jsonl").read_text().splitlines()]
        return {
            "sweep": name,
            "memory_predicted_mib": round((group["resident"] + group["bytes"]) / 2**20),
            "of_that_beside_the_process_mib": round(group["bytes"] / 2**20),
            "memory_measured_mib": round(usage.ru_maxrss / 2**10),
            "seconds_predicted": group["seconds"] and round(group["seconds"]),
            "training_seconds": round(sum(row["seconds"] for row in rows)),
            "process_seconds": round(seconds),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan-seconds", type=float, default=20)
    arguments = parser.parse_args()
    for name, case in CASES.items():
        print(json.dumps(compared(name, case, arguments.plan_seconds)), flush=True)


if __name__ == "__main__":
    main()
