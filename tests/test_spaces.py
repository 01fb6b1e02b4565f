"""Spaces: samples lie inside, `contains` is not fooled, and codes stand for their rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, MultiDiscrete, Ring

FEATURES = ((0.0, 0.1), (0.5, 0.2), (1.0, 0.3))
SPACES = [
    Discrete(5),
    Box(-2.0, 3.0, (4, 2)),
    Coded((3, 2), FEATURES),
    MultiDiscrete((3, 2, 4)),
    Entities(4, 2),
    Ring(5, 2),
    Dict((("where", Discrete(3)), ("what", Coded((2,), FEATURES)), ("inner", Dict((("x", Box(0, 1, ())),))))),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_samples_lie_in_their_space(space):
    batch = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 50))
    samples = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), batch) for i in range(50)]
    assert all(space.contains(sample) for sample in samples)
    assert len({str(sample) for sample in samples}) > 2


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_spaces_are_hashable_and_equal_by_value(space):
    assert hash(space) == hash(eval(repr(space)))
    assert space == eval(repr(space))


@pytest.mark.parametrize("value", [-1, 5, 1.0, np.float32(1), np.asarray([1]), True])
def test_discrete_contains_only_one_integer_of_the_range(value):
    assert not Discrete(5).contains(value)


def test_discrete_contains_its_ends_and_draws_them_all():
    assert Discrete(5).contains(0)
    assert Discrete(5).contains(np.uint8(4))
    drawn = jax.vmap(Discrete(5).sample)(jax.random.split(jax.random.key(0), 200))
    np.testing.assert_array_equal(np.unique(drawn), np.arange(5))
    assert drawn.dtype == jnp.int32


def test_discrete_without_a_choice_is_refused():
    with pytest.raises(UserError, match=r"Discrete.n is 0; allowed: at least 1"):
        Discrete(0)


def test_box_contains_its_bounds_and_nothing_beyond():
    space = Box(-1.0, 1.0, (2,))
    assert space.contains(np.asarray([-1.0, 1.0]))
    assert not space.contains(np.asarray([-1.0, 1.01]))
    beyond = np.nextafter(np.float32([-1.0, 1.0]), np.float32([-2.0, 2.0]))  # by the last digit, as worlds round
    assert (np.abs(beyond) > 1).all()
    assert space.contains(beyond)
    assert not space.contains(np.asarray([-1.0, 1.00001]))
    assert not space.contains(np.asarray([0.0, np.nan]))
    assert not space.contains(np.zeros(3))


def test_unbounded_box_has_no_sample():
    with pytest.raises(UserError, match="unbounded"):
        Box(0.0, float("inf"), ()).sample(jax.random.key(0))


def test_coded_contains_bytes_below_the_number_of_codes_only():
    space = Coded((2,), FEATURES)
    assert space.num_codes == 3
    assert space.contains(np.asarray([0, 2], np.uint8))
    assert not space.contains(np.asarray([0, 3], np.uint8))
    assert not space.contains(np.asarray([0, 2], np.int32))
    assert not space.contains(np.asarray([0], np.uint8))


def test_decode_looks_up_the_row_of_each_code():
    got = Coded((2, 2), FEATURES).decode(jnp.asarray([[0, 2], [1, 1]], jnp.uint8))
    np.testing.assert_array_equal(got, np.asarray([[[0.0, 0.1], [1.0, 0.3]], [[0.5, 0.2], [0.5, 0.2]]], np.float32))
    assert got.dtype == jnp.float32


def test_dict_contains_exactly_its_keys_and_samples_its_parts_independently():
    space = Dict((("a", Discrete(1000)), ("b", Discrete(1000))))
    assert space.contains({"b": 1, "a": 2})
    for wrong in ({"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1000}, 3):
        assert not space.contains(wrong)
    assert list(space.spaces) == ["a", "b"]
    batch = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 50))
    assert np.mean(np.asarray(batch["a"]) == np.asarray(batch["b"])) < 0.2


def test_joint_choice_is_one_number_with_the_first_factor_slowest():
    space = MultiDiscrete((3, 2, 4))
    assert space.n == 24
    # (2, 1, 3) is (2·2 + 1)·4 + 3 = 23; (1, 0, 2) is (1·2 + 0)·4 + 2 = 10
    np.testing.assert_array_equal(space.split(jnp.asarray([23, 10])), [[2, 1], [1, 0], [3, 2]])
    np.testing.assert_array_equal(space.join([jnp.asarray([2, 1]), jnp.asarray([1, 0]), jnp.asarray([3, 2])]), [23, 10])
    every = jnp.arange(24, dtype=jnp.int32)
    choices = jax.jit(space.split)(every)
    np.testing.assert_array_equal(np.stack(choices), np.indices((3, 2, 4)).reshape(3, 24))
    np.testing.assert_array_equal(space.join(choices), every)
    assert {choice.dtype for choice in choices} == {space.join(choices).dtype} == {jnp.dtype("int32")}


@pytest.mark.parametrize("value", [-1, 24, 1.0, np.asarray([1]), True])
def test_joint_choice_is_one_integer_of_the_range(value):
    assert not MultiDiscrete((3, 2, 4)).contains(value)


def entities(**parts):
    features = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
    value = {"features": features, "visible": np.asarray([1, 0, 0], bool), "present": np.asarray([1, 1, 0], bool)}
    return value | {name: np.asarray(part) for name, part in parts.items()}


def test_features_of_what_is_not_there_may_be_anything_and_of_what_is_they_are_numbers():
    space, features = Entities(3, 2), entities()["features"]
    assert space.contains(entities())
    absent, hidden = features.copy(), features.copy()
    absent[2], hidden[1] = np.nan, np.nan  # hidden from the agent, and not from a critic
    assert space.contains(entities(features=absent))
    assert not space.contains(entities(features=hidden))


@pytest.mark.parametrize(
    "value",
    [
        entities(visible=np.asarray([1, 0, 1], bool)),  # what is seen is there
        entities(visible=np.asarray([1, 0, 0])),
        entities(present=np.asarray([1, 1], bool)),
        entities(features=np.zeros((3, 2))),
        entities(features=np.zeros((2, 2), np.float32)),
        entities(more=np.zeros(3)),
        {"features": np.zeros((3, 2), np.float32)},
        np.zeros((3, 2), np.float32),
    ],
    ids=["unseen", "integers", "fewer", "double", "short", "more", "less", "array"],
)
def test_what_are_no_entities(value):
    assert not Entities(3, 2).contains(value)


def test_ring_contains_finite_numbers_of_its_shape():
    assert Ring(4).contains(np.zeros((4, 1), np.float32))
    for wrong in (np.zeros(4, np.float32), np.zeros((4, 1)), np.full((4, 1), np.inf, np.float32)):
        assert not Ring(4).contains(wrong)


def test_privileged_parts_are_parts():
    parts = (("a", Discrete(2)), ("b", Box(0, 1, (3, 3, 1))), ("mask", Mask(2)))
    space = Dict(parts, privileged=("b",))
    assert space.contains(space.sample(jax.random.key(0)))
    assert space != Dict(parts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiDiscrete(()), r"MultiDiscrete.numbers is \(\); allowed: one number or more, each at least 1"),
        (lambda: MultiDiscrete((2, 0)), r"MultiDiscrete.numbers is \(2, 0\); allowed: .* each at least 1"),
        (lambda: MultiDiscrete((64, 65)), r"is \(64, 65\); allowed: a product of at most 4096, not 4160"),
        (lambda: Entities(0, 2), "Entities.number is 0; allowed: at least 1"),
        (lambda: Entities(2, 0), "Entities.num_features is 0; allowed: at least 1"),
        (lambda: Ring(2), "Ring.number is 2; allowed: at least 3"),
        (lambda: Ring(3, 0), "Ring.num_channels is 0; allowed: at least 1"),
        (lambda: Dict((("a", Discrete(2)),), ("b",)), "Dict.privileged has 'b'; allowed: .* a$"),
        (lambda: Dict((("a", Discrete(2)), ("m", Mask(2))), ("m",)), "Dict.privileged has 'm'; allowed: .* a$"),
        (lambda: Dict((("a", Discrete(2)), ("m", Mask(2))), ("a",)), "privileged is .*; allowed: to leave the policy"),
    ],
)  # fmt: skip
def test_spaces_that_cannot_be_are_told_in_one_line(make, message):
    with pytest.raises(UserError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_as_many_joint_actions_as_are_allowed():
    assert MultiDiscrete((64, 64)).n == 4096


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (((), 0.0, 1.0), r"Box has the shape 1.0; allowed: a tuple of ints, as in Box\(low, high, shape\)"),
        ((0.0, 1.0, 3), "Box has the shape 3; allowed"),
        ((1.0, 0.0, ()), "Box goes from 1.0 to 0.0; allowed: low <= high"),
        ((0.0, float("nan"), ()), "Box goes from 0.0 to nan"),
        (("0", 1.0, ()), "Box goes from '0' to 1.0"),
    ],
)
def test_a_box_that_is_none_is_refused(arguments, told):
    with pytest.raises(UserError, match=told):
        Box(*arguments)
