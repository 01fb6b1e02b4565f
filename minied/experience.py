"""From a rollout to what a learner reads: advantages, one-step errors, the batch, and what a bonus reads.

Letters: ``T`` steps, ``R`` levels, ``N`` agents, ``K`` value heads.
"""

from typing import Any

import jax
import jax.numpy as jnp

from minied.rollout import Rollout
from minied.students.advantages import Stream, generalized_advantages, over_streams, temporal_differences
from minied.students.batch import Batch
from minied.students.bonuses.base import Experience
from minied.students.ppo import PPOConfig


def batch_of(rollout: Rollout, advantages: jax.Array, carry: Any) -> Batch:
    """Return a rollout as what a student learns from: rows ``M = R · N``, level-major.

    Args:
        rollout: what happened. The steps of agents that were not there do not count.
        advantages: ``f32[T, R, N]``.
        carry: the memory before the first step.
    """

    def rows(leaf: jax.Array) -> jax.Array:  # [T, R, N, ...] -> [T, M, ...]
        return leaf.reshape(leaf.shape[0], -1, *leaf.shape[3:])

    return Batch(
        observations=jax.tree.map(rows, rollout.observations),
        resets=jnp.repeat(rollout.resets, rollout.rewards.shape[2], axis=1),
        actions=rows(rollout.actions),
        log_probs=rows(rollout.log_probs),
        values=rows(rollout.values),
        advantages=rows(advantages),
        targets=rows(advantages + rollout.values.mean(axis=-1)),
        carry=carry,
        counts=None if rollout.present is None else rows(rollout.present),
    )


def experience_of(rollout: Rollout, last_observations: Any) -> Experience:
    """Return a rollout as a bonus reads it; ``last_observations`` are ``[R, N, ...]``, those after the last step."""
    present = jnp.ones(rollout.actions.shape, bool) if rollout.present is None else rollout.present
    return Experience(
        observations=rollout.observations,
        last_observations=last_observations,
        actions=rollout.actions,
        ended=rollout.ended,
        present=present,
        next_observations=rollout.next_observations,
        novelty=rollout.novelty,
        achievements=rollout.achievements,
    )


def advantages_of(config: PPOConfig, rollout: Rollout, last_values: jax.Array) -> jax.Array:
    """Return generalised advantages, ``f32[T, R, N]``, of the mean of the value heads.

    ``last_values`` are ``f32[R, N, K]``, of the observations after the last step.
    """

    def one(rewards, values, last_value, ended, bootstrap):
        return generalized_advantages(rewards, values, last_value, ended, bootstrap, config.discount, config.gae_lambda)

    return _over_streams(one, rollout, last_values)


def one_step_errors_of(config: PPOConfig, rollout: Rollout, last_values: jax.Array) -> jax.Array:
    """Return one-step errors, ``f32[T, R, N]``, of the mean of the value heads; arguments as of `advantages_of`."""

    def one(rewards, values, last_value, ended, bootstrap):
        return temporal_differences(rewards, values, last_value, ended, bootstrap, config.discount)

    return _over_streams(one, rollout, last_values)


def _over_streams(function: Stream, rollout: Rollout, last_values: jax.Array) -> jax.Array:
    values, last_values = rollout.values.mean(axis=-1), last_values.mean(axis=-1)
    bootstrap, present = rollout.bootstrap_values, rollout.present
    return over_streams(function, rollout.rewards, values, last_values, rollout.ended, bootstrap, present)
