"""The parameters of an affine map apart from its application, so that several maps can be one product."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct


class AffineWeights(struct.PyTreeNode):
    """``x K + b``."""

    kernel: jax.Array  # f32[E, F]
    bias: Any  # f32[F], or None

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the map of ``f32[..., E]``."""
        outputs = inputs @ self.kernel
        return outputs if self.bias is None else outputs + on_last_axis(self.bias, outputs)


def on_last_axis(vector: jax.Array, other: jax.Array) -> jax.Array:
    """Return ``vector`` with as many axes as ``other``, its own the last: no broadcast is left to be guessed."""
    return vector.reshape((1,) * (other.ndim - 1) + (-1,))


class Affine(nn.Module):
    """Parameters named and drawn as those of `flax.linen.Dense`."""

    size: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, num_inputs: int) -> AffineWeights:
        """Return the weights for ``num_inputs`` inputs."""
        kernel = self.param("kernel", self.kernel_init, (num_inputs, self.size))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.size,)) if self.use_bias else None
        return AffineWeights(kernel, bias)


def side_by_side(maps: list[AffineWeights]) -> AffineWeights:
    """Return one map to the outputs of all ``maps``, which read the same inputs."""
    return AffineWeights(
        jnp.concatenate([each.kernel for each in maps], axis=-1), jnp.concatenate([each.bias for each in maps])
    )


def block_diagonal(maps: list[AffineWeights]) -> AffineWeights:
    """Return one map to the outputs of all ``maps``, each of which reads its own part of the inputs, in order."""
    kernel = jax.scipy.linalg.block_diag(*(each.kernel for each in maps))
    return AffineWeights(kernel, jnp.concatenate([each.bias for each in maps]))
