"""What a world is made of: its options, its spaces, the shapes and types of what it returns."""

import dataclasses
import math
from typing import Any, get_args

import jax
import numpy as np

from minied.spaces import ActionSpace, Box, Dict, Mask, Space
from minied.testing.comparing import form_of, require_same_form
from minied.testing.play import World
from minied.testing.report import Failure

_ACTION_SPACES, _SPACES = get_args(ActionSpace), get_args(Space)


def identity(world: World) -> str:
    """A world is frozen, hashable and equal to its copies."""
    env = world.env
    try:
        hash(env)
    except TypeError as error:
        raise Failure(f"it is not hashable ({error})", type(env)) from error
    if not dataclasses.is_dataclass(env):
        raise Failure("it is no dataclass, so that it has no options", type(env))
    if not type(env).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise Failure("it is not frozen: a field changed later is not seen by what is compiled", type(env))
    copy = dataclasses.replace(env)
    if copy != env or hash(copy) != hash(env):
        raise Failure("a copy with equal options is not equal to it", type(env))
    arrays = [
        field.name for field in dataclasses.fields(env) if isinstance(getattr(env, field.name), (jax.Array, np.ndarray))
    ]
    if arrays:
        raise Failure(f"the option {arrays[0]} is an array; allowed: numbers, names, tuples", type(env))
    return "frozen, hashable, equal to its copies"


def spaces(world: World) -> str:
    """Spaces, agents and limits are of the kinds that minied knows."""
    env = world.env
    if not isinstance(env.num_agents, int) or env.num_agents < 1:
        raise Failure(f"num_agents is {env.num_agents!r}; allowed: at least 1", type(env))
    if len(env.teams) != env.num_agents:
        raise Failure(
            f"teams is {env.teams}; allowed: one number for each of {env.num_agents} agents", world.blame("teams")
        )
    if not isinstance(env.max_steps, int) or env.max_steps < 1:
        raise Failure(f"max_steps is {env.max_steps!r}; allowed: a whole number, at least 1", type(env))
    if not isinstance(env.action_space, _ACTION_SPACES):
        raise Failure(
            f"action_space is {env.action_space!r}; allowed: Discrete or MultiDiscrete", world.blame("action_space")
        )
    unknown = [space for space in _parts(env.observation_space) if not isinstance(space, _SPACES)]
    if unknown:
        raise Failure(
            f"observation_space has {unknown[0]!r}; allowed: the spaces of minied.spaces",
            world.blame("observation_space"),
        )
    masks = [space for space in _parts(env.observation_space) if isinstance(space, Mask)]
    for mask in masks:
        if mask.n != env.action_space.n:
            raise Failure(
                f"a Mask has {mask.n} actions, action_space {env.action_space.n}", world.blame("observation_space")
            )
    agents = f"{env.num_agents} agent{'s' if env.num_agents > 1 else ''}"
    return f"{agents}, {env.action_space.n} actions, {len(list(_parts(env.observation_space)))} parts of an observation"


def _parts(space: Any) -> Any:
    if isinstance(space, Dict):
        for _, part in space.parts:
            yield from _parts(part)
    else:
        yield space


def forms(world: World) -> str:
    """Shapes and types are those of the spaces, and the same after a step as after a reset."""
    env, key, level = world.env, world.key(10), world.level(0)
    observation, state = jax.eval_shape(env.reset, key, level)
    agents = () if env.num_agents == 1 else (env.num_agents,)
    _require_observation(
        world,
        observation,
        agents,
        "reset",
    )
    result = jax.eval_shape(env.step, key, state, world.action(0), level)
    if not isinstance(result, tuple) or len(result) != 6:
        kind = f"{len(result)} things" if isinstance(result, tuple) else type(result).__name__
        raise Failure(
            f"step returns {kind}; allowed: observation, state, reward, terminated, truncated, info",
            world.blame("step"),
        )
    after, state_after, reward, terminated, truncated, info = result
    require_same_form(
        state, state_after, "the state that step returns is another than that of reset", world.blame("step")
    )
    require_same_form(
        observation, after, "the observation that step returns is another than that of reset", world.blame("step")
    )
    for name, leaf, dtype, shape in (
        ("reward", reward, "float32", agents), ("terminated", terminated, "bool", ()), ("truncated", truncated, "bool", ()),
    ):  # fmt: skip
        if (str(leaf.dtype), tuple(leaf.shape)) != (dtype, shape):
            raise Failure(
                f"{name} is {leaf.dtype}{list(leaf.shape)}; allowed: {dtype}{list(shape)}", world.blame("step")
            )
    weak = [f"{path} of the {what}" for what, tree in (("state", state), ("observation", observation))
            for path, form in form_of(tree).items() if form.endswith("weak")]  # fmt: skip
    if weak:
        raise Failure(
            f"{weak[0]} has no type of its own (a Python number): write jnp.int32(…) or jnp.float32(…)",
            world.blame("reset"),
        )
    _require_info(world, info)
    return f"a state of {len(jax.tree.leaves(state))} arrays, {_bytes(state)} bytes"


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * getattr(leaf.dtype, "itemsize", 4) for leaf in jax.tree.leaves(tree))


def _require_observation(world: World, observation: Any, agents: tuple[int, ...], method: str) -> None:
    """Raise `Failure` unless shapes and types are those of a sample of the observation space."""
    sample = (
        jax.eval_shape(world.env.observation_space.sample, world.key(0))
        if _has_sample(world.env.observation_space)
        else None
    )
    if sample is None:
        return
    expected = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*agents, *leaf.shape), leaf.dtype), sample)
    if jax.tree.structure(expected) != jax.tree.structure(observation):
        found, allowed = (jax.tree.structure(each) for each in (observation, expected))
        raise Failure(
            f"the observation of {method} is built as {found}; its space as {allowed}"[:400], world.blame(method)
        )
    for (path, one), other in zip(
        jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(observation), strict=True
    ):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            place = jax.tree_util.keystr(path) or "it"
            told = f"{other.dtype}{list(other.shape)}; its space allows {one.dtype}{list(one.shape)}"
            raise Failure(f"the observation of {method}: {place} is {told}", world.blame(method))


def _has_sample(space: Any) -> bool:
    return all(not isinstance(part, Box) or np.isfinite([part.low, part.high]).all() for part in _parts(space))


def _require_info(world: World, info: Any) -> None:
    env, step = world.env, world.blame("step")
    if not isinstance(info, dict):
        raise Failure(f"info is a {type(info).__name__}; allowed: a dict", step)
    statistics = info.get("statistics", {})
    if not isinstance(statistics, dict) or any(leaf.shape != () for leaf in jax.tree.leaves(statistics)):
        raise Failure("info['statistics'] is no dict of numbers f32[]", step)
    expected = {"novelty": ("uint32", (2,)), "present": ("bool", (env.num_agents,)), "label": ("int32", ())}
    for name, (dtype, shape) in expected.items():
        leaf = info.get(name)
        if leaf is not None and (str(leaf.dtype), tuple(leaf.shape)) != (dtype, shape):
            raise Failure(f"info[{name!r}] is {leaf.dtype}{list(leaf.shape)}; allowed: {dtype}{list(shape)}", step)
