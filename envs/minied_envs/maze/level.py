"""What is a maze level, when is it one, and how is it written as text?

A level of ``H × W`` cells is 57 bytes at 13 × 13, where a map of bytes and 32-bit positions takes 189: buffers hold
thousands of levels and every step of every environment reads one. Letters: ``H W`` grid, ``K`` words a row of walls.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.grid.moves import same
from minied_envs.grid.text import read_rows, require_size

WALL, FLOOR, GOAL, TELEVISION = "#", ".", "G", "T"
AGENTS = ">v<^"  # by direction: east, south, west, north
NO_TELEVISION = 255  # as both coordinates: not on the largest grid, whose last row and column are 254
NOWHERE = 1 << 20  # a coordinate that is on no grid and in no view


class MazeLevel(struct.PyTreeNode):
    """Walls, a start and a goal. The border around the grid is an implicit wall.

    Positions are single bytes, enough for the largest grid (255 × 255). Compute with them as ``i32`` (`start`, `goal`).
    """

    walls: jax.Array  # u32[H, K], a board of minied_envs.grid.bitboard
    agent_position: jax.Array  # u8[2] (row, col)
    agent_direction: jax.Array  # u8[]: 0 east, 1 south, 2 west, 3 north
    goal_position: jax.Array  # u8[2] (row, col)
    television: Any = None  # u8[2] (row, col), or `NO_TELEVISION`; None, which is no leaf, in worlds without `noisy_tv`

    @property
    def start(self) -> jax.Array:
        """The agent's first cell, ``i32[2]``."""
        return self.agent_position.astype(jnp.int32)

    @property
    def direction(self) -> jax.Array:
        """The agent's first direction, ``i32[]``."""
        return self.agent_direction.astype(jnp.int32)

    @property
    def goal(self) -> jax.Array:
        """The goal's cell, ``i32[2]``."""
        return self.goal_position.astype(jnp.int32)

    @property
    def television_cell(self) -> jax.Array:
        """The television's cell, ``i32[2]``, or one that is nowhere near the grid."""
        if self.television is None:
            return jnp.full(2, NOWHERE, jnp.int32)
        return jnp.where(self.has_television, self.television.astype(jnp.int32), NOWHERE)

    @property
    def has_television(self) -> jax.Array:
        """Whether there is a television, ``bool[]``."""
        return jnp.bool_(False) if self.television is None else jnp.any(self.television != NO_TELEVISION)


def make_level(walls: jax.Array, start: jax.Array, direction: jax.Array, goal: jax.Array) -> MazeLevel:
    """Return the level with these parts: ``u32[H, K]``, integer ``[2]``, ``[]`` and ``[2]``."""
    return MazeLevel(walls, start.astype(jnp.uint8), direction.astype(jnp.uint8), goal.astype(jnp.uint8))


def with_television(level: MazeLevel, noisy_tv: bool) -> MazeLevel:
    """Return ``level``, or a batch, with the leaves that worlds with or without ``noisy_tv`` have."""
    if not noisy_tv:
        return level.replace(television=None)
    if level.television is not None:
        return level
    return level.replace(television=jnp.full(level.goal_position.shape, NO_TELEVISION, jnp.uint8))


def passable(level: MazeLevel, width: int) -> jax.Array:
    """Return the cells that an agent can come to or end in, ``u32[H, K]``: all but walls and the television."""
    free = bitboard.complement(level.walls, width)
    return free if level.television is None else bitboard.put(free, width, level.television_cell, False)


def settled(level: MazeLevel, width: int) -> MazeLevel:
    """Return ``level`` without its television if that is on a wall, the start or the goal."""
    if level.television is None:
        return level
    row, col = level.television_cell
    is_taken = bitboard.get(level.walls, width, row, col, outside=True)
    is_taken = is_taken | same(level.television_cell, level.start) | same(level.television_cell, level.goal)
    return level.replace(television=jnp.where(is_taken, jnp.uint8(NO_TELEVISION), level.television))


def is_valid(level: MazeLevel, height: int, width: int) -> jax.Array:
    """Return whether start, goal and any television are different cells of the grid without a wall, ``bool[]``."""

    def is_free(position: jax.Array) -> jax.Array:
        return ~bitboard.get(level.walls, width, position[0], position[1], outside=True)

    within = jnp.all(level.walls & ~bitboard.full(height, width) == 0)
    apart = ~same(level.start, level.goal)
    is_good = within & is_free(level.start) & is_free(level.goal) & apart & (level.direction < 4)
    if level.television is None:
        return is_good
    return is_good & jnp.all(settled(level, width).television == level.television)


def check(level: MazeLevel, height: int, width: int, noisy_tv: bool = False) -> None:
    """Raise `UserError` that says what is wrong with a level, on the host. Televisions are for ``noisy_tv``."""
    walls = np.asarray(level.walls)
    if walls.shape != (height, bitboard.num_words(width)) or walls.dtype != np.uint32:
        raise UserError(
            f"the walls of the level are {walls.dtype}{list(walls.shape)};"
            f" a {height}x{width} maze has uint32[{height}, {bitboard.num_words(width)}]"
        )
    if np.any(walls & ~np.asarray(bitboard.full(height, width))):
        raise UserError(f"the level has walls past column {width - 1}, the last of a {height}x{width} maze")
    cells = np.asarray(bitboard.unpack(jnp.asarray(walls), width))
    places = {"agent": level.agent_position, "goal": level.goal_position}
    if bool(level.has_television):
        if not noisy_tv:
            raise UserError("the level has a television; allowed: only with noisy_tv")
        places["television"] = level.television
    for name, position in places.items():
        row, col = (int(i) for i in np.asarray(position))
        if not (0 <= row < height and 0 <= col < width):
            raise UserError(f"the {name} is at row {row}, column {col}, outside of a {height}x{width} maze")
        if cells[row, col]:
            raise UserError(f"the {name} is on the wall at row {row}, column {col}")
    if np.array_equal(level.agent_position, level.goal_position):
        raise UserError("the agent is on the goal; they must be different cells")
    if "television" in places:
        for name in ("agent", "goal"):
            if np.array_equal(places[name], places["television"]):
                raise UserError(f"the television is on the {name}; they must be different cells")
    if int(level.agent_direction) > 3:
        raise UserError(f"agent_direction is {int(level.agent_direction)}; allowed: 0, 1, 2, 3")


def to_text(level: MazeLevel, width: int) -> str:
    """Return the drawing of a level, one line a row, that `from_text` reads back."""
    cells = np.asarray(bitboard.unpack(jnp.asarray(level.walls), width))
    symbols = np.where(cells, WALL, FLOOR)
    symbols[tuple(np.asarray(level.agent_position, int))] = AGENTS[int(level.agent_direction)]
    symbols[tuple(np.asarray(level.goal_position, int))] = GOAL
    if bool(level.has_television):
        symbols[tuple(np.asarray(level.television, int))] = TELEVISION
    return "\n".join("".join(row) for row in symbols)


def from_text(text: str, height: int, width: int, noisy_tv: bool = False) -> MazeLevel:
    """Return the level that ``text`` draws: ``#`` wall, ``.`` floor, ``G`` goal and one of ``> v < ^`` for the agent.

    With ``noisy_tv`` there may be a television, ``T``.

    Blank lines around the drawing and blanks around its lines are ignored. Raises `UserError` that names the line and
    the column, both counted from 1 as an editor does.
    """
    rows, _ = read_rows(text, FLOOR + WALL + GOAL + AGENTS + TELEVISION * noisy_tv, "# . G and one of > v < ^")
    require_size(rows, height, width)
    agent, symbol = find_one(rows, AGENTS, "agent")
    goal, _ = find_one(rows, GOAL, "goal")
    walls = bitboard.pack(jnp.asarray(np.array([[cell == WALL for cell in row] for row in rows])))
    direction = jnp.asarray(AGENTS.index(symbol), jnp.int32)
    level = make_level(walls, jnp.asarray(agent, jnp.int32), direction, jnp.asarray(goal, jnp.int32))
    if any(TELEVISION in row for row in rows):
        return level.replace(television=jnp.asarray(find_one(rows, TELEVISION, "television")[0], jnp.uint8))
    return with_television(level, noisy_tv)


def find_one(rows: Sequence[str], symbols: str, name: str) -> tuple[tuple[int, int], str]:
    """Return the place (row, col) and symbol of the only cell that shows one of ``symbols``, or raise `UserError`."""
    found = [((i, j), cell) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell in symbols]
    if not found:
        raise UserError(f"the level has no {name}; draw exactly one of: {' '.join(symbols)}")
    if len(found) > 1:
        (row, col), symbol = found[1]
        (first_row, first_col), _ = found[0]
        raise UserError(
            f"second {name} {symbol!r} at row {row + 1}, column {col + 1};"
            f" the first is at row {first_row + 1}, column {first_col + 1}"
        )
    return found[0]
