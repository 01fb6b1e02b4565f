"""Which held-out levels is a student of hide and seek tested on?

Levels as training draws them, of a key of their own; the same ones without ramps, locks or preparation, which tells what
those are worth to whom; rooms that can be closed, whatever else training draws; and a ladder of hand-drawn arenas. All
are played in the world that is tested.
"""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import unknown_name
from minied.levels.space import Suite
from minied_envs.hide_and_seek import generators, maps, walls
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.level import HideAndSeekLevel, canonical
from minied_envs.hide_and_seek.world import HideAndSeek

NUM_LEVELS = 32
MOST_DOORS = 2  # of the room of a quadrant
RANDOM, FORT, LADDER = "random", "fort", "ladder"

Ablation = Callable[[HideAndSeekLevel], HideAndSeekLevel]
ABLATIONS: dict[str, Ablation] = {
    "ramps": lambda level: canonical(level.replace(ramp_present=jnp.zeros_like(level.ramp_present))),
    "locks": lambda level: level.replace(has_locks=jnp.zeros_like(level.has_locks)),
    "preparation": lambda level: level.replace(has_preparation=jnp.zeros_like(level.has_preparation)),
}


def descriptions(world: HideAndSeek) -> dict[str, str]:
    """Return the names of the suites for a world, the default first, each with a sentence."""
    kind = f"{world.levels.scenario!r}, {world.height}x{world.width}, horizon {world.max_steps}"
    told = {RANDOM: f"{NUM_LEVELS} levels as training draws them, by the sizes of the teams: {kind}."}
    told |= {f"no_{name}": f"The levels of {RANDOM!r} without {name}." for name in _ablations(world)}
    if world.levels.scenario == "quadrant" and world.preparation and _has_room_for_forts(world):
        told[FORT] = (
            f"{NUM_LEVELS} levels whose hiders start in the room, with a box of one cell for each of its doors."
        )
    names = maps.names_that_fit(Dimensions.of(world))
    if names:
        told[LADDER] = f"Arenas drawn by hand, from an open field to boxes to ride on, {_how_many(len(names))}."
    return told


def _has_room_for_forts(world: HideAndSeek) -> bool:
    """Return whether the room takes all hiders and a box for each door, and leaves a cell to move in."""
    cells = math.prod(walls.quadrant_sides(Dimensions.of(world)))
    num_boxes = min(world.max_boxes, MOST_DOORS)
    return num_boxes > 0 and cells > world.max_hiders + num_boxes


def _how_many(fit: int) -> str:
    if fit == len(maps.MAPS):
        return f"{fit} levels"
    rest = "larger, or have more agents, boxes or ramps than the world has room for"
    return f"the {fit} of {len(maps.MAPS)} that fit; the others are {rest}"


def _ablations(world: HideAndSeek) -> tuple[str, ...]:
    """Return what the levels of a world have that can be left out."""
    can_lock = world.max_boxes > 0 or (world.max_ramps > 0 and world.ramps_lockable)
    has = {"ramps": world.max_ramps > 0, "locks": can_lock, "preparation": world.preparation > 0}
    return tuple(name for name in ABLATIONS if has[name] and getattr(world.levels, name))


@functools.cache
def build(world: HideAndSeek, name: str) -> tuple[Suite, ...]:
    """Return the only part of a suite; the same at every call."""
    told = descriptions(world)
    if name not in told:
        raise unknown_name("suite", name, list(told))
    with jax.ensure_compile_time_eval():
        levels, names = _ladder(world) if name == LADDER else _drawn(world, closable=name == FORT)
        ablation = ABLATIONS.get(name.removeprefix("no_"))
        levels = levels if ablation is None else jax.vmap(ablation)(levels)
    return (Suite(name, world, levels, names, told[name]),)


def _drawn(world: HideAndSeek, closable: bool) -> tuple[HideAndSeekLevel, tuple[str, ...]]:
    """Return levels of the generator and their names, "2v1" for two hiders and a seeker.

    Args:
        world: that they are for.
        closable: whether hiders are to find themselves in a room with a box for each door.
    """
    options = world.levels
    if closable:
        one_door = 1.0 if world.max_boxes == 1 else options.door_dropout
        options = dataclasses.replace(
            options,
            hiders_in_room=True,
            min_boxes=max(options.min_boxes, min(world.max_boxes, MOST_DOORS)),
            min_long=0,
            max_long=0,
            door_dropout=one_door,
        )
    keys = jax.random.split(jax.random.key(zlib.crc32(RANDOM.encode())), NUM_LEVELS)
    draw = functools.partial(generators.draw, options=options, dimensions=Dimensions.of(world))
    levels = jax.jit(jax.vmap(draw))(keys)
    present = np.asarray(levels.agent_present)
    sizes = zip(present[:, : world.max_hiders].sum(axis=1), present[:, world.max_hiders :].sum(axis=1), strict=True)
    return levels, tuple(f"{hiders}v{seekers}" for hiders, seekers in sizes)


def _ladder(world: HideAndSeek) -> tuple[HideAndSeekLevel, tuple[str, ...]]:
    """Return the maps that fit the world, and their names."""
    dimensions = Dimensions.of(world)
    names = maps.names_that_fit(dimensions)
    levels = [world.level_space.from_text(maps.drawing(name, dimensions)) for name in names]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels), names
