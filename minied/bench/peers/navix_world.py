"""A world of NAVIX alone, random actions: environment steps per second.

Timed: ``Environment.step`` in the loop of ``world_loop``: the library resets in the step after an episode ended (that step
is counted, though nothing moves in it) and, being vmapped, computes the reset in every step. Worlds: Navix-Empty-8x8-v0 and
Navix-DoorKey-8x8-v0 as registered: the whole grid 8×8×3 is observed, at most 100 steps. Not timed: compiling, the first
reset.
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import navix
    from world_loop import world_workload

    env = navix.make(options.world)

    def step(_: Any, state: Any, action: Any) -> Any:  # the state has a key of its own
        state = env.step(state, action)
        return state, state.observation

    facts = {"observation_shape": list(env.observation_space.shape), "max_episode_steps": env.max_steps}
    return world_workload(options, env.reset, step, len(env.action_set), facts)


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    worlds = ("Navix-Empty-8x8-v0", "Navix-DoorKey-8x8-v0")
    parser.add_argument("--world", choices=worlds, default=worlds[0], help="registered name")
    serve(parser, build, ["navix", "flax"])


if __name__ == "__main__":
    main()
