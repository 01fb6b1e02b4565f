"""What every teacher shares that replays levels from a buffer: its options, and how a batch is drawn, rescored, stored.

Letters: ``B`` levels in a batch, ``R`` in a proposal, ``C`` capacity of the buffer.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.hyperparameters import require_choice, require_range
from minied.levels import buffer as level_buffer
from minied.levels.buffer import LevelBuffer
from minied.levels.priority import EVICTIONS, PRIORITIZATIONS, Eviction, Prioritization, Priority
from minied.levels.space import LevelSpace
from minied.teachers.base import Outcome, Proposal, Schedule, propose_levels, propose_new
from minied.teachers.scoring import Scored, ScoringTeacher, propose_stored

Decision = Literal["fixed", "proportionate"]


class ReplayTeacher(ScoringTeacher):
    """Base of the teachers of the PLR family. Its state is, or holds, a `LevelBuffer`."""

    score_smoothing: float = 1.0
    """α: a level that is played again is worth α times its new score plus 1 − α times its old one."""
    buffer_size: int = 4000
    """C, levels that the buffer can hold."""
    minimum_fill: float = 0.5
    """Share of the buffer that must have been offered levels before any is replayed. Counted in batches of new levels, not
    in slots that happen to be filled, so that members of one program turn to replay together."""
    prioritization: Prioritization = "rank"
    """How a score becomes a chance to be replayed: rank, power, softmax, top_k or uniform (see `minied.levels.priority`)."""
    temperature: float = 0.3
    """τ of the prioritisation; of rank and power the exponent is 1/τ; uniform does not look at it."""
    top_k: int = 1
    """How many of the highest scores `top_k` prioritisation draws from; the others do not look at it."""
    staleness_coefficient: float = 0.3
    """ρ, the share of the replay distribution that goes by time since the last visit."""
    eviction: Eviction = "weight"
    """Whether the level that is least likely to be replayed gives way to a new one, or the one with the lowest score."""
    unique: bool = True
    """Whether equal levels share one slot of the buffer."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "staleness_coefficient", 0, 1)
        for name in ("minimum_fill", "score_smoothing"):
            require_range(self, name, 0, 1, open_low=True)
        require_range(self, "temperature", 1e-3, float("inf"))  # 1/τ stays within float32
        require_range(self, "buffer_size", 1, 2**24)  # ranks are compared as float32
        require_range(self, "top_k", 1, self.buffer_size)
        require_choice(self, "prioritization", PRIORITIZATIONS)
        require_choice(self, "eviction", EVICTIONS)

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the score cannot be computed, or what is offered at once does not fit into the buffer."""
        super().validate(space, num_levels, missing)
        batches = self.num_batches // max(self.num_own_batches, 1)  # to each buffer
        offered = num_levels * batches
        if self.buffer_size < offered:
            times = f" x {batches}" if batches > 1 else ""
            raise UserError(f"teacher.buffer_size is {self.buffer_size}; allowed: at least num_envs{times} = {offered}")

    @property
    def priority(self) -> Priority:
        """The rule of replay and eviction."""
        return Priority(self.temperature, self.staleness_coefficient, self.prioritization, self.top_k, self.eviction)

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> Any:
        """Return an empty buffer. Consumes ``key``."""
        return self.empty_buffer(key, space, self.buffer_size)

    def offered(self, schedule: Schedule, num_levels: int) -> jax.Array:
        """Return how many new levels were offered to the buffer so far, ``f32[]``."""
        # In floating point: the number outgrows 32-bit integers in a long run.
        return schedule.new_batches.astype(jnp.float32) * num_levels

    def is_warm(self, schedule: Schedule, num_levels: int) -> jax.Array:
        """Return whether the buffer has been offered enough levels to be replayed from, ``bool[]``."""
        return self.offered(schedule, num_levels) >= self.minimum_fill * self.buffer_size

    def replayed(self, key: jax.Array, buffer: LevelBuffer, num_levels: int) -> Proposal:
        """Return levels drawn from the replay distribution. Consumes ``key``."""
        slots = level_buffer.sample_slots(key, self.replay_distribution(buffer), num_levels)
        return propose_stored(buffer, slots)

    def new(self, key: jax.Array, buffer: LevelBuffer, space: LevelSpace, num_levels: int) -> Proposal:
        """Return levels of the generator. Consumes ``key``."""
        return self.with_known_returns(buffer, propose_new(key, space, num_levels), space)

    def edited(self, key: jax.Array, buffer: LevelBuffer, slots: jax.Array, source: int, space: LevelSpace) -> Proposal:
        """Return edited copies of the levels in ``slots`` ``i32[n]``. Consumes ``key``."""
        parents = jax.tree.map(lambda leaf: leaf[slots], buffer.levels)
        children = jax.vmap(space.mutate)(jax.random.split(key, slots.shape[0]), parents)
        proposal = propose_levels(children, source).replace(ancestry=level_buffer.children_of(buffer, slots))
        return self.with_known_returns(buffer, proposal, space)

    def with_known_returns(self, buffer: LevelBuffer, proposal: Proposal, space: LevelSpace) -> Proposal:
        """Return the proposal with the best return of each level that the buffer happens to know."""
        if not self.unique:
            return proposal
        known = level_buffer.find(buffer, jax.vmap(space.fingerprint)(proposal.levels))
        return proposal.replace(max_returns=jnp.where(known >= 0, buffer.max_returns[known], -jnp.inf))

    def rescore(self, buffer: LevelBuffer, proposal: Proposal, scored: Scored) -> LevelBuffer:
        """Return the buffer after levels of its own were played again."""
        return level_buffer.revisit(buffer, proposal.slots, scored.visits, self.score_smoothing)

    def offer(self, buffer: LevelBuffer, proposal: Proposal, scored: Scored, space: LevelSpace) -> LevelBuffer:
        """Return the buffer after levels that are not from it were offered to it."""
        candidates = self.candidates(proposal.levels, proposal.ancestry, scored, space)
        return level_buffer.insert(
            buffer, candidates, self.priority, unique=self.unique, smoothing=self.score_smoothing
        )

    def score_and_tick(
        self, buffer: LevelBuffer, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> tuple[LevelBuffer, Scored]:
        """Return the buffer one batch later, broken scores counted, and what the levels came to."""
        scored = self.score_proposal(buffer, proposal, outcome, space)
        return level_buffer.note_broken(level_buffer.tick(buffer), scored.broken), scored

    def replay_distribution(self, buffer: LevelBuffer) -> jax.Array:
        """Return the probability of each slot to be replayed, ``f32[C]``."""
        return level_buffer.replay_distribution(buffer, self.priority)


class ReplayWithProbability(ReplayTeacher):
    """Base of those whose iterations replay by chance, once the buffer is warm."""

    replay_probability: float = 0.5
    """p, the chance that an iteration replays, once the buffer is warm. One draw a batch, shared by all members."""
    replay_decision: Decision = "fixed"
    """`fixed`: replay with probability p; `proportionate`: with the share of the buffer that was offered, at most p."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "replay_probability", 0, 1)
        require_choice(self, "replay_decision", get_args(Decision))

    def decides_to_replay(self, key: jax.Array, schedule: Schedule, num_levels: int) -> jax.Array:
        """Return whether an iteration replays, ``bool[]``. Consumes ``key``."""
        probability = jnp.asarray(self.replay_probability, jnp.float32)
        if self.replay_decision == "proportionate":
            probability = jnp.minimum(self.offered(schedule, num_levels) / self.buffer_size, probability)
        return self.is_warm(schedule, num_levels) & (jax.random.uniform(key) < probability)
