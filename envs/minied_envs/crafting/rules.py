"""What does an action of crafting do, and when does it do anything? One step of the rules, but for goals and time.

Letters: ``H W`` grid, ``K`` items, ``G`` goals, ``A`` actions, ``C`` codes of cells on the map.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied_envs.crafting.tables import COLLECT, FLOOR, tables_of
from minied_envs.grid import moves

if TYPE_CHECKING:
    from minied_envs.crafting.world import Crafting


class CraftingState(struct.PyTreeNode):
    """What changes during an episode."""

    blocks: jax.Array  # u8[H, W], codes
    position: jax.Array  # i32[2] (row, col)
    direction: jax.Array  # i32[], of `minied_envs.grid.moves`
    inventory: jax.Array  # i32[K], how many of each item
    seen: jax.Array  # bool[K], which items were obtained in this episode
    place: jax.Array  # i32[], how many goals are over
    done: jax.Array  # bool[G], which goals were reached
    goal_time: jax.Array  # i32[], steps since the present goal was told
    time: jax.Array  # i32[], steps taken


class Faced(struct.PyTreeNode):
    """The cell in front of the agent."""

    cell: jax.Array  # i32[], its number in reading order, of the nearest cell where it is outside
    code: jax.Array  # i32[]
    inside: jax.Array  # bool[], whether it is on the map

    @property
    def is_floor(self) -> jax.Array:
        """Whether something can go there, ``bool[]``."""
        return self.inside & (self.code == FLOOR)


def act(world: "Crafting", state: CraftingState, action: jax.Array) -> tuple[CraftingState, jax.Array]:
    """Return the state after an action, and which items were obtained by it, ``bool[K]``."""
    tables = tables_of(world.graph)
    is_move = action < COLLECT
    state = state.replace(direction=jnp.where(is_move, action, state.direction))
    ahead = faced(world, state)
    collects = ((action == COLLECT) | (is_move & world.walk_to_collect)) & can_collect(world, state, ahead)
    makes = can_make(world, state, ahead, action)
    placed = jnp.asarray(tables.placed)[action]
    puts_down = makes & (placed != FLOOR)

    left = jnp.where(makes, state.inventory - jnp.asarray(tables.takes)[action], state.inventory)
    gives = jnp.where(makes, jnp.asarray(tables.gives)[action], 0)
    items = jnp.arange(left.shape[0], dtype=jnp.int32)
    gives = gives + (collects & (items == jnp.asarray(tables.collected)[ahead.code])).astype(jnp.int32)
    inventory = jnp.minimum(left + gives, world.capacity)

    cells = jnp.arange(state.blocks.size, dtype=jnp.int32).reshape(state.blocks.shape)
    changes = puts_down | (collects & jnp.asarray(tables.depletes)[ahead.code])
    becomes = jnp.where(puts_down, placed, FLOOR).astype(jnp.uint8)
    after = state.replace(
        blocks=jnp.where(changes & (cells == ahead.cell), becomes, state.blocks),
        position=jnp.where(is_move & ahead.is_floor, moves.ahead(state.position, state.direction), state.position),
        inventory=inventory,
    )
    return after, inventory > left


def faced(world: "Crafting", state: CraftingState) -> Faced:
    """Return the cell in front of the agent."""
    row, col = moves.ahead(state.position, state.direction)
    cell, inside = cell_of(world, row, col)
    return Faced(cell, state.blocks.reshape(-1)[cell].astype(jnp.int32), inside)


def can_collect(world: "Crafting", state: CraftingState, ahead: Faced) -> jax.Array:
    """Return whether collecting changes anything, ``bool[]``: the faced block gives something with the tools at hand.

    Somebody who has no room for it collects only to remove a block that depletes.
    """
    tables, num_items = tables_of(world.graph), len(world.graph.items)
    has = jnp.append(state.inventory > 0, True)  # the item K, no tool, everybody has
    has_room = jnp.append(state.inventory < world.capacity, False)  # nobody has for the item K, nothing
    item = jnp.asarray(tables.collected)[ahead.code]
    changes = has_room[item] | (jnp.asarray(tables.depletes)[ahead.code] & (item < num_items))
    return ahead.inside & changes & has[jnp.asarray(tables.tool)[ahead.code]]


def can_make(world: "Crafting", state: CraftingState, ahead: Faced, actions: jax.Array | np.ndarray) -> jax.Array:
    """Return which of ``actions`` ``i32[...]`` craft something here and now, or put it down ahead, ``bool[...]``."""
    tables = tables_of(world.graph)
    # Of each recipe the few items that it takes: comparing the whole inventory costs ten times as much.
    parts, numbers = jnp.asarray(tables.parts)[actions], jnp.asarray(tables.numbers)[actions]
    has_parts = jnp.all(state.inventory[parts] >= numbers, axis=-1)
    is_near = codes_near(world, state)[jnp.asarray(tables.station)[actions]]
    has_room = (jnp.asarray(tables.placed)[actions] == FLOOR) | ahead.is_floor
    return has_parts & is_near & has_room & (actions > COLLECT)


def codes_near(world: "Crafting", state: CraftingState) -> jax.Array:
    """Return which codes are within `reach` of the agent, ``bool[C]``; floor always is."""
    codes = jnp.arange(1 + len(world.graph.blocks), dtype=jnp.int32)
    near = window(world, state, world.reach).reshape(-1).astype(jnp.int32)
    return jnp.any(near[None, :] == codes[:, None], axis=1) | (codes == FLOOR)


def window(world: "Crafting", state: CraftingState, radius: int) -> jax.Array:
    """Return the codes of the cells within ``radius`` rows and columns of the agent, ``u8[2 r + 1, 2 r + 1]``.

    What is outside of the map has the code after the last one.
    """
    around = jnp.arange(-radius, radius + 1, dtype=jnp.int32)
    cells, inside = cell_of(world, state.position[0] + around[:, None], state.position[1] + around[None, :])
    return jnp.where(inside, state.blocks.reshape(-1)[cells], jnp.uint8(1 + len(world.graph.blocks)))


def cell_of(world: "Crafting", rows: jax.Array, cols: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the number in reading order of cells ``i32[...]``, or of the nearest on the map, and which are on it."""
    inside = (rows >= 0) & (rows < world.height) & (cols >= 0) & (cols < world.width)
    return jnp.clip(rows, 0, world.height - 1) * world.width + jnp.clip(cols, 0, world.width - 1), inside
