"""Cells of a grid, whatever library it is from: chosen, reached, shown. Letters: ``H W`` grid."""

import jax
import jax.numpy as jnp
import numpy as np


def below(chance: jax.Array, number: int | jax.Array) -> jax.Array:
    """Return the integer from 0 and below ``number`` that ``chance``, uniform in [0, 1), stands for, ``i32[]``."""
    return jnp.minimum((chance * number).astype(jnp.int32), number - 1)


def pick(chance: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the place in a flattened mask that ``chance``, uniform in [0, 1), chooses, ``i32[]``; whether there is any.

    In an empty mask it is 0.
    """
    count = jnp.cumsum(mask.reshape(-1).astype(jnp.int32))
    return jnp.argmax(count > below(chance, count[-1])).astype(jnp.int32), count[-1] > 0


def beside(cells: jax.Array) -> jax.Array:
    """Return which cells are above, below, left or right of one of ``cells``, both ``bool[H, W]``."""
    padded = jnp.pad(cells, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def steps_from(free: jax.Array, start: jax.Array, target: jax.Array | None = None) -> jax.Array:
    """Return in how many steps each cell is reached, ``i32[H, W]``; −1: it is not.

    Args:
        free: the cells that can be entered, ``bool[H, W]``.
        start: (row, col), integers ``[2]``; 0 steps, free or not.
        target: (row, col) of the one cell whose number is asked for, likewise: those further away stay −1.
    """
    first = jnp.full(free.shape, -1, jnp.int32).at[start[0], start[1]].set(0)

    def is_going_on(search: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        steps, _, has_grown = search
        return has_grown if target is None else has_grown & (steps[target[0], target[1]] < 0)

    def grow(search: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        steps, time, _ = search
        new = beside(steps >= 0) & free & (steps < 0)
        return jnp.where(new, time + 1, steps), time + 1, jnp.any(new)

    return jax.lax.while_loop(is_going_on, grow, (first, jnp.int32(0), jnp.bool_(True)))[0]


def enlarged(picture: np.ndarray, times: int) -> np.ndarray:
    """Return a picture ``u8[height, width, 3]`` with ``times`` by ``times`` pixels in place of each. Host only."""
    return picture.repeat(times, axis=0).repeat(times, axis=1)
