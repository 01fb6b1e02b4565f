"""Nobody learns from agents that are not there: from the rollout to a whole run. Letters: ``T`` steps, ``N`` agents."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from spread_runs import WITH_MEMORY, config_of
from tiny_runs import equal, raw
from toy_parties import Party

from minied.experience import advantages_of, batch_of, one_step_errors_of
from minied.rollout import Rollout
from minied.students.ppo import PPOConfig
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.train.program import Program

T, N = 4, 2
THERE = [[1, 1], [1, 0], [1, 0], [1, 1]]


def rollout_of(present, ended=(0, 0, 0, 0), rewards=((1, 1), (1, 2), (1, 4), (1, 1)), values=None, **more):
    """One level of two agents. What is not said counts nothing in these tests."""
    level = lambda rows, kind=jnp.float32: jnp.asarray(rows, kind)[:, None]  # noqa: E731
    values = np.full((T, N), 0.5) if values is None else values
    return Rollout(
        observations=level(np.zeros((T, N, 1))),
        resets=level([1, 0, 0, 0], bool),
        actions=level(np.zeros((T, N)), jnp.int32),
        log_probs=level(np.zeros((T, N))),
        values=level(np.asarray(values)[..., None]),
        rewards=level(rewards),
        terminated=level(ended, bool),
        truncated=level([0] * T, bool),
        bootstrap_values=level(np.zeros((T, N))),
        returns=level(np.zeros((T, N))),
        lengths=level([0] * T, jnp.int32),
        present=None if present is None else level(present, bool),
        **more,
    )


# -- what counts -------------------------------------------------------------------------------------------------------


def test_steps_of_agents_that_were_there_count():
    there = np.asarray(THERE, bool)

    def counts(present):
        rollout = rollout_of(present)
        return batch_of(rollout, rollout.rewards, ()).counts

    assert counts(None) is None
    np.testing.assert_array_equal(counts(there), there)


# -- advantages --------------------------------------------------------------------------------------------------------

_LEARNER = PPOConfig(discount=0.5, gae_lambda=0.5)


def advantages(rollout, last):
    found = advantages_of(_LEARNER, rollout, jnp.asarray(last, jnp.float32)[None, :, None])
    return np.asarray(found)[:, 0]


def test_nothing_is_bootstrapped_from_who_is_away():
    # γ = λ = ½, values ½ where the agent is there, rewards of the second agent 1, 2, 4, 1, and 3 is what its last
    # observation is worth:
    #   t = 3, there:  δ = 1 + ½·3 − ½ = 2                A = 2
    #   t = 2, away:   δ = 4 + ½·½ − 0 = 4.25             A = 4.25 + ¼·2 = 4.75
    #   t = 1, away:   δ = 2 + ½·0 − 0 = 2                A = 2 + ¼·4.75 = 3.1875
    #   t = 0, there:  δ = 1 + ½·0 − ½ = 0.5              A = 0.5 + ¼·3.1875 = 1.296875
    for unlearnt in (0.5, 7.0, np.nan):
        values = np.where(THERE, 0.5, unlearnt)
        found = advantages(rollout_of(THERE, values=values), [3.0, 3.0])
        np.testing.assert_allclose(found[:, 1], [1.296875, 3.1875, 4.75, 2.0])
    # of the first, who is always there, as ever: t = 2: δ = 1 + ½·½ − ½ = 0.75
    np.testing.assert_allclose(found[:, 0], [0.75 + 0.25 * (0.75 + 0.25 * 1.25), 0.75 + 0.25 * 1.25, 1.25, 2.0])
    errors = one_step_errors_of(_LEARNER, rollout_of(THERE, values=values), jnp.full((1, N, 1), 3.0))
    np.testing.assert_allclose(errors[:, 0, 1], [0.5, 2.0, 4.25, 2.0])


def test_neither_after_the_last_step_nor_over_the_end_of_an_episode():
    gone = [[1, 1], [1, 1], [1, 0], [1, 0]]
    found = advantages(rollout_of(gone, values=np.where(gone, 0.5, np.nan)), [3.0, np.nan])
    # t = 3: δ = 1 + 0 − 0;  t = 2: 4 + ¼·1;  t = 1: δ = 2 + ½·0 − ½ = 1.5, A = 1.5 + ¼·4.25
    np.testing.assert_allclose(found[1:, 1], [1.5 + 0.25 * 4.25, 4.25, 1.0])
    # an episode that ends with the rollout: what is said of the next one's first step counts nothing
    found = advantages(rollout_of([[1, 1]] * T, ended=[0, 0, 0, 1]), [np.nan, np.nan])
    np.testing.assert_allclose(found[3], [0.5, 0.5])


# -- runs --------------------------------------------------------------------------------------------------------------

_REPLAY = RobustPrioritizedLevelReplay(
    buffer_size=12, minimum_fill=0.4, replay_probability=1.0, score="parameter_change"
)


@functools.cache
def played(away, replays=False, num_devices=1, num_minibatches=1):
    learner = PPOConfig(learning_rate=0.01, num_epochs=2, num_minibatches=num_minibatches, adam_epsilon=1e-3)
    teacher = {"teacher": _REPLAY} if replays else {}
    config = config_of(env=Party(away=away), network=WITH_MEMORY, ppo=learner, num_devices=num_devices, **teacher)
    program, rows = Program(config), []
    state = program.init()
    for until in (1, 4):
        state, row = program.advance(state, until)
        rows.append(row)
    return state, rows


@pytest.mark.parametrize("replays", [False, True])
def test_what_those_who_are_away_see_changes_no_run_by_a_bit(replays):
    (state, rows), (other, other_rows) = played(0.0, replays), played(float("nan"), replays)
    assert equal(other, state)
    assert equal(other_rows, rows)
    assert rows[-1]["student/first_ratio_error"] < 1e-5
    assert rows[-1]["student/gradient_norm"] > 1e-3


@pytest.mark.parametrize("num_minibatches", [1, 2])
def test_on_two_devices_they_learn_what_they_do_on_one(num_minibatches):
    one, two = (played(float("nan"), num_devices=number, num_minibatches=num_minibatches) for number in (1, 2))
    for a, b in zip(raw(two), raw(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5, equal_nan=True)
