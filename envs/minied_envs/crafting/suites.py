"""Which held-out levels is a student of crafting tested on?

Maps of a key of their own: each item as the only goal on some of them, or only the items that are the last of their
chains. They are played for one goal, whatever number of goals training tells: an episode begins with nothing in hand.
"""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp

from minied.errors import unknown_name
from minied.levels.space import Suite
from minied_envs.crafting import graph
from minied_envs.crafting.world import Crafting

MAPS_AN_ITEM = 8
ITEMS, DEEPEST, SEQUENCES = "items", "deepest", "sequences"
NUM_SEQUENCES = 64


def descriptions(world: Crafting) -> dict[str, str]:
    """Return the names of the suites for a world, the default first, each with a sentence."""
    size, deepest = f"{world.height}x{world.width}, horizon {world.max_steps}", len(_deepest(world))
    told = {
        ITEMS: f"Every item as the only goal on {MAPS_AN_ITEM} maps: {len(world.graph.items)} entries, {size}.",
        DEEPEST: f"The {deepest} items of the deepest tier, {MAPS_AN_ITEM} maps each, {size}.",
    }
    if world.num_goals > 1:
        told[SEQUENCES] = f"{NUM_SEQUENCES} maps with {world.num_goals} uniform goals one after the other, {size}."
    return told


@functools.cache
def build(world: Crafting, name: str) -> tuple[Suite, ...]:
    """Return the only part of a suite; the same at every call."""
    told = descriptions(world)
    if name not in told:
        raise unknown_name("suite", name, list(told))
    single = dataclasses.replace(world, num_goals=1, goal_steps=0)
    key = jax.random.fold_in(jax.random.key(zlib.crc32(b"crafting suites")), 0)
    with jax.ensure_compile_time_eval():
        if name == SEQUENCES:
            levels = jax.vmap(world.level_space.sample)(jax.random.split(key, NUM_SEQUENCES))
            return (Suite(name, world, levels, tuple(f"map {i}" for i in range(NUM_SEQUENCES)), told[name]),)
        items = _deepest(world) if name == DEEPEST else tuple(range(len(world.graph.items)))
        # A map depends on its number alone, so that all items are asked for on the same maps.
        keys = jnp.tile(jax.random.split(key, MAPS_AN_ITEM), len(items))
        goals = jnp.repeat(jnp.asarray(items, jnp.int32), MAPS_AN_ITEM)[:, None]
        levels = jax.vmap(single.level_space.of_goals)(keys, goals)
    names = tuple(world.graph.item_names[item] for item in items for _ in range(MAPS_AN_ITEM))
    return (Suite(name, single, levels, names, told[name]),)


def _deepest(world: Crafting) -> tuple[int, ...]:
    tiers = graph.tiers(world.graph)
    last = max(tiers.values())
    return tuple(i for i, name in enumerate(world.graph.item_names) if tiers[name] == last)
