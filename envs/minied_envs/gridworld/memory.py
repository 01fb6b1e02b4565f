"""MiniGrid's Memory: what was in the first room has to be found again at the end of a hallway.

It follows the generator of MiniGrid 3.2 decision by decision, so that levels have its distribution. Rows and columns are
counted without the border, one less than MiniGrid's.
"""

import dataclasses

import jax
import jax.numpy as jnp

from minied.levels.parameters import Interval
from minied_envs.grid import bitboard
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, make_level
from minied_envs.gridworld.open_families import indices
from minied_envs.gridworld.placing import put, scaled, shares


@dataclasses.dataclass(frozen=True)
class Memory(Family):
    """A room with an object, a hallway, and two objects at its end: go to the one that was in the room."""

    side: int
    random_length: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """As many rows as columns; odd, at least 5."""
        return self.side, self.side

    @property
    def max_steps(self) -> int:
        """5 s² of MiniGrid's size s."""
        return 5 * (self.side + 2) ** 2

    @property
    def parts(self) -> tuple[Interval, ...]:
        """``hallway``: how long it is, and ``start``: how far along it the agent begins."""
        return (Interval("hallway", 0.0, 1.0), Interval("start", 0.0, 1.0))

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_values, key_rest = jax.random.split(key)
        hallway, start = shares(jax.random.bits(key_values, (2,), jnp.uint32))
        return self.level(key_rest, jnp.stack([hallway if self.random_length else jnp.float32(1), start]))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        coins = bitboard.scale(jax.random.bits(key, (2,), jnp.uint32), 2) == 1
        side, middle = self.side, self.side // 2
        end = scaled(values[0], 3, side - 2)  # MiniGrid: from 4 to size − 3, both less one
        rows, cols = indices(side, side)
        beside = (rows == middle - 1) | (rows == middle + 1)
        room = (cols <= 3) & ((rows == middle - 2) | (rows == middle + 2)) | ((cols == 3) & beside)
        hallway = (cols >= 4) & (cols < end) & beside
        crossbar = ((cols == end) & (rows != middle)) | (cols == end + 2)
        cells = jnp.where(room | hallway | crossbar, codes.WALL, codes.EMPTY)
        green = codes.COLOURS.index("green")
        shown, north, south = (
            jnp.where(is_key, codes.KEY, codes.BALL) + green for is_key in (coins[0], coins[1], ~coins[1])
        )
        cells = put(cells, jnp.array([middle - 1, 0], jnp.int32), shown)
        is_north = shown == north
        for row, code in (
            (middle - 2, north),
            (middle + 2, south),
            (middle - 1, jnp.where(is_north, codes.RIGHT_ANSWER, codes.WRONG_ANSWER)),
            (middle + 1, jnp.where(is_north, codes.WRONG_ANSWER, codes.RIGHT_ANSWER)),
        ):
            cells = put(cells, jnp.stack([jnp.int32(row), end + 1]), code)
        start = jnp.stack([jnp.int32(middle), scaled(values[1], 0, end)])
        return make_level(cells, start, jnp.int32(0), missions.GO_TO_MATCH, self.max_steps)
