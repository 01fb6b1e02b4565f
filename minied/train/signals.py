"""From a rollout to the signals of each level: only those that a score of the run declares.

Letters: ``T`` steps, ``R`` levels, ``N`` agents, ``K`` value heads.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from minied.episodes import EpisodeSummary
from minied.rollout import Rollout
from minied.scores.base import UNASKED, Signals
from minied.students import ppo
from minied.students.advantages import generalized_advantages, temporal_differences
from minied.students.base import Parameters
from minied.train.setting import Setting

KEPT_BY_ROLLOUT = frozenset({"log_policy", "policy_ensemble"})
"""Signals that have to be recorded while the student acts."""


def signals_of(
    setting: Setting,
    parameters: Parameters,
    carry: Any,
    rollout: Rollout,
    last_values: jax.Array,
    advantages: jax.Array,
    episodes: EpisodeSummary,
    levels: Any,
    max_returns: jax.Array,
) -> Signals:
    """Return what scores may read, ``[R, ...]``; None where no score of the run does.

    Args:
        setting: of the run; its ``needs`` say what is computed.
        parameters: that acted.
        carry: the memory before the first step.
        rollout: what happened.
        last_values: ``f32[R, N, K]``, after the last step.
        advantages: ``f32[T, R, N]``.
        episodes: ``[R]``.
        levels: ``[R, ...]``.
        max_returns: ``f32[R]``, highest return known before this rollout.
    """
    needs = setting.needs

    def optional(name: str, make: Callable[[], jax.Array]) -> jax.Array:
        return make() if name in needs else UNASKED

    def by_level(leaf: jax.Array) -> jax.Array:
        return jnp.moveaxis(leaf, 0, 1)

    return Signals(
        ended=jnp.moveaxis(rollout.ended, 0, 1),
        episodes=episodes,
        max_return=jnp.maximum(max_returns, episodes.max_return),
        rewards=optional("rewards", lambda: by_level(rollout.rewards)),
        values=optional("values", lambda: by_level(rollout.values)),
        advantages=optional("advantages", lambda: by_level(advantages)),
        td_errors=optional("td_errors", lambda: by_level(_td_errors(setting, rollout, last_values))),
        log_policy=optional("log_policy", lambda: by_level(rollout.log_policy)),
        value_ensemble=optional("value_ensemble", lambda: by_level(rollout.values)),
        policy_ensemble=optional("policy_ensemble", lambda: by_level(rollout.policy_ensemble)),
        optimal_return=optional("optimal_return", lambda: jax.vmap(setting.space.optimal_return)(levels)),
        parameter_change=optional(
            "parameter_change",
            lambda: ppo.parameter_changes(
                setting.student, parameters, batch_of(rollout, advantages, carry), episodes.valid.shape[0]
            ),
        ),
    )


def batch_of(rollout: Rollout, advantages: jax.Array, carry: Any) -> ppo.Batch:
    """Return a rollout as what a student learns from: rows ``M = R · N``, level-major."""

    def rows(leaf: jax.Array) -> jax.Array:  # [T, R, N, ...] -> [T, M, ...]
        return leaf.reshape(leaf.shape[0], -1, *leaf.shape[3:])

    return ppo.Batch(
        observations=jax.tree.map(rows, rollout.observations),
        resets=jnp.repeat(rollout.resets, rollout.rewards.shape[2], axis=1),
        actions=rows(rollout.actions),
        log_probs=rows(rollout.log_probs),
        values=rows(rollout.values),
        advantages=rows(advantages),
        targets=rows(advantages + rollout.values.mean(axis=-1)),
        carry=carry,
    )


def advantages_of(setting: Setting, rollout: Rollout, last_values: jax.Array) -> jax.Array:
    """Return generalised advantages, ``f32[T, R, N]``, of the mean of the value heads."""

    def one(rewards, values, last_value, ended, bootstrap):
        config = setting.ppo
        return generalized_advantages(rewards, values, last_value, ended, bootstrap, config.discount, config.gae_lambda)

    return _over_streams(one, rollout, last_values)


def _td_errors(setting: Setting, rollout: Rollout, last_values: jax.Array) -> jax.Array:
    """Return one-step errors, ``f32[T, R, N]``, of the mean of the value heads."""

    def one(rewards, values, last_value, ended, bootstrap):
        return temporal_differences(rewards, values, last_value, ended, bootstrap, setting.ppo.discount)

    return _over_streams(one, rollout, last_values)


def _over_streams(function: Callable[..., jax.Array], rollout: Rollout, last_values: jax.Array) -> jax.Array:
    """Map a function of one agent's stream over agents and levels."""
    ended = jnp.broadcast_to(rollout.ended[..., None], rollout.rewards.shape)
    over_agents = jax.vmap(function, in_axes=(1, 1, 0, 1, 1), out_axes=1)
    over_levels = jax.vmap(over_agents, in_axes=(1, 1, 0, 1, 1), out_axes=1)
    values, last_value = rollout.values.mean(axis=-1), last_values.mean(axis=-1)
    return over_levels(rollout.rewards, values, last_value, ended, rollout.bootstrap_values)
