"""What does a level of the gridworld look like? A picture of one moment, from above. Host only.

Keys, balls and boxes have their colour, and a box shows small what is in it; a closed door has a knob, a locked one a
keyhole, an open one is a bar at its side. What the agent sees is tinted, and what it carries is in the frame above it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from minied_envs.grid import draw as grid_drawing
from minied_envs.grid import occlusion, tiles, view
from minied_envs.grid.canvas import Canvas, Colour, Point
from minied_envs.grid.moves import STEPS
from minied_envs.gridworld import codes
from minied_envs.gridworld.level import GridLevel

if TYPE_CHECKING:
    from minied_envs.gridworld.world import GridWorld

TILE = 32  # pixels of a cell's side, less in large grids
FLOOR, WALL, LINE = tiles.COLOURS[tiles.EMPTY], tiles.COLOURS[tiles.WALL], tiles.GRID_LINE
GOAL, LAVA = tiles.COLOURS[tiles.GOAL], (232, 112, 40)
AGENT, INK = tiles.AGENT_COLOUR, (40, 40, 44)
RGB: dict[str, Colour] = {
    "red": (206, 54, 48),
    "green": (58, 150, 78),
    "blue": (46, 116, 214),
    "purple": (134, 76, 190),
    "yellow": (222, 178, 32),
    "grey": (130, 134, 142),
}


def draw(world: "GridWorld", level: GridLevel, state: Any = None) -> np.ndarray:
    """Return a picture, ``u8[height, width, 3]``, of an episode's ``state`` on ``level``, or of its start."""
    if state is None:
        cells, position, direction, carrying = level.cells, level.start, level.direction, codes.EMPTY
    else:
        cells, position, direction, carrying = state.cells, state.position, state.direction, int(state.carrying)
    cells, (row, col), facing = np.asarray(cells), (int(i) for i in np.asarray(position)), int(direction)
    tile = grid_drawing.tile_pixels(world.height, world.width, TILE)
    canvas = Canvas(world.height + 2, world.width + 2, (1, 1), tile, WALL)
    seen = _seen(world, cells, (row, col), facing)
    for place in np.ndindex(*cells.shape):
        _draw_cell(canvas, place, int(cells[place]), bool(seen[place]))
    _draw_agent(canvas, row, col, facing)
    if carrying != codes.EMPTY:
        canvas.rectangle(row - 0.1, col + 0.5, row + 0.5, col + 1.1, INK)
        canvas.rectangle(row - 0.06, col + 0.54, row + 0.46, col + 1.06, FLOOR)
        _draw_thing(canvas, row - 0.1, col + 0.5, carrying, 0.6)
    return canvas.picture()


def _seen(world: "GridWorld", cells: np.ndarray, position: tuple[int, int], direction: int) -> np.ndarray:
    """Return which cells the agent sees, ``bool[H, W]``."""
    offsets = view.offsets(world.view_size)[direction]
    places = offsets + np.asarray(position)
    inside = ((places >= 0) & (places < cells.shape)).all(axis=-1)
    clipped = np.clip(places, 0, np.array(cells.shape) - 1)
    seen_codes = np.where(inside, cells[clipped[..., 0], clipped[..., 1]], codes.WALL)
    visible = inside.copy()
    if not world.see_through_walls:
        opaque = codes.is_opaque(jnp.asarray(seen_codes, jnp.int32))
        visible &= np.asarray(occlusion.visible(opaque))
    seen = np.zeros(cells.shape, bool)
    seen[tuple(places[visible].T)] = True
    return seen


def _draw_cell(canvas: Canvas, place: tuple[int, ...], code: int, is_seen: bool) -> None:
    row, col = place
    if code == codes.WALL:
        if is_seen:
            canvas.rectangle(row, col, row + 1, col + 1, _tinted(WALL))
        return
    ground = {codes.GOAL: GOAL, codes.LAVA: LAVA}.get(code, FLOOR)
    canvas.rectangle(row, col, row + 1, col + 1, LINE)
    canvas.rectangle(row + 0.03, col + 0.03, row + 1, col + 1, _tinted(ground) if is_seen else ground)
    if code == codes.LAVA:
        for top in (0.3, 0.55, 0.8):
            points = [(row + top, col + 0.12), (row + top - 0.1, col + 0.37), (row + top, col + 0.62)]
            for start, end in zip(points, [*points[1:], (row + top - 0.1, col + 0.88)], strict=True):
                canvas.line(start, end, INK, 0.05)
    elif codes.kind_of(code) == "door":
        _draw_door(canvas, row, col, code)
    elif code >= codes.KEY:
        _draw_thing(canvas, row, col, code, 1.0)
    elif code in (codes.RIGHT_ANSWER, codes.WRONG_ANSWER):
        canvas.disc((row + 0.5, col + 0.5), 0.12, None, GOAL if code == codes.RIGHT_ANSWER else LAVA, 0.06)


def _draw_door(canvas: Canvas, row: int, col: int, code: int) -> None:
    colour = RGB[codes.colour_of(code) or "grey"]
    if code < codes.WALL:
        canvas.rectangle(row, col, row + 1, col + 0.16, colour)
        return
    is_locked = code >= codes.LOCKED_DOOR
    canvas.rectangle(row, col, row + 1, col + 1, colour)
    canvas.rectangle(row + 0.1, col + 0.1, row + 0.9, col + 0.9, _mix(colour, INK if is_locked else FLOOR, 0.45))
    canvas.disc((row + 0.5, col + 0.72), 0.09, colour if is_locked else INK)
    if is_locked:
        canvas.rectangle(row + 0.5, col + 0.68, row + 0.74, col + 0.76, colour)


def _draw_thing(canvas: Canvas, row: float, col: float, code: int, size: float) -> None:
    """Draw a key, a ball or a box in a square of a ``size`` in cells, from its upper left corner."""

    def point(down: float, right: float) -> Point:
        return row + size * down, col + size * right

    def box(top: float, left: float, bottom: float, right: float, colour: Colour) -> None:
        canvas.rectangle(*point(top, left), *point(bottom, right), colour)

    colour, kind = RGB[codes.colour_of(code) or "grey"], codes.kind_of(code)
    if kind == "ball":
        canvas.disc(point(0.5, 0.5), 0.3 * size, colour, _mix(colour, INK, 0.4), 0.04)
    elif kind == "key":
        canvas.disc(point(0.3, 0.5), 0.16 * size, None, colour, 0.1 * size)
        box(0.42, 0.45, 0.86, 0.55, colour)
        box(0.62, 0.3, 0.7, 0.5, colour)
        box(0.78, 0.3, 0.86, 0.5, colour)
    else:
        box(0.14, 0.14, 0.86, 0.86, colour)
        box(0.22, 0.22, 0.78, 0.78, FLOOR)
        box(0.46, 0.22, 0.54, 0.78, colour)
        if code >= codes.FILLED_BOX:
            _draw_thing(canvas, *point(0.3, 0.3), codes.contents(code), 0.4 * size)


def _draw_agent(canvas: Canvas, row: int, col: int, direction: int) -> None:
    down, right = STEPS[direction]
    corners: Sequence[Point] = ((-0.32, -0.32), (0.4, 0.0), (-0.32, 0.32))
    points = [(row + 0.5 + down * a + right * b, col + 0.5 + right * a - down * b) for a, b in corners]
    canvas.polygon(points, AGENT, INK, 0.04)


def _tinted(colour: Colour) -> Colour:
    return _mix(colour, tiles.HIGHLIGHT, 0.3)


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return a colour with a share of another."""
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(colour, other, strict=True))
    return red, green, blue
