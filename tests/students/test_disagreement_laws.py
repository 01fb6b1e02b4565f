"""How an ensemble of value heads comes to agree: exact laws of a table that learns from coins (spec A.5.1).

The learner is minied's own: its rollout, advantages, targets, loss and partition of rows. Only the step is another, plain
gradient descent at such a rate that a visit moves a value by α of its error, V ← V + α (r − V): Adam's own steps know no
such law. Letters: ``K`` value heads, ``M`` rows, ``S`` states.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import TabularStudent, batch_from

from minied.students import ppo
from minied.students.ppo import PPOConfig
from minied_envs.petri import NoisyBandit

ARMS, K = 4, 5
COIN = ARMS - 1
ENV = NoisyBandit(ARMS)
STUDENT = TabularStudent(ARMS, 2, K, value_spread=1.0)
ALPHA = 0.1


def config(**options):
    return PPOConfig(**{"num_epochs": 1, "entropy_coefficient": 0.0} | options)


@functools.partial(jax.jit, static_argnums=(0, 1))
def descend(env, student, settings, alpha, levels, key, parameters):
    """One step of gradient descent on the learner's loss, after one episode on each level."""
    play_key, own_key = jax.random.split(key)
    batch = batch_from(play_key, env, student, parameters, levels, settings)
    own = ppo._own_rows(own_key, batch, settings, ppo.ALONE)
    gradient, _ = jax.grad(ppo._loss, has_aux=True)(parameters, student, batch.replace(head_of_row=own), settings)
    # The loss is c_v · ½ · mean over rows and, where all heads learn from a row, over heads too.
    number = batch.actions.size * (student.num_value_heads if own is None else 1)
    rate = alpha * number / settings.value_coefficient
    return parameters | {"values": parameters["values"] - rate * gradient["values"]}


def learn(key, parameters, number, levels=None, env=ENV, student=STUDENT, alpha=ALPHA, **options):
    """Values after each of a number of steps, with the first, `f64[number + 1, S, K]`."""
    levels = jnp.arange(env.num_arms, dtype=jnp.int32) if levels is None else levels
    seen = [parameters["values"]]
    for step in range(number):
        step_key = jax.random.fold_in(key, step)
        parameters = descend(env, student, config(**options), alpha, levels, step_key, parameters)
        seen.append(parameters["values"])
    return np.asarray(seen, np.float64)


# -- members that learn from the same rows ----------------------------------------------------------------------------


@pytest.mark.parametrize("clip_value", [True, False])
def test_on_the_same_rows_disagreement_decays_by_one_minus_alpha_whatever_the_rewards(clip_value):
    parameters = STUDENT.init(jax.random.key(3))
    first, number = np.asarray(parameters["values"], np.float64), 40
    of_two_runs = [learn(jax.random.key(k), parameters, number, clip_value=clip_value) for k in (0, 1)]
    rewards = [(run[1:, COIN] - 0.9 * run[:-1, COIN]) / ALPHA for run in of_two_runs]
    assert not np.allclose(rewards[0], rewards[1], atol=0.5)  # the coins of the two runs fell differently
    decay = 0.9 ** np.arange(number + 1)
    for run in of_two_runs:
        # V_k(n) − V̄(n) = (1 − α)^n (V_k(0) − V̄(0)), on the coin as on the steady arms, and so its deviation
        apart = run - run.mean(axis=-1, keepdims=True)
        expected = decay[:, None, None] * (first - first.mean(axis=-1, keepdims=True))
        np.testing.assert_allclose(apart, expected, atol=1e-6)
        np.testing.assert_allclose(run.std(axis=-1), decay[:, None] * first.std(axis=-1), atol=1e-6)
    # what was learnt is learnt by all: V̄(n) = r + (1 − α)^n (V̄(0) − r) where r is always the same, here 0, ½, 1
    for arm, reward in enumerate((0.0, 0.5, 1.0)):
        mean = reward + decay * (first[arm].mean() - reward)
        np.testing.assert_allclose(of_two_runs[0][:, arm].mean(axis=-1), mean, atol=1e-5)


def test_a_state_that_is_seen_twice_as_often_comes_to_agreement_twice_as_fast_and_an_unseen_one_never():
    # rows: arm 0 twice, the coin once, arms 1 and 2 never: a step of 2α, α, 0, 0
    levels = jnp.asarray([0, 0, COIN], jnp.int32)
    parameters = STUDENT.init(jax.random.key(3))
    run = learn(jax.random.key(0), parameters, 10, levels)
    expected = np.array([1 - 2 * ALPHA, 1.0, 1.0, 1 - ALPHA]) ** 10
    np.testing.assert_allclose(run[-1].std(axis=-1) / run[0].std(axis=-1), expected, atol=1e-6)


# -- members with rows of their own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_on_rows_of_their_own_a_step_adds_the_noise_of_the_coin_exactly(alpha):
    """K rows on a coin, one for each head: over all 2^K equally probable outcomes,
    E var_k V' = (1 − α)² var_k V + α² p (1 − p) (K − 1) / K."""
    parameters = STUDENT.init(jax.random.key(3))
    settings = config(ensemble_data="own")
    coins = jnp.full(K, COIN, jnp.int32)
    batch = batch_from(jax.random.key(0), ENV, STUDENT, parameters, coins, settings)
    heads = ppo._own_rows(jax.random.key(1), batch, settings, ppo.ALONE)
    assert heads is not None
    assert sorted(np.asarray(heads[0])) == list(range(K))

    def after(outcome):
        learnt = batch.replace(targets=outcome[None], head_of_row=heads)
        gradient, _ = jax.grad(ppo._loss, has_aux=True)(parameters, STUDENT, learnt, settings)
        return parameters["values"] - alpha * K / settings.value_coefficient * gradient["values"]

    outcomes = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=K)))
    values = np.asarray(jax.jit(jax.vmap(after))(outcomes), np.float64)
    before = np.asarray(parameters["values"], np.float64).var(axis=-1)
    expected = (1 - alpha) ** 2 * before[COIN] + alpha**2 * 0.25 * (K - 1) / K
    assert values[:, COIN].var(axis=-1).mean() == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(values[:, :COIN].var(axis=-1).mean(axis=0), before[:COIN], rtol=1e-6)  # not seen
    # The fixed point of that law, as the specification has it: v = α p (1 − p) / (2 − α), but for (K − 1) / K.
    floor = alpha * 0.25 / (2 - alpha) * (K - 1) / K
    assert (1 - alpha) ** 2 * floor + alpha**2 * 0.25 * (K - 1) / K == pytest.approx(floor)


@pytest.mark.parametrize("ensemble_data", ["same", "own"])
def test_randomness_keeps_apart_only_those_who_see_different_coins(ensemble_data):
    # One row a head, V' = (1 − α) V + α r: its variance is α² p (1 − p) / (1 − (1 − α)²) = α p (1 − p) / (2 − α), with
    # α = 0.1 and p = ½ 0.025 / 1.9. Of the same rows all 8 heads learn from 8, and α is divided among these.
    heads, number, alpha = 8, 2000, 0.1
    env, student = NoisyBandit(2), TabularStudent(2, 2, heads, value_spread=1.0)
    settings = config(ensemble_data=ensemble_data).traced()

    @jax.jit
    def simulate(parameters):
        levels = jnp.full(heads, 1, jnp.int32)  # the coin of two arms
        a_row = alpha if ensemble_data == "own" else alpha / heads

        def step(parameters, key):
            parameters = descend(env, student, settings, a_row, levels, key, parameters)
            return parameters, parameters["values"][1]

        return jax.lax.scan(step, parameters, jax.random.split(jax.random.key(0), number))[1]

    spread = np.asarray(simulate(student.init(jax.random.key(1))), np.float64)[100:].var(axis=-1).mean()
    if ensemble_data == "same":
        assert spread < 1e-12
    else:  # 1,900 steps that remember ten, with 7 degrees of freedom: a thousand independent squares or so, ± 5 %
        assert spread * heads / (heads - 1) == pytest.approx(0.025 / 1.9, rel=0.15)


def test_the_default_is_the_same_rows_and_with_adam_too_they_agree_on_a_coin():
    """The learner itself, Adam and all: heads that share their rows agree on coin and steady arms alike."""
    assert PPOConfig().ensemble_data == "same"
    levels = jnp.repeat(jnp.arange(ARMS, dtype=jnp.int32), 10)

    def final_spread(ensemble_data):
        settings = config(ensemble_data=ensemble_data, clip_value=False).traced()

        @jax.jit
        def run(state):
            def step(state, key):
                play_key, update_key = jax.random.split(key)
                batch = batch_from(play_key, ENV, STUDENT, state.parameters, levels, settings)
                state, _ = ppo.update(update_key, STUDENT, state, batch, settings, jnp.float32(0.01), 1)
                return state, state.parameters["values"].std(axis=-1)

            return jax.lax.scan(step, state, jax.random.split(jax.random.key(0), 800))[1][-100:].mean(axis=0)

        return np.asarray(run(ppo.init_student(jax.random.key(3), STUDENT, settings)))

    same, own = final_spread("same"), final_spread("own")
    assert same.max() < 0.01
    assert own[COIN] > 0.02
    assert own[:COIN].max() < 0.01
