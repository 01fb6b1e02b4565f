"""What every teacher shares that ranks levels by a score: the options of the score, its signals, and how a batch is scored.

Letters: ``B`` levels in a batch, ``R`` in a proposal, ``C`` capacity of a buffer, ``n`` any number of levels.
"""

from collections.abc import Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied import registry
from minied.hyperparameters import require_choice, require_range
from minied.levels import buffer as level_buffer
from minied.levels.buffer import Ancestry, Candidates, LevelBuffer, Visits
from minied.levels.features import feature_names, feature_vector, neighbour_distances
from minied.levels.space import LevelSpace
from minied.scores.base import (
    PER_STEP,
    POPULATION,
    Reduction,
    Score,
    Signals,
    needs_of,
    score_levels,
    validate_reduction,
    validate_score,
)
from minied.teachers.base import REPLAY, Outcome, Probe, Proposal, Teacher, propose_levels, sample_levels

NUM_NEIGHBOURS = 10
"""k of the signal ``neighbour_distances``."""


class Scored(struct.PyTreeNode):
    """What a batch of levels came to."""

    visits: Visits  # [R]
    broken: jax.Array  # bool[R], an episode finished and the score is no finite number
    features: jax.Array  # f32[R, F], F is 0 unless the score asks for neighbours


def buffer_notes(buffer: LevelBuffer, proposal: Proposal) -> dict[str, jax.Array]:
    """Return the score of each level that is replayed, and how often it was edited."""
    slots = proposal.slots
    known = (slots >= 0) & buffer.filled[slots]
    generation = buffer.ancestry.generation[slots].astype(jnp.float32)
    return {
        "score": jnp.where(known, buffer.scores[slots], jnp.nan),
        "generation": jnp.where(known & (generation > 0), generation, jnp.nan),
    }


def propose_stored(buffer: LevelBuffer, slots: jax.Array) -> Proposal:
    """Return the levels in ``slots`` ``i32[R]`` of a buffer, to be replayed, with what is known of them."""
    proposal = propose_levels(jax.tree.map(lambda leaf: leaf[slots], buffer.levels), REPLAY)
    return proposal.replace(slots=slots, max_returns=buffer.max_returns[slots])


def without_population(missing: Mapping[str, str]) -> Mapping[str, str]:
    """Return the missing signals of a teacher that scores by `ScoringTeacher.score_by_probe`."""
    return {**missing, "population": "this teacher scores levels that the first student alone plays"}


class ScoringTeacher(Teacher):
    """Base of the teachers that have a score and a `LevelBuffer`. Float fields are traced."""

    score: str = "max_mc"
    """What a level is worth: a name of `minied list scores`, or `package.module:function`."""
    score_max_share: float = 0.0
    """m: scores that go by steps are (1 − m) times the mean over an episode's steps plus m times the highest of them."""
    score_reduction: Reduction = "mean"
    """What a score that goes by steps takes of an episode: their mean (see also above), the first, the highest, the sum."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "score_max_share", 0, 1)
        require_choice(self, "score_reduction", get_args(Reduction))

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the score cannot be computed."""
        if space.has("describe"):  # this teacher keeps the features of what it knows
            missing = {name: why for name, why in missing.items() if name != "neighbour_distances"}
        validate_score(self._score, self.score, missing)
        validate_reduction(self._score, self.score, self.score_max_share, self.score_reduction, "teacher.score_")

    @property
    def needs(self) -> frozenset[str]:
        """The signals of the score."""
        return needs_of(self._score)

    @property
    def _score(self) -> Score:
        return registry.load("score", self.score)

    def _num_features(self, space: LevelSpace) -> int:
        return len(feature_names(space)) if "neighbour_distances" in self.needs else 0

    def _features(self, levels: Any, space: LevelSpace) -> jax.Array:
        if "neighbour_distances" in self.needs:
            return jax.vmap(lambda level: feature_vector(space, level))(levels)
        return jnp.zeros((jax.tree.leaves(levels)[0].shape[0], 0))

    def empty_buffer(self, key: jax.Array, space: LevelSpace, capacity: int) -> LevelBuffer:
        """Return a buffer without a scored level. Consumes ``key``."""
        levels = sample_levels(key, space, capacity)
        buffer = level_buffer.init(levels, jax.vmap(space.fingerprint)(levels), self._num_features(space))
        return buffer.replace(features=self._features(levels, space))

    def score_levels(
        self, buffer: LevelBuffer, levels: Any, slots: jax.Array, signals: Signals, space: LevelSpace
    ) -> Scored:
        """Return what levels that were played came to.

        Args:
            buffer: the levels that are known.
            levels: ``[n, ...]``.
            slots: ``i32[n]``, their place in the buffer, −1 for none.
            signals: ``[n, ...]``, of what the student did on them.
            space: of the levels.
        """
        features = self._features(levels, space)
        if "neighbour_distances" in self.needs:
            # A level drawn again that the buffer knows is no neighbour of itself either.
            own = jnp.where(slots >= 0, slots, level_buffer.find(buffer, jax.vmap(space.fingerprint)(levels)))
            nearest = neighbour_distances(features, own, buffer.features, buffer.filled, NUM_NEIGHBOURS)
            signals = signals.replace(neighbour_distances=nearest)
        scores, valid, broken = score_levels(self._score, signals, self.score_max_share, self.score_reduction)
        return Scored(Visits(scores, signals.max_return, valid), broken, features)

    def score_proposal(self, buffer: LevelBuffer, proposal: Proposal, outcome: Outcome, space: LevelSpace) -> Scored:
        """Return what the levels of a proposal came to."""
        return self.score_levels(buffer, proposal.levels, proposal.slots, outcome.signals, space)

    def score_by_probe(
        self,
        key: jax.Array,
        probe: Probe,
        buffer: LevelBuffer,
        levels: Any,
        slots: jax.Array,
        num_levels: int,
        num_rollouts: int,
        space: LevelSpace,
    ) -> Scored:
        """Play levels with the present student, ``B`` at a time, and return what they came to. Consumes ``key``.

        Args:
            key: consumed.
            probe: see `Probe`.
            buffer: the levels that are known.
            levels: ``[n, ...]``, n a multiple of B.
            slots: ``i32[n]``, their place in the buffer, −1 for none.
            num_levels: B.
            num_rollouts: how many times ``num_steps`` steps each level is played.
            space: of the levels.

        Memory is that of one batch, however many there are. A score that looks at the population of levels and at single
        steps has the population of one batch.
        """
        num_chunks = slots.shape[0] // num_levels

        def chunked(leaf: jax.Array) -> jax.Array:
            return leaf.reshape(num_chunks, num_levels, *leaf.shape[1:])

        def signals_of(chunk: tuple[jax.Array, Any, jax.Array]) -> Signals:
            key, levels, slots = chunk
            signals = probe(key, levels, num_rollouts).signals
            known = jnp.where(slots >= 0, buffer.max_returns[slots], -jnp.inf)
            return signals.replace(max_return=jnp.maximum(signals.max_return, known), max_share=None)

        def score_of(chunk: tuple[jax.Array, Any, jax.Array]) -> Scored:
            return self.score_levels(buffer, chunk[1], chunk[2], signals_of(chunk), space)

        def whole(leaf: jax.Array) -> jax.Array:
            return leaf.reshape(slots.shape[0], *leaf.shape[2:])

        chunks = (jax.random.split(key, num_chunks), jax.tree.map(chunked, levels), chunked(slots))
        if self.needs & POPULATION and not self.needs & PER_STEP:
            # Such a score compares a level with all others, not only with those of its chunk, and its signals are small.
            signals = jax.tree.map(whole, jax.lax.map(signals_of, chunks))
            return self.score_levels(buffer, levels, slots, signals, space)
        return jax.tree.map(whole, jax.lax.map(score_of, chunks))

    def buffer_of(self, state: Any) -> LevelBuffer:
        """Return the buffer in a teacher's state: the state itself, unless a subclass keeps more."""
        return state

    def notes(self, state: Any, proposal: Proposal) -> dict[str, jax.Array]:
        """Return the score of each level that is replayed, and how many edits made it."""
        return buffer_notes(self.buffer_of(state), proposal)

    def metrics(self, state: Any, space: LevelSpace) -> dict[str, jax.Array]:
        """Return how full the buffer is, its scores, and how old its levels are."""
        return buffer_metrics(self.buffer_of(state))

    def broken_scores(self, state: Any) -> jax.Array:
        """Return how many scores were ever no finite number, ``i32[]``."""
        return self.buffer_of(state).broken_scores

    def candidates(self, levels: Any, ancestry: Ancestry, scored: Scored, space: LevelSpace) -> Candidates:
        """Return scored levels ``[n, ...]`` as what can be offered to a buffer."""
        return Candidates(levels, jax.vmap(space.fingerprint)(levels), scored.visits, ancestry, scored.features)


def buffer_metrics(buffer: LevelBuffer) -> dict[str, jax.Array]:
    """Return how full a buffer is, its scores, how long ago its levels were seen, and how often they were edited."""
    count = jnp.sum(buffer.filled).astype(jnp.float32)

    def mean(values: jax.Array) -> jax.Array:
        total = jnp.sum(jnp.where(buffer.filled, values, jnp.zeros_like(values))).astype(jnp.float32)
        return jnp.where(count > 0, total / jnp.maximum(count, 1.0), jnp.nan)

    highest = jnp.max(jnp.where(buffer.filled, buffer.scores, -jnp.inf))
    return {
        "buffer_fill": count / buffer.capacity,
        "buffer_mean_score": mean(buffer.scores),
        "buffer_max_score": jnp.where(count > 0, highest, jnp.nan),
        "buffer_mean_staleness": mean(buffer.clock - buffer.last_seen),
        "buffer_mean_age": mean(buffer.ages),
        "buffer_mean_generation": mean(buffer.ancestry.generation),
    }
