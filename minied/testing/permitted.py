"""Which actions may be taken: those that the mask of an observation leaves, as for a student."""

from typing import Any

import jax
import jax.numpy as jnp

from minied.env import Environment
from minied.spaces import Dict, Mask


def mask_of(env: Environment, observation: Any) -> jax.Array | None:
    """Return the `Mask` in an observation, ``bool[A]`` or ``bool[N, A]``; none if its space has none."""
    with jax.ensure_compile_time_eval():  # a world may compute its spaces with jax
        space = env.observation_space
    parts = space.parts if isinstance(space, Dict) else ()
    return next((observation[name] for name, part in parts if isinstance(part, Mask)), None)


def permitted(env: Environment, observation: Any, action: jax.Array) -> jax.Array:
    """Return actions that the mask of ``observation`` allows, ``i32[]`` or ``i32[N]``.

    Each is ``action`` itself where that is allowed, else the one at its place, taken around, among those that are. The kit
    plays what a student could: what a world does with other actions, which is often to end, would hide all the rest.
    """
    mask = mask_of(env, observation)
    if mask is None:
        return action

    def one(mask: jax.Array, action: jax.Array) -> jax.Array:
        from_first = jnp.argsort(~mask, stable=True).astype(jnp.int32)  # what is allowed, then the rest
        return jnp.where(mask[action], action, from_first[action % jnp.maximum(mask.sum(), 1)]).astype(jnp.int32)

    mask = jnp.asarray(mask)  # NumPy's, where it is the same in every state
    return one(mask, action) if action.ndim == 0 else jax.vmap(one)(mask, action)
