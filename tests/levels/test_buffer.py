"""The level buffer by hand: drawing, finding, inserting, revisiting, ages and families, and what it costs."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from minied.levels import buffer as level_buffer
from minied.levels.buffer import Ancestry, Candidates, Visits
from minied.levels.priority import Priority

C, B = 6, 4
NONE = -math.inf
RANK = Priority(jnp.float32(0.3), jnp.float32(0.3))
BY_RANK_ALONE = Priority(jnp.float32(0.3), jnp.float32(0.0))
BY_SCORE = Priority(jnp.float32(0.3), jnp.float32(0.3), eviction="score")
_distribution = jax.jit(level_buffer.replay_distribution)
_insert = jax.jit(level_buffer.insert, static_argnames="unique")
_insert_at = jax.jit(level_buffer.insert_at)
_revisit = jax.jit(level_buffer.revisit)
_find = jax.jit(level_buffer.find)
_sample = jax.jit(level_buffer.sample_slots, static_argnums=2)


def fingerprint(ids):
    """Levels are integers here; the two words differ in which ids share them, so that both must be compared."""
    ids = np.asarray(ids)
    return jnp.asarray(np.stack([ids // 3, ids % 3], axis=-1).astype(np.uint32))


def empty(capacity=C):
    ids = 900 + np.arange(capacity)
    return level_buffer.init({"id": jnp.asarray(ids, jnp.int32)}, fingerprint(ids))


def holding(scores, last_seen=None, clock=0, capacity=C, max_returns=None):
    """A buffer whose first slots hold levels 0, 1, 2 … with these scores; None leaves a slot empty.

    Identities are the slots, each its own lineage; highest returns are 0 unless given.
    """
    buffer = empty(capacity)
    filled = np.asarray([s is not None for s in scores] + [False] * (capacity - len(scores)))
    padded = [s if s is not None else 0.0 for s in scores] + [0.0] * (capacity - len(scores))
    ids = np.where(filled, np.arange(capacity), np.asarray(buffer.levels["id"]))
    seen = [0] * capacity if last_seen is None else list(last_seen) + [0] * (capacity - len(last_seen))
    best = np.where(filled, 0.0, NONE) if max_returns is None else np.asarray(max_returns)
    identities = jnp.asarray(np.where(filled, np.arange(capacity), -1), jnp.int32)
    return buffer.replace(
        levels={"id": jnp.asarray(ids, jnp.int32)},
        fingerprints=fingerprint(ids),
        scores=jnp.asarray(padded, jnp.float32),
        max_returns=jnp.asarray(best, jnp.float32),
        last_seen=jnp.asarray(seen, jnp.int32),
        filled=jnp.asarray(filled),
        visits=jnp.asarray(filled, jnp.int32),
        identities=identities,
        ancestry=buffer.ancestry.replace(lineage=identities),
        clock=jnp.int32(clock),
        next_identity=jnp.int32(capacity),
    )


def visits_of(scores, max_returns=None, valid=None):
    count = len(scores)
    return Visits(
        jnp.asarray(scores, jnp.float32),
        jnp.asarray([0.0] * count if max_returns is None else max_returns, jnp.float32),
        jnp.asarray([True] * count if valid is None else valid, bool),
    )


def candidates_of(ids, scores, max_returns=None, valid=None, ancestry=None):
    count = len(ids)
    return Candidates(
        {"id": jnp.asarray(ids, jnp.int32)},
        fingerprint(ids),
        visits_of(scores, max_returns, valid),
        Ancestry.none(count) if ancestry is None else ancestry,
        jnp.zeros((count, 0)),
    )


def offer(buffer, *candidates, priority=RANK, function=_insert, **options):
    return function(buffer, candidates_of(*candidates), priority, **options)


def held(buffer):
    """{level: (score, max return, last seen)} of the filled slots."""
    return {
        int(i): (float(s), float(m), int(t))
        for i, s, m, t, f in zip(
            buffer.levels["id"], buffer.scores, buffer.max_returns, buffer.last_seen, buffer.filled, strict=True
        )
        if f
    }


# -- the replay distribution (its closed forms are in test_priority) ---------------------------------------------------


def test_ages_are_batches_since_a_level_was_last_seen():
    # clock 8, seen at 5 and 6: ages 3 and 2; ranks 2 and 1 weigh 2^(−1/τ) and 1
    buffer = holding([None, 1, None, 2], last_seen=[0, 5, 0, 6], clock=8)
    buffer = buffer.replace(scores=buffer.scores.at[0].set(1e9))  # a score left in a slot that is not filled
    got = np.asarray(_distribution(buffer, Priority(0.3, 0.5)))
    np.testing.assert_array_equal(got[[0, 2, 4, 5]], 0.0)
    weight = 2.0 ** (-1 / 0.3)
    by_score = np.asarray([weight, 1.0]) / (1 + weight)
    np.testing.assert_allclose(got[[1, 3]], 0.5 * by_score + 0.5 * np.asarray([0.6, 0.4]), rtol=1e-5)


def test_with_nothing_filled_every_slot_is_as_likely():
    np.testing.assert_allclose(_distribution(empty(), RANK), [1 / C] * C, rtol=1e-6)


# -- drawing slots -----------------------------------------------------------------------------------------------------


def test_slots_are_drawn_in_proportion_with_replacement():
    probabilities = np.asarray([0.5, 0.0, 0.2, 0.05, 0.25, 0.0], np.float32)
    slots = np.concatenate([_sample(jax.random.key(k), jnp.asarray(probabilities), 20_000) for k in range(10)])
    counts = np.bincount(slots, minlength=6)
    assert counts[1] == counts[5] == 0
    kept = probabilities > 0
    expected = probabilities[kept].astype(np.float64)
    assert scipy.stats.chisquare(counts[kept], 200_000 * expected / expected.sum()).pvalue > 1e-3
    assert slots.dtype == np.int32


def test_a_slot_of_probability_zero_is_never_drawn_from_a_large_half_filled_buffer():
    rng = np.random.default_rng(0)
    for fill in (1, 63, 2000, 3999):
        scores = list(rng.normal(size=fill))
        seen = list(rng.integers(0, 100, fill))
        probabilities = _distribution(holding(scores, last_seen=seen, clock=100, capacity=4000), RANK)
        holes = np.asarray(probabilities).copy()
        holes[rng.random(4000) < 0.3] = 0.0
        holes[0] = 0.1
        for p in (np.asarray(probabilities), holes):
            slots = np.asarray(_sample(jax.random.key(fill), jnp.asarray(p), 200_000))
            assert slots.min() >= 0
            assert slots.max() < 4000
            assert np.all(p[slots] > 0)


def test_rounding_of_the_sums_draws_no_slot_of_probability_zero(monkeypatch):
    # the highest uniform there is, and a total that it rounds up to; the last slots have no probability
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, 1.0))
    for probabilities in ([0.3, 0.0, 0.7, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1e-30, 0.0, 0.0]):
        slots = level_buffer.sample_slots(jax.random.key(0), jnp.asarray(probabilities), 3)
        assert np.all(np.asarray(probabilities)[np.asarray(slots)] > 0)


def test_one_certain_slot_is_always_drawn():
    for slot in (0, 3, 5):
        p = jnp.zeros(6).at[slot].set(1.0)
        np.testing.assert_array_equal(_sample(jax.random.key(slot), p, 100), slot)


def test_uniforms_on_the_edges_draw_the_slot_that_begins_there(monkeypatch):
    # cumulative sums 0, ¼, ¼, ½, 1, 1: 0 belongs to slot 1, ¼ to slot 3, ½ to slot 4; the largest uniform to slot 4
    edges = jnp.asarray([0.0, 0.25, 0.5, np.nextafter(np.float32(1), np.float32(0))])
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: edges)
    slots = level_buffer.sample_slots(jax.random.key(0), jnp.asarray([0.0, 0.25, 0.0, 0.25, 0.5, 0.0]), 4)
    np.testing.assert_array_equal(slots, [1, 3, 4, 4])


# -- finding -----------------------------------------------------------------------------------------------------------


def test_find_gives_the_slot_of_a_held_level_and_minus_one_otherwise():
    buffer = holding([1, None, 3, 4])
    # level 1 is nowhere; 901 stands in an empty slot and does not count; 5 shares one word with 2, and one with 3
    got = _find(buffer, fingerprint([3, 1, 2, 901, 5, 0]))
    np.testing.assert_array_equal(got, [3, -1, 2, -1, -1, 0])


# -- insertion by hand -------------------------------------------------------------------------------------------------


def test_new_levels_fill_empty_slots_first():
    buffer = offer(empty(), [10, 11, 12, 13], [-5, 3, 0, 1], [1, 2, 3, 4])
    assert held(buffer) == {10: (-5, 1, 0), 11: (3, 2, 0), 12: (0, 3, 0), 13: (1, 4, 0)}
    # two slots are left: the better two newcomers take them whatever they score, the others need a lower score to replace
    buffer = offer(buffer, [14, 15, 16, 17], [-9, -7, -8, -6])
    assert set(held(buffer)) == {10, 11, 12, 13, 15, 17}


def test_full_buffer_gives_up_its_least_likely_levels_for_strictly_better_ones():
    buffer = holding([6, 5, 4, 3, 2, 1])
    # by rising probability with ρ = 0: slots 5, 4, 3, 2. Newcomers by falling score: 9 → slot 5 (1), 2 → slot 4 (2): a
    # tie does not replace; 0 and −1 → slots 3 and 2: no
    after = offer(buffer, [20, 21, 22, 23], [0, 9, 2, -1], priority=BY_RANK_ALONE)
    assert sorted(held(after)) == [0, 1, 2, 3, 4, 21]
    assert int(after.levels["id"][5]) == 21
    assert float(after.scores[5]) == 9.0


def test_level_that_is_held_updates_its_own_slot_even_downwards():
    buffer = holding([6, 5, 4, 3, 2, 1], clock=7, max_returns=[8] * 6)
    after = offer(buffer, [0, 3, 30, 31], [0.5, 7, -9, -9], [2, 9, 0, 0], priority=BY_RANK_ALONE)
    assert held(after)[0] == (0.5, 8, 7)
    assert held(after)[3] == (7, 9, 7)
    assert sorted(held(after)) == [0, 1, 2, 3, 4, 5]


def test_equal_levels_of_a_batch_are_one_visit_with_the_mean_score():
    after = offer(empty(), [10, 11, 10, 10], [1, 5, 2, 6], [4, 0, 9, 1])
    assert held(after) == {10: (3, 9, 0), 11: (5, 0, 0)}
    after = offer(holding([6, 5]), [1, 12, 1, 12], [2, 8, 4, 9], [0, 1, 3, 2])
    assert held(after) == {0: (6, 0, 0), 1: (3, 3, 0), 12: (8.5, 2, 0)}


@pytest.mark.parametrize("score", [math.nan, math.inf, 3.0])
def test_trap_04_an_invalid_level_is_never_stored(score):
    after = offer(empty(), [10, 11, 12, 13], [score, 1, score, 2], [NONE, 1, NONE, 1], [False, True, False, True])
    assert set(held(after)) == {11, 13}
    for leaf in (after.scores, after.max_returns[np.asarray(after.filled)]):
        assert np.isfinite(leaf).all()


def test_trap_04_an_invalid_visit_beside_a_valid_one_to_the_same_level_does_not_enter_the_mean():
    after = offer(empty(), [10, 10, 11, 11], [math.nan, 4, math.nan, math.nan], [NONE, 1, NONE, NONE], [0, 1, 0, 0])
    assert held(after) == {10: (4, 1, 0)}


def test_trap_04_an_invalid_visit_leaves_the_score_of_a_held_level():
    after = offer(holding([6, 5], clock=3), [0, 1, 0, 1], [math.nan] * 4, [NONE] * 4, [False] * 4)
    assert {level: value[:2] for level, value in held(after).items()} == {0: (6, 0), 1: (5, 0)}


def test_trap_03_empty_slots_know_no_return_and_negative_ones_are_kept():
    assert np.all(np.isneginf(empty().max_returns))
    after = offer(empty(), [10, 11, 12, 13], [1] * 4, [-7, -2, 0, 3])
    assert sorted(v[1] for v in held(after).values()) == [-7, -2, 0, 3]


def test_a_replaced_level_takes_its_highest_return_with_it():
    after = offer(holding([1] * 6, max_returns=[100] * 6), [20, 21, 22, 23], [9] * 4, [-1, -2, -3, -4])
    assert sorted(v[1] for v in held(after).values()) == [-4, -3, -2, -1, 100, 100]


def test_insertion_may_be_donated_and_jit_changes_nothing():
    plain = offer(holding([3, 1, 2]), [0, 7, 8, 7], [9, 8, 7, 6], function=level_buffer.insert)
    donated = jax.jit(level_buffer.insert, donate_argnums=0)
    before = jax.tree.map(jnp.copy, holding([3, 1, 2]))
    after = offer(before, [0, 7, 8, 7], [9, 8, 7, 6], function=donated)
    jax.tree.map(np.testing.assert_array_equal, after, plain)
    jax.tree.map(np.testing.assert_array_equal, offer(holding([3, 1, 2]), [0, 7, 8, 7], [9, 8, 7, 6]), plain)
    assert before.scores.is_deleted()


def test_capacity_equal_to_the_batch_is_enough():
    after = offer(empty(4), [1, 2, 3, 4], [1, 2, 3, 4])
    after = offer(after, [5, 6, 7, 8], [10, 9, 0, 0], priority=BY_RANK_ALONE)
    assert set(held(after)) == {3, 4, 5, 6}


# -- revisits ----------------------------------------------------------------------------------------------------------


def visit(buffer, slots, *visits, smoothing=1.0):
    return _revisit(buffer, jnp.asarray(slots, jnp.int32), visits_of(*visits), smoothing)


def test_revisit_rescores_in_place_and_moves_nothing():
    buffer = holding([6, 5, 4, 3], clock=9)
    after = visit(buffer, [2, 0, 3, 2], [1, 7, -2, 2], [5, -1, 0, 6], [1, 1, 1, 1])
    assert held(after) == {0: (7, 0, 9), 1: (5, 0, 0), 2: (1.5, 6, 9), 3: (-2, 0, 9)}
    np.testing.assert_array_equal(after.levels["id"], buffer.levels["id"])
    assert int(after.clock) == 9


def test_trap_13_running_maximum_never_falls():
    buffer = holding([1, 1, 1], max_returns=[5, -3, 2, NONE, NONE, NONE])
    after = visit(buffer, [0, 1, 2, 0], [1] * 4, [4, -2, NONE, 3], [1] * 4)
    np.testing.assert_array_equal(after.max_returns[:3], [5, -2, 2])


def test_trap_04_an_invalid_revisit_keeps_the_score_and_counts_as_seen():
    after = visit(
        holding([6, 5, 4], clock=3), [0, 1, 1, -1], [math.nan, math.nan, 8, 1], [NONE, NONE, 2, 99], [0, 0, 1, 1]
    )
    assert held(after) == {0: (6, 0, 3), 1: (8, 2, 3), 2: (4, 0, 0)}


def test_revisit_of_no_slot_is_ignored():
    buffer = holding([6, 5, 4, 3, 2, 1], clock=3)
    jax.tree.map(np.testing.assert_array_equal, visit(buffer, [-1] * 4, [9] * 4, [9] * 4, [1] * 4), buffer)


def test_tick_is_one_batch():
    buffer = level_buffer.tick(level_buffer.tick(holding([1])))
    assert int(buffer.clock) == 2


def test_an_empty_slot_that_is_drawn_is_filled_by_its_first_score():
    """If nothing finished in the warm-up, unfilled slots are replayed: a score must make such a slot count."""
    buffer = empty(4)
    after = visit(level_buffer.tick(buffer), [0, 1, 2, 0], [0.5, 0.7, 9.0, 0.1], [1.0, 0.5, NONE, 0.2], [1, 1, 0, 1])
    assert after.filled.tolist() == [True, True, False, False]
    np.testing.assert_allclose(after.scores, [0.3, 0.7, 0.0, 0.0], rtol=1e-6)  # slot 0: (0.5 + 0.1) / 2
    assert after.max_returns.tolist() == [1.0, 0.5, -np.inf, -np.inf]
    assert after.last_seen.tolist() == after.born.tolist() == after.visits.tolist() == [1, 1, 0, 0]
    assert after.identities.tolist()[2:] == [-1, -1]
    first, second = after.identities.tolist()[:2]
    assert len({first, second, -1}) == 3
    assert after.ancestry.lineage.tolist() == [first, second, -1, -1]


# -- smoothing ---------------------------------------------------------------------------------------------------------


def test_a_smoothed_score_is_a_mixture_of_old_and_new():
    # α = 1/4: 3/4·8 + 1/4·4 = 7; then 3/4·7 + 1/4·(−1) = 5; the running maximum is not smoothed
    buffer = visit(holding([8, 2]), [0, -1], [4, 0], [9, 0], smoothing=0.25)
    assert held(buffer) == {0: (7, 9, 0), 1: (2, 0, 0)}
    buffer = offer(buffer, [0, 0], [-3, 1], [1, 2], smoothing=0.25)
    assert held(buffer) == {0: (5, 9, 0), 1: (2, 0, 0)}


def test_a_first_score_is_taken_whole():
    assert held(offer(empty(), [10, 11], [4, 8], smoothing=0.25)) == {10: (4, 0, 0), 11: (8, 0, 0)}
    assert held(visit(empty(), [3, 3], [4, 8], smoothing=0.25)) == {903: (6, 0, 0)}


def test_an_invalid_visit_smooths_nothing():
    assert held(visit(holding([8]), [0], [math.nan], [NONE], [False], smoothing=0.25)) == {0: (8, 0, 0)}


# -- eviction by score, and a slot for every candidate -----------------------------------------------------------------


def test_eviction_by_score_lets_the_lowest_go_however_stale():
    # The lowest (1) was seen longest ago; by weight its age would keep it.
    scores, seen = [6, 5, 4, 3, 2, 1], [9, 9, 9, 9, 9, 0]
    after = {
        name: set(held(offer(holding(scores, seen, clock=9), [20], [2.5], priority=priority)))
        for name, priority in (("score", BY_SCORE), ("weight", Priority(0.3, 0.9)))
    }
    assert after["score"] == {0, 1, 2, 3, 4, 20}
    assert 5 in after["weight"]


def test_eviction_by_score_keeps_the_best_of_all_that_were_ever_offered():
    buffer, offered = empty(), []
    rng = np.random.default_rng(0)
    for i in range(10):
        scores = rng.permutation(1000)[:B].astype(float)
        offered += scores.tolist()
        buffer = offer(buffer, 10 + B * i + np.arange(B), scores, priority=BY_SCORE)
    assert sorted(v[0] for v in held(buffer).values()) == sorted(offered)[-C:]


def test_without_uniqueness_equal_levels_take_a_slot_each():
    after = offer(holding([6]), [0, 7, 7, 0], [5, 3, 2, 1], unique=False)
    assert np.asarray(after.filled).sum() == 5
    assert sorted(np.asarray(after.levels["id"])[np.asarray(after.filled)].tolist()) == [0, 0, 0, 7, 7]
    assert float(after.scores[0]) == 6.0


# -- a slot of one's own ------------------------------------------------------------------------------------------------


def put_at(buffer, slots, *candidates, smoothing=1.0):
    return _insert_at(buffer, jnp.asarray(slots, jnp.int32), candidates_of(*candidates), smoothing=smoothing)


def test_an_empty_slot_takes_the_best_that_is_offered_to_it():
    after = put_at(empty(), [2, 2, 2, 5], [10, 11, 12, 13], [1, 3, 2, -9], [4, 5, 6, 7])
    assert held(after) == {11: (3, 5, 0), 13: (-9, 7, 0)}
    assert int(after.levels["id"][2]) == 11
    assert int(after.levels["id"][5]) == 13


def test_a_filled_slot_gives_way_to_a_strictly_higher_score_only():
    buffer = holding([6, 5, 4], clock=3)
    after = put_at(buffer, [0, 1, 2, -1], [10, 11, 12, 13], [6, 5.5, 3, 99])
    assert held(after) == {0: (6, 0, 0), 11: (5.5, 0, 3), 2: (4, 0, 0)}
    assert int(after.visits[1]) == 1


def test_the_very_level_of_a_slot_is_a_visit_to_it_and_no_rival():
    # slot 0 holds level 0: (2 + 4)/2 = 3 by half with its 6 is 4.5; then level 12 is better than that
    buffer = holding([6, 5], clock=3)
    after = put_at(buffer, [0, 0, 1, 1], [0, 0, 1, 12], [2, 4, 9, 6.5], smoothing=0.5)
    # slot 1 holds level 1: half of 5 and 9 is 7, which 6.5 does not beat
    assert held(after) == {0: (4.5, 0, 3), 1: (7, 0, 3)}
    assert after.visits.tolist()[:2] == [2, 2]
    assert after.born.tolist()[:2] == [0, 0]
    after = put_at(buffer, [0, 0], [0, 12], [2, 4], smoothing=0.5)
    assert held(after) == {0: (4, 0, 3), 1: (5, 0, 0)}  # half of 6 and 2 is 4, which 4 does not beat
    after = put_at(buffer, [0, 0], [0, 12], [1, 4], smoothing=0.5)
    assert held(after) == {12: (4, 0, 3), 1: (5, 0, 0)}


def test_ties_of_the_weight_go_by_the_score():
    # uniform: every level is as likely; the lowest score goes first
    uniform = Priority(jnp.float32(1.0), jnp.float32(0.0), "uniform")
    after = offer(holding([6, 5, 1, 3, 2, 4]), [20, 21], [7, 3], priority=uniform)
    assert sorted(v[0] for v in held(after).values()) == [3, 3, 4, 5, 6, 7]
    assert set(held(after)) == {0, 1, 3, 5, 20, 21}


def test_of_equal_rivals_the_first_takes_the_slot_and_an_invalid_one_never_does():
    after = put_at(empty(), [3, 3, 3, 4], [10, 11, 12, 13], [2, 2, 9, 9], [0, 0, 0, 0], [1, 1, 0, 0])
    assert held(after) == {10: (2, 0, 0)}


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_trap_04_an_invalid_candidate_keeps_no_other_from_its_slot(score):
    after = put_at(empty(), [3, 3, 4, 4], [10, 11, 12, 13], [score, -2, -3, score], [NONE, 0, 0, NONE], [0, 1, 1, 0])
    assert held(after) == {11: (-2, 0, 0), 12: (-3, 0, 0)}


# -- ages, visits and families -----------------------------------------------------------------------------------------


def test_age_is_counted_from_when_the_level_was_stored_and_visits_from_one():
    buffer = level_buffer.tick(offer(level_buffer.tick(empty()), [10, 11], [1, 2]))
    buffer = level_buffer.tick(visit(buffer, [0, -1], [5, 0]))
    assert int(buffer.clock) == 3
    np.testing.assert_array_equal(buffer.ages, [2, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(buffer.visits, [2, 1, 0, 0, 0, 0])  # the better (11) is in slot 0
    np.testing.assert_array_equal(buffer.last_seen, [2, 1, 0, 0, 0, 0])
    buffer = offer(buffer, [12], [9], priority=BY_SCORE)  # into an empty slot
    np.testing.assert_array_equal(buffer.ages, [2, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(buffer.born, [1, 1, 3, 0, 0, 0])
    buffer = offer(buffer, [10], [7])
    np.testing.assert_array_equal(buffer.ages[:2], [2, 2])  # a known level that is seen again stays as old as it is
    np.testing.assert_array_equal(buffer.visits[:3], [2, 2, 1])


def test_families_are_kept_across_edits_of_edits_and_when_parents_are_gone():
    buffer = offer(empty(), [10, 11], [1, 2])  # 11 is better and stands in slot 0, 10 in slot 1
    eleven, ten = buffer.identities[:2].tolist()
    assert buffer.ancestry.parent[:2].tolist() == [-1, -1]
    assert buffer.ancestry.lineage[:2].tolist() == [eleven, ten]

    children = level_buffer.children_of(buffer, jnp.asarray([1, 1, 0], jnp.int32))
    assert children.parent.tolist() == [ten, ten, eleven]
    assert children.lineage.tolist() == [ten, ten, eleven]
    assert children.generation.tolist() == [1, 1, 1]
    buffer = _insert(buffer, candidates_of([20, 21, 22], [5, 3, 4], ancestry=children), RANK)
    # slots 2, 3, 4 hold 20, 22, 21 by falling score
    assert buffer.levels["id"].tolist()[:5] == [11, 10, 20, 22, 21]
    assert buffer.ancestry.parent.tolist()[2:5] == [ten, eleven, ten]
    assert buffer.ancestry.generation.tolist() == [0, 0, 1, 1, 1, 0]

    twenty = int(buffer.identities[2])
    grandchildren = level_buffer.children_of(buffer, jnp.asarray([2, 2], jnp.int32))
    buffer = _insert(buffer, candidates_of([30, 31], [9, 8], ancestry=grandchildren), BY_SCORE)
    # 30 takes the last empty slot, 31 that of the lowest score: 10, the first ancestor, is gone
    assert buffer.levels["id"].tolist() == [11, 31, 20, 22, 21, 30]
    assert buffer.ancestry.parent.tolist()[1] == buffer.ancestry.parent.tolist()[5] == twenty
    assert buffer.ancestry.lineage.tolist()[1] == buffer.ancestry.lineage.tolist()[5] == ten
    assert buffer.ancestry.generation.tolist() == [0, 2, 1, 1, 1, 2]
    identities = buffer.identities.tolist()
    assert len(set(identities)) == C
    assert ten not in identities


def test_a_child_that_equals_a_known_level_is_a_visit_and_moves_no_one_in_the_family():
    buffer = holding([6, 5])
    children = level_buffer.children_of(buffer, jnp.asarray([0, 0], jnp.int32))
    after = _insert(buffer, candidates_of([1, 0], [9, 8], ancestry=children), RANK)
    jax.tree.map(np.testing.assert_array_equal, after.ancestry, buffer.ancestry)
    np.testing.assert_array_equal(after.identities, buffer.identities)
    assert after.visits.tolist() == [2, 2, 0, 0, 0, 0]


def test_the_copy_of_a_level_that_no_one_has_played_is_as_good_as_one_of_the_generator():
    children = level_buffer.children_of(holding([6]), jnp.asarray([0, 3], jnp.int32))
    assert children.parent.tolist() == [0, -1]
    assert children.lineage.tolist() == [0, -1]
    assert children.generation.tolist() == [1, 0]


def test_identities_are_given_to_levels_that_are_stored_and_to_no_others():
    buffer = offer(empty(), [10, 11, 10, 12], [1, 2, 3, 4], [0] * 4, [1, 1, 1, 0])
    assert int(buffer.next_identity) == 2
    buffer = visit(buffer, [0, 1, 4, -1], [1] * 4, [0] * 4, [1, 0, 1, 1])  # slot 4 is filled by this
    assert int(buffer.next_identity) == 3
    assert sorted(np.asarray(buffer.identities)[np.asarray(buffer.filled)].tolist()) == [0, 1, 2]


def test_a_cleared_buffer_holds_nothing_and_goes_on_counting():
    buffer = level_buffer.note_broken(offer(level_buffer.tick(empty()), [10, 11], [1, 2]), jnp.asarray([True]))
    after = level_buffer.cleared(buffer)
    assert held(after) == {}
    assert (int(after.clock), int(after.next_identity), int(after.broken_scores)) == (1, 2, 1)
    assert np.all(np.isneginf(after.max_returns))
    for values in (after.identities, after.ancestry.parent, after.ancestry.lineage):
        assert np.all(np.asarray(values) == -1)
    for values in (after.scores, after.visits, after.last_seen, after.born, after.ancestry.generation):
        assert not np.any(values)


def test_features_go_where_their_levels_go():
    ids = 900 + np.arange(C)
    buffer = level_buffer.init({"id": jnp.asarray(ids, jnp.int32)}, fingerprint(ids), num_features=2)
    candidates = candidates_of([10, 11], [1, 2]).replace(features=jnp.asarray([[1.0, 2.0], [3.0, 4.0]]))
    after = _insert(buffer, candidates, RANK)
    assert after.features.tolist() == [[3.0, 4.0], [1.0, 2.0], *[[0.0, 0.0]] * 4]


def test_broken_scores_are_counted_for_ever():
    buffer = level_buffer.note_broken(empty(), jnp.asarray([True, False, True]))
    buffer = level_buffer.note_broken(level_buffer.tick(buffer), jnp.asarray([False, True, False]))
    assert int(buffer.broken_scores) == 3


# -- what it costs -----------------------------------------------------------------------------------------------------


def rankings(function, *arguments, size):
    """Names of the primitives that sort or rank ``size`` numbers or more, and of the loops around them."""

    def walk(jaxpr, inside):
        for equation in jaxpr.eqns:
            name = equation.primitive.name
            if name in ("sort", "top_k", "approx_top_k") and max(v.aval.size for v in equation.invars) >= size:
                yield (name, *inside)
            for value in equation.params.values():
                for item in value if isinstance(value, (tuple, list)) else (value,):
                    inner = getattr(item, "jaxpr", item)
                    if hasattr(inner, "eqns"):
                        loops = (name,) if name in ("scan", "while") else ()
                        yield from walk(inner, (*inside, *loops))

    return sorted(walk(jax.make_jaxpr(function)(*arguments).jaxpr, ()))


LARGE, BATCH = 100_000, 64


@pytest.mark.parametrize(
    ("prioritization", "eviction", "expected"),
    [
        # one sort says who goes first; the weights of rank and top_k need the ranks, which are another
        ("rank", "weight", [("sort",), ("sort",)]),
        ("top_k", "weight", [("sort",), ("sort",)]),
        ("power", "weight", [("sort",)]),
        ("rank", "score", [("sort",)]),
    ],
)
def test_a_batch_of_any_size_costs_one_ranking_of_the_buffer(prioritization, eviction, expected):
    buffer = jax.eval_shape(lambda: empty(LARGE))
    candidates = jax.eval_shape(lambda: candidates_of(np.arange(BATCH), np.zeros(BATCH)))
    priority = Priority(0.3, 0.3, prioritization, 1, eviction)
    for unique in (True, False):

        def insert(buffer, candidates, unique=unique):
            return level_buffer.insert(buffer, candidates, priority, unique=unique)

        assert rankings(insert, buffer, candidates, size=LARGE) == expected

    def draw(key, buffer):
        return level_buffer.sample_slots(key, level_buffer.replay_distribution(buffer, priority), BATCH)

    needs_ranks = prioritization in ("rank", "top_k")
    assert rankings(draw, jax.random.key(0), buffer, size=LARGE) == [("sort",)] * needs_ranks


def test_the_count_would_see_one_ranking_a_level():
    def one_by_one(scores, levels):
        return jax.lax.scan(lambda s, new: (s.at[jnp.argsort(s)[0]].set(new), None), scores, levels)

    assert rankings(one_by_one, jnp.zeros(LARGE), jnp.zeros(BATCH), size=LARGE) == [("sort", "scan")]


def test_revisits_and_slots_of_ones_own_rank_nothing():
    buffer = jax.eval_shape(lambda: empty(LARGE))
    candidates = jax.eval_shape(lambda: candidates_of(np.arange(BATCH), np.zeros(BATCH)))
    slots = jnp.zeros(BATCH, jnp.int32)
    assert rankings(level_buffer.insert_at, buffer, slots, candidates, size=LARGE) == []
    assert rankings(level_buffer.revisit, buffer, slots, candidates.visits, size=LARGE) == []
