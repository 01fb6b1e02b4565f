"""Where the numbers of a run go: rows of JSON always, Weights & Biases if asked.

A row holds the counters of one member and, for each metric, a number, or a list with one number a member. What is not a
finite number is null.
"""

import json
import math
import os
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, Literal, Protocol, Self

import numpy as np

from minied.run.folder import ROW_FILES, RunFolder
from minied.train.config import TrainConfig

WandbMode = Literal["disabled", "offline", "online"]
COUNTERS = ("iterations", "student_updates", "train_steps", "env_steps")
TASKS_DONE, TASKS_MEASURED = "teacher/tasks_above_5_percent", "teacher/tasks_measured"
TASK_SUCCESS, TASK_ATTENTION = "teacher/success/", "teacher/attention/"

Row = dict[str, Any]


class Sink(Protocol):
    """Takes rows of each kind of `minied.run.folder.ROW_FILES`."""

    def write(self, kind: str, row: Row) -> None:
        """Take one row."""

    def flush(self) -> None:
        """Bring what was taken to a safe place."""

    def close(self) -> None:
        """End."""


class Sinks:
    """Several sinks as one, closed together. A context manager."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def write(self, kind: str, row: Row) -> None:
        """Give one row to every sink."""
        for sink in self._sinks:
            sink.write(kind, row)

    def flush(self) -> None:
        """Flush every sink."""
        for sink in self._sinks:
            sink.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in self._sinks:
            sink.close()


class JsonlSink:
    """Appends rows to the files of a run folder. Each row is one write, so that only the last one can be torn."""

    def __init__(self, folder: RunFolder) -> None:
        self._files: dict[str, IO[bytes]] = {kind: folder.rows_path(kind).open("ab", buffering=0) for kind in ROW_FILES}

    def write(self, kind: str, row: Row) -> None:
        """Append one row."""
        self._files[kind].write(json.dumps(row, allow_nan=False, separators=(", ", ": ")).encode() + b"\n")

    def flush(self) -> None:
        """Force the rows to the disk: a checkpoint that counts them must not outlive them."""
        for file in self._files.values():
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class WandbSink:
    """Sends rows to Weights & Biases, against ``env_steps``; member i of metric m is ``m/member_i``, the mean is ``m``."""

    def __init__(self, folder: RunFolder, config: TrainConfig, mode: WandbMode) -> None:
        import wandb  # slow to import, and not every run wants it

        self._run = wandb.init(
            mode=mode,
            project="minied",
            name=folder.path.name,
            id=folder.description()["run_id"],
            resume="allow",
            dir=str(folder.path),
            config=config.to_dict(),
            settings=wandb.Settings(console="off", silent=True),
        )
        self._run.define_metric("env_steps")
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, kind: str, row: Row) -> None:
        """Log one row."""
        counters = {name: row[name] for name in COUNTERS if name in row}
        if kind == "evaluations":
            values = {f"evaluation/{row['suite']}": row["solve_rate"]}
            values |= {f"evaluation/{row['suite']}/{name}": e["solve_rate"] for name, e in row["entries"].items()}
            values |= {f"evaluation/{row['suite']}/statistics/{n}": v for n, v in row.get("statistics", {}).items()}
            gap = [name for name in ("train_solve_rate", "test_solve_rate", "generalization_gap") if name in row]
            values |= {f"evaluation/{row['suite']}/{name}": row[name] for name in gap}
        elif kind == "timing":
            values = {f"timing/{name}": value for name, value in row.items() if name not in counters}
        else:
            values = row["metrics"]
        self._run.log(counters | _spread(values), step=row["iterations"])

    def flush(self) -> None:
        """Leave it to wandb."""

    def close(self) -> None:
        """Finish the wandb run."""
        self._run.finish()


def metrics_row(counters: Mapping[str, int], metrics: Mapping[str, np.ndarray]) -> Row:
    """Return the row of one log boundary. ``metrics[name]`` is ``f32[S]``."""
    return counters_row(counters) | {"metrics": {name: plain(metrics[name]) for name in sorted(metrics)}}


def counters_row(counters: Mapping[str, int]) -> Row:
    """Return the start of every row."""
    return {name: int(counters[name]) for name in COUNTERS}


def plain(values: Any) -> Any:
    """Return numbers of the members, ``[S]``, as JSON data: a list, or the number itself if ``S`` is 1."""
    numbers = [_number(value) for value in np.asarray(values).reshape(-1)]
    return numbers[0] if len(numbers) == 1 else numbers


def member_values(value: Any) -> np.ndarray:
    """Return what `plain` gave as ``f64[S]`` again, NaN for null."""
    return np.asarray([np.nan if each is None else each for each in _as_list(value)], np.float64)


def member_mean(value: Any) -> float:
    """Return the mean over the members of what `plain` gave, without those that have none; NaN if none has."""
    values = member_values(value)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else math.nan


def solve_rate_of(row: Row) -> tuple[str, float]:
    """Return which levels a row of metrics tells about, as a person says it, and their solve rate; NaN if it tells of none.

    New levels come first: they are always of one kind, so that the figure shows learning. A teacher chooses the others.
    """
    names = {"new": "new", "designed": "designed", "replay": "replayed", "mutated": "edited", "given": "given"}
    rates = {name: member_mean(row["metrics"].get(f"{source}/solve_rate")) for source, name in names.items()}
    return next((each for each in rates.items() if not math.isnan(each[1])), ("", math.nan))


def tasks_done(row: Row) -> str:
    """Return how many tasks are done at times, as a person says it, mean over members; empty if none was measured yet."""
    done = member_mean(row["metrics"].get(TASKS_DONE))
    if not member_mean(row["metrics"].get(TASKS_MEASURED)) > 0:
        return ""
    number = sum(name.startswith(TASK_SUCCESS) for name in row["metrics"])
    return f"{done:.0f} of {number} tasks succeed in 5 % or more"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: np.generic) -> float | int | None:
    if isinstance(value, (np.integer, np.bool_)):
        return int(value)
    # The shortest decimal that reads back as the same float32, rather than the float64 that happens to equal it.
    return float(str(value)) if np.isfinite(value) else None


def _spread(values: Mapping[str, Any]) -> dict[str, float]:
    flat = {}
    for name, value in values.items():
        mean = member_mean(value)
        if not math.isnan(mean):
            flat[name] = mean
        if isinstance(value, list):
            flat |= {f"{name}/member_{i}": each for i, each in enumerate(value) if each is not None}
    return flat
