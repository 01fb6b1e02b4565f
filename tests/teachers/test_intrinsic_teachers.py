"""Known answers for teachers that are paid by the student's own networks, through minied's own loop (spec A.2-A.5).

What an ensemble's disagreement does as it learns is in tests/students/test_disagreement_laws.py. Letters: ``P`` policy
heads, ``c`` the teacher's entropy coefficient.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probing import probed, score
from tabular import TabularStudent, design_probabilities
from toy_worlds import WrittenStudent

from minied.config import load_config
from minied.env import Environment
from minied.levels.parameters import Choice, Parameters
from minied.levels.space import LevelSpace
from minied.spaces import Box, Discrete
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.paired import Paired
from minied.teachers.pay import Pay
from minied.train.config import TrainConfig
from minied.train.program import Program
from minied_envs.petri import NoisyBandit

# -- value prediction error: the floor of a perfect critic (A.5.2) ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class CoinLevels(LevelSpace[jax.Array]):
    def sample(self, key):
        return jax.random.uniform(key)

    def optimal_return(self, level):
        return level


class OneStep(Environment):
    """Episodes of one step, in which what is done makes no difference."""

    @property
    def max_steps(self):
        return 1

    @property
    def action_space(self):
        return Discrete(2)


@dataclasses.dataclass(frozen=True)
class Coins(OneStep):
    """The level is the chance p of a reward of 1, and what is seen."""

    @property
    def observation_space(self):
        return Box(0.0, 1.0, (1,))

    @property
    def level_space(self):
        return CoinLevels()

    def reset(self, key, level):
        return level[None], level

    def step(self, key, state, action, level):
        reward = jax.random.bernoulli(key, level).astype(jnp.float32)
        return level[None], state, reward, jnp.bool_(True), jnp.bool_(False), {}


@pytest.mark.parametrize("discount", [0.0, 0.99])  # which change nothing where an episode is one step
def test_the_value_prediction_error_of_a_perfect_critic_is_that_of_chance(discount):
    """E|V − R| = 2p(1 − p) and E(V − R)² = p(1 − p); `l1_value_loss` is the value prediction error of AutoDIME."""
    chances = np.array([0.0, 0.1, 0.5, 0.8, 1.0], np.float32)
    perfect = WrittenStudent(
        lambda observation, memory: jnp.zeros((observation.shape[0], 2)),
        lambda observation, memory: jnp.repeat(observation, 5, axis=-1),  # all five heads know p
    )
    names, num_episodes = ("l1_value_loss", "value_disagreement"), 4000
    signals = probed(
        Coins(), perfect, (), jnp.asarray(chances), names, num_episodes, discount=discount, gae_lambda=discount
    )
    noise = chances * (1 - chances)
    # |A| is p with chance 1 − p and 1 − p with chance p: a standard deviation of at most 0.4 at p = 0.1, 0.3 at 0.8, and of
    # 4,000 episodes' mean a sixtieth of that
    np.testing.assert_allclose(score("l1_value_loss", signals), 2 * noise, atol=0.03)
    np.testing.assert_allclose(np.square(np.asarray(signals.advantages)).mean(axis=(1, 2)), noise, atol=0.03)
    np.testing.assert_allclose(score("value_disagreement", signals), 0.0, atol=1e-6)


# -- the noisy television (A.5.3) -------------------------------------------------------------------------------------


@functools.cache
def coin_shares(preset, *options, student=None):
    """The chance that the teacher of a preset gives the coin in the end, exactly, of each of three seeds."""
    config = load_config(f"petri/noisy_bandit_{preset}", ["--num-seeds", "3", "--num-devices", "1", *options])
    assert isinstance(config.env, NoisyBandit)
    program = Program(config, student)
    state = program.init()
    while not program.is_finished(state):
        state, _ = program.advance(state, program.counters(state)["iterations"] + 1000)
    return design_probabilities(config.teacher, config.level_space, state, member=slice(None))[:, -1]


def quick_coin_shares(preset, *options):
    return coin_shares(preset, "--updates", "400", *options, student=TabularStudent(5, 2, 5, value_spread=0.5))


def test_a_teacher_paid_for_prediction_errors_ends_up_at_the_coin():
    # its optimum is softmax((½, 0, 0, 0, 0) / c), c = 0.1: e⁵ / (e⁵ + 4) = 0.97
    assert (quick_coin_shares("value_prediction_error") > 0.8).all()


def test_a_teacher_paid_for_disagreement_does_not():
    assert (quick_coin_shares("value_disagreement") < 1 / 5 + 0.1).all()


@pytest.mark.slow
def test_the_presets_of_the_noisy_television_at_full_length():
    assert (coin_shares("value_prediction_error") > 0.8).all()
    assert (coin_shares("value_disagreement") < 1 / 5 + 0.1).all()


TO_SCALE = ("--updates", "600", "--teacher.pay.normalize")


@pytest.mark.slow
def test_nor_does_it_where_pay_is_brought_to_scale_so_that_little_pay_counts_as_well():
    assert (coin_shares("value_disagreement", *TO_SCALE) < 1 / 5 + 0.1).all()


@pytest.mark.slow
def test_members_with_rows_of_their_own_are_drawn_to_the_coin():
    """The price of `ensemble_data own`: what is left of the noise is pay, the more the faster the student learns."""
    assert quick_coin_shares("value_disagreement", "--ppo.learning-rate", "0.05").max() < 0.25
    own = quick_coin_shares("value_disagreement", "--ppo.learning-rate", "0.05", "--ppo.ensemble-data", "own")
    assert own.mean() > 0.28


# -- the optimum of a designer with an entropy bonus (A.5.4) ----------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TableParameters(Parameters[jax.Array]):
    shape: tuple[int, ...]
    excludes: bool

    @property
    def parts(self):
        return tuple(Choice(f"part_{i}", number) for i, number in enumerate(self.shape))

    def level(self, key, values):
        return values.astype(jnp.int32)

    def allowed(self, part, values):
        if part == 0 or not self.excludes:
            return super().allowed(part, values)
        return jnp.arange(self.shape[part]) != values[0]


@dataclasses.dataclass(frozen=True)
class TableLevels(LevelSpace[jax.Array]):
    table: Any

    def sample(self, key):
        return jnp.zeros(len(self.table.shape), jnp.int32)

    @property
    def parameters(self):
        return TableParameters(self.table.shape, self.table.excludes)

    def describe(self, level):
        return {"is_double": (level[0] == level[-1]).astype(jnp.float32)}


@dataclasses.dataclass(frozen=True)
class Table(OneStep):
    """One step that pays what a table says of the level, a cell of it, whatever the student does."""

    rewards: tuple[tuple[float, ...], ...]
    excludes: bool = False
    """Whether the second choice must not be the first."""

    @property
    def shape(self):
        return np.squeeze(np.asarray(self.rewards)).shape

    @property
    def observation_space(self):
        return Discrete(2)

    @property
    def level_space(self):
        return TableLevels(self)

    def reset(self, key, level):
        return jnp.int32(0), jnp.int32(0)

    def step(self, key, state, action, level):
        reward = jnp.squeeze(jnp.asarray(self.rewards, jnp.float32))[tuple(level)]
        return state, state, reward, jnp.bool_(True), jnp.bool_(False), {}


def trained_on(table, entropy, updates, num_envs=64):
    """A designer paid by a table until its learning rate has come to 0, and the metrics of the whole run, of 3 seeds."""
    teacher = Paired(
        builds="parameters",
        pay=Pay(score="mean_return"),
        network=NetworkConfig(memory="none", memory_size=16, head_size=16),
        ppo=PPOConfig(
            learning_rate=0.02,
            anneal="linear",
            num_epochs=1,
            discount=1.0,
            gae_lambda=1.0,
            entropy_coefficient=entropy,
            normalize_advantages=False,
            clip_value=False,
        ),
    )
    config = TrainConfig(
        env=table, teacher=teacher, ppo=PPOConfig(num_epochs=1), num_envs=num_envs, num_steps=1, num_seeds=3,
        num_devices=1, updates=updates,
    )  # fmt: skip
    program = Program(config, TabularStudent(2, 2, 1))
    state, metrics = program.advance(program.init(), updates)
    return config, state, metrics


def softmax(pay, entropy):
    weights = np.exp(np.asarray(pay, np.float64) / entropy)
    return weights / weights.sum()


REWARDS = (0.0, 0.1, 0.4, 0.5, 1.0, 0.7)


@pytest.mark.parametrize("entropy", [0.2, 0.5, 2.0])  # numbers of one and the same program
def test_a_designer_with_an_entropy_bonus_finds_the_softmax_of_its_pay(entropy):
    config, state, _ = trained_on(Table((REWARDS,)), entropy, updates=800)
    found = design_probabilities(config.teacher, config.level_space, state, member=slice(None))
    expected = softmax(REWARDS, entropy)
    assert (0.5 * np.abs(found - expected).sum(axis=-1) < 0.05).all()


def test_a_designer_of_two_choices_finds_the_one_cell_that_pays_and_never_takes_one_twice():
    """Pay for (2, 4) alone, of 30 cells; the second choice must not be the first.

    The bonus is that of each step by itself and no part of what the steps before it earn: so the second choice after 2
    settles at softmax of its pay over the five that are left, p₂ = e^(1/c) / (e^(1/c) + 4), and the first at softmax of
    (0, 0, p₂, 0, 0, 0) / c.
    """
    entropy, rewards = 0.2, np.zeros((6, 6))
    rewards[2, 4] = 1.0
    table = Table(tuple(map(tuple, rewards.tolist())), excludes=True)
    config, state, metrics = trained_on(table, entropy, updates=1200)
    np.testing.assert_array_equal(metrics["designed/levels/is_double"], 0.0)  # of all 230,400 designs
    of = functools.partial(design_probabilities, config.teacher, config.level_space, state, member=slice(None))
    for first in range(6):
        np.testing.assert_array_equal(of((first,))[:, first], 0.0)
    second = softmax(rewards[2], entropy) * (np.arange(6) != 2)
    second /= second.sum()
    expected = softmax([0, 0, second[4], 0, 0, 0], entropy)
    assert (0.5 * np.abs(of((2,)) - second).sum(axis=-1) < 0.05).all()
    assert (0.5 * np.abs(of() - expected).sum(axis=-1) < 0.05).all()


# -- policy disagreement through a network (A.5.5) --------------------------------------------------------------------


def test_policy_disagreement_of_the_network_by_its_heads():
    """0 for heads that say the same, log P for heads of which no two share an action, and blind to their order."""
    env, heads = NoisyBandit(3), 3
    network = NetworkConfig(memory="none", memory_size=4, head_size=4, num_policy_heads=heads)
    student = ActorCritic(env.observation_space, Discrete(heads), network)
    names = ["policy", "policy_1", "policy_2"]
    fresh = student.init(jax.random.key(0))
    rng = np.random.default_rng(0)

    def disagreement(rows):
        layers = {
            name: {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
            for name, (kernel, bias) in zip(names, rows, strict=True)
        }
        signals = probed(env, student, fresh | layers, jnp.arange(3), ["policy_disagreement"], 4)
        return score("policy_disagreement", signals)

    def says(bias, kernel: Any = 0.0):
        return np.broadcast_to(kernel, (4, heads)), np.asarray(bias, np.float64)

    same = says([0.3, -1.0, 0.5], kernel=rng.normal(size=(4, heads)))
    # the kernels before them differ from head to head
    hidden = {f"{name}_hidden": fresh["policy_hidden"] for name in names}
    fresh = fresh | hidden
    np.testing.assert_allclose(disagreement([same] * 3), 0.0, atol=1e-6)
    disjoint = [says(60.0 * np.eye(heads)[head]) for head in range(heads)]  # e⁻⁶⁰ is left of the others
    np.testing.assert_allclose(disagreement(disjoint), math.log(heads), rtol=1e-6)
    any_three = [says(rng.normal(size=heads), rng.normal(size=(4, heads))) for _ in range(heads)]
    straight = disagreement(any_three)
    assert (straight > 1e-3).all()
    for order in ([1, 2, 0], [2, 1, 0]):
        np.testing.assert_allclose(disagreement([any_three[i] for i in order]), straight, atol=1e-6)
