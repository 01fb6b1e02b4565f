"""One iteration of the loop: propose levels, roll the students out on them, perhaps learn, tell the teacher.

Every algorithm of minied is this function with another teacher. Letters: ``T`` steps, ``B`` levels, ``N`` agents,
``K`` value heads.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied import rollout as rollouts
from minied.episodes import EpisodeSummary
from minied.rollout import Rollout
from minied.scores.base import Signals
from minied.students import ppo
from minied.students.advantages import generalized_advantages
from minied.students.base import Parameters
from minied.students.ppo import StudentState
from minied.teachers.base import Outcome, Plan, Probe, Schedule
from minied.train.setting import Setting
from minied.train.state import Member

Metrics = dict[str, jax.Array]


def iterate(setting: Setting, schedule: Schedule, plan: Plan, member: Member) -> tuple[Member, Metrics]:
    """Return one member after an iteration that follows ``plan``, and its metrics, each ``f32[]``, NaN if undefined."""
    key = jax.random.fold_in(member.key, schedule.iterations)
    propose_key, play_key, update_key = jax.random.split(key, 3)
    teacher, space, parameters = setting.teacher, setting.space, member.student.parameters

    probe = probe_of(setting, parameters)
    proposal = teacher.propose(propose_key, member.teacher, plan, space, setting.num_levels, probe)
    played = play(setting, parameters, play_key, proposal.levels, proposal.max_returns)
    student, student_metrics = _learn(setting, schedule, plan, member.student, played, update_key)
    teacher_state = teacher.observe(member.teacher, plan, proposal, played.outcome, space)

    metrics = {f"student/{name}": value for name, value in student_metrics.items()}
    metrics |= {f"teacher/{name}": value for name, value in teacher.metrics(teacher_state, space).items()}
    metrics |= _level_metrics(plan, played.outcome.episodes, jax.vmap(space.describe)(proposal.levels))
    return member.replace(student=student, teacher=teacher_state), metrics


class Played(struct.PyTreeNode):
    """A rollout on a batch of levels, and what was made of it."""

    carry: Any  # the memory before the first step
    rollout: Rollout
    advantages: jax.Array  # f32[T, B, N]
    outcome: Outcome  # [B, ...]


def play(setting: Setting, parameters: Parameters, key: jax.Array, levels: Any, max_returns: jax.Array) -> Played:
    """Roll a student out on levels from their start, for ``T`` steps. Consumes ``key``.

    Args:
        setting: of the run.
        parameters: of the student.
        key: consumed.
        levels: ``[B, ...]``.
        max_returns: ``f32[B]``, highest return known on each level, −inf if none.
    """
    start_key, rollout_key = jax.random.split(key)
    student, env = setting.student, setting.env
    start = rollouts.start(start_key, student, env, levels)
    bootstrap = setting.ppo.bootstrap_truncated
    end, rollout = rollouts.collect(
        rollout_key, student, parameters, env, levels, start, setting.num_steps, bootstrap_truncated=bootstrap
    )
    advantages = _advantages(setting, rollout, rollouts.last_values(student, parameters, end))
    episodes = rollouts.summarise_rollout(env, rollout)
    outcome = Outcome(episodes, _signals(rollout, advantages, episodes, max_returns))
    return Played(start.carry, rollout, advantages, outcome)


def probe_of(setting: Setting, parameters: Parameters) -> Probe:
    """Return the probe that plays levels with ``parameters``, see `Probe`."""

    def probe(key: jax.Array, levels: Any) -> Outcome:
        nothing_known = jnp.full(jax.tree.leaves(levels)[0].shape[0], -jnp.inf)
        return play(setting, parameters, key, levels, nothing_known).outcome

    return probe


def _advantages(setting: Setting, rollout: Rollout, last_values: jax.Array) -> jax.Array:
    """Return generalised advantages, ``f32[T, B, N]``, of the mean of the value heads."""
    ended = jnp.broadcast_to(rollout.ended[..., None], rollout.rewards.shape)

    def one(rewards, values, last_value, ended, bootstrap):
        config = setting.ppo
        return generalized_advantages(rewards, values, last_value, ended, bootstrap, config.discount, config.gae_lambda)

    over_agents = jax.vmap(one, in_axes=(1, 1, 0, 1, 1), out_axes=1)
    over_levels = jax.vmap(over_agents, in_axes=(1, 1, 0, 1, 1), out_axes=1)
    values, last_value = rollout.values.mean(axis=-1), last_values.mean(axis=-1)
    return over_levels(rollout.rewards, values, last_value, ended, rollout.bootstrap_values)


def _signals(rollout: Rollout, advantages: jax.Array, episodes: EpisodeSummary, max_returns: jax.Array) -> Signals:
    """Return what scores may read, ``[B, ...]``. What no score reads, the compiler drops."""

    def by_level(leaf: jax.Array) -> jax.Array:
        return jnp.moveaxis(leaf, 0, 1)

    return Signals(
        rewards=by_level(rollout.rewards),
        values=by_level(rollout.values),
        advantages=by_level(advantages),
        ended=by_level(rollout.ended),
        episodes=episodes,
        max_return=jnp.maximum(max_returns, episodes.max_return),
    )


def _learn(
    setting: Setting,
    schedule: Schedule,
    plan: Plan,
    state: StudentState,
    played: Played,
    key: jax.Array,
) -> tuple[StudentState, Metrics]:
    """Return the student after learning, or as it was where the plan does not train. Consumes ``key``."""
    rollout, advantages = played.rollout, played.advantages

    def rows(leaf: jax.Array) -> jax.Array:  # [T, B, N, ...] -> [T, M, ...]
        return leaf.reshape(leaf.shape[0], -1, *leaf.shape[3:])

    batch = ppo.Batch(
        observations=jax.tree.map(rows, rollout.observations),
        resets=jnp.repeat(rollout.resets, setting.env.num_agents, axis=1),
        actions=rows(rollout.actions),
        log_probs=rows(rollout.log_probs),
        values=rows(rollout.values),
        advantages=rows(advantages),
        targets=rows(advantages + rollout.values.mean(axis=-1)),
        carry=played.carry,
    )
    rate = ppo.learning_rate(setting.ppo, schedule.student_updates, setting.total_updates)

    def learn() -> tuple[StudentState, Metrics]:
        return ppo.update(key, setting.student, state, batch, setting.ppo, rate, setting.env.num_agents)

    def skip() -> tuple[StudentState, Metrics]:
        nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), jax.eval_shape(learn)[1])
        return state, nothing

    return jax.lax.cond(plan.train, learn, skip)


def _level_metrics(plan: Plan, episodes: EpisodeSummary, features: Metrics) -> Metrics:
    """Return means over the levels of the batch, under ``new/`` or ``replay/``, NaN under the other."""
    per_level = {
        "solve_rate": episodes.solve_rate,
        "return": episodes.mean_return,
        "episode_length": episodes.mean_length,
        "finished_levels": episodes.valid.astype(jnp.float32),
    }
    per_level |= {f"levels/{name}": value for name, value in features.items()}
    means = {name: _mean_of_defined(value) for name, value in per_level.items()}
    return {
        f"{source}/{name}": jnp.where(chosen, value, jnp.nan)
        for source, chosen in (("new", ~plan.replay), ("replay", plan.replay))
        for name, value in means.items()
    }


def _mean_of_defined(values: jax.Array) -> jax.Array:
    defined = ~jnp.isnan(values)
    count = jnp.sum(defined).astype(jnp.float32)
    return jnp.where(count > 0, jnp.sum(jnp.where(defined, values, 0.0)) / jnp.maximum(count, 1.0), jnp.nan)
