"""Worlds of minied as PettingZoo's: against PettingZoo's own tests, against play in minied, and who is not there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import Corridor, Meeting, MeetingLevel

from minied.adapters.base import quiet
from minied.adapters.pettingzoo import agent_names, as_parallel_env
from minied.errors import UserError
from minied.spaces import Box, Dict
from minied_envs.hide_and_seek import HideAndSeek

with quiet():  # PettingZoo warns of itself
    from pettingzoo import ParallelEnv
    from pettingzoo.test import parallel_api_test, parallel_seed_test

STAY, LEFT, RIGHT = range(3)
FIRST, SECOND = "team_0_agent_0", "team_0_agent_1"


def at(*positions):
    return MeetingLevel(np.asarray(positions, np.int32))


@dataclasses.dataclass(frozen=True)
class Crowd(Meeting):
    """A meeting at which the second agent is not, if it starts at 0, and from the third step on. It has a hidden part."""

    @property
    def observation_space(self):
        return Dict((("relative", Box(-1.0, 1.0, (1,))), ("hint", Box(0.0, 9.0, ()))), privileged=("hint",))

    def step(self, key, state, action, level):
        observation, state, reward, terminated, truncated, _ = super().step(key, state, action, level)
        present = (level.positions > 0) & ((jnp.arange(2) == 0) | (state.time < 3))
        info = {
            "present": present,
            "statistics": {"action": action[1].astype(jnp.float32), "none": jnp.float32(jnp.nan)},
        }
        return observation, state, reward, terminated, truncated, info

    def _observe(self, state):
        return {"relative": super()._observe(state)["relative"], "hint": state.positions.astype(jnp.float32)}


# -- PettingZoo's own judgement ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [Meeting(), Meeting(chase=True)], ids=["together", "chase"])
def test_pettingzoo_finds_nothing_to_object_to(world):
    parallel_api_test(as_parallel_env(world), num_cycles=30)  # warnings are errors here
    parallel_seed_test(lambda: as_parallel_env(world), num_cycles=30)


@pytest.fixture(scope="module")
def hide_and_seek():
    return HideAndSeek(height=7, width=7, max_hiders=1, max_seekers=1, max_boxes=1, max_ramps=0, max_steps=6)


def test_hide_and_seek_passes_too(hide_and_seek):
    env = as_parallel_env(hide_and_seek, render_mode="rgb_array")
    assert env.render() is None
    parallel_api_test(env, num_cycles=30)
    parallel_seed_test(lambda: as_parallel_env(hide_and_seek), num_cycles=30)
    observations, _ = env.reset(seed=0)
    assert all(observations[agent] in env.observation_space(agent) for agent in env.agents)
    assert env.render().dtype == np.uint8
    assert env.metadata["name"] == "hide_and_seek"
    names = set(env.observation_space("team_1_agent_0").spaces)
    assert set(hide_and_seek.observation_space.spaces) == names
    agents = observations["team_0_agent_0"]["agents"]
    assert not agents["features"][agents["visible"] == 0].any()


def test_agents_are_named_by_teams_in_the_order_of_the_axis():
    world = HideAndSeek(max_hiders=2, max_seekers=1)
    assert agent_names(world) == ("team_0_agent_0", "team_0_agent_1", "team_1_agent_0")
    assert agent_names(Corridor()) == ("team_0_agent_0",)
    assert agent_names(Meeting(chase=True)) == ("team_0_agent_0", "team_1_agent_0")
    env = as_parallel_env(Meeting())
    assert isinstance(env, ParallelEnv)
    assert (env.possible_agents, env.agents) == ([FIRST, SECOND], [])
    assert env.action_space(FIRST) is not env.action_space(SECOND)


# -- against minied ----------------------------------------------------------------------------------------------------


def test_it_plays_what_minied_plays_with_the_same_keys():
    world, seed = Meeting(length=9, max_steps=3), 5
    env = as_parallel_env(world)
    step, reset, sample = map(jax.jit, (world.step, world.reset, world.level_space.sample))
    key = jax.random.key(seed)
    for episode in range(3):
        seen, infos = env.reset(seed=seed if episode == 0 else None)
        key, level_key, reset_key = jax.random.split(key, 3)
        level = sample(level_key)
        observation, state = reset(reset_key, level)
        while env.agents:
            for index, agent in enumerate(env.possible_agents):
                assert jax.tree.all(jax.tree.map(lambda mine, all, i=index: mine == all[i], seen[agent], observation))
            key, step_key = jax.random.split(key)
            actions = [RIGHT, LEFT]
            seen, rewards, over, late, infos = env.step(dict(zip([FIRST, SECOND], actions, strict=True)))
            observation, state, reward, terminated, truncated, _ = step(step_key, state, jnp.asarray(actions), level)
            assert list(rewards.values()) == reward.tolist()
            assert (set(over.values()), set(late.values())) == ({bool(terminated)}, {bool(truncated)})
        assert infos[FIRST] == {"level": -1, "present": True, "solved": reward.sum() > 0}
        assert env.step({}) == ({}, {}, {}, {}, {})


def test_a_meeting_by_hand():
    """In a chase the first catches the second, from 1 and 4 on a line of 5."""
    env = as_parallel_env(Meeting(chase=True), levels=at([1, 4], [0, 3]))
    hunter, hunted = env.possible_agents
    observations, infos = env.reset()
    assert [observations[each]["position"] for each in (hunter, hunted)] == [1, 4]
    assert infos[hunted] == {"level": 0, "present": True}
    observations, *_ = env.step({hunted: LEFT, hunter: STAY})  # in any order
    assert [observations[each]["position"] for each in (hunter, hunted)] == [1, 3]
    env.step({hunter: RIGHT, hunted: STAY})
    _, rewards, over, late, infos = env.step({hunter: RIGHT, hunted: STAY})
    assert (rewards, env.agents) == ({hunter: 1.0, hunted: -1.0}, [])
    assert (over, late) == ({hunter: True, hunted: True}, {hunter: False, hunted: False})
    assert infos[hunter]["solved"] is False  # the mean of 1 and -1 is not positive
    assert env.reset()[0][hunter]["position"] == 0  # the next level
    assert env.reset()[0][hunter]["position"] == 1  # and the first again
    assert env.reset(options={"levels": at([2, 3]), "more": 1})[0][hunter]["position"] == 2


def test_a_world_of_one_agent_is_one_too():
    env = as_parallel_env(Corridor(length=2))
    parallel_api_test(env, num_cycles=20)
    env.reset(seed=0)
    while env.agents:
        *_, infos = env.step({FIRST: 1})
    assert infos[FIRST]["solved"] is True


# -- who is not there --------------------------------------------------------------------------------------------------


def test_an_agent_that_a_level_does_not_have_is_not_among_the_agents():
    env = as_parallel_env(Crowd(), levels=at([2, 0], [1, 4]))
    observations, infos = env.reset()
    assert env.agents == list(observations) == list(infos) == [FIRST]
    told = env.step({FIRST: STAY})
    assert [list(each) for each in told] == [[FIRST]] * 5
    assert told[4][FIRST]["statistics"] == {"action": 0.0}  # of who is not there; what is not defined is not told
    assert env.reset()[1].keys() == {FIRST, SECOND}
    env.step({FIRST: STAY, SECOND: STAY})
    assert env.step({FIRST: STAY, SECOND: STAY})[4][SECOND]["present"] is True
    told = env.step({FIRST: STAY, SECOND: STAY})
    assert told[4][SECOND]["present"] is False  # away, and still asked
    assert told[4][FIRST]["statistics"] is not told[4][SECOND]["statistics"]  # what one changes the other does not see
    assert env.agents == [FIRST, SECOND]


def test_what_is_privileged_is_told_beside_the_observation():
    env = as_parallel_env(Crowd(), levels=at([1, 4]))
    observations, infos = env.reset()
    assert set(observations[FIRST]) == {"relative"}
    assert infos[SECOND]["privileged"] == {"hint": 4.0}


def test_what_the_caller_holds_is_the_caller_s():
    env = as_parallel_env(Meeting(), levels=at([0, 4]))
    observations, _ = env.reset()
    observations[FIRST]["relative"][:] = 9.0
    kept, *_ = env.step({FIRST: STAY, SECOND: LEFT})
    before = {agent: value["relative"].copy() for agent, value in kept.items()}
    env.step({FIRST: RIGHT, SECOND: LEFT})
    assert {agent: value["relative"].tolist() for agent, value in kept.items()} == {
        agent: value.tolist() for agent, value in before.items()
    }
    assert before[FIRST] == np.float32(0.6)


# -- what is refused ---------------------------------------------------------------------------------------------------


def stepped(actions):
    env = as_parallel_env(Meeting())
    env.reset(seed=0)
    return env.step(actions)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stepped({FIRST: 0}), "actions are of ['team_0_agent_0']; allowed: one of each of ['team_0_agent_0', "),
        (lambda: stepped({FIRST: 0, SECOND: 0, "third": 0}), "actions are of ['team_0_agent_0', 'team_0_agent_1', 'third']"),
        (lambda: stepped({FIRST: 0, SECOND: 3}), "action of team_0_agent_1 is 3; allowed: integers [], from 0 and below 3"),
        (lambda: as_parallel_env(Meeting(), render_mode="rgb_array"), "unknown render_mode of Meeting 'rgb_array'"),
        (lambda: as_parallel_env(Meeting(), levels="all"), "unknown suite 'all'"),
        (lambda: as_parallel_env(Meeting(), levels=at([1])), "levels is a MeetingLevel of shapes [(1, 1)]; allowed"),
        (lambda: as_parallel_env(Meeting()).reset(seed=-1), "seed is -1; allowed: 0 to 4294967295"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(call, says):
    with pytest.raises(UserError) as error:
        call()
    assert says in str(error.value)
