"""Evaluation: exact results of known policies, and nothing but the first episode of each row."""

import dataclasses
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
from minied.errors import UserError
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
    results = _evaluate(jax.random.key(0), first_only(1), (), corridor(100, 90), starts(80, 2), 1)
    np.testing.assert_array_equal(results.solve_rate, [1, 1])
    np.testing.assert_array_equal(results.mean_length, [80, 2])


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
    np.testing.assert_array_equal(chase.team_returns, [[1, -1], [0, 0]])
    np.testing.assert_array_equal(together.team_returns, [[1], [0]])
    np.testing.assert_array_equal(chase.solve_rate, [0, 0])


# -- more rows than places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [1, 5, 11, 12])
def test_rows_that_wait_for_a_place_are_played_once_each(places):
    # 12 rows of very different lengths, in whatever number of places
    levels = starts(1, 40, 3, 90, 95, 33)
    results = _evaluate_in_places(places, always(1, 2), corridor(100, 90), levels, 2)
    np.testing.assert_array_equal(results.solve_rate, [1, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(results.mean_length, [1, 40, 3, 90, 90, 33])
    np.testing.assert_array_equal(results.mean_return, [1, 1, 1, 1, 0, 1])


@pytest.mark.parametrize("places", [1, 3])
def test_a_row_that_takes_a_place_starts_with_an_empty_memory(places):
    # the policy counts its episodes: what the place saw before its row came must not be among them
    results = _evaluate_in_places(places, first_only(1), corridor(5, 4), starts(1, 3, 4, 2, 4), 1)
    np.testing.assert_array_equal(results.solve_rate, [1, 1, 1, 1, 1])
    np.testing.assert_array_equal(results.mean_length, [1, 3, 4, 2, 4])


def test_memories_of_several_agents_are_emptied_too():
    def policy(
        observation, memory
    ):  # agent 0 goes right; so does agent 1, but in the first episode of its memory it stays
        action = jnp.where((observation["role"] == 0) | (memory[1] != 1), 2, 0)
        return jnp.where(jnp.arange(3)[None] == action[:, None], 0.0, -jnp.inf)

    student = WrittenStudent(policy, lambda observation, memory: jnp.zeros((memory[0].shape[0], 1)))
    levels = MeetingLevel(jnp.asarray([[0, 2], [4, 2], [1, 2], [3, 4], [0, 4]], jnp.int32))
    # the second level is never solved and takes two pieces, while the place beside it changes its row
    results = _evaluate_in_places(2, student, Meeting(max_steps=40), levels, 1)
    np.testing.assert_array_equal(results.solve_rate, [1, 0, 1, 1, 1])
    np.testing.assert_array_equal(results.mean_length, [2, 40, 1, 1, 4])


def test_waiting_rows_draw_random_numbers_of_their_own():
    # 400 rows in 16 places, states with typed keys: each coin is its own, and the lengths do not choose among the rows
    env = with_agent_axis(Lottery(max_steps=70))
    results = _evaluate_in_places(16, always(0, 2), env, jnp.zeros(400), 1)
    solved = np.asarray(results.solve_rate)
    assert abs(solved.mean() - 0.5) < 0.125  # σ = .025
    np.testing.assert_array_equal(results.mean_length, np.where(solved == 1, 1, 70))
    waves = solved.reshape(25, 16)
    assert len(np.unique(waves, axis=0)) > 20  # a repeated key would repeat a wave
    assert np.ptp(waves.mean(axis=0)) < 0.8


def test_members_play_as_if_alone_however_long_the_others_take():
    env, levels = corridor(60, 50), starts(5, 50, 8, 20, 31, 33)

    def tilted():  # the parameters are the logit of walking on
        class Student(WrittenStudent):
            def apply(self, parameters, carry, observation, reset):
                carry, _, values = super().apply(parameters, carry, observation, reset)
                logits = jnp.broadcast_to(jnp.stack([0.0 * parameters, parameters]), (*reset.shape, 2))
                return carry, logits, values

        written = always(0, 2)
        return Student(written.policy, written.value)

    student = tilted()
    play = jax.jit(lambda p: evaluate_levels(jax.random.key(0), student, p, env, levels, 2, 4))
    parameters = jnp.asarray([0.5, 3.0, 90.0])
    together = jax.vmap(play)(parameters)
    for member in range(3):
        alone = play(parameters[member])
        jax.tree.map(lambda a, b, m=member: np.testing.assert_array_equal(a[m], b), together, alone)
    np.testing.assert_array_equal(together.mean_length[2], [5, 50, 8, 20, 31, 33])


def test_a_world_that_overruns_its_horizon_is_given_up_unsolved():
    @dataclasses.dataclass(frozen=True)
    class Endless(Corridor):
        def step(self, key, state, action, level):
            observation, state, reward, terminated, truncated, info = super().step(key, state, action, level)
            return observation, state, reward, terminated, truncated & False, info

    env = with_agent_axis(Endless(length=9, max_steps=40))
    results = _evaluate_in_places(2, always(0, 2), env, starts(3, 4, 5), 1)
    np.testing.assert_array_equal(results.solve_rate, [0, 0, 0])
    np.testing.assert_array_equal(results.mean_length, [0, 0, 0])


@pytest.mark.parametrize("options", [{"attempts": 0}, {"attempts": 1, "rows_at_once": 0}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(UserError, match="allowed: at least 1"):
        evaluate_levels(jax.random.key(0), always(1, 2), (), corridor(), starts(1), **options)


def _evaluate_in_places(places, student, env, levels, attempts):
    return jax.jit(lambda key: evaluate_levels(key, student, (), env, levels, attempts, places))(jax.random.key(0))


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
