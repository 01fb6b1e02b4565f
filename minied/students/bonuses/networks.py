"""The networks of a curious student: features of an observation, and what is predicted from them and from actions.

Features begin with the encoder of the student's own kind and sizes (`minied.students.networks.encoders`), which reads any
observation, as a policy without a memory would. Letters: ``F`` features, ``A`` numbers of an action.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.spaces import ActionSpace, MultiDiscrete, Space
from minied.students import distributions
from minied.students.networks.affine import Affine
from minied.students.networks.config import NetworkConfig
from minied.students.networks.encoders import Encoder


class Features(nn.Module):
    """An encoder, hidden layers with leaky rectifiers, and a linear one: from ``[..., *space]`` to ``f32[..., F]``."""

    space: Space
    config: NetworkConfig
    size: int
    hidden_size: int
    num_hidden: int = 1

    @nn.compact
    def __call__(self, observation: Any) -> jax.Array:
        """Return the features."""
        features = Encoder(self.space, self.config, name="encoder")(observation)
        for layer in range(self.num_hidden):
            features = nn.leaky_relu(_dense(features, self.hidden_size, f"hidden_{layer}", self.config))
        return _dense(features, self.size, "features", self.config)


class ForwardDynamics(nn.Module):
    """From features and an action to those of the next observation, ``f32[..., F]``.

    Burda et al. 2018b (arXiv 1808.04355): a layer with a leaky rectifier, residual blocks of two layers, the second linear,
    and a linear layer; the action, one-hot, is put before every one of them.
    """

    config: NetworkConfig
    hidden_size: int
    num_blocks: int

    @nn.compact
    def __call__(self, features: jax.Array, action: jax.Array) -> jax.Array:
        """Return the prediction, of features ``f32[..., F]`` and one-hot actions ``f32[..., A]``."""

        def dense(inputs: jax.Array, size: int, name: str) -> jax.Array:
            return _dense(jnp.concatenate([inputs, action], axis=-1), size, name, self.config)

        hidden = nn.leaky_relu(dense(features, self.hidden_size, "first"))
        for block in range(self.num_blocks):
            residual = nn.leaky_relu(dense(hidden, self.hidden_size, f"block_{block}_first"))
            hidden = hidden + dense(residual, self.hidden_size, f"block_{block}_second")
        return dense(hidden, features.shape[-1], "last")


class InverseDynamics(nn.Module):
    """From the features of two observations in a row to the logits of the action between them, ``f32[..., n]``."""

    config: NetworkConfig
    hidden_size: int
    action_space: ActionSpace

    @nn.compact
    def __call__(self, features: jax.Array, next_features: jax.Array) -> jax.Array:
        """Return the logits, of features ``f32[..., F]``."""
        both = jnp.concatenate([features, next_features], axis=-1)
        hidden = nn.leaky_relu(_dense(both, self.hidden_size, "hidden", self.config))
        numbers = _numbers_of(self.action_space)
        logits = _dense(hidden, sum(numbers), "action", self.config)
        return distributions.joint(logits, numbers)


def one_hot(space: ActionSpace, actions: jax.Array) -> jax.Array:
    """Return actions ``i32[...]`` as ``f32[..., A]``; of several factors, theirs side by side."""
    choices = space.split(actions) if isinstance(space, MultiDiscrete) else (actions,)
    each = [jax.nn.one_hot(choice, n) for choice, n in zip(choices, _numbers_of(space), strict=True)]
    return jnp.concatenate(each, axis=-1)


def _numbers_of(space: ActionSpace) -> tuple[int, ...]:
    return space.numbers if isinstance(space, MultiDiscrete) else (space.n,)


def _dense(inputs: jax.Array, size: int, name: str, config: NetworkConfig) -> jax.Array:
    layer = Affine(size, kernel_init=nn.initializers.orthogonal(2**0.5), name=name)
    return layer(inputs.shape[-1])(inputs, config.precision)
