"""How does a teacher build a maze, one action a step?

In one of three orders (`minied_envs.maze.design.MazeDesign`): walls first and the goal last, as in Dennis et al. 2020
(PAIRED, arXiv 2012.02096), DCD ("GoalLast") and minimax (``UEDMaze``); the goal first, as in jaxued (``MazeEditor``); and
edits of a level that is given. Where those repair what a teacher chose, the choice is left out here (the ``mask`` of the
observation), so that a design is what was chosen and its probability that of its actions:

- The agent is never put on the goal; all three then put it on another cell at random.
- Walls are never toggled on goal and agent, which does nothing in jaxued. In minimax without ``replace_wall_pos``, and here
  without ``replace_walls``, a wall on a wall goes elsewhere; here it cannot be chosen.
- A direction is one of four actions. minimax takes ``floor(4 a / H W)`` of the action a, jaxued ``a mod 4``, so that many
  actions do the same.
- The number of walls is the action itself, 0 to ``num_wall_steps``; minimax rounds ``num_wall_steps a / H W``. What is left
  of the wall steps does nothing, and has one action.

Letters: ``H W`` grid, ``K`` words a row of walls.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Observation
from minied.levels.designer import Designer
from minied.spaces import Box, Coded, Dict, Discrete, Mask
from minied_envs.grid import bitboard, tiles
from minied_envs.maze import design
from minied_envs.maze.design import MazeDesign
from minied_envs.maze.level import NO_TELEVISION, MazeLevel, make_level, passable, with_television


class DesignState(struct.PyTreeNode):
    """A maze that is being built. What is placed in it follows from the time."""

    time: jax.Array  # i32[], steps taken
    level: MazeLevel  # so far; goal, agent and television are placeholders until they are placed
    num_walls: jax.Array  # i32[], wall steps that count
    wants_television: jax.Array  # bool[], one was chosen, and its cell is next
    noise: jax.Array  # f32[n], in [0, 1), as seen last


@dataclasses.dataclass(frozen=True)
class MazeDesigner(Designer[MazeLevel, DesignState]):
    """Builds mazes of ``height × width`` cells. An action is a cell, ``row · W + col``, or a number (see `MazeDesign`)."""

    height: int
    width: int
    noisy_tv: bool = False
    options: MazeDesign = dataclasses.field(default_factory=MazeDesign)

    @property
    def max_steps(self) -> int:
        """Steps of a design."""
        return len(self._script) - 1

    @property
    def action_space(self) -> Discrete:
        """The cells."""
        return Discrete(self.height * self.width)

    @property
    def observation_space(self) -> Dict:
        """``image``, what is built, the agent without its direction; ``time``; ``noise`` if any; ``mask``."""
        margin = 2 if self.options.border else 0
        image = Coded((self.height + margin, self.width + margin), tiles.FEATURES)
        noise = (("noise", Box(0.0, 1.0, (self.options.noise_size,))),) * (self.options.noise_size > 0)
        mask = Mask(self.action_space.n)
        return Dict((("image", image), ("time", Discrete(self.max_steps + 1)), *noise, ("mask", mask)))

    @property
    def needs_level(self) -> bool:
        """Whether goal and agent are those of the level that is edited."""
        return self.options.order == "edits"

    def empty(self) -> MazeLevel:
        """Return the level without walls; goal at (0, 0) and agent at (1, 1) as in jaxued, if the grid has that cell."""
        start = jnp.asarray([min(1, self.height - 1), min(1, self.width - 1)], jnp.int32)
        walls = bitboard.empty(self.height, self.width)
        level = make_level(walls, start, jnp.zeros((), jnp.int32), jnp.zeros(2, jnp.int32))
        return with_television(level, self.noisy_tv)

    def reset(self, key: jax.Array, level: MazeLevel) -> tuple[Observation, DesignState]:
        """Return the first observation and state. Consumes ``key``.

        Building starts from the walls of ``level``. Edits keep the rest of it too; the other orders place goal, agent and
        television anew, and turn the agent to a random direction unless they choose it.
        """
        key_direction, key_noise = jax.random.split(key)
        level = with_television(level, self.noisy_tv)
        if self.options.order != "edits":
            direction = jax.random.randint(key_direction, (), 0, 4)
            level = level.replace(agent_direction=direction.astype(jnp.uint8))
            if self.noisy_tv:
                level = level.replace(television=jnp.full(2, NO_TELEVISION, jnp.uint8))
        num_walls = jnp.int32(self.options.num_wall_steps)
        noise = jax.random.uniform(key_noise, (self.options.noise_size,))
        state = DesignState(jnp.int32(0), level, num_walls, jnp.bool_(False), noise)
        return self._observe(state), state

    def build(self, key: jax.Array, state: DesignState, action: jax.Array) -> tuple[Observation, DesignState]:
        """Return the observation and the state after the decision of this step. Consumes ``key``."""
        kind = self._kind(state.time)
        state = state.replace(
            time=state.time + 1,
            level=self._built(kind, action, state),
            num_walls=jnp.where(kind == design.BUDGET, action, state.num_walls),
            wants_television=jnp.where(kind == design.HAS_TELEVISION, action == 1, state.wants_television),
        )
        if self.options.noise == "resampled":
            state = state.replace(noise=jax.random.uniform(key, state.noise.shape))
        return self._observe(state), state

    def level_of(self, state: DesignState) -> MazeLevel:
        """Return the level so far. Until goal and agent are placed, walls may stand where their placeholders are."""
        return state.level

    # -- the script ---------------------------------------------------------------------------------------------------

    @property
    def _script(self) -> tuple[int, ...]:
        """The kind of each step, and `design.DONE` past the last one."""
        return (*self.options.script(self.noisy_tv), design.DONE)

    def _kind(self, time: jax.Array) -> jax.Array:
        return jnp.asarray(np.array(self._script, np.int32))[time]

    def _is_placed(self, kind: int, time: jax.Array) -> jax.Array:
        """Return whether the step of ``kind`` is past, ``bool[]``; what has no step is there from the start."""
        return time > self._script.index(kind) if kind in self._script else jnp.bool_(True)

    def _counts(self, state: DesignState) -> jax.Array:
        """Return whether a wall step at this time is one of the number that was chosen, ``bool[]``."""
        return state.time - int(self.options.vary_num_walls) < state.num_walls

    # -- a step -------------------------------------------------------------------------------------------------------

    def _built(self, kind: jax.Array, action: jax.Array, state: DesignState) -> MazeLevel:
        """Return the level after the decision ``action`` of ``kind``."""
        level = state.level
        cell = jnp.stack([action // self.width, action % self.width]).astype(jnp.uint8)
        here = bitboard.cell(self.height, self.width, cell)
        walls = jnp.where((kind == design.WALL) & self._counts(state), level.walls | here, level.walls)
        walls = jnp.where(kind == design.TOGGLE, walls ^ here, walls)
        walls = jnp.where((kind == design.GOAL) | (kind == design.AGENT), walls & ~here, walls)
        direction = jnp.where(kind == design.DIRECTION, action.astype(jnp.uint8), level.agent_direction)
        level = level.replace(
            walls=walls,
            goal_position=jnp.where(kind == design.GOAL, cell, level.goal_position),
            agent_position=jnp.where(kind == design.AGENT, cell, level.agent_position),
            agent_direction=direction,
        )
        if not self.noisy_tv:
            return level
        is_placed_now = (kind == design.TELEVISION) & state.wants_television
        return level.replace(television=jnp.where(is_placed_now, cell, level.television))

    def _observe(self, state: DesignState) -> Observation:
        observation = {"image": self._image(state), "time": state.time, "noise": state.noise, "mask": self._mask(state)}
        return {name: observation[name] for name in self.observation_space.spaces}

    def _image(self, state: DesignState) -> jax.Array:
        """Return the tile codes of what is built, ``u8[H, W]``, or with the border one more on each side."""
        level = state.level
        codes = bitboard.unpack(level.walls, self.width).astype(jnp.uint8)  # EMPTY is 0 and WALL is 1
        # The television is nowhere until it is placed.
        marks = (
            (level.goal, tiles.GOAL, self._is_placed(design.GOAL, state.time)),
            (level.start, tiles.AGENT, self._is_placed(design.AGENT, state.time)),
            (level.television_cell, tiles.TELEVISION, jnp.bool_(True)),
        )
        for position, code, is_placed in marks[: 3 if self.noisy_tv else 2]:
            codes = jnp.where(self._is_at(position) & is_placed, jnp.uint8(code), codes)
        return jnp.pad(codes, 1, constant_values=tiles.WALL) if self.options.border else codes

    def _is_at(self, position: jax.Array) -> jax.Array:
        """Return the one cell at ``position`` (``i32[2]``), or none if it is not on the grid, ``bool[H, W]``."""
        rows = jnp.arange(self.height, dtype=jnp.int32)[:, None] == position[0]
        return rows & (jnp.arange(self.width, dtype=jnp.int32)[None, :] == position[1])

    # -- what is allowed ----------------------------------------------------------------------------------------------

    def _mask(self, state: DesignState) -> jax.Array:
        """Return the actions that are allowed now, ``bool[H W]``."""
        kind, allowed = self._kind(state.time), self._allowed(state)
        mask = allowed[design.DONE]
        for each in set(self._script):
            mask = jnp.where(kind == each, allowed[each], mask)
        return mask

    def _allowed(self, state: DesignState) -> Mapping[int, jax.Array]:
        """Return the actions that each kind of step would allow now, ``bool[H W]``."""
        level, index = state.level, jnp.arange(self.action_space.n, dtype=jnp.int32)
        only_first = index == 0
        goal, agent, television = (
            self._is_at(position).reshape(-1) for position in (level.goal, level.start, level.television_cell)
        )
        free = bitboard.unpack(passable(level, self.width), self.width).reshape(-1) & ~goal & ~agent
        return {
            design.BUDGET: index <= self.options.most_walls(self.height, self.width),
            design.WALL: self._allowed_walls(state, only_first),
            design.GOAL: jnp.ones_like(only_first),
            design.AGENT: ~goal,
            design.DIRECTION: index < 4,
            design.TOGGLE: ~goal & ~agent & ~television,
            design.HAS_TELEVISION: only_first | ((index == 1) & jnp.any(free)),
            design.TELEVISION: jnp.where(state.wants_television, free, only_first),
            design.DONE: only_first,
        }

    def _allowed_walls(self, state: DesignState, only_first: jax.Array) -> jax.Array:
        if self.options.replace_walls:
            allowed = jnp.ones_like(only_first)
        else:
            left = ~bitboard.unpack(state.level.walls, self.width).reshape(-1)
            # Of walls that were given there may be too many: then all steps left rebuild one.
            allowed = jnp.where(jnp.any(left), left, only_first)
        return jnp.where(self._counts(state), allowed, only_first) if self.options.vary_num_walls else allowed
