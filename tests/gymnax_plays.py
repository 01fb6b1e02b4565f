"""Episodes of gymnax's environments, played by gymnax and by minied."""

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters.gymnax import Gymnax
from minied.adapters.gymnax_levels import GymnaxLevel
from minied_envs.maze import Maze
from minied_envs.maze.generators import MazeLevels

SMALL_MAZE = Maze(height=5, width=5, max_steps=9, levels=MazeLevels(num_walls=8))
CARTPOLE = Gymnax(vary=("masspole=0.05:0.5", "length=0.25:1", "force_mag=5:15"))


def level_of(world, key=0, **numbers):
    """A level with these numbers, started from ``jax.random.key(key)``."""
    start = jax.random.key_data(jax.random.key(key)) * jnp.uint32(world.starts_differ)
    return GymnaxLevel({name: jnp.float32(value) for name, value in numbers.items()}, start)


def play(world, level, key, actions):
    """The first observation, and every step's observation, reward, terminated, truncated; nobody resets."""
    first, state = world.reset(jax.random.key(99), level)

    def step(state, given):
        observation, state, *rest, _ = world.step(given[0], state, given[1], level)
        return state, (observation, *rest)

    return first, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]


def gymnax_plays(env, parameters, start, key, actions):
    """The same from gymnax's own `step`, whose resets come after the true last observation that it tells in info."""
    first, state = env.reset(start, parameters)

    def step(state, given):
        # gymnax splits the key of a step; the adapter's key is the first half of it
        _, state, reward, terminated, truncated, info = env.step(given[0], state, given[1], parameters)
        return state, (info["final_observation"], reward, terminated, truncated)

    return first, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]


def until_the_end(steps):
    """How many steps the first episode has."""
    ended = np.asarray(steps[2] | steps[3])
    return int(ended.argmax()) + 1 if ended.any() else len(ended)


def require_equal_play(world, parameters, level, start, actions, taken=None):
    key = jax.random.key(5)
    halves = jax.vmap(jax.random.split)(jax.random.split(key, len(actions)))[:, 0]
    first, state = jax.jit(world.reset)(jax.random.key(99), level)

    def step(state, given):
        observation, state, *rest, _ = world.step(given[0], state, given[1], level)
        return state, (observation, *rest)

    ours = jax.jit(lambda state: jax.lax.scan(step, state, (halves, actions))[1])(state)
    env = world.made.env
    taken = actions if taken is None else taken
    theirs_first, theirs = jax.jit(lambda: gymnax_plays(env, parameters, start, key, taken))()
    np.testing.assert_allclose(first, np.reshape(theirs_first, first.shape), rtol=1e-6)
    length = until_the_end(theirs)
    shape = ours[0].shape
    np.testing.assert_allclose(ours[0][:length], np.reshape(theirs[0], shape)[:length], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(ours[1][:length], theirs[1][:length], rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(ours[2][:length], theirs[2][:length])
    np.testing.assert_array_equal(ours[3][:length], (theirs[3] & ~theirs[2])[:length])
    return length


MIXED = Gymnax(id="MemoryChain-bsuite", vary=("memory_length=2:6",), set=("num_bits=3",))


def require_pictures(world):
    """Pictures of a level and of a state of it, of one size; whether they differ."""
    space = world.level_space
    level = space.sample(jax.random.key(0))
    _, state = jax.jit(world.reset)(jax.random.key(0), level)
    step = jax.jit(world.step)
    for _ in range(2):
        _, state, *_ = step(jax.random.key(1), state, jnp.int32(0), level)
    start, later = space.draw(level), space.draw(level, jax.device_get(state))
    assert (start.dtype, start.shape, start.shape[2]) == (np.uint8, later.shape, 3)
    return (start != later).any()
