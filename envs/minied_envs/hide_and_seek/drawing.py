"""What does a game of hide and seek look like? A picture of one moment, from above. Host only.

Walls are dark if tall and grey if low; boxes are raised tiles; a ramp gets lighter towards its high side. Agents are
triangles that point where they look, hiders blue and seekers red, with a ring if they stand on something. A bar leads to
what somebody holds, a padlock has the colour of the team that turned it, and a thin line leads to an opponent who is seen.
The strip on top tells the time: preparation first, then the steps in which the hiders were hidden, and seen.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.grid import draw as grid_drawing
from minied_envs.grid import tiles
from minied_envs.grid.canvas import Canvas, Colour, Point
from minied_envs.grid.moves import STEPS
from minied_envs.hide_and_seek import rules, sight
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.level import CELLS_OF_SHAPE, HIDERS, SEEKERS, SINGLE, TALL, WIDE, HideAndSeekLevel

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek

TEAM_COLOURS: tuple[Colour, Colour] = ((38, 99, 190), (206, 54, 48))  # hiders, seekers
ASLEEP: Colour = (158, 118, 116)  # seekers that wait
FLOOR, LINE, WALL = tiles.COLOURS[tiles.EMPTY], tiles.GRID_LINE, tiles.COLOURS[tiles.WALL]
OUTSIDE: Colour = (214, 202, 190)
LOW_WALL: Colour = (128, 132, 142)
BOX: Colour = (206, 158, 88)
RAMP_LOW, RAMP_HIGH = (120, 88, 50), (240, 208, 144)
INK: Colour = (40, 40, 44)
PAPER: Colour = (250, 250, 248)
GREY: Colour = (172, 176, 182)
PREPARATION: Colour = (238, 200, 96)
MARK: Colour = (66, 148, 92)

BORDER, STRIP = 0.5, 1.5  # in cells
TILE = 32  # pixels of a cell's side, less in large arenas
SHADOW = 0.07  # of what has height 1, in cells

_visible = jax.jit(sight.visible, static_argnames="world")


def draw(
    world: "HideAndSeek",
    level: HideAndSeekLevel,
    state: Any = None,
    words: str = "",
    marks: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """Return a picture, ``u8[height, width, 3]``, of an episode's ``state`` on ``level``, or of its start.

    Args:
        world: its options.
        level: of the episode.
        state: of it, or None.
        words: what the strip says; by default who plays and how it goes.
        marks: cells (row, col) to put a frame around.
    """
    told = None if state is None else state.record
    state = rules.initial_state(jax.tree.map(jnp.asarray, level)) if state is None else state
    sees, _ = _visible(world, level, state)
    preparation = int(world.preparation_steps(level))
    level, state, sees = jax.tree.map(np.asarray, (level, state, sees))
    rows, cols = world.height + 2 * BORDER + STRIP, world.width + 2 * BORDER
    tile = grid_drawing.tile_pixels(world.height, world.width, TILE)
    canvas = Canvas(rows, cols, (STRIP + BORDER, BORDER), tile, WALL)
    _draw_ground(canvas, world, level)
    for number in np.flatnonzero(level.object_present).tolist():
        _draw_object(canvas, level, state, number)
    for row, col in marks:
        canvas.polygon(_frame(row, col, row + 1, col + 1), None, MARK, 0.12)
    counts = int(state.time) >= preparation
    for seer, seen in np.argwhere(sees).tolist():
        if world.teams[seer] != world.teams[seen]:
            _draw_look(canvas, state.positions[seer], state.positions[seen], world.teams[seer], counts)
    for agent in np.flatnonzero(level.agent_present).tolist():
        _draw_agent(canvas, level, state, agent, world.teams[agent], counts)
    words = words or _words(world, level, state, preparation, told)
    _draw_strip(canvas, world, int(state.time), preparation, words, told)
    return canvas.picture()


def _draw_ground(canvas: Canvas, world: "HideAndSeek", level: HideAndSeekLevel) -> None:
    columns = np.arange(world.width, dtype=np.uint32)
    tall, low, arena = ((board >> columns) & 1 == 1 for board in (level.tall, level.low, Dimensions.of(world).arena()))
    for row, col in np.argwhere(~tall):
        canvas.rectangle(row, col, row + 1, col + 1, LINE)
        canvas.rectangle(row + 0.03, col + 0.03, row + 1, col + 1, FLOOR if arena[row, col] else OUTSIDE)
    for row, col in np.argwhere(low):
        _draw_raised(canvas, row, col, row + 1, col + 1, LOW_WALL)


def _draw_raised(canvas: Canvas, top: float, left: float, bottom: float, right: float, colour: Colour) -> None:
    """Draw a tile of height 1: a shadow to the south-east, a dark side and a lighter top."""
    inset = 0.07
    canvas.rectangle(top + inset + SHADOW, left + inset + SHADOW, bottom - inset + SHADOW, right - inset + SHADOW, GREY)
    canvas.rectangle(top + inset, left + inset, bottom - inset, right - inset, _mix(colour, INK, 0.35))
    canvas.rectangle(top + 2 * inset, left + 2 * inset, bottom - 2 * inset, right - 2 * inset, _mix(colour, PAPER, 0.2))


# -- boxes and ramps --------------------------------------------------------------------------------------------------


def _draw_object(canvas: Canvas, level: HideAndSeekLevel, state: Any, number: int) -> None:
    """Draw a box or a ramp, and its lock."""
    row, col = state.object_positions[number].tolist()
    is_box = number < level.num_boxes
    shape = level.box_shapes[number] if is_box else SINGLE
    down, right = int(shape == TALL), int(shape == WIDE)
    if is_box:
        _draw_raised(canvas, row - down, col - right, row + 1 + down, col + 1 + right, BOX)
    else:
        _draw_ramp(canvas, row, col, int(level.ramp_directions[number - level.num_boxes]))
    if state.locked_by[number] in (HIDERS, SEEKERS):
        edges = (row - down, col - right, row + 1 + down, col + 1 + right)
        _draw_lock(canvas, *edges, TEAM_COLOURS[state.locked_by[number]])


def _draw_ramp(canvas: Canvas, row: int, col: int, direction: int) -> None:
    """Draw a wedge that gets lighter, and wider, towards its high side, with an arrow up."""
    steps = 10
    for i in range(steps):
        low, high = -0.44 + 0.88 * i / steps, -0.44 + 0.88 * (i + 1) / steps
        half = 0.34 + 0.1 * i / (steps - 1)
        corners = [(low, -half), (low, half), (high, half), (high, -half)]
        canvas.polygon(_turned(row, col, direction, corners), _mix(RAMP_LOW, RAMP_HIGH, i / (steps - 1)))
    left, tip, right = _turned(row, col, direction, [(-0.22, -0.2), (0.1, 0.0), (-0.22, 0.2)])
    canvas.line(left, tip, PAPER, 0.09)
    canvas.line(tip, right, PAPER, 0.09)
    edge = _turned(row, col, direction, [(0.41, -0.44), (0.41, 0.44)])
    canvas.line(edge[0], edge[1], INK, 0.09)


def _draw_lock(canvas: Canvas, top: int, left: int, bottom: int, right: int, colour: Colour) -> None:
    """Draw a frame and a padlock in the colour of a team."""
    canvas.polygon(_frame(top, left, bottom, right), None, colour, 0.1)
    row, col = top + 0.36, right - 0.32  # not in the middle, where somebody may stand
    canvas.disc((row - 0.06, col), 0.12, None, colour, 0.06)
    canvas.rectangle(row - 0.06, col - 0.17, row + 0.18, col + 0.17, colour)
    canvas.disc((row + 0.05, col), 0.04, PAPER)


def _frame(top: int, left: int, bottom: int, right: int) -> list[Point]:
    """Return the corners of a rectangle a little smaller than its cells."""
    inset = 0.07
    top_, left_, bottom_, right_ = top + inset, left + inset, bottom - inset, right - inset
    return [(top_, left_), (top_, right_), (bottom_, right_), (bottom_, left_)]


# -- agents -----------------------------------------------------------------------------------------------------------


def _draw_look(canvas: Canvas, seer: np.ndarray, seen: np.ndarray, team: int, counts: bool) -> None:
    """Draw a thin line from who sees to who is seen, grey while it does not count, with a dot at its end."""
    away = (seen - seer) / np.linalg.norm(seen - seer)
    aside = 0.07 * np.array([away[1], -away[0]])  # two who see each other have a line each
    start, end = seer + 0.5 + aside, seen + 0.5 + aside - 0.4 * away
    colour = TEAM_COLOURS[team] if counts else GREY
    canvas.line(tuple(start), tuple(end), colour, 0.06 if team == SEEKERS else 0.035)
    canvas.disc(tuple(end), 0.08, colour)


def _draw_agent(canvas: Canvas, level: HideAndSeekLevel, state: Any, agent: int, team: int, counts: bool) -> None:
    """Draw a triangle that points where the agent looks, and what it holds; seekers that wait are dim."""
    row, col = state.positions[agent].tolist()
    colour = ASLEEP if team == SEEKERS and not counts else TEAM_COLOURS[team]
    elevated = bool(state.elevated[agent])
    if elevated:
        canvas.disc((row + 0.5 + SHADOW, col + 0.5 + SHADOW), 0.42, _mix(BOX, INK, 0.4))
        canvas.disc((row + 0.5, col + 0.5), 0.42, PAPER, INK, 0.04)
    if state.holding[agent] >= 0:
        _draw_grip(canvas, level, state, agent, colour)
    size = 0.8 if elevated else 1.0
    corners = [(size * along, size * aside) for along, aside in ((-0.32, -0.32), (0.4, 0.0), (-0.32, 0.32))]
    canvas.polygon(_turned(row, col, int(state.directions[agent]), corners), colour, INK, 0.04)


def _draw_grip(canvas: Canvas, level: HideAndSeekLevel, state: Any, agent: int, colour: Colour) -> None:
    """Draw a bar from an agent to the nearest cell of what it holds; a square around who rides on it."""
    number = int(state.holding[agent])
    shape = int(level.box_shapes[number]) if number < level.num_boxes else SINGLE
    cells = state.object_positions[number] + CELLS_OF_SHAPE[shape]
    own = state.positions[agent]
    row, col = cells[np.argmin(np.abs(cells - own).sum(axis=1))]
    if (row, col) == tuple(own):
        canvas.polygon(_frame(row, col, row + 1, col + 1), None, colour, 0.1)
        return
    start, end = (own[0] + 0.5, own[1] + 0.5), (row + 0.5, col + 0.5)
    canvas.line(start, end, INK, 0.22)
    canvas.line(start, end, colour, 0.14)
    canvas.disc(end, 0.17, colour, INK, 0.04)


# -- the strip --------------------------------------------------------------------------------------------------------


def _words(world: "HideAndSeek", level: HideAndSeekLevel, state: Any, preparation: int, record: Any) -> str:
    """Return what the strip says: who plays, then how long the preparation still lasts, then the score."""
    time = int(state.time)
    seen = _seen_steps(record)
    if seen is not None and time >= preparation and time > 0:
        return f"hidden {time - preparation - seen}, seen {seen}"
    if seen is not None and time > 0:
        left = preparation - time
        return f"{left} step{'' if left == 1 else 's'} to prepare"
    hiders = int(level.agent_present[: world.max_hiders].sum())
    lacks = "" if level.has_locks else ", no locks"
    lacks += "" if preparation else ", no preparation"
    return f"{hiders} v {int(level.agent_present.sum()) - hiders}{lacks}"


def _seen_steps(record: Any) -> int | None:
    """Return how often the hiders were seen, if that is known."""
    seen = getattr(record, "seen_steps", None)
    return None if seen is None else int(seen)


def _draw_strip(canvas: Canvas, world: "HideAndSeek", time: int, preparation: int, words: str, record: Any) -> None:
    """Draw the time as a bar: preparation, then as many steps in blue and red as the hiders were unseen and seen."""
    top = -BORDER - STRIP
    canvas.rectangle(top, -BORDER, -BORDER, world.width + BORDER, PAPER)
    canvas.text((top + 0.5, 0.0), words, INK, min(0.6, 1.9 * world.width / len(words)))
    unit = world.width / world.max_steps
    seen = _seen_steps(record) or 0
    hidden = max(time - preparation, 0) - seen
    parts = [
        (0, world.max_steps, LINE),
        (0, preparation, _mix(PREPARATION, PAPER, 0.6)),
        (0, min(time, preparation), PREPARATION),
        (preparation, hidden, TEAM_COLOURS[HIDERS]),
        (preparation + hidden, seen, TEAM_COLOURS[SEEKERS]),
    ]
    for start, length, colour in parts:
        canvas.rectangle(-BORDER - 0.45, start * unit, -BORDER - 0.15, (start + length) * unit, colour)


# ---------------------------------------------------------------------------------------------------------------------


def _turned(row: float, col: float, direction: int, points: Sequence[Point]) -> list[Point]:
    """Return points given as (ahead, to the right) of the middle of a cell, for who looks in ``direction``."""
    down, right = STEPS[direction]
    return [(row + 0.5 + down * a + right * b, col + 0.5 + right * a - down * b) for a, b in points]


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return a colour with a share of another."""
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(colour, other, strict=True))
    return red, green, blue
