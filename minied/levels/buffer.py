"""The level buffer: levels worth replaying, how much each is worth, where it came from, and which to let go.

One pytree and pure functions over it, each taking a whole batch: slots are ranked once a batch, never once a level.
Letters: ``C`` capacity, ``B`` levels in a batch, ``F`` features. How likely each level is to be replayed, and which is
evicted, is in `minied.levels.priority`. Time is counted in batches (jaxued and DCD count single draws, which orders the
members of one batch among each other by where they stood in it).
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from minied.levels.priority import Priority


class Ancestry(struct.PyTreeNode):
    """Where levels come from. Identities are numbers that a buffer gives to the levels that it stores."""

    parent: jax.Array  # i32[B], identity of the level that was edited, -1 for a level of the generator
    lineage: jax.Array  # i32[B], identity of the first ancestor, -1 for a level of the generator
    generation: jax.Array  # i32[B], edits since then, 0 for a level of the generator

    @classmethod
    def none(cls, num_levels: int) -> "Ancestry":
        """Return the ancestry of ``num_levels`` levels of the generator."""
        nobody = jnp.full(num_levels, -1, jnp.int32)
        return cls(nobody, nobody, jnp.zeros(num_levels, jnp.int32))


class Visits(struct.PyTreeNode):
    """What came of playing a batch of levels."""

    scores: jax.Array  # f32[B]
    max_returns: jax.Array  # f32[B], -inf where no episode finished
    valid: jax.Array  # bool[B], whether there is a score


class LevelBuffer(struct.PyTreeNode):
    """Slots for levels. A slot that is not `filled` holds a level of the generator of which nothing is known."""

    levels: Any  # level pytree, [C, ...]
    fingerprints: jax.Array  # u32[C, 2]
    scores: jax.Array  # f32[C], of the last visit, or smoothed over visits; 0 where not filled
    max_returns: jax.Array  # f32[C], highest episode return ever seen, -inf where not filled
    last_seen: jax.Array  # i32[C], the clock when the level was last played
    filled: jax.Array  # bool[C]
    visits: jax.Array  # i32[C], batches in which the level was played
    born: jax.Array  # i32[C], the clock when the level was stored; its age is the clock minus that
    identities: jax.Array  # i32[C], the number of the stored level, -1 where none ever was
    ancestry: Ancestry  # [C]; of a level of the generator the lineage is its own identity
    features: jax.Array  # f32[C, F], F is 0 unless the teacher keeps them
    clock: jax.Array  # i32[], batches played
    next_identity: jax.Array  # i32[]
    broken_scores: jax.Array  # i32[], visits with a finished episode whose score was no finite number, ever

    @property
    def capacity(self) -> int:
        """C."""
        return self.scores.shape[0]

    @property
    def ages(self) -> jax.Array:
        """Batches since each level was stored, ``i32[C]``; 0 where not filled."""
        return jnp.where(self.filled, self.clock - self.born, 0)


def init(levels: Any, fingerprints: jax.Array, num_features: int = 0) -> LevelBuffer:
    """Return an empty buffer.

    Args:
        levels: ``[C, ...]``, levels of the generator that stand in the slots until a scored level takes their place. They
            are replayed only while nothing has a score, so that a buffer is never asked for a level that does not exist.
        fingerprints: ``u32[C, 2]``, of ``levels``.
        num_features: F.
    """
    capacity = fingerprints.shape[0]
    zeros = jnp.zeros(capacity, jnp.int32)
    return LevelBuffer(
        levels=levels,
        fingerprints=fingerprints,
        scores=jnp.zeros(capacity),
        max_returns=jnp.full(capacity, -jnp.inf),
        last_seen=zeros,
        filled=jnp.zeros(capacity, bool),
        visits=zeros,
        born=zeros,
        identities=zeros - 1,
        ancestry=Ancestry.none(capacity),
        features=jnp.zeros((capacity, num_features)),
        clock=jnp.zeros((), jnp.int32),
        next_identity=jnp.zeros((), jnp.int32),
        broken_scores=jnp.zeros((), jnp.int32),
    )


def cleared(buffer: LevelBuffer) -> LevelBuffer:
    """Return the buffer without its levels. Its clock, the numbering of levels and the count of broken scores go on."""
    empty = init(buffer.levels, buffer.fingerprints, buffer.features.shape[1])
    return empty.replace(
        features=buffer.features,
        clock=buffer.clock,
        next_identity=buffer.next_identity,
        broken_scores=buffer.broken_scores,
    )


def replay_distribution(buffer: LevelBuffer, priority: Priority) -> jax.Array:
    """Return the probability of each slot to be replayed, ``f32[C]``, summing to 1; 0 where not filled.

    Uniform over all slots if none is filled.
    """
    ages = jnp.where(buffer.filled, buffer.clock - buffer.last_seen, 0)
    distribution = priority.distribution(buffer.scores, ages, buffer.filled)
    return jnp.where(jnp.any(buffer.filled), distribution, 1.0 / buffer.capacity)


def sample_slots(key: jax.Array, probabilities: jax.Array, num_levels: int) -> jax.Array:
    """Return ``i32[num_levels]`` slots drawn with replacement from ``probabilities`` ``f32[C]``. Consumes ``key``.

    A slot of probability 0 is never drawn.
    """
    # Sums of float32 in parallel need not rise where nothing is added, so the slots of probability 0 are levelled; and the
    # highest draw may round up to the total.
    cumulative = jax.lax.cummax(jnp.where(probabilities > 0, jnp.cumsum(probabilities), 0.0))
    uniform = jax.random.uniform(key, (num_levels,)) * cumulative[-1]
    last = jnp.searchsorted(cumulative, cumulative[-1], side="left")
    return jnp.minimum(jnp.searchsorted(cumulative, uniform, side="right"), last).astype(jnp.int32)


def find(buffer: LevelBuffer, fingerprints: jax.Array) -> jax.Array:
    """Return the filled slot that holds each of ``u32[B, 2]``, ``i32[B]``, or −1."""
    same = jnp.all(fingerprints[:, None, :] == buffer.fingerprints[None, :, :], axis=-1) & buffer.filled[None, :]
    return jnp.where(jnp.any(same, axis=1), jnp.argmax(same, axis=1), -1).astype(jnp.int32)


def children_of(buffer: LevelBuffer, slots: jax.Array) -> Ancestry:
    """Return the ancestry of edited copies of the levels in ``slots`` ``i32[B]``."""
    return Ancestry(
        parent=buffer.identities[slots],
        lineage=buffer.ancestry.lineage[slots],
        # Of a level that was never stored nothing is known: its copy is as good as one of the generator.
        generation=jnp.where(buffer.identities[slots] >= 0, buffer.ancestry.generation[slots] + 1, 0),
    )


def revisit(buffer: LevelBuffer, slots: jax.Array, visits: Visits, smoothing: jax.Array | float = 1.0) -> LevelBuffer:
    """Return the buffer after its levels in ``slots`` were played (again).

    Args:
        buffer: before.
        slots: ``i32[B]``; −1 is ignored; a slot that was drawn twice counts as one visit whose score is the mean.
        visits: ``[B]``. The running maximum of returns never falls. An invalid visit leaves the old score, and only tells
            that the level was seen.
        smoothing: α in (0, 1], the share of the new score; the old one keeps 1 − α. A first score is taken whole.
    """
    same = (slots[:, None] == slots[None, :]) & (slots >= 0)[:, None]
    first, merged = _merge(same, visits)
    seen = jnp.where(first, slots, buffer.capacity)
    # A slot that no one had played, drawn because none was filled, is filled by its first score; else it stays as it is.
    filled = buffer.filled[slots]
    seen = jnp.where(merged.valid | filled, seen, buffer.capacity)
    rescored = jnp.where(first & merged.valid, slots, buffer.capacity)
    is_new = first & merged.valid & ~filled
    newly = jnp.where(is_new, slots, buffer.capacity)
    scores = jnp.where(filled, (1.0 - smoothing) * buffer.scores[slots] + smoothing * merged.scores, merged.scores)
    identities = buffer.next_identity + jnp.cumsum(is_new, dtype=jnp.int32) - 1
    lineage = buffer.ancestry.lineage.at[newly].set(identities, mode="drop")
    return buffer.replace(
        scores=buffer.scores.at[rescored].set(scores, mode="drop"),
        max_returns=buffer.max_returns.at[seen].max(merged.max_returns, mode="drop"),
        last_seen=buffer.last_seen.at[seen].set(buffer.clock, mode="drop"),
        visits=buffer.visits.at[seen].add(1, mode="drop"),
        filled=buffer.filled.at[rescored].set(True, mode="drop"),
        born=buffer.born.at[newly].set(buffer.clock, mode="drop"),
        identities=buffer.identities.at[newly].set(identities, mode="drop"),
        ancestry=buffer.ancestry.replace(lineage=lineage),
        next_identity=buffer.next_identity + jnp.sum(is_new, dtype=jnp.int32),
    )


class Candidates(struct.PyTreeNode):
    """A batch of levels that is offered to a buffer, and what came of playing them."""

    levels: Any  # [B, ...]
    fingerprints: jax.Array  # u32[B, 2]
    visits: Visits  # [B]
    ancestry: Ancestry  # [B]
    features: jax.Array  # f32[B, F]


def insert(
    buffer: LevelBuffer,
    candidates: Candidates,
    priority: Priority,
    *,
    unique: bool = True,
    smoothing: jax.Array | float = 1.0,
) -> LevelBuffer:
    """Return the buffer after a batch of levels was offered to it.

    Levels that are equal count as one visit, whose score is the mean. A level that the buffer already holds updates its
    slot. The others, best score first, are matched with the slots, empty ones first and then those that ``priority`` would
    evict first, of equals the one with the lower score (one ranking for the batch): the k-th best newcomer takes the k-th
    slot if that is empty or holds a strictly lower score. The ranking comes after the known levels were updated. An invalid
    level is never stored, and a visit to a known level that gave no score changes nothing, not even when it was last seen.

    Args:
        buffer: before.
        candidates: ``[B]``.
        priority: of replay and eviction.
        unique: whether equal levels share a slot; if false, each candidate is a level of its own.
        smoothing: of the scores of levels that the buffer knows, see `revisit`.
    """
    num_levels = candidates.visits.scores.shape[0]
    newcomer, visits = candidates.visits.valid, candidates.visits
    if unique:
        prints = candidates.fingerprints
        same = jnp.all(prints[:, None, :] == prints[None, :, :], axis=-1)
        first, visits = _merge(same & newcomer[:, None] & newcomer[None, :], visits)
        known = find(buffer, prints)
        buffer = revisit(buffer, jnp.where(first & visits.valid, known, -1), visits, smoothing)
        newcomer = first & visits.valid & (known < 0)

    best_first = jnp.argsort(jnp.where(newcomer, -visits.scores, jnp.inf))
    ages = jnp.where(buffer.filled, buffer.clock - buffer.last_seen, 0)
    order = priority.keep_order(buffer.scores, ages, buffer.filled)
    slots = jnp.lexsort((buffer.scores, order))[:num_levels].astype(jnp.int32)
    better = ~buffer.filled[slots] | (visits.scores[best_first] > buffer.scores[slots])
    accepted = newcomer[best_first] & better
    target = jnp.full(num_levels, buffer.capacity).at[best_first].set(jnp.where(accepted, slots, buffer.capacity))
    return _store(buffer, target, candidates.replace(visits=visits))


def insert_at(
    buffer: LevelBuffer, slots: jax.Array, candidates: Candidates, *, smoothing: jax.Array | float = 1.0
) -> LevelBuffer:
    """Return the buffer after each candidate was offered to one slot, ``i32[B]``, of its own (−1: to none).

    A candidate that is the very level in its slot is a visit to it, see `revisit`. Of the others the best valid one for a
    slot (of equals the first) takes it if it is empty or holds a strictly lower score.
    """
    is_held = jnp.all(candidates.fingerprints == buffer.fingerprints[slots], axis=1) & buffer.filled[slots]
    visited = jnp.where(is_held & candidates.visits.valid, slots, -1)
    buffer = revisit(buffer, visited, candidates.visits, smoothing)
    slots = jnp.where(is_held, -1, slots)
    scores = jnp.where(candidates.visits.valid & (slots >= 0), candidates.visits.scores, -jnp.inf)
    index = jnp.arange(slots.shape[0], dtype=jnp.int32)
    rival = slots[:, None] == slots[None, :]
    beaten = (scores[None, :] > scores[:, None]) | (
        (scores[None, :] == scores[:, None]) & (index[None] < index[:, None])
    )
    best = (scores > -jnp.inf) & ~jnp.any(rival & beaten, axis=1)
    accepted = best & (~buffer.filled[slots] | (scores > buffer.scores[slots]))
    return _store(buffer, jnp.where(accepted, slots, buffer.capacity), candidates)


def note_broken(buffer: LevelBuffer, broken: jax.Array) -> LevelBuffer:
    """Return the buffer with ``broken`` ``bool[B]`` scores counted."""
    return buffer.replace(broken_scores=buffer.broken_scores + jnp.sum(broken, dtype=jnp.int32))


def tick(buffer: LevelBuffer) -> LevelBuffer:
    """Return the buffer one batch later."""
    return buffer.replace(clock=buffer.clock + 1)


def _store(buffer: LevelBuffer, target: jax.Array, candidates: Candidates) -> LevelBuffer:
    """Return the buffer with candidates ``[B]`` put into the slots ``target`` ``i32[B]``; C stands for nowhere."""
    chex.assert_equal_shape([target, candidates.visits.scores, candidates.ancestry.parent])
    is_stored = target < buffer.capacity
    identities = buffer.next_identity + jnp.cumsum(is_stored, dtype=jnp.int32) - 1
    ancestry = candidates.ancestry
    ancestry = ancestry.replace(lineage=jnp.where(ancestry.lineage < 0, identities, ancestry.lineage))

    def put(old: jax.Array, new: jax.Array | int | bool) -> jax.Array:
        return old.at[target].set(new, mode="drop")

    return buffer.replace(
        levels=jax.tree.map(put, buffer.levels, candidates.levels),
        fingerprints=put(buffer.fingerprints, candidates.fingerprints),
        scores=put(buffer.scores, candidates.visits.scores),
        max_returns=put(buffer.max_returns, candidates.visits.max_returns),
        last_seen=put(buffer.last_seen, buffer.clock),
        filled=put(buffer.filled, True),
        visits=put(buffer.visits, 1),
        born=put(buffer.born, buffer.clock),
        identities=put(buffer.identities, identities),
        ancestry=jax.tree.map(put, buffer.ancestry, ancestry),
        features=put(buffer.features, candidates.features),
        next_identity=buffer.next_identity + jnp.sum(is_stored, dtype=jnp.int32),
    )


def _merge(same: jax.Array, visits: Visits) -> tuple[jax.Array, Visits]:
    """Join the visits of a batch that are to one level.

    Args:
        same: ``bool[B, B]``, an equivalence on the rows that count; rows that do not count are all false.
        visits: ``[B]``.

    Returns:
        Whether each row is the first of its class; and for each row its class's mean valid score, highest return, and
        whether it has a valid score at all.
    """
    index = jnp.arange(visits.scores.shape[0])
    first = jnp.any(same, axis=1) & (jnp.argmax(same, axis=1) == index)
    counted = same & visits.valid[None, :]
    count = jnp.sum(counted, axis=1)
    mean = jnp.sum(jnp.where(counted, visits.scores[None, :], 0.0), axis=1) / jnp.maximum(count, 1).astype(jnp.float32)
    highest = jnp.max(jnp.where(same, visits.max_returns[None, :], -jnp.inf), axis=1)
    return first, Visits(mean, highest, count > 0)
