"""MiniGrid's families of one hall: FourRooms, DoorKey, LavaGap and Crossing.

Each follows the generator of MiniGrid 3.2 decision by decision, so that levels have its distribution; deviations are told.
Rows and columns are counted without the border, one less than MiniGrid's. Letters: ``H W`` grid.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameters import Choice, Interval
from minied_envs.grid import bitboard
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, make_level
from minied_envs.gridworld.placing import at, pick_cell, pick_pose, put, scaled, shares

Obstacle = Literal["lava", "wall"]
_OBSTACLES = {"lava": codes.LAVA, "wall": codes.WALL}


def _empty(height: int, width: int) -> jax.Array:
    return jnp.full((height, width), codes.EMPTY, jnp.int32)


def _corner(height: int, width: int) -> jax.Array:
    return jnp.array([height - 1, width - 1], jnp.int32)


def indices(height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Return the rows ``i32[H, 1]`` and columns ``i32[1, W]`` of a grid."""
    return jnp.arange(height, dtype=jnp.int32)[:, None], jnp.arange(width, dtype=jnp.int32)[None, :]


def begin_at_distance(cells: jax.Array, goal: jax.Array, share: jax.Array, words: jax.Array):
    """Return a pose for the agent, ``i32[2]`` and ``i32[]``: about so far from ``goal`` as ``share`` says.

    0 is the least, 1 the largest Manhattan distance of an empty cell from the goal. ``words`` is ``u32[2]``.
    """
    rows, cols = indices(*cells.shape)
    distance = jnp.abs(rows - goal[0]) + jnp.abs(cols - goal[1])
    is_free = cells == codes.EMPTY
    farthest = jnp.max(jnp.where(is_free, distance, 0))
    miss = jnp.where(is_free, jnp.abs(distance - scaled(share, 1, farthest)), 1 << 20)
    return pick_cell(miss == jnp.min(miss), words[0]), bitboard.scale(words[1], 4)


@dataclasses.dataclass(frozen=True)
class FourRooms(Family):
    """Four rooms with an opening in each of the four walls between them; start and goal anywhere.

    MiniGrid's has 17 × 17 cells and 100 steps. Of even sizes, where MiniGrid would put openings into its border, the halves
    are as equal as can be.
    """

    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """As chosen; at least 3 × 3."""
        return self.height, self.width

    @property
    def max_steps(self) -> int:
        """100, whatever the size."""
        return 100

    @property
    def parts(self) -> tuple[Interval, ...]:
        """``distance``: how far from the goal the agent begins, as a share of the farthest cell's."""
        return (Interval("distance", 0.0, 1.0),)

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        words = jax.random.bits(key, (7,), jnp.uint32)
        cells = self._rooms(words)
        start, direction = pick_pose(cells, cells == codes.EMPTY, words[4], clear_front=False)
        free = (cells == codes.EMPTY) & ~at(cells.shape, start)
        return self._level(put(cells, pick_cell(free, words[5]), codes.GOAL), start, direction)

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        words = jax.random.bits(key, (7,), jnp.uint32)
        cells = self._rooms(words)
        goal = pick_cell(cells == codes.EMPTY, words[4])
        cells = put(cells, goal, codes.GOAL)
        return self._level(cells, *begin_at_distance(cells, goal, values[0], words[5:]))

    def _level(self, cells: jax.Array, start: jax.Array, direction: jax.Array) -> GridLevel:
        return make_level(cells, start, direction, missions.REACH_GOAL, self.max_steps)

    def _rooms(self, words: jax.Array) -> jax.Array:
        """Return the walls with their openings, ``i32[H, W]``; uses four words."""
        middle_row, middle_col = (self.height + 2) // 2 - 1, (self.width + 2) // 2 - 1
        rows, cols = indices(self.height, self.width)
        openings = [
            (bitboard.scale(words[0], middle_row), jnp.int32(middle_col)),
            (middle_row + 1 + bitboard.scale(words[1], self.height - middle_row - 1), jnp.int32(middle_col)),
            (jnp.int32(middle_row), bitboard.scale(words[2], middle_col)),
            (jnp.int32(middle_row), middle_col + 1 + bitboard.scale(words[3], self.width - middle_col - 1)),
        ]
        cells = jnp.where((rows == middle_row) | (cols == middle_col), codes.WALL, codes.EMPTY)
        for row, col in openings:
            cells = put(cells, jnp.stack([row, col]), codes.EMPTY)
        return cells


@dataclasses.dataclass(frozen=True)
class DoorKey(Family):
    """A wall with a locked yellow door in it; the key and the agent on this side, the goal in the far corner."""

    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """As chosen; at least 3 × 3."""
        return self.height, self.width

    @property
    def max_steps(self) -> int:
        """10 s² of MiniGrid's size s, or of the product of different sides."""
        return 10 * (self.height + 2) * (self.width + 2)

    @property
    def parts(self) -> tuple[Interval, ...]:
        """``wall`` and ``door``: how far to the east the wall is, and how far to the south its door."""
        return (Interval("wall", 0.0, 1.0), Interval("door", 0.0, 1.0))

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_values, key_rest = jax.random.split(key)
        return self.level(key_rest, shares(jax.random.bits(key_values, (2,), jnp.uint32)))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        words = jax.random.bits(key, (2,), jnp.uint32)
        yellow = codes.COLOURS.index("yellow")
        # MiniGrid's door is never in the last row.
        wall, door = scaled(values[0], 1, self.width - 2), scaled(values[1], 0, self.height - 2)
        _, cols = indices(self.height, self.width)
        cells = put(_empty(self.height, self.width), _corner(self.height, self.width), codes.GOAL)
        cells = jnp.where(cols == wall, codes.WALL, cells)
        cells = put(cells, jnp.stack([door, wall]), codes.LOCKED_DOOR + yellow)
        near = jnp.broadcast_to(cols < wall, cells.shape)
        start, direction = pick_pose(cells, near, words[0], clear_front=False)
        place = pick_cell(near & ~at(cells.shape, start), words[1])
        return make_level(put(cells, place, codes.KEY + yellow), start, direction, missions.REACH_GOAL, self.max_steps)


@dataclasses.dataclass(frozen=True)
class LavaGap(Family):
    """A column of lava, or of walls, with one gap between the agent and the goal in the far corner."""

    height: int
    width: int
    obstacle: Obstacle = "lava"

    @property
    def size(self) -> tuple[int, int]:
        """As chosen; at least 1 × 3."""
        return self.height, self.width

    @property
    def max_steps(self) -> int:
        """4 s² of MiniGrid's size s, or of the product of different sides."""
        return 4 * (self.height + 2) * (self.width + 2)

    @property
    def parts(self) -> tuple[Interval, ...]:
        """``column`` of the obstacle and ``row`` of the gap, from west to east and from north to south."""
        return (Interval("column", 0.0, 1.0), Interval("row", 0.0, 1.0))

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        return self.level(key, shares(jax.random.bits(key, (2,), jnp.uint32)))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return the level with these numbers, which leave nothing open."""
        row, col = scaled(values[1], 0, self.height - 1), scaled(values[0], 1, self.width - 2)
        _, cols = indices(self.height, self.width)
        cells = put(_empty(self.height, self.width), _corner(self.height, self.width), codes.GOAL)
        cells = jnp.where(cols == col, _OBSTACLES[self.obstacle], cells)
        cells = put(cells, jnp.stack([row, col]), codes.EMPTY)
        return make_level(cells, jnp.zeros(2, jnp.int32), jnp.int32(0), missions.REACH_GOAL, self.max_steps)


@dataclasses.dataclass(frozen=True)
class Crossing(Family):
    """Rivers of lava, or walls, across the grid, each with one opening on a way from the agent to the goal.

    Rivers lie on distinct odd rows and columns; the way crosses them one after the other, rows and columns in uniform order.
    """

    height: int
    width: int
    num_crossings: int = 1
    obstacle: Obstacle = "lava"

    @property
    def size(self) -> tuple[int, int]:
        """As chosen; odd, at least 3 × 3."""
        return self.height, self.width

    @property
    def max_steps(self) -> int:
        """4 s² of MiniGrid's size s, or of the product of different sides."""
        return 4 * (self.height + 2) * (self.width + 2)

    @property
    def most_crossings(self) -> int:
        """The rivers that there is room for."""
        return len(self._rivers)

    @property
    def parts(self) -> tuple[Choice, ...]:
        """``more_crossings``: how many rivers there are besides the first."""
        return (Choice("more_crossings", self.most_crossings),)

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        return self._with(key, jnp.int32(self.num_crossings), self.num_crossings)

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        return self._with(key, values[0].astype(jnp.int32) + 1, self.most_crossings)

    @property
    def _rivers(self) -> np.ndarray:
        """The places for rivers, ``i32[n, 2]``: 0 and a row, or 1 and a column."""
        across = [(0, row) for row in range(1, self.height - 1, 2)]
        return np.array(across + [(1, col) for col in range(1, self.width - 1, 2)], np.int32)

    def _with(self, key: jax.Array, number: jax.Array, most: int) -> GridLevel:
        """Return a level with ``number`` rivers, at most ``most``. Consumes ``key``."""
        words = jax.random.bits(key, (len(self._rivers) + 2 * most,), jnp.uint32)
        order = jnp.argsort(words[: len(self._rivers)])
        chosen = jnp.argsort(order) < number  # by rank
        axis, place = jnp.asarray(self._rivers[:, 0]), jnp.asarray(self._rivers[:, 1])
        rows, cols = indices(self.height, self.width)

        def lines(which: int, length: int) -> jax.Array:
            """Return which rows or columns are rivers, ``bool[length]``."""
            hit = (place[:, None] == jnp.arange(length, dtype=jnp.int32)[None, :]) & ((axis == which) & chosen)[:, None]
            return jnp.any(hit, axis=0)

        in_row, in_col = lines(0, self.height), lines(1, self.width)
        cells = jnp.where(in_row[:, None] | in_col[None, :], _OBSTACLES[self.obstacle], codes.EMPTY)
        sides = ((in_row, rows[:, 0], self.height), (in_col, cols[0], self.width))
        low = [jnp.int32(-1), jnp.int32(-1)]  # the rivers that the way has crossed last, by axis
        left = [jnp.sum(in_row, dtype=jnp.int32), jnp.sum(in_col, dtype=jnp.int32)]
        for step in range(most):
            word_axis, word_place = words[len(self._rivers) + 2 * step : len(self._rivers) + 2 * step + 2]
            remaining = left[0] + left[1]
            is_col = bitboard.scale(word_axis, jnp.maximum(remaining, 1)) >= left[0]
            # The next river along each axis, or the border.
            high = [
                jnp.min(jnp.where(is_river & (places > last), places, size))
                for (is_river, places, size), last in zip(sides, low, strict=True)
            ]
            row_in_room = low[0] + 1 + bitboard.scale(word_place, high[0] - low[0] - 1)
            col_in_room = low[1] + 1 + bitboard.scale(word_place, high[1] - low[1] - 1)
            opening = jnp.stack([jnp.where(is_col, row_in_room, high[0]), jnp.where(is_col, high[1], col_in_room)])
            is_any = remaining > 0
            cells = jnp.where(is_any, put(cells, opening, codes.EMPTY), cells)
            for i, crosses in enumerate((~is_col, is_col)):
                low[i] = jnp.where(is_any & crosses, high[i], low[i])
                left[i] = left[i] - (is_any & crosses).astype(jnp.int32)
        cells = put(cells, _corner(self.height, self.width), codes.GOAL)
        return make_level(cells, jnp.zeros(2, jnp.int32), jnp.int32(0), missions.REACH_GOAL, self.max_steps)
