"""How does gymnax play a world of minied's? As an environment that draws a level at every reset, unless it is told one."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied import registry
from minied.adapters.base import require
from minied.adapters.gymnax_made import LIBRARY
from minied.adapters.outward import world_of
from minied.env import Environment
from minied.errors import UserError
from minied.spaces import ActionSpace, Box, Coded, Dict, Discrete, Entities, Mask, MultiDiscrete, Ring, Space

PREFIX = "minied/"
_LARGEST = float(np.finfo(np.float32).max)  # what gymnax writes for no bound


def register(name: str | None = None, *, env_id: str = "", **options: Any) -> tuple[str, ...]:
    """Register worlds with gymnax, and return the ids that `gymnax.make` then knows.

    A world is imported and made when gymnax makes it, with ``options`` and those that `gymnax.make` is given (its fields).
    A world with several agents is refused then, in one line. Ids that were registered before stay as they are.

    Args:
        name: of one world, as ``minied list envs`` has it, or an import path; None: every one that is installed.
        env_id: what gymnax is to call it; empty: ``minied/NAME``.
        options: fields of the world.

    Raises:
        UserError: for an unknown name, and for an id that is to have other options and is taken.
    """
    gymnax = require(LIBRARY)
    if name is None and (env_id or options):
        given = ", ".join([*options, *(["env_id"] if env_id else [])])
        raise UserError(f"{given} without the name of a world; allowed: register(NAME, {given}=...)")
    if name is not None and name not in registry.names("environment"):
        registry.load("environment", name)  # an import path, or else it says what is known
    registered = []
    for each in registry.names("environment") if name is None else [name]:
        found = env_id or PREFIX + each
        if found not in gymnax.registered_envs:
            gymnax.register(found, functools.partial(_make, each, **options))
        elif env_id or options:
            raise UserError(f"env_id is {found!r}, which gymnax already has; allowed: another one")
        registered.append(found)
    return tuple(registered)


def _make(name: str, **options: Any) -> Any:
    return as_gymnax(world_of(registry.load("environment", name), options, name))


def as_gymnax(env: Environment) -> Any:
    """Return ``env`` as a gymnax environment (an instance of its `Environment`, equal for equal worlds).

    Its parameters hold ``max_steps_in_episode``, which may be less than the world's own limit, and ``level``: None, so that
    every reset draws one, or the level of every episode. Its state holds the world's, the level, the last observation (what
    `observe` returns), the time, and how the episode ended. ``info`` is the world's, with gymnax's ``discount``.

    What has no space in gymnax: `Coded` is a `Box` of u8, whose features `minied.spaces.Coded.decode` knows; `Mask`,
    `Entities` and `Ring` are boxes; no bound is the largest f32, as gymnax writes it; an action of a `MultiDiscrete`
    is one number.

    Raises `UserError` for a world with several agents.
    """
    if env.num_agents != 1:
        raise UserError(
            f"{type(env).__name__} has {env.num_agents} agents; allowed in gymnax: 1; worlds with several are played in"
            " PettingZoo or JaxMARL"
        )
    return _class()(env)


def space_of(space: Space | ActionSpace) -> Any:
    """Return a space of minied's as one of gymnax's."""
    spaces = require(LIBRARY).environments.spaces
    if isinstance(space, (Discrete, MultiDiscrete)):
        return spaces.Discrete(space.n)
    if isinstance(space, Coded):
        return spaces.Box(0, space.num_codes - 1, space.shape, jnp.uint8)
    if isinstance(space, Mask):
        return spaces.Box(0, 1, space.shape, jnp.bool_)
    if isinstance(space, Box):
        return spaces.Box(max(space.low, -_LARGEST), min(space.high, _LARGEST), space.shape, jnp.float32)
    if isinstance(space, Ring):
        return spaces.Box(-_LARGEST, _LARGEST, space.shape, jnp.float32)
    if isinstance(space, Entities):
        flags = spaces.Box(0, 1, (space.number,), jnp.bool_)
        features = spaces.Box(-_LARGEST, _LARGEST, (space.number, space.num_features), jnp.float32)
        return _dict_space()({"features": features, "visible": flags, "present": flags})
    assert isinstance(space, Dict)
    return _dict_space()({name: space_of(part) for name, part in space.parts})


@functools.cache
def _dict_space() -> Any:
    spaces = require(LIBRARY).environments.spaces

    class DictSpace(spaces.Dict):
        """gymnax's `Dict`, which knows the parts of a dict too and not only the fields of an object."""

        def contains(self, x: Any) -> jax.Array:
            parts = x if isinstance(x, dict) else {name: getattr(x, name) for name in self.spaces}
            if set(parts) != set(self.spaces):
                return jnp.bool_(False)
            inside = [jnp.all(space.contains(parts[name])) for name, space in self.spaces.items()]
            return jnp.all(jnp.stack(inside))

    return DictSpace


@functools.cache
def _class() -> Any:
    """Return the class of worlds in gymnax, a subclass of its own, which is there only once it is imported."""
    base = require(LIBRARY).environments.environment

    @struct.dataclass
    class WorldParams(base.EnvParams):
        level: Any = None

    @struct.dataclass
    class WorldState(base.EnvState):
        inner: Any
        level: Any
        observation: Any
        terminated: jax.Array
        truncated: jax.Array

    class World(base.Environment):
        """A world of minied's. Each step of gymnax's resets it when it has ended, on a new level unless one is given."""

        def __init__(self, world: Environment) -> None:
            super().__init__()
            self.world = world

        def __eq__(self, other: object) -> bool:
            return isinstance(other, World) and self.world == other.world

        def __hash__(self) -> int:
            return hash((World, self.world))

        @property
        def default_params(self) -> Any:
            return WorldParams(max_steps_in_episode=self.world.max_steps)

        def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
            """Draw a level, unless ``params`` has one, and start on it. Consumes ``key``."""
            level_key, key = jax.random.split(key)
            level = self.world.level_space.sample(level_key) if params.level is None else params.level
            observation, inner = self.world.reset(key, level)
            no = jnp.bool_(False)
            return observation, WorldState(jnp.int32(0), inner, level, observation, no, no)  # type: ignore[call-arg]

        def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
            """Take the world's own step. Consumes ``key``."""
            action = jnp.asarray(action, jnp.int32).reshape(())
            observation, inner, reward, terminated, truncated, info = self.world.step(
                key, state.inner, action, state.level
            )
            time = state.time + 1
            state = WorldState(time, inner, state.level, observation, terminated, truncated)  # type: ignore[call-arg]
            return observation, state, reward, terminated, {**info, "discount": self.discount(state, params)}

        def observe(self, key: jax.Array, state: Any, action: Any, params: Any) -> Any:
            """Return what was observed in ``state``; nothing is drawn."""
            return state.observation

        def get_obs(self, state: Any, params: Any = None, key: Any = None) -> Any:
            """Return what was observed in ``state``."""
            return state.observation

        def is_terminated(self, state: Any, params: Any) -> jax.Array:
            """Return whether the episode reached its end."""
            return state.terminated

        def is_truncated(self, state: Any, params: Any) -> jax.Array:
            """Return whether a limit of time cut it off, the world's or that of ``params``; never where it is terminated."""
            return ~state.terminated & (state.truncated | (state.time >= params.max_steps_in_episode))

        @property
        def name(self) -> str:
            return PREFIX + registry.name_of(type(self.world))

        @property
        def num_actions(self) -> int:
            return self.world.action_space.n

        def action_space(self, params: Any = None) -> Any:
            return space_of(self.world.action_space)

        def observation_space(self, params: Any = None) -> Any:
            return space_of(self.world.observation_space)

        def state_space(self, params: Any = None) -> Any:
            """Return the spaces of those parts of a state that have one: not the world's own state, nor the level."""
            spaces = require(LIBRARY).environments.spaces
            limit = math.ceil((params or self.default_params).max_steps_in_episode)
            return _dict_space()(
                {
                    "observation": self.observation_space(params),
                    "terminated": spaces.Discrete(2),
                    "truncated": spaces.Discrete(2),
                    "time": spaces.Discrete(limit + 1),
                }
            )

    return World
