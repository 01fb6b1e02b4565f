"""The long short-term memory over a sequence with resets, and its derivative by hand.

    z_t = x_t W + h_{t−1} V + b,   i, f, o = σ(z_i), σ(z_f), σ(z_o),   g = tanh(z_g)
    c_t = f c_{t−1} + i g,         h_t = o tanh(c_t)

(Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; one bias vector, as flax's cell.) Where a step is
the first of an episode, c_{t−1} = h_{t−1} = 0.

Automatic differentiation of the scan multiplies three matrices a step backwards and adds up the weights' gradients as it
goes. Here a backward step has one product, dz Vᵀ, and each weight's gradient is one product over all steps after the scan:
the same sums in another order. The gates are kept as one array each, because a slice of a common one is not vectorised on
CPU.

Letters: ``T`` steps, ``M`` rows, ``E`` inputs, ``U`` units.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.students.base import Earlier
from minied.students.networks.affine import Precision, product, rounded

WIDE = 2048
"""Inputs from which on all steps' products with them are one product before the scan: their weights no longer stay in a
cache from step to step. Below it a step's product is sooner done in the step (on CPU)."""

LSTMCarry = tuple[jax.Array, jax.Array]  # (c, h), f32[M, U] each


class LSTMWeights(struct.PyTreeNode):
    """Weights of the four gates side by side, in the order i, f, g, o."""

    inputs: jax.Array  # f32[E, 4U], W
    hidden: jax.Array  # f32[U, 4U], V
    bias: jax.Array  # f32[4U], b


class LSTMActivations(struct.PyTreeNode):
    """What a forward pass leaves for the backward pass, ``f32[T, M, U]`` each."""

    input_gate: jax.Array
    forget_gate: jax.Array
    candidate: jax.Array
    output_gate: jax.Array
    cell: jax.Array


def run(
    weights: LSTMWeights, carry: LSTMCarry, inputs: jax.Array, reset: jax.Array, precision: Precision = "float32"
) -> LSTMActivations:
    """Run forward, without a derivative of its own.

    Args:
        weights: of the cell.
        carry: before the first step.
        inputs: ``f32[T, M, E]``.
        reset: ``bool[T, M]``, whether step t is the first of an episode.
        precision: of the products.
    """
    of_inputs, of_hidden = rounded(weights.inputs, precision), rounded(weights.hidden, precision)
    is_wide = inputs.shape[-1] >= WIDE and inputs.shape[0] > 1
    if is_wide:
        inputs = product(inputs, of_inputs, precision)

    def step(carry: LSTMCarry, step_inputs: tuple[jax.Array, jax.Array]) -> tuple[LSTMCarry, LSTMActivations]:
        x, starts = step_inputs
        cell, hidden = (jnp.where(starts[:, None], 0.0, each) for each in carry)
        projected = x if is_wide else product(x, of_inputs, precision)
        gates = projected + product(hidden, of_hidden, precision) + weights.bias[None]
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        cell = f * cell + i * g
        return (cell, o * jnp.tanh(cell)), LSTMActivations(i, f, g, o, cell)

    return jax.lax.scan(step, carry, (inputs, reset))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def lstm(
    weights: LSTMWeights,
    carry: LSTMCarry,
    inputs: jax.Array,
    reset: jax.Array,
    earlier: Earlier | None = None,
    precision: Precision = "float32",
) -> tuple[LSTMCarry, jax.Array, LSTMActivations]:
    """Return the carry after the last step, the hidden states ``f32[T, M, U]``, and the activations.

    Activations of an ``earlier`` call that hold spare the forward pass: what they say is believed. The derivative is that
    of the cell, whether they are given or not; none goes through the activations that are returned. In any ``precision`` the
    gradients of the weights are products in float32 (on CPU a tall bfloat16 product is slower).
    """
    return _forward(weights, carry, inputs, reset, earlier, precision)


def _forward(weights, carry, inputs, reset, earlier, precision):
    if earlier is None:
        activations = run(weights, carry, inputs, reset, precision)
    else:
        activations = jax.lax.cond(
            earlier.hold, lambda: earlier.activations, lambda: run(weights, carry, inputs, reset, precision)
        )
    hidden = activations.output_gate * jnp.tanh(activations.cell)
    return (activations.cell[-1], hidden[-1]), hidden, activations


def _forward_for_derivative(weights, carry, inputs, reset, earlier, precision):
    results = _forward(weights, carry, inputs, reset, earlier, precision)
    return results, (weights, carry, inputs, reset, earlier, *results[1:])


def _backward(precision, saved, cotangents):
    weights, (first_cell, first_hidden), inputs, reset, given, hidden, known = saved
    end, d_hidden, _ = cotangents
    num_units = first_cell.shape[-1]
    goes_on = 1.0 - reset.astype(jnp.float32)[..., None]
    before = goes_on * jnp.concatenate([first_cell[None], known.cell[:-1]])
    # Transposed once, out of sight of the compiler, which would do it in every step.
    hidden_transposed = jax.lax.optimization_barrier(rounded(weights.hidden.T, precision))

    def step(carry, step_inputs):
        d_cell, d_hidden = carry
        d_output, known, before, goes_on = step_inputs
        i, f, g, o = known.input_gate, known.forget_gate, known.candidate, known.output_gate
        squashed = jnp.tanh(known.cell)
        d_hidden = d_hidden + d_output
        d_cell = d_cell + d_hidden * o * (1.0 - squashed * squashed)
        d_gates = jnp.concatenate(
            [
                d_cell * g * i * (1.0 - i),
                d_cell * before * f * (1.0 - f),
                d_cell * i * (1.0 - g * g),
                d_hidden * squashed * o * (1.0 - o),
            ],
            axis=-1,
        )
        return (d_cell * f * goes_on, product(d_gates, hidden_transposed, precision) * goes_on), d_gates

    (d_cell, d_hidden), d_gates = jax.lax.scan(step, end, (d_hidden, known, before, goes_on), reverse=True)
    hidden_before = goes_on * jnp.concatenate([first_hidden[None], hidden[:-1]])
    flat = d_gates.reshape(-1, 4 * num_units)
    exact: Precision = "float32" if precision == "bfloat16" else precision
    d_weights = LSTMWeights(
        inputs=product(inputs.reshape(-1, inputs.shape[-1]).T, flat, exact),
        hidden=product(hidden_before.reshape(-1, num_units).T, flat, exact),
        bias=flat.sum(axis=0),
    )
    d_inputs = product(flat, weights.inputs.T, precision).reshape(inputs.shape)
    nothing = jax.tree.map(_no_derivative, given)
    return d_weights, (d_cell, d_hidden), d_inputs, _no_derivative(reset), nothing


def _no_derivative(value: jax.Array) -> Any:
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return jnp.zeros_like(value) if is_float else np.zeros(value.shape, jax.dtypes.float0)


lstm.defvjp(_forward_for_derivative, _backward)
