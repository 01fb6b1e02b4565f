"""Domain randomisation: every level is new, and the students learn from all of them (Tobin et al. 2017)."""

from typing import Any

import jax

from minied.levels.space import LevelSpace
from minied.teachers.base import NEW, Outcome, Plan, Probe, Proposal, Schedule, Teacher, propose_new


class DomainRandomization(Teacher):
    """levels ~ generator; train. It has no state and no options."""

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> tuple[()]:
        """Return no state."""
        return ()

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always new levels, always training."""
        return Plan.of(NEW, train=True, new_batches=1)

    def propose(
        self, key: jax.Array, state: tuple[()], plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[tuple[()], Proposal]:
        """Return new levels. Consumes ``key``."""
        return state, propose_new(key, space, num_levels)

    def observe(self, state: Any, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace) -> tuple[()]:
        """Learn nothing."""
        return ()
