"""Teachers of tasks: a finite list of tasks, how surely each is done, and which to practise next.

`TaskTeacher` is what they share: it draws tasks from a distribution, and measures how surely the student does each,
either in the training episodes themselves or by probes. What distribution makes the teacher. The tasks are the
world's (`LevelSpace.tasks`). Letters: ``K`` tasks, ``G`` tasks in a level, ``B`` levels in a batch.
"""

import abc
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError
from minied.hyperparameters import require_choice, require_range
from minied.levels.space import LevelSpace
from minied.levels.tasks import Tasks, check_tasks
from minied.teachers.base import NEW, Outcome, Plan, Probe, Proposal, Schedule, Teacher, propose_levels
from minied.teachers.progress import Averages, smoothed

Measure = Literal["training", "probe"]
RELIABLE = 0.05
"""Success probability from which the metric ``tasks_above_5_percent`` counts a task."""
_TOLERANCE = 1e-4  # of a mean of numbers in [0, 1]


class TaskState(struct.PyTreeNode):
    """What is known of the tasks."""

    averages: Averages  # [K]
    attempts: jax.Array  # f32[K], levels with a finished episode since the task's last measurement
    successes: jax.Array  # f32[K], how many of them succeeded, a mean over the episodes of each
    measurements: jax.Array  # i32[], times at which any task was measured
    probabilities: jax.Array  # f32[K], from which the last tasks were drawn
    impossible: jax.Array  # i32[], 1 + the first task whose success was ever told to be outside of [0, 1]; 0: none
    impossible_success: jax.Array  # f32[], what was told
    memory: Any = ()  # what else a teacher remembers


class TaskTeacher(Teacher, abc.ABC):
    """What teachers of tasks share."""

    measure: Measure = "training"
    """Where success is seen: `training`, in the episodes that are learnt from; `probe`, in episodes played for that alone,
    all tasks alike, which ``env_steps`` counts."""
    attempts_per_measurement: int = 16
    """How many levels of a task have to be tried until its success is measured, over all of these. (Of a level the mean over
    its episodes that finished in the rollout.)"""
    probe_every: int = 10
    """Iterations between two probes."""
    probe_levels: int = 512
    """Levels of a probe, of each task in turn; whole batches of num_envs."""
    rate: float = 0.1
    """α of the moving average of measured success; see `minied.teachers.progress.smoothed`."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        require_choice(self, "measure", get_args(Measure))
        for name in ("attempts_per_measurement", "probe_every", "probe_levels"):
            require_range(self, name, 1, 2**20)
        require_range(self, "rate", 0, 1, open_low=True)

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the world has no tasks."""
        space.require("tasks", "a teacher of tasks")
        check_tasks(space.tasks, "a teacher of tasks")
        number = len(space.tasks.names)
        if self.measure == "probe" and self.probe_levels < number:
            raise UserError(f"teacher.probe_levels is {self.probe_levels}; allowed: at least one a task, {number}")

    # -- what makes a teacher -----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def distribution(self, state: TaskState, plan: Plan, space: LevelSpace) -> jax.Array:
        """Return the probability of each task in the coming iteration, ``f32[K]``."""

    def memory_of(self, number: int) -> Any:
        """Return what else is remembered of ``number`` tasks before anything was measured."""
        del number
        return ()

    def remembered(self, state: TaskState, success: jax.Array, is_new: jax.Array, space: LevelSpace) -> Any:
        """Return the memory after measurements ``f32[K]`` of the tasks ``bool[K]``, which ``state`` has taken in."""
        del success, is_new, space
        return state.memory

    @property
    def rates(self) -> tuple[jax.Array | float, jax.Array | float]:
        """The rates of the fast and of the slow average."""
        return self.rate, self.rate

    # -- the contract -------------------------------------------------------------------------------------------------

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> TaskState:
        """Return a state that knows of no success. Nothing is random: ``key`` is not used."""
        number = len(space.tasks.names)
        zeros, none = jnp.zeros(number), jnp.zeros((), jnp.int32)
        shares = jnp.full(number, 1 / number, jnp.float32)
        return TaskState(
            averages=Averages.start(number),
            attempts=zeros,
            successes=zeros,
            measurements=none,
            probabilities=shares,
            impossible=none,
            impossible_success=jnp.zeros(()),
            memory=self.memory_of(number),
        )

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always training; with probes now and then a look at all tasks."""
        if self.measure == "training":
            return Plan.of(NEW, train=True, new_batches=1)
        refresh = schedule.iterations % self.probe_every == 0
        rollouts = 1 + self._probe_batches(num_levels) * refresh
        return Plan.of(NEW, train=True, new_batches=1, refresh=refresh, rollouts=rollouts)

    def propose(
        self, key: jax.Array, state: TaskState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[TaskState, Proposal]:
        """Return levels of tasks drawn from the distribution. Consumes ``key``."""
        probe_key, task_key, level_key = jax.random.split(key, 3)
        if self.measure == "probe":
            state = jax.lax.cond(
                plan.refresh, lambda: self._probed(probe_key, state, space, num_levels, probe), lambda: state
            )
        tasks = space.tasks
        state = state.replace(probabilities=self.distribution(state, plan, space))
        logits = jnp.log(state.probabilities)
        drawn = jax.random.categorical(task_key, logits, shape=(num_levels, tasks.per_level)).astype(jnp.int32)
        levels = jax.vmap(tasks.level)(jax.random.split(level_key, num_levels), drawn)
        return state, propose_levels(levels, NEW).replace(design=drawn)

    def observe(
        self, state: TaskState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> TaskState:
        """Take in which tasks were done."""
        if self.measure == "probe":
            return state
        state = _counted(state, proposal.design, _successes(space.tasks, outcome))
        return self._measured(state, state.attempts >= self.attempts_per_measurement, space)

    def mastery(self, state: TaskState) -> jax.Array:
        """Return the fast average of each task's success, ``f32[K]``."""
        return state.averages.fast

    def metrics(self, state: TaskState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return how many tasks are done now and then, and of each how surely and with which probability it is practised."""
        names, success = space.tasks.names, state.averages.fast
        known = {"tasks_above_5_percent": jnp.sum(success >= RELIABLE, dtype=jnp.int32).astype(jnp.float32)}
        known["tasks_measured"] = jnp.sum(state.averages.measured, dtype=jnp.int32).astype(jnp.float32)
        for k, name in enumerate(names):
            known |= {f"success/{name}": success[k], f"attention/{name}": state.probabilities[k]}
        return known

    def fault(self, state: TaskState) -> jax.Array:
        """Return 1 + the number of a task of which a world told an impossible success, 0 for none, ``i32[]``."""
        return state.impossible

    def explain(self, fault: int, states: TaskState, space: LevelSpace) -> str:
        """Return the sentence for a `fault`."""
        names = ", ".join(space.tasks.success_statistics)
        value = np.asarray(states.impossible_success)[np.asarray(states.impossible) == fault][0]
        return (
            f"the success of the task {space.tasks.names[fault - 1]!r} was told to be {value:g}; allowed for the statistics"
            f" {names} of the world: 0, 1, or NaN"
        )

    # -----------------------------------------------------------------------------------------------------------------

    def _probed(self, key: jax.Array, state: TaskState, space: LevelSpace, num_levels: int, probe: Probe) -> TaskState:
        """Return the state after every task was tried by the present student. Consumes ``key``."""
        tasks, (level_key, probe_key) = space.tasks, jax.random.split(key)
        number, total = len(tasks.names), self._probe_batches(num_levels) * num_levels
        each = jnp.arange(total, dtype=jnp.int32) % number
        drawn = jnp.broadcast_to(each[:, None], (total, tasks.per_level))
        levels = jax.vmap(tasks.level)(jax.random.split(level_key, total), drawn)
        state = _counted(state, drawn, _successes(tasks, probe(probe_key, levels)))
        return self._measured(state, state.attempts > 0, space)

    def _probe_batches(self, num_levels: int) -> int:
        return -(-self.probe_levels // num_levels)

    def _measured(self, state: TaskState, is_new: jax.Array, space: LevelSpace) -> TaskState:
        """Return the state with the tasks ``bool[K]`` measured anew, by what they were counted to since."""
        success = state.successes / jnp.maximum(state.attempts, 1.0)
        success = jnp.clip(success, 0.0, 1.0)
        state = state.replace(
            averages=smoothed(state.averages, success, is_new, *self.rates),
            attempts=jnp.where(is_new, 0.0, state.attempts),
            successes=jnp.where(is_new, 0.0, state.successes),
            measurements=state.measurements + jnp.any(is_new),
        )
        return state.replace(memory=self.remembered(state, success, is_new, space))


class UniformTasks(TaskTeacher):
    """all tasks equally often; the control of task curricula."""

    def distribution(self, state: TaskState, plan: Plan, space: LevelSpace) -> jax.Array:
        """Return ``1 / K`` each."""
        number = state.attempts.shape[0]
        return jnp.full(number, 1 / number, jnp.float32)


def _successes(tasks: Tasks, outcome: Outcome) -> jax.Array:
    """Return which share of the finished episodes of each level did each of its tasks, ``f32[R, G]``, NaN if unknown."""
    if not tasks.success_statistics:
        return outcome.episodes.solve_rate[:, None]
    told = outcome.episodes.statistics
    return jnp.stack([told[name] for name in tasks.success_statistics], axis=1)


def _counted(state: TaskState, tasks: jax.Array, successes: jax.Array) -> TaskState:
    """Return the state with attempts at ``tasks`` ``i32[R, G]`` counted, of ``successes`` ``f32[R, G]``, NaN: none."""
    is_attempt = ~jnp.isnan(successes)
    is_wrong = is_attempt & ~((successes >= -_TOLERANCE) & (successes <= 1 + _TOLERANCE))
    # Each by itself: in a mean one that is too high may hide behind others.
    is_first = jnp.any(is_wrong) & (state.impossible == 0)
    place = jnp.argmax(is_wrong.ravel())
    return state.replace(
        impossible=jnp.where(is_first, tasks.ravel()[place].astype(jnp.int32) + 1, state.impossible),
        impossible_success=jnp.where(is_first, successes.ravel()[place], state.impossible_success),
        attempts=state.attempts.at[tasks].add(is_attempt.astype(jnp.float32)),
        successes=state.successes.at[tasks].add(jnp.where(is_attempt, successes, 0.0)),
    )
