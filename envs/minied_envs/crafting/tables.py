"""What a step looks up: the recipes as arrays, and the numbers of codes and actions. Host only, made once a graph.

Codes of cells: 0 is floor, ``1 + b`` the block b, and past them what is outside of the map. Actions: four moves, to
collect, then one for each item that is crafted and one for each that is placed. Letters: ``K`` items, ``C`` codes of
cells on the map, ``A`` actions, ``P`` parts of a recipe, the most that one has.
"""

import dataclasses
import functools

import numpy as np

from minied_envs.crafting.recipes import Recipes

FLOOR = 0
COLLECT = 4  # after the four moves: east, south, west, north
FIRST_CRAFT = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Arrays of one graph of recipes; ``K`` stands for no item."""

    collected: np.ndarray  # i32[C], the item that a block gives
    tool: np.ndarray  # i32[C], the item that collecting it takes
    depletes: np.ndarray  # bool[C]
    takes: np.ndarray  # i32[A, K], how many of each item an action takes
    parts: np.ndarray  # i32[A, P], the items that it takes
    numbers: np.ndarray  # i32[A, P], how many of each of them, 0 where there are fewer parts
    gives: np.ndarray  # i32[A, K], how many it gives
    station: np.ndarray  # i32[A], the code that has to be near, FLOOR for none
    placed: np.ndarray  # i32[A], the code that an action puts down, FLOOR for none
    crafts: np.ndarray  # i32[R], the actions that craft
    recipe_items: np.ndarray  # bool[K, K], what each item is crafted of, or the tool that collecting it takes
    recipe_code: np.ndarray  # i32[K], the block that it is collected from or crafted near, FLOOR for none


@functools.cache
def tables_of(recipes: Recipes) -> Tables:
    """Return the arrays of ``recipes``."""
    items = {name: number for number, name in enumerate(recipes.item_names)}
    codes = {name: number + 1 for number, name in enumerate(recipes.block_names)}
    num_items, num_codes, num_actions = len(items), 1 + len(codes), len(action_names(recipes))
    collected, tool = np.full((2, num_codes), num_items, np.int32)
    takes, gives = np.zeros((2, num_actions, num_items), np.int32)
    station, placed = np.zeros((2, num_actions), np.int32)
    for item in recipes.items:
        if item.collect:
            collected[codes[item.collect]] = items[item.name]
            tool[codes[item.collect]] = items.get(item.tool, num_items)
    for action, item in enumerate(recipes.crafted, FIRST_CRAFT):
        gives[action, items[item.name]] = item.makes
        station[action] = codes.get(item.at, FLOOR)
        for name, number in item.craft:
            takes[action, items[name]] = number
    first_place = FIRST_CRAFT + len(recipes.crafted)
    for action, item in enumerate(recipes.placed, first_place):
        takes[action, items[item.name]] = 1
        placed[action] = codes[item.places]
    recipe_items, recipe_code = np.zeros((num_items, num_items), bool), np.zeros(num_items, np.int32)
    for number, item in enumerate(recipes.items):
        named = {item.tool, *(name for name, _ in item.craft)} - {""}
        recipe_items[number, [items[name] for name in named]] = True
        recipe_code[number] = codes.get(item.collect or item.at, FLOOR)
    most = max(1, np.count_nonzero(takes, axis=1).max())
    parts = np.argsort(takes == 0, axis=1, kind="stable")[:, :most].astype(np.int32)
    return Tables(
        collected=collected,
        tool=tool,
        depletes=np.array([False, *(block.depletes for block in recipes.blocks)]),
        takes=takes,
        parts=parts,
        numbers=np.take_along_axis(takes, parts, axis=1),
        gives=gives,
        station=station,
        placed=placed,
        crafts=np.arange(FIRST_CRAFT, first_place, dtype=np.int32),
        recipe_items=recipe_items,
        recipe_code=recipe_code,
    )


def action_names(recipes: Recipes) -> tuple[str, ...]:
    """Return what each action does, ``A`` names."""
    crafts, places = (
        (f"craft {item.name}" for item in recipes.crafted),
        (f"place {item.name}" for item in recipes.placed),
    )
    return ("east", "south", "west", "north", "collect", *crafts, *places)
