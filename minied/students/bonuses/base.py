"""The contract of a bonus: what a learner adds to the world's rewards of its own accord, to explore.

Within an iteration that learns, after the students have played and before they are updated,

    paid = bonus.pay(key, state, experience, mastery, surroundings)

and what is learnt from is then either the rewards ``reward_weight · r + paid.rewards``, with the student's own values of
both together, or advantages ``reward_weight · A + paid.advantages`` of two streams, of which the student's own values know
the world's alone. Returns, scores of episodes and evaluations see nothing of it.

Letters: ``T`` steps, ``B`` environments that are learnt from (on each device its part of them), ``N`` agents, ``K`` tasks.
"""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Environment
from minied.errors import UserError
from minied.hyperparameters import Hyperparameters, require_range
from minied.spread import ALONE, Spread
from minied.students.batch import mean_over
from minied.students.flags import Flags
from minied.students.networks.config import NetworkConfig


class Experience(struct.PyTreeNode):
    """What a bonus may read of a rollout. What it does not keep (`Bonus.keeps`) is None."""

    observations: Any  # [T, B, N, ...], before step t
    last_observations: Any  # [B, N, ...], that would have been acted on next: after an end, of the next episode
    actions: jax.Array  # i32[T, B, N]
    ended: jax.Array  # bool[T, B], step t was the last of its episode
    present: jax.Array  # bool[T, B, N], which agents took part in step t
    next_observations: Any = None  # [T, B, N, ...], after step t, the true ones also where an episode ended
    novelty: jax.Array | None = None  # u32[T, B, 2], the world's hash of the state after step t
    achievements: Flags | None = None  # bool[T, B, K], what step t brought for the first time in its episode

    def where_present(self, values: jax.Array) -> jax.Array:
        """Return ``values`` ``f32[T, B, N]``, 0 where an agent was not there."""
        return jnp.where(self.present, values, 0.0)

    def mean(self, values: jax.Array, spread: Spread) -> jax.Array:
        """Return the mean of ``values`` ``f32[T, B, N]`` over the agents that were there, on all devices, ``f32[]``."""
        return spread.mean(mean_over(self.present, spread)(values))


class Paid(struct.PyTreeNode):
    """What a rollout earns: rewards, or advantages, and the other None. 0 where an agent was not there."""

    state: Any  # of the bonus, afterwards
    metrics: dict[str, jax.Array]  # f32[] each, the same on all devices
    rewards: jax.Array | None = None  # f32[T, B, N], to be added to those of the world
    advantages: jax.Array | None = None  # f32[T, B, N], of values that the bonus learns itself


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """In what a bonus works. Static and hashable."""

    env: Environment  # with an agent axis
    network: NetworkConfig = NetworkConfig()  # of the student, whose encoder a bonus's own networks have too
    num_levels: int = 1  # B, on all devices together
    num_steps: int = 1  # T
    spread: Spread = ALONE  # over devices


class BonusChoice(Hyperparameters):
    """What ``--bonus`` may name: a `Bonus`, or that there is none. By itself it is nothing."""


class NoBonus(BonusChoice):
    """no bonus: the student learns from the world's rewards alone."""


class Bonus(BonusChoice, abc.ABC):
    """A frozen config plus pure functions over a state pytree, which is saved with the student's.

    Subclass it, and name it by its import path: ``--bonus package.module:Class``. Float fields are traced (see
    `Hyperparameters`). Each student of a population has a state of its own.
    """

    coefficient: float = 1.0
    """What the bonus is multiplied by."""
    reward_weight: float = 1.0
    """What the world's own rewards are multiplied by for the learner; 0: it explores and does nothing else."""

    @property
    def keeps(self) -> frozenset[str]:
        """What a rollout has to record for it: ``next_observations``, ``novelty``, ``achievements``."""
        return frozenset()

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        require_range(self, "coefficient", 0, float("inf"))
        require_range(self, "reward_weight", 0, float("inf"))
        if self.reward_weight == 0.0 and not self.coefficient:
            raise UserError("reward_weight is 0.0; allowed with coefficient 0: more than 0, as nothing else is paid")

    def validate(self, surroundings: Surroundings) -> None:
        """Raise `UserError` if it cannot work there. What a world tells is seen when the program is first traced."""

    @abc.abstractmethod
    def init(self, key: jax.Array, surroundings: Surroundings) -> Any:
        """Return the state before the first iteration. Consumes ``key``."""

    @abc.abstractmethod
    def pay(
        self,
        key: jax.Array,
        state: Any,
        experience: Experience,
        mastery: jax.Array | None,
        surroundings: Surroundings,
    ) -> Paid:
        """Return what a rollout earns, and the state that has learnt from it. Consumes ``key``.

        Args:
            key: the same on all devices.
            state: before, likewise.
            experience: of this device.
            mastery: ``f32[K]`` in [0, 1], how surely the student does each of the world's tasks, as the teacher knew before
                it saw this rollout (`Teacher.mastery`); None where the teacher knows none.
            surroundings: as of `init`.
        """
