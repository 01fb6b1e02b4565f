"""Where do things begin? One after the other on cells that are left, first where they are wanted, then where they may be.

Letters: ``H W`` grid, ``N`` agents (hiders first), ``X`` boxes, ``R`` ramps, ``n = N + X + R`` things in that order.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied_envs.grid import bitboard
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.level import SINGLE, TALL, WIDE, HideAndSeekLevel, canonical


class Regions(struct.PyTreeNode):
    """Where each kind of thing (hiders, seekers, boxes, ramps) begins, boards of all cells."""

    wanted: jax.Array  # u32[4, H, 1], tried first
    allowed: jax.Array  # u32[4, H, 1], of which the wanted ones are a part


def place(
    words: jax.Array,
    tall: jax.Array,
    counts: jax.Array,
    num_long: jax.Array,
    regions: Regions,
    dimensions: Dimensions,
    has_locks: bool,
    has_preparation: bool,
) -> HideAndSeekLevel:
    """Return a level with ``tall`` walls and things on uniform free cells; what finds no place is left absent.

    Agents are placed first. An elongated box lies or stands by the toss of a coin, or as it fits.

    Args:
        words: random words, ``u32[2, n]``.
        tall: ``u32[H, 1]``.
        counts: ``i32[4]``, how many of each kind.
        num_long: ``i32[]``, how many of the boxes are elongated: the first ones.
        regions: where each kind may be.
        dimensions: of the world.
        has_locks: of the level.
        has_preparation: of the level.
    """
    room_for = dimensions.room_for
    kinds = np.repeat(np.arange(4), room_for)
    order = jnp.asarray(np.concatenate([np.arange(most, dtype=np.int32) for most in room_for]))
    is_long = jnp.asarray(kinds == 2) & (order < num_long)
    shapes = jnp.where(is_long, WIDE + bitboard.scale(words[1], 2), SINGLE)
    wanted, allowed = (_of_each(boards, room_for) for boards in (regions.wanted, regions.allowed))
    things = (words[0], order < _of_each(counts, room_for), shapes, wanted, allowed)

    def place_one(free: jax.Array, thing: tuple[jax.Array, ...]):
        word, is_asked_for, shape, wanted, allowed = thing
        other = jnp.where(shape == SINGLE, SINGLE, WIDE + TALL - shape)
        first, second, last = (
            _fitting(free & wanted, shape, dimensions.width),
            _fitting(free & allowed, shape, dimensions.width),
            _fitting(free & allowed, other, dimensions.width),
        )
        is_straight = jnp.any(second != 0)
        candidates = jnp.where(jnp.any(first != 0), first, jnp.where(is_straight, second, last))
        shape = jnp.where(is_straight, shape, other)
        position = bitboard.pick(candidates, word)
        is_placed = is_asked_for & jnp.any(candidates != 0)
        taken = _extended(bitboard.cell(dimensions.height, dimensions.width, position), shape, dimensions.width)
        return jnp.where(is_placed, free & ~taken, free), (position, shape, is_placed)

    free = bitboard.complement(tall, dimensions.width)
    _, (positions, shapes, present) = jax.lax.scan(place_one, free, things)
    directions = bitboard.scale(words[1], 4)
    agents, boxes, ramps = _parts(dimensions)
    level = HideAndSeekLevel(
        tall=tall,
        low=jnp.zeros_like(tall),
        agent_positions=positions[agents],
        agent_directions=directions[agents],
        agent_present=present[agents],
        box_positions=positions[boxes],
        box_shapes=shapes[boxes],
        box_present=present[boxes],
        ramp_positions=positions[ramps],
        ramp_directions=directions[ramps],
        ramp_present=present[ramps],
        has_locks=jnp.bool_(has_locks),
        has_preparation=jnp.bool_(has_preparation),
    )
    return canonical(level)


def _of_each(values: jax.Array, room_for: tuple[int, ...]) -> jax.Array:
    """Return for each thing the value of its kind, ``[n, ...]`` of ``[4, ...]``."""
    return jnp.concatenate([jnp.repeat(values[kind][None], most, axis=0) for kind, most in enumerate(room_for)])


def _parts(dimensions: Dimensions) -> tuple[slice, slice, slice]:
    """Return which of the things are agents, boxes and ramps."""
    hiders, seekers, boxes, ramps = dimensions.room_for
    agents = hiders + seekers
    return slice(0, agents), slice(agents, agents + boxes), slice(agents + boxes, agents + boxes + ramps)


def _fitting(free: jax.Array, shape: jax.Array, width: int) -> jax.Array:
    """Return the cells on which the centre of a thing of that shape fits on ``free`` cells, ``u32[H, 1]``."""
    wide = bitboard.shift_east(free, width) & bitboard.shift_west(free)
    tall = bitboard.shift_south(free) & bitboard.shift_north(free)
    return jnp.where(shape == WIDE, free & wide, jnp.where(shape == TALL, free & tall, free))


def _extended(centre: jax.Array, shape: jax.Array, width: int) -> jax.Array:
    """Return the cells of a thing of that shape, ``u32[H, 1]``, of the board of its ``centre``."""
    wide = bitboard.shift_east(centre, width) | bitboard.shift_west(centre)
    tall = bitboard.shift_south(centre) | bitboard.shift_north(centre)
    return jnp.where(shape == WIDE, centre | wide, jnp.where(shape == TALL, centre | tall, centre))
