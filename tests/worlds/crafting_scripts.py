"""A player of crafting that obtains any item: it counts what is wanted along the recipes, and walks to the nearest of it.

It plans on the oracle's game, whose steps it takes. Cells are (row, col); a pose is a cell and a direction.
"""

import collections
from collections.abc import Callable

from crafting_oracle import COLLECT, STEPS, Cell, Game

from minied_envs.crafting import graph

Pose = tuple[Cell, int]


class StuckError(AssertionError):
    """There is no way on."""


def obtain(game: Game) -> list[int]:
    """Play ``game`` until its goal is obtained, or it ends, and return the actions."""
    actions: list[int] = []
    wanted = game.goal
    while not game.results:
        for action in next_actions(game, wanted):
            actions.append(action)
            outcome = game.step(action)
            if outcome.terminated or outcome.truncated:
                return actions
    return actions


def next_actions(game: Game, goal: str) -> list[int]:
    """Return the actions to the nearest thing to collect, else to one that can be crafted, else to what is put down."""
    lacking, idle = shortages(game, goal)
    ways = ((way_to_collect, lacking), (way_to_craft, lacking), (way_to_place, idle))
    plans = next(filter(None, ([p for name in names if (p := way(game, game.items[name]))] for way, names in ways)), [])
    if not plans:
        raise StuckError(f"{goal}: lacks {lacking}, carries { {n: c for n, c in game.inventory.items() if c} }")
    return min(plans, key=len)


def shortages(game: Game, goal: str) -> tuple[dict[str, int], list[str]]:
    """Return how many of each item are still to be collected or crafted, and the items that are to be put down."""
    tiers = graph.tiers(game.recipes)
    there = {name for row in game.blocks for name in row}
    placers = {item.places: item.name for item in game.recipes.items if item.places}
    parts, lasting = collections.Counter({goal: 1 + game.inventory[goal]}), set()
    lacking: dict[str, int] = {}
    idle: list[str] = []
    for name in sorted(game.items, key=lambda name: -tiers[name]):
        item = game.items[name]
        number = parts[name] + (name in lasting) - game.inventory[name]
        if item.places and item.places not in there and (name in lasting or parts[name]):
            idle.append(name)
        if number <= 0:
            continue
        lacking[name] = number
        times = -(-number // item.makes)
        for part, count in item.craft:
            parts[part] += times * count
        block = item.collect or item.at
        if block and block not in there:
            if block in game.depleting:
                parts[placers[block]] += times
            lasting.add(placers[block])
        if item.tool:
            lasting.add(item.tool)
    return lacking, idle


def way_to_collect(game: Game, item) -> list[int]:
    """Return the actions until one more is collected; none if that cannot be, or there is no room for it."""
    has_room = game.inventory[item.name] < game.options.capacity
    if not item.collect or (item.tool and not game.inventory[item.tool]) or not has_room:
        return []
    way = walk(game, lambda pose: game.at(ahead(pose)) == item.collect)
    return [] if way is None else [*way, COLLECT]


def way_to_craft(game: Game, item) -> list[int]:
    if not item.craft or not game.has_parts(item) or game.inventory[item.name] >= game.options.capacity:
        return []
    reach = game.options.reach
    span = range(-reach, reach + 1)

    def is_near(pose: Pose) -> bool:
        (row, col), _ = pose
        return not item.at or any(game.at((row + down, col + right)) == item.at for down in span for right in span)

    way = walk(game, is_near)
    return [] if way is None else [*way, action_of(game, "craft", item)]


def way_to_place(game: Game, item) -> list[int]:
    """Return the actions until it is put down where it is in nobody's way."""
    if not item.places or not game.inventory[item.name]:
        return []
    blocks = {name for row in game.blocks for name in row if name}

    def is_free(pose: Pose) -> bool:
        cell = ahead(pose)
        return game.at(cell) is None and beside(game, pose[0], cell) >= blocks

    blocks &= beside(game, game.agent, None)
    way = walk(game, is_free)
    return [] if way is None else [*way, action_of(game, "place", item)]


def action_of(game: Game, way: str, item) -> int:
    return COLLECT + 1 + game.makings.index((way, item))


def ahead(pose: Pose) -> Cell:
    (row, col), direction = pose
    return row + STEPS[direction][0], col + STEPS[direction][1]


def walk(game: Game, is_there: Callable[[Pose], bool]) -> list[int] | None:
    """Return the fewest moves to a pose, or None."""
    start: Pose = (game.agent, game.direction)
    ways, queue = {start: []}, collections.deque([start])
    while queue:
        pose = queue.popleft()
        if is_there(pose):
            return ways[pose]
        for direction in range(4):
            turned = (pose[0], direction)
            after = (ahead(turned), direction) if game.at(ahead(turned)) is None else turned
            if after not in ways:
                ways[after] = [*ways[pose], direction]
                queue.append(after)
    return None


def beside(game: Game, start: Cell, closed: Cell | None) -> set[str]:
    """Return the kinds of block beside the cells that can be reached, one cell being closed."""
    reached, queue, found = {start}, [start], set()
    while queue:
        cell = queue.pop()
        for direction in range(4):
            near = ahead((cell, direction))
            name = game.at(near)
            if name is not None:
                found.add(name)
            elif near != closed and near not in reached:
                reached.add(near)
                queue.append(near)
    return found
