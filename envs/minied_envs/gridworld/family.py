"""What is a family of levels? A size, a time limit, a way to draw levels, and perhaps a few numbers to choose one by."""

import abc

import jax

from minied.levels.parameters import Choice, Interval
from minied_envs.gridworld.level import GridLevel


class Family(abc.ABC):
    """Levels of one kind and one size, all of them solvable unless it says otherwise. Subclass as a frozen dataclass."""

    @property
    @abc.abstractmethod
    def size(self) -> tuple[int, int]:
        """Rows and columns of a level, ``H W``, without the border."""

    @property
    @abc.abstractmethod
    def max_steps(self) -> int:
        """Steps of an episode: MiniGrid's."""

    @abc.abstractmethod
    def draw(self, key: jax.Array) -> GridLevel:
        """Return a random level. Consumes ``key``."""

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """The numbers by which a level can be chosen; without any, it cannot."""
        return ()

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level with these numbers, ``f32[len(parts)]``; what they leave open is random. Consumes ``key``."""
        raise NotImplementedError
