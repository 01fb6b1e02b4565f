"""A world of three agents that leave before its episodes end, or never come."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Environment
from minied.levels.space import LevelSpace
from minied.spaces import Box, Discrete


class PartyLevel(struct.PyTreeNode):
    leaves: jax.Array  # i32[N], the step from which on an agent is away; 0: it never comes
    length: jax.Array  # i32[], steps of an episode


class PartyState(struct.PyTreeNode):
    time: jax.Array  # i32[]
    right: jax.Array  # i32[N], right actions so far


@dataclasses.dataclass(frozen=True)
class PartyLevels(LevelSpace[PartyLevel]):
    num_agents: int
    max_steps: int

    def sample(self, key):
        leaves_key, length_key = jax.random.split(key)
        leaves = jax.random.randint(leaves_key, (self.num_agents,), 0, self.max_steps + 1)
        length = jax.random.randint(length_key, (), 2, self.max_steps + 1)
        return PartyLevel(leaves.at[0].set(self.max_steps), length)  # somebody is always there

    def optimal_return(self, level):
        stays = jnp.minimum(level.leaves, level.length).astype(jnp.float32)
        return jnp.sum(stays) / jnp.sum(stays > 0)


@dataclasses.dataclass(frozen=True)
class Party(Environment):
    """Each agent is paid for naming its number's parity, as long as it is there. `away` is what it sees of it later.

    Of statistics it `tells` how often all were right, how often the second agent was (not defined if it never came), and how
    long it took (which is nonsense before the end).
    """

    max_steps: int = 5
    away: float = 0.0
    tells: bool = False
    num_agents = 3

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Box(-1.0, 5.0, (2,))

    @property
    def level_space(self):
        return PartyLevels(self.num_agents, self.max_steps)

    def reset(self, key, level):
        state = PartyState(jnp.int32(0), jnp.zeros(self.num_agents, jnp.int32))
        return self._observe(state, level), state

    def step(self, key, state, action, level):
        there = state.time < level.leaves
        right = there & (action == jnp.arange(self.num_agents) % 2)
        state = PartyState(state.time + 1, state.right + right)
        ended = state.time >= level.length
        info = {"present": there}
        if self.tells:
            second = jnp.where(level.leaves[1] > 0, state.right[1].astype(jnp.float32), jnp.nan)
            info["statistics"] = {"right": jnp.sum(state.right), "second": second}
            info["statistics"]["time"] = jnp.where(ended, state.time, 10**6)
        return self._observe(state, level), state, right.astype(jnp.float32), ended, ended & False, info

    def _observe(self, state, level):
        numbers = jnp.arange(self.num_agents, dtype=jnp.float32)
        seen = jnp.stack([numbers, jnp.broadcast_to(state.time.astype(jnp.float32), numbers.shape)], axis=-1)
        return jnp.where((state.time < level.leaves)[:, None], seen, self.away)
