"""The contract between a world and everything else.

A world is an `Environment`: a frozen, hashable description with pure functions. It is told its level, it never chooses
one, and it never resets itself; the rollout does both. Letters: ``N`` agents.

An author of a world with one agent never writes an agent axis. An author of a world with several writes it as the
leading axis of each observation leaf, of the action and of the reward. The rest of minied always sees the axis, through
`with_agent_axis`.
"""

import abc
import dataclasses
import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jax

from minied.errors import UserError
from minied.spaces import ActionSpace, Space

if TYPE_CHECKING:
    from minied.levels.space import LevelSpace

LevelT = TypeVar("LevelT")
StateT = TypeVar("StateT")
Observation = Any  # the pytree that `observation_space` describes


@dataclasses.dataclass(frozen=True)
class Milestone:
    """A phase of behaviour that may emerge: a statistic of episodes (see `Environment.step`) beyond a threshold."""

    name: str
    statistic: str
    """Its name in ``info["statistics"]``."""
    threshold: float
    """That its moving average over evaluations has to be above; see `minied.run.milestones`."""
    below: bool = False
    """Whether it has to be below instead."""
    description: str = ""
    """What it means, in a sentence."""

    def __post_init__(self) -> None:
        for field in ("name", "statistic"):
            if not getattr(self, field):
                raise UserError(f"{field} of a milestone is {getattr(self, field)!r}; allowed: a name")
        if not math.isfinite(self.threshold):
            raise UserError(f"threshold of the milestone {self.name!r} is {self.threshold}; allowed: a finite number")


class Environment(abc.ABC, Generic[LevelT, StateT]):
    """A world: subclass as a frozen dataclass whose fields are its options, each with a default.

    The fields are the world's command-line options (``--env.height 9``) and part of the run's fingerprint. Check them in
    ``__post_init__`` and raise `minied.errors.UserError`. Instances must be hashable: they are static under ``jit``.
    """

    num_agents: int = 1
    """How many agents act at each step, ``N``. A property or class constant, never an option that may differ by level."""

    milestones: tuple[Milestone, ...] = ()
    """Phases of behaviour that may emerge, in the order in which they are told. A property or class constant."""

    solved_means: str = "solved"
    """What a solved episode is, as a person reads it: "25% of new levels solved". A class constant."""

    has_rewards: bool = True
    """Whether anything is ever rewarded; not in a world that only asks a question (``info["label"]``). A class constant."""

    @property
    def teams(self) -> tuple[int, ...]:
        """The team of each agent, ``N`` integers. All agents share team 0 unless a world says otherwise."""
        return (0,) * self.num_agents

    @property
    @abc.abstractmethod
    def max_steps(self) -> int:
        """Steps after which an episode is truncated."""

    @property
    @abc.abstractmethod
    def action_space(self) -> ActionSpace:
        """The actions of one agent."""

    @property
    @abc.abstractmethod
    def observation_space(self) -> Space:
        """The observation of one agent."""

    @property
    @abc.abstractmethod
    def level_space(self) -> "LevelSpace[LevelT]":
        """What can be done with this world's levels."""

    @abc.abstractmethod
    def reset(self, key: jax.Array, level: LevelT) -> tuple[Observation, StateT]:
        """Return the first observation and state of an episode on ``level``. Consumes ``key``."""

    @abc.abstractmethod
    def step(
        self, key: jax.Array, state: StateT, action: jax.Array, level: LevelT
    ) -> tuple[Observation, StateT, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Advance one step.

        Args:
            key: consumed.
            state: of the episode so far.
            action: ``i32[]`` with one agent, ``i32[N]`` with several.
            level: the level that the state was reset to; constant during an episode.

        Returns:
            ``(observation, state, reward, terminated, truncated, info)``. The observation is the true one after the
            step, also when the episode ended. ``reward`` is ``f32[]`` (``f32[N]`` with several agents). ``terminated``
            and ``truncated`` are ``bool[]``, shared by the agents and never both true: an episode that reaches its end
            and its last step at once is terminated.

        With several agents ``info`` may hold ``present``, ``bool[N]``: which of them took part in this step, at least
        one. Scores and the returns of episodes are then means over those, and students learn from those alone. (A
        memory still holds what an agent saw while it was away.) Without it all do.

        ``info`` may hold ``statistics``, a dict of named ``f32[]``, the same names at every step: what is to be known of an
        episode beyond its return (how far a box was moved, say). What they are at its last step is logged, in training as
        ``new/episode/NAME`` (by source of the levels), and of every evaluation as ``statistics``; a world keeps in its state
        what they are made of. NaN: not defined for this episode.

        ``info`` may hold ``novelty``, ``u32[2]``: a hash of the state after the step (`minied.levels.space.hash_words`),
        equal for states that are the same to who explores. A bonus that counts states reads it (``TrainConfig.bonus``).

        ``info`` may hold ``achievements``, ``bool[K]``: which of the K tasks of the level space (`minied.levels.tasks`), in
        their order, this step did for the first time in the episode, as far as it is not what the episode rewards by itself:
        of items to find, those that came into the agent's hands, the one that it was sent for left out. A bonus for
        achievements reads it.

        ``info`` may hold ``label``, ``i32[]`` from 0: the answer to a question of the world's, which `minied probe` tries to
        read off a policy's memory.
        """

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether an episode with this undiscounted return counts as solved, ``bool[]``.

        ``episode_return`` is ``f32[]`` with one agent and ``f32[N]`` with several. By default a level is solved when the
        return, averaged over agents, is positive, as in the maze literature.
        """
        return episode_return.mean() > 0


@dataclasses.dataclass(frozen=True)
class _SingleAgentView(Environment):
    """A single-agent world seen with an agent axis of length 1."""

    inner: Environment

    @property
    def max_steps(self) -> int:
        return self.inner.max_steps

    @property
    def action_space(self) -> ActionSpace:
        return self.inner.action_space

    @property
    def observation_space(self) -> Space:
        return self.inner.observation_space

    @property
    def level_space(self) -> "LevelSpace":
        return self.inner.level_space

    def reset(self, key: jax.Array, level: Any) -> tuple[Observation, Any]:
        observation, state = self.inner.reset(key, level)
        return _add_axis(observation), state

    def step(self, key: jax.Array, state: Any, action: jax.Array, level: Any):
        observation, state, reward, terminated, truncated, info = self.inner.step(key, state, action[0], level)
        return _add_axis(observation), state, reward[None], terminated, truncated, info

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        return self.inner.is_solved(episode_return[0])


def with_agent_axis(env: Environment) -> Environment:
    """Return ``env`` itself if it has several agents, else a view of it whose arrays carry an agent axis of 1."""
    if env.num_agents < 1:
        raise UserError(f"num_agents of {type(env).__name__} is {env.num_agents}; allowed: at least 1")
    return _SingleAgentView(env) if env.num_agents == 1 and not isinstance(env, _SingleAgentView) else env


def _add_axis(observation: Observation) -> Observation:
    return jax.tree.map(lambda leaf: leaf[None], observation)
