"""By which few numbers is a maze chosen? How many walls, where the agent starts, where the goal is, and any television.

What they leave open is random: where the walls are, and where the agent looks. Letters: ``H W`` grid.
"""

import dataclasses

import jax
import jax.numpy as jnp

from minied.levels.parameters import Choice, Parameters
from minied_envs.grid import bitboard
from minied_envs.maze.level import NO_TELEVISION, MazeLevel, make_level

NUM_WALLS, START, GOAL, TELEVISION = range(4)  # places among the parameters


@dataclasses.dataclass(frozen=True)
class MazeParameters(Parameters[MazeLevel]):
    """The parameters of mazes of ``height × width`` cells with 0 to ``max_walls`` walls, at most two cells less than all."""

    height: int
    width: int
    max_walls: int
    noisy_tv: bool = False

    @property
    def parts(self) -> tuple[Choice, ...]:
        """``num_walls``, ``start`` and ``goal`` (cells in reading order), and with ``noisy_tv``: ``television``, 0 or 1."""
        cells = self.height * self.width
        television = (Choice("television", 2),) * self.noisy_tv
        return (Choice("num_walls", self.max_walls + 1), Choice("start", cells), Choice("goal", cells), *television)

    def allowed(self, part: int, values: jax.Array) -> jax.Array:
        """Return what is left, ``bool[number]``: all but the start for the goal; no television where no cell is free."""
        choices = jnp.arange(self.parts[part].number, dtype=jnp.int32)
        chosen = values.astype(jnp.int32)
        if part == GOAL:
            return choices != chosen[START]
        if part == TELEVISION:
            return (choices == 0) | (chosen[NUM_WALLS] < self.height * self.width - 2)
        return jnp.ones_like(choices, bool)

    def level(self, key: jax.Array, values: jax.Array) -> MazeLevel:
        """Return a level with these parameters, ``f32[h]``. Consumes ``key``.

        Uniform are the walls, on that many distinct cells other than start and goal, the direction, and the cell of the
        television among those that are left.
        """
        key_cells, key_direction = jax.random.split(key)
        chosen = values.astype(jnp.int32)
        cells = jnp.arange(self.height * self.width, dtype=jnp.int32)
        is_end = (cells == chosen[START]) | (cells == chosen[GOAL])
        # Walls come first in a random order, and start and goal last: of 31 bits no word is as large as theirs.
        words = jnp.where(is_end, jnp.uint32(1 << 31), jax.random.bits(key_cells, cells.shape, jnp.uint32) >> 1)
        order = jnp.argsort(words)
        rank = jnp.argsort(order)
        walls = bitboard.pack((rank < chosen[NUM_WALLS]).reshape(self.height, self.width))
        direction = jax.random.randint(key_direction, (), 0, 4)
        level = make_level(walls, self._cell(chosen[START]), direction, self._cell(chosen[GOAL]))
        if not self.noisy_tv:
            return level
        television = self._cell(order[jnp.minimum(chosen[NUM_WALLS], cells.shape[0] - 1)]).astype(jnp.uint8)
        has_one = chosen[TELEVISION] == 1
        return level.replace(television=jnp.where(has_one, television, jnp.uint8(NO_TELEVISION)))

    def _cell(self, index: jax.Array) -> jax.Array:
        """Return the cell, ``i32[2]``, of a place in reading order."""
        return jnp.stack([index // self.width, index % self.width])
