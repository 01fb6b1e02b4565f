"""Environments of Jumanji as objects of the library: how they are made, what their arrays are, how they are read.

The tree of arrays that an environment observes becomes a flat `Dict` in the library's order; ``agents.position`` is called
``agents_position``. Letters: ``H W`` rows and columns, ``n`` joint actions.
"""

import dataclasses
import functools
import inspect
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters import jumanji_maze
from minied.adapters.base import NO_BOUND, Library, lenient, require
from minied.adapters.trees import is_key, require_finite_leaves, with_types
from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Mask, MultiDiscrete, Space

LIBRARY = Library("jumanji", "jumanji", at_least="1.1.2", below="2", run_with="1.1.2", extra="jumanji")
MAZE = "Maze-v0"
GENERATED = {"Cleaner-v0": ("num_agents",), MAZE: ()}
"""Environments whose size is that of a generator, and what else that is told."""
_NO_LIMIT = 2**30  # steps
MOST_CODES = 32
"""Different numbers up to which an array of integers is read as one-hot codes."""
MOST_ONE_HOT = 2048
"""Numbers that a vector may have when its codes are looked up."""
LARGEST_CHOICE = 64
"""Values up to which one integer is a choice, to be embedded."""
_CLOCKS = ("step_count", "step")  # what environments call the number of steps taken
_BOUNDS = {
    ("Game2048-v1", "board"): (0.0, 17.0),  # exponents: no board of 16 cells comes to more than 2 ** 17
    ("TSP-v1", "position"): (-1.0, 19.0),  # −1 at the start, which the library does not describe
}


class JumanjiLevel(struct.PyTreeNode):
    """A start: the leaves of the library's state but its keys, and those of the first observation that are no leaf of it."""

    state: tuple[jax.Array, ...]
    observation: tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """One array of an observation, and how it is read."""

    path: str
    """Where it is in the library's observation, such as ``agents.position``."""
    how: Literal["mask", "clock", "codes", "choice", "scaled", "plain"]
    space: Space
    low: float = 0.0
    scale: float = 1.0
    """What numbers are divided by once ``low`` is subtracted; of a clock, the steps of an episode."""
    numbers: tuple[int, ...] = ()
    """Of a mask: the choices of each factor of an action."""
    ends: tuple[float, float] = (0.0, 1.0)
    """The least and the largest number of a start, as the library has it."""

    @property
    def name(self) -> str:
        """The key in the observation."""
        return self.path.replace(".", "_")

    def read(self, value: jax.Array) -> jax.Array:
        """Return the value in `space`."""
        if isinstance(self.space, Mask):
            return joint_mask(value, self.numbers)
        if isinstance(self.space, (Coded, Discrete)):
            value = value.astype(jnp.int32) - int(self.low)
            return value.astype(jnp.uint8).reshape(self.space.shape) if isinstance(self.space, Coded) else value
        assert isinstance(self.space, Box)
        value = value.astype(jnp.float32).reshape(self.space.shape)
        return value if self.how == "plain" else (value - self.low) / self.scale


@dataclasses.dataclass(frozen=True, eq=False)
class Adapted:
    """An environment of the library, and what is known of its arrays."""

    env: Any
    is_unlimited: bool
    """Whether the library's time limit, if it has one, was taken off."""
    actions: Discrete | MultiDiscrete
    state_form: Any
    """Shapes and types of a state."""
    observation_form: Any
    copies: tuple[int | None, ...]
    """For each leaf of the first observation the leaf of the state that it is, if any."""
    parts: tuple[Part, ...]
    is_maze: bool

    @property
    def observation_space(self) -> Dict:
        """The parts; of a maze its ``grid`` in place of walls and positions."""
        seen = tuple((part.name, part.space) for part in self._read)
        grid = ("grid", jumanji_maze.maze_space(self.env.num_rows, self.env.num_cols)) if self.is_maze else None
        return Dict((grid, *seen) if grid else seen)

    def read(self, observation: Any) -> dict[str, jax.Array]:
        """Return an observation of the library as minied's."""
        leaves = zip(self.parts, jax.tree.leaves(observation), strict=True)
        values = {part.name: part.read(leaf) for part, leaf in leaves if part in self._read}
        return {"grid": jumanji_maze.maze_of(observation).codes} | values if self.is_maze else values

    @property
    def _read(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.how in ("clock", "mask") or not self.is_maze)

    def action(self, action: jax.Array) -> jax.Array:
        """Return an action ``i32[]`` as the library's."""
        if isinstance(self.actions, Discrete):
            return action
        return jnp.stack(self.actions.split(action)).astype(self.env.action_spec.dtype)

    @property
    def is_key(self) -> tuple[bool, ...]:
        """Which leaves of a state are keys."""
        return tuple(map(is_key, jax.tree.leaves(self.state_form)))

    def level_of(self, state: Any, observation: Any) -> JumanjiLevel:
        """Return the level that starts like this."""
        leaves = jax.tree.leaves(with_types(state, self.state_form))
        seen = jax.tree.leaves(with_types(observation, self.observation_form))
        return JumanjiLevel(
            tuple(leaf for leaf, is_key in zip(leaves, self.is_key, strict=True) if not is_key),
            tuple(leaf for leaf, copied in zip(seen, self.copies, strict=True) if copied is None),
        )

    def start_of(self, key: jax.Array, level: JumanjiLevel) -> tuple[Any, Any]:
        """Return state and observation of a level, with ``key`` in the state. Consumes ``key``."""
        number = sum(self.is_key)
        keys = iter([key] if number == 1 else jax.random.split(key, number))
        rest, own = iter(level.state), iter(level.observation)
        leaves = [next(keys) if is_key else next(rest) for is_key in self.is_key]
        seen = [next(own) if copied is None else leaves[copied] for copied in self.copies]
        state = jax.tree.unflatten(jax.tree.structure(self.state_form), leaves)
        return state, jax.tree.unflatten(jax.tree.structure(self.observation_form), seen)

    def require_start(self, level: JumanjiLevel) -> None:
        """Raise `UserError` for a level with numbers that the library says nobody ever observes, as far as it does.

        What is in a state and is not observed can be told by its form alone, and by its clock. Host only.
        """
        require_finite_leaves(level)
        state, observation = self.start_of(jax.random.key(0), level)
        found = [
            (part.path, part.ends, leaf) for part, leaf in zip(self.parts, jax.tree.leaves(observation), strict=True)
        ]
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            found += [(name, (0.0, 1.0), leaf)] if name in _CLOCKS else []  # of MultiCVRP-v0 it is 1
        for name, (low, high), leaf in found:
            values = np.asarray(leaf)
            if values.size and not (low <= values.min() and values.max() <= high):
                has = f"{values.min():g} to {values.max():g}"
                raise UserError(f"{name} of a level has numbers from {has}; allowed at a start: {low:g} to {high:g}")


@functools.cache
def adapted(id: str, height: int, width: int, max_steps: int) -> Adapted:
    """Return an environment of the library, its time limit taken off. Raises `UserError` if minied cannot play it."""
    with jax.ensure_compile_time_eval(), lenient():
        env = _made(id, height, width)
        is_unlimited = not hasattr(env, "time_limit")
        if "time_limit" in inspect.signature(type(env).__init__).parameters:
            env, is_unlimited = _made(id, height, width, time_limit=_NO_LIMIT), True
        state, timestep = jax.eval_shape(env.reset, jax.random.key(0))
        actions = _actions(id, env.action_spec, getattr(timestep.observation, "action_mask", None))
        parts = _parts(id, env.observation_spec, timestep.observation, actions, max_steps)
        copies = _copies(env)
    forms = _strong(state), _strong(timestep.observation)
    return Adapted(env, is_unlimited, actions, *forms, copies, parts, id == MAZE)


@functools.cache
def time_limit(id: str) -> int | None:
    """Return the library's own time limit of an environment, in steps, None if there is none."""
    with jax.ensure_compile_time_eval(), lenient():
        return getattr(_made(id, 0, 0), "time_limit", None)


def _made(id: str, height: int, width: int, **options: Any) -> Any:
    library = require(LIBRARY)
    if not (height or width):
        return library.make(id, **options)
    original = library.make(id)
    size = {"num_rows": height or original.num_rows, "num_cols": width or original.num_cols}
    if id not in GENERATED:
        return library.make(id, **size, **options)
    more = {each: getattr(original, each) for each in GENERATED[id]}
    return library.make(id, generator=type(original.generator)(**size, **more), **options)


def _actions(id: str, spec: Any, mask: Any) -> Discrete | MultiDiscrete:
    if not jnp.issubdtype(spec.dtype, jnp.integer) or not hasattr(spec, "maximum"):
        raise UserError(f"id is {id!r}, whose actions are {spec.dtype}{list(spec.shape)}; allowed: discrete actions")
    numbers = np.broadcast_to(np.asarray(spec.maximum) + 1, spec.shape).ravel().tolist()
    if spec.shape and mask is not None and mask.shape[:-1] == spec.shape:
        numbers = [mask.shape[-1]] * len(numbers)  # MultiCVRP-v0 describes a customer more than there is
    return MultiDiscrete(tuple(numbers)) if spec.shape else Discrete(numbers[0])


def _copies(env: Any) -> tuple[int | None, ...]:
    """Return where the first observation is an array of the state, as the trace of `reset` tells."""
    traced = jax.make_jaxpr(env.reset)(jax.random.key(0)).jaxpr
    state, timestep = jax.eval_shape(env.reset, jax.random.key(0))
    number = len(jax.tree.leaves(state))
    places = {id(variable): place for place, variable in reversed(list(enumerate(traced.outvars[:number])))}
    is_seen = jax.tree.map(lambda _: False, timestep).replace(
        observation=jax.tree.map(lambda _: True, timestep.observation)
    )
    rest = zip(traced.outvars[number:], jax.tree.leaves(is_seen), strict=True)
    return tuple(places.get(id(variable)) for variable, seen in rest if seen)


def _strong(form: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), form)


# -- observations ------------------------------------------------------------------------------------------------------


def joint_mask(mask: jax.Array, numbers: tuple[int, ...]) -> jax.Array:
    """Return which joint actions are allowed, ``bool[n]``; all where none is, as when an environment has ended.

    ``mask`` has an entry for each joint action, or a row for each factor, whose choices may then be combined freely.
    """
    if mask.shape != numbers:
        joint = mask[0]
        for row in mask[1:]:
            joint = (joint[:, None] & row[None, :]).ravel()
        mask = joint
    return mask.ravel() | ~jnp.any(mask)


def _parts(id: str, spec: Any, form: Any, actions: Discrete | MultiDiscrete, max_steps: int) -> tuple[Part, ...]:
    leaves = jax.tree_util.tree_leaves_with_path(form)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    return tuple(_part(id, path, spec, leaf, actions, max_steps) for path, (_, leaf) in zip(paths, leaves, strict=True))


def _part(id: str, path: str, spec: Any, form: Any, actions: Discrete | MultiDiscrete, max_steps: int) -> Part:
    shape, size = form.shape, math.prod(form.shape)
    if path == "action_mask":
        numbers = actions.numbers if isinstance(actions, MultiDiscrete) else (actions.n,)
        return Part(path, "mask", Mask(actions.n), numbers=numbers)
    if path in _CLOCKS:
        return Part(path, "clock", Box(0.0, 1.0, ()), scale=max_steps)
    low, high = ends = _bounds(id, path, spec, form)
    vector = (size,) if shape else ()
    if jnp.issubdtype(form.dtype, jnp.floating) or high == NO_BOUND:
        is_picture = len(shape) == 3 and min(shape[:2]) >= 3
        return Part(path, "plain", Box(low, high, shape if is_picture else vector), ends=ends)
    number = int(high - low) + 1
    if not shape and 2 < number <= LARGEST_CHOICE:
        return Part(path, "choice", Discrete(number), low, ends=ends)
    is_image = len(shape) == 2 and min(shape) >= 3  # what a filter reads
    if number <= MOST_CODES and (is_image or size * number <= MOST_ONE_HOT):
        features = ((0.0,), (1.0,)) if number == 2 else tuple(map(tuple, np.eye(number).tolist()))
        return Part(path, "codes", Coded(shape if is_image else vector, features), low, ends=ends)
    return Part(path, "scaled", Box(0.0, 1.0, vector), low, high - low, ends=ends)


def _bounds(id: str, path: str, spec: Any, form: Any) -> tuple[float, float]:
    if form.dtype == bool:
        return 0.0, 1.0
    if (id, path) in _BOUNDS:
        return _BOUNDS[id, path]
    for part in path.split("."):
        spec = spec[part]
    if not hasattr(spec, "minimum"):
        return -NO_BOUND, NO_BOUND
    return float(np.min(np.asarray(spec.minimum))), float(np.max(np.asarray(spec.maximum)))
