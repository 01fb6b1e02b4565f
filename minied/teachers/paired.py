"""Teachers that learn to build levels: PAIRED and its kin (Dennis et al. 2020, algorithm 1).

    levels ~ designer;  students play them and learn;  designer learns from what the levels are worth

What they are worth makes the teacher: regret (PAIRED), failure (the minimax adversary), or what the student's networks say
(AutoDIME, Kanitscheider and Edwards 2022). The forms differ in `Pay.score` alone.
"""

from collections.abc import Mapping
from typing import Any

import jax

from minied.levels.space import LevelSpace
from minied.teachers.base import DESIGNED, Outcome, Plan, Probe, Proposal, Schedule, Teacher
from minied.teachers.designing import DesignerState, Designing
from minied.teachers.pay import Pay


class Paired(Designing, Teacher):
    """A policy builds every level, students learn from it, and the policy is paid by the student's regret, or any score."""

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the world has nothing to build with, or the pay cannot be computed."""
        self.validate_design(space, num_levels, missing)

    @property
    def needs(self) -> frozenset[str]:
        """The signals of the pay."""
        return self.pay.needs

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> DesignerState:
        """Return a policy that has built nothing. Consumes ``key``."""
        return self.init_designer(key, space)

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always designs, always training."""
        return Plan.of(DESIGNED, train=True, new_batches=0)

    def propose(
        self, key: jax.Array, state: DesignerState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[DesignerState, Proposal]:
        """Return levels that the policy builds. Consumes ``key``."""
        return state, self.design(key, state, plan, space, num_levels)

    def observe(
        self, state: DesignerState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> DesignerState:
        """Pay the policy for its levels, and let it learn."""
        return self.learn_from_pay(state, plan, proposal.design, outcome.signals, space)

    def metrics(self, state: DesignerState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return what the policy's last update was like, and its pay."""
        return self.designer_metrics(state)

    def broken_scores(self, state: DesignerState) -> jax.Array:
        """Return how many scores were ever no finite number, ``i32[]``."""
        return state.pay.broken

    def blamed_score(self) -> str:
        """Return the score that may be broken, as a user sets it."""
        return f"teacher.pay.score is {self.pay.score!r}"

    def fault(self, state: DesignerState) -> jax.Array:
        """Return whether and how the policy failed, ``i32[]``, see `Designing.designer_fault`."""
        return self.designer_fault(state)

    def explain(self, fault: int, states: Any, space: LevelSpace) -> str:
        """Return the sentence for a `fault`."""
        del states
        return self.explain_designer(fault, space)


class MinimaxAdversary(Paired):
    """A policy builds every level and is paid when the student fails: the baseline that PAIRED was made against."""

    pay: Pay = Pay(score="negative_return")
    """What a level earns its designer."""
