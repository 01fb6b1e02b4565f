"""The linear recurrence against a loop, the memories made of it against their papers' equations, and every memory's rules.

In float64 where a derivative is compared, so that a wrong term cannot hide in rounding. Letters: ``T`` steps, ``M`` rows,
``E`` inputs, ``U`` units, ``P`` complex states, ``L`` layers.
"""

import functools
from typing import Any, get_args

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from tiny_runs import raw
from toy_worlds import Corridor

from minied.errors import UserError
from minied.students.networks.config import MemoryKind, NetworkConfig
from minied.students.networks.linear_recurrence import S5, MinGRU, S5Layer, linear_recurrence
from minied.students.networks.memory import Memory, initial_carry
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig
from minied.train.program import Program

METHODS = ["steps", "halves"]
LENGTHS = [1, 2, 3, 7, 8]  # one step, and lengths that halve evenly and not
T, M, E, U, L = 7, 3, 5, 6, 2


def close(a, b, **tolerance: Any):
    tolerance = {"rtol": 1e-5, "atol": 1e-6} | tolerance
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def drawn(shape, seed, *, is_complex=False):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape) if is_complex else rng.normal(size=shape)


# -- the recurrence ----------------------------------------------------------------------------------------------------


def loop(decay, inputs, start):
    states, state = [], start
    for a, b in zip(decay, inputs, strict=True):
        state = a * state + b
        states.append(state)
    return np.stack(states)


def scanned(decay, inputs, start):
    """The recurrence as a plain scan, for its automatic derivative."""

    def step(state, now):
        state = now[0] * state + now[1]
        return state, state

    return jax.lax.scan(step, start, (decay, inputs))[1]


@functools.partial(jax.jit, static_argnums=0)
def pulled_back(method, arguments, cotangent):
    """The states, and the cotangents of decay, inputs and start; of the plain scan where there is no method."""
    function = scanned if method is None else functools.partial(linear_recurrence, method=method)
    states, pull = jax.vjp(function, *arguments)
    return states, pull(cotangent)


@hypothesis.settings(deadline=None, max_examples=40, derandomize=True)
@hypothesis.given(
    st.sampled_from(METHODS), st.sampled_from(LENGTHS), st.booleans(), st.integers(0, 2**16), st.sets(st.integers(0, 7))
)
def test_states_are_those_of_a_loop_and_the_derivative_that_of_a_plain_scan(method, steps, is_complex, seed, resets):
    decay = drawn((steps, 2, 3), seed, is_complex=is_complex)
    decay[[t for t in resets if t < steps], 0] = 0.0  # where an episode starts, in one row of two
    inputs, start, cotangent = (
        drawn(shape, seed + i, is_complex=is_complex) for i, shape in enumerate([(steps, 2, 3), (2, 3), (steps, 2, 3)])
    )
    with jax.enable_x64(True):
        arguments = jax.tree.map(jnp.asarray, (decay, inputs, start))
        states, gradient = pulled_back(method, arguments, jnp.asarray(cotangent))
        _, oracle = pulled_back(None, arguments, jnp.asarray(cotangent))
        assert states.dtype == (np.complex128 if is_complex else np.float64)
        close(states, loop(decay, inputs, start), rtol=1e-10, atol=1e-10)
        close(gradient, oracle, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_a_zero_decay_cuts_the_past_bit_for_bit(method):
    decay, inputs = (jnp.asarray(drawn((T, 4), seed), jnp.float32) for seed in (0, 1))
    decay = decay.at[3].set(0.0)
    quiet = linear_recurrence(decay, inputs, jnp.zeros(4), method)
    loud = linear_recurrence(decay, inputs.at[:3].multiply(-1e6), jnp.full(4, 1e6), method)
    np.testing.assert_array_equal(quiet[3:], loud[3:])
    assert np.abs(quiet[:3] - loud[:3]).min() > 1


@pytest.mark.parametrize("method", METHODS)
def test_states_by_hand(method):
    # h_1 = 2·10 + 1 = 21; h_2 = 0·21 + 5 = 5; h_3 = −1·5 + 2 = −3.
    states = linear_recurrence(jnp.asarray([2.0, 0.0, -1.0]), jnp.asarray([1.0, 5.0, 2.0]), jnp.float32(10.0), method)
    np.testing.assert_array_equal(states, [21.0, 5.0, -3.0])


def test_by_default_a_cpu_takes_steps():
    """Both give the same; how many rounds there are shows which was taken."""
    given: Any = (jnp.ones((16, 2)), jnp.ones((16, 2)), jnp.zeros(2))
    texts = [
        str(jax.make_jaxpr(lambda a, b, h, m=method: linear_recurrence(a, b, h, m))(*given))
        for method in (None, *METHODS)
    ]
    assert texts[1] != texts[2]
    assert texts[0] == texts[1 if jax.default_backend() == "cpu" else 2]


# -- minGRU ------------------------------------------------------------------------------------------------------------


def run(cell, parameters, carry, inputs, reset) -> Any:
    return cell.apply({"params": parameters}, carry, inputs, reset)


def test_min_gru_by_hand():
    # One input, one unit; z = σ(0·x + ln 3) = 3/4, candidate = x. From h_0 = 8:
    # x = 2:      g = 2 + ½ = 2.5,           h_1 = ¼·8 + ¾·2.5 = 3.875
    # x = −ln 4:  g = σ(−ln 4) = 1/5,        h_2 = ¼·3.875 + ¾·0.2 = 1.11875
    # x = 0:      g = 0 + ½ (as σ(0)),       h_3 = ¾·0.5 = 0.375, as an episode starts there
    # What is read is 2 h − 1: 6.75, 1.2375, −0.25.
    parameters = {
        "gate_and_candidate": {"kernel": jnp.asarray([[0.0, 1.0]]), "bias": jnp.asarray([jnp.log(3.0), 0.0])},
        "read": {"kernel": jnp.asarray([[2.0]]), "bias": jnp.asarray([-1.0])},
    }
    inputs = jnp.asarray([2.0, -np.log(4), 0.0], jnp.float32)[:, None, None]
    reset = jnp.asarray([[False], [False], [True]])
    end, read = run(MinGRU(1), parameters, jnp.asarray([[8.0]]), inputs, reset)
    np.testing.assert_allclose(read[:, 0, 0], [6.75, 1.2375, -0.25], rtol=1e-5)
    np.testing.assert_allclose(end, [[0.375]], rtol=1e-6)


def test_min_gru_with_equal_inputs_goes_to_its_candidate_geometrically():
    # h_t = (1 − z)^t h_0 + (1 − (1 − z)^t) g: the closed form for a constant input.
    parameters = fixed(MinGRU(U), jnp.zeros((M, U)))
    parameters["read"] = {"kernel": jnp.eye(U), "bias": jnp.zeros(U)}
    x, start = np.linspace(-1, 1, E), np.linspace(1, 3, M * U).reshape(M, U)
    end, states = run(
        MinGRU(U),
        parameters,
        jnp.asarray(start, jnp.float32),
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), (T, M, E)),
        jnp.zeros((T, M), bool),
    )
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters["gate_and_candidate"])
    gate, candidate = np.split(x @ weights["kernel"] + weights["bias"], 2)
    gate = 1 / (1 + np.exp(-gate))
    candidate = np.where(candidate >= 0, candidate + 0.5, 1 / (1 + np.exp(-candidate)))
    assert (candidate > 0.5).any()
    assert (candidate < 0.5).any()
    for t in range(T):
        kept = (1 - gate) ** (t + 1)
        close(states[t], kept * start + (1 - kept) * candidate, rtol=1e-4, atol=1e-5)
    close(end, states[-1], rtol=0, atol=0)


# -- S5 ----------------------------------------------------------------------------------------------------------------


def s5_layer_of_one_state(parameters, reset):
    """What a layer with one complex state says to 2 inputs, after scipy's zero-order hold of it as a real system."""
    p = {name: np.asarray(value, np.float64) for name, value in parameters.items() if not isinstance(value, dict)}
    decay, frequency, step = np.exp(p["log_decay"][0]), p["frequency"][0], np.exp(p["log_step"][0])
    # ẋ = (−d + iω) x + (b_r + i b_i)ᵀ u, with x = x_r + i x_i
    a = np.asarray([[-decay, -frequency], [frequency, -decay]])
    discrete: Any = scipy.signal.cont2discrete((a, p["B"].T, np.eye(2), np.zeros((2, 2))), step, method="zoh")
    discrete_a, discrete_b, *_ = discrete
    inputs = np.asarray(INPUTS, np.float64)
    centred = inputs - inputs.mean(-1, keepdims=True)
    norm = {name: np.asarray(value, np.float64) for name, value in parameters["norm"].items()}
    signal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * norm["scale"] + norm["bias"]
    x, seen = np.asarray([0.5, -0.25]), []
    for t in range(T):
        x = discrete_a @ (0.0 * x if reset[t] else x) + discrete_b @ signal[t, 0]
        # 2 Re(C x) = 2 (c_r x_r − c_i x_i), where C's first row is c_r and its second c_i
        seen.append(2 * (p["C"][0] * x[0] - p["C"][1] * x[1]) + p["D"] * signal[t, 0])
    seen = np.stack(seen)
    gelu = 0.5 * seen * (1 + np.tanh(np.sqrt(2 / np.pi) * (seen + 0.044715 * seen**3)))
    gated = {name: np.asarray(value, np.float64) for name, value in parameters["gated"].items()}
    value, gate = np.split(gelu @ gated["kernel"] + gated["bias"], 2, axis=-1)
    return x, inputs[:, 0] + value / (1 + np.exp(-gate))


INPUTS = jnp.asarray(drawn((T, 1, 2), 3), jnp.float32)


@pytest.mark.parametrize("reset_at", [None, 3])
def test_one_s5_state_is_the_zero_order_hold_of_its_continuous_system(reset_at):
    state = jnp.asarray([[0.5 - 0.25j]], jnp.complex64)
    reset = jnp.zeros((T, 1), bool) if reset_at is None else jnp.zeros((T, 1), bool).at[reset_at].set(True)
    parameters = fixed(S5Layer(2), state, inputs=INPUTS)
    parameters["log_step"] = jnp.asarray([-0.5])  # a step of 0.6, in which the state turns and decays visibly
    parameters["frequency"] = jnp.asarray([1.7])
    end, stream = run(S5Layer(2), parameters, state, INPUTS, reset)
    x, expected = s5_layer_of_one_state(parameters, np.asarray(reset)[:, 0])
    close(stream[:, 0], expected, rtol=1e-4, atol=1e-5)
    close(end[0, 0], x[0] + 1j * x[1], rtol=1e-4, atol=1e-5)


def test_s5_begins_with_the_spectrum_of_s4d_lin_and_steps_between_a_thousandth_and_a_tenth():
    size = 64
    layer: Any = S5Layer(size).init(
        jax.random.key(0), jnp.zeros((1, 32), jnp.complex64), jnp.zeros((1, 1, size)), jnp.zeros((1, 1), bool)
    )["params"]
    np.testing.assert_allclose(-np.exp(layer["log_decay"]), -0.5, rtol=1e-6)
    np.testing.assert_allclose(layer["frequency"], np.pi * np.arange(32), rtol=1e-6)
    steps = np.exp(layer["log_step"])
    assert 1e-3 <= steps.min() < 3e-3
    assert 3e-2 < steps.max() <= 1e-1
    assert 5e-3 < np.exp(np.median(np.log(steps))) < 2e-2  # even in the logarithm: 0.01 is its middle
    assert len(np.unique(steps)) == 32  # one for each state


def test_s5_layers_are_stacked_and_each_keeps_its_own_state():
    carry = jnp.asarray(drawn((M, L, 2, U // 2), 5), jnp.float32)
    inputs = jnp.asarray(drawn((T, M, E), 6), jnp.float32)
    reset = jnp.zeros((T, M), bool).at[2, 1].set(True)
    parameters = fixed(S5(U, L), carry)
    end, stream = run(S5(U, L), parameters, carry, inputs, reset)
    expected = inputs @ parameters["encode"]["kernel"] + parameters["encode"]["bias"].reshape(1, 1, -1)
    for layer in range(L):
        state = jax.lax.complex(carry[:, layer, 0], carry[:, layer, 1])
        state, expected = run(S5Layer(U), parameters[f"layer_{layer}"], state, expected, reset)
        close(end[:, layer], jnp.stack([state.real, state.imag], axis=1))
    close(stream, expected)
    assert end.shape == carry.shape


# -- every memory ------------------------------------------------------------------------------------------------------


def fixed(cell, carry, inputs=None, seed=4) -> Any:
    """Parameters of a cell that are none of the special first ones; those of S5 keep their scale."""
    inputs = jnp.zeros((T, M, E)) if inputs is None else inputs
    parameters = jax.eval_shape(cell.init, jax.random.key(0), carry, inputs, jnp.zeros(inputs.shape[:2], bool))[
        "params"
    ]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), parameters)


KINDS = get_args(MemoryKind)
RECURRENT = [kind for kind in KINDS if kind != "none"]
WITHOUT_CHAIN = ["min_gru", "s5"]


def memory_of(kind) -> tuple[Memory, Any, Any]:
    """A memory, parameters of it, and a carry in the middle of an episode."""
    config = NetworkConfig(memory=kind, memory_size=U, num_memory_layers=L if kind == "s5" else 1)
    carry = jax.tree.map(lambda leaf: leaf + 0.5, initial_carry(config, M))
    memory = Memory(config)
    return memory, fixed(memory, carry), carry


INPUT = jnp.asarray(drawn((T, M, E), 7), jnp.float32)
RESETS = jnp.zeros((T, M), bool).at[3, 1].set(True).at[4, 2].set(True).at[0, 0].set(True)
_apply = jax.jit(lambda memory, *given: run(memory, *given)[:2], static_argnums=0)


@pytest.mark.parametrize("kind", WITHOUT_CHAIN)
def test_a_sequence_is_its_steps_one_by_one(kind):
    memory, parameters, carry = memory_of(kind)
    end, whole = _apply(memory, parameters, carry, INPUT, RESETS)
    for t in range(T):
        carry, seen = _apply(memory, parameters, carry, INPUT[t : t + 1], RESETS[t : t + 1])
        close(seen[0], whole[t], rtol=1e-5, atol=1e-5)
    close(carry, end, rtol=1e-5, atol=1e-5)
    assert jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, end)


@pytest.mark.parametrize("kind", RECURRENT)
def test_nothing_after_a_reset_depends_on_what_came_before_it(kind):
    """Bit for bit: the past is multiplied by zero, or chosen against; in rows without a reset it counts."""
    memory, parameters, carry = memory_of(kind)
    end, seen = _apply(memory, parameters, carry, INPUT, RESETS)
    other_carry = jax.tree.map(lambda leaf: -7.0 * leaf, carry)
    # Steps before 3 in all rows, and all carries; row 0 starts at step 0.
    other_end, other = _apply(memory, parameters, other_carry, INPUT.at[:3, 1:].multiply(3.0), RESETS)
    np.testing.assert_array_equal(seen[:, 0], other[:, 0])
    np.testing.assert_array_equal(seen[3:, 1], other[3:, 1])
    np.testing.assert_array_equal(seen[4:, 2], other[4:, 2])
    jax.tree.map(np.testing.assert_array_equal, end, other_end)
    assert np.abs(seen[3, 2] - other[3, 2]).max() > 1e-4
    unbroken = _apply(memory, parameters, carry, INPUT, jnp.zeros_like(RESETS))[1]
    assert np.abs(seen[3:, 1] - unbroken[3:, 1]).max() > 1e-4
    np.testing.assert_array_equal(seen[:3, 1], unbroken[:3, 1])


@pytest.mark.parametrize("kind", RECURRENT)
def test_no_derivative_crosses_a_reset(kind):
    memory, parameters, carry = memory_of(kind)

    @jax.jit
    def gradient(carry, inputs):
        def after(carry, inputs):
            return sum(jnp.sum(jnp.sin(run(memory, parameters, carry, inputs, RESETS)[1][4:, row])) for row in (1, 2))

        return jax.grad(after, argnums=(0, 1))(carry, inputs)

    d_carry, d_inputs = gradient(carry, INPUT)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, 0.0), d_carry)
    np.testing.assert_array_equal(d_inputs[:3, 1], 0.0)
    np.testing.assert_array_equal(d_inputs[:4, 2], 0.0)
    np.testing.assert_array_equal(d_inputs[:, 0], 0.0)  # rows do not see each other
    assert np.abs(d_inputs[3:, 1]).max(axis=-1).min() > 1e-8
    assert np.abs(d_inputs[4:, 2]).max(axis=-1).min() > 1e-8


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [("none", ()), ("lstm", ((M, U), (M, U))), ("gru", (M, U)), ("min_gru", (M, U)), ("s5", (M, L, 2, U // 2))],
)
def test_memory_begins_as_zeros_of_the_documented_shape(kind, shapes):
    config = NetworkConfig(memory=kind, memory_size=U, num_memory_layers=L if kind == "s5" else 1)
    carry = initial_carry(config, M)
    assert jax.tree.map(jnp.shape, carry) == shapes
    assert all(leaf.dtype == np.float32 and not np.any(leaf) for leaf in jax.tree.leaves(carry))


def test_every_memory_kind_is_tested():
    assert set(KINDS) == {"none", "lstm", "gru", "min_gru", "s5"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_memory_learns_from_what_it_saw(kind):
    """One run of two updates: the pass of the learner is that of the rollout, and every weight moves."""
    network = NetworkConfig(
        memory=kind, memory_size=U, num_memory_layers=L if kind == "s5" else 1, head_size=4, embedding_size=2
    )
    config = TrainConfig(
        env=Corridor(length=5, max_steps=6),
        teacher=DomainRandomization(),
        network=network,
        ppo=PPOConfig(learning_rate=0.01, num_epochs=2),
        num_envs=4,
        num_steps=15,  # more than two episodes
        num_devices=1,
    )
    program = Program(config)
    start = raw(program.init().members.student.parameters)
    state, metrics = program.advance(program.init(), 2)
    assert metrics["student/first_ratio_error"] < 1e-5
    assert metrics["student/gradient_norm"] > 1e-3
    for before, after in zip(start, raw(state.members.student.parameters), strict=True):
        assert np.isfinite(after).all()
        assert np.abs(after - before).max() > 1e-4


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_memory_layers": 2}, ("num_memory_layers", "2", "lstm", "allowed", "1")),
        ({"num_memory_layers": 3, "memory": "min_gru"}, ("num_memory_layers", "3", "min_gru", "allowed")),
        ({"num_memory_layers": 0, "memory": "s5"}, ("num_memory_layers", "0", "allowed")),
        ({"memory_size": 7, "memory": "s5"}, ("memory_size", "7", "s5", "allowed", "even")),
        ({"memory": "s4"}, ("memory", "'s4'", "allowed", "min_gru", "s5")),
    ],
)
def test_options_that_a_memory_does_not_have_are_told_in_one_line(options, words):
    with pytest.raises(UserError) as error:
        NetworkConfig(**options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_other_memories_may_have_odd_sizes_and_s5_several_layers():
    assert NetworkConfig(memory="min_gru", memory_size=7).memory_size == 7
    assert NetworkConfig(memory="s5", memory_size=8, num_memory_layers=3).num_memory_layers == 3
