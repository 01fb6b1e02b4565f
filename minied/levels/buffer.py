"""The level buffer: levels worth replaying, how much each is worth, and which to let go.

One pytree and pure functions over it, each taking a whole batch: the buffer is ranked once a batch, never once a level.
Letters: ``C`` capacity, ``B`` levels in a batch.

The replay distribution is that of Jiang et al. 2021 ("Prioritized Level Replay", section 3): a mixture of rank
prioritisation by score and of staleness,

    P = (1 − ρ) P_score + ρ P_stale,     P_score ∝ (1 / rank)^{1/τ},     P_stale ∝ now − last seen

with time counted in batches (jaxued and DCD count single draws, which orders the members of one batch among each other
by where they stood in it).
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct


class LevelBuffer(struct.PyTreeNode):
    """Slots for levels. A slot that is not `filled` holds a level of the generator that no one has played yet."""

    levels: Any  # level pytree, [C, ...]
    fingerprints: jax.Array  # u32[C, 2]
    scores: jax.Array  # f32[C], of the last visit; 0 where not filled
    max_returns: jax.Array  # f32[C], highest episode return ever seen, -inf where not filled
    last_seen: jax.Array  # i32[C], the clock when the level was last played
    filled: jax.Array  # bool[C]
    clock: jax.Array  # i32[], batches played

    @property
    def capacity(self) -> int:
        """C."""
        return self.scores.shape[0]


def init(levels: Any, fingerprints: jax.Array) -> LevelBuffer:
    """Return an empty buffer.

    Args:
        levels: ``[C, ...]``, levels of the generator that stand in the slots until a scored level takes their place. They
            are replayed only while nothing has a score, so that a buffer is never asked for a level that does not exist.
        fingerprints: ``u32[C, 2]``, of ``levels``.
    """
    capacity = fingerprints.shape[0]
    return LevelBuffer(
        levels=levels,
        fingerprints=fingerprints,
        scores=jnp.zeros(capacity),
        max_returns=jnp.full(capacity, -jnp.inf),
        last_seen=jnp.zeros(capacity, jnp.int32),
        filled=jnp.zeros(capacity, bool),
        clock=jnp.zeros((), jnp.int32),
    )


def replay_distribution(buffer: LevelBuffer, temperature: jax.Array | float, staleness: jax.Array | float) -> jax.Array:
    """Return the probability of each slot to be replayed, ``f32[C]``, summing to 1; 0 where not filled.

    Uniform over all slots if none is filled.

    Args:
        buffer: the buffer.
        temperature: τ > 0. The exponent of 1/rank is 1/τ.
        staleness: ρ in [0, 1], the share of the staleness distribution.
    """
    order = jnp.argsort(jnp.where(buffer.filled, -buffer.scores, jnp.inf))  # stable: ties go to the lower slot
    rank = jnp.zeros(buffer.capacity, jnp.int32).at[order].set(jnp.arange(1, buffer.capacity + 1, dtype=jnp.int32))
    # In logarithms, so that small temperatures (exponent 10 and more) neither overflow nor vanish.
    log_weight = -jnp.log(rank.astype(jnp.float32)) / temperature
    by_score = jax.nn.softmax(jnp.where(buffer.filled, log_weight, jnp.finfo(jnp.float32).min))
    age = jnp.where(buffer.filled, buffer.clock - buffer.last_seen, 0).astype(jnp.float32)
    uniform = buffer.filled / jnp.maximum(jnp.sum(buffer.filled), 1).astype(jnp.float32)
    by_staleness = jnp.where(jnp.sum(age) > 0, age / jnp.maximum(jnp.sum(age), 1.0), uniform)
    mixed = (1.0 - staleness) * by_score + staleness * by_staleness
    return jnp.where(jnp.any(buffer.filled), mixed, 1.0 / buffer.capacity)


def sample_slots(key: jax.Array, probabilities: jax.Array, num_levels: int) -> jax.Array:
    """Return ``i32[num_levels]`` slots drawn with replacement from ``probabilities`` ``f32[C]``. Consumes ``key``."""
    cumulative = jnp.cumsum(probabilities)
    uniform = jax.random.uniform(key, (num_levels,)) * cumulative[-1]
    return jnp.searchsorted(cumulative, uniform, side="right").astype(jnp.int32)


def find(buffer: LevelBuffer, fingerprints: jax.Array) -> jax.Array:
    """Return the filled slot that holds each of ``u32[B, 2]``, ``i32[B]``, or −1."""
    same = jnp.all(fingerprints[:, None, :] == buffer.fingerprints[None, :, :], axis=-1) & buffer.filled[None, :]
    return jnp.where(jnp.any(same, axis=1), jnp.argmax(same, axis=1), -1).astype(jnp.int32)


def revisit(
    buffer: LevelBuffer, slots: jax.Array, scores: jax.Array, max_returns: jax.Array, valid: jax.Array
) -> LevelBuffer:
    """Return the buffer after its levels in ``slots`` were played (again).

    Args:
        buffer: before.
        slots: ``i32[B]``; −1 is ignored; a slot that was drawn twice counts as one visit whose score is the mean.
        scores: ``f32[B]``.
        max_returns: ``f32[B]``, −inf where no episode finished. The running maximum never falls.
        valid: ``bool[B]``; an invalid visit leaves the old score, and only tells that the level was seen.
    """
    same = (slots[:, None] == slots[None, :]) & (slots >= 0)[:, None]
    first, scores, max_returns, scored = _merge(same, scores, max_returns, valid)
    seen = jnp.where(first, slots, buffer.capacity)
    # A slot that no one had played, drawn because none was filled, is filled by its first score; else it stays as it is.
    seen = jnp.where(scored | buffer.filled[slots], seen, buffer.capacity)
    rescored = jnp.where(first & scored, slots, buffer.capacity)
    return buffer.replace(
        scores=buffer.scores.at[rescored].set(scores, mode="drop"),
        max_returns=buffer.max_returns.at[seen].max(max_returns, mode="drop"),
        last_seen=buffer.last_seen.at[seen].set(buffer.clock, mode="drop"),
        filled=buffer.filled.at[rescored].set(True, mode="drop"),
    )


def insert(
    buffer: LevelBuffer,
    levels: Any,
    fingerprints: jax.Array,
    scores: jax.Array,
    max_returns: jax.Array,
    valid: jax.Array,
    temperature: jax.Array | float,
    staleness: jax.Array | float,
) -> LevelBuffer:
    """Return the buffer after a batch of levels was offered to it.

    Levels that are equal count as one visit, whose score is the mean. A level that the buffer already holds updates its
    slot. The others, best score first, are matched with the slots, empty ones first and then by rising probability of
    replay (one ranking for the batch): the k-th best newcomer takes the k-th slot if that is empty or holds a strictly
    lower score. The ranking comes after the known levels were updated. An invalid level is never stored, and a visit to a
    known level that gave no score changes nothing, not even when it was last seen.

    Args:
        buffer: before.
        levels: ``[B, ...]``.
        fingerprints: ``u32[B, 2]``.
        scores: ``f32[B]``.
        max_returns: ``f32[B]``.
        valid: ``bool[B]``.
        temperature: τ of the replay distribution that ranks the slots.
        staleness: ρ of the same.
    """
    num_levels = scores.shape[0]
    chex.assert_shape([scores, max_returns, valid], (num_levels,))
    same = jnp.all(fingerprints[:, None, :] == fingerprints[None, :, :], axis=-1)
    first, scores, max_returns, valid = _merge(same & valid[:, None] & valid[None, :], scores, max_returns, valid)
    known = find(buffer, fingerprints)
    buffer = revisit(buffer, jnp.where(first & valid, known, -1), scores, max_returns, valid)

    newcomer = first & valid & (known < 0)
    best_first = jnp.argsort(jnp.where(newcomer, -scores, jnp.inf))
    weights = jnp.where(buffer.filled, replay_distribution(buffer, temperature, staleness), -1.0)
    _, slots = jax.lax.top_k(-weights, num_levels)
    accepted = newcomer[best_first] & (~buffer.filled[slots] | (scores[best_first] > buffer.scores[slots]))
    target = jnp.where(accepted, slots, buffer.capacity)

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        return old.at[target].set(new[best_first], mode="drop")

    return buffer.replace(
        levels=jax.tree.map(put, buffer.levels, levels),
        fingerprints=put(buffer.fingerprints, fingerprints),
        scores=put(buffer.scores, scores),
        max_returns=put(buffer.max_returns, max_returns),
        last_seen=buffer.last_seen.at[target].set(buffer.clock, mode="drop"),
        filled=buffer.filled.at[target].set(True, mode="drop"),
    )


def tick(buffer: LevelBuffer) -> LevelBuffer:
    """Return the buffer one batch later."""
    return buffer.replace(clock=buffer.clock + 1)


def _merge(
    same: jax.Array, scores: jax.Array, max_returns: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Join the visits of a batch that are to one level.

    Args:
        same: ``bool[B, B]``, an equivalence on the rows that count; rows that do not count are all false.
        scores: ``f32[B]``.
        max_returns: ``f32[B]``.
        valid: ``bool[B]``.

    Returns:
        Whether each row is the first of its class; and for each row its class's mean valid score, highest return, and
        whether it has a valid score at all.
    """
    index = jnp.arange(scores.shape[0])
    first = jnp.any(same, axis=1) & (jnp.argmax(same, axis=1) == index)
    counted = same & valid[None, :]
    count = jnp.sum(counted, axis=1)
    mean = jnp.sum(jnp.where(counted, scores[None, :], 0.0), axis=1) / jnp.maximum(count, 1).astype(jnp.float32)
    highest = jnp.max(jnp.where(same, max_returns[None, :], -jnp.inf), axis=1)
    return first, mean, highest, count > 0
