"""Spaces: samples lie inside, `contains` is not fooled, and codes stand for their rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete

FEATURES = ((0.0, 0.1), (0.5, 0.2), (1.0, 0.3))
SPACES = [
    Discrete(5),
    Box(-2.0, 3.0, (4, 2)),
    Coded((3, 2), FEATURES),
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
