"""How does another framework play a world of minied? As a Gymnasium environment, one by one or a batch in one jitted call.

Run with Gymnasium 1.3.0. `as_env` gives a ``gymnasium.Env``, `as_vector_env` a ``gymnasium.vector.VectorEnv``, and
`register` makes both known to ``gymnasium.make`` and ``gymnasium.make_vec`` as ``minied/NAME-v0``. What they give is NumPy
that the caller may keep and write into: copies, never views of JAX's buffers. Letters: ``B`` environments, ``L`` levels.

Environment i of a batch that was reset with the seed s has the key ``jax.random.key(s + i)``: what it plays is what it plays
alone, reset with s + i. See `minied.adapters.outward` for what becomes of keys and observations.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from minied import registry
from minied.adapters import outward
from minied.adapters.base import require
from minied.adapters.gymnasium_batch import Batch
from minied.env import Environment
from minied.errors import UserError, unknown_name

NEXT_STEP, SAME_STEP = "NextStep", "SameStep"  # as Gymnasium's AutoresetMode has them


def as_env(
    env: Environment,
    levels: Any = None,
    *,
    seed: int | None = None,
    render_mode: str | None = None,
    codes: bool = False,
) -> Any:
    """Return a world as a ``gymnasium.Env``; for the arguments and ``info`` see `as_vector_env`.

    Each `reset` starts an episode on the next level of a set, one with a seed on the first.
    """
    return _classes()[0](env, levels, seed, render_mode, codes)


def as_vector_env(
    env: Environment,
    num_envs: int,
    levels: Any = None,
    *,
    seed: int | None = None,
    autoreset_mode: Any = NEXT_STEP,
    render_mode: str | None = None,
    codes: bool = False,
) -> Any:
    """Return a world as a ``gymnasium.vector.VectorEnv``; all its environments step in one jitted call.

    Args:
        env: the world, of one agent.
        num_envs: B.
        levels: the name of a suite of one world, a `Suite`, or a batch of levels ``[L, ...]``, of which environment i plays
            level i, i + B, i + 2B, ... modulo L; or None, a new level for each episode. ``reset(options={"levels": ...})``
            changes it.
        seed: of the first `reset` that is given none. A `reset` with a seed begins with level i again, others go on.
        autoreset_mode: ``NextStep``: the step after an episode's last one ignores its action and gives the first observation
            of the next episode, with reward 0. ``SameStep``: the last step gives that observation; ``info["final_obs"]`` and
            ``info["final_info"]`` have the last one's.
        render_mode: ``rgb_array``, of worlds that draw, or None.
        codes: see `minied.adapters.outward.to_space`.

    ``info`` is what the world tells, ``level``, the number of the level in the set (-1: sampled), and of an episode's last
    step ``solved``. Raises `UserError`, here as by wrong actions, seeds and options.
    """
    return _classes()[1](env, num_envs, levels, seed, autoreset_mode, render_mode, codes)


def register(namespace: str = "minied") -> tuple[str, ...]:
    """Make every installed world known to ``gymnasium.make`` and ``make_vec``, and return the names, ``minied/maze-v0``, ...

    Their arguments are those of `make` and `make_vec`. Nothing is imported but Gymnasium.
    """
    gymnasium: Any = require(outward.GYMNASIUM)
    worlds = {f"{namespace}/{name}-v0": name for name in registry.names("environment")}
    for identifier, name in worlds.items():
        if identifier not in gymnasium.registry:
            entry_points = {"entry_point": f"{__name__}:make", "vector_entry_point": f"{__name__}:make_vec"}
            gymnasium.register(identifier, **entry_points, kwargs={"world": name})
    return tuple(worlds)


def make(world: str, options: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
    """Return `as_env` of the world with this name and these options, ``{"height": 9, "levels": {"num_walls": 20}}``."""
    return as_env(outward.world_of(registry.load("environment", world), options or {}), **arguments)


def make_vec(world: str, num_envs: int, options: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
    """Return `as_vector_env` of the world with this name and these options."""
    return as_vector_env(outward.world_of(registry.load("environment", world), options or {}), num_envs, **arguments)


def _seeds(holder: Any, seed: Any, number: int, is_first: bool) -> list[int] | None:
    """Return a seed for each environment, or None to go on with their keys. Raises `UserError` for what is none."""
    if seed is None and not is_first:
        return None
    if seed is not None and not isinstance(seed, (list, tuple)):
        outward.require_seeds([seed])
        seed = range(int(seed), int(seed) + number)
    seeds = [None] * number if seed is None else seed
    if len(seeds) != number:
        raise UserError(f"seed is {seed}; allowed: one number, or {number}, one for each environment")
    outward.require_seeds([each for each in seeds if each is not None])
    return [int(holder.np_random.integers(2**31)) if each is None else int(each) for each in seeds]


def _masked(told: Mapping[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """Return ``told`` as a vector environment tells it: beside each value a mask ``bool[B]``, 0 where it does not hold.

    Where a statistic is NaN, that is not defined, its mask does not hold either.
    """
    infos: dict[str, Any] = {}
    for name, value in told.items():
        is_nested = isinstance(value, dict)
        holds = mask if is_nested or value.dtype.kind != "f" or value.ndim > 1 else mask & ~np.isnan(value)
        if holds.any():
            infos[name] = _masked(value, mask) if is_nested else value.copy()
            infos[f"_{name}"] = holds.copy()
            if not is_nested:
                infos[name][~holds] = 0
    return infos


def _only(tree: Any) -> Any:
    """Return what a batch of one holds."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _each(observations: Any, mask: np.ndarray) -> np.ndarray:
    """Return the observation of each environment by itself, an array of objects, None where the mask does not hold."""
    each = np.full(mask.shape, None, object)
    for index in np.flatnonzero(mask):
        each[index] = jax.tree.map(lambda leaf, index=index: leaf[index].copy(), observations)
    return each


def _merged(mask: np.ndarray, new: Any, old: Any) -> Any:
    """Return ``new`` where the mask ``bool[B]`` holds, else ``old``."""

    def choose(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(mask.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, new, old)


@functools.cache
def _classes() -> tuple[type, type]:
    """Return the classes of both interfaces, for which Gymnasium has to be imported."""
    gymnasium: Any = require(outward.GYMNASIUM)

    class MiniedEnv(gymnasium.Env):
        def __init__(
            self, env: Environment, levels: Any, seed: int | None, render_mode: str | None, codes: bool
        ) -> None:
            self._batch, self._first_seed = Batch(env, 1, levels, codes), seed
            self.metadata, self.render_mode = outward.metadata_of(self._batch.env, render_mode), render_mode
            self.observation_space = outward.to_space(self._batch.env.observation_space, codes)
            self.action_space = outward.to_space(self._batch.env.action_space)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            seed, self._first_seed = self._first_seed if seed is None else seed, None
            seeds = _seeds(self, seed, 1, self._batch.slots is None)
            super().reset(seed=None if seed is None or seeds is None else seeds[0])
            observation, about = _only(self._batch.reset(seeds, options))
            return observation, about

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            told = _only(self._batch.step(np.asarray(action)[None], np.zeros(1, bool)))
            over, late = bool(told.terminated), bool(told.truncated)
            info = told.info | told.about | ({"solved": told.solved} if over or late else {})
            return told.observations, float(told.rewards), over, late, outward.defined(info)

        def render(self) -> Any:
            return None if self.render_mode is None else self._batch.draw(0)

    class MiniedVectorEnv(gymnasium.vector.VectorEnv):
        def __init__(
            self, env: Environment, number: int, levels: Any, seed: Any, mode: Any, render_mode: str | None, codes: bool
        ) -> None:
            mode = getattr(mode, "value", mode)
            if mode not in (NEXT_STEP, SAME_STEP):
                raise unknown_name("autoreset_mode", str(mode), (NEXT_STEP, SAME_STEP))
            self._batch, self._first_seed = Batch(env, number, levels, codes), seed
            self._is_same_step, self._ended = mode == SAME_STEP, np.zeros(number, bool)
            self.num_envs, self.render_mode = number, render_mode
            self.metadata = outward.metadata_of(self._batch.env, render_mode)
            self.metadata["autoreset_mode"] = gymnasium.vector.AutoresetMode(mode)
            self.single_observation_space = outward.to_space(self._batch.env.observation_space, codes)
            self.single_action_space = outward.to_space(self._batch.env.action_space)
            batch_space = gymnasium.vector.utils.batch_space
            self.observation_space = batch_space(self.single_observation_space, number)
            self.action_space = batch_space(self.single_action_space, number)

        def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
            seed, self._first_seed = self._first_seed if seed is None else seed, None
            seeds = _seeds(self, seed, self.num_envs, self._batch.slots is None)
            is_one = not (seed is None or seeds is None or isinstance(seed, (list, tuple)))
            super().reset(seed=seeds[0] if is_one and seeds else None)
            observations, about = self._batch.reset(seeds, options)
            self._ended = np.zeros(self.num_envs, bool)
            return observations, _masked(about, ~self._ended)

        def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
            waits = self._ended
            told = self._batch.step(actions, waits)
            ended = told.terminated | told.truncated
            restarts = ended if self._is_same_step else waits
            infos, last = _masked(told.info, ~restarts), _masked({"solved": told.solved}, ended)
            if not self._is_same_step:
                self._ended, infos = ended, infos | last
            elif ended.any():
                infos |= {"final_obs": _each(told.observations, ended), "_final_obs": ended.copy()}
                final_info = _masked(told.info | told.about, ended) | last
                infos |= {"final_info": final_info, "_final_info": ended.copy()}
            now = told.observations, told.about
            if restarts.any():
                now = _merged(restarts, self._batch.restart(restarts), now)
            infos |= _masked(now[1], np.ones(self.num_envs, bool))
            return now[0], told.rewards.astype(np.float64), told.terminated, told.truncated, infos

        def render(self) -> Any:
            return None if self.render_mode is None else tuple(map(self._batch.draw, range(self.num_envs)))

    return MiniedEnv, MiniedVectorEnv
