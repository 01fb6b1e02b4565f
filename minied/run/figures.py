"""Pictures of results: one evaluation, policies against each other, and several methods compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minied.evaluate import statistics
from minied.run.comparison import Comparison
from minied.run.evaluation import scores_of
from minied.run.metrics import member_values
from minied.run.plots import empty_figure

_ROW_HEIGHT = 0.28  # inches
_MAX_NAME = 40


def draw_evaluation(report: dict[str, Any], path: Path) -> None:
    """Draw a report of `minied.run.reports`: solve rates by entry, and the CVaR by share if it was measured."""
    panels = [part for part in ("evaluation", "cvar") if part in report]
    rows = len(report["evaluation"]["entries"]) if "evaluation" in report else 0
    figure = empty_figure(6.5 * len(panels), max(3.5, 1.5 + _ROW_HEIGHT * rows))
    axes = np.asarray(figure.subplots(1, len(panels), squeeze=False)).reshape(-1)
    for part, axis in zip(panels, axes, strict=True):
        if part == "evaluation":
            _draw_entries(axis, report["evaluation"])
        else:
            _draw_tail(axis, report["cvar"])
    figure.suptitle(f"{report['run']}, checkpoint {report['checkpoint']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _draw_entries(axis: Any, row: dict[str, Any]) -> None:
    scores = scores_of(row)  # [S, entries]
    names = [
        f"{name} ({entry['num_levels']} levels)" if entry["num_levels"] > 1 else name
        for name, entry in row["entries"].items()
    ]
    interval = statistics.stratified_bootstrap(
        lambda scores: scores.mean(axis=-2), scores, generator=np.random.default_rng(0)
    )
    heights = -np.arange(scores.shape[1])
    if scores.shape[0] > 1:
        axis.hlines(heights, interval.low, interval.high, color="tab:blue", alpha=0.35, linewidth=7)
        for member in scores:
            axis.plot(member, heights, ".", color="tab:blue", alpha=0.6, markersize=5)
    axis.plot(scores.mean(axis=0), heights, "|", color="black", markersize=11, markeredgewidth=2)
    axis.set_yticks(heights, [_shortened(name) for name in names], fontsize=7)
    axis.set_ylim(heights[-1] - 0.7, 0.7)
    axis.set_xlim(-0.03, 1.03)
    axis.grid(alpha=0.3)
    told = "mean" if scores.shape[0] == 1 else "mean, members, 95 % interval over members"
    axis.set_xlabel(f"solve rate on {row['suite']}: {told}", fontsize=8)


def _draw_tail(axis: Any, tail: dict[str, Any]) -> None:
    shares = [100 * each["share"] for each in tail["shares"]]
    members = np.stack([member_values(each["cvar"]) for each in tail["shares"]], axis=1)  # [S, A]
    means = [each["mean"] for each in tail["shares"]]
    for member in members if len(members) > 1 else ():
        axis.plot(shares, member, color="tab:blue", alpha=0.3, linewidth=0.8)
    if all(each["interval"] for each in tail["shares"]):
        low, high = zip(*(each["interval"] for each in tail["shares"]), strict=True)
        axis.fill_between(shares, low, high, color="tab:blue", alpha=0.2, linewidth=0)
    axis.plot(shares, means, color="tab:blue", linewidth=2, marker=".", label="another play than the one that ranked")
    biased = [each["biased_mean"] for each in tail["shares"]]
    axis.plot(shares, biased, color="grey", linestyle="--", label="the play that ranked them (biased)")
    axis.set_xscale("log")
    axis.set_xticks(shares, [f"{share:g}" for share in shares], fontsize=7)
    axis.minorticks_off()
    axis.set_ylim(-0.03, 1.03)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="best")
    axis.set_xlabel(f"worst share of {tail['levels']} solvable levels, %", fontsize=8)
    axis.set_ylabel("solve rate", fontsize=8)


def draw_versus(report: dict[str, Any], path: Path) -> None:
    """Draw a report of `minied.run.versus`: who beats whom, and the ratings over the steps of training."""
    labels = [_shortened(policy["label"]) for policy in report["policies"]]
    side = max(4.0, 1.5 + 0.6 * len(labels))
    figure = empty_figure(side + 6.5, side)
    table, ratings = figure.subplots(1, 2, width_ratios=(side, 6.5))
    _draw_wins(table, report, labels)
    _draw_ratings(ratings, report, labels)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _draw_wins(axis: Any, report: dict[str, Any], labels: Sequence[str]) -> None:
    one, other = report["teams"]
    axis.imshow(report["win_rate"], vmin=0.0, vmax=1.0, cmap="RdBu")
    for i, (wins, returns) in enumerate(zip(report["win_rate"], report["mean_return"], strict=True)):
        for j, (win, earned) in enumerate(zip(wins, returns, strict=True)):
            colour = "white" if abs(win - 0.5) > 0.3 else "black"
            axis.text(j, i, f"{win:.0%}\n{earned:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(range(len(labels)), labels, fontsize=7, rotation=90)
    axis.set_yticks(range(len(labels)), labels, fontsize=7)
    axis.set_xlabel(f"as team {other}", fontsize=8)
    axis.set_ylabel(f"as team {one}", fontsize=8)
    axis.set_title(f"wins of team {one} on {report['suite']}; its mean return", fontsize=8)


def _draw_ratings(axis: Any, report: dict[str, Any], labels: Sequence[str]) -> None:
    """Draw a line for each role of one run's checkpoints; policies of several runs stand each by itself."""
    steps = [policy["env_steps"] for policy in report["policies"]]
    of_one_run = len({policy["run"] for policy in report["policies"]}) == 1
    for team, role, marker in zip(report["teams"], ("first_team", "second_team"), "os", strict=True):
        points = report["ratings"][role]
        values = [each["value"] for each in points]
        (drawn,) = axis.plot(steps, values, marker, linestyle="-" if of_one_run else "", label=f"as team {team}")
        for step, each in zip(steps, points, strict=True):
            if each["interval"] is not None:
                axis.vlines(step, *each["interval"], color=drawn.get_color(), alpha=0.4, linewidth=4)
        for step, value, label in zip(steps, values, labels, strict=True):
            if not of_one_run:
                axis.annotate(label, (step, value), fontsize=6, xytext=(4, 4), textcoords="offset points")
    axis.set_xlabel("environment steps of one member", fontsize=8)
    axis.set_ylabel("Elo, the first policy is 0; 95 % intervals over levels", fontsize=8)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="best")


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draw the interquartile mean against environment steps, and at the point of comparison with its interval."""
    methods = comparison.methods
    figure = empty_figure(12, max(4.0, 1.8 + 2 * _ROW_HEIGHT * len(methods)))
    curves, points = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = _colours(len(methods))
    for index, (method, colour) in enumerate(zip(methods, colours, strict=True)):
        steps = [point.env_steps for point in method.curve]
        curves.plot(steps, [point.iqm for point in method.curve], color=colour, marker=".", label=method.label)
        points.plot(method.iqm.value, -index, "o", color=colour)
        if method.iqm.interval is not None:
            low, high = zip(*(point.interval or (np.nan, np.nan) for point in method.curve), strict=True)
            curves.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            points.hlines(-index, *method.iqm.interval, color=colour, alpha=0.5, linewidth=8)
    curves.axvline(comparison.at, color="black", linestyle=":", linewidth=1)
    curves.set_xlabel("environment steps of one member", fontsize=8)
    curves.set_ylabel(f"interquartile mean of solve rates on {comparison.suite}", fontsize=8)
    curves.set_ylim(-0.03, 1.03)
    curves.grid(alpha=0.3)
    curves.legend(fontsize=7, loc="best")
    points.set_yticks(-np.arange(len(methods)), [_shortened(method.label) for method in methods], fontsize=8)
    points.set_ylim(-len(methods) + 0.3, 0.7)
    points.set_xlabel(f"the same, 95 % interval, at {comparison.at:,} steps", fontsize=8)
    points.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _colours(count: int) -> Sequence[Any]:
    import matplotlib

    palette = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
    return [palette(index % palette.N) for index in range(count)]


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
