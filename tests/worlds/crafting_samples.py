"""Recipes and levels of crafting for tests, and both in the words of the oracle."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from crafting_oracle import Game, Options

from minied_envs.crafting import Crafting
from minied_envs.crafting.level import CraftingLevel
from minied_envs.crafting.rules import CraftingState
from minied_envs.crafting.tables import action_names

# What minied's own recipes do not have: blocks that deplete, also one that is put down, a tool that is used up as a part,
# and an item that comes out twice.
SMALL = """
blocks:
  oak: {number: 5, symbol: o, colour: [10, 90, 10], depletes: true}
  ore: {number: 1, symbol: e, colour: [90, 90, 10]}
  crop: {number: 0, symbol: y, colour: [200, 200, 10], depletes: true}
  oven: {number: 0, symbol: n, colour: [200, 20, 10]}
items:
  log: {collect: oak}
  oven: {craft: {log: 2}, places: oven}
  seed: {craft: {log: 1}, makes: 3, places: crop}
  meal: {collect: crop}
  iron: {collect: ore, tool: meal}
  steel: {craft: {iron: 2, meal: 1}, at: oven, makes: 2}
"""

WORKSHOP = """
blocks:
  tree: {number: 1, symbol: T, colour: [0, 90, 0]}
  bush: {number: 1, symbol: u, colour: [0, 200, 0], depletes: true}
  bench: {number: 0, symbol: b, colour: [90, 90, 0]}
items:
  wood: {collect: tree}
  berry: {collect: bush, tool: plank}
  plank: {craft: {wood: 1}, makes: 2}
  bench: {craft: {plank: 2}, places: bench}
  chair: {craft: {plank: 1}, at: bench}
"""

SMALLEST = """
blocks:
  tree: {number: 1, symbol: T, colour: [0, 0, 0]}
items:
  wood: {collect: tree}
"""


class Step(NamedTuple):
    """What a step told."""

    reward: float
    terminated: bool
    truncated: bool
    achieved: list[str]
    statistics: dict[str, float]
    observation: dict[str, Any]


def game_of(world: Crafting, level: CraftingLevel, **options) -> Game:
    """The oracle's game of one level."""
    names = [None, *world.graph.block_names]
    same = ("max_steps", "num_goals", "goal_steps", "view_size", "reach", "capacity")
    chosen = {name: getattr(world, name) for name in same} | options
    blocks = [[names[code] for code in row] for row in np.asarray(level.blocks).tolist()]
    row, col = np.asarray(level.agent_position).tolist()
    goals = [world.graph.item_names[number] for number in np.asarray(level.goals)]
    return Game(Options(**chosen), world.graph, blocks, (row, col), goals)


def play(world: Crafting, level: CraftingLevel, words: str) -> tuple[list[CraftingState], list[Step]]:
    """Take the steps that ``words`` name, parted by commas; return the states, the first one too, and what was told."""
    names = action_names(world.graph)
    reset, step = compiled(world)
    states, told = [reset(jax.random.key(0), level)[1]], []
    for word in words.split(","):
        action = jnp.int32(names.index(word.strip()))
        observation, state, reward, terminated, truncated, info = step(jax.random.key(1), states[-1], action, level)
        states.append(state)
        achieved = [world.graph.item_names[i] for i in np.flatnonzero(info["achievements"])]
        statistics = {name: float(value) for name, value in info["statistics"].items()}
        told.append(Step(float(reward), bool(terminated), bool(truncated), achieved, statistics, observation))
    return states, told


@functools.cache
def compiled(world: Crafting):
    return jax.jit(world.reset), jax.jit(world.step)


def carried(world: Crafting, state: CraftingState) -> dict[str, int]:
    return {name: int(n) for name, n in zip(world.graph.item_names, state.inventory, strict=True) if n}
