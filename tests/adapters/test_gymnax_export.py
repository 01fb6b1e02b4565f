"""Worlds as environments of gymnax, in its own rollouts, and there and back."""

import dataclasses

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import environment
from gymnax.experimental import RolloutWrapper
from gymnax.wrappers import LogWrapper
from gymnax_plays import CARTPOLE, SMALL_MAZE, gymnax_plays, level_of, play, until_the_end

from minied.adapters.gymnax import Gymnax, as_gymnax, register
from minied.adapters.gymnax_export import space_of
from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Entities, Mask, MultiDiscrete, Ring
from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.petri import Corridor


def minied_rollout(env, key, num_steps, level=None):
    """What gymnax's RolloutWrapper does with random actions, in minied: keys are split as gymnax splits them."""

    def start(key):
        level_key, key = jax.random.split(key)
        chosen = env.level_space.sample(level_key) if level is None else level
        observation, state = env.reset(key, chosen)
        return observation, state, chosen

    start_key, key = jax.random.split(key)
    observation, state, chosen = jax.jit(start)(start_key)
    start, step = jax.jit(start), jax.jit(env.step)
    seen = []
    for _ in range(num_steps):
        key, step_key, action_key = jax.random.split(key, 3)
        step_key, reset_key = jax.random.split(step_key)
        action = jax.random.randint(action_key, (), 0, env.action_space.n)
        after, state, reward, terminated, truncated, _ = step(step_key, state, action, chosen)
        if terminated | truncated:
            after, state, chosen = start(reset_key)
        seen.append((observation, action, reward, after, terminated | truncated))
        observation = after
    return jax.tree.map(lambda *leaves: np.stack(leaves), *seen)


def require_same(expected, found):
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)  # two programs, which round as they like


@pytest.mark.parametrize(
    "world",
    [
        Corridor(length=4, max_steps=5),
        SMALL_MAZE,
        dataclasses.replace(CARTPOLE, max_steps=9),
    ],  # its steps read the level
    ids=["corridor", "maze", "cartpole"],
)
def test_gymnax_s_own_rollouts_of_a_world_are_minied_s(world):
    env = as_gymnax(world)
    wrapper = RolloutWrapper(env=env, num_env_steps=25)
    *found, episode_return = wrapper.single_rollout(jax.random.key(6), None)
    expected = minied_rollout(world, jax.random.key(6), 25)
    require_same(expected, tuple(found))
    assert 1 < expected[4].sum() < 25  # episodes ended, and began anew
    first_end = int(expected[4].argmax()) + 1
    assert float(episode_return[0]) == pytest.approx(expected[2][:first_end].sum())


def test_a_level_of_one_s_own_and_a_shorter_limit():
    world = Corridor(length=9, max_steps=20)
    env = as_gymnax(world)
    assert env.default_params.max_steps_in_episode == 20
    params = env.default_params.replace(level=jnp.int32(5), max_steps_in_episode=3)
    observation, state = env.reset(jax.random.key(0), params)
    seen, ends = [int(observation)], []
    for index in range(6):
        observation, state, _, terminated, truncated, info = env.step(jax.random.key(index), state, 1, params)
        seen.append(int(observation))
        ends.append((bool(terminated), bool(truncated), int(info["final_observation"]), float(info["discount"])))
    assert seen == [5, 6, 7, 5, 6, 7, 5]
    assert ends[2] == (False, True, 8, 1.0)
    near = env.default_params.replace(level=jnp.int32(1), max_steps_in_episode=1)
    _, state = env.reset(jax.random.key(0), near)
    *_, terminated, truncated, info = env.step(jax.random.key(0), state, 0, near)
    assert (bool(terminated), bool(truncated), float(info["discount"])) == (True, False, 0.0)


def test_a_world_in_gymnax_is_an_environment_of_gymnax_in_all_parts():
    world = SMALL_MAZE
    env, again = as_gymnax(world), as_gymnax(dataclasses.replace(world))
    assert isinstance(env, environment.Environment)
    assert env == again  # so that gymnax compiles once
    assert hash(env) == hash(again)
    assert env != as_gymnax(dataclasses.replace(SMALL_MAZE, max_steps=8))
    assert env.name == "minied/maze"
    assert env.num_actions == world.action_space.n
    params = env.default_params
    log = LogWrapper(env)
    observation, state = log.reset(jax.random.key(0), params)
    assert bool(env.observation_space(params).contains(observation))
    assert bool(env.state_space(params).contains(state.env_state))
    action = env.action_space(params).sample(jax.random.key(1))
    observation, after, *_, info = log.step(jax.random.key(2), state, action, params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {"terminated", "truncated", "final_observation", "discount", "returned_episode"} <= set(info)
    require_same(env.observe(jax.random.key(0), after.env_state, None, params), observation)
    require_same(env.get_obs(after.env_state, params), observation)
    assert not bool(env.observation_space(params).contains({"view": observation["view"]}))


def test_spaces_in_gymnax():
    codes = space_of(Coded((2, 2), ((0.0,), (1.0,), (2.0,))))
    assert (codes.low, codes.high, codes.shape, codes.dtype) == (0, 2, (2, 2), jnp.uint8)
    assert space_of(MultiDiscrete((2, 3))).n == 6
    wide = space_of(Box(-np.inf, 3.0, (2,)))
    assert (wide.low, wide.high) == (np.finfo(np.float32).max * -1, 3.0)
    space = Dict((("things", Entities(2, 3)), ("mask", Mask(4)), ("ring", Ring(5))))
    value = space.sample(jax.random.key(0))
    assert bool(space_of(space).contains(value))
    assert not bool(space_of(space).contains(value | {"ring": jnp.full((5, 1), jnp.inf)}))
    assert space_of(space).sample(jax.random.key(0))["mask"].dtype == jnp.bool_
    from gymnax.environments.spaces import gymnax_space_to_gym_space

    assert set(gymnax_space_to_gym_space(space_of(space)).spaces) == {"things", "mask", "ring"}


def test_registered_worlds(registry_of_its_own):
    found = register()
    assert {"minied/maze", "minied/corridor", "minied/crafting"} <= set(found) <= set(gymnax.registered_envs)
    assert register() == found
    env, params = gymnax.make("minied/corridor", length=5, max_steps=7)
    assert env.world == Corridor(length=5, max_steps=7)
    assert params.max_steps_in_episode == 7
    assert register("maze") == ("minied/maze",)
    assert register("corridor", env_id="Long-v0", length=40) == ("Long-v0",)
    assert gymnax.make("Long-v0")[0].world == Corridor(length=40)
    assert register("minied_envs.petri:Corridor")[0] in gymnax.registered_envs
    with pytest.raises(UserError, match="env_id is 'Long-v0', which gymnax already has; allowed: another one"):
        register("corridor", env_id="Long-v0", length=50)
    with pytest.raises(UserError, match="unknown environment 'coridor'"):
        register("coridor")
    with pytest.raises(UserError, match="length without the name of a world"):
        register(length=4)
    with pytest.raises(UserError, match=r"unknown option of corridor 'size'"):
        gymnax.make("minied/corridor", size=3)
    with pytest.raises(UserError, match=r"HideAndSeek has \d agents; allowed in gymnax: 1; .*PettingZoo or JaxMARL"):
        as_gymnax(HideAndSeek())


def test_gymnax_through_minied_is_gymnax():
    env, params = gymnax.make("CartPole-v1")
    back = as_gymnax(Gymnax(vary=()))
    level = level_of(Gymnax(vary=()), 3)
    actions = jnp.asarray([0, 1, 1, 1, 0, 1] * 4, jnp.int32)
    first, theirs = jax.jit(lambda: gymnax_plays(env, params, jax.random.key(3), jax.random.key(1), actions))()
    told = back.default_params.replace(level=level)
    ours_first, ours = jax.jit(lambda: gymnax_plays(back, told, jax.random.key(0), jax.random.key(1), actions))()
    length = until_the_end(theirs)
    np.testing.assert_array_equal(first, ours_first)
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one[:length], other[:length], rtol=1e-5, atol=1e-6)
    assert length > 5


def test_minied_through_gymnax_is_minied(registry_of_its_own):
    register("corridor", env_id="Corridor-back", length=6, max_steps=8)
    there, world = Gymnax(id="Corridor-back"), Corridor(length=6, max_steps=8)
    assert there.max_steps == 8
    level = level_of(there, 2)
    start_key, key = jax.random.split(jax.random.key(2))  # as the environment splits the key of a reset
    start = world.level_space.sample(start_key)
    actions = jnp.asarray([1, 0, 1, 1, 0, 0, 0, 0], jnp.int32)
    first, ours = jax.jit(lambda: play(there, level, jax.random.key(0), actions))()
    _, state = world.reset(key, start)
    assert int(first) == int(start)
    for index, action in enumerate(actions):
        observation, state, reward, terminated, truncated, _ = world.step(key, state, action, start)
        step = (observation, reward, terminated, truncated)
        assert [float(leaf[index]) for leaf in ours] == [float(each) for each in step]
        if terminated:
            break
