"""Prioritised level replay: play again the levels that score high (Jiang, Grefenstette and Rocktäschel 2021).

The robust form, PLR⊥ (Jiang et al. 2021, "Replay-Guided Adversarial Environment Design", algorithm 1), lets the students
learn from replayed levels only: new ones are played to be scored.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from minied import registry
from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.levels import buffer as level_buffer
from minied.levels.buffer import LevelBuffer
from minied.levels.space import LevelSpace
from minied.scores.base import Score, score_levels, validate_score
from minied.teachers.base import Outcome, Plan, Probe, Proposal, Schedule, Teacher, propose_new, sample_levels


class PrioritizedLevelReplay(Teacher):
    """new levels: score, store, learn; with probability p replay instead: learn, score again."""

    train_on_new: ClassVar[bool] = True

    score: str = "max_mc"
    """What a level is worth: a name of `minied list scores`, or `package.module:function`."""
    replay_probability: float = 0.5
    """p, the chance that an iteration replays, once the buffer is warm. One draw a batch, shared by all members."""
    buffer_size: int = 4000
    """C, levels that the buffer can hold."""
    minimum_fill: float = 0.5
    """Share of the buffer that must have been offered levels before any is replayed. Counted in batches of new levels, not
    in slots that happen to be filled, so that members of one program turn to replay together."""
    temperature: float = 0.3
    """τ of the rank prioritisation; the exponent of 1/rank is 1/τ."""
    staleness_coefficient: float = 0.3
    """ρ, the share of the replay distribution that goes by time since the last visit."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        for name in ("replay_probability", "staleness_coefficient"):
            require_range(self, name, 0, 1)
        require_range(self, "minimum_fill", 0, 1, open_low=True)
        require_range(self, "temperature", 1e-3, float("inf"))  # 1/τ stays within float32
        require_range(self, "buffer_size", 1, 2**24)  # ranks are compared as float32
        if not self.train_on_new and self.replay_probability == 0:
            raise UserError("replay_probability is 0; robust PLR learns from replayed levels only; allowed: (0, 1]")

    def validate(self, space: LevelSpace, num_levels: int, num_value_heads: int) -> None:
        """Raise `UserError` if the score cannot be computed, or a batch does not fit into the buffer."""
        if self.buffer_size < num_levels:
            raise UserError(f"teacher.buffer_size is {self.buffer_size}; allowed: at least num_envs = {num_levels}")
        validate_score(self._score, self.score, num_value_heads)

    @property
    def _score(self) -> Score:
        return registry.load("score", self.score)

    def init(self, key: jax.Array, space: LevelSpace) -> LevelBuffer:
        """Return an empty buffer. Consumes ``key``."""
        levels = sample_levels(key, space, self.buffer_size)
        return level_buffer.init(levels, jax.vmap(space.fingerprint)(levels))

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Replay with probability p once warm. Consumes ``key``, which all members share."""
        # In floating point: the number of levels offered outgrows 32-bit integers in a long run.
        warm = schedule.new_batches.astype(jnp.float32) * num_levels >= self.minimum_fill * self.buffer_size
        replay = warm & (jax.random.uniform(key) < self.replay_probability)
        return Plan(replay=replay, train=replay | self.train_on_new)

    def propose(
        self, key: jax.Array, state: LevelBuffer, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> Proposal:
        """Return replayed levels or new ones. Consumes ``key``."""

        def replayed() -> Proposal:
            slots = level_buffer.sample_slots(key, self.replay_distribution(state), num_levels)
            return Proposal(jax.tree.map(lambda leaf: leaf[slots], state.levels), slots, state.max_returns[slots])

        def new() -> Proposal:
            proposal = propose_new(key, space, num_levels)
            # A new level may be one that the buffer knows: then its best return is known as well.
            known = level_buffer.find(state, jax.vmap(space.fingerprint)(proposal.levels))
            return proposal.replace(max_returns=jnp.where(known >= 0, state.max_returns[known], -jnp.inf))

        return jax.lax.cond(plan.replay, replayed, new)

    def observe(
        self, state: LevelBuffer, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> LevelBuffer:
        """Score the levels; rescore those that were replayed, offer the others to the buffer."""
        scores, valid = score_levels(self._score, outcome.signals)
        max_returns = outcome.signals.max_return
        state = level_buffer.tick(state)

        def replayed() -> LevelBuffer:
            return level_buffer.revisit(state, proposal.slots, scores, max_returns, valid)

        def new() -> LevelBuffer:
            fingerprints = jax.vmap(space.fingerprint)(proposal.levels)
            priorities = (self.temperature, self.staleness_coefficient)
            return level_buffer.insert(state, proposal.levels, fingerprints, scores, max_returns, valid, *priorities)

        return jax.lax.cond(plan.replay, replayed, new)

    def replay_distribution(self, state: LevelBuffer) -> jax.Array:
        """Return the probability of each slot to be replayed, ``f32[C]``."""
        return level_buffer.replay_distribution(state, self.temperature, self.staleness_coefficient)

    def metrics(self, state: LevelBuffer, space: LevelSpace) -> dict[str, jax.Array]:
        """Return how full the buffer is, its scores, and over how many levels the replay is spread."""
        count = jnp.sum(state.filled).astype(jnp.float32)
        total = jnp.sum(jnp.where(state.filled, state.scores, 0.0))
        mean = jnp.where(count > 0, total / jnp.maximum(count, 1.0), jnp.nan)
        age = jnp.sum(jnp.where(state.filled, state.clock - state.last_seen, 0)).astype(jnp.float32)
        return {
            "buffer_fill": count / state.capacity,
            "buffer_mean_score": mean,
            "buffer_max_score": jnp.where(count > 0, jnp.max(jnp.where(state.filled, state.scores, -jnp.inf)), jnp.nan),
            "buffer_mean_staleness": jnp.where(count > 0, age / jnp.maximum(count, 1.0), jnp.nan),
        }


class RobustPrioritizedLevelReplay(PrioritizedLevelReplay):
    """PLR⊥: as PLR, and no learning from new levels."""

    train_on_new: ClassVar[bool] = False
