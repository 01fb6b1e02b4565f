"""The contract of a world, and the agent axis that nobody with one agent has to write."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import Corridor, CorridorLevel, Meeting, MeetingLevel

from minied.env import with_agent_axis
from minied.errors import UserError


def test_single_agent_world_gains_an_axis_of_one_and_nothing_else():
    plain, viewed = Corridor(), with_agent_axis(Corridor())
    level, key = CorridorLevel(jnp.int32(2)), jax.random.key(0)
    observation, state = plain.reset(key, level)
    observation_n, state_n = viewed.reset(key, level)
    assert observation_n["distance"].shape == (1,)
    jax.tree.map(np.testing.assert_array_equal, state, state_n)
    for action in (1, 1):
        observation, state, reward, terminated, truncated, _ = plain.step(key, state, jnp.int32(action), level)
        observation_n, state_n, reward_n, terminated_n, truncated_n, _ = viewed.step(
            key, state_n, jnp.asarray([action], jnp.int32), level
        )
        np.testing.assert_array_equal(observation_n["distance"], [observation["distance"]])
        np.testing.assert_array_equal(reward_n, [reward])
        assert (terminated_n.shape, truncated_n.shape) == ((), ())
        assert (bool(terminated), bool(truncated)) == (bool(terminated_n), bool(truncated_n))
        jax.tree.map(np.testing.assert_array_equal, state, state_n)
    assert bool(terminated_n)


def test_view_offers_what_the_world_offers():
    plain, viewed = Corridor(length=4, max_steps=7), with_agent_axis(Corridor(length=4, max_steps=7))
    assert viewed.num_agents == 1
    assert viewed.teams == (0,)
    for name in ("max_steps", "action_space", "observation_space", "level_space"):
        assert getattr(viewed, name) == getattr(plain, name)


def test_view_is_made_once_and_worlds_with_several_agents_are_left_alone():
    viewed = with_agent_axis(Corridor())
    assert with_agent_axis(viewed) is viewed
    meeting = Meeting()
    assert with_agent_axis(meeting) is meeting


def test_equal_worlds_are_equal_and_hash_alike_so_that_they_share_a_program():
    assert with_agent_axis(Corridor(length=3)) == with_agent_axis(Corridor(length=3))
    assert hash(with_agent_axis(Corridor(length=3))) == hash(with_agent_axis(Corridor(length=3)))
    assert with_agent_axis(Corridor(length=3)) != with_agent_axis(Corridor(length=4))


def test_world_without_agents_is_refused_in_one_line():
    @dataclasses.dataclass(frozen=True)
    class Nobody(Corridor):
        num_agents = 0

    with pytest.raises(UserError, match=r"num_agents of Nobody is 0; allowed: at least 1"):
        with_agent_axis(Nobody())


@pytest.mark.parametrize(("value", "solved"), [(1.0, True), (0.01, True), (0.0, False), (-1.0, False)])
def test_solved_is_a_positive_return(value, solved):
    assert bool(Corridor().is_solved(jnp.float32(value))) is solved
    assert bool(with_agent_axis(Corridor()).is_solved(jnp.asarray([value], jnp.float32))) is solved


def test_with_several_agents_solved_is_a_positive_mean():
    assert bool(Meeting().is_solved(jnp.asarray([2.0, -1.0])))
    assert not bool(Meeting().is_solved(jnp.asarray([1.0, -1.0])))


def test_worlds_own_rule_of_solving_is_kept_by_the_view():
    @dataclasses.dataclass(frozen=True)
    class Strict(Corridor):
        def is_solved(self, episode_return):
            assert episode_return.shape == ()
            return episode_return > 0.5

    assert not bool(with_agent_axis(Strict()).is_solved(jnp.asarray([0.4])))
    assert bool(with_agent_axis(Strict()).is_solved(jnp.asarray([0.6])))


def test_teams_default_to_one_shared_team():
    assert Meeting().teams == (0, 0)
    assert Meeting(chase=True).teams == (0, 1)


def test_several_agents_step_with_their_own_axis():
    level = MeetingLevel(jnp.asarray([0, 3], jnp.int32))
    env = Meeting()
    observation, state = env.reset(jax.random.key(0), level)
    assert observation["role"].shape == (2,)
    _, _, reward, terminated, _, _ = env.step(jax.random.key(0), state, jnp.asarray([2, 1], jnp.int32), level)
    assert reward.shape == (2,)
    assert terminated.shape == ()
