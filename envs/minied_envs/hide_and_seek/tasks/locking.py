"""What is locking worth? The reward that lock and return and the sequential lock share. Letters: ``O`` objects."""

import math

import jax
import jax.numpy as jnp

from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState
from minied_envs.hide_and_seek.tasks.base import Task, distance

LOCK = 5.0
"""For a lock that is closed, and against one that is opened again."""
SHAPING = 0.5
"""For a cell by which the way that remains becomes shorter."""
COMPLETE = 1.0
"""For a step after which nothing is left to be done."""


def num_locked(state: HideAndSeekState, objects: jax.Array) -> jax.Array:
    """Return how many of ``objects`` ``bool[O]`` are locked, ``f32[]``."""
    return jnp.sum(objects & (state.locked_by != NOTHING)).astype(jnp.float32)


def way(agent: jax.Array, stops: jax.Array, remains: jax.Array) -> jax.Array:
    """Return the length of the way from ``agent`` ``i32[2]`` over the stops that remain, in cells, ``f32[]``.

    The distances are Euclidean ones, as published, and not those of a walk.

    Args:
        agent: where the agent is.
        stops: ``i32[K, 2]``, in their order.
        remains: ``bool[K]``.
    """
    at, length = agent, jnp.float32(0)
    for number in range(stops.shape[0]):
        length = length + jnp.where(remains[number], distance(at, stops[number]), 0.0)
        at = jnp.where(remains[number], stops[number], at)
    return length


def reward(locks: tuple[jax.Array, jax.Array], ways: tuple[jax.Array, jax.Array], complete: jax.Array) -> jax.Array:
    """Return the reward of a step, ``f32[]``: ``5 (locks closed − opened) + ½ (way before − way after) + complete``.

    Between two locks this is the published shaping, half the decrease of the distance to the next target. That alone
    pays for ever for who locks, opens and comes back, as with each lock the target is another; here both terms are
    differences of something that the state has, so that what is won on the way out is lost on the way back.

    Args:
        locks: how many are closed before and after the step, ``f32[]`` each.
        ways: that remain before and after, of `way`.
        complete: whether all is done after the step, ``bool[]``.
    """
    return LOCK * (locks[1] - locks[0]) + SHAPING * (ways[0] - ways[1]) + jnp.where(complete, COMPLETE, 0.0)


def most_without_completion(task: Task, num_locks: int, num_targets: int) -> float:
    """Return the most that locks and shaping can give, whatever is done: no way is longer than a diagonal a target."""
    return LOCK * num_locks + SHAPING * num_targets * math.hypot(task.height - 1, task.width - 1)
