"""Playing held-out levels: the same rollout as in training, until every first episode has ended.

Letters: ``L`` levels, ``S`` members.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied import rollout as rollouts
from minied.env import Environment
from minied.students.base import Parameters, Student

_PIECE = 32
"""Steps between two looks at whether anything is still being played. Levels of a suite differ in length by orders of
magnitude, and a policy that solves its level should not be paid for up to the horizon."""


class LevelResults(struct.PyTreeNode):
    """What a policy did on each level, means over its attempts."""

    solve_rate: jax.Array  # f32[L]
    mean_return: jax.Array  # f32[L], undiscounted, mean over agents
    mean_length: jax.Array  # f32[L], steps


class _FirstEpisodes(struct.PyTreeNode):
    """The first episode of each row: what it came to, once it has ended."""

    ended: jax.Array  # bool[L·attempts]
    solved: jax.Array  # bool[L·attempts]
    returns: jax.Array  # f32[L·attempts]
    lengths: jax.Array  # i32[L·attempts]


def evaluate_levels(
    key: jax.Array, student: Student, parameters: Parameters, env: Environment, levels: Any, attempts: int
) -> LevelResults:
    """Play ``attempts`` episodes on each level with actions sampled from the policy. Consumes ``key``.

    Args:
        key: consumed.
        student: the network.
        parameters: of one member.
        env: with an agent axis; its horizon ends every episode.
        levels: ``[L, ...]``.
        attempts: episodes a level.
    """
    num_levels = jax.tree.leaves(levels)[0].shape[0]
    rows = jax.tree.map(lambda leaf: jnp.repeat(leaf, attempts, axis=0), levels)
    start_key, play_key = jax.random.split(key)
    state = rollouts.start(start_key, student, env, rows)
    nothing = jnp.zeros(num_levels * attempts, bool)
    first = _FirstEpisodes(nothing, nothing, jnp.zeros(nothing.shape), jnp.zeros(nothing.shape, jnp.int32))

    def unfinished(loop) -> jax.Array:
        piece, _, first = loop
        return (piece * _PIECE < env.max_steps) & ~jnp.all(first.ended)

    def play(loop):
        piece, state, first = loop
        key = jax.random.fold_in(play_key, piece)
        state, rollout = rollouts.collect(key, student, parameters, env, rows, state, _PIECE)
        return piece + 1, state, _take_in(env, first, rollout)

    _, _, first = jax.lax.while_loop(unfinished, play, (jnp.int32(0), state, first))
    by_level = jax.tree.map(lambda leaf: leaf.reshape(num_levels, attempts).astype(jnp.float32).mean(axis=1), first)
    return LevelResults(by_level.solved, by_level.returns, by_level.lengths)


def _take_in(env: Environment, first: _FirstEpisodes, rollout: rollouts.Rollout) -> _FirstEpisodes:
    """Return ``first`` with the episodes that were the first of their row to end in this piece."""
    at = jnp.argmax(rollout.ended, axis=0)  # the first end of the piece, if there is one
    row = jnp.arange(at.shape[0])
    returns = rollout.returns[at, row]
    now = jnp.any(rollout.ended, axis=0) & ~first.ended
    return _FirstEpisodes(
        ended=first.ended | now,
        solved=jnp.where(now, jax.vmap(env.is_solved)(returns), first.solved),
        returns=jnp.where(now, returns.mean(axis=-1), first.returns),
        lengths=jnp.where(now, rollout.lengths[at, row], first.lengths),
    )
