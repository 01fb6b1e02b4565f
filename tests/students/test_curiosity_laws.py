"""What is known of curiosity: how fast it decays, what noise leaves of it, and what its features see.

Specification E.4: (i) the geometric decay of linear distillation, (ii) a noisy television, (iii) pixels that nobody
controls. Letters: ``K`` pictures, ``F`` features.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bonus_experience import experience_of
from toy_worlds import Corridor

from minied.env import with_agent_axis
from minied.spaces import Box, Discrete
from minied.spread import ALONE
from minied.students.bonuses.base import Surroundings
from minied.students.bonuses.counts import CountBonus
from minied.students.bonuses.curiosity import Shapes, Steps
from minied.students.bonuses.forward_dynamics import ForwardDynamicsBonus
from minied.students.bonuses.learning import Learner, learn, squared_errors
from minied.students.bonuses.random_network_distillation import RandomNetworkDistillation
from minied.students.networks.config import NetworkConfig

NETWORK = NetworkConfig(embedding_size=8)
ADAM = optax.scale_by_adam()
K = 8


# -- (i) --------------------------------------------------------------------------------------------------------------


def distilled(parameters, targets, states, num_epochs=1, num_minibatches=1, rate=0.5):
    """The table of predictions after it has learnt the targets of ``states`` ``i32[T]`` by plain gradient descent."""
    sgd = optax.identity()

    def loss(table, samples, mean_of_chosen, mean):
        return mean_of_chosen(squared_errors(table[samples], targets[samples])), {}

    learner, _ = learn(
        jax.random.key(0), Learner.of(parameters, sgd), loss, states[:, None, None], jnp.ones((len(states), 1, 1), bool),
        rate=rate, num_epochs=num_epochs, num_minibatches=num_minibatches, proportion=1.0, num_levels=1, spread=ALONE,
        optimizer=sgd,
    )  # fmt: skip
    return learner.parameters


def test_linear_distillation_decays_geometrically_in_the_visits_of_a_state():
    num_features, rate = 4, 0.5
    table, targets = (jax.random.normal(jax.random.key(seed), (3, num_features)) for seed in (1, 2))
    first = squared_errors(table, targets)
    # One step on a state s, alone: W_s <- W_s - rate · (2 / F) (W_s - f_s). So each visit leaves 1 - 2 rate / F of its
    # distance, and r(s) after n visits is r_0(s) (1 - 2 rate / F)^(2 n).
    visits, left = [0, 2, 5], 1 - 2 * rate / num_features
    for state in (2, 1, 2, 2, 1, 2, 2):
        table = distilled(table, targets, jnp.asarray([state]), rate=rate)
    expected = [float(r) * left ** (2 * n) for r, n in zip(first, visits, strict=True)]
    np.testing.assert_allclose(squared_errors(table, targets), expected, rtol=1e-5)


@pytest.mark.parametrize(("num_epochs", "num_minibatches"), [(1, 1), (3, 1), (2, 4)])
def test_every_epoch_and_minibatch_is_one_step(num_epochs, num_minibatches):
    table, targets = jnp.zeros((2, 2)), jnp.ones((2, 2))
    states = jnp.zeros(8, jnp.int32)  # state 0 at every step: a minibatch of it is one visit
    table = distilled(table, targets, states, num_epochs, num_minibatches, rate=0.25)
    # 1 - 2 · 0.25 / 2 = 0.75
    np.testing.assert_allclose(
        squared_errors(table, targets), [0.75 ** (2 * num_epochs * num_minibatches), 1], rtol=1e-5
    )


def test_in_two_states_at_once_each_has_half_a_step():
    table = distilled(jnp.zeros((2, 2)), jnp.ones((2, 2)), jnp.asarray([0, 1]), rate=0.5)
    np.testing.assert_allclose(squared_errors(table, jnp.ones((2, 2))), [0.75**2] * 2, rtol=1e-5)


# -- (ii) -------------------------------------------------------------------------------------------------------------

WATCHING = Shapes(Discrete(K), Discrete(2), NETWORK)


def pictures(key, number):
    """Steps in front of a television: a picture before, an action without any effect, and another picture."""
    before, action, after = jax.random.split(key, 3)
    return Steps(
        jax.random.randint(before, (number, 1, 1), 0, K),
        jax.random.randint(action, (number, 1, 1), 0, 2),
        jax.random.randint(after, (number, 1, 1), 0, K),
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def trained(bonus, shapes, sample, num_updates, seed=0):
    """What never learns and what did, on new steps in every update; and what it was before."""
    key = jax.random.key(seed)
    fixed, first = bonus.init_prediction(key, shapes)

    def loss(learnt, steps, mean_of_chosen, mean):
        return mean_of_chosen(bonus.losses(fixed, learnt, steps, shapes)[0]), {}

    def update(learner, key):
        step_key, learn_key = jax.random.split(key)
        steps = sample(step_key, 64)
        learner, _ = learn(
            learn_key, learner, loss, steps, jnp.ones((64, 1, 1), bool), rate=bonus.learning_rate,
            num_epochs=1, num_minibatches=1, proportion=1.0, num_levels=1, spread=ALONE, optimizer=ADAM,
        )  # fmt: skip
        return learner, None

    learner, _ = jax.lax.scan(update, Learner.of(first, ADAM), jax.random.split(jax.random.key(seed + 1), num_updates))
    return fixed, first, learner.parameters


SMALL = {"feature_size": 8, "hidden_size": 16, "learning_rate": 3e-3}


def test_a_noisy_television_is_known_by_distillation_once_all_pictures_were_seen():
    bonus = RandomNetworkDistillation(**SMALL)
    fixed, first, last = trained(bonus, WATCHING, pictures, 1500)
    steps = pictures(jax.random.key(9), 256)
    before, after = (float(bonus.errors(fixed, learnt, steps, WATCHING).mean()) for learnt in (first, last))
    assert after < 0.01 * before


@pytest.mark.parametrize("features", ["random", "inverse_dynamics"])
def test_a_noisy_television_is_never_foreseen(features):
    bonus = ForwardDynamicsBonus(features=features, num_blocks=1, **SMALL)
    fixed, _, last = trained(bonus, WATCHING, pictures, 800)
    steps = pictures(jax.random.key(9), 2048)
    error = float(bonus.errors(fixed, last, steps, WATCHING).mean())
    # Nobody can do better than the mean of what may come: the floor is the variance of the features of the K pictures.
    every = Steps(*(jnp.arange(K, dtype=jnp.int32),) * 3)
    _, targets = bonus.features_of(fixed, last, every, WATCHING)
    floor = float(jnp.mean(jnp.var(targets, axis=0)))
    assert floor > 0.01
    assert 0.93 * floor < error < 1.15 * floor


def test_counts_fall_as_one_over_the_root_of_the_visits():
    bonus, here = CountBonus(coefficient=1.0, feature="observation"), Surroundings(with_agent_axis(Corridor()))
    counts, key = bonus.init(jax.random.key(0), here), jax.random.key(0)
    shown = jnp.arange(K, dtype=jnp.int32)[:, None, None]  # every picture once in a rollout
    for visits in range(1, 6):
        experience = experience_of(K, 1, next_observations=shown)
        paid = bonus.pay(key, counts, experience, None, here)
        counts = paid.state
        np.testing.assert_allclose(paid.rewards, np.full((K, 1, 1), visits**-0.5), rtol=1e-6)


# -- (iii) ------------------------------------------------------------------------------------------------------------

PLACES, NOISE = 5, 4
MOVING = Shapes(Box(-5.0, 5.0, (PLACES + NOISE,)), Discrete(3), NETWORK)


def moves(key, number):
    """Steps on a ring of places, left, right or none; beside the place there are numbers that nobody controls."""
    place_key, action_key, noise_key = jax.random.split(key, 3)
    place = jax.random.randint(place_key, (number, 1, 1), 0, PLACES)
    action = jax.random.randint(action_key, (number, 1, 1), 0, 3)
    noise = jax.random.normal(noise_key, (2, number, 1, 1, NOISE))

    def seen(place, noise):
        return jnp.concatenate([jax.nn.one_hot(place % PLACES, PLACES), noise], axis=-1)

    return Steps(seen(place, noise[0]), action, seen(place + action - 1, noise[1]))


def test_features_of_inverse_dynamics_are_blind_to_what_nobody_controls():
    bonus = ForwardDynamicsBonus(
        features="inverse_dynamics", num_blocks=1, feature_size=8, hidden_size=32, learning_rate=3e-3
    )
    _, first, last = trained(bonus, MOVING, moves, 1500)
    steps = moves(jax.random.key(9), 512)

    def sensitivity(learnt):
        """How much the cross-entropy changes with the places and with the noise, before and after a step."""

        def total(before, after):
            return bonus.cross_entropies(learnt, Steps(before, steps.actions, after), MOVING).sum()

        gradients = jnp.stack(jax.grad(total, argnums=(0, 1))(steps.observations, steps.next_observations))
        return [float(jnp.abs(part).mean()) for part in (gradients[..., :PLACES], gradients[..., PLACES:])]

    _, at_first = sensitivity(first)
    _, in_the_end = sensitivity(last)
    assert float(bonus.cross_entropies(last, steps, MOVING).mean()) < 0.02 < np.log(3)
    assert in_the_end < 0.03 * at_first


def test_no_derivative_of_the_dynamics_enters_the_features():
    bonus = ForwardDynamicsBonus(features="inverse_dynamics", num_blocks=1, feature_size=8, hidden_size=16)
    _, learnt = bonus.init_prediction(jax.random.key(0), MOVING)
    steps = moves(jax.random.key(1), 16)
    of_errors = jax.jit(jax.grad(lambda each: bonus.errors({}, each, steps, MOVING).mean()))(learnt)
    of_losses = jax.jit(jax.grad(lambda each: bonus.losses({}, each, steps, MOVING)[0].mean()))(learnt)
    of_actions = jax.jit(jax.grad(lambda each: bonus.cross_entropies(each, steps, MOVING).mean()))(learnt)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(of_errors["features"])) == 0
    for name in ("features", "inverse"):
        for leaf, expected in zip(*(jax.tree.leaves(each[name]) for each in (of_losses, of_actions)), strict=True):
            np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-7)
    assert float(optax.tree.norm(of_actions["features"])) > 1e-3
    for leaf, expected in zip(*(jax.tree.leaves(each["forward"]) for each in (of_losses, of_errors)), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-7)
