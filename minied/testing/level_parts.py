"""What teachers make of levels by edits, parameters, tasks and designs: is it a level again?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.levels.designer import Designer
from minied.levels.parameter_box import ParameterBox
from minied.levels.parameters import Choice, ParameterDesigner
from minied.levels.tasks import check_tasks
from minied.testing.comparing import changed_rows, difference, is_renumbered, require_same_form, row_of
from minied.testing.permitted import mask_of
from minied.testing.play import World
from minied.testing.report import Failure, Skip

NUM_EDITS = 32
"""Edits in a row, each of the level before."""


def part_of(world: World, name: str) -> Any:
    """Return an optional part of the level space, None if it does not have it, with these options of the world at least."""
    try:
        return getattr(world.space, name) if world.space.has(name) else None
    except UserError:
        return None


def require_part(world: World, name: str) -> Any:
    """Return an optional part of the level space. Raises `Skip` if there is none, with these options at least."""
    if not world.space.has(name):
        raise Skip(f"the level space has no {name}")
    try:
        return getattr(world.space, name)
    except UserError as error:
        raise Skip(f"not with these options: {error}") from error


def such_as(world: World, level: Any) -> str:
    """Return how a level is written, to stand behind a complaint, if it can be written."""
    try:
        text = world.space.to_text(level)
    except Exception:  # what is wrong with writing is told by another check
        return ""
    return f", such as {text[:200]!r}"


def mutations(world: World) -> str:
    """Edits give levels of the same form, valid ones, and change something."""
    space = world.space
    if not space.has("mutate"):
        raise Skip("the level space has no mutate")
    blamed = world.blame_levels("mutate")
    require_same_form(
        world.level(0),
        jax.eval_shape(space.mutate, world.key(50), world.level(0)),
        "an edited level is of another form",
        blamed,
    )
    mutate = jax.jit(jax.vmap(space.mutate))
    edited, changes = world.levels, 0
    for number in range(NUM_EDITS):
        keys = jax.random.split(world.key(51, number), world.num_levels)
        before, edited = edited, mutate(keys, edited)
        changes += int(changed_rows(before, edited).sum())
        if number % 4 == 0 or number == NUM_EDITS - 1:
            require_valid(world, edited, f"edit {number + 1}", blamed)
    if not changes:
        raise Failure("an edit never changes anything", blamed)
    share = f"{changes / NUM_EDITS / world.num_levels:.0%} of edits change the level"
    return f"{NUM_EDITS} edits in a row give {_valid(world)}; {share}"


def _valid(world: World) -> str:
    """Return how levels are called that `require_valid` lets pass: without `is_valid` that says little."""
    return "valid levels" if world.space.has("is_valid") else "levels (as far as can be told without is_valid)"


def require_valid(world: World, levels: Any, told: str, look_at: Any) -> None:
    """Raise `Failure` unless all levels ``[L, ...]`` are valid, as far as the level space or its own samples can tell."""
    space = world.space
    if space.has("is_valid"):
        valid = np.asarray(world.are_valid(levels))
        if not valid.all():
            raise Failure(
                f"a level is not valid after {told}{such_as(world, row_of(levels, int((~valid).argmax())))}", look_at
            )
    keys = jax.random.split(world.key(52), len(jax.tree.leaves(levels)[0]))
    observations = jax.device_get(world.resets(keys, levels)[0])
    for index in range(len(jax.tree.leaves(levels)[0])):
        one = row_of(observations, index)
        each = [one] if world.env.num_agents == 1 else [row_of(one, agent) for agent in range(world.env.num_agents)]
        if not all(world.env.observation_space.contains(value) for value in each):
            raise Failure(f"a level starts with an observation outside its space after {told}", look_at)
    if space.has("to_text") and space.has("from_text"):
        back = space.from_text(space.to_text(row_of(levels, 0)))
        seen = difference(row_of(levels, 0), back, exact=True)
        if seen and not is_renumbered(row_of(levels, 0), back):
            raise Failure(f"a level cannot be written and read after {told}: {seen}", look_at)


def parameters(world: World) -> str:
    """Levels of all parameters are valid, those at the ends too."""
    space, parameters = world.space, require_part(world, "parameters")
    blamed = type(parameters).level
    box = ParameterBox(parameters)
    corners = np.array([[low] * box.size for low in (0.0, 1.0)] + [[0.5] * box.size], np.float32)
    points = jnp.concatenate([jnp.asarray(corners), jax.random.uniform(world.key(53), (world.num_levels, box.size))])
    values = jax.jit(jax.vmap(box.nearest))(points)
    keys = jax.random.split(world.key(54), len(points))
    require_same_form(
        world.level(0),
        jax.eval_shape(parameters.level, keys[0], values[0]),
        "a level of parameters is of another form",
        blamed,
    )
    levels = jax.jit(jax.vmap(parameters.level))(keys, values)
    require_valid(world, levels, "being made of parameters", blamed)
    prints = np.asarray(jax.jit(jax.vmap(space.fingerprint))(levels))
    if len(np.unique(prints, axis=0)) == 1:
        raise Failure(f"levels of {len(points)} different parameters are one level", blamed)
    if idle := [name for index, name in enumerate(box.names) if _is_idle(world, box, points, index)]:
        raise Failure(f"{', '.join(idle)} changes no level, from its one end to the other", blamed)
    _design(world, ParameterDesigner(parameters), "designs of parameters", blamed)
    kinds = ", ".join(
        f"{part.name} ({'choice' if isinstance(part, Choice) else 'interval'})" for part in parameters.parts
    )
    return f"{_valid(world)} at the ends and between: {kinds}"


def _is_idle(world: World, box: ParameterBox, points: jax.Array, index: int) -> bool:
    """Return whether no level differs at the two ends of parameter ``index``, all others and the key as they are.

    ``points`` are ``f32[L, h]`` of the box. A parameter that has one value, with these options, is not idle.
    """
    keys = jax.random.split(world.key(59), len(points))
    ends = [jax.jit(jax.vmap(box.nearest))(points.at[:, index].set(end)) for end in (0.0, 1.0)]
    if not bool((ends[0] != ends[1]).any()):
        return False
    one, other = (
        jax.jit(jax.vmap(lambda key, values: world.space.fingerprint(box.parameters.level(key, values))))(keys, each)
        for each in ends
    )
    return bool((one == other).all())


def tasks(world: World) -> str:
    """There is a valid level of each task."""
    tasks = require_part(world, "tasks")
    try:
        check_tasks(tasks, "minied check")
    except UserError as error:
        raise Failure(str(error), type(tasks)) from error
    numbers = np.arange(len(tasks.names))
    each = jnp.asarray(np.stack([np.roll(numbers, -place) for place in range(tasks.per_level)], axis=-1), jnp.int32)
    keys = jax.random.split(world.key(55), len(numbers))
    levels = jax.jit(jax.vmap(tasks.level))(keys, each)
    require_same_form(world.level(0), row_of(levels, 0), "a level of a task is of another form", type(tasks).level)
    require_valid(world, levels, "being made of a task", type(tasks).level)
    return f"{len(numbers)} tasks, {_valid(world)} of each"


def designer(world: World) -> str:
    """Designs take ``max_steps`` steps, obey their mask, and give valid levels."""
    designer = require_part(world, "designer")
    if not isinstance(designer, Designer):
        raise Failure(f"it is {designer!r}; allowed: a minied.levels.designer.Designer", world.blame_levels("designer"))
    return _design(world, designer, "designs", type(designer).build)


def _design(world: World, designer: Designer, told: str, blamed: Any) -> str:
    """Raise `Failure` unless random designs take ``max_steps`` steps, obey their space and mask, and give valid levels."""
    start = world.level(0) if designer.needs_level else designer.empty()

    def allowed_in(observation: Any) -> jax.Array:
        mask = mask_of(designer, observation)
        return jnp.ones(designer.action_space.n, bool) if mask is None else mask

    def design(key: jax.Array) -> Any:
        reset_key, key = jax.random.split(key)
        observation, state = designer.reset(reset_key, start)

        def step(carry: Any, key: jax.Array) -> Any:
            observation, state = carry
            choice, build = jax.random.split(key)
            logits = jnp.where(allowed_in(observation), 0.0, -jnp.inf)
            action = jax.random.categorical(choice, logits).astype(jnp.int32)
            after, state, _, terminated, truncated, _ = designer.step(build, state, action, start)
            return (after, state), (observation, terminated, truncated, allowed_in(observation).any())

        (_, state), seen = jax.lax.scan(step, (observation, state), jax.random.split(key, designer.max_steps))
        return seen, designer.level_of(state)

    (observations, terminated, truncated, allowed), levels = jax.jit(jax.vmap(design))(
        jax.random.split(world.key(56), world.num_levels)
    )
    if bool(truncated.any()) or bool(terminated[:, :-1].any()) or not bool(terminated[:, -1].all()):
        raise Failure(f"{told} do not end after max_steps ({designer.max_steps}) steps by being terminated", blamed)
    if not bool(allowed.all()):
        raise Failure(f"{told}: a mask leaves no action", blamed)
    for index in np.ndindex(min(2, world.num_levels), min(64, designer.max_steps)):
        if not designer.observation_space.contains(jax.device_get(row_of(observations, index))):
            raise Failure(f"{told}: an observation of step {index[1]} is not in its space", blamed)
    require_same_form(world.level(0), row_of(levels, 0), f"{told} give levels of another form", blamed)
    require_valid(world, levels, told, blamed)
    return f"{world.num_levels} random designs of {designer.max_steps} steps give {_valid(world)}"
