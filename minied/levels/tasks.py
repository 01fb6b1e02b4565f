"""A finite list of tasks in one world: what a task curriculum chooses from.

A task is a kind of level, not one level: "make a pickaxe", "DoorKey". `Tasks` is what an author writes; teachers that
follow a student's progress through a list of tasks read it (`LevelSpace.tasks`). Letters: ``K`` tasks, ``G`` tasks in a
level.
"""

import abc
from typing import Generic, TypeVar

import jax

from minied.errors import UserError

LevelT = TypeVar("LevelT")


class Tasks(abc.ABC, Generic[LevelT]):
    """The tasks of a world. Subclass as a frozen dataclass."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """What each task is called, ``K`` different names."""

    @property
    def by_difficulty(self) -> tuple[int, ...]:
        """The numbers of the tasks from easy to hard, as far as the author knows; by default as they are listed."""
        return tuple(range(len(self.names)))

    @abc.abstractmethod
    def level(self, key: jax.Array, tasks: jax.Array) -> LevelT:
        """Return a level of these tasks; what they leave open is random. Consumes ``key``.

        ``tasks`` is ``i32[G]``, see `per_level`; with one task a level, ``tasks[0]`` is that task.
        """

    @property
    def success_statistics(self) -> tuple[str, ...]:
        """With several tasks in a level: which statistic of episodes (`Environment.step`) tells whether each was done.

        ``G`` names, one for each place, such as ``("first_done", "second_done")``: 1 if the task in that place was done, 0
        if not, NaN if the episode did not come to it. Empty: a level has one task, which is done when the episode is solved.
        """
        return ()

    @property
    def per_level(self) -> int:
        """How many tasks a level has, one after the other, ``G``."""
        return max(1, len(self.success_statistics))


def check_tasks(tasks: Tasks, by: str) -> None:
    """Raise `UserError` if ``tasks`` is no list of tasks, is empty, or has a name twice; ``by`` is who needs it."""
    if not isinstance(tasks, Tasks):
        raise UserError(
            f"`tasks` of a level space is {tasks!r}; allowed: an instance of minied.levels.tasks.Tasks, by a property"
        )
    for field in ("names", "success_statistics"):
        names, told = getattr(tasks, field), f"{field} of {type(tasks).__name__}"
        if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{told} is {names!r}; allowed: a tuple of names")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"{told} has {twice[0]!r} twice; allowed: different names")
    if not tasks.names:
        raise UserError(f"names of {type(tasks).__name__} is empty; allowed with {by}: at least one task")
    if sorted(tasks.by_difficulty) != list(range(len(tasks.names))):
        raise UserError(
            f"by_difficulty of {type(tasks).__name__} is {tasks.by_difficulty}; allowed: every number from 0 to"
            f" {len(tasks.names) - 1} once"
        )
