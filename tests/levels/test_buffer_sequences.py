"""Random sequences of operations leave the very buffer that a plain-Python reference leaves, whole state for whole state."""

import functools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from buffer_reference import NONE, ReferenceBuffer, Visit, distribution

from minied.levels import buffer as level_buffer
from minied.levels.buffer import Ancestry, Candidates, Visits
from minied.levels.priority import Priority

_tick = jax.jit(level_buffer.tick)
_insert = jax.jit(level_buffer.insert, static_argnames="unique")
_insert_at = jax.jit(level_buffer.insert_at)
_revisit = jax.jit(level_buffer.revisit)
_children = jax.jit(level_buffer.children_of)
_keep_order = jax.jit(lambda priority, *columns: priority.keep_order(*columns))


def fingerprint(ids):
    """The two words differ in which levels share them, so that both must be compared."""
    ids = np.asarray(ids)
    return jnp.asarray(np.stack([ids // 3, ids % 3], axis=-1).astype(np.uint32))


def features_of(ids):
    return jnp.asarray(ids, jnp.float32)[:, None] / 4


@functools.cache
def empty(capacity):
    ids = np.asarray(ReferenceBuffer(capacity).generator)
    buffer = level_buffer.init({"id": jnp.asarray(ids, jnp.int32)}, fingerprint(ids), num_features=1)
    return buffer.replace(features=features_of(ids))


# -- the same operation on both ----------------------------------------------------------------------------------------


def visits_of(visits):
    # an invalid score is NaN, as that of a level on which no episode finished
    scores = [v.score if v.valid else math.nan for v in visits]
    return Visits(
        jnp.asarray(scores, jnp.float32),
        jnp.asarray([v.max_return for v in visits], jnp.float32),
        jnp.asarray([v.valid for v in visits]),
    )


def candidates_of(buffer, visits):
    """The visits as candidates; those with a parent that is there are its children."""
    parents = jnp.asarray([v.parent for v in visits], jnp.int32)
    family, nobody = _children(buffer, parents), Ancestry.none(len(visits))
    has_parent = (parents >= 0) & buffer.filled[parents]
    ancestry = jax.tree.map(lambda child, none: jnp.where(has_parent, child, none), family, nobody)
    ids = [v.level for v in visits]
    return Candidates(
        {"id": jnp.asarray(ids, jnp.int32)}, fingerprint(ids), visits_of(visits), ancestry, features_of(ids)
    )


def columns_of(reference):
    """(scores, ages, filled) of the reference."""
    rows = [(s.score, reference.clock - s.last_seen, True) if s else (0.0, 0, False) for s in reference.slots]
    scores, ages, filled = zip(*rows, strict=True)
    return jnp.asarray(scores, jnp.float32), jnp.asarray(ages, jnp.int32), jnp.asarray(filled)


def keep_order_of(priority):
    """What the reference asks about its slots.

    The priority under test, which has closed forms of its own, so that no near-tie is broken by rounding; it must agree
    with the formula here too.
    """

    def keep_order(reference):
        columns = columns_of(reference)
        keep = np.asarray(_keep_order(priority, *columns), np.float64)
        scores, ages, filled = (np.asarray(column).tolist() for column in columns)
        if priority.eviction == "weight":
            temperature, staleness = float(priority.temperature), float(priority.staleness)
            expected = distribution(priority.prioritization, scores, ages, filled, temperature, staleness)
        else:
            expected = np.asarray(scores)
        np.testing.assert_allclose(keep[filled], expected[filled], atol=1e-5)
        return keep

    return keep_order


def check_equal(buffer, reference, numbers):
    """Every field of every slot. ``numbers`` maps the identities of the one to those of the other, one to one."""

    def same(mine, theirs):
        if (mine < 0) or (theirs < 0):
            return mine == theirs == -1
        return numbers.setdefault(mine, theirs) == theirs and len(set(numbers.values())) == len(numbers)

    host = jax.tree.map(np.asarray, buffer)
    assert int(host.clock) == reference.clock
    assert int(host.broken_scores) == 0
    assert int(host.next_identity) == reference.next_identity  # one for each level that was ever stored
    for j, stored in enumerate(reference.slots):
        assert bool(host.filled[j]) == (stored is not None)
        level = stored.level if stored else reference.generator[j]
        assert int(host.levels["id"][j]) == level
        assert host.fingerprints[j].tolist() == np.asarray(fingerprint([level]))[0].tolist()
        assert float(host.features[j, 0]) == level / 4
        family = host.ancestry.parent[j], host.ancestry.lineage[j], host.ancestry.generation[j]
        parent, lineage, generation = map(int, family)
        if stored is None:
            assert (float(host.scores[j]), float(host.max_returns[j])) == (0.0, NONE)
            assert (int(host.visits[j]), int(host.identities[j])) == (0, -1)
            assert (parent, lineage, generation) == (-1, -1, 0)
            assert int(buffer.ages[j]) == 0
            continue
        assert float(host.scores[j]) == stored.score  # exactly: see `SCORES`
        assert float(host.max_returns[j]) == stored.max_return
        assert (int(host.last_seen[j]), int(host.visits[j])) == (stored.last_seen, stored.visits)
        assert int(buffer.ages[j]) == reference.clock - stored.born
        assert generation == stored.generation
        assert same(int(host.identities[j]), stored.identity)
        assert same(parent, stored.parent)
        assert same(lineage, stored.lineage)


def check_invariants(before, after):
    """What holds whatever happens: no score that is no number (trap 4), no best return that falls (trap 13)."""
    filled = np.asarray(after.filled)
    assert np.isfinite(np.asarray(after.scores)).all()
    assert np.isfinite(np.asarray(after.max_returns)[filled]).all()
    assert np.all(filled >= np.asarray(before.filled))
    stayed = filled & (np.asarray(before.identities) == np.asarray(after.identities))
    assert np.all(np.asarray(after.max_returns)[stayed] >= np.asarray(before.max_returns)[stayed])


# -- the sequences -----------------------------------------------------------------------------------------------------

# Multiples of 12, so that means over up to four visits are whole numbers, and smoothing by halves and quarters is exact;
# few of them, and few levels, so that ties and duplicates are common.
SCORES = [-24.0, -12.0, 0.0, 12.0, 12.0, 48.0, 96.0]
PRIORITIES = [
    Priority(jnp.float32(temperature), jnp.float32(staleness), "rank", 1, eviction)
    for temperature, staleness in ((1.0, 0.3), (0.3, 0.0), (0.5, 1.0))
    for eviction in ("weight", "score")
]


def batches(capacity, size):
    visit = st.builds(
        lambda level, score, best, valid, parent: Visit(level, score, float(best) if valid else NONE, valid, parent),
        st.integers(0, 8),
        st.sampled_from(SCORES),
        st.integers(-4, 4),
        st.sampled_from([True, True, True, False]),
        st.integers(-1, capacity - 1),
    )
    # half of them one of two slots, so that rivals for a slot are common
    slot = st.one_of(st.integers(-1, capacity - 1), st.integers(0, 1))
    slots = st.lists(slot, min_size=size, max_size=size)
    operation = st.sampled_from(["insert", "insert", "insert twice", "revisit", "insert_at", "insert_at"])
    alpha = st.sampled_from([1.0, 0.5, 0.25])
    return st.tuples(operation, st.lists(visit, min_size=size, max_size=size), slots, alpha)


def run(capacity, priority, sequence):
    buffer, reference, numbers = empty(capacity), ReferenceBuffer(capacity), {}
    for operation, visits, slots, alpha in sequence:
        before = buffer = _tick(buffer)
        reference.tick()
        if operation.startswith("insert") and operation != "insert_at":
            unique = operation == "insert"
            buffer = _insert(buffer, candidates_of(buffer, visits), priority, unique=unique, smoothing=alpha)
            reference.insert(visits, keep_order_of(priority), unique, alpha)
        elif operation == "revisit":
            buffer = _revisit(buffer, jnp.asarray(slots, jnp.int32), visits_of(visits), alpha)
            reference.revisit(slots, visits, alpha)
        else:
            candidates = candidates_of(buffer, visits)
            buffer = _insert_at(buffer, jnp.asarray(slots, jnp.int32), candidates, smoothing=alpha)
            reference.insert_at(slots, visits, alpha)
        check_equal(buffer, reference, numbers)
        check_invariants(before, buffer)
    return buffer


@pytest.mark.parametrize(("capacity", "size"), [(6, 4), (4, 4), (3, 1)])
def test_any_sequence_of_operations_equals_the_sequential_reference(capacity, size):
    @hypothesis.settings(deadline=None, max_examples=150 if size > 1 else 40, derandomize=True)
    @hypothesis.given(st.lists(batches(capacity, size), min_size=1, max_size=6), st.sampled_from(PRIORITIES))
    def check(sequence, priority):
        run(capacity, priority, sequence)

    check()


def visits(*rows, parent=-1):
    return [
        Visit(level, float(score), float(best) if valid else NONE, valid, parent) for level, score, best, valid in rows
    ]


@pytest.mark.parametrize("priority", PRIORITIES[:2], ids=["weight", "score"])
def test_sequences_that_chance_might_miss(priority):
    same = visits(*[(1, 12, 1, True)] * 4)
    nothing = visits(*[(level, 12, 1, False) for level in (1, 2, 3, 4)])
    ties = visits(*[(level, 12, 0, True) for level in (1, 2, 3, 4)])
    others = visits(*[(level, 12, 0, True) for level in (5, 6, 7, 8)])
    better = visits(*[(level, 48, 0, True) for level in (9, 10, 11, 12)])
    here, nowhere = [0, 1, 2, 3], [-1] * 4
    run(6, priority, [("insert", same, here, 1.0), ("insert", same, here, 0.5), ("insert twice", same, here, 1.0)])
    run(
        6,
        priority,
        [("insert", nothing, here, 1.0), ("insert_at", nothing, here, 1.0), ("revisit", nothing, here, 1.0)],
    )
    # ties are no reason to let a level go: of 5, 6, 7, 8 only two find a slot
    full = run(6, priority, [("insert", ties, here, 1.0), ("insert", others, here, 1.0)])
    assert sorted(full.levels["id"].tolist()) == [1, 2, 3, 4, 5, 6]
    swapped = run(4, priority, [("insert", ties, here, 1.0), ("insert", better, here, 1.0)])
    assert sorted(swapped.levels["id"].tolist()) == [9, 10, 11, 12]
    # nothing but invalid visits to what no one has scored, then one score
    run(
        4,
        priority,
        [("revisit", nothing, here, 1.0), ("revisit", same, [2, 2, -1, 2], 0.25), ("revisit", same, nowhere, 1)],
    )
