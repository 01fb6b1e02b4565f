"""A learned mixture of sources: new levels, replayed levels and levels that the user gives, in shares that are learnt.

Each level of a batch comes from a source drawn from a distribution over them; a source's pay is the mean score of what it
gave. Graves et al. 2017 learn a curriculum over tasks by a bandit (Exp3.S) whose pay is scaled to a running range; here a
batch shows the pay of every source that has a level in it, so the preferences follow exponential weights (Hedge, Freund and
Schapire 1997) with their forgetting and their floor of exploration, and no importance weighting.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.hyperparameters import require_range
from minied.levels.buffer import LevelBuffer, Visits
from minied.levels.space import LevelSpace
from minied.teachers.base import GIVEN, NEW, REPLAY, Outcome, Plan, Probe, Proposal, Schedule, choose, propose_levels
from minied.teachers.given_levels import GivenLevels, as_arrays, count
from minied.teachers.replay import ReplayTeacher

_KINDS = (NEW, REPLAY, GIVEN)
_NAMES = ("new", "replay", "given")


class MixtureState(struct.PyTreeNode):
    """A buffer, the given levels, and what is known of the sources. Letter ``m``: sources."""

    buffer: LevelBuffer
    given: Any  # [n, ...], or () if there are none
    given_max_returns: jax.Array  # f32[n], highest return ever seen on each given level, -inf if none
    given_index: jax.Array  # i32[B], which given level stands in each row of the last proposal, n for none
    preferences: jax.Array  # f32[m], logits of the shares
    lowest: jax.Array  # f32[], running lowest and highest mean score of a source, the range of the pay
    highest: jax.Array  # f32[]


class LearnedMixture(ReplayTeacher, GivenLevels):
    """new, replayed and, if given, your own levels in one batch; learn from all; what scores high gets larger shares."""

    rate: float = 0.1
    """η, how fast preferences follow the scaled pay, which is in [0, 1]."""
    exploration: float = 0.1
    """γ, share of the batch that is spread evenly over the sources."""
    forgetting: float = 0.01
    """Share of its preference that each source loses in an iteration, and of its width the range of pay, so that what was
    long ago is forgotten."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        for name in ("exploration", "forgetting"):
            require_range(self, name, 0, 1)
        require_range(self, "rate", 0, float("inf"))

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the given levels cannot be read, or as PLR does."""
        super().validate(space, num_levels, missing)
        if self.has_given_levels:
            self.read_given_levels(space, "a learned mixture")

    @property
    def num_sources(self) -> int:
        """How many sources there are, m."""
        return 3 if self.has_given_levels else 2

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> MixtureState:
        """Return an empty buffer, and even shares. Consumes ``key``."""
        given = as_arrays(self.read_given_levels(space, "a learned mixture")) if self.has_given_levels else ()
        number = count(given) if self.has_given_levels else 0
        never = jnp.full((), jnp.inf)
        return MixtureState(
            buffer=super().init(key, space, num_levels),
            given=given,
            given_max_returns=jnp.full(number, -jnp.inf),
            given_index=jnp.full(num_levels, number, jnp.int32),
            preferences=jnp.zeros(self.num_sources),
            lowest=never,
            highest=-never,
        )

    def shares(self, state: MixtureState) -> jax.Array:
        """Return ``(1 − γ) softmax(preferences) + γ / m``, ``f32[m]``."""
        return (1.0 - self.exploration) * jax.nn.softmax(state.preferences) + self.exploration / self.num_sources

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always training; a batch of new levels until the buffer is warm, then mixed ones, which count as none."""
        warm = self.is_warm(schedule, num_levels)
        return Plan.of(jnp.where(warm, REPLAY, NEW), train=True, new_batches=~warm)

    def propose(
        self, key: jax.Array, state: MixtureState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[MixtureState, Proposal]:
        """Return levels, each of a source drawn from the shares. Consumes ``key``."""
        source_key, new_key, replay_key, given_key = jax.random.split(key, 4)
        source = jax.random.categorical(source_key, jnp.log(self.shares(state)), shape=(num_levels,))
        proposal = self.new(new_key, state.buffer, space, num_levels)
        replayed = self.replayed(replay_key, state.buffer, num_levels)
        mixed = plan.kind == REPLAY
        proposal = choose((source == _KINDS.index(REPLAY)) & mixed, replayed, proposal)
        if self.has_given_levels:
            number = count(state.given)
            index = jax.random.randint(given_key, (num_levels,), 0, number)
            given = propose_levels(jax.tree.map(lambda leaf: leaf[index], state.given), GIVEN)
            given = given.replace(max_returns=state.given_max_returns[index])
            is_given = (source == _KINDS.index(GIVEN)) & mixed
            proposal = choose(is_given, given, proposal)
            state = state.replace(given_index=jnp.where(is_given, index, number))
        return state, proposal

    def observe(
        self, state: MixtureState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> MixtureState:
        """Rescore, store, and move the preferences towards the sources that were worth more."""
        buffer, scored = self.score_and_tick(state.buffer, proposal, outcome, space)
        visits = scored.visits
        buffer = self.rescore(buffer, proposal, scored)
        is_new = proposal.sources == NEW
        offered = scored.replace(visits=visits.replace(valid=visits.valid & is_new))
        buffer = self.offer(buffer, proposal, offered, space)

        best = outcome.episodes.max_return
        state = state.replace(
            buffer=buffer,
            given_max_returns=state.given_max_returns.at[state.given_index].max(best, mode="drop"),
        )
        return self._paid(state, proposal.sources, visits)

    def _paid(self, state: MixtureState, sources: jax.Array, visits: Visits) -> MixtureState:
        """Return the state with the preferences moved by what each source was worth in this batch."""
        kinds = jnp.asarray(_KINDS[: self.num_sources], jnp.int32)
        mine = (sources[None, :] == kinds[:, None]) & visits.valid[None, :]
        number = jnp.sum(mine, axis=1).astype(jnp.float32)
        seen = number > 0
        pay = jnp.sum(jnp.where(mine, visits.scores[None, :], 0.0), axis=1) / jnp.maximum(number, 1.0)
        width = jnp.where(state.highest > state.lowest, state.highest - state.lowest, 0.0)
        shrink = self.forgetting * width / 2
        lowest = jnp.minimum(state.lowest + shrink, jnp.min(jnp.where(seen, pay, jnp.inf)))
        highest = jnp.maximum(state.highest - shrink, jnp.max(jnp.where(seen, pay, -jnp.inf)))
        scaled = jnp.where(highest > lowest, (pay - lowest) / jnp.maximum(highest - lowest, 1e-12), 0.5)
        # Against the mean of the sources that had a level, so that one without keeps its place among them.
        mean = jnp.sum(jnp.where(seen, scaled, 0.0)) / jnp.maximum(jnp.sum(seen), 1).astype(jnp.float32)
        preferences = (1.0 - self.forgetting) * state.preferences + self.rate * jnp.where(seen, scaled - mean, 0.0)
        return state.replace(preferences=preferences, lowest=lowest, highest=highest)

    def buffer_of(self, state: MixtureState) -> LevelBuffer:
        """Return the buffer."""
        return state.buffer

    def metrics(self, state: MixtureState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return the buffer's, and the share of each source."""
        shares = self.shares(state)
        return super().metrics(state, space) | {f"share_{_NAMES[i]}": shares[i] for i in range(self.num_sources)}
