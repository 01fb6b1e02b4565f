"""The LSTM with a derivative of its own: against flax's cell in a plain scan, whose derivative is automatic.

In float32, as the products are: what is left are sums in another order, where a wrong term is of order 1. Letters: ``T``
steps, ``M`` rows, ``E`` inputs, ``U`` units.
"""

import functools
from typing import Any

import flax.linen as nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.students.base import Earlier
from minied.students.networks import lstm
from minied.students.networks.lstm import LSTMActivations, LSTMWeights

SHAPES = [(6, 3, 4, 5), (1, 3, 2, 4), (5, 1, 3, 2), (1, 1, 1, 1), (4, 2, 1, 3)]  # (T, M, E, U); one step, one row, both
ROUNDING: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}  # float32, values up to 10; seen here: at most 2e-6

LSTM: Any = lstm.lstm  # types are lost where a derivative is given
RUN: Any = lstm.run


def plain(weights, carry, inputs, reset) -> Any:
    """flax's cell under a scan: what the module's equations are, written by others."""
    of_inputs = jnp.split(weights.inputs, 4, axis=-1)
    of_hidden, biases = jnp.split(weights.hidden, 4, axis=-1), jnp.split(weights.bias, 4)
    params: dict[str, Any] = {f"i{gate}": {"kernel": kernel} for gate, kernel in zip("ifgo", of_inputs, strict=True)}
    params |= {
        f"h{gate}": {"kernel": kernel, "bias": bias}
        for gate, kernel, bias in zip("ifgo", of_hidden, biases, strict=True)
    }
    cell = nn.OptimizedLSTMCell(weights.hidden.shape[0], parent=None)

    def step(carry, now):
        x, starts = now
        carry = jax.tree.map(lambda leaf: jnp.where(starts[:, None], 0.0, leaf), carry)
        return cell.apply({"params": params}, carry, x)

    return jax.lax.scan(step, carry, (inputs, reset))


def fast(weights, carry, inputs, reset, earlier=None) -> Any:
    return LSTM(weights, carry, inputs, reset, earlier)[:2]


def arguments(shape, seed=0) -> Any:
    """Weights, carry and inputs, none of them near zero, so that every term of the derivative counts."""
    steps, rows, num_inputs, units = shape
    rng = np.random.default_rng(seed)
    draw = lambda *size: jnp.asarray(0.8 * rng.normal(size=size), jnp.float32)  # noqa: E731
    weights = LSTMWeights(draw(num_inputs, 4 * units), draw(units, 4 * units), draw(4 * units))
    return weights, (draw(rows, units), draw(rows, units)), draw(steps, rows, num_inputs)


def cotangents(shape, which, seed=1) -> Any:
    """Of ((c, h), hidden states): zero where ``which`` does not say so."""
    steps, rows, _, units = shape
    rng = np.random.default_rng(seed)
    draw = lambda *size: jnp.asarray(rng.normal(size=size), jnp.float32)  # noqa: E731
    found = {"c": draw(rows, units), "h": draw(rows, units), "hidden": draw(steps, rows, units)}
    cell, hidden, states = (found[name] if name in which else 0.0 * found[name] for name in found)
    return (cell, hidden), states


@functools.partial(jax.jit, static_argnums=0)
def pulled_back(function, weights, carry, inputs, reset, cotangent):
    """What a function returns, and the cotangents of weights, carry and inputs."""
    results, pull = jax.vjp(lambda *each: function(*each, reset), weights, carry, inputs)
    return results, pull(cotangent)


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **(ROUNDING | tolerance)), a, b)


def some_resets(shape, seed=2):
    return jnp.asarray(np.random.default_rng(seed).random(shape[:2]) < 0.3)


# -- by hand -----------------------------------------------------------------------------------------------------------

# One unit, one input. Biases make the gates plain: σ(ln 3) = 3/4 = i, σ(−ln 4) = 1/5 = f, σ(ln 2) = 2/3 = o. Only the
# candidate reads: z_g = x + 2 h. From c_0 = 2, h_0 = 0 and x_1 = ln 3: g_1 = tanh(ln 3) = (9 − 1)/(9 + 1) = 0.8, so
#   c_1 = 0.2·2 + 0.75·0.8 = 1,  h_1 = ⅔ tanh 1 = ⅔ · 0.7615941560 = 0.5077294373
# and with x_2 = ln 2 − 2 h_1: g_2 = tanh(ln 2) = (4 − 1)/(4 + 1) = 0.6, so
#   c_2 = 0.2·1 + 0.75·0.6 = 0.65,  h_2 = ⅔ tanh 0.65 = ⅔ · 0.5716699660 = 0.3811133107
H_1 = 2 / 3 * 0.7615941559557649


def hand():
    weights = LSTMWeights(
        inputs=jnp.asarray([[0.0, 0.0, 1.0, 0.0]]),
        hidden=jnp.asarray([[0.0, 0.0, 2.0, 0.0]]),
        bias=jnp.asarray([np.log(3), -np.log(4), 0.0, np.log(2)], jnp.float32),
    )
    inputs = jnp.asarray([[[np.log(3)]], [[np.log(2) - 2 * H_1]]], jnp.float32)
    return weights, (jnp.asarray([[2.0]]), jnp.asarray([[0.0]])), inputs


def by_hand(reset):
    return LSTM(*hand(), jnp.asarray(reset)[:, None])


def test_two_steps_of_one_unit_are_as_computed_by_hand():
    (cell, hidden), states, known = by_hand([False, False])
    np.testing.assert_allclose(known.cell[:, 0, 0], [1.0, 0.65], rtol=1e-6)
    np.testing.assert_allclose(states[:, 0, 0], [0.5077294373, 0.3811133107], rtol=1e-6)
    np.testing.assert_allclose(known.input_gate[:, 0, 0], [0.75, 0.75], rtol=1e-6)
    np.testing.assert_allclose(known.forget_gate[:, 0, 0], [0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(known.candidate[:, 0, 0], [0.8, 0.6], rtol=1e-6)
    np.testing.assert_allclose(known.output_gate[:, 0, 0], [2 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_array_equal((cell[0, 0], hidden[0, 0]), (known.cell[1, 0, 0], states[1, 0, 0]))


def test_a_reset_by_hand_forgets_cell_and_hidden_state():
    # At the first step: c_1 = 0.2·0 + 0.75·0.8 = 0.6. At the second: z_g = x_2 = ln 2 − 2 h_1 alone, c_2 = 0.75 tanh(x_2).
    np.testing.assert_allclose(by_hand([True, False])[2].cell[0, 0, 0], 0.6, rtol=1e-6)
    _, _, known = by_hand([False, True])
    np.testing.assert_allclose(known.cell[:, 0, 0], [1.0, 0.75 * np.tanh(np.log(2) - 2 * H_1)], rtol=1e-6)


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        # dc_2/db_f = f(1−f) c_1 + f dc_1/db_f + i (1 − g_2²) 2 dh_1/db_f, where dc_1/db_f = f(1−f) c_0 = 0.16·2 = 0.32 and
        # dh_1/db_f = o (1 − tanh² 1) 0.32 = ⅔ · 0.4199743416 · 0.32 = 0.0895945262:
        # 0.16·1 + 0.2·0.32 + 0.75·0.64·2·0.0895945262 = 0.16 + 0.064 + 0.0860107452
        ([False, False], 0.3100107452),
        # nothing was before: c_1 = 0.6, dc_1/db_f = 0.16·0 = 0, so dc_2/db_f = 0.16·0.6
        ([True, False], 0.096),
        # nothing is before the second step
        ([False, True], 0.0),
    ],
)
def test_derivative_of_the_last_cell_by_the_forget_bias_is_as_computed_by_hand(reset, expected):
    weights, carry, inputs = hand()
    resets = jnp.asarray(reset)[:, None]

    def last_cell(bias):
        return LSTM(weights.replace(bias=bias), carry, inputs, resets)[0][0].sum()

    np.testing.assert_allclose(jax.grad(last_cell)(weights.bias)[1], expected, rtol=1e-6, atol=1e-12)


# -- against flax's cell -----------------------------------------------------------------------------------------------


def assert_equal_to_flax(shape, reset, which=("c", "h", "hidden"), seed=0):
    reset, cotangent = jnp.asarray(reset), cotangents(shape, which)
    results, gradient = pulled_back(fast, *arguments(shape, seed), reset, cotangent)
    expected, oracle = pulled_back(plain, *arguments(shape, seed), reset, cotangent)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves((results, gradient)))
    close(results, expected)
    close(gradient, oracle)
    return gradient


@pytest.mark.parametrize("which", [("c",), ("h",), ("hidden",), ("c", "h"), ("c", "h", "hidden")], ids="+".join)
def test_every_way_back_has_the_derivative_of_the_plain_scan(which):
    reset = some_resets(SHAPES[0]).at[:, 0].set(False)  # one row's end reaches back to its start
    gradient = assert_equal_to_flax(SHAPES[0], reset, which)
    assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(gradient))  # of weights, carry, inputs


@pytest.mark.parametrize(
    "steps", [(), (0,), (3,), (5,), (0, 3, 5), tuple(range(6))], ids=lambda steps: f"resets at {steps}"
)
def test_resets_at_the_first_middle_last_and_every_step(steps):
    reset = np.zeros(SHAPES[0][:2], bool)
    reset[list(steps), 1] = True  # one row of three: the others go on
    assert_equal_to_flax(SHAPES[0], reset)
    reset[list(steps)] = True
    _, d_carry, d_inputs = assert_equal_to_flax(SHAPES[0], reset)
    if 0 in steps:
        close(d_carry, jax.tree.map(np.zeros_like, d_carry), rtol=0, atol=0)
    else:
        assert all(np.abs(leaf).min() > 1e-9 for leaf in jax.tree.leaves(d_carry))
    assert np.abs(d_inputs).min() > 1e-9


@hypothesis.settings(deadline=None, max_examples=40, derandomize=True)
@hypothesis.given(st.sampled_from(SHAPES), st.integers(0, 2**16), st.data())
def test_any_shape_and_resets_agree(shape, seed, data):
    flat = data.draw(st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    assert_equal_to_flax(shape, np.reshape(flat, shape[:2]), seed=seed)


def test_over_a_long_sequence_they_agree_to_rounding():
    # Seen here: at most 1e-6 of the largest value.
    shape = (60, 3, 4, 5)
    reset, cotangent = some_resets(shape), cotangents(shape, ("c", "h", "hidden"))
    found, expected = (pulled_back(function, *arguments(shape), reset, cotangent) for function in (fast, plain))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_run_is_the_forward_pass_alone():
    given = arguments(SHAPES[0])
    reset = some_resets(SHAPES[0])
    _, _, known = LSTM(*given, reset)
    close(RUN(*given, reset), known, rtol=0, atol=0)
    assert {leaf.shape for leaf in jax.tree.leaves(known)} == {(6, 3, 5)}


def test_a_sequence_in_two_pieces_is_one_sequence():
    weights, carry, inputs = arguments(SHAPES[0])
    reset = some_resets(SHAPES[0])
    whole_carry, whole = fast(weights, carry, inputs, reset)
    middle, first = fast(weights, carry, inputs[:2], reset[:2])
    end, second = fast(weights, middle, inputs[2:], reset[2:])
    close((end, jnp.concatenate([first, second])), (whole_carry, whole))


def test_without_jit_it_is_the_same():
    shape = SHAPES[0]
    reset, cotangent = some_resets(shape), cotangents(shape, ("c", "h", "hidden"))
    compiled = pulled_back(fast, *arguments(shape), reset, cotangent)
    with jax.disable_jit():
        close(pulled_back(fast, *arguments(shape), reset, cotangent), compiled)


def test_members_side_by_side_are_as_one_by_one():
    """vmapped over weights, memories, inputs and resets; the derivative too."""
    shape, members = SHAPES[0], range(3)
    each = [(*arguments(shape, m), some_resets(shape, m), cotangents(shape, ("c", "h", "hidden"), m)) for m in members]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    together = jax.vmap(functools.partial(pulled_back, fast))(*stacked)
    for member in members:
        close(jax.tree.map(lambda leaf, m=member: leaf[m], together), pulled_back(fast, *each[member]))


# -- from an earlier pass ----------------------------------------------------------------------------------------------


def other_activations(shape, seed=9) -> Any:
    """Activations that no weights of these tests have."""
    steps, rows, _, units = shape
    rng = np.random.default_rng(seed)
    return LSTMActivations(*(jnp.asarray(rng.uniform(0.1, 0.9, (steps, rows, units)), jnp.float32) for _ in range(5)))


def earlier_of(activations, hold) -> Any:
    return Earlier(activations, jnp.asarray(hold))


def test_what_an_earlier_pass_says_is_believed_where_it_holds():
    given, known = (*arguments(SHAPES[0]), some_resets(SHAPES[0])), other_activations(SHAPES[0])
    (cell, hidden), states, returned = jax.jit(LSTM)(*given, earlier_of(known, True))
    close(returned, known, rtol=0, atol=0)
    close(states, known.output_gate * np.tanh(known.cell))
    close((cell, hidden), (known.cell[-1], states[-1]))
    assert np.abs(states - fast(*given)[1]).max() > 0.1


def test_what_does_not_hold_is_ignored():
    """NaN everywhere: a product with zero instead of a choice would show."""
    shape = SHAPES[0]
    reset, cotangent = some_resets(shape), cotangents(shape, ("c", "h", "hidden"))
    broken = earlier_of(jax.tree.map(lambda leaf: jnp.nan * leaf, other_activations(shape)), False)

    def ignoring(weights, carry, inputs, reset):
        return fast(weights, carry, inputs, reset, broken)

    expected = pulled_back(fast, *arguments(shape), reset, cotangent)
    close(pulled_back(ignoring, *arguments(shape), reset, cotangent), expected)
    _, _, known = LSTM(*arguments(shape), reset, broken)
    close(known, RUN(*arguments(shape), reset))


@jax.jit
def gradient_from(*given: Any):
    weights, carry, inputs, reset, earlier, cotangent = given
    _, pull = jax.vjp(lambda *each: fast(*each, reset, earlier), weights, carry, inputs)
    return pull(cotangent)


@pytest.mark.parametrize("hold", [True, False])
def test_the_derivative_is_the_same_whether_activations_were_given_or_not(hold):
    shape = SHAPES[0]
    given, reset, cotangent = arguments(shape), some_resets(shape), cotangents(shape, ("c", "h", "hidden"))
    kept = earlier_of(RUN(*given, reset), hold)
    _, oracle = pulled_back(plain, *given, reset, cotangent)
    close(gradient_from(*given, reset, kept, cotangent), oracle)


def test_members_of_which_some_hold_are_as_one_by_one():
    shape = SHAPES[0]
    given, reset, cotangent = arguments(shape), some_resets(shape), cotangents(shape, ("c", "h", "hidden"))
    known = RUN(*given, reset)
    mixed = Earlier(jax.tree.map(lambda leaf: jnp.stack([leaf, jnp.nan * leaf]), known), jnp.asarray([True, False]))
    together = jax.vmap(lambda each: gradient_from(*given, reset, each, cotangent))(mixed)
    _, alone = pulled_back(plain, *given, reset, cotangent)
    close(together, jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), alone))


def test_no_derivative_goes_through_activations_returned_or_given():
    shape = SHAPES[0]
    weights, carry, inputs = arguments(shape)
    reset = some_resets(shape)

    def of_activations(weights, carry, inputs):
        return sum(leaf.sum() for leaf in jax.tree.leaves(LSTM(weights, carry, inputs, reset)[2]))

    through_returned = jax.grad(of_activations, argnums=(0, 1, 2))(weights, carry, inputs)
    close(through_returned, jax.tree.map(jnp.zeros_like, through_returned), rtol=0, atol=0)

    def of_given(activations):
        return fast(weights, carry, inputs, reset, earlier_of(activations, True))[1].sum()

    through_given = jax.grad(of_given)(RUN(weights, carry, inputs, reset))
    close(through_given, jax.tree.map(jnp.zeros_like, through_given), rtol=0, atol=0)


def test_resets_given_as_an_argument_have_no_derivative():
    weights, carry, inputs = arguments(SHAPES[0])
    loss = lambda reset: fast(weights, carry, inputs, reset)[1].sum()  # noqa: E731
    gradient = jax.grad(loss, allow_int=True)(some_resets(SHAPES[0]))
    assert gradient.dtype == jax.dtypes.float0
