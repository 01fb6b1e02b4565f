"""How is a level of the gridworld edited a little? For teachers that breed levels, as ACCEL does (arXiv 2203.01302)."""

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.grid import bitboard
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.level import GridLevel, is_valid
from minied_envs.gridworld.placing import at, pick_cell, put

# Kinds of edits
FLIP_WALL, MOVE_THING, REMOVE_THING, ADD_THING, MOVE_AGENT = range(5)
NUM_KINDS = 5
ADDED = (codes.LAVA, *range(codes.CLOSED_DOOR, codes.FILLED_BOX))
"""What may be added: lava, closed and locked doors, and objects, boxes with nothing in them."""


def mutate(key: jax.Array, level: GridLevel, num_edits: int) -> GridLevel:
    """Return ``level`` after ``num_edits`` edits, valid if it was. Consumes ``key``.

    Each is one of five, equally likely: floor becomes wall or wall floor; a thing (goal, lava, door, object) goes to another
    place; one is taken away; one is added; or the agent moves and turns. Doors go where walls are and leave a wall behind,
    all else goes to empty cells. An edit does nothing if then the mission could not be found, or there is no place for it.
    In a memory task things stay, as the answers that are right go with them. Mission and time limit are kept.
    """
    words = jax.random.bits(key, (num_edits, 5), jnp.uint32)

    def edit(level: GridLevel, words: jax.Array) -> tuple[GridLevel, None]:
        child = edited(words, level)
        valid = is_valid(child)
        return jax.tree.map(lambda new, old: jnp.where(valid, new, old), child, level), None

    return jax.lax.scan(edit, jax.tree.map(jnp.asarray, level), words)[0]


def edited(words: jax.Array, level: GridLevel) -> GridLevel:
    """Return ``level`` after one edit, whatever comes of it, chosen by ``u32[5]`` random words."""
    kind = bitboard.scale(words[0], NUM_KINDS)
    cells = level.cells.astype(jnp.int32)
    here = at(cells.shape, level.start)
    is_floor, is_wall = (cells == codes.EMPTY) & ~here, cells == codes.WALL
    is_answer = (cells == codes.RIGHT_ANSWER) | (cells == codes.WRONG_ANSWER)
    may_touch = level.task != missions.GO_TO_MATCH
    things = ~(cells == codes.EMPTY) & ~is_wall & ~is_answer & may_touch

    flipped = pick_cell(is_floor | is_wall, words[1])
    became = jnp.where(_at_cell(cells, flipped) == codes.WALL, codes.EMPTY, codes.WALL)
    thing = pick_cell(things, words[1])
    code = _at_cell(cells, thing)
    without = put(cells, thing, jnp.where(codes.is_door(code), codes.WALL, codes.EMPTY))
    added = jnp.asarray(np.array(ADDED, np.int32))[bitboard.scale(words[3], len(ADDED))]

    def placed(cells: jax.Array, code: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return ``cells`` with ``code`` somewhere, and whether there was a place for it."""
        places = jnp.where(codes.is_door(code), is_wall, is_floor)
        return put(cells, pick_cell(places, words[2]), code), jnp.any(places)

    moved, has_place = placed(without, code)
    grown, has_room = placed(cells, added)
    agent_place = pick_cell(is_floor, words[2])
    is_moved = (kind == MOVE_AGENT) & jnp.any(is_floor)
    outcomes = [
        (put(cells, flipped, became), jnp.any(is_floor | is_wall)),
        (moved, jnp.any(things) & has_place),
        (without, jnp.any(things)),
        (grown, has_room & may_touch),
        (cells, jnp.bool_(True)),
    ]
    after = cells
    for number, (outcome, is_possible) in enumerate(outcomes):
        after = jnp.where((kind == number) & is_possible, outcome, after)
    return level.replace(
        cells=after.astype(jnp.uint8),
        agent_position=jnp.where(is_moved, agent_place.astype(jnp.uint8), level.agent_position),
        agent_direction=jnp.where(is_moved, bitboard.scale(words[4], 4).astype(jnp.uint8), level.agent_direction),
    )


def _at_cell(cells: jax.Array, position: jax.Array) -> jax.Array:
    return cells[position[0], position[1]]
