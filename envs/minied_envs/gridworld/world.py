"""How does the gridworld behave? As MiniGrid does, step for step.

Source: Chevalier-Boisvert et al. 2023 (MiniGrid, arXiv 2306.13831), version 3.2. The agent turns and walks; picks up the
object in front of it, one at a time, and drops it on an empty cell; and toggles what is in front of it: doors open and
close, locked ones only for who carries the key of their colour, and a box gives way to what is in it. Moving onto a goal
ends an episode with 1 − 0.9 n / T after n of T steps, moving into lava with nothing.

Deviations: time-outs are `truncated` and never both, so that a learner may bootstrap; nothing can be dropped on the two
answers of a memory task (there, nothing can be carried either); and a mission names a kind and a colour, not one thing: to
pick up the red ball is to pick up any red ball. In MiniGrid's own levels there is just one. The border is a wall
everywhere; MiniGrid leaves some cells of it open in MultiRoom, where walls would have to be seen through to tell.

Letters: ``H W`` grid, ``v`` view.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.errors import UserError
from minied.levels.space import hash_words
from minied.spaces import Coded, Dict, Discrete
from minied_envs.grid import bitboard, moves, occlusion, view
from minied_envs.grid.once import once
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.families import GridLevels
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import LONGEST, GridLevel

if TYPE_CHECKING:
    from minied_envs.gridworld.level_space import GridLevelSpace

Observation = dict[str, jax.Array]
PICK_UP, DROP, TOGGLE, DONE = range(3, 7)  # the actions after those of minied_envs.grid.moves; the last does nothing


class GridState(struct.PyTreeNode):
    """What changes during an episode; mission and limit are in the level."""

    cells: jax.Array  # u8[H, W]
    position: jax.Array  # i32[2] (row, col) of the agent
    direction: jax.Array  # i32[]
    carrying: jax.Array  # i32[], the code of an object, or EMPTY
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class GridWorld(Environment[GridLevel, GridState]):
    """Rooms, doors, keys, balls, boxes, lava and goals, seen through a small window in front of the agent."""

    height: int = 6
    """Rows of the grid, without the border: two less than MiniGrid counts."""
    width: int = 6
    """Columns of the grid, without the border."""
    max_steps: int = 0
    """Steps after which an episode is truncated at the latest; levels have limits of their own. 0: as many as those have."""
    view_size: int = 7
    """Side of the square that the agent sees, odd."""
    see_through_walls: bool = False
    """Whether the agent sees what is behind walls and closed doors; MiniGrid's Empty has it so, its other families not."""
    levels: GridLevels = dataclasses.field(default_factory=GridLevels)
    """Which levels are drawn, and how they are edited."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 1 <= getattr(self, name) <= bitboard.MAX_SIDE:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: 1 to {bitboard.MAX_SIDE}")
        if not 0 <= self.max_steps <= LONGEST:
            raise UserError(f"max_steps is {self.max_steps}; allowed: 0 to {LONGEST}")
        if not 3 <= self.view_size <= 31 or self.view_size % 2 == 0:
            raise UserError(f"view_size is {self.view_size}; allowed: odd numbers from 3 to 31")
        family = self.family  # which is refused if it does not fit
        if self.levels.description and self.levels.solvable_only:
            from minied_envs.gridworld.level_space import require_solvable

            require_solvable(family)
        if self.max_steps == 0:
            object.__setattr__(self, "max_steps", family.max_steps)

    @property
    def family(self) -> Family:
        """What levels are drawn from."""
        return self.levels.family_of(self.height, self.width)

    @property
    def action_space(self) -> Discrete:
        """MiniGrid's: turn left, turn right, forward, pick up, drop, toggle, done (which does nothing)."""
        return Discrete(DONE + 1)

    @property
    def observation_space(self) -> Dict:
        """``view``, ``u8[v, v]``; ``direction``, ``i32[]``; ``mission``, ``u8[]``, a goal vector when it is decoded.

        The agent sees what it carries in its own cell of the view, as in MiniGrid.
        """
        seen = Coded((self.view_size, self.view_size), codes.FEATURES)
        return Dict((("view", seen), ("direction", Discrete(4)), ("mission", Coded((), missions.FEATURES))))

    @property
    def level_space(self) -> "GridLevelSpace":
        """The levels of grids of this size."""
        from minied_envs.gridworld.level_space import GridLevelSpace

        return GridLevelSpace(self)

    def reset(self, key: jax.Array, level: GridLevel) -> tuple[Observation, GridState]:
        """Return the first observation and state. Nothing is random: ``key`` is not used."""
        state = GridState(level.cells, level.start, level.direction, jnp.int32(codes.EMPTY), jnp.int32(0))
        return self._observe(state, level), state

    def step(self, key: jax.Array, state: GridState, action: jax.Array, level: GridLevel):
        """Act on what is in front of the agent. Nothing is random: ``key`` is not used."""
        target = moves.ahead(state.position, state.direction)
        before = self._read(state.cells, target)
        carrying, task = state.carrying, level.task
        # In MiniGrid's memory task picking up does what toggling does.
        is_match = task == missions.GO_TO_MATCH
        is_toggle = (action == TOGGLE) | ((action == PICK_UP) & is_match)
        is_empty_handed = carrying == codes.EMPTY
        picks_up = (action == PICK_UP) & ~is_match & codes.is_object(before) & is_empty_handed
        drops = (action == DROP) & (before == codes.EMPTY) & ~is_empty_handed
        walks = (action == moves.FORWARD) & codes.is_walkable(before)

        after = jnp.where(is_toggle, codes.toggled(before, carrying), before)
        after = jnp.where(picks_up, codes.EMPTY, jnp.where(drops, carrying, after))
        wins = walks & ((before == codes.GOAL) | (before == codes.RIGHT_ANSWER))
        wins = wins | (picks_up & missions.is_picked_up(task, before)) | missions.is_opened(task, before, after)
        loses = walks & ((before == codes.LAVA) | (before == codes.WRONG_ANSWER))

        state = GridState(
            cells=self._write(state.cells, target, after),
            position=jnp.where(walks, target, state.position),
            direction=moves.turn(state.direction, action),
            carrying=jnp.where(picks_up, before, jnp.where(drops, codes.EMPTY, carrying)),
            time=state.time + 1,
        )
        horizon = level.horizon(self.max_steps)
        terminated = wins | loses
        truncated = ~terminated & (state.time >= horizon)
        reward = jnp.where(wins, 1.0 - 0.9 * state.time.astype(jnp.float32) / horizon.astype(jnp.float32), 0.0)
        return self._observe(state, level), state, reward, terminated, truncated, {"novelty": _novelty(state)}

    def image(self, seen: jax.Array) -> jax.Array:
        """Return MiniGrid's image of views ``u8[..., v, v]``, ``u8[..., v, v, 3]``; its own has columns before rows."""
        # A word a cell is read and taken apart: a third of the reads of three bytes each.
        triples = np.asarray(codes.TRIPLES, np.uint32)
        words = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
        read = jnp.asarray(words).at[seen].get(mode="promise_in_bounds")
        return jax.lax.bitcast_convert_type(read, jnp.uint8)[..., :3]

    def _read(self, cells: jax.Array, target: jax.Array) -> jax.Array:
        """Return the code at ``target``, ``i32[]``; off the grid there are walls."""
        row, col = target[0], target[1]
        inside = (row >= 0) & (row < self.height) & (col >= 0) & (col < self.width)
        index = jnp.where(inside, row * self.width + col, 0)
        code = cells.reshape(-1).at[index].get(mode="promise_in_bounds").astype(jnp.int32)
        return jnp.where(inside, code, codes.WALL)

    def _write(self, cells: jax.Array, target: jax.Array, code: jax.Array) -> jax.Array:
        """Return ``cells`` with ``code`` at ``target``; nothing changes where that is off the grid.

        A comparison of indices instead of a scatter: it stays elementwise under `vmap`.
        """
        rows = jnp.arange(self.height, dtype=jnp.int32)[:, None] == target[0]
        cols = jnp.arange(self.width, dtype=jnp.int32)[None, :] == target[1]
        return once(jnp.where(rows & cols, code.astype(jnp.uint8), cells))

    def _observe(self, state: GridState, level: GridLevel) -> Observation:
        seen = view.crop_codes(state.cells, codes.WALL, state.position, state.direction, self.view_size)
        looks = codes.appearance(seen)
        if not self.see_through_walls:
            looks = jnp.where(occlusion.visible(codes.is_opaque(seen)), looks, jnp.uint8(codes.UNSEEN))
        held = codes.appearance(state.carrying).astype(jnp.uint8)
        own = np.zeros(
            (self.view_size, self.view_size), bool
        )  # a mask, as a scatter costs several times the whole step
        own[-1, self.view_size // 2] = True
        return {"view": jnp.where(own, held, looks), "direction": state.direction, "mission": level.mission}


def _novelty(state: GridState) -> jax.Array:
    """Return a hash of all that an agent can change, ``u32[2]``, for bonuses that count states."""
    rest = jnp.stack([*state.position, state.direction, state.carrying]).astype(jnp.uint32)
    return hash_words(jnp.concatenate([state.cells.reshape(-1).astype(jnp.uint32), rest]))
