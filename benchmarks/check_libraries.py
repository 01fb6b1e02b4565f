"""What does the conformance kit find in the worlds of other libraries?

Runs ``minied check LIBRARY --env.id ID`` on every environment that an adapter plays, each in a process of its own, and
keeps the reports in a folder; a second call goes on from there. Prints a table in Markdown: a line for each environment of
which something failed or was noted, and how many had nothing.

    python benchmarks/check_libraries.py --reports checks            # an hour on one core
    python benchmarks/check_libraries.py --reports checks --libraries navix craftax --at-most 6
    python benchmarks/check_libraries.py --ways 4000                 # of navix, whose levels tell whether there is a way
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from minied.adapters import craftax, gymnax, jaxmarl_library, jumanji, navix, xminigrid
from minied.adapters.base import require

UNOPTIMISED = "--xla_backend_optimization_level=0"
"""Programs are compiled in a third of the time, and what is measured of speed says nothing."""
LIBRARIES = ("gymnax", "xminigrid", "navix", "craftax", "jumanji", "jaxmarl")
XLAND = ("XLand-MiniGrid-R1-9x9", "XLand-MiniGrid-R4-13x13", "XLand-MiniGrid-R9-25x25")
"""Of XLand's, which differ in size and number of rooms only."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=Path, default=Path("checks"))
    parser.add_argument("--libraries", nargs="*", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--at-most", type=int, default=1000, help="environments of a library, spread over its list")
    parser.add_argument("--most-steps", default="100", help="steps that a level is played at most")
    parser.add_argument("--ways", type=int, default=0, help="instead: of how many levels of navix is there a way")
    parser.add_argument("--levels", default="4", help="how many levels are played")
    parser.add_argument("--patience", type=float, default=600, help="seconds after which an environment is given up")
    arguments = parser.parse_args()
    if arguments.ways:
        print("\n".join(ways(arguments.ways)))
        return
    arguments.reports.mkdir(exist_ok=True)
    reports: dict[str, list[dict[str, Any]]] = {}
    for library in arguments.libraries:
        names = names_of(library)
        for name in names[:: max(1, -(-len(names) // arguments.at_most))]:
            report = checked(library, name, arguments.reports / f"{library}-{name}.json", arguments)
            reports.setdefault(library, []).append(report | {"id": name})
    print("\n".join(table(reports)))


def names_of(library: str) -> list[str]:
    """Return the ids of a library's environments that are looked at."""
    if library == "gymnax":
        return sorted(require(gymnax.LIBRARY).registered_envs)
    if library == "xminigrid":
        known = require(xminigrid.LIBRARY).registered_environments()
        return [name for name in known if name in XLAND or not name.startswith("XLand")]
    return list(
        {
            "navix": navix.KNOWN,
            "craftax": importlib.import_module("typing").get_args(craftax.Game),
            "jumanji": jumanji.LIMITS,
            "jaxmarl": jaxmarl_library.ENVIRONMENTS,
        }[library]
    )


def checked(library: str, name: str, file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the kit's report on an environment: the one that is there, or a new one."""
    if not file.exists():
        size = ["--most-steps", arguments.most_steps, "--levels", arguments.levels]
        command = ["check", library, "--env.id", name, *size, "--report", str(file)]
        program = [Path(sys.executable).parent / "minied", *command]
        surroundings = os.environ | {"XLA_FLAGS": UNOPTIMISED}
        try:
            done = subprocess.run(program, capture_output=True, text=True, env=surroundings, timeout=arguments.patience)
        except subprocess.TimeoutExpired:
            return {"findings": [finding("failed", f"not done in {arguments.patience:g} s")]}
        print(f"minied {' '.join(command[:4])}: {done.stdout.splitlines()[-1:]}", file=sys.stderr, flush=True)
        if not file.exists():
            return {"findings": [finding("failed", done.stderr.strip()[-300:])]}
    return json.loads(file.read_text(encoding="utf-8"))


def ways(number: int) -> list[str]:
    """Return a line for each environment of navix that has levels without a way to the goal, or that start on it."""
    lines = ["| environment | no way to the goal | the agent starts on it |", "|---|---|---|"]
    for name in names_of("navix"):
        space = navix.Navix(id=name).level_space
        keys = jax.random.split(jax.random.key(0), number)
        told = jax.jit(jax.vmap(lambda key, space=space: space.describe(space.sample(key))))(keys)
        blocked, there = (float(share.mean()) for share in (told["reachable"] == 0, told["distance"] == 0))
        if blocked or there:
            lines.append(f"| {name} | {blocked:.1%} | {there:.1%} |")
    return lines


def finding(verdict: str, detail: str) -> dict[str, str]:
    """Return what stands in the table for an environment without a report."""
    return {"check": "all", "verdict": verdict, "detail": detail}


def table(reports: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the table."""
    lines = ["| library | environments | checks passed | failed | noted | skipped |", "|---|---|---|---|---|---|"]
    for library, found in reports.items():
        verdicts = [finding["verdict"] for report in found for finding in report["findings"]]
        counts = [str(verdicts.count(verdict)) for verdict in ("passed", "failed", "noted", "skipped")]
        lines.append(f"| {library} | {len(found)} | {' | '.join(counts)} |")
    lines += ["", "| library | environment | check | what it found |", "|---|---|---|---|"]
    for library, found in reports.items():
        for report in found:
            for finding in report["findings"]:
                if finding["verdict"] in ("failed", "noted"):
                    what = (
                        f"{finding['check']} | {'' if finding['verdict'] == 'failed' else 'noted: '}{finding['detail']}"
                    )
                    lines.append(f"| {library} | {report['id']} | {what.replace(chr(10), ' ')} |")
    return lines


if __name__ == "__main__":
    main()
