"""The level buffer: closed forms of the replay distribution, and insertion against a sequential plain-Python reference."""

import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from minied.levels import buffer as level_buffer
from minied.levels.buffer import LevelBuffer

C, B = 6, 4
NONE = -math.inf
_distribution = jax.jit(level_buffer.replay_distribution)
_insert = jax.jit(level_buffer.insert)
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


def holding(scores, last_seen=None, clock=0, capacity=C, max_returns=None, ids=None):
    """A buffer whose first slots hold levels 0, 1, 2 … with these scores; None leaves a slot empty."""
    buffer = empty(capacity)
    filled = np.asarray([s is not None for s in scores] + [False] * (capacity - len(scores)))
    padded = [s if s is not None else 0.0 for s in scores] + [0.0] * (capacity - len(scores))
    ids = np.where(filled, np.arange(capacity), np.asarray(buffer.levels["id"])) if ids is None else np.asarray(ids)
    seen = [0] * capacity if last_seen is None else list(last_seen) + [0] * (capacity - len(last_seen))
    best = np.where(filled, 0.0, NONE) if max_returns is None else np.asarray(max_returns)
    return LevelBuffer(
        levels={"id": jnp.asarray(ids, jnp.int32)},
        fingerprints=fingerprint(ids),
        scores=jnp.asarray(padded, jnp.float32),
        max_returns=jnp.asarray(best, jnp.float32),
        last_seen=jnp.asarray(seen, jnp.int32),
        filled=jnp.asarray(filled),
        clock=jnp.int32(clock),
    )


def offer(buffer, ids, scores, max_returns=None, valid=None, temperature=0.3, staleness=0.3, function=_insert):
    count = len(ids)
    return function(
        buffer,
        {"id": jnp.asarray(ids, jnp.int32)},
        fingerprint(ids),
        jnp.asarray(scores, jnp.float32),
        jnp.asarray([0.0] * count if max_returns is None else max_returns, jnp.float32),
        jnp.asarray([True] * count if valid is None else valid, bool),
        jnp.float32(temperature),
        jnp.float32(staleness),
    )


def held(buffer):
    """{level: (score, max return, last seen)} of the filled slots."""
    return {
        int(i): (float(s), float(m), int(t))
        for i, s, m, t, f in zip(
            buffer.levels["id"], buffer.scores, buffer.max_returns, buffer.last_seen, buffer.filled, strict=True
        )
        if f
    }


# -- the replay distribution -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1])
def test_trap_02_score_weights_are_one_over_rank_to_the_inverse_temperature_from_rank_one(temperature):
    # scores 5, 1, 9, 3 have ranks 2, 4, 1, 3; weight rank^(−1/τ)
    ranks = np.asarray([2, 4, 1, 3], np.float64)
    weights = ranks ** (-1.0 / temperature)
    got = _distribution(holding([5, 1, 9, 3]), temperature, 0.0)
    np.testing.assert_allclose(got[:4], weights / weights.sum(), rtol=1e-4)
    np.testing.assert_array_equal(got[4:], [0, 0])
    if temperature == 0.1:
        # 1 / (1 + 2⁻¹⁰ + 3⁻¹⁰ + 4⁻¹⁰) = 0.999007
        assert float(got[2]) == pytest.approx(0.999007, abs=1e-5)


def test_trap_02_first_rank_is_finite_and_never_the_whole_mass_by_division_by_zero():
    got = np.asarray(_distribution(holding([2, 1]), 1.0, 0.0))
    np.testing.assert_allclose(got[:2], [2 / 3, 1 / 3], rtol=1e-6)  # 1 and 1/2


def test_order_of_scores_counts_and_not_their_size():
    a = _distribution(holding([5, 1, 9, -3]), 0.3, 0.0)
    b = _distribution(holding([0.05, 0.04, 1e6, -1e6]), 0.3, 0.0)
    np.testing.assert_array_equal(a, b)


def test_staleness_is_proportional_to_batches_since_last_seen():
    # clock 10, seen at 9, 4, 10: ages 1, 6, 0
    got = _distribution(holding([1, 1, 1], last_seen=[9, 4, 10], clock=10), 0.3, 1.0)
    np.testing.assert_allclose(got, [1 / 7, 6 / 7, 0, 0, 0, 0], rtol=1e-6)


def test_staleness_of_levels_all_just_seen_is_uniform():
    got = _distribution(holding([3, 2, 1], last_seen=[7, 7, 7], clock=7), 0.3, 1.0)
    np.testing.assert_allclose(got, [1 / 3] * 3 + [0] * 3, rtol=1e-6)


def test_distribution_is_the_mixture_of_score_and_staleness():
    # τ = 1, scores 2 and 1: (2/3, 1/3); ages 1 and 3: (1/4, 3/4); ρ = 0.3: 0.7·2/3 + 0.3/4 = 0.541666…
    got = _distribution(holding([2, 1], last_seen=[3, 1], clock=4), 1.0, 0.3)
    np.testing.assert_allclose(got[:2], [0.7 * 2 / 3 + 0.3 / 4, 0.7 / 3 + 0.3 * 3 / 4], rtol=1e-6)


def test_empty_slots_have_no_probability_whatever_stands_in_them():
    buffer = holding([None, 1, None, 2], last_seen=[0, 5, 0, 6], clock=8)
    buffer = buffer.replace(scores=buffer.scores.at[0].set(1e9))  # a score left in a slot that is not filled
    got = np.asarray(_distribution(buffer, 0.3, 0.5))
    np.testing.assert_array_equal(got[[0, 2, 4, 5]], 0.0)
    # ranks 2 and 1; ages 3 and 2
    weight = 2.0 ** (-1 / 0.3)
    by_score = np.asarray([weight, 1.0]) / (1 + weight)
    np.testing.assert_allclose(got[[1, 3]], 0.5 * by_score + 0.5 * np.asarray([0.6, 0.4]), rtol=1e-5)


def test_with_nothing_filled_every_slot_is_as_likely():
    np.testing.assert_allclose(_distribution(empty(), 0.3, 0.3), [1 / C] * C, rtol=1e-6)


def test_equal_scores_share_the_mass_of_their_ranks():
    got = np.asarray(_distribution(holding([4, 4, 4]), 1.0, 0.0))
    assert sorted(np.round(got[:3] * 11 / 6, 5).tolist()) == pytest.approx([1 / 3, 1 / 2, 1.0], abs=1e-4)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 100.0])
def test_distribution_of_a_large_buffer_is_finite_and_sums_to_one(temperature):
    rng = np.random.default_rng(0)
    buffer = holding(list(rng.normal(size=4000)), last_seen=list(rng.integers(0, 500, 4000)), clock=500, capacity=4000)
    for staleness in (0.0, 0.3, 1.0):
        got = np.asarray(_distribution(buffer, temperature, staleness), np.float64)
        assert np.isfinite(got).all()
        assert (got >= 0).all()
        assert got.sum() == pytest.approx(1.0, abs=1e-4)


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
        probabilities = _distribution(holding(scores, last_seen=seen, clock=100, capacity=4000), 0.3, 0.3)
        holes = np.asarray(probabilities).copy()
        holes[rng.random(4000) < 0.3] = 0.0
        holes[0] = 0.1
        for p in (np.asarray(probabilities), holes):
            slots = np.asarray(_sample(jax.random.key(fill), jnp.asarray(p), 200_000))
            assert slots.min() >= 0
            assert slots.max() < 4000
            assert np.all(p[slots] > 0)


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
    after = offer(buffer, [20, 21, 22, 23], [0, 9, 2, -1], staleness=0.0)
    assert sorted(held(after)) == [0, 1, 2, 3, 4, 21]
    assert int(after.levels["id"][5]) == 21
    assert float(after.scores[5]) == 9.0


def test_level_that_is_held_updates_its_own_slot_even_downwards():
    buffer = holding([6, 5, 4, 3, 2, 1], clock=7, max_returns=[8] * 6)
    after = offer(buffer, [0, 3, 30, 31], [0.5, 7, -9, -9], [2, 9, 0, 0], staleness=0.0)
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
    after = offer(after, [5, 6, 7, 8], [10, 9, 0, 0], staleness=0.0)
    assert set(held(after)) == {3, 4, 5, 6}


# -- revisits ----------------------------------------------------------------------------------------------------------


def visit(buffer, slots, scores, max_returns, valid):
    return _revisit(
        buffer,
        jnp.asarray(slots, jnp.int32),
        jnp.asarray(scores, jnp.float32),
        jnp.asarray(max_returns, jnp.float32),
        jnp.asarray(valid, bool),
    )


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


# -- the sequential reference ------------------------------------------------------------------------------------------


def reference_insert(slots, clock, batch, ranking):
    """The docstring of `insert`, one level at a time.

    `slots` is a list of None or [level, score, max return, last seen]; `ranking(slots)` gives the probability of each.
    """
    visits = {}
    for level, score, best, valid in batch:
        if valid:
            visits.setdefault(level, []).append((score, best))
    visits = {level: (sum(s for s, _ in v) / len(v), max(b for _, b in v)) for level, v in visits.items()}
    newcomers = []
    for level, (score, best) in visits.items():
        for slot in slots:
            if slot is not None and slot[0] == level:
                slot[1], slot[2], slot[3] = score, max(slot[2], best), clock
                break
        else:
            newcomers.append((level, score, best))
    newcomers.sort(key=lambda item: -item[1])  # stable: among equals, the first of the batch
    probability = ranking(slots)
    order = sorted(range(len(slots)), key=lambda j: (slots[j] is not None, probability[j] if slots[j] else 0.0))
    for (level, score, best), j in zip(newcomers, order, strict=False):
        if slots[j] is None or score > slots[j][1]:
            slots[j] = [level, score, best, clock]


def to_buffer(slots, clock):
    buffer = empty()
    for j, slot in enumerate(slots):
        if slot is not None:
            buffer = buffer.replace(
                levels={"id": buffer.levels["id"].at[j].set(slot[0])},
                fingerprints=buffer.fingerprints.at[j].set(fingerprint([slot[0]])[0]),
                scores=buffer.scores.at[j].set(slot[1]),
                max_returns=buffer.max_returns.at[j].set(slot[2]),
                last_seen=buffer.last_seen.at[j].set(slot[3]),
                filled=buffer.filled.at[j].set(True),
            )
    return buffer.replace(clock=jnp.int32(clock))


def numpy_distribution(slots, clock, temperature, staleness):
    filled = [j for j, slot in enumerate(slots) if slot is not None]
    probability = np.zeros(len(slots))
    if not filled:
        return np.full(len(slots), 1 / len(slots))
    by_score = sorted(filled, key=lambda j: -slots[j][1])
    weights = {j: (1 / (rank + 1)) ** (1 / temperature) for rank, j in enumerate(by_score)}
    ages = {j: clock - slots[j][3] for j in filled}
    for j in filled:
        score_part = weights[j] / sum(weights.values())
        stale_part = ages[j] / sum(ages.values()) if sum(ages.values()) else 1 / len(filled)
        probability[j] = (1 - staleness) * score_part + staleness * stale_part
    return probability


# Scores are quarters, so that means over up to four visits compare exactly; few levels and few scores make ties.
level_ids = st.integers(0, 9)
visits = st.tuples(
    level_ids, st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 4.0, 12.0]), st.integers(-4, 4), st.booleans()
)
batches = st.lists(st.tuples(st.booleans(), st.lists(visits, min_size=B, max_size=B)), min_size=1, max_size=5)


@hypothesis.settings(deadline=None, max_examples=120, derandomize=True)
@hypothesis.given(batches, st.sampled_from([(1.0, 0.3), (0.3, 0.0), (0.5, 1.0)]))
def test_insertion_equals_the_sequential_reference(sequence, priorities):
    temperature, staleness = priorities
    slots, buffer = [None] * C, empty()
    for clock, (all_valid, batch) in enumerate(sequence, start=1):
        buffer = level_buffer.tick(buffer)
        batch = [(level, score, float(best), valid or all_valid) for level, score, best, valid in batch]
        ids, scores, best, valid = zip(*batch, strict=True)

        def ranking(slots, clock=clock):
            # The function under test, which has its own closed forms above, so that no near-tie is broken by rounding;
            # and it must agree with the formula.
            got = np.asarray(_distribution(to_buffer(slots, clock), temperature, staleness), np.float64)
            np.testing.assert_allclose(got, numpy_distribution(slots, clock, temperature, staleness), atol=1e-5)
            return got

        old_best = {level: value[1] for level, value in held(buffer).items()}
        reference_insert(slots, clock, batch, ranking)
        scores = [s if v else math.nan for s, v in zip(scores, valid, strict=True)]
        best = [b if v else NONE for b, v in zip(best, valid, strict=True)]
        buffer = offer(buffer, ids, scores, best, valid, temperature, staleness)

        got = [
            [int(i), float(s), float(m), int(t)] if f else None
            for i, s, m, t, f in zip(
                buffer.levels["id"], buffer.scores, buffer.max_returns, buffer.last_seen, buffer.filled, strict=True
            )
        ]
        for mine, theirs in zip(got, slots, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                assert mine[0] == theirs[0]
                assert mine[1] == pytest.approx(theirs[1], rel=1e-6)
                assert mine[2:] == theirs[2:]
        stored = held(buffer)
        assert len(stored) == int(buffer.filled.sum())  # no level twice
        assert all(stored[level][1] >= known for level, known in old_best.items() if level in stored)  # trap 13
        assert np.isfinite([value[:2] for value in stored.values()]).all()  # trap 4
        np.testing.assert_array_equal(
            np.asarray(buffer.fingerprints)[np.asarray(buffer.filled)],
            np.asarray(fingerprint(np.asarray(buffer.levels["id"])))[np.asarray(buffer.filled)],
        )


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(
    st.lists(
        st.tuples(st.integers(-1, C - 1), st.sampled_from([-1.0, 0.0, 2.5]), st.integers(-4, 4), st.booleans()),
        min_size=B,
        max_size=B,
    )
)
def test_revisit_equals_the_sequential_reference(batch):
    buffer = holding([5, 4, 3, 2, 1, 0], clock=4, max_returns=[0, 1, 2, -3, -2, -1])
    expected = held(buffer)
    for slot in {slot for slot, *_ in batch if slot >= 0}:
        mine = [(score, best, valid) for s, score, best, valid in batch if s == slot]
        score, best, _ = expected[slot]
        scored = [s for s, _, v in mine if v]
        score = sum(scored) / len(scored) if scored else score
        expected[slot] = (score, max([best, *(b for _, b, _ in mine)]), 4)
    slots, scores, best, valid = zip(*batch, strict=True)
    got = held(visit(buffer, slots, [s if v else math.nan for s, v in zip(scores, valid, strict=True)], best, valid))
    assert {k: v[1:] for k, v in got.items()} == {k: v[1:] for k, v in expected.items()}
    np.testing.assert_allclose([v[0] for v in got.values()], [v[0] for v in expected.values()], rtol=1e-6)


def test_an_empty_slot_that_is_drawn_is_filled_by_its_first_score():
    """If nothing finished in the warm-up, unfilled slots are replayed: a score must make such a slot count."""
    buffer = empty(4)
    slots = jnp.asarray([0, 1, 2, 0], jnp.int32)
    scores, returns = jnp.asarray([0.5, 0.7, 9.0, 0.1]), jnp.asarray([1.0, 0.5, -jnp.inf, 0.2])
    valid = jnp.asarray([True, True, False, True])
    after = level_buffer.revisit(level_buffer.tick(buffer), slots, scores, returns, valid)
    assert after.filled.tolist() == [True, True, False, False]
    np.testing.assert_allclose(after.scores, [0.3, 0.7, 0.0, 0.0], rtol=1e-6)  # slot 0: (0.5 + 0.1) / 2
    assert after.max_returns.tolist() == [1.0, 0.5, -np.inf, -np.inf]
    assert after.last_seen.tolist() == [1, 1, 0, 0]
