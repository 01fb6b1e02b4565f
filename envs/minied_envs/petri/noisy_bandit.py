"""Which levels does a teacher give when one of them cannot be learnt? A bandit of levels, the last of which is a coin.

An episode is one step: the student sees which arm it was given, does what it likes, and is paid. All arms but the last pay
the same every time, so that a critic comes to predict them; the last pays 0 or 1 by the toss of a fair coin. The mean error
of a perfect critic there is 1/2, while members of an ensemble that learn from the same coins come to agree: a teacher that
is paid for errors of prediction ends up at the coin, and one that is paid for disagreement does not (Kanitscheider and
Edwards 2022, AutoDIME, arXiv 2203.02481: the noisy television, here without a room around it).

Letter: ``K`` arms.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from minied.env import Environment
from minied.errors import UserError, unknown_name
from minied.levels.parameters import Choice, Parameters
from minied.levels.space import LevelSpace, Suite
from minied.levels.tasks import Tasks
from minied.spaces import Discrete

MAX_ARMS = 1000


@dataclasses.dataclass(frozen=True)
class NoisyBandit(Environment[jax.Array, jax.Array]):
    """One step on one of K arms, ``i32[]``, which is level, state and observation. What the agent does has no effect."""

    num_arms: int = 5
    """Arms, K. All but the last pay from 0 to 1 in equal steps, always the same; the last pays 0 or 1, by a fair coin."""

    def __post_init__(self) -> None:
        if not 2 <= self.num_arms <= MAX_ARMS:
            raise UserError(f"num_arms is {self.num_arms}; allowed: 2 to {MAX_ARMS}")

    @property
    def max_steps(self) -> int:
        """One."""
        return 1

    @property
    def action_space(self) -> Discrete:
        """Two actions, which do the same."""
        return Discrete(2)

    @property
    def observation_space(self) -> Discrete:
        """The arm."""
        return Discrete(self.num_arms)

    @property
    def level_space(self) -> "NoisyBanditLevelSpace":
        """The arms."""
        return NoisyBanditLevelSpace(self)

    def mean_reward(self, arm: jax.Array) -> jax.Array:
        """Return what an arm pays on average, ``f32[]``: arm / (K - 2), the single steady arm of two 1, and the coin 1/2."""
        steady = arm.astype(jnp.float32) / (self.num_arms - 2) if self.num_arms > 2 else jnp.float32(1)
        return jnp.where(self.is_noisy(arm), 0.5, steady)

    def is_noisy(self, arm: jax.Array) -> jax.Array:
        """Return whether an arm is the coin, ``bool[]``."""
        return arm == self.num_arms - 1

    def reset(self, key: jax.Array, level: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the arm. Nothing is random: ``key`` is not used."""
        return level, level

    def step(self, key: jax.Array, state: jax.Array, action: jax.Array, level: jax.Array):
        """Pay, and end. Consumes ``key``, which tosses the coin."""
        coin = jax.random.bernoulli(key).astype(jnp.float32)
        reward = jnp.where(self.is_noisy(level), coin, self.mean_reward(level))
        return state, state, reward, jnp.bool_(True), jnp.bool_(False), {}


@dataclasses.dataclass(frozen=True)
class NoisyBanditLevelSpace(LevelSpace[jax.Array]):
    """The arms of ``bandit``."""

    bandit: NoisyBandit

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform arm, ``i32[]``. Consumes ``key``."""
        return jax.random.randint(key, (), 0, self.bandit.num_arms)

    def optimal_return(self, level: jax.Array) -> jax.Array:
        """Return what the arm pays on average, ``f32[]``: nobody does better or worse."""
        return self.bandit.mean_reward(level)

    @property
    def tasks(self) -> "NoisyBanditTasks":
        """The arms."""
        return NoisyBanditTasks(self.bandit.num_arms)

    @property
    def parameters(self) -> "NoisyBanditParameters":
        """The arm."""
        return NoisyBanditParameters(self.bandit.num_arms)

    def describe(self, level: jax.Array) -> dict[str, jax.Array]:
        """Return whether the arm is the coin, and its number."""
        return {"is_noisy": self.bandit.is_noisy(level).astype(jnp.float32), "arm": level.astype(jnp.float32)}

    @property
    def suites(self) -> Mapping[str, str]:
        """One suite."""
        return {"all": f"Every arm, horizon 1, {self.bandit.num_arms} levels."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the arms."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        with jax.ensure_compile_time_eval():
            arms = jnp.arange(self.bandit.num_arms, dtype=jnp.int32)
            return (Suite(name, self.bandit, arms, self.tasks.names, self.suites[name]),)


@dataclasses.dataclass(frozen=True)
class NoisyBanditTasks(Tasks[jax.Array]):
    """Each arm is a task, done when it pays."""

    num_arms: int

    @property
    def names(self) -> tuple[str, ...]:
        """``arm 0`` and so on, and ``coin``."""
        return (*(f"arm {arm}" for arm in range(self.num_arms - 1)), "coin")

    def level(self, key: jax.Array, tasks: jax.Array) -> jax.Array:
        """Return the arm, ``i32[]``. Nothing is left open: ``key`` is not used."""
        return tasks[0]


@dataclasses.dataclass(frozen=True)
class NoisyBanditParameters(Parameters[jax.Array]):
    """One parameter, the arm."""

    num_arms: int

    @property
    def parts(self) -> tuple[Choice, ...]:
        """``arm``."""
        return (Choice("arm", self.num_arms),)

    def level(self, key: jax.Array, values: jax.Array) -> jax.Array:
        """Return the arm, ``i32[]``. Nothing is left open: ``key`` is not used."""
        return values[0].astype(jnp.int32)
