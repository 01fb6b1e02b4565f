"""How is a map drawn at random, such that every kind of block can be reached?

Blocks go to distinct uniform cells, and so does the agent. Where that leaves a kind of block behind others, or any block
that depletes, the same draw is laid out anew with all blocks on cells of even row and column: the odd rows and columns are
then free, and every block lies beside them. With minied's own recipes that is a fifth of the maps of 9 × 9.

Letters: ``H W`` grid, ``n`` blocks.
"""

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.crafting.recipes import Recipes
from minied_envs.grid import bitboard, search


def check_fits(recipes: Recipes, height: int, width: int) -> None:
    """Raise `UserError` if the blocks of a new map do not fit."""
    number, most = len(codes_of(recipes)), most_blocks(height, width)
    if number > most:
        raise UserError(
            f"height x width is {height}x{width}, with room for {most} blocks; allowed with these recipes: room for"
            f" {number}, the sum of their numbers"
        )


def most_blocks(height: int, width: int) -> int:
    """Return how many blocks a map may have, the cells of even row and column."""
    return -(-height // 2) * -(-width // 2)


def codes_of(recipes: Recipes) -> np.ndarray:
    """Return the codes of the blocks of a new map, ``u8[n]``."""
    return np.repeat(np.arange(1, 1 + len(recipes.blocks)), [block.number for block in recipes.blocks]).astype(np.uint8)


def draw_map(key: jax.Array, recipes: Recipes, height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Return a map ``u8[H, W]`` and the cell of the agent ``i32[2]``. Consumes ``key``."""
    key_order, key_lattice = jax.random.split(key)
    codes = jnp.asarray(codes_of(recipes))
    number = codes.shape[0]
    order = jax.random.permutation(key_order, height * width)
    blocks = _laid(codes, order[:number], height, width)
    start = order[number]
    rows, cols = np.meshgrid(np.arange(0, height, 2), np.arange(0, width, 2), indexing="ij")
    sites = jax.random.permutation(key_lattice, jnp.asarray((rows * width + cols).reshape(-1)))
    tidy = _laid(codes, sites[:number], height, width)
    reached = all_reached(blocks, jnp.stack([start // width, start % width]), recipes)
    # The agent of a tidy map begins on the first cell of the draw that is floor there: one of odd row or column, or a site.
    free = tidy.reshape(-1)[order] == 0
    other = order[jnp.argmax(free)]
    start = jnp.where(reached, start, other)
    return jnp.where(reached, blocks, tidy), jnp.stack([start // width, start % width]).astype(jnp.int32)


def all_reached(blocks: jax.Array, start: jax.Array, recipes: Recipes) -> jax.Array:
    """Return whether the agent can come beside some block of each kind that new maps have, ``bool[]``.

    Beside as many as new maps have, if the kind depletes, so that there is enough for every item (`graph.check`).

    Args:
        blocks: codes ``u8[H, W]``.
        start: of the agent, ``i32[2]``.
        recipes: whose blocks they are.
    """
    height, width = blocks.shape
    wanted = np.array([block.number if block.depletes else min(block.number, 1) for block in recipes.blocks])
    kinds = np.flatnonzero(wanted)
    if not kinds.size:
        return jnp.bool_(True)
    free = bitboard.pack(blocks == 0)
    reached = search.flood(free, bitboard.cell(height, width, start), width)
    beside = bitboard.unpack(search.grow(reached, width), width)
    there = jnp.where(beside, blocks, 0).reshape(-1)
    counts = jnp.sum(there[None, :] == jnp.asarray(1 + kinds, jnp.uint8)[:, None], axis=1, dtype=jnp.int32)
    return jnp.all(counts >= jnp.asarray(wanted[kinds], jnp.int32))


def _laid(codes: jax.Array, cells: jax.Array, height: int, width: int) -> jax.Array:
    return jnp.zeros(height * width, jnp.uint8).at[cells].set(codes).reshape(height, width)
