"""Craftax in minied: survive, gather, craft and descend; a level is the world that an episode starts in.

Source: Matthews et al. 2024 (Craftax, arXiv 2402.16801), its Classic game (Crafter, Hafner 2021) and the full one. The
dynamics, rewards (achievements, and a tenth of a point of health) and views are the library's.

Deviations. The library ends an episode of its longest length as it ends one by death; here that is a truncation alone,
and nothing is ever reset within `step`. What of a start differs from world to world is a level; the rest (health, an empty
bag, no creatures yet) is what the library's generator always gives. Creatures and growth are drawn anew in every episode.
"""

import dataclasses
import functools
import importlib
import types
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.base import AdaptedEnvironment, Library, quiet, require, require_finite
from minied.errors import UserError
from minied.levels.space import LevelSpace
from minied.spaces import Box, Coded, Dict, Discrete

LIBRARY = Library("craftax", "craftax.craftax_env", at_least="1.6.1", below="2", run_with="1.6.1", extra="craftax")
Game = Literal["Craftax-Classic-Symbolic-v1", "Craftax-Symbolic-v1"]
_MODULES = {
    "Craftax-Classic-Symbolic-v1": "craftax.craftax_classic.envs.craftax_symbolic_env",
    "Craftax-Symbolic-v1": "craftax.craftax.envs.craftax_symbolic_env",
}
NEVER = 2**30
LARGEST_BAG = 49.5
"""The highest number of the full game's vector: 99 books, halved. The library's own bound is 1."""


class ClassicLevel(struct.PyTreeNode):
    """A world of the Classic game: H W bytes, 4096 in the library's size."""

    map: jax.Array  # u8[H, W], kinds of blocks


class CraftaxLevel(struct.PyTreeNode):
    """A world of the full game: 54 H W + 42 bytes, 124,458 in the library's size."""

    map: jax.Array  # u8[9, H, W], kinds of blocks, by floor
    item_map: jax.Array  # u8[9, H, W], torches and ladders
    light_map: jax.Array  # f32[9, H, W]
    down_ladders: jax.Array  # u8[9, 2] (row, col)
    up_ladders: jax.Array  # u8[9, 2]
    potion_mapping: jax.Array  # u8[6], what each colour of potion does


Level = ClassicLevel | CraftaxLevel


@dataclasses.dataclass(frozen=True)
class Craftax(AdaptedEnvironment[Level, Any]):
    """Craftax-Classic or the full game, symbolic. Run with craftax 1.6.1."""

    id: Game = "Craftax-Classic-Symbolic-v1"
    """Which game."""
    map_size: int = 0
    """Rows and columns of a floor, a multiple of 16: from 16 in the Classic game, from 48 in the full one; 0: the library's,
    64 and 48."""
    max_steps: int = 0
    """Steps after which an episode is truncated; 0: the library's, 10,000 and 100,000."""
    observation: Literal["cells", "vector"] = "cells"
    """`cells`: what is around the player as an image, beside a vector of the player's own state; `vector`: the library's
    one vector."""
    num_swaps: int = 16
    """Pairs of tiles that an edit exchanges."""
    swap_radius: int = 8
    """How far from the player the first tile of each pair is at most, in rows and in columns; 0: anywhere."""
    solved_return: float = 10.0
    """A return above this counts as solved. An achievement is worth 1, in the full game up to 8; the Classic one has 22."""
    tells_achievements: bool = False
    """Whether each achievement is a statistic of episodes, beside how many there were."""

    library: ClassVar[Any] = LIBRARY
    offers: ClassVar[tuple[str, ...]] = (
        "mutate", "is_valid", "describe", "draw", "to_text", "from_text", "suites",
    )  # fmt: skip
    solved_means: ClassVar[str] = "above solved_return"

    def __post_init__(self) -> None:
        require(LIBRARY)
        if self.id not in get_args(Game):
            raise UserError(f"id is {self.id!r}; allowed: {', '.join(get_args(Game))}")
        least = 16 if self.is_classic else 48
        if self.map_size and not (least <= self.map_size <= 240 and self.map_size % 16 == 0):
            raise UserError(
                f"map_size is {self.map_size}; allowed with {self.id}: 0, and multiples of 16, {least} to 240"
            )
        if not 0 <= self.max_steps < 2**24:
            raise UserError(f"max_steps is {self.max_steps}; allowed: 0 to {2**24 - 1}")
        if self.observation not in ("cells", "vector"):
            raise UserError(f"observation is {self.observation!r}; allowed: cells, vector")
        for name, least, most in (("num_swaps", 1, 1000), ("swap_radius", 0, 240)):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: {least} to {most}")
        require_finite("solved_return", self.solved_return)
        if self.max_steps == 0:
            object.__setattr__(self, "max_steps", self._made[0].default_params.max_timesteps)

    @property
    def is_classic(self) -> bool:
        """Whether it is the Classic game."""
        return "Classic" in self.id

    @property
    def module(self) -> types.ModuleType:
        """The library's module of the game, with its enumerations."""
        return _module(self.id)

    @property
    def action_space(self) -> Discrete:
        """The library's: 17 actions in the Classic game, 43 in the full one."""
        return Discrete(self._made[0].num_actions)

    @property
    def observation_space(self) -> Dict | Box:
        """``cells`` and ``self``, or the library's vector, of 1345 numbers in the Classic game and 8268 in the full one.

        In the Classic game ``cells`` is ``u8[7, 9]``: one of 16 blocks and which of the 4 kinds of creatures are there, 21
        channels when decoded, and an observation is 151 bytes where the vector is 5380. In the full game it is
        ``f32[9, 11, 83]``. ``self`` is ``f32[22]``, in the full game ``f32[51]``.
        """
        (rows, cols, channels), own = self._shape
        high = 1.0 if self.is_classic else LARGEST_BAG
        if self.observation == "vector":
            return Box(0.0, high, (rows * cols * channels + own,))
        cells = Coded((rows, cols), _classic_features()) if self.is_classic else Box(0.0, 1.0, (rows, cols, channels))
        return Dict((("cells", cells), ("self", Box(0.0, high, (own,)))))

    @property
    def level_space(self) -> LevelSpace[Level]:
        """Worlds."""
        from minied.adapters.craftax_levels import CraftaxLevelSpace

        return CraftaxLevelSpace(self)

    @property
    def _made(self) -> tuple[Any, Any]:
        return _made(self.id, self.map_size)

    @property
    def _shape(self) -> tuple[tuple[int, int, int], int]:
        """Return rows, columns and channels of what is seen, and the length of the rest."""
        return self.module.get_map_obs_shape(), self.module.get_inventory_obs_shape()

    @property
    def side(self) -> int:
        """Rows and columns of a floor."""
        return self._made[0].static_env_params.map_size[0]

    def generate(self, key: jax.Array) -> Any:
        """Return the state that the library's generator makes. Consumes ``key``."""
        return _generate(self.id, self.map_size, key)

    def level_of(self, start: Any) -> Level:
        """Return what of a start differs from world to world."""
        held = {name: getattr(start, name) for name in _held(self.id)}
        held = {name: leaf if name == "light_map" else leaf.astype(jnp.uint8) for name, leaf in held.items()}
        return _level_class(self.id)(**held)

    def reset(self, key: jax.Array, level: Level) -> tuple[Any, Any]:
        """Return the first observation and state. Consumes ``key``, for a key in the state that the dynamics do not use."""
        common = jax.tree.map(jnp.array, _common_start(self.id, self.map_size))
        held = {name: jnp.asarray(getattr(level, name)) for name in _held(self.id)}
        held = {name: leaf if name == "light_map" else leaf.astype(jnp.int32) for name, leaf in held.items()}
        state = common.replace(**held, state_rng=jax.random.split(key, 1)[0])
        return self._observe(self._made[0].get_obs(state)), state

    def step(self, key: jax.Array, state: Any, action: jax.Array, level: Level):
        """Act as the library does. Consumes ``key``.

        ``info["statistics"]`` has the number of achievements so far, and with ``tells_achievements`` each by its name.
        """
        world, params = self._made
        seen, state, reward, over, _ = world.step_env(key, state, action, params)
        state = _plain(state)
        truncated = ~over & (state.timestep >= self.max_steps)
        statistics = {"achievements": state.achievements.sum().astype(jnp.float32)}
        if self.tells_achievements:
            for each in self.module.Achievement:
                statistics[each.name.lower()] = state.achievements[each.value].astype(jnp.float32)
        reward = jnp.asarray(reward, jnp.float32)
        return self._observe(seen), state, reward, over, truncated, {"statistics": statistics}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the return is above ``solved_return``, ``bool[]``."""
        return episode_return > self.solved_return

    def _observe(self, vector: jax.Array) -> Any:
        vector = vector.astype(jnp.float32)
        if self.observation == "vector":
            return vector
        (rows, cols, channels), own = self._shape
        cells = vector[:-own].reshape(rows, cols, channels)
        if self.is_classic:
            bits = cells[..., -4:] @ jnp.asarray([1.0, 2.0, 4.0, 8.0])
            block = jnp.argmax(cells[..., :-4], axis=-1)  # from 1: block 0 is none, and never there
            cells = ((block - 1) * 16 + bits.astype(jnp.int32)).astype(jnp.uint8)
        return {"cells": cells, "self": vector[-own:]}


def _plain(state: Any) -> Any:
    """Return a state whose leaves are arrays: flags, ``i32`` and ``f32``, none of them weakly typed; keys as they are."""

    def plain(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or leaf.dtype == jnp.bool_:
            return leaf
        return leaf.astype(jnp.float32 if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.int32)

    return jax.tree.map(plain, state)


@functools.cache
def _classic_features() -> tuple[tuple[float, ...], ...]:
    """Return the 21 channels of each code: 17 blocks, of which the first never occurs, and 4 kinds of creatures."""
    return tuple(
        tuple(float(i == block + 1) for i in range(17)) + tuple(float(creatures >> i & 1) for i in range(4))
        for block in range(16)
        for creatures in range(16)
    )


@functools.cache
def _module(id: str) -> types.ModuleType:
    require(LIBRARY)
    with quiet(), jax.ensure_compile_time_eval():  # modules hold arrays, which a trace must not own
        return importlib.import_module(_MODULES[id])


@functools.cache
def _made(id: str, map_size: int) -> tuple[Any, Any]:
    """Return the library's environment, and its parameters without its time limit."""
    module = _module(id)
    kind = module.CraftaxClassicSymbolicEnvNoAutoReset if "Classic" in id else module.CraftaxSymbolicEnvNoAutoReset
    static = module.StaticEnvParams(map_size=(map_size, map_size)) if map_size else module.StaticEnvParams()
    world = kind(static)
    return world, world.default_params.replace(max_timesteps=NEVER)


def _generate(id: str, map_size: int, key: jax.Array) -> Any:
    world, params = _made(id, map_size)
    return _plain(world.reset_env(key, params)[1])


def _level_class(id: str) -> type:
    return ClassicLevel if "Classic" in id else CraftaxLevel


def _held(id: str) -> tuple[str, ...]:
    """Return the names of the arrays that a level holds of a start."""
    return tuple(field.name for field in dataclasses.fields(_level_class(id)))


@functools.cache
def _common_start(id: str, map_size: int) -> Any:
    """Return what all starts have in common, ``np.ndarray``s, and None for what a level holds and for the key."""

    def common(key: jax.Array) -> Any:  # of which the compiler leaves nothing of the generator
        return _generate(id, map_size, key).replace(**dict.fromkeys((*_held(id), "state_rng")))

    # Compiled ahead: traced within `ensure_compile_time_eval`, the generator would be computed step by step.
    compiled = jax.jit(common).lower(jax.eval_shape(lambda: jax.random.key(0))).compile()
    with jax.ensure_compile_time_eval():
        return jax.tree.map(np.asarray, compiled(jax.random.key(0)))
