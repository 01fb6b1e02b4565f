"""How does a maze behave? The partially observable maze of MiniGrid as environment design has used it since PAIRED.

Sources: Dennis et al. 2020 (PAIRED, arXiv 2012.02096) and its successors DCD, minimax and jaxued, which agree on these
dynamics. The agent turns and walks, and is rewarded when it moves into the goal; unlike in MiniGrid it then stays where
it is. Time-outs are `truncated`, not `terminated` as in minimax and jaxued, so that a learner may bootstrap.

With ``noisy_tv`` a level may have a television, the noisy one of Burda et al. 2018 (arXiv 1808.04355) as a teacher meets it
in Kanitscheider and Edwards 2022 (AutoDIME, arXiv 2203.02481): moving into its cell ends the episode, and a fair coin
decides whether that is worth what the goal would be, or nothing. Nobody can learn to predict it, which attracts a teacher
that is paid for errors of prediction.

Letters: ``H W`` grid, ``v`` view.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Environment
from minied.errors import UserError
from minied.spaces import Coded, Dict, Discrete
from minied_envs.grid import bitboard, moves, tiles, view
from minied_envs.maze.design import MazeDesign
from minied_envs.maze.generators import MazeLevels
from minied_envs.maze.level import MazeLevel

if TYPE_CHECKING:
    from minied_envs.maze.level_space import MazeLevelSpace

Observation = dict[str, jax.Array]


class MazeState(struct.PyTreeNode):
    """What changes during an episode; the rest is in the level."""

    position: jax.Array  # i32[2] (row, col) of the agent
    direction: jax.Array  # i32[]
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class Maze(Environment[MazeLevel, MazeState]):
    """A maze of walls with one goal, seen through a small window in front of the agent."""

    height: int = 13
    """Rows of the grid, without the border."""
    width: int = 13
    """Columns of the grid, without the border."""
    max_steps: int = 250
    """Steps after which an episode is truncated, T."""
    view_size: int = 5
    """Side of the square that the agent sees, odd."""
    num_actions: int = 7
    """7 for MiniGrid's actions, of which the last four do nothing here and cost a step, or 3 for those that move."""
    time_penalty: bool = True
    """Reward the goal with 1 - 0.9 n / T after n steps; if false, with 1."""
    noisy_tv: bool = False
    """Levels may have a television: entering its cell ends the episode, rewarded as the goal by the toss of a coin."""
    levels: MazeLevels = dataclasses.field(default_factory=MazeLevels)
    """How levels are drawn and edited."""
    design: MazeDesign = dataclasses.field(default_factory=MazeDesign)
    """How a teacher builds a level, of teachers that do."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 1 <= getattr(self, name) <= bitboard.MAX_SIDE:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: 1 to {bitboard.MAX_SIDE}")
        if self.height * self.width < 2:
            raise UserError(f"height x width is {self.height}x{self.width}; allowed: at least 2 cells")
        check_options(self.max_steps, self.view_size, self.num_actions)
        self.levels.check_fits(self.height, self.width)
        self.design.check_fits(self.height, self.width, self.noisy_tv)

    @property
    def action_space(self) -> Discrete:
        """Turn left, turn right, forward, and with 7 actions four that do nothing."""
        return Discrete(self.num_actions)

    @property
    def observation_space(self) -> Dict:
        """See `observation_space_of`."""
        return observation_space_of(self.view_size)

    @property
    def level_space(self) -> "MazeLevelSpace":
        """The levels of a maze of this size."""
        from minied_envs.maze.level_space import MazeLevelSpace

        return MazeLevelSpace(self)

    def reset(self, key: jax.Array, level: MazeLevel) -> tuple[Observation, MazeState]:
        """Return the first observation and state. Nothing is random: ``key`` is not used."""
        state = MazeState(level.start, level.direction, jnp.int32(0))
        return self._observe(state, level), state

    def step(self, key: jax.Array, state: MazeState, action: jax.Array, level: MazeLevel):
        """Turn, walk, or only let time pass. Consumes ``key``, which only a television uses."""
        target = moves.ahead(state.position, state.direction)
        is_forward = action == moves.FORWARD
        at_goal = moves.same(target, level.goal)
        at_end = at_goal if level.television is None else at_goal | moves.same(target, level.television_cell)
        is_blocked = at_end | bitboard.get(level.walls, self.width, target[0], target[1], outside=True)
        state = MazeState(
            position=jnp.where(is_forward & ~is_blocked, target, state.position),
            direction=moves.turn(state.direction, action),
            time=state.time + 1,
        )
        terminated = is_forward & at_end
        truncated = ~terminated & (state.time >= self.max_steps)
        is_paid = terminated
        if level.television is not None:
            is_paid = terminated & (at_goal | jax.random.bernoulli(key))
        reward = jnp.where(is_paid, goal_reward(state.time, self.max_steps, self.time_penalty), 0.0)
        return self._observe(state, level), state, reward, terminated, truncated, {}

    def _observe(self, state: MazeState, level: MazeLevel) -> Observation:
        marks = ((level.goal, tiles.GOAL),)
        if level.television is not None:
            marks = (*marks, (level.television_cell, tiles.TELEVISION))
        codes = view.crop(level.walls, self.width, marks, state.position, state.direction, self.view_size)
        return {"view": codes, "direction": state.direction}


def goal_reward(steps: jax.Array, max_steps: int, time_penalty: bool) -> jax.Array:
    """Return the reward of moving into the goal as the ``steps``-th action, ``f32[]``: 1 - 0.9 steps / T, or 1."""
    if not time_penalty:
        return jnp.float32(1)
    return 1.0 - 0.9 * steps.astype(jnp.float32) / max_steps


def observation_space_of(view_size: int) -> Dict:
    """Return the space of ``view``, the tiles in front of the agent ``u8[v, v]``, and of its ``direction``, ``i32[]``."""
    codes = Coded((view_size, view_size), tiles.FEATURES)
    return Dict((("view", codes), ("direction", Discrete(4))))


def check_options(max_steps: int, view_size: int, num_actions: int) -> None:
    """Raise `UserError` if an option that all mazes have is out of range."""
    if not 1 <= max_steps < 2**24:  # a count of steps is exact as float32
        raise UserError(f"max_steps is {max_steps}; allowed: 1 to {2**24 - 1}")
    if view_size < 1 or view_size % 2 == 0:
        raise UserError(f"view_size is {view_size}; allowed: odd numbers from 1")
    if num_actions not in (3, 7):
        raise UserError(f"num_actions is {num_actions}; allowed: 3, 7")
