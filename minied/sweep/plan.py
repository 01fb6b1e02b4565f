"""What will a sweep need? Groups, the memory of each from the compiler, and the time from a short timed run.

How many iterations, updates and steps a member will make is exact, since its schedule depends on nothing it learns; how long
they take is measured on a few, as so many seconds a batch of steps and so many an update.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from minied.errors import UserError
from minied.run.console import duration
from minied.run.evaluation import suite_of
from minied.run.trained import One, Several, Trained
from minied.spread import Spread
from minied.sweep.points import Point, groups_of
from minied.train.config import TrainConfig
from minied.train.lanes import program_key, splitting_fields
from minied.train.program import Memory

COPIES = 3
"""Of the whole state, beside that in work: one gathered from the devices, one on the host, one read back, at a
checkpoint.
"""


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a group needs."""

    members: tuple[int, ...]
    spread: Spread
    lanes: int  # that go one after the other or over devices; members beyond go side by side
    memory: Memory  # of each device
    bytes: int  # of main memory in all on CPU, else of each device: the program and copies of the state
    resident: int  # bytes of main memory that this process held once it had compiled; those above come on top
    compile_seconds: float
    seconds: float | None = None  # of the whole training, without compiling; None if it was not timed
    counted: dict[str, int] | None = None  # what all members will have come to


def trained_of(configs: Sequence[TrainConfig]) -> Trained:
    """Return what trains the members of a group."""
    from minied.train.group import Group
    from minied.train.program import Program

    return One(Program(configs[0])) if len(configs) == 1 else Several(Group(configs))


def fitted(
    points: Sequence[Point], limit: int, tell: Callable[[str], None]
) -> tuple[list[list[int]], list[Needs], list[Trained]]:
    """Return groups whose members share a program and fit into ``limit`` bytes, what they need, and what trains them.

    Raises `UserError` for a member that does not fit even alone.
    """
    configs = [point.config for point in points]
    most: dict[Hashable, int] = {}
    while True:
        groups = groups_of(configs, most=most)
        needs, trained = [], []
        for members in groups:
            one = trained_of([configs[number] for number in members])
            tell(f"compiling for {counted(len(members), 'member')}")
            need = measured_memory(one, tuple(members))
            if need.bytes > limit:
                most[program_key(configs[members[0]])] = _fitting(need, limit, configs[members[0]])
                break
            needs.append(need)
            trained.append(one)
        else:
            return groups, needs, trained


def _fitting(need: Needs, limit: int, config: TrainConfig) -> int:
    """Return how many members fit where those of ``need`` do not."""
    number = len(need.members)
    if number == 1:
        raise UserError(
            f"a member needs {told_bytes(need.bytes)} and there are {told_bytes(limit)}; allowed: a smaller num_envs ="
            f" {config.num_envs}, num_steps = {config.num_steps} or teacher.buffer_size, or more with --memory-gb"
        )
    # By the share of it that grows with the members, and at the least half as many: it is measured again.
    return max(1, min(number // 2, int(number * limit / need.bytes)))


def measured_memory(trained: Trained, members: tuple[int, ...]) -> Needs:
    """Compile a group; return what it needs."""
    start = time.monotonic()
    memory = trained.compile()
    state = jax.eval_shape(lambda: trained.init([None] * len(members)))
    size = sum(_bytes(leaf) for leaf in jax.tree.leaves(state))
    on_cpu = jax.default_backend() == "cpu"
    total = memory.total * (trained.spread.number if on_cpu else 1) + (COPIES if on_cpu else COPIES - 1) * size
    lanes = trained.group.slots.shape[0] if isinstance(trained, Several) else 1
    return Needs(members, trained.spread, lanes, memory, total, resident_bytes(), time.monotonic() - start)


def timed(trained: Trained, configs: Sequence[TrainConfig], needs: Needs, seconds: float) -> Needs:
    """Return what a group needs with the time of its whole training, by running it for about so many seconds.

    Nothing of the run is kept. The time is None if none of the updates that the members will make was seen meanwhile.
    """
    state = trained.begun(trained.init([None] * len(configs)), [True] * len(configs))
    state, _, _ = trained.advance(state, [1] * len(configs))  # compiles, if nothing has
    before, rows, begun, until = _counts(trained, configs, state), [], time.monotonic(), 1
    while time.monotonic() - begun < seconds and not all(trained.is_finished(state)):
        until += max(1, configs[0].log_every // 2)
        start = time.monotonic()
        state, _, _ = trained.advance(state, [until] * len(configs))
        taken, now = time.monotonic() - start, _counts(trained, configs, state)
        rows.append((now["rollouts"] - before["rollouts"], now["student_updates"] - before["student_updates"], taken))
        before = now
    foreseen = [program.foreseen() for program in trained.programs]
    total = {name: sum(each[name] for each in foreseen) for name in foreseen[0]}
    batches = sum(_batches_of(each, config) for each, config in zip(foreseen, configs, strict=True))
    each = _seconds_each(rows)
    if each is None or (each[1] == 0 and total["student_updates"] > 0 and not any(row[1] for row in rows)):
        return dataclasses.replace(needs, counted=total)
    predicted = each[0] * batches + each[1] * total["student_updates"]
    predicted += _evaluation_seconds(trained, configs, state, foreseen)
    return dataclasses.replace(needs, seconds=predicted, counted=total)


def _seconds_each(rows: list[tuple[int, int, float]]) -> tuple[float, float] | None:
    """Return the seconds of a batch of steps and of an update that fit what was measured best; None without any."""
    if not rows:
        return None
    from scipy.optimize import nnls

    table = np.asarray(rows, float)
    if np.linalg.matrix_rank(table[:, :2]) < 2:  # each iteration alike: the two cannot be told apart, and need not
        return float(table[:, 2].sum() / max(table[:, 0].sum(), 1)), 0.0
    found, _ = nnls(table[:, :2], table[:, 2])
    return float(found[0]), float(found[1])


def _evaluation_seconds(
    trained: Trained, configs: Sequence[TrainConfig], state: Any, foreseen: Sequence[dict[str, int]]
) -> float:
    suite = suite_of(configs[0], configs[0].env.level_space)
    if not suite:
        return 0.0
    counters = trained.counters(state)
    trained.evaluate(state, suite, counters, [True] * len(configs))  # compiles
    start = time.monotonic()
    trained.evaluate(state, suite, counters, [True] * len(configs))
    each = (time.monotonic() - start) / len(configs)
    return each * sum(_evaluations(one, config) for one, config in zip(foreseen, configs, strict=True))


def _evaluations(foreseen: dict[str, int], config: TrainConfig) -> int:
    iterations, every = foreseen["iterations"], config.evaluate_every
    return 2 + (max(iterations - 1, 0) // every if every else 0)


def _counts(trained: Trained, configs: Sequence[TrainConfig], state: Any) -> dict[str, int]:
    counters = trained.counters(state)
    return {
        "student_updates": sum(each["student_updates"] for each in counters),
        "rollouts": sum(_batches_of(each, config) for each, config in zip(counters, configs, strict=True)),
    }


def _batches_of(counters: dict[str, int], config: TrainConfig) -> int:
    return counters["env_steps"] // (config.num_envs * config.num_steps)


def available_bytes() -> int:
    """Return how much memory a group may take here: of a device, or on CPU what of main memory is free."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        return int((device.memory_stats() or {}).get("bytes_limit", 2**63))
    free = [2**63]
    for read in (lambda: _free_of_system(Path("/proc/meminfo").read_text()), _free_of_container):
        try:
            free.append(read())
        except (OSError, ValueError, StopIteration):  # not on every system, or "max"
            continue
    return max(min(free), 0)


def resident_bytes() -> int:
    """Return the main memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _free_of_system(text: str) -> int:
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("MemAvailable:"))


def _free_of_container(folder: Path = Path("/sys/fs/cgroup")) -> int:
    most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
    lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # What is kept of files counts as used, and is given back to who asks for memory.
    return most - used + next(int(value) for name, value in lines if name == "inactive_file")


def split_by(points: Sequence[Point]) -> list[str]:
    """Return the fields that split the members of a sweep into programs."""
    return splitting_fields([point.config for point in points])


def told(points: Sequence[Point], needs: Sequence[Needs], limit: int) -> list[str]:
    """Return a plan as lines for a person."""
    fields = split_by(points)
    lines = [
        f"{counted(len(points), 'member')} in {counted(len(needs), 'group')}"
        + (f", split by {', '.join(fields)}" if fields else "")
    ]
    for i, each in enumerate(needs):
        devices = f" on {each.spread.number} devices" if each.spread.number > 1 else ""
        memory = (
            f"{told_bytes(each.bytes)} of {told_bytes(limit)}, on top of {told_bytes(each.resident)} for the process"
        )
        parts = [f"group {i}: {_members(each.members)}{devices}", memory, f"compiled in {each.compile_seconds:.0f} s"]
        if each.counted:
            parts.append(
                f"{each.counted['student_updates']:,} updates, {each.counted['env_steps']:,} environment steps"
            )
            unknown = "time unknown: no update was seen; try more --plan-seconds"
            parts.append(unknown if each.seconds is None else f"about {duration(each.seconds)} without compiling")
        lines.append("; ".join(parts))
    known = [each.seconds for each in needs if each.seconds is not None]
    if len(needs) > 1 and len(known) == len(needs):
        lines.append(f"one after the other about {duration(sum(known))}")
    if any(point.config.target > 0 or point.config.max_hours > 0 for point in points) and known:
        lines.append("target and max_hours may end members sooner than is said here")
    return lines


def to_dict(points: Sequence[Point], needs: Sequence[Needs], limit: int) -> dict[str, Any]:
    """Return a plan as JSON data."""
    groups = [dataclasses.asdict(each) | {"memory": each.memory._asdict()} for each in needs]
    return {"members": len(points), "split_by": split_by(points), "memory_limit": limit, "groups": groups}


def _members(members: Sequence[int]) -> str:
    first, last = members[0], members[-1]
    if len(members) == 1:
        return f"member {first}"
    span = f"{first} to {last}" if last - first + 1 == len(members) else f"{first}, {members[1]}, …, {last}"
    return f"{len(members)} members ({span})"


def counted(number: int, noun: str) -> str:
    """Return so many of something in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def told_bytes(number: int) -> str:
    """Return a size as a person reads it."""
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _bytes(leaf: Any) -> int:
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    data = jax.eval_shape(jax.random.key_data, leaf) if is_key else leaf
    return int(np.prod(data.shape)) * data.dtype.itemsize
