"""What a score is: a pure function from what a student did on one level to a number, with the signals it needs declared.

A score reads the `Signals` of one level and returns ``f32[]``. `score_levels` maps it over a batch and says which
results are valid: those of levels on which an episode finished, and which are finite. Any score goes with any teacher;
the loop computes the signals that the scores of a run declare, and no others.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import struct

from minied.episodes import EpisodeSummary, finished_step_weights, mean_of_episode_maxima, mean_over_present
from minied.errors import UserError

Reduction = Literal["mean", "first", "max", "sum"]
"""How a number for every step becomes one for an episode."""

UNASKED: Any = None  # stands for a signal that no score of the run declares


class Signals(struct.PyTreeNode):
    """What a student did on one level in a rollout of ``T`` steps.

    ``N`` agents, ``A`` actions, ``K`` value heads, ``P`` policy heads. A score finds here what it declares to need; the rest
    is None, which the types leave out so that a score needs no test for what it asked for.
    """

    ended: jax.Array  # bool[T], the episode ended with this step
    episodes: EpisodeSummary  # of this rollout
    max_return: jax.Array  # f32[], highest episode return ever seen on the level, this rollout included; -inf if none
    rewards: jax.Array = UNASKED  # f32[T, N]
    values: jax.Array = UNASKED  # f32[T, N, K], before the step
    advantages: jax.Array = UNASKED  # f32[T, N], generalised, of the mean value head
    td_errors: jax.Array = UNASKED  # f32[T, N], r_t + γ V_{t+1} − V_t of the mean value head
    log_policy: jax.Array = UNASKED  # f32[T, N, A], log-probabilities of the policy that acted
    value_ensemble: jax.Array = UNASKED  # f32[T, N, K], K ≥ 2
    policy_ensemble: jax.Array = UNASKED  # f32[T, N, P, A], log-probabilities of P ≥ 2 policies
    optimal_return: jax.Array = UNASKED  # f32[], the highest return that any policy can have
    neighbour_distances: jax.Array = UNASKED  # f32[k], to the nearest known levels, rising; inf if fewer
    population: EpisodeSummary = UNASKED  # [P], of every student on this level, the first (protagonist) included
    parameter_change: jax.Array = UNASKED  # f32[], see `minied.students.parameter_changes`
    mean_return_of_levels: jax.Array = UNASKED  # f32[], over the levels of the batch
    std_return_of_levels: jax.Array = UNASKED  # f32[], likewise, of their mean returns
    present: jax.Array = UNASKED  # bool[T, N], which agents took part in the step; None: all, always
    max_share: jax.Array | float = 0.0  # f32[], m of `over_episodes`, chosen by the teacher and not by the score
    reduction: Reduction = struct.field(pytree_node=False, default="mean")  # likewise

    def over_episodes(self, per_step: jax.Array) -> jax.Array:
        """Return the mean over finished episodes of what ``per_step`` ``f32[T, N]`` comes to in each, ``f32[]``.

        It is averaged over agents first. `reduction` says what it comes to: ``mean``, ``first`` (at the episode's start),
        ``max`` or ``sum``; of a mean, ``(1 − m) · mean + m · max``, where ``m`` is `max_share`, 0 unless the teacher mixes
        (DCD's ``max_score_coef``). Steps of the unfinished tail count nothing, whatever they hold. 0 if none finished.

        Agents that are not `present` in a step count nothing in it, whatever they hold. The mean of an episode is then
        that over all pairs of an agent and a step at which it was there.
        """
        number = None
        if self.present is None:
            per_step = per_step.mean(axis=-1)
        else:
            per_step = mean_over_present(per_step, self.present)
            number = jnp.sum(self.present, axis=-1, dtype=jnp.int32)
        if self.reduction == "max":
            return mean_of_episode_maxima(self.ended, per_step)
        weights = finished_step_weights(self.ended, self.reduction, number)
        weighted = jnp.sum(jnp.where(weights > 0, weights * per_step, 0.0))
        if self.reduction != "mean":
            return weighted
        return weighted + self.max_share * (mean_of_episode_maxima(self.ended, per_step) - weighted)


Score = Callable[[Signals], jax.Array]

ALWAYS = ("ended", "episodes", "max_return")
"""Signals that every run computes."""
POPULATION = frozenset({"mean_return_of_levels", "std_return_of_levels"})
"""Signals that compare a level with the others that are scored together with it."""
PER_STEP = frozenset(
    {"rewards", "values", "advantages", "td_errors", "log_policy", "value_ensemble", "policy_ensemble"}
)
"""Signals that have a number for every step."""
_OPTIONS = ("max_share", "reduction", "present")
SIGNALS = tuple(field.name for field in dataclasses.fields(Signals) if field.name not in _OPTIONS)
"""Names that a score may declare to need."""


def score(*, needs: tuple[str, ...]) -> Callable[[Score], Score]:
    """Declare the signals that a score function needs. Raises `UserError` for a name that no signal has."""
    if isinstance(needs, str):
        raise UserError(f"a score needs {needs!r}; allowed: a tuple of signals, such as ({needs!r},)")
    unknown = set(needs) - {*SIGNALS}
    if unknown:
        raise UserError(f"a score needs unknown signals {sorted(unknown)}; known: {', '.join(SIGNALS)}")

    def declare(function: Score) -> Score:
        # A function takes any attribute; its type does not say so.
        function.needs = frozenset(needs)  # type: ignore[attr-defined]
        return function

    return declare


def needs_of(function: Score) -> frozenset[str]:
    """Return the signals that ``function`` declared to need."""
    return function.needs  # type: ignore[attr-defined]  # set by `score`


def validate_score(function: Score, name: str, missing: Mapping[str, str]) -> None:
    """Raise `UserError` if ``function`` is no score, or needs a signal that this run cannot compute.

    Args:
        function: what ``name`` loads.
        name: of the score.
        missing: the signals that the run cannot compute, each with what is lacking and how to mend it.
    """
    if getattr(function, "needs", None) is None:
        raise UserError(f"score {name!r} declares no signals: decorate it with @minied.scores.score(needs=(...))")
    for signal in sorted(needs_of(function)):
        if signal in missing:
            raise UserError(f"score {name!r} needs the signal {signal}: {missing[signal]}")


def validate_reduction(function: Score, name: str, max_share: float, reduction: Reduction, prefix: str) -> None:
    """Raise `UserError` if ``function`` does not go by steps and is told how to, or is told twice.

    ``prefix`` stands before the names of the options ``max_share`` and ``reduction`` where a user sets them.
    """
    if "ended" not in needs_of(function):
        for option, value, silent in (("max_share", max_share, 0), ("reduction", reduction, "mean")):
            if value != silent:
                raise UserError(f"{prefix}{option} is {value}; allowed: {silent}, as {name!r} does not go by steps")
    if max_share > 0 and reduction != "mean":
        raise UserError(f"{prefix}max_share is {max_share}; allowed with {prefix}reduction {reduction!r}: 0")


def score_levels(
    function: Score, signals: Signals, max_share: jax.Array | float = 0.0, reduction: Reduction = "mean"
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Score a batch of levels.

    Args:
        function: the score.
        signals: ``[B, ...]``.
        max_share: ``m`` of `Signals.over_episodes`, ``f32[]``.
        reduction: likewise.

    Returns:
        ``(scores f32[B], valid bool[B], broken bool[B])``: a score is valid if an episode finished (of every student, if
        it reads the population) and it is a finite number, else it is returned as 0; it is broken if one finished and
        it is not.

    Raises `UserError`, while the program is traced, if the function gives anything but one number a level, or reads a
    signal that it does not declare.
    """
    declared = _declared(function, _with_population(signals, needs_of(function)))
    name = getattr(function, "__name__", repr(function))

    def one(signals: Signals) -> jax.Array:
        try:
            return function(signals.replace(max_share=max_share, reduction=reduction))
        except (AttributeError, TypeError) as error:
            if isinstance(error, jax.errors.JAXTypeError):  # what it read was there
                raise
            absent = ", ".join(sorted(set(SIGNALS) - needs_of(function) - {*ALWAYS}))
            told = str(error).partition("\n")[0]
            raise UserError(
                f"score {name!r} fails: {told}; it may read a signal that it does not declare ({absent})"
            ) from error

    scores = jax.vmap(one)(declared)
    if not isinstance(scores, jax.Array) or scores.ndim != 1:
        shapes = jax.tree.map(lambda leaf: leaf.shape[1:], scores)
        raise UserError(f"score {name!r} returns {shapes}; allowed: one number, shape ()")
    finite, finished = jnp.isfinite(scores), signals.episodes.valid
    if "population" in needs_of(function):
        finished = finished & jnp.all(signals.population.valid, axis=-1)
    valid = finished & finite
    return jnp.where(valid, scores, 0.0), valid, finished & ~finite


def _declared(function: Score, signals: Signals) -> Signals:
    """Return only what the score declared, so that what it forgot shows in every run and not in some."""
    kept = needs_of(function) | {*ALWAYS, *_OPTIONS}
    return signals.replace(**{f.name: None for f in dataclasses.fields(Signals) if f.name not in kept}, max_share=None)


def _with_population(signals: Signals, needs: frozenset[str]) -> Signals:
    """Return the signals with mean and standard deviation of the mean returns of the batch's valid levels."""
    if not needs & POPULATION:
        return signals
    returns, valid = signals.episodes.mean_return, signals.episodes.valid
    count = jnp.maximum(jnp.sum(valid), 1).astype(jnp.float32)
    mean = jnp.sum(jnp.where(valid, returns, 0.0)) / count
    variance = jnp.sum(jnp.where(valid, jnp.square(returns - mean), 0.0)) / count

    def each(value: jax.Array) -> jax.Array:
        return jnp.broadcast_to(value, valid.shape)

    return signals.replace(mean_return_of_levels=each(mean), std_return_of_levels=each(jnp.sqrt(variance)))
