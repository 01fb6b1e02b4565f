"""Flags, eight to a byte: for what a rollout keeps of every step."""

import jax
import jax.numpy as jnp
from flax import struct


class Flags(struct.PyTreeNode):
    """``bool[..., K]`` in ``ceil(K / 8)`` bytes; axes before the last may be sliced as those of any array."""

    bytes: jax.Array  # u8[..., ceil(K / 8)]
    number: int = struct.field(pytree_node=False)  # K

    @classmethod
    def of(cls, flags: jax.Array) -> "Flags":
        """Return ``flags`` ``bool[..., K]``, packed."""
        return cls(jnp.packbits(flags, axis=-1), flags.shape[-1])

    def unpacked(self) -> jax.Array:
        """Return ``bool[..., K]``."""
        return jnp.unpackbits(self.bytes, axis=-1, count=self.number).astype(bool)
