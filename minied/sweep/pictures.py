"""The picture of a sweep: parallel coordinates over all fields, and one panel a field."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minied.run.plots import empty_figure
from minied.sweep.table import Line, plain

_PANELS_A_ROW = 4
_MOST_TICKS = 8


def draw_sweep(lines: Sequence[Line], path: Path) -> None:
    """Draw the interquartile mean of each setting against its fields.

    Above, one line a setting through all fields to the solve rate, dark for a low and bright for a high one; below, one
    point a setting for each field, with its 95 % interval.
    """
    shown = [line for line in lines if _score(line) is not None]
    names = list(dict.fromkeys(name for line in lines for name in line.fields))
    varied = [name for name in names if len({repr(line.fields.get(name)) for line in shown}) > 1]
    rows = max(1, math.ceil(len(varied) / _PANELS_A_ROW))
    figure = empty_figure(12, 4 + 3 * rows)
    grid = figure.add_gridspec(rows + 1, _PANELS_A_ROW, height_ratios=[1.3] + [1] * rows)
    colours = _colours([_score(line) or 0.0 for line in shown])
    _draw_coordinates(figure.add_subplot(grid[0, :]), shown, varied, colours)
    for index, name in enumerate(varied):
        axis = figure.add_subplot(grid[1 + index // _PANELS_A_ROW, index % _PANELS_A_ROW])
        _draw_panel(axis, shown, name, colours)
        if index % _PANELS_A_ROW == 0:
            axis.set_ylabel("solve rate", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _draw_coordinates(axis: Any, lines: Sequence[Line], names: Sequence[str], colours: Sequence[Any]) -> None:
    scales = [_Scale([line.fields.get(name) for line in lines]) for name in names]
    # The best on top of the others.
    for line, colour in reversed(list(zip(lines, colours, strict=True))):
        heights = [scale.height(line.fields.get(name)) for scale, name in zip(scales, names, strict=True)]
        axis.plot(range(len(names) + 1), [*heights, _score(line)], color=colour, alpha=0.8, linewidth=1.2)
    for place, scale in enumerate(scales):
        axis.axvline(place, color="grey", linewidth=0.8)
        for height, label in scale.ticks():
            axis.text(place, height, f" {label}", fontsize=7, va="center", backgroundcolor=(1, 1, 1, 0.6))
    axis.axvline(len(names), color="black", linewidth=1)
    axis.set_xticks(range(len(names) + 1), [*names, "solve rate"], fontsize=8)
    axis.set_ylim(-0.05, 1.05)
    axis.set_yticks([])
    axis.yaxis.tick_right()
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"], fontsize=7)
    axis.set_title(f"{len(lines)} settings, at the last evaluation of each", fontsize=9)


def _draw_panel(axis: Any, lines: Sequence[Line], name: str, colours: Sequence[Any]) -> None:
    values = [line.fields.get(name) for line in lines]
    scale = _Scale(values)
    for line, value, colour in zip(lines, values, colours, strict=True):
        place, score = scale.height(value), _score(line)
        if line.iqm and line.iqm.interval:
            axis.vlines(place, *line.iqm.interval, color=colour, alpha=0.4, linewidth=3)
        axis.plot(place, score, "o", color=colour, markersize=5)
    ticks = scale.ticks()
    axis.set_xticks([height for height, _ in ticks], [label for _, label in ticks], fontsize=7)
    axis.set_xlim(-0.1, 1.1)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel(name, fontsize=8)
    axis.grid(alpha=0.3)


class _Scale:
    """Where the values of a field lie between 0 and 1: numbers by size or by their logarithms, anything else in a row."""

    def __init__(self, values: Sequence[Any]) -> None:
        numbers = [each for each in values if isinstance(each, (int, float)) and not isinstance(each, bool)]
        self._are_numbers = len(numbers) == len(values) and len(values) > 0
        known = sorted(set(numbers)) if self._are_numbers else list(dict.fromkeys(map(plain, values)))
        self._known: list[Any] = known
        # What spans more than a decade reads best by its logarithm.
        low, high = min(numbers, default=0.0), max(numbers, default=0.0)
        self._is_log = self._are_numbers and 0 < 10 * low < high

    def height(self, value: Any) -> float:
        if len(self._known) < 2:
            return 0.5
        if not self._are_numbers:
            return self._known.index(plain(value)) / (len(self._known) - 1)
        low, high, at = (math.log(each) if self._is_log else each for each in (self._known[0], self._known[-1], value))
        return (at - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        known = self._known
        if len(known) > _MOST_TICKS:
            known = [known[round(i)] for i in np.linspace(0, len(known) - 1, _MOST_TICKS)]
        return [(self.height(each), plain(each)) for each in known]


def _score(line: Line) -> float | None:
    return line.iqm.value if line.iqm else line.training


def _colours(scores: Sequence[float]) -> list[Any]:
    import matplotlib

    low, high = min(scores, default=0.0), max(scores, default=1.0)
    return [matplotlib.colormaps["viridis"]((score - low) / (high - low) if high > low else 0.5) for score in scores]
