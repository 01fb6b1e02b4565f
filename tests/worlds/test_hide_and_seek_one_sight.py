"""There is one answer to who sees whom at hide and seek: rewards, lists and pictures tell the same."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hide_and_seek_matches import World, keys_for, random_actions, random_arena, to_levels
from hide_and_seek_oracle import Arena, Options

from minied_envs.hide_and_seek.picture import FIRST_AGENT, FIRST_RAMP, FREE_BOX
from minied_envs.hide_and_seek.sight import visible

WORLD = World(7, 7, (2, 2, 2, 1), Options(20, preparation=0.0, reward="selfish"))
VIEW_SIZE = 13  # a picture of 6 cells to each side covers the grid from wherever an agent stands
EPISODES = 100


@functools.cache
def played(observation: str):
    """Arenas, observations, states and sight: arrays ``[E, T, ...]``, of the states after steps."""
    env = dataclasses.replace(WORLD.env(), observation=observation, view_size=VIEW_SIZE, lidar=0)
    rng = np.random.default_rng(7)
    arenas = [random_arena(rng, WORLD) for _ in range(EPISODES)]
    actions = random_actions(rng, arenas, WORLD.options.max_steps)

    def episode(keys, level, actions):
        def step(state, inputs):
            observed, state, reward, *_ = env.step(inputs[0], state, inputs[1], level)
            return state, (observed, state.replace(record=()), reward, *visible(env, level, state))

        return jax.lax.scan(step, env.reset(keys[0], level)[1], (keys, actions))[1]

    keys = keys_for(EPISODES, WORLD.options.max_steps, seed=7)
    result = jax.jit(jax.vmap(episode))(keys, to_levels(arenas), jnp.asarray(actions, jnp.int32))
    return arenas, *jax.tree.map(np.asarray, result)


def present(arenas: list[Arena]) -> np.ndarray:
    return np.array([[placed is not None for placed in arena.hiders + arena.seekers] for arena in arenas])


@pytest.mark.parametrize("observation", ["entities", "egocentric"])
def test_rewards_are_of_what_is_seen(observation):
    arenas, _, _, rewards, sees_agents, _ = played(observation)
    here = present(arenas)[:, None]
    found = np.concatenate([~sees_agents[..., 2:, :2].any(axis=-2), sees_agents[..., 2:, :2].any(axis=-1)], axis=-1)
    np.testing.assert_array_equal(rewards, np.where(here, np.where(found, 1, -1), 0))


def test_lists_say_visible_of_what_is_seen():
    _, observed, _, _, sees_agents, sees_objects = played("entities")
    others = [[(i + 1 + k) % 4 for k in range(3)] for i in range(4)]
    expected = np.stack([sees_agents[..., i, others[i]] for i in range(4)], axis=-2)
    np.testing.assert_array_equal(observed["agents"]["visible"], expected)
    np.testing.assert_array_equal(observed["boxes"]["visible"], sees_objects[..., :2])
    np.testing.assert_array_equal(observed["ramps"]["visible"], sees_objects[..., 2:])


def test_pictures_show_the_agents_that_are_seen_and_no_others():
    arenas, observed, states, _, sees_agents, _ = played("egocentric")
    codes = pictured(observed["view"], states.positions, states.positions)
    pairs = present(arenas)[:, :, None] & present(arenas)[:, None, :] & ~np.eye(4, dtype=bool)
    here = np.broadcast_to(pairs[:, None], codes.shape)
    np.testing.assert_array_equal((codes >= FIRST_AGENT)[here], sees_agents[here])
    # Some of them only because they stand above what hides the ground.
    above = here & sees_agents & states.elevated[..., None, :] & ~states.elevated[..., :, None]
    assert above.sum() > 20


def test_pictures_show_the_things_that_are_seen():
    arenas, observed, states, _, _, sees_objects = played("egocentric")
    codes = pictured(observed["view"], states.positions, states.object_positions)
    of_boxes, of_ramp = codes[..., :2], codes[..., 2:]
    is_shown = np.concatenate(
        [(of_boxes >= FREE_BOX) & (of_boxes < FIRST_RAMP), (of_ramp >= FIRST_RAMP) & (of_ramp < FIRST_AGENT)], axis=-1
    )
    shapes = [[box and box[2] for box in arena.boxes] + [ramp and 0 for ramp in arena.ramps] for arena in arenas]
    single = np.array([[shape == 0 for shape in each] for each in shapes])
    # Somebody on it hides it in a picture; the centre of a long box may be hidden by its own end.
    taken = np.any(
        np.all(states.positions[:, :, :, None] == states.object_positions[:, :, None], axis=-1)
        & present(arenas)[:, None, :, None],
        axis=2,
    )
    compared = np.broadcast_to((single[:, None] & ~taken)[:, :, None], codes.shape) & present(arenas)[:, None, :, None]
    assert compared.sum() > 1000
    np.testing.assert_array_equal(is_shown[compared], sees_objects[compared])


def pictured(view: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The codes in each agent's picture of the cells of ``targets`` ``[E, T, n, 2]``, ``[E, T, N, n]``."""
    offsets = targets[:, :, None] - positions[:, :, :, None] + VIEW_SIZE // 2
    episodes, steps, agents = np.ix_(*(np.arange(size) for size in positions.shape[:3]))
    return view[episodes[..., None], steps[..., None], agents[..., None], offsets[..., 0], offsets[..., 1]]
