"""What does an agent of the world of crafting see?

A square around it, north up, nothing hidden; where the nearest block of each kind is; what it carries, what it could
craft, and its goal. Letters: ``H W`` grid, ``v`` view, ``K`` items, ``C`` codes of cells on the map, ``A`` actions.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from minied.spaces import Box, Coded, Dict, Discrete, Mask
from minied_envs.crafting import rules
from minied_envs.crafting.level import CraftingLevel
from minied_envs.crafting.tables import COLLECT, action_names, tables_of

if TYPE_CHECKING:
    from minied_envs.crafting.rules import CraftingState
    from minied_envs.crafting.world import Crafting


def space(world: "Crafting") -> Dict:
    """Return the space of `observe`.

    - ``view``: codes ``u8[v, v]`` of the cells around the agent, as one-hot features; the last one is what is outside.
    - ``direction``: where it looks.
    - ``inventory``: ``f32[2 K]``, of each item the share of `capacity`, then whether there is any.
    - ``goal``: ``f32[K]``, one-hot.
    - ``time``: ``f32[2]``, the shares of the episode's steps and of the goal's (`goal_steps`, else 0) that are over.
    - ``nearest``, with a compass: ``f32[3 (C − 1)]``, of the nearest block of each kind whether it is above (−1), beside (0)
      or below (1), whether it is to the left (−1), beside or to the right (1), and ``1 / d``, d its distance in
      moves, 1 next to the agent; zeros where there is none.
    - ``makeable``, if shown and if anything is crafted: ``f32[R]``, of each thing that is crafted, whether it could be now.
    - ``recipe``, if shown, of the goal: ``f32[K]``, the items that it is made of, or the tool to collect it; ``f32[C − 1]``,
      the kind of block that it is collected from or crafted near; and with a compass the three numbers of that kind.
    - ``mask``, if actions are masked.
    """
    num_items, num_codes = len(world.graph.items), 1 + len(world.graph.blocks)
    one_hot = tuple(tuple(row) for row in np.eye(num_codes + 1).tolist())
    parts = [
        ("view", Coded((world.view_size, world.view_size), one_hot)),
        ("direction", Discrete(4)),
        ("inventory", Box(0.0, 1.0, (2 * num_items,))),
        ("goal", Box(0.0, 1.0, (num_items,))),
        ("time", Box(0.0, 1.0, (2,))),
    ]
    if world.compass:
        parts.append(("nearest", Box(-1.0, 1.0, (3 * (num_codes - 1),))))
    if _shows_makeable(world):
        parts.append(("makeable", Box(0.0, 1.0, (len(world.graph.crafted),))))
    if world.show_recipe:
        parts.append(("recipe", Box(-1.0, 1.0, (num_items + num_codes - 1 + 3 * world.compass,))))
    if world.mask_actions:
        parts.append(("mask", Mask(len(action_names(world.graph)))))
    return Dict(tuple(parts))


def observe(world: "Crafting", state: "CraftingState", level: CraftingLevel) -> dict[str, jax.Array]:
    """Return the observation of a state, see `space`."""
    num_items = len(world.graph.items)
    goal = level.goals[jnp.minimum(state.place, world.num_goals - 1)].astype(jnp.int32)
    amounts = state.inventory.astype(jnp.float32) / world.capacity
    observation = {
        "view": rules.window(world, state, world.view_size // 2),
        "direction": state.direction,
        "inventory": jnp.concatenate([amounts, (state.inventory > 0).astype(jnp.float32)]),
        "goal": jax.nn.one_hot(goal, num_items),
        "time": _time(world, state),
    }
    where = nearest(world, state) if world.compass else jnp.zeros(0)
    if world.compass:
        observation["nearest"] = where
    if world.show_recipe:
        observation["recipe"] = _recipe(world, goal, where)
    ahead = rules.faced(world, state)
    if _shows_makeable(world):
        makeable = rules.can_make(world, state, ahead, tables_of(world.graph).crafts)
        observation["makeable"] = makeable.astype(jnp.float32)
    if world.mask_actions:
        actions = np.arange(len(action_names(world.graph)), dtype=np.int32)
        collects = (actions == COLLECT) & rules.can_collect(world, state, ahead)
        # A move at least turns the agent.
        observation["mask"] = (actions < COLLECT) | collects | rules.can_make(world, state, ahead, actions)
    return observation


def _recipe(world: "Crafting", goal: jax.Array, where: jax.Array) -> jax.Array:
    """Return what a book of recipes says of the goal, see `space`; ``where`` is what `nearest` gives, or empty."""
    tables, kinds = tables_of(world.graph), np.arange(1, 1 + len(world.graph.blocks), dtype=np.int32)
    is_kind = (jnp.asarray(tables.recipe_code)[goal] == kinds).astype(jnp.float32)
    # Of one kind at most, so that a sum picks its numbers.
    there = jnp.sum(where.reshape(kinds.size, -1) * is_kind[:, None], axis=0)
    return jnp.concatenate([jnp.asarray(tables.recipe_items)[goal].astype(jnp.float32), is_kind, there])


def _time(world: "Crafting", state: "CraftingState") -> jax.Array:
    """Return which share of the time is over, see `space`."""
    of_goal = state.goal_time.astype(jnp.float32) / world.goal_steps if world.goal_steps else jnp.float32(0)
    return jnp.stack([state.time.astype(jnp.float32) / world.max_steps, of_goal])


def _shows_makeable(world: "Crafting") -> bool:
    """Return whether there is a part ``makeable``: there may be nothing to craft."""
    return world.show_makeable and bool(world.graph.crafted)


def nearest(world: "Crafting", state: "CraftingState") -> jax.Array:
    """Return where the nearest block of each kind is, ``f32[3 (C − 1)]``, see `space`.

    Nearest in rows and columns together; of equally near ones the first in reading order.
    """
    height, width = world.height, world.width
    cells = jnp.arange(height * width, dtype=jnp.int32)
    distance = jnp.abs(cells // width - state.position[0]) + jnp.abs(cells % width - state.position[1])
    none = jnp.int32((height + width) * height * width)
    # Distance and place in one number: one minimum gives both. A scatter of the cells to their kinds is a third of the
    # cost of comparing each cell with each kind.
    lowest = (
        jnp.full(1 + len(world.graph.blocks), none)
        .at[state.blocks.reshape(-1)]
        .min(distance * (height * width) + cells)
    )
    lowest = lowest[1:]  # floor is no kind
    there, cell = lowest < none, lowest % (height * width)
    down = jnp.sign(cell // width - state.position[0]).astype(jnp.float32)
    right = jnp.sign(cell % width - state.position[1]).astype(jnp.float32)
    near = 1.0 / jnp.maximum(distance[cell], 1).astype(jnp.float32)
    return jnp.where(there[:, None], jnp.stack([down, right, near], axis=1), 0.0).reshape(-1)
