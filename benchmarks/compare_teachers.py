"""Which teacher teaches best at the same price? All of them, on mazes that two cores can finish, tuned alike.

Every teacher trains the same student (the presets ``small/*``) for the same number of environment steps, those that only
score levels included. The learning rate of each is the best of the same three, chosen on other seeds at half the budget by
the mean solve rate on the reserved levels (the same that are one entry of the figures; the choice is made for all teachers
alike). Seeds are members of one program, and share the schedule of when to replay: the intervals do not hold its variance.

Two kinds of mazes: those of the presets, 7×7 with 0 to 40 walls, of which domain randomisation leaves little to learn, and
9×9 with 44 walls, of which about one in five can be solved and most of those at once.

Held-out sets: the reserved levels of the generator, the named mazes of its size if there are any, perfect mazes of 13×13 by
two methods, crossings, and the eight 13×13 mazes of jaxued; the interquartile mean is over members × entries. CVaR by the
protocol of SFL on solvable levels of the generator: the worst by one play, reported on another.

Results are kept in a file as they come, and a second call goes on from there. Prints a table in Markdown.

    python benchmarks/compare_teachers.py --mazes dense --output compare_teachers.jsonl
"""

import argparse
import time
from pathlib import Path
from typing import Any

import kept_rows
import numpy as np

from minied.config import load_config
from minied.evaluate import statistics
from minied.run.evaluation import evaluate, scores_of
from minied.run.reports import measure_cvar
from minied.train.program import Program

TEACHERS = ("dr", "plr", "robust_plr", "parallel_plr", "accel", "parallel_accel", "sfl", "ncc")
RATES = ("1e-3", "2e-3", "4e-3")
SUITES = {"held_out": 4, "perfect_maze_dfs_13": 1, "perfect_maze_kruskal_13": 1, "simple_crossing": 1, "jaxued": 10}
"""Suites and attempts a level."""
WORST = (0.01, 0.1)
MAZES = {
    "open": [],
    "dense": [
        "--env.height", "9", "--env.width", "9", "--env.max-steps", "100", "--num-steps", "100",
        "--env.levels.generator", "minimax", "--env.levels.no-replace-walls", "--env.levels.num-walls", "44",
    ],
}  # fmt: skip
"""Options on top of the presets."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("compare_teachers.jsonl"))
    parser.add_argument("--mazes", choices=tuple(MAZES), default="dense")
    parser.add_argument("--teachers", nargs="*", default=TEACHERS)
    parser.add_argument("--rates", nargs="*", default=RATES, help="learning rates to choose from; one: no tuning")
    parser.add_argument("--env-steps", type=int, default=500_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tuning-seeds", type=int, default=3)
    parser.add_argument("--cvar-levels", type=int, default=10_000)
    arguments, options = parser.parse_known_args()
    options = MAZES[arguments.mazes] + options
    done = kept_rows.read(arguments.output)
    for teacher in arguments.teachers:
        for rate in arguments.rates if len(arguments.rates) > 1 else ():
            what = _tuning(teacher, arguments, options) | {"rate": rate}
            if not kept_rows.found(done, what):
                kept_rows.keep(
                    done, arguments.output, what | _tune(teacher, rate, arguments, options), unsaid=("scores",)
                )
        tuned = [
            row for row in kept_rows.found(done, _tuning(teacher, arguments, options)) if row["rate"] in arguments.rates
        ]
        rate = max(tuned, key=lambda row: row["value"])["rate"] if len(arguments.rates) > 1 else arguments.rates[0]
        what = _final(teacher, arguments, options)
        if not kept_rows.found(done, what):
            kept_rows.keep(
                done, arguments.output, what | _measure(teacher, rate, arguments, options), unsaid=("scores",)
            )
    rows = [kept_rows.found(done, _final(teacher, arguments, options))[0] for teacher in arguments.teachers]
    print(_table(rows, arguments.cvar_levels))


def _tuning(teacher: str, arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    """Return what identifies the tuning runs of a teacher."""
    steps, seeds = arguments.env_steps // 2, arguments.tuning_seeds
    return {"stage": "tuning", "teacher": teacher, "steps": steps, "seeds": seeds, "options": options}


def _final(teacher: str, arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    """Return what identifies the run of a teacher that is reported."""
    steps, seeds, levels = arguments.env_steps, arguments.seeds, arguments.cvar_levels
    told = {"stage": "final", "teacher": teacher, "steps": steps, "seeds": seeds}
    return told | {"cvar_levels": levels, "options": options}


def _train(teacher: str, options: list[str]) -> tuple[Program, Any, dict[str, Any]]:
    program = Program(load_config(f"small/{teacher}", options))
    state = program.init()
    start = time.perf_counter()
    while not program.is_finished(state):
        state, _ = program.advance(state, program.counters(state)["iterations"] + 100)
    return program, state, program.counters(state) | {"seconds": round(time.perf_counter() - start, 1)}


def _tune(teacher: str, rate: str, arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    seeds = ["--seed", "1000", "--num-seeds", str(arguments.tuning_seeds), "--schedule-seed", "1000"]
    budget = ["--env-steps", str(arguments.env_steps // 2), "--ppo.learning-rate", rate]
    program, state, counters = _train(teacher, [*seeds, *budget, *options])
    row = evaluate(program, state, "held_out", SUITES["held_out"], program.counters(state))
    return {"value": float(np.mean(row["entries"]["reserved"]["solve_rate"]))} | counters


def _measure(teacher: str, rate: str, arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    seeds = ["--num-seeds", str(arguments.seeds), "--env-steps", str(arguments.env_steps), "--ppo.learning-rate", rate]
    program, state, counters = _train(teacher, [*seeds, *options])
    scores: dict[str, list[float]] = {}
    for suite, attempts in SUITES.items():
        row = evaluate(program, state, suite, attempts, program.counters(state))
        names, columns = list(row["entries"]), scores_of(row)
        # `held_out` also holds named mazes of the size, if there are any; `jaxued` has the named ones of 13×13.
        scores |= {name: columns[:, index].tolist() for index, name in enumerate(names)}
    tail = measure_cvar(program, state, arguments.cvar_levels, attempts=5)
    cvar = {str(line["share"]): line["cvar"] for line in tail["shares"] if line["share"] in WORST}
    return {"rate": rate, "scores": scores, "cvar": cvar} | counters


# -- results -----------------------------------------------------------------------------------------------------------


def _table(rows: list[dict[str, Any]], cvar_levels: int) -> str:
    base = next((row for row in rows if row["teacher"] == "dr"), rows[0])
    lines = [
        f"CVaR on {cvar_levels} solvable levels; differences are to {base['teacher']}.",
        "",
        "| teacher | rate | updates | IQM held-out sets | difference | reserved | perfect 13×13 | CVaR 1 % | CVaR 10 % |"
        " difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        scores, base_scores = (np.asarray(list(each["scores"].values())).T for each in (row, base))
        perfect = (
            np.asarray(row["scores"]["PerfectMazeDfs13"]) + np.asarray(row["scores"]["PerfectMazeKruskal13"])
        ) / 2
        tails = {share: np.asarray(row["cvar"][share])[:, None] for share in row["cvar"]}
        base_tail = np.asarray(base["cvar"][str(WORST[1])])[:, None]
        cells = [
            row["teacher"],
            row["rate"],
            str(row["student_updates"]),
            _estimate(statistics.interquartile_mean, scores),
            "" if row is base else _estimate(statistics.difference_of_interquartile_means, scores, base_scores),
            _estimate(statistics.mean, np.asarray(row["scores"]["reserved"])[:, None]),
            _estimate(statistics.mean, perfect[:, None]),
            *(_estimate(statistics.mean, tails[str(share)]) for share in WORST),
            "" if row is base else _estimate(_difference_of_means, tails[str(WORST[1])], base_tail),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference_of_means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return statistics.mean(x) - statistics.mean(y)


def _estimate(statistic: Any, *scores: np.ndarray) -> str:
    interval = statistics.stratified_bootstrap(statistic, *scores, generator=np.random.default_rng(0))
    return f"{float(statistic(*scores)):.3f} [{float(interval.low):.3f}, {float(interval.high):.3f}]"


if __name__ == "__main__":
    main()
