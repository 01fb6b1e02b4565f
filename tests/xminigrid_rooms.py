"""Small rooms of XLand-MiniGrid, and what it is to play them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.xminigrid import XLandMiniGrid
from minied.adapters.xminigrid_rulesets import XLandLevel

FORWARD, RIGHT, LEFT, PICK_UP, PUT_DOWN, TOGGLE = range(6)
SMALL = {"size": 7, "num_rules": 2, "num_distractors": 1, "num_colours": 3, "max_steps": 40, "shows_pocket": True}
RED_BALL, BLUE_SQUARE, GREEN_KEY = 3 * 12 + 1, 4 * 12 + 3, 7 * 12 + 2


@functools.cache
def small():
    return XLandMiniGrid(**SMALL)


@functools.cache
def player(env):
    """Plays 60 actions on a level: (first observation, observations, rewards, terminated, truncated, states)."""

    def play(level, actions):
        first, state = env.reset(jax.random.key(0), level)

        def step(state, action):
            observation, state, reward, terminated, truncated, _ = env.step(jax.random.key(1), state, action, level)
            return state, (observation, reward, terminated, truncated, state)

        return first, *jax.lax.scan(step, state, actions)[1]

    compiled = jax.jit(play)

    def padded(level, actions):
        """Compiled once: what comes after the actions that were asked for is cut off."""
        first, *rest = compiled(level, jnp.zeros(60, jnp.int32).at[: len(actions)].set(jnp.asarray(actions)))
        return first, *jax.tree.map(lambda leaf: np.asarray(leaf)[: len(actions)], rest)

    return padded


@functools.cache
def sampler(env):
    return jax.jit(jax.vmap(env.level_space.sample))


@functools.cache
def levels(env):
    return sampler(env)(jax.random.split(jax.random.key(3), 64))


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def room(goal, things, rules=(), position=(3, 3), direction=0):
    """A level of `small`: things by their cell, a goal and rules as lists of numbers."""
    cells = np.full((7, 7), encoding.BLACK_FLOOR)
    cells[[0, -1]] = cells[:, [0, -1]] = encoding.WALL * 12 + 6
    for cell, code in things.items():
        cells[cell] = code
    encoded = np.zeros((2, 7), np.uint8)
    for i, rule in enumerate(rules):
        encoded[i, : len(rule)] = rule
    return XLandLevel(
        jnp.asarray(np.stack([cells // 12, cells % 12], axis=-1), jnp.uint8),
        jnp.asarray(position, jnp.int32),
        jnp.int32(direction),
        jnp.asarray([*goal, *[0] * (5 - len(goal))], jnp.uint8),
        jnp.asarray(encoded),
        (),
    )


HOLD_BALL = (1, 3, 1)
