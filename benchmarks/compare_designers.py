"""Which pay makes a designer teach best at the same price, and which of them falls for a noisy television?

The presets ``small/*`` on 9×9 mazes: uniform designs (the DCD generator, which is a designer that acts at random),
PAIRED, and designers paid by value disagreement (of heads that learn from the same rows, and from rows of their own),
policy disagreement and value prediction error. The same student, learning rate and number of environment steps for
all, those of both students of PAIRED included. Once without and once with the noisy television, a cell that pays by a
coin and that a designer may leave out; a uniform design has it half of the time.

Held out, and never with a television: perfect mazes of 13×13 by two methods, crossings, and the eight 13×13 mazes of jaxued;
the interquartile mean is over members × entries, intervals of 95 % by a stratified bootstrap over members. Seeds are
members of one program. "television" is the share of designs with one, mean of the last two looks of eleven.

Results are kept in a file as they come, and a second call goes on from there. Prints a table in Markdown.

    python benchmarks/compare_designers.py --output compare_designers.jsonl
"""

import argparse
import time
from pathlib import Path
from typing import Any

import kept_rows
import numpy as np
from compare_teachers import _estimate

from minied.commands.shared import use_cores
from minied.config import load_config
from minied.evaluate import statistics
from minied.run.evaluation import evaluate, scores_of
from minied.train.program import Program

DESIGNERS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "dr": ("dr", (), ""),
    "paired": ("paired", (), "dr"),
    "value_disagreement": ("value_disagreement", (), "dr"),
    "value_prediction_error": ("value_prediction_error", (), "dr"),
    "dr, four policies": ("dr", ("--network.num-policy-heads", "4"), ""),
    "policy_disagreement": ("policy_disagreement", (), "dr, four policies"),
    "dr, own rows": ("dr", ("--network.num-value-heads", "5", "--ppo.ensemble-data", "own"), ""),
    "value_disagreement, own rows": ("value_disagreement", ("--ppo.ensemble-data", "own"), "dr, own rows"),
}
"""The preset and options of each row, and the row of uniform designs with which it is compared.

Policy disagreement needs four policies, each learning from a quarter of the rows, and value heads with rows of their
own have a fifth of them each: both are compared with domain randomisation of such a student.
"""
SUITES = {"perfect_maze_dfs_13": 1, "perfect_maze_kruskal_13": 1, "simple_crossing": 1, "jaxued": 10}
"""Suites and attempts a level."""
MAZES = [
    "--env.height", "9", "--env.width", "9", "--env.max-steps", "100", "--num-steps", "100", "--env.levels.holdout", "0",
    "--env.levels.generator", "dcd", "--env.levels.num-walls", "44", "--env.design.num-wall-steps", "44",
    "--network.memory", "lstm",  # twice as fast here as the presets' GRU
]  # fmt: skip
LOOKS = 10
"""Whole parts of a run; the iterations that are left over are a part of their own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("compare_designers.jsonl"))
    parser.add_argument("--designers", nargs="*", choices=tuple(DESIGNERS), default=tuple(DESIGNERS))
    parser.add_argument("--television", nargs="*", choices=("no", "yes"), default=("no", "yes"))
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=10)
    arguments, options = parser.parse_known_args()
    use_cores()
    done = kept_rows.read(arguments.output)
    tables = []
    for television in arguments.television:
        rows = []
        for designer in arguments.designers:
            what = {"designer": designer, "television": television, "steps": arguments.env_steps}
            what |= {"seeds": arguments.seeds, "options": options}
            if not kept_rows.found(done, what):
                switch = ["--env.noisy-tv"] if television == "yes" else []
                row = what | _measure(designer, arguments, [*MAZES, *switch, *options])
                kept_rows.keep(done, arguments.output, row, unsaid=("scores",))
            rows += kept_rows.found(done, what)
        tables.append(f"Television: {television}\n\n{_table(rows)}")
    print("\n\n".join(tables))


def _measure(designer: str, arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    budget = ["--num-seeds", str(arguments.seeds), "--env-steps", str(arguments.env_steps)]
    preset, own_options, _ = DESIGNERS[designer]
    program = Program(load_config(f"small/{preset}", [*budget, *own_options, *options]))
    state, start, looks = program.init(), time.perf_counter(), []
    rollouts = program.config.max_rollouts // program.config.num_students
    while not program.is_finished(state):
        state, metrics = program.advance(state, program.counters(state)["iterations"] + max(1, rollouts // LOOKS))
        looks.append(_means(metrics))
    seconds = round(time.perf_counter() - start, 1)
    scores: dict[str, list[float]] = {}
    for suite, attempts in SUITES.items():
        row = evaluate(program, state, suite, attempts, program.counters(state))
        scores |= dict(zip(row["entries"], scores_of(row).T.tolist(), strict=True))
    return {"scores": scores, "looks": looks, "seconds": seconds} | program.counters(state)


def _means(metrics: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return what tells how designs change over a run, a number a member."""
    told = ("solve_rate", "levels/num_walls", "levels/shortest_path", "levels/solvable", "levels/television")
    named = {name: metrics.get(f"designed/{name}", metrics.get(f"new/{name}")) for name in told}
    new = {name: metrics.get(f"new/{name}") for name in told}
    chosen = {name: new[name] if value is None or np.isnan(value).all() else value for name, value in named.items()}
    found = {name: value for name, value in chosen.items() if value is not None}
    return {name: np.round(value, 4).tolist() for name, value in found.items()}


def _table(rows: list[dict[str, Any]]) -> str:
    by_name = {row["designer"]: row for row in rows}
    columns = ("designs", "updates", "IQM held out", "less that of uniform designs", "jaxued's eight")
    columns = (*columns, "perfect 13×13", "television")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    perfect = ("PerfectMazeDfs13", "PerfectMazeKruskal13")
    for row in rows:
        control = by_name.get(DESIGNERS[row["designer"]][2], row)
        scores, control_scores = (np.asarray(list(each["scores"].values())).T for each in (row, control))
        others = ("Perfect", "Simple")
        named = np.asarray([value for name, value in row["scores"].items() if not name.startswith(others)]).T
        shares = [look["levels/television"] for look in row["looks"][-2:] if "levels/television" in look]
        cells = [
            row["designer"],
            str(row["student_updates"]),
            _estimate(statistics.interquartile_mean, scores),
            "" if row is control else _estimate(statistics.difference_of_interquartile_means, scores, control_scores),
            _estimate(statistics.mean, named),
            _estimate(statistics.mean, np.asarray([row["scores"][name] for name in perfect]).T),
            _estimate(statistics.mean, np.mean(shares, axis=0)[:, None]) if shares else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
