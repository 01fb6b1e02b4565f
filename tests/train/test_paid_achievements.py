"""A run that is paid for what it has not found before in its episode, in a world of wood and planks.

The sequence and its sums are those of the specification: wood, wood, plank at a mastery of 0.9 and 0.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spread_runs
from flax import struct
from toy_worlds import Corridor, WrittenStudent

from minied.env import Environment
from minied.errors import UserError
from minied.spaces import Discrete
from minied.students.bonuses.achievements import AchievementBonus
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.program import Program

B, WOOD, PLANK, NOTHING = 4, 0, 1, 2
SCRIPT = (WOOD, WOOD, PLANK)


class Inventory(struct.PyTreeNode):
    time: jax.Array  # i32[]
    held: jax.Array  # bool[2]


@dataclasses.dataclass(frozen=True)
class Workshop(Environment):
    """Actions take wood or a plank. An episode is of `max_steps` steps; nothing is rewarded."""

    max_steps: int = 6
    tells: str = "bool[2]"

    @property
    def action_space(self):
        return Discrete(3)

    @property
    def observation_space(self):
        return Discrete(self.max_steps + 1)

    @property
    def level_space(self):
        return Corridor().level_space

    def reset(self, key, level):
        return jnp.int32(0), Inventory(jnp.int32(0), jnp.zeros(2, bool))

    def step(self, key, state, action, level):
        taken = jnp.arange(2) == action
        first = taken & ~state.held
        state = Inventory(state.time + 1, state.held | taken)
        told = {
            "bool[2]": {"achievements": first},
            "nothing": {},
            "numbers": {"achievements": first.astype(jnp.float32)},
        }
        ended = state.time >= self.max_steps
        return state.time, state, jnp.float32(0), jnp.bool_(False), ended, told[self.tells]


class Scripted(WrittenStudent):
    """Its policy is written; so that a learner has something to differentiate, one number is added to its value."""

    def init(self, key):
        return jnp.zeros(())

    def apply(self, parameters, carry, observation, reset):
        carry, logits, values = super().apply(parameters, carry, observation, reset)
        return carry, logits, values + parameters


def _policy(observation, memory):
    """What the script says at each time of the episode, and nothing after its end."""
    actions = jnp.asarray((*SCRIPT, *(NOTHING,) * 10), jnp.int32)[observation]
    return jnp.where(jax.nn.one_hot(actions, 3) > 0, 0.0, -1e9)


STUDENT = Scripted(_policy, lambda observation, memory: jnp.zeros((memory[0].shape[0], 1)))


class Knowing(DomainRandomization):
    """Knows the mastery of wood and planks: that of the first iteration, 0.9 and 0, and later 1 of both."""

    def init(self, key, space, num_levels):
        return jnp.int32(0)

    def observe(self, state, plan, proposal, outcome, space):
        return state + 1

    def mastery(self, state):
        return jnp.where(state == 0, jnp.asarray([0.9, 0.0]), jnp.ones(2))


class KnowingOne(Knowing):
    def mastery(self, state):
        return jnp.zeros(1)


def config_of(num_steps=6, tells="bool[2]", max_steps=6, teacher=None, num_devices=1, **options):
    return spread_runs.config_of(
        env=Workshop(max_steps=max_steps, tells=tells),
        teacher=teacher or Knowing(),
        num_devices=num_devices,
        num_steps=num_steps,
        ppo=PPOConfig(num_epochs=1, normalize_advantages=False),
        bonus=AchievementBonus(coefficient=2.0, **options),
    )


def total_paid(config, iterations=1):
    """The sum over the steps of an environment, by iteration."""
    program = Program(config, STUDENT)
    state, totals = program.init(), []
    for iteration in range(1, iterations + 1):
        state, row = program.advance(state, iteration)
        totals.append(float(row["student/bonus"][0]) * config.num_steps)
    return totals


def test_a_scripted_inventory():
    # wood, wood, plank, and three steps of nothing.
    assert total_paid(config_of()) == pytest.approx([2.0])  # b: wood is mastered, the plank is not
    assert total_paid(config_of(dynamic=False)) == pytest.approx([4.0])  # 2 b: the second wood is nothing new


def test_what_was_found_is_forgotten_at_the_end_of_an_episode_only():
    assert total_paid(config_of(dynamic=False, num_steps=12)) == pytest.approx([8.0])  # two episodes of 6 steps
    assert total_paid(config_of(dynamic=False, num_steps=12, max_steps=12)) == pytest.approx([4.0])  # one of 12
    assert total_paid(config_of(num_steps=6, max_steps=3)) == pytest.approx(
        [4.0]
    )  # two of 3, of which the plank is paid


def test_the_mastery_is_that_before_the_rollout_was_observed():
    assert total_paid(config_of(), 3) == pytest.approx([2.0, 0.0, 0.0])


def test_on_two_devices_as_on_one():
    assert total_paid(config_of(num_devices=2), 2) == total_paid(config_of(), 2)


def test_every_student_and_every_member_is_paid():
    config = dataclasses.replace(config_of(), num_students=2, num_seeds=2)
    program = Program(config, STUDENT)
    _, row = program.advance(program.init(), 1)
    for name in ("student/bonus", "student_1/bonus"):
        np.testing.assert_allclose(row[name], [2.0 / 6] * 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teacher": DomainRandomization()}, "bonus.dynamic is True and the teacher does not know"),
        ({"teacher": KnowingOne()}, "info['achievements'] has 2 things and the teacher knows 1 tasks"),
        ({"tells": "nothing"}, "info['achievements'] of Workshop is missing; allowed where they are paid for"),
        ({"tells": "numbers"}, "info['achievements'] of Workshop is float32[2]; allowed where"),
    ],
)
def test_what_cannot_be_paid_is_told_before_anything_compiles(options, words):
    with pytest.raises(UserError) as error:
        Program(config_of(**options), STUDENT).check()
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)
