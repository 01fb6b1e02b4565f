"""How are many episodes of a world played at once, from NumPy to NumPy? What Gymnasium's two interfaces are made of.

Letters: ``B`` environments, ``L`` levels.
"""

import functools
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters import outward
from minied.adapters.outward import Slot
from minied.adapters.trees import is_key
from minied.env import Environment
from minied.errors import UserError, unknown_name


@functools.partial(jax.jit, static_argnums=0)
def _start(env: Environment, keys: jax.Array, indices: jax.Array, levels: Any) -> tuple[Slot, Any]:
    return jax.vmap(lambda key, index: outward.start(env, key, index, levels))(keys, indices)


@functools.partial(jax.jit, static_argnums=0)
def _restart(env: Environment, slots: Slot, ended: jax.Array, indices: jax.Array, levels: Any) -> tuple[Slot, Any]:
    """Return the slots, those that ended ``bool[B]`` at the start of an episode, and observations, meant for these only."""
    keys = _cloned(slots.key)
    new, observations = jax.vmap(lambda key, index: outward.start(env, key, index, levels))(keys, indices)
    return _select(ended, new, slots), observations


@functools.partial(jax.jit, static_argnums=0)
def _advance(env: Environment, slots: Slot, actions: jax.Array, waits: jax.Array) -> tuple[Slot, tuple[Any, ...]]:
    """Return the slots after a step but of those that wait, ``bool[B]``, and what came of it, nothing where one waits."""
    after, told = jax.vmap(lambda slot, action: outward.take_step(env, slot, action))(_cloned(slots), actions)
    observations, *numbers = told
    numbers = jax.tree.map(lambda leaf: _select(waits, jnp.zeros_like(leaf), leaf), numbers)
    return _select(waits, slots, after), (observations, *numbers)


def _select(condition: jax.Array, new: Any, old: Any) -> Any:
    """Return leaves of ``new`` where the condition ``bool[B]`` holds, else of ``old``; ``jnp.where`` has no typed keys."""
    select = jax.vmap(jax.lax.select)
    return _cloned(jax.tree.map(lambda new, old: select(condition, new, old), new, old))


def _cloned(tree: Any) -> Any:
    """Return the same numbers with keys that count as unused: of two ways to go on, an environment takes one."""
    return jax.tree.map(lambda leaf: jax.random.clone(leaf) if is_key(leaf) else leaf, tree)


class Step(NamedTuple):
    """What a step of B environments gave, in NumPy."""

    observations: Any  # as `outward.to_value` has them
    about: dict[str, Any]  # of what holds at an episode's start too: level, privileged
    rewards: np.ndarray  # f32[B]
    terminated: np.ndarray  # bool[B]
    truncated: np.ndarray  # bool[B]
    info: dict[str, Any]  # the world's
    solved: np.ndarray  # bool[B], whether the episode's return so far would be one of a solved episode


class Batch:
    """B episodes at a time, in NumPy: what both of Gymnasium's interfaces are made of.

    With a set of L levels environment i plays level i, then i + B, i + 2B and so on, modulo L: all of them in turn, whatever
    the lengths of episodes.
    """

    def __init__(self, env: Environment, number: int, levels: Any, codes: bool) -> None:
        if env.num_agents != 1:
            raise UserError(
                f"{type(env).__name__} has {env.num_agents} agents; allowed: a world with one, or as_parallel_env of"
                " minied.adapters.pettingzoo"
            )
        if not isinstance(number, numbers.Integral) or number < 1:
            raise UserError(f"num_envs is {number!r}; allowed: at least 1, a whole number")
        self.env, self.levels = outward.levels_of(env, levels)
        self.number, self.codes = number, codes
        self.slots: Any = None

    def reset(self, seeds: list[int] | None, options: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """Start an episode everywhere; seeds, or new levels, begin with level i again. Return observations and ``about``."""
        for name in options if isinstance(options, Mapping) else ():
            if name != "levels":
                raise unknown_name("option of reset", name, ("levels",))
        self.levels = outward.levels_after(self.env, self.levels, options)
        keys = self.slots.key if seeds is None else outward.keys_of(seeds)
        if seeds is not None or options:
            self._indices = np.arange(self.number)
        else:
            self._indices = self._indices + self.number
        self.slots, observations = _start(self.env, keys, outward.wrapped(self._indices, self.levels), self.levels)
        return self._told(outward.to_numpy(observations))

    def step(self, actions: Any, waits: np.ndarray) -> Step:
        """Take a step everywhere but where it waits, ``bool[B]``."""
        if self.slots is None:
            raise UserError("step comes before reset; allowed: after it")
        actions = outward.to_actions(self.env.action_space, actions, (self.number,))
        self.slots, told = _advance(self.env, self.slots, jnp.array(actions, jnp.int32), jnp.array(waits))
        observations, *rest = outward.to_numpy(told)
        return Step(*self._told(observations), *rest)

    def restart(self, ended: np.ndarray) -> tuple[Any, dict[str, Any]]:
        """Start an episode where ``ended``, ``bool[B]``. Return observations and ``about``, meant for these only."""
        self._indices = self._indices + self.number * ended
        self.slots, observations = _restart(
            self.env, self.slots, jnp.array(ended), outward.wrapped(self._indices, self.levels), self.levels
        )
        return self._told(outward.to_numpy(observations))

    def draw(self, index: int) -> np.ndarray:
        """Return the picture of one environment, ``u8[height, width, 3]``."""
        level, state = jax.tree.map(lambda leaf: leaf[index], (self.slots.level, self.slots.state))
        return np.array(self.env.level_space.draw(level, state))

    def _told(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        space = self.env.observation_space
        about = {"level": np.array(self.slots.index, np.int64), **outward.privileged(space, observations)}
        return outward.to_value(space, observations, self.codes), about
