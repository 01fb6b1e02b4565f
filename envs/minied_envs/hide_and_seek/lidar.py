"""How far is it to the next obstacle, in directions around an agent?

Letters: ``H W`` grid, ``N`` agents, ``D`` directions, ``L`` cells that a ray reaches, ``F`` words of the whole grid.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.hide_and_seek.sight import WORD

OUTSIDE = -1


def distances(
    numbers: jax.Array, elevated: jax.Array, tall: jax.Array, raised: jax.Array, size: tuple[int, int, int, int]
) -> jax.Array:
    """Return the free cells in each direction over the reach, ``f32[N, D]``, in [0, 1]: 1 where nothing is in reach.

    Walls of height 2 and the edge of the grid stop every ray; what is of height 1 stops those of agents on the ground.

    Args:
        numbers: of the agents' cells, ``i32[N]``.
        elevated: ``bool[N]``.
        tall: flat board of walls of height 2, ``u32[F]``.
        raised: flat board of all that is of height 1, ``u32[F]``.
        size: ``(H, W, D, L)``.
    """
    cells = jnp.asarray(paths(*size))[numbers]  # [N, D, L]
    board = tall[None, :] | jnp.where(elevated[:, None], jnp.uint32(0), raised[None, :])  # [N, F]
    inside = jnp.maximum(cells, 0)
    word = jax.vmap(lambda words, index: words[index])(board, inside // WORD)
    stops = (cells == OUTSIDE) | ((word >> (inside % WORD).astype(jnp.uint32)) & np.uint32(1) != 0)
    first = jnp.min(jnp.where(stops, jnp.arange(size[3], dtype=jnp.int32)[None, None, :], size[3]), axis=-1)
    return first.astype(jnp.float32) / size[3]


@functools.cache
def paths(height: int, width: int, num_directions: int, reach: int) -> np.ndarray:
    """Return the cells along each direction, nearest first, ``i32[H·W, D, L]``, `OUTSIDE` where there is none.

    The first direction is east, the others follow clockwise. A step is one cell along the longer axis, so that the eight
    directions of a compass go over all their cells.
    """
    angles = 2 * np.pi * np.arange(num_directions) / num_directions
    unit = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    unit /= np.abs(unit).max(axis=1, keepdims=True)
    steps = np.arange(1, reach + 1)[None, :, None] * unit[:, None, :]
    offsets = np.floor(steps + 0.5 + 1e-9).astype(np.int32)  # [D, L, 2]
    rows, cols = np.divmod(np.arange(height * width, dtype=np.int32), np.int32(width))
    row = rows[:, None, None] + offsets[None, :, :, 0]
    col = cols[:, None, None] + offsets[None, :, :, 1]
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    return np.where(inside, row * width + col, OUTSIDE).astype(np.int32)
