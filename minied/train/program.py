"""A run's compiled functions behind a small object: make the state, advance it, evaluate it, look at it.

This is the library's front door; the command line is built on it:

    program = Program(config)
    state = program.init()
    while not program.is_finished(state):
        state, metrics = program.advance(state, until=program.counters(state)["iterations"] + 10)
"""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied import rollout as rollouts
from minied.env import Environment, with_agent_axis
from minied.evaluate.episodes import LevelResults, evaluate_levels
from minied.levels.space import Suite
from minied.students.base import Student
from minied.train.config import TrainConfig
from minied.train.loop import advance
from minied.train.setting import Setting
from minied.train.state import RunState, init_state, map_members
from minied.train.update import probe_of

_LOOK = 0x100C  # names the keys of looks at a run, apart from those that the run itself uses


class Program:
    """The compiled functions of one config. Holds no state of the run."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._setting = Setting.of(config)
        self.student = self._setting.student
        self._play = jax.jit(self._play_one_step, static_argnums=0)

    def check(self) -> None:
        """Trace the program without running or compiling it.

        Raises `UserError` for what only shows there: an observation that the network cannot read, a score that is not one
        number a level.
        """
        jax.eval_shape(_advance, self._setting, jax.eval_shape(self.init), jnp.int32(0))

    def init(self) -> RunState:
        """Return the state before the first iteration."""
        seeds = self.config.seed + np.arange(self.config.num_seeds, dtype=np.uint32)
        return _init(self._setting, jnp.asarray(seeds), jnp.uint32(self.config.schedule_seed))

    def advance(self, state: RunState, until: int) -> tuple[RunState, dict[str, np.ndarray]]:
        """Run until there have been ``until`` iterations, or the run's updates are done.

        ``state`` is donated and must not be used again. Returns the new state, ready on the device, and the mean of each
        metric over the iterations of this call, ``f32[S]``, NaN where it was never defined.
        """
        state, metrics = _advance(self._setting, state, jnp.int32(until))
        _wait_for(state)
        return state, jax.tree.map(np.asarray, metrics)

    def counters(self, state: RunState) -> dict[str, int]:
        """Return exact counts for each member: iterations, student updates, training steps, environment steps.

        ``env_steps`` counts every simulated step of the training loop, those only for scoring included; evaluations on
        suites are not in it. ``train_steps`` counts the steps that students learnt from, each once.
        """
        schedule = jax.device_get(state.schedule.replace(key=()))
        batch = self.config.num_envs * self.config.num_steps
        return {
            "iterations": int(schedule.iterations),
            "student_updates": int(schedule.student_updates),
            "train_steps": int(schedule.student_updates) * batch,
            "env_steps": int(schedule.rollouts) * batch,
        }

    def is_finished(self, state: RunState) -> bool:
        """Return whether the students have had their updates."""
        return self.counters(state)["student_updates"] >= self.config.updates

    def evaluate(self, state: RunState, suite: Suite, key: jax.Array, attempts: int) -> LevelResults:
        """Play a suite with every member. Consumes ``key``; leaves are NumPy ``f32[S, L]``."""
        results = _evaluate(
            self.student, with_agent_axis(suite.env), attempts, key, state.members.student.parameters, suite.levels
        )
        return jax.tree.map(np.asarray, results)

    def proposals(self, state: RunState, num_levels: int) -> Any:
        """Return ``num_levels`` levels that the first member's teacher proposes now, NumPy leaves ``[num_levels, ...]``."""
        return jax.tree.map(np.asarray, _proposals(self._setting, num_levels, state))

    def record_episode(
        self, state: RunState, env: Environment, level: Any, key: jax.Array, max_states: int | None = None
    ) -> list[Any]:
        """Return the states of one episode of the first member, from its start to the step before its end.

        At most ``max_states`` of them. Leaves are NumPy; ``env`` may be of another size than the run's, with the same
        observations. Consumes ``key``.
        """
        env = with_agent_axis(env)
        parameters = jax.tree.map(lambda leaf: leaf[0], state.members.student.parameters)
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


def _wait_for(state: RunState) -> None:
    """Wait until ``state`` is computed, and hear signals meanwhile: a wait inside XLA would keep them to its end."""
    # What one program gives is ready all at once. (Arrays have `is_ready`; the type stub of jax does not say so.)
    while not state.schedule.iterations.is_ready():  # pyright: ignore[reportAttributeAccessIssue]
        time.sleep(0.005)
    jax.block_until_ready(state)  # raises what the computation raised


@jax.jit
def _init(setting: Setting, seeds: jax.Array, schedule_seed: jax.Array) -> RunState:
    return init_state(setting, seeds, schedule_seed)


@functools.partial(jax.jit, donate_argnums=1)
def _advance(setting: Setting, state: RunState, until: jax.Array):
    return advance(setting, state, until)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _evaluate(student: Student, env: Environment, attempts: int, key: jax.Array, parameters: Any, levels: Any):
    return map_members(lambda p: evaluate_levels(key, student, p, env, levels, attempts), parameters)


@functools.partial(jax.jit, static_argnums=1)
def _proposals(setting: Setting, num_levels: int, state: RunState) -> Any:
    schedule = state.schedule
    key = jax.random.fold_in(jax.random.fold_in(schedule.key, schedule.iterations), _LOOK)
    plan_key, propose_key = jax.random.split(key)
    plan = setting.teacher.plan(plan_key, schedule, setting.num_levels)
    teacher = jax.tree.map(lambda leaf: leaf[0], state.members.teacher)
    probe = probe_of(setting, jax.tree.map(lambda leaf: leaf[0], state.members.student.parameters))
    return setting.teacher.propose(propose_key, teacher, plan, setting.space, num_levels, probe).levels
