"""The slope of a task's learning curve, over a window (Matiisen et al. 2017, "Teacher-Student Curriculum Learning").

TSCL (arXiv 1707.00183), algorithm "window": of each task the last n measurements are kept with their times, a line is
fitted by least squares, and tasks are chosen by the size of its slope. Deviations: slopes are parts of the steepest one
before Boltzmann's distribution is taken, so that its temperature is free of the scale of success; and a share of uniform
draws may be mixed into either choice, not into the greedy one alone. Letters: ``K`` tasks, ``n`` measurements kept.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied.hyperparameters import require_choice, require_range
from minied.levels.space import LevelSpace
from minied.teachers.base import Plan
from minied.teachers.progress import slopes
from minied.teachers.tasks import TaskState, TaskTeacher

Selection = Literal["greedy", "boltzmann"]


class Window(struct.PyTreeNode):
    """The last measurements of each task, oldest first."""

    times: jax.Array  # f32[K, n], by `TaskState.measurements`
    successes: jax.Array  # f32[K, n]
    known: jax.Array  # bool[K, n]


class WindowedSlope(TaskTeacher):
    """tasks whose learning curve is steepest over a window, up or down (TSCL)."""

    window: int = 10
    """n, measurements of a task that its slope is fitted to."""
    selection: Selection = "boltzmann"
    """`greedy`: the steepest task (ties are shared), but for `exploration`; `boltzmann`: in proportion to
    exp(slope / temperature), slopes as parts of the steepest one."""
    exploration: float = 0.1
    """ε, share of the levels whose task is uniform."""
    temperature: float = 0.2
    """τ of Boltzmann's distribution."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_choice(self, "selection", get_args(Selection))
        require_range(self, "window", 2, 10_000)
        require_range(self, "exploration", 0, 1)
        require_range(self, "temperature", 1e-3, 1e6)

    def memory_of(self, number: int) -> Window:
        """Return windows without measurements."""
        nothing = jnp.zeros((number, self.window))
        return Window(nothing, nothing, jnp.zeros((number, self.window), bool))

    def remembered(self, state: TaskState, success: jax.Array, is_new: jax.Array, space: LevelSpace) -> Window:
        """Return the windows, moved on by one where a task was measured."""

        def moved(rows: jax.Array, newest: jax.Array) -> jax.Array:
            after = jnp.concatenate([rows[:, 1:], newest[:, None]], axis=1)
            return jnp.where(is_new[:, None], after, rows)

        memory: Window = state.memory
        now = jnp.full(success.shape, state.measurements, jnp.float32)
        return Window(
            times=moved(memory.times, now),
            successes=moved(memory.successes, success),
            known=moved(memory.known, jnp.ones_like(is_new)),
        )

    def distribution(self, state: TaskState, plan: Plan, space: LevelSpace) -> jax.Array:
        """Return the distribution by slope, ``f32[K]``; uniform where all are flat."""
        memory: Window = state.memory
        steep = jnp.abs(slopes(memory.times, memory.successes, memory.known))
        steepest = jnp.max(steep)
        relative = steep / jnp.where(steepest > 0, steepest, 1.0)
        if self.selection == "greedy":
            best = (relative == jnp.max(relative)).astype(jnp.float32)
            chosen = best / jnp.sum(best)
        else:
            chosen = jax.nn.softmax(relative / self.temperature)
        return (1.0 - self.exploration) * chosen + self.exploration / steep.shape[0]
