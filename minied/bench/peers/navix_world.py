"""A world of NAVIX alone, random actions: environment steps per second.

Timed: ``Environment.step`` in the loop of ``world_loop``: the library resets in the step after an episode ended
(which is counted, though nothing moves in it) and, being vmapped, computes the reset in every step. ``--restart same``
does without: what the library does for a step alone, and the state of the start again where an episode ended. The world is
as registered; ``--observe grid`` is its default, all of the grid, and ``view`` the 7×7×3 in front of the agent, walls seen
through. Not timed: compiling, the first reset.
"""

from __future__ import annotations

import argparse
from typing import Any

# pyright: reportMissingImports=false


def build(options: argparse.Namespace) -> Any:
    """Return the workload."""
    import navix
    from world_loop import chosen, world_workload

    if options.observe == "view":
        env = navix.make(options.world, observation_fn=navix.observations.symbolic_first_person)
    else:
        env = navix.make(options.world)

    def step(_: Any, state: Any, action: Any) -> Any:  # the state has a key of its own
        state = env.step(state, action)
        return state, state.observation

    def replay(_: Any, carry: Any, action: Any) -> Any:
        first, state = carry
        state = env._step(state, action)
        state = chosen(state.step_type > 0, first, state)
        return (first, state), state.observation

    def begin(key: Any) -> Any:
        first = env.reset(key)
        return first, first

    facts = {"observation_shape": list(env.observation_space.shape), "max_episode_steps": env.max_steps}
    functions = (begin, replay) if options.restart == "same" else (env.reset, step)
    return world_workload(options, *functions, len(env.action_set), facts)


def main() -> None:
    """Serve timings of this world."""
    from protocol import argument_parser, serve

    parser = argument_parser(__doc__)
    parser.add_argument("--world", default="Navix-Empty-8x8-v0", help="registered name")
    parser.add_argument("--restart", choices=("same", "fresh"), default="fresh", help="the level after an episode")
    parser.add_argument("--observe", choices=("grid", "view"), default="grid", help="all, or what is before the agent")
    serve(parser, build, ["navix", "flax"])


if __name__ == "__main__":
    main()
