"""Which held-out levels is a student of the gridworld tested on?

Levels as training draws them, of keys of their own; and of each of MiniGrid's standard families that fits the world, alone
or all together. Each level has MiniGrid's time limit, and the world of a suite allows for it.
"""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import unknown_name
from minied.levels.space import Suite
from minied_envs.gridworld.families import standard
from minied_envs.gridworld.level import GridLevel, padded
from minied_envs.gridworld.world import GridWorld

NUM_LEVELS = 64  # of a family
NUM_OF_EACH = 16  # where all are together
TRAINING, FAMILIES = "training", "families"


def descriptions(world: GridWorld) -> dict[str, str]:
    """Return the names of the suites for a world, the default first, each with a sentence."""
    size, families = f"{world.height}x{world.width}", standard(world.height, world.width)
    drawn = "the description" if world.levels.description else repr(world.levels.family)
    told = {TRAINING: f"{NUM_LEVELS} levels as training draws them, {drawn}, {size}, horizon {world.max_steps}."}
    if families:
        told[FAMILIES] = f"{NUM_OF_EACH} levels of each family that fits {size}, each with MiniGrid's horizon."
    return told | {
        name: f"{NUM_LEVELS} levels of MiniGrid's {name} in {size}, horizon {family.max_steps}."
        for name, family in families.items()
    }


@functools.cache
def build(world: GridWorld, name: str) -> tuple[Suite, ...]:
    """Return the only part of a suite; the same at every call. Raises `UserError` for an unknown name."""
    told = descriptions(world)
    if name not in told:
        raise unknown_name("suite", name, list(told))
    families = standard(world.height, world.width)
    with jax.ensure_compile_time_eval():
        if name == TRAINING:
            levels = jax.jit(jax.vmap(world.level_space.sample))(_keys(TRAINING, NUM_LEVELS))
            return (Suite(name, world, levels, (TRAINING,) * NUM_LEVELS, told[name]),)
        chosen, number = (list(families), NUM_OF_EACH) if name == FAMILIES else ([name], NUM_LEVELS)
        batches = [_drawn(world, each, number) for each in chosen]
    levels = jax.tree.map(lambda *leaves: jnp.asarray(np.concatenate(leaves)), *batches)
    env = dataclasses.replace(world, max_steps=max(families[each].max_steps for each in chosen))
    return (Suite(name, env, levels, tuple(each for each in chosen for _ in range(number)), told[name]),)


def _drawn(world: GridWorld, name: str, number: int) -> GridLevel:
    """Return the first ``number`` held-out levels of a family, which do not depend on how many there are."""
    family = standard(world.height, world.width)[name]
    levels = jax.jit(jax.vmap(family.draw))(_keys(name, NUM_LEVELS))
    return jax.vmap(lambda level: padded(level, world.height, world.width))(jax.tree.map(lambda x: x[:number], levels))


def _keys(name: str, number: int) -> jax.Array:
    return jax.random.split(jax.random.key(zlib.crc32(name.encode())), number)
