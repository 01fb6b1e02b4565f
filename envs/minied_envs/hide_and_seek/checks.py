"""What is wrong with a level of hide and seek? Told on the host, to whoever made it; see `level.is_valid` for programs."""

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek.level import CELLS_OF_SHAPE, NUM_DIRECTIONS, NUM_SHAPES, HideAndSeekLevel, lengths


def check(level: HideAndSeekLevel, height: int, width: int, room_for: tuple[int, int, int, int]) -> None:
    """Raise `UserError` that says what is wrong with a level.

    Args:
        level: to be checked.
        height: of the world.
        width: of the world.
        room_for: how many hiders, seekers, boxes and ramps levels of the world have room for.
    """
    _check_lengths(level, height, room_for)
    num_hiders = room_for[0]
    present = np.asarray(level.agent_present)
    for name, here in (("hiders", present[:num_hiders]), ("seekers", present[num_hiders:])):
        if not here.any():
            raise UserError(f"the level has 0 {name}; allowed: at least 1")
    _check_kinds(level, num_hiders)
    is_wall = _checked_walls(level, height, width)
    taken: dict[tuple[int, int], str] = {}
    for name, cells in _named_cells(level, num_hiders):
        for row, col in cells:
            if not (0 <= row < height and 0 <= col < width):
                raise UserError(
                    f"{name} is in cell ({row}, {col}); allowed: rows 0 to {height - 1}, cols 0 to {width - 1}"
                )
            if is_wall[row, col]:
                raise UserError(f"{name} is in cell ({row}, {col}), where a wall is; allowed: a free cell")
            if (row, col) in taken:
                raise UserError(f"{name} is in cell ({row}, {col}), where {taken[row, col]} is; allowed: a free cell")
            taken[row, col] = name


def _check_lengths(level: HideAndSeekLevel, height: int, room_for: tuple[int, int, int, int]) -> None:
    """Raise `UserError` if the arrays are those of another world."""
    rows, rows_of_low, *things = lengths(level)
    if (rows, rows_of_low) != (height, height):
        raise UserError(f"the level has {rows} rows; allowed: {height}, as env.height says")
    allowed = (room_for[0] + room_for[1], *room_for[2:])
    names = (
        ("agents", "env.max_hiders and env.max_seekers say"),
        ("boxes", "env.max_boxes says"),
        ("ramps", "env.max_ramps says"),
    )
    for (name, options_say), given, most in zip(names, things, allowed, strict=True):
        if given != most:
            raise UserError(f"the level has room for {given} {name}; allowed: {most}, as {options_say}")


def _checked_walls(level: HideAndSeekLevel, height: int, width: int) -> np.ndarray:
    """Return where walls are, ``bool[H, W]``. Raises `UserError` if some are out of the grid, or two in one cell."""
    beyond = np.asarray((level.tall | level.low) & ~bitboard.full(height, width))
    if beyond.any():
        row = int(np.argwhere(beyond)[0][0])
        raise UserError(
            f"a wall of row {row} is beyond col {width - 1}; allowed: cols 0 to {width - 1}, as env.width says"
        )
    tall, low = (np.asarray(bitboard.unpack(jnp.asarray(board), width)) for board in (level.tall, level.low))
    if (tall & low).any():
        row, col = np.argwhere(tall & low)[0]
        raise UserError(f"a tall and a low wall are both in cell ({row}, {col}); allowed: one thing in a cell")
    return tall | low


def _check_kinds(level: HideAndSeekLevel, num_hiders: int) -> None:
    """Raise `UserError` for a direction or a shape that there is not."""
    num_seekers = len(level.agent_present) - num_hiders
    agents = [f"hider {i + 1}" for i in range(num_hiders)] + [f"seeker {i + 1}" for i in range(num_seekers)]
    ramps = [f"ramp {i + 1}" for i in range(len(level.ramp_directions))]
    boxes = [f"box {i + 1}" for i in range(level.num_boxes)]
    for names, what, numbers, limit in (
        (agents, "direction", level.agent_directions, NUM_DIRECTIONS),
        (ramps, "direction", level.ramp_directions, NUM_DIRECTIONS),
        (boxes, "shape", level.box_shapes, NUM_SHAPES),
    ):
        for name, number in zip(names, np.asarray(numbers).tolist(), strict=True):
            if not 0 <= number < limit:
                raise UserError(f"{name} has {what} {number}; allowed: 0 to {limit - 1}")


def _named_cells(level: HideAndSeekLevel, num_hiders: int) -> list[tuple[str, list[list[int]]]]:
    """Return what is present, each with its name for people and the cells that it takes."""
    level = jax.tree.map(np.asarray, level)
    named = []
    for i in np.flatnonzero(level.agent_present):
        name = f"hider {i + 1}" if i < num_hiders else f"seeker {i + 1 - num_hiders}"
        named.append((name, [level.agent_positions[i].tolist()]))
    for i in np.flatnonzero(level.box_present):
        cells = level.box_positions[i] + CELLS_OF_SHAPE[int(level.box_shapes[i])]
        named.append((f"box {i + 1}", np.unique(cells, axis=0).tolist()))
    return named + [(f"ramp {i + 1}", [level.ramp_positions[i].tolist()]) for i in np.flatnonzero(level.ramp_present)]
