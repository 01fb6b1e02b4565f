"""Designs played at random, and all of them: what the tests of designers share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

PART = 1024


@functools.partial(jax.jit, static_argnames=("designer", "number"))
def random_designs(designer, key, number, level):
    """Play ``number`` designs from ``level`` with uniform allowed actions.

    Returns what was seen and done at each step, and the last observation and state, each ``[number, ...]``.
    """

    def one(key):
        def step(carry, key):
            observation, state = carry
            key_action, key_step = jax.random.split(key)
            logits = jnp.where(observation["mask"], 0.0, -jnp.inf)
            action = jax.random.categorical(key_action, logits).astype(jnp.int32)
            after, state, reward, terminated, truncated, info = designer.step(key_step, state, action, level)
            seen = {"observation": observation, "action": action, "reward": reward, "level": info["level"]}
            return (after, state), seen | {"terminated": terminated, "truncated": truncated}

        key_reset, key_steps = jax.random.split(key)
        first = designer.reset(key_reset, level)
        return jax.lax.scan(step, first, jax.random.split(key_steps, designer.max_steps))

    (observation, state), steps = jax.vmap(one)(jax.random.split(key, number))
    return steps, observation, state


def all_designs(designer, level):
    """Return the final states of every allowed sequence of actions, and the chance of each if actions are uniform."""
    build = jax.jit(jax.vmap(functools.partial(designer.build, jax.random.key(1))))

    def build_all(states, actions):
        # In parts of one size, so that it is compiled once.
        parts = []
        for first in range(0, len(actions), PART):
            indices = np.minimum(np.arange(first, first + PART), len(actions) - 1)
            part = build(
                jax.tree.map(lambda leaf, i=indices: leaf[i], states), jnp.asarray(actions[indices], jnp.int32)
            )
            parts.append(jax.tree.map(np.asarray, (part[0]["mask"], part[1])))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(actions)], *parts)

    observation, state = designer.reset(jax.random.key(0), level)
    masks, states = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (observation["mask"], state))
    chances = np.ones(1)
    for _ in range(designer.max_steps):
        parents, actions = np.nonzero(masks)
        chances = (chances / masks.sum(axis=1))[parents]
        masks, states = build_all(jax.tree.map(lambda leaf, i=parents: leaf[i], states), actions)
    return states, chances
