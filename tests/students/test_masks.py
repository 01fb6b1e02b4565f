"""A policy under a mask, and mixed with uniform: its probabilities are exact, and what is masked is never done."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_designers import DESIGN_STEPS, CorridorDesigner, CorridorParameters

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.levels.parameters import ParameterDesigner
from minied.spaces import Box, Dict, Mask
from minied.students import distributions
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.networks.mixed import MixedWithUniform

quick = hypothesis.settings(deadline=None, max_examples=40, derandomize=True)
WITH_MEMORY = NetworkConfig(memory="lstm", memory_size=5, head_size=4, embedding_size=2, recipe="jaxued")


def logits_of(probabilities, allowed):
    return distributions.masked(jnp.log(jnp.asarray(probabilities)), jnp.asarray(allowed))


def test_what_is_masked_has_no_probability_and_the_rest_keeps_its_proportions():
    # (½, 3/10) of (½, 3/10, 1/5) without the last: 5/8 and 3/8
    logits = logits_of([0.5, 0.3, 0.2], [True, True, False])
    np.testing.assert_allclose(jax.nn.softmax(logits), [5 / 8, 3 / 8, 0], rtol=1e-6)
    assert float(jax.nn.softmax(logits)[2]) == 0.0
    # H = −5/8 log 5/8 − 3/8 log 3/8
    entropy = -(5 / 8) * np.log(5 / 8) - (3 / 8) * np.log(3 / 8)
    np.testing.assert_allclose(distributions.entropy(logits), entropy, rtol=1e-6)


def test_mixture_is_uniform_over_what_is_allowed():
    # ⅘ (5/8, 3/8, 0) + ⅕ (½, ½, 0) = (3/5, 2/5, 0); log-probability and entropy are those of that
    mixed = distributions.mixed_with_uniform(logits_of([0.5, 0.3, 0.2], [True, True, False]), 0.2)
    np.testing.assert_allclose(jax.nn.softmax(mixed), [3 / 5, 2 / 5, 0], rtol=1e-6)
    assert float(jax.nn.softmax(mixed)[2]) == 0.0
    np.testing.assert_allclose(distributions.log_probability(mixed, jnp.int32(1)), np.log(2 / 5), rtol=1e-5)
    entropy = -(3 / 5) * np.log(3 / 5) - (2 / 5) * np.log(2 / 5)
    np.testing.assert_allclose(distributions.entropy(mixed), entropy, rtol=1e-6)


cases = st.tuples(
    st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    st.sampled_from([0.0, 1e-6, 0.3, 1.0]),
)


@jax.jit
def mixture_of(logits, allowed, share):
    mixed = distributions.mixed_with_uniform(distributions.masked(logits, allowed), share)
    every = distributions.log_probability(jnp.broadcast_to(mixed, (4, 4)), jnp.arange(4, dtype=jnp.int32))
    return every, distributions.entropy(mixed)


def of_everything(logits, allowed, share):
    """A number that depends on all that a loss reads; with the derivative that a learner would take."""
    mixed = distributions.mixed_with_uniform(distributions.masked(logits, allowed), share)
    action = jnp.argmax(allowed)
    target = distributions.log_probabilities(distributions.masked(jnp.arange(4.0), allowed))
    return (
        distributions.log_probability(mixed, action)
        + distributions.entropy(mixed)
        + distributions.divergence(target, mixed)
    )


gradient_of = jax.jit(jax.grad(of_everything))


@quick
@hypothesis.given(cases)
def test_behaviour_log_probability_is_that_of_the_mixture_and_derivatives_are_finite(case):
    logits, allowed, share = np.asarray(case[0], np.float32), np.asarray(case[1]), np.float32(case[2])
    weights = np.where(allowed, np.exp(logits.astype(np.float64)), 0.0)
    expected = (1 - share) * weights / weights.sum() + share * allowed / allowed.sum()
    log_probabilities, entropy = mixture_of(logits, allowed, share)
    np.testing.assert_allclose(np.exp(log_probabilities), expected, rtol=1e-4, atol=1e-7)
    positive = expected[expected > 0]
    np.testing.assert_allclose(entropy, -np.sum(positive * np.log(positive)), rtol=1e-4, atol=1e-5)
    gradient = np.asarray(gradient_of(logits, allowed, share))
    assert np.isfinite(gradient).all()
    assert (gradient[~allowed] == 0).all()
    if share == 1:
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("allowed", list(itertools.product([False, True], repeat=3))[1:])
@pytest.mark.parametrize("share", [0.0, 0.25])
def test_draws_have_the_probabilities_and_never_what_is_masked(allowed, share):
    logits = distributions.mixed_with_uniform(logits_of([0.5, 0.3, 0.2], allowed), share)
    number = 4000
    uniforms = np.append(np.arange(number) / number, np.nextafter(np.float32(1), np.float32(0))).astype(np.float32)
    drawn = np.asarray(distributions.sample(jnp.asarray(uniforms), jnp.broadcast_to(logits, (number + 1, 3))))
    found = np.bincount(drawn, minlength=3)
    assert (found[~np.asarray(allowed)] == 0).all()
    # evenly spaced numbers fall into an interval as often as it is long, but for its ends
    np.testing.assert_allclose(found / number, np.asarray(jax.nn.softmax(logits)), atol=1e-3)


def test_no_choice_is_no_error_of_arithmetic():
    """What a run is stopped for must not have spoilt its state before."""
    logits = distributions.masked(jnp.asarray([0.3, -2.0, 1.0]), jnp.zeros(3, bool))
    for share in (0.0, 0.3):
        mixed = distributions.mixed_with_uniform(logits, share)
        np.testing.assert_allclose(jax.nn.softmax(mixed), [1 / 3] * 3, rtol=1e-6)


# -- whole designs -----------------------------------------------------------------------------------------------------


def probabilities_of_all_designs(designer, share, key=3):
    """Every sequence of actions, the probability that the network gives it, and the parameters that it chose, if any."""
    env = with_agent_axis(designer)
    policy = MixedWithUniform(ActorCritic.of(env, WITH_MEMORY), share)
    parameters = jax.tree.map(lambda leaf: 3.0 * leaf, jax.jit(policy.init)(jax.random.key(0)))
    every = jnp.asarray(list(itertools.product(range(designer.action_space.n), repeat=designer.max_steps)), jnp.int32)

    @jax.jit
    @jax.vmap
    def play(actions):
        reset_key, step_key = jax.random.split(jax.random.key(key))
        observation, state = env.reset(reset_key, designer.empty())
        carry, reset, total = policy.initial_carry(1), jnp.ones((1, 1), bool), jnp.zeros(())
        for step in range(designer.max_steps):
            sequence = jax.tree.map(lambda leaf: leaf[None], observation)
            carry, logits, _ = policy.apply(parameters, carry, sequence, reset)
            total += distributions.log_probability(logits[0, 0], actions[step])
            reset = jnp.zeros((1, 1), bool)
            step_key, key_now = jax.random.split(step_key)
            observation, state, *_ = env.step(key_now, state, actions[step][None], designer.empty())
        return jnp.exp(total), getattr(state, "values", state.time)

    return np.asarray(every), *jax.tree.map(np.asarray, play(every))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_probabilities_of_all_corridor_designs_sum_to_one_and_only_valid_ones_have_any(share):
    actions, chances, _ = probabilities_of_all_designs(CorridorDesigner(length=3), share)
    starts = 1 + np.cumsum(np.asarray([0, 1, -1])[actions], axis=1)
    valid = ((starts >= 1) & (starts <= 3)).all(axis=1)
    assert len(actions) == 3**DESIGN_STEPS
    # From one of three cells: 2, 3 or 2 moves: 1 0 0 → 1 1 0 → 2 2 1 → 4 5 3 → 9 12 8: 29 of 81 designs are valid
    assert valid.sum() == 29
    assert (chances[~valid] == 0).all()
    assert (chances[valid] > 0).all()
    np.testing.assert_allclose(chances.sum(), 1, rtol=1e-5)
    assert np.ptp(chances[valid]) > 0.01


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_probabilities_of_all_choices_of_parameters_sum_to_one(share):
    designer = ParameterDesigner(CorridorParameters(length=5), num_bins=3)
    actions, chances, values = probabilities_of_all_designs(designer, share)
    near, far = actions[:, 0] == 0, actions[:, 0] == 1
    # 2 near cells and 3 far ones, times 3 bins
    valid = (near & (actions[:, 1] < 2) | far & (actions[:, 1] >= 2)) & (actions[:, 2] < 3)
    assert valid.sum() == (2 + 3) * 3
    assert (chances[~valid] == 0).all()
    np.testing.assert_allclose(chances.sum(), 1, rtol=1e-5)
    np.testing.assert_array_equal(values[:, 0], actions[:, 0])
    np.testing.assert_array_equal(values[:, 1], actions[:, 1])
    low = -1 + 4 * actions[:, 2] / 3  # of a slope from −1 to 3 in three bins
    assert ((values[:, 2] >= low - 1e-5) & (values[:, 2] <= low + 4 / 3 + 1e-5))[valid].all()


def test_the_mask_is_no_input_of_the_network():
    """Two masks that differ only where an action is forbidden: the others' proportions are the same."""
    designer = CorridorDesigner(length=3)
    policy = ActorCritic.of(designer, WITH_MEMORY)
    parameters = jax.jit(policy.init)(jax.random.key(0))
    observation = jax.tree.map(
        lambda leaf: jnp.asarray(leaf)[None, None], designer.observation_space.sample(jax.random.key(1))
    )

    def values_and_logits(mask):
        given = observation | {"mask": jnp.asarray(mask)[None, None]}
        _, logits, values = policy.apply(parameters, policy.initial_carry(1), given, jnp.ones((1, 1), bool))
        return np.asarray(values), np.asarray(logits[0, 0])

    (values, every), (masked_values, some) = values_and_logits([True] * 3), values_and_logits([True, False, True])
    np.testing.assert_array_equal(values, masked_values)
    np.testing.assert_array_equal(every[[0, 2]], some[[0, 2]])
    assert some[1] == distributions.MASKED


def test_a_mask_of_another_number_of_actions_is_told():
    class Wrong(CorridorDesigner):
        @property
        def observation_space(self):
            return Dict((("place", Box(0.0, 1.0, (1,))), ("allowed", Mask(2))))

    with pytest.raises(UserError, match=r"^the mask 'allowed' is of 2 actions; allowed: all of them, 3$"):
        ActorCritic.of(Wrong(length=3), WITH_MEMORY)


def test_a_mask_is_a_space_of_its_own():
    space = Mask(3)
    assert space.shape == (3,)
    assert np.asarray(space.sample(jax.random.key(0))).tolist() == [True] * 3
    assert space.contains(np.asarray([False, True, False]))
    assert not space.contains(np.zeros(3, bool))
    assert not space.contains(np.ones(3, np.int32))
    assert not space.contains(np.ones(2, bool))
