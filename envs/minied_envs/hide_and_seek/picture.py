"""What does the picture around an agent show? One code a cell, north above, the agent in the middle.

Letters: ``N`` agents, ``O`` objects, ``Q`` cells of an object, ``V`` side of the picture.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from minied.spaces import Coded
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import sight
from minied_envs.hide_and_seek.level import HideAndSeekLevel, cells_of
from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek

# What a cell holds. An agent hides what it stands on; nobody is shown in its own picture.
UNSEEN, FLOOR, TALL_WALL, LOW_WALL, FREE_BOX, OWN_BOX, OTHER_BOX, HELD_BOX = range(8)
FIRST_RAMP = 8  # + its direction + 4 · (0 unlocked, 1 locked by the own team, 2 by the other)
FIRST_AGENT = FIRST_RAMP + 12  # + 2 · (of the other team) + (elevated)
NUM_CODES = FIRST_AGENT + 4

_CHANNELS = (
    "height", "wall", "box", "east", "south", "west", "north", "own_lock", "other_lock", "held",
    "team_mate", "opponent", "elevated", "floor", "unseen",
)  # fmt: skip


def space(view_size: int) -> Coded:
    """Return the space of a picture of ``view_size`` cells a side."""
    table = []
    for code in range(NUM_CODES):
        means = _meaning(code)
        table.append(tuple(means.get(channel, 0.0) for channel in _CHANNELS))
    return Coded((view_size, view_size), tuple(table))


def _meaning(code: int) -> dict[str, float]:
    """Return the channels of a code that are not 0."""
    plain = {UNSEEN: {"unseen": 1.0}, FLOOR: {"floor": 1.0}, TALL_WALL: {"height": 1.0, "wall": 1.0}}
    plain[LOW_WALL] = {"height": 0.5, "wall": 1.0}
    box = {"height": 0.5, "box": 1.0}
    plain |= {FREE_BOX: box, OWN_BOX: box | {"own_lock": 1.0}}
    plain |= {OTHER_BOX: box | {"other_lock": 1.0}, HELD_BOX: box | {"held": 1.0}}
    if code in plain:
        return plain[code]
    if code < FIRST_AGENT:
        lock, direction = divmod(code - FIRST_RAMP, 4)
        locks = {1: {"own_lock": 1.0}, 2: {"other_lock": 1.0}}.get(lock, {})
        return {"height": 0.5, ("east", "south", "west", "north")[direction]: 1.0} | locks
    is_opponent, is_elevated = divmod(code - FIRST_AGENT, 2)
    return {"opponent" if is_opponent else "team_mate": 1.0, "elevated": float(is_elevated)}


def pictures(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, sees_agents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return what each agent sees around it and what there is, codes ``u8[N, V, V]`` each.

    Args:
        world: its options.
        level: of the episode.
        state: now.
        sees_agents: ``bool[N, N]``; those that are seen are shown, also where they stand above ground that is not.
    """
    around = np.arange(world.view_size, dtype=np.int32) - world.view_size // 2
    shape = (world.num_agents, world.view_size, world.view_size)
    rows = jnp.broadcast_to(state.positions[:, 0, None, None] + around[None, :, None], shape)
    cols = jnp.broadcast_to(state.positions[:, 1, None, None] + around[None, None, :], shape)

    tall = bitboard.get(level.tall, world.width, rows, cols, outside=True)
    low = bitboard.get(level.low, world.width, rows, cols, outside=False)
    codes = jnp.where(tall, TALL_WALL, jnp.where(low, LOW_WALL, FLOOR))
    cells = cells_of(state.object_positions, level.object_shapes)
    of_objects = _object_codes(world, level, state)
    for number in range(of_objects.shape[1]):
        there = (
            _at(rows, cols, cells[number, 0]) | _at(rows, cols, cells[number, 1]) | _at(rows, cols, cells[number, 2])
        )
        codes = jnp.where(there & level.object_present[number], of_objects[:, number, None, None], codes)
    shown = jnp.where(sight.visible_cells(world, level, state, rows, cols), codes, UNSEEN)
    for number in range(world.num_agents):
        is_opponent = jnp.asarray(world.is_hider != world.is_hider[number], jnp.int32)[:, None, None]
        code = FIRST_AGENT + 2 * is_opponent + state.elevated[number].astype(jnp.int32)
        is_other = (np.arange(world.num_agents) != number)[:, None, None]
        there = _at(rows, cols, state.positions[number]) & level.agent_present[number] & is_other
        codes = jnp.where(there, code, codes)
        shown = jnp.where(there & sees_agents[:, number, None, None], code, shown)
    return shown.astype(jnp.uint8), codes.astype(jnp.uint8)


def _object_codes(world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState) -> jax.Array:
    """Return the code of each object as each agent sees it, ``i32[N, O]``."""
    teams = jnp.asarray(world.teams, jnp.int32)[:, None]
    locked_by = state.locked_by[None, :]
    lock = jnp.where(locked_by == NOTHING, 0, jnp.where(locked_by == teams, 1, 2))
    numbers = jnp.arange(locked_by.shape[1], dtype=jnp.int32)
    mine = state.holding[:, None] == numbers[None, :]
    boxes = jnp.where(mine, HELD_BOX, FREE_BOX + lock)[:, : world.max_boxes]
    ramps = (FIRST_RAMP + 4 * lock)[:, world.max_boxes :] + level.ramp_directions[None, :]
    return jnp.concatenate([boxes, ramps], axis=1)


def _at(rows: jax.Array, cols: jax.Array, cell: jax.Array) -> jax.Array:
    return (rows == cell[0]) & (cols == cell[1])
