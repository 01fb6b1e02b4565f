"""When did a phase emerge? The milestones of a world, read off the statistics in a run's rows.

A phase has emerged when the moving average of its statistic is beyond the threshold for some rows in a row; it emerged with
the first of them. What has not emerged when a run ends is censored, not lost: medians are those of Kaplan and Meier (1958),
groups are compared by the log-rank test (Mantel 1966). Letters: ``S`` members.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minied.env import Milestone
from minied.run.folder import RunFolder
from minied.run.metrics import Row, member_mean, member_values

SMOOTHING = 0.5
"""Share of the moving average before a row in that after it."""
ROWS = 3
"""Rows in a row for which the average has to be beyond the threshold."""

_SOURCES = ("new", "designed", "replay", "mutated", "given")
"""New levels first: they are always of one kind."""


@dataclass(frozen=True)
class History:
    """A statistic during a run."""

    env_steps: tuple[int, ...]
    values: np.ndarray  # f64[rows, S], NaN where not defined


@dataclass(frozen=True)
class Emergence:
    """Whether a phase emerged in a member, and when."""

    env_steps: int  # at which it emerged; of one in which it did not, up to which it was watched
    emerged: bool


@dataclass(frozen=True)
class MilestoneOfGroup:
    """A milestone in the members of one group of runs."""

    label: str
    members: tuple[Emergence, ...]
    reached: int  # members in which it emerged
    median: int | None  # env_steps, of Kaplan and Meier; None if it is not reached
    p_value: float | None  # of the log-rank test against the first group, which has None, as has what cannot be tested


@dataclass(frozen=True)
class MilestoneOfGroups:
    """A milestone in groups of runs."""

    name: str
    statistic: str
    threshold: float
    below: bool
    description: str
    groups: tuple[MilestoneOfGroup, ...]


def histories(folder: RunFolder) -> dict[str, History]:
    """Return the statistics of a run by name: of its evaluations, or, where those have it not, of its rows of metrics."""
    evaluations = [(row["env_steps"], row.get("statistics", {})) for row in folder.read_rows("evaluations")]
    metrics = folder.read_rows("metrics")
    found: dict[str, History] = {}
    for rows in (evaluations, *([(row["env_steps"], _told(row, source)) for row in metrics] for source in _SOURCES)):
        names = dict.fromkeys(name for _, told in rows for name in told if name not in found)
        found |= {name: history for name in names if (history := _history(rows, name)) is not None}
    return found


def _told(row: Row, source: str) -> dict[str, Any]:
    prefix = f"{source}/episode/"
    return {name.removeprefix(prefix): value for name, value in row["metrics"].items() if name.startswith(prefix)}


def _history(rows: Sequence[tuple[int, dict[str, Any]]], name: str) -> History | None:
    """Return a statistic in the rows that name it, None if it is defined in none."""
    known = [(steps, member_values(told[name])) for steps, told in rows if name in told]
    steps, values = zip(*known, strict=True)
    values = np.stack(values)
    return None if np.isnan(values).all() else History(steps, values)


def steps_to(
    env_steps: Sequence[int],
    values: Sequence[float] | np.ndarray,
    threshold: float,
    below: bool = False,
    smoothing: float = SMOOTHING,
    rows: int = ROWS,
) -> int | None:
    """Return the environment steps at which a phase emerged in one member, or None if it did not until the last row.

    Args:
        env_steps: of each row, rising.
        values: of the statistic in each row; rows in which it is NaN are passed over.
        threshold: that the moving average has to be above.
        below: whether it has to be below instead.
        smoothing: share of the average before a row in that after it; the first value starts it.
        rows: for so many rows in a row; the first of them counts.
    """
    average, since, number = math.nan, 0, 0
    for steps, value in zip(env_steps, values, strict=True):
        if math.isnan(value):
            continue
        average = value if math.isnan(average) else smoothing * average + (1 - smoothing) * value
        if not (average < threshold if below else average > threshold):
            number = 0
            continue
        since = steps if number == 0 else since
        number += 1
        if number == rows:
            return int(since)
    return None


def emergences(milestone: Milestone, history: History | None) -> tuple[Emergence, ...]:
    """Return whether and when a milestone was reached, for each member; of a run that lacks the statistic, nothing."""
    if history is None:
        return ()
    found = [steps_to(history.env_steps, values, milestone.threshold, milestone.below) for values in history.values.T]
    last = history.env_steps[-1]
    return tuple(Emergence(last if steps is None else steps, steps is not None) for steps in found)


def median_steps(members: Sequence[Emergence]) -> int | None:
    """Return the Kaplan-Meier median: where the share without the phase first is at most one half; None if it never is."""
    from scipy.stats import ecdf

    if not any(each.emerged for each in members):
        return None
    share_without = ecdf(_censored(members)).sf
    is_half = (
        share_without.probabilities <= 0.5 + 1e-9
    )  # a product of fractions that comes to ½ may miss it by a rounding
    return int(share_without.quantiles[is_half][0]) if is_half.any() else None


def log_rank(one: Sequence[Emergence], other: Sequence[Emergence]) -> float | None:
    """Return the two-sided p-value of the log-rank test of two groups, None where it is not defined."""
    from scipy.stats import logrank

    if not (one and other and any(each.emerged for each in (*one, *other))):
        return None
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # nothing varies if all that emerged did so in the last at risk
        p_value = float(logrank(_censored(one), _censored(other)).pvalue)
    return p_value if math.isfinite(p_value) else None


def _censored(members: Sequence[Emergence]):
    from scipy.stats import CensoredData

    steps, emerged = zip(*((float(each.env_steps), each.emerged) for each in members), strict=True)
    return CensoredData.right_censored(steps, ~np.asarray(emerged))


def compare_milestones(groups: Mapping[str, Sequence[RunFolder]]) -> tuple[MilestoneOfGroups, ...]:
    """Return the milestones of the worlds, in groups of runs by label; tests are against the first.

    One that only some of the worlds have stays, as a control is often a world in which a phase should not come about; in a
    group without its statistic nobody is counted. Left out are those whose statistic no run has, and those that worlds
    define differently. Raises `UserError` for a run whose config cannot be read.
    """
    worlds = [folders[0].config().env for folders in groups.values()]
    found = dict.fromkeys(each for world in worlds for each in world.milestones)
    milestones = [each for each in found if sum(each.name == other.name for other in found) == 1]
    if not milestones:
        return ()
    known = {label: [histories(folder) for folder in folders] for label, folders in groups.items()}
    compared = []
    for milestone in milestones:
        members = {
            label: tuple(each for run in runs for each in emergences(milestone, run.get(milestone.statistic)))
            for label, runs in known.items()
        }
        if any(members.values()):
            compared.append(_of_groups(milestone, members))
    return tuple(compared)


def _of_groups(milestone: Milestone, members: Mapping[str, tuple[Emergence, ...]]) -> MilestoneOfGroups:
    first = next(iter(members))
    return MilestoneOfGroups(
        name=milestone.name,
        statistic=milestone.statistic,
        threshold=milestone.threshold,
        below=milestone.below,
        description=milestone.description,
        groups=tuple(
            MilestoneOfGroup(
                label=label,
                members=group,
                reached=sum(each.emerged for each in group),
                median=median_steps(group),
                p_value=None if label == first else log_rank(members[first], group),
            )
            for label, group in members.items()
        ),
    )


def phases_in(milestones: Sequence[Milestone], statistics: Mapping[str, Any]) -> str:
    """Return how far an evaluation is from each milestone, as the end of a sentence, empty if there is none.

    Means over members: ``; fort: enclosed 0.91 (> 0.5)``. ``statistics`` are those of the evaluation's row.
    """
    told = []
    for milestone in milestones:
        value = member_mean(statistics.get(milestone.statistic))
        if not math.isnan(value):
            sign = "<" if milestone.below else ">"
            told.append(f"{milestone.name}: {milestone.statistic} {value:.2f} ({sign} {milestone.threshold:g})")
    return f"; {', '.join(told)}" if told else ""


def reached_lines(milestones: Sequence[Milestone], folder: RunFolder) -> list[str]:
    """Return a line for each milestone that members of a run reached: after how many steps the last of those had."""
    known, lines = histories(folder) if milestones else {}, []
    for milestone in milestones:
        members = emergences(milestone, known.get(milestone.statistic))
        reached = [each.env_steps for each in members if each.emerged]
        if reached:
            told = f" ({len(reached)} of {len(members)} members)" if len(members) > 1 else ""
            lines.append(f"{milestone.name}: reached after {max(reached):,} environment steps{told}")
    return lines
