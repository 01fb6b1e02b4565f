"""How do several agents of another framework play a world of minied? As a PettingZoo parallel environment.

Run with PettingZoo 1.27.0. `as_parallel_env` gives a ``pettingzoo.ParallelEnv``. Agents are named by their teams,
``team_0_agent_0``, ``team_0_agent_1``, ``team_1_agent_0``, ..., in the order of minied's agent axis. All end at once, as
minied's episodes do.

An agent that a level does not have (``info["present"]`` at its first step) is not among ``agents`` in that episode; one
that is absent only later stays, and its ``info["present"]`` is false. What they give is NumPy that the caller may keep.
Letter: ``N`` agents.
"""

import copy
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied import registry
from minied.adapters import outward
from minied.adapters.base import Library, require
from minied.adapters.outward import Slot
from minied.env import Environment, with_agent_axis
from minied.errors import UserError

PETTINGZOO = Library("pettingzoo", "pettingzoo", at_least="1.27", below="2", run_with="1.27.0", extra="pettingzoo")


def as_parallel_env(
    env: Environment,
    levels: Any = None,
    *,
    seed: int | None = None,
    render_mode: str | None = None,
    codes: bool = False,
) -> Any:
    """Return a world as a ``pettingzoo.ParallelEnv``.

    Args:
        env: the world, of any number of agents.
        levels: the name of a suite of one world, a `minied.levels.space.Suite`, or a batch of levels ``[L, ...]``: each
            `reset` starts an episode on the next, one with a seed on the first; or None, a new level for each episode.
            ``reset(options={"levels": ...})`` changes it; PettingZoo asks that other options are ignored.
        seed: of the first `reset` that is given none. The keys are those of `minied.adapters.gymnasium.as_env`.
        render_mode: ``rgb_array``, of worlds that draw, or None.
        codes: see `minied.adapters.outward.to_space`.

    Each agent's ``info`` has ``present``, ``level`` (its number in the set, -1: sampled), its ``privileged`` part of the
    observation if there is one, and after a step what the world tells, the same for all agents; at the last step
    ``solved``. Raises `UserError`, here as by wrong actions, seeds and levels.
    """
    return _parallel_env()(env, levels, seed, render_mode, codes)


def agent_names(env: Environment) -> tuple[str, ...]:
    """Return the name of each agent, ``N`` of them, in the order of the agent axis."""
    teams = with_agent_axis(env).teams
    return tuple(f"team_{team}_agent_{teams[:index].count(team)}" for index, team in enumerate(teams))


@functools.partial(jax.jit, static_argnums=0)
def _start(env: Environment, key: jax.Array, index: jax.Array, levels: Any) -> tuple[Slot, Any, jax.Array]:
    """Return a slot at the start of an episode, the observations ``[N, ...]``, and who is present, ``bool[N]``.

    A step alone tells who is present: one in which nobody does anything is taken, and forgotten.
    """
    slot, observations = outward.start(env, key, index, levels, (env.num_agents,))
    nothing = jnp.zeros(env.num_agents, jnp.int32)
    info = env.step(jax.random.key(0), slot.state, nothing, slot.level)[-1]
    return slot, observations, info.get("present", jnp.ones(env.num_agents, bool))


_advance = jax.jit(outward.take_step, static_argnums=0)


@functools.cache
def _parallel_env() -> type:
    """Return the class of the interface, for which PettingZoo has to be imported."""
    pettingzoo: Any = require(PETTINGZOO)

    class MiniedParallelEnv(pettingzoo.ParallelEnv):
        def __init__(
            self, env: Environment, levels: Any, seed: int | None, render_mode: str | None, codes: bool
        ) -> None:
            self._world, self._levels = outward.levels_of(env, levels)
            self._env, self._codes, self._first_seed = with_agent_axis(self._world), codes, seed
            self._slot: Any = None
            self._index = 0
            self.metadata = {"name": registry.name_of(type(env)), **outward.metadata_of(self._world, render_mode)}
            self.render_mode = render_mode
            self.possible_agents, self.agents = list(agent_names(self._world)), []
            # Each has spaces of its own: what is drawn from one depends on what was drawn from it before.
            self.observation_spaces, self.action_spaces = (
                {agent: outward.to_space(space, codes) for agent in self.possible_agents}
                for space in (self._world.observation_space, self._world.action_space)
            )

        def observation_space(self, agent: str) -> Any:
            return self.observation_spaces[agent]

        def action_space(self, agent: str) -> Any:
            return self.action_spaces[agent]

        def reset(
            self, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[dict[str, Any], dict[str, Any]]:
            seed, self._first_seed = self._first_seed if seed is None else seed, None
            self._levels = outward.levels_after(self._world, self._levels, options)
            begins = "levels" in (options or {})
            if seed is None and self._slot is not None:
                key = self._slot.key
            else:
                begins = True
                key = outward.keys_of([int(np.random.default_rng().integers(2**31)) if seed is None else seed])[0]
            self._index = 0 if begins else self._index + 1
            index = outward.wrapped(self._index, self._levels)
            self._slot, observations, present = _start(self._env, key, index, self._levels)
            observations, present = outward.to_numpy((observations, present))
            self.agents = [agent for agent, is_in in zip(self.possible_agents, present, strict=True) if is_in]
            return self._told(observations, {"present": present})

        def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
            if not self.agents:
                return {}, {}, {}, {}, {}  # as PettingZoo's own do before a reset
            self._slot, told = _advance(self._env, self._slot, self._joint(actions))
            observations, rewards, terminated, truncated, info, solved = outward.to_numpy(told)
            ended = bool(terminated | truncated)
            observations, infos = self._told(observations, info | ({"solved": solved} if ended else {}))
            paid = dict(zip(self.possible_agents, rewards.tolist(), strict=True))
            paid = {agent: paid[agent] for agent in self.agents}
            over, late = (dict.fromkeys(self.agents, bool(each)) for each in (terminated, truncated))
            self.agents = [] if ended else self.agents
            return observations, paid, over, late, infos

        def render(self) -> Any:
            if self.render_mode is None or self._slot is None:
                return None
            return np.array(self._world.level_space.draw(self._slot.level, self._slot.state))

        def _joint(self, actions: dict[str, Any]) -> jax.Array:
            """Return the action of each agent, ``i32[N]``, 0 of those that are not there."""
            if set(actions) != set(self.agents):
                raise UserError(f"actions are of {sorted(actions)}; allowed: one of each of {self.agents}")
            space, joint = self._world.action_space, np.zeros(len(self.possible_agents), np.int32)
            for index, agent in enumerate(self.possible_agents):
                if agent in actions:
                    joint[index] = outward.to_actions(space, actions[agent], (), f"action of {agent}")
            return jnp.asarray(joint)

        def _told(self, observations: Any, info: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
            """Return the observation and the info of each agent that is there."""
            space = self._world.observation_space
            values, hidden = outward.to_value(space, observations, self._codes), outward.privileged(space, observations)
            shared = outward.defined({name: value for name, value in info.items() if name != "present"})
            present = info.get("present", np.ones(len(self.possible_agents), bool))
            mine, infos = {}, {}
            for index, agent in enumerate(self.possible_agents):
                if agent in self.agents:
                    mine[agent], own = jax.tree.map(lambda leaf, index=index: leaf[index], (values, hidden))
                    about = {"level": int(self._slot.index), "present": bool(present[index])}
                    infos[agent] = about | own | copy.deepcopy(shared)
            return mine, infos

    return MiniedParallelEnv
