"""Recipes and levels of crafting for tests, and both in the words of the oracle."""

import numpy as np
from crafting_oracle import Game, Options

from minied_envs.crafting import Crafting
from minied_envs.crafting.level import CraftingLevel

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

SMALLEST = """
blocks:
  tree: {number: 1, symbol: T, colour: [0, 0, 0]}
items:
  wood: {collect: tree}
"""


def game_of(world: Crafting, level: CraftingLevel, **options) -> Game:
    """The oracle's game of one level."""
    names = [None, *world.graph.block_names]
    same = ("max_steps", "num_goals", "goal_steps", "view_size", "reach", "capacity")
    chosen = {name: getattr(world, name) for name in same} | options
    blocks = [[names[code] for code in row] for row in np.asarray(level.blocks).tolist()]
    row, col = np.asarray(level.agent_position).tolist()
    goals = [world.graph.item_names[number] for number in np.asarray(level.goals)]
    return Game(Options(**chosen), world.graph, blocks, (row, col), goals)
