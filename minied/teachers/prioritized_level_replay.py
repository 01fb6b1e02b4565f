"""Prioritised level replay: play again the levels that score high (Jiang, Grefenstette and Rocktäschel 2021).

The robust form, PLR⊥ (Jiang et al. 2021, "Replay-Guided Adversarial Environment Design", algorithm 1), lets the students
learn from replayed levels only: new ones are played to be scored. The parallel form (Jiang et al. 2023, "minimax", section
4) plays a batch of each side by side in one rollout.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.levels.buffer import LevelBuffer
from minied.levels.priority import Eviction, Prioritization
from minied.levels.space import LevelSpace
from minied.teachers.base import NEW, REPLAY, Outcome, Plan, Probe, Proposal, Schedule, join
from minied.teachers.replay import ReplayTeacher, ReplayWithProbability


class PrioritizedLevelReplay(ReplayWithProbability):
    """new levels: score, store, learn; with probability p replay instead: learn, score again."""

    train_on_new: ClassVar[bool] = True

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        if not self.train_on_new and self.replay_probability == 0:
            raise UserError("replay_probability is 0; robust PLR learns from replayed levels only; allowed: (0, 1]")

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Replay with probability p once warm. Consumes ``key``, which all members share."""
        replay = self.decides_to_replay(key, schedule, num_levels)
        return Plan.of(jnp.where(replay, REPLAY, NEW), train=replay | self.train_on_new, new_batches=~replay)

    def propose(
        self, key: jax.Array, state: LevelBuffer, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[LevelBuffer, Proposal]:
        """Return replayed levels or new ones. Consumes ``key``."""
        return state, jax.lax.cond(
            plan.kind == REPLAY,
            lambda: self.replayed(key, state, num_levels),
            lambda: self.new(key, state, space, num_levels),
        )

    def observe(
        self, state: LevelBuffer, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> LevelBuffer:
        """Score the levels; rescore those that were replayed, offer the others to the buffer."""
        state, scored = self.score_and_tick(state, proposal, outcome, space)
        return jax.lax.cond(
            plan.kind == REPLAY,
            lambda: self.rescore(state, proposal, scored),
            lambda: self.offer(state, proposal, scored, space),
        )


class RobustPrioritizedLevelReplay(PrioritizedLevelReplay):
    """PLR⊥: as PLR, and no learning from new levels."""

    train_on_new: ClassVar[bool] = False


class UniformReplay(RobustPrioritizedLevelReplay):
    """PLR⊥ that replays every stored level alike: the control that tells what the priorities are worth."""

    prioritization: Prioritization = "uniform"
    """How a score becomes a chance to be replayed; here not at all."""
    staleness_coefficient: float = 0.0
    """ρ, the share of the replay distribution that goes by time since the last visit."""
    eviction: Eviction = "score"
    """Whether the level that is least likely to be replayed gives way to a new one, or the one with the lowest score."""


class ParallelPrioritizedLevelReplay(ReplayTeacher):
    """PLR∥: every iteration plays a replayed batch, learns from it, and scores a new batch beside it.

    Until the buffer is warm both halves are new levels and nothing is learnt. There is no replay probability: it is 1.
    """

    staleness_coefficient: float = 0.5
    """ρ, the share of the replay distribution that goes by time since the last visit (minimax's for this form)."""

    @property
    def num_batches(self) -> int:
        """Replayed ones, to learn from, and new ones."""
        return 2

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Replay and learn as soon as the buffer is warm."""
        warm = self.is_warm(schedule, num_levels)
        return Plan.of(
            jnp.where(warm, REPLAY, NEW),
            train=warm,
            new_batches=jnp.where(warm, 1, self.num_batches),
            rollouts=self.num_batches,
        )

    def propose(
        self, key: jax.Array, state: LevelBuffer, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[LevelBuffer, Proposal]:
        """Return ``[B replayed | B new]``, or ``2B`` new levels. Consumes ``key``."""
        replay_key, new_key = jax.random.split(key)
        first = jax.lax.cond(
            plan.kind == REPLAY,
            lambda: self.replayed(replay_key, state, num_levels),
            lambda: self.new(replay_key, state, space, num_levels),
        )
        return state, join(first, self.new(new_key, state, space, num_levels))

    def observe(
        self, state: LevelBuffer, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> LevelBuffer:
        """Rescore what was replayed, and offer the rest to the buffer in one go."""
        state, scored = self.score_and_tick(state, proposal, outcome, space)
        num_levels = proposal.slots.shape[0] // self.num_batches
        first = jax.tree.map(lambda leaf: leaf[:num_levels], (proposal, scored))
        rest = jax.tree.map(lambda leaf: leaf[num_levels:], (proposal, scored))
        return jax.lax.cond(
            plan.kind == REPLAY,
            lambda: self.offer(self.rescore(state, first[0], first[1]), rest[0], rest[1], space),
            lambda: self.offer(state, proposal, scored, space),
        )
