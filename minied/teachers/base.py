"""The contract of a teacher, and what passes between it and the loop.

Letters: ``B`` levels in a batch, one environment a level. One iteration of the loop is

    plan      = teacher.plan(key, schedule, B)                          shared by all members, scalar
    proposal  = teacher.propose(key, state, plan, space, B, probe)      levels [B] of one member
    outcome   = what the students did on them
    state     = teacher.observe(state, plan, proposal, outcome, space)

A plan depends on nothing of a member's own, so that its branches stay real branches when members are vmapped.
"""

import abc
from typing import Any, Protocol

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
            rollouts=self.rollouts + 1 + plan.probes,
        )


class Plan(struct.PyTreeNode):
    """What this iteration does, for all members alike."""

    replay: jax.Array  # bool[], take levels from the buffer rather than new ones
    train: jax.Array  # bool[], the students learn from this batch
    probes: jax.Array | int = (
        0  # i32[], calls of `probe` that the proposal will make, each of B levels; for the accounts
    )


class Proposal(struct.PyTreeNode):
    """The levels of one iteration of one member."""

    levels: Any  # level pytree, [B, ...]
    slots: jax.Array  # i32[B], where in the teacher's buffer each level came from, -1 for a new one
    max_returns: jax.Array  # f32[B], highest return known on each level, -inf if none


class Outcome(struct.PyTreeNode):
    """What the students did on the proposed levels."""

    episodes: EpisodeSummary  # [B]
    signals: Signals  # [B, ...]


class Probe(Protocol):
    """Plays levels with the present student, without learning."""

    def __call__(self, key: jax.Array, levels: Any) -> Outcome:
        """Return what the student does on ``levels``, ``[B, ...]``, in a rollout as long as the loop's. Consumes ``key``."""
        ...


class Teacher(Hyperparameters):
    """A frozen config plus pure functions over a state pytree. Float fields are traced (see `Hyperparameters`)."""

    def validate(self, space: LevelSpace, num_levels: int, num_value_heads: int) -> None:
        """Raise `UserError` if this teacher cannot work on ``space`` with batches of ``num_levels``."""

    @abc.abstractmethod
    def init(self, key: jax.Array, space: LevelSpace) -> Any:
        """Return the state before the first iteration. Consumes ``key``."""

    @abc.abstractmethod
    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Return what the coming iteration does. Consumes ``key``, which all members share."""

    @abc.abstractmethod
    def propose(
        self, key: jax.Array, state: Any, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> Proposal:
        """Return the levels of the coming iteration, ``[num_levels]``. Consumes ``key``.

        A teacher that wants to see students on levels first calls ``probe``, and says how often in its `Plan`.
        """

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
