"""Levels of gymnax's environments: samples, edits, suites, texts and pictures."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax_plays import CARTPOLE, MIXED, level_of, require_pictures

from minied.adapters.gymnax import Gymnax
from minied.errors import UserError
from minied.levels.parameters import Choice, Interval


def test_samples_fill_their_ranges():
    levels = jax.jit(jax.vmap(CARTPOLE.level_space.sample))(jax.random.split(jax.random.key(0), 500))
    for each in CARTPOLE.varied:
        values = np.asarray(levels.numbers[each.name])
        assert each.low <= values.min() < each.low + 0.02 * (each.high - each.low)
        assert each.high - 0.02 * (each.high - each.low) < values.max() <= np.float32(each.high)
    assert len(np.unique(levels.start, axis=0)) == 500
    columns = np.stack(list(levels.numbers.values()))
    assert abs(np.corrcoef(columns) - np.eye(3)).max() < 0.15  # drawn apart from each other
    whole = jax.jit(jax.vmap(MIXED.level_space.sample))(jax.random.split(jax.random.key(0), 200)).numbers[
        "memory_length"
    ]
    assert sorted(set(whole.tolist())) == [2, 3, 4, 5, 6]


def test_an_edit_changes_one_thing_a_little():
    space = CARTPOLE.level_space
    level = space.sample(jax.random.key(0))
    edited = jax.jit(jax.vmap(space.mutate, in_axes=(0, None)))(jax.random.split(jax.random.key(1), 400), level)
    changes = {name: np.asarray(edited.numbers[name] - value) for name, value in level.numbers.items()}
    restarted = (np.asarray(edited.start) != np.asarray(level.start)).any(axis=1)
    number = restarted.astype(int) + sum((change != 0).astype(int) for change in changes.values())
    assert (number == 1).mean() > 0.99  # a noise of zero aside
    assert 0.15 < restarted.mean() < 0.35
    for each in CARTPOLE.varied:
        share = np.abs(changes[each.name]).max() / (each.high - each.low)
        assert 0.08 < share <= 0.1001
    assert bool(jax.jit(jax.vmap(space.is_valid))(edited).all())


def edits(world, number, **numbers):
    """What a number is after each of some edits of a level with these numbers."""
    mutate = jax.jit(jax.vmap(world.level_space.mutate, in_axes=(0, None)))
    (name,) = numbers
    return mutate(jax.random.split(jax.random.key(1), number), level_of(world, **numbers)).numbers[name]


def test_edits_turn_back_at_the_ends():
    assert set(edits(MIXED, 40, memory_length=6).tolist()) == {5.0, 6.0}  # 6 where the start was drawn anew
    flag = Gymnax(id="FourRooms-misc", vary=("resample_goal_pos",))
    assert set(edits(flag, 40, resample_goal_pos=1).tolist()) == {0.0, 1.0}
    values = edits(Gymnax(vary=("gravity=5:15",), edit_size=1.0), 200, gravity=14)
    assert 5 <= float(values.min()) < 5.5
    assert 14.5 < float(values.max()) < 15  # what goes 0.5 beyond ends 0.5 before, and not at the end itself


def test_levels_of_parameters():
    parameters = CARTPOLE.level_space.parameters
    assert parameters.parts == (
        Interval("masspole", 0.05, 0.5),
        Interval("length", 0.25, 1),
        Interval("force_mag", 5, 15),
    )
    level = parameters.level(jax.random.key(0), jnp.asarray([0.3, 0.5, 16.0]))
    assert {name: round(float(value), 4) for name, value in level.numbers.items()} == {
        "masspole": 0.3, "length": 0.5, "force_mag": 15.0,
    }  # fmt: skip
    assert not np.array_equal(level.start, parameters.level(jax.random.key(1), jnp.asarray([0.3, 0.5, 10.0])).start)
    whole = MIXED.level_space.parameters
    assert whole.parts == (Choice("memory_length", 5),)
    assert float(whole.level(jax.random.key(0), jnp.asarray([4.0])).numbers["memory_length"]) == 6.0


def test_what_is_offered():
    assert set(Gymnax.offers) == set(Gymnax().level_space.offered)
    assert {"mutate", "parameters"}.isdisjoint(Gymnax(vary=()).level_space.offered)


def test_suites_are_the_same_at_every_call():
    space = CARTPOLE.level_space
    assert list(space.suites) == ["sampled", "default", "corners", "grid"]
    sizes = {name: len(space.suite(name)[0].names) for name in space.suites}
    assert sizes == {"sampled": 64, "default": 16, "corners": 8, "grid": 64}
    for name in space.suites:
        suite, again = space.suite(name)[0], space.suite(name)[0]
        assert bool(jax.jit(jax.vmap(space.is_valid))(suite.levels).all())
        np.testing.assert_array_equal(suite.levels.start, again.levels.start)
        assert len(np.unique(suite.levels.start, axis=0)) == sizes[name]
        assert jax.tree.structure(suite.levels) == jax.tree.structure(space.sample(jax.random.key(0)))
    assert space.suite("default")[0].levels.numbers["force_mag"].tolist() == [10.0] * 16
    corners = space.suite("corners")[0]
    assert corners.names[0] == "masspole=0.05 length=0.25 force_mag=5"
    assert corners.levels.numbers["force_mag"].tolist() == [5.0, 15.0] * 4
    assert np.unique(space.suite("grid")[0].levels.numbers["force_mag"]).tolist() == [
        5.0, np.float32(25 / 3), np.float32(35 / 3), 15.0,
    ]  # fmt: skip
    assert list(Gymnax(vary=("gravity=12:15",)).level_space.suites) == [
        "sampled",
        "corners",
        "grid",
    ]  # 9.8 is none of them
    assert list(Gymnax(vary=()).level_space.suites) == ["sampled"]
    with pytest.raises(UserError, match="unknown suite 'corner'"):
        space.suite("corner")


def test_levels_as_text():
    space = CARTPOLE.level_space
    level = space.sample(jax.random.key(4))
    read = space.from_text(space.to_text(level))
    for one, other in zip(jax.tree.leaves(level), jax.tree.leaves(read), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(space.fingerprint(level), space.fingerprint(read))
    typed = json.loads(space.to_text(level)) | {"numbers.force_mag": 15.5}
    with pytest.raises(UserError, match=r"force_mag of a level is 15.5; allowed: 5 to 15$"):
        space.from_text(json.dumps(typed))
    with pytest.raises(UserError, match=r"memory_length of a level is 2.5; allowed: 2 to 6, whole numbers"):
        MIXED.level_space.from_text('{"numbers.memory_length": 2.5, "start": [0, 1]}')
    assert not bool(space.is_valid(level.replace(numbers=level.numbers | {"length": jnp.float32(2)})))
    assert not bool(space.is_valid(level.replace(numbers=level.numbers | {"length": jnp.float32(jnp.nan)})))


def test_pictures_and_words():
    assert require_pictures(CARTPOLE)
    assert not require_pictures(MIXED)  # of a chain of bits only the numbers are drawn
    level = level_of(CARTPOLE, masspole=0.123456, length=0.5, force_mag=10)
    assert CARTPOLE.level_space.title(level) == "masspole 0.123, length 0.5, force_mag 10"
    assert {name: float(value) for name, value in CARTPOLE.level_space.describe(level).items()} == {
        "masspole": pytest.approx(0.123456), "length": 0.5, "force_mag": 10,
    }  # fmt: skip
