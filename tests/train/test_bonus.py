"""A run with a bonus: the learner alone sees it, what it remembers is saved, and without one nothing of it is there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spread_runs
from tiny_runs import copy, equal
from toy_designers import EditableCorridor

from minied.errors import UserError
from minied.hashing import hash_words
from minied.students.bonuses.base import NoBonus
from minied.students.bonuses.counts import CountBonus
from minied.students.ppo import PPOConfig
from minied.teachers.prioritized_level_replay import PrioritizedLevelReplay, RobustPrioritizedLevelReplay
from minied.train.program import Program

B, T = spread_runs.B, spread_runs.T  # 4 environments, 12 steps: two episodes of 6
C = 0.5


@dataclasses.dataclass(frozen=True)
class Clock(EditableCorridor):
    """A corridor that never ends early and pays ``wage`` for every step; its states are told apart by the time alone."""

    wage: float = 0.0
    tells: bool = True

    def step(self, key, state, action, level):
        observation, state, _, _, _, info = super().step(key, state, action, level)
        if self.tells:
            info = info | {"novelty": hash_words(state.time[None].astype(jnp.uint32))}
        return observation, state, jnp.float32(self.wage), jnp.bool_(False), state.time >= self.max_steps, info


def config_of(coefficient=C, wage=0.0, num_devices=1, reward_weight=1.0, **changes):
    env = Clock(length=5, max_steps=6, wage=wage)
    ppo = PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=1e-3, normalize_advantages=False)
    options = {"coefficient": coefficient, "reward_weight": reward_weight, "table_size": 4096}
    bonus = CountBonus(**options) if coefficient else NoBonus()
    return spread_runs.config_of(num_devices=num_devices, **{"env": env, "ppo": ppo, "bonus": bonus} | changes)


def run(config, until):
    program = Program(config)
    state, rows = program.init(), []
    for iteration in range(1, until + 1):
        state, row = program.advance(state, iteration)
        rows.append(row)
    return state, rows


def test_what_is_counted_and_paid():
    state, rows = run(config_of(), 3)
    # Six times of day, each seen twice an environment and iteration: 8, 16, 24 times.
    assert [row["student/bonus"][0] for row in rows] == pytest.approx([C / (8 * k) ** 0.5 for k in (1, 2, 3)])
    for slots in np.asarray(state.members.student.bonus.slots)[0]:
        assert np.sort(slots)[-7:].tolist() == [0, 24, 24, 24, 24, 24, 24]


def test_the_learner_learns_from_it_and_nobody_else_sees_it():
    state, (row,) = run(config_of(), 1)
    # The same as wages of 0.5 / sqrt(8) a step, but that those are returns.
    paid, (paid_row,) = run(config_of(coefficient=0.0, wage=C / 8**0.5), 1)
    for leaf, expected in zip(
        jax.tree.leaves(state.members.student.parameters),
        jax.tree.leaves(paid.members.student.parameters),
        strict=True,
    ):
        np.testing.assert_allclose(leaf, expected, atol=1e-6)
    without, (unpaid_row,) = run(config_of(coefficient=0.0), 1)
    assert not equal(state.members.student.parameters, without.members.student.parameters)
    assert row["new/return"] == unpaid_row["new/return"] == 0
    assert row["new/solve_rate"] == 0
    assert paid_row["new/return"] == pytest.approx([6 * C / 8**0.5])
    assert "student/bonus" not in unpaid_row


def test_the_rewards_of_the_world_are_weighted_for_the_learner_alone():
    # Wages of 1 at a weight of 0.25 and the bonus are wages of 0.25 and the bonus; at 0 they are nothing.
    for weight in (0.25, 0.0):
        weighted, (row,) = run(config_of(wage=1.0, reward_weight=weight), 1)
        plain, (plain_row,) = run(config_of(wage=weight), 1)
        for leaf, expected in zip(
            jax.tree.leaves(weighted.members.student.parameters),
            jax.tree.leaves(plain.members.student.parameters),
            strict=True,
        ):
            np.testing.assert_allclose(leaf, expected, atol=1e-6)
        assert row["new/return"] == [6.0]
        assert plain_row["new/return"] == [6.0 * weight]
        assert row["student/bonus_slots_filled"] == pytest.approx([6 / 4096], rel=0.2)  # six times of day, if none meet


def test_scores_do_not_see_it():
    options = {"score": "positive_value_loss", "buffer_size": 12, "minimum_fill": 0.3}
    (state, _), (other, _) = (run(config_of(c, teacher=PrioritizedLevelReplay(**options)), 1) for c in (C, 0.0))
    assert equal(state.members.teacher, other.members.teacher)  # of the first policy's play, which was learnt from
    assert np.asarray(state.members.student.bonus.slots).any()
    # What is only scored, as the first levels here, is not counted.
    state, (row,) = run(config_of(teacher=RobustPrioritizedLevelReplay(**options)), 1)
    assert not np.asarray(state.members.student.bonus.slots).any()
    assert np.isnan(row["student/bonus"])


def test_on_two_devices_as_on_one():
    (one, rows), (two, other_rows) = (run(config_of(num_devices=number), 2) for number in (1, 2))
    assert equal(one.members.student.bonus, two.members.student.bonus)
    for leaf, expected in zip(*(jax.tree.leaves(each.members.student.parameters) for each in (two, one)), strict=True):
        np.testing.assert_allclose(leaf, expected, atol=1e-5)
    np.testing.assert_allclose(*([row["student/bonus"] for row in each] for each in (rows, other_rows)), rtol=1e-6)


def test_it_is_part_of_the_state_and_each_student_has_its_own():
    config = config_of(num_students=2, num_seeds=2)
    program = Program(config)
    state, _ = program.advance(program.init(), 1)
    kept = copy(state)
    unbroken, _ = program.advance(state, 3)
    again, _ = program.advance(kept, 3)
    assert equal(unbroken, again)
    for student in (unbroken.members.student, jax.tree.map(lambda leaf: leaf[:, 0], unbroken.members.others)):
        assert np.asarray(student.bonus.slots).sum(axis=-1).tolist() == [[3 * B * T] * 2] * 2


def test_without_one_there_is_nothing_of_it():
    config = config_of(coefficient=0.0)
    program = Program(config)
    assert jax.tree.leaves(program.init().members.student.bonus) == []
    plain = Program(dataclasses.replace(config, bonus=NoBonus()))
    structures = [jax.tree.structure(each._setting) for each in (program, plain)]
    assert structures[0] == structures[1]
    # A coefficient is a number: another one compiles nothing anew.
    some, more = (jax.tree.structure(Program(config_of(c))._setting) for c in (0.1, 0.2))
    assert some == more != structures[0]


@pytest.mark.parametrize(
    ("env", "found"),
    [
        (Clock(length=5, max_steps=6, tells=False), "info['novelty'] of Clock is missing"),
        ("scalar", "info['novelty'] of Scalar is float32[]"),
    ],
)
def test_a_world_that_does_not_tell_is_told_before_anything_compiles(env, found):
    @dataclasses.dataclass(frozen=True)
    class Scalar(Clock):
        def step(self, key, state, action, level):
            *results, info = super().step(key, state, action, level)
            return *results, info | {"novelty": jnp.float32(0)}

    config = config_of(env=Scalar(length=5, max_steps=6) if env == "scalar" else env)
    with pytest.raises(UserError) as error:
        Program(config).check()
    allowed = "allowed where states are counted (--bonus.feature state): uint32[2], a hash of the state"
    assert str(error.value) == f"{found}; {allowed}; else --bonus.feature observation"
    Program(dataclasses.replace(config, bonus=NoBonus())).check()
