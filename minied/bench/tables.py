"""How is it shown? Tables for a person, one for training and one for worlds; every column says what it counts."""

from collections.abc import Sequence
from typing import Any

from minied.bench.measure import Measurement
from minied.bench.timing import Estimate

_SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_FASTER = "minied ÷\nthis one"


def tables(measurements: Sequence[Measurement]) -> list[Any]:
    """Return a rich table of the training, one of the worlds, for whichever was measured; the spread follows after ±."""
    training = [each for each in measurements if each.case.what == "training"]
    worlds = [each for each in measurements if each.case.what == "world"]
    made = [(_training_table, training), (_world_table, worlds)]
    return [make(rows) for make, rows in made if rows]


def _training_table(rows: Sequence[Measurement]) -> Any:
    table = _table("training: steps simulated and steps learnt from, a second (all rounds together ± median deviation)")
    table.add_column("teacher")
    _number_columns(table, "envs")
    table.add_column("by")
    table.add_column("precision")
    _number_columns(table, "simulated\nsteps/s", "learnt\nsteps/s", "s an\niteration", "first\ncall, s")
    with_ratio = _add_ratio_column(table, rows)
    for row in rows:
        cells = [
            ", ".join(part for part in (row.case.name, row.case.note) if part),
            str(row.case.num_envs),
            row.case.by,
            row.precision,
            _spread(row.pooled_rate("steps"), row.rate("steps")),
            _spread(row.pooled_rate("learnt"), row.rate("learnt")),
            "-" if (rate := row.pooled_rate("updates")) == 0 else f"{1 / rate:.3g}",
            _seconds(row.ready.get("first_call_seconds")),
        ]
        table.add_row(*cells, *([_ratio(row.ratio)] if with_ratio else []), end_section=_ends_group(row, rows))
    return table


def _world_table(rows: Sequence[Measurement]) -> Any:
    table = _table("worlds alone, random actions: environment steps a second (median ± median deviation)")
    table.add_column("world")
    table.add_column("on restart")
    _number_columns(table, "envs")
    table.add_column("by")
    _number_columns(table, "steps/s", "first\ncall, s")
    with_ratio = _add_ratio_column(table, rows)
    for row in rows:
        cells = [
            row.case.name,
            row.case.note,
            str(row.case.num_envs),
            row.case.by,
            _spread(row.rate("steps").median, row.rate("steps")),
            _seconds(row.ready.get("first_call_seconds")),
        ]
        table.add_row(*cells, *([_ratio(row.ratio)] if with_ratio else []), end_section=_ends_group(row, rows))
    return table


def _table(title: str) -> Any:
    from rich.table import Table

    return Table(title=title, title_justify="left", min_width=min(len(title), 100))


def _number_columns(table: Any, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right")


def _add_ratio_column(table: Any, rows: Sequence[Measurement]) -> bool:
    has_ratio = any(row.ratio is not None for row in rows)
    if has_ratio:
        _number_columns(table, _FASTER)
    return has_ratio


def _ends_group(row: Measurement, rows: Sequence[Measurement]) -> bool:
    """Return whether a group of compared rows ends here: the next row is the first of another, as rows without ratio are."""
    index = rows.index(row)
    has_ratio = any(each.ratio is not None for each in rows)
    return has_ratio and index + 1 < len(rows) and rows[index + 1].ratio is None


def _ratio(value: Estimate | None) -> str:
    if value is None:
        return ""
    interval = f" [{_three(value.interval[0])}, {_three(value.interval[1])}]" if value.interval else ""
    return f"{_three(value.median)}{interval}"


def _three(value: float) -> str:
    """Return a number with three digits and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _spread(value: float, over_rounds: Estimate) -> str:
    """Return a rate, and how its rounds vary in percent of their median."""
    if value == 0:
        return "-"
    size, letter = next(((size, letter) for size, letter in _SIZES if value >= size), (1.0, ""))
    percent = 100 * over_rounds.deviation / over_rounds.median if over_rounds.median else 100
    return f"{_three(value / size)}{letter} ±{percent:.0f}%"


def _seconds(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "-"
