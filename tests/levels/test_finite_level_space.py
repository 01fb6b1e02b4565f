"""A finite set of levels: so many and no more, the same for everybody, and nothing that leaves it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from toy_designers import EditableCorridor
from toy_worlds import Meeting

from minied.errors import UserError
from minied.levels.finite import FiniteLevelSpace
from minied.levels.space import OPTIONAL_CAPABILITIES
from minied.teachers.base import sample_levels
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig

BASE = EditableCorridor(length=10_000).level_space
SET = FiniteLevelSpace(BASE, 7, 3)


def starts(space, key=0, count=3000):
    return np.asarray(sample_levels(jax.random.key(key), space, count).start)


def test_samples_are_the_levels_of_the_set_each_as_often_as_any():
    whole = np.asarray(jax.vmap(SET.level)(jnp.arange(7, dtype=jnp.int32)).start)
    assert len(set(whole.tolist())) == 7
    drawn, counts = np.unique(starts(SET), return_counts=True)
    assert set(drawn.tolist()) == set(whole.tolist())
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_the_set_is_the_same_whoever_draws_and_another_for_another_seed():
    assert set(starts(SET, key=1)) == set(starts(SET, key=2))
    other = FiniteLevelSpace(BASE, 7, 4)
    assert len(set(starts(other)) & set(starts(SET))) < 3
    assert set(starts(FiniteLevelSpace(BASE, 3, 3))) < set(starts(SET))  # a smaller set is a part of it


def test_its_levels_are_spread_as_those_of_the_generator():
    many = starts(FiniteLevelSpace(BASE, 5000, 0), count=5000)
    assert scipy.stats.kstest(many, scipy.stats.randint(1, 10_001).cdf).pvalue > 1e-4


def test_nothing_that_would_leave_the_set_is_there():
    assert BASE.has("mutate")
    offered = {name for name in OPTIONAL_CAPABILITIES if SET.has(name)}
    assert offered == {"optimal_return", "describe", "to_text", "from_text", "suites"}
    with pytest.raises(UserError, match="mutate"):
        SET.mutate(jax.random.key(0), SET.level(jnp.int32(0)))
    with pytest.raises(UserError, match="ACCEL needs `mutate`"):
        SET.require("mutate", "ACCEL")


def test_the_rest_is_the_bases():
    level = SET.level(jnp.int32(2))
    assert SET.to_text(SET.from_text("S..G")) == "S..G"
    np.testing.assert_array_equal(SET.fingerprint(level), BASE.fingerprint(level))
    assert float(SET.describe(level)["start"]) == float(level.start)
    assert float(SET.optimal_return(level)) == float(BASE.optimal_return(level))
    assert dict(SET.suites) == dict(BASE.suites)
    assert SET.suite("ends")[0].name == "ends"
    assert not FiniteLevelSpace(Meeting().level_space, 3, 0).has("describe")


def test_a_run_is_asked_for_it_by_the_number_of_its_levels():
    def config(**options):
        return TrainConfig(env=EditableCorridor(length=10_000), teacher=DomainRandomization(), **options)

    assert config().level_space == BASE
    assert config(num_train_levels=7, train_levels_seed=3).level_space == SET
    hash(SET)  # static under jit
    for options in ({"num_train_levels": -1}, {"num_train_levels": 7, "train_levels_seed": -1}):
        with pytest.raises(UserError, match=r"train_levels.* is -1; allowed: at least 0"):
            config(**options)
