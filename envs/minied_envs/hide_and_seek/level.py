"""What is a level of hide and seek, which cells do its things take, and when is it one?

Letters: ``H W`` grid, ``N`` agents (hiders first), ``X`` boxes, ``R`` ramps, ``O = X + R`` objects (boxes first), ``Q = 3``
cells that a box has at most.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError
from minied_envs.grid import bitboard

HIDERS, SEEKERS = 0, 1  # the teams
SINGLE, WIDE, TALL = range(3)  # shapes of a box: one cell; three beside each other; three below each other
NUM_SHAPES = 3
NUM_DIRECTIONS = 4
MAX_CELLS = 3  # Q
MIN_SIDE, MAX_SIDE = 4, 20  # of the grid; the table of rays grows with the third power of the number of cells

Placed = tuple[int, int, int]  # row, col, and direction or shape

CELLS_OF_SHAPE = np.array(  # [shape, Q, 2], seen from the centre
    [[(0, 0), (0, 0), (0, 0)], [(0, -1), (0, 0), (0, 1)], [(-1, 0), (0, 0), (1, 0)]], np.int32
)


class HideAndSeekLevel(struct.PyTreeNode):
    """An arena with everything in its place. What is not present is at (0, 0) with direction and shape 0.

    So equal levels are equal arrays. Boards hold a bit a cell in one word a row (`minied_envs.grid.bitboard`, ``K = 1``).
    """

    tall: jax.Array  # u32[H, 1], walls of height 2: nobody sees or climbs over them
    low: jax.Array  # u32[H, 1], walls of height 1, as high as boxes and ramps
    agent_positions: jax.Array  # i32[N, 2] (row, col)
    agent_directions: jax.Array  # i32[N]: 0 east, 1 south, 2 west, 3 north
    agent_present: jax.Array  # bool[N]
    box_positions: jax.Array  # i32[X, 2] (row, col) of the centre
    box_shapes: jax.Array  # i32[X]: `SINGLE`, `WIDE`, `TALL`
    box_present: jax.Array  # bool[X]
    ramp_positions: jax.Array  # i32[R, 2] (row, col)
    ramp_directions: jax.Array  # i32[R], in which it rises: it is climbed by moving that way
    ramp_present: jax.Array  # bool[R]
    has_locks: jax.Array  # bool[]; if not, nothing can be locked
    has_preparation: jax.Array  # bool[]; if not, seekers move from the start

    @property
    def object_positions(self) -> jax.Array:
        """Cells of boxes (their centres) and ramps, ``i32[O, 2]``."""
        return jnp.concatenate([self.box_positions, self.ramp_positions])

    @property
    def object_present(self) -> jax.Array:
        """Which objects there are, ``bool[O]``."""
        return jnp.concatenate([self.box_present, self.ramp_present])

    @property
    def object_shapes(self) -> jax.Array:
        """Shapes of the objects, ``i32[O]``; a ramp has one cell."""
        return jnp.concatenate([self.box_shapes, jnp.zeros_like(self.ramp_directions)])

    @property
    def num_boxes(self) -> int:
        """How many boxes a level of this kind has room for, ``X``."""
        return self.box_present.shape[-1]


def cells_of(positions: jax.Array, shapes: jax.Array) -> jax.Array:
    """Return the cells that objects take, ``i32[O, Q, 2]``, those of one cell three times; they may be off the grid.

    Args:
        positions: of the centres, ``i32[O, 2]``.
        shapes: ``i32[O]``.
    """
    return positions[:, None, :] + offsets_of(shapes)


def offsets_of(shapes: jax.Array) -> jax.Array:
    """Return the cells of objects seen from their centres, ``i32[O, Q, 2]``, of ``shapes`` ``i32[O]``."""
    # One cell before, at and behind the centre, along rows or columns: arithmetic instead of a gather of a few numbers.
    along = jnp.array([-1, 0, 1], jnp.int32)[None, :]
    rows = jnp.where((shapes == TALL)[:, None], along, 0)
    cols = jnp.where((shapes == WIDE)[:, None], along, 0)
    return jnp.stack([rows, cols], axis=-1)


def half_extents(shapes: jax.Array) -> jax.Array:
    """Return how many cells objects reach from their centres along rows and columns, ``i32[O, 2]``."""
    return jnp.stack([shapes == TALL, shapes == WIDE], axis=-1).astype(jnp.int32)


def board_of(height: int, width: int, positions: jax.Array, active: jax.Array) -> jax.Array:
    """Return the board of cells, ``u32[H, 1]``; positions off the grid or not ``active`` count nothing.

    Args:
        height: ``H``.
        width: ``W``.
        positions: ``i32[n, 2]``.
        active: ``bool[n]``.
    """
    row, col = positions[:, 0], positions[:, 1]
    active = active & (row >= 0) & (row < height) & (col >= 0) & (col < width)
    bits = jnp.where(active, jnp.uint32(1) << jnp.clip(col, 0, 31).astype(jnp.uint32), jnp.uint32(0))
    is_row = row[:, None] == jnp.arange(height, dtype=jnp.int32)[None, :]
    words = jnp.where(is_row, bits[:, None], jnp.uint32(0))
    return jax.lax.reduce(words, np.uint32(0), jax.lax.bitwise_or, (0,))[:, None]


def object_board(level: HideAndSeekLevel, positions: jax.Array, width: int) -> jax.Array:
    """Return the board of the boxes and ramps of ``level``, ``u32[H, 1]``, centres at ``positions`` ``i32[O, 2]``."""
    cells = cells_of(positions, level.object_shapes)
    active = jnp.repeat(level.object_present, MAX_CELLS)
    return board_of(level.tall.shape[0], width, cells.reshape(-1, 2), active)


def is_valid(level: HideAndSeekLevel, height: int, width: int) -> jax.Array:
    """Return whether everything present stands on its own free cells of the grid and each team has somebody, ``bool[]``."""
    positions, active = taken_cells(level)
    row, col = positions[:, 0], positions[:, 1]
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    numbers = jnp.where(active & inside, row * width + col, -1 - jnp.arange(row.shape[0], dtype=jnp.int32))
    same = (numbers[:, None] == numbers[None, :]) & ~jnp.eye(row.shape[0], dtype=bool)
    on_wall = bitboard.get(level.tall | level.low, width, row, col, outside=True)
    walls_fit = jnp.all((level.tall | level.low) & ~bitboard.full(height, width) == 0) & jnp.all(
        level.tall & level.low == 0
    )
    directions = jnp.concatenate([level.agent_directions, level.ramp_directions])
    are_known = _all_below(directions, NUM_DIRECTIONS) & _all_below(level.box_shapes, NUM_SHAPES)
    return are_known & walls_fit & jnp.all(inside | ~active) & ~jnp.any(same) & ~jnp.any(on_wall & active)


def _all_below(numbers: jax.Array, limit: int) -> jax.Array:
    """Return whether all ``i32[n]`` are from 0 to below ``limit``, ``bool[]``."""
    return jnp.all((numbers >= 0) & (numbers < limit))


def taken_cells(level: HideAndSeekLevel) -> tuple[jax.Array, jax.Array]:
    """Return all cells that something takes, ``i32[N + O·Q, 2]``, each once, and which of them count, ``bool[N + O·Q]``."""
    positions, active = object_cells(level)
    return jnp.concatenate([level.agent_positions, positions]), jnp.concatenate([level.agent_present, active])


def object_cells(level: HideAndSeekLevel) -> tuple[jax.Array, jax.Array]:
    """Return the cells that boxes and ramps take, ``i32[O·Q, 2]``, each once, and which of them count, ``bool[O·Q]``."""
    cells = cells_of(level.object_positions, level.object_shapes)
    # The three cells of a single one are the same: only the middle one counts.
    counts = level.object_present[:, None] & (
        (level.object_shapes != SINGLE)[:, None] | (jnp.arange(MAX_CELLS) == 1)[None, :]
    )
    return cells.reshape(-1, 2), counts.reshape(-1)


def has_teams(level: HideAndSeekLevel, num_hiders: int) -> jax.Array:
    """Return whether a hider and a seeker are present, ``bool[]``; the first ``num_hiders`` places are of hiders."""
    return jnp.any(level.agent_present[:num_hiders]) & jnp.any(level.agent_present[num_hiders:])


def canonical(level: HideAndSeekLevel) -> HideAndSeekLevel:
    """Return ``level`` with zeros for all that is said of what is not present."""

    def only(present: jax.Array, values: jax.Array) -> jax.Array:
        return jnp.where(present[:, None] if values.ndim > 1 else present, values, 0)

    return level.replace(
        agent_positions=only(level.agent_present, level.agent_positions),
        agent_directions=only(level.agent_present, level.agent_directions),
        box_positions=only(level.box_present, level.box_positions),
        box_shapes=only(level.box_present, level.box_shapes),
        ramp_positions=only(level.ramp_present, level.ramp_positions),
        ramp_directions=only(level.ramp_present, level.ramp_directions),
    )


def make_level(
    hiders: Sequence[Placed],
    seekers: Sequence[Placed],
    boxes: Sequence[Placed],
    ramps: Sequence[Placed],
    tall: np.ndarray,
    low: np.ndarray,
    room_for: tuple[int, int, int, int],
    has_locks: bool = True,
    has_preparation: bool = True,
) -> HideAndSeekLevel:
    """Return a level from lists, on the host (NumPy leaves); whether it is a valid one is for `check` to say.

    Args:
        hiders: (row, col, direction) of each.
        seekers: likewise.
        boxes: (row, col, shape) of each.
        ramps: (row, col, direction) of each.
        tall: walls of height 2, ``bool[H, W]``.
        low: walls of height 1, likewise.
        room_for: how many hiders, seekers, boxes and ramps levels of this kind have room for.
        has_locks: whether anything can be locked.
        has_preparation: whether seekers wait.

    Raises `UserError` for more things than there is room for.
    """
    things = (hiders, seekers, boxes, ramps)
    for name, given, most in zip(("hiders", "seekers", "boxes", "ramps"), things, room_for, strict=True):
        if len(given) > most:
            raise UserError(f"the level has {len(given)} {name}; allowed: at most {most} (env.max_{name})")
    (hiders_at, seekers_at, boxes_at, ramps_at) = (
        _padded(given, most) for given, most in zip(things, room_for, strict=True)
    )
    agents = [np.concatenate(parts) for parts in zip(hiders_at, seekers_at, strict=True)]
    parts: Any = (
        _board(tall),
        _board(low),
        *agents,
        *boxes_at,
        *ramps_at,
        np.bool_(has_locks),
        np.bool_(has_preparation),
    )
    return HideAndSeekLevel(*parts)


def _padded(given: Sequence[Placed], most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, directions or shapes, and presence of ``most`` things of which some are given."""
    table = np.zeros((most, 3), np.int32)
    table[: len(given)] = np.array(given, np.int32).reshape(-1, 3)
    return table[:, :2], table[:, 2], np.arange(most) < len(given)


def _board(cells: np.ndarray) -> np.ndarray:
    """Return the board, ``u32[H, 1]``, of ``bool[H, W]``, on the host."""
    powers = np.left_shift(1, np.arange(cells.shape[1], dtype=np.uint32))
    return np.asarray(np.sum(np.where(cells, powers, 0), axis=1), np.uint32)[:, np.newaxis]


def fits(level: HideAndSeekLevel, height: int, room_for: tuple[int, int, int, int]) -> bool:
    """Return whether arrays of a level have the lengths of a world's: ``room_for`` hiders, seekers, boxes and ramps."""
    return lengths(level) == (height, height, room_for[0] + room_for[1], *room_for[2:])


def lengths(level: HideAndSeekLevel) -> tuple[int, int, int, int, int]:
    """Return the rows of both boards, and for how many agents, boxes and ramps a level has room."""
    things = (level.agent_present, level.box_present, level.ramp_present)
    num_agents, num_boxes, num_ramps = (np.shape(present)[-1] for present in things)
    return np.shape(level.tall)[0], np.shape(level.low)[0], num_agents, num_boxes, num_ramps
