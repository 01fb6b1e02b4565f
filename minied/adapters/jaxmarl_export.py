"""How do algorithms of JaxMARL play a world of minied? As a `MultiAgentEnv`: dicts by agent in, dicts by agent out.

Everything stays in JAX, so that `jit`, `vmap` and `scan` go over it. Letters: ``L`` levels, ``N`` agents, ``n`` actions.
"""

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters import outward
from minied.adapters.base import require
from minied.adapters.jaxmarl_library import LIBRARY
from minied.adapters.pettingzoo import agent_names
from minied.env import Environment, with_agent_axis
from minied.spaces import Coded, Dict, Discrete, Entities, Mask, Ring, Space


class State(struct.PyTreeNode):
    """A moment of an episode."""

    done: jax.Array  # bool[], the episode is over
    step: jax.Array  # i32[], steps taken
    slot: outward.Slot
    observations: Any  # [N, ...], as minied has them


def as_jaxmarl(env: Environment, levels: Any = None, *, flat: bool = True) -> Any:
    """Return a world as a ``jaxmarl.environments.MultiAgentEnv``.

    Args:
        env: the world, of any number of agents.
        levels: the name of a suite of one world, a `minied.levels.space.Suite`, or a batch of levels ``[L, ...]``: every
            `reset` draws one; or None, a new level for each episode.
        flat: whether an agent observes one vector, which the library's algorithms can read; else a dict of the parts.

    An agent's observation is what a policy of minied reads: nothing privileged, the features of codes in place of the codes,
    of entities those that are seen. A mask is told by ``get_avail_actions``. Agents are named by their teams
    (``team_0_agent_0``), those of `minied.adapters.jaxmarl.JaxMARL` as the library does. All are done at once; ``info`` has
    what the world tells, and ``terminated``, ``truncated``, ``solved`` (at the last step) and ``level``, its number (−1:
    sampled). Raises `UserError` for levels of another world.
    """
    return _class()(env, levels, flat)


@functools.cache
def _class() -> type:
    """Return the class of the interface, for which the library has to be imported."""
    require(LIBRARY)
    base = importlib.import_module("jaxmarl.environments.multi_agent_env").MultiAgentEnv
    spaces = importlib.import_module("jaxmarl.environments.spaces")

    class MiniedMultiAgentEnv(base):
        def __init__(self, env: Environment, levels: Any, flat: bool) -> None:
            world, self._levels = outward.levels_of(env, levels)
            self._env, self._flat = with_agent_axis(world), flat
            super().__init__(num_agents=self._env.num_agents)
            self.agents = list(getattr(world, "agents", agent_names(world)))
            self.max_steps = world.max_steps
            self.observation_spaces = {name: _space(spaces, world.observation_space, flat) for name in self.agents}
            self.action_spaces = {name: spaces.Discrete(world.action_space.n) for name in self.agents}

        @property
        def agent_classes(self) -> dict[str, list[str]]:
            teams = self._env.teams
            return {
                f"team_{team}": [name for name, own in zip(self.agents, teams, strict=True) if own == team]
                for team in sorted({*teams})
            }

        @functools.partial(jax.jit, static_argnums=0)
        def reset(self, key: jax.Array) -> tuple[dict[str, Any], State]:
            index_key, key = jax.random.split(key)
            number = 1 if self._levels is None else jax.tree.leaves(self._levels)[0].shape[0]
            index = jax.random.randint(index_key, (), 0, number)
            slot, observations = outward.start(self._env, key, index, self._levels, (self.num_agents,))
            state = State(jnp.bool_(False), jnp.int32(0), slot, observations)
            return self.get_obs(state), state

        @functools.partial(jax.jit, static_argnums=0)
        def step_env(self, key: jax.Array, state: State, actions: dict[str, jax.Array]) -> tuple[Any, ...]:
            joint = jnp.stack([jnp.asarray(actions[name], jnp.int32) for name in self.agents])
            slot, told = outward.take_step(self._env, state.slot.replace(key=key), joint)
            observations, rewards, terminated, truncated, info, solved = told
            done = terminated | truncated
            state = State(done, state.step + 1, slot, observations)
            paid = {name: rewards[index] for index, name in enumerate(self.agents)}
            dones = dict.fromkeys((*self.agents, "__all__"), done)
            ends = {"terminated": terminated, "truncated": truncated, "solved": solved & done, "level": slot.index}
            return self.get_obs(state), state, paid, dones, info | ends

        @functools.partial(jax.jit, static_argnums=0)
        def get_obs(self, state: State) -> dict[str, Any]:
            read = functools.partial(_value, self._env.observation_space, flat=self._flat)
            return {name: read(_of(state.observations, index)) for index, name in enumerate(self.agents)}

        @functools.partial(jax.jit, static_argnums=0)
        def get_avail_actions(self, state: State) -> dict[str, jax.Array]:
            space = self._env.observation_space
            masks = [name for name, part in _parts(space) if isinstance(part, Mask)]
            everything = jnp.ones((self.num_agents, self._env.action_space.n), bool)
            rows = state.observations[masks[0]] if masks else everything
            return {name: rows[index] for index, name in enumerate(self.agents)}

    return MiniedMultiAgentEnv


def _of(observations: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], observations)


def _parts(space: Space) -> tuple[tuple[str, Space], ...]:
    """Return the parts that a policy is given, masks included; none of what is no `Dict`."""
    if not isinstance(space, Dict):
        return ()
    return tuple(part for part in space.parts if part[0] not in space.privileged)


def _space(spaces: Any, space: Space, flat: bool) -> Any:
    """Return a space of observations as one of the library's."""
    if flat:
        form = jax.eval_shape(lambda key: _value(space, space.sample(key), flat=True), jax.random.key(0))
        return spaces.Box(-np.inf, np.inf, form.shape)
    if isinstance(space, Dict):
        return spaces.Dict(
            {name: _space(spaces, part, flat) for name, part in _parts(space) if not isinstance(part, Mask)}
        )
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    if isinstance(space, Coded):
        table = np.asarray(space.features, np.float32)
        return spaces.Box(float(table.min()), float(table.max()), (*space.shape, table.shape[1]))
    if isinstance(space, Entities):
        features = spaces.Box(-np.inf, np.inf, (space.number, space.num_features))
        return spaces.Dict({"features": features, "visible": spaces.Box(0, 1, (space.number,), jnp.bool_)})
    low, high = (-np.inf, np.inf) if isinstance(space, Ring) else (space.low, space.high)  # pyright: ignore
    return spaces.Box(low, high, space.shape)  # pyright: ignore[reportAttributeAccessIssue]


def _value(space: Space, value: Any, flat: bool) -> Any:
    """Return one agent's observation as one of `_space`."""
    if isinstance(space, Dict):
        read = {name: _value(part, value[name], flat) for name, part in _parts(space) if not isinstance(part, Mask)}
        return jnp.concatenate(list(read.values())) if flat else read
    if isinstance(space, Entities):
        features = jnp.where(value["visible"][:, None], value["features"], 0.0)  # what is not seen may be anything
        if not flat:
            return {"features": features, "visible": value["visible"]}
        return jnp.concatenate([features.ravel(), value["visible"].astype(jnp.float32)])
    if isinstance(space, Coded):
        value = space.decode(value)
    if isinstance(space, Discrete):
        return jax.nn.one_hot(value, space.n) if flat else value
    return value.astype(jnp.float32).ravel() if flat else value
