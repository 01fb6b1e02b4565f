"""Who sees whom, and what? Vision cones and rays over walls, boxes and ramps.

A ray is the cells strictly between two cells whose closed square the segment between their centres touches, corners
included (a supercover line): two boxes that touch at a corner let nobody look through. All rays of a grid lie in one table
of bits, so that a look costs one row of it. Letters: ``H W`` grid, ``N`` agents, ``O`` objects, ``F`` words of
32 cells that the whole grid takes, ``V`` side of a picture.
"""

import functools
import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.hide_and_seek.level import HideAndSeekLevel, cells_of

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.rules import HideAndSeekState
    from minied_envs.hide_and_seek.world import HideAndSeek

WORD = 32


def visible(world: "HideAndSeek", level: HideAndSeekLevel, state: "HideAndSeekState") -> tuple[jax.Array, jax.Array]:
    """Return which agents each agent sees, ``bool[N, N]`` (none sees itself), and which objects, ``bool[N, O]``.

    A wall of height 2 blocks; one of height 1, a box or a ramp blocks unless one of the two is elevated. An object is seen
    if its centre is, over its own cells.
    """
    height, width = world.height, world.width
    num_agents = state.positions.shape[0]
    targets = jnp.concatenate([state.positions, state.object_positions])
    clear = _is_clear(level, state, targets, height, width)
    offsets = targets[None, :, :] - state.positions[:, None, :]
    in_cone = is_in_cone(state.directions[:, None], offsets, world.field_of_view)
    exists = jnp.concatenate([level.agent_present, level.object_present])
    sees = clear & in_cone & exists[None, :] & level.agent_present[:, None]
    return sees[:, :num_agents] & ~jnp.eye(num_agents, dtype=bool), sees[:, num_agents:]


def _is_clear(
    level: HideAndSeekLevel, state: "HideAndSeekState", targets: jax.Array, height: int, width: int
) -> jax.Array:
    """Return whether nothing blocks the ray from each agent to each of ``targets``, ``bool[N, N + O]``."""
    num_agents, num_objects = state.positions.shape[0], state.object_positions.shape[0]
    numbers = targets[:, 0] * width + targets[:, 1]
    along = jnp.asarray(rays(height, width))[numbers[:num_agents, None], numbers[None, :]]  # [N, N + O, F]
    own = _object_boards(level, state, height, width)  # [O, F]
    low = _union(own) | flat(level.low, width)
    own = jnp.concatenate([jnp.zeros((num_agents, own.shape[1]), jnp.uint32), own])
    target_elevated = jnp.concatenate([state.elevated, jnp.zeros(num_objects, bool)])
    looks_over = state.elevated[:, None] | target_elevated[None, :]
    blocking = jnp.where(looks_over[:, :, None], jnp.uint32(0), (low[None, :] & ~own)[None, :, :])
    blocking = blocking | flat(level.tall, width)[None, None, :]
    return jnp.all(along & blocking == 0, axis=-1)


def visible_cells(
    world: "HideAndSeek", level: HideAndSeekLevel, state: "HideAndSeekState", rows: jax.Array, cols: jax.Array
) -> jax.Array:
    """Return which cells each agent sees, ``bool[N, V, V]``, at ``rows`` and ``cols``, ``i32[N, V, V]``.

    Who is elevated looks over what is of height 1. What is not on the grid is seen.
    """
    height, width = world.height, world.width
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    numbers = jnp.where(inside, rows * width + cols, 0)
    own = state.positions[:, 0] * width + state.positions[:, 1]
    along = jnp.asarray(rays(height, width))[own[:, None, None], numbers]  # [N, V, V, F]
    low = jnp.where(state.elevated[:, None], jnp.uint32(0), raised(level, state, height, width)[None, :])
    blocking = low | flat(level.tall, width)[None, :]
    clear = jnp.all(along & blocking[:, None, None, :] == 0, axis=-1)
    offsets = jnp.stack([rows, cols], axis=-1) - state.positions[:, None, None, :]
    in_cone = is_in_cone(state.directions[:, None, None], offsets, world.field_of_view)
    return (clear & in_cone) | ~inside


def is_in_cone(directions: jax.Array, offsets: jax.Array, field_of_view: float) -> jax.Array:
    """Return whether cells are in the cone of who looks from (0, 0), ``bool[...]``; that cell itself is.

    Args:
        directions: of the look, ``i32[...]``, which broadcasts with the others.
        offsets: of the cells, ``i32[..., 2]``.
        field_of_view: the cone's whole angle in degrees.
    """
    rows, cols = offsets[..., 0], offsets[..., 1]
    if field_of_view >= 360.0:
        return jnp.ones(rows.shape, bool)
    ahead = jnp.where(directions % 2 == 0, cols, rows) * jnp.where(directions < 2, 1, -1)
    # cos² on whole numbers, so that all four directions are told apart by the same arithmetic.
    squared = math.cos(math.radians(field_of_view) / 2) ** 2
    # A cell exactly on the edge, as at 90 degrees, counts as inside.
    within = (ahead * ahead).astype(jnp.float32) >= (squared - 1e-6) * (rows * rows + cols * cols).astype(jnp.float32)
    return within & (ahead >= 0)


def flat(board: jax.Array, width: int) -> jax.Array:
    """Return a board ``u32[H, 1]`` as bits of the cells one after the other, ``u32[F]``."""
    height = board.shape[0]
    words: list[jax.Array] = [jnp.uint32(0)] * num_words(height, width)
    for row in range(height):
        word, shift = divmod(row * width, WORD)
        words[word] = words[word] | (board[row, 0] << np.uint32(shift))
        if shift + width > WORD:
            words[word + 1] = words[word + 1] | (board[row, 0] >> np.uint32(WORD - shift))
    return jnp.stack(words)


def num_words(height: int, width: int) -> int:
    """Return ``F``."""
    return -(-height * width // WORD)


def raised(level: HideAndSeekLevel, state: "HideAndSeekState", height: int, width: int) -> jax.Array:
    """Return all cells of height 1, ``u32[F]``: low walls, boxes and ramps."""
    return _union(_object_boards(level, state, height, width)) | flat(level.low, width)


def _union(boards: jax.Array) -> jax.Array:
    return jax.lax.reduce(boards, np.uint32(0), jax.lax.bitwise_or, (0,))


def _object_boards(level: HideAndSeekLevel, state: "HideAndSeekState", height: int, width: int) -> jax.Array:
    """Return the cells of each object that is present, ``u32[O, F]``."""
    cells = cells_of(state.object_positions, level.object_shapes)
    numbers = cells[..., 0] * width + cells[..., 1]
    bits = jnp.uint32(1) << (numbers % WORD).astype(jnp.uint32)
    is_word = (numbers // WORD)[:, :, None] == jnp.arange(num_words(height, width), dtype=jnp.int32)[None, None, :]
    words = jnp.where(is_word & level.object_present[:, None, None], bits[:, :, None], jnp.uint32(0))
    return words[:, 0] | words[:, 1] | words[:, 2]


@functools.cache
def rays(height: int, width: int) -> np.ndarray:
    """Return the cells strictly between any two, ``u32[H·W, H·W, F]``: 0.4 MB for 12 × 12 cells, 8 MB for 20 × 20."""
    rows, cols = np.divmod(np.arange(height * width, dtype=np.int32), np.int32(width))
    table = np.empty((height * width, height * width, num_words(height, width)), np.uint32)
    padding = ((0, 0), (0, num_words(height, width) * WORD - height * width))
    for start in range(height * width):
        down, right = rows - rows[start], cols - cols[start]  # of the end, then of a cell between
        # Twice the distance of a cell's centre from the line, times its length, against that of its farthest corner.
        off = 2 * np.abs(down[:, None] * right[None, :] - right[:, None] * down[None, :])
        touches = off <= (np.abs(down) + np.abs(right))[:, None]
        touches &= _between(down) & _between(right)
        touches[:, start] = False
        np.fill_diagonal(touches, False)
        bits = np.packbits(np.pad(touches, padding), axis=1, bitorder="little")
        table[start] = bits.view("<u4")
    return table


def _between(offsets: np.ndarray) -> np.ndarray:
    """Return whether each offset lies between 0 and that of each end, ``bool[end, cell]``."""
    ends, each = offsets[:, None], offsets[None, :]
    return (np.minimum(ends, 0) <= each) & (each <= np.maximum(ends, 0))
