"""How many steps a second does the gridworld take, family by family, and navix and xminigrid in theirs?

Workload: uniformly random actions in 32, 1,024 and 8,192 environments side by side; a compiled scan of 256 steps in which
the observations of every step are summed, so that they have to be computed. After an episode an environment of any library
starts again on the same level. Grids are of MiniGrid's size (Memory's is 17 here and 16 in xminigrid), horizons those of
each library.

minied's world observes codes, of which MiniGrid's three numbers a cell are made here in every step, as others return
them. The others see through walls (navix: its view in front of the agent, not all of the grid), so that the first row of a
family, with which they are compared, does too; MiniGrid's own view, in which walls hide what is behind them, is apart.
Where a library has no such family there is no row.

Counted: environment steps. First calls, which compile, are apart. What is compared is open at once and timed in turn;
ratios are of the same round.

    python benchmarks/gridworld_families.py --rounds 5
"""

from typing import Any

from minied.bench.cases import Case
from minied.bench.peers.process import SCRIPTS
from minied.bench.scripts import main, measure_groups, script_parser
from minied.run.console import Reporter

# Family: options of minied's world, navix's name and xminigrid's.
FAMILIES: dict[str, tuple[str, str, str]] = {
    "Empty-Random-8x8": (
        "--env.height 6 --env.width 6 --env.levels.family empty --env.levels.random-start",
        "Navix-Empty-Random-8x8-v0",
        "MiniGrid-EmptyRandom-8x8",
    ),
    "FourRooms": (
        "--env.height 17 --env.width 17 --env.levels.family four_rooms",
        "Navix-FourRooms-v0",
        "MiniGrid-FourRooms",
    ),
    "DoorKey-8x8": (
        "--env.height 6 --env.width 6 --env.levels.family door_key",
        "Navix-DoorKey-Random-8x8-v0",
        "MiniGrid-DoorKey-8x8",
    ),
    "MultiRoom-N6": (
        "--env.height 23 --env.width 23 --env.levels.family multi_room --env.levels.min-rooms 6 --env.levels.max-rooms 6"
        " --env.levels.room-size 10",
        "",
        "",
    ),
    "KeyCorridorS3R3": (
        "--env.height 5 --env.width 5 --env.levels.family key_corridor --env.levels.room-size 3",
        "Navix-KeyCorridorS3R3-v0",
        "",
    ),
    "KeyCorridorS6R3": (
        "--env.height 14 --env.width 14 --env.levels.family key_corridor --env.levels.room-size 6",
        "Navix-KeyCorridorS6R3-v0",
        "",
    ),
    "Unlock": ("--env.height 4 --env.width 9 --env.levels.family unlock", "", "MiniGrid-Unlock"),
    "UnlockPickup": ("--env.height 4 --env.width 9 --env.levels.family unlock_pickup", "", "MiniGrid-UnlockPickUp"),
    "BlockedUnlockPickup": (
        "--env.height 4 --env.width 9 --env.levels.family blocked_unlock_pickup",
        "",
        "MiniGrid-BlockedUnlockPickUp",
    ),
    "LavaGapS7": ("--env.height 5 --env.width 5 --env.levels.family lava_gap", "Navix-LavaGapS7-v0", ""),
    "SimpleCrossingS9N3": (
        "--env.height 7 --env.width 7 --env.levels.family crossing --env.levels.num-crossings 3 --env.levels.obstacle wall",
        "Navix-SimpleCrossingS9N3-v0",
        "",
    ),
    "Memory": (
        "--env.height 15 --env.width 15 --env.levels.family memory --env.levels.random-length",
        "",
        "MiniGrid-MemoryS16",
    ),
    "ObstructedMaze-Full": (
        "--env.height 14 --env.width 14 --env.levels.family obstructed_maze --env.levels.maze Full",
        "",
        "",
    ),
}
LIBRARIES = ("navix", "xminigrid")


def group(family: str, num_envs: int, against: list[str]) -> list[Case]:
    """Return minied's case of a family, seeing through walls; the same with MiniGrid's view; and those of others."""
    options, navix, xminigrid = FAMILIES[family]
    ours = ["--preset", "gridworld/door_key", "--observe", "minigrid", *options.split(), "--env.max-steps", "0"]
    rows = [
        ("minied", "minied_maze", [*ours, "--env.see-through-walls"]),
        ("minied, as MiniGrid", "minied_maze", ours),
        ("navix", "navix_world", ["--world", navix, "--observe", "view"] if navix else []),
        ("xminigrid", "xminigrid_world", ["--world", xminigrid] if xminigrid else []),
    ]
    return [
        Case(
            "world",
            family,
            by,
            script,
            ("--num-envs", str(num_envs), "--restart", "same", *arguments),
            "steps",
            num_envs,
            note="same level",
        )
        for by, script, arguments in rows
        if arguments and (SCRIPTS[script] == "minied" or by in against)
    ]


def script(reporter: Reporter) -> dict[str, Any]:
    parser = script_parser(__doc__)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES, help="which of them")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[32, 1024, 8192], help="environments side by side")
    parser.add_argument(
        "--against", nargs="*", default=list(LIBRARIES), choices=LIBRARIES, help="also time these, in turn"
    )
    arguments = parser.parse_args()
    groups = [group(name, number, arguments.against) for name in arguments.families for number in arguments.num_envs]
    result = measure_groups(groups, arguments, reporter)
    return {"table": table(result["measurements"])} | result


def table(measurements: list[dict[str, Any]]) -> list[str]:
    """Return the rows of a table in Markdown: millions of steps a second, and how many times as fast minied is."""
    rows = ["| family | environments | by | M steps/s | minied is times as fast |", "|---|---|---|---|---|"]
    for each in measurements:
        rate = each["env_steps_per_second"]["median"] / 1e6
        ratio = each.get("first_of_group_over_this")
        times = "" if ratio is None else f"{ratio['median']:.2f} [{ratio['least']:.2f}, {ratio['most']:.2f}]"
        rows.append(f"| {each['name']} | {each['num_envs']} | {each['by']} | {rate:.2f} | {times} |")
    return rows


if __name__ == "__main__":
    main(script)
