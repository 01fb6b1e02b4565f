"""Generalised advantage estimation, once, for everything that needs it.

Schulman et al. 2016, equation 16, with the two ways in which an episode may end told apart:

    δ_t = r_t + γ v'_t − v_t,     A_t = δ_t + γ λ (1 − end_t) A_{t+1}
    v'_t = v_{t+1} if the episode goes on;  0 if it terminated;  the bootstrap value b_t if it was truncated

Letters: ``T`` steps, ``R`` levels, ``N`` agents.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

Stream = Callable[..., jax.Array]
"""A function of one stream's ``(rewards, values, last_value, ended, bootstrap_values)`` to ``f32[T]``."""


def generalized_advantages(
    rewards: jax.Array,
    values: jax.Array,
    last_value: jax.Array,
    ended: jax.Array,
    bootstrap_values: jax.Array,
    discount: jax.Array | float,
    gae_lambda: jax.Array | float,
) -> jax.Array:
    """Return advantages, ``f32[T]``, of one stream of experience (vmap over environments and agents).

    Args:
        rewards: ``f32[T]``.
        values: ``f32[T]``, v_t.
        last_value: ``f32[]``, v_T, the value of the observation after the last step.
        ended: ``bool[T]``, whether step t ended an episode, in either way. The stream goes on with a new episode.
        bootstrap_values: ``f32[T]``, b_t: what a truncated step is worth beyond its reward; 0 at every other step, and
            everywhere if truncation is to count as an end.
        discount: γ.
        gae_lambda: λ.
    """
    chex.assert_equal_shape([rewards, values, ended, bootstrap_values])
    goes_on = 1.0 - ended.astype(jnp.float32)
    deltas = temporal_differences(rewards, values, last_value, ended, bootstrap_values, discount)

    def backward(advantage: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta, continues = step
        advantage = delta + discount * gae_lambda * continues * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(backward, jnp.zeros_like(last_value), (deltas, goes_on), reverse=True)
    return advantages


def temporal_differences(
    rewards: jax.Array,
    values: jax.Array,
    last_value: jax.Array,
    ended: jax.Array,
    bootstrap_values: jax.Array,
    discount: jax.Array | float,
) -> jax.Array:
    """Return δ, ``f32[T]``, of one stream of experience; arguments as of `generalized_advantages`."""
    goes_on = 1.0 - ended.astype(jnp.float32)
    next_values = jnp.append(values[1:], last_value) * goes_on + bootstrap_values
    return rewards + discount * next_values - values


def over_streams(
    function: Stream,
    rewards: jax.Array,
    values: jax.Array,
    last_values: jax.Array,
    ended: jax.Array,
    bootstrap_values: jax.Array,
    present: jax.Array | None,
) -> jax.Array:
    """Map a function of one agent's stream over agents and levels, ``f32[T, R, N]``.

    The value of an agent that is not there is never learnt: it counts as 0, so that nothing is bootstrapped from it. What it
    is rewarded with meanwhile is its own all the same.

    Args:
        function: of one stream.
        rewards: ``f32[T, R, N]``.
        values: ``f32[T, R, N]``.
        last_values: ``f32[R, N]``, of the observations after the last step.
        ended: ``bool[T, R]``.
        bootstrap_values: ``f32[T, R, N]``.
        present: ``bool[T, R, N]``, which agents took part in a step; None: all.
    """
    ends = jnp.broadcast_to(ended[..., None], rewards.shape)
    over_agents = jax.vmap(function, in_axes=(1, 1, 0, 1, 1), out_axes=1)
    over_levels = jax.vmap(over_agents, in_axes=(1, 1, 0, 1, 1), out_axes=1)
    if present is not None:
        values, bootstrap_values = (jnp.where(present, each, 0.0) for each in (values, bootstrap_values))
        last_values = jnp.where(present[-1] & ~ends[-1], last_values, 0.0)
    return over_levels(rewards, values, last_values, ends, bootstrap_values)
