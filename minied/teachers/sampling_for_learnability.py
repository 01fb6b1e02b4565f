"""Sampling for learnability: train on what a wide search found most worth it (Rutherford et al. 2024, arXiv 2408.15099)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.levels import buffer as level_buffer
from minied.levels.buffer import Ancestry, LevelBuffer
from minied.levels.priority import Priority
from minied.levels.space import LevelSpace
from minied.teachers.base import (
    REPLAY,
    Outcome,
    Plan,
    Probe,
    Proposal,
    Schedule,
    choose,
    propose_new,
    sample_levels,
)
from minied.teachers.scoring import ScoringTeacher, propose_stored, without_population

_UNIFORM = Priority(temperature=1.0, staleness=0.0, prioritization="uniform")


class SamplingForLearnability(ScoringTeacher):
    """SFL: now and then score many new levels, keep the best; train on those and on new ones, half and half.

    The buffer is made from scratch at each refresh, from levels played by the present student; between refreshes nothing in
    it changes. Published for mazes: 25 000 candidates of 2 000 steps, the best 1 000 kept, every 100 updates; the defaults
    here are a quarter of the search, whose cost ``env_steps`` counts.
    """

    score: str = "learnability"
    """What a level is worth: a name of `minied list scores`, or `package.module:function`."""
    buffer_size: int = 1000
    """K, how many of the candidates are kept."""
    num_candidates: int = 6000
    """N, levels that are drawn and played at each refresh; rounded up to whole batches of `num_envs`."""
    candidate_rollouts: int = 8
    """How many times `num_steps` steps each candidate is played."""
    refresh_every: int = 100
    """Student updates between two refreshes; the first comes before the first update."""
    buffer_share: float = 0.5
    """ρ, share of a batch that comes from the buffer; the rest are new levels."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "buffer_share", 0, 1)
        for name in ("buffer_size", "num_candidates", "candidate_rollouts", "refresh_every"):
            require_range(self, name, 1, 2**24)
        if self.num_candidates < self.buffer_size:
            raise UserError(
                f"num_candidates is {self.num_candidates}; allowed: at least buffer_size = {self.buffer_size}"
            )

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the score cannot be computed, or a batch does not fit into the buffer."""
        super().validate(space, num_levels, without_population(missing))
        if self.buffer_size < num_levels:
            raise UserError(f"teacher.buffer_size is {self.buffer_size}; allowed: at least num_envs = {num_levels}")

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> LevelBuffer:
        """Return an empty buffer. Consumes ``key``."""
        return self.empty_buffer(key, space, self.buffer_size)

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always train; refresh when it is time."""
        refresh = schedule.iterations % self.refresh_every == 0
        batches = -(-self.num_candidates // num_levels)
        return Plan.of(
            REPLAY,
            train=True,
            refresh=refresh,
            new_batches=batches * refresh,
            rollouts=1 + batches * self.candidate_rollouts * refresh,
        )

    def propose(
        self, key: jax.Array, state: LevelBuffer, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[LevelBuffer, Proposal]:
        """Refresh the buffer if it is time; return ``[from the buffer | new]``. Consumes ``key``."""
        refresh_key, buffer_key, new_key = jax.random.split(key, 3)
        state = jax.lax.cond(
            plan.refresh, lambda: self._refreshed(refresh_key, state, space, num_levels, probe), lambda: state
        )
        distribution = level_buffer.replay_distribution(state, _UNIFORM)
        slots = level_buffer.sample_slots(buffer_key, distribution, num_levels)
        kept = propose_stored(state, slots)
        new = propose_new(new_key, space, num_levels)
        # Where no candidate had a score the buffer has nothing to offer.
        share = jnp.where(jnp.any(state.filled), jnp.asarray(self.buffer_share), 0.0)
        from_buffer = jnp.arange(num_levels, dtype=jnp.int32) < jnp.round(share * num_levels).astype(jnp.int32)
        return state, choose(from_buffer, kept, new)

    def _refreshed(
        self, key: jax.Array, state: LevelBuffer, space: LevelSpace, num_levels: int, probe: Probe
    ) -> LevelBuffer:
        """Return a buffer of the best of many new levels. Consumes ``key``."""
        sample_key, probe_key = jax.random.split(key)
        number = -(-self.num_candidates // num_levels) * num_levels
        levels, nowhere = sample_levels(sample_key, space, number), jnp.full(number, -1, jnp.int32)
        scored = self.score_by_probe(
            probe_key, probe, state, levels, nowhere, num_levels, self.candidate_rollouts, space
        )
        # A level without a score is behind every other: sorted as it stands, a NaN would be the best.
        order = jnp.where(scored.visits.valid, scored.visits.scores, -jnp.inf)
        _, best = jax.lax.top_k(order, self.buffer_size)
        empty = level_buffer.note_broken(level_buffer.cleared(state), scored.broken)
        levels, scored = jax.tree.map(lambda leaf: leaf[best], (levels, scored))
        candidates = self.candidates(levels, Ancestry.none(self.buffer_size), scored, space)
        return level_buffer.insert(empty, candidates, _UNIFORM, unique=False)

    def observe(
        self, state: LevelBuffer, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> LevelBuffer:
        """Learn nothing until the next refresh."""
        return level_buffer.tick(state)
