"""NCC: the projection, the ascent of the distribution over the buffer, and what a refresh plays again."""

import functools

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hand_made import TableProbe, fill, held, outcome, proposal_of
from toy_worlds import Corridor, CorridorLevel

from minied.errors import UserError
from minied.teachers import ncc
from minied.teachers.base import REPLAY, Plan, Schedule
from minied.teachers.ncc import NCC, NCCState, distribution_gradient, project

SPACE = Corridor(length=100).level_space
B = 4
_project = jax.jit(project)


# -- the projection ----------------------------------------------------------------------------------------------------


def nearest_distribution(point, floor):
    """The oracle: y_i = max(x_i − t, ε), with t found by bisection in float64 so that they sum to 1."""
    point = np.asarray(point, np.float64)
    low, high = point.min() - 2.0, point.max()  # sums at least 1 + C, and C ε < 1
    for _ in range(200):
        middle = 0.5 * (low + high)
        if np.maximum(point - middle, floor).sum() > 1.0:
            low = middle
        else:
            high = middle
    return np.maximum(point - 0.5 * (low + high), floor)


@pytest.mark.parametrize(
    ("point", "floor", "expected"),
    [
        ([0.2, 0.3, 0.5], 0.01, [0.2, 0.3, 0.5]),  # is one already
        ([1.2, 1.3, 1.5], 0.01, [0.2, 0.3, 0.5]),  # a third of what is too much from each
        ([9.0, 0.0, 0.0], 0.01, [0.98, 0.01, 0.01]),  # the others at the floor
        # 0.7 and 0.5 share 1 − 0.1 and differ by 0.2
        ([0.7, 0.5, -3.0], 0.1, [0.55, 0.35, 0.1]),
        ([4.0, 4.0, 4.0, 4.0], 1e-5, [0.25] * 4),
        ([5.0], 0.3, [1.0]),
    ],
)
def test_projection_by_hand(point, floor, expected):
    np.testing.assert_allclose(_project(jnp.asarray(point), floor), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nearest_distribution(point, floor), expected, rtol=1e-9, atol=1e-9)


@hypothesis.settings(deadline=None, max_examples=300, derandomize=True)
@hypothesis.given(
    hypothesis.extra.numpy.arrays(np.float32, 9, elements=st.floats(-8, 8, width=32)),
    st.sampled_from([1e-6, 0.01, 0.1]),
    st.sampled_from([0.01, 1.0, 100.0]),
)
def test_projection_is_the_nearest_distribution_above_the_floor(point, floor, scale):
    point = point * np.float32(scale)
    got = np.asarray(_project(jnp.asarray(point), floor), np.float64)
    np.testing.assert_allclose(got, nearest_distribution(point, floor), atol=2e-6 + 4e-7 * np.abs(point).max())
    assert got.sum() == pytest.approx(1.0, abs=1e-6)
    assert got.min() >= floor * (1 - 1e-6)


def test_projection_of_a_distribution_is_itself_and_of_a_shifted_point_the_same():
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.normal(size=(50, 9)), jnp.float32)
    once = jax.vmap(lambda x: project(x, 0.01))(points)
    np.testing.assert_allclose(jax.vmap(lambda x: project(x, 0.01))(once), once, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda x: project(x + 3.0, 0.01))(points), once, atol=1e-5)


@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e3])
def test_projection_over_a_large_buffer(spread):
    point = np.random.default_rng(0).normal(size=4000).astype(np.float32) * spread
    got = np.asarray(_project(jnp.asarray(point), 1e-5), np.float64)
    expected = nearest_distribution(point, 1e-5)
    assert got.sum() == pytest.approx(1.0, abs=1e-5)
    assert got.min() >= 0.99e-5
    np.testing.assert_allclose(got, expected, atol=1e-5 * max(1.0, spread / 10))


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ([1e9, 0.0, 0.0, 0.0], [1 - 3e-5, 1e-5, 1e-5, 1e-5]),
        ([1e9, 1e9, 0.0, -1e9], [0.5 - 1e-5, 0.5 - 1e-5, 1e-5, 1e-5]),
        ([-1e30, 1e30, 0.0, 0.0], [1e-5, 1 - 3e-5, 1e-5, 1e-5]),
    ],
)
def test_projection_of_points_too_far_apart_for_float32_is_still_a_distribution(point, expected):
    np.testing.assert_allclose(_project(jnp.asarray(point, jnp.float32), 1e-5), expected, atol=1e-6)


def test_projection_with_the_highest_floor_that_is_allowed():
    floor = NCC(buffer_size=4, floor=0.125).floor
    np.testing.assert_allclose(_project(jnp.asarray([9.0, 0, 0, 0]), floor), [0.625, 0.125, 0.125, 0.125], rtol=1e-6)


# -- the gradient and the step -----------------------------------------------------------------------------------------


def teacher_of(**options):
    defaults = {"score": "mean_return", "buffer_size": 8, "rescored_batches": 1, "new_batches": 1, "probe_rollouts": 2}
    return NCC(**defaults | options)


@functools.cache
def empty():
    return teacher_of().init(jax.random.key(0), SPACE, B)


def state_of(starts, scores, distribution=None, cursor=0, squared=0.1):
    """A buffer of 8 whose first levels have scores; the others stand there without one."""
    buffer = fill(empty().buffer, SPACE, starts, scores)
    distribution = [1 / 8] * 8 if distribution is None else distribution
    return NCCState(
        buffer, jnp.asarray(distribution, jnp.float32), jnp.full(8, squared, jnp.float32), jnp.int32(cursor)
    )


def test_gradient_by_hand():
    # s − β (log y + 1), with β = 0.1: 3 − 0.1·(log ½ + 1) = 2.96931; 1 − 0.1·(log ¼ + 1) = 1.03863;
    # the third and fourth have no score and count as the mean of the others, 2
    y = [0.5, 0.25, 0.2, 0.05]
    state = state_of([10, 11], [3.0, 1.0])
    buffer = jax.tree.map(lambda leaf: leaf[:4] if leaf.ndim else leaf, state.buffer)
    got = distribution_gradient(jnp.asarray(y), buffer, 0.1)
    expected = [2.9693147, 1.0386294, 2 - 0.1 * (np.log(0.2) + 1), 2 - 0.1 * (np.log(0.05) + 1)]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_gradient_is_the_derivative_of_score_and_entropy():
    y, scores = jnp.asarray([0.5, 0.2, 0.2, 0.1]), jnp.asarray([1.0, -2.0, 0.0, 0.5])
    buffer = jax.tree.map(lambda leaf: leaf[:4] if leaf.ndim else leaf, state_of([1, 2, 3, 4], scores).buffer)
    automatic = jax.grad(lambda y: y @ scores - 0.3 * jnp.sum(y * jnp.log(y)))(y)
    np.testing.assert_allclose(distribution_gradient(y, buffer, 0.3), automatic, rtol=1e-5)


def refresh(teacher, state, table, rollouts, new_levels=(), monkeypatch=None):
    """The state after a refresh that costs ``rollouts``, playing levels by a table of returns; and the probe."""
    if monkeypatch is not None:
        levels = CorridorLevel(jnp.asarray(new_levels, jnp.int32))
        monkeypatch.setattr(ncc, "sample_levels", lambda key, space, number: levels)
    probe = TableProbe(table)
    plan = Plan.of(REPLAY, train=True, new_batches=teacher.new_batches, refresh=True, rollouts=rollouts)
    after, _ = jax.jit(lambda s, p: teacher.propose(jax.random.key(3), s, p, SPACE, B, probe))(state, plan)
    return after, probe


@pytest.mark.parametrize(("power", "squared"), [(0.0, 0.1), (0.4, 0.1), (0.5, 3.0)])
def test_the_step_of_the_distribution_by_hand(power, squared):
    teacher = teacher_of(new_batches=0, step_size=0.05, step_power=power, entropy_coefficient=0.1, floor=0.01)
    y = [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]
    state = state_of(range(1, 9), [0.0] * 8, y, squared=squared)
    table = np.arange(101) / 10
    after, _ = refresh(teacher, state, table, rollouts=1 + 2 * 2)
    scores = np.arange(1, 9) / 10
    gradient = scores - 0.1 * (np.log(y) + 1)
    total = squared + np.square(gradient)  # level by level
    expected = nearest_distribution(np.asarray(y) + 0.05 / total**power * gradient, 0.01)
    np.testing.assert_allclose(after.distribution, expected, rtol=1e-4)
    np.testing.assert_allclose(after.squared_gradients, total, rtol=1e-5)
    assert not np.allclose(after.distribution, y, atol=1e-3)


def test_without_scores_the_distribution_moves_to_uniform_by_its_entropy_alone():
    teacher = teacher_of(new_batches=0, step_size=0.2, step_power=0.0, entropy_coefficient=1.0)
    state = state_of([], [], [0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    after, _ = refresh(teacher, state, np.full(101, np.nan), rollouts=1 + 2 * 2)
    assert not np.any(after.buffer.filled)
    gap = np.asarray(after.distribution).max() - np.asarray(after.distribution).min()
    assert gap < 0.15
    assert float(np.sum(after.distribution)) == pytest.approx(1.0, abs=1e-6)


# -- what is played again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cast", [lambda t: t, lambda t: t.traced()], ids=["plain", "traced"])
def test_first_refresh_plays_everything_and_the_others_a_part(cast):
    teacher = cast(teacher_of(buffer_size=16, rescored_batches=2, new_batches=1, probe_rollouts=3, refresh_every=2))
    schedule, seen = Schedule.start(jax.random.key(0)), []
    for k in range(5):
        plan = teacher.plan(jax.random.key(k), schedule, B)
        assert (int(plan.kind), bool(plan.train)) == (REPLAY, True)
        seen.append((bool(plan.refresh), int(plan.new_batches), int(plan.rollouts)))
        schedule = schedule.after(plan)
    # 16 / 4 = 4 batches and a new one, 3 rollouts each; then 2 and a new one
    assert seen == [(True, 1, 1 + 5 * 3), (False, 0, 1), (True, 1, 1 + 3 * 3), (False, 0, 1), (True, 1, 10)]
    assert int(schedule.rollouts) == 16 + 1 + 10 + 1 + 10


def test_zero_rescored_batches_are_all_of_them():
    plan = teacher_of(rescored_batches=0, new_batches=0).plan(
        jax.random.key(0), Schedule.start(jax.random.key(0)).replace(iterations=jnp.int32(7)), B
    )
    assert int(plan.rollouts) == 1 + 2 * 2


def test_a_whole_refresh_scores_every_level_of_the_buffer(monkeypatch):
    teacher = teacher_of(new_batches=0)
    state = state_of(range(1, 9), [0.0] * 8)
    state = state.replace(buffer=state.buffer.replace(filled=jnp.zeros(8, bool)))
    after, probe = refresh(teacher, state, np.arange(101.0), rollouts=1 + 2 * 2)
    assert held(after.buffer) == {s: float(s) for s in range(1, 9)}
    assert int(after.cursor) == 0  # once around
    assert set(probe.calls) == {(B, 2)}


def test_a_partial_refresh_goes_on_where_the_last_one_stopped():
    teacher, state = teacher_of(new_batches=0), state_of(range(1, 9), [0.0] * 8)
    for expected in ({5, 6, 7, 8}, {1, 2, 3, 4}, {5, 6, 7, 8}):
        state = state.replace(cursor=state.cursor if expected != {5, 6, 7, 8} else jnp.int32(4))
        before = state.buffer.replace(scores=jnp.zeros(8))
        state, _ = refresh(teacher, state.replace(buffer=before), np.arange(101.0), rollouts=1 + 1 * 2)
        assert {s for s, v in held(state.buffer).items() if v > 0} == expected
        assert int(state.cursor) == (0 if expected == {5, 6, 7, 8} else 4)


def test_trap_04_levels_that_finish_nothing_keep_their_score_and_the_best_return_never_falls():
    state = state_of(range(1, 9), [7.0] * 8)
    table = np.full(101, np.nan)
    table[2], table[3] = 9.0, 1.0
    after, _ = refresh(teacher_of(new_batches=0), state, table, rollouts=1 + 1 * 2)
    np.testing.assert_array_equal(after.buffer.scores, [7, 9, 1, 7, 7, 7, 7, 7])
    np.testing.assert_array_equal(after.buffer.max_returns, [7, 9, 7, 7, 7, 7, 7, 7])  # trap 13


def test_the_worst_levels_give_way_to_better_new_ones_with_their_share_of_the_distribution(monkeypatch):
    y = [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]
    state = state_of(range(1, 9), [0.0] * 8, y)
    # rescored first: slots 0 … 3 come to 1 … 4; new ones: 50 → 0.5, 60 → 9, 70 finishes nothing, 80 → −1
    table = np.full(101, np.nan)
    table[1:5], table[50], table[60], table[80] = [1, 2, 3, 4], 0.5, 9.0, -1.0
    teacher = teacher_of(step_size=1e-30, step_power=0.0)
    after, _ = refresh(teacher, state, table, 1 + (1 + 1) * 2, [50, 60, 70, 80], monkeypatch)
    # the lowest are slots 4, 5, 6 (0 each, ties to the lower slot): 9 takes slot 4, 0.5 slot 5; −1 is not better
    assert after.buffer.levels.start.tolist() == [1, 2, 3, 4, 60, 50, 7, 8]
    np.testing.assert_array_equal(after.buffer.scores, [1, 2, 3, 4, 9, 0.5, 0, 0])
    np.testing.assert_allclose(after.distribution, y, rtol=1e-5)  # a step of nothing


def test_a_new_level_that_is_in_the_buffer_already_is_scored_there(monkeypatch):
    state = state_of(range(1, 9), [0.0] * 8, cursor=4)
    table = np.arange(101.0)
    after, _ = refresh(teacher_of(), state, table, 1 + 2 * 2, [2, 2, 30, 2], monkeypatch)
    assert held(after.buffer)[2] == 2.0
    assert float(after.buffer.max_returns[1]) == 2.0
    assert sorted(after.buffer.levels.start.tolist()) == [2, 3, 4, 5, 6, 7, 8, 30]


def test_broken_scores_stop_the_run_from_either_kind_of_play(monkeypatch):
    table = np.arange(101.0)
    table[3] = table[60] = np.inf
    after, _ = refresh(teacher_of(), state_of(range(1, 9), [0.0] * 8), table, 1 + 2 * 2, [50, 60, 70, 80], monkeypatch)
    assert int(teacher_of().broken_scores(after)) == 2


# -- what is proposed --------------------------------------------------------------------------------------------------


def test_levels_are_drawn_from_the_distribution_and_what_is_known_goes_with_them():
    y = np.asarray([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    state = state_of(range(11, 19), range(1, 9), y)
    plan = Plan.of(REPLAY, train=True, new_batches=0)
    teacher, probe = teacher_of(), TableProbe(np.zeros(101))

    draw = jax.jit(jax.vmap(lambda key: teacher.propose(key, state, plan, SPACE, B, probe)))
    after, proposal = draw(jax.random.split(jax.random.key(0), 1000))
    jax.tree.map(lambda new, old: np.testing.assert_array_equal(new[-1], old), after, state)  # nothing is refreshed
    slots = np.asarray(proposal.slots).ravel()
    assert scipy.stats.chisquare(np.bincount(slots, minlength=8), 4000 * y).pvalue > 1e-3
    np.testing.assert_array_equal(np.ravel(proposal.levels.start), 11 + slots)
    np.testing.assert_array_equal(np.ravel(proposal.max_returns), 1 + slots)
    np.testing.assert_array_equal(proposal.sources, REPLAY)


def test_it_starts_uniform_over_levels_that_no_one_has_played():
    state = empty()
    np.testing.assert_allclose(state.distribution, 1 / 8)
    assert not np.any(state.buffer.filled)
    assert float(teacher_of().metrics(state, SPACE)["effective_levels"]) == pytest.approx(8.0, rel=1e-5)


def test_an_observation_is_the_time_and_the_best_returns_of_levels_that_have_a_score():
    # trap 13: slot 0 is played twice; a return below the best one known, and one on a level without a score, change nothing
    state = state_of([1, 2, 3], [5.0, 5.0, 5.0])
    proposal = proposal_of([1, 2, 1, 4], [REPLAY] * 4, [0, 1, 0, 3])
    after = teacher_of().observe(state, None, proposal, outcome([7, 4, 9, 8]), SPACE)
    assert after.buffer.max_returns.tolist() == [9, 5, 5, *[-np.inf] * 5]
    assert int(after.buffer.clock) == int(state.buffer.clock) + 1
    same = after.buffer.replace(clock=state.buffer.clock, max_returns=state.buffer.max_returns)
    jax.tree.map(np.testing.assert_array_equal, after.replace(buffer=same), state)


# -- what a user may get wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"floor": 0.0}, ("floor is 0.0", "(0,")),
        ({"floor": 0.25, "buffer_size": 4}, ("floor is 0.25", "0.125]")),
        ({"step_size": 0.0}, ("step_size is 0.0", "(0,")),
        ({"step_power": -1.0}, ("step_power is -1.0", "[0,")),
        ({"entropy_coefficient": -0.1}, ("entropy_coefficient is -0.1", "[0,")),
        ({"probe_rollouts": 0}, ("probe_rollouts is 0", "[1,")),
        ({"new_batches": -1}, ("new_batches is -1", "[0,")),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        NCC(**options)
    assert all(part in str(error.value) for part in (*parts, "allowed"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"buffer_size": 10}, ("teacher.buffer_size is 10", "a multiple of num_envs = 4", "such as 8")),
        ({"buffer_size": 2}, ("teacher.buffer_size is 2", "a multiple of num_envs = 4", "such as 4")),
        ({"rescored_batches": 3}, ("teacher.rescored_batches is 3", "at most buffer_size / num_envs = 2")),
        ({"new_batches": 3}, ("teacher.new_batches is 3", "at most buffer_size / num_envs = 2")),
    ],
    ids=str,
)
def test_a_buffer_that_is_not_whole_batches_is_refused(options, parts):
    with pytest.raises(UserError) as error:
        teacher_of(**options).validate(SPACE, B, {})
    assert all(part in str(error.value) for part in (*parts, "allowed"))
