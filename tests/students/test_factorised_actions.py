"""Several choices at once as one action: the policy over it is exactly the product of those over the factors.

Letters: ``T`` steps, ``M`` rows, ``A`` joint actions.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_cases import M, T, apply, close, general, observations, same

from minied.errors import UserError
from minied.spaces import Box, Dict, Discrete, Mask, MultiDiscrete
from minied.students import distributions
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig

ACTIONS = MultiDiscrete((3, 2, 4))
A, SPLITS = ACTIONS.n, (3, 5)
SPACE = Box(-1, 1, (3,))
NO_RESETS = jnp.zeros((T, M), bool)


def logits(seed=0, *leading):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(*leading, sum(ACTIONS.numbers))), jnp.float32)


def joint(of_factors):
    return distributions.joint(of_factors, ACTIONS.numbers)


def factors(of_factors):
    return jnp.split(of_factors, SPLITS, axis=-1)


def student(actions=ACTIONS, space=SPACE, **options):
    return ActorCritic(space, actions, NetworkConfig(**{"memory": "none", "memory_size": 5, "head_size": 4} | options))


def test_two_coins_by_hand():
    # P(0) of the first is 3/4, of the second 2/3: joint (first slowest) 6/12, 3/12, 2/12, 1/12
    of_factors = jnp.log(jnp.asarray([3 / 4, 1 / 4, 2 / 3, 1 / 3]))
    both = distributions.joint(of_factors, (2, 2))
    np.testing.assert_allclose(jax.nn.softmax(both), [6 / 12, 3 / 12, 2 / 12, 1 / 12], rtol=1e-6)
    np.testing.assert_array_equal(distributions.joint(jnp.asarray([1.0, 2.0, 30.0, 40.0]), (2, 2)), [31, 41, 32, 42])


def test_log_probability_is_the_sum_of_those_of_the_choices():
    of_factors = logits(0, T, M)
    every = jnp.broadcast_to(jnp.arange(A, dtype=jnp.int32), (T, M, A))
    found = distributions.log_probability(jnp.broadcast_to(joint(of_factors)[:, :, None], (T, M, A, A)), every)
    expected = np.zeros((T, M, A))
    for part, choice in zip(factors(of_factors), ACTIONS.split(np.arange(A)), strict=True):
        expected += np.asarray(jax.nn.log_softmax(part))[..., np.asarray(choice)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_entropy_and_divergence_are_sums_over_the_factors():
    one, other = logits(1, T), logits(2, T)
    entropies = sum(distributions.entropy(part) for part in factors(one))
    np.testing.assert_allclose(distributions.entropy(joint(one)), entropies, rtol=1e-5)
    divergences = sum(
        distributions.divergence(jax.nn.log_softmax(a), b) for a, b in zip(factors(one), factors(other), strict=True)
    )
    found = distributions.divergence(jax.nn.log_softmax(joint(one)), joint(other))
    np.testing.assert_allclose(found, divergences, rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_the_factors():
    action = 13
    choices = ACTIONS.split(np.asarray(action))

    def whole(of_factors):
        policy = joint(of_factors)
        return distributions.log_probability(policy, jnp.int32(action)) + 0.3 * distributions.entropy(policy)

    def apart(of_factors):
        log_p = [jax.nn.log_softmax(part) for part in factors(of_factors)]
        entropy = -sum(jnp.sum(jnp.exp(each) * each) for each in log_p)
        return sum(each[choice] for each, choice in zip(log_p, choices, strict=True)) + 0.3 * entropy

    np.testing.assert_allclose(jax.grad(whole)(logits(3)), jax.grad(apart)(logits(3)), rtol=1e-4, atol=1e-6)


def test_what_is_drawn_has_the_frequencies_of_independent_choices():
    # Evenly spaced uniforms: the share of an action is its probability to within one of them.
    number, of_factors = 6000, logits(4)
    uniforms = (jnp.arange(number) + 0.5) / number
    drawn = distributions.sample(uniforms, jnp.broadcast_to(joint(of_factors), (number, A)))
    choices = np.stack(ACTIONS.split(np.asarray(drawn)))
    for which, part in enumerate(factors(of_factors)):
        share = np.bincount(choices[which], minlength=ACTIONS.numbers[which]) / number
        np.testing.assert_allclose(share, jax.nn.softmax(part), atol=A / number)
    first, last = (jax.nn.softmax(factors(of_factors)[which]) for which in (0, 2))
    together = np.zeros((3, 4))
    np.add.at(together, (choices[0], choices[2]), 1 / number)
    np.testing.assert_allclose(together, np.outer(first, last), atol=2 * A / number)


def test_network_has_an_output_for_every_choice_and_a_logit_for_every_action():
    who = student(num_policy_heads=2, num_value_heads=3)
    parameters = general(who)
    assert parameters["policy"]["kernel"].shape == parameters["policy_1"]["kernel"].shape == (4, 9)
    carry, seen = who.initial_carry(M), observations(SPACE)
    _, acting, values = apply(who, parameters, carry, seen, NO_RESETS)
    everyone = who.policies(parameters, carry, seen, NO_RESETS)
    assert (acting.shape, values.shape, everyone.shape) == ((T, M, A), (T, M, 3), (T, M, 2, A))
    # Nine outputs of the same numbers as a plain head of nine actions gives; the product of them is the policy.
    plain = student(Discrete(9), num_policy_heads=2, num_value_heads=3)
    _, outputs, plain_values = apply(plain, parameters, carry, seen, NO_RESETS)
    close(acting, joint(outputs))
    close(values, plain_values)


def test_one_factor_is_a_plain_choice():
    one, plain = student(MultiDiscrete((5,))), student(Discrete(5))
    same(jax.jit(one.init)(jax.random.key(0)), jax.jit(plain.init)(jax.random.key(0)))
    same(*(apply(who, general(plain), (), observations(SPACE), NO_RESETS) for who in (one, plain)))


def test_masks_are_of_joint_actions():
    space = Dict((("self", SPACE), ("mask", Mask(A))))
    masked, free = student(space=space), student(space=Dict((("self", SPACE),)))
    allowed = jnp.asarray(np.random.default_rng(5).random((T, M, A)) < 0.5).at[..., 3].set(True)
    seen = {"self": observations(SPACE)}
    _, found, _ = apply(masked, general(masked), (), seen | {"mask": allowed}, NO_RESETS)
    _, without, _ = apply(free, general(masked), (), seen, NO_RESETS)
    same(found, distributions.masked(without, allowed))
    np.testing.assert_array_equal(np.asarray(jax.nn.softmax(found))[~np.asarray(allowed)], 0.0)


class World:
    """As much of a world as a student asks for."""

    observation_space, action_space, num_agents = Dict((("self", SPACE), ("mask", Mask(9)))), ACTIONS, 1


def test_a_mask_of_the_factors_is_refused():
    with pytest.raises(UserError, match="the mask 'mask' is of 9 actions; allowed: all of them, 24"):
        ActorCritic.of(World(), NetworkConfig())  # type: ignore[arg-type]
