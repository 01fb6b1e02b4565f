"""Runs with a bonus that learns itself: whom it reaches, what is saved, members, students, devices, and one trace."""

import dataclasses

import jax
import numpy as np
import pytest
import spread_runs
from tiny_runs import compiled_programs, copy, equal

from minied.errors import UserError
from minied.run.checkpoint import Checkpoints
from minied.students.bonuses.base import NoBonus
from minied.students.bonuses.counts import CountBonus
from minied.students.bonuses.forward_dynamics import ForwardDynamicsBonus
from minied.students.bonuses.random_network_distillation import RandomNetworkDistillation
from minied.students.ppo import PPOConfig
from minied.teachers.prioritized_level_replay import PrioritizedLevelReplay, RobustPrioritizedLevelReplay
from minied.train.program import Program

LEARNING = {"learning_rate": 0.01, "adam_epsilon": 1e-3, "num_epochs": 1, "num_minibatches": 2}
SIZES = LEARNING | {"feature_size": 3, "hidden_size": 4}
DISTILLATION = RandomNetworkDistillation(**SIZES)
INVERSE = ForwardDynamicsBonus(features="inverse_dynamics", num_blocks=1, **SIZES)


def config_of(bonus=DISTILLATION, **options):
    # What each parameter learns shall not hang on the others: no norm of all of them is cut.
    ppo = PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=1e-3, normalize_advantages=False, max_grad_norm=1e6)
    network = dataclasses.replace(spread_runs.SMALL, critic="own")
    return spread_runs.config_of(**{"bonus": bonus, "ppo": ppo, "network": network} | options)


def run(config, until=1):
    program = Program(config)
    return program.advance(program.init(), until)


def close(found, expected, atol=1e-5):
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, atol=atol, rtol=1e-4)


def of_values(parameters):
    return {name: leaf for name, leaf in parameters.items() if "critic" in name or "value" in name}


def of_policy(parameters):
    return {name: leaf for name, leaf in parameters.items() if name not in of_values(parameters)}


def test_the_policy_learns_from_it_and_the_student_s_own_values_do_not():
    (paid, row), (plain, plain_row) = run(config_of()), run(config_of(NoBonus()))
    found, expected = (each.members.student.parameters for each in (paid, plain))
    assert of_values(found).keys() | of_policy(found).keys() == found.keys()
    assert of_values(found)
    close(of_values(found), of_values(expected))
    assert not np.allclose(found["policy"]["kernel"], expected["policy"]["kernel"])
    assert row["student/bonus"] > 0
    assert row["new/return"] == plain_row["new/return"]
    # Where it pays nothing, all is as without it.
    unpaid, _ = run(config_of(dataclasses.replace(DISTILLATION, coefficient=0.0, reward_weight=1.0)))
    close(unpaid.members.student.parameters, expected)


def test_shared_the_values_are_of_both():
    (paid, _), (plain, _) = (
        run(config_of(each)) for each in (dataclasses.replace(DISTILLATION, critic="shared"), NoBonus())
    )
    found, expected = (of_values(each.members.student.parameters) for each in (paid, plain))
    assert not np.allclose(found["value_0"]["kernel"], expected["value_0"]["kernel"])
    assert paid.members.student.bonus.learner.parameters["critic"] == ()


@pytest.mark.slow
def test_scores_do_not_see_it_and_what_is_only_scored_is_not_learnt_from():
    options = {"score": "positive_value_loss", "buffer_size": 12, "minimum_fill": 0.3}
    teacher = PrioritizedLevelReplay(**options)
    (paid, _), (plain, _) = (run(config_of(bonus, teacher=teacher)) for bonus in (DISTILLATION, NoBonus()))
    assert equal(paid.members.teacher, plain.members.teacher)
    config = config_of(teacher=RobustPrioritizedLevelReplay(**options))
    program = Program(config)
    first = program.init()
    kept = copy(first.members.student.bonus)
    after, row = program.advance(first, 1)
    assert equal(after.members.student.bonus, kept)
    assert np.isnan(row["student/prediction_error"])


@pytest.mark.parametrize("bonus", [INVERSE, CountBonus(feature="distance", table_size=64)], ids=["inverse", "counts"])
def test_on_two_devices_as_on_one(bonus):
    (one, row), (two, other) = (run(config_of(bonus, num_devices=number), 2) for number in (1, 2))
    close(two.members.student, one.members.student, atol=1e-4)
    for name in row:
        if name.startswith("student/"):
            np.testing.assert_allclose(other[name], row[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_it_is_saved_and_members_and_students_have_one_each(tmp_path):
    config = config_of(INVERSE, num_students=2, num_seeds=2)
    program = Program(config)
    state, _ = program.advance(program.init(), 1)
    with Checkpoints(tmp_path, "f") as checkpoints:
        checkpoints.save(1, state, program.counters(state), {}, 2)
        unbroken, _ = program.advance(state, 3)
        restored = checkpoints.restore(jax.eval_shape(program.init)).state
    resumed, _ = program.advance(restored, 3)
    assert equal(unbroken, resumed)
    students = unbroken.members.student.bonus, jax.tree.map(lambda leaf: leaf[:, 0], unbroken.members.others.bonus)
    assert not equal(*students)
    alone, _ = run(dataclasses.replace(config, seed=config.seed + 1, num_seeds=1), 3)
    close(jax.tree.map(lambda leaf: leaf[1:], unbroken.members.student), alone.members.student)


def test_other_numbers_compile_nothing_anew():
    run(config_of(), 2)
    before = compiled_programs()
    other = dataclasses.replace(
        DISTILLATION,
        coefficient=0.3,
        reward_weight=0.5,
        learning_rate=0.1,
        proportion=0.5,
        discount=0.9,
        gae_lambda=0.5,
    )
    program = Program(config_of(other))
    state, _ = program.advance(program.init(), 2)
    program.advance(state, 3)
    assert compiled_programs() == before
    shapes = [jax.tree.structure(Program(config_of(each))._setting) for each in (DISTILLATION, NoBonus())]
    assert shapes[0] != shapes[1]


def test_without_one_nothing_of_it_is_there():
    program = Program(config_of(NoBonus()))
    assert program._setting.bonus is None
    assert jax.tree.leaves(jax.eval_shape(program.init).members.student.bonus) == []


@pytest.mark.parametrize(
    ("bonus", "words"),
    [
        (dataclasses.replace(DISTILLATION, num_minibatches=5), "bonus.num_minibatches is 5, which does not divide"),
        (CountBonus(feature="place"), "bonus.feature is 'place'; allowed: state, observation, distance"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_compiles(bonus, words):
    with pytest.raises(UserError) as error:
        config_of(bonus)
    assert str(error.value).startswith(words)
