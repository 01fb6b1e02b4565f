"""Which way does an agent of a grid world look, and where does it go?

Directions are MiniGrid's: 0 east, 1 south, 2 west, 3 north, clockwise. Actions are MiniGrid's too: turn left, turn right,
move forward; the others (pick up, drop, toggle, done) belong to worlds with objects.
"""

import jax
import jax.numpy as jnp

EAST, SOUTH, WEST, NORTH = range(4)
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (row, col) of one step, by direction
TURN_LEFT, TURN_RIGHT, FORWARD = range(3)


def turn(direction: jax.Array, action: jax.Array) -> jax.Array:
    """Return the direction, ``i32[]``, after ``action``, which turns or does not."""
    change = (action == TURN_RIGHT).astype(jnp.int32) - (action == TURN_LEFT).astype(jnp.int32)
    return (direction + change) % 4


def ahead(position: jax.Array, direction: jax.Array) -> jax.Array:
    """Return the cell in front, ``i32[2]`` (row, col), which may lie outside of the grid."""
    # Comparisons instead of a lookup in STEPS: a gather of two numbers costs more than it saves.
    row = (direction == SOUTH).astype(jnp.int32) - (direction == NORTH).astype(jnp.int32)
    col = (direction == EAST).astype(jnp.int32) - (direction == WEST).astype(jnp.int32)
    return position + jnp.stack([row, col])


def same(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return whether two positions ``i32[2]`` are one cell, ``bool[]``."""
    return (a[0] == b[0]) & (a[1] == b[1])
