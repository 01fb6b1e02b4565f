"""The student's memory: a cell run over time that forgets where an episode starts.

Letters: ``T`` steps, ``M`` rows of the batch, ``E`` encoding, ``U`` units.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.students.base import Activations, Carry, Earlier
from minied.students.networks import lstm
from minied.students.networks.affine import NATIVE, Affine
from minied.students.networks.config import NetworkConfig
from minied.students.networks.linear_recurrence import S5, MinGRU


def initial_carry(config: NetworkConfig, num_rows: int) -> Carry:
    """Return the memory at the start of an episode, for ``num_rows`` rows: zeros.

    ``(f32[M, U], f32[M, U])`` for lstm, ``f32[M, U]`` for gru and min_gru, ``f32[M, L, 2, U / 2]`` for s5, ``()`` for none.
    """
    zeros = jnp.zeros((num_rows, config.memory_size))
    by_layer = zeros.reshape(num_rows, 1, 2, -1) if config.memory == "s5" else zeros
    states = {"lstm": (zeros, zeros), "gru": zeros, "min_gru": zeros, "none": ()}
    return states[config.memory] if config.memory != "s5" else jnp.repeat(by_layer, config.num_memory_layers, axis=1)


class Memory(nn.Module):
    """Run the memory over a sequence: ``(carry, f32[T, M, E], bool[T, M]) -> (carry, f32[T, M, U], activations)``."""

    config: NetworkConfig

    @nn.compact
    def __call__(
        self, carry: Carry, inputs: jax.Array, reset: jax.Array, earlier: Earlier | None = None
    ) -> tuple[Carry, jax.Array, Activations]:
        """Where ``reset[t]`` is set the memory is emptied before it reads step t.

        ``earlier`` is of a call on the same sequence, and spares the pass forward where it holds.
        """
        if self.config.memory == "none":
            layer = Affine(self.config.memory_size, kernel_init=nn.initializers.orthogonal(2**0.5), name="dense")
            return carry, nn.relu(layer(inputs.shape[-1])(inputs, self.config.precision)), ()
        if self.config.memory == "lstm":
            weights = LSTMParameters(self.config.memory_size, name="cell")(inputs.shape[-1])
            return lstm.lstm(weights, carry, inputs, reset, earlier, self.config.precision)
        size, precision = self.config.memory_size, self.config.precision
        if self.config.memory == "min_gru":
            return (*MinGRU(size, precision, name="cell")(carry, inputs, reset), ())
        if self.config.memory == "s5":
            return (*S5(size, self.config.num_memory_layers, precision, name="cell")(carry, inputs, reset), ())
        with jax.default_matmul_precision(NATIVE[precision]):  # flax's cell has no argument for it
            return (*self._scan(nn.GRUCell(size, name="cell"), carry, inputs, reset), ())

    def _scan(self, cell: nn.RNNCellBase, carry: Carry, inputs: jax.Array, reset: jax.Array):
        def step(cell: nn.RNNCellBase, carry: Carry, step_inputs: tuple[jax.Array, jax.Array]):
            encoding, starts = step_inputs
            carry = jax.tree.map(lambda leaf: jnp.where(starts[:, None], 0.0, leaf), carry)
            return cell(carry, encoding)

        return nn.scan(step, variable_broadcast="params", split_rngs={"params": False})(cell, carry, (inputs, reset))


class LSTMParameters(nn.Module):
    """The parameters of an LSTM, named and drawn as flax's cells have them."""

    size: int

    @nn.compact
    def __call__(self, num_inputs: int) -> lstm.LSTMWeights:
        """Return the weights for ``num_inputs`` inputs."""
        of_inputs = [Affine(self.size, use_bias=False, name=f"i{gate}")(num_inputs).kernel for gate in "ifgo"]
        hidden_init = nn.initializers.orthogonal()
        of_hidden = [Affine(self.size, kernel_init=hidden_init, name=f"h{gate}")(self.size) for gate in "ifgo"]
        return lstm.LSTMWeights(
            inputs=jnp.concatenate(of_inputs, axis=-1),
            hidden=jnp.concatenate([each.kernel for each in of_hidden], axis=-1),
            bias=jnp.concatenate([each.bias for each in of_hidden]),
        )
