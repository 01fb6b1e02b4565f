"""How does hide and seek behave? Two teams, boxes, ramps and locks on a grid with heights.

After Baker et al. 2020 ("Emergent tool use from multi-agent autocurricula", arXiv 1909.07528): hiders are rewarded while no
seeker sees one of them, and have some time to prepare in which seekers cannot move. Things can be dragged and locked; over a
ramp an agent comes on top of boxes and low walls, looks over them, and with ``surf`` rides a box that it grabs.

Deviations from the released game, whose physics are continuous: a grid with heights 0, 1 and 2; agents take turns in a
random order; an agent looks where it last tried to go; a lock is toggled by whoever stands before the thing, instead of
a vote held every step; who drags a thing takes it out of other hands, and one with somebody on it does not move. The
observation also tells how far the episode is.

Letters: ``N`` agents (hiders first), ``X`` boxes, ``R`` ramps, ``O = X + R`` objects.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment, Milestone
from minied.errors import UserError
from minied.spaces import Dict, MultiDiscrete
from minied_envs.hide_and_seek import detectors, novelty, observe, rules, sight
from minied_envs.hide_and_seek.generators import HideAndSeekLevels
from minied_envs.hide_and_seek.level import HIDERS, MAX_SIDE, MIN_SIDE, SEEKERS, HideAndSeekLevel
from minied_envs.hide_and_seek.rewards import Reward, rewards
from minied_envs.hide_and_seek.rules import STAY, HideAndSeekState

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.level_space import HideAndSeekLevelSpace


@dataclasses.dataclass(frozen=True)
class HideAndSeek(Environment[HideAndSeekLevel, HideAndSeekState]):
    """Hiders and seekers in an arena with boxes, ramps and locks."""

    height: int = 12
    """Rows of the grid."""
    width: int = 12
    """Columns of the grid."""
    max_steps: int = 80
    """Steps of an episode, T, preparation among them."""
    max_hiders: int = 2
    """Hiders that a level has at most."""
    max_seekers: int = 2
    """Seekers that a level has at most."""
    max_boxes: int = 2
    """Boxes that a level has at most, X."""
    max_ramps: int = 1
    """Ramps that a level has at most, R."""
    preparation: float = 0.4
    """Share of an episode in which seekers cannot move and nothing is rewarded, in levels that have preparation."""
    reward: Reward = "joint_zero_sum"
    """joint_zero_sum: hiders +1 while none of them is seen, else -1, seekers the negative. selfish: each by itself.
    joint_mean: the mean of these over the team."""
    surf: bool = True
    """Whether an agent on top of a box can grab it and move with it."""
    ramps_lockable: bool = True
    """Whether ramps can be locked as boxes can."""
    field_of_view: float = 135.0
    """Degrees of the cone in which an agent sees; up to 180, or 360 for all around."""
    margin: int = 0
    """Cells around the arena; who is in them has left it."""
    leaving_penalty: float = 10.0
    """Takes the place of the reward of an agent that has left the arena, negated; without a margin nobody can."""
    penalize_objects: bool = False
    """Whether all agents pay the penalty while a box or a ramp is outside of the arena."""
    observation: observe.Kind = "entities"
    """entities: lists of agents, boxes and ramps. egocentric: a picture of what is around the agent, for a convolution;
    with a small view cheaper than attention over lists, though not than pooling them."""
    view_size: int = 9
    """Side of the picture in cells, odd, of `egocentric`."""
    lidar: int = 8
    """Directions in which an agent measures the distance to the next obstacle; 0: none."""
    lidar_reach: int = 8
    """Cells that it reaches."""
    levels: HideAndSeekLevels = dataclasses.field(default_factory=HideAndSeekLevels)
    """How levels are drawn and edited."""

    def __post_init__(self) -> None:
        bounds = {
            "height": (MIN_SIDE, MAX_SIDE),
            "width": (MIN_SIDE, MAX_SIDE),
            "max_steps": (2, 2**16),
            "max_hiders": (1, 3),
            "max_seekers": (1, 3),
            "max_boxes": (0, 9),
            "max_ramps": (0, 4),
            "preparation": (0.0, 0.9),
            "leaving_penalty": (0.0, 1e6),
            "lidar_reach": (1, MAX_SIDE),
            "margin": (0, (min(self.height, self.width) - MIN_SIDE) // 2),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: {low} to {high}")
        if self.lidar and not 4 <= self.lidar <= 64:
            raise UserError(f"lidar is {self.lidar}; allowed: 0, or 4 to 64")
        if not (0.0 < self.field_of_view <= 180.0 or self.field_of_view == 360.0):
            raise UserError(f"field_of_view is {self.field_of_view}; allowed: more than 0 to 180, or 360")
        if self.view_size < 3 or self.view_size % 2 == 0:
            raise UserError(f"view_size is {self.view_size}; allowed: odd numbers from 3")
        for name, kinds in (("reward", get_args(Reward)), ("observation", get_args(observe.Kind))):
            if getattr(self, name) not in kinds:
                raise UserError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(kinds)}")
        if self.penalize_objects and not self.margin:
            raise UserError("penalize_objects is True with margin 0; allowed: with a margin, where things can be left")
        self.levels.check_fits(self)

    solved_means = "won by the hiders"

    @property
    def num_agents(self) -> int:  # type: ignore[override]  # a constant in worlds whose number is one
        """``N``, absent ones among them."""
        return self.max_hiders + self.max_seekers

    @property
    def teams(self) -> tuple[int, ...]:
        """0 for hiders, which come first, 1 for seekers."""
        return (HIDERS,) * self.max_hiders + (SEEKERS,) * self.max_seekers

    @property
    def milestones(self) -> tuple[Milestone, ...]:  # type: ignore[override]  # a constant in other worlds
        """The phases that may emerge, see `minied_envs.hide_and_seek.detectors`."""
        return detectors.phases_of(self)

    @property
    def is_hider(self) -> np.ndarray:
        """Which agents are hiders, ``bool[N]``."""
        return np.asarray(self.teams) == HIDERS

    @property
    def action_space(self) -> MultiDiscrete:
        """Move (stay, east, south, west, north), grab (let go, hold), lock (nothing, turn the lock)."""
        return MultiDiscrete((5, 2, 2))

    @property
    def observation_space(self) -> Dict:
        """See `minied_envs.hide_and_seek.observe`."""
        return observe.observation_space(self)

    @property
    def level_space(self) -> "HideAndSeekLevelSpace":
        """The levels of arenas of this kind."""
        from minied_envs.hide_and_seek.level_space import HideAndSeekLevelSpace

        return HideAndSeekLevelSpace(self)

    def preparation_steps(self, level: HideAndSeekLevel) -> jax.Array:
        """Return the steps in which seekers wait, ``i32[]``."""
        return jnp.where(level.has_preparation, self.end_of_preparation, 0)

    @property
    def end_of_preparation(self) -> int:
        """The step that preparation ends with, in levels that have it; the detectors' in all."""
        return int(self.preparation * self.max_steps + 1e-9)

    @property
    def fill_sweeps(self) -> int:
        """Cells by which the fort is filled in a step: enough that no path is too long for the steps that are left."""
        return math.ceil(self.height * self.width / (self.max_steps - self.end_of_preparation))

    def reset(self, key: jax.Array, level: HideAndSeekLevel) -> tuple[Any, HideAndSeekState]:
        """Return the first observations and the state. Nothing is random: ``key`` is not used."""
        state = rules.initial_state(level)
        state = state.replace(record=detectors.start(self, level, state))
        return observe.observe(self, level, state, *sight.visible(self, level, state)), state

    def step(self, key: jax.Array, state: HideAndSeekState, action: jax.Array, level: HideAndSeekLevel):
        """Let every agent have its turn, in an order drawn from ``key``. Consumes ``key``; never terminates."""
        counts = state.time >= self.preparation_steps(level)
        acts = level.agent_present & (self.is_hider | counts)
        move, grab, lock = self.action_space.split(action)
        actions = jnp.where(acts, move, STAY), acts & (grab == 1), acts & (lock == 1)
        after, surfed = rules.play_turns(self, level, state, rules.turn_order(key, self.num_agents), actions)
        after = after.replace(time=state.time + 1)
        sees_agents, sees_objects = sight.visible(self, level, after)
        after = after.replace(record=detectors.after_step(self, level, state, after, sees_agents, surfed))
        reward = rewards(self, level, after, sees_agents, counts)
        observation = observe.observe(self, level, after, sees_agents, sees_objects)
        info = {"present": level.agent_present, "statistics": detectors.statistics(self, level, after)}
        info["novelty"] = novelty.of_boxes(level, after, self.width)
        return observation, after, reward, jnp.bool_(False), after.time >= self.max_steps, info

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the hiders won, ``bool[]``: with a positive mean return.

        With joint rewards of zero sum and without a margin: unseen for more than half of the steps that count.
        """
        return jnp.sum(jnp.where(self.is_hider, episode_return, 0.0)) > 0
