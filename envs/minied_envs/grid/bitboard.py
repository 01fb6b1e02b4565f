"""How is a yes/no per cell of a grid stored and moved, 32 cells to a word?

A board is ``u32[H, K]`` with ``K = ceil(W / 32)``: bit ``j`` of word ``k`` of a row is column ``32 k + j``, and the bits
past column ``W`` are always zero. Two equal sets of cells are therefore equal arrays. The width is not stored: functions
that need it take it as a static argument. Letters: ``H W`` grid, ``K`` words a row.
"""

import jax
import jax.numpy as jnp
import numpy as np

WORD_BITS = 32
# So that a coordinate is one byte, and a count of cells (at most 255 · 255) fits 16 bits, as `pick` needs.
MAX_SIDE = 255


def num_words(width: int) -> int:
    """Return ``K``, the words that a row of ``width`` cells takes."""
    return -(-width // WORD_BITS)


def empty(height: int, width: int) -> jax.Array:
    """Return the board with no cell set, ``u32[H, K]``."""
    return jnp.zeros((height, num_words(width)), jnp.uint32)


def full(height: int, width: int) -> jax.Array:
    """Return the board with every cell set, ``u32[H, K]``."""
    return jnp.asarray(np.tile(_row_mask(width), (height, 1)))


def complement(board: jax.Array, width: int) -> jax.Array:
    """Return the cells that are not set, ``u32[H, K]``."""
    return ~board & full(board.shape[-2], width)


def pack(cells: jax.Array) -> jax.Array:
    """Return the board, ``u32[H, K]``, of ``bool[H, W]``."""
    height, width = cells.shape
    words = num_words(width)
    padded = jnp.pad(cells, ((0, 0), (0, words * WORD_BITS - width))).reshape(height, words, WORD_BITS)
    return jnp.sum(padded.astype(jnp.uint32) << _lanes(3), axis=-1, dtype=jnp.uint32)


def unpack(board: jax.Array, width: int) -> jax.Array:
    """Return the cells, ``bool[H, W]``, of a board."""
    height, words = board.shape
    bits = (board[:, :, None] >> _lanes(3)) & jnp.uint32(1)
    return bits.reshape(height, words * WORD_BITS)[:, :width].astype(jnp.bool_)


def get(board: jax.Array, width: int, row: jax.Array, col: jax.Array, outside: bool) -> jax.Array:
    """Return whether cells are set.

    Args:
        board: ``u32[H, K]``.
        width: ``W``.
        row: ``i32[...]``, any value.
        col: ``i32[...]``, any value, of the shape of ``row``.
        outside: the answer for cells that are not on the grid.

    Returns:
        ``bool[...]``.
    """
    height, words = board.shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    # The indices are clipped here and promised to the gather, whose own handling of bad ones costs as much as itself.
    near_row = jnp.clip(row, 0, height - 1)
    index = (near_row, jnp.clip(col // WORD_BITS, 0, words - 1)) if words > 1 else (near_row, 0)
    word = jnp.asarray(board).at[index].get(mode="promise_in_bounds")
    bit = (word >> (col.astype(jnp.uint32) % WORD_BITS)) & jnp.uint32(1)
    return jnp.where(inside, bit != 0, outside)


def cell(height: int, width: int, position: jax.Array) -> jax.Array:
    """Return the board of one cell, ``u32[H, K]``; ``position`` is an integer ``[2]`` (row, col) on the grid.

    A comparison of indices instead of a scatter: it stays elementwise under `vmap`.
    """
    row, col = position[0].astype(jnp.int32), position[1].astype(jnp.int32)
    rows = jnp.arange(height, dtype=jnp.int32)[:, None]
    words = jnp.arange(num_words(width), dtype=jnp.int32)[None, :]
    bit = jnp.uint32(1) << (col % WORD_BITS).astype(jnp.uint32)
    return jnp.where((rows == row) & (words == col // WORD_BITS), bit, jnp.uint32(0))


def cells(height: int, width: int, positions: jax.Array, active: jax.Array) -> jax.Array:
    """Return the board of the cells at ``positions`` (integer ``[n, 2]``) where ``active`` (``bool[n]``) holds."""
    boards = jax.vmap(lambda position: cell(height, width, position))(positions)
    chosen = jnp.where(active[:, None, None], boards, jnp.uint32(0))
    return jax.lax.reduce(chosen, jnp.uint32(0), jax.lax.bitwise_or, (0,))


def put(board: jax.Array, width: int, position: jax.Array, value: bool | jax.Array) -> jax.Array:
    """Return ``board`` with the cell at ``position`` set to ``value``, ``bool[]``."""
    mask = cell(board.shape[0], width, position)
    return jnp.where(value, board | mask, board & ~mask)


def count(board: jax.Array) -> jax.Array:
    """Return how many cells are set, ``i32[]``."""
    return jnp.sum(jax.lax.population_count(board).astype(jnp.int32))


def shift_north(board: jax.Array) -> jax.Array:
    """Move every cell one row up; the top row falls off. Also for batches ``[..., H, K]``, as are the other shifts."""
    return jnp.concatenate([board[..., 1:, :], jnp.zeros_like(board[..., :1, :])], axis=-2)


def shift_south(board: jax.Array) -> jax.Array:
    """Move every cell one row down; the bottom row falls off."""
    return jnp.concatenate([jnp.zeros_like(board[..., :1, :]), board[..., :-1, :]], axis=-2)


def shift_east(board: jax.Array, width: int) -> jax.Array:
    """Move every cell one column right; the last column falls off."""
    moved = board << 1
    if board.shape[-1] > 1:
        carried = board[..., :-1] >> (WORD_BITS - 1)
        moved = moved | jnp.concatenate([jnp.zeros_like(board[..., :1]), carried], axis=-1)
    # Without the mask the last column would move into the unused bits, and come back at the next shift west.
    return moved & _mask(board.ndim, width)


def shift_west(board: jax.Array) -> jax.Array:
    """Move every cell one column left; the first column falls off."""
    moved = board >> 1
    if board.shape[-1] > 1:
        carried = board[..., 1:] << (WORD_BITS - 1)
        moved = moved | jnp.concatenate([carried, jnp.zeros_like(board[..., :1])], axis=-1)
    return moved


def scale(bits: jax.Array, total: int | jax.Array) -> jax.Array:
    """Return ``floor(bits · total / 2³²)``, ``i32[...]`` in ``[0, total)``, of random words ``u32[...]``.

    ``total`` is below ``2¹⁶``, which keeps the product within 32-bit arithmetic. `jax.random.randint` draws two words and
    divides; this is a third of its cost, and off from uniform by at most ``2⁻³²``.
    """
    total = jnp.asarray(total).astype(jnp.uint32)
    high, low = bits >> 16, bits & jnp.uint32(0xFFFF)
    return ((high * total + ((low * total) >> 16)) >> 16).astype(jnp.int32)


def pick(board: jax.Array, bits: jax.Array) -> jax.Array:
    """Return a uniform set cell, ``i32[2]`` (row, col), chosen by the random word ``bits``, ``u32[]``.

    The index of the cell in reading order is ``bits · count / 2³²``, so a cell's chance is off by at most ``2⁻³²``. An
    empty board gives no cell of the grid to rely on: callers that cannot rule it out check `count`.
    """
    words = board.reshape(-1)
    counts = jax.lax.population_count(words).astype(jnp.int32)
    before = jnp.cumsum(counts) - counts
    index = scale(bits, jnp.sum(counts))
    place = jnp.maximum(jnp.sum((before <= index).astype(jnp.int32)) - 1, 0)
    # Of words with equal `before` all but the last are empty, so the last word with before <= index holds the cell.
    col = _select_bit(words[place], index - before[place])
    return jnp.stack([place // board.shape[1], (place % board.shape[1]) * WORD_BITS + col])


def _select_bit(word: jax.Array, index: jax.Array) -> jax.Array:
    """Return the place of the ``index``-th (from 0) set bit of a word, ``i32[]``, by five halvings."""
    place = jnp.int32(0)
    for half in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(word & jnp.uint32((1 << half) - 1)).astype(jnp.int32)
        above = index >= below
        word = jnp.where(above, word >> half, word)
        index = jnp.where(above, index - below, index)
        place = place + jnp.where(above, half, 0)
    return place


def _row_mask(width: int) -> np.ndarray:
    """Return the used bits of one row, ``u32[K]``."""
    used = width - WORD_BITS * np.arange(num_words(width))
    return np.array([0xFFFFFFFF if n >= WORD_BITS else (1 << n) - 1 for n in used], np.uint32)


def _mask(rank: int, width: int) -> np.ndarray:
    return _row_mask(width).reshape((1,) * (rank - 1) + (-1,))


def _lanes(rank: int) -> np.ndarray:
    return np.arange(WORD_BITS, dtype=np.uint32).reshape((1,) * (rank - 1) + (-1,))
