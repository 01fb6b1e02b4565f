"""Which members are hopeless? Successive halving (Karnin et al. 2013; Jamieson and Talwalkar 2016).

At rungs of equal environment steps, ``first_env_steps`` and ``factor``, ``factor²``, … times as many, the settings of
a group are ranked by their solve rate on the suite, the mean over its levels and over the members of the setting,
which differ in seeds alone; one in ``factor`` of them, rounded up, goes on. A member waits at a rung for the others.

A deviation: the published budget is the same for every rung; here a rung lies where the file says, and a survivor goes on
with what it has learnt, to the end of its own length.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from minied.errors import UserError
from minied.run.metrics import member_mean
from minied.run.training import FAILED, Member
from minied.sweep.fields import require_keys

OF_THE_SEED = ("seed", "schedule_seed")
"""Fields in which the members of one setting differ."""


@dataclasses.dataclass(frozen=True)
class Halving:
    """The section ``halving`` of a sweep file."""

    first_env_steps: int
    """Environment steps of a member at the first rung."""
    factor: int = 2
    """One in so many settings goes on."""
    at_least: int = 1
    """Settings that are never cut."""

    @classmethod
    def parse(cls, data: Any, source: str) -> "Halving":
        """Return what the data of the section say. Raises `UserError`."""
        names = [field.name for field in dataclasses.fields(cls)]
        require_keys(data, names, "halving", source)
        for name, least in (("first_env_steps", 1), ("factor", 2), ("at_least", 1)):
            value = data.get(name, getattr(cls, name, None))
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{source}: halving.{name} is {value!r}; allowed: a whole number, at least {least}")
        return cls(**data)

    def rung(self, passed: int) -> int:
        """Return at how many environment steps of a member the next rung lies, after so many that were passed."""
        return self.first_env_steps * self.factor**passed

    def hopeless(self, members: Sequence[Member], passed: int) -> dict[int, str]:
        """Return which of all members end at the rung that the active ones have reached, and what to tell of each."""
        settings: dict[str, list[int]] = {}
        for i, member in enumerate(members):
            settings.setdefault(setting_key(member.config.to_dict()), []).append(i)
        # Of a setting of which nobody goes on nothing is to be decided; one whose other seeds diverged counts them as 0.
        settings = {name: own for name, own in settings.items() if any(members[i].is_active for i in own)}
        scores = {name: sum(_score(members[i]) for i in own) / len(own) for name, own in settings.items()}
        ranked = sorted(settings, key=lambda name: -scores[name])  # stable: among equals the first in the file
        keep = max(math.ceil(len(ranked) / self.factor), self.at_least)
        told = {}
        for place, name in enumerate(ranked):
            if place >= keep:
                line = (
                    f"cut at {self.rung(passed)} environment steps: {place + 1}. of {len(ranked)} settings with a solve rate"
                    f" of {scores[name]:.3f}, the last that goes on has {scores[ranked[keep - 1]]:.3f}"
                )
                told |= {i: line for i in settings[name] if members[i].is_active}
        return told


def setting_key(config: Mapping[str, Any]) -> str:
    """Return what the configs of one setting have in common: all but their seeds."""
    return json.dumps({name: value for name, value in config.items() if name not in OF_THE_SEED}, sort_keys=True)


def _score(member: Member) -> float:
    if member.evaluation is None or member.ended.startswith(FAILED):
        return 0.0
    rate = member_mean(member.evaluation["solve_rate"])
    return 0.0 if math.isnan(rate) else rate
