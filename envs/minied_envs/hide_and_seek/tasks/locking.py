"""What is locking worth? The reward that lock and return and the sequential lock share. Letters: ``O`` objects."""

import math

import jax
import jax.numpy as jnp

from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState
from minied_envs.hide_and_seek.tasks.base import AGENT, Task, distance

LOCK = 5.0
"""For a lock that is closed, and against one that is opened again."""
SHAPING = 0.5
"""For a cell that the agent comes nearer to its next target."""
COMPLETE = 1.0
"""For a step after which nothing is left to be done."""


def num_locked(state: HideAndSeekState, objects: jax.Array) -> jax.Array:
    """Return how many of ``objects`` ``bool[O]`` are locked, ``f32[]``."""
    return jnp.sum(objects & (state.locked_by != NOTHING)).astype(jnp.float32)


def reward(
    before: HideAndSeekState,
    after: HideAndSeekState,
    objects: jax.Array,
    targets: tuple[jax.Array, jax.Array],
    has_target: jax.Array,
    complete: jax.Array,
) -> jax.Array:
    """Return the reward of a step, ``f32[]``.

    ``5 (locks closed − locks opened) + ½ (distance before − distance after) + complete``. The distance is the Euclidean
    one in cells, as published, and not that of a walk; both are to what was the next target before the step.

    Args:
        before: the step.
        after: it.
        objects: that are to be locked, ``bool[O]``.
        targets: where the next target of ``before`` was then, and where it is now, ``i32[2]`` each.
        has_target: whether there was one, ``bool[]``.
        complete: whether all is done after the step, ``bool[]``.
    """
    closer = distance(before.positions[AGENT], targets[0]) - distance(after.positions[AGENT], targets[1])
    locks = num_locked(after, objects) - num_locked(before, objects)
    return LOCK * locks + jnp.where(has_target, SHAPING * closer, 0.0) + jnp.where(complete, COMPLETE, 0.0)


def most_without_completion(task: Task, num_locks: int, num_targets: int) -> float:
    """Return what locks and shaping alone can give but for a few cells: each target is at most the diagonal away."""
    return LOCK * num_locks + SHAPING * num_targets * math.hypot(task.height - 1, task.width - 1)
