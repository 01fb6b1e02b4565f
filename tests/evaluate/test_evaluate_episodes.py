"""Evaluation: exact results of known policies, and nothing but the first episode of each row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import (
    Corridor,
    CorridorLevel,
    Lottery,
    Meeting,
    MeetingLevel,
    Script,
    ScriptLevel,
    WrittenStudent,
    always,
)

from minied.env import with_agent_axis
from minied.evaluate.episodes import evaluate_levels
from minied.levels.space import Suite
from minied.students.networks.config import NetworkConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig
from minied.train.program import Program

_evaluate = jax.jit(evaluate_levels, static_argnums=(1, 3, 5))


def corridor(length=5, max_steps=4):
    return with_agent_axis(Corridor(length=length, max_steps=max_steps))


def starts(*cells):
    return CorridorLevel(jnp.asarray(cells, jnp.int32))


@pytest.mark.parametrize("attempts", [1, 3])
def test_known_policy_has_its_exact_results(attempts):
    # action 1 walks straight to the goal: starts 1 … 4 are solved in as many steps, start 5 not within 4
    results = _evaluate(jax.random.key(0), always(1, 2), (), corridor(), starts(1, 2, 3, 4, 5), attempts)
    np.testing.assert_array_equal(results.solve_rate, [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(results.mean_length, [1, 2, 3, 4, 4])
    np.testing.assert_array_equal(results.mean_return, [1, 1, 1, 1, 0])


def test_policy_that_never_arrives_runs_to_the_horizon_and_solves_nothing():
    results = _evaluate(jax.random.key(0), always(0, 2), (), corridor(), starts(1, 5), 2)
    np.testing.assert_array_equal(results.solve_rate, [0, 0])
    np.testing.assert_array_equal(results.mean_length, [4, 4])


@pytest.mark.parametrize("horizon", [1, 31, 32, 33, 64, 100])
def test_trap_16_horizon_is_that_of_the_world_however_it_falls_on_the_pieces(horizon):
    results = _evaluate(jax.random.key(0), always(0, 2), (), corridor(5, horizon), starts(5), 1)
    np.testing.assert_array_equal(results.mean_length, [horizon])
    far = _evaluate(jax.random.key(0), always(1, 2), (), corridor(100, horizon), starts(horizon, horizon + 1), 1)
    np.testing.assert_array_equal(far.solve_rate, [1, 0])
    np.testing.assert_array_equal(far.mean_length, [horizon, horizon])


@functools.cache
def first_only(right_episode):
    """Right in one episode of a row, wrong in all others: a memory that counts episodes and is never emptied."""

    def policy(observation, memory):
        action = jnp.where(memory[1] == right_episode, 1, 0)
        return jnp.where(jnp.arange(2)[None] == action[:, None], 0.0, -jnp.inf)

    return WrittenStudent(policy, lambda observation, memory: jnp.zeros((memory[0].shape[0], 1)))


def test_only_the_first_episode_of_each_row_counts():
    # episodes are short, so a piece holds many of them, of which the first alone is solved (or alone is not)
    results = _evaluate(jax.random.key(0), first_only(1), (), corridor(5, 4), starts(1, 3, 4), 2)
    np.testing.assert_array_equal(results.solve_rate, [1, 1, 1])
    np.testing.assert_array_equal(results.mean_length, [1, 3, 4])
    results = _evaluate(jax.random.key(0), first_only(2), (), corridor(5, 4), starts(1, 3, 4), 2)
    np.testing.assert_array_equal(results.solve_rate, [0, 0, 0])
    np.testing.assert_array_equal(results.mean_length, [4, 4, 4])


def test_only_the_first_episode_counts_while_other_rows_still_play_on():
    # row 1 needs 3 pieces; row 0 has ended in the first and plays on: its later, failed episodes change nothing
    results = _evaluate(jax.random.key(0), first_only(1), (), corridor(100, 90), starts(2, 80), 1)
    np.testing.assert_array_equal(results.solve_rate, [1, 1])
    np.testing.assert_array_equal(results.mean_length, [2, 80])


def test_short_episodes_are_not_counted_more_often_than_long_ones():
    # even chances of 1 step (solved) and 31 steps (not): the mean over first episodes is ½ and 16 steps, whereas a mean
    # over all episodes that fit would be far shorter. 2000 draws: σ of the rate 0.011
    env = with_agent_axis(Lottery(max_steps=31))
    results = _evaluate(jax.random.key(0), always(0, 2), (), env, jnp.zeros(2), 1000)
    rate = float(results.solve_rate.mean())
    assert abs(rate - 0.5) < 0.045
    np.testing.assert_allclose(results.mean_length.mean(), 1 * rate + 31 * (1 - rate), rtol=1e-4)
    np.testing.assert_allclose(results.mean_return.mean(), rate, rtol=1e-4)


def test_attempts_of_a_level_are_its_own_rows_and_differ():
    env = with_agent_axis(Lottery(max_steps=2))
    results = _evaluate(jax.random.key(0), always(0, 2), (), env, jnp.zeros(30), 20)
    assert len(np.unique(results.solve_rate)) > 5
    assert np.all(np.isclose(results.solve_rate * 20, np.round(results.solve_rate * 20), atol=1e-4))


def test_undiscounted_return_is_the_sum_of_rewards_of_the_first_episode():
    levels = ScriptLevel(
        jnp.asarray([[1, -3, 5, 0, 0, 0], [2, 2, 2, 2, 2, 2]], jnp.float32),
        jnp.asarray([3, 6]),
        jnp.asarray([True, False]),
    )
    results = _evaluate(jax.random.key(0), always(0, 2), (), with_agent_axis(Script()), levels, 2)
    np.testing.assert_array_equal(results.mean_return, [3, 12])
    np.testing.assert_array_equal(results.mean_length, [3, 6])


def test_several_agents_share_their_episode_and_returns_are_averaged():
    def policy(observation, memory):  # agent 0 goes right, agent 1 stays
        action = jnp.where(observation["role"] == 0, 2, 0)
        return jnp.where(jnp.arange(3)[None] == action[:, None], 0.0, -jnp.inf)

    student = WrittenStudent(policy, lambda observation, memory: jnp.zeros((memory[0].shape[0], 1)))
    levels = MeetingLevel(jnp.asarray([[0, 2], [4, 2]], jnp.int32))
    together = _evaluate(jax.random.key(0), student, (), Meeting(), levels, 2)
    np.testing.assert_array_equal(together.mean_return, [1, 0])
    np.testing.assert_array_equal(together.mean_length, [2, 8])
    np.testing.assert_array_equal(together.solve_rate, [1, 0])
    chase = _evaluate(jax.random.key(0), student, (), Meeting(chase=True), levels, 2)
    np.testing.assert_array_equal(chase.mean_return, [0, 0])  # 1 − 1
    np.testing.assert_array_equal(chase.solve_rate, [0, 0])


def test_program_evaluates_every_member_on_a_suite_of_another_horizon():
    config = TrainConfig(
        env=Corridor(length=6, max_steps=4),
        teacher=DomainRandomization(),
        network=NetworkConfig(memory="none", memory_size=8, head_size=8),
        num_envs=4,
        num_steps=8,
        num_seeds=2,
    )
    program = Program(config)
    state = program.init()
    # member 0 always walks to the goal, member 1 never
    parameters = state.members.student.parameters
    tilt = jnp.asarray([[-50.0, 50.0], [50.0, -50.0]])
    policy = parameters["policy"] | {"bias": tilt}
    state = state.replace(
        members=state.members.replace(student=state.members.student.replace(parameters=parameters | {"policy": policy}))
    )
    suite = Suite("two", Corridor(length=6, max_steps=5), starts(1, 5, 6), ("near", "far", "farther"))
    results = program.evaluate(state, suite, jax.random.key(0), attempts=2)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(results))
    np.testing.assert_array_equal(results.solve_rate, [[1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(results.mean_length, [[1, 5, 5], [5, 5, 5]])
