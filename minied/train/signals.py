"""From a rollout to the signals of each level: only those that a score of the run declares.

Letters: ``T`` steps, ``R`` levels, ``N`` agents, ``K`` value heads.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from minied.episodes import EpisodeSummary
from minied.experience import batch_of, one_step_errors_of
from minied.rollout import Rollout
from minied.scores.base import UNASKED, Signals
from minied.students.base import Parameters
from minied.students.parameter_changes import parameter_changes
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
        present=jax.tree.map(by_level, rollout.present),  # None stays None
        episodes=episodes,
        max_return=jnp.maximum(max_returns, episodes.max_return),
        rewards=optional("rewards", lambda: by_level(rollout.rewards)),
        values=optional("values", lambda: by_level(rollout.values)),
        advantages=optional("advantages", lambda: by_level(advantages)),
        td_errors=optional("td_errors", lambda: by_level(one_step_errors_of(setting.ppo, rollout, last_values))),
        log_policy=optional("log_policy", lambda: by_level(rollout.log_policy)),
        value_ensemble=optional("value_ensemble", lambda: by_level(rollout.values)),
        policy_ensemble=optional("policy_ensemble", lambda: by_level(rollout.policy_ensemble)),
        optimal_return=optional("optimal_return", lambda: jax.vmap(setting.space.optimal_return)(levels)),
        parameter_change=optional(
            "parameter_change",
            lambda: parameter_changes(
                setting.student, parameters, batch_of(rollout, advantages, carry), episodes.valid.shape[0]
            ),
        ),
    )
