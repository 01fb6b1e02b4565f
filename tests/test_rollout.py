"""The rollout on worlds and students written down: what is recorded, what restarts, what is remembered."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import (
    Corridor,
    CorridorLevel,
    CorridorWithAxis,
    Lottery,
    Meeting,
    MeetingLevel,
    Script,
    ScriptLevel,
    WrittenStudent,
    always,
)

from minied import rollout as rollouts
from minied.env import with_agent_axis
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig


@functools.partial(jax.jit, static_argnames=("student", "env", "num_steps", "bootstrap_truncated"))
def _collect(key, student, parameters, env, levels, state, num_steps, bootstrap_truncated=False):
    return rollouts.collect(
        key, student, parameters, env, levels, state, num_steps, bootstrap_truncated=bootstrap_truncated
    )


_start = jax.jit(rollouts.start, static_argnums=(1, 2))


def play(env, student, levels, num_steps, *, parameters=(), seed=0, bootstrap_truncated=False):
    state = _start(jax.random.key(seed), student, env, levels)
    return _collect(jax.random.key(seed + 1), student, parameters, env, levels, state, num_steps, bootstrap_truncated)


def corridor_levels(*starts):
    return CorridorLevel(jnp.asarray(starts, jnp.int32))


def script_levels(*levels):
    rewards, lengths, terminates = zip(*levels, strict=True)
    padded = [list(r) + [0.0] * (6 - len(r)) for r in rewards]
    return ScriptLevel(jnp.asarray(padded, jnp.float32), jnp.asarray(lengths, jnp.int32), jnp.asarray(terminates, bool))


@functools.cache
def counting(num_actions=2):
    """Value 0 of head 0: 100 · observation + steps since the memory was emptied; head 1 is one more."""

    def value(observation, memory):
        v = 100.0 * observation[:, 0] + memory[0].astype(jnp.float32)
        return jnp.stack([v, v + 2.0], axis=-1)

    return always(1, num_actions, value)


CORRIDOR = with_agent_axis(Corridor(length=5, max_steps=4))
SCRIPT = with_agent_axis(Script())


def test_start_is_the_first_observation_with_an_empty_memory_and_every_reset_set():
    student = always(1, 2)
    state = _start(jax.random.key(0), student, CORRIDOR, corridor_levels(1, 3, 5))
    np.testing.assert_array_equal(state.observations["distance"], [[1], [3], [5]])
    np.testing.assert_array_equal(state.resets, [True] * 3)
    np.testing.assert_array_equal(state.running.episode_return, np.zeros((3, 1)))
    np.testing.assert_array_equal(state.running.length, np.zeros(3))
    jax.tree.map(np.testing.assert_array_equal, state.carry, student.initial_carry(3))


def test_trap_01_an_ended_episode_restarts_its_own_level():
    _, rollout = play(CORRIDOR, always(1, 2), corridor_levels(1, 2, 3), 7)
    np.testing.assert_array_equal(
        rollout.observations["distance"][..., 0].T, [[1] * 7, [2, 1, 2, 1, 2, 1, 2], [3, 2, 1, 3, 2, 1, 3]]
    )
    np.testing.assert_array_equal(rollout.terminated.T[2], [0, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(rollout.resets.T[2], [1, 0, 0, 1, 0, 0, 1])
    assert not np.any(rollout.truncated)
    np.testing.assert_array_equal(rollout.rewards[..., 0].T[2], [0, 0, 1, 0, 0, 1, 0])


def test_time_out_truncates_and_restarts_the_level():
    _, rollout = play(CORRIDOR, always(0, 2), corridor_levels(2), 9)  # walks away; max_steps is 4
    np.testing.assert_array_equal(rollout.truncated[:, 0], [0, 0, 0, 1, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(rollout.observations["distance"][:, 0, 0], [2, 3, 4, 5, 2, 3, 4, 5, 2])
    np.testing.assert_array_equal(rollout.ended, rollout.truncated)
    assert not np.any(rollout.terminated)


def test_running_returns_and_lengths_count_the_present_step_and_start_again():
    levels = script_levels(([1, 2, 4], 3, True), ([-1, 5], 2, False))
    _, rollout = play(SCRIPT, always(0, 2), levels, 7)
    np.testing.assert_array_equal(rollout.returns[..., 0].T, [[1, 3, 7, 1, 3, 7, 1], [-1, 4, -1, 4, -1, 4, -1]])
    np.testing.assert_array_equal(rollout.lengths.T, [[1, 2, 3, 1, 2, 3, 1], [1, 2, 1, 2, 1, 2, 1]])


def test_trap_05_memory_is_emptied_before_the_first_step_of_every_episode():
    levels = script_levels(([0] * 3, 3, True), ([0] * 2, 2, False))
    _, rollout = play(SCRIPT, counting(), levels, 6)
    # value = 100 · time + steps since emptied, 1 at each first step
    np.testing.assert_array_equal(rollout.values[..., 0, 0].T, [[1, 102, 203, 1, 102, 203], [1, 102, 1, 102, 1, 102]])
    np.testing.assert_array_equal(rollout.values[..., 1] - rollout.values[..., 0], np.full((6, 2, 1), 2.0))


def test_trap_05_a_new_start_carries_no_memory_over():
    levels = script_levels(([0] * 6, 6, True))
    state, _ = play(SCRIPT, counting(), levels, 4)
    assert int(state.carry[0][0]) == 4
    _, again = play(SCRIPT, counting(), levels, 2)
    assert float(again.values[0, 0, 0, 0]) == 1.0


def test_trap_19_bootstrap_is_the_value_of_the_true_last_observation_and_only_where_truncated():
    levels = script_levels(([0] * 3, 3, False), ([0] * 3, 3, True), ([0] * 2, 2, False))
    _, rollout = play(SCRIPT, counting(), levels, 6, bootstrap_truncated=True)
    # After 3 steps the true observation is 3 (the next episode's is 0), read by a memory of 3 + 1 steps: heads 304 and
    # 306, mean 305. After 2 steps: 203 and 205, mean 204.
    np.testing.assert_array_equal(
        rollout.bootstrap_values[..., 0].T, [[0, 0, 305, 0, 0, 305], [0] * 6, [0, 204, 0, 204, 0, 204]]
    )
    _, without = play(SCRIPT, counting(), levels, 6)
    np.testing.assert_array_equal(without.bootstrap_values, np.zeros((6, 3, 1)))
    # looking at the last observation disturbs nothing else
    jax.tree.map(
        np.testing.assert_array_equal, without, rollout.replace(bootstrap_values=jnp.zeros_like(rollout.rewards))
    )


def test_next_observations_are_the_true_ones_also_at_an_end():
    levels = script_levels(([0] * 3, 3, False), ([0] * 2, 2, True))
    student = counting()
    state = _start(jax.random.key(0), student, SCRIPT, levels)
    keep = frozenset({"next_observations"})
    _, rollout = rollouts.collect(jax.random.key(1), student, (), SCRIPT, levels, state, 6, keep=keep)
    np.testing.assert_array_equal(rollout.observations[:, :, 0, 0].T, [[0, 1, 2, 0, 1, 2], [0, 1, 0, 1, 0, 1]])
    np.testing.assert_array_equal(rollout.next_observations[:, :, 0, 0].T, [[1, 2, 3, 1, 2, 3], [1, 2, 1, 2, 1, 2]])
    assert play(SCRIPT, student, levels, 6)[1].next_observations is None


def test_last_values_are_of_the_observation_after_the_last_step():
    student = counting()
    levels = script_levels(([0] * 6, 6, True), ([0] * 4, 4, True))
    state, _ = play(SCRIPT, student, levels, 4)
    # level 0 has seen 4 steps: 100 · 4 + 5; level 1 has just restarted: 100 · 0 + 1, with an empty memory
    np.testing.assert_array_equal(rollouts.last_values(student, (), state)[..., 0], [[405.0], [1.0]])


def test_two_pieces_are_one_run_when_nothing_is_random():
    levels = script_levels(([1, 2, 3, 4, 5], 5, False), ([7, 8, 9], 3, True))
    student = counting()
    end, whole = play(SCRIPT, student, levels, 9, bootstrap_truncated=True)
    state, first = play(SCRIPT, student, levels, 4, bootstrap_truncated=True)
    state, second = _collect(jax.random.key(5), student, (), SCRIPT, levels, state, 5, True)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    jax.tree.map(np.testing.assert_array_equal, state, end)


def test_recorded_log_probability_and_values_are_those_of_the_policy_that_acted():
    student = ActorCritic.of(CORRIDOR, NetworkConfig(memory="gru", memory_size=6, head_size=5, embedding_size=3))
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(student.init, jax.random.key(0))
    parameters = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), shapes)
    _, rollout = play(CORRIDOR, student, corridor_levels(1, 4, 5), 10, parameters=parameters)
    rows = lambda leaf: leaf.reshape(10, 3, *leaf.shape[3:])  # noqa: E731
    _, logits, values = jax.jit(student.apply)(
        parameters, student.initial_carry(3), jax.tree.map(rows, rollout.observations), rollout.resets
    )
    log_p = np.asarray(jax.nn.log_softmax(logits))
    actions = rows(rollout.actions)
    t, m = np.indices(actions.shape)
    np.testing.assert_allclose(rows(rollout.log_probs), log_p[t, m, actions], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows(rollout.values), values, rtol=1e-4, atol=1e-5)
    assert 0 < np.mean(actions) < 1


def test_actions_follow_the_policy():
    def policy(observation, memory):  # action 1 with probability ¾
        return jnp.broadcast_to(jnp.log(jnp.asarray([1.0, 3.0])), (memory[0].shape[0], 2))

    student = WrittenStudent(policy, lambda observation, memory: jnp.zeros((memory[0].shape[0], 1)))
    _, rollout = play(SCRIPT, student, script_levels(*[([0] * 6, 6, True)] * 40), 100)
    # 4000 draws: the standard deviation of the mean is √(3/16/4000) = 0.0068
    assert abs(np.mean(rollout.actions) - 0.75) < 4 * 0.0068
    # draws of different steps and of different environments are independent
    flat = np.asarray(rollout.actions[..., 0], np.float64)
    assert abs(np.corrcoef(flat[:-1].ravel(), flat[1:].ravel())[0, 1]) < 0.07
    assert abs(np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1]) < 0.07


def test_episodes_and_environments_have_keys_of_their_own_and_typed_keys_may_live_in_a_state():
    env = with_agent_axis(Lottery(max_steps=3))
    end, rollout = play(env, always(0, 2), jnp.zeros(200), 30)
    first = np.asarray(rollout.observations[0, :, 0])
    assert 70 < first.sum() < 130  # long or short with even chances: 200 draws, σ = 7
    later = np.asarray(rollout.observations[..., 0])[np.asarray(rollout.resets)]
    assert 0.4 < later.mean() < 0.6
    assert len(np.unique(jax.random.key_data(end.env_states.key), axis=0)) == 200


def test_one_agent_without_an_axis_equals_the_same_world_with_the_axis_written():
    levels = corridor_levels(1, 3, 5)
    a = play(CORRIDOR, _mixed(), levels, 20, bootstrap_truncated=True)
    b = play(CorridorWithAxis(length=5, max_steps=4), _mixed(), levels, 20, bootstrap_truncated=True)
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert 0 < np.mean(a[1].actions) < 1
    summaries = [
        rollouts.summarise_rollout(env, x[1])
        for env, x in ((CORRIDOR, a), (CorridorWithAxis(length=5, max_steps=4), b))
    ]
    jax.tree.map(np.testing.assert_array_equal, *summaries)


@functools.cache
def _mixed():
    def policy(observation, memory):
        tilt = observation["distance"].astype(jnp.float32) * 0.3
        return jnp.stack([jnp.zeros_like(tilt), tilt], axis=-1)

    return WrittenStudent(policy, lambda observation, memory: observation["distance"].astype(jnp.float32)[:, None])


def test_two_agents_swapped_are_the_same_play_swapped():
    def policy(observation, memory):  # towards the other: 2 is right, 1 is left
        right = observation["relative"][:, 0] > 0
        index = jnp.where(right, 2, 1)
        return jnp.where(jnp.arange(3)[None] == index[:, None], 0.0, -jnp.inf)

    def value(observation, memory):
        return observation["relative"] + memory[0].astype(jnp.float32)[:, None]

    student = WrittenStudent(policy, value)
    env = Meeting(length=9, shows_role=False)
    positions = jnp.asarray([[0, 7], [2, 3], [8, 1]], jnp.int32)
    end, one = play(env, student, MeetingLevel(positions), 12, bootstrap_truncated=True)
    end_swapped, two = play(env, student, MeetingLevel(positions[:, ::-1]), 12, bootstrap_truncated=True)
    per_agent = ("observations", "actions", "log_probs", "values", "rewards", "bootstrap_values", "returns")
    for name in per_agent:
        swapped = jax.tree.map(lambda leaf: leaf[:, :, ::-1], getattr(two, name))
        jax.tree.map(np.testing.assert_array_equal, getattr(one, name), swapped)
    for name in ("resets", "terminated", "truncated", "lengths"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert np.any(one.terminated)
    np.testing.assert_array_equal(end.running.length, end_swapped.running.length)


def test_rows_of_the_network_are_environment_major():
    """Row b·N + n is agent n of environment b: each agent's value comes from its own observation."""
    student = WrittenStudent(
        lambda observation, memory: jnp.zeros((memory[0].shape[0], 3)),
        lambda observation, memory: observation["position"].astype(jnp.float32)[:, None],
    )
    levels = MeetingLevel(jnp.asarray([[0, 7], [2, 3], [8, 1]], jnp.int32))
    _, rollout = play(Meeting(length=9), student, levels, 3)
    np.testing.assert_array_equal(rollout.values[0, :, :, 0], [[0, 7], [2, 3], [8, 1]])
    np.testing.assert_array_equal(rollout.values[..., 0], rollout.observations["position"])


def test_each_agent_is_paid_its_own_reward():
    def policy(observation, memory):
        return jnp.where(jnp.arange(3)[None] == jnp.where(observation["role"] == 0, 2, 0)[:, None], 0.0, -jnp.inf)

    student = WrittenStudent(policy, lambda observation, memory: jnp.zeros((memory[0].shape[0], 1)))
    _, rollout = play(Meeting(chase=True), student, MeetingLevel(jnp.asarray([[0, 2]], jnp.int32)), 2)
    np.testing.assert_array_equal(rollout.rewards[:, 0], [[0, 0], [1, -1]])
    np.testing.assert_array_equal(rollout.returns[1, 0], [1, -1])


def test_summary_of_a_rollout_is_per_level():
    levels = corridor_levels(1, 3, 5)
    _, rollout = play(CORRIDOR, always(1, 2), levels, 7)
    # starts 1, 3 are solved in as many steps: 7 and 2 episodes; start 5 is cut off after 4 steps, once
    summary = rollouts.summarise_rollout(CORRIDOR, rollout)
    np.testing.assert_array_equal(summary.num_finished, [7, 2, 1])
    np.testing.assert_array_equal(summary.num_solved, [7, 2, 0])
    np.testing.assert_array_equal(summary.mean_length, [1, 3, 4])
    np.testing.assert_array_equal(summary.max_return, [1, 1, 0])
    np.testing.assert_array_equal(summary.mean_return, [1, 1, 0])


@pytest.mark.parametrize("num_steps", [1, 2])
def test_short_rollouts_finish_nothing_and_say_so(num_steps):
    _, rollout = play(CORRIDOR, always(1, 2), corridor_levels(3, 4), num_steps)
    summary = rollouts.summarise_rollout(CORRIDOR, rollout)
    np.testing.assert_array_equal(summary.valid, [False, False])


def test_jit_is_no_jit():
    levels = script_levels(([1, 2], 2, False))
    with jax.disable_jit():
        state = rollouts.start(jax.random.key(0), counting(), SCRIPT, levels)
        _, slow = rollouts.collect(
            jax.random.key(1), counting(), (), SCRIPT, levels, state, 3, bootstrap_truncated=True
        )
    _, fast = play(SCRIPT, counting(), levels, 3, bootstrap_truncated=True)
    jax.tree.map(np.testing.assert_array_equal, slow, fast)
