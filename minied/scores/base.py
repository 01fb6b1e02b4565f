"""What a score is: a pure function from what a student did on one level to a number, with the signals it needs declared.

A score reads the `Signals` of one level and returns ``f32[]``. `score_levels` maps it over a batch and says which
results are valid: those of levels on which an episode finished, and which are finite. Any score goes with any teacher.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from minied.episodes import EpisodeSummary, finished_step_weights
from minied.errors import UserError


class Signals(struct.PyTreeNode):
    """What a student did on one level in a rollout of ``T`` steps with ``N`` agents and ``K`` value heads."""

    rewards: jax.Array  # f32[T, N]
    values: jax.Array  # f32[T, N, K], before the step
    advantages: jax.Array  # f32[T, N], generalised, of the mean value head
    ended: jax.Array  # bool[T], the episode ended with this step
    episodes: EpisodeSummary  # of this rollout
    max_return: jax.Array  # f32[], highest episode return ever seen on the level, this rollout included; -inf if none

    def mean_over_episodes(self, per_step: jax.Array) -> jax.Array:
        """Return the mean over finished episodes of the mean over their steps and agents, ``f32[]``.

        ``per_step`` is ``f32[T, N]``. Steps of the unfinished tail count nothing, whatever they hold. 0 if no episode
        finished.
        """
        weights = finished_step_weights(self.ended)
        return jnp.sum(jnp.where(weights > 0, weights * per_step.mean(axis=-1), 0.0))


Score = Callable[[Signals], jax.Array]

SIGNALS = tuple(field.name for field in dataclasses.fields(Signals))
"""Names that a score may declare to need. ``value_ensemble`` asks for K ≥ 2 as well."""


def score(*, needs: tuple[str, ...]) -> Callable[[Score], Score]:
    """Declare the signals that a score function needs. Raises `UserError` for a name that no signal has."""
    unknown = set(needs) - {*SIGNALS, "value_ensemble"}
    if unknown:
        raise UserError(f"a score needs unknown signals {sorted(unknown)}; known: {', '.join(SIGNALS)}, value_ensemble")

    def declare(function: Score) -> Score:
        function.needs = needs  # type: ignore[attr-defined]
        return function

    return declare


def validate_score(function: Score, name: str, num_value_heads: int) -> None:
    """Raise `UserError` if ``function`` is no score, or needs a signal that this run does not compute."""
    needs = getattr(function, "needs", None)
    if needs is None:
        raise UserError(f"score {name!r} declares no signals: decorate it with @minied.scores.score(needs=(...))")
    if "value_ensemble" in needs and num_value_heads < 2:
        raise UserError(
            f"score {name!r} needs an ensemble of values; network.num_value_heads is {num_value_heads}, allowed: at least 2"
        )


def score_levels(function: Score, signals: Signals) -> tuple[jax.Array, jax.Array]:
    """Return ``(scores f32[B], valid bool[B])`` for signals ``[B, ...]``; an invalid score is returned as 0.

    Raises `UserError`, while the program is traced, if the function gives anything but one number a level.
    """
    scores = jax.vmap(function)(signals)
    if not isinstance(scores, jax.Array) or scores.ndim != 1:
        shapes = jax.tree.map(lambda leaf: leaf.shape[1:], scores)
        raise UserError(
            f"score {getattr(function, '__name__', function)!r} returns {shapes}; allowed: one number, shape ()"
        )
    valid = signals.episodes.valid & jnp.isfinite(scores)
    return jnp.where(valid, scores, 0.0), valid
