"""ACCEL: when levels are edited, whose copies they are, and that nothing is learnt from them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import fill, held, outcome, proposal_of
from toy_designers import EditableCorridor
from toy_worlds import Meeting, no_probe

from minied.errors import UserError
from minied.levels import buffer as level_buffer
from minied.levels.finite import FiniteLevelSpace
from minied.teachers.accel import Accel, AccelState, ParallelAccel
from minied.teachers.base import MUTATED, NEW, REPLAY, Plan, Schedule

SPACE = EditableCorridor(length=100).level_space
B = 4
SERIAL = Accel(buffer_size=16, score="mean_return")
PARALLEL = ParallelAccel(buffer_size=16, score="mean_return")
_propose = jax.jit(lambda teacher, key, state, plan: teacher.propose(key, state, plan, SPACE, B, no_probe)[1])
_observe = jax.jit(
    lambda teacher, state, plan, proposal, outcome: teacher.observe(state, plan, proposal, outcome, SPACE)
)


def plan_of(kind):
    return Plan.of(kind, train=kind == REPLAY, new_batches=kind == NEW)


@functools.cache
def filled_buffer():
    """Levels 10, 20, … 80 in slots 0 … 7, scores 0.8, 0.7, … 0.1, identities 0 … 7."""
    empty = SERIAL.init(jax.random.key(0), SPACE, B).buffer
    return fill(empty, SPACE, range(10, 90, 10), [s / 10 for s in range(8, 0, -1)], clock=3)


def state_of(replayed=(0, 0, 0, 0)):
    return AccelState(filled_buffer(), jnp.asarray(replayed, jnp.int32))


# -- the automaton -----------------------------------------------------------------------------------------------------


@functools.cache
def plans(probability, count=400):
    teacher = Accel(buffer_size=16, replay_probability=probability).traced()

    @jax.jit
    def run(key):
        def step(schedule, i):
            plan = teacher.plan(jax.random.fold_in(key, i), schedule, B)
            return schedule.after(plan), plan

        return jax.lax.scan(step, Schedule.start(key), jnp.arange(count))

    schedule, plans = run(jax.random.key(0))
    return jax.tree.map(np.asarray, schedule.replace(key=())), jax.tree.map(np.asarray, plans)


@pytest.mark.parametrize("probability", [0.3, 0.8, 1.0])
def test_an_iteration_edits_exactly_after_one_that_replayed(probability):
    schedule, plan = plans(probability)
    kinds = plan.kind.tolist()
    assert set(kinds) == {NEW, REPLAY, MUTATED} if probability < 1 else {NEW, REPLAY, MUTATED} >= set(kinds)
    for last, kind in itertools.pairwise(kinds):
        assert (kind == MUTATED) == (last == REPLAY)
    assert kinds[0] == NEW
    np.testing.assert_array_equal(plan.train, plan.kind == REPLAY)  # nothing is learnt from new levels or edited ones
    np.testing.assert_array_equal(plan.new_batches, plan.kind == NEW)
    np.testing.assert_array_equal(plan.rollouts, 1)
    assert int(schedule.student_updates) == kinds.count(REPLAY)
    assert int(schedule.new_batches) == kinds.count(NEW)
    assert int(schedule.rollouts) == len(kinds)
    assert int(schedule.last_kind) == kinds[-1]


def test_an_iteration_that_does_not_edit_replays_with_its_probability():
    _, plan = plans(0.8, 4000)
    decided = plan.kind[2:][plan.kind[2:] != MUTATED]  # two batches of 4 warm half of 16
    assert abs(np.mean(decided == REPLAY) - 0.8) < 4 * np.sqrt(0.8 * 0.2 / len(decided))


def test_steps_per_update_are_those_of_the_paper():
    # each update: one replay, one edit, and (1 − p)/p new: 1 + 1 + 0.25 = 2.25 rollouts with p = 0.8
    schedule, _ = plans(0.8, 4000)
    assert int(schedule.rollouts) / int(schedule.student_updates) == pytest.approx(2.25, abs=0.05)


# -- trap 8: whose copies ----------------------------------------------------------------------------------------------


def parents_of(parents, slots, num_children, num_parents=4):
    teacher = Accel(parents=parents, num_parents=num_parents, buffer_size=16)
    choose = jax.jit(lambda buffer, slots: teacher.choose(buffer, slots, num_children))
    return np.asarray(choose(filled_buffer(), jnp.asarray(slots, jnp.int32))).tolist()


def test_trap_08_batch_edits_every_replayed_level_once():
    assert parents_of("batch", [3, 1, 7, 3], 4) == [3, 1, 7, 3]


def test_trap_08_easy_edits_the_lowest_scores_and_hard_the_highest():
    # scores fall with the slot: of slots 6, 0, 3, 5, 1, 2 the lowest are 6, 5, 3, 2 and the highest 0, 1, 2, 3
    slots = [6, 0, 3, 5, 1, 2]
    assert parents_of("easy", slots, 6) == [6, 5, 3, 2, 6, 5]
    assert parents_of("hard", slots, 6) == [0, 1, 2, 3, 0, 1]
    assert parents_of("easy", slots, 6, num_parents=1) == [6] * 6
    assert parents_of("hard", slots, 6, num_parents=2) == [0, 1] * 3
    assert parents_of("easy", slots, 6, num_parents=9) == [6, 5, 3, 2, 1, 0]  # there are no more than were replayed


def test_trap_08_parents_are_ranked_by_the_scores_of_their_slots_and_not_by_those_of_the_first():
    buffer = filled_buffer()
    teacher = Accel(parents="easy", num_parents=1, buffer_size=16)
    # slots 0 … 3 hold lower scores than 4 … 7 now; an index taken for a slot would choose among the first four
    buffer = buffer.replace(scores=jnp.asarray([0, 0, 0, 0, 4, 3, 2, 9, *[0] * 8], jnp.float32))
    assert teacher.choose(buffer, jnp.asarray([4, 7, 6, 5], jnp.int32), 4).tolist() == [6] * 4


def test_children_are_edited_copies_of_what_was_replayed_last():
    for key in range(3):
        proposal = _propose(SERIAL.traced(), jax.random.key(key), state_of([2, 0, 7, 2]), plan_of(MUTATED))
        starts = np.asarray(proposal.levels.start)
        assert np.all(np.abs(starts - np.asarray([30, 10, 80, 30])) == 1)  # an edit moves the start one cell
        assert proposal.sources.tolist() == [MUTATED] * 4
        assert proposal.slots.tolist() == [-1] * 4
        assert np.all(np.isneginf(proposal.max_returns))
        assert proposal.ancestry.parent.tolist() == [2, 0, 7, 2]
        assert proposal.ancestry.lineage.tolist() == [2, 0, 7, 2]
        assert proposal.ancestry.generation.tolist() == [1] * 4


def test_children_of_one_parent_are_edited_each_by_itself():
    teacher = Accel(buffer_size=16, parents="hard", num_parents=1).traced()
    seen = [_propose(teacher, jax.random.key(k), state_of(), plan_of(MUTATED)).levels.start.tolist() for k in range(8)]
    assert any(len(set(starts)) == 2 for starts in seen)


def test_a_child_that_the_buffer_knows_brings_its_best_return():
    # the levels are 10 and 11: an edit of one is often the other
    buffer = fill(SERIAL.init(jax.random.key(0), SPACE, B).buffer, SPACE, [10, 11], [1, 2], max_returns=[5, 6])
    found = set()
    for key in range(8):
        state = AccelState(buffer, jnp.asarray([0, 1, 0, 1], jnp.int32))
        proposal = _propose(SERIAL.traced(), jax.random.key(key), state, plan_of(MUTATED))
        found |= set(zip(proposal.levels.start.tolist(), proposal.max_returns.tolist(), strict=True))
    assert found == {(9, -np.inf), (11, 6.0), (10, 5.0), (12, -np.inf)}


def test_replayed_slots_are_remembered_until_the_next_replay():
    teacher = SERIAL.traced()
    replay = proposal_of([10, 30, 10, 80], [REPLAY] * 4, [0, 2, 0, 7])
    state = _observe(teacher, state_of(), plan_of(REPLAY), replay, outcome([0.9, 0.9, 0.7, 0.05]))
    assert state.replayed.tolist() == [0, 2, 0, 7]
    assert held(state.buffer)[10] == pytest.approx(0.8)  # (0.9 + 0.7) / 2
    assert held(state.buffer)[80] == pytest.approx(0.05)
    children = proposal_of([11, 31, 12, 81], [MUTATED] * 4)
    for kind, proposal in ((MUTATED, children), (NEW, proposal_of([5, 6, 7, 8], [NEW] * 4))):
        state = _observe(teacher, state, plan_of(kind), proposal, outcome([1, 2, 3, 4]))
        assert state.replayed.tolist() == [0, 2, 0, 7]
    assert {11, 31, 12, 81, 5, 6, 7, 8} <= held(state.buffer).keys()


def test_families_grow_through_the_buffer_by_one_generation_an_edit():
    teacher, state, last = SERIAL.traced(), state_of([1, 1, 1, 1]), 1
    for generation in (1, 2, 3):
        proposal = _propose(teacher, jax.random.key(generation), state, plan_of(MUTATED))
        assert proposal.ancestry.generation.tolist() == [generation] * 4
        proposal = proposal.replace(levels=proposal_of([90 + generation] * 4, [MUTATED] * 4).levels)  # none is known
        result = outcome([10 * generation, -1, -1, -1], finished=[1, 0, 0, 0])
        state = _observe(teacher, state, plan_of(MUTATED), proposal, result)
        slot = int(jnp.argmax(state.buffer.scores))
        assert int(state.buffer.ancestry.lineage[slot]) == 1
        assert int(state.buffer.ancestry.generation[slot]) == generation
        assert int(state.buffer.ancestry.parent[slot]) == last
        last = int(state.buffer.identities[slot])
        state = AccelState(state.buffer, jnp.full(B, slot, jnp.int32))
    assert float(teacher.metrics(state, SPACE)["buffer_mean_generation"]) == pytest.approx(6 / 11)


# -- side by side ------------------------------------------------------------------------------------------------------

COLD = Plan.of(NEW, train=False, new_batches=3, rollouts=3)
WARM = Plan.of(REPLAY, train=True, new_batches=1, rollouts=3)


def test_parallel_plan_warms_by_three_batches_and_then_always_replays():
    teacher, schedule, seen = ParallelAccel(buffer_size=24).traced(), Schedule.start(jax.random.key(0)), []
    for k in range(4):
        plan = teacher.plan(jax.random.key(k), schedule, B)
        seen.append((int(plan.kind), bool(plan.train), int(plan.new_batches), int(plan.rollouts)))
        schedule = schedule.after(plan)
    assert seen == [(NEW, False, 3, 3)] + [(REPLAY, True, 1, 3)] * 3  # 12 of 24 is half
    assert int(schedule.rollouts) == 12


def test_parallel_proposal_is_replayed_new_and_edited_copies_of_those_replayed_beside_them():
    assert PARALLEL.num_batches == 3
    proposal = _propose(PARALLEL.traced(), jax.random.key(0), filled_buffer(), WARM)
    assert proposal.sources.tolist() == [REPLAY] * 4 + [NEW] * 4 + [MUTATED] * 4
    starts, slots = np.asarray(proposal.levels.start), np.asarray(proposal.slots)
    np.testing.assert_array_equal(starts[:4], 10 * (slots[:4] + 1))
    np.testing.assert_array_equal(slots[4:], -1)
    assert np.all(np.abs(starts[8:] - starts[:4]) == 1)
    np.testing.assert_array_equal(proposal.ancestry.parent, [-1] * 8 + slots[:4].tolist())
    np.testing.assert_array_equal(proposal.ancestry.generation, [0] * 8 + [1] * 4)


def test_parallel_proposal_is_three_different_new_batches_until_it_is_warm():
    proposal = _propose(PARALLEL.traced(), jax.random.key(0), filled_buffer(), COLD)
    assert proposal.sources.tolist() == [NEW] * 12
    starts = proposal.levels.start.tolist()
    assert len({tuple(starts[:4]), tuple(starts[4:8]), tuple(starts[8:])}) == 3


@pytest.mark.parametrize("parents", ["easy", "hard"])
def test_trap_08_parallel_parents_are_chosen_as_serial_ones(parents):
    teacher = ParallelAccel(buffer_size=16, parents=parents, num_parents=1, staleness_coefficient=1.0).traced()
    buffer = filled_buffer().replace(last_seen=jnp.zeros(16, jnp.int32))
    proposal = _propose(teacher, jax.random.key(1), buffer, WARM)
    replayed = np.asarray(proposal.slots)[:4]
    assert len(set(replayed.tolist())) > 1
    assert set(np.asarray(proposal.ancestry.parent)[8:].tolist()) == {
        replayed.max() if parents == "easy" else replayed.min()  # scores fall with the slot
    }


def test_parallel_children_are_offered_with_the_new_levels_after_the_replayed_ones_were_rescored():
    slots = jnp.asarray([0, 1, 2, 3], jnp.int32)
    children = level_buffer.children_of(filled_buffer(), slots)
    first = proposal_of([10, 20, 30, 40], [REPLAY] * 4, slots)
    ancestry = jax.tree.map(lambda a, b: jnp.concatenate([a, a, b]), first.ancestry, children)
    starts = [10, 20, 30, 40, 51, 52, 53, 54, 11, 21, 31, 41]
    proposal = proposal_of(starts, [REPLAY] * 4 + [NEW] * 4 + [MUTATED] * 4, [0, 1, 2, 3] + [-1] * 8, ancestry=ancestry)
    after = _observe(PARALLEL.traced(), filled_buffer(), WARM, proposal, outcome(np.arange(1, 13)))
    got = held(after)
    assert {start: got[start] for start in (10, 20, 30, 40)} == {10: 1, 20: 2, 30: 3, 40: 4}
    assert {start: got[start] for start in starts[4:]} == dict(zip(starts[4:], range(5, 13), strict=True))
    kept = {int(s): (int(p), int(g)) for s, p, g in zip(
        after.levels.start, after.ancestry.parent, after.ancestry.generation, strict=True)}  # fmt: skip
    assert [kept[start] for start in (11, 21, 31, 41)] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert [kept[start] for start in (51, 52, 53, 54)] == [(-1, 0)] * 4


# -- what a user may get wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "name"), [(Accel, "ACCEL"), (ParallelAccel, "parallel ACCEL")])
def test_levels_that_cannot_be_edited_are_told_in_one_line(cls, name):
    cls(buffer_size=16).validate(SPACE, B, {})
    for space, why in (
        (Meeting().level_space, "which MeetingLevels does not have"),
        (FiniteLevelSpace(SPACE, 8, 0), "which would leave the 8 levels of num_train_levels"),
    ):
        with pytest.raises(UserError) as error:
            cls(buffer_size=16).validate(space, B, {})
        assert f"{name} needs `mutate`, {why}" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"parents": "best"}, ("parents is 'best'", "batch, easy, hard")),
        ({"num_parents": 0}, ("num_parents is 0", "[1, 16777216]")),
        ({"replay_probability": 0.0}, ("replay_probability is 0", "(0, 1]")),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        Accel(**options)
    assert all(part in str(error.value) for part in parts)


def test_three_batches_must_fit_into_the_buffer():
    with pytest.raises(UserError, match=r"teacher\.buffer_size is 11; allowed: at least num_envs x 3 = 12"):
        ParallelAccel(buffer_size=11).validate(SPACE, B, {})
