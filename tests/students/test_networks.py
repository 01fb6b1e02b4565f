"""The student's network: its size, its first weights, and a memory that forgets exactly where it is told to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig

MAZE_VIEW = Dict(
    (("view", Coded((5, 5), ((0.1, 0.0, 0.0), (0.2, 0.5, 0.0), (0.8, 0.1, 0.0)))), ("direction", Discrete(4)))
)
SMALL = Dict(
    (("view", Coded((4, 5), ((0.0,), (1.0,), (0.5,)))), ("direction", Discrete(3)), ("wind", Box(-1, 1, (2,))))
)
T, M = 6, 3

apply = jax.jit(ActorCritic.apply, static_argnums=0)
init = jax.jit(ActorCritic.init, static_argnums=0)


def small_student(**options):
    return ActorCritic(
        SMALL, Discrete(4), NetworkConfig(**{"conv_filters": 2, "memory_size": 8, "head_size": 6} | options)
    )


def size_of(parameters):
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))


@functools.cache
def general(student, seed=0):
    """Parameters in general position, made without compiling: fresh ones make the policy uniform whatever it sees."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(student.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), shapes)


@functools.cache
def observations(seed=0, steps=T, rows=M):
    keys = jax.random.split(jax.random.key(seed), steps * rows)
    flat = jax.vmap(SMALL.sample)(keys)
    return jax.tree.map(lambda leaf: leaf.reshape(steps, rows, *leaf.shape[1:]), flat)


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **({"rtol": 1e-5, "atol": 1e-6} | tolerance)), a, b)


def test_standard_network_on_the_maze_view_has_432924_parameters():
    # conv 3·3·3·16 + 16 = 448; embedding 4·5 = 20 without a bias; LSTM (149 + 256)·1024 + 1024 = 415,744 with one bias
    # vector (flax's cell; performance.md's 433,948 counts torch's second vector of 1,024);
    # policy 256·32 + 32 + 32·7 + 7 = 8,455; value 256·32 + 32 + 32 + 1 = 8,257. Together 432,924.
    student = ActorCritic(MAZE_VIEW, Discrete(7), NetworkConfig())
    shapes = jax.eval_shape(student.init, jax.random.key(0))
    assert size_of(shapes) == 432_924 == 433_948 - 1_024
    assert size_of(shapes["memory"]) == 415_744
    assert size_of(shapes["encoder"]) == 468


@pytest.mark.parametrize("memory", ["lstm", "gru", "none"])
def test_apply_gives_a_logit_per_action_and_a_value_per_head(memory):
    student = small_student(memory=memory, num_value_heads=3)
    parameters = general(student)
    carry, logits, values = apply(
        student, parameters, student.initial_carry(M), observations(), jnp.zeros((T, M), bool)
    )
    assert logits.shape == (T, M, 4)
    assert values.shape == (T, M, 3)
    assert logits.dtype == values.dtype == jnp.float32
    assert jax.tree.structure(carry) == jax.tree.structure(student.initial_carry(M))


@pytest.mark.parametrize("memory", ["lstm", "gru", "none"])
def test_sequence_equals_step_by_step(memory):
    student = small_student(memory=memory)
    parameters = general(student)
    inputs = observations()
    resets = jnp.asarray([[1, 1, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]], bool)
    whole_carry, whole_logits, whole_values = apply(student, parameters, student.initial_carry(M), inputs, resets)
    carry = student.initial_carry(M)
    for t in range(T):
        step = jax.tree.map(lambda leaf, t=t: leaf[t : t + 1], inputs)
        carry, logits, values = apply(student, parameters, carry, step, resets[t : t + 1])
        close((logits[0], values[0]), (whole_logits[t], whole_values[t]))
    close(carry, whole_carry)


@pytest.mark.parametrize("memory", ["lstm", "gru"])
def test_trap_05_a_reset_makes_two_sequences_of_one(memory):
    student = small_student(memory=memory)
    parameters = general(student)
    inputs = observations()
    resets = jnp.zeros((T, M), bool).at[0].set(True).at[4, 1].set(True)
    _, logits, _ = apply(student, parameters, student.initial_carry(M), inputs, resets)
    tail = jax.tree.map(lambda leaf: leaf[4:], inputs)
    _, fresh, _ = apply(student, parameters, student.initial_carry(M), tail, jnp.zeros((2, M), bool))
    close(logits[4:, 1], fresh[:, 1])  # row 1 starts anew before it reads step 4
    assert np.abs(logits[4:, 0] - fresh[:, 0]).max() > 1e-3  # row 0 remembers
    _, unbroken, _ = apply(student, parameters, student.initial_carry(M), inputs, resets.at[4, 1].set(False))
    close(logits[:4], unbroken[:4])
    close(logits[:, 0], unbroken[:, 0])


@pytest.mark.parametrize("memory", ["lstm", "gru"])
def test_trap_05_a_reset_at_the_first_step_forgets_the_carry_it_was_given(memory):
    student = small_student(memory=memory)
    parameters = general(student)
    dirty = jax.tree.map(lambda leaf: leaf + 7.0, student.initial_carry(M))
    resets = jnp.zeros((T, M), bool).at[0].set(True)
    fresh = apply(student, parameters, student.initial_carry(M), observations(), resets)
    close(apply(student, parameters, dirty, observations(), resets), fresh)
    assert np.abs(apply(student, parameters, dirty, observations(), ~resets)[1][0] - fresh[1][0]).max() > 1e-3


@pytest.mark.parametrize("memory", ["lstm", "gru"])
def test_rows_do_not_see_each_other_and_the_past_does_not_see_the_future(memory):
    student = small_student(memory=memory)
    parameters = general(student)
    resets = jnp.zeros((T, M), bool)
    _, logits, values = apply(student, parameters, student.initial_carry(M), observations(), resets)
    other = jax.tree.map(lambda a, b: a.at[3:, 2].set(b[3:, 2]), observations(), observations(seed=5))
    _, changed, _ = apply(student, parameters, student.initial_carry(M), other, resets)
    close(changed[:, :2], logits[:, :2])
    close(changed[:3, 2], logits[:3, 2])
    assert np.abs(changed[3:, 2] - logits[3:, 2]).max() > 1e-3
    assert np.isfinite(values).all()


def test_without_memory_a_step_depends_on_its_observation_alone():
    student = small_student(memory="none")
    parameters = general(student)
    inputs = observations()
    _, logits, _ = apply(student, parameters, (), inputs, jnp.zeros((T, M), bool))
    backwards = jax.tree.map(lambda leaf: leaf[::-1], inputs)
    _, reversed_logits, _ = apply(student, parameters, (), backwards, jnp.ones((T, M), bool))
    close(reversed_logits[::-1], logits)


def test_value_heads_differ():
    student = small_student(num_value_heads=4)
    parameters = init(student, jax.random.key(0))
    _, _, values = apply(student, parameters, student.initial_carry(M), observations(), jnp.zeros((T, M), bool))
    for a in range(4):
        for b in range(a):
            assert np.abs(values[..., a] - values[..., b]).max() > 1e-3


def test_fresh_memory_is_zero():
    for leaf in jax.tree.leaves(small_student(memory="lstm").initial_carry(M)):
        np.testing.assert_array_equal(leaf, np.zeros((M, 8)))


def kernels(parameters, name):
    return [np.asarray(v) for k, v in flatten(parameters).items() if k.endswith(f"{name}/kernel")]


def flatten(tree, prefix=""):
    found = {}
    for name, value in tree.items():
        path = f"{prefix}/{name}"
        found |= flatten(value, path) if isinstance(value, dict) else {path: value}
    return found


def assert_orthogonal(kernel, scale):
    """Rows (or columns, whichever are fewer) are orthogonal, of length `scale`."""
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, scale**2 * np.eye(len(gram)), atol=1e-4 * scale**2)


@pytest.mark.parametrize(("recipe", "hidden"), [("minimax", 2**0.5), ("jaxued", 2.0)])
def test_recipe_sets_the_first_weights(recipe, hidden):
    parameters = init(small_student(recipe=recipe, num_value_heads=2), jax.random.key(0))
    for path, value in flatten(parameters).items():
        if path.endswith("bias"):
            np.testing.assert_array_equal(value, 0.0, err_msg=path)
    (policy,) = kernels(parameters, "/policy")
    if recipe == "minimax":
        np.testing.assert_array_equal(policy, np.float32(0.01))
    else:
        assert_orthogonal(policy, 0.01)
    for head in ("policy_hidden", "value_0_hidden", "value_1_hidden"):
        assert_orthogonal(kernels(parameters, head)[0], hidden)
    for head in ("/value_0", "/value_1"):
        assert_orthogonal(kernels(parameters, head)[0], 1.0)
    assert_orthogonal(kernels(parameters, "direction_embed")[0], 2**0.5)
    assert_orthogonal(kernels(parameters, "view_conv")[0], 2**0.5)


def test_fresh_minimax_policy_is_uniform():
    student = small_student()
    parameters = init(student, jax.random.key(0))
    _, logits, _ = apply(student, parameters, student.initial_carry(M), observations(), jnp.zeros((T, M), bool))
    close(logits, jnp.broadcast_to(logits[..., :1], logits.shape))


def test_heads_have_the_activation_of_their_recipe():
    """A tanh hidden layer bounds the value by the sum of its weights; a ReLU one does not, and is one-sided."""
    bounds = {}
    for recipe in ("minimax", "jaxued"):
        student = small_student(recipe=recipe, memory="none")
        parameters = general(student)
        large = parameters | {"memory": jax.tree.map(lambda leaf: 1e4 * leaf, parameters["memory"])}
        _, _, values = apply(student, large, (), observations(), jnp.zeros((T, M), bool))
        (kernel,) = kernels(parameters, "/value_0")
        limit = np.abs(kernel).sum() + np.abs(np.asarray(parameters["value_0"]["bias"])).sum()
        bounds[recipe] = np.abs(values).max() / limit
    assert bounds["minimax"] <= 1.0 + 1e-5
    assert bounds["jaxued"] > 10


def test_two_seeds_give_two_networks_and_one_seed_one():
    student = small_student()
    a, b, c = (init(student, jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not np.array_equal(kernels(a, "view_conv")[0], kernels(c, "view_conv")[0])


def test_discrete_observation_reads_its_own_row_of_the_embedding():
    """Linear in one-hot: with every other weight fixed, only the row of the choice that was seen matters."""
    student = ActorCritic(Discrete(3), Discrete(2), NetworkConfig(memory="none", memory_size=4, head_size=4))
    parameters = general(student)
    seen = jnp.asarray([[0, 1, 2]], jnp.int32)
    no_reset = jnp.zeros((1, 3), bool)
    _, before, _ = apply(student, parameters, (), seen, no_reset)
    (path,) = [p for p in flatten(parameters) if p.endswith("_embed/kernel")]
    name = path.split("/")[-2]
    kernel = parameters["encoder"][name]["kernel"]
    parameters["encoder"] = parameters["encoder"] | {name: {"kernel": kernel.at[1].add(1.0)}}
    _, after, _ = apply(student, parameters, (), seen, no_reset)
    changed = np.abs(np.asarray(after - before)).max(axis=-1)[0] > 1e-5
    np.testing.assert_array_equal(changed, [False, True, False])


@pytest.mark.parametrize(
    "space",
    [
        Discrete(3),
        Box(0, 1, ()),
        Box(0, 1, (4,)),
        Box(0, 1, (4, 4, 2)),
        Coded((4, 5), ((0.0, 1.0), (1.0, 0.0))),
        Coded((3,), ((0.0, 1.0), (1.0, 0.0))),
    ],
    ids=str,
)
def test_every_kind_of_observation_can_be_read_and_makes_a_difference(space):
    student = ActorCritic(space, Discrete(2), NetworkConfig(conv_filters=2, memory="none", memory_size=8, head_size=4))
    parameters = general(student)
    batch = jax.vmap(space.sample)(jax.random.split(jax.random.key(1), 12))
    batch = jax.tree.map(lambda leaf: leaf.reshape(3, 4, *leaf.shape[1:]), batch)
    _, logits, values = apply(student, parameters, (), batch, jnp.zeros((3, 4), bool))
    assert logits.shape == (3, 4, 2)
    assert values.shape == (3, 4, 1)
    assert len(np.unique(np.round(np.asarray(logits[..., 0]).reshape(-1), 4))) >= 2


def test_an_observation_that_no_encoder_reads_is_told_in_one_line():
    student = ActorCritic(Box(0, 1, (4, 4)), Discrete(2), NetworkConfig())
    with pytest.raises(UserError, match="observation") as error:
        init(student, jax.random.key(0))
    assert "\n" not in str(error.value)
    assert "allowed" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory_size", 0), ("num_value_heads", 0), ("conv_filters", -1), ("memory", "rnn"), ("recipe", "mine")],
)
def test_network_options_out_of_range_are_told_in_one_line(name, value):
    with pytest.raises(UserError) as error:
        NetworkConfig(**{name: value})
    message = str(error.value)
    assert name in message
    assert str(value) in message
    assert "allowed" in message
    assert "\n" not in message
