"""Matrix products in a chosen precision, and affine maps as parameters, so that several can be one product."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

Precision = Literal["float32", "tf32", "bfloat16"]


NATIVE: dict[Precision, str | None] = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": None}
"""What JAX calls the rounding inside of a product; bfloat16 is rounded to before."""


def rounded(operand: jax.Array, precision: Precision) -> jax.Array:
    """Return ``operand`` as a `product` in ``precision`` reads it; to be done once for what is multiplied often."""
    return operand.astype(jnp.bfloat16) if precision == "bfloat16" else operand


def product(one: jax.Array, other: jax.Array, precision: Precision) -> jax.Array:
    """Return the matrix product, ``f32``: operands rounded as ``precision`` says, sums in float32.

    A processor without tf32 takes the operands as they are.
    """
    one, other = rounded(one, precision), rounded(other, precision)
    return jnp.matmul(one, other, precision=NATIVE[precision], preferred_element_type=jnp.float32)


class AffineWeights(struct.PyTreeNode):
    """``x K + b``."""

    kernel: jax.Array  # f32[E, F]
    bias: Any  # f32[F], or None

    def __call__(self, inputs: jax.Array, precision: Precision = "float32") -> jax.Array:
        """Return the map of ``f32[..., E]``."""
        outputs = product(inputs, self.kernel, precision)
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
