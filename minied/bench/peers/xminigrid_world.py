"""A world of XLand-MiniGrid alone, random actions: environment steps per second.

Timed: ``GymAutoResetWrapper(env).step`` in the loop of ``world_loop``: the library resets in the step in which an episode
ends, and, being vmapped, computes the reset in every step. ``--restart same`` is ``env.step`` alone, and the state of the
start again where an episode ended. The world is as registered: view 7×7×2, walls seen through. Not timed: compiling, the
first reset.
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import xminigrid
    from world_loop import chosen, world_workload
    from xminigrid.wrappers import GymAutoResetWrapper

    bare, params = xminigrid.make(options.world)  # type: ignore[reportPrivateImportUsage]
    env = GymAutoResetWrapper(bare)

    def step(_: Any, state: Any, action: Any) -> Any:  # the state has a key of its own
        state = env.step(params, state, action)
        return state, state.observation

    def replay(_: Any, carry: Any, action: Any) -> Any:
        first, state = carry
        state = bare.step(params, state, action)
        state = chosen(state.last(), first, state)
        return (first, state), state.observation

    def begin(key: Any) -> Any:
        first = bare.reset(params, key)
        return first, first

    def reset(key: Any) -> Any:
        return env.reset(params, key)

    facts = {"observation_shape": env.observation_shape(params), "max_episode_steps": params.max_steps}
    functions = (begin, replay) if options.restart == "same" else (reset, step)
    return world_workload(options, *functions, env.num_actions(params), facts)


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    parser.add_argument("--world", default="MiniGrid-EmptyRandom-8x8", help="registered name")
    parser.add_argument("--restart", choices=("same", "fresh"), default="fresh", help="the level after an episode")
    serve(parser, build, ["xminigrid", "flax"])


if __name__ == "__main__":
    main()
