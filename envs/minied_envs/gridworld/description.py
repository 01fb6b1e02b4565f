"""How does one say what levels are like, without writing a generator? A drawn map, regions, and what is put where.

A `Description` says it in words, and `tensors_of` makes arrays of it: a mask of cells for each thing, a set of colours, a
chance. `minied_envs.gridworld.described` draws levels from them. In a phrase a colour is one of MiniGrid's six, ``any``,
or the name of a choice, which is drawn once for a level: so a door and its key come in one colour. Letters: ``H W`` grid,
``P`` things to put, one after the other.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from minied.errors import UserError, suggestion, unknown_name
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.text import AGENT

ANY = "any"
EVERYWHERE = "everywhere"
GROUNDS = {"floor": codes.EMPTY, "wall": codes.WALL}
DIRECTIONS = ("east", "south", "west", "north")
_FIXED = {"goal": codes.GOAL, "lava": codes.LAVA, "wall": codes.WALL, "floor": codes.EMPTY}
_OBJECTS = {"key": codes.KEY, "ball": codes.BALL, "box": codes.BOX}
_DOORS = {"open": codes.OPEN_DOOR, "closed": codes.CLOSED_DOOR, "locked": codes.LOCKED_DOOR}
_PHRASES = "goal, lava, wall, floor, 'red key', 'any ball', 'grey box with red key', 'locked yellow door'"
_MISSIONS = "'get to the goal', 'open the yellow door', 'pick up the red key'"

Rectangle = tuple[int, int, int, int]  # top, left, height, width


@dataclasses.dataclass(frozen=True)
class Placement:
    """A thing, or several of a kind, on uniform cells of a region that are left."""

    put: str
    """What, as a phrase: goal, lava, "red key", "any ball", "grey box with red key", "locked yellow door"."""
    region: str = EVERYWHERE
    replaces: str = "floor"
    """floor, or wall: what the thing takes the place of."""
    count: int = 1
    probability: float = 1.0
    """Chance that it is put there, for each of ``count``."""


@dataclasses.dataclass(frozen=True)
class Description:
    """Levels in words. A field says what is allowed when `DescribedLevels` is built of it."""

    map: tuple[tuple[int, ...], ...]
    """The code of every cell (`minied_envs.gridworld.codes`; `text.AGENT` + direction for the agent, if it is drawn)."""
    regions: tuple[tuple[str, tuple[Rectangle, ...]], ...] = ()
    """Named rectangles, each (top, left, height, width), or several together; ``everywhere`` is the whole map."""
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Names for a colour that is drawn once a level, with the colours that it may be."""
    placements: tuple[Placement, ...] = ()
    """What is put where, in this order."""
    agent_region: str = EVERYWHERE
    """Where the agent begins, unless it is drawn."""
    agent_facing: str = ANY
    """any, or east, south, west, north."""
    agent_clear_front: bool = False
    """Whether it begins in front of an empty cell or a wall, if it can."""
    mission: str = "get to the goal"
    """As in the text of a level; a colour may be a choice."""
    max_steps: int = 100


class Colours(NamedTuple):
    """Where a colour comes from: a choice by its number, or one of these, drawn by itself."""

    choice: int  # -1: none
    allowed: tuple[bool, ...]


class Thing(NamedTuple):
    """What a phrase means."""

    code: int  # of the first colour
    colour: Colours | None
    contents: int = 0  # code of what is in a box, of the first colour, or 0
    contents_colour: Colours | None = None


class Tensors(NamedTuple):
    """A description as arrays, one row for each thing to put."""

    masks: np.ndarray  # bool[P, H, W]
    grounds: np.ndarray  # i32[P]
    codes: np.ndarray  # i32[P]
    contents: np.ndarray  # i32[P]
    choices: np.ndarray  # i32[P, 2], of the thing's colour and of its contents'; -1: none
    allowed: np.ndarray  # bool[P, 2, 6]
    chances: np.ndarray  # f32[P]
    placements: np.ndarray  # i32[P], which placement it comes from


def _colours(description: Description, word: str, where: str) -> Colours:
    """Return where a colour comes from. Raises `UserError` for an unknown word."""
    names = [name for name, _ in description.choices]
    if word in names:
        return Colours(names.index(word), (True,) * codes.NUM_COLOURS)
    if word != ANY and word not in codes.COLOURS:
        known = [*codes.COLOURS, ANY, *names]
        raise UserError(f"{where}: unknown colour {word!r}{suggestion(word, known)}; known: {', '.join(known)}")
    return Colours(-1, tuple(word in (ANY, colour) for colour in codes.COLOURS))


def thing_of(description: Description, phrase: str, where: str) -> Thing:
    """Return what a phrase means. Raises `UserError` that says what it may be."""
    match phrase.split():
        case [word] if word in _FIXED:
            return Thing(_FIXED[word], None)
        case [state, colour, "door"] if state in _DOORS:
            return Thing(_DOORS[state], _colours(description, colour, where))
        case [colour, kind] if kind in _OBJECTS:
            return Thing(_OBJECTS[kind], _colours(description, colour, where))
        case [colour, "box", "with", inner, kind] if kind in ("key", "ball"):
            found = (_colours(description, each, where) for each in (colour, inner))
            outer, contents = found
            return Thing(codes.BOX, outer, _OBJECTS[kind], contents)
    raise UserError(f"{where} is {phrase!r}; allowed: such as {_PHRASES}")


def mission_of(description: Description) -> tuple[int, Colours]:
    """Return the mission of the first colour, and where the colour comes from."""
    none = Colours(-1, (True,) + (False,) * (codes.NUM_COLOURS - 1))
    match description.mission.split():
        case ["get", "to", "the", "goal"]:
            return missions.REACH_GOAL, none
        case ["go", "to", "the", "matching", "object"]:
            return missions.GO_TO_MATCH, none
        case ["open", "the", colour, "door"]:
            return missions.OPEN, _fixed(_colours(description, colour, "mission"), description)
        case ["pick", "up", "the", colour, kind] if kind in _OBJECTS:
            return int(missions.pick_up(_OBJECTS[kind])), _fixed(_colours(description, colour, "mission"), description)
    raise UserError(f"mission is {description.mission!r}; allowed: such as {_MISSIONS}")


def _fixed(colours: Colours, description: Description) -> Colours:
    if colours.choice < 0 and sum(colours.allowed) > 1:
        raise UserError(f"mission is {description.mission!r}; allowed: one colour, or the name of a choice")
    return colours


def region_of(description: Description, name: str) -> np.ndarray:
    """Return the cells of a region, ``bool[H, W]``. Raises `UserError` for one that there is not."""
    height, width = len(description.map), len(description.map[0])
    regions = dict(description.regions)
    if name == EVERYWHERE:
        return np.ones((height, width), bool)
    if name not in regions:
        raise unknown_name("region", name, [EVERYWHERE, *regions])
    mask = np.zeros((height, width), bool)
    for top, left, rows, cols in regions[name]:
        inside = top >= 0 and left >= 0 and rows >= 1 and cols >= 1 and top + rows <= height and left + cols <= width
        if not inside:
            raise UserError(
                f"region {name!r} has a rectangle of {rows}x{cols} cells from row {top}, column {left} on;"
                f" allowed: within the map of {height}x{width}"
            )
        mask[top : top + rows, left : left + cols] = True
    return mask


def drawn_agent(description: Description) -> tuple[int, int, int] | None:
    """Return row, column and direction of the agent if the map shows it."""
    found = np.argwhere(np.asarray(description.map) >= AGENT)
    if len(found) == 0:
        return None
    row, col = found[0].tolist()
    return row, col, description.map[row][col] - AGENT


def ground_of(description: Description) -> np.ndarray:
    """Return the map without the agent, ``i32[H, W]``."""
    cells = np.asarray(description.map, np.int32)
    return np.where(cells >= AGENT, codes.EMPTY, cells).astype(np.int32)


@functools.cache
def tensors_of(description: Description) -> Tensors:
    """Return a description as arrays. Raises `UserError` for a placement that cannot be."""
    _check_names(description)
    for name, _ in description.regions:
        region_of(description, name)
    rows: list[tuple] = []
    agent = np.asarray(description.map) >= AGENT  # where it is drawn, nothing is put
    for index, placement in enumerate(description.placements):
        where = f"placement {index + 1} ({placement.put})"
        if placement.replaces not in GROUNDS:
            raise UserError(f"{where}: replaces is {placement.replaces!r}; allowed: {', '.join(GROUNDS)}")
        if placement.count < 1:
            raise UserError(f"{where}: count is {placement.count}; allowed: at least 1")
        if not 0.0 < placement.probability <= 1.0:
            raise UserError(f"{where}: probability is {placement.probability}; allowed: (0, 1]")
        thing = thing_of(description, placement.put, f"placement {index + 1}")
        mask, nothing = region_of(description, placement.region) & ~agent, Colours(-1, (True,) * codes.NUM_COLOURS)
        room = int(np.sum(mask & (ground_of(description) == GROUNDS[placement.replaces])))
        if placement.count > room:  # before there is a row for each
            raise no_room(description, index, room)
        colours = (thing.colour or nothing, thing.contents_colour or nothing)
        choices, allowed = [each.choice for each in colours], [each.allowed for each in colours]
        row = (
            mask,
            GROUNDS[placement.replaces],
            thing.code,
            thing.contents,
            choices,
            allowed,
            placement.probability,
            index,
        )
        rows += [row] * placement.count
    number, size = len(rows), np.asarray(description.map).shape
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 8
    shapes = ((number, *size), (number,), (number,), (number,), (number, 2), (number, 2, 6), (number,), (number,))
    kinds = (bool, np.int32, np.int32, np.int32, np.int32, bool, np.float32, np.int32)
    arrays = (np.array(c, k).reshape(s) for c, k, s in zip(columns, kinds, shapes, strict=True))
    return Tensors(*arrays)


def no_room(description: Description, index: int, room: int) -> UserError:
    """Return what to raise where a placement, by its number, puts more than the ``room`` that is surely there."""
    each = description.placements[index]
    return UserError(
        f"placement {index + 1} ({each.put}) puts {each.count} on {each.replaces} of region {each.region!r};"
        f" allowed: {room}, as things put before may leave no other cell there"
    )


def uncertain(description: Description) -> list[int]:
    """Return the placements that may not happen."""
    return [i for i, placement in enumerate(description.placements) if placement.probability < 1]


def _check_names(description: Description) -> None:
    """Raise `UserError` if the map is none, or a choice cannot be made."""
    if not description.map or not description.map[0] or len({len(row) for row in description.map}) > 1:
        raise UserError("map has rows of different lengths, or no cells; allowed: a rectangle")
    if int(np.sum(np.asarray(description.map) >= AGENT)) > 1:
        raise UserError("map shows more than one agent; allowed: at most one")
    if EVERYWHERE in dict(description.regions):
        raise UserError(f"a region is named {EVERYWHERE!r}, which is the whole map; allowed: another name")
    taken = {*codes.COLOURS, ANY, *_FIXED, *_OBJECTS, *_DOORS, "door", "with", "the"}
    for name, colours in description.choices:
        if name in taken:
            raise UserError(f"a choice is named {name!r}; allowed: a word that means nothing else")
        if not colours:
            raise UserError(f"choice {name!r} has no colour; allowed: one or more of {', '.join(codes.COLOURS)}")
        for colour in colours:
            if colour not in codes.COLOURS:
                raise UserError(
                    f"choice {name!r}: unknown colour {colour!r}{suggestion(colour, codes.COLOURS)}; allowed: {ANY},"
                    f" or one or more of {', '.join(codes.COLOURS)}"
                )
        if len(set(colours)) < len(colours):
            raise UserError(f"choice {name!r} is {', '.join(colours)}; allowed: each colour once")
