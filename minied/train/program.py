"""A run's compiled functions behind a small object: make the state, advance it, evaluate it, look at it.

This is the library's front door; the command line is built on it:

    program = Program(config)
    state = program.init()
    while not program.is_finished(state):
        state, metrics = program.advance(state, until=program.counters(state)["iterations"] + 10)
"""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minied import rollout as rollouts
from minied.env import Environment, with_agent_axis
from minied.errors import UserError
from minied.evaluate.episodes import ROWS_AT_ONCE, LevelResults, evaluate_levels
from minied.levels.finite import FiniteLevelSpace
from minied.levels.space import Suite
from minied.spread import ALONE, Spread, fetched, spread_of
from minied.students.base import Parameters, Student
from minied.students.networks.teams import require_same_teams, two_teams
from minied.students.transfer import Transfer, match, take_over
from minied.teachers.base import Schedule
from minied.train.config import TrainConfig
from minied.train.loop import Faults, advance, faults, foreseen, is_finished
from minied.train.playing import probe_of
from minied.train.setting import Setting
from minied.train.state import Member, RunState, begun_with, first_schedule, init_state, map_members, specs_of

MAX_TRAINING_LEVELS = 200
_LOOK = 0x100C  # names the keys of looks at a run, apart from those that the run itself uses


class BrokenError(UserError):
    """A run cannot go on: a score or a parameter of it is no finite number, or its teacher reports a fault."""


class Memory(NamedTuple):
    """What a compiled training program needs of each device's memory, in bytes, as its compiler says."""

    state: int  # what goes in: the state, and little else
    work: int  # what it needs beside, while it runs

    @property
    def total(self) -> int:
        """Both."""
        return self.state + self.work


def memory_of(compiled: Any) -> Memory:
    """Return what a compiled program needs. The state that comes out takes the place of the one that went in."""
    analysis = compiled.memory_analysis()
    out = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return Memory(analysis.argument_size_in_bytes, analysis.temp_size_in_bytes + max(out, 0))


class Program:
    """The compiled functions of one config. Holds no state of the run."""

    def __init__(self, config: TrainConfig, student: Student | None = None, spread: Spread | None = None) -> None:
        """Compile nothing yet. ``student`` stands in for the network that ``config`` describes, if there is one.

        ``spread`` says over which devices, if not as many as the config says.

        Raises `UserError` for more devices than there are, or than divide the run.
        """
        self.config = config
        self._setting = Setting.of(config, student, spread)
        self.student = self._setting.student
        self._play = jax.jit(self._play_one_step, static_argnums=0)

    @property
    def spread(self) -> Spread:
        """Over which devices the run is spread."""
        return self._setting.spread

    def check(self) -> None:
        """Trace the program without running or compiling it.

        Raises `UserError` for what only shows there: an observation that the network cannot read, a score that is not one
        number a level.
        """
        jax.eval_shape(_advance, self._setting, jax.eval_shape(self.init), jnp.int32(0))

    def init(self, earlier: Mapping[str, np.ndarray] | None = None) -> RunState:
        """Return the state before the first iteration.

        ``earlier`` are parameters ``[Q, ...]`` by name to go on from, as ``config.start_from`` says; `minied.run.transfer`
        reads them from a run. Without them the student is fresh whatever the config says. Raises `UserError` as `transfer`
        does.
        """
        seeds = self.config.seed + np.arange(self.config.num_seeds, dtype=np.uint32)
        state = _init(self._setting, jnp.asarray(seeds), jnp.uint32(self.config.schedule_seed))
        if earlier is not None:
            parameters = take_over(state.members.student.parameters, earlier, self.transfer(earlier))
            state = begun_with(self._setting, state, parameters)
        return self._placed(state)

    def transfer(self, earlier: Mapping[str, np.ndarray]) -> Transfer:
        """Return what becomes of each parameter if the run starts from ``earlier`` ones. Raises `UserError` as `match`."""
        fresh = jax.eval_shape(self.student.init, jax.random.key(0))
        return match(fresh, earlier, self.config.start_from.reset)

    def compile(self) -> Memory:
        """Compile the training program for a look at it; return what it needs of a device's memory."""
        spread, state = self._setting.spread, jax.eval_shape(self.init)
        parts = spread.shapes(state.schedule, jax.P()), spread.shapes(state.members, spread.of_members)
        state = RunState(*parts)
        return memory_of(_advance.lower(self._setting, state, jnp.int32(0)).compile())

    def advance(self, state: RunState, until: int) -> tuple[RunState, dict[str, np.ndarray]]:
        """Run until there have been ``until`` iterations, or the run's updates are done.

        ``state`` is donated and must not be used again. Returns the new state, ready on the device, and the mean of each
        metric over the iterations of this call, ``f32[S]``, NaN where it was never defined. Raises `UserError` in the first
        iteration whose score is no finite number on a level that has one to give, or whose student is not finite any more.
        """
        state, metrics = _advance(self._setting, self._placed(state), jnp.int32(until))
        wait_for(state)
        self._refuse_broken(state)
        return state, fetched(metrics)

    def _placed(self, state: RunState) -> RunState:
        spread = self._setting.spread
        return spread.place(state, specs_of(spread))

    def _refuse_broken(self, state: RunState) -> None:
        found = fetched(_faults(self._setting, state))
        told = complaint(self.config, found, lambda: fetched(state.members.teacher), self.counters(state)["iterations"])
        if told:
            raise BrokenError(told)

    def counters(self, state: RunState) -> dict[str, int]:
        """Return exact counts for each member: iterations, student updates, training steps, environment steps.

        ``env_steps`` counts every simulated step of the training loop, those only for scoring included; evaluations on
        suites are not in it, nor the steps of a teacher that designs. ``train_steps`` counts the steps that students learnt
        from, each once. Both count the steps of every student.
        """
        return self.counters_of(jax.device_get(state.schedule.replace(key=())))

    def counters_of(self, schedule: Schedule) -> dict[str, int]:
        """Return the counts of a schedule, see `counters`."""
        batch = self.config.num_envs * self.config.num_steps
        return {
            "iterations": int(schedule.iterations),
            "student_updates": int(schedule.student_updates),
            "train_steps": int(schedule.student_updates) * batch * self.config.num_students,
            "env_steps": int(schedule.rollouts) * batch,
        }

    def foreseen(self) -> dict[str, int]:
        """Return the counts that a run will end with if its length alone ends it. Computes no member."""
        setting = self._setting.replace(spread=ALONE)
        return self.counters_of(
            jax.device_get(_foreseen(setting, jnp.uint32(self.config.schedule_seed)).replace(key=()))
        )

    def is_finished(self, state: RunState) -> bool:
        """Return whether the students have had their updates, or the run its environment steps."""
        return bool(is_finished(self._setting, state.schedule))

    def evaluate(self, state: RunState, suite: Suite, key: jax.Array, attempts: int) -> LevelResults:
        """Play a suite with every member. Consumes ``key``; leaves are NumPy ``f32[S, L]``."""
        spread, env = self._setting.spread, with_agent_axis(suite.env)
        require_same_teams(self.student, env)
        parameters = spread.place(state.members.student.parameters, spread.of_members)
        return _awaited(_evaluate(spread, self.student, env, attempts, key, parameters, suite.levels))

    def play_against(
        self, first: Parameters, second: Parameters, suite: Suite, key: jax.Array, attempts: int
    ) -> LevelResults:
        """Play a suite of a world of two teams, team 0 by the policy ``first`` and team 1 by ``second``. Consumes ``key``.

        Both are parameters of one student of this program's network; that of a team is its own part of them, where teams
        have parameters of their own. Leaves are NumPy, ``f32[L, ...]``.
        """
        env = with_agent_axis(suite.env)
        require_same_teams(self.student, env)
        player, parameters = two_teams(self.student, tuple(env.teams), first, second)
        spread = spread_of(0, 1, ROWS_AT_ONCE, 1)
        alone = spread.place(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], parameters), spread.of_members)
        results = _evaluate(spread, player, env, attempts, key, alone, suite.levels)
        return jax.tree.map(lambda leaf: leaf[0], _awaited(results))

    def training_levels(self) -> Any | None:
        """Return levels of a run that trains on a finite set, NumPy leaves ``[n, ...]``, or None if it does not.

        The first `MAX_TRAINING_LEVELS` of them, which are as good a sample as any.
        """
        space = self.config.level_space
        if not isinstance(space, FiniteLevelSpace):
            return None
        return jax.tree.map(np.asarray, _levels_from(space, 0, min(space.num_levels, MAX_TRAINING_LEVELS)))

    def unseen_levels(self) -> Any | None:
        """Return `MAX_TRAINING_LEVELS` levels of the same generator outside of that set, or None, as `training_levels`."""
        space = self.config.level_space
        if not isinstance(space, FiniteLevelSpace):
            return None
        return jax.tree.map(np.asarray, _levels_from(space, space.num_levels, MAX_TRAINING_LEVELS))

    def proposals(self, state: RunState, num_levels: int) -> Any:
        """Return ``num_levels`` levels that the first member's teacher proposes now, NumPy leaves ``[num_levels, ...]``."""
        return self.annotated_proposals(state, num_levels)[0]

    def annotated_proposals(self, state: RunState, num_levels: int) -> tuple[Any, dict[str, np.ndarray]]:
        """Return levels as `proposals` does, and what the teacher knows of each: names and ``f32[num_levels]``, or NaN."""
        alone = self._setting.replace(spread=ALONE)
        return jax.tree.map(np.asarray, _proposals(alone, num_levels, _alone(state.schedule), _first(state.members)))

    def record_episode(
        self, state: RunState, env: Environment, level: Any, key: jax.Array, max_states: int | None = None
    ) -> list[Any]:
        """Return the states of one episode of the first member, from its start to the step before its end.

        At most ``max_states`` of them. Leaves are NumPy; ``env`` may be of another size than the run's, with the same
        observations. Consumes ``key``.
        """
        env = with_agent_axis(env)
        require_same_teams(self.student, env)
        parameters = _first(state.members.student.parameters)
        start_key, play_key = jax.random.split(key)
        levels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], level)
        play = rollouts.start(start_key, self.student, env, levels)
        states = [jax.device_get(jax.tree.map(lambda leaf: leaf[0], play.env_states))]
        for step in range(env.max_steps if max_states is None else min(env.max_steps, max_states - 1)):
            play, after, ended = self._play(env, jax.random.fold_in(play_key, step), parameters, levels, play)
            if bool(ended):  # `after` is the start of the next episode
                break
            states.append(jax.device_get(after))
        return states

    def _play_one_step(self, env: Environment, key: jax.Array, parameters: Any, levels: Any, play: Any):
        play, rollout = rollouts.collect(key, self.student, parameters, env, levels, play, 1)
        return play, jax.tree.map(lambda leaf: leaf[0], play.env_states), rollout.ended[0, 0]


def wait_for(result: Any) -> None:
    """Wait until what one program gave is computed and hear signals meanwhile: a wait inside XLA would keep them to its end.

    Raises what the computation raised.
    """
    # It is ready all at once. (Arrays have `is_ready`, but for keys; the type stub of jax does not say so.)
    first = next(leaf for leaf in jax.tree.leaves(result) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))
    while not first.is_ready():
        time.sleep(0.002)
    jax.block_until_ready(result)


def _awaited(results: Any) -> LevelResults:
    wait_for(results)
    return fetched(results)


def _first(members: Any) -> Any:
    """Return the first member's part of ``members``, on one device.

    It lies in the first device's share. Taken from the whole, each leaf would be a program over all devices, and among many
    such programs at once CPU devices have been seen to wait for each other for ever.
    """
    return _alone(jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], members))


def _alone(tree: Any) -> Any:
    """Return what every device has whole on the first device of this process."""
    here = jax.tree.map(lambda leaf: leaf if leaf.is_fully_addressable else leaf.addressable_data(0), tree)
    return jax.device_put(here, jax.local_devices()[0])


@jax.jit
def _init(setting: Setting, seeds: jax.Array, schedule_seed: jax.Array) -> RunState:
    return init_state(setting, seeds, schedule_seed)


_faults = jax.jit(faults)


@jax.jit
def _foreseen(setting: Setting, schedule_seed: jax.Array) -> Schedule:
    return foreseen(setting, first_schedule(schedule_seed))


def complaint(config: TrainConfig, found: Faults, teacher_states: Callable[[], Any], iterations: int) -> str:
    """Return what a user is told of ``found`` ``[S]`` in members of ``config`` after ``iterations``; empty if all is well.

    ``teacher_states`` gives those of the members, ``[S, ...]``.
    """
    when = f"in iteration {iterations}; what was saved before is kept"
    if np.any(found.has_diverged):
        return (
            f"the student's parameters are not finite {when}; ppo.learning_rate is {config.ppo.learning_rate:g},"
            " allowed here: probably less"
        )
    if fault := int(np.max(found.fault)):
        return f"{config.teacher.explain(fault, teacher_states(), config.level_space)}, {when}"
    if broken_scores := int(np.sum(found.broken_scores)):
        return (
            f"{config.teacher.blamed_score()}, which gave NaN or infinity for {broken_scores}"
            f" levels with finished episodes {when}; allowed: finite numbers"
        )
    return ""


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _levels_from(space: FiniteLevelSpace, first: int, number: int) -> Any:
    return jax.vmap(space.level)(first + jnp.arange(number, dtype=jnp.int32))


@functools.partial(jax.jit, donate_argnums=1)
def _advance(setting: Setting, state: RunState, until: jax.Array):
    specs = specs_of(setting.spread)
    return setting.spread.run(
        advance, (setting, state, until), (jax.P(), specs, jax.P()), (specs, setting.spread.of_members)
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _evaluate(
    spread: Spread,
    student: Student,
    env: Environment,
    attempts: int,
    key: jax.Array,
    parameters: Any,
    levels: Any,
) -> LevelResults:
    def evaluate(key: jax.Array, parameters: Any, levels: Any) -> LevelResults:
        return map_members(
            lambda each: evaluate_levels(key, student, each, env, levels, attempts, spread=spread), parameters
        )

    specs = (jax.P(), spread.of_members, jax.P())
    return spread.run(evaluate, (key, parameters, levels), specs, spread.of_members)


@functools.partial(jax.jit, static_argnums=1)
def _proposals(
    setting: Setting, num_levels: int, schedule: Schedule, member: Member
) -> tuple[Any, dict[str, jax.Array]]:
    key = jax.random.fold_in(jax.random.fold_in(schedule.key, schedule.iterations), _LOOK)
    plan_key, propose_key = jax.random.split(key)
    # A look must not cost what a refresh does.
    plan = setting.teacher.plan(plan_key, schedule, setting.num_levels).replace(refresh=jnp.bool_(False))
    probe = probe_of(setting, member.student.parameters)

    def batch(key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        # As many as the run proposes at once: a refresh is traced with them, though it never runs here.
        state, proposal = setting.teacher.propose(key, member.teacher, plan, setting.space, setting.num_levels, probe)
        # Of a teacher that plays several batches at once, the first is the one that is learnt from.
        found = (proposal.levels, setting.teacher.notes(state, proposal))
        return jax.tree.map(lambda leaf: leaf[: setting.num_levels], found)

    found = jax.lax.map(batch, jax.random.split(propose_key, -(-num_levels // setting.num_levels)))
    return jax.tree.map(lambda leaf: jax.lax.collapse(leaf, 0, 2)[:num_levels], found)
