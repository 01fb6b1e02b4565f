"""The maze of minimax alone, 13×13, random actions: environment steps per second.

Timed: ``Environment.step`` of minimax's ``Maze`` in the loop of ``world_loop``, with the world options of its shipped recipe
dr.json. ``--restart same`` passes the first level as ``reset_state``, as its PLR runner does; ``--restart fresh`` passes
none, so that the library draws a new random level in every step and takes it where an episode ended, as its DR runner
does. Not timed: compiling, the first levels, the wrappers that its runners use for statistics.
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false

WALLS = 60  # of minimax's dr.json, as are the options below


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import minimax.envs as envs
    from world_loop import world_workload

    size = options.size
    recipe = {
        "height": size,
        "width": size,
        "n_walls": options.walls,
        "replace_wall_pos": True,
        "sample_n_walls": False,
        "see_agent": False,
        "normalize_obs": True,
        "obs_agent_pos": False,
        "max_episode_steps": 250,
    }
    env, _ = envs.make("Maze", env_kwargs=recipe)

    def begin_same(key: Any) -> Any:
        state = env.reset(key)[1]
        return state, state

    def step_same(key: Any, states: Any, action: Any) -> Any:
        state, start = states
        observation, state, *_ = env.step(key, state, action, True, start)
        return (state, start), observation

    def step_fresh(key: Any, state: Any, action: Any) -> Any:
        observation, state, *_ = env.step(key, state, action)
        return state, observation

    begin, step = (begin_same, step_same) if options.restart == "same" else (lambda key: env.reset(key)[1], step_fresh)
    return world_workload(options, begin, step, env.num_actions, {"world": "minimax Maze", "recipe": recipe})


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    parser.add_argument("--restart", choices=("same", "fresh"), default="same", help="the level after an episode")
    parser.add_argument("--size", type=int, default=13, help="height and width in cells")
    parser.add_argument("--walls", type=int, default=WALLS, help="walls drawn for a level")
    serve(parser, build, ["minimax-lib", "flax", "numpy"])


if __name__ == "__main__":
    main()
