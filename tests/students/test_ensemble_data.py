"""What an ensemble of value heads learns from: the same rows, or each head rows of its own."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.spread import ALONE, Spread
from minied.students import ppo
from minied.students.ppo import Batch, PPOConfig

T, A = 3, 2
RATE = jnp.float32(0.5)


class Table:
    """A student that keeps, for each row of the batch, a value of each head, and a policy. The observation is the row."""

    def __init__(self, num_rows, num_heads):
        self.shape = num_rows, num_heads

    def init(self, key):
        return {"values": jnp.zeros(self.shape), "policy": jnp.zeros((self.shape[0], A))}

    def initial_carry(self, num_rows):
        return ()

    def apply(self, parameters, carry, observation, reset):
        return carry, parameters["policy"][observation], parameters["values"][observation]

    def policies(self, parameters, carry, observation, reset):
        raise NotImplementedError


def batch_of(num_rows, num_heads):
    rng = np.random.default_rng(0)
    every = jnp.broadcast_to(jnp.arange(num_rows, dtype=jnp.int32), (T, num_rows))
    return Batch(
        observations=every,
        resets=jnp.zeros((T, num_rows), bool),
        actions=jnp.asarray(rng.integers(A, size=(T, num_rows)), jnp.int32),
        log_probs=jnp.full((T, num_rows), -np.log(A), jnp.float32),
        values=jnp.zeros((T, num_rows, num_heads)),
        advantages=jnp.asarray(rng.normal(size=(T, num_rows)), jnp.float32),
        targets=jnp.ones((T, num_rows)),
        carry=(),
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 3, 4, 5))
def _updated(num_rows, num_heads, key, num_agents, spread, static):
    student, config = Table(num_rows, num_heads), PPOConfig(**dict(static))

    def update(key):
        mine = spread.part(batch_of(num_rows, num_heads).replace(carry=()), axis=1)
        state = ppo.init_student(key, student, config)
        return ppo.update(key, student, state, mine, config, RATE, num_agents, spread)[0].parameters

    return spread.run(update, (key,), (jax.P(),), jax.P())


def updated(num_rows=8, num_heads=2, key=0, num_agents=1, spread=ALONE, **options):
    """The tables after one update from zeros."""
    options = {"ensemble_data": "own", "num_epochs": 1, "adam_epsilon": 1.0} | options
    found = _updated(num_rows, num_heads, jax.random.key(key), num_agents, spread, tuple(options.items()))
    return jax.tree.map(np.asarray, found)


def learnt(**options):
    """Which head learnt from which row, bool[M, K]."""
    return updated(**options)["values"] != 0


@pytest.mark.parametrize("num_minibatches", [1, 2, 4])
@pytest.mark.parametrize("num_agents", [1, 2])
def test_each_row_teaches_one_head_and_each_head_has_an_equal_share(num_minibatches, num_agents):
    if num_minibatches == 4 and num_agents == 2:
        num_minibatches = 1
    found = learnt(num_minibatches=num_minibatches, num_agents=num_agents)
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.sum(axis=0), 4)


def test_shares_that_cannot_be_equal_differ_by_one():
    assert sorted(learnt(num_rows=7, num_heads=3).sum(axis=0)) == [2, 2, 3]


def test_the_partition_is_drawn_from_the_key_and_anew_in_each_epoch():
    partitions = {learnt(key=key).tobytes() for key in range(6)}
    assert len(partitions) >= 5  # of 70
    for key in range(3):
        once = learnt(key=key)
        twice = learnt(key=key, num_epochs=6)
        assert once.sum() == 8
        assert twice.sum() > 12  # six partitions into halves leave a head of a row out with a chance of 1/64


def test_with_the_same_data_every_head_learns_from_every_row():
    assert learnt(ensemble_data="same").all()


def test_one_head_has_all_rows_in_either_way():
    own, same = (updated(num_heads=1, ensemble_data=data) for data in ("own", "same"))
    assert (own["values"] != 0).all()
    jax.tree.map(np.testing.assert_array_equal, own, same)


def test_the_policy_does_not_notice():
    own, same = (updated(ensemble_data=data, max_grad_norm=1e6) for data in ("own", "same"))
    np.testing.assert_array_equal(own["policy"], same["policy"])
    assert (own["policy"] != 0).all()


def test_a_row_counts_for_its_head_by_the_mean_over_rows():
    # ½ mean over 3 × 8 errors of (0 − 1)²: of each row −1/8 for its head; under `same` the mean is over heads too: −1/16.
    # The first step of Adam is g / (|g| + ε) with ε = 1, times the rate ½; the coefficient of the value loss is 1.
    settings: Any = {"value_coefficient": 1.0, "max_grad_norm": 1e6}
    own, same = (updated(ensemble_data=data, **settings)["values"] for data in ("own", "same"))
    np.testing.assert_allclose(own[own != 0], 0.5 * (1 / 8) / (1 + 1 / 8), rtol=1e-5)
    np.testing.assert_allclose(same, 0.5 * (1 / 16) / (1 + 1 / 16), rtol=1e-5)


@pytest.mark.parametrize(("num_minibatches", "num_agents"), [(1, 1), (1, 2), (2, 1)])
def test_two_devices_divide_the_rows_as_one_does(num_minibatches, num_agents):
    options = {"num_minibatches": num_minibatches, "num_agents": num_agents, "num_epochs": 2}
    alone, spread = updated(**options), updated(**options, spread=Spread("environments", 2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), alone, spread)
    np.testing.assert_array_equal(alone["values"] != 0, spread["values"] != 0)
