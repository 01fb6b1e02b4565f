"""MAP-Elites: one level a cell, the best of its kind, on a plane whose cells can be counted by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import outcome
from toy_designers import EditableCorridor
from toy_worlds import Corridor, Meeting, no_probe

from minied.errors import UserError
from minied.levels.buffer import Ancestry
from minied.levels.space import LevelSpace
from minied.teachers.base import MUTATED, NEW, REPLAY, Plan, Proposal, Schedule
from minied.teachers.map_elites import MapElites

B = 4


@dataclasses.dataclass(frozen=True)
class Plane(LevelSpace):
    """A level is two numbers and a constant; the width of one whose first number is negative is not defined."""

    def sample(self, key):
        return jax.random.uniform(key, (2,), minval=jnp.asarray([0.0, -8.0]), maxval=jnp.asarray([10.0, 8.0]))

    def mutate(self, key, level):
        return level + 0.5

    def describe(self, level):
        return {"width": jnp.where(level[0] < 0, jnp.nan, level[0]), "depth": level[1], "colour": jnp.float32(3.0)}


SPACE = Plane()


def teacher_of(features=("width", "depth"), ranges=(0.0, 10.0, -8.0, 8.0), buffer_size=8, **options):
    return MapElites(features=features, feature_ranges=ranges, buffer_size=buffer_size, score="mean_return", **options)


def cells(teacher, levels):
    return np.asarray(teacher.cells(jnp.asarray(levels, jnp.float32), SPACE)).tolist()


# -- the grid ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("buffer_size", "number", "bins"), [(8, 1, 8), (8, 2, 2), (9, 2, 3), (1024, 2, 32), (1000, 3, 10), (1023, 2, 31)]
)
def test_the_buffer_is_cut_into_as_many_bins_as_fit(buffer_size, number, bins):
    names = ("width", "depth", "colour")[:number]
    assert teacher_of(names, (0.0, 1.0) * number, buffer_size).num_bins == bins


def test_cells_by_hand_the_first_feature_counts_slowest():
    # 2 bins each: width below and above 5, depth below and above 0
    levels = [[1, -1], [1, 1], [6, -1], [6, 1], [4.99, -0.01], [5, 0]]
    assert cells(teacher_of(), levels) == [0, 1, 2, 3, 0, 3]
    # the order of the features is the user's: depth first
    assert cells(teacher_of(("depth", "width"), (-8.0, 8.0, 0.0, 10.0)), levels) == [0, 2, 1, 3, 0, 3]
    # 3 bins of one feature over 0 … 9
    thirds = teacher_of(("width",), (0.0, 9.0), 3)
    assert cells(thirds, [[0, 0], [2.9, 0], [3, 0], [5.9, 0], [6, 0], [9, 0]]) == [0, 0, 1, 1, 2, 2]


def test_levels_outside_of_the_ranges_fall_into_the_first_or_last_bin():
    assert cells(teacher_of(), [[99, -99], [99, 99], [1, 99], [1, -99]]) == [2, 3, 1, 0]


def test_a_feature_that_a_level_does_not_have_is_a_kind_of_its_own_before_all_others():
    teacher = teacher_of(("width",), (-1.0, 9.0), 10)
    assert cells(teacher, [[-5, 0], [0.5, 0]]) == [0, 1]


def test_ranges_that_are_not_given_are_what_the_generator_spans():
    teacher = teacher_of(("depth",), (), 4)
    # 1024 uniform numbers span all but a hundredth of −8 … 8: bins of 4
    assert cells(teacher, [[0, -7], [0, -3], [0, 3], [0, 7], [0, -50]]) == [0, 1, 2, 3, 0]
    low, high = teacher._ranges(SPACE)
    assert -8 <= low[0] < -7.8
    assert 7.8 < high[0] <= 8
    assert teacher_of(("depth",), (), 4)._ranges(SPACE)[0] == low  # the same for all members and whenever it is asked


def test_a_feature_that_never_varies_spans_one():
    teacher = teacher_of(("colour",), (), 2)
    low, high = teacher._ranges(SPACE)
    assert (low.tolist(), high.tolist()) == ([3.0], [4.0])
    assert cells(teacher, [[1, 2], [3, 4]]) == [0, 0]


def test_ranges_may_be_asked_for_inside_of_a_program():
    teacher = teacher_of(("width",), (), 4)
    inside = jax.jit(lambda levels: teacher.cells(levels, SPACE))(jnp.asarray([[0.5, 0.0], [9.5, 0.0]]))
    assert np.asarray(inside).tolist() == [0, 3]


# -- the archive -------------------------------------------------------------------------------------------------------


@functools.cache
def started():
    return teacher_of().init(jax.random.key(0), SPACE, B)


def observe(state, levels, scores, finished=None, kind=NEW, slots=None):
    levels = jnp.asarray(levels, jnp.float32)
    count = levels.shape[0]
    slots = jnp.full(count, -1, jnp.int32) if slots is None else jnp.asarray(slots, jnp.int32)
    sources = jnp.full(count, kind, jnp.int32)
    proposal = Proposal(levels, sources, slots, jnp.full(count, -jnp.inf), Ancestry.none(count))
    plan = Plan.of(kind, train=kind == REPLAY, new_batches=kind == NEW)
    return teacher_of().observe(state, plan, proposal, outcome(scores, finished=finished), SPACE)


def archive(state):
    """{cell: (level, score)}"""
    buffer = state.buffer
    return {
        j: (buffer.levels[j].tolist(), float(buffer.scores[j]))
        for j in range(buffer.capacity)
        if bool(buffer.filled[j])
    }


def test_each_level_goes_to_the_cell_of_its_kind_and_the_best_stays():
    state = observe(started(), [[1, 1], [2, 2], [6, 1], [3, 3]], [1, 3, -5, 2])
    assert archive(state) == {1: ([2, 2], 3.0), 3: ([6, 1], -5.0)}
    state = observe(state, [[7, 7], [1, 4], [1, -1], [9, 9]], [-6, 3, 0, -4])
    # a higher score takes the cell; a tie and a lower one do not
    assert archive(state) == {0: ([1, -1], 0.0), 1: ([2, 2], 3.0), 3: ([9, 9], -4.0)}


def test_of_equals_the_first_of_the_batch_stays_and_what_finished_nothing_never_does():
    state = observe(started(), [[1, 1], [2, 2], [3, 3], [4, 4]], [7, 7, 9, 9], finished=[1, 1, 0, 0])
    assert archive(state) == {1: ([1, 1], 7.0)}


def test_an_elite_that_is_met_again_is_visited_and_does_not_compete_with_itself():
    state = observe(started(), [[1, 1], [6, 1], [1, -1], [6, -1]], [5, 6, 7, 8])
    # (1, 1) comes to 3 this time; (2, 2) of its kind is worth 4 and takes the cell
    state = observe(state, [[1, 1], [6, 1], [1, -1], [6, -1]], [3, 9, 1, 2], finished=[1, 1, 0, 1])
    assert archive(state) == {0: ([1, -1], 7.0), 1: ([1, 1], 3.0), 2: ([6, -1], 2.0), 3: ([6, 1], 9.0)}
    assert state.buffer.visits.tolist()[:4] == [1, 2, 2, 2]
    state = observe(state, [[2, 2], [2, 2], [2, 2], [2, 2]], [4, 4, 4, 4])
    assert archive(state)[1] == ([2, 2], 4.0)


def test_there_is_never_more_than_one_level_of_a_kind():
    state, rng = started(), np.random.default_rng(0)
    best = {}
    for _ in range(6):
        levels = np.stack([rng.uniform(-1, 11, B), rng.uniform(-9, 9, B)], axis=1).astype(np.float32)
        scores = rng.normal(size=B).astype(np.float32)
        state = observe(state, levels, scores)
        for cell, score in zip(cells(teacher_of(), levels), scores, strict=True):
            best[cell] = max(best.get(cell, -np.inf), float(score))
    assert {cell: score for cell, (_, score) in archive(state).items()} == best
    held = [j for j in range(8) if bool(state.buffer.filled[j])]
    assert cells(teacher_of(), np.asarray(state.buffer.levels)[held]) == held


def test_a_replayed_elite_is_rescored_in_its_cell_and_keeps_it_whatever_it_comes_to():
    state = observe(started(), [[1, 1], [6, 1], [1, -1], [6, -1]], [5, 6, 7, 8])
    state = observe(state, [[1, 1], [6, 1], [1, 1], [6, 1]], [0, 9, 2, 9], kind=REPLAY, slots=[1, 3, 1, 3])
    assert archive(state) == {0: ([1, -1], 7.0), 1: ([1, 1], 1.0), 2: ([6, -1], 8.0), 3: ([6, 1], 9.0)}
    assert state.replayed.tolist() == [1, 3, 1, 3]


def test_elites_are_replayed_evenly_and_edited_as_accel_does():
    state = observe(started(), [[1, 1], [6, 1], [1, -1], [6, -1]], [5, 600, 7, 8])
    np.testing.assert_allclose(teacher_of().replay_distribution(state.buffer), [0.25] * 4 + [0] * 4, rtol=1e-6)
    state = state.replace(replayed=jnp.asarray([0, 1, 2, 3], jnp.int32))
    plan = Plan.of(MUTATED, train=False, new_batches=0)
    _, proposal = teacher_of().propose(jax.random.key(0), state, plan, SPACE, B, no_probe)
    np.testing.assert_allclose(proposal.levels, state.buffer.levels[:4] + 0.5)
    assert proposal.ancestry.generation.tolist() == [1] * 4
    np.testing.assert_array_equal(proposal.ancestry.parent, state.buffer.identities[:4])


def test_plan_is_accels():
    teacher = teacher_of(replay_probability=1.0, minimum_fill=0.5).traced()
    schedule, kinds = Schedule.start(jax.random.key(0)), []
    for k in range(6):
        plan = teacher.plan(jax.random.key(k), schedule, B)
        kinds.append(int(plan.kind))
        schedule = schedule.after(plan)
    assert kinds == [NEW, REPLAY, MUTATED, REPLAY, MUTATED, REPLAY]  # one batch of 4 is half of 8


# -- what a user may get wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teacher", "parts"),
    [
        (lambda: teacher_of(("size",), ()), ("teacher.features is ('size',)", "colour, depth, width")),
        (lambda: teacher_of((), ()), ("teacher.features is ()", "one or more")),
        (lambda: teacher_of(("width", "width"), ()), ("teacher.features is ('width', 'width')", "different")),
        (lambda: teacher_of(ranges=(0.0, 1.0)), ("teacher.feature_ranges is (0.0, 1.0)", "two numbers for each")),
        (lambda: teacher_of(ranges=(0.0, 1.0, 5.0)), ("teacher.feature_ranges is (0.0, 1.0, 5.0)", "two numbers")),
        (lambda: teacher_of(ranges=(0.0, 1.0, 5.0, 5.0)), ("teacher.feature_ranges is", "low less than its high")),
        (lambda: teacher_of(ranges=(0.0, 1.0, 5.0, float("nan"))), ("teacher.feature_ranges is",)),
        (lambda: teacher_of(ranges=(0.0, float("inf"), 5.0, 6.0)), ("teacher.feature_ranges is",)),
        (
            lambda: teacher_of(("width", "depth", "colour"), (), 7),
            ("teacher.buffer_size is 7", "at least 2^3"),
        ),
    ],
)
def test_features_and_ranges_that_do_not_fit_are_told_in_one_line(teacher, parts):
    with pytest.raises(UserError) as error:
        teacher().validate(SPACE, B, {})
    assert all(part in str(error.value) for part in (*parts, "allowed"))
    assert "\n" not in str(error.value)


def test_a_world_that_cannot_edit_or_describe_its_levels_is_told():
    teacher = MapElites(features=("start",), buffer_size=8, score="mean_return")
    teacher.validate(EditableCorridor().level_space, B, {})
    with pytest.raises(UserError, match="needs `mutate`"):
        teacher.validate(Corridor().level_space, B, {})

    class Edited(type(Meeting().level_space)):
        def mutate(self, key, level):
            return level

    with pytest.raises(UserError, match="MAP-Elites needs `describe`"):
        teacher.validate(Edited(5), B, {})
