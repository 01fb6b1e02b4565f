"""Tasks in a fixed order, from easy to hard: the hand-made curriculum that automatic ones are compared with.

Letter: ``K`` tasks.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from minied.hyperparameters import require_choice, require_range
from minied.levels.space import LevelSpace
from minied.teachers.base import Plan
from minied.teachers.tasks import TaskState, TaskTeacher

Advance = Literal["mastery", "time"]


class OrderedTasks(TaskTeacher):
    """tasks in the world's order, from easy to hard, one after the other; earlier ones are reviewed."""

    advance: Advance = "mastery"
    """When the next task comes: `mastery`, when the present one is done `mastered_from` of the time; `time`, when its part
    of the run is over, all parts alike."""
    mastered_from: float = 0.5
    """Success probability from which a task counts as mastered."""
    review_share: float = 0.5
    """Share of the levels that are of earlier tasks, all alike."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_choice(self, "advance", get_args(Advance))
        require_range(self, "mastered_from", 0, 1)
        require_range(self, "review_share", 0, 1)

    def memory_of(self, number: int) -> jax.Array:
        """Return how many tasks of the order have been mastered, ``i32[]``: none."""
        return jnp.zeros((), jnp.int32)

    def remembered(self, state: TaskState, success: jax.Array, is_new: jax.Array, space: LevelSpace) -> jax.Array:
        """Return one more if the present task has been mastered, up to the last one."""
        order = jnp.asarray(space.tasks.by_difficulty, jnp.int32)
        present = order[state.memory]
        is_mastered = state.averages.measured[present] & (state.averages.fast[present] >= self.mastered_from)
        return jnp.minimum(state.memory + is_mastered, order.shape[0] - 1)

    def distribution(self, state: TaskState, plan: Plan, space: LevelSpace) -> jax.Array:
        """Return the present task's share and those of earlier ones, ``f32[K]``."""
        number = state.attempts.shape[0]
        place = state.memory
        if self.advance == "time":
            place = jnp.minimum((plan.progress * number).astype(jnp.int32), number - 1)
        # Of each task, which place in the order it has.
        places = jnp.asarray(np.argsort(space.tasks.by_difficulty), jnp.int32)
        review = jnp.where(place > 0, jnp.asarray(self.review_share), 0.0)
        earlier = (places < place).astype(jnp.float32) / jnp.maximum(place, 1).astype(jnp.float32)
        return (1.0 - review) * (places == place) + review * earlier
