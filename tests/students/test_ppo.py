"""PPO against a NumPy loss and a hand-written step, and the rules about minibatches, rates and memories."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_worlds import Corridor

from minied import rollout as rollouts
from minied.env import with_agent_axis
from minied.errors import UserError
from minied.students import ppo
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import Batch, PPOConfig, StudentState

T, M, A, F = 5, 4, 3, 6


@dataclasses.dataclass(frozen=True)
class LinearStudent:
    """logits = x W, values = x V: small enough to differentiate by hand. It has no memory."""

    num_heads: int = 1

    def init(self, key):
        a, b = jax.random.split(key)
        return {
            "policy": 0.2 * jax.random.normal(a, (F, A)),
            "value": jnp.tile(0.2 * jax.random.normal(b, (F, 1)), (1, self.num_heads)),
        }

    def initial_carry(self, num_rows):
        return ()

    def apply(self, parameters, carry, observation, reset):
        return carry, observation @ parameters["policy"], observation @ parameters["value"]


def config(**options):
    return PPOConfig(**{"num_epochs": 1, "entropy_coefficient": 0.05, "max_grad_norm": 1e9} | options)


def make_batch(seed=0, num_heads=1, rows=M):
    rng = np.random.default_rng(seed)
    f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return Batch(
        observations=f32(T, rows, F),
        resets=np.zeros((T, rows), bool),
        actions=rng.integers(A, size=(T, rows)).astype(np.int32),
        log_probs=(np.log(1 / A) + 0.3 * f32(T, rows)).astype(np.float32),
        values=f32(T, rows, num_heads),
        advantages=3.0 * f32(T, rows) + 1.0,
        targets=2.0 * f32(T, rows),
        carry=(),
    )


_update = jax.jit(ppo.update, static_argnums=(1, 6))


def update(student, state, batch, settings, rate=1e-3, num_agents=1, key=0):
    batch = jax.tree.map(jnp.asarray, batch)
    return _update(jax.random.key(key), student, state, batch, settings.traced(), jnp.float32(rate), num_agents)


def fresh(student, settings, seed=0):
    return ppo.init_student(jax.random.key(seed), student, settings)


def numpy_losses(parameters, batch, settings):
    """The losses of the specification in float64, one element at a time where it matters."""
    w, v = (np.asarray(parameters[name], np.float64) for name in ("policy", "value"))
    logits, values = batch.observations @ w, batch.observations @ v
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    advantages = np.asarray(batch.advantages, np.float64)
    advantages = (advantages - advantages.mean()) / (np.sqrt(np.mean((advantages - advantages.mean()) ** 2)) + 1e-5)
    epsilon, policy, value, entropy, kl, clipped_count = settings.clip, [], [], [], [], 0
    for t, m in np.ndindex(batch.actions.shape):
        log_ratio = log_p[t, m, batch.actions[t, m]] - batch.log_probs[t, m]
        ratio = np.exp(log_ratio)
        clipped = min(max(ratio, 1 - epsilon), 1 + epsilon)
        clipped_count += abs(ratio - 1) > epsilon
        policy.append(-min(ratio * advantages[t, m], clipped * advantages[t, m]))
        entropy.append(-sum(np.exp(log_p[t, m]) * log_p[t, m]))
        kl.append(ratio - 1 - log_ratio)
        for k in range(values.shape[-1]):
            y, old, new = batch.targets[t, m], batch.values[t, m, k], values[t, m, k]
            near = old + min(max(new - old, -epsilon), epsilon)
            error = max((new - y) ** 2, (near - y) ** 2) if settings.clip_value else (new - y) ** 2
            value.append(0.5 * error)
    return {
        "policy_loss": np.mean(policy),
        "value_loss": np.mean(value),
        "entropy": np.mean(entropy),
        "approximate_kl": np.mean(kl),
        "clip_fraction": clipped_count / batch.actions.size,
    }


def total_loss(parameters, batch, settings):
    parts = numpy_losses(parameters, batch, settings)
    return (
        parts["policy_loss"]
        + settings.value_coefficient * parts["value_loss"]
        - settings.entropy_coefficient * parts["entropy"]
    )


def numpy_gradient(parameters, batch, settings, h=1e-5):
    gradient = {}
    for name, leaf in parameters.items():
        leaf = np.asarray(leaf, np.float64)
        gradient[name] = np.zeros_like(leaf)
        for index in np.ndindex(leaf.shape):
            up, down = leaf.copy(), leaf.copy()
            up[index] += h
            down[index] -= h
            gradient[name][index] = (
                total_loss(parameters | {name: up}, batch, settings)
                - total_loss(parameters | {name: down}, batch, settings)
            ) / (2 * h)
    return gradient


def global_norm(tree):
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


@pytest.mark.parametrize("clip_value", [True, False])
@pytest.mark.parametrize("num_heads", [1, 3])
def test_losses_equal_a_plain_numpy_computation(clip_value, num_heads):
    student, settings, batch = LinearStudent(num_heads), config(clip_value=clip_value), make_batch(num_heads=num_heads)
    state = fresh(student, settings)
    _, metrics = update(student, state, batch, settings)
    expected = numpy_losses(state.parameters, batch, settings)
    assert 0.1 < expected["clip_fraction"] < 0.95  # both sides of the clip are taken
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("max_grad_norm", [1e9, 0.05])
def test_first_step_is_adam_on_the_gradient_clipped_by_its_global_norm(max_grad_norm):
    # Adam's first direction is g / (|g| + ε) with ε outside the root, once g has been clipped as a whole. A large ε
    # keeps the size of g in the step, so that clipping per element or per leaf would show.
    student, batch = LinearStudent(), make_batch()
    settings = config(max_grad_norm=max_grad_norm, adam_epsilon=0.1)
    state = fresh(student, settings)
    after, metrics = update(student, state, batch, settings, rate=0.01)
    gradient = numpy_gradient(state.parameters, batch, settings)
    norm = global_norm(gradient)
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-3)  # reported before it is clipped
    factor = min(1.0, max_grad_norm / norm)
    assert (factor < 1) == (max_grad_norm < 1)
    for name, g in gradient.items():
        g = g * factor
        expected = np.asarray(state.parameters[name]) - 0.01 * g / (np.abs(g) + 0.1)
        np.testing.assert_allclose(after.parameters[name], expected, rtol=1e-4, atol=2e-6)


def test_advantages_are_normalised_over_the_minibatch_with_the_population_deviation():
    # scaling and shifting the advantages changes nothing (but for the 1e-5 beside the deviation)
    student, settings, batch = LinearStudent(), config(), make_batch()
    state = fresh(student, settings)
    moved = batch.replace(advantages=batch.advantages * 100.0 - 7.0)
    a, _ = update(student, state, batch, settings)
    b, _ = update(student, state, moved, settings)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), a.parameters, b.parameters)


def test_equal_advantages_do_not_divide_by_zero():
    student, settings = LinearStudent(), config()
    batch = make_batch().replace(advantages=np.full((T, M), 2.5, np.float32))
    after, metrics = update(student, fresh(student, settings), batch, settings)
    assert abs(float(metrics["policy_loss"])) < 1e-5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.parameters))


def test_heads_with_equal_weights_get_equal_gradients_and_the_policy_does_not_notice_their_number():
    settings = config(value_coefficient=0.5)
    after = {}
    for heads in (1, 3):
        student = LinearStudent(heads)
        batch = make_batch().replace(values=np.repeat(make_batch().values, heads, axis=-1))
        after[heads], _ = update(student, fresh(student, settings), batch, settings)
    value = np.asarray(after[3].parameters["value"])
    np.testing.assert_array_equal(value, np.repeat(value[:, :1], 3, axis=1))
    np.testing.assert_allclose(after[3].parameters["policy"], after[1].parameters["policy"], rtol=1e-6)
    # mean over heads: each of three heads has a third of the gradient of a single one
    np.testing.assert_allclose(
        3 * np.asarray(after[3].optimizer[1].mu["value"][:, :1]),
        after[1].optimizer[1].mu["value"],
        rtol=1e-4,
        atol=1e-7,
    )


def permuted_state(num_minibatches, key, rows=M):
    student, settings = LinearStudent(), config(num_epochs=2, num_minibatches=num_minibatches)
    return update(student, fresh(student, settings), make_batch(rows=rows), settings, key=key)


def test_one_minibatch_does_not_depend_on_the_key_and_equals_a_permuted_batch():
    student, settings, batch = LinearStudent(), config(num_epochs=2), make_batch()
    plain, _ = permuted_state(1, key=0)
    other, _ = permuted_state(1, key=9)
    jax.tree.map(np.testing.assert_array_equal, plain, other)
    order = np.asarray([2, 0, 3, 1])
    shuffled = jax.tree.map(lambda leaf: leaf[:, order], batch)
    again, _ = update(student, fresh(student, settings), shuffled, settings)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), plain.parameters, again.parameters
    )


def test_several_minibatches_depend_on_the_key():
    a, _ = permuted_state(2, key=0)
    assert any(
        not np.array_equal(a.parameters["policy"], permuted_state(2, key=k)[0].parameters["policy"]) for k in (1, 2, 3)
    )


@dataclasses.dataclass(frozen=True)
class RowLog:
    """A student whose gradient tells which rows it was shown: parameter r moves iff row r is in the minibatch."""

    num_rows: int

    def init(self, key):
        return {"seen": jnp.zeros(self.num_rows)}

    def initial_carry(self, num_rows):
        return jnp.arange(num_rows, dtype=jnp.float32)

    def apply(self, parameters, carry, observation, reset):
        row = observation[..., 0].astype(jnp.int32)  # [T, m]
        value = parameters["seen"][row]
        # the carry of each row must have come along with the row
        value = jnp.where(carry[None] == observation[..., 0], value, jnp.nan)
        return carry, jnp.stack([jnp.zeros_like(value), jnp.zeros_like(value)], axis=-1), value[..., None]


@pytest.mark.parametrize(("num_agents", "num_minibatches"), [(1, 3), (2, 3), (2, 2), (3, 4)])
def test_minibatches_split_environments_keep_agents_together_and_show_every_row_once(num_agents, num_minibatches):
    # One epoch. With Adam's ε huge, the step of parameter r in a minibatch is ∝ its clipped gradient; with targets that
    # tell rows apart, the loss of minibatch j is a sum over its rows. We read the minibatches by a trick: run the
    # epoch with a student whose value of row r is parameter r, so that a row seen k times has taken k steps.
    num_envs = 12 // num_agents
    rows = num_envs * num_agents
    student = RowLog(rows)
    settings = config(num_minibatches=num_minibatches, clip_value=False, adam_epsilon=1e3, entropy_coefficient=0.0)
    row = np.broadcast_to(np.arange(rows, dtype=np.float32), (T, rows))
    batch = Batch(
        observations=row[..., None],
        resets=np.zeros((T, rows), bool),
        actions=np.zeros((T, rows), np.int32),
        log_probs=np.full((T, rows), np.log(0.5), np.float32),
        values=np.zeros((T, rows, 1), np.float32),
        advantages=np.zeros((T, rows), np.float32),
        targets=np.ones((T, rows), np.float32),
        carry=np.arange(rows, dtype=np.float32),
    )
    if num_envs % num_minibatches:
        pytest.skip("environments do not divide")
    after, _ = update(student, fresh(student, settings), batch, settings, rate=1.0, num_agents=num_agents, key=4)
    seen = np.asarray(after.parameters["seen"])
    assert np.isfinite(seen).all()
    # Gradient of ½ mean (p − 1)² ·½ is the same at each row when it is first seen; Adam's momentum then keeps moving a
    # row that was seen in minibatch j for the j' > j that follow: the first minibatch's rows end with the largest value.
    # Rows of one minibatch end equal, rows of different ones differ: the classes are the minibatches.
    classes = np.unique(np.round(seen / seen.max(), 4))
    assert len(classes) == num_minibatches
    for value in classes:
        members = np.flatnonzero(np.isclose(seen / seen.max(), value, atol=1e-4))
        assert len(members) == rows // num_minibatches
        environments = np.unique(members // num_agents)
        assert len(environments) * num_agents == len(members)  # whole environments
    assert (seen > 0).all()


def test_trap_09_rate_changes_the_size_of_the_step_and_nothing_else():
    student, settings, batch = LinearStudent(), config(), make_batch()
    state = fresh(student, settings)
    one, _ = update(student, state, batch, settings, rate=1e-3)
    two, _ = update(student, state, batch, settings, rate=2e-3)
    zero, metrics = update(student, state, batch, settings, rate=0.0)
    jax.tree.map(np.testing.assert_array_equal, one.optimizer, two.optimizer)
    jax.tree.map(np.testing.assert_array_equal, state.parameters, zero.parameters)
    assert float(metrics["learning_rate"]) == 0.0
    for name, start in state.parameters.items():
        step = np.asarray(one.parameters[name] - start)
        np.testing.assert_allclose(np.asarray(two.parameters[name] - start), 2 * step, rtol=1e-2, atol=1e-6)
        np.testing.assert_allclose(np.abs(step), 1e-3, rtol=2e-2)  # Adam's first step has the size of the rate


@pytest.mark.parametrize(
    ("anneal", "progress", "expected"),
    [("constant", 0, 0.25), ("constant", 1, 0.25), ("linear", 0, 0.25), ("linear", 0.25, 0.1875), ("linear", 1, 0.0)],
)
def test_trap_09_learning_rate_falls_with_the_progress_of_the_run_and_linear_ends_at_zero(anneal, progress, expected):
    settings = PPOConfig(learning_rate=0.25, anneal=anneal).traced()
    rate = jax.jit(ppo.learning_rate)(settings, jnp.float32(progress))
    assert rate.dtype == jnp.float32
    assert float(rate) == expected


@functools.cache
def rolled_out(memory, num_steps=12, shift=0):
    """A rollout on the corridor with episodes that end inside it, as a batch; `shift` delays the resets on purpose."""
    env = with_agent_axis(Corridor(length=3, max_steps=4))
    network = NetworkConfig(memory=memory, memory_size=8, head_size=8, embedding_size=3)
    student = ActorCritic.of(env, network)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(student.init, jax.random.key(0))
    parameters = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), shapes)

    @jax.jit
    def play(parameters):
        levels = jax.vmap(env.level_space.sample)(jax.random.split(jax.random.key(1), 6))
        start = rollouts.start(jax.random.key(2), student, env, levels)
        _, rollout = rollouts.collect(jax.random.key(3), student, parameters, env, levels, start, num_steps)
        return start, rollout

    start, rollout = play(parameters)
    assert np.asarray(rollout.ended)[2:-2].sum() > 6
    rows = lambda leaf: leaf.reshape(leaf.shape[0], -1, *leaf.shape[3:])  # noqa: E731
    batch = Batch(
        observations=jax.tree.map(rows, rollout.observations),
        resets=jnp.roll(rollout.resets, shift, axis=0),
        actions=rows(rollout.actions),
        log_probs=rows(rollout.log_probs),
        values=rows(rollout.values),
        advantages=rng.normal(size=(num_steps, 6)).astype(np.float32),
        targets=rng.normal(size=(num_steps, 6)).astype(np.float32),
        carry=start.carry,
    )
    settings = config(num_epochs=2)
    optimizer = jax.eval_shape(lambda: ppo.init_student(jax.random.key(0), student, settings).optimizer)
    state = StudentState(parameters, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), optimizer))
    return student, state, batch, settings


@pytest.mark.parametrize("memory", ["lstm", "gru"])
def test_trap_05_first_ratio_error_is_zero_when_aligned_and_large_when_resets_are_shifted_by_one(memory):
    student, state, batch, settings = rolled_out(memory)
    _, metrics = update(student, state, batch, settings)
    assert float(metrics["first_ratio_error"]) < 2e-6
    student, state, batch, settings = rolled_out(memory, shift=1)
    _, metrics = update(student, state, batch, settings)
    assert float(metrics["first_ratio_error"]) > 1e-2


def test_first_ratio_error_is_of_the_first_minibatch_not_of_later_ones():
    student, state, batch, settings = rolled_out("lstm")
    _, metrics = update(student, state, batch, dataclasses.replace(settings, num_epochs=4), rate=0.1)
    assert float(metrics["first_ratio_error"]) < 2e-6
    assert float(metrics["approximate_kl"]) > 1e-4  # later epochs did move away


def test_metrics_are_the_means_over_epochs_and_minibatches():
    student, batch = LinearStudent(), make_batch()
    settings = config(num_epochs=3)
    state, losses = fresh(student, settings), []
    _, together = update(student, state, batch, settings)
    for _ in range(3):
        state, metrics = update(student, state, batch, config())
        losses.append(float(metrics["value_loss"]))
    np.testing.assert_allclose(together["value_loss"], np.mean(losses), rtol=1e-5)


def test_an_update_lowers_the_loss_it_descends():
    student, settings, batch = LinearStudent(), config(num_epochs=40), make_batch()
    state = fresh(student, settings)
    after, _ = update(student, state, batch, settings, rate=3e-2)
    assert total_loss(after.parameters, batch, settings) < total_loss(state.parameters, batch, settings) - 0.05


def test_optimizer_state_is_arrays_without_a_hidden_schedule():
    state = fresh(LinearStudent(), config())
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    counts = [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.dtype == jnp.int32]
    assert len(counts) == 1  # Adam's own; a schedule in the optimiser would bring another
    assert isinstance(state.optimizer[1], optax.ScaleByAdamState)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discount", 1.5),
        ("gae_lambda", -0.1),
        ("learning_rate", 0.0),
        ("clip", 0.0),
        ("max_grad_norm", -1.0),
        ("adam_epsilon", 0.0),
        ("entropy_coefficient", -1e-3),
        ("value_coefficient", float("nan")),
        ("num_epochs", 0),
        ("num_minibatches", 0),
        ("anneal", "cosine"),
    ],
)
def test_options_out_of_range_are_told_in_one_line(name, value):
    with pytest.raises(UserError) as error:
        PPOConfig(**{name: value})
    message = str(error.value)
    assert name in message
    assert repr(value) in message
    assert "allowed" in message
    assert "\n" not in message
