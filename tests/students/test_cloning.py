"""Students that also learn to act as another one does: the divergence, whose policy it is of, and whom it pulls."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from population_runs import by_hand, students_of
from spread_runs import WITH_MEMORY
from tiny_runs import LEARNER, compiled_programs, config_of, copy, equal, program_of

from minied.experience import batch_of
from minied.students import distributions
from minied.students.distributions import MASKED
from minied.students.ppo import PPOConfig


def log(*probabilities):
    return jnp.log(jnp.asarray(probabilities, jnp.float32))


def test_divergence_by_hand():
    # KL((½, ½) ‖ (¼, ¾)) = ½ log 2 + ½ log ⅔
    found = distributions.divergence(log(0.5, 0.5), log(0.25, 0.75))
    np.testing.assert_allclose(found, 0.5 * np.log(2) + 0.5 * np.log(2 / 3), rtol=1e-6)
    # the other way round: ¼ log ½ + ¾ log 3/2; and of logits, not of probabilities
    found = distributions.divergence(log(0.25, 0.75), log(0.5, 0.5) + 3.0)
    np.testing.assert_allclose(found, 0.25 * np.log(0.5) + 0.75 * np.log(1.5), rtol=1e-5)
    assert float(distributions.divergence(log(0.25, 0.75), log(0.25, 0.75))) == pytest.approx(0, abs=1e-7)


def test_derivative_pulls_towards_the_target():
    # d KL(t ‖ softmax(x)) / dx = softmax(x) − t
    target, logits = log(0.5, 0.3, 0.2), jnp.asarray([0.0, 1.0, -1.0])
    gradient = jax.grad(lambda x: distributions.divergence(target, x))(logits)
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - jnp.exp(target), atol=1e-6)


def test_nobody_s_policy_has_no_weight_and_masked_actions_none_either():
    nobody = jnp.full(3, MASKED)
    value, gradient = jax.value_and_grad(lambda x: distributions.divergence(nobody, x))(jnp.asarray([0.0, 1.0, -1.0]))
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)
    masked = distributions.masked(jnp.asarray([0.0, 1.0, -1.0]), jnp.asarray([True, False, True]))
    target = distributions.log_probabilities(masked)
    value, gradient = jax.value_and_grad(lambda x: distributions.divergence(target, x))(masked + 0.0)
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(gradient).all()


# -- in a run ----------------------------------------------------------------------------------------------------------

CLONED = ("none", "protagonist", "all")


def config_with(cloning, coefficient=2.0, **options):
    """Domain randomisation, so that levels do not depend on what students learn; a student with a memory."""
    learner = dataclasses.replace(LEARNER, cloning_coefficient=coefficient)
    network = dataclasses.replace(WITH_MEMORY, recipe="jaxued")
    return config_of("domain_randomization", num_students=2, cloning=cloning, network=network, ppo=learner, **options)


def strong(state):
    """The state with students whose policies say something, and differ."""
    state = copy(state)
    students = (state.members.student.parameters, state.members.others.parameters)
    for parameters, factor in zip(students, (300.0, -300.0), strict=True):
        parameters["policy"] = jax.tree.map(lambda leaf, f=factor: f * leaf, parameters["policy"])
    return state


@functools.cache
def advanced(cloning, coefficient=2.0, until=1):
    program = program_of(config_with(cloning, coefficient))
    state, row = program.advance(strong(program.init()), until)
    return students_of(state), row


def divergence_by_hand(number):
    """Of student `number`'s policy from the other's, on what student `number` plays, both as before the iteration."""
    program = program_of(config_with("all"))
    state = strong(program.init())
    _, every, _ = by_hand(program_of(config_with("none")), state)
    played, students = every[number], students_of(state)

    @jax.jit
    def divergence(model, student):
        batch = batch_of(played.rollout.replace(activations=()), played.advantages, played.carry)
        logits = [
            program.student.apply(each.parameters, batch.carry, batch.observations, batch.resets)[1]
            for each in (model, student)
        ]
        return distributions.divergence(distributions.log_probabilities(logits[0]), logits[1]).mean()

    assert np.asarray(played.rollout.resets)[1:].any()  # memories are emptied on the way
    return float(divergence(students[1 - number], students[number]))


def test_divergence_is_from_the_other_s_policy_before_the_iteration_on_the_student_s_own_play():
    _, row = advanced("all")
    by_number = [divergence_by_hand(number) for number in (0, 1)]
    # One epoch of one minibatch: what is reported is of the parameters that acted.
    assert float(row["student/cloning_divergence"][0]) == pytest.approx(by_number[0], rel=1e-4)
    assert float(row["student_1/cloning_divergence"][0]) == pytest.approx(by_number[1], rel=1e-4)
    assert min(by_number) > 0.05
    assert by_number[0] != pytest.approx(by_number[1], rel=1e-3)


def test_whom_it_pulls():
    (alone, row), (first, _), (both, _) = (advanced(cloning) for cloning in CLONED)
    assert "student/cloning_divergence" not in row
    assert not equal(first[0].parameters, alone[0].parameters)
    assert equal(first[1], alone[1])  # who is cloned learns nothing of it
    assert equal(both[0], first[0])
    assert not equal(both[1].parameters, alone[1].parameters)
    assert float(advanced("protagonist")[1]["student_1/cloning_divergence"][0]) == 0


def test_a_student_that_clones_becomes_more_like_the_other():
    def distances(cloning):
        program = program_of(config_with(cloning, coefficient=2.0))
        state, found = strong(program.init()), []
        for until in (1, 6):
            state, row = program.advance(state, until)
            found.append(float(row["student/cloning_divergence"][0]))
        return found

    first, later = distances("all")
    assert later < 0.9 * first


def test_its_weight_is_a_number_of_the_program():
    advanced("all")
    before = compiled_programs()
    nothing, _ = advanced("all", coefficient=0.0)
    much, _ = advanced("all", coefficient=4.0)
    assert compiled_programs() == before
    alone, _ = advanced("none")
    for a, b in zip(jax.tree.leaves(nothing), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert not equal(much, advanced("all")[0])
    assert [*jax.tree.leaves(PPOConfig(cloning_coefficient=0.123))].count(0.123) == 1
