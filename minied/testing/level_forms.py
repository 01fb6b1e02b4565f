"""How a level is told apart, written, described, drawn and kept in suites."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.testing.comparing import difference, is_renumbered, require_same_form
from minied.testing.play import World
from minied.testing.report import Failure, Note, Skip


def fingerprint(world: World) -> str:
    """Fingerprints are equal for equal levels, and differ where levels are written differently."""
    space = world.space
    prints = jax.jit(jax.vmap(space.fingerprint))(world.levels)
    if prints.shape != (world.num_levels, 2) or prints.dtype != jnp.uint32:
        raise Failure(
            f"it is {prints.dtype}{list(prints.shape[1:])}; allowed: uint32[2]", world.blame_levels("fingerprint")
        )
    copies = jax.tree.map(lambda leaf: jnp.asarray(np.array(leaf)), world.levels)
    if difference(prints, jax.jit(jax.vmap(space.fingerprint))(copies)):
        raise Failure("a copy of a level has another fingerprint", world.blame_levels("fingerprint"))
    if difference(prints[0], space.fingerprint(world.level(0))):
        raise Failure("a level has another fingerprint without jit", world.blame_levels("fingerprint"))
    if space.has("to_text"):
        texts = [space.to_text(world.level(index)) for index in range(world.num_levels)]
        for one, other in itertools.combinations(range(world.num_levels), 2):
            alike = bool((prints[one] == prints[other]).all())
            if alike and texts[one] != texts[other]:
                raise Failure(
                    "levels that are written differently have one fingerprint", world.blame_levels("fingerprint")
                )
    return "equal for copies"


def text(world: World) -> str:
    """A level that is written and read is the same, and what is no level is refused."""
    space = world.space
    if not (space.has("to_text") and space.has("from_text")):
        raise Skip("the level space has not both of to_text and from_text")
    reads, renumbered = world.blame_levels("from_text"), False
    for index in range(min(8, world.num_levels)):
        level = world.level(index)
        written = space.to_text(level)
        if not isinstance(written, str):
            raise Failure(f"to_text returns a {type(written).__name__}", world.blame_levels("to_text"))
        back = space.from_text(written)
        require_same_form(level, back, "a level that is read is of another form than a sample", reads)
        told = difference(level, back, exact=True)
        if told and space.to_text(back) == written and is_renumbered(level, back):
            renumbered = True
        elif told:
            told = f"a level that is written and read is another: {told}, of {written[:200]!r}"
            raise Failure(f"{told}; to_text leaves it out, or from_text", reads)
        elif difference(space.fingerprint(level), space.fingerprint(back)):
            raise Failure("a level that is written and read has another fingerprint", world.blame_levels("fingerprint"))
    _refuse_no_levels(world)
    _refuse_invalid_levels(world)
    if renumbered:
        raise Note("things change their numbers when a level is written and read")
    return "written and read back, and what is no level is refused"


def _refuse_no_levels(world: World) -> None:
    """Raise `Failure` or `Note` unless what is no level is refused by a `UserError`."""
    for wrong in ("", "?", f"{world.space.to_text(world.level(0))}?"):
        try:
            world.space.from_text(wrong)
        except UserError:
            continue
        except Exception as error:
            told = f"from_text answers {wrong[:40]!r} with {type(error).__name__}; allowed: a UserError"
            raise Failure(told, world.blame_levels("from_text")) from error
        raise Note(f"from_text accepts {wrong[:60]!r}")


def _refuse_invalid_levels(world: World) -> None:
    """Raise `Failure` or `Note` unless the text of an invalid level, where one can be made and written, is refused."""
    space = world.space
    if not space.has("is_valid"):
        return
    for wrong in _spoilt(world.level(0)):
        try:
            if bool(space.is_valid(wrong)):
                continue
            written = space.to_text(wrong)
        except Exception:  # it need not be able to say what is no level
            continue
        try:
            back = space.from_text(written)
        except UserError:
            continue
        except Exception as error:
            told = f"from_text answers the text of an invalid level, {written[:100]!r}, with {type(error).__name__}"
            raise Failure(f"{told}; allowed: a UserError", world.blame_levels("from_text")) from error
        if not bool(space.is_valid(back)):  # else the text was that of another level, which is valid
            raise Note(f"from_text reads a level that is not valid: {written[:100]!r}")


def _spoilt(level: Any) -> Iterator[Any]:
    """Yield levels of the same form that may be none: a part out of range, all on or off, or at the place of another."""
    leaves, structure = jax.tree.flatten(level)
    for index, leaf in enumerate(leaves):
        extremes = (False, True) if leaf.dtype == bool else (0, 1, 127) if leaf.dtype.kind == "u" else (-1, 0, 127)
        others = [each for each in leaves[:index] if (each.shape, each.dtype) == (leaf.shape, leaf.dtype)]
        for wrong in (*(jnp.full_like(leaf, value) for value in extremes), *others[:2]):
            yield jax.tree.unflatten(structure, [*leaves[:index], wrong, *leaves[index + 1 :]])


def description(world: World) -> str:
    """Features are single numbers, the same ones for every level."""
    space = world.space
    if not space.has("describe"):
        raise Skip("the level space has no describe")
    described = jax.jit(jax.vmap(space.describe))(world.levels)
    wrong = [name for name, leaf in described.items() if leaf.shape != (world.num_levels,) or leaf.dtype != jnp.float32]
    if wrong:
        leaf = described[wrong[0]]
        raise Failure(
            f"{wrong[0]} is {leaf.dtype}{list(leaf.shape[1:])}; allowed: float32[]", world.blame_levels("describe")
        )
    infinite = [name for name, leaf in described.items() if bool(jnp.isinf(leaf).any())]
    if infinite:
        raise Failure(
            f"{infinite[0]} is infinite; allowed: a number, or NaN where it does not apply",
            world.blame_levels("describe"),
        )
    return ", ".join(described)


def drawing(world: World) -> str:
    """Pictures of a level and of a state are of one size."""
    space, level = world.space, world.level(0)
    if not isinstance(space.title(level), str):
        raise Failure(f"title returns a {type(space.title(level)).__name__}", world.blame_levels("title"))
    if not space.has("draw"):
        raise Skip("the level space has no draw")
    shapes = []
    for name, picture in (("a level", space.draw(level)), *(("a state", space.draw(*each)) for each in _states(world))):
        if (
            not isinstance(picture, np.ndarray)
            or picture.dtype != np.uint8
            or picture.ndim != 3
            or picture.shape[2] != 3
        ):
            kind = f"{picture.dtype}{list(picture.shape)}" if hasattr(picture, "dtype") else type(picture).__name__
            allowed = "uint8[height, width, 3] of NumPy"
            raise Failure(f"the picture of {name} is {kind}; allowed: {allowed}", world.blame_levels("draw"))
        shapes.append(picture.shape)
    if len(set(shapes)) > 1:
        raise Failure(
            f"pictures of a level and of a state are of different sizes, {shapes[0]} and {shapes[1]}",
            world.blame_levels("draw"),
        )
    return f"{shapes[0][1]} by {shapes[0][0]} pixels"


def _states(world: World) -> Iterator[tuple[Any, Any]]:
    """Yield levels with the state to which one action, taken again and again, leads: to the edge of a map, for one."""
    num_actions = world.env.action_space.n
    for number in range(16):
        level, action = world.level(number), world.action(number + number // num_actions)
        _, state = world.reset(world.key(57), level)
        for step in range(24):
            _, after, _, terminated, truncated, _ = world.step(world.key(58, step), state, action, level)
            if terminated | truncated:
                break
            state = after
        yield level, jax.device_get(state)


def suites(world: World) -> str:
    """Suites are the same at every call, a name a level, all valid."""
    space = world.space
    if not space.suites:
        raise Note("there is no suite: a run cannot be evaluated on held-out levels")
    for name in space.suites:
        parts, again = space.suite(name), space.suite(name)
        for part, other in zip(parts, again, strict=True):
            number = len(jax.tree.leaves(part.levels)[0])
            if number != len(part.names) or not number:
                raise Failure(
                    f"the suite {name} has {number} levels and {len(part.names)} names", world.blame_levels("suite")
                )
            if difference(part.levels, other.levels, exact=True):
                raise Failure(f"the suite {name} has other levels at the second call", world.blame_levels("suite"))
            own = part.env.level_space
            if own.has("is_valid") and not bool(jax.jit(jax.vmap(own.is_valid))(part.levels).all()):
                raise Failure(f"the suite {name} has a level that is not valid", world.blame_levels("suite"))
    return ", ".join(space.suites)
