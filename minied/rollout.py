"""The rollout, once: students act in a batch of environments, one level each, for a number of steps.

An episode's end restarts the same level; the next step's `reset` flag tells the student to forget. Letters: ``T``
steps, ``B`` levels, ``N`` agents, ``K`` value heads, ``M = B·N`` rows seen by the network.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Environment
from minied.episodes import EpisodeSummary, RunningEpisode, summarise
from minied.errors import UserError
from minied.students import distributions
from minied.students.base import Parameters, RecordingStudent, Student
from minied.students.flags import Flags

UNKEPT: Any = None  # stands for what a rollout was not asked to record


class Rollout(struct.PyTreeNode):
    """What happened, time first."""

    observations: Any  # [T, B, N, ...], before step t
    resets: jax.Array  # bool[T, B], step t is the first of its episode
    actions: jax.Array  # i32[T, B, N]
    log_probs: jax.Array  # f32[T, B, N], of the actions
    values: jax.Array  # f32[T, B, N, K], of the observations
    rewards: jax.Array  # f32[T, B, N]
    terminated: jax.Array  # bool[T, B]
    truncated: jax.Array  # bool[T, B]
    bootstrap_values: jax.Array  # f32[T, B, N], see `generalized_advantages`
    returns: jax.Array  # f32[T, B, N], of the episode so far, step t included
    lengths: jax.Array  # i32[T, B], likewise
    log_policy: jax.Array = UNKEPT  # f32[T, B, N, A], log-probabilities of all actions; if asked for
    policy_ensemble: jax.Array = UNKEPT  # f32[T, B, N, P, A], likewise of every policy head; if asked for
    next_observations: Any = UNKEPT  # [T, B, N, ...], after step t, the true ones also where it ended; if asked for
    novelty: jax.Array = UNKEPT  # u32[T, B, 2], a hash of the state after step t, of worlds that tell; if asked for
    achievements: Flags = (
        UNKEPT  # bool[T, B, K], what step t brought for the first time, of worlds that tell; if asked for
    )
    present: Any = UNKEPT  # bool[T, B, N], which agents took part in step t, of worlds that tell (`Environment.step`)
    statistics: dict[str, jax.Array] = struct.field(default_factory=dict)  # f32[T, B], of the episode until step t
    info: Any = UNKEPT  # what the world tells of each step, [T, B, ...]; if asked for
    activations: Any = ()  # [T, M', ...] of the first M' rows; if asked for

    @property
    def ended(self) -> jax.Array:
        """Whether step t ended an episode, ``bool[T, B]``."""
        return self.terminated | self.truncated


class RolloutState(struct.PyTreeNode):
    """Where the environments and the students' memories stand between two steps."""

    env_states: Any  # [B, ...]
    observations: Any  # [B, N, ...]
    resets: jax.Array  # bool[B], the coming step is the first of an episode
    carry: Any  # memory of M rows
    running: RunningEpisode  # [B]


def start(key: jax.Array, student: Student, env: Environment, levels: Any) -> RolloutState:
    """Return the state at the start of an episode on each level ``[B, ...]``. Consumes ``key``.

    ``env`` carries an agent axis (`with_agent_axis`).
    """
    num_levels = jax.tree.leaves(levels)[0].shape[0]
    observations, env_states = jax.vmap(env.reset)(jax.random.split(key, num_levels), levels)
    return RolloutState(
        env_states=env_states,
        observations=observations,
        resets=jnp.ones(num_levels, bool),
        carry=student.initial_carry(num_levels * env.num_agents),
        running=jax.vmap(lambda _: RunningEpisode.start(env.num_agents))(jnp.arange(num_levels)),
    )


def collect(
    key: jax.Array,
    student: Student,
    parameters: Parameters,
    env: Environment,
    levels: Any,
    state: RolloutState,
    num_steps: int,
    *,
    bootstrap_truncated: bool = False,
    keep: frozenset[str] = frozenset(),
    keep_activations_of: int = 0,
    part: Callable[[Any], Any] = lambda tree: tree,
    num_levels: int | None = None,
) -> tuple[RolloutState, Rollout]:
    """Play ``num_steps`` steps in each environment from ``state``. Consumes ``key``.

    Args:
        key: consumed.
        student: the network.
        parameters: its parameters.
        env: with an agent axis.
        levels: ``[B, ...]``, one an environment, constant.
        state: of `start`, or of an earlier call on the same levels.
        num_steps: ``T``.
        bootstrap_truncated: also evaluate the observation at which a time-out cut an episode off (one more pass of the
            network a step); otherwise ``bootstrap_values`` are 0.
        keep: which of ``log_policy``, ``policy_ensemble``, ``next_observations``, ``novelty``, ``achievements`` and ``info``
            to record, for those that ask for them.
        keep_activations_of: of how many rows, from the first, to record the student's activations, where its learner
            starts; 0 if it is no `RecordingStudent`.
        part: takes from arrays ``[T, B, ...]`` of a batch of which only a part is played here what belongs to that part.
        num_levels: of that whole batch, if it is not ``B``.
    """
    num_levels = num_levels or state.resets.shape[0]
    action_key, env_key = jax.random.split(key)
    uniforms = part(jax.random.uniform(action_key, (num_steps, num_levels, env.num_agents)))
    env_keys = part(jax.random.split(env_key, (num_steps, num_levels, 2)))

    def step(state: RolloutState, randomness: tuple[jax.Array, jax.Array]) -> tuple[RolloutState, Rollout]:
        uniform, keys = randomness
        carry, logits, values, activations = _act_and_record(
            student, parameters, state.carry, state.observations, state.resets, keep_activations_of
        )
        actions = distributions.sample(uniform, logits)
        after, env_states, rewards, terminated, truncated, info = jax.vmap(env.step)(
            keys[:, 0], state.env_states, actions, levels
        )
        ensemble = UNKEPT
        if "policy_ensemble" in keep:
            ensemble = policies(student, parameters, state.carry, state.observations, state.resets)
        bootstrap = jnp.zeros_like(rewards)
        if bootstrap_truncated:
            _, _, final_values = act(student, parameters, carry, after, jnp.zeros_like(truncated))
            bootstrap = jnp.where(truncated[:, None], final_values.mean(axis=-1), 0.0)
        ended = terminated | truncated
        running = jax.vmap(RunningEpisode.add)(state.running, rewards)
        record = Rollout(
            observations=state.observations,
            resets=state.resets,
            actions=actions,
            log_probs=distributions.log_probability(logits, actions),
            values=values,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            bootstrap_values=bootstrap,
            returns=running.episode_return,
            lengths=running.length,
            log_policy=jax.nn.log_softmax(logits) if "log_policy" in keep else UNKEPT,
            policy_ensemble=ensemble,
            next_observations=after if "next_observations" in keep else UNKEPT,
            novelty=_novelty(env, info) if "novelty" in keep else UNKEPT,
            achievements=_achievements(env, info) if "achievements" in keep else UNKEPT,
            present=_present(env, info),
            statistics=_statistics(env, info),
            info=info if "info" in keep else UNKEPT,
            activations=activations,
        )
        first = jax.vmap(env.reset)(keys[:, 1], levels)
        observations, env_states = jax.tree.map(lambda new, old: _where(ended, new, old), first, (after, env_states))
        state = RolloutState(
            env_states, observations, ended, carry, jax.vmap(RunningEpisode.restart_if)(running, ended)
        )
        return state, record

    return jax.lax.scan(step, state, (uniforms, env_keys))


def _present(env: Environment, info: dict[str, jax.Array]) -> Any:
    """Return which agents took part in a step, ``bool[B, N]``, of a world with several that tells, else None."""
    if env.num_agents == 1 or "present" not in info:
        return UNKEPT
    present = info["present"]
    if present.shape[1:] != (env.num_agents,):
        kind = list(present.shape[1:])
        raise UserError(
            f"info['present'] of {type(env).__name__} is {kind}; allowed: bool[{env.num_agents}], one an agent"
        )
    return present


def _novelty(env: Environment, info: dict[str, Any]) -> jax.Array:
    """Return a hash of the state after a step, ``u32[B, 2]``."""
    told = info.get("novelty")
    if not isinstance(told, jax.Array) or told.shape[1:] != (2,) or told.dtype != jnp.uint32:
        found = "missing" if told is None else _kind(told)
        raise UserError(
            f"info['novelty'] of {_name(env)} is {found}; allowed where states are counted (--bonus.feature state):"
            " uint32[2], a hash of the state; else --bonus.feature observation"
        )
    return told


def _achievements(env: Environment, info: dict[str, Any]) -> Flags:
    """Return what a step brought for the first time in its episode, ``bool[B, K]``."""
    told = info.get("achievements")
    if not isinstance(told, jax.Array) or told.ndim != 2 or told.dtype != jnp.bool_:
        found = "missing" if told is None else _kind(told)
        raise UserError(
            f"info['achievements'] of {_name(env)} is {found}; allowed where they are paid for (--bonus achievements):"
            " bool[K], one for each task of the world; of minied's worlds, crafting tells them"
        )
    return Flags.of(told)


def _statistics(env: Environment, info: dict[str, Any]) -> dict[str, jax.Array]:
    """Return what a world says of the episode until this step, by name, ``f32[B]`` each."""
    told = info.get("statistics", {})
    if not isinstance(told, dict):
        raise UserError(f"info['statistics'] of {_name(env)} is {_kind(told)}; allowed: a dict of f32[] by name")
    for name, value in told.items():
        if not isinstance(value, jax.Array) or value.ndim != 1:
            where = f"info['statistics'][{name!r}] of {_name(env)}"
            raise UserError(f"{where} is {_kind(value)}; allowed: f32[], one number an episode")
    return {name: value.astype(jnp.float32) for name, value in told.items()}


def _kind(value: Any) -> str:
    return f"{value.dtype}{list(value.shape[1:])}" if isinstance(value, jax.Array) else type(value).__name__


def _name(env: Environment) -> str:
    return type(getattr(env, "inner", env)).__name__  # of a view with an agent axis, the world's


def act(
    student: Student, parameters: Parameters, carry: Any, observations: Any, resets: jax.Array
) -> tuple[Any, jax.Array, jax.Array]:
    """Return ``(carry, logits f32[B, N, A], values f32[B, N, K])`` for one step's observations ``[B, N, ...]``."""
    return _act_and_record(student, parameters, carry, observations, resets, 0)[:3]


def _act_and_record(
    student: Student, parameters: Parameters, carry: Any, observations: Any, resets: jax.Array, num_rows: int
) -> tuple[Any, jax.Array, jax.Array, Any]:
    """Return what `act` does, and the activations of the first ``num_rows`` rows, ``()`` for none."""
    rows, resets, shape = _rows(observations, resets)
    if num_rows:
        assert isinstance(student, RecordingStudent)
        carry, logits, values, activations = student.record(parameters, carry, rows, resets)
        activations = jax.tree.map(lambda leaf: leaf[0, :num_rows], activations)
    else:
        (carry, logits, values), activations = student.apply(parameters, carry, rows, resets), ()
    return carry, logits[0].reshape(*shape, -1), values[0].reshape(*shape, -1), activations


def policies(student: Student, parameters: Parameters, carry: Any, observations: Any, resets: jax.Array) -> jax.Array:
    """Return the log-probabilities that each policy of a student gives one step's actions, ``f32[B, N, P, A]``.

    The arithmetic is that of `act` on the same arguments, which the compiler does once for both.
    """
    rows, resets, shape = _rows(observations, resets)
    logits = student.policies(parameters, carry, rows, resets)
    return jax.nn.log_softmax(logits[0]).reshape(*shape, *logits.shape[2:])


def _rows(observations: Any, resets: jax.Array) -> tuple[Any, jax.Array, tuple[int, int]]:
    """Return observations ``[B, N, ...]`` as one step of rows ``[1, M, ...]``, resets ``[1, M]``, and ``(B, N)``."""
    num_levels, num_agents = jax.tree.leaves(observations)[0].shape[:2]
    rows = jax.tree.map(lambda leaf: leaf.reshape(1, num_levels * num_agents, *leaf.shape[2:]), observations)
    return rows, jnp.repeat(resets, num_agents)[None], (num_levels, num_agents)


def last_values(student: Student, parameters: Parameters, state: RolloutState) -> jax.Array:
    """Return the values of the observations that a rollout ended before, ``f32[B, N, K]``."""
    return act(student, parameters, state.carry, state.observations, state.resets)[2]


def summarise_rollout(env: Environment, rollout: Rollout) -> EpisodeSummary:
    """Return what finished on each level, ``[B]``."""
    solved = jax.vmap(jax.vmap(env.is_solved))(rollout.returns)
    by_level = jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf, 0, 1),
        (rollout.ended, rollout.returns, rollout.lengths, solved, rollout.present, rollout.statistics),
    )
    return jax.vmap(summarise)(*by_level)


def _where(condition: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Select along the leading axis, for leaves of any rank; typed keys included."""
    if jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
        return jax.vmap(lambda c, n, o: jax.lax.select(c, n, o))(condition, new, old)
    return jnp.where(condition.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
