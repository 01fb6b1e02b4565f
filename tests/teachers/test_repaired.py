"""REPAIRED: each student replays and learns from a buffer of its own; designed levels teach the designer, and no student.

Letters: ``B`` levels in a batch, ``C`` capacity of a buffer.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import fill, held, outcome
from population_runs import by_hand, students_of
from tiny_runs import ENV, B, config_of, copy, equal, program_of, teacher_of
from toy_worlds import CorridorLevel, no_probe

from minied.errors import UserError
from minied.levels.buffer import find
from minied.teachers.base import DESIGNED, REPLAY, Outcome, Plan, Schedule
from minied.teachers.pay import Pay

SPACE, C = ENV.level_space, 12
WORTH_ITS_RETURN = teacher_of("repaired", score="mean_return", pay=Pay(score="mean_relative_regret"))


def plan_of(kind):
    return Plan.of(kind, train=kind == REPLAY, new_batches=int(kind == DESIGNED))


@functools.cache
def begun(teacher=WORTH_ITS_RETURN):
    return jax.jit(lambda key: teacher.init(key, SPACE, B))(jax.random.key(0))


@functools.cache
def _propose(teacher, kind):
    return jax.jit(lambda key, state: teacher.propose(key, state, plan_of(kind), SPACE, B, no_probe)[1])


@functools.cache
def _observe(teacher, kind):
    def observe(state, proposal, returns, values):
        found = outcome(returns, values, proposal.max_returns)
        return teacher.observe(state, plan_of(kind), proposal, Outcome(found.episodes, found.signals), SPACE)

    return jax.jit(observe)


def propose(kind, state, key=1, teacher=WORTH_ITS_RETURN):
    return _propose(teacher, kind)(jax.random.key(key), state)


def observe(kind, state, proposal, returns, values=(0.0,) * 2 * B, teacher=WORTH_ITS_RETURN):
    """The state after the protagonist returned the first B of `returns`, and the antagonist the others."""
    return _observe(teacher, kind)(state, proposal, jnp.asarray(returns, jnp.float32), jnp.asarray(values, jnp.float32))


def buffers_of(state):
    return [jax.tree.map(lambda leaf, i=i: leaf[i], state.buffers) for i in range(2)]


def with_buffers(first, second, state=None):
    """A state whose buffers hold these starts and scores."""
    state = begun() if state is None else state
    filled = [
        fill(buffer, SPACE, starts, scores)
        for buffer, (starts, scores) in zip(buffers_of(state), (first, second), strict=True)
    ]
    return state.replace(buffers=jax.tree.map(lambda *leaves: jnp.stack(leaves), *filled))


def designed_as(proposal, starts):
    """The proposal of a design as if the designer had built these levels."""
    levels = CorridorLevel(jnp.asarray([*starts, *starts], jnp.int32))
    return proposal.replace(levels=levels)


# -- what is proposed --------------------------------------------------------------------------------------------------


def test_designed_levels_are_given_to_both_with_what_each_knows_of_them():
    state = with_buffers(([1, 2, 3, 4, 5], [0, 0.1, 0.2, 0.3, 0.4]), ([1, 2, 3, 4, 5], [1, 1.1, 1.2, 1.3, 1.4]))
    proposal = propose(DESIGNED, state)
    starts = np.asarray(proposal.levels.start)
    np.testing.assert_array_equal(starts[:B], starts[B:])
    np.testing.assert_array_equal(proposal.sources, [DESIGNED] * 2 * B)
    np.testing.assert_array_equal(proposal.slots, [-1] * 2 * B)
    np.testing.assert_allclose(proposal.max_returns[:B], 0.1 * (starts[:B] - 1), atol=1e-6)
    np.testing.assert_allclose(proposal.max_returns[B:], 1 + 0.1 * (starts[B:] - 1), atol=1e-6)
    assert len({*starts[:B]}) > 1


def test_replayed_levels_are_each_student_s_own():
    state = with_buffers(([1, 2], [1, 2]), ([5, 4, 3], [1, 2, 3]))
    drawn = [np.asarray(propose(REPLAY, state, key).levels.start) for key in range(8)]
    assert {*np.concatenate([each[:B] for each in drawn])} == {1, 2}
    assert {*np.concatenate([each[B:] for each in drawn])} == {3, 4, 5}
    proposal = propose(REPLAY, state)
    np.testing.assert_array_equal(proposal.sources, [REPLAY] * 2 * B)
    for buffer, half in zip(buffers_of(state), (slice(0, B), slice(B, 2 * B)), strict=True):
        slots = np.asarray(proposal.slots)[half]
        np.testing.assert_array_equal(buffer.levels.start[slots], proposal.levels.start[half])
        np.testing.assert_array_equal(buffer.max_returns[slots], proposal.max_returns[half])


def test_plan_replays_and_learns_when_the_buffers_are_warm_and_only_then():
    def plan(new_batches, probability=1.0, key=0):
        teacher = teacher_of("repaired", replay_probability=probability)
        schedule = Schedule.start(jax.random.key(0)).replace(new_batches=jnp.int32(new_batches))
        return teacher.plan(jax.random.key(key), schedule, B)

    for new_batches, kind in ((0, DESIGNED), (1, DESIGNED), (2, REPLAY)):  # 8 of 12 levels are more than half
        found = plan(new_batches)
        assert (int(found.kind), bool(found.train)) == (kind, kind == REPLAY)
        assert int(found.new_batches) == (kind == DESIGNED)
        assert int(found.rollouts) == 1  # of each student
    kinds = [int(plan(2, 0.5, key).kind) for key in range(200)]
    assert np.mean(np.asarray(kinds) == REPLAY) == pytest.approx(0.5, abs=0.15)


def test_a_proportionate_plan_replays_with_the_share_that_was_offered_as_in_dcd():
    teacher = teacher_of("repaired", replay_probability=0.95, replay_decision="proportionate").traced()
    plan = jax.jit(jax.vmap(lambda key, schedule: teacher.plan(key, schedule, B), in_axes=(0, None)))
    # B = 4, C = 12: 8 of 12 levels after two batches; after three 12 of 12, and then 0.95 is the most
    for new_batches, expected in ((1, 0.0), (2, 2 / 3), (3, 0.95)):
        schedule = Schedule.start(jax.random.key(0)).replace(new_batches=jnp.int32(new_batches))
        replay = np.asarray(plan(jax.random.split(jax.random.key(1), 4000), schedule).kind) == REPLAY
        assert abs(np.mean(replay) - expected) <= 4 * np.sqrt(expected * (1 - expected) / 4000)


# -- what is observed --------------------------------------------------------------------------------------------------


def test_each_buffer_holds_its_student_s_own_scores_and_the_designer_is_paid_by_their_difference():
    proposal = designed_as(propose(DESIGNED, begun()), [1, 2, 3, 4])
    state = observe(DESIGNED, begun(), proposal, [0.1, 0.2, 0.3, 0.4, 1.1, 1.3, 1.2, 0.1])
    first, second = buffers_of(state)
    assert held(first) == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
    assert held(second) == pytest.approx({1: 1.1, 2: 1.3, 3: 1.2, 4: 0.1})
    # mean-relative regret: 1, 1.1, 0.9 and 0 for 0.1 − 0.4
    assert float(state.designer.pay.last_mean) == pytest.approx((1 + 1.1 + 0.9 + 0) / 4)
    assert not equal(state.designer.learner, begun().designer.learner)
    assert (int(first.clock), int(second.clock)) == (1, 1)


def test_a_replay_rescores_each_student_s_own_levels_and_leaves_the_designer():
    state = with_buffers(([1, 2], [0.5, 0.5]), ([4, 5], [0.5, 0.5]))
    proposal = propose(REPLAY, state)
    slots = np.asarray(proposal.slots)
    returns = np.arange(2 * B, dtype=np.float32)
    after = observe(REPLAY, state, proposal, returns)
    for buffer, half in zip(buffers_of(after), (slice(0, B), slice(B, 2 * B)), strict=True):
        for slot in {*slots[half]}:
            mine = returns[half][slots[half] == slot]
            assert float(buffer.scores[slot]) == pytest.approx(mine.mean())
            assert float(buffer.max_returns[slot]) == pytest.approx(max(mine.max(), 0.5))
    assert {*held(buffers_of(after)[0])} == {1, 2}
    assert {*held(buffers_of(after)[1])} == {4, 5}
    assert equal(after.designer, state.designer)


def test_trap_13_a_level_offered_again_never_lowers_what_either_student_is_known_to_have_earned():
    # The protagonist once earned 3 on level 2, the antagonist 1; now they earn 1 and 2.
    state = with_buffers(([2, 4], [3.0, 0.0]), ([2, 4], [1.0, 5.0]))
    proposal = designed_as(propose(DESIGNED, state), [2, 2, 4, 4])
    known = [find_known(buffer, [2, 2, 4, 4]) for buffer in buffers_of(state)]
    proposal = proposal.replace(max_returns=jnp.concatenate(known))
    after = observe(DESIGNED, state, proposal, [1, 0.5, -1, -2, 2, 1.5, -1, -2])
    first, second = buffers_of(after)
    assert best(first) == {2: 3.0, 4: 0.0}
    assert best(second) == {2: 2.0, 4: 5.0}
    assert held(first) == pytest.approx({2: 0.75, 4: -1.5})  # the score is that of now, one visit with the mean of both
    assert held(second) == pytest.approx({2: 1.75, 4: -1.5})
    # nor where what was known did not come with the proposal
    forgotten = proposal.replace(max_returns=jnp.full(2 * B, -jnp.inf))
    after = observe(DESIGNED, state, forgotten, [1, 0.5, -1, -2, 2, 1.5, -1, -2])
    assert [best(buffer) for buffer in buffers_of(after)] == [{2: 3.0, 4: 0.0}, {2: 2.0, 4: 5.0}]


def find_known(buffer, starts):
    slots = find(buffer, jax.vmap(SPACE.fingerprint)(CorridorLevel(jnp.asarray(starts, jnp.int32))))
    return buffer.max_returns[slots]


def best(buffer):
    """{start: highest return} of the filled slots."""
    every = zip(buffer.levels.start, buffer.max_returns, buffer.filled, strict=True)
    return {int(start): float(value) for start, value, filled in every if bool(filled)}


# -- in a run ----------------------------------------------------------------------------------------------------------


def by_start(starts, values):
    """{start: mean of the values}."""
    return {int(start): float(np.mean(values[starts == start])) for start in np.unique(starts)}


def test_students_learn_from_replays_of_their_own_and_from_nothing_else():
    program = program_of(config_of(WORTH_ITS_RETURN))
    state = program.init()
    for until, kind in ((1, DESIGNED), (2, DESIGNED), (3, REPLAY), (4, REPLAY)):
        before = copy(state)
        proposal, every, expected = by_hand(program, state)
        state, row = program.advance(state, until)
        np.testing.assert_array_equal(proposal.sources, [kind] * 2 * B)
        teacher = jax.tree.map(lambda leaf: leaf[0], state.members.teacher)
        teacher_before = jax.tree.map(lambda leaf: leaf[0], before.members.teacher)
        for number, (mine, alone, old) in enumerate(
            zip(students_of(state), expected, students_of(before), strict=True)
        ):
            if kind == DESIGNED:
                assert equal(mine, old)
            else:
                assert not equal(mine.parameters, old.parameters)
                for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(alone), strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            # What was just played has the score of its own student.
            starts = np.asarray(proposal.levels.start)[number * B : (number + 1) * B]
            played = by_start(starts, np.asarray(every[number].outcome.episodes.mean_return))
            scores = held(buffers_of(teacher)[number])
            assert {start: scores[start] for start in played} == pytest.approx(played, abs=1e-5)
            if kind == REPLAY:
                assert {*played} <= {*held(buffers_of(teacher_before)[number])}
        assert equal(teacher.designer, teacher_before.designer) == (kind == REPLAY)
        assert np.isnan(row["student/policy_loss"][0]) == (kind == DESIGNED)
    assert held(buffers_of(teacher)[0]) != held(buffers_of(teacher)[1])
    np.testing.assert_allclose(row["teacher/buffer_fill"], len(held(buffers_of(teacher)[0])) / C)
    np.testing.assert_allclose(row["teacher/antagonist_buffer_fill"], len(held(buffers_of(teacher)[1])) / C)


def test_levels_that_are_shown_are_the_protagonist_s():
    program = program_of(config_of(WORTH_ITS_RETURN))
    state, _ = program.advance(program.init(), 4)
    levels, notes = program.annotated_proposals(state, 6)
    known = held(buffers_of(jax.tree.map(lambda leaf: leaf[0], state.members.teacher))[0])
    assert [known[int(start)] for start in levels.start] == pytest.approx(notes["score"].tolist())


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relative_regret", "population_regret"])
def test_a_replayed_level_has_no_population(name):
    with pytest.raises(UserError) as error:
        config_of(teacher_of("repaired", score=name))
    assert str(error.value) == (
        f"score '{name}' needs the signal population: a student that replays plays levels of its own, which nobody else"
        " plays"
    )


def test_a_buffer_holds_a_batch():
    config_of(teacher_of("repaired", buffer_size=B))
    with pytest.raises(UserError, match=r"^teacher.buffer_size is 3; allowed: at least num_envs = 4$"):
        config_of(teacher_of("repaired", buffer_size=B - 1))


def test_a_score_that_is_no_number_ends_the_run_and_is_named():
    program = program_of(config_of(teacher_of("repaired", score="toy_worlds:nan_score")))
    with pytest.raises(UserError) as error:
        program.advance(program.init(), 5)
    assert str(error.value).startswith(
        "teacher.score is 'toy_worlds:nan_score' and teacher.pay.score 'relative_regret', which gave NaN or infinity"
    )
    assert "in iteration 1;" in str(error.value)
