"""What do the tasks share? One agent, a hider, alone in an arena of hide and seek, under its rules and with its eyes.

The transfer suite of Baker et al. 2020 ("Emergent tool use from multi-agent autocurricula", arXiv 1909.07528), on a grid.
An agent sees what it would in hide and seek with the same options, in parts of the same names and numbers; the other
agents are never there. What hide and seek does not have, it sees as entities of further kinds. So a network of
hide and seek reads all that it knows, and what is new has parameters of its own.

Letters: ``H W`` grid, ``N = 2`` agents of which one is there, ``X`` boxes, ``R`` ramps, ``O = X + R`` objects.
"""

import abc
import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Environment
from minied.errors import UserError
from minied.spaces import Dict, Entities, MultiDiscrete
from minied_envs.hide_and_seek import novelty, observe, rules, sight
from minied_envs.hide_and_seek.generators import HideAndSeekLevels
from minied_envs.hide_and_seek.level import HideAndSeekLevel
from minied_envs.hide_and_seek.rules import STAY, HideAndSeekState
from minied_envs.hide_and_seek.tasks.level_space import TaskLevelSpace
from minied_envs.hide_and_seek.world import HideAndSeek

AGENT = 0  # its number in the arena

LevelT = TypeVar("LevelT", bound="TaskLevel")


class TaskLevel(struct.PyTreeNode):
    """An arena; tasks add what is theirs."""

    arena: HideAndSeekLevel  # with one hider and no seeker


class TaskState(struct.PyTreeNode):
    """What changes during an episode."""

    arena: HideAndSeekState
    progress: Any = ()  # what a task has to remember


class Verdict(struct.PyTreeNode):
    """What a step of a task was worth."""

    reward: jax.Array  # f32[]
    done: jax.Array  # bool[], whether the task is over
    progress: Any = ()  # of the state after the step


@dataclasses.dataclass(frozen=True)
class Task(Environment[LevelT, TaskState]):
    """A task for one agent. Subclass it, say what it is worth, and what is seen of its goal."""

    height: int = 9
    """Rows of the grid."""
    width: int = 9
    """Columns of the grid."""
    max_steps: int = 120
    """Steps of an episode."""
    max_boxes: int = 9
    """Boxes that there is room for in a level and in what is seen."""
    max_ramps: int = 1
    """Ramps likewise."""
    max_hiders: int = 2
    """Hiders of the hide and seek whose networks shall read this: what is seen has room for them. They are never there."""
    max_seekers: int = 2
    """Seekers likewise."""
    surf: bool = True
    """Whether an agent on top of a box can grab it and move with it."""
    ramps_lockable: bool = True
    """Whether ramps can be locked as boxes can."""
    field_of_view: float = 135.0
    """Degrees of the cone in which an agent sees; up to 180, or 360 for all around."""
    observation: observe.Kind = "entities"
    """As in hide and seek. entities is the one to go on from: a network for pictures alone knows no entities, as which
    goals are seen."""
    view_size: int = 9
    """Side of the picture in cells, odd, of `egocentric`."""
    lidar: int = 8
    """Directions in which an agent measures the distance to the next obstacle; 0: none."""
    lidar_reach: int = 8
    """Cells that it reaches."""

    def __post_init__(self) -> None:
        _ = self.arena, self._crowded  # hide and seek checks its options
        self.check()

    def check(self) -> None:
        """Raise `UserError` for a value out of the task's own range."""

    @property
    def arena(self) -> HideAndSeek:
        """The hide and seek in which the agent is alone; its one seeker is never present."""
        return self._hide_and_seek(1, 1)

    @property
    def _crowded(self) -> HideAndSeek:
        """The hide and seek whose agents see the same."""
        return self._hide_and_seek(self.max_hiders, self.max_seekers)

    def _hide_and_seek(self, max_hiders: int, max_seekers: int) -> HideAndSeek:
        names = ("height", "width", "max_steps", "max_boxes", "max_ramps", "surf", "ramps_lockable", "field_of_view")
        names += ("observation", "view_size", "lidar", "lidar_reach")
        options = {name: getattr(self, name) for name in names}
        levels = HideAndSeekLevels(scenario="open")
        return HideAndSeek(max_hiders=max_hiders, max_seekers=max_seekers, levels=levels, **options)

    @property
    def action_space(self) -> MultiDiscrete:
        """That of hide and seek."""
        return self.arena.action_space

    @property
    def observation_space(self) -> Dict:
        """That of hide and seek, and `goals`."""
        space = self._crowded.observation_space
        return Dict((*space.parts, *self.goals), privileged=space.privileged)

    @property
    def level_space(self) -> TaskLevelSpace:
        """The levels of the task."""
        return TaskLevelSpace(self)

    def reset(self, key: jax.Array, level: LevelT) -> tuple[Any, TaskState]:
        """Return the first observation and the state. Nothing is random: ``key`` is not used."""
        state = self.start(level)
        return self._observe(level, state), state

    def step(self, key: jax.Array, state: TaskState, action: jax.Array, level: LevelT):
        """Let the agent have its turn. Nothing is random: ``key`` is not used."""
        arena = self.act(level, state, action)
        verdict = self.judge(level, state, arena)
        after = TaskState(arena, verdict.progress)
        truncated = ~verdict.done & (arena.time >= self.max_steps)
        statistics = self.statistics(level, after)
        info = {"novelty": novelty.of_boxes(level.arena, arena, self.width)}
        info = info | ({"statistics": statistics} if statistics else {})
        return self._observe(level, after), after, verdict.reward, verdict.done, truncated, info

    # -- what a task says of itself -------------------------------------------------------------------------------------

    @property
    def goals(self) -> tuple[tuple[str, Entities], ...]:
        """Kinds of entities, by name, that hide and seek does not have."""
        return ()

    def see_goals(self, level: LevelT, state: TaskState) -> dict[str, Any]:
        """Return what is seen of `goals`, one value each."""
        return {}

    def start(self, level: LevelT) -> TaskState:
        """Return the state at the start of an episode."""
        return TaskState(rules.initial_state(level.arena))

    def act(self, level: LevelT, state: TaskState, action: jax.Array) -> HideAndSeekState:
        """Return the arena one step later."""
        move, grab, lock = self.action_space.split(action)
        alone = level.arena.agent_present
        actions = jnp.where(alone, move, STAY), alone & (grab == 1), alone & (lock == 1)
        ruled = level.arena.replace(has_locks=self.can_be_locked(level, state))
        turns = jnp.full(1, AGENT, jnp.int32)  # nobody else has one
        after, _ = rules.play_turns(self.arena, ruled, state.arena, turns, actions)
        return after.replace(time=state.arena.time + 1)

    def can_be_locked(self, level: LevelT, state: TaskState) -> jax.Array:
        """Return which objects' locks can be turned now, ``bool[]`` or ``bool[O]``."""
        return level.arena.has_locks

    @abc.abstractmethod
    def judge(self, level: LevelT, state: TaskState, arena: HideAndSeekState) -> Verdict:
        """Return what the step from ``state`` to ``arena`` was worth."""

    def statistics(self, level: LevelT, state: TaskState) -> dict[str, jax.Array]:
        """Return numbers of the episode that ends with ``state``, ``f32[]`` each."""
        return {}

    @abc.abstractmethod
    def sample_level(self, key: jax.Array) -> LevelT:
        """Return a random level. Consumes ``key``."""

    def describe_level(self, level: LevelT) -> dict[str, jax.Array]:
        """Return named features of a level, ``f32[]`` each."""
        return {}

    def name_level(self, level: LevelT) -> str:
        """Return the line under which evaluations report a level. Host only."""
        return "held out"

    def marks(self, level: LevelT) -> list[tuple[int, int]]:
        """Return the cells to mark in a picture of a level, (row, col) each. Host only."""
        return []

    # -------------------------------------------------------------------------------------------------------------------

    def _observe(self, level: LevelT, state: TaskState) -> dict[str, Any]:
        sees = sight.visible(self.arena, level.arena, state.arena)
        of_all = observe.observe(self.arena, level.arena, state.arena, *sees)
        observation: dict[str, Any] = {
            name: jax.tree.map(lambda leaf: leaf[AGENT], part) for name, part in of_all.items()
        }
        parts = self._crowded.observation_space.spaces
        if isinstance(others := parts.get("agents"), Entities):
            nobody = jnp.zeros(others.number, bool)
            features = jnp.zeros((others.number, others.num_features))
            observation |= {"agents": {"features": features, "visible": nobody, "present": nobody}}
        return observation | self.see_goals(level, state)

    def offsets(self, state: TaskState, positions: jax.Array) -> jax.Array:
        """Return where ``positions`` ``i32[n, 2]`` are from the agent, in parts of the grid's larger side, ``f32[n, 2]``."""
        return (positions - state.arena.positions[AGENT][None, :]).astype(jnp.float32) / max(self.height, self.width)

    def check_room(self, name: str, kind: str) -> None:
        """Raise `UserError` unless there is room for as many boxes or ramps (``kind``) as option ``name`` says, or none."""
        most, number = getattr(self, f"max_{kind}"), getattr(self, name)
        if not 1 <= number <= most:
            raise UserError(f"{name} is {number}; allowed: 1 to {most} (max_{kind})")


def always_seen(features: jax.Array, present: jax.Array) -> dict[str, jax.Array]:
    """Return entities, features ``f32[E, F]``, that are seen wherever they are, if they are present, ``bool[E]``."""
    return {"features": features, "visible": present, "present": present}


def distance(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the Euclidean distance of positions ``i32[..., 2]`` in cells, ``f32[...]``."""
    return jnp.sqrt(jnp.sum(jnp.square((one - other).astype(jnp.float32)), axis=-1))
