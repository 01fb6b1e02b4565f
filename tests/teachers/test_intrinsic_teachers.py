"""Known answers for teachers that are paid by the student's own networks, through minied's own loop (spec A.2-A.5).

What an ensemble's disagreement does as it learns is in tests/students/test_disagreement_laws.py. Letters: ``T`` steps, ``N``
agents, ``K`` value heads, ``P`` policy heads, ``c`` the teacher's entropy coefficient.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from tabular import TabularStudent, benchmark, design_probabilities
from toy_worlds import WrittenStudent

from minied import registry
from minied.config import load_config
from minied.env import Environment, with_agent_axis
from minied.errors import UserError
from minied.evaluate.episodes import evaluate_levels
from minied.levels.parameters import Choice, Parameters
from minied.levels.space import LevelSpace
from minied.scores import score_levels
from minied.scores.base import needs_of
from minied.spaces import Box, Discrete
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.paired import Paired
from minied.teachers.pay import Pay
from minied.train.config import TrainConfig
from minied.train.program import Program
from minied.train.setting import Setting
from minied.train.update import probe_of
from minied_envs.petri import Corridor, NoisyBandit


def probed(env, student, parameters, levels, scores, num_steps, key=0, **ppo):
    """What a rollout on levels says to scores, as a teacher hears it."""
    num_levels = jax.tree.leaves(levels)[0].shape[0]
    config = TrainConfig(
        env=env,
        teacher=DomainRandomization(),
        network=NetworkConfig(num_value_heads=2, num_policy_heads=2),
        ppo=PPOConfig(**ppo),
        num_envs=num_levels,
        num_steps=num_steps,
        num_devices=1,
    )
    setting = Setting.of(config, student).replace(correlations=tuple(scores))
    return _play(setting, jax.random.key(key), parameters, levels)


@jax.jit
def _play(setting, key, parameters, levels):
    return probe_of(setting, parameters)(key, levels).signals.replace(max_share=None)


_score_levels = jax.jit(score_levels, static_argnums=(0, 3))


def score(name, signals, reduction="mean"):
    scores, valid, _ = _score_levels(registry.load("score", name), signals, 0.0, reduction)
    assert valid.all()
    return np.asarray(scores, np.float64)


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


# -- several agents, and absent ones (A.5.7) --------------------------------------------------------------------------


class TroupeLevel(struct.PyTreeNode):
    kinds: jax.Array  # i32[N], what each agent sees, always
    pays: jax.Array  # f32[N], reward of each agent at each step at which it is there
    present: jax.Array  # bool[N, 4]


@dataclasses.dataclass(frozen=True)
class TroupeLevels(LevelSpace[TroupeLevel]):
    size: int

    def sample(self, key):
        return TroupeLevel(jnp.arange(self.size), jnp.ones(self.size), jnp.ones((self.size, 4), bool))

    def optimal_return(self, level):
        return jnp.float32(9.0)


@dataclasses.dataclass(frozen=True)
class Troupe(Environment):
    """Episodes of four steps in which nothing is done: each agent sees its kind. `tells` whether it says who is there."""

    size: int
    tells: bool = True
    max_steps: int = 4

    @property
    def num_agents(self):
        return self.size

    @property
    def action_space(self):
        return Discrete(3)

    @property
    def observation_space(self):
        return Discrete(5)

    @property
    def level_space(self):
        return TroupeLevels(self.size)

    def reset(self, key, level):
        return level.kinds, jnp.int32(0)

    def step(self, key, state, action, level):
        there = level.present[:, state]
        ended = state + 1 >= self.max_steps
        rewards = jnp.where(there, level.pays, 0.0)
        return level.kinds, state + 1, rewards, ended, ~ended & False, {"present": there} if self.tells else {}


POISON = 4  # a kind of agent of which the student's tables are no numbers
ALL_AGENT_SCORES = (
    "value_disagreement", "policy_disagreement", "l1_value_loss", "one_step_td", "max_mc", "positive_value_loss",
    "negative_advantage_if_solved", "signed_gae", "entropy", "mean_return", "return_variance", "learnability",
    "exact_regret",
)  # fmt: skip


def troupe_scores(kinds, pays, present, reduction="mean", tells=True, names=ALL_AGENT_SCORES, num_steps=10):
    """Scores of one level: two episodes of four steps and a tail of two."""
    size = len(kinds)
    level = TroupeLevel(jnp.asarray(kinds, jnp.int32), jnp.asarray(pays, jnp.float32), jnp.asarray(present, bool))
    levels = jax.tree.map(lambda leaf: leaf[None], level)
    rng = np.random.default_rng(5)
    tables = {"policy": rng.normal(size=(5, 2, 3)), "values": rng.normal(size=(5, 3))}
    tables = {name: jnp.asarray(table, jnp.float32).at[POISON].set(jnp.nan) for name, table in tables.items()}
    found = {}
    # Which policy plays a row goes by its number: what the acting policy says is asked of a student that has one.
    for num_policies in (1, 2):
        student = TabularStudent(5, 3, 3, num_policies)
        parameters = tables | {"policy": tables["policy"][:, :num_policies]}
        mine = [n for n in names if ("policy_ensemble" in needs_of(registry.load("score", n))) == (num_policies == 2)]
        if mine:
            signals = probed(Troupe(size, tells), student, parameters, levels, mine, num_steps)
            for name in mine:
                goes_by_steps = "ended" in needs_of(registry.load("score", name))
                found[name] = score(name, signals, reduction if goes_by_steps else "mean")[0]
    return found


ALWAYS_THERE = [True] * 4


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("reduction", ["mean", "first", "max", "sum"])
def test_pay_does_not_depend_on_the_numbers_of_agents(reduction):
    kinds, pays = [0, 1, 2], [1.0, -2.0, 0.5]
    present = [ALWAYS_THERE, [True, False, True, False], [False, True, True, True]]
    straight = troupe_scores(kinds, pays, present, reduction)
    for order in ([2, 0, 1], [1, 0, 2]):
        moved = [[part[i] for i in order] for part in (kinds, pays, present)]
        assert_equal(troupe_scores(moved[0], moved[1], moved[2], reduction), straight)


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_an_agent_that_is_never_there_is_as_if_it_were_not_in_the_world(reduction):
    """Whatever the student's networks say of what it would see."""
    with_it = troupe_scores([0, POISON, 1], [1.0, 100.0, -2.0], [ALWAYS_THERE, [False] * 4, ALWAYS_THERE], reduction)
    assert_equal(with_it, troupe_scores([0, 1], [1.0, -2.0], [ALWAYS_THERE] * 2, reduction))


def test_a_world_that_says_that_all_are_there_scores_as_one_that_says_nothing():
    told = troupe_scores([0, 1, 2], [1.0, -2.0, 0.5], [ALWAYS_THERE] * 3)
    assert_equal(told, troupe_scores([0, 1, 2], [1.0, -2.0, 0.5], [ALWAYS_THERE] * 3, tells=False))


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("mean", lambda a, b: (4 * a + 2 * b) / 6),  # every pair of an agent and a step at which it was there
        ("first", lambda a, b: a),
        ("max", lambda a, b: max(a, (a + b) / 2)),
        ("sum", lambda a, b: 2 * a + 2 * (a + b) / 2),
    ],
)
def test_an_agent_counts_for_the_steps_at_which_it_is_there(reduction, expected):
    """Agent b is there at the second and third step of four; what its networks say is the same at all."""
    alone = [
        troupe_scores([kind] * 2, [1.0] * 2, [ALWAYS_THERE] * 2, names=("value_disagreement",))["value_disagreement"]
        for kind in (0, 1)
    ]
    assert abs(alone[0] - alone[1]) > 0.05
    comes_and_goes = [False, True, True, False]
    both = troupe_scores([0, 1], [1.0, 3.0], [ALWAYS_THERE, comes_and_goes], reduction, names=("value_disagreement",))
    assert both["value_disagreement"] == pytest.approx(expected(*alone), rel=1e-5)


def test_returns_are_means_over_those_who_took_part_in_the_episode():
    # a earns 4 · 1, b 2 · 3, and c, who never comes, nothing: (4 + 6) / 2
    present = [ALWAYS_THERE, [False, True, True, False], [False] * 4]
    got = troupe_scores([0, 1, 2], [1.0, 3.0, 100.0], present, names=("mean_return", "exact_regret"))
    assert got["mean_return"] == pytest.approx(5.0)
    assert got["exact_regret"] == pytest.approx(9.0 - 5.0)


# -- the corridor (A.5.6) and its student -----------------------------------------------------------------------------


def test_rows_of_a_table_are_played_by_its_policies_in_turn():
    student = TabularStudent(2, 3, 1, num_policy_heads=2)
    tables = student.init(jax.random.key(0)) | {"policy": jnp.arange(12.0).reshape(2, 2, 3)}
    states = jnp.asarray([[0, 1, 1, 0]], jnp.int32)
    resets = jnp.zeros((1, 4), bool)
    _, acting, _ = student.apply(tables, student.initial_carry(4), states, resets)
    # state s and policy p say 6 s + 3 p + (0, 1, 2); rows 0 to 3 are of policies 0, 1, 0, 1
    np.testing.assert_array_equal(acting[0, :, 0], [0, 9, 6, 3])
    np.testing.assert_array_equal(student.policies(tables, (), states, resets)[0, 1, :, 0], [6, 9])


@pytest.mark.parametrize(
    ("max_steps", "expected"),
    [
        # Cells 0 (the goal), 1 and 2; towards the goal with chance 0.6 in cell 1 and 0.5 in cell 2, behind which is a wall.
        (1, 0.0),
        (2, 0.5 * 0.6),
        (3, 0.3 + 0.5 * 0.5 * 0.6),  # stays once
        # stays twice, or goes back from cell 1: 2 1 2 1 0
        (4, 0.3 + 0.15 + 0.25 * 0.5 * 0.6 + 0.5 * 0.4 * 0.5 * 0.6),
    ],
)
def test_the_chance_from_the_far_end_by_hand(max_steps, expected):
    towards = np.array([0.9, 0.6, 0.5])
    policy = np.stack([towards, 1 - towards], axis=-1)[None, :, None]
    got = benchmark("corridor").chances_from_the_far_end(policy, max_steps)
    assert got.shape == (1,)
    assert got[0] == pytest.approx(expected)


def test_the_chance_from_the_far_end_is_that_of_the_world():
    env, rng = Corridor(5, 8), np.random.default_rng(0)
    tables = {"policy": jnp.asarray(rng.normal(size=(5, 1, 2)), jnp.float32), "values": jnp.zeros((5, 1))}
    student, levels = TabularStudent(5, 2, 1), jnp.asarray([4], jnp.int32)
    results = jax.jit(evaluate_levels, static_argnums=(1, 3, 5))(
        jax.random.key(0), student, tables, with_agent_axis(env), levels, 2000
    )
    expected = benchmark("corridor").chances_from_the_far_end(
        np.asarray(jax.nn.softmax(tables["policy"]), np.float64)[None], env.max_steps
    )[0]
    assert 0.1 < expected < 0.9
    assert float(results.solve_rate[0]) == pytest.approx(expected, abs=0.04)  # of 2,000: three standard deviations


@pytest.mark.slow
def test_a_teacher_paid_for_disagreement_moves_the_start_outward_and_beats_uniform_starts():
    """`benchmarks/corridor.py` with three seeds: there 1.5 times and more over ten."""
    corridor = benchmark("corridor")
    arguments = corridor.parser().parse_args(["--seeds", "3"])
    results = {
        name: corridor.result_of(corridor.train(config, student, 100))
        for name in ("uniform", "value_disagreement")
        for config, student in [corridor.setting_of(name, arguments)]
    }
    uniform, taught = results["uniform"], results["value_disagreement"]
    assert uniform["solved"] == taught["solved"] == 3
    assert np.mean(uniform["env_steps"]) > 1.35 * np.mean(taught["env_steps"])
    distances = np.array(taught["mean_distance_by_look"])
    assert distances[0] < 9  # uniform: 16
    assert distances.max() > 19
    assert taught["outward"]["spearman"] > 0.7


@dataclasses.dataclass(frozen=True)
class WrongTroupe(Troupe):
    """Says of one agent too many who is there."""

    def step(self, key, state, action, level):
        *results, info = super().step(key, state, action, level)
        return *results, {"present": jnp.append(info["present"], True)}


def test_presence_of_another_number_of_agents_is_told():
    env = WrongTroupe(2)
    level = TroupeLevel(jnp.asarray([0, 1], jnp.int32), jnp.ones(2), jnp.ones((2, 4), bool))
    levels = jax.tree.map(lambda leaf: leaf[None], level)
    tables = {"policy": jnp.zeros((5, 1, 3)), "values": jnp.zeros((5, 3))}
    with pytest.raises(UserError, match=r"info\['present'\] of WrongTroupe is \[3\]; allowed: bool\[2\], one an agent"):
        probed(env, TabularStudent(5, 3, 3, 1), tables, levels, ("mean_return",), 4)
