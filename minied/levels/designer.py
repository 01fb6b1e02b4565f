"""An environment in which a teacher builds a level, one action a step. What plays it is a policy like any student's."""

import abc
from typing import Any, Generic, Protocol, TypeVar

import jax
import jax.numpy as jnp

from minied.env import Environment, Observation

LevelT = TypeVar("LevelT")


class DesignState(Protocol):
    """What a designer's state must have; the rest is the author's."""

    @property
    def time(self) -> jax.Array:
        """Steps taken, ``i32[]``."""
        ...


StateT = TypeVar("StateT", bound=DesignState)


class Designer(Environment[LevelT, StateT], abc.ABC, Generic[LevelT, StateT]):
    """Subclass as a frozen dataclass and write `reset`, `build`, `level_of`, `empty`, and the spaces of an `Environment`.

    Every design takes `max_steps` steps, and the last one is terminal: nothing is worth anything past it. The level to which
    the environment is reset is where building starts: nothing (`empty`), or a level that is to be edited. There is no
    reward here; the teacher is paid for what students do on the level. An observation may have a part whose space is
    `minied.spaces.Mask`: it says which actions are allowed, and the others have no probability, so that every design is
    valid and its log-probability exact. A mask must leave at least one action.
    """

    @property
    def needs_level(self) -> bool:
        """Whether it only edits what it starts from, so that starting from nothing makes no sense."""
        return False

    @property
    def level_space(self) -> Any:
        """What a designer starts from is given by its teacher."""
        raise NotImplementedError("a designer has no levels of its own")

    @abc.abstractmethod
    def empty(self) -> LevelT:
        """Return the level with nothing in it, from which building starts unless another one is given."""

    @abc.abstractmethod
    def reset(self, key: jax.Array, level: LevelT) -> tuple[Observation, StateT]:
        """Return the first observation and state of a design that starts from ``level``. Consumes ``key``."""

    @abc.abstractmethod
    def build(self, key: jax.Array, state: StateT, action: jax.Array) -> tuple[Observation, StateT]:
        """Return the observation and the state one action later, its ``time`` one higher. Consumes ``key``."""

    @abc.abstractmethod
    def level_of(self, state: StateT) -> LevelT:
        """Return the level built so far, which must be valid after the last step."""

    def step(self, key: jax.Array, state: StateT, action: jax.Array, level: LevelT):
        """Build one step. ``info["level"]`` is the level so far; terminated at `max_steps`, never truncated."""
        observation, state = self.build(key, state, action)
        terminated = state.time >= self.max_steps
        return (
            observation,
            state,
            jnp.zeros(()),
            terminated,
            jnp.zeros_like(terminated),
            {"level": self.level_of(state)},
        )
