"""Do students learn in the worlds of other libraries, under domain randomisation and under a curriculum?

Reads finished runs, each a folder of ``minied train LIBRARY/NAME --num-seeds 5 --run-dir runs/LIBRARY/NAME``, and tells
how each began and ended on the held-out suite of its preset: solve rate and return, mean over entries, then mean over
members with the least and the greatest. Prints a table in Markdown and draws the learning curves, a panel a world.

    python benchmarks/adapted_worlds.py runs/gymnax/cartpole_dr runs/gymnax/cartpole_alp_gmm runs/xland/dr --picture c.png
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minied.errors import UserError
from minied.run.folder import open_run
from minied.run.metrics import member_values
from minied.run.plots import empty_figure

COLUMNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--picture", type=Path, help="where to draw the learning curves")
    arguments = parser.parse_args()
    rows = {path: open_run(path).read_rows("evaluations") for path in arguments.runs}
    for path, found in rows.items():
        if len(found) < 2:
            raise UserError(f"{path} has {len(found)} evaluations; allowed: a run that has ended")
    print("| world | teacher | M steps | updates | solved, untrained | solved | each | return, untrained | return |")
    print("|---" * 9 + "|")
    for path, found in rows.items():
        print(told(path, found))
    if arguments.picture:
        draw(rows, arguments.picture)


def world_and_teacher(path: Path) -> tuple[str, str]:
    """Return where a run was and who taught it, for example ``("jumanji Maze-v0", "accel")``."""
    config = open_run(path).description()["config"]
    return f"{config['env']['name']} {config['env'].get('id', '')}".strip(), config["teacher"]["name"]


def measured(row: dict[str, Any], measure: str) -> np.ndarray:
    """Return a measure of an evaluation, mean over its entries, ``f64[S]``."""
    return np.stack([member_values(entry[measure]) for entry in row["entries"].values()]).mean(axis=0)


def told(path: Path, rows: list[dict[str, Any]]) -> str:
    """Return the line of a run in Markdown."""
    first, last = rows[0], rows[-1]
    solved = measured(last, "solve_rate")
    cells = [
        *world_and_teacher(path),
        f"{last['env_steps'] / 1e6:.2f}",
        str(last["student_updates"]),
        f"{measured(first, 'solve_rate').mean():.2f}",
        spread(solved, ".2f"),
        " ".join(f"{member:.2f}" for member in solved),
        f"{measured(first, 'mean_return').mean():.1f}",
        spread(measured(last, "mean_return"), ".1f"),
    ]
    return f"| {' | '.join(cells)} |"


def spread(members: np.ndarray, form: str) -> str:
    """Return the mean of ``f64[S]``, the least and the greatest."""
    return f"{members.mean():{form}} [{members.min():{form}}, {members.max():{form}}]"


def draw(rows: dict[Path, list[dict[str, Any]]], picture: Path) -> None:
    """Draw the solve rate against environment steps: a panel a world, members thin, means thick."""
    worlds: dict[str, list[Path]] = {}
    for path in rows:
        worlds.setdefault(world_and_teacher(path)[0], []).append(path)
    lines = -(-len(worlds) // COLUMNS)
    figure = empty_figure(4.2 * min(COLUMNS, len(worlds)), 3.2 * lines)
    panels = figure.subplots(lines, min(COLUMNS, len(worlds)), squeeze=False).ravel()
    for panel, (world, paths) in zip(panels, worlds.items(), strict=False):
        for path in paths:
            steps = [row["env_steps"] / 1e6 for row in rows[path]]
            members = np.stack([measured(row, "solve_rate") for row in rows[path]])  # [rows, S]
            (line,) = panel.plot(steps, members.mean(axis=1), linewidth=2, label=world_and_teacher(path)[1])
            panel.plot(steps, members, color=line.get_color(), alpha=0.25, linewidth=0.7)
        panel.set_title(world, fontsize=9)
        panel.set_ylim(0, 1)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
        panel.set_xlabel("environment steps, millions", fontsize=8)
    for panel in panels[len(worlds) :]:
        panel.set_axis_off()
    panels[0].set_ylabel("held-out levels solved")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
