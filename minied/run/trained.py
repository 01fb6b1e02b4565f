# ruff: noqa: D102 (what the methods of `One` and `Several` do is told in `Trained`)
"""What a session trains: one run, or the members of a group that share a program. The session does not know which.

Letters: ``n`` runs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from minied.run.evaluation import evaluate, plays_of, row_of
from minied.run.metrics import Row
from minied.spread import Spread

if TYPE_CHECKING:
    from minied.train.group import Group
    from minied.train.program import Memory, Program

Counters = dict[str, int]


class Trained(Protocol):
    """Runs and what is done with them. Two forms of a state: in work, and as it is saved."""

    @property
    def spread(self) -> Spread:
        """Over which devices the work is spread."""
        ...

    @property
    def programs(self) -> Sequence["Program"]:
        """That of each run by itself."""
        ...

    def check(self) -> None:
        """Trace the training program. Raises `UserError` for what only shows there."""

    def compile(self) -> "Memory":
        """Compile the training program; return what it needs of each device's memory."""
        ...

    def init(self, earlier: Sequence[Mapping[str, np.ndarray] | None]) -> Any:
        """Return the saved form of the state before the first iteration."""

    def begun(self, saved: Any, active: Sequence[bool]) -> Any:
        """Return a saved state in work, the ``active`` runs spread evenly."""

    def saved(self, state: Any) -> Any:
        """Return the form in which a state is saved."""

    def alone(self, saved: Any, number: int) -> Any:
        """Return, of a saved state, that of the run ``number`` as a `RunState` of its own."""

    def advance(self, state: Any, untils: Sequence[int]) -> tuple[Any, list[dict[str, np.ndarray]], list[str]]:
        """Run each until it has made so many iterations. Return the state, the metrics and what is wrong with each."""
        ...

    def complaints(self, state: Any) -> list[str]:
        """Return what is wrong with each, empty where nothing is."""
        ...

    def counters(self, state: Any) -> list[Counters]:
        """Return the counts of each."""
        ...

    def is_finished(self, state: Any) -> list[bool]:
        """Return which have had their updates or steps."""
        ...

    def evaluate(self, state: Any, suite: str, counters: Sequence[Counters], wanted: Sequence[bool]) -> list[Row]:
        """Return the rows of an evaluation of the ``wanted`` runs, and for the others rows that say nothing."""
        ...


class One:
    """One run, of one seed or several."""

    def __init__(self, program: "Program") -> None:
        self.program = program

    @property
    def spread(self) -> Spread:
        return self.program.spread

    @property
    def programs(self) -> Sequence["Program"]:
        return (self.program,)

    def check(self) -> None:
        self.program.check()

    def compile(self) -> "Memory":
        return self.program.compile()

    def init(self, earlier: Sequence[Mapping[str, np.ndarray] | None]) -> Any:
        return self.program.init() if earlier[0] is None else self.program.init(earlier[0])

    def begun(self, saved: Any, active: Sequence[bool]) -> Any:
        return saved

    def saved(self, state: Any) -> Any:
        return state

    def alone(self, saved: Any, number: int) -> Any:
        return saved

    def advance(self, state: Any, untils: Sequence[int]) -> tuple[Any, list[dict[str, np.ndarray]], list[str]]:
        state, measured = self.program.advance(state, untils[0])
        return state, [measured], [""]

    def complaints(self, state: Any) -> list[str]:
        return [""]  # `advance` raises

    def counters(self, state: Any) -> list[Counters]:
        return [self.program.counters(state)]

    def is_finished(self, state: Any) -> list[bool]:
        return [self.program.is_finished(state)]

    def evaluate(self, state: Any, suite: str, counters: Sequence[Counters], wanted: Sequence[bool]) -> list[Row]:
        return [evaluate(self.program, state, suite, self.program.config.attempts, counters[0])]


class Several:
    """Members of a group."""

    def __init__(self, group: "Group") -> None:
        self.group = group

    @property
    def spread(self) -> Spread:
        return self.group.spread

    @property
    def programs(self) -> Sequence["Program"]:
        return self.group.programs

    def check(self) -> None:
        self.group.check()

    def compile(self) -> "Memory":
        return self.group.compile()

    def init(self, earlier: Sequence[Mapping[str, np.ndarray] | None]) -> Any:
        return self.group.init(earlier)

    def begun(self, saved: Any, active: Sequence[bool]) -> Any:
        return self.group.arranged(saved, active)

    def saved(self, state: Any) -> Any:
        return self.group.gathered(state)

    def alone(self, saved: Any, number: int) -> Any:
        return self.group.member(saved, number)

    def advance(self, state: Any, untils: Sequence[int]) -> tuple[Any, list[dict[str, np.ndarray]], list[str]]:
        state, measured = self.group.advance(state, untils)
        return state, measured, self.group.complaints(state)

    def complaints(self, state: Any) -> list[str]:
        return self.group.complaints(state)

    def counters(self, state: Any) -> list[Counters]:
        return self.group.counters(state)

    def is_finished(self, state: Any) -> list[bool]:
        return self.group.is_finished(state)

    def evaluate(self, state: Any, suite: str, counters: Sequence[Counters], wanted: Sequence[bool]) -> list[Row]:
        attempts, plays = self.group.configs[0].attempts, plays_of(self.group.programs[0], suite)
        results = [
            self.group.evaluate(state, play.part, [play.key(config) for config in self.group.configs], attempts, wanted)
            for play in plays
        ]
        return [
            row_of(
                config, suite, attempts, plays, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], results), counters[i]
            )
            for i, config in enumerate(self.group.configs)
        ]
