"""How many items can be made, by each of the teachers and bonuses of ``experiments/crafting``?

Reads finished runs, each a folder of ``minied train crafting/NAME --num-seeds 5 --run-dir runs/NAME``, and counts the
items whose success on the suite ``items`` is at least 5 %, in the newest evaluation of each run. Run before, as often
as there are attempts to be: ``minied eval runs/NAME --suite items --attempts 10 --json > runs/NAME/items.json``;
without that file the run's own last evaluation is read. Prints a table in Markdown, with 95 % intervals by the
bootstrap over members, and draws how the numbers grew, as the teachers measured them.

    python benchmarks/crafting_tasks.py runs/uniform runs/uniform_fixed_bonus runs/learning_progress --picture items.png
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from minied.errors import UserError
from minied.evaluate.statistics import stratified_bootstrap
from minied.run.evaluation import scores_of
from minied.run.folder import open_run
from minied.run.metrics import TASKS_DONE, member_values
from minied.run.plots import empty_figure

RELIABLE = 0.05
MOSTLY = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--until", type=int, default=36, help="also tell when so many items were first done at 5 %%")
    parser.add_argument("--picture", type=Path, help="where to draw how the numbers grew")
    arguments = parser.parse_args()
    number = number_of_items(arguments.runs[0])
    columns = (
        "run",
        "M steps",
        f"of {number} items at 5 %",
        "at 50 %",
        "mean success",
        f"M steps until {arguments.until}",
    )
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    print("\n".join(table(arguments.runs, arguments.until)))
    if arguments.picture:
        draw(arguments.runs, arguments.picture)


def number_of_items(path: Path) -> int:
    """Return how many items a run was evaluated on."""
    return len(last_evaluation(path)["entries"])


def table(runs: list[Path], until: int) -> list[str]:
    """Return a row in Markdown for each run. Raises `UserError` unless all have the same items and environment steps."""
    rows, first = {path: last_evaluation(path) for path in runs}, last_evaluation(runs[0])
    told_rows = []
    for path, row in rows.items():
        if row["env_steps"] != first["env_steps"]:
            found = f"{path.name} has {row['env_steps']} env_steps, {runs[0].name} {first['env_steps']}"
            raise UserError(f"{found}; allowed: equal ones")
        if list(row["entries"]) != list(first["entries"]):
            raise UserError(f"{path.name} was evaluated on other items than {runs[0].name}; allowed: the same")
        scores = scores_of(row)  # [S, items]
        counts = [told((scores >= least).sum(axis=1), ".1f") for least in (RELIABLE, MOSTLY)]
        mean = told(scores.mean(axis=1), ".3f")
        first_at = told(steps_until(path, until) / 1e6, ".2f")
        told_rows.append(
            f"| {path.name} | {row['env_steps'] / 1e6:.1f} | {counts[0]} | {counts[1]} | {mean} | {first_at} |"
        )
    return told_rows


def steps_until(path: Path, until: int) -> np.ndarray:
    """Return at which environment step each member first did so many items at 5 %, as its teacher measures, ``f64[S]``.

    Infinite for members that never did.
    """
    rows = open_run(path).read_rows("metrics")
    counts = np.stack([member_values(row["metrics"][TASKS_DONE]) for row in rows])  # [rows, S]
    steps = np.asarray([row["env_steps"] for row in rows], float)
    return np.where((counts >= until).any(axis=0), steps[(counts >= until).argmax(axis=0)], np.inf)


def last_evaluation(path: Path) -> dict[str, Any]:
    """Return the evaluation that `minied eval --json` left in ``items.json``, or else the run's own last one."""
    kept = path / "items.json"
    if kept.exists():
        return json.loads(kept.read_text())["evaluations"][0]
    return open_run(path).read_rows("evaluations")[-1]


def told(members: np.ndarray, form: str) -> str:
    """Return mean and interval of ``f64[S]``, and the members."""
    values = np.asarray(members, float)
    if not np.isfinite(values).all():
        return f"not in {np.sum(~np.isfinite(values))} of {len(values)}"
    if len(values) == 1:
        return f"{values[0]:{form}} (one member, no interval)"
    interval = stratified_bootstrap(
        lambda scores: scores.mean(axis=(-2, -1)), values[:, None], generator=np.random.default_rng(0)
    )
    each = " ".join(format(value, form if form != ".1f" else ".0f") for value in values)
    return f"{values.mean():{form}} [{float(interval.low):{form}}, {float(interval.high):{form}}] ({each})"


def draw(runs: list[Path], picture: Path) -> None:
    """Draw how many tasks were done now and then against environment steps: members thin, means thick."""
    figure = empty_figure(7, 4.5)
    axis = figure.subplots()
    for number, path in enumerate(runs):
        rows = open_run(path).read_rows("metrics")
        steps = [row["env_steps"] / 1e6 for row in rows]
        counts = np.stack([member_values(row["metrics"][TASKS_DONE]) for row in rows])
        for member in counts.T:
            axis.plot(steps, member, color=f"C{number}", alpha=0.25, linewidth=0.7)
        axis.plot(steps, counts.mean(axis=1), color=f"C{number}", linewidth=2, label=path.name)
    axis.set_xlabel("environment steps of one member, millions")
    axis.set_ylabel("items that succeed in 5 % or more (training)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
