"""How is a level of hide and seek written, so that people can read and write it? A map of one character a cell.

    #     tall wall            > v < ^   hider that looks east, south, west, north
    =     low wall             E S W N   seeker, likewise
    .     floor                e s w n   ramp that rises towards east, ...
    o     box                  + - +     box of three cells beside each other; + | + below each other

Boxes of three cells that touch stay apart, because each ``+`` belongs to exactly one ``-`` beside it or ``|`` above or below
it. Lines before the map say what is not as usual: ``locks: no``, ``preparation: no``. Host only.
"""

from collections.abc import Sequence

import jax
import numpy as np

from minied.errors import UserError
from minied_envs.grid.text import read_rows, require_size
from minied_envs.hide_and_seek.dimensions import KINDS, Dimensions
from minied_envs.hide_and_seek.level import SINGLE, TALL, WIDE, HideAndSeekLevel, Placed, make_level

TALL_WALL, LOW_WALL, FLOOR, BOX = "#=.o"
HIDERS, SEEKERS, RAMPS = ">v<^", "ESWN", "eswn"  # by direction: east, south, west, north
END = "+"
MIDDLES = {WIDE: "-", TALL: "|"}
STEPS = {WIDE: (0, 1), TALL: (1, 0)}  # from the middle to an end
SYMBOLS = TALL_WALL + LOW_WALL + FLOOR + HIDERS + SEEKERS + RAMPS + BOX + END + "".join(MIDDLES.values())
SWITCHES: tuple[str, ...] = ("locks", "preparation")
ON, OFF = "yes", "no"


def to_text(level: HideAndSeekLevel, dimensions: Dimensions) -> str:
    """Return the map of a valid level, with the lines before it that it needs."""
    level = jax.tree.map(np.asarray, level)
    columns = np.arange(dimensions.width, dtype=np.uint32)
    tall, low = ((board >> columns) & 1 == 1 for board in (level.tall, level.low))
    cells = np.where(tall, TALL_WALL, np.where(low, LOW_WALL, FLOOR))
    for i in np.flatnonzero(level.agent_present):
        symbols = HIDERS if i < dimensions.max_hiders else SEEKERS
        cells[tuple(level.agent_positions[i])] = symbols[level.agent_directions[i]]
    for i in np.flatnonzero(level.ramp_present):
        cells[tuple(level.ramp_positions[i])] = RAMPS[level.ramp_directions[i]]
    for i in np.flatnonzero(level.box_present):
        (row, col), shape = level.box_positions[i].tolist(), int(level.box_shapes[i])
        cells[row, col] = BOX if shape == SINGLE else MIDDLES[shape]
        if shape != SINGLE:
            down, right = STEPS[shape]
            cells[row - down, col - right] = cells[row + down, col + right] = END
    switches = zip(SWITCHES, (level.has_locks, level.has_preparation), strict=True)
    return "\n".join([*(f"{name}: {OFF}" for name, is_on in switches if not is_on), *("".join(row) for row in cells)])


def from_text(text: str, dimensions: Dimensions) -> HideAndSeekLevel:
    """Return the level that a map draws (NumPy leaves); things of a kind come in reading order, boxes by their middles.

    Raises `UserError` that names the line and the column, counted from 1, if it is no map of this world.
    """
    switches, drawing = _read_switches(text)
    rows, first = read_rows(drawing, SYMBOLS, f"{len(SYMBOLS)} symbols, one a cell: {SYMBOLS}")
    require_size(rows, dimensions.height, dimensions.width)
    cells = np.array([list(row) for row in rows])
    things = (_find(cells, HIDERS), _find(cells, SEEKERS), _read_boxes(cells, first), _find(cells, RAMPS))
    for kind, found, most in zip(KINDS, things, dimensions.room_for, strict=True):
        if len(found) > most:
            row, col, _ = found[most]
            raise UserError(
                f"{cells[row, col]} {_at(row, col, first)} is one of {len(found)} {kind};"
                f" allowed: at most {most} (max_{kind})"
            )
    return make_level(*things, cells == TALL_WALL, cells == LOW_WALL, dimensions.room_for, *switches)


def count_things(rows: Sequence[str]) -> tuple[int, ...]:
    """Return how many hiders, seekers, boxes and ramps a map shows."""
    symbols = (HIDERS, SEEKERS, BOX + "".join(MIDDLES.values()), RAMPS)
    return tuple(sum(symbol in kind for row in rows for symbol in row) for kind in symbols)


def _read_switches(text: str) -> tuple[tuple[bool, ...], str]:
    """Return what the lines before the map say, and the text with those lines empty, so that lines keep their numbers."""
    lines = text.splitlines()
    is_on = dict.fromkeys(SWITCHES, True)
    for number, line in enumerate(lines):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if line.strip() and not colon:
            break
        if colon and name not in SWITCHES:
            raise UserError(f"line {number + 1} says {name!r}; allowed before the map: {', '.join(SWITCHES)}")
        if colon and value not in (ON, OFF):
            raise UserError(f"line {number + 1} says {name}: {value!r}; allowed: {ON}, {OFF}")
        if colon:
            is_on[name], lines[number] = value == ON, ""
    return tuple(is_on.values()), "\n".join(lines)


def _find(cells: np.ndarray, symbols: str) -> list[Placed]:
    """Return row, column and number of the symbol of each cell that shows one of ``symbols``."""
    places = np.argwhere(np.isin(cells, list(symbols))).tolist()
    return [(row, col, symbols.index(cells[row, col])) for row, col in places]


def _read_boxes(cells: np.ndarray, first: int) -> list[Placed]:
    """Return row, column and shape of all boxes. Raises `UserError` for parts of boxes that are none."""
    boxes = []
    owners = np.zeros(cells.shape, int)  # of ends
    for row, col, shape in _find(cells, BOX + MIDDLES[WIDE] + MIDDLES[TALL]):
        for way in (-1, 1) * (shape != SINGLE):
            end = row + way * STEPS[shape][0], col + way * STEPS[shape][1]
            if min(end) < 0 or end[0] >= cells.shape[0] or end[1] >= cells.shape[1] or cells[end] != END:
                raise UserError(
                    f"{cells[row, col]} {_at(row, col, first)} is no middle of a box; allowed: {END} on both sides of"
                    f" {MIDDLES[WIDE]}, above and below {MIDDLES[TALL]}"
                )
            owners[end] += 1
        boxes.append((row, col, shape))
    for row, col in np.argwhere((cells == END) & (owners != 1)).tolist():
        raise UserError(
            f"{END} {_at(row, col, first)} is an end of {owners[row, col]} boxes; allowed: 1, of a {MIDDLES[WIDE]} beside"
            f" it or a {MIDDLES[TALL]} above or below it"
        )
    return boxes


def _at(row: int, col: int, first: int) -> str:
    return f"at line {first + row}, column {col + 1}"
