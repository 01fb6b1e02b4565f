"""What of its view does an agent see, if walls hide what is behind them? MiniGrid's rule, on rows of bits.

Sight begins at the agent, in the middle of the bottom row of its view (see `minied_envs.grid.view`). Along a row it spreads
to both sides, through cells that can be seen through and onto the first that cannot; every cell seen through shows the
three cells ahead of it. MiniGrid sweeps each row to the right and then to the left (``Grid.process_vis``, version 3.2),
two nested loops of a step a cell. A row of ``v`` cells is one word here, in which a sweep is a fill of ``log2 v`` steps
(Kogge and Stone's carries), and the whole view one elementwise program without a loop.

Letters: ``v`` side of the view.
"""

import jax
import jax.numpy as jnp

from minied_envs.grid.bitboard import WORD_BITS
from minied_envs.grid.once import once


def visible(opaque: jax.Array) -> jax.Array:
    """Return which cells of a view are seen, ``bool[v, v]``.

    Args:
        opaque: which hide what is behind them, ``bool[v, v]``, seen from the middle of the last row; ``v`` odd, up to 31.
            The agent's own cell is taken for one that does not.
    """
    side = opaque.shape[0]
    if opaque.shape != (side, side) or not 1 <= side < WORD_BITS:
        raise ValueError(f"a view is {opaque.shape}; allowed: square, with 1 to {WORD_BITS - 1} rows")
    lanes = jnp.arange(side, dtype=jnp.uint32)
    words = jnp.sum(opaque.astype(jnp.uint32) << lanes[None, :], axis=1, dtype=jnp.uint32)
    own = jnp.uint32(1 << (side // 2))
    clear = [~words[row] for row in range(side)]
    clear[-1] = clear[-1] | own
    seen, seed = [], own
    for row in reversed(range(side)):
        row_seen = _spread(seed, clear[row], side)
        through = row_seen & clear[row]
        seed = _used(through | (through << 1) | (through >> 1), side)
        seen.append(row_seen)
    rows = once(jnp.stack(seen[::-1]))  # no row has all 32 bits; v² cells read it
    return ((rows[:, None] >> lanes[None, :]) & jnp.uint32(1)) != 0


def _spread(seed: jax.Array, clear: jax.Array, side: int) -> jax.Array:
    """Return what is seen of a row, ``u32[]``: from ``seed`` through ``clear`` cells to both sides, and one cell on."""
    right = left = seed & clear
    to_right = to_left = clear
    step = 1
    while step < side:
        right = right | (to_right & (right << step))
        to_right = to_right & (to_right << step)
        left = left | (to_left & (left >> step))
        to_left = to_left & (to_left >> step)
        step *= 2
    return _used(seed | right | (right << 1) | left | (left >> 1), side)


def _used(word: jax.Array, side: int) -> jax.Array:
    """Return the bits of a row's cells."""
    return word & jnp.uint32((1 << side) - 1)
