"""The student's memory: a cell run over time that forgets where an episode starts.

Letters: ``T`` steps, ``M`` rows of the batch, ``E`` encoding, ``U`` units.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.students.base import Carry
from minied.students.networks.config import NetworkConfig


def initial_carry(config: NetworkConfig, num_rows: int) -> Carry:
    """Return the memory at the start of an episode, for ``num_rows`` rows: zeros.

    ``(f32[M, U], f32[M, U])`` for lstm, ``f32[M, U]`` for gru, ``()`` for none.
    """
    zeros = jnp.zeros((num_rows, config.memory_size))
    return {"lstm": (zeros, zeros), "gru": zeros, "none": ()}[config.memory]


class Memory(nn.Module):
    """Run the memory over a sequence: ``(carry, f32[T, M, E], bool[T, M]) -> (carry, f32[T, M, U])``."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, carry: Carry, inputs: jax.Array, reset: jax.Array) -> tuple[Carry, jax.Array]:
        """Where ``reset[t]`` is set the memory is emptied before it reads step t."""
        if self.config.memory == "none":
            layer = nn.Dense(self.config.memory_size, kernel_init=nn.initializers.orthogonal(2**0.5), name="dense")
            return carry, nn.relu(layer(inputs))
        cell_type = nn.OptimizedLSTMCell if self.config.memory == "lstm" else nn.GRUCell
        cell = cell_type(self.config.memory_size, name="cell")

        def step(cell: nn.RNNCellBase, carry: Carry, step_inputs: tuple[jax.Array, jax.Array]):
            encoding, starts = step_inputs
            carry = jax.tree.map(lambda leaf: jnp.where(starts[:, None], 0.0, leaf), carry)
            return cell(carry, encoding)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        return scan(cell, carry, (inputs, reset))
