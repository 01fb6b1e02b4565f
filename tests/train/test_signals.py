"""Signals: what a score asked for is there and right, and nothing else is computed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import Corridor

from minied.experience import batch_of
from minied.scores.base import ALWAYS, SIGNALS
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.base import sample_levels
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig
from minied.train.playing import play
from minied.train.setting import Setting

B, T, A, K, P = 3, 12, 2, 2, 3
OPTIONAL = set(SIGNALS) - set(ALWAYS)
EVERYTHING = (
    "one_step_td", "entropy", "value_disagreement", "policy_disagreement", "exact_regret", "parameter_change", "max_mc",
    "positive_value_loss",
)  # fmt: skip


@functools.cache
def setting(*scores, gae_lambda=0.0):
    """A run of domain randomisation in which ``scores`` are read."""
    config = TrainConfig(
        env=Corridor(length=5, max_steps=4),
        teacher=DomainRandomization(),
        network=NetworkConfig(memory="none", memory_size=6, head_size=4, num_value_heads=K, num_policy_heads=P),
        ppo=PPOConfig(gae_lambda=gae_lambda, discount=0.9),
        num_envs=B,
        num_steps=T,
        log_score_correlations=scores,
    )
    return Setting.of(config)


@functools.cache
def played(*scores, gae_lambda=0.0):
    which = setting(*scores, gae_lambda=gae_lambda)
    shapes = jax.eval_shape(which.student.init, jax.random.key(0))
    rng = np.random.default_rng(3)
    parameters = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), shapes)
    levels = sample_levels(jax.random.key(1), which.space, B)
    known = jnp.asarray([-jnp.inf, 0.5, 3.0])
    run = jax.jit(lambda *given: play(which, given[0], jax.random.key(2), *given[1:]))
    return parameters, levels, run(parameters, levels, known)


def present(signals):
    return {field.name for field in dataclasses.fields(signals) if getattr(signals, field.name) is not None} & OPTIONAL


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((), set()),
        (("learnability",), {"optimal_return"}),  # correlations compare with exact regret
        (("max_mc",), {"values", "optimal_return"}),
        (("one_step_td", "entropy"), {"td_errors", "log_policy", "optimal_return"}),
    ],
)
def test_only_what_a_score_declares_is_computed(scores, expected):
    assert present(played(*scores)[2].outcome.signals) == expected
    rollout = played(*scores)[2].rollout
    assert (rollout.log_policy is not None) == ("log_policy" in expected)
    assert rollout.policy_ensemble is None


def test_the_signals_of_a_rollout():
    _, levels, result = played(*EVERYTHING)
    signals, rollout = result.outcome.signals, result.rollout
    assert present(signals) == OPTIONAL - {
        "rewards",
        "neighbour_distances",
        "population",  # what all students did, of which this is one
        "mean_return_of_levels",
        "std_return_of_levels",
    }

    # [levels, time, agents, ...] of what the rollout has as [time, levels, agents, ...]
    assert signals.values.shape == signals.value_ensemble.shape == (B, T, 1, K)
    np.testing.assert_array_equal(signals.values[1, :, 0], rollout.values[:, 1, 0])
    assert signals.log_policy.shape == (B, T, 1, A)
    assert signals.policy_ensemble.shape == (B, T, 1, P, A)
    np.testing.assert_allclose(jnp.exp(signals.policy_ensemble).sum(axis=-1), 1.0, rtol=1e-5)
    for row in range(B):  # one agent a level: row i is played by policy i mod P
        np.testing.assert_allclose(
            signals.policy_ensemble[row, :, 0, row % P], signals.log_policy[row, :, 0], rtol=1e-5
        )
        chosen = np.take_along_axis(np.asarray(signals.log_policy[row, :, 0]), np.asarray(rollout.actions[:, row]), 1)
        np.testing.assert_allclose(chosen[:, 0], rollout.log_probs[:, row, 0], rtol=1e-5)

    np.testing.assert_allclose(signals.optimal_return, jax.vmap(setting().space.optimal_return)(levels))
    known = np.maximum([-np.inf, 0.5, 3.0], np.asarray(result.outcome.episodes.max_return))
    np.testing.assert_array_equal(signals.max_return, known)

    # with λ = 0 an advantage is the one-step error
    np.testing.assert_allclose(signals.td_errors, signals.advantages, rtol=1e-5, atol=1e-6)

    batch = batch_of(rollout, result.advantages, result.carry)
    assert batch.actions.shape == (T, B)
    np.testing.assert_allclose(batch.targets, (result.advantages + rollout.values.mean(axis=-1))[..., 0], rtol=1e-6)
    assert np.all(np.asarray(signals.parameter_change) > 0)


def test_one_step_errors_do_not_depend_on_lambda():
    short, long = (
        played("one_step_td", "positive_value_loss", gae_lambda=each)[2].outcome.signals for each in (0.0, 0.9)
    )
    np.testing.assert_allclose(short.td_errors, long.td_errors, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(short.advantages - long.advantages)).max() > 1e-3
