"""In which order can the items of a graph of recipes be had, and can they all? Host only.

An item *needs* what it is crafted of, its tool, an item that places the block it is collected from or crafted near, where
maps do not have that block from the start. Its *tier* is the length of the longest chain of needs that ends in it.
"""

import functools

from minied.errors import UserError
from minied_envs.crafting.recipes import Item, Recipes


@functools.cache
def needs(recipes: Recipes) -> dict[str, tuple[str, ...]]:
    """Return what each item needs, by name. Raises `UserError` for a block that is nowhere and that nothing places."""
    return {item.name: _needs(recipes, item) for item in recipes.items}


@functools.cache
def tiers(recipes: Recipes) -> dict[str, int]:
    """Return the tier of each item by name, from 1 for what is collected by hand.

    Raises `UserError` if there is a cycle, told from need to need, or an item that cannot be had.
    """
    needed, found = needs(recipes), {}

    def visit(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            cycle = (*path[path.index(name) :], name)
            raise UserError(f"the recipes have a cycle: {' needs '.join(cycle)}; allowed: none, or nobody can begin")
        if name not in found:
            found[name] = 1 + max((visit(each, (*path, name)) for each in needed[name]), default=0)
        return found[name]

    for item in recipes.items:
        visit(item.name, ())
    return found


def easy_to_hard(recipes: Recipes) -> tuple[int, ...]:
    """Return the numbers of the items by tier, within a tier by how much there is to collect and craft for them."""
    tier, names = tiers(recipes), recipes.item_names
    return tuple(sorted(range(len(names)), key=lambda i: (tier[names[i]], sum(bill(recipes, names[i]).values()), i)))


def check(recipes: Recipes, capacity: int, reach: int) -> None:
    """Raise `UserError` unless every item can be had.

    By somebody who carries at most ``capacity`` of each, crafts near blocks within ``reach``, and begins with nothing on a
    map of which all blocks that deplete can be reached. Blocks that deplete and can be placed are taken to suffice.
    """
    tiers(recipes)
    for item in recipes.items:
        for name, number in item.craft:
            if number > capacity:
                raise UserError(
                    f"the item {item.name!r} of the recipes takes {number} of {name!r}; allowed with capacity = {capacity}:"
                    f" at most {capacity}"
                )
        if item.at and not reach:
            raise UserError(
                f"reach is 0, and the item {item.name!r} of the recipes is crafted at {item.at!r}; allowed: at least 1"
            )
    _check_supplies(recipes)


def bill(recipes: Recipes, name: str) -> dict[str, int]:
    """Return how many of each item have to be collected or crafted, by name, until one has ``name`` and nothing before.

    A tool is wanted once, and so is what is put down to be collected from or crafted near; but what is put down and
    depletes is wanted each time.
    """
    items, tier = {item.name: item for item in recipes.items}, tiers(recipes)
    depleting = {block.name for block in recipes.blocks if block.depletes}
    wanted, lasting, made = {name: 1}, set[str](), {}
    for each in sorted(items, key=lambda each: -tier[each]):  # what needs it comes before
        number = wanted.get(each, 0) + (each in lasting)
        if number:
            times = -(-number // items[each].makes)
            made[each] = times * items[each].makes
            for_good = set(_lasting_needs(recipes, items[each]))
            used_up = for_good - {items[each].tool} if items[each].collect in depleting else set[str]()
            for part, count in (*items[each].craft, *((placing, 1) for placing in used_up)):
                wanted[part] = wanted.get(part, 0) + times * count
            lasting |= for_good - used_up
    return made


def _needs(recipes: Recipes, item: Item) -> tuple[str, ...]:
    return tuple(dict.fromkeys([name for name, _ in item.craft] + _lasting_needs(recipes, item)))


def _lasting_needs(recipes: Recipes, item: Item) -> list[str]:
    """Return the items that are needed once: the tool, and what places a block that maps do not have."""
    blocks, found = {block.name: block for block in recipes.blocks}, [item.tool] if item.tool else []
    for field, name in (("collected from", item.collect), ("crafted at", item.at)):
        if not name or blocks[name].number > 0:
            continue
        placing = [each.name for each in recipes.items if each.places == name]
        if not placing:
            raise UserError(
                f"the item {item.name!r} of the recipes cannot be had: it is {field} {name!r}, of which a map has none and"
                " which no item places; allowed: a number above 0, or an item with `places`"
            )
        found += placing
    return found


def _check_supplies(recipes: Recipes) -> None:
    """Raise `UserError` if a map has too few of a block that depletes for an item to be had."""
    placed = {item.places for item in recipes.placed}
    limited = {b.name: b.number for b in recipes.blocks if b.depletes and b.name not in placed}
    sources = {item.name: item.collect for item in recipes.items if item.collect in limited}
    for item in recipes.items if sources else ():
        for name, number in bill(recipes, item.name).items():
            if name in sources and number > limited[sources[name]]:
                raise UserError(
                    f"the item {item.name!r} of the recipes takes {number} of {name!r}, of whose block {sources[name]!r},"
                    f" which depletes, a map has {limited[sources[name]]}; allowed: a number of at least {number}"
                )
