"""The maze of minied alone, 13×13, random actions: environment steps per second; or another world, of a preset.

Timed: ``Environment.step`` of the registered world ``maze``, with the options of the preset maze/minimax_dr, in the loop of
``world_loop``. ``--restart same`` starts an environment whose episode ended on its level again, as minied's rollout does;
``--restart fresh`` gives it a new random level of the world's level space from a `minied.levels.stream.LevelStream`, whose
stocks are drawn inside of what is timed. Not timed: compiling, the first levels and the first stock.

The world observes codes, one byte a cell, of which the student's encoder makes the three channels that the mazes of other
libraries return. ``--observe images``, the default, decodes them in every step, so that the same is computed as there;
``--observe codes`` takes them as the rollout does; ``--observe minigrid`` makes MiniGrid's three numbers a cell of them, of
worlds that know how (``image``).
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import jax
    import jax.numpy as jnp
    from world_loop import world_workload

    from minied.config import load_config
    from minied.levels import stream as streams
    from minied.spaces import Coded, Dict

    size = ["--env.height", str(options.size), "--env.width", str(options.size)]
    size = [] if options.preset else [*size, "--env.levels.num-walls", str(options.walls)]
    env: Any = load_config(options.preset or "maze/minimax_dr", [*size, *options.config]).env
    space, num_envs, is_fresh = env.level_space, options.num_envs, options.restart == "fresh"
    parts = dict(env.observation_space.parts) if isinstance(env.observation_space, Dict) else {}
    stock = options.stock or 4 * num_envs

    def seen(observation: Any) -> Any:
        if options.observe == "minigrid":
            return observation | {"view": env.image(observation["view"])}
        return {name: _decoded(parts[name], value) for name, value in observation.items()}

    def _decoded(part: Any, value: jax.Array) -> jax.Array:
        return part.decode(value) if isinstance(part, Coded) and options.observe == "images" else value

    def begin(keys: jax.Array) -> Any:
        keys = jax.random.wrap_key_data(keys)  # worlds of minied take typed keys
        level_key, stream_key, reset_key = jax.random.split(keys[0], 3)
        levels = jax.vmap(space.sample)(jax.random.split(level_key, num_envs))
        _, states = jax.vmap(env.reset)(jax.random.split(reset_key, num_envs), levels)
        return streams.start(stream_key, space, stock) if is_fresh else (), levels, states

    def step(keys: jax.Array, carry: Any, actions: jax.Array) -> Any:
        stream, levels, states = carry
        step_keys, reset_keys = jnp.moveaxis(jax.vmap(jax.random.split)(jax.random.wrap_key_data(keys)), 1, 0)
        observations, states, _, terminated, truncated, _ = jax.vmap(env.step)(step_keys, states, actions, levels)
        ended = terminated | truncated
        if is_fresh:
            stream, drawn = streams.take(stream, space, ended)
            levels = _choose(ended, drawn, levels)
        first = jax.vmap(env.reset)(reset_keys, levels)
        observations, states = _choose(ended, first, (observations, states))
        return (stream, levels, states), seen(observations)

    def _choose(condition: jax.Array, new: Any, old: Any) -> Any:
        select = jax.vmap(jax.lax.select)
        return jax.tree.map(lambda a, b: select(condition, a, b), new, old)

    name = f"minied {options.preset or 'maze'}"
    facts = {"world": name, "max_episode_steps": env.max_steps, "levels_in_stock": stock if is_fresh else 0}
    agents = {} if env.num_agents == 1 else {"num_agents": env.num_agents}
    return world_workload(options, begin, step, env.action_space.n, facts, batched=True, **agents)


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    parser.add_argument("--restart", choices=("same", "fresh"), default="same", help="the level after an episode")
    parser.add_argument(
        "--observe", choices=("images", "codes", "minigrid"), default="images", help="decoded, as stored"
    )
    parser.add_argument("--size", type=int, default=13, help="height and width in cells")
    parser.add_argument("--preset", default="", help="take the world of this preset, at its own size")
    parser.add_argument("--walls", type=int, default=60, help="walls drawn for a level")
    parser.add_argument("--stock", type=int, default=0, help="levels drawn at once; 0: four for each environment")
    serve(parser, build, ["minied"], passed_on="config")


if __name__ == "__main__":
    main()
