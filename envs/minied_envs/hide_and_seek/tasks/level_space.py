"""What can be done with the levels of a task? Draw them at random, describe them, look at them, and keep some aside."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minied.errors import unknown_name
from minied.levels.space import LevelSpace, Suite

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.tasks.base import Task

NUM_HELD_OUT = 32
_HELD_OUT = 0x7A5C  # names the key of the levels that are kept aside


@dataclasses.dataclass(frozen=True)
class TaskLevelSpace(LevelSpace[Any]):
    """The levels of ``task``."""

    task: "Task"

    def sample(self, key: jax.Array) -> Any:
        """Return a random level of the task. Consumes ``key``."""
        return self.task.sample_level(key)

    def describe(self, level: Any) -> dict[str, jax.Array]:
        """Return what the task says of its levels."""
        return self.task.describe_level(level)

    def draw(self, level: Any, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``, as of hide and seek, with frames around the task's goals."""
        from minied_envs.hide_and_seek import drawing

        time = 0 if state is None else int(state.arena.time)
        arena, words = None if state is None else state.arena, f"step {time} of {self.task.max_steps}"
        return drawing.draw(self.task.arena, level.arena, arena, words, self.task.marks(level))

    @property
    def suites(self) -> Mapping[str, str]:
        """Levels of the same generator."""
        return {"held_out": f"{NUM_HELD_OUT} levels of the generator, the same at every call."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        with jax.ensure_compile_time_eval():
            keys = jax.random.split(jax.random.key(_HELD_OUT), NUM_HELD_OUT)
            levels = jax.tree.map(np.asarray, _sampled(self.task, keys))
        names = [self.task.name_level(jax.tree.map(lambda leaf, i=i: leaf[i], levels)) for i in range(NUM_HELD_OUT)]
        order = np.argsort(names, kind="stable")
        levels = jax.tree.map(lambda leaf: leaf[order], levels)
        return (Suite(name, self.task, levels, tuple(names[i] for i in order), self.suites[name]),)


@functools.partial(jax.jit, static_argnums=0)
def _sampled(task: "Task", keys: jax.Array) -> Any:
    return jax.vmap(task.sample_level)(keys)
