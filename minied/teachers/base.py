"""The contract of a teacher, and what passes between it and the loop.

Letters: ``B`` levels in a batch, one environment a level. One iteration of the loop is

    plan      = teacher.plan(key, schedule)                       shared by all members, scalar
    proposal  = teacher.propose(key, state, plan, space, B)       levels [B] of one member
    outcome   = what the students did on them
    state     = teacher.observe(key, state, proposal, outcome, space)

A plan depends on nothing of a member's own, so that its branches stay real branches when members are vmapped.
"""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from minied.hyperparameters import Hyperparameters
from minied.levels.space import LevelSpace
from minied.scores.base import EpisodeSummary, Signals


class Schedule(struct.PyTreeNode):
    """What all members share: the key of the plans, and counters. Every count is a number of whole batches."""

    key: jax.Array  # key[], from `schedule_seed`, never from a member's seed
    iterations: jax.Array  # i32[], plans made so far
    student_updates: jax.Array  # i32[], iterations in which the students learnt
    new_batches: jax.Array  # i32[], batches of levels that were generated and scored
    replay_batches: jax.Array  # i32[], batches of levels that were replayed
    rollouts: jax.Array  # i32[], batches of B × num_steps environment steps simulated, learning or not

    @classmethod
    def start(cls, key: jax.Array) -> "Schedule":
        """Return the schedule of a run that has not begun."""
        zero = jnp.zeros((), jnp.int32)
        return cls(key, zero, zero, zero, zero, zero)

    def after(self, plan: "Plan") -> "Schedule":
        """Return the schedule after an iteration that followed ``plan``."""
        return self.replace(
            iterations=self.iterations + 1,
            student_updates=self.student_updates + plan.train,
            new_batches=self.new_batches + ~plan.replay,
            replay_batches=self.replay_batches + plan.replay,
            rollouts=self.rollouts + 1,
        )


class Plan(struct.PyTreeNode):
    """What this iteration does, for all members alike."""

    replay: jax.Array  # bool[], take levels from the buffer rather than new ones
    train: jax.Array  # bool[], the students learn from this batch


class Proposal(struct.PyTreeNode):
    """The levels of one iteration of one member."""

    levels: Any  # level pytree, [B, ...]
    slots: jax.Array  # i32[B], where in the teacher's buffer each level came from, -1 for a new one
    max_returns: jax.Array  # f32[B], highest return known on each level, -inf if none


class Outcome(struct.PyTreeNode):
    """What the students did on the proposed levels."""

    episodes: EpisodeSummary  # [B]
    signals: Signals  # [B, ...]


class Teacher(Hyperparameters):
    """A frozen config plus pure functions over a state pytree. Float fields are traced (see `Hyperparameters`)."""

    name: ClassVar[str]

    def validate(self, space: LevelSpace, num_levels: int, num_value_heads: int) -> None:
        """Raise `UserError` if this teacher cannot work on ``space`` with batches of ``num_levels``."""

    @abc.abstractmethod
    def init(self, key: jax.Array, space: LevelSpace) -> Any:
        """Return the state before the first iteration. Consumes ``key``."""

    @abc.abstractmethod
    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Return what the coming iteration does. Consumes ``key``, which all members share."""

    @abc.abstractmethod
    def propose(self, key: jax.Array, state: Any, plan: Plan, space: LevelSpace, num_levels: int) -> Proposal:
        """Return the levels of the coming iteration, ``[num_levels]``. Consumes ``key``."""

    @abc.abstractmethod
    def observe(self, state: Any, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace) -> Any:
        """Return the state that has taken in the outcome of ``proposal``."""

    def metrics(self, state: Any, space: LevelSpace) -> dict[str, jax.Array]:
        """Return named ``f32[]`` values about ``state``, logged as means over iterations; NaN where undefined."""
        del state, space
        return {}


def sample_levels(key: jax.Array, space: LevelSpace, num_levels: int) -> Any:
    """Return ``num_levels`` independent levels of the generator, ``[num_levels, ...]``. Consumes ``key``."""
    return jax.vmap(space.sample)(jax.random.split(key, num_levels))


def propose_new(key: jax.Array, space: LevelSpace, num_levels: int) -> Proposal:
    """Return a batch of new levels as a proposal. Consumes ``key``."""
    return Proposal(
        levels=sample_levels(key, space, num_levels),
        slots=jnp.full(num_levels, -1, jnp.int32),
        max_returns=jnp.full(num_levels, -jnp.inf),
    )
