"""Where did a teacher of tasks look, and what did the student learn? A picture over the run, a row for each task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minied.run.metrics import TASK_ATTENTION, TASK_SUCCESS, member_mean
from minied.run.plots import empty_figure

_ROW_HEIGHT = 0.14  # inches
_LEAST_HEIGHT = 4.0  # inches, of which the labels of the colour bars take most
_MOST_COLUMNS = 400


def has_tasks(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether rows of metrics tell of tasks."""
    return any(name.startswith(TASK_ATTENTION) for row in rows[:1] for name in row["metrics"])


def draw_tasks(rows: Sequence[Mapping[str, Any]], names: Sequence[str], path: Path) -> None:
    """Draw how much of the practice each task had, and how surely it was done, against environment steps.

    Means over members. Practice is in parts of what an even share would be, on a logarithmic scale.

    Args:
        rows: of a run's metrics.
        names: of the tasks, from easy to hard: from below upward.
        path: of the picture.
    """
    every = -(-len(rows) // _MOST_COLUMNS)
    rows = list(rows)[::every]
    attention, success = (
        _matrix(rows, [f"{prefix}{name}" for name in names]) for prefix in (TASK_ATTENTION, TASK_SUCCESS)
    )
    figure = empty_figure(13, max(_LEAST_HEIGHT, 1.6 + _ROW_HEIGHT * len(names)))
    axes = figure.subplots(1, 2, sharey=True)
    from matplotlib.colors import LogNorm

    edges = np.asarray([0, *(row["env_steps"] / 1e6 for row in rows)])
    places = np.arange(len(names) + 1) - 0.5
    shares = np.clip(attention * len(names), 0.05, None)
    practice = axes[0].pcolormesh(edges, places, shares, cmap="magma", norm=LogNorm(0.05, max(len(names), 2)))
    figure.colorbar(practice, ax=axes[0], label="practice, parts of an even share")
    done = axes[1].pcolormesh(edges, places, success, cmap="viridis", vmin=0.0, vmax=1.0)
    figure.colorbar(done, ax=axes[1], label="success probability, as the teacher measures it")
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    for axis in axes:
        axis.set_xlabel("environment steps of one member, millions")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _matrix(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> np.ndarray:
    """Return metrics by name and row, means over members, ``f64[names, rows]``; NaN where a row has none."""
    return np.asarray([[member_mean(row["metrics"].get(name)) for row in rows] for name in names])
