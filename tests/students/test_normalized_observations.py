"""Observations by their running mean and deviation, of every kind of space, as an encoder reads them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, Ring
from minied.spread import ALONE
from minied.students.bonuses.networks import Features
from minied.students.bonuses.normalization import first_statistics, normalized, normalized_space, updated
from minied.students.networks.config import NetworkConfig

FEATURES = ((0.0, 1.0), (1.0, 0.0), (0.5, 2.0))
EVERYTHING = Dict(
    (
        ("own", Box(-3.0, 3.0, (2,))),
        ("scalar", Box(0.0, 1.0, ())),
        ("image", Box(0.0, 1.0, (4, 3, 2))),
        ("view", Coded((3, 4), FEATURES)),
        ("codes", Coded((3,), FEATURES)),
        ("code", Coded((), FEATURES)),
        ("choice", Discrete(4)),
        ("lidar", Ring(5, 2)),
        ("others", Entities(3, 2)),
        ("allowed", Mask(2)),
        ("secret", Box(-1.0, 1.0, (3,))),
    ),
    privileged=("secret",),
)
T, B, N = 6, 3, 2
PRESENT = jnp.ones((T, B, N), bool)


def drawn(space, seed=0):
    flat = jax.vmap(space.sample)(jax.random.split(jax.random.key(seed), T * B * N))
    return jax.tree.map(lambda leaf: leaf.reshape(T, B, N, *leaf.shape[1:]), flat)


def seen(space, observations, present=PRESENT):
    return updated(first_statistics(space), space, observations, present, ALONE)


def test_by_hand_over_two_rollouts():
    space = Box(-9.0, 9.0, ())
    there = jnp.ones((2, 1, 1), bool)
    statistics = seen(space, jnp.asarray([1.0, 3.0]).reshape(2, 1, 1), there)
    statistics = updated(statistics, space, jnp.asarray([5.0, -7.0]).reshape(2, 1, 1), there & (True, False)[0], ALONE)
    # 1, 3, 5, -7: mean 0.5, variance (0.25 + 6.25 + 20.25 + 56.25) / 4 = 20.75.
    found = normalized(statistics, space, jnp.asarray([[[0.5]], [[5.0]], [[100.0]], [[-100.0]]]))
    np.testing.assert_allclose(found[:, 0, 0], [0.0, 4.5 / 20.75**0.5, 5.0, -5.0], rtol=1e-5)


def test_every_number_has_mean_0_and_deviation_1_and_what_is_no_number_stays():
    observations = drawn(EVERYTHING)
    found = normalized(seen(EVERYTHING, observations), EVERYTHING, observations)
    for name in ("own", "scalar", "image", "lidar"):
        np.testing.assert_allclose(found[name].mean(axis=(0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(found[name].std(axis=(0, 1, 2)), 1, rtol=1e-3)
    assert found["view"].shape == (T, B, N, 3, 4, 2)
    assert found["codes"].shape == (T, B, N, 6)
    assert found["code"].shape == (T, B, N, 2)
    np.testing.assert_allclose(found["view"].mean(axis=(0, 1, 2)), 0, atol=1e-4)
    visible = np.asarray(observations["others"]["visible"])
    features = np.asarray(found["others"]["features"])[visible]  # one mean for a feature, over all that are visible
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, rtol=1e-3)
    for name in ("choice", "allowed", "secret"):
        np.testing.assert_array_equal(found[name], observations[name])
    for kind in ("visible", "present"):
        np.testing.assert_array_equal(found["others"][kind], observations["others"][kind])


def test_they_are_of_the_normalized_space_and_an_encoder_reads_them():
    space = normalized_space(EVERYTHING)
    observations = drawn(EVERYTHING)
    found = normalized(seen(EVERYTHING, observations), EVERYTHING, observations)
    one = jax.tree.map(lambda leaf: np.asarray(leaf[0, 0, 0]), found)
    assert space.contains(one)
    network = Features(space, NetworkConfig(conv_filters=2, entity_size=4), 3, 8)
    parameters = jax.jit(network.init)(jax.random.key(0), space.sample(jax.random.key(0)))
    assert jax.jit(network.apply)(parameters, found).shape == (T, B, N, 3)
    # What no policy reads changes nothing.
    other = found | {"secret": jnp.full_like(found["secret"], jnp.nan)}
    np.testing.assert_array_equal(jax.jit(network.apply)(parameters, other), jax.jit(network.apply)(parameters, found))


def test_a_number_that_never_changed_is_0_and_one_that_changes_for_the_first_time_is_as_large_as_can_be():
    space = Box(0.0, 1.0, (1,))
    statistics = seen(space, jnp.full((T, B, N, 1), 0.1))
    np.testing.assert_allclose(normalized(statistics, space, jnp.asarray([[0.1], [0.9]])), [[0], [5]], atol=1e-3)


def test_what_agents_that_are_not_there_see_does_not_count():
    space = Box(0.0, 1.0, (1,))
    present = PRESENT.at[:, :, 1].set(False)
    observations = drawn(space).at[:, :, 1].set(jnp.nan)
    statistics = seen(space, observations, present)
    np.testing.assert_allclose(statistics["observation"].mean[0], np.asarray(observations)[:, :, 0].mean(), rtol=1e-5)
    assert float(statistics["observation"].number) == T * B


@pytest.mark.parametrize("space", [Discrete(3), Coded((2, 2), FEATURES), Ring(4)])
def test_observations_without_parts(space):
    observations = drawn(space)
    found = normalized(seen(space, observations), space, observations)
    assert normalized_space(space).contains(np.asarray(found[0, 0, 0]))
