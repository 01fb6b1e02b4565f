"""Does a score keep the contract of `minied.scores.base`? `check_score`, a check a rule, on rollouts made up for it.

Letters: ``B`` levels, ``T`` steps, ``N`` agents, ``A`` actions, ``K`` value heads, ``P`` policies and students.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.episodes import EpisodeSummary, summarise
from minied.errors import UserError
from minied.scores.base import POPULATION, Score, Signals, needs_of, score_levels, validate_score
from minied.testing.comparing import difference
from minied.testing.environment import chosen
from minied.testing.report import Check, Failure, Finding, Note, Report, Skip, run_checks

B, T, N, A, K, P = 6, 16, 2, 4, 2, 2
_ENDS = ((3, 9), (15,), (), (0, 1, 2, 7), (11,), (5, 15))
"""The steps at which the episodes of each level end; one level has none, two go to the last step."""


def check_score(
    score: Score,
    name: str = "",
    *,
    seed: int = 0,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    tell: Callable[[Finding], None] | None = None,
) -> Report:
    """Return what is right and wrong with a score: a function declared by `minied.scores.score`.

    See `minied.testing.check_env` for the other arguments; the checks are `SCORE_CHECKS`.
    """
    name = name or getattr(score, "__name__", repr(score))
    return run_checks(chosen(SCORE_CHECKS, only, skip), Scored(score, name, seed), name, tell)


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """A score, and what it is tried on."""

    score: Score
    name: str
    seed: int

    @functools.cached_property
    def signals(self) -> Signals:
        """Signals of every kind, ``[B, ...]``."""
        return made_up_signals(jax.random.key(self.seed))

    def culprit(self, method: str) -> Any:
        """Return the score, to look at where an error names no line."""
        del method
        return self.score

    def __call__(self, signals: Signals) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return scores, and which are valid and broken, ``[B]`` each, compiled."""
        return jax.jit(functools.partial(score_levels, self.score))(signals)


def made_up_signals(key: jax.Array) -> Signals:
    """Return signals of ``B`` levels in which everything that a score may read is there and differs. Consumes ``key``."""
    keys = iter(jax.random.split(key, 16))
    ended = jnp.asarray([[step in ends for step in range(T)] for ends in _ENDS])
    rewards = jax.random.normal(next(keys), (B, T, N))
    policies = jax.nn.log_softmax(jax.random.normal(next(keys), (B, T, N, P, A)))
    values = jax.random.normal(next(keys), (B, T, N, K))
    population = [_episodes(ended, jax.random.normal(next(keys), (B, T, N))) for _ in range(P)]
    episodes = _episodes(ended, rewards)
    return Signals(
        ended=ended,
        episodes=episodes,
        max_return=episodes.max_return + 0.5,
        rewards=rewards,
        values=values,
        advantages=jax.random.normal(next(keys), (B, T, N)),
        td_errors=jax.random.normal(next(keys), (B, T, N)),
        log_policy=jax.nn.log_softmax(jax.random.normal(next(keys), (B, T, N, A))),
        value_ensemble=values,
        policy_ensemble=policies,
        optimal_return=jnp.linspace(0.5, 3.0, B),
        neighbour_distances=jnp.sort(jax.random.uniform(next(keys), (B, 3)), axis=-1),
        population=jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *population),
        parameter_change=jax.random.uniform(next(keys), (B,)),
        max_share=jnp.zeros(B),
    )


def _episodes(ended: jax.Array, rewards: jax.Array) -> EpisodeSummary:
    """Return the summaries ``[B]`` of episodes with these rewards ``f32[B, T, N]``."""

    def one(ended: jax.Array, rewards: jax.Array) -> EpisodeSummary:
        def step(carry: Any, inputs: Any) -> Any:
            returns, length = carry
            over, reward = inputs
            returns, length = returns + reward, length + 1
            return (jnp.where(over, 0.0, returns), jnp.where(over, 0, length)), (returns, length)

        _, (returns, lengths) = jax.lax.scan(step, (jnp.zeros(N), jnp.int32(0)), (ended, rewards))
        return summarise(ended, returns, lengths, returns.mean(axis=-1) > 0)

    return jax.vmap(one)(ended, rewards)


def _declares(scored: Scored) -> str:
    """It reads what it declares and gives one number a level."""
    try:
        validate_score(scored.score, scored.name, {})
        jax.eval_shape(functools.partial(score_levels, scored.score), scored.signals)
    except UserError as error:
        raise Failure(str(error), scored.score) from error
    return f"reads {', '.join(sorted(needs_of(scored.score))) or 'nothing'}, and one number comes out"


def _finite(scored: Scored) -> str:
    """It is finite on every level with a finished episode."""
    scores, valid, broken = scored(scored.signals)
    if bool(broken.any()):
        raise Failure(
            f"{int(broken.sum())} of {B} levels with finished episodes have a score that is no finite number",
            scored.score,
        )
    if scores.dtype != jnp.float32:
        raise Failure(f"scores are {scores.dtype}; allowed: float32", scored.score)
    return f"finite on the {int(valid.sum())} levels with a finished episode"


def _jit(scored: Scored) -> str:
    """It is the same compiled and uncompiled."""
    if told := difference(scored(scored.signals), score_levels(scored.score, scored.signals)):
        raise Failure(f"compiled and uncompiled differ: {told}", scored.score)
    return "the same without jit"


def _alone(scored: Scored) -> str:
    """A level's score is the same alone and in a batch."""
    if needs_of(scored.score) & POPULATION:
        raise Skip("it compares the levels of a batch")
    scores, valid, _ = scored(scored.signals)
    for index in range(B):
        one, one_valid, _ = scored(jax.tree.map(lambda leaf, index=index: leaf[index : index + 1], scored.signals))
        if told := difference((scores[index], valid[index]), (one[0], one_valid[0])):
            raise Failure(f"level {index} alone has another score than in a batch: {told}", scored.score)
    return "a level's score is its own"


def _unfinished(scored: Scored) -> str:
    """Steps after the last end count nothing."""
    ended = np.asarray(scored.signals.ended)
    last = np.array([flags.nonzero()[0].max() if flags.any() else T for flags in ended])
    tail = jnp.asarray(np.arange(T)[None] > last[:, None])

    def disturb(leaf: Any) -> Any:
        if leaf is None or leaf.shape[:2] != (B, T) or leaf.dtype == jnp.bool_:
            return leaf
        return jnp.where(tail.reshape(B, T, *(1,) * (leaf.ndim - 2)), leaf[:, ::-1] * 3 - 1, leaf)

    fields = {field.name: getattr(scored.signals, field.name) for field in dataclasses.fields(Signals)}
    disturbed = {name: disturb(value) for name, value in fields.items() if isinstance(value, jax.Array)}
    before, after = (scored(signals)[0] for signals in (scored.signals, scored.signals.replace(**disturbed)))
    if told := difference(before, after):
        raise Failure(f"steps of an unfinished episode count: {told}", scored.score)
    return "steps after the last end count nothing"


def _absent(scored: Scored) -> str:
    """Agents that are not present count nothing."""
    present = np.ones((B, T, N), bool)
    present[:, ::2, 1] = False
    signals = scored.signals.replace(present=jnp.asarray(present))

    def disturb(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.shape[:3] != (B, T, N):
            return leaf
        return jnp.where(signals.present.reshape(B, T, N, *(1,) * (leaf.ndim - 3)), leaf, leaf * 5 - 2)

    fields = ("advantages", "td_errors", "log_policy", "policy_ensemble", "value_ensemble", "values", "rewards")
    disturbed = signals.replace(**{name: disturb(getattr(signals, name)) for name in fields})
    if told := difference(scored(signals)[0], scored(disturbed)[0]):
        raise Failure(f"agents that are not present count: {told}; use signals.over_episodes", scored.score)
    return "agents that are not there count nothing"


def _order(scored: Scored) -> str:
    """The order of the agents does not count."""

    def swap(leaf: Any) -> Any:
        return leaf[:, :, ::-1] if isinstance(leaf, jax.Array) and leaf.shape[:3] == (B, T, N) else leaf

    fields = {field.name: swap(getattr(scored.signals, field.name)) for field in dataclasses.fields(Signals)}
    swapped = scored.signals.replace(**{name: leaf for name, leaf in fields.items() if isinstance(leaf, jax.Array)})
    if told := difference(scored(scored.signals)[0], scored(swapped)[0]):
        raise Note(f"the order of the agents counts: {told}")
    return "the order of the agents does not count"


def _tells(scored: Scored) -> str:
    """Different levels have different scores."""
    scores, valid, _ = scored(scored.signals)
    kept = np.asarray(scores)[np.asarray(valid)]
    if not len(kept):
        raise Skip("no level has a score that counts")
    if np.ptp(kept) == 0:
        raise Failure(f"every level has the score {kept[0]:g}", scored.score)
    return f"scores from {kept.min():g} to {kept.max():g}"


SCORE_CHECKS = (
    Check("declares", _declares, "a signal that it reads is there in some runs and missing in others"),
    Check("finite", _finite, "the run stops at the first score that is no number"),
    Check("jit", _jit, "what is logged is not what is computed"),
    Check("alone", _alone, "a level's place in the buffer depends on its neighbours in a batch"),
    Check("unfinished_episodes", _unfinished, "levels with long episodes are scored by what has not happened yet"),
    Check("absent_agents", _absent, "what a past policy or a dead agent did is taken for the student's"),
    Check("order_of_agents", _order, "two agents in the same part are not alike"),
    Check("tells_levels_apart", _tells, "a teacher that ranks by it draws lots"),
)
"""In the order in which they are run."""
