"""PLR and PLR⊥: when they replay, what they replay, and what becomes of a score."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hand_made import fill, held, outcome, proposal_of
from toy_worlds import Corridor, CorridorLevel, no_probe

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.levels import buffer as level_buffer
from minied.students.networks.config import NetworkConfig
from minied.teachers import base
from minied.teachers.base import Plan, Schedule
from minied.teachers.prioritized_level_replay import (
    PrioritizedLevelReplay,
    RobustPrioritizedLevelReplay,
    UniformReplay,
)
from minied.train.config import TrainConfig
from minied.train.missing import missing_signals

ENV = Corridor(length=100)
SPACE = ENV.level_space
B = 4
NEW = Plan.of(base.NEW, train=True, new_batches=1)
REPLAY = Plan.of(base.REPLAY, train=True, new_batches=0)
_propose = jax.jit(lambda teacher, key, state, plan: teacher.propose(key, state, plan, SPACE, B, no_probe)[1])
_observe = jax.jit(
    lambda teacher, state, plan, proposal, outcome: teacher.observe(state, plan, proposal, outcome, SPACE)
)


def teacher_of(cls=RobustPrioritizedLevelReplay, **options):
    return cls(**{"buffer_size": 8, "score": "max_mc"} | options)


def replays(plan):
    return int(plan.kind) == base.REPLAY


def schedule(new=0, replayed=0, seed=0):
    start = Schedule.start(jax.random.key(seed))
    return start.replace(
        iterations=jnp.int32(new + replayed), rollouts=jnp.int32(new + replayed), new_batches=jnp.int32(new)
    )


@functools.cache
def filled_buffer():
    """Levels 1 … 8 (starts), scores equal to start / 10, best returns −start, seen in rising order."""
    empty = teacher_of().init(jax.random.key(0), SPACE, B)
    starts = range(1, 9)
    return fill(empty, SPACE, starts, [s / 10 for s in starts], [-s for s in starts], [s - 1 for s in starts], clock=8)


# -- the plan ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minimum_fill", "new_batches", "warm"),
    [(0.5, 0, False), (0.5, 1, True), (0.51, 1, False), (0.51, 2, True), (1.0, 1, False), (1.0, 2, True)],
)
def test_warm_up_is_counted_in_batches_of_new_levels(minimum_fill, new_batches, warm):
    # B = 4, C = 8: one batch offers half of the buffer
    teacher = teacher_of(minimum_fill=minimum_fill, replay_probability=1.0)
    for cast in (lambda t: t, lambda t: t.traced()):
        for k in range(3):
            plan = cast(teacher).plan(jax.random.key(k), schedule(new_batches), B)
            assert replays(plan) is warm


@pytest.mark.parametrize("cast", [lambda t: t, lambda t: t.traced()], ids=["plain", "traced"])
@pytest.mark.parametrize("capacity", [10, 30, 4000])
def test_a_share_that_is_offered_exactly_is_enough(cast, capacity):
    """Tenths are no numbers of float32, nor are their multiples by it: none may be a batch late."""
    for tenths in range(1, 11):
        teacher = cast(teacher_of(buffer_size=capacity, minimum_fill=tenths / 10, replay_probability=1.0))
        batch = tenths * capacity // 10  # levels in a batch, so that one is the share
        for levels, warm in ((batch, True), (batch - 1, False)):
            assert bool(teacher.is_warm(schedule(1), levels)) is warm, (tenths, levels)


def test_replayed_batches_do_not_warm():
    assert not replays(teacher_of(replay_probability=1.0).plan(jax.random.key(0), schedule(0, 50), B))


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.8])
def test_replay_happens_with_its_probability_once_warm(probability):
    teacher = teacher_of(replay_probability=probability).traced()
    plans = jax.jit(jax.vmap(lambda k: teacher.plan(k, schedule(9), B)))(jax.random.split(jax.random.key(1), 4000))
    replay = np.asarray(plans.kind) == base.REPLAY
    assert abs(np.mean(replay) - probability) < 4 * np.sqrt(probability * (1 - probability) / 4000)
    np.testing.assert_array_equal(plans.train, replay)
    np.testing.assert_array_equal(plans.new_batches, ~replay)
    np.testing.assert_array_equal(plans.rollouts, 1)
    assert not np.any(plans.refresh)


@pytest.mark.parametrize(
    ("new_batches", "expected"),
    # B = 4, C = 40: each batch of new levels is a tenth of the buffer; at most p = 0.6, and nothing below minimum_fill
    [(0, 0.0), (1, 0.0), (2, 0.2), (5, 0.5), (6, 0.6), (9, 0.6), (50, 0.6)],
)
def test_proportionate_decision_replays_with_the_share_that_was_offered_at_most_p(new_batches, expected):
    teacher = teacher_of(
        buffer_size=40, replay_decision="proportionate", replay_probability=0.6, minimum_fill=0.15
    ).traced()
    plan = jax.jit(jax.vmap(lambda k: teacher.plan(k, schedule(new_batches), B)))
    replay = np.asarray(plan(jax.random.split(jax.random.key(1), 4000)).kind) == base.REPLAY
    assert abs(np.mean(replay) - expected) <= 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_plain_plr_learns_from_every_batch_and_robust_plr_from_replayed_ones_only():
    plans = {
        (cls, warm): cls(buffer_size=8, replay_probability=1.0).plan(jax.random.key(0), schedule(9 * warm), B)
        for cls in (PrioritizedLevelReplay, RobustPrioritizedLevelReplay)
        for warm in (0, 1)
    }
    assert [bool(p.train) for p in plans.values()] == [True, True, False, True]
    assert [replays(p) for p in plans.values()] == [False, True, False, True]
    assert all(p.train.shape == p.kind.shape == () for p in plans.values())


def test_plan_sees_the_schedule_only():
    """It takes no member's state: the buffer may be empty or full, the plan is the same."""
    teacher = teacher_of()
    a = [replays(teacher.plan(jax.random.key(k), schedule(9, seed=0), B)) for k in range(20)]
    b = [replays(teacher.plan(jax.random.key(k), schedule(9, seed=1), B)) for k in range(20)]
    assert a == b
    assert len(set(a)) == 2


# -- proposals ---------------------------------------------------------------------------------------------------------


def test_trap_01_replayed_levels_are_those_of_their_slots_with_their_best_returns():
    for k in range(5):
        proposal = _propose(teacher_of().traced(), jax.random.key(k), filled_buffer(), REPLAY)
        slots = np.asarray(proposal.slots)
        np.testing.assert_array_equal(proposal.levels.start, slots + 1)
        np.testing.assert_array_equal(proposal.max_returns, -(slots + 1.0))


def test_replayed_slots_follow_the_replay_distribution():
    teacher = teacher_of(temperature=1.0, staleness_coefficient=0.5).traced()
    expected = np.asarray(teacher.replay_distribution(filled_buffer()))
    # ranks 8 … 1 by score; ages 8, 7, … 1
    weights = 1 / np.arange(8, 0, -1)
    ages = np.arange(8, 0, -1)
    np.testing.assert_allclose(expected, 0.5 * weights / weights.sum() + 0.5 * ages / ages.sum(), rtol=1e-5)
    draw = jax.jit(jax.vmap(lambda k: teacher.propose(k, filled_buffer(), REPLAY, SPACE, B, no_probe)[1].slots))
    slots = np.asarray(draw(jax.random.split(jax.random.key(0), 4000))).ravel()
    frequencies = np.bincount(slots, minlength=8) / slots.size
    np.testing.assert_allclose(frequencies, expected, atol=4 * np.sqrt(0.25 / slots.size))


def test_new_levels_come_from_the_generator_with_no_slot():
    proposal = _propose(teacher_of().traced(), jax.random.key(0), filled_buffer(), NEW)
    np.testing.assert_array_equal(proposal.slots, -1)
    other = _propose(teacher_of().traced(), jax.random.key(1), filled_buffer(), NEW)
    assert not np.array_equal(proposal.levels.start, other.levels.start)


def test_a_new_level_that_the_buffer_knows_brings_its_best_return_along():
    state = filled_buffer()
    seen, unknown = 0, 0
    for k in range(60):
        proposal = _propose(teacher_of().traced(), jax.random.key(k), state, NEW)
        for start, best in zip(np.asarray(proposal.levels.start), np.asarray(proposal.max_returns), strict=True):
            if start <= 8:
                seen += 1
                assert best == -float(start)
            else:
                unknown += 1
                assert best == -np.inf
    assert seen > 5
    assert unknown > 100


def test_sources_are_told():
    for plan, source in ((NEW, base.NEW), (REPLAY, base.REPLAY)):
        proposal = _propose(teacher_of().traced(), jax.random.key(0), filled_buffer(), plan)
        np.testing.assert_array_equal(proposal.sources, source)
        np.testing.assert_array_equal(proposal.ancestry.generation, 0)
        np.testing.assert_array_equal(proposal.ancestry.parent, -1)


def test_uniform_replay_is_robust_plr_that_looks_at_no_score():
    teacher = UniformReplay(buffer_size=8)
    np.testing.assert_allclose(teacher.replay_distribution(filled_buffer()), 1 / 8, rtol=1e-6)
    assert teacher.eviction == "score"  # all weights are equal, and something has to say who goes
    plan = teacher.plan(jax.random.key(0), schedule(0), B)
    assert not bool(plan.train)
    draw = jax.jit(jax.vmap(lambda k: teacher.propose(k, filled_buffer(), REPLAY, SPACE, B, no_probe)[1].slots))
    counts = np.bincount(np.asarray(draw(jax.random.split(jax.random.key(0), 2000))).ravel(), minlength=8)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("options", "best"),
    # scores 0.1 … 0.8, each level's age is 8 … 1
    [
        ({"prioritization": "rank"}, 7),
        ({"prioritization": "power", "temperature": 0.1}, 7),
        ({"prioritization": "softmax", "temperature": 0.1}, 7),
        ({"prioritization": "top_k", "top_k": 1, "temperature": 0.1}, 7),
        ({"prioritization": "top_k", "top_k": 1, "staleness_coefficient": 0.9}, 0),
    ],
    ids=str,
)
def test_options_reach_the_replay_distribution(options, best):
    teacher = teacher_of(**{"staleness_coefficient": 0.0} | options).traced()
    assert int(np.argmax(teacher.replay_distribution(filled_buffer()))) == best


def test_replay_from_an_empty_buffer_still_yields_levels_of_the_generator():
    state = teacher_of().init(jax.random.key(3), SPACE, B)
    proposal = _propose(teacher_of().traced(), jax.random.key(0), state, REPLAY)
    starts = np.asarray(proposal.levels.start)
    assert np.all((starts >= 1) & (starts <= 100))
    assert np.all(np.isneginf(proposal.max_returns))


@pytest.mark.parametrize("temperature", [1e-50, 1e-40, 1e-30, 1e-3, 1e3])
def test_every_temperature_that_is_accepted_gives_a_distribution(temperature):
    """A number that is positive in Python may be 0 in float32."""
    try:
        teacher = teacher_of(temperature=temperature, staleness_coefficient=0.0).traced()
    except UserError as error:
        assert "temperature" in str(error)  # noqa: PT017 - either answer is right, a distribution of NaN is not
        return
    probabilities = np.asarray(teacher.replay_distribution(filled_buffer()))
    assert np.isfinite(probabilities).all()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-4)
    assert probabilities.argmax() == 7


# -- observations ------------------------------------------------------------------------------------------------------


def test_new_levels_are_scored_and_stored():
    teacher, state = teacher_of().traced(), teacher_of().init(jax.random.key(0), SPACE, B)
    proposal = _propose(teacher, jax.random.key(0), state, NEW)
    after = _observe(teacher, state, NEW, proposal, outcome([1, 0, 1, -2], [0.25, 0.5, 1, 0], proposal.max_returns))
    # MaxMC of one step: return − value
    kept = {int(s): float(v) for s, v, f in zip(after.levels.start, after.scores, after.filled, strict=True) if f}
    starts = np.asarray(proposal.levels.start).tolist()
    assert len(set(starts)) == 4
    assert kept == dict(zip(starts, [0.75, -0.5, 0.0, -2.0], strict=True))
    np.testing.assert_array_equal(np.sort(np.asarray(after.max_returns)[np.asarray(after.filled)]), [-2, 0, 1, 1])
    assert int(after.clock) == 1
    np.testing.assert_array_equal(np.asarray(after.last_seen)[np.asarray(after.filled)], 1)
    np.testing.assert_array_equal(after.fingerprints, jax.vmap(SPACE.fingerprint)(after.levels))


def test_trap_04_levels_without_a_finished_episode_are_not_stored():
    teacher, state = teacher_of().traced(), teacher_of().init(jax.random.key(0), SPACE, B)
    proposal = _propose(teacher, jax.random.key(0), state, NEW)
    after = _observe(
        teacher, state, NEW, proposal, outcome([1] * 4, [0] * 4, proposal.max_returns, [True, False, True, False])
    )
    starts = np.asarray(proposal.levels.start)
    assert set(np.asarray(after.levels.start)[np.asarray(after.filled)].tolist()) == {starts[0], starts[2]}


def test_trap_13_replayed_levels_are_rescored_in_place_and_their_best_return_is_only_raised():
    teacher, state = teacher_of().traced(), filled_buffer()
    proposal = _propose(teacher, jax.random.key(0), state, REPLAY)
    proposal = proposal.replace(
        slots=jnp.asarray([0, 2, 4, 6], jnp.int32),
        levels=CorridorLevel(jnp.asarray([1, 3, 5, 7], jnp.int32)),
        max_returns=jnp.asarray([-1.0, -3, -5, -7]),
    )
    after = _observe(
        teacher, state, REPLAY, proposal, outcome([2, -9, -5, 1], [0.5, 0, 1, 0], proposal.max_returns, [1, 1, 1, 0])
    )
    # R⁺ = 2, −3 (−9 is lower), −5; scores 2 − 0.5, −3 − 0, −5 − 1; slot 6 finished nothing: score kept, seen all the same
    np.testing.assert_allclose(after.scores, [1.5, 0.2, -3, 0.4, -6, 0.6, 0.7, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(after.max_returns, [2, -2, -3, -4, -5, -6, -7, -8])
    np.testing.assert_array_equal(after.last_seen, [9, 1, 9, 3, 9, 5, 9, 7])
    np.testing.assert_array_equal(after.levels.start, state.levels.start)
    np.testing.assert_array_equal(after.filled, state.filled)


def test_levels_replayed_just_now_are_the_least_stale():
    teacher, state = teacher_of(staleness_coefficient=1.0).traced(), filled_buffer()
    proposal = _propose(teacher, jax.random.key(0), state, REPLAY)
    after = _observe(teacher, state, REPLAY, proposal, outcome([0] * 4, [0] * 4, proposal.max_returns))
    probabilities = np.asarray(teacher.replay_distribution(after))
    np.testing.assert_array_equal(probabilities[np.asarray(proposal.slots)], 0.0)


def test_smoothing_reaches_levels_that_are_replayed_and_levels_that_are_met_again():
    # α = 1/4; MaxMC of one step: R⁺ − value. Level 1 (score 0.1, R⁺ −1): 3/4·0.1 + 1/4·(2 − 0)
    teacher, state = teacher_of(score_smoothing=0.25).traced(), filled_buffer()
    proposal = proposal_of([1, 2, 3, 4], [base.REPLAY] * 4, [0, 1, 2, 3], [-1, -2, -3, -4])
    after = _observe(teacher, state, REPLAY, proposal, outcome([2] * 4, [0] * 4, proposal.max_returns))
    np.testing.assert_allclose(after.scores[:4], [0.575, 0.65, 0.725, 0.8], rtol=1e-6)
    proposal = proposal_of([1, 50, 51, 52], [base.NEW] * 4, max_returns=[2, -np.inf, -np.inf, -np.inf])
    after = _observe(teacher, after, NEW, proposal, outcome([-9] * 4, [0] * 4, proposal.max_returns))
    assert float(after.scores[0]) == pytest.approx(0.75 * 0.575 + 0.25 * 2)
    assert float(after.max_returns[0]) == 2.0


def test_eviction_and_uniqueness_reach_the_buffer():
    # A new level of score 0.45 and one that is there (start 8, score 0.8 → 0.0).
    state = filled_buffer()
    proposal = proposal_of([50, 8, 8, 8], [base.NEW] * 4, max_returns=[-np.inf, -8, -8, -8])
    result = outcome([0.45, 0, 0, 0], [0, 0, 0, 0], None, [True, True, False, False])
    after = _observe(teacher_of(eviction="score").traced(), state, NEW, proposal, result)
    # level 8 is rescored first and is the lowest then: it gives way
    assert held(after) == pytest.approx({s: s / 10 for s in range(1, 8)} | {50: 0.45})
    after = _observe(teacher_of(eviction="score", unique=False).traced(), state, NEW, proposal, result)
    # as a level of its own it is worth less than the one it would replace
    assert held(after) == pytest.approx({s: s / 10 for s in range(2, 9)} | {50: 0.45})


@pytest.mark.parametrize("score", ["toy_worlds:failure_rate", "positive_value_loss"])
def test_any_score_goes_with_it_a_users_own_by_import_path_too(score):
    teacher, state = teacher_of(score=score).traced(), teacher_of().init(jax.random.key(0), SPACE, B)
    proposal = _propose(teacher, jax.random.key(0), state, NEW)
    after = _observe(teacher, state, NEW, proposal, outcome([1, 0, 1, 0], [0.25, 0, 0, 3], proposal.max_returns))
    stored = np.sort(np.asarray(after.scores)[np.asarray(after.filled)])
    # failed share: 0, 1, 0, 1; positive part of return − value: 0.75, 0, 1, 0
    np.testing.assert_allclose(stored, [0, 0, 1, 1] if "failure" in score else [0, 0, 0.75, 1])


def test_share_of_the_highest_step_reaches_the_score():
    # positive value loss of one episode of two steps: advantages 1 and 3: (1 − m)·2 + m·3
    result = outcome([0] * 4, [0] * 4)
    signals = result.signals.replace(
        advantages=jnp.tile(jnp.asarray([[1.0], [3.0]]), (4, 1, 1)), ended=jnp.tile(jnp.asarray([False, True]), (4, 1))
    )
    for share, expected in ((0.0, 2.0), (0.25, 2.25), (1.0, 3.0)):
        teacher = teacher_of(score="positive_value_loss", score_max_share=share).traced()
        state = teacher.init(jax.random.key(0), SPACE, B)
        proposal = proposal_of([1, 2, 3, 4], [base.NEW] * 4)
        after = _observe(teacher, state, NEW, proposal, result.replace(signals=signals))
        np.testing.assert_allclose(after.scores[:4], expected, rtol=1e-6)


def test_trap_04_a_score_that_is_never_finite_stores_nothing_and_is_counted():
    teacher, state = teacher_of(score="toy_worlds:nan_score").traced(), teacher_of().init(jax.random.key(0), SPACE, B)
    proposal = _propose(teacher, jax.random.key(0), state, NEW)
    after = _observe(teacher, state, NEW, proposal, outcome([1] * 4, [0] * 4, proposal.max_returns))
    assert not np.any(after.filled)
    assert int(teacher.broken_scores(after)) == 4
    assert int(teacher.broken_scores(state)) == 0


def test_a_level_without_an_episode_is_no_broken_score():
    teacher, state = teacher_of(score="toy_worlds:nan_score").traced(), teacher_of().init(jax.random.key(0), SPACE, B)
    proposal = _propose(teacher, jax.random.key(0), state, NEW)
    after = _observe(teacher, state, NEW, proposal, outcome([1] * 4, finished=[False, True, False, False]))
    assert int(teacher.broken_scores(after)) == 1


def test_metrics_of_the_buffer_are_of_its_filled_slots_and_undefined_when_there_is_none():
    teacher = teacher_of()
    state = filled_buffer()
    state = state.replace(filled=state.filled.at[4:].set(False))
    metrics = {name: float(value) for name, value in teacher.metrics(state, SPACE).items()}
    assert metrics["buffer_fill"] == 0.5
    assert metrics["buffer_max_score"] == pytest.approx(0.4)
    assert metrics["buffer_mean_staleness"] == pytest.approx((8 + 7 + 6 + 5) / 4)
    assert metrics["buffer_mean_age"] == 8.0  # all were stored at 0
    aged = state.replace(ancestry=state.ancestry.replace(generation=jnp.arange(8, dtype=jnp.int32)))
    assert float(teacher.metrics(aged, SPACE)["buffer_mean_generation"]) == (0 + 1 + 2 + 3) / 4
    fresh = teacher.metrics(teacher.init(jax.random.key(0), SPACE, B), SPACE)
    assert float(fresh["buffer_fill"]) == 0.0
    assert all(np.isnan(value) for name, value in fresh.items() if name != "buffer_fill")


def test_mean_score_of_the_buffer_counts_filled_slots_only():
    # an empty slot's score is 0 by the buffer's contract
    state = filled_buffer()
    state = state.replace(filled=state.filled.at[4:].set(False), scores=jnp.where(jnp.arange(8) < 4, state.scores, 0.0))
    assert float(teacher_of().metrics(state, SPACE)["buffer_mean_score"]) == pytest.approx((0.1 + 0.2 + 0.3 + 0.4) / 4)


def test_init_state_is_an_empty_buffer_of_generated_levels():
    state = teacher_of().init(jax.random.key(0), SPACE, B)
    assert state.capacity == 8
    assert not np.any(state.filled)
    assert len(np.unique(state.levels.start)) > 3
    np.testing.assert_array_equal(state.fingerprints, jax.vmap(SPACE.fingerprint)(state.levels))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    np.testing.assert_allclose(level_buffer.replay_distribution(state, teacher_of().priority), 1 / 8)


# -- what a user may get wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"replay_probability": 1.5}, ("replay_probability", "1.5", "[0, 1]")),
        ({"replay_probability": 0.0}, ("replay_probability", "0", "(0, 1]")),
        ({"staleness_coefficient": -0.1}, ("staleness_coefficient", "-0.1", "[0, 1]")),
        ({"minimum_fill": 0.0}, ("minimum_fill", "0.0", "(0, 1]")),
        ({"temperature": 0.0}, ("temperature", "0.0", "[0.001, ∞)")),
        ({"temperature": float("nan")}, ("temperature", "nan", "[0.001, ∞)")),
        ({"buffer_size": 0}, ("buffer_size", "0", "[1, 16777216]")),
        ({"score_smoothing": 0.0}, ("score_smoothing", "0.0", "(0, 1]")),
        ({"score_max_share": 1.5}, ("score_max_share", "1.5", "[0, 1]")),
        ({"top_k": 0}, ("top_k", "0", "[1, 4000]")),
        ({"buffer_size": 8, "top_k": 9}, ("top_k", "9", "[1, 8]")),
        ({"prioritization": "ranks"}, ("prioritization", "'ranks'", "rank, power, softmax, top_k, uniform")),
        ({"eviction": "age"}, ("eviction", "'age'", "weight, score")),
        ({"replay_decision": "always"}, ("replay_decision", "'always'", "fixed, proportionate")),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        RobustPrioritizedLevelReplay(**options)
    assert all(part in str(error.value) for part in (*parts, "allowed"))
    assert "\n" not in str(error.value)


def test_plain_plr_may_never_replay():
    assert PrioritizedLevelReplay(replay_probability=0.0).replay_probability == 0.0


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"buffer_size": 3}, ("teacher.buffer_size is 3", "allowed", "num_envs = 4")),
        ({"score": "max_cm"}, ("unknown score 'max_cm'", "did you mean 'max_mc'")),
        ({"score": "toy_worlds:undeclared_score"}, ("toy_worlds:undeclared_score", "declares no signals")),
        ({"score": "toy_worlds:ensemble_score"}, ("toy_worlds:ensemble_score", "num_value_heads is 1", "at least 2")),
        ({"score": "toy_worlds:no_such"}, ("toy_worlds:no_such", "cannot be loaded")),
        ({"score": "value_disagreement"}, ("'value_disagreement'", "network.num_value_heads is 1", "at least 2")),
        ({"score": "policy_disagreement"}, ("'policy_disagreement'", "network.num_policy_heads is 1", "at least 2")),
        ({"score": "mean_return", "score_max_share": 0.5}, ("score_max_share is 0.5", "'mean_return'", "allowed: 0")),
    ],
    ids=str,
)
def test_a_run_that_cannot_work_is_refused_before_anything_compiles(options, parts):
    teacher = teacher_of(**options)
    with pytest.raises(UserError) as error:
        teacher.validate(SPACE, 4, missing_signals(NetworkConfig(), SPACE, "Corridor"))
    assert all(part in str(error.value) for part in parts)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError):
        TrainConfig(env=ENV, teacher=teacher, num_envs=4)


def test_a_good_run_is_not_refused():
    teacher = teacher_of(score="toy_worlds:ensemble_score")
    teacher.validate(with_agent_axis(ENV).level_space, 8, {})
    TrainConfig(env=ENV, teacher=teacher, num_envs=8, network=NetworkConfig(num_value_heads=2))
