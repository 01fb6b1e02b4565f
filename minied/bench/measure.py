"""A group of cases, open at once and timed in turn: what a benchmark is made of.

The first case of a group is the one that the others are compared with. A case whose process does not start, or dies, is told
in one line and left out, but for the first.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from minied.bench import PRECISION
from minied.bench.cases import Case
from minied.bench.peers.process import Peer, start_peer
from minied.bench.timing import Estimate, Timing, estimate, in_turn, pooled_rate, rates, ratio
from minied.errors import UserError

LEAST_SECONDS = 3.0
"""What a timing should take at least, so that what the clock and the operating system add is nothing beside it."""
_MOST_CALLS = 100_000


class Tell(Protocol):
    """Who is told of progress and of what failed: a `minied.run.console.Reporter`, for one."""

    def phase(self, text: str) -> None:
        """Say what is measured now."""

    def warn(self, text: str) -> None:
        """Say what could not be measured."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What came of a case."""

    case: Case
    ready: Mapping[str, Any]  # what the process said when it was ready
    timings: tuple[Timing, ...]  # one a round
    peak_resident_bytes: int | None
    ratio: Estimate | None = None  # how many times as fast the first of the group is; None for the first itself

    def rate(self, name: str) -> Estimate:
        """Return how many of ``name`` were done a second."""
        return rates(self.timings, name)

    def pooled_rate(self, name: str) -> float:
        """Return how many of ``name`` were done a second in all rounds together, see `timing.pooled_rate`."""
        return pooled_rate(self.timings, name)

    @property
    def precision(self) -> str:
        """What the process said it computes in, or what all of this package is measured in."""
        told = self.ready.get("workload", {}).get("precision")
        # Other libraries leave it to JAX, which multiplies in TF32 on a GPU.
        return told or ("tf32" if self.ready.get("platform") == "gpu" else PRECISION)

    @property
    def seconds_an_update(self) -> Estimate | None:
        """Seconds of an iteration of training; None for a world."""
        if not all(timing.counts.get("updates") for timing in self.timings):
            return None
        return estimate([timing.seconds / timing.counts["updates"] for timing in self.timings])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: rates by what is counted, times in seconds."""
        case, names = self.case, ("steps", "learnt") if self.case.what == "training" else ("steps",)
        told: dict[str, Any] = {
            "what": case.what,
            "name": case.name,
            "note": case.note,
            "by": case.by,
            "num_envs": case.num_envs,
            "precision": self.precision,
            "first_call_seconds": self.ready.get("first_call_seconds"),
            "peak_resident_bytes": self.peak_resident_bytes,
        }
        for name in names:
            key = {"steps": "env_steps_per_second", "learnt": "train_steps_per_second"}[name]
            told[key] = self.rate(name).to_dict() | {"pooled": self.pooled_rate(name)}
        if (each := self.seconds_an_update) is not None:
            told["seconds_an_update"] = each.to_dict()
        if self.ratio is not None:
            told["first_of_group_over_this"] = {"counted": case.counted} | self.ratio.to_dict()
        told["versions"] = dict(self.ready.get("versions", {}))
        return told | {"workload": dict(self.ready.get("workload", {})), "arguments": list(case.arguments)}


def measure(
    group: Sequence[Case],
    rounds: int,
    tell: Tell,
    *,
    platform: str,
    least_seconds: float = LEAST_SECONDS,
    start: Callable[..., Peer] = start_peer,
) -> list[Measurement]:
    """Return what came of each case of a group, in its order, but for those that failed.

    Args:
        group: the first is what the others are compared with.
        rounds: timings of each.
        tell: of progress and failures.
        platform: cpu or gpu.
        least_seconds: a timing covers as many calls as take about so long.
        start: makes the process of a script.

    Raises:
        UserError: the first case failed.
    """
    with contextlib.ExitStack() as stack:
        opened: dict[Case, Peer] = {}
        calls: dict[Case, int] = {}
        for case in group:
            tell.phase(f"starting {case.title}")
            with _forgiven(case, group, tell):
                process = start(case.script, case.arguments, platform, dict(case.variables))
                peer = stack.enter_context(process)
                calls[case] = _calls_for(least_seconds, peer)
                opened[case] = peer
        tell.phase(f"timing {group[0].title}" + (f" and {len(opened) - 1} more, in turn" if len(opened) > 1 else ""))
        failed: set[Case] = set()

        def once(case: Case) -> Timing:
            if case not in failed:
                with _forgiven(case, group, tell):
                    return timing_of(opened[case], calls[case])
                failed.add(case)
            return Timing(math.nan, {})

        keys = {str(number): case for number, case in enumerate(opened)}
        timings = in_turn({key: functools.partial(once, case) for key, case in keys.items()}, rounds)
        by_case = {case: tuple(timings[key]) for key, case in keys.items() if case not in failed}
        first = by_case[group[0]]
        return [
            Measurement(
                case,
                opened[case].ready,
                each,
                opened[case].last.get("peak_resident_bytes"),
                None if case is group[0] else ratio(first, each, case.counted),
            )
            for case, each in by_case.items()
        ]


def timing_of(peer: Peer, calls: int | None = None) -> Timing:
    """Return one timing of an open process, with everything that it counts."""
    seconds, _ = peer.time(calls)
    counts = {
        name: value for name, value in peer.last.items() if isinstance(value, int) and not name.endswith("_bytes")
    }
    return Timing(seconds, counts)


def timing_of_all(peers: Sequence[Peer], calls: int | None = None) -> Timing:
    """Return one timing of processes that run at the same time: until the last has answered, with their counts added up."""
    with ThreadPoolExecutor(len(peers)) as threads:
        began = time.perf_counter()
        timings = list(threads.map(lambda peer: timing_of(peer, calls), peers))
        seconds = time.perf_counter() - began
    names = timings[0].counts
    return Timing(seconds, {name: sum(timing.counts[name] for timing in timings) for name in names})


def _calls_for(least_seconds: float, peer: Peer) -> int:
    """Return how many calls take about so long, by one that is timed for that. It is also what warms the process up."""
    seconds, _ = peer.time(1)
    return min(max(1, math.ceil(least_seconds / seconds)), _MOST_CALLS)


@contextlib.contextmanager
def _forgiven(case: Case, group: Sequence[Case], tell: Tell) -> Iterator[None]:
    """Tell of what failed, in one line, and go on, unless it is the case that the others are compared with."""
    try:
        yield
    except UserError as error:
        if case is group[0]:
            raise
        tell.warn(f"not measured: {case.title}: {' '.join(str(error).split())}")
