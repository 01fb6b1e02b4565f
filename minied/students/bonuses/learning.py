"""How do the networks of a bonus learn from a rollout? By passes over its steps, with an optimiser of their own.

They have no memory, so that minibatches are of steps, of all environments: on several devices each step's gradient is the
mean over all, and nothing but gradients crosses. Letters: ``T`` steps, ``B`` environments, ``N`` agents.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from minied.spread import Spread
from minied.students.base import Parameters
from minied.students.batch import Mean, mean_over

Metrics = dict[str, jax.Array]
Loss = Callable[[Parameters, Any, Mean, Mean], tuple[jax.Array, Metrics]]
"""Of parameters, samples ``[T', B, N, ...]``, and means: over what a predictor learns from, and over all that counts."""


class Learner(struct.PyTreeNode):
    """Parameters and the state of their optimiser."""

    parameters: Parameters
    optimizer: optax.OptState

    @classmethod
    def of(cls, parameters: Parameters, optimizer: optax.GradientTransformation) -> "Learner":
        """Return a learner that has learnt nothing."""
        return cls(parameters, optimizer.init(parameters))


def learn(
    key: jax.Array,
    learner: Learner,
    loss: Loss,
    samples: Any,
    counts: jax.Array,
    *,
    rate: jax.Array | float,
    num_epochs: int,
    num_minibatches: int,
    proportion: jax.Array | float,
    num_levels: int,
    spread: Spread,
    optimizer: optax.GradientTransformation,
) -> tuple[Learner, Metrics]:
    """Return the learner after passes over a rollout, and the means of its metrics. Consumes ``key``.

    Args:
        key: the same on all devices.
        learner: before.
        loss: to be descended.
        samples: leaves ``[T, B, N, ...]``, on several devices those of this one.
        counts: ``bool[T, B, N]``, which of them count.
        rate: step size.
        num_epochs: passes.
        num_minibatches: parts of the T steps in each pass, drawn anew; it divides T.
        proportion: of what counts, the share that a predictor learns from in each pass, drawn sample by sample.
        num_levels: B on all devices together.
        spread: over devices.
        optimizer: that of `Learner.of`; what it returns is multiplied by the rate.
    """
    num_steps, _, num_agents = counts.shape

    def minibatch(learner: Learner, steps: tuple[Any, jax.Array, jax.Array]) -> tuple[Learner, Metrics]:
        samples, counts, chosen = steps
        means = mean_over(chosen, spread), mean_over(counts, spread)
        gradient, metrics = jax.grad(loss, has_aux=True)(learner.parameters, samples, *means)
        # Averaged here, not inside of the loss: see `minied.students.ppo`.
        gradient = spread.mean(gradient)
        direction, state = optimizer.update(gradient, learner.optimizer, learner.parameters)
        step = jax.tree.map(lambda leaf: -rate * leaf, direction)
        return Learner(optax.apply_updates(learner.parameters, step), state), spread.mean(metrics)

    def epoch(learner: Learner, key: jax.Array) -> tuple[Learner, Metrics]:
        order_key, chosen_key = jax.random.split(key)
        uniform = jax.random.uniform(chosen_key, (num_steps, num_levels, num_agents))
        whole = samples, counts, counts & (spread.part(uniform, axis=1) < proportion)
        if num_minibatches == 1:  # an order would only change that of a sum
            return minibatch(learner, whole)
        order = jax.random.permutation(order_key, num_steps).reshape(num_minibatches, -1)
        return jax.lax.scan(
            lambda learner, steps: minibatch(learner, jax.tree.map(lambda leaf: leaf[steps], whole)), learner, order
        )

    learner, metrics = jax.lax.scan(epoch, learner, jax.random.split(key, num_epochs))
    return learner, {name: value.mean() for name, value in metrics.items()}


def squared_errors(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Return the mean squared error over features, ``f32[...]``, of ``f32[..., F]``."""
    return jnp.mean(jnp.square(predictions - targets), axis=-1)
