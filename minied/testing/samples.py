"""What a generator gives: is it a level, is it another each time, is it valid?"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameter_box import ParameterBox
from minied.testing.comparing import difference, form_of, row_of
from minied.testing.keys import key_reuses
from minied.testing.level_parts import part_of, such_as
from minied.testing.play import World
from minied.testing.report import Failure, Note, Skip

NUM_SAMPLES = 256
"""Levels that are drawn to see how different they are."""


def level_form(world: World) -> str:
    """Levels are arrays of numbers that can be hashed and stored, the same however `sample` is called."""
    space = world.space
    hash(space)
    leaves = jax.tree.leaves(world.levels)
    if not leaves:
        raise Failure("a level has no array in it", world.blame_levels("sample"))
    for path, form in form_of(jax.eval_shape(space.sample, world.key(30))).items():
        dtype = form.partition("[")[0]
        if dtype not in ("bool", "float32", "int8", "int16", "int32", "uint8", "uint16", "uint32"):
            allowed = "bool, integers of at most 32 bits, float32"
            raise Failure(
                f"a level's {path} is {form}; allowed: {allowed} (keys as words)", world.blame_levels("sample")
            )
        if form.endswith("weak"):
            raise Failure(f"a level's {path} has no type of its own (a Python number)", world.blame_levels("sample"))
    key = world.key(31)
    for name, found in (("without jit", space.sample(key)), ("at the second call", jax.jit(space.sample)(key))):
        if told := difference(jax.jit(space.sample)(key), found):
            raise Failure(f"sample is another {name}: {told}", world.blame_levels("sample"))
    size = sum(leaf[0].nbytes for leaf in leaves)
    return f"{len(leaves)} arrays, {size} bytes; the same with and without jit"


def level_keys(world: World) -> str:
    """No key is used twice in what makes levels."""
    space, level = world.space, world.level(0)
    programs: dict[str, Callable[[jax.Array], Any]] = {"sample": space.sample}
    if space.has("mutate"):
        programs["mutate"] = lambda key: space.mutate(key, level)
    if parts := part_of(world, "parameters"):
        box = ParameterBox(parts)
        values = jax.jit(box.uniform)(world.key(32))
        programs["parameters"] = lambda key: parts.level(key, values)
    if tasks := part_of(world, "tasks"):
        programs["tasks"] = lambda key: tasks.level(
            key, jnp.arange(tasks.per_level, dtype=jnp.int32) % len(tasks.names)
        )
    for name, program in programs.items():
        found = key_reuses(program, world.key(33))
        if found:
            kind = (
                "a key made of constants is used" if found[0].constant else "a key is used again that was used before"
            )
            raise Failure(f"{name}: {kind}", found[0].where or world.blame_levels(name))
    return f"no key is used twice in {', '.join(programs)}"


def diversity(world: World) -> str:
    """The generator makes more than one level."""
    levels = jax.jit(jax.vmap(world.space.sample))(jax.random.split(world.key(34), NUM_SAMPLES))
    prints = np.asarray(jax.jit(jax.vmap(world.space.fingerprint))(levels))
    number = len(np.unique(prints, axis=0))
    if number == 1:
        raise Failure(f"{NUM_SAMPLES} samples are one and the same level", world.blame_levels("sample"))
    if number < NUM_SAMPLES // 8:
        raise Note(f"{NUM_SAMPLES} samples are {number} different levels")
    return f"{number} different levels among {NUM_SAMPLES} samples"


def valid_samples(world: World) -> str:
    """Every sample is valid, where the world can tell."""
    if not world.space.has("is_valid"):
        raise Skip("the level space has no is_valid")
    levels = jax.jit(jax.vmap(world.space.sample))(jax.random.split(world.key(35), NUM_SAMPLES))
    valid = np.asarray(jax.jit(jax.vmap(world.space.is_valid))(levels))
    if valid.shape != (NUM_SAMPLES,) or valid.dtype != bool:
        raise Failure(
            f"is_valid returns {valid.dtype}{list(valid.shape[1:])}; allowed: bool[]", world.blame_levels("is_valid")
        )
    if not valid.all():
        told = f"{(~valid).sum()} of {NUM_SAMPLES} samples are not valid"
        raise Failure(told + such_as(world, row_of(levels, int((~valid).argmax()))), world.blame_levels("sample"))
    return f"all of {NUM_SAMPLES} samples"
