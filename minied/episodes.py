"""Episode accounting: what finished inside a rollout, and nothing of what did not.

A rollout plays one level per environment; an episode's end restarts the same level. Here one level's stream of ``T``
steps is cut into its episodes. Steps after the last end belong to an unfinished episode and enter no statistic. A level
without a finished episode has no statistic: its counts are 0, its means NaN, and it is not `valid`.
"""

from collections.abc import Mapping
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from flax import struct


class EpisodeSummary(struct.PyTreeNode):
    """Finished episodes of one level (or ``[B]`` of them).

    Returns are undiscounted, averaged over the agents that took part in the episode.
    """

    num_finished: jax.Array  # i32[]
    num_solved: jax.Array  # i32[]
    mean_return: jax.Array  # f32[], NaN if none finished
    max_return: jax.Array  # f32[], -inf if none finished
    mean_length: jax.Array  # f32[], steps, NaN if none finished
    return_variance: jax.Array  # f32[], of the finished episodes, divided by their number; NaN if none finished
    statistics: dict[str, jax.Array] = struct.field(default_factory=dict)
    """What the world says of its episodes, by name: ``f32[]``, mean over those that finished and for which it is defined,
    NaN if there is none."""

    @property
    def valid(self) -> jax.Array:
        """Whether any episode finished, ``bool[]``."""
        return self.num_finished > 0

    @property
    def solve_rate(self) -> jax.Array:
        """Solved share of the finished episodes, ``f32[]``, NaN if none finished."""
        return _ratio(self.num_solved.astype(jnp.float32), self.num_finished.astype(jnp.float32))


class RunningEpisode(struct.PyTreeNode):
    """The episode under way in one environment; updated once a step."""

    episode_return: jax.Array  # f32[N]
    length: jax.Array  # i32[]

    @classmethod
    def start(cls, num_agents: int) -> "RunningEpisode":
        """Return an episode with no step."""
        return cls(jnp.zeros(num_agents), jnp.zeros((), jnp.int32))

    def add(self, reward: jax.Array) -> "RunningEpisode":
        """Return the episode one step later; ``reward`` is ``f32[N]``."""
        return RunningEpisode(self.episode_return + reward, self.length + 1)

    def restart_if(self, ended: jax.Array) -> "RunningEpisode":
        """Return an empty episode where ``ended``, this one elsewhere."""
        return jax.tree.map(lambda leaf: jnp.where(ended, jnp.zeros_like(leaf), leaf), self)


def summarise(
    ended: jax.Array,
    returns: jax.Array,
    lengths: jax.Array,
    solved: jax.Array,
    present: jax.Array | None = None,
    statistics: Mapping[str, jax.Array] | None = None,
) -> EpisodeSummary:
    """Return the summary of one level.

    Args:
        ended: ``bool[T]``, the steps at which an episode finished.
        returns: ``f32[T, N]``, the running return including step t.
        lengths: ``i32[T]``, the running length including step t.
        solved: ``bool[T]``, whether an episode that ended at t with that return counts as solved.
        present: ``bool[T, N]``, which agents took part in step t; None: all in all.
        statistics: named ``f32[T]``, of the episode until step t; NaN where not defined.
    """
    chex.assert_equal_shape([ended, lengths, solved])
    num_finished = jnp.sum(ended, dtype=jnp.int32)
    count = num_finished.astype(jnp.float32)
    mean_over_agents = (
        returns.mean(axis=-1) if present is None else mean_over_present(returns, _took_part(ended, present))
    )
    mean_return = _ratio(jnp.sum(jnp.where(ended, mean_over_agents, 0.0)), count)
    deviations = jnp.where(ended, jnp.square(mean_over_agents - mean_return), 0.0)
    return EpisodeSummary(
        num_finished=num_finished,
        num_solved=jnp.sum(ended & solved, dtype=jnp.int32),
        mean_return=mean_return,
        max_return=jnp.max(jnp.where(ended, mean_over_agents, -jnp.inf)),
        mean_length=_ratio(jnp.sum(jnp.where(ended, lengths, 0)).astype(jnp.float32), count),
        return_variance=_ratio(jnp.sum(deviations), count),
        statistics={
            name: mean_of_defined(jnp.where(ended, value, jnp.nan)) for name, value in (statistics or {}).items()
        },
    )


def mean_of_defined(values: jax.Array) -> jax.Array:
    """Return the mean of the values that are not NaN, ``f32[]``, NaN if none is."""
    defined = ~jnp.isnan(values)
    count = jnp.sum(defined).astype(jnp.float32)
    return jnp.where(count > 0, jnp.sum(jnp.where(defined, values, 0.0)) / jnp.maximum(count, 1.0), jnp.nan)


def mean_over_present(values: jax.Array, present: jax.Array) -> jax.Array:
    """Return the mean over the agents that are there, ``f32[...]``, of ``f32[..., N]``, ``bool[..., N]``; 0 where none is.

    What is said of absent agents counts nothing, whatever it is.
    """
    number = jnp.sum(present, axis=-1, dtype=jnp.int32)
    return jnp.sum(jnp.where(present, values, 0.0), axis=-1) / jnp.maximum(number, 1).astype(jnp.float32)


def _took_part(ended: jax.Array, present: jax.Array) -> jax.Array:
    """Return whether each agent was there at any step of the episode that step t belongs to, ``bool[T, N]``."""
    episode = _number_of_episode(ended)
    ever = jax.ops.segment_max(present.astype(jnp.int32), episode, num_segments=ended.shape[0]) > 0
    return ever[episode]


def finished_step_weights(
    ended: jax.Array, of: Literal["mean", "sum", "first"] = "mean", number: jax.Array | None = None
) -> jax.Array:
    """Return ``f32[T]`` weights such that a weighted sum over steps is the mean over finished episodes of their means.

    A step of a finished episode of length ``n``, one of ``E``, weighs ``1 / (n E)``; steps of the unfinished tail weigh
    0. The weights sum to 1, or to 0 if no episode finished. With ``of="sum"`` it is the mean of their sums (each step weighs
    ``1 / E``), with ``"first"`` of their first steps (which weigh ``1 / E``, the others 0).

    ``number`` ``i32[T]`` is how many values step t is the mean of, if not always as many: those of an episode, not its
    steps, then count the same in its mean.
    """
    chex.assert_rank(ended, 1)
    steps = jnp.arange(ended.shape[0], dtype=jnp.int32)
    unfinished = jnp.int32(ended.shape[0])
    end = jax.lax.cummin(jnp.where(ended, steps, unfinished), reverse=True)  # where step t's episode ends
    start = jnp.append(0, jax.lax.cummax(jnp.where(ended, steps + 1, 0))[:-1])  # and where it began
    finished = end < unfinished
    if of == "first":
        finished = finished & (steps == start)
    length = jnp.where(finished & (of == "mean"), end - start + 1, 1).astype(jnp.float32)
    num_finished = jnp.maximum(jnp.sum(ended), 1).astype(jnp.float32)
    if number is not None and of == "mean":
        until = jnp.cumsum(number)
        in_episode = until[jnp.minimum(end, unfinished - 1)] - until[start] + number[start]
        share = number.astype(jnp.float32) / jnp.maximum(in_episode, 1).astype(jnp.float32)
        return jnp.where(finished, share / num_finished, 0.0)
    return jnp.where(finished, 1.0 / (length * num_finished), 0.0)


def mean_of_episode_maxima(ended: jax.Array, per_step: jax.Array) -> jax.Array:
    """Return the mean over finished episodes of the highest of ``per_step`` ``f32[T]`` in each, ``f32[]``; 0 if none.

    ``ended`` is ``bool[T]``. The unfinished tail counts nothing, whatever it holds.
    """
    num_finished = jnp.sum(ended, dtype=jnp.int32)
    highest = jax.ops.segment_max(per_step, _number_of_episode(ended), num_segments=ended.shape[0])
    finished = jnp.arange(ended.shape[0], dtype=jnp.int32) < num_finished
    return jnp.sum(jnp.where(finished, highest, 0.0)) / jnp.maximum(num_finished, 1).astype(jnp.float32)


def _number_of_episode(ended: jax.Array) -> jax.Array:
    """Return the number of each step's episode within the rollout, ``i32[T]``, from 0."""
    return jnp.append(0, jnp.cumsum(ended, dtype=jnp.int32)[:-1])


def _ratio(numerator: jax.Array, count: jax.Array) -> jax.Array:
    return jnp.where(count > 0, numerator / jnp.maximum(count, 1.0), jnp.nan)
