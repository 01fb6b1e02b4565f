"""SFL: a wide search, the best of it, and batches that are half from there and half new."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hand_made import TableProbe, fill, held
from toy_worlds import Corridor, CorridorLevel, no_probe

from minied.errors import UserError
from minied.levels import buffer as level_buffer
from minied.levels.priority import Priority
from minied.teachers import sampling_for_learnability
from minied.teachers.base import NEW, REPLAY, Schedule
from minied.teachers.sampling_for_learnability import SamplingForLearnability

SPACE = Corridor(length=100).level_space
B = 4


def teacher_of(**options):
    defaults = {"score": "mean_return", "buffer_size": 5, "num_candidates": 12, "candidate_rollouts": 3}
    return SamplingForLearnability(**defaults | {"refresh_every": 4} | options)


def plan_at(teacher, iteration):
    start = Schedule.start(jax.random.key(0))
    return teacher.plan(jax.random.key(0), start.replace(iterations=jnp.int32(iteration)), B)


def refreshed(monkeypatch, returns, teacher=None, state=None):
    """The state after a refresh whose candidates are the corridors 1, 2, 3 …, with these returns; and the proposal."""
    teacher = teacher or teacher_of()
    candidates = CorridorLevel(jnp.arange(1, len(returns) + 1, dtype=jnp.int32))

    def known_candidates(key, space, number):
        assert number == len(returns)
        return candidates

    state = teacher.init(jax.random.key(1), SPACE, B) if state is None else state
    monkeypatch.setattr(sampling_for_learnability, "sample_levels", known_candidates)
    probe = TableProbe([np.nan, *returns])
    state, proposal = jax.jit(lambda state, plan: teacher.propose(jax.random.key(2), state, plan, SPACE, B, probe))(
        state, plan_at(teacher, 0)
    )
    return state, proposal, probe


# -- when, and at what cost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cast", [lambda t: t, lambda t: t.traced()], ids=["plain", "traced"])
def test_refreshes_come_before_the_first_update_and_then_every_so_often(cast):
    teacher, schedule, seen = cast(teacher_of(num_candidates=10)), Schedule.start(jax.random.key(0)), []
    for k in range(9):
        plan = teacher.plan(jax.random.key(k), schedule, B)
        assert (int(plan.kind), bool(plan.train)) == (REPLAY, True)
        seen.append((bool(plan.refresh), int(plan.new_batches), int(plan.rollouts)))
        schedule = schedule.after(plan)
    # 10 candidates are 3 batches of 4, each for 3 rollouts, and one rollout to learn from
    assert seen == ([(True, 3, 1 + 3 * 3)] + [(False, 0, 1)] * 3) * 2 + [(True, 3, 10)]
    assert int(schedule.rollouts) == 3 * 10 + 6
    assert int(schedule.student_updates) == 9


def test_a_refresh_plays_every_candidate_as_often_as_it_counts(monkeypatch):
    _, _, probe = refreshed(monkeypatch, np.arange(12.0))
    # one trace: a loop over 12 / 4 batches
    assert set(probe.calls) == {(B, 3)}


def test_candidates_are_rounded_up_to_whole_batches(monkeypatch):
    state, _, _ = refreshed(monkeypatch, np.arange(12.0), teacher_of(num_candidates=9))
    assert held(state) == {s: s - 1.0 for s in (12, 11, 10, 9, 8)}


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_exactly_the_best_are_kept(monkeypatch):
    returns = [0.3, -1, 0.9, 0.1, 0.7, 0.2, 0.8, 0, -5, 0.6, 0.4, 0.5]
    state, _, _ = refreshed(monkeypatch, returns)
    assert held(state) == pytest.approx({3: 0.9, 7: 0.8, 5: 0.7, 10: 0.6, 12: 0.5})
    np.testing.assert_allclose(state.scores, [0.9, 0.8, 0.7, 0.6, 0.5])
    np.testing.assert_array_equal(state.max_returns, state.scores)
    np.testing.assert_array_equal(state.fingerprints, jax.vmap(SPACE.fingerprint)(state.levels))
    np.testing.assert_array_equal(state.visits, 1)


def test_trap_04_candidates_without_an_episode_come_last_and_are_never_kept(monkeypatch):
    nan = np.nan
    state, _, _ = refreshed(monkeypatch, [nan, -3, nan, -1, nan, nan, -2, nan, -9, nan, nan, -4])
    assert held(state) == {4: -1.0, 7: -2.0, 2: -3.0, 12: -4.0, 9: -9.0}
    state, _, _ = refreshed(monkeypatch, [nan, 1, nan, nan, nan, nan, nan, nan, 2, nan, nan, nan])
    assert held(state) == {9: 2.0, 2: 1.0}
    assert np.isfinite(np.asarray(state.scores)).all()
    assert int(state.broken_scores) == 0


def test_equal_levels_among_the_candidates_are_kept_as_often_as_they_came(monkeypatch):
    monkeypatch.setattr(
        sampling_for_learnability, "sample_levels", lambda *_: CorridorLevel(jnp.asarray([7] * 6 + [1] * 6, jnp.int32))
    )
    table = np.zeros(8, np.float32)
    table[7] = 1.0
    teacher = teacher_of()
    state = teacher.init(jax.random.key(1), SPACE, B)
    state, _ = teacher.propose(jax.random.key(2), state, plan_at(teacher, 0), SPACE, B, TableProbe(table))
    np.testing.assert_array_equal(state.levels.start, 7)
    assert np.asarray(state.filled).all()


def test_a_refresh_starts_from_scratch(monkeypatch):
    """Nothing of the buffer before is left, however high it scored; nor in slots that stay empty."""
    teacher = teacher_of()
    fresh = teacher.init(jax.random.key(1), SPACE, B)
    old = fill(fresh, SPACE, [91, 92, 93, 94, 95], [99] * 5, clock=7)
    state, _, _ = refreshed(monkeypatch, [np.nan] * 9 + [1, 2, 3], teacher, old)
    assert held(state) == {12: 3.0, 11: 2.0, 10: 1.0}
    assert np.asarray(state.born)[:3].tolist() == [7, 7, 7]
    empty = ~np.asarray(state.filled)
    assert empty.sum() == 2
    assert np.all(np.asarray(state.scores)[empty] == 0)
    assert np.all(np.isneginf(np.asarray(state.max_returns)[empty]))
    assert np.all(np.asarray(state.visits)[empty] == 0)
    assert np.all(np.asarray(state.identities)[empty] == -1)


def test_broken_scores_of_candidates_are_counted(monkeypatch):
    state, _, _ = refreshed(monkeypatch, [np.inf, 1, -np.inf, 2, 3, 4, np.nan, 5, 6, 7, 8, 9])
    assert int(teacher_of().broken_scores(state)) == 2  # and not the one without an episode
    assert held(state).keys() == {8, 9, 10, 11, 12}


def test_between_refreshes_nothing_changes_but_the_clock(monkeypatch):
    teacher = teacher_of()
    state, proposal, _ = refreshed(monkeypatch, np.arange(12.0), teacher)
    later = teacher.observe(state, plan_at(teacher, 1), proposal, None, SPACE)
    jax.tree.map(np.testing.assert_array_equal, later.replace(clock=state.clock), state)
    assert int(later.clock) == int(state.clock) + 1
    again, _ = teacher.propose(jax.random.key(9), later, plan_at(teacher, 1), SPACE, B, TableProbe(np.zeros(101)))
    jax.tree.map(np.testing.assert_array_equal, again, later)


# -- what is proposed --------------------------------------------------------------------------------------------------


@functools.cache
def full():
    empty = teacher_of().init(jax.random.key(1), SPACE, B)
    return fill(empty, SPACE, [91, 92, 93, 94, 95], [1, 2, 3, 4, 5], max_returns=[11, 12, 13, 14, 15])


def proposed(share, state, key=0, num_levels=10):
    teacher = teacher_of(buffer_share=share).traced()
    probe = TableProbe(np.zeros(101))
    return teacher.propose(jax.random.key(key), state, plan_at(teacher, 1), SPACE, num_levels, probe)[1]


@pytest.mark.parametrize(("share", "number"), [(0.0, 0), (0.5, 5), (0.26, 3), (0.24, 2), (1.0, 10)])
def test_a_share_of_the_batch_comes_from_the_buffer_and_the_rest_is_new(share, number):
    proposal = proposed(share, full())
    assert proposal.sources.tolist() == [REPLAY] * number + [NEW] * (10 - number)
    slots = np.asarray(proposal.slots)
    np.testing.assert_array_equal(slots[number:], -1)
    np.testing.assert_array_equal(proposal.levels.start[:number], 91 + slots[:number])
    np.testing.assert_array_equal(proposal.max_returns[:number], 11 + slots[:number])
    assert np.all(np.isneginf(proposal.max_returns[number:]))


def test_levels_are_drawn_evenly_from_what_is_filled():
    half_filled = full().replace(filled=jnp.asarray([True, False, True, True, False]))
    slots = np.concatenate([np.asarray(proposed(1.0, half_filled, key, 500).slots) for key in range(6)])
    counts = np.bincount(slots, minlength=5)
    assert counts[1] == counts[4] == 0
    assert scipy.stats.chisquare(counts[[0, 2, 3]]).pvalue > 1e-3


def test_new_levels_stand_in_where_the_search_found_nothing():
    proposal = proposed(1.0, teacher_of().init(jax.random.key(1), SPACE, B))
    assert proposal.sources.tolist() == [NEW] * 10
    assert len(set(proposal.levels.start.tolist())) > 5


def test_a_look_without_a_refresh_needs_no_probe_to_run():
    """The branch is real: what is not refreshed is not played (the probe is traced, and nothing else)."""
    teacher = teacher_of()
    probe = TableProbe(np.full(101, np.inf))  # would count broken scores
    state, _ = teacher.propose(jax.random.key(0), full(), plan_at(teacher, 1), SPACE, B, probe)
    assert int(state.broken_scores) == 0
    with pytest.raises(AssertionError, match="looks at no student"):
        teacher.propose(jax.random.key(0), full(), plan_at(teacher, 0), SPACE, B, no_probe)


def test_metrics_are_the_buffers():
    metrics = teacher_of().metrics(full(), SPACE)
    assert float(metrics["buffer_fill"]) == 1.0
    assert float(metrics["buffer_mean_score"]) == 3.0
    uniform = level_buffer.replay_distribution(full(), Priority(1.0, 0.0, "uniform"))
    np.testing.assert_allclose(uniform, 1 / 5)


# -- what a user may get wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"buffer_share": 1.5}, ("buffer_share is 1.5", "[0, 1]")),
        ({"num_candidates": 4}, ("num_candidates is 4", "at least buffer_size = 5")),
        ({"candidate_rollouts": 0}, ("candidate_rollouts is 0", "[1,")),
        ({"refresh_every": 0}, ("refresh_every is 0", "[1,")),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        teacher_of(**options)
    assert all(part in str(error.value) for part in (*parts, "allowed"))
    assert "\n" not in str(error.value)


def test_a_buffer_smaller_than_a_batch_is_refused():
    teacher_of().validate(SPACE, 5, {})
    with pytest.raises(UserError, match=r"teacher\.buffer_size is 5; allowed: at least num_envs = 6"):
        teacher_of().validate(SPACE, 6, {})
