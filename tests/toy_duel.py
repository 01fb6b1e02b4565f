"""A game of two teams that can be worked out by hand: who names the higher number, on average over a team, has the point."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Box, Discrete


class DuelState(struct.PyTreeNode):
    time: jax.Array  # i32[]
    last: jax.Array  # f32[], the last point


@dataclasses.dataclass(frozen=True)
class DuelLevels(LevelSpace[jax.Array]):
    """A level is what team 0 is given beforehand, ``f32[]``."""

    world: "Duel"

    def sample(self, key):
        return jax.random.uniform(key, minval=-1.0, maxval=1.0)

    @property
    def suites(self):
        return {"fair": "Nobody is given anything.", "handicaps": "A number to each team, and nothing."}

    def suite(self, name):
        if name == "fair":
            return (Suite("fair", self.world, np.zeros(2, np.float32), ("first", "second")),)
        if name == "handicaps":
            longer = dataclasses.replace(self.world, max_steps=self.world.max_steps + 1)
            return (
                Suite("handicaps", self.world, np.asarray([-0.5, 0.5], np.float32), ("minus", "plus")),
                Suite("handicaps", longer, np.zeros(1, np.float32), ("none",)),
            )
        return super().suite(name)


@dataclasses.dataclass(frozen=True)
class Duel(Environment):
    """Team 0 wins an episode if it has more points than team 1 at its end."""

    max_steps: int = 3
    teams_of: tuple[int, ...] = (0, 1, 0)
    numbers: int = 3
    shows_time: bool = True

    @property
    def num_agents(self):
        return len(self.teams_of)

    @property
    def teams(self):
        return self.teams_of

    @property
    def action_space(self):
        return Discrete(self.numbers)

    @property
    def observation_space(self):
        return Box(-1.0, 1.0, (3 if self.shows_time else 2,))

    @property
    def level_space(self):
        return DuelLevels(self)

    def reset(self, key, level):
        state = DuelState(jnp.int32(0), jnp.float32(0))
        return self._observe(state), state

    def step(self, key, state, action, level):
        is_first = self._is_first
        number = action.astype(jnp.float32)
        first, second = (jnp.sum(jnp.where(who, number, 0.0)) / np.sum(who) for who in (is_first, ~is_first))
        point = jnp.sign(first + level - second)
        state = DuelState(state.time + 1, point)
        reward = jnp.where(is_first, point, -point)
        return self._observe(state), state, reward, jnp.bool_(False), state.time >= self.max_steps, {}

    def is_solved(self, episode_return):
        return episode_return[np.argmax(self._is_first)] > 0

    @property
    def _is_first(self):
        return np.asarray(self.teams_of) == min(self.teams_of)

    def _observe(self, state):
        seen = [np.where(self._is_first, 1.0, -1.0), jnp.broadcast_to(state.last, (self.num_agents,))]
        if self.shows_time:
            seen.append(jnp.broadcast_to(state.time / self.max_steps, (self.num_agents,)))
        return jnp.stack([jnp.asarray(each, jnp.float32) for each in seen], axis=-1)
