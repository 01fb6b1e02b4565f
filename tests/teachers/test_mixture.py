"""The learned mixture: shares of the sources, and how what they were worth moves them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hand_made import fill, held, outcome, proposal_of
from toy_designers import EditableCorridor
from toy_worlds import Meeting, no_probe

from minied.errors import UserError
from minied.levels.finite import FiniteLevelSpace
from minied.teachers.base import GIVEN, NEW, REPLAY, Plan, Schedule
from minied.teachers.mixture import LearnedMixture

SPACE = EditableCorridor(length=100).level_space
B = 4
COLD = Plan.of(NEW, train=True, new_batches=1)
WARM = Plan.of(REPLAY, train=True, new_batches=0)


def teacher_of(**options):
    defaults = {"buffer_size": 8, "score": "mean_return", "rate": 0.5, "exploration": 0.1, "forgetting": 0.0}
    return LearnedMixture(**defaults | options)


@functools.cache
def state_of(file=""):
    """A buffer with levels 1 … 4; ``suite:ends`` gives levels 1 and 100."""
    state = teacher_of(file=file).init(jax.random.key(0), SPACE, B)
    return state.replace(buffer=fill(state.buffer, SPACE, [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], clock=3))


def propose(teacher, state, plan, num_levels=B, key=0):
    return teacher.propose(jax.random.key(key), state, plan, SPACE, num_levels, no_probe)[1]


@functools.cache
def _observe(teacher):
    return jax.jit(lambda s, plan, proposal, result: teacher.observe(s, plan, proposal, result, SPACE))


def observe(state, sources, scores, finished=None, plan=WARM, **options):
    starts = [50 + i for i in range(len(sources))]
    slots = [i % 4 if source == REPLAY else -1 for i, source in enumerate(sources)]
    proposal = proposal_of(starts, sources, slots)
    return _observe(teacher_of(**options))(state, plan, proposal, outcome(scores, finished=finished))


# -- shares ------------------------------------------------------------------------------------------------------------


def test_shares_are_even_at_first_and_sum_to_one():
    assert teacher_of().shares(state_of()).tolist() == [0.5, 0.5]
    np.testing.assert_allclose(teacher_of(file="suite:ends").shares(state_of("suite:ends")), [1 / 3] * 3, rtol=1e-6)


def test_shares_by_hand():
    # softmax of log 1, log 2, log 5: 1/8, 2/8, 5/8; nine tenths of it, and a tenth in three parts
    state = state_of("suite:ends").replace(preferences=jnp.log(jnp.asarray([1.0, 2.0, 5.0])))
    got = teacher_of(file="suite:ends").shares(state)
    np.testing.assert_allclose(got, 0.9 * np.asarray([1, 2, 5]) / 8 + 0.1 / 3, rtol=1e-6)


@pytest.mark.parametrize("exploration", [0.0, 0.3, 1.0])
def test_no_share_is_below_the_exploration_whatever_is_preferred(exploration):
    state = state_of().replace(preferences=jnp.asarray([50.0, -50.0]))
    shares = np.asarray(teacher_of(exploration=exploration).shares(state))
    assert shares.sum() == pytest.approx(1.0, abs=1e-6)
    assert shares.min() == pytest.approx(exploration / 2, abs=1e-6)


def test_levels_come_from_the_sources_in_their_shares():
    teacher = teacher_of(file="suite:ends")
    state = state_of("suite:ends").replace(preferences=jnp.log(jnp.asarray([1.0, 2.0, 5.0])))
    proposal = propose(teacher, state, WARM, 3000)
    sources = np.asarray(proposal.sources)
    counts = [(sources == kind).sum() for kind in (NEW, REPLAY, GIVEN)]
    shares = np.asarray(teacher.shares(state), np.float64)
    assert scipy.stats.chisquare(counts, 3000 * shares / shares.sum()).pvalue > 1e-3
    starts, slots = np.asarray(proposal.levels.start), np.asarray(proposal.slots)
    replayed = sources == REPLAY
    np.testing.assert_array_equal(starts[replayed], slots[replayed] + 1)
    np.testing.assert_allclose(np.asarray(proposal.max_returns)[replayed], (slots[replayed] + 1) / 10, rtol=1e-6)
    assert np.all(slots[~replayed] == -1)
    ends = starts[sources == GIVEN]
    assert set(ends.tolist()) == {1, 100}
    assert scipy.stats.binomtest(int((ends == 1).sum()), len(ends)).pvalue > 1e-3
    assert len(set(starts[sources == NEW].tolist())) > 50


def test_two_sources_without_given_levels():
    proposal = propose(teacher_of(), state_of(), WARM, 200)
    assert set(np.asarray(proposal.sources).tolist()) == {NEW, REPLAY}
    assert state_of().given == ()


def test_until_the_buffer_is_warm_all_levels_are_new():
    proposal = propose(teacher_of(file="suite:ends"), state_of("suite:ends"), COLD, 100)
    assert set(np.asarray(proposal.sources).tolist()) == {NEW}


def test_plan_learns_from_every_batch_and_counts_whole_batches_of_new_levels():
    teacher, schedule, seen = teacher_of(buffer_size=16).traced(), Schedule.start(jax.random.key(0)), []
    for k in range(4):
        plan = teacher.plan(jax.random.key(k), schedule, B)
        seen.append((int(plan.kind), bool(plan.train), int(plan.new_batches), int(plan.rollouts)))
        schedule = schedule.after(plan)
    assert seen == [(NEW, True, 1, 1)] * 2 + [(REPLAY, True, 0, 1)] * 2  # two batches of 4 are half of 16


# -- what moves them ---------------------------------------------------------------------------------------------------


def test_the_first_pay_spans_the_range_and_moves_the_preferences_apart():
    # pay: new (1 + 3)/2 = 2, replay (5 + 7)/2 = 6; range 2 … 6: scaled 0 and 1, mean ½; ½ of ∓½
    state = observe(state_of(), [NEW, REPLAY, NEW, REPLAY], [1, 5, 3, 7])
    assert (float(state.lowest), float(state.highest)) == (2.0, 6.0)
    np.testing.assert_allclose(state.preferences, [-0.25, 0.25], rtol=1e-6)
    # and again within the range that was: new 3 → ¼, replay 4 → ½; mean ⅜: ∓ 1/16
    state = observe(state, [NEW, REPLAY, NEW, REPLAY], [3, 4, 3, 4])
    np.testing.assert_allclose(state.preferences, [-0.3125, 0.3125], rtol=1e-6)
    assert (float(state.lowest), float(state.highest)) == (2.0, 6.0)


def test_old_pay_is_forgotten():
    state = state_of().replace(preferences=jnp.asarray([1.0, -1.0]))
    after = observe(state, [NEW, REPLAY, NEW, REPLAY], [4] * 4, forgetting=0.25)
    # one pay only: the range is empty, everything is worth ½
    np.testing.assert_allclose(after.preferences, [0.75, -0.75], rtol=1e-6)


def test_the_range_of_pay_is_forgotten_from_both_ends():
    # 0 … 8 loses a quarter of its width, an eighth at each end: 1 … 7; pay 3 and 5 stay inside: ⅓ and ⅔, mean ½
    state = state_of().replace(lowest=jnp.float32(0.0), highest=jnp.float32(8.0))
    after = observe(state, [NEW, REPLAY, NEW, REPLAY], [3, 5, 3, 5], forgetting=0.25)
    assert (float(after.lowest), float(after.highest)) == (1.0, 7.0)
    np.testing.assert_allclose(after.preferences, [0.5 * (1 / 3 - 1 / 2), 0.5 * (2 / 3 - 1 / 2)], rtol=1e-5)
    # and pay beyond it widens it again
    after = observe(after, [NEW, REPLAY, NEW, REPLAY], [-4, 9, -4, 9], forgetting=0.25)
    assert (float(after.lowest), float(after.highest)) == (-4.0, 9.0)


def test_a_source_that_pays_more_gains_share_until_only_exploration_is_left_to_the_others():
    teacher, state = teacher_of(), state_of()
    shares = [np.asarray(teacher.shares(state))]
    for _ in range(40):
        state = observe(state, [NEW, REPLAY, NEW, REPLAY], [9, 1, 9, 1])
        shares.append(np.asarray(teacher.shares(state)))
    new = np.asarray(shares)[:, 0]
    assert np.all(np.diff(new) > -1e-6)
    assert new[-1] == pytest.approx(0.95, abs=1e-3)
    # the pay turns: so do the shares
    for _ in range(100):
        state = observe(state, [NEW, REPLAY, NEW, REPLAY], [1, 9, 1, 9])
    assert float(teacher.shares(state)[1]) == pytest.approx(0.95, abs=1e-3)


def test_a_source_without_a_level_keeps_its_place_among_the_others():
    # given had no level: its preference stays between those of the two that had, whose mean is 0
    state = observe(state_of("suite:ends"), [NEW, REPLAY, NEW, REPLAY], [1, 5, 3, 7], file="suite:ends")
    np.testing.assert_allclose(state.preferences, [-0.25, 0.25, 0.0], atol=1e-7)
    # a batch of one source tells nothing about the others
    after = observe(state, [REPLAY] * 4, [99, 99, 99, 99], file="suite:ends")
    np.testing.assert_allclose(after.preferences, state.preferences, atol=1e-7)


def test_trap_04_levels_that_finished_nothing_pay_nothing():
    state = observe(state_of(), [NEW, REPLAY, NEW, REPLAY], [1, 5, -9999, 7], finished=[1, 1, 0, 1])
    assert (float(state.lowest), float(state.highest)) == (1.0, 6.0)
    # a batch in which nothing finished moves nothing and spans no range
    untouched = observe(state_of(), [NEW, REPLAY, NEW, REPLAY], [1, 2, 3, 4], finished=[0, 0, 0, 0])
    assert (float(untouched.lowest), float(untouched.highest)) == (np.inf, -np.inf)
    np.testing.assert_array_equal(untouched.preferences, 0)


def test_new_levels_are_stored_replayed_ones_rescored_and_given_ones_only_pay():
    state = observe(
        state_of("suite:ends"), [NEW, REPLAY, GIVEN, NEW], [9, 8, 99, -5], finished=[1, 1, 1, 1], file="suite:ends"
    )
    # slot 1 holds level 2; 50 and 53 are new; 52 was given
    assert held(state.buffer) == pytest.approx({1: 0.1, 2: 8.0, 3: 0.3, 4: 0.4, 50: 9.0, 53: -5.0})
    assert float(state.highest) == 99.0
    assert int(state.buffer.clock) == 4


def test_metrics_name_the_shares():
    state = state_of("suite:ends").replace(preferences=jnp.asarray([0.0, 1.0, 2.0]))
    metrics = teacher_of(file="suite:ends").metrics(state, SPACE)
    shares = 0.9 * scipy.special.softmax([0, 1, 2]) + 0.1 / 3
    for name, share in zip(("new", "replay", "given"), shares, strict=True):
        assert float(metrics[f"share_{name}"]) == pytest.approx(share)
    assert "share_given" not in teacher_of().metrics(state_of(), SPACE)
    assert float(metrics["buffer_fill"]) == 0.5


# -- given levels ------------------------------------------------------------------------------------------------------


def test_given_levels_of_a_file_are_kept_in_the_state(tmp_path):
    path = tmp_path / "levels.txt"
    path.write_text("S.G\n\nS...G\n\nSG\n")
    teacher = teacher_of(file=str(path))
    path.unlink()  # what stood there is part of the config
    teacher.validate(SPACE, B, {})
    assert teacher.init(jax.random.key(0), SPACE, B).given.start.tolist() == [2, 4, 1]


def test_trap_13_best_returns_of_given_levels_are_remembered_and_never_fall():
    teacher, state = teacher_of(file="suite:ends"), state_of("suite:ends")
    best = {1: -np.inf, 100: -np.inf}
    for key in range(12):
        state, proposal = teacher.propose(jax.random.key(key), state, WARM, SPACE, B, no_probe)
        starts, given = np.asarray(proposal.levels.start), np.asarray(proposal.sources) == GIVEN
        known = np.asarray(proposal.max_returns)
        assert all(known[i] == best[starts[i]] for i in range(B) if given[i])
        returns, finished = [key % 5 + i for i in range(B)], np.arange(B) != key % B
        for i in range(B):
            if given[i] and finished[i]:
                best[starts[i]] = max(best[starts[i]], returns[i])
        state = _observe(teacher)(state, WARM, proposal, outcome(returns, known=known, finished=finished))
        assert state.given_max_returns.tolist() == [best[1], best[100]]
    assert min(best.values()) > 0


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"exploration": 1.5}, ("exploration is 1.5", "[0, 1]")),
        ({"forgetting": -0.1}, ("forgetting is -0.1", "[0, 1]")),
        ({"rate": -1.0}, ("rate is -1.0", "[0,")),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        teacher_of(**options)
    assert all(part in str(error.value) for part in (*parts, "allowed"))


@pytest.mark.parametrize(
    ("space", "file", "parts"),
    [
        (SPACE, "none.txt", ("none.txt cannot be read",)),
        (SPACE, "suite:end", ("unknown suite 'end'", "did you mean 'ends'")),
        (SPACE, "suite:long", ("teacher.file is 'suite:long'", "another size", "allowed")),
        (FiniteLevelSpace(SPACE, 5, 0), "suite:ends", ("num_train_levels is 5", "a learned mixture", "allowed", "0")),
    ],
)
def test_given_levels_that_cannot_be_read_are_told_in_one_line(space, file, parts):
    with pytest.raises(UserError) as error:
        teacher_of(file=file).validate(space, B, {})
    assert all(part in str(error.value) for part in parts)
    assert "\n" not in str(error.value)


def test_a_world_that_reads_no_text_is_told_who_asks():
    with pytest.raises(UserError, match="a learned mixture needs `from_text`, which MeetingLevels does not have"):
        teacher_of(levels_text="S.G").validate(Meeting().level_space, B, {})
