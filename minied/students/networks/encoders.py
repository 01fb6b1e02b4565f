"""From an observation, whatever its space, to one vector.

Images and rings by convolution, choices by embedding, entities by attention, vectors as they are.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, Ring, Space
from minied.students.networks.affine import Affine, Precision, on_last_axis, product
from minied.students.networks.config import NetworkConfig
from minied.students.networks.entities import EntityEncoder

LARGEST_PRODUCT = 49
"""Cells of the largest image whose convolution is one matrix product: 7×7, the largest view of the literature. Nine cells
count for an output and all are multiplied, so that the waste grows with the image; at 5×5 an update is a tenth faster."""


class Encoder(nn.Module):
    """Encode an observation ``[..., *space]`` as ``f32[..., E]``; parts of a `Dict` are concatenated in its order.

    A `Mask` is no input. With ``sees_all`` privileged parts are, and entities are read where present, else where visible.
    Where there are entities, an `EntityEncoder` reads them and all other parts but images, which come after it.
    """

    space: Space
    config: NetworkConfig
    sees_all: bool = False

    @nn.compact
    def __call__(self, observation) -> jax.Array:
        """Return the encoding of a batch of observations with any leading axes."""
        if not isinstance(self.space, Dict):
            return self._part("observation", self.space, observation)
        hidden = () if self.sees_all else self.space.privileged
        parts = [each for each in self.space.parts if not isinstance(each[1], Mask) and each[0] not in hidden]
        entities = [name for name, space in parts if isinstance(space, Entities)]
        last = [name for name, space in parts if entities and _is_image(space)]
        encoded = {name: self._part(name, space, observation[name]) for name, space in parts if name not in entities}
        own = [encoded[name] for name in encoded if name not in last]
        if entities:
            own = [self._entities(own, {name: observation[name] for name in entities})]
        return jnp.concatenate(own + [encoded[name] for name in last], axis=-1)

    def _entities(self, own: list[jax.Array], observation: dict[str, dict[str, jax.Array]]) -> jax.Array:
        if not own:
            raise UserError(
                f"the observation has entities {next(iter(observation))!r} alone; allowed: a vector, choice or ring beside"
                " them, of the agent itself"
            )
        seen = "present" if self.sees_all else "visible"
        entities = {name: (value["features"], value[seen]) for name, value in observation.items()}
        return EntityEncoder(self.config, name="entities")(jnp.concatenate(own, axis=-1), entities)

    def _part(self, name: str, space: Space, value: jax.Array) -> jax.Array:
        if _is_image(space):
            return self._image(name, space.decode(value) if isinstance(space, Coded) else value)
        if isinstance(space, Coded) and len(space.shape) < 2:
            return space.decode(value).reshape(*value.shape[: value.ndim - len(space.shape)], -1)
        if isinstance(space, Discrete):
            # A linear map of the one-hot choice without a bias: as minimax's, one row of parameters a choice.
            embed = Affine(self.config.embedding_size, use_bias=False, kernel_init=_orthogonal(), name=f"{name}_embed")
            return embed(space.n)(jax.nn.one_hot(value, space.n), self.config.precision)
        if isinstance(space, Ring):
            convolution = CircularConvolution(self.config.ring_filters, self.config.precision, name=f"{name}_conv")
            return nn.relu(convolution(value)).reshape(*value.shape[:-2], -1)
        if isinstance(space, Box) and len(space.shape) < 2:
            return value.reshape(*value.shape[: value.ndim - len(space.shape)], -1)
        raise UserError(
            f"the observation part {name!r} is {space}; allowed: Discrete, images, vectors, rings, and Dict of these and"
            " of entities"
        )

    def _image(self, name: str, image: jax.Array) -> jax.Array:
        leading = image.shape[:-3]
        if min(image.shape[-3:-1]) < 3:
            raise UserError(
                f"the image {name!r} is {image.shape[-3]}x{image.shape[-2]}; allowed: at least 3x3, what a filter reads"
            )
        convolution = Convolution(self.config.conv_filters, self.config.precision, name=f"{name}_conv")
        features = nn.relu(convolution(image)).reshape(*leading, -1)
        if self.config.image_projection == 0:
            return features
        project = Affine(self.config.image_projection, kernel_init=_orthogonal(), name=f"{name}_projection")
        return nn.relu(project(features.shape[-1])(features, self.config.precision))


class Convolution(nn.Module):
    """A 3×3 convolution (stride 1, no padding), with the parameters of `flax.linen.Conv`.

    A small image is one vector, and the convolution one matrix that repeats the filters where they apply: more
    multiplications, mostly by zero, in one product that a processor does several times sooner. Of a larger one the 3×3
    patches are laid side by side and multiplied: on CPU the derivative of XLA's convolution takes tens of times as
    long.
    """

    num_filters: int
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Return ``f32[..., H − 2, W − 2, F]`` of ``f32[..., H, W, C]``."""
        height, width, channels = image.shape[-3:]
        kernel = self.param("kernel", _orthogonal(), (3, 3, channels, self.num_filters))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.num_filters,))
        leading, size = image.shape[:-3], (height - 2, width - 2, self.num_filters)

        def add_bias(features: jax.Array) -> jax.Array:
            features = features.reshape(*leading, *size)
            return features + on_last_axis(bias, features)

        if height * width <= LARGEST_PRODUCT:
            matrix = _matrix_of(kernel, height, width)
            return add_bias(product(image.reshape(*leading, -1), matrix, self.precision))
        return add_bias(product(_patches(image), kernel.reshape(9 * channels, -1), self.precision))


class CircularConvolution(nn.Module):
    """A convolution of kernel 3 around a ring, the last place beside the first: one product of each place and its two."""

    num_filters: int
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, ring: jax.Array) -> jax.Array:
        """Return ``f32[..., R, F]`` of ``f32[..., R, C]``; row k of the kernel reads place ``r + k − 1``."""
        kernel = self.param("kernel", _orthogonal(), (3, ring.shape[-1], self.num_filters))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.num_filters,))
        read = jnp.concatenate([jnp.roll(ring, 1, axis=-2), ring, jnp.roll(ring, -1, axis=-2)], axis=-1)
        features = product(read, kernel.reshape(-1, self.num_filters), self.precision)
        return features + on_last_axis(bias, features)


def _is_image(space: Space) -> bool:
    return isinstance(space, (Box, Coded)) and len(space.shape) == (2 if isinstance(space, Coded) else 3)


def _patches(image: jax.Array) -> jax.Array:
    """Return what each place of a filter reads, ``f32[..., H − 2, W − 2, 9 C]``, of ``f32[..., H, W, C]``."""
    height, width = image.shape[-3] - 2, image.shape[-2] - 2
    shifted = [image[..., i : i + height, j : j + width, :] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def _matrix_of(kernel: jax.Array, height: int, width: int) -> jax.Array:
    """Return the matrix of a convolution, ``f32[H·W·C, (H − 2)·(W − 2)·F]``, of ``kernel`` ``f32[3, 3, C, F]``."""
    rows, cols = np.divmod(np.arange(height * width), width)
    places = np.array([(row, col) for row in range(height - 2) for col in range(width - 2)])
    down, right = rows[:, None] - places[None, :, 0], cols[:, None] - places[None, :, 1]
    applies = (down >= 0) & (down < 3) & (right >= 0) & (right < 3)
    chosen = np.where(applies, 3 * down + right, 9)[..., None] == np.arange(9)  # [H·W, places, 9]
    matrix = jnp.einsum("hpk,kcf->hcpf", chosen.astype(np.float32), kernel.reshape(9, *kernel.shape[2:]))
    return matrix.reshape(height * width * kernel.shape[2], -1)


def _orthogonal(scale: float = 2**0.5) -> nn.initializers.Initializer:
    return nn.initializers.orthogonal(scale)
