"""Worlds as vector environments of Gymnasium: its own judgement, equality with minied, seeds and memory."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_worlds
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from toy_worlds import Corridor, CorridorLevel, CountingCorridor, Lottery, Script

from minied.adapters import gymnasium as adapter
from minied.adapters.gymnasium import as_env, as_vector_env
from minied.spaces import Box, Dict, Discrete
from minied_envs.petri import Corridor as PetriCorridor

SEED = 7


def same(one, other):
    """Whether two nests hold the same numbers (arrays of objects by element), and have the same keys."""
    if isinstance(one, dict) or isinstance(other, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype == object and one.shape:
        return one.shape == other.shape and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one.shape == other.shape and np.array_equal(one, other)


def same_step(one, other):
    return all(map(same, one, other))


@dataclasses.dataclass(frozen=True)
class Telling(Lottery):
    """A lottery with an info of every kind, also nested, whose observation has a part that no policy reads."""

    max_steps: int = 3

    @property
    def observation_space(self):
        return Dict((("long", Discrete(2)), ("hint", Box(0.0, 9.0, (2,)))), privileged=("hint",))

    def reset(self, key, level):
        observation, state = super().reset(key, level)
        return {"long": observation, "hint": jnp.full(2, 5.0)}, state

    def step(self, key, state, action, level):
        observation, state, *rest = super().step(key, state, action, level)
        info = {"statistics": {"time": state.time.astype(jnp.float32), "draw": jax.random.uniform(key)}}
        info["statistics"]["odd"] = jnp.where(state.time % 2 == 1, 1.0, jnp.nan)  # not defined at each second step
        info["novelty"] = jnp.stack([state.time, action]).astype(jnp.uint32)
        time = state.time.astype(jnp.float32)
        return {"long": observation, "hint": jnp.stack([time, time])}, state, *rest[:-1], info


def test_gymnasium_finds_nothing_to_object_to():
    adapter.register()
    options = {"height": 5, "width": 5, "levels": {"num_walls": 5}}
    check_env(
        gymnasium.make("minied/maze-v0", options=options, render_mode="rgb_array").unwrapped
    )  # warnings are errors


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_vector_is_what_gymnasium_makes_of_single_environments(mode):
    """Observations, rewards, ends and all of `info`, over starts and ends, in both modes of Gymnasium's own vector."""
    world, number = Telling(), 4
    ours = as_vector_env(world, number, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: as_env(world)] * number, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(ours, space) == getattr(theirs, space)
    assert same(ours.reset(seed=SEED), theirs.reset(seed=SEED))
    actions, ends = np.random.default_rng(0), np.zeros(2)
    for _ in range(12):
        action = actions.integers(2, size=number)
        one, other = ours.step(action), theirs.step(action)
        for mine, gymnasiums in zip(one, other, strict=True):
            assert same(mine, gymnasiums)
        assert one[0] in ours.observation_space
        ends += np.array([np.sum(one[2]), np.sum(one[3])])
    assert min(ends) > 1  # of both kinds
    assert same(ours.reset(), theirs.reset())  # goes on with the keys


def test_gymnasium_records_the_returns_and_lengths_of_episodes():
    """In its own mode; of SameStep gymnasium 1.3 begins an episode a step late, also with its own vector."""
    env = RecordEpisodeStatistics(as_vector_env(Corridor(3, 4), 2, levels=starts(1, 3)))
    env.reset(seed=SEED)
    found = []
    for _ in range(10):
        *_, infos = env.step(np.ones(2, int))
        for index in np.flatnonzero(infos.get("_episode", [])):
            found.append((int(index), float(infos["episode"]["r"][index]), int(infos["episode"]["l"][index])))
    assert {(0, 1.0, 1), (1, 1.0, 3)} == set(found)


def test_a_vector_plays_what_minied_plays_with_the_same_keys_and_levels():
    """Lottery: how long an episode is depends on the key of its reset alone, which the state keeps a part of."""
    world, number, steps = Lottery(max_steps=4), 3, 12
    env = as_vector_env(world, number, autoreset_mode="SameStep")
    observations, _ = env.reset(seed=SEED)
    played = [env.step(np.zeros(number, int)) for _ in range(steps)]
    step, reset, sample = map(jax.jit, (world.step, world.reset, world.level_space.sample))
    for i in range(number):
        key, level_key, reset_key = jax.random.split(jax.random.key(SEED + i), 3)
        level = sample(level_key)
        observation, state = reset(reset_key, level)
        assert observations[i] == observation
        for seen, rewards, terminated, truncated, infos in played:
            key, step_key = jax.random.split(key)
            observation, state, reward, over, late, _ = step(step_key, state, jnp.int32(0), level)
            assert (rewards[i], terminated[i], truncated[i]) == (reward, over, late)
            if over or late:
                assert infos["final_obs"][i] == observation
                assert infos["final_info"]["solved"][i] == (reward > 0)
                key, level_key, reset_key = jax.random.split(key, 3)
                level = sample(level_key)
                observation, state = reset(reset_key, level)
            assert seen[i] == observation


def starts(*cells):
    return CorridorLevel(np.asarray(cells, np.int32))


def told(step):
    """What a step of two corridors gave, as lists, without info."""
    observations, rewards, terminated, truncated, _ = step
    return [each.tolist() for each in (observations["distance"], rewards, terminated, truncated)]


FORWARD, BACK = 1, 0


def test_next_step_begins_the_next_episode_a_step_later_whatever_the_action():
    env = as_vector_env(Corridor(length=3, max_steps=2), 2, levels=starts(1, 2, 3))
    observations, infos = env.reset()
    assert observations["distance"].tolist() == [1, 2]
    assert infos["level"].tolist() == [0, 1]
    # Environment 0 is at the goal; it still shows the last observation.
    assert told(last := env.step([FORWARD, BACK])) == [[0, 3], [1, 0], [True, False], [False, False]]
    assert last[4]["solved"].tolist() == [True, False]
    assert last[4]["_solved"].tolist() == [True, False]
    # It begins anew, on level 0 + 2, for nothing; environment 1 runs out of time.
    assert told(last := env.step([FORWARD, FORWARD])) == [[3, 2], [0, 0], [False, False], [False, True]]
    assert last[4]["level"].tolist() == [2, 1]
    assert last[4]["solved"].tolist() == [False, False]
    assert last[4]["_solved"].tolist() == [False, True]
    # Environment 1 begins anew on level 1 + 2, of three levels the first.
    assert told(last := env.step([FORWARD, FORWARD])) == [[2, 1], [0, 0], [False, False], [False, False]]
    assert last[4]["level"].tolist() == [2, 0]
    assert "_solved" not in last[4]
    assert told(env.step([FORWARD, FORWARD])) == [[1, 0], [0, 1], [False, True], [True, False]]


def test_same_step_shows_the_next_episode_and_keeps_the_last_observation():
    env = as_vector_env(Corridor(length=3, max_steps=2), 2, levels=starts(1, 2, 3), autoreset_mode="SameStep")
    env.reset()
    assert told(last := env.step([FORWARD, BACK])) == [[3, 3], [1, 0], [True, False], [False, False]]
    assert last[4]["final_obs"].tolist() == [{"distance": 0}, None]
    assert last[4]["_final_obs"].tolist() == last[4]["_final_info"].tolist() == [True, False]
    assert last[4]["final_info"]["level"].tolist() == [0, 0]  # the second is masked
    assert last[4]["final_info"]["_level"].tolist() == [True, False]
    assert last[4]["level"].tolist() == [2, 1]
    assert told(last := env.step([BACK, FORWARD])) == [[3, 1], [0, 0], [False, False], [False, True]]
    assert last[4]["final_obs"].tolist() == [None, {"distance": 2}]


def test_a_single_environment_plays_the_levels_in_turn():
    env = as_env(Corridor(length=3), levels=starts(1, 3))
    assert [int(env.reset()[0]["distance"]) for _ in range(3)] == [1, 3, 1]
    assert int(env.reset(seed=1)[0]["distance"]) == 1
    observation, reward, terminated, truncated, info = env.step(FORWARD)
    assert (observation["distance"], reward, terminated, truncated) == (0, 1.0, True, False)
    assert info == {"level": 0, "solved": True}


def test_a_seed_says_everything():
    def play(seed, own=None):
        env = as_vector_env(Telling(), 3, seed=own)
        return [env.reset(seed=seed), *(env.step([0, 1, 0]) for _ in range(4)), env.reset()]

    first = play(SEED)
    assert all(map(same_step, first, play(SEED)))
    assert same(first[1][4], play(None, own=SEED)[1][4])
    assert same(first[1][4], play([SEED, SEED + 1, SEED + 2])[1][4])
    assert not same(first[1][4], play(SEED + 1)[1][4])
    assert not same(play(None)[1][4], play(None)[1][4])  # no seed: another one each time


def test_new_levels_at_each_start_differ():
    env = as_vector_env(Corridor(length=1000), 4)
    first, second = (env.reset()[0]["distance"] for _ in range(2))
    assert len({*first.tolist(), *second.tolist()}) > 6


def test_levels_can_be_changed_at_a_reset():
    env = as_vector_env(Corridor(length=5), 2, levels=starts(1))
    assert env.reset(seed=0)[0]["distance"].tolist() == [1, 1]
    assert env.reset(options={"levels": starts(4, 5)})[0]["distance"].tolist() == [4, 5]
    assert env.reset()[0]["distance"].tolist() == [4, 5]
    _, infos = env.reset(options={"levels": None})
    assert infos["level"].tolist() == [-1, -1]


def test_a_suite_by_its_name_is_played_level_by_level():
    env = as_vector_env(PetriCorridor(length=5), 3, levels="all")
    seen = [env.reset(seed=0)[0].tolist(), env.reset()[0].tolist()]
    assert seen == [[1, 2, 3], [4, 1, 2]]
    assert env.reset(options={"levels": "far_end"})[0].tolist() == [4, 4, 4]


def test_what_the_caller_holds_is_the_caller_s():
    """On CPU NumPy and JAX see each other's memory unless one copies."""
    levels = starts(3, 3)
    env = as_vector_env(Corridor(length=5, max_steps=50), 2, levels=levels)
    levels.start[:] = 1
    first, _ = env.reset(seed=0)
    assert first["distance"].tolist() == [3, 3]
    first["distance"][:] = 0  # writable, and nothing to the environment
    actions = np.array([BACK, BACK])
    second, *_ = env.step(actions)
    actions[:] = FORWARD
    kept = second["distance"].copy()
    second["distance"][0] = 2
    env.step(actions)
    assert kept.tolist() == [4, 4]
    assert second["distance"].tolist() == [2, 4]


def test_observations_are_not_views_of_each_other_or_of_jax():
    env = as_vector_env(Script(), 2)
    first, _ = env.reset(seed=0)
    env.step([0, 0])
    assert first.tolist() == [[0.0], [0.0]]
    owner = first if first.base is None else first.base
    assert isinstance(owner, np.ndarray)
    assert owner.flags.owndata
    assert first.flags.writeable


def test_a_step_is_traced_once():
    world = CountingCorridor(length=4, max_steps=3)
    env = as_vector_env(world, 2)
    toy_worlds.TRACES.clear()
    env.reset(seed=0)
    for _ in range(8):
        env.step([FORWARD, BACK])
    env.reset()
    assert toy_worlds.TRACES["step"] == 1
    assert toy_worlds.TRACES["reset"] == 2  # at the start of all, and of some
