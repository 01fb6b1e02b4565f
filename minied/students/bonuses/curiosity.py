"""Curiosity: a bonus of as much as a prediction was wrong. What bonuses of this kind share; what is predicted is theirs.

Burda et al. 2018 (arXiv 1810.12894) and 2018b (arXiv 1808.04355). For each rollout that is learnt from, in this order:

1. observations are taken into their running statistics and normalised by them (`normalization`);
2. the error of each step is what it earns, divided by the running deviation of discounted sums (`intrinsic_returns`);
3. a critic of the bonus's own gives these rewards values and advantages, which are added to the student's (or, ``shared``,
   the rewards are added to the world's before anything is made of them);
4. the networks that predict, and the critic, learn from the rollout (`learning`).

A stream of intrinsic rewards goes on over the ends of episodes unless it is ``episodic``: what an end costs is then the way
back to what is new, and no more.

Deviations: the published critic is a second head of the policy's network; this one has a small network of its own, without a
memory, so that neither the student's parameters nor any score sees the bonus. Networks that learn are Adam's, at a rate of
their own, and not of one loss with the policy's. The student's own options say whether the sum of both advantages is
normalised (``ppo.normalize_advantages``); if so, only the ratio of ``coefficient`` and ``reward_weight`` matters.

Letters: ``T`` steps, ``B`` environments, ``N`` agents, ``F`` features.
"""

import abc
import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from flax import struct

from minied.errors import UserError
from minied.hyperparameters import require_choice, require_range
from minied.spaces import ActionSpace, Space
from minied.students.advantages import generalized_advantages, over_streams
from minied.students.base import Parameters
from minied.students.batch import Mean, only
from minied.students.bonuses.base import Bonus, Experience, Paid, Surroundings
from minied.students.bonuses.intrinsic_returns import IntrinsicReturns
from minied.students.bonuses.learning import Learner, Metrics, learn
from minied.students.bonuses.networks import Features
from minied.students.bonuses.normalization import (
    Statistics,
    first_statistics,
    normalized,
    normalized_space,
    updated,
)
from minied.students.networks.config import NetworkConfig

CriticOfBonus = Literal["own", "shared"]


class Steps(struct.PyTreeNode):
    """What a prediction is of: leading axes ``[..., N]`` or fewer."""

    observations: Any  # normalised, before the step
    actions: jax.Array  # i32[...]
    next_observations: Any  # normalised, after it, the true ones


@dataclasses.dataclass(frozen=True)
class Shapes:
    """What networks read and predict. Static and hashable."""

    observations: Space  # normalised
    actions: ActionSpace
    network: NetworkConfig  # of the encoders

    @classmethod
    def of(cls, surroundings: Surroundings) -> "Shapes":
        """Return those of a world."""
        env = surroundings.env
        return cls(normalized_space(env.observation_space), env.action_space, surroundings.network)

    def observation(self) -> Any:
        """Return any observation, without leading axes, to make parameters by."""
        return self.observations.sample(jax.random.key(0))


class CuriosityState(struct.PyTreeNode):
    """What a curious student remembers."""

    fixed: Parameters  # of networks that never learn
    learner: Learner  # of {"prediction": those that do, "critic": the bonus's own, or ()}
    statistics: Statistics  # of observations
    returns: IntrinsicReturns


class Curiosity(Bonus):
    """Options and functions of a bonus for errors of prediction. A subclass says what is predicted."""

    learning_rate: float = 1e-4
    """Step size of Adam for the networks that predict and the critic; constant. Published: 1e-4."""
    adam_epsilon: float = 1e-5
    """ε of Adam."""
    num_epochs: int = 4
    """Passes over a rollout in each update of the student. Published: 4, and 3 of forward dynamics."""
    num_minibatches: int = 4
    """Parts of the steps in each pass, one optimiser step each; a divisor of num_steps. Published: 4, and 8."""
    proportion: float = 1.0
    """Share of the steps that a prediction is learnt from in each pass, drawn anew: less slows it down where there are many
    environments. Published: 1 with 32 environments, and 32 / environments with more (as remembered)."""
    feature_size: int = 64
    """F, numbers that are predicted. Published: 512."""
    hidden_size: int = 128
    """Units of the hidden layers. Published: 512."""
    discount: float = 0.99
    """γ of intrinsic rewards."""
    gae_lambda: float = 0.95
    """λ of their advantages."""
    episodic: bool = False
    """Whether the ends of episodes, time-outs too, cut the stream of intrinsic rewards. Published: no."""
    critic: CriticOfBonus = "own"
    """Who learns what intrinsic rewards are to come: `own`, a network of the bonus's; `shared`, the student's own values,
    which are then of both rewards together, at the student's discount, and cut at the ends of episodes."""

    @property
    def keeps(self) -> frozenset[str]:
        """What was observed after each step."""
        return frozenset({"next_observations"})

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        for name in ("learning_rate", "adam_epsilon"):
            require_range(self, name, 0, float("inf"), open_low=True)
        require_range(self, "proportion", 0, 1, open_low=True)
        for name in ("discount", "gae_lambda"):
            require_range(self, name, 0, 1)
        for name in ("num_epochs", "num_minibatches", "feature_size", "hidden_size"):
            require_range(self, name, 1, 2**31 - 1)
        require_choice(self, "critic", get_args(CriticOfBonus))

    def validate(self, surroundings: Surroundings) -> None:
        """Raise `UserError` if the minibatches do not divide the steps, or the networks cannot read the observation."""
        if surroundings.num_steps % self.num_minibatches:
            raise UserError(
                f"bonus.num_minibatches is {self.num_minibatches}, which does not divide num_steps ="
                f" {surroundings.num_steps}; allowed: a divisor of num_steps"
            )
        jax.eval_shape(lambda: self.init(jax.random.key(0), surroundings))

    # -- what is predicted ---------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def init_prediction(self, key: jax.Array, shapes: Shapes) -> tuple[Parameters, Parameters]:
        """Return the parameters of networks that never learn, and of those that do. Consumes ``key``."""

    @abc.abstractmethod
    def errors(self, fixed: Parameters, learnt: Parameters, steps: Steps, shapes: Shapes) -> jax.Array:
        """Return what each step earns, ``f32[...]``: how wrong the prediction was."""

    def losses(
        self, fixed: Parameters, learnt: Parameters, steps: Steps, shapes: Shapes
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return what is descended, ``f32[...]`` of each step, by default its error, and named ``f32[...]`` to log."""
        return self.errors(fixed, learnt, steps, shapes), {}

    # -- the contract --------------------------------------------------------------------------------------------------

    def init(self, key: jax.Array, surroundings: Surroundings) -> CuriosityState:
        """Return networks that have learnt nothing. Consumes ``key``."""
        prediction_key, critic_key = jax.random.split(key)
        shapes = Shapes.of(surroundings)
        fixed, learnt = self.init_prediction(prediction_key, shapes)
        critic = () if self.critic == "shared" else self._critic(shapes).init(critic_key, shapes.observation())
        return CuriosityState(
            fixed=fixed,
            learner=Learner.of({"prediction": learnt, "critic": critic}, self._optimizer),
            statistics=first_statistics(surroundings.env.observation_space),
            returns=IntrinsicReturns.of_nothing(surroundings.num_levels, surroundings.env.num_agents),
        )

    def pay(
        self,
        key: jax.Array,
        state: CuriosityState,
        experience: Experience,
        mastery: jax.Array | None,
        surroundings: Surroundings,
    ) -> Paid:
        """Return what errors of prediction earn, and the state that has learnt from the rollout. Consumes ``key``."""
        spread, shapes = surroundings.spread, Shapes.of(surroundings)
        statistics, steps, last = _read(state.statistics, experience, surroundings)
        parameters = state.learner.parameters
        errors = experience.where_present(self.errors(state.fixed, parameters["prediction"], steps, shapes))
        ended = experience.ended & self.episodic
        returns = state.returns.after(errors, ended, experience.present, self.discount, spread)
        rewards = errors / returns.moments.deviation

        if self.critic == "own":
            value = self._critic(shapes).apply
            values = value(parameters["critic"], steps.observations)[..., 0]  # type: ignore[index]
            last_values = value(parameters["critic"], last)[..., 0]  # type: ignore[index]
            estimates = self.estimates(rewards, values, last_values, ended, experience.present)
            paid = {"advantages": self.coefficient * experience.where_present(estimates)}
            targets = estimates + values
        else:
            paid, targets = {"rewards": self.coefficient * rewards}, rewards
        learner, learnt = self._learn(key, state, steps, targets, experience.present, shapes, surroundings)
        metrics = {
            "bonus": self.coefficient * experience.mean(rewards, spread),
            "prediction_error": experience.mean(errors, spread),
            "intrinsic_return_deviation": returns.moments.deviation,
        }
        after = CuriosityState(state.fixed, learner, statistics, returns)
        return Paid(after, metrics | learnt, **paid)

    def estimates(
        self, rewards: jax.Array, values: jax.Array, last_values: jax.Array, ended: jax.Array, present: jax.Array
    ) -> jax.Array:
        """Return generalised advantages of intrinsic rewards, ``f32[T, B, N]``.

        Args:
            rewards: ``f32[T, B, N]``.
            values: ``f32[T, B, N]``, of the observations before each step, the first of a next episode among them.
            last_values: ``f32[B, N]``, of what comes after the last.
            ended: ``bool[T, B]``, where the stream is cut; nowhere if it is not episodic.
            present: ``bool[T, B, N]``.
        """

        def one(rewards, values, last_value, ended, bootstrap):
            return generalized_advantages(rewards, values, last_value, ended, bootstrap, self.discount, self.gae_lambda)

        return over_streams(one, rewards, values, last_values, ended, jnp.zeros_like(rewards), present)

    def _learn(
        self,
        key: jax.Array,
        state: CuriosityState,
        steps: Steps,
        targets: jax.Array,
        present: jax.Array,
        shapes: Shapes,
        surroundings: Surroundings,
    ) -> tuple[Learner, Metrics]:
        def loss(parameters: Parameters, samples: tuple[Steps, jax.Array], mean_of_chosen: Mean, mean: Mean):
            steps, targets = samples
            losses, told = self.losses(state.fixed, parameters["prediction"], steps, shapes)
            metrics = {name: mean_of_chosen(value) for name, value in told.items()}
            total = mean_of_chosen(losses)
            if self.critic == "own":
                values: Any = self._critic(shapes).apply(parameters["critic"], steps.observations)
                value_loss = 0.5 * mean(jnp.square(values[..., 0] - targets))
                total, metrics["intrinsic_value_loss"] = total + value_loss, value_loss
            return total, metrics

        return learn(
            key,
            state.learner,
            loss,
            (steps, targets),
            present,
            rate=self.learning_rate,
            num_epochs=self.num_epochs,
            num_minibatches=self.num_minibatches,
            proportion=self.proportion,
            num_levels=surroundings.num_levels,
            spread=surroundings.spread,
            optimizer=self._optimizer,
        )

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        """Return the direction of descent; the rate is applied by `learn`."""
        return optax.scale_by_adam(eps=self.adam_epsilon)

    def _critic(self, shapes: Shapes) -> Features:
        """Return the network of values, one number."""
        return Features(shapes.observations, shapes.network, 1, self.hidden_size)


def _read(statistics: Statistics, experience: Experience, surroundings: Surroundings) -> tuple[Statistics, Steps, Any]:
    """Return the statistics with a rollout taken in, and by them its steps and the observations after the last.

    Nothing of what an agent saw while it was not there is read: zeros stand in its place.
    """
    space, present = surroundings.env.observation_space, experience.present
    before, after = (only(present, each) for each in (experience.observations, experience.next_observations))
    last = only(present[-1], experience.last_observations)
    statistics = updated(statistics, space, after, present, surroundings.spread)
    before, after, last = (normalized(statistics, space, each) for each in (before, after, last))
    return statistics, Steps(before, experience.actions, after), last
