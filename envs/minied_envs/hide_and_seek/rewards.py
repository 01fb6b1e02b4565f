"""What is a step of hide and seek worth to each agent? Letters: ``N`` agents."""

from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp

from minied_envs.hide_and_seek.level import HideAndSeekLevel, cells_of
from minied_envs.hide_and_seek.rules import HideAndSeekState

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek

Reward = Literal["joint_zero_sum", "selfish", "joint_mean"]


def rewards(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, sees: jax.Array, counts: jax.Array
) -> jax.Array:
    """Return the reward of each agent for the step that led to ``state``, ``f32[N]``.

    As Baker et al. 2020 released them. ``selfish``: a hider gets 1 if no seeker sees it, else −1; a seeker 1 if it sees
    a hider, else −1. ``joint_zero_sum``: of all hiders the least of these, of all seekers the greatest. ``joint_mean``: the
    mean over the team. Whoever left the arena gets ``-leaving_penalty`` instead, or everybody if a thing left it and
    ``penalize_objects``. Nothing during preparation, and for absent agents.

    Args:
        world: its options.
        level: of the episode.
        state: after the step.
        sees: ``bool[N, N]``, which agents each agent sees.
        counts: ``bool[]``, whether preparation is over.
    """
    hiders, seekers = level.agent_present & world.is_hider, level.agent_present & ~world.is_hider
    sees_hider = jnp.any(sees & hiders[None, :], axis=1)
    seen_by_seeker = jnp.any(sees & seekers[:, None], axis=0)
    selfish = jnp.where(jnp.where(world.is_hider, ~seen_by_seeker, sees_hider), 1.0, -1.0)
    if world.reward == "joint_zero_sum":
        of_hiders = jnp.where(jnp.any(seekers & sees_hider), -1.0, 1.0)
        value = jnp.where(world.is_hider, of_hiders, -of_hiders)
    elif world.reward == "joint_mean":
        value = jnp.where(world.is_hider, _mean(hiders, selfish), _mean(seekers, selfish))
    else:
        value = selfish
    if world.margin:
        value = jnp.where(_has_left(world, state.positions), -world.leaving_penalty, value)
        if world.penalize_objects:
            cells = cells_of(state.object_positions, level.object_shapes)
            left = jnp.any(level.object_present & jnp.any(_has_left(world, cells), axis=1))
            value = jnp.where(left, -world.leaving_penalty, value)
    return jnp.where(level.agent_present & counts, value, 0.0)


def _has_left(world: "HideAndSeek", positions: jax.Array) -> jax.Array:
    """Return which of ``positions`` ``i32[..., 2]`` are in the margin, ``bool[...]``."""
    row, col = positions[..., 0], positions[..., 1]
    inside = (row >= world.margin) & (row < world.height - world.margin)
    return ~(inside & (col >= world.margin) & (col < world.width - world.margin))


def _mean(which: jax.Array, values: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(which, values, 0.0)) / jnp.maximum(jnp.sum(which), 1).astype(jnp.float32)
