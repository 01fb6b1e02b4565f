"""Worlds of JaxMARL (Rutherford et al. 2024, arXiv 2311.10090): a level is the start that an environment's reset makes.

Agents stand on the agent axis in the library's order. Letters: ``N`` agents, ``n`` actions of an agent.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters import jaxmarl_particles as particles
from minied.adapters.base import (
    AdaptedEnvironment,
    Library,
    lenient,
    require_bins,
    require_finite,
    sampled_suite,
)
from minied.adapters.jaxmarl_export import as_jaxmarl as as_jaxmarl
from minied.adapters.jaxmarl_library import ENVIRONMENTS, LIBRARY, Made, known_of, made, teams_by_name
from minied.adapters.trees import require_finite_leaves, tree_from_text, tree_to_text, with_types
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Dict, Discrete, MultiDiscrete

PARTICLES = "MPE_"
"""What the names of particle worlds begin with."""


class JaxMARLState(struct.PyTreeNode):
    """A moment of an episode."""

    inner: Any  # the library's state
    time: jax.Array  # i32[], steps taken
    is_done: jax.Array  # bool[N], which agents are out of it


@dataclasses.dataclass(frozen=True)
class JaxMARL(AdaptedEnvironment[Any, JaxMARLState]):
    """An environment of JaxMARL, told its start and never reset by itself. Run with JaxMARL 0.2.0.

    An agent sees its own observation (a vector is filled up with zeros to the longest), which agent it is, and which actions
    it has where agents differ or the library tells. A time limit of the library's is taken off and replaced by ours, which
    truncates: MPE and SMAX otherwise end a step late. An agent that the library says is done is absent from then on, and so
    are those that it plays itself (the prey of facmac). Overcooked is reset at random, else all its levels were one.
    """

    id: str = "MPE_simple_tag_v3"
    """Which environment, as jaxmarl.make knows it."""
    set: tuple[str, ...] = ()
    """Arguments of the environment's class that are not as the library has them: NAME=VALUE (num_adversaries=2; Overcooked's
    layout=coord_ring; SMAX's scenario=3m)."""
    team_of_each: tuple[int, ...] = ()
    """The team of each agent; empty: by their names, adversaries and allies in team 0 and those against them in team 1."""
    max_steps: int = 0
    """Steps after which an episode is truncated; 0: the library's time limit, or 128 in Hanabi, which has none."""
    action_bins: int = 3
    """Values that each number of a continuous action can have (facmac)."""
    num_edits: int = 1
    """How many agents or landmarks a mutation of a level moves (MPE)."""
    edit_size: float = 0.3
    """How far along x and y, at most."""
    solved_return: float = 0.0
    """Mean return of team 0's agents from which an episode is solved, which is team 0's victory; 0: any that is positive."""

    library: ClassVar[Library] = LIBRARY
    offers: ClassVar[tuple[str, ...]] = (
        "mutate", "parameters", "is_valid", "describe", "draw", "to_text", "from_text", "suites",
    )  # fmt: skip
    """Of particle worlds. Others have to_text, from_text and suites."""

    def __post_init__(self) -> None:
        known_of(self.id)
        for field, least, most in (("max_steps", 0, 2**24), ("num_edits", 1, 2**24)):
            if not least <= getattr(self, field) < most:
                raise UserError(f"{field} is {getattr(self, field)}; allowed: {least} to {most - 1}")
        if not 0 < self.edit_size <= 2:
            raise UserError(f"edit_size is {self.edit_size}; allowed: more than 0, at most 2")
        require_bins(self.action_bins)
        require_finite("solved_return", self.solved_return)
        longest = self._own.max_steps if self.set else known_of(self.id).max_steps
        if self.max_steps == 0:
            object.__setattr__(self, "max_steps", longest)
        if self.id == "coin_game" and self.max_steps > longest:
            raise UserError(f"max_steps is {self.max_steps}; allowed for coin_game: at most {longest}, its outer steps")
        if self.team_of_each and (len(self.team_of_each) != self.num_agents or min(self.team_of_each) < 0):
            allowed = f"{self.num_agents} numbers from 0, one for each of {', '.join(self.agents)}"
            raise UserError(f"team_of_each is {self.team_of_each}; allowed: {allowed}, or none")

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents' names, in the order of the agent axis."""
        return self._own.agents if self.set else ENVIRONMENTS[self.id].agents

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def teams(self) -> tuple[int, ...]:
        """The team of each agent."""
        return self.team_of_each or teams_by_name(self.id, self.agents)

    @property
    def action_space(self) -> Discrete | MultiDiscrete:
        """The actions of the agent that has most; ``available`` tells which of them the others have."""
        return self.made.actions

    @property
    def observation_space(self) -> Dict:
        """``seen``; with several agents ``agent``, which it is; and ``available``, where not every action always is."""
        return self.made.observation_space

    @property
    def level_space(self) -> "JaxMARLLevels":
        """The starts."""
        return ParticleLevels(self) if self.id.startswith(PARTICLES) else JaxMARLLevels(self)

    @property
    def made(self) -> Made:
        """The library's object, made when it is first needed."""
        return made(self.id, self.set, self.max_steps, self.action_bins)

    @property
    def _own(self) -> Made:
        """The library's object with its own time limit."""
        return made(self.id, self.set, 0, self.action_bins)

    def reset(self, key: jax.Array, level: Any) -> tuple[Any, JaxMARLState]:
        """Return the level's start. Nothing is random: ``key`` is not used."""
        with lenient():
            observation = self.made.read(self.made.observed(level), level)
        return self._shown(observation), JaxMARLState(level, jnp.int32(0), jnp.zeros(self.num_agents, bool))

    def step(self, key: jax.Array, state: JaxMARLState, action: jax.Array, level: Any):
        """Step the environment by its `step_env`. Consumes ``key``."""
        known = self.made
        actions = known.action_of(action.reshape(self.num_agents))
        with lenient():
            observations, inner, rewards, dones, _ = known.env.step_env(key, state.inner, actions)
            inner = with_types(inner, known.state_form)
            observation = known.read(observations, inner)
        time = state.time + 1
        is_late = time >= self.max_steps
        terminated = jnp.bool_(False) if ENVIRONMENTS[self.id].is_endless else dones["__all__"]
        reward = jnp.stack([jnp.asarray(rewards[name], jnp.float32) for name in self.agents])
        is_done = jnp.stack([dones[name] for name in self.agents])
        info = self._present(state.is_done)
        state = JaxMARLState(inner, time, state.is_done | is_done)
        reward = reward if self.num_agents > 1 else reward[0]
        return self._shown(observation), state, reward, terminated, ~terminated & is_late, info

    def _present(self, is_done: jax.Array) -> dict[str, jax.Array]:
        """Return who took part in a step before which these agents were done, where it may not be all of them."""
        known = ENVIRONMENTS[self.id]
        if not (known.leaves or known.scripted):
            return {}
        plays = np.asarray([not (known.scripted and name.startswith(known.scripted)) for name in self.agents])
        present = ~is_done & plays
        return {"present": present | (~jnp.any(present) & plays)}

    def _shown(self, observation: Any) -> Any:
        """Return an observation without the agent axis, if there is one agent."""
        return observation if self.num_agents > 1 else jax.tree.map(lambda leaf: leaf[0], observation)

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the mean return of team 0 (the lowest, that is) reaches `solved_return`; of 0, is positive."""
        if self.num_agents > 1:
            episode_return = jnp.mean(episode_return[np.flatnonzero(np.asarray(self.teams) == min(self.teams))])
        return episode_return >= self.solved_return if self.solved_return else episode_return > 0


# -- levels ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class JaxMARLLevels(LevelSpace[Any]):
    """The starts of ``world``: states of the library."""

    world: JaxMARL

    def sample(self, key: jax.Array) -> Any:
        """Return a state that the environment's reset makes. Consumes ``key``."""
        known = self.world.made
        with lenient():
            return with_types(known.env.reset(key)[1], known.state_form)

    def to_text(self, level: Any) -> str:
        """Return the arrays as one line of JSON."""
        return tree_to_text(level)

    def from_text(self, text: str) -> Any:
        """Return the level that `to_text` wrote. Raises `UserError` naming the array that is wrong."""
        level = tree_from_text(text, self.world.made.state_form)
        require_finite_leaves(level)
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """Starts of the library."""
        return {"sampled": f"Starts that {self.world.id} is reset to, 32 levels."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        return sampled_suite(self.world, name, 32, seed=0x3A71, description=self.suites[name])


@dataclasses.dataclass(frozen=True)
class ParticleLevels(JaxMARLLevels):
    """The starts of a particle ``world``: where agents and landmarks are, and what else its reset draws."""

    def mutate(self, key: jax.Array, level: Any) -> Any:
        """Return ``level`` with an agent or a landmark moved, `num_edits` times. Consumes ``key``."""
        places = particles.moved(key, level.p_pos, self.world.num_edits, self.world.edit_size)
        return level.replace(p_pos=places)

    @property
    def parameters(self) -> particles.Places:
        """The positions."""
        return particles.Places(self.world)

    def is_valid(self, level: Any) -> jax.Array:
        """Return whether everything is within 1 of the middle along x and y, and the rest as at a start, ``bool[]``."""
        known = [jnp.all(each == 0) for each in (level.p_vel, level.c, level.step, level.done)]
        if level.goal is not None:
            known.append(jnp.all((level.goal >= 0) & (level.goal < self.world.made.env.num_landmarks)))
        return jnp.all(jnp.abs(level.p_pos) <= 1) & jnp.all(jnp.stack(known))

    def from_text(self, text: str) -> Any:
        """Return the level that `to_text` wrote. Raises `UserError` also for one that is not of this space."""
        level = super().from_text(text)
        if not bool(self.is_valid(level)):
            raise UserError(
                "a level has something outside or moving, a goal that is no landmark, or is under way; allowed: positions"
                " from -1 to 1, and the rest as at a start"
            )
        return level

    def describe(self, level: Any) -> dict[str, jax.Array]:
        """Return the least distance between opponents, and the mean one from an agent to its nearest landmark."""
        return particles.distances(level.p_pos, self.world.teams)

    def draw(self, level: Any, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[256, 256, 3]``: agents of team 0 red, others blue, landmarks grey."""
        positions = np.asarray((level if state is None else state.inner).p_pos)
        return particles.draw(positions, np.asarray(self.world.made.env.rad), self.world.teams)
