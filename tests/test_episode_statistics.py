"""Statistics that a world tells of its episodes: from its last step to the metrics of a run and to evaluations."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spread_runs import config_of
from toy_parties import Party, PartyLevel
from toy_worlds import Corridor, CorridorLevel, Lottery, always

from minied import rollout as rollouts
from minied.env import with_agent_axis
from minied.episodes import summarise
from minied.errors import UserError
from minied.evaluate.episodes import evaluate_levels
from minied.levels.space import Suite
from minied.teachers.base import NEW, REPLAY
from minied.train.metrics import level_metrics
from minied.train.program import Program

NAN = math.nan


def summary(ended, **statistics):
    """Of one agent, with statistics ``f32[T]`` by name."""
    ended = jnp.asarray(ended, bool)
    told = {name: jnp.asarray(values, jnp.float32) for name, values in statistics.items()}
    nothing = jnp.zeros(ended.shape, jnp.int32)
    return summarise(ended, jnp.zeros((*ended.shape, 1)), nothing, ended, statistics=told)


def test_means_are_over_the_last_steps_of_finished_episodes_for_which_it_is_defined():
    found = summary(
        [0, 1, 0, 1, 1, 0], some=[9, 2, 9, NAN, 5, 9], all=[9, 2, NAN, 3, 7, 9], none=[1, NAN, 1, NAN, NAN, 1]
    )
    # some: of the episodes that end at 1 and 4; all: 2, 3 and 7
    assert {name: float(value) for name, value in found.statistics.items()} == {
        "some": (2 + 5) / 2,
        "all": (2 + 3 + 7) / 3,
        "none": pytest.approx(NAN, nan_ok=True),
    }


def test_without_a_finished_episode_nothing_is_defined():
    assert np.isnan(summary([0, 0, 0], some=[1, 2, 3]).statistics["some"])
    assert summary([0, 1, 0]).statistics == {}


def test_they_are_logged_by_source_of_the_levels():
    one = summary([1, 1], far=[1, 3], near=[NAN, NAN])
    other, unfinished = summary([1, 1], far=[7, 9], near=[4, NAN]), summary([0, 0], far=[5, 5], near=[5, 5])
    episodes = jax.tree.map(lambda *leaves: jnp.stack(leaves), one, other, unfinished, other)
    row = level_metrics(jnp.asarray([NEW, NEW, NEW, REPLAY]), episodes, {})
    found = {name: float(value) for name, value in row.items() if "/episode/" in name}
    # new levels: means 2 and 8 of the two with an episode, and 4 of the one for which it is defined
    assert {name: value for name, value in found.items() if not math.isnan(value)} == {
        "new/episode/far": 5.0,
        "new/episode/near": 4.0,
        "replay/episode/far": 8.0,
        "replay/episode/near": 4.0,
    }
    assert {"designed/episode/far", "mutated/episode/near"} <= set(found)


def parties(*leaves_and_lengths):
    leaves, lengths = zip(*leaves_and_lengths, strict=True)
    return PartyLevel(jnp.asarray(leaves, jnp.int32), jnp.asarray(lengths, jnp.int32))


ALWAYS_RIGHT_IS_THE_SECOND = always(1, 2)  # the parity of its number
LEVELS = parties(([5, 2, 5], 4), ([5, 0, 5], 3), ([5, 5, 1], 5), ([5, 3, 0], 2))
RIGHT, SECOND, TIME = [2, 0, 5, 2], [2, NAN, 5, 2], [4, 3, 5, 2]


def test_a_rollout_records_them_and_nothing_else_of_info():
    env, student = Party(tells=True), ALWAYS_RIGHT_IS_THE_SECOND

    @jax.jit
    def play():
        start = rollouts.start(jax.random.key(0), student, env, LEVELS)
        rollout = rollouts.collect(jax.random.key(1), student, (), env, LEVELS, start, 11)[1]
        return rollout, rollouts.summarise_rollout(env, rollout)

    rollout, episodes = play()
    assert rollout.info is None
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in rollout.statistics.items()} == dict.fromkeys(
        ("right", "second", "time"), ((11, 4), jnp.float32)
    )
    for name, expected in (("right", RIGHT), ("second", SECOND), ("time", TIME)):
        np.testing.assert_array_equal(episodes.statistics[name], expected)


# -- evaluation --------------------------------------------------------------------------------------------------------


def evaluated(env, levels, attempts, places=2048, student=ALWAYS_RIGHT_IS_THE_SECOND):
    play = lambda key: evaluate_levels(key, student, (), with_agent_axis(env), levels, attempts, places)  # noqa: E731
    return jax.jit(play)(jax.random.key(0))


@pytest.mark.parametrize(("attempts", "places"), [(1, 100), (3, 1)])
def test_an_evaluation_has_those_of_the_episodes_that_it_counts(attempts, places):
    """At once, and of rows of which some wait for a place."""
    found = evaluated(Party(tells=True), LEVELS, attempts, places)
    for name, expected in (("right", RIGHT), ("second", SECOND), ("time", TIME)):
        np.testing.assert_array_equal(found.statistics[name], expected)


@dataclasses.dataclass(frozen=True)
class TwoParties(Party):
    teams = (7, 2, 2)


def test_returns_of_a_team_are_of_those_who_are_there_at_the_end():
    levels = PartyLevel(jnp.asarray([[5, 5, 2], [5, 5, 5], [5, 0, 0]]), jnp.asarray([5, 4, 3]))
    found = evaluated(TwoParties(), levels, 2)
    # The second agent alone is right, in all of 5 and 4 steps; the third is gone, there, and gone. Team 2 comes first.
    np.testing.assert_array_equal(found.team_returns, [[5, 0], [2, 0], [0, 0]])
    np.testing.assert_allclose(found.mean_return, [5 / 2, 4 / 3, 0])


@dataclasses.dataclass(frozen=True)
class ToldLottery(Lottery):
    """Tells how long an episode was, if it was long."""

    def step(self, key, state, action, level):
        *results, info = super().step(key, state, action, level)
        time = results[1].time.astype(jnp.float32)
        return *results, info | {"statistics": {"long": jnp.where(state.long, time, jnp.nan)}}


def test_means_are_over_the_attempts_for_which_it_is_defined():
    """Even chances of an episode of 40 steps and of one for which nothing is defined, also when most rows wait."""
    found = evaluated(ToldLottery(max_steps=40), jnp.zeros(30), 3, 8, always(0, 2))
    mixed = (np.asarray(found.mean_length) > 1) & (np.asarray(found.mean_length) < 40)
    assert mixed.any()
    np.testing.assert_array_equal(found.statistics["long"], np.where(found.mean_length > 1, 40, np.nan))
    assert np.isnan(found.statistics["long"]).any()


def test_of_an_episode_that_never_ends_nothing_is_defined():
    @dataclasses.dataclass(frozen=True)
    class Endless(ToldLottery):
        def step(self, key, state, action, level):
            observation, state, reward, terminated, truncated, info = super().step(key, state, action, level)
            info = {"statistics": {"long": jnp.float32(7.0)}}
            return observation, state, reward, terminated & False, truncated & False, info

    found = evaluated(Endless(max_steps=40), jnp.zeros(3), 1, student=always(0, 2))
    assert np.isnan(found.statistics["long"]).all()


def test_worlds_that_tell_nothing_have_none():
    levels = CorridorLevel(jnp.asarray([1, 2], jnp.int32))
    assert evaluated(Corridor(), levels, 1).statistics == {}
    assert not any("/episode/" in name for name in played("corridor", 1)[2])


# -- runs and devices --------------------------------------------------------------------------------------------------


@functools.cache
def played(world, num_devices):
    """The program and state after two iterations, and their metrics."""
    options = {"env": Party(tells=True)} if world == "party" else {}
    program = Program(config_of(num_devices=num_devices, **options))
    return program, *program.advance(program.init(), 2)


def test_two_devices_tell_what_one_does():
    (one, state, row), (two, spread_state, spread_row) = (played("party", number) for number in (1, 2))
    assert spread_state is not None
    names = [name for name in row if "/episode/" in name]
    assert {"new/episode/right", "new/episode/second", "new/episode/time"} <= set(names)
    for name in names:
        np.testing.assert_allclose(spread_row[name], row[name], rtol=1e-6, err_msg=name)
    assert 0 < row["new/episode/second"] <= row["new/episode/right"] <= 3 * 5
    assert row["new/episode/time"] == row["new/episode_length"]
    suite = Suite("some", Party(max_steps=5, tells=True), LEVELS, ("a", "b", "c", "d"))
    results = one.evaluate(state, suite, jax.random.key(3), 4)
    again = two.evaluate(state, suite, jax.random.key(3), 4)
    assert results.statistics["time"].tolist() == [[4, 3, 5, 2]]
    for name, values in results.statistics.items():
        np.testing.assert_array_equal(again.statistics[name], values)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Telling(Corridor):
    told: str = ""

    def step(self, key, state, action, level):
        *results, _ = super().step(key, state, action, level)
        statistics = {
            "vector": {"far": jnp.zeros(3)},
            "nested": {"far": {"near": jnp.float32(0.0)}},
            "no dict": jnp.float32(0.0),
        }[self.told]
        return *results, {"statistics": statistics}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("vector", "info['statistics']['far'] of Telling is float32[3]; allowed: f32[], one number an episode"),
        ("nested", "info['statistics']['far'] of Telling is dict; allowed: f32[], one number an episode"),
        ("no dict", "info['statistics'] of Telling is float32[]; allowed: a dict of f32[] by name"),
    ],
)
def test_what_is_no_number_by_name_is_told_when_traced(told, message):
    with pytest.raises(UserError) as error:
        Program(config_of(env=Telling(told=told))).check()
    assert str(error.value) == message
