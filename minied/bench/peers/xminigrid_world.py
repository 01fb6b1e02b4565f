"""A world of XLand-MiniGrid alone, random actions: environment steps per second.

Timed: ``GymAutoResetWrapper(env).step`` in the loop of ``world_loop``: the library resets in the step in which an episode
ends, and, being vmapped, computes the reset in every step. Worlds: MiniGrid-EmptyRandom-8x8 and MiniGrid-DoorKey-8x8 as
registered (view 7×7×2, at most 256 and 640 steps). Not timed: compiling, the first reset.
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import xminigrid
    from world_loop import world_workload
    from xminigrid.wrappers import GymAutoResetWrapper

    env, params = xminigrid.make(options.world)
    env = GymAutoResetWrapper(env)

    def step(_: Any, state: Any, action: Any) -> Any:  # the state has a key of its own
        state = env.step(params, state, action)
        return state, state.observation

    facts = {"observation_shape": env.observation_shape(params), "max_episode_steps": params.max_steps}
    return world_workload(options, lambda key: env.reset(params, key), step, env.num_actions(params), facts)


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    worlds = ("MiniGrid-EmptyRandom-8x8", "MiniGrid-DoorKey-8x8")
    parser.add_argument("--world", choices=worlds, default=worlds[0], help="registered name")
    serve(parser, build, ["xminigrid", "flax"])


if __name__ == "__main__":
    main()
