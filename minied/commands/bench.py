"""``minied bench``: how fast training and worlds are here, and how fast other libraries are."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from minied.commands.shared import print_json
from minied.config.options import parse
from minied.errors import UserError, unknown_name
from minied.run.console import make_reporter, print_table

DESCRIPTION = """Time training with the teachers of the literature at its standard workload (13x13 mazes, 32 environments x
256 steps, 5 epochs, LSTM of 256 units) and the maze alone, in processes of their own, compile time apart. With --peers also
other libraries, in turn with minied; they are installed once, in environments of their own, from the package index."""
NUM_ENVS = (32, 1024, 8192)
"""Environments side by side of the world that is timed alone."""


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Options of `minied bench`."""

    quick: bool = False
    """A minute or two: two teachers, two sizes of world, short timings. Rougher."""
    peers: tuple[str, ...] | None = None
    """Also time these libraries: jaxued, minimax, navix, xminigrid; without a name all of them."""
    rounds: int = 5
    """Timings of each; ratios are of the same round."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: list[str]) -> int:
    """Measure; return the exit code."""
    options = parse(BenchOptions, arguments, "minied bench", DESCRIPTION)
    if options.rounds < 1:
        raise UserError(f"--rounds is {options.rounds}; allowed: at least 1")
    from minied.bench import machine
    from minied.bench.measure import measure
    from minied.bench.scripts import surviving
    from minied.bench.tables import tables

    groups = _groups(options.quick, _peers(options.peers))
    here = machine.describe()
    measurements: list[Any] = []
    failed: list[str] = []
    with make_reporter(quiet=options.json) as reporter:
        for number, group in enumerate(groups, start=1):
            step = _Numbered(reporter, f"{number}/{len(groups)}")
            seconds = 0.3 if options.quick else 1.0
            with surviving(group[0], failed, step):
                measurements += measure(group, options.rounds, step, platform=here["platform"], least_seconds=seconds)
    if options.json:
        rows = [each.to_dict() for each in measurements]
        told = {"machine": here, "rounds": options.rounds, "quick": options.quick, "measurements": rows}
        print_json(told | ({"failed": failed} if failed else {}))
        return 1 if failed else 0
    for table in tables(measurements):
        print_table(table)
    print(_summary(here))
    return 1 if failed else 0


def _peers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the libraries to time. Raises `UserError` for one that is not known."""
    from minied.bench.peers.environments import PEERS

    for name in names or ():
        if name not in PEERS:
            raise unknown_name("peer", name, list(PEERS))
    return () if names is None else tuple(dict.fromkeys(names)) or tuple(PEERS)


def _groups(quick: bool, peers: Sequence[str]) -> list[list[Any]]:
    """Return what is timed, each group open at once."""
    from minied.bench import cases

    groups = []
    for teacher in ("domain_randomization", "robust_plr") if quick else cases.TEACHERS:
        # An update of PAIRED takes some eight times one of the others. minimax's had not ended after ten minutes on two
        # cores: it is left to `benchmarks/training_speed.py`.
        long = teacher == "paired"
        iterations = 1 if long else 4 if quick else 8
        # Whether to learn in an iteration is chance where it depends on replaying: a short measurement may see no learning
        # at all, and two libraries draw differently. Replays only are the same work in every round.
        by_chance = teacher in cases.LEARN_FROM_REPLAYS and (quick or "minimax" in peers)
        updates = "replay" if by_chance else "mixed"
        mine = cases.training(teacher, iterations=iterations, updates=updates)
        theirs = [cases.minimax_training(teacher, metrics, updates=updates) for metrics in ("on", "off")]
        groups.append([mine, *(theirs if "minimax" in peers and not long else [])])
    for num_envs in NUM_ENVS[:2] if quick else NUM_ENVS:
        for restart in ("same", "fresh"):
            mazes = [cases.world(peer, num_envs, restart) for peer in ("jaxued", "minimax") if peer in peers]
            others = [case for case in cases.other_worlds(num_envs) if case.peer in peers] if restart == "fresh" else []
            groups.append([cases.world("minied", num_envs, restart), *mazes, *others])
    return groups


class _Numbered:
    """Tells a reporter which of how many groups is measured."""

    def __init__(self, reporter: Any, prefix: str) -> None:
        self._reporter, self._prefix = reporter, prefix

    def phase(self, text: str) -> None:
        """Say what is measured now."""
        self._reporter.phase(f"{self._prefix} {text}")

    def warn(self, text: str) -> None:
        """Say what could not be measured."""
        self._reporter.warn(text)


def _summary(here: dict[str, Any]) -> str:
    """Return where it was measured, in one line."""
    memory = f"{here['memory_bytes'] / 2**30:.0f} GiB" if here["memory_bytes"] else "memory unknown"
    settings = ", ".join(f"{name}={value}" for name, value in here["settings"].items())
    parts = [
        f"{here['processors_usable']} × {here['processor']}",
        memory,
        f"jax runs on {here['platform']} ({here['device']})",
        f"jax {here['jax']}",
        f"jaxlib {here['jaxlib']}",
        f"Python {here['python']}",
        f"load before {here['load_average_before']:.1f}" if here["load_average_before"] is not None else "",
        settings,
        here["date"],
    ]
    return "; ".join(part for part in parts if part)
