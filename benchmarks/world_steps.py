"""How many steps a second does the maze take alone, and the worlds of others?

Workload: uniformly random actions in 32, 1,024 and 8,192 environments side by side, 13×13 cells, 60 walls drawn, episodes of
at most 250 steps; a compiled scan of 256 steps in which the observations of every step are summed, so that they have to be
computed. After an episode an environment starts again on the same level, or on a fresh random one. minied's world observes
codes, which are decoded here into the images that others return (``--observe codes``: not; no ratio is then of the same
work).

Counted: environment steps. First calls, which compile, are apart. ``--against`` adds the mazes of jaxued and minimax and the
other worlds of xminigrid and navix, timed in turn with minied's; ratios are of the same round. Those to other worlds than
mazes compare different work. ``hide_and_seek_1v1`` and ``hide_and_seek_2v2`` are minied's own (steps of the world, not
of its two or four agents).

    python benchmarks/world_steps.py --against jaxued minimax --rounds 10
"""

from typing import Any

from minied.bench import cases
from minied.bench.scripts import main, measure_groups, script_parser
from minied.run.console import Reporter

PEERS = ("jaxued", "minimax", "navix", "xminigrid")
OWN = {"hide_and_seek_1v1": "1v1", "hide_and_seek_2v2": "2v2"}


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument("--num-envs", type=int, nargs="+", default=[32, 1024, 8192], help="environments side by side")
    parser.add_argument("--restart", nargs="+", default=["same", "fresh"], choices=("same", "fresh"))
    parser.add_argument("--observe", default="images", choices=("images", "codes"), help="what minied's world gives")
    parser.add_argument("--against", nargs="*", default=[], choices=(*PEERS, *OWN), help="also time these, in turn")
    arguments = parser.parse_args()
    groups = []
    for num_envs in arguments.num_envs:
        for restart in arguments.restart:
            mazes = [
                cases.world(peer, num_envs, restart) for peer in ("jaxued", "minimax") if peer in arguments.against
            ]
            # Other worlds draw a new level at every restart.
            others = cases.other_worlds(num_envs) if restart == "fresh" else []
            others = [case for case in others if case.peer in arguments.against]
            own = [cases.hide_and_seek(OWN[each], num_envs, restart) for each in arguments.against if each in OWN]
            groups.append([cases.world("minied", num_envs, restart, arguments.observe), *own, *mazes, *others])
    return measure_groups(groups, arguments, reporter)


if __name__ == "__main__":
    main(script)
