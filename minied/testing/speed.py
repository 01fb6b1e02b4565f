"""How fast a world is, and how much memory it takes: an estimate in seconds. `minied bench` measures with care."""

import time
from typing import Any

import jax
import jax.numpy as jnp

from minied.testing.play import World

NUM_ENVS, NUM_STEPS = 64, 64


def measure(world: World) -> dict[str, float]:
    """Return figures of a world: random actions in 64 environments, each started anew on its level where it ends.

    ``steps_per_second``, the best of three; ``compile_seconds``; ``level_bytes``, ``state_bytes`` and ``observation_bytes``
    of one environment; ``program_bytes``, what the compiled program needs for its 64.
    """
    env, agents = world.env, world.env.num_agents
    shape = (NUM_STEPS, NUM_ENVS) if agents == 1 else (NUM_STEPS, NUM_ENVS, agents)
    levels = jax.jit(jax.vmap(world.space.sample))(jax.random.split(world.key(60), NUM_ENVS))
    observation, state = jax.eval_shape(env.reset, world.key(61), world.level(0))

    def step(states: Any, inputs: tuple[jax.Array, jax.Array]) -> Any:
        keys, actions = inputs
        _, states, rewards, terminated, truncated, _ = jax.vmap(env.step)(keys[:, 0], states, actions, levels)
        _, first = jax.vmap(env.reset)(keys[:, 1], levels)
        ended = terminated | truncated
        states = jax.vmap(lambda over, new, old: jax.tree.map(lambda a, b: jax.lax.select(over, a, b), new, old))(
            ended, first, states
        )
        return states, rewards.sum()

    def play(key: jax.Array) -> jax.Array:
        start_key, key, action_key = jax.random.split(key, 3)
        _, states = jax.vmap(env.reset)(jax.random.split(start_key, NUM_ENVS), levels)
        keys = jax.random.split(key, (NUM_STEPS, NUM_ENVS, 2))
        actions = jax.random.randint(action_key, shape, 0, env.action_space.n)
        return jax.lax.scan(step, states, (keys, actions))[1].sum()

    begun = time.perf_counter()
    compiled = jax.jit(play).lower(world.key(62)).compile()
    compile_seconds = time.perf_counter() - begun
    seconds = []
    for number in range(4):  # the first is a warm-up
        begun = time.perf_counter()
        jax.block_until_ready(compiled(world.key(63, number)))
        seconds.append(time.perf_counter() - begun)
    analysis = compiled.memory_analysis()
    program = getattr(analysis, "temp_size_in_bytes", 0) + getattr(analysis, "argument_size_in_bytes", 0)
    return {
        "steps_per_second": NUM_ENVS * NUM_STEPS / min(seconds[1:]),
        "compile_seconds": compile_seconds,
        "level_bytes": _bytes(jax.eval_shape(lambda: world.level(0))),
        "state_bytes": _bytes(state),
        "observation_bytes": _bytes(observation),
        "program_bytes": float(program),
    }


def sentence(figures: dict[str, float]) -> str:
    """Return the figures as a person reads them."""
    sizes = ", ".join(f"{what} {figures[f'{what}_bytes']:,.0f}" for what in ("level", "state", "observation"))
    return (
        f"{figures['steps_per_second']:,.0f} steps/s with {NUM_ENVS} environments on {jax.default_backend()}, compiled in"
        f" {figures['compile_seconds']:.1f} s; bytes: {sizes}"
    )


def _bytes(tree: Any) -> float:
    sizes = [jax.eval_shape(_words, leaf) for leaf in jax.tree.leaves(tree)]
    return float(sum(each.size * each.dtype.itemsize for each in sizes))


def _words(leaf: jax.Array) -> jax.Array:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf
