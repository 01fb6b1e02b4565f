"""The maze of jaxued alone, 13×13, random actions: environment steps per second.

Timed: jaxued's ``Maze`` under its own wrappers in the loop of ``world_loop``. ``--restart same`` is its
``AutoReplayWrapper`` (the same level again); ``--restart fresh`` is its ``AutoResetWrapper`` with its level generator, which
draws a new level in every step and takes it where an episode ended. Not timed: compiling, the first levels.

The release 0.0.1 calls ``jax.tree_map``, which today's jax has no longer; the name is put back before it is imported, and
nothing else of the library is touched. The number of walls is that of the standard workload, as for minimax.
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import jax

    if "tree_map" not in vars(jax):
        jax.tree_map = jax.tree_util.tree_map  # pyright: ignore[reportAttributeAccessIssue]

    from jaxued.environments import Maze
    from jaxued.environments.maze import make_level_generator
    from jaxued.wrappers import AutoReplayWrapper, AutoResetWrapper
    from world_loop import world_workload

    size = options.size
    sample_level = make_level_generator(size, size, options.walls)
    maze = Maze(max_height=size, max_width=size, agent_view_size=5, normalize_obs=True)
    env = AutoReplayWrapper(maze) if options.restart == "same" else AutoResetWrapper(maze, sample_level)
    params = env.default_params

    def begin(key: Any) -> Any:
        level_key, reset_key = jax.random.split(key)
        return env.reset_to_level(reset_key, sample_level(level_key), params)[1]

    def step(key: Any, state: Any, action: Any) -> Any:
        observation, state, *_ = env.step(key, state, action, params)
        return state, observation

    facts = {"world": "jaxued Maze", "max_episode_steps": params.max_steps_in_episode}
    return world_workload(options, begin, step, env.action_space(params).n, facts)


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    parser.add_argument("--restart", choices=("same", "fresh"), default="same", help="the level after an episode")
    parser.add_argument("--size", type=int, default=13, help="height and width in cells")
    parser.add_argument("--walls", type=int, default=60, help="walls drawn for a level")
    serve(parser, build, ["jaxued", "gymnax", "flax"])


if __name__ == "__main__":
    main()
