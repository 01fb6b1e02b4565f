"""From an observation, whatever its space, to one vector: images by convolution, choices by embedding, boxes as they are."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Space
from minied.students.networks.config import NetworkConfig


class Encoder(nn.Module):
    """Encode an observation ``[..., *space]`` as ``f32[..., E]``; parts of a `Dict` are concatenated in its order."""

    space: Space
    config: NetworkConfig

    @nn.compact
    def __call__(self, observation) -> jax.Array:
        """Return the encoding of a batch of observations with any leading axes."""
        if isinstance(self.space, Dict):
            parts = [self._part(name, space, observation[name]) for name, space in self.space.parts]
            return jnp.concatenate(parts, axis=-1)
        return self._part("observation", self.space, observation)

    def _part(self, name: str, space: Space, value: jax.Array) -> jax.Array:
        if isinstance(space, Coded) and len(space.shape) == 2:
            return self._image(name, space.decode(value))
        if isinstance(space, Coded) and len(space.shape) < 2:
            return space.decode(value).reshape(*value.shape[: value.ndim - len(space.shape)], -1)
        if isinstance(space, Discrete):
            # A linear map of the one-hot choice without a bias: as minimax's, one row of parameters a choice.
            embed = nn.Dense(
                self.config.embedding_size, use_bias=False, kernel_init=_orthogonal(), name=f"{name}_embed"
            )
            return embed(jax.nn.one_hot(value, space.n))
        if isinstance(space, Box) and len(space.shape) == 3:
            return self._image(name, value)
        if isinstance(space, Box) and len(space.shape) < 2:
            return value.reshape(*value.shape[: value.ndim - len(space.shape)], -1)
        raise UserError(
            f"the observation part {name!r} is {space}; allowed: Discrete, images, vectors, and Dict of these"
        )

    def _image(self, name: str, image: jax.Array) -> jax.Array:
        leading = image.shape[:-3]
        if min(image.shape[-3:-1]) < 3:
            raise UserError(
                f"the image {name!r} is {image.shape[-3]}x{image.shape[-2]}; allowed: at least 3x3, what a filter reads"
            )
        conv = nn.Conv(
            self.config.conv_filters, (3, 3), padding="VALID", kernel_init=_orthogonal(), name=f"{name}_conv"
        )
        features = nn.relu(conv(image.reshape(-1, *image.shape[-3:])))
        return features.reshape(*leading, -1)


def _orthogonal(scale: float = 2**0.5) -> nn.initializers.Initializer:
    return nn.initializers.orthogonal(scale)
