"""The precision of products: what is rounded, what is not, and that a student learns in each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.students.networks import lstm
from minied.students.networks.affine import product
from minied.students.networks.config import NetworkConfig

key = jax.random.key


def test_bfloat16_rounds_the_operands_and_sums_in_float32():
    # 1 + 2⁻⁸ lies between two numbers of bfloat16 (8 bits: 1 and 1 + 2⁻⁷) and goes to the even one, 1. A sum of 300 ones in
    # bfloat16 would stop at 256.
    ones = jnp.full((1, 300), 1.0 + 2.0**-8)
    other = jnp.ones((300, 1))
    assert float(product(ones, other, "bfloat16")[0, 0]) == 300.0
    assert float(product(ones, other, "float32")[0, 0]) == 300.0 + 300 * 2.0**-8
    assert product(ones, other, "bfloat16").dtype == jnp.float32


def test_the_gradient_of_a_rounded_product_is_that_of_the_rounded_operands():
    one, other = jax.random.normal(key(0), (5, 7)), jax.random.normal(key(1), (7, 3))
    gradient = jax.grad(lambda a, b: product(a, b, "bfloat16").sum(), (0, 1))(one, other)
    nearest = [np.asarray(each.astype(jnp.bfloat16).astype(jnp.float32)) for each in (one, other)]
    np.testing.assert_allclose(gradient[0], np.ones((5, 3)) @ nearest[1].T, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(gradient[1], nearest[0].T @ np.ones((5, 3)), rtol=1e-2, atol=1e-2)
    assert {each.dtype for each in gradient} == {jnp.dtype(jnp.float32)}


def lstm_gradient(precision):
    steps, rows, inputs, units = 12, 3, 5, 4
    keys = jax.random.split(key(2), 4)
    weights = lstm.LSTMWeights(
        jax.random.normal(keys[0], (inputs, 4 * units)) * 0.5,
        jax.random.normal(keys[1], (units, 4 * units)) * 0.5,
        jnp.zeros(4 * units),
    )
    zeros = (jnp.zeros((rows, units)), jnp.zeros((rows, units)))
    sequence = jax.random.normal(keys[2], (steps, rows, inputs))
    reset = jax.random.uniform(keys[3], (steps, rows)) < 0.2

    def loss(weights, sequence):
        return jnp.square(lstm.lstm(weights, zeros, sequence, reset, None, precision)[1]).sum()

    return jax.tree.leaves(jax.grad(loss, (0, 1))(weights, sequence))


def test_the_cell_in_bfloat16_is_near_that_in_float32_and_not_the_same():
    exact, near = lstm_gradient("float32"), lstm_gradient("bfloat16")
    for one, other in zip(exact, near, strict=True):
        # 8 bits: a relative error of 2⁻⁹ an operand, over 12 steps; the largest entries are of order 1.
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.05)
        assert other.dtype == jnp.float32
    assert any(np.any(np.asarray(one) != np.asarray(other)) for one, other in zip(exact, near, strict=True))


def test_float32_is_the_default_and_exact():
    for one, other in zip(lstm_gradient("float32"), lstm_gradient("tf32"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)
    assert NetworkConfig().precision == "float32"


def test_flax_cells_are_not_rounded_and_say_so():
    with pytest.raises(UserError, match="precision is 'bfloat16'; allowed with gru: float32, tf32"):
        NetworkConfig(memory="gru", precision="bfloat16")
    with pytest.raises(UserError, match="precision is 'float16'; allowed: float32, tf32, bfloat16"):
        NetworkConfig(precision="float16")
