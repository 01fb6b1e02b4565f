"""An ensemble of policies: which one plays a row, who learns from it, and what scores are told of all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.spaces import Box, Discrete
from minied.students import ppo
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.parameter_changes import parameter_changes
from minied.students.ppo import Batch, PPOConfig

SPACE = Box(-1.0, 1.0, (3,))
T, M, A, P = 4, 6, 3, 3


@functools.cache
def student(num_heads=P, memory="none"):
    config = NetworkConfig(memory=memory, memory_size=5, head_size=4, num_policy_heads=num_heads, conv_filters=1)
    return ActorCritic(SPACE, Discrete(A), config)


@functools.cache
def general(student):
    """Parameters in general position: fresh policies are all alike."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(student.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), shapes)


def observations(seed=0):
    return jax.random.normal(jax.random.key(seed), (T, M, 3))


NO_RESETS = jnp.zeros((T, M), bool)


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_row_i_is_played_by_policy_i_modulo_p(memory):
    who = student(memory=memory)
    carry = who.initial_carry(M)
    _, acting, _ = who.apply(general(who), carry, observations(), NO_RESETS)
    everyone = who.policies(general(who), carry, observations(), NO_RESETS)
    assert everyone.shape == (T, M, P, A)
    for row in range(M):
        np.testing.assert_allclose(acting[:, row], everyone[:, row, row % P], rtol=1e-6)
    assert np.std(np.asarray(everyone), axis=2).min() > 1e-3  # they differ, so the lines above say something


def test_the_head_travels_with_its_row():
    """A minibatch permutes rows and their carries alike: then the outputs are permuted, and nobody changes head."""
    who, order = student(memory="gru"), np.asarray([4, 0, 5, 1, 3, 2])
    carry = who.initial_carry(M)
    _, straight, _ = who.apply(general(who), carry, observations(), NO_RESETS)
    moved = jax.tree.map(lambda leaf: leaf[order], carry)
    _, permuted, _ = who.apply(general(who), moved, observations()[:, order], NO_RESETS)
    np.testing.assert_allclose(permuted, straight[:, order], rtol=1e-5)


def test_one_policy_has_the_parameters_and_the_carry_of_a_student_without_an_ensemble():
    alone = student(1)
    assert sorted(alone.init(jax.random.key(0))) == [
        "memory", "policy", "policy_hidden", "value_0", "value_0_hidden",
    ]  # fmt: skip
    assert alone.initial_carry(M) == ()
    _, acting, _ = alone.apply(general(alone), (), observations(), NO_RESETS)
    everyone = alone.policies(general(alone), (), observations(), NO_RESETS)
    np.testing.assert_array_equal(acting, everyone[:, :, 0])


def batch(rows=M):
    rng = np.random.default_rng(1)
    f32 = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return Batch(
        observations=f32(T, rows, 3),
        resets=jnp.zeros((T, rows), bool),
        actions=jnp.asarray(rng.integers(A, size=(T, rows)), jnp.int32),
        log_probs=jnp.full((T, rows), -float(np.log(A)), jnp.float32),
        values=f32(T, rows, 1),
        advantages=f32(T, rows),
        targets=f32(T, rows),
        carry=student().initial_carry(rows),
    )


def test_a_policy_learns_from_its_own_rows_only():
    who, settings = student(), PPOConfig(num_epochs=1, entropy_coefficient=0.0).traced()
    state = ppo.StudentState(general(who), ppo.init_student(jax.random.key(0), who, settings).optimizer)
    full = batch()
    # Advantages everywhere but on the rows of head 1 (they are normalised: 0 everywhere but two values there)
    flat = jnp.zeros((T, M)).at[0, 1].set(1.0).at[1, 4].set(-1.0)
    after, _ = jax.jit(ppo.update, static_argnums=(1, 6))(
        jax.random.key(0), who, state, full.replace(advantages=flat), settings, jnp.float32(1e-2), 1
    )
    moved = {
        name: float(jnp.abs(after.parameters[name]["kernel"] - state.parameters[name]["kernel"]).max())
        for name in ("policy", "policy_1", "policy_2")
    }
    assert moved["policy"] == moved["policy_2"] == 0.0
    assert moved["policy_1"] > 1e-4


@pytest.mark.parametrize("num_agents", [1, 2])
def test_parameter_changes_are_squared_gradients_level_by_level(num_agents):
    who, full, num_levels = student(), batch(), M // num_agents

    def objective(parameters, rows):
        carry = jax.tree.map(lambda leaf: leaf[rows], full.carry)
        _, logits, _ = who.apply(parameters, carry, full.observations[:, rows], full.resets[:, rows])
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), full.actions[:, rows][..., None], axis=-1)[..., 0]
        return jnp.mean(full.advantages[:, rows] * chosen)

    expected = []
    for level in range(num_levels):
        gradient = jax.grad(objective)(general(who), np.arange(level * num_agents, (level + 1) * num_agents))
        expected.append(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient)))
    got = parameter_changes(who, general(who), full, num_levels)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    # twice the advantages, four times the change: nothing is normalised away
    doubled = parameter_changes(who, general(who), full.replace(advantages=2 * full.advantages), num_levels)
    np.testing.assert_allclose(doubled, 4 * np.asarray(expected), rtol=1e-4)


def test_the_number_of_policies_is_checked():
    with pytest.raises(UserError, match="num_policy_heads is 0; allowed: at least 1"):
        NetworkConfig(num_policy_heads=0)
