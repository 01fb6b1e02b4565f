"""ACCEL: PLR⊥ that also edits the levels it has just replayed (Parker-Holder et al. 2022, arXiv 2203.01302, algorithm 1).

An iteration that replays is followed by one that plays edited copies of those levels, without learning, and offers them to
the buffer. The parallel form (Jiang et al. 2023, "minimax") plays replayed, new and edited levels side by side.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied.hyperparameters import Hyperparameters, require_choice, require_range
from minied.levels.buffer import LevelBuffer
from minied.levels.space import LevelSpace
from minied.teachers.base import MUTATED, NEW, REPLAY, Outcome, Plan, Probe, Proposal, Schedule, join
from minied.teachers.prioritized_level_replay import ParallelPrioritizedLevelReplay, RobustPrioritizedLevelReplay

Parents = Literal["batch", "easy", "hard"]


class ParentChoice(Hyperparameters):
    """Which of the replayed levels are edited. The edits themselves are options of the world (``env.levels``)."""

    parents: Parents = "batch"
    """`batch`: each replayed level once; `easy`: those of the lowest scores; `hard`: those of the highest."""
    num_parents: int = 4
    """How many levels `easy` and `hard` take, each edited as often as the others; `batch` does not look at it."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_choice(self, "parents", get_args(Parents))
        require_range(self, "num_parents", 1, 2**24)

    def choose(self, buffer: LevelBuffer, slots: jax.Array, num_children: int) -> jax.Array:
        """Return the slots of the parents, ``i32[num_children]``, of the levels replayed from ``slots`` ``i32[B]``.

        `easy` and `hard` go by the present score in the buffer, as minimax's do (DCD's "easy" also takes four).
        """
        chosen = slots
        if self.parents != "batch":
            sign = 1.0 if self.parents == "easy" else -1.0
            order = jnp.argsort(sign * buffer.scores[slots])
            chosen = slots[order[: min(self.num_parents, slots.shape[0])]]
        return chosen[jnp.arange(num_children, dtype=jnp.int32) % chosen.shape[0]]


class AccelState(struct.PyTreeNode):
    """A buffer, and what was replayed last."""

    buffer: LevelBuffer
    replayed: jax.Array  # i32[B], slots


class Accel(RobustPrioritizedLevelReplay, ParentChoice):
    """ACCEL: as PLR⊥, and after each replay an iteration that scores edited copies of the replayed levels."""

    replay_probability: float = 0.8
    """p, the chance that an iteration replays, once the buffer is warm. One draw a batch, shared by all members."""

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if levels cannot be edited, and as PLR does."""
        super().validate(space, num_levels, missing)
        space.require("mutate", "ACCEL")

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> AccelState:
        """Return an empty buffer. Consumes ``key``."""
        return AccelState(super().init(key, space, num_levels), jnp.zeros(num_levels, jnp.int32))

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Edit after a replay, else do as PLR⊥. Consumes ``key``, which all members share."""
        edit = Plan.of(MUTATED, train=False, new_batches=0)
        otherwise = super().plan(key, schedule, num_levels)
        return jax.tree.map(lambda a, b: jnp.where(schedule.last_kind == REPLAY, a, b), edit, otherwise)

    def propose(
        self, key: jax.Array, state: AccelState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[AccelState, Proposal]:
        """Return new, replayed or edited levels. Consumes ``key``."""
        buffer = state.buffer

        def mutated() -> Proposal:
            parents = self.choose(buffer, state.replayed, num_levels)
            return self.edited(key, buffer, parents, MUTATED, space)

        branches = {
            NEW: lambda: self.new(key, buffer, space, num_levels),
            REPLAY: lambda: self.replayed(key, buffer, num_levels),
            MUTATED: mutated,
        }
        return state, jax.lax.switch(plan.kind, [branches[kind] for kind in (NEW, REPLAY, MUTATED)])

    def observe(
        self, state: AccelState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> AccelState:
        """Rescore what was replayed and remember it; offer new and edited levels to the buffer."""
        buffer = super().observe(state.buffer, plan, proposal, outcome, space)
        return AccelState(buffer, jnp.where(plan.kind == REPLAY, proposal.slots, state.replayed))

    def buffer_of(self, state: AccelState) -> LevelBuffer:
        """Return the buffer."""
        return state.buffer


class ParallelAccel(ParallelPrioritizedLevelReplay, ParentChoice):
    """ACCEL∥: every iteration plays replayed levels, learns from them, and scores new and edited ones beside them.

    The edited ones are copies of those replayed in the same rollout. Until the buffer is warm all three are new levels and
    nothing is learnt.
    """

    @property
    def num_batches(self) -> int:
        """Replayed ones, to learn from, new ones and edited ones."""
        return 3

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if levels cannot be edited, and as parallel PLR does."""
        super().validate(space, num_levels, missing)
        space.require("mutate", "parallel ACCEL")

    def propose(
        self, key: jax.Array, state: LevelBuffer, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[LevelBuffer, Proposal]:
        """Return ``[B replayed | B new | B edited]``, or ``3B`` new levels. Consumes ``key``."""
        pair_key, edit_key = jax.random.split(key)
        state, pair = super().propose(pair_key, state, plan, space, num_levels, probe)

        def mutated() -> Proposal:
            parents = self.choose(state, pair.slots[:num_levels], num_levels)
            return self.edited(edit_key, state, parents, MUTATED, space)

        third = jax.lax.cond(plan.kind == REPLAY, mutated, lambda: self.new(edit_key, state, space, num_levels))
        return state, join(pair, third)
