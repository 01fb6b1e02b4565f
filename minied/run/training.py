"""The session's loop: plain Python between compiled chunks, for one run or for the members of a group.

At each boundary, in this order: rows of metrics, evaluations that are due, who is over, a checkpoint if one is due. What is
stopped or killed anywhere goes on from its newest checkpoint and writes the same rows again, bit for bit.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from minied import hosts
from minied.run import metrics
from minied.run.checkpoint import Checkpoints
from minied.run.console import Progress, Reporter, duration
from minied.run.doubts import doubts
from minied.run.evaluation import suite_of
from minied.run.folder import RunFolder
from minied.run.milestones import phases_in
from minied.run.stopping import StopFlag
from minied.run.trained import Counters, Trained
from minied.train.config import TrainConfig

FINISHED, ON_TARGET, OUT_OF_TIME, CUT, FAILED = "finished", "target", "time", "cut", "failed"
"""Why a run is over: its length, its target, its hours, a rule of the sweep, or what went wrong."""


@dataclasses.dataclass
class Member:
    """One run of a session."""

    folder: RunFolder
    config: TrainConfig
    sinks: metrics.Sinks
    counters: Counters = dataclasses.field(default_factory=dict)
    evaluation: metrics.Row | None = None
    """The last one."""
    ended: str = ""
    """Empty while it goes on; else one of `FINISHED` and the others, and after a colon what there is to tell."""

    @property
    def is_active(self) -> bool:
        """Whether it goes on."""
        return not self.ended

    def end(self, why: str, told: str = "") -> None:
        """Let it be over."""
        self.ended = f"{why}: {told}" if told else why


class Rule(Protocol):
    """Stops hopeless members early, at rungs of equal environment steps."""

    def rung(self, passed: int) -> int:
        """Return at how many environment steps of a member the next rung lies, after so many that were passed."""
        ...

    def hopeless(self, members: Sequence[Member], passed: int) -> dict[int, str]:
        """Return which of all members end at the rung that the active ones have reached, and what to tell of each."""
        ...


class Session:
    """One stretch of training, from start or resume to its end or a stop."""

    def __init__(
        self,
        trained: Trained,
        members: list[Member],
        checkpoints: Checkpoints,
        reporter: Reporter,
        stop: StopFlag,
        *,
        rule: Rule | None = None,
        notes: Mapping[str, Any] | None = None,
        draw: Callable[[Any, str, bool], list[str]] | None = None,
        is_pictured: bool = False,
        keep: Callable[[Any, int], None] = lambda *_: None,
    ) -> None:
        """Begin nothing yet.

        Args:
            trained: what trains the members.
            members: in the order of its configs.
            checkpoints: of all of them together.
            reporter: tells a person.
            stop: the wish to stop.
            rule: stops hopeless members early.
            notes: of the checkpoint that the session goes on from.
            draw: draws pictures: saved state, suite, whether it is the last time; returns a line for each that failed.
            is_pictured: whether the last pictures are there already, if nothing is left to do.
            keep: keeps the saved state of the member of a number that is over, for itself.
        """
        self.trained, self.members, self.checkpoints = trained, members, checkpoints
        self.reporter, self.stop, self.rule = reporter, stop, rule
        self._draw, self._is_pictured, self._keep = draw, is_pictured, keep
        self.config: TrainConfig = members[0].config  # of what they have in common
        self.suite = suite_of(self.config, self.config.env.level_space)
        notes = notes or {}
        self._seconds_before, self._rungs = float(notes.get("seconds", 0.0)), int(notes.get("rungs", 0))
        self._over: dict[str, Any] = notes.get("over", {})
        for number, (ended, counters) in self._over.items():
            members[int(number)].ended, members[int(number)].counters = ended, counters
        self._started = time.monotonic()
        self._trained_seconds = 0.0  # of chunks after the first, which compiles
        self._trained_updates = 0
        self._trained_steps = 0
        self._drawing_seconds = 0.0

    def run(self, saved: Any) -> bool:
        """Train until all are over, or a stop is asked for; return whether all are over."""
        state = self.trained.begun(saved, [member.is_active for member in self.members])
        self._look(state)
        self._tell_where_it_stands()
        evaluated = any(member.folder.row_counts()["evaluations"] for member in self.members)
        if self._iterations == 0 and not hosts.agreed(evaluated):
            self._evaluate(state, [True] * len(self.members))
        if any(member.config.start_from.run for member in self.members) and not self.checkpoints.steps():
            self._save(state)  # so that the run that it goes on from is not needed again
        at_checkpoint = self._iterations if self.checkpoints.steps() else None
        chunks = 0
        while self._active and not self._asked_to_stop():
            moved = [member.is_active and not self._waits(member) for member in self.members]
            state = self._advance(state, moved, first=chunks == 0)
            out_of_time = self._is_out_of_time()
            finished = self.trained.is_finished(state)
            due = [
                member.is_active and moved[i] and (finished[i] or self._waits(member) or self._is_due(member))
                for i, member in enumerate(self.members)
            ]
            if out_of_time:
                due = [member.is_active and not _is_evaluated(member) for member in self.members]
            if any(due):
                self._evaluate(state, due)
            state = self._end(state, finished, out_of_time=out_of_time)
            if self._checkpoint_is_due(moved):
                self._save(state)
                at_checkpoint = self._iterations
            chunks += 1
        # After the loop, whatever ended it: a stop may be asked for between any two lines above.
        if at_checkpoint != self._iterations:
            self._save(state)
        over = not self._active
        if self._draw and over and (chunks or not self._is_pictured):
            self._draw_now(state, final=True)
        return over

    # -- where it stands -----------------------------------------------------------------------------------------------

    @property
    def updates(self) -> int:
        """Student updates so far, of all members."""
        return sum(member.counters["student_updates"] for member in self.members)

    @property
    def _active(self) -> list[Member]:
        return [member for member in self.members if member.is_active]

    @property
    def _iterations(self) -> int:
        """Of all members together: it grows with whatever any of them does."""
        return sum(member.counters["iterations"] for member in self.members)

    def _look(self, state: Any) -> None:
        """Learn from a state that was read back where the members are, and who of them is over."""
        finished, wrong = self.trained.is_finished(state), self.trained.complaints(state)
        counters = self.trained.counters(state)
        for i, member in enumerate(self.members):
            # One that is over may have gone on beside others of its lane: its counts are those of its end.
            member.counters = member.counters if str(i) in self._over else counters[i]
            rows = member.folder.read_rows("evaluations") if hosts.is_primary() else []
            member.evaluation = json.loads(hosts.shared_text(json.dumps(rows[-1] if rows else None)))
            if member.is_active and wrong[i]:
                member.end(FAILED, wrong[i])
            elif member.is_active and finished[i]:
                member.end(FINISHED)
            elif member.is_active and self._is_on_target(member):
                member.end(ON_TARGET)

    def _tell_where_it_stands(self) -> None:
        if self._iterations:
            what = "going on" if self._active else "finished already"
            steps = self.config.env_steps  # the run ends by whichever comes first
            total = sum(member.config.updates for member in self.members)
            simulated = sum(member.counters["env_steps"] for member in self.members)
            allowed = sum(member.config.env_steps for member in self.members)
            budget = f", {simulated} of {allowed} environment steps" if steps else ""
            of_updates = "" if steps and self.updates < total else f" of {total}"
            self.reporter.note(f"{what}, at {self.updates}{of_updates} updates{budget}")
        for line in dict.fromkeys(line for member in self.members for line in doubts(member.config)):
            self.reporter.warn(line)

    def _is_due(self, member: Member) -> bool:
        every = member.config.evaluate_every
        return every > 0 and member.counters["iterations"] % every == 0

    def _checkpoint_is_due(self, moved: Sequence[bool]) -> bool:
        every = self.config.checkpoint_every
        iterations = [member.counters["iterations"] for member, has in zip(self.members, moved, strict=True) if has]
        return every > 0 and any(each % every == 0 for each in iterations)

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _is_out_of_time(self) -> bool:
        return self.config.max_hours > 0 and bool(hosts.agreed(self.config.max_hours <= self._seconds() / 3600))

    def _asked_to_stop(self) -> bool:
        """Return whether any of the processes was asked to stop: then all of them save the same step."""
        number = hosts.any_says(self.stop.signal_number or 0)
        if number:
            self.stop.ask(number)
        return self.stop.is_set

    def _is_on_target(self, member: Member) -> bool:
        row = member.evaluation
        return (
            row is not None
            and _is_evaluated(member)
            and 0 < member.config.target <= metrics.member_mean(row["solve_rate"])
        )

    # -- one chunk -----------------------------------------------------------------------------------------------------

    def _advance(self, state: Any, goes: Sequence[bool], *, first: bool) -> Any:
        """Run those that go to their next log boundary and write their rows."""
        if first:
            self.reporter.phase("loading or compiling the training program")
        before, start = [member.counters for member in self.members], time.monotonic()
        every = self.config.log_every
        untils = [(each["iterations"] // every + 1) * every if go else 0 for each, go in zip(before, goes, strict=True)]
        state, measured, wrong = self.trained.advance(state, untils)
        seconds = time.monotonic() - start
        counters, rows, done = self.trained.counters(state), [], dict.fromkeys(before[0], 0)
        for i, member in enumerate(self.members):
            if not goes[i]:
                continue
            gained = {name: counters[i][name] - before[i][name] for name in done}
            done = {name: done[name] + gained[name] for name in done}
            member.counters = counters[i]
            if wrong[i]:
                member.end(FAILED, wrong[i])
                self.reporter.warn(f"{member.folder.path}: {wrong[i]}")
                continue
            rows.append(metrics.metrics_row(member.counters, measured[i]))
            member.sinks.write("metrics", rows[-1])
            rate = round(gained["env_steps"] * member.config.num_seeds / seconds, 1)
            timing = {"seconds": round(seconds, 6), "steps_per_second": rate, "compiling": first}
            member.sinks.write("timing", metrics.counters_row(member.counters) | timing)
        if first:
            told = f"compiled, first {max(done['iterations'] // max(sum(goes), 1), 1)} iterations done"
            self.reporter.phase(f"{told} in {duration(seconds)}")
        else:
            self._trained_seconds += seconds
            self._trained_steps += done["env_steps"] * self.config.num_seeds
            self._trained_updates += done["student_updates"]
        if rows:
            self.reporter.progress(self._progress(rows))
        return state

    def _progress(self, rows: list[metrics.Row]) -> Progress:
        known = self._trained_seconds > 0
        rate = self._trained_updates / self._trained_seconds if known else 0.0
        total = sum(self._total(member) for member in self.members)
        told = [metrics.solve_rate_of(row) for row in rows]
        return Progress(
            updates=self.updates,
            total=total,
            steps_per_second=self._trained_steps / self._trained_seconds if known else math.nan,
            solve_rate=_mean([each for _, each in told]),
            solved_levels=told[0][0],
            solved_means=self.config.env.solved_means,
            tasks_done=metrics.tasks_done(rows[0]) if len(rows) == 1 else "",
            seconds_left=(total - self.updates) / rate if rate else math.nan,
        )

    def _total(self, member: Member) -> int:
        """Return how many updates a member will have had, as far as is known."""
        updates, steps = member.counters["student_updates"], member.counters["env_steps"]
        if member.ended:
            return updates
        if member.config.env_steps and updates:  # the run ends by whichever comes first
            return min(member.config.updates, max(updates, math.ceil(updates * member.config.env_steps / steps)))
        return member.config.updates

    # -- evaluations, ends, checkpoints --------------------------------------------------------------------------------

    def _evaluate(self, state: Any, wanted: list[bool]) -> None:
        if not self.suite:
            return
        self.reporter.phase(f"evaluating on {self.suite!r}")
        found = self.trained.evaluate(state, self.suite, [member.counters for member in self.members], wanted)
        rows = []
        for member, row, is_wanted in zip(self.members, found, wanted, strict=True):
            if is_wanted:
                member.sinks.write("evaluations", row)
                member.evaluation = row
                rows.append(row)
        self.reporter.note(self._told(rows))
        if self._draw and self._drawing_seconds < 0.02 * (time.monotonic() - self._started):
            self._draw_now(state, final=False)

    def _told(self, rows: list[metrics.Row]) -> str:
        rates = [metrics.member_mean(row["solve_rate"]) for row in rows]
        means = f"of {self.suite!r} {self.config.env.solved_means}"
        if len(self.members) == 1:
            seen = phases_in(self.config.env.milestones, rows[0].get("statistics", {}))
            return f"after {self.updates} updates: {rates[0]:.0%} {means}{seen}"
        told = f"{max(rates):.0%} {means} by the best of {len(rates)} members, mean {_mean(rates):.0%}"
        return f"after {self.updates} updates: {told}"

    def _waits(self, member: Member) -> bool:
        """Return whether a member has come to the next rung of the rule, where it waits for the others."""
        return self.rule is not None and member.counters["env_steps"] >= self.rule.rung(self._rungs)

    def _end(self, state: Any, finished: list[bool], *, out_of_time: bool) -> Any:
        """Let be over who is; return the state, the others spread evenly again if there are fewer now."""
        before = [member.is_active for member in self.members]
        for i, member in enumerate(self.members):
            if member.is_active and finished[i]:
                member.end(FINISHED)
            elif member.is_active and self._is_on_target(member):
                member.end(ON_TARGET)
            elif member.is_active and out_of_time:
                member.end(OUT_OF_TIME)
        if self.rule and self._active and all(self._waits(member) for member in self._active):
            hopeless = self.rule.hopeless(self.members, self._rungs)
            for i, told in hopeless.items():
                self.members[i].end(CUT, told)
            for told in dict.fromkeys(hopeless.values()):
                number = sum(each == told for each in hopeless.values())
                self.reporter.note(f"{number} members {told}" if number > 1 else f"1 member {told}")
            self._rungs += 1
            while self._active and all(self._waits(member) for member in self._active):
                self._rungs += 1  # a chunk that passes several rungs is judged once
        ended = [i for i, was in enumerate(before) if was and not self.members[i].is_active]
        if not ended:
            return state
        saved = self.trained.saved(state)
        for i in ended:
            self._keep(self.trained.alone(saved, i), i)
        return self.trained.begun(saved, [member.is_active for member in self.members])

    def _save(self, state: Any) -> None:
        self.reporter.phase("saving a checkpoint")
        for member in self.members:
            member.sinks.flush()
        rows, counters = [m.folder.row_counts() for m in self.members], [m.counters for m in self.members]
        if len(self.members) > 1:  # by the number of each
            rows, counters = ([{str(i): each for i, each in enumerate(all_of)}] for all_of in (rows, counters))
        # A run by itself may go on past its target or its hours, with others.
        several = len(self.members) > 1
        over = {str(i): [m.ended, m.counters] for i, m in enumerate(self.members) if several and m.ended}
        notes = {"seconds": self._seconds(), "rungs": self._rungs, "over": over}
        saved, keep = self.trained.saved(state), self.config.keep_checkpoints
        self.checkpoints.save(self._iterations, saved, counters[0], rows[0], keep, notes)

    def _draw_now(self, state: Any, *, final: bool) -> None:
        start = time.monotonic()
        self.reporter.phase("drawing pictures")
        draw = self._draw or (lambda *_: [])
        for line in draw(self.trained.saved(state), self.suite, final):
            self.reporter.warn(line)
        self._drawing_seconds += time.monotonic() - start


def _is_evaluated(member: Member) -> bool:
    """Return whether its last evaluation is of where it stands."""
    return member.evaluation is not None and member.evaluation["iterations"] == member.counters["iterations"]


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
