"""A world for networks of many agents: three agents in two teams, with entities, rings, joint actions and a secret."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.levels.space import LevelSpace
from minied.spaces import Box, Dict, Entities, MultiDiscrete, Ring


class ArenaState(struct.PyTreeNode):
    places: jax.Array  # f32[3], of the agents
    time: jax.Array  # i32[]


@dataclasses.dataclass(frozen=True)
class ArenaLevels(LevelSpace[jax.Array]):
    def sample(self, key):
        return jax.random.uniform(key, minval=-1.0)


@dataclasses.dataclass(frozen=True)
class Arena(Environment):
    """Agents on a line move, and shout or not. The level is a place: team 0 is paid for going there, team 1 for leaving.

    An agent sees whoever is near; a critic of its own everybody, and the place itself, which the others have to guess.
    """

    max_steps: int = 4
    teams_of: tuple[int, ...] = (0, 1, 0)
    num_agents = 3

    @property
    def teams(self):
        return self.teams_of

    @property
    def action_space(self):
        return MultiDiscrete((3, 2))

    @property
    def observation_space(self):
        parts = (
            ("self", Box(-4.0, 4.0, (2,))),
            ("lidar", Ring(4)),
            ("others", Entities(3, 2)),
            ("place", Box(-1, 1, (1,))),
        )
        return Dict(parts, privileged=("place",))

    @property
    def level_space(self):
        return ArenaLevels()

    def reset(self, key, level):
        state = ArenaState(jax.random.uniform(key, (3,), minval=-1.0), jnp.int32(0))
        return self._observe(state, level), state

    def step(self, key, state, action, level):
        move, shout = self.action_space.split(action)
        state = ArenaState(state.places + 0.5 * (move - 1), state.time + 1)
        sign = jnp.where(jnp.asarray(self.teams_of) == 0, 1.0, -1.0)
        reward = -sign * jnp.abs(state.places - level) - 0.1 * shout
        ended = state.time >= self.max_steps
        return self._observe(state, level), state, reward, jnp.asarray(False), ended, {}

    def _observe(self, state, level):
        relative = state.places[None, :] - state.places[:, None]
        others = jnp.asarray(~np.eye(3, dtype=bool))
        is_friend = jnp.asarray(np.equal.outer(self.teams_of, self.teams_of), jnp.float32)
        time = jnp.broadcast_to(state.time / self.max_steps, (3,))
        return {
            "self": jnp.stack([state.places, time], axis=-1),
            "lidar": jnp.stack([relative.min(1), relative.max(1), relative.min(1) + 1, state.places], axis=-1)[
                ..., None
            ],
            "others": {
                "features": jnp.stack([relative, is_friend], axis=-1),
                "visible": others & (jnp.abs(relative) < 1.0),
                "present": others,
            },
            "place": jnp.broadcast_to(level, (3, 1)),
        }
