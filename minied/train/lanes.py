"""Which runs can share a compiled program, and which of them the same plans?

Letters: ``n`` runs, ``G`` lanes of ``M`` places (see `minied.train.group`).
"""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import numpy as np

from minied.errors import UserError
from minied.hyperparameters import Hyperparameters
from minied.registry import name_of
from minied.spread import ALONE, Spread, require_all_processes, require_devices
from minied.teachers.base import Schedule
from minied.train.config import TrainConfig
from minied.train.setting import Setting

_OF_THE_SESSION = (
    "num_seeds", "num_devices", "log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints", "suite", "attempts",
    "max_hours", "num_train_levels", "train_levels_seed",
)  # fmt: skip


def program_key(config: TrainConfig) -> Hashable:
    """Return what is equal for configs whose runs can share a program: all that is no number of it (see `Setting`)."""
    setting = Setting.of(config, spread=ALONE)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(setting))
    return jax.tree.structure(setting), shapes, *(getattr(config, name) for name in _OF_THE_SESSION)


def splitting_fields(configs: Sequence[TrainConfig]) -> list[str]:
    """Return the fields, dotted, in which the programs of ``configs`` differ; empty if they can share one."""
    first, *others = configs
    key = program_key(first)
    found: dict[str, None] = {}
    for other in others:
        if program_key(other) != key:
            found |= dict.fromkeys(_shaping(first, other))
    return list(found)


def _shaping(one: Any, other: Any, prefix: str = "") -> list[str]:
    """Return the fields in which two configs differ and that are no numbers of a program."""
    if type(one) is not type(other):
        return [f"{prefix}name" if prefix else name_of(type(one))]
    found = []
    for field in dataclasses.fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if ours == theirs or (not prefix and field.name in NUMBERS):
            continue
        nested = dataclasses.is_dataclass(ours) or dataclasses.is_dataclass(theirs)
        is_number = isinstance(one, Hyperparameters) and isinstance(ours, float)
        if nested:
            found += _shaping(ours, theirs, f"{prefix}{field.name}.")
        elif not is_number:
            found.append(f"{prefix}{field.name}")
    return found


NUMBERS = ("seed", "schedule_seed", "updates", "env_steps", "start_from", "target")
"""Fields of a `TrainConfig` in which members of one program may differ, beside the numbers of its parts."""


def refuse_other_programs(configs: Sequence[TrainConfig]) -> None:
    """Raise `UserError`, which names what splits them, unless the runs of all ``configs`` can share a program."""
    if fields := splitting_fields(configs):
        told = "; ".join(f"{name} is {_values(configs, name)}" for name in fields)
        raise UserError(
            f"{len(configs)} members cannot share a program: {told}; allowed: fields that only change numbers"
            f" ({', '.join(NUMBERS[:4])}, and the rates and coefficients of the teacher, ppo and bonus)"
        )
    for config in configs:
        if config.num_seeds != 1:
            raise UserError(f"num_seeds is {config.num_seeds} in a group; allowed: 1, each seed is a member")


def _values(configs: Sequence[TrainConfig], name: str) -> str:
    def value(config: Any) -> Any:
        for part in name.split("."):
            config = config.get(part) if isinstance(config, dict) else None
        return config

    return " or ".join(dict.fromkeys(str(value(config.to_dict())) for config in configs))


def lanes_of(
    configs: Sequence[TrainConfig], settings: Sequence[Setting], width: int | None
) -> tuple[np.ndarray, Spread]:
    """Return which member lies where, ``i32[G, M]``, -1 for a place with none, and over which devices lanes are spread.

    ``width`` is as in `minied.train.group.Group`.
    """
    wanted = configs[0].num_devices
    available = require_devices(wanted)
    on_cpu = jax.default_backend() == "cpu"
    devices = wanted or (available if on_cpu or jax.process_count() > 1 else 1)
    schedules: dict[Hashable, list[int]] = {}
    for number, (config, setting) in enumerate(zip(configs, settings, strict=True)):
        key = (config.schedule_seed, config.updates, config.max_rollouts, plan_numbers(setting))
        schedules.setdefault(key, []).append(number)
    longest = max(len(members) for members in schedules.values())
    lanes_each = -(-devices // len(schedules))  # so that no device stands idle
    width = width or (1 if on_cpu else -(-longest // lanes_each))
    rows = [members[i : i + width] for members in schedules.values() for i in range(0, len(members), width)]
    devices = min(devices, len(rows))
    rows += [[]] * (-len(rows) % devices)
    slots = np.full((len(rows), min(width, longest)), -1)
    for row, members in zip(slots, rows, strict=True):
        row[: len(members)] = members
    spread = Spread("members", devices) if devices > 1 else ALONE
    require_all_processes(spread)
    return slots, spread


def plan_numbers(setting: Setting) -> tuple[float, ...]:
    """Return the numbers of a teacher from which its plans are made: members that share a schedule have them in common."""
    leaves, structure = jax.tree.flatten(setting.teacher)

    def plan(numbers: list[jax.Array]) -> Any:
        schedule = Schedule.start(jax.random.key(0))
        return structure.unflatten(numbers).plan(schedule.key, schedule, setting.num_levels)

    program = jax.make_jaxpr(plan)(leaves).jaxpr
    needed = {each for each in program.outvars if not _is_literal(each)}
    for equation in reversed(program.eqns):
        if needed & {*equation.outvars}:
            needed |= {each for each in equation.invars if not _is_literal(each)}
    return tuple(float(leaf) for leaf, variable in zip(leaves, program.invars, strict=True) if variable in needed)


def _is_literal(variable: Any) -> bool:
    return hasattr(variable, "val")


def evenly(slots: np.ndarray, active: np.ndarray, number: int) -> np.ndarray:
    """Return the lanes in an order in which those with an ``active`` member are dealt evenly to ``number`` devices.

    A device has as many lanes as another, and they lie one after the other.
    """
    busy = np.asarray([any(active[member] for member in lane if member >= 0) for lane in slots])
    order = np.argsort(~busy, kind="stable")
    dealt = [order[device::number] for device in range(number)]
    return slots[np.concatenate(dealt)]
