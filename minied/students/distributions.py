"""The categorical distribution over actions, from logits. Written for one distribution or any leading axes.

Actions are drawn by inverse cumulative distribution from one uniform number each, so that all the randomness of a
rollout is drawn before it starts.
"""

import jax
import jax.numpy as jnp


def log_probabilities(logits: jax.Array) -> jax.Array:
    """Return normalised log-probabilities, ``f32[..., A]``, of ``logits`` ``f32[..., A]``."""
    return jax.nn.log_softmax(logits)


def log_probability(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Return ``log π(action)``, ``f32[...]``, for ``logits`` ``f32[..., A]`` and ``action`` ``i32[...]``."""
    return jnp.take_along_axis(log_probabilities(logits), action[..., None], axis=-1)[..., 0]


def entropy(logits: jax.Array) -> jax.Array:
    """Return the entropy in nats, ``f32[...]``; masked actions (logit −inf) count nothing."""
    log_p = log_probabilities(logits)
    p = jnp.exp(log_p)
    return -jnp.sum(jnp.where(p > 0, p * log_p, 0.0), axis=-1)


def sample(uniform: jax.Array, logits: jax.Array) -> jax.Array:
    """Return an action ``i32[...]`` by inverse CDF.

    Args:
        uniform: ``f32[...]`` in ``[0, 1)``, one independent draw for each action.
        logits: ``f32[..., A]``.
    """
    cumulative = jnp.cumsum(jax.nn.softmax(logits), axis=-1)
    # Rounding may leave the last cumulative sum just below 1: measure the uniform against that sum instead of 1, so
    # that an action of probability zero at the end is never drawn.
    return jnp.sum(cumulative <= (uniform * cumulative[..., -1])[..., None], axis=-1, dtype=jnp.int32)
