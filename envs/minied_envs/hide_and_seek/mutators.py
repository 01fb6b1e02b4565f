"""How is a level of hide and seek edited a little? For teachers that breed levels, as ACCEL does (arXiv 2203.01302).

Letters: ``H W`` grid, ``n`` places for things (agents, boxes, ramps, in that order).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied_envs.grid import bitboard, moves
from minied_envs.hide_and_seek import doors
from minied_envs.hide_and_seek.dimensions import KINDS, Dimensions
from minied_envs.hide_and_seek.generators import HideAndSeekLevels
from minied_envs.hide_and_seek.level import (
    NUM_SHAPES,
    SINGLE,
    HideAndSeekLevel,
    board_of,
    canonical,
    is_valid,
    taken_cells,
)
from minied_envs.hide_and_seek.reach import reachable

# Kinds of edits
MOVE, TURN, PUT, MOVE_DOOR, FLIP_WALL = range(5)
NUM_KINDS = 5
NUM_WORDS = 5  # of an edit


def mutate(
    key: jax.Array, level: HideAndSeekLevel, options: HideAndSeekLevels, dimensions: Dimensions
) -> HideAndSeekLevel:
    """Return ``level`` after ``num_edits`` edits, valid and canonical if it was. Consumes ``key``.

    Each is one of five, equally likely: a thing goes one cell in some direction; an agent or a ramp turns, or a box changes
    its shape; an agent, a box or a ramp is taken away, or one comes to a free cell (a uniform one of the places for
    things, empty or not); a door goes one cell on in its wall; a cell of the arena without a thing becomes a wall, or a wall
    floor. An edit does nothing if afterwards two things were in one cell, somebody could not meet the other team,
    something began outside of the arena, or there were fewer or more of a kind than a draw may have.
    """
    words = jax.random.bits(key, (options.num_edits, NUM_WORDS), jnp.uint32)

    def edit(level: HideAndSeekLevel, words: jax.Array):
        child = canonical(edited(words, level, options, dimensions))
        return _choose(_is_allowed(level, child, options, dimensions).astype(jnp.int32), level, child), None

    return jax.lax.scan(edit, jax.tree.map(jnp.asarray, level), words)[0]


def edited(
    words: jax.Array, level: HideAndSeekLevel, options: HideAndSeekLevels, dimensions: Dimensions
) -> HideAndSeekLevel:
    """Return ``level`` after one edit, whatever comes of it, chosen by ``u32[NUM_WORDS]`` random words."""
    kind = bitboard.scale(words[0], NUM_KINDS)
    free = jnp.asarray(dimensions.arena()) & ~_taken(level, dimensions)
    candidates = (
        _moved(words, level, dimensions),
        _turned(words, level, dimensions),
        _put(words, level, free & ~(level.tall | level.low), options, dimensions),
        _with_moved_door(words, level, free, dimensions),
        _with_flipped_wall(words, level, free, dimensions),
    )
    return _choose(kind, *candidates)


def _choose(number: jax.Array, *levels: HideAndSeekLevel) -> HideAndSeekLevel:
    return jax.tree.map(lambda *leaves: jax.lax.select_n(number, *leaves), *levels)


# -- edits ------------------------------------------------------------------------------------------------------------


class _Things(struct.PyTreeNode):
    """All places for things, one after the other."""

    positions: jax.Array  # i32[n, 2]
    kinds: jax.Array  # i32[n], directions or, of boxes, shapes
    present: jax.Array  # bool[n]


def _things(level: HideAndSeekLevel) -> _Things:
    return _Things(
        positions=jnp.concatenate([level.agent_positions, level.box_positions, level.ramp_positions]),
        kinds=jnp.concatenate([level.agent_directions, level.box_shapes, level.ramp_directions]),
        present=jnp.concatenate([level.agent_present, level.box_present, level.ramp_present]),
    )


def _with_things(level: HideAndSeekLevel, things: _Things, dimensions: Dimensions) -> HideAndSeekLevel:
    agents = dimensions.num_agents
    ends = (agents, agents + dimensions.max_boxes)
    positions, kinds, present = (jnp.split(part, ends) for part in (things.positions, things.kinds, things.present))
    return level.replace(
        agent_positions=positions[0], box_positions=positions[1], ramp_positions=positions[2],
        agent_directions=kinds[0], box_shapes=kinds[1], ramp_directions=kinds[2],
        agent_present=present[0], box_present=present[1], ramp_present=present[2],
    )  # fmt: skip


def _some(things: _Things, word: jax.Array) -> jax.Array:
    """Return a uniform one of the things that are present, ``bool[n]``."""
    number = bitboard.pick(bitboard.pack(things.present[None]), word)[1]
    return jnp.arange(things.present.shape[0]) == number


def _is_box(dimensions: Dimensions) -> jax.Array:
    number = np.arange(sum(dimensions.room_for)) - dimensions.num_agents
    return jnp.asarray((number >= 0) & (number < dimensions.max_boxes))


def _moved(words: jax.Array, level: HideAndSeekLevel, dimensions: Dimensions) -> HideAndSeekLevel:
    """Return ``level`` with one thing a cell further in some direction."""
    things = _things(level)
    target = moves.ahead(jnp.zeros(2, jnp.int32), bitboard.scale(words[2], 4))
    step = jnp.where(_some(things, words[1])[:, None], target[None], 0)
    return _with_things(level, things.replace(positions=things.positions + step), dimensions)


def _turned(words: jax.Array, level: HideAndSeekLevel, dimensions: Dimensions) -> HideAndSeekLevel:
    """Return ``level`` with one thing in another direction or, if it is a box, of another shape."""
    things = _things(level)
    other_direction = (things.kinds + 1 + bitboard.scale(words[2], 3)) % 4
    other_shape = (things.kinds + 1 + bitboard.scale(words[2], NUM_SHAPES - 1)) % NUM_SHAPES
    other = jnp.where(_is_box(dimensions), other_shape, other_direction)
    kinds = jnp.where(_some(things, words[1]), other, things.kinds)
    return _with_things(level, things.replace(kinds=kinds), dimensions)


def _put(
    words: jax.Array, level: HideAndSeekLevel, free: jax.Array, options: HideAndSeekLevels, dimensions: Dimensions
) -> HideAndSeekLevel:
    """Return ``level`` without one thing, or with one more, on one of the ``free`` cells."""
    things = _things(level)
    number = things.present.shape[0]
    is_chosen = jnp.arange(number) == bitboard.scale(words[1], number)
    shape = bitboard.scale(words[3], NUM_SHAPES) if options.max_long else jnp.int32(SINGLE)
    kind = jnp.where(_is_box(dimensions), shape, bitboard.scale(words[3], 4))
    things = things.replace(
        positions=jnp.where(is_chosen[:, None], bitboard.pick(free, words[2])[None], things.positions),
        kinds=jnp.where(is_chosen, kind, things.kinds),
        present=things.present ^ (is_chosen & (things.present | jnp.any(free != 0))),
    )
    return _with_things(level, things, dimensions)


def _with_moved_door(
    words: jax.Array, level: HideAndSeekLevel, free: jax.Array, dimensions: Dimensions
) -> HideAndSeekLevel:
    """Return ``level`` with a door one cell further in its wall; a cell with a thing is not walled up."""
    candidates = doors.movable_doors(level.tall, dimensions) & free[None]
    place = bitboard.pick(candidates.reshape(-1, 1), words[1])
    move, row = place[0] // dimensions.height, place[0] % dimensions.height
    first = bitboard.cell(dimensions.height, dimensions.width, jnp.stack([row, place[1]]))
    after = doors.moved_door(level.tall, move, first, dimensions)
    return level.replace(tall=jnp.where(jnp.any(candidates != 0), after, level.tall))


def _with_flipped_wall(
    words: jax.Array, level: HideAndSeekLevel, free: jax.Array, dimensions: Dimensions
) -> HideAndSeekLevel:
    """Return ``level`` with a wall more, a tall one, or less, of either height."""
    cell = bitboard.cell(dimensions.height, dimensions.width, bitboard.pick(free, words[1]))
    cell = jnp.where(jnp.any(free != 0), cell, jnp.uint32(0))
    return level.replace(tall=(level.tall ^ cell) & ~(level.low & cell), low=level.low & ~cell)


# -- what is refused --------------------------------------------------------------------------------------------------


def _is_allowed(
    level: HideAndSeekLevel, child: HideAndSeekLevel, options: HideAndSeekLevels, dimensions: Dimensions
) -> jax.Array:
    """Return whether ``child`` may take the place of ``level``, ``bool[]``.

    A level that was outside of the limits, because a box found no place or because somebody drew it, may stay so.
    """
    stray = _taken(child, dimensions) & ~_taken(level, dimensions) & ~jnp.asarray(dimensions.arena())
    allowed = is_valid(child, dimensions.height, dimensions.width) & jnp.all(stray == 0)
    allowed = allowed & reachable(child, dimensions.width, dimensions.max_hiders)
    before, after = counts(level, dimensions), counts(child, dimensions)
    limits: dict = {**options.limits(dimensions), "long": options.long_limits(after["boxes"])}
    for name, (least, most) in limits.items():
        now, earlier = after[name], before[name]
        allowed = allowed & ((now >= least) | (now >= earlier)) & ((now <= most) | (now <= earlier))
    return allowed


def counts(level: HideAndSeekLevel, dimensions: Dimensions) -> dict[str, jax.Array]:
    """Return how many there are of each kind of thing, and of elongated boxes, ``i32[]`` each."""
    hiders, seekers = level.agent_present[: dimensions.max_hiders], level.agent_present[dimensions.max_hiders :]
    which = (hiders, seekers, level.box_present, level.ramp_present, level.box_shapes != SINGLE)
    return {name: jnp.sum(part, dtype=jnp.int32) for name, part in zip((*KINDS, "long"), which, strict=True)}


def _taken(level: HideAndSeekLevel, dimensions: Dimensions) -> jax.Array:
    """Return the cells of all things, ``u32[H, 1]``."""
    return board_of(dimensions.height, dimensions.width, *taken_cells(level))
