"""The fast student is the plain one: the same parameters, the same results, the same derivative.

The plain one is `benchmarks/plain_student.py`; layers apart are held against flax's own. Letters: ``T`` steps, ``M`` rows,
``A`` actions, ``K`` value heads, ``P`` policy heads.
"""

import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import raw
from toy_worlds import Corridor

from minied import rollout as rollouts
from minied.env import with_agent_axis
from minied.experience import batch_of
from minied.spaces import Coded, Dict, Discrete
from minied.students import ppo
from minied.students.base import Earlier, RecordingStudent
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.affine import Affine, AffineWeights, block_diagonal, on_last_axis, side_by_side
from minied.students.networks.config import NetworkConfig
from minied.students.networks.encoders import LARGEST_PRODUCT, Convolution
from minied.students.ppo import Batch, PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig
from minied.train.program import Program

T, M = 6, 3
PLAIN_FILE = Path(__file__).parents[2] / "benchmarks" / "plain_student.py"
VIEW = Dict((("view", Coded((5, 5), ((0.1, 0.0, 0.0), (0.2, 0.5, 0.0), (0.8, 0.1, 0.0)))), ("direction", Discrete(4))))
SMALL: dict[str, Any] = {"conv_filters": 3, "memory_size": 6, "head_size": 5, "embedding_size": 2}


@functools.cache
def plain_student():
    """The class, from a file that is no module of a package."""
    spec = importlib.util.spec_from_file_location("plain_student_of_the_benchmarks", PLAIN_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.PlainStudent


def drawn(shapes, seed=0, scale=0.5) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), jnp.float32), shapes)


def norm_of(tree):
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


# Called as functions of a static student, compiled: op by op takes longer here.
init = jax.jit(lambda student, key: student.init(key), static_argnums=0)
apply = jax.jit(lambda student, *given: student.apply(*given), static_argnums=0)
record = jax.jit(lambda student, *given: student.record(*given), static_argnums=0)
repeat = jax.jit(lambda student, *given: student.repeat(*given), static_argnums=0)


def close(a, b, **tolerance: Any):
    tolerance = {"rtol": 1e-5, "atol": 1e-5} | tolerance
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


# -- the convolution ---------------------------------------------------------------------------------------------------


def primitives(function, *arguments):
    """Names of all primitives of a function, those of its inner functions too."""
    found, waiting = set(), [jax.make_jaxpr(function)(*arguments).jaxpr]
    while waiting:
        for equation in waiting.pop().eqns:
            found.add(equation.primitive.name)
            waiting += [getattr(each, "jaxpr", each) for each in equation.params.values() if hasattr(each, "jaxpr")]
    return found


IMAGES = [(3, 3, 2), (5, 5, 3), (3, 7, 1), (6, 4, 2), (7, 7, 3), (7, 8, 3), (9, 10, 1)]  # height, width, channels


@pytest.mark.parametrize(
    ("leading", "image_shape"),
    [*(((2, 3), shape) for shape in IMAGES), ((), IMAGES[1]), ((), IMAGES[5]), ((4,), IMAGES[1]), ((4,), IMAGES[5])],
    ids=str,
)
def test_convolution_is_that_of_flax_and_so_is_its_derivative(leading, image_shape):
    ours, flax_own = Convolution(4), nn.Conv(4, (3, 3), padding="VALID")
    image = drawn(jax.ShapeDtypeStruct((*leading, *image_shape), jnp.float32), seed=1)
    parameters = drawn(jax.eval_shape(ours.init, jax.random.key(0), image), seed=2)
    height, width, _ = image_shape
    cotangent = drawn(jax.ShapeDtypeStruct((*leading, height - 2, width - 2, 4), jnp.float32), seed=3)

    def of_flax(parameters, image):
        flat = image.reshape(-1, *image_shape)  # the bias of flax is broadcast over as many axes as it is given
        return jnp.asarray(flax_own.apply(parameters, flat)).reshape(cotangent.shape)

    @jax.jit
    def both(parameters, image):
        results = [jax.vjp(function, parameters, image) for function in (ours.apply, of_flax)]
        return [(features, pull(cotangent)) for features, pull in results]

    (features, gradient), (expected, oracle) = both(parameters, image)
    assert features.shape == cotangent.shape
    close(features, expected)
    close(gradient, oracle, atol=1e-4)


@pytest.mark.parametrize(("image_shape", "is_whole"), [((7, 7, 3), True), ((3, 16, 3), True), ((5, 10, 3), False)])
def test_images_up_to_the_limit_are_multiplied_whole_and_larger_ones_by_patches(image_shape, is_whole):
    assert (image_shape[0] * image_shape[1] <= LARGEST_PRODUCT) == is_whole
    image, convolution = jnp.zeros(image_shape), Convolution(2)
    variables = convolution.init(jax.random.key(0), image)
    names = primitives(convolution.apply, variables, image)
    assert "conv_general_dilated" not in names  # whose derivative takes tens of times as long on CPU
    (product,) = [
        equation for equation in jax.make_jaxpr(convolution.apply)(variables, image).jaxpr.eqns
        if equation.primitive.name == "dot_general" and equation.outvars[0].aval.shape[-1] in (2, 50, 28)
    ][-1:]  # fmt: skip
    height, width, channels = image_shape
    assert product.invars[0].aval.shape[-1] == (height * width * channels if is_whole else 9 * channels)


def test_first_filters_are_those_that_flax_draws():
    image = jnp.zeros((1, 5, 5, 3))
    of_flax = nn.Conv(4, (3, 3), padding="VALID", kernel_init=nn.initializers.orthogonal(2**0.5))
    same(Convolution(4).init(jax.random.key(7), image), of_flax.init(jax.random.key(7), image))


def test_each_pixel_reaches_the_filters_that_look_at_it_and_no_other():
    # One filter of one channel whose weight at (row, column) is 10·row + column + 1: a lone pixel at (2, 1) of a 4×5 image
    # is seen by the place (p, q) at the kernel's (2 − p, 1 − q), where that is within 3×3: places (0 … 1, 0 … 1).
    kernel = jnp.asarray([[10.0 * row + column + 1 for column in range(3)] for row in range(3)])[..., None, None]
    image = jnp.zeros((4, 5, 1)).at[2, 1, 0].set(1.0)
    features: Any = Convolution(1).apply({"params": {"kernel": kernel, "bias": jnp.zeros(1)}}, image)
    np.testing.assert_array_equal(features[..., 0], [[22.0, 21.0, 0.0], [12.0, 11.0, 0.0]])


# -- affine maps -------------------------------------------------------------------------------------------------------


def affine_weights(sizes, seed=0):
    shape: Any = AffineWeights
    shapes = [
        shape(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in ((inputs, outputs), (outputs,))))
        for inputs, outputs in sizes
    ]
    return [drawn(each, seed + i) for i, each in enumerate(shapes)]


def dense(weights, inputs):
    """flax's layer with these weights."""
    params = {"kernel": weights.kernel, "bias": weights.bias}
    flat = inputs.reshape(-1, inputs.shape[-1])
    outputs: Any = nn.Dense(weights.kernel.shape[1]).apply({"params": params}, flat)
    return outputs.reshape(*inputs.shape[:-1], -1)


def test_maps_side_by_side_are_the_layers_one_after_the_other():
    maps = affine_weights([(4, 2), (4, 1), (4, 5)])
    inputs = drawn(jax.ShapeDtypeStruct((T, M, 4), jnp.float32), seed=8)

    def merged(maps):
        return side_by_side(maps)(inputs)

    def apart(maps):
        return jnp.concatenate([dense(each, inputs) for each in maps], axis=-1)

    close(merged(maps), apart(maps))
    loss = lambda function: jax.grad(lambda maps: jnp.sum(jnp.sin(function(maps))))(maps)  # noqa: E731
    close(loss(merged), loss(apart))


def test_maps_on_a_diagonal_read_their_own_part_of_the_inputs_each():
    maps = affine_weights([(2, 3), (4, 1), (1, 2)])
    inputs = drawn(jax.ShapeDtypeStruct((T, M, 7), jnp.float32), seed=8)

    def merged(maps):
        return block_diagonal(maps)(inputs)

    def apart(maps):
        parts = jnp.split(inputs, [2, 6], axis=-1)
        return jnp.concatenate([dense(*each) for each in zip(maps, parts, strict=True)], axis=-1)

    close(merged(maps), apart(maps))
    loss = lambda function: jax.grad(lambda maps: jnp.sum(jnp.sin(function(maps))))(maps)  # noqa: E731
    close(loss(merged), loss(apart))


@pytest.mark.parametrize("use_bias", [True, False])
def test_affine_parameters_are_named_and_drawn_as_those_of_flax(use_bias):
    ours = Affine(5, use_bias=use_bias).init(jax.random.key(3), 4)
    same(ours, nn.Dense(5, use_bias=use_bias).init(jax.random.key(3), jnp.zeros((1, 4))))
    weights = Affine(5, use_bias=use_bias).apply(ours, 4)
    assert isinstance(weights, AffineWeights)
    assert (weights.bias is None) != use_bias
    inputs = drawn(jax.ShapeDtypeStruct((2, 3, 4), jnp.float32))
    np.testing.assert_allclose(weights(inputs), inputs @ weights.kernel, rtol=1e-6)  # biases begin at zero


def test_a_vector_on_the_last_axis_has_the_rank_of_the_other():
    assert on_last_axis(jnp.zeros(4), jnp.zeros((2, 3, 4))).shape == (1, 1, 4)
    assert on_last_axis(jnp.zeros(4), jnp.zeros(4)).shape == (4,)


# -- the heads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["minimax", "jaxued"])
def test_merged_heads_are_the_heads_apart(recipe):
    """In NumPy, one head after the other, from a discrete observation: the policies in order, then the values."""
    config = NetworkConfig(**SMALL, memory="none", recipe=recipe, num_policy_heads=3, num_value_heads=2)
    student = ActorCritic(Discrete(4), Discrete(3), config)
    parameters = drawn(jax.eval_shape(student.init, jax.random.key(0)), scale=1.0)
    seen = np.random.default_rng(0).integers(4, size=(T, M)).astype(np.int32)
    carry, resets = student.initial_carry(M), jnp.zeros((T, M), bool)

    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters)
    activation = np.tanh if recipe == "minimax" else lambda x: np.maximum(x, 0.0)
    layer = lambda name, x: x @ p[name]["kernel"] + p[name]["bias"]  # noqa: E731
    head = lambda name: layer(name, activation(layer(f"{name}_hidden", features)))  # noqa: E731
    encoding = p["encoder"]["observation_embed"]["kernel"][seen]
    memory = p["memory"]["dense"]
    features = np.maximum(encoding @ memory["kernel"] + memory["bias"], 0.0)
    policies = np.stack([head(name) for name in ("policy", "policy_1", "policy_2")], axis=2)
    values = np.concatenate([head(f"value_{k}") for k in range(2)], axis=-1)

    _, logits, found = apply(student, parameters, carry, jnp.asarray(seen), resets)
    close(student.policies(parameters, carry, jnp.asarray(seen), resets), policies)
    close(logits, np.stack([policies[:, m, m % 3] for m in range(M)], axis=1))  # row m is played by policy m mod P
    close(found, values)
    assert np.abs(policies[:, :, 0] - policies[:, :, 1]).min() > 1e-6


# -- the whole student -------------------------------------------------------------------------------------------------


def students(memory="lstm", **options: Any):
    values: dict[str, Any] = SMALL | {"memory": memory} | options
    config = NetworkConfig(**values)
    return ActorCritic(VIEW, Discrete(3), config), plain_student()(VIEW, Discrete(3), config)


@functools.cache
def sequence(memory="lstm", seed=0, **options: Any) -> Any:
    """(parameters that are none of the special first ones, carry, observations, resets)."""
    student, _ = students(memory, **options)
    parameters = drawn(jax.eval_shape(student.init, jax.random.key(0)), seed)
    flat = jax.vmap(VIEW.sample)(jax.random.split(jax.random.key(seed), T * M))
    observations = jax.tree.map(lambda leaf: leaf.reshape(T, M, *leaf.shape[1:]), flat)
    resets = jnp.asarray([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], bool)
    is_float = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating)  # noqa: E731
    dirty = lambda leaf: leaf + 0.3 if is_float(leaf) else leaf  # noqa: E731
    return parameters, jax.tree.map(dirty, student.initial_carry(M)), observations, resets


def learnable(parameters, carry, observations, resets, seed=4):
    """A batch on these steps whose losses take both sides of every clip."""
    rng = np.random.default_rng(seed)
    f32 = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    actions = jnp.asarray(rng.integers(3, size=(T, M)), jnp.int32)
    log_probs = jnp.log(1 / 3) + 0.3 * f32(T, M)
    return Batch(observations, resets, actions, log_probs, f32(T, M, 1), f32(T, M), 2.0 * f32(T, M), carry)


def test_parameters_and_their_first_values_are_those_of_the_plain_student():
    fast, plain = students()
    for seed in (0, 5):
        same(init(fast, jax.random.key(seed)), init(plain, jax.random.key(seed)))


def test_outputs_are_those_of_the_plain_student():
    fast, plain = students()
    close(apply(fast, *sequence()), apply(plain, *sequence()))
    assert np.abs(apply(fast, *sequence())[1]).max() > 0.1


def test_gradient_of_the_loss_is_that_of_the_plain_student():
    parameters, *rest = sequence()
    batch = learnable(parameters, *rest)
    gradient = jax.jit(jax.grad(ppo._loss, has_aux=True), static_argnums=1)
    found, expected = (gradient(parameters, each, batch, PPOConfig().traced()) for each in students())
    close(found[1], expected[1])  # the losses
    assert 0.1 < found[1]["clip_fraction"] < 0.9
    assert jax.tree.structure(found[0]) == jax.tree.structure(expected[0])
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(expected[0]), strict=True):
        assert np.abs(b).max() > 1e-6
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-7)  # of a gradient of norm 0.1 and more
    assert norm_of(found[0]) > 0.1


def test_a_run_learns_as_with_the_plain_student():
    """The activations that the rollout keeps, and all that is done with them, change nothing but the order of sums.

    Parameters after 4 updates of 3 epochs; seen here: equal to 2e-7 of them.
    """
    env = Corridor(length=5, max_steps=6)
    config = TrainConfig(
        env=env,
        teacher=DomainRandomization(),
        network=NetworkConfig(**SMALL),
        ppo=PPOConfig(learning_rate=0.01, num_epochs=3, adam_epsilon=1e-3),
        num_envs=4,
        num_steps=15,
        num_devices=1,
    )
    ends = []
    for student in (None, plain_student().of(env, config.network)):
        program = Program(config, student)
        state, metrics = program.advance(program.init(), 4)
        ends.append((state.members.student, {k: v for k, v in metrics.items() if k != "student/first_ratio_error"}))
        assert metrics["student/first_ratio_error"] < 1e-5
    assert ends[0][1].keys() == ends[1][1].keys()
    close(*ends, rtol=1e-4, atol=1e-5)
    first = Program(config).init().members.student.parameters
    moved = [np.abs(a - b).max() for a, b in zip(raw(first), raw(ends[0][0].parameters), strict=True)]
    assert min(moved) > 1e-3


# -- what a rollout leaves to its learner ------------------------------------------------------------------------------

MEMORIES = ["lstm", "gru", "min_gru", "s5", "none"]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("heads", [1, 2])
def test_recording_is_applying_and_so_is_repeating_what_was_recorded(memory, heads):
    student, _ = students(memory, num_policy_heads=heads)
    assert isinstance(student, RecordingStudent)
    given = sequence(memory, num_policy_heads=heads)
    applied = apply(student, *given)
    *recorded, activations = record(student, *given)
    same(tuple(recorded), applied)
    leaves = jax.tree.leaves(activations)
    assert all(leaf.shape[:2] == (T, M) for leaf in leaves)
    assert bool(leaves) == (memory == "lstm")
    if leaves:
        for hold in (True, False):
            close(repeat(student, *given, Earlier(activations, jnp.asarray(hold))), applied, rtol=1e-6, atol=1e-6)


def earlier_for(student, given, hold=True, wrong=False):
    activations = record(student, *given)[3]
    if wrong:
        activations = jax.tree.map(lambda leaf: leaf[:, ::-1], activations)  # those of other rows
    return Earlier(activations, jnp.asarray(hold))


def test_repeating_believes_what_holds_and_ignores_what_does_not():
    student, given = students()[0], sequence()
    applied = apply(student, *given)
    believed = repeat(student, *given, earlier_for(student, given, wrong=True))
    assert np.abs(believed[1] - applied[1]).max() > 1e-2
    close(believed[1], applied[1][:, ::-1])  # the heads read nothing but the memory
    close(repeat(student, *given, earlier_for(student, given, hold=False, wrong=True)), applied, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("hold", "wrong"), [(True, False), (False, True)])
def test_gradient_of_the_loss_from_an_earlier_pass_is_that_without(hold, wrong):
    student, given = students()[0], sequence()
    batch = learnable(*given)
    gradient = jax.jit(jax.grad(ppo._loss, has_aux=True), static_argnums=1)
    expected = gradient(given[0], student, batch, PPOConfig().traced())
    with_earlier = batch.replace(earlier=earlier_for(student, given, hold, wrong))
    close(gradient(given[0], student, with_earlier, PPOConfig().traced()), expected, atol=1e-6)


@functools.cache
def rolled_out(keep):
    """A rollout on the corridor in which episodes end, with the activations of the first ``keep`` rows, and its learner."""
    env = with_agent_axis(Corridor(length=3, max_steps=4))
    student = ActorCritic.of(env, NetworkConfig(**SMALL))
    parameters = drawn(jax.eval_shape(student.init, jax.random.key(0)))

    @jax.jit
    def play(parameters):
        levels = jax.vmap(env.level_space.sample)(jax.random.split(jax.random.key(1), 6))
        start = rollouts.start(jax.random.key(2), student, env, levels)
        options = {"keep_activations_of": keep} if keep else {}
        return start, rollouts.collect(jax.random.key(3), student, parameters, env, levels, start, 12, **options)[1]

    start, rollout = play(parameters)
    advantages = jnp.asarray(np.random.default_rng(0).normal(size=rollout.rewards.shape), jnp.float32)
    return student, parameters, rollout, batch_of(rollout, advantages, start.carry)


def test_a_rollout_keeps_the_activations_of_as_many_rows_as_it_is_asked_for():
    student, parameters, rollout, batch = rolled_out(6)
    assert np.asarray(rollout.ended)[1:-1].sum() > 6
    _, _, _, whole = record(student, parameters, batch.carry, batch.observations, batch.resets)
    close(rollout.activations, whole, atol=1e-6)
    _, _, four, _ = rolled_out(4)
    close(four.activations, jax.tree.map(lambda leaf: leaf[:, :4], rollout.activations), rtol=0, atol=0)
    _, _, none, _ = rolled_out(0)
    assert none.activations == ()
    close(four.replace(activations=()), none, rtol=0, atol=0)


_update = jax.jit(ppo.update, static_argnums=(1, 6))


def updated(num_epochs, num_minibatches, earlier):
    student, parameters, _, batch = rolled_out(6)
    settings = PPOConfig(num_epochs=num_epochs, num_minibatches=num_minibatches, adam_epsilon=1e-3)
    state = ppo.init_student(jax.random.key(0), student, settings).replace(parameters=parameters)
    batch = batch.replace(earlier=earlier)
    return _update(jax.random.key(5), student, state, batch, settings.traced(), jnp.float32(0.05), 1)


@pytest.mark.parametrize(("num_epochs", "num_minibatches"), [(1, 1), (4, 1), (2, 2)])
def test_an_update_from_kept_activations_is_that_without(num_epochs, num_minibatches):
    """Of several epochs only the first starts from them; of several minibatches, whose rows are others, none."""
    rollout = rolled_out(6)[2]
    kept = Earlier(rollout.activations, jnp.bool_(True))
    state, metrics = updated(num_epochs, num_minibatches, kept)
    expected, other_metrics = updated(num_epochs, num_minibatches, None)
    close(state, expected, atol=2e-6)
    close(metrics, other_metrics, atol=2e-6)
    assert metrics["first_ratio_error"] < 1e-5
    assert other_metrics["first_ratio_error"] < 1e-5


def test_activations_of_other_rows_show_in_the_first_ratio():
    rollout = rolled_out(6)[2]
    wrong = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=1), rollout.activations)
    for late in (wrong, jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), rollout.activations)):  # or other steps
        assert updated(2, 1, Earlier(late, jnp.bool_(True)))[1]["first_ratio_error"] > 0.01
        assert updated(2, 1, Earlier(late, jnp.bool_(False)))[1]["first_ratio_error"] < 1e-5  # they do not hold
