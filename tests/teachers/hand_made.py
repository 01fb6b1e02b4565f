"""Outcomes made by hand, a probe that looks results up, and buffers of corridors, for the tests of teachers.

A level is a corridor, told by its start. With the score ``mean_return`` a level is worth what an outcome says it returned.
"""

import jax
import jax.numpy as jnp
import numpy as np
from toy_worlds import CorridorLevel

from minied.episodes import EpisodeSummary
from minied.levels.buffer import Ancestry
from minied.scores import Signals
from minied.teachers.base import Outcome, Proposal


def outcome(returns, values=None, known=None, finished=None):
    """One episode of one step a level, which returned `returns` where the student had expected `values`.

    `known` are the highest returns from before; levels that are not `finished` gave no episode.
    """
    returns = jnp.asarray(returns, jnp.float32)
    values = jnp.zeros_like(returns) if values is None else jnp.asarray(values, jnp.float32)
    known = jnp.full_like(returns, -jnp.inf) if known is None else jnp.asarray(known, jnp.float32)
    finished = jnp.ones(returns.shape, bool) if finished is None else jnp.asarray(finished, bool)
    best = jnp.where(finished, returns, -jnp.inf)
    episodes = EpisodeSummary(
        num_finished=finished.astype(jnp.int32),
        num_solved=(finished & (returns > 0)).astype(jnp.int32),
        mean_return=jnp.where(finished, returns, jnp.nan),
        max_return=best,
        mean_length=jnp.where(finished, 1.0, jnp.nan),
        return_variance=jnp.where(finished, 0.0, jnp.nan),
    )
    signals = Signals(
        rewards=returns[:, None, None],
        values=values[:, None, None, None],
        advantages=(returns - values)[:, None, None],
        ended=finished[:, None],
        episodes=episodes,
        max_return=jnp.maximum(known, best),
    )
    return Outcome(episodes, signals)


class TableProbe:
    """Plays nothing: what a corridor returns is looked up by its start. NaN: no episode finishes; inf: a broken score."""

    def __init__(self, table):
        self.table = np.asarray(table, np.float32)
        self.calls = []  # (levels, rollouts) of each call that was traced

    def __call__(self, key, levels, num_rollouts=1):
        self.calls.append((levels.start.shape[0], num_rollouts))
        returns = jnp.asarray(self.table)[levels.start]
        finished = ~jnp.isnan(returns)
        return outcome(jnp.where(finished, returns, 0.0), finished=finished)


def fill(buffer, space, starts, scores, max_returns=None, last_seen=None, clock=0):
    """Put corridors into the first slots of an empty buffer, with identities 0, 1, 2 … and themselves as their lineage."""
    count, capacity = len(starts), buffer.capacity
    levels = CorridorLevel(buffer.levels.start.at[:count].set(jnp.asarray(starts, jnp.int32)))
    first = jnp.arange(capacity) < count

    def padded(values, rest, dtype=jnp.float32):
        return jnp.asarray([*values, *[rest] * (capacity - count)], dtype)

    identities = padded(range(count), -1, jnp.int32)
    return buffer.replace(
        levels=levels,
        fingerprints=jax.vmap(space.fingerprint)(levels),
        scores=padded(scores, 0.0),
        max_returns=padded(scores if max_returns is None else max_returns, -jnp.inf),
        last_seen=padded([0] * count if last_seen is None else last_seen, 0, jnp.int32),
        filled=first,
        visits=first.astype(jnp.int32),
        identities=identities,
        ancestry=buffer.ancestry.replace(lineage=identities),
        clock=jnp.int32(clock),
        next_identity=jnp.int32(count),
    )


def held(buffer):
    """{start: score} of the filled slots."""
    return {
        int(s): float(v) for s, v, f in zip(buffer.levels.start, buffer.scores, buffer.filled, strict=True) if bool(f)
    }


def proposal_of(starts, sources, slots=None, max_returns=None, ancestry=None):
    """These levels as a proposal, from these sources."""
    count = len(starts)
    return Proposal(
        levels=CorridorLevel(jnp.asarray(starts, jnp.int32)),
        sources=jnp.asarray(sources, jnp.int32),
        slots=jnp.asarray([-1] * count if slots is None else slots, jnp.int32),
        max_returns=jnp.asarray([-np.inf] * count if max_returns is None else max_returns, jnp.float32),
        ancestry=Ancestry.none(count) if ancestry is None else ancestry,
    )
