"""What a level space offers by itself: fingerprints, and one sentence about what it lacks."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import Corridor, CorridorLevels, Meeting

from minied.errors import UserError
from minied.levels.space import OPTIONAL_CAPABILITIES, LevelSpace, hash_words

SPACE = Corridor().level_space
_hash = jax.jit(hash_words)


def of(level):
    return tuple(np.asarray(SPACE.fingerprint(level)).tolist())


def test_fingerprint_is_two_words_and_equal_for_equal_levels():
    level = {"walls": jnp.asarray([[True, False]]), "goal": jnp.asarray([1, 2], jnp.int32), "x": jnp.float32(0.5)}
    copy = jax.tree.map(jnp.copy, level)
    assert of(level) == of(copy)
    assert SPACE.fingerprint(level).shape == (2,)
    assert SPACE.fingerprint(level).dtype == jnp.uint32


@pytest.mark.parametrize(
    "change",
    [
        {"walls": jnp.asarray([[False, True]])},
        {"goal": jnp.asarray([2, 1], jnp.int32)},
        {"goal": jnp.asarray([-1, 2], jnp.int32)},
        {"x": jnp.float32(-0.5)},
        {"small": jnp.asarray([0, 1, 0], jnp.uint8)},
    ],
    ids=str,
)
def test_fingerprint_tells_levels_apart_by_any_leaf_and_by_order(change):
    level = {
        "walls": jnp.asarray([[True, False]]),
        "goal": jnp.asarray([1, 2], jnp.int32),
        "x": jnp.float32(0.5),
        "small": jnp.asarray([1, 0, 0], jnp.uint8),
    }
    assert of(level) != of(level | change)
    a, b = of(level), of(level | change)
    assert a[0] != b[0]  # each word by itself
    assert a[1] != b[1]


def test_zero_and_minus_zero_are_one_level():
    assert of({"x": jnp.float32(0.0)}) == of({"x": jnp.float32(-0.0)})


@pytest.mark.parametrize("dtype", [jnp.bool_, jnp.uint8, jnp.int8, jnp.int16, jnp.int32, jnp.uint32, jnp.float32])
def test_every_allowed_dtype_is_hashed(dtype):
    assert of({"x": jnp.asarray([0, 1], dtype)}) != of({"x": jnp.asarray([1, 0], dtype)})


def test_a_dtype_that_cannot_be_hashed_is_told():
    with pytest.raises(UserError, match="bfloat16"):
        of({"x": jnp.zeros(2, jnp.bfloat16)})


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(
    st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6), st.integers(0, 5), st.integers(1, 2**32 - 1)
)
def test_changing_one_word_or_swapping_two_changes_both_lanes(words, place, mask):
    words = np.asarray(words, np.uint32)
    other = words.copy()
    other[place] ^= np.uint32(mask)
    a, b = np.asarray(_hash(words)), np.asarray(_hash(other))
    assert tuple(a) != tuple(b)
    if words[0] != words[5]:
        swapped = words.copy()
        swapped[[0, 5]] = swapped[[5, 0]]
        assert tuple(np.asarray(_hash(swapped))) != tuple(a)


def test_hashes_of_many_near_levels_never_meet_and_their_bits_are_even():
    # every pair of set bits among 169 cells, as a maze's walls: 14,196 levels; a 64-bit hash meets with chance 5e-12
    rows, columns = np.triu_indices(169, 1)
    walls = np.zeros((len(rows), 169), np.uint32)
    walls[np.arange(len(rows)), rows] = walls[np.arange(len(rows)), columns] = 1
    hashes = np.asarray(jax.jit(jax.vmap(hash_words))(walls))
    assert len(np.unique(hashes, axis=0)) == len(walls)
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.03  # σ = 0.0042


def test_what_is_lacking_is_told_in_one_sentence_that_names_who_needs_it():
    with pytest.raises(UserError) as error:
        SPACE.require("mutate", by="ACCEL")
    message = str(error.value)
    for part in ("ACCEL", "mutate", "CorridorLevels", "optimal_return", "describe"):
        assert part in message
    assert "\n" not in message
    with pytest.raises(UserError, match="only sample"):
        Meeting().level_space.require("mutate", by="ACCEL")
    SPACE.require("optimal_return", by="regret")


def test_has_is_what_the_class_overrides():
    assert {name for name in OPTIONAL_CAPABILITIES if SPACE.has(name)} == {"optimal_return", "describe"}

    @dataclasses.dataclass(frozen=True)
    class Mutating(CorridorLevels):
        def mutate(self, key, level):
            return level

    assert Mutating(3, 4).has("mutate")


@pytest.mark.parametrize("name", ["designer", "tasks", "parameters"])
def test_lacking_properties_raise_when_they_are_read(name):
    with pytest.raises(UserError, match=name):
        getattr(SPACE, name)


def test_optional_parts_have_empty_defaults():
    assert Meeting().level_space.describe(None) == {}
    assert dict(SPACE.suites) == {}
    with pytest.raises(UserError, match="unknown suite 'random'"):
        SPACE.suite("random")


def test_every_optional_capability_is_an_attribute_of_the_base():
    assert all(hasattr(LevelSpace, name) for name in OPTIONAL_CAPABILITIES)
