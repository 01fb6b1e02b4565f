"""Absolute learning progress: as a plain loop over the points has it, one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.teachers import absolute_learning_progress as learning_progress
from minied.teachers.absolute_learning_progress import FEWEST_STORED, History

add = jax.jit(learning_progress.add)


class PlainHistory:
    """The reference: a list, and no batch."""

    def __init__(self, capacity):
        self.capacity, self.rows = capacity, []  # of (point, return, progress), oldest first

    def add(self, point, own_return):
        progress = 0.0
        known = self.rows[-self.capacity :]
        if len(known) >= FEWEST_STORED:
            squared = [np.square(other - point).sum() for other, _, _ in known]
            nearest = max(range(len(known)), key=lambda i: (-squared[i], i))  # of equally near ones the newest
            progress = abs(own_return - known[nearest][1])
        self.rows.append((point, own_return, progress))


def compare(history, plain, window):
    known = plain.rows[-plain.capacity :]
    assert int(history.stored) == len(known)
    points, progress = learning_progress.latest(history, window)
    newest = known[-window:]
    np.testing.assert_array_equal(points[window - len(newest) :], [row[0] for row in newest] or np.zeros((0, 2)))
    np.testing.assert_allclose(progress[window - len(newest) :], [row[2] for row in newest], atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_batches_equal_one_after_the_other(seed, num_batches, on_a_grid):
    """With places that repeat exactly, batches that go round the ring, and levels that gave no episode."""
    rng, B, capacity = np.random.default_rng(seed), 5, 12
    history, plain = History.empty(capacity, 2), PlainHistory(capacity)
    for _ in range(num_batches):
        # Sixteenths: their squared distances are exact, so that equally near is equally near.
        points = rng.integers(0, 4 if on_a_grid else 1000, (B, 2)).astype(np.float32) / 16
        returns, valid = rng.uniform(size=B).astype(np.float32), rng.uniform(size=B) < 0.8
        history = add(history, jnp.asarray(points), jnp.asarray(returns), jnp.asarray(valid))
        for i in np.flatnonzero(valid):
            plain.add(points[i], returns[i])
        compare(history, plain, 7)


def test_a_batch_by_hand():
    """Six points at 0 with the return 0.5; then 0, 1, 0.9 and 0 again in one batch, the third of them without an episode."""
    history = add(History.empty(16, 1), jnp.zeros((6, 1)), jnp.full(6, 0.5), jnp.ones(6, bool))
    np.testing.assert_array_equal(history.progress, 0)  # none of them has six before it
    points, returns = jnp.asarray([[0.0], [1.0], [0.9], [0.0]]), jnp.asarray([0.75, 0.0, 7.0, 1.0])
    history = add(history, points, returns, jnp.asarray([True, True, False, True]))
    # |0.75 − 0.5|; the nearest to 1 is the newest at 0: |0 − 0.75|; the last against the first of its own batch
    np.testing.assert_allclose(history.progress[6:9], [0.25, 0.75, 0.25])
    np.testing.assert_allclose(history.returns[6:9], [0.75, 0, 1])
    assert (int(history.stored), int(history.next_slot)) == (9, 9)
    np.testing.assert_array_equal(history.points[9:], 0)


@pytest.mark.parametrize("number", [5, 6, 7])
def test_progress_is_measured_once_six_are_stored(number):
    history = add(History.empty(16, 1), jnp.zeros((number, 1)), jnp.zeros(number), jnp.ones(number, bool))
    history = add(history, jnp.zeros((1, 1)), jnp.ones(1), jnp.ones(1, bool))
    assert float(history.progress[number]) == (1 if number >= 6 else 0)


def test_what_left_the_ring_is_no_neighbour():
    """A ring of eight: the ninth point takes the place of the first, which lay where the tenth comes."""
    history = add(History.empty(8, 1), jnp.linspace(0, 0.7, 8)[:, None], jnp.arange(8.0), jnp.ones(8, bool))
    history = add(history, jnp.asarray([[0.9], [0.0]]), jnp.asarray([9.0, 0.0]), jnp.ones(2, bool))
    # 0.9: |9 − 7|; 0.0 is gone, the nearest is 0.1: |0 − 1|
    np.testing.assert_allclose(history.progress[:2], [2, 1])
    np.testing.assert_allclose(history.times, [-2, -1, -8, -7, -6, -5, -4, -3])


def test_a_batch_without_an_episode_changes_nothing():
    history = add(History.empty(8, 1), jnp.ones((3, 1)), jnp.ones(3), jnp.ones(3, bool))
    after = add(history, jnp.zeros((4, 1)), jnp.full(4, jnp.nan), jnp.zeros(4, bool))
    jax.tree.map(np.testing.assert_array_equal, after, history)


def test_many_rows_are_the_same_as_few(monkeypatch):
    """Distances are held for some rows at a time."""
    rng = np.random.default_rng(0)
    args = (jnp.asarray(rng.uniform(size=(50, 3)), jnp.float32), jnp.asarray(rng.uniform(size=50), jnp.float32))
    valid = jnp.asarray(rng.uniform(size=50) < 0.7)
    whole = learning_progress.add(History.empty(60, 3), *args, valid)
    monkeypatch.setattr(learning_progress, "_ROWS_AT_ONCE", 8)
    parts = learning_progress.add(History.empty(60, 3), *args, valid)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    side_by_side = jax.vmap(learning_progress.add)(
        *jax.tree.map(lambda x: x[None], (History.empty(60, 3), *args, valid))
    )
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[0]), whole, side_by_side)
