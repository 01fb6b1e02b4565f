"""How does another framework see a world of minied? As episodes on levels of a set, in spaces of Gymnasium, in NumPy.

What the adapters for Gymnasium and PettingZoo share. Letters: ``L`` levels, ``N`` agents.

An observation is what a policy of minied reads: of `minied.spaces.Entities` those that are seen, nothing that is
privileged (``info["privileged"]`` has it), and the features of codes instead of the codes, which mean nothing by themselves.
"""

import dataclasses
import numbers
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.base import Library, require
from minied.env import Environment
from minied.errors import UserError, unknown_name
from minied.levels.space import Suite
from minied.spaces import ActionSpace, Coded, Dict, Discrete, Entities, Mask, MultiDiscrete, Ring, Space

GYMNASIUM = Library("gymnasium", "gymnasium", at_least="1.3", below="2", run_with="1.3.0", extra="gymnasium")
LARGEST_SEED = 2**32 - 1  # beyond it `jax.random.key` gives the keys of small seeds again
NEW = -1  # the number of a level that was sampled
_KINDS = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "a word"),
}


# -- worlds ------------------------------------------------------------------------------------------------------------


def world_of(cls: type, options: Mapping[str, Any], name: str = "", path: str = "") -> Any:
    """Return a world, or a part of one, with these fields, some of them mappings of further fields.

    Raises `UserError` for a field that ``cls`` (in words ``name``) does not have, and for a value of another kind.
    """
    fields, hints = [field.name for field in dataclasses.fields(cls)], typing.get_type_hints(cls)
    values = {}
    for each, value in options.items():
        if each not in fields:
            raise unknown_name(f"option of {name or cls.__name__}", each, fields)
        values[each] = _option(hints[each], value, path + each)
    return cls(**values)


def _option(hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return world_of(hint, value, path=f"{path}.")
        kind, allowed = object, f"a mapping of options, or a {hint.__name__}"
        is_right = not isinstance(value, (str, numbers.Number, Sequence))
    else:
        kind, allowed = _KINDS.get(hint, (object, f"a {hint}"))
        is_right = not isinstance(value, Mapping) and (hint is bool or kind is object or not isinstance(value, bool))
    if not (is_right and isinstance(value, kind)):
        raise UserError(f"{path} is {value!r}; allowed: {allowed}")
    return value


# -- episodes ----------------------------------------------------------------------------------------------------------


class Slot(struct.PyTreeNode):
    """One environment between two steps."""

    key: jax.Array  # key[], of all that is random in it
    index: jax.Array  # i32[], of its level in the set, or `NEW`
    level: Any
    state: Any
    episode_return: jax.Array  # f32[], undiscounted; f32[N] with several agents


def start(
    env: Environment, key: jax.Array, index: jax.Array, levels: Any, returns: tuple[int, ...] = ()
) -> tuple[Slot, Any]:
    """Return a slot at the start of an episode on level ``index`` of ``levels``, and the observation. Consumes ``key``.

    ``levels`` is a batch ``[L, ...]``, or None to sample a level; ``returns`` is the shape of a reward. The key is split in
    three: one is kept, one samples, one resets.
    """
    key, level_key, reset_key = jax.random.split(key, 3)
    if levels is None:
        level, index = env.level_space.sample(level_key), jnp.full_like(index, NEW)
    else:
        level = jax.tree.map(lambda leaf: leaf[index], levels)
    observation, state = env.reset(reset_key, level)
    return Slot(key, index, level, state, jnp.zeros(returns)), observation


def take_step(env: Environment, slot: Slot, action: jax.Array) -> tuple[Slot, tuple[Any, ...]]:
    """Return the slot after a step, and what `Environment.step` gave but the state, then whether it is solved, ``bool[]``.

    Splits the slot's key in two: one is kept, the step consumes the other.
    """
    key, step_key = jax.random.split(slot.key)
    observation, state, reward, terminated, truncated, info = env.step(step_key, slot.state, action, slot.level)
    slot = slot.replace(key=key, state=state, episode_return=slot.episode_return + reward)
    return slot, (observation, reward, terminated, truncated, info, env.is_solved(slot.episode_return))


def levels_of(env: Environment, levels: Any) -> tuple[Environment, Any]:
    """Return the world to play and a copy of its levels ``[L, ...]``, or None to sample them.

    ``levels`` is None, the name of a suite, a `Suite`, or a batch. Raises `UserError` for a suite of several worlds (sizes,
    horizons), and for what is no batch of this world's levels.
    """
    if levels is None:
        return env, None
    if isinstance(levels, str):
        parts = env.level_space.suite(levels)
        if len(parts) != 1:
            raise UserError(
                f"levels is {levels!r}, a suite of {len(parts)} worlds; allowed: a suite of one, or each part of"
                f" env.level_space.suite({levels!r}) by itself"
            )
        levels = parts[0]
    if isinstance(levels, Suite):
        env, levels = levels.env, levels.levels
    form = jax.eval_shape(env.level_space.sample, jax.random.key(0))
    leaves, wanted = jax.tree.leaves(levels), jax.tree.leaves(form)
    shapes = [np.shape(leaf) for leaf in leaves]
    is_batch = jax.tree.structure(levels) == jax.tree.structure(form) and len({shape[:1] for shape in shapes}) == 1
    if not is_batch or not all(
        s[:1] not in ((), (0,)) and s[1:] == like.shape for s, like in zip(shapes, wanted, strict=True)
    ):
        raise UserError(
            f"levels is a {type(levels).__name__} of shapes {shapes}; allowed: a batch [L, ...] of levels of shapes"
            f" {[like.shape for like in wanted]}, the name of a suite, or None"
        )
    # A copy: on CPU the caller's own array would else be read, and what it holds may change.
    return env, jax.tree.map(lambda leaf, like: jnp.array(leaf, like.dtype), levels, form)


def levels_after(env: Environment, levels: Any, options: Mapping[str, Any] | None) -> Any:
    """Return the levels that the options of a reset ask for, else ``levels``. Raises `UserError` for another world's."""
    if options is not None and not isinstance(options, Mapping):
        raise UserError(f"options is {options!r}; allowed: a dict, such as {{'levels': ...}}, or None")
    if not options or "levels" not in options:
        return levels
    world, levels = levels_of(env, options["levels"])
    if world != env:
        raise UserError(f"levels are of {world}; allowed at a reset: levels of the world that is played, {env}")
    return levels


def wrapped(index: Any, levels: Any) -> jax.Array:
    """Return ``index``, ``i32[...]``, modulo the number of levels; 0 where they are sampled."""
    number = 1 if levels is None else jax.tree.leaves(levels)[0].shape[0]
    return jnp.asarray(np.asarray(index) % number, jnp.int32)


def defined(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a world told of one step as scalars, arrays and dicts, without the statistics that are not defined."""
    told = {}
    for name, value in info.items():
        if isinstance(value, dict):
            told[name] = defined(value)
        elif not (value.ndim == 0 and value.dtype.kind == "f" and np.isnan(value)):
            told[name] = bool(value) if value.ndim == 0 and value.dtype == bool else value[()]
    return told


def keys_of(seeds: Sequence[int]) -> jax.Array:
    """Return ``jax.random.key`` of each seed, ``key[B]``. Raises `UserError` as `require_seeds` does."""
    require_seeds(seeds)
    return jax.vmap(jax.random.key)(jnp.asarray(np.asarray(seeds, np.uint32)))


def require_seeds(seeds: Sequence[Any]) -> None:
    """Raise `UserError` for a seed that is no whole number, or whose key another has too."""
    for seed in seeds:
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed <= LARGEST_SEED:
            raise UserError(f"seed is {seed!r}; allowed: 0 to {LARGEST_SEED}")


def to_numpy(tree: Any) -> Any:
    """Return copies: NumPy would else look into JAX's own buffers, read-only, and keep them alive."""
    return jax.tree.map(np.array, jax.device_get(tree))


# -- spaces ------------------------------------------------------------------------------------------------------------


def to_space(space: Space | ActionSpace, codes: bool = False) -> Any:
    """Return a space of minied, of observations or of actions, as one of Gymnasium's.

    With ``codes`` a `Coded` stays codes, a ``MultiDiscrete`` of ``u8``; else it becomes a ``Box`` with one axis more.
    """
    spaces = require(GYMNASIUM).spaces
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    if isinstance(space, MultiDiscrete):
        return spaces.MultiDiscrete(space.numbers)
    if isinstance(space, Mask):
        return spaces.MultiBinary(space.n)
    if isinstance(space, Coded) and codes:
        return spaces.MultiDiscrete(np.full(space.shape, space.num_codes), dtype=np.uint8)
    if isinstance(space, Coded):
        table = np.asarray(space.features, np.float32)
        return spaces.Box(float(table.min()), float(table.max()), (*space.shape, table.shape[1]), np.float32)
    if isinstance(space, Entities):
        features = spaces.Box(-np.inf, np.inf, (space.number, space.num_features), np.float32)
        return spaces.Dict({"features": features, "visible": spaces.MultiBinary(space.number)})
    if isinstance(space, Dict):
        return spaces.Dict({name: to_space(part, codes) for name, part in _policy_parts(space)})
    low, high = (-np.inf, np.inf) if isinstance(space, Ring) else (space.low, space.high)
    return spaces.Box(low, high, space.shape, np.float32)


def to_value(space: Space, value: Any, codes: bool = False) -> Any:
    """Return observations in NumPy, ``[..., *space]``, as ones of `to_space`, batched likewise."""
    if isinstance(space, Discrete):
        return value.astype(np.int64)
    if isinstance(space, Mask):
        return value.astype(np.int8)
    if isinstance(space, Coded) and not codes:
        return np.asarray(space.features, np.float32)[value]
    if isinstance(space, Entities):
        seen = value["visible"]
        features = np.where(seen[..., None], value["features"], np.float32(0))  # what is not seen may be anything
        return {"features": features, "visible": seen.astype(np.int8)}
    if isinstance(space, Dict):
        return {name: to_value(part, value[name], codes) for name, part in _policy_parts(space)}
    return value


def privileged(space: Space, value: Any) -> dict[str, Any]:
    """Return ``{"privileged": ...}`` with the parts of an observation that policies do not read, or nothing if none are."""
    names = space.privileged if isinstance(space, Dict) else ()
    return {"privileged": {name: value[name] for name in names}} if names else {}


def _policy_parts(space: Dict) -> list[tuple[str, Space]]:
    return [part for part in space.parts if part[0] not in space.privileged]


def to_actions(space: ActionSpace, actions: Any, leading: tuple[int, ...], what: str = "action") -> np.ndarray:
    """Return actions of `to_space` as minied's, integers ``[*leading]``. Raises `UserError` for what JAX would take."""
    actions, numbers = np.asarray(actions), np.asarray(space.numbers if isinstance(space, MultiDiscrete) else space.n)
    shape = (*leading, *numbers.shape)
    if actions.shape != shape or actions.dtype.kind not in "iu" or np.any((actions < 0) | (actions >= numbers)):
        raise UserError(
            f"{what} is {actions.tolist()}; allowed: integers {list(shape)}, from 0 and below {numbers.tolist()}"
        )
    if isinstance(space, MultiDiscrete):
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(actions, -1, 0)), space.numbers))
    return actions


def metadata_of(env: Environment, render_mode: str | None) -> dict[str, Any]:
    """Return what an interface says of its rendering. Raises `UserError` for a mode that the world does not have."""
    modes = ["rgb_array"] if env.level_space.has("draw") else []
    if render_mode is not None and render_mode not in modes:
        raise unknown_name(f"render_mode of {type(env).__name__}", render_mode, ("None", *modes))
    return {"render_modes": modes, "render_fps": 8}
