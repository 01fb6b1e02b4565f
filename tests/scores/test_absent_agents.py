"""Scores of several agents: blind to their numbers, and to those who are not there (spec A.5.7).

Letters: ``N`` agents.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from probing import probed, score
from tabular import TabularStudent

from minied import registry
from minied.env import Environment
from minied.errors import UserError
from minied.levels.space import LevelSpace
from minied.scores.base import needs_of
from minied.spaces import Discrete


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
