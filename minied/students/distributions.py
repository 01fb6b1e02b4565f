"""The categorical distribution over actions, from logits. Written for one distribution or any leading axes.

Actions are drawn by inverse cumulative distribution from one uniform number each, so that all the randomness of a
rollout is drawn before it starts.
"""

import itertools

import jax
import jax.numpy as jnp


def log_probabilities(logits: jax.Array) -> jax.Array:
    """Return normalised log-probabilities, ``f32[..., A]``, of ``logits`` ``f32[..., A]``."""
    return jax.nn.log_softmax(logits)


def log_probability(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Return ``log π(action)``, ``f32[...]``, for ``logits`` ``f32[..., A]`` and ``action`` ``i32[...]``."""
    return jnp.take_along_axis(log_probabilities(logits), action[..., None], axis=-1)[..., 0]


def joint(logits: jax.Array, numbers: tuple[int, ...]) -> jax.Array:
    """Return logits of the joint choice of independent factors, ``f32[..., prod(numbers)]``, the first factor slowest.

    Log-probabilities and entropy are the sums of those of the factors, whose logits are side by side in ``logits``
    ``f32[..., sum(numbers)]``.
    """
    total, *factors = jnp.split(logits, list(itertools.accumulate(numbers))[:-1], axis=-1)
    for factor in factors:
        total = (total[..., :, None] + factor[..., None, :]).reshape(*logits.shape[:-1], -1)
    return total


MASKED = -1e9
"""Logit of an action that is not allowed: its probability is 0 exactly, and no derivative is infinite."""


def masked(logits: jax.Array, allowed: jax.Array) -> jax.Array:
    """Return logits, ``f32[..., A]``, of the distribution over the actions that ``allowed`` ``bool[..., A]`` leaves."""
    return jnp.where(allowed, logits, MASKED)


def mixed_with_uniform(logits: jax.Array, share: jax.Array | float) -> jax.Array:
    """Return the logits of ``(1 − share) π + share · u``, ``u`` uniform over the actions that are not masked.

    What is drawn, its log-probability and the entropy are then those of the mixture.
    """
    allowed = logits > 0.5 * MASKED
    log_uniform = -jnp.log(jnp.maximum(jnp.sum(allowed, axis=-1, keepdims=True), 1).astype(jnp.float32))
    mixture = jnp.logaddexp(jnp.log1p(-share) + log_probabilities(logits), jnp.log(share) + log_uniform)
    return jnp.where(allowed, mixture, MASKED)


def entropy(logits: jax.Array) -> jax.Array:
    """Return the entropy in nats, ``f32[...]``; masked actions (logit −inf) count nothing."""
    log_p = log_probabilities(logits)
    p = jnp.exp(log_p)
    return -jnp.sum(jnp.where(p > 0, p * log_p, 0.0), axis=-1)


def divergence(log_target: jax.Array, logits: jax.Array) -> jax.Array:
    """Return the Kullback-Leibler divergence ``KL(target ‖ π)`` in nats, ``f32[...]``.

    Args:
        log_target: ``f32[..., A]``, log-probabilities; no derivative is taken of them by the caller.
        logits: ``f32[..., A]``, of π.
    """
    target = jnp.exp(log_target)
    return jnp.sum(jnp.where(target > 0, target * (log_target - log_probabilities(logits)), 0.0), axis=-1)


def sample(uniform: jax.Array, logits: jax.Array) -> jax.Array:
    """Return an action ``i32[...]`` by inverse CDF.

    Args:
        uniform: ``f32[...]`` in ``[0, 1)``, one independent draw for each action.
        logits: ``f32[..., A]``.
    """
    probabilities = jax.nn.softmax(logits)
    # What is impossible answers no uniform: a long sum is made in parts, and may rise by a rounding where nothing is added.
    # The sum may end just below 1: the uniform is measured against what it comes to, so that there always is an answer.
    cumulative = jnp.where(probabilities > 0, jnp.cumsum(probabilities, axis=-1), -1.0)
    bound = uniform * jnp.max(cumulative, axis=-1)
    return jnp.argmax(cumulative > bound[..., None], axis=-1).astype(jnp.int32)
