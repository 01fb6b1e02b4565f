"""Runs that share one compiled program, each with a seed and numbers of its own: what a sweep is made of.

Members lie in *lanes*. A lane is what the loop of one run is: members of one schedule, whose plans are scalars, so that no
branch is paid twice. Lanes go one after the other on a device, each until it is finished, and over several devices side by
side with nothing between them; the members of a lane go side by side where that is faster (see `map_members`). A lane with
nothing left to do costs nothing: that is how members are stopped early without a new compile.

Letters: ``n`` members, ``G`` lanes, ``M`` places in a lane.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment, with_agent_axis
from minied.evaluate.episodes import LevelResults, evaluate_levels
from minied.levels.space import Suite
from minied.spread import ALONE, Spread, fetched
from minied.students.base import Student
from minied.students.networks.teams import require_same_teams
from minied.train.config import TrainConfig
from minied.train.lanes import evenly, lanes_of, refuse_other_programs
from minied.train.loop import Faults, advance, faults
from minied.train.metrics import Metrics
from minied.train.program import Memory, Program, complaint, memory_of, wait_for
from minied.train.setting import Setting
from minied.train.state import RunState, map_members


class Group:
    """The compiled functions of several configs that differ in numbers alone. Holds no state of the runs.

    A state of the group is a `RunState` with a leading axis of members, ``[n]`` of the schedule too, whatever lanes and
    devices it is computed in; `arranged` lays it into lanes, ``[G]`` and ``[G, M]``, and `gathered` takes it out again.
    """

    def __init__(self, configs: Sequence[TrainConfig], width: int | None = None) -> None:
        """Compile nothing yet.

        Args:
            configs: of the members, ``num_seeds`` 1 each.
            width: M at most; by default 1 on CPU, elsewhere as many as share a schedule.

        Raises `UserError`, which names the field, for configs that cannot share a program, or more devices than there are.
        """
        refuse_other_programs(configs)
        self.configs = tuple(configs)
        self.programs = tuple(Program(config, spread=ALONE) for config in configs)
        self._settings = tuple(Setting.of(config, spread=ALONE) for config in configs)
        self.slots, self.spread = lanes_of(self.configs, self._settings, width)
        self._executable: Any = None

    @property
    def student(self) -> Student:
        """The network of all members."""
        return self.programs[0].student

    def check(self) -> None:
        """Trace the program without running or compiling it. Raises `UserError` as `Program.check` does."""
        self.programs[0].check()

    def init(self, earlier: Sequence[Mapping[str, np.ndarray] | None] = ()) -> RunState:
        """Return the state of all members before the first iteration, ``[n, ...]``; see `Program.init`.

        ``earlier`` are parameters for each member to go on from, or None.
        """
        begun = earlier or (None,) * len(self.programs)
        states = [program.init(each) for program, each in zip(self.programs, begun, strict=True)]
        schedules = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state.schedule for state in states))
        members = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(state.members for state in states))
        return RunState(schedules, members)

    def member(self, state: RunState, number: int) -> RunState:
        """Return, of a state of the group, that of the solo run of member ``number``."""
        return _taken(state, np.asarray(number), (np.asarray([number]),))

    def arranged(self, state: RunState, active: Sequence[bool] = ()) -> RunState:
        """Return the state in lanes, on the devices. Lanes with ``active`` members, if told, are dealt evenly to those."""
        if active:
            self.slots = evenly(self.slots, np.asarray(active), self.spread.number)
        # An empty place is a copy of its neighbour, an empty lane one of the first member's, and neither is ever read.
        filled = np.where(self.slots < 0, np.maximum(self.slots[:, :1], 0), self.slots)
        return self.spread.place(_taken(state, filled[:, 0], (filled,)), self.spread.of_members)

    def gathered(self, state: RunState) -> RunState:
        """Return a state in lanes in the order of the members, ``[n, ...]``."""
        lane, place = self._positions()
        return _taken(state, lane, (lane, place))

    def advance(self, state: RunState, untils: Sequence[int]) -> tuple[RunState, list[dict[str, np.ndarray]]]:
        """Run each member until it has made so many iterations, or its lane is finished or broken; 0: as it is.

        The members of a lane go together, as far as the farthest. ``state`` lies in lanes, is donated and must not be used
        again. Returns the new state, ready on the devices, and for each member the mean of each metric, ``f32[1]``, NaN
        where it was never defined. `complaints` tells who is broken.
        """
        of_lanes = [max((untils[member] for member in lane if member >= 0), default=0) for lane in self.slots]
        untils_of_lanes = self.spread.place(jnp.asarray(of_lanes, jnp.int32), self.spread.of_members)
        program = self._executable or functools.partial(_advance, self.spread)
        # What has no elements may come out with another layout than it went in with.
        state = self.spread.place(state, self.spread.of_members)
        state, metrics = program(*self._numbers(), state, untils_of_lanes)
        wait_for(state)
        lane, place = self._positions()
        found = {name: value[lane, place] for name, value in fetched(metrics).items()}
        return state, [{name: value[i : i + 1] for name, value in found.items()} for i in range(len(self.configs))]

    def compile(self) -> Memory:
        """Compile the training program, unless that was done; return what it needs of a device's memory."""
        if self._executable is None:
            state = jax.eval_shape(lambda: self.arranged(self.init()))
            arguments = (*self._numbers(), state, jnp.zeros(len(self.slots), jnp.int32))
            shapes = self.spread.shapes(arguments, self.spread.of_members)
            self._executable = _advance.lower(self.spread, *shapes).compile()
        return memory_of(self._executable)

    def complaints(self, state: RunState) -> list[str]:
        """Return what is wrong with each member of a state in lanes, empty where nothing is; see `complaint`."""
        found = fetched(_faults(self.spread, self._numbers()[0], state))
        iterations = fetched(state.schedule.iterations)
        told = []
        for config, lane, place in zip(self.configs, *self._positions(), strict=True):
            own = jax.tree.map(lambda leaf, i=lane, j=place: leaf[i, j : j + 1], found)
            states = functools.partial(_teacher_of, state, lane, place)
            told.append(complaint(config, own, states, int(iterations[lane])))
        return told

    def counters(self, state: RunState) -> list[dict[str, int]]:
        """Return the counts of each member of a state in lanes; see `Program.counters`."""
        schedule = fetched(state.schedule.replace(key=()))
        lanes, _ = self._positions()
        return [
            program.counters_of(jax.tree.map(lambda leaf, i=lane: leaf[i], schedule))
            for program, lane in zip(self.programs, lanes, strict=True)
        ]

    def is_finished(self, state: RunState) -> list[bool]:
        """Return which members of a state in lanes have had their updates, or their environment steps."""
        return [
            counts["student_updates"] >= config.updates
            or counts["env_steps"] >= config.max_rollouts * config.num_envs * config.num_steps
            for config, counts in zip(self.configs, self.counters(state), strict=True)
        ]

    def evaluate(
        self, state: RunState, suite: Suite, keys: Sequence[jax.Array], attempts: int, wanted: Sequence[bool]
    ) -> LevelResults:
        """Play a suite with the ``wanted`` members of a state in lanes. Leaves are NumPy, ``f32[n, L]``.

        Of members that are not wanted they say nothing.

        Consumes the ``keys``, one a member; those of a lane are the same.
        """
        env = with_agent_axis(suite.env)
        require_same_teams(self.student, env)
        of_lanes = jnp.stack([keys[member] for member in np.maximum(self.slots[:, 0], 0)])
        plays = jnp.asarray([any(wanted[member] for member in lane if member >= 0) for lane in self.slots])
        parameters = state.members.student.parameters
        results = _evaluate(self.spread, self.student, env, attempts, of_lanes, plays, parameters, suite.levels)
        wait_for(results)
        lane, place = self._positions()
        return jax.tree.map(lambda leaf: leaf[lane, place], fetched(results))

    def _numbers(self) -> tuple[Setting, Setting | None]:
        """Return the numbers of each lane ``[G]``, and of each of its members ``[G, M]`` if there are several."""
        filled = np.where(self.slots < 0, np.maximum(self.slots[:, :1], 0), self.slots)
        shared = jax.tree.map(lambda leaf: leaf[filled[:, 0]], self._stacked)
        own = jax.tree.map(lambda leaf: leaf[filled], self._stacked) if self.slots.shape[1] > 1 else None
        return self.spread.place((shared, own), self.spread.of_members)

    @functools.cached_property
    def _stacked(self) -> Setting:
        """The numbers of the members, NumPy leaves ``[n]``."""
        return jax.tree.map(lambda *leaves: np.stack(leaves), *self._settings)

    def _positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return of each member its lane and its place there, ``[n]`` each."""
        found = np.stack([np.argwhere(self.slots == number)[0] for number in range(len(self.configs))])
        return found[:, 0], found[:, 1]


@jax.jit
def _taken(state: RunState, of_schedule: np.ndarray, of_members: tuple[np.ndarray, ...]) -> RunState:
    """Return parts of a state, by indices. One program: as many as there are leaves, over devices, could hang (`_first`)."""
    return RunState(
        jax.tree.map(lambda leaf: leaf[of_schedule], state.schedule),
        jax.tree.map(lambda leaf: leaf[of_members], state.members),
    )


def _teacher_of(state: RunState, lane: int, place: int) -> Any:
    """Return the state of the teacher of one member, ``[1, ...]``, of a state in lanes."""
    return jax.tree.map(lambda leaf: leaf[lane, place : place + 1], fetched(state.members.teacher))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=3)
def _advance(
    spread: Spread, setting: Setting, own: Setting | None, state: RunState, untils: jax.Array
) -> tuple[RunState, Metrics]:
    def lanes(*each: Any) -> tuple[RunState, Metrics]:
        return map_lanes(lambda setting, own, state, until: advance(setting, state, until, own), each)

    parts = spread.of_members
    return spread.run(lanes, (setting, own, state, untils), (parts,) * 4, parts)


@functools.partial(jax.jit, static_argnums=0)
def _faults(spread: Spread, setting: Setting, state: RunState) -> Faults:
    parts = spread.of_members
    return spread.run(lambda *each: map_lanes(faults, each), (setting, state), (parts, parts), parts)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _evaluate(
    spread: Spread,
    student: Student,
    env: Environment,
    attempts: int,
    keys: jax.Array,
    plays: jax.Array,
    parameters: Any,
    levels: Any,
) -> LevelResults:
    def lane(levels: Any, key: jax.Array, plays: jax.Array, parameters: Any) -> LevelResults:
        def play() -> LevelResults:
            return map_members(lambda each: evaluate_levels(key, student, each, env, levels, attempts), parameters)

        shapes = jax.eval_shape(play)
        return jax.lax.cond(plays, play, lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))

    def lanes(levels: Any, *each: Any) -> LevelResults:
        return map_lanes(functools.partial(lane, levels), each)

    parts = spread.of_members
    return spread.run(lanes, (levels, keys, plays, parameters), (jax.P(), parts, parts, parts), parts)


def map_lanes(function: Any, each: tuple[Any, ...]) -> Any:
    """Return ``function`` of the lanes one after the other: each has branches and loops of its own."""
    return jax.lax.map(lambda lane: function(*lane), each)
