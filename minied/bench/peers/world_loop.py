"""The loop in which every peer's world is stepped, the same for all; imported by the scripts of this folder alone.

One call is one compiled scan over ``--steps`` steps of ``--num-envs`` environments side by side. Uniformly random actions
and a key for every environment and step are drawn before the scan (what the world does not use, the compiler removes):
drawn inside, they would cost as much as the faster worlds do. In each step the world steps and restarts by itself, and the
sum of the whole observation is added to the carry, so that it has to be computed. Drawing and summing are part of what is
timed, for every world alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# pyright: reportMissingImports=false


def chosen(condition: jax.Array, new: Any, old: Any) -> Any:
    """Return ``new`` where ``condition`` (``bool[]``) holds, else ``old``, of one environment; keys are left as they are."""

    def choose(a: Any, b: Any) -> Any:
        return b if jnp.issubdtype(b.dtype, jax.dtypes.prng_key) else jnp.where(condition, a, b)

    return jax.tree_util.tree_map(choose, new, old)


def world_workload(
    options: argparse.Namespace,
    begin: Callable[[jax.Array], Any],
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, Any]],
    num_actions: int,
    facts: dict[str, Any],
    batched: bool = False,
    num_agents: int = 1,
) -> Any:
    """Return the `protocol.Workload` of one world.

    Args:
        options: with num_envs (N), steps (T), seed.
        begin: key -> state of one environment at the start of an episode.
        step: (key, state, action i32[]) -> (state, observation) of one environment; it restarts by itself.
        num_actions: actions are drawn from 0 .. num_actions - 1.
        facts: what to tell of the world.
        batched: `begin` and `step` are of all environments at once, with keys ``[N]`` and actions ``i32[N]``, for a world
            that restarts them together.
        num_agents: who act in each environment; actions of several are ``i32[N, agents]``.
    """
    from protocol import Workload  # found next to the script that runs

    num_envs, steps = options.num_envs, options.steps
    shape = (steps, num_envs) if num_agents == 1 else (steps, num_envs, num_agents)
    if not batched:
        begin, step = jax.vmap(begin), jax.vmap(step)

    def one_step(carry: Any, randomness: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        states, total = carry
        keys, actions = randomness
        states, observations = step(keys, states, actions)
        seen = sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in jax.tree_util.tree_leaves(observations))
        return (states, total + seen), None

    @jax.jit
    def run(key: jax.Array, states: Any) -> Any:
        key, action_key, world_key = jax.random.split(key, 3)
        keys = jax.random.split(world_key, steps * num_envs).reshape(steps, num_envs, -1)
        actions = jax.random.randint(action_key, shape, 0, num_actions)
        (states, total), _ = jax.lax.scan(one_step, (states, jnp.float32(0)), (keys, actions))
        return key, states, total

    # (Keys of the old kind: typed ones are not understood by every peer on every jax.)
    key, begin_key = jax.random.split(jax.random.PRNGKey(options.seed))
    states = jax.jit(begin)(jax.random.split(begin_key, num_envs))
    carry = (key, states)
    calls = 0

    def call() -> tuple[Any, Any]:
        nonlocal carry, calls
        key, states, total = run(*carry)
        carry, calls = (key, states), calls + 1
        return (key, states, total), total

    def count() -> dict[str, int]:
        nonlocal calls
        done, calls = calls, 0
        return {"steps": done * steps * num_envs}

    return Workload(call, count, {"what": "world", "num_actions": num_actions} | facts)
