"""Boards of bits against NumPy arrays of bools."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from minied_envs.grid import bitboard

SIZES = [(1, 1), (4, 7), (13, 13), (3, 32), (5, 33), (2, 100)]


@pytest.fixture(params=SIZES, ids=str)
def cells(request) -> np.ndarray:
    return np.random.default_rng(0).random(request.param) < 0.7


def test_pack_is_the_layout_that_is_documented():
    cells = np.zeros((2, 40), bool)
    cells[0, 0] = cells[0, 31] = cells[1, 32] = cells[1, 39] = True
    expected = [[1 + 2**31, 0], [0, 1 + 2**7]]
    np.testing.assert_array_equal(bitboard.pack(jnp.asarray(cells)), np.array(expected, np.uint32))


def test_unpack_reads_what_pack_wrote(cells):
    board = bitboard.pack(jnp.asarray(cells))
    assert board.shape == (cells.shape[0], bitboard.num_words(cells.shape[1]))
    np.testing.assert_array_equal(bitboard.unpack(board, cells.shape[1]), cells)
    assert int(bitboard.count(board)) == cells.sum()


def test_full_empty_and_complement_keep_unused_bits_zero(cells):
    height, width = cells.shape
    assert int(bitboard.count(bitboard.full(height, width))) == height * width
    assert int(bitboard.count(bitboard.empty(height, width))) == 0
    inverse = bitboard.complement(bitboard.pack(jnp.asarray(cells)), width)
    np.testing.assert_array_equal(inverse, bitboard.pack(jnp.asarray(~cells)))


def test_get_inside_and_outside(cells):
    height, width = cells.shape
    board = bitboard.pack(jnp.asarray(cells))
    rows, cols = np.meshgrid(np.arange(-34, height + 34), np.arange(-34, width + 34), indexing="ij")
    for outside in (False, True):
        expected = np.pad(cells, 34, constant_values=outside)
        got = bitboard.get(board, width, jnp.asarray(rows, jnp.int32), jnp.asarray(cols, jnp.int32), outside)
        np.testing.assert_array_equal(got, expected)


def test_put_sets_and_clears_one_cell(cells):
    height, width = cells.shape
    board = bitboard.pack(jnp.asarray(cells))
    for position in ((0, 0), (height - 1, width - 1), (height // 2, width // 2)):
        for value in (False, True):
            expected = cells.copy()
            expected[position] = value
            got = bitboard.put(board, width, jnp.asarray(position, jnp.int32), value)
            np.testing.assert_array_equal(got, bitboard.pack(jnp.asarray(expected)))


def test_cells_is_the_union_of_the_active_ones():
    positions = jnp.asarray([[0, 0], [2, 39], [0, 0], [1, 5]], jnp.int32)
    board = bitboard.cells(3, 40, positions, jnp.asarray([True, True, True, False]))
    assert sorted(map(tuple, np.argwhere(bitboard.unpack(board, 40)))) == [(0, 0), (2, 39)]


def test_shifts_move_cells_and_drop_what_leaves(cells):
    width = cells.shape[1]
    board = bitboard.pack(jnp.asarray(cells))
    padded = np.pad(cells, 1)
    expected = {
        "north": (bitboard.shift_north(board), padded[2:, 1:-1]),
        "south": (bitboard.shift_south(board), padded[:-2, 1:-1]),
        "east": (bitboard.shift_east(board, width), padded[1:-1, :-2]),
        "west": (bitboard.shift_west(board), padded[1:-1, 2:]),
    }
    for name, (got, moved) in expected.items():
        np.testing.assert_array_equal(got, bitboard.pack(jnp.asarray(moved)), err_msg=name)


def test_pick_gives_each_set_cell_in_reading_order(cells):
    places = np.argwhere(cells)
    # The smallest word w with floor(w n / 2^32) = i is ceil(i 2^32 / n).
    words = [-(-i * 2**32 // len(places)) for i in range(len(places))]
    last = [word - 1 for word in words[1:]] + [2**32 - 1]
    board = bitboard.pack(jnp.asarray(cells))
    pick = jax.jit(jax.vmap(lambda bits: bitboard.pick(board, bits)))
    np.testing.assert_array_equal(pick(jnp.asarray(words, jnp.uint32)), places)
    np.testing.assert_array_equal(pick(jnp.asarray(last, jnp.uint32)), places)


def test_pick_is_uniform():
    cells = np.random.default_rng(1).random((6, 35)) < 0.3
    board = bitboard.pack(jnp.asarray(cells))
    bits = jax.random.bits(jax.random.key(0), (20_000,), jnp.uint32)
    picked = np.asarray(jax.vmap(lambda word: bitboard.pick(board, word))(bits))
    counts = np.zeros(cells.shape)
    np.add.at(counts, tuple(picked.T), 1)
    assert counts[~cells].sum() == 0
    assert stats.chisquare(counts[cells]).pvalue > 1e-3


@pytest.mark.parametrize("total", [1, 3, 169, 65_025])
def test_scale_is_exact(total):
    words = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint64)
    words = np.concatenate([words, np.array([0, 2**32 - 1], np.uint64)])
    expected = (words * np.uint64(total)) >> np.uint64(32)
    np.testing.assert_array_equal(bitboard.scale(jnp.asarray(words.astype(np.uint32)), total), expected)
