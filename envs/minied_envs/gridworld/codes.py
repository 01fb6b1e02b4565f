"""What can be in a cell of the gridworld? One byte: what it is, of which colour, in which state, and what is in it.

The bytes are numbered so that each rule of MiniGrid (Chevalier-Boisvert et al. 2023, arXiv 2306.13831) is one comparison:
what can be walked on comes before what cannot be seen through, and what can be picked up comes last. `APPEARANCES` is what
an agent tells apart: a box does not show what is in it, and the two answers of a memory task look like empty cells.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")  # in MiniGrid's order
NUM_COLOURS = len(COLOURS)

# Walked on, and seen through. An open door is `OPEN_DOOR` + its colour; so are all names below that stand for six.
UNSEEN, EMPTY, RIGHT_ANSWER, WRONG_ANSWER, GOAL, LAVA = range(6)
OPEN_DOOR = 6
# Neither.
WALL = 12
CLOSED_DOOR = 13
LOCKED_DOOR = 19
# Seen through, and picked up.
KEY = 25
BALL = 31
BOX = 37  # with nothing in it
FILLED_BOX = 43  # + 6 · (code of the key or ball in it − KEY) + colour of the box
NUM_CONTENTS = 2 * NUM_COLOURS
NUM_CODES = FILLED_BOX + NUM_CONTENTS * NUM_COLOURS  # 115
APPEARANCES = FILLED_BOX

KINDS = ("unseen", "empty", "wall", "goal", "lava", "door", "key", "ball", "box")
"""What there is; right and wrong answers are to be taken for empty."""
_FIRST = {"door": OPEN_DOOR, "key": KEY, "ball": BALL, "box": BOX}
_MINIGRID = {"unseen": 0, "empty": 1, "wall": 2, "door": 4, "key": 5, "ball": 6, "box": 7, "goal": 8, "lava": 9}
_MINIGRID_COLOUR = {"wall": "grey", "goal": "green"}  # of what comes in one colour; for the others MiniGrid has 0
_LIGHT = {
    "red": "100",
    "green": "010",
    "blue": "001",
    "purple": "101",
    "yellow": "110",
    "grey": "111",
}  # as red, green, blue


def is_walkable(code: jax.Array) -> jax.Array:
    """Return whether an agent can go there: empty cells, goals, lava and open doors, ``bool[...]``."""
    return (code >= EMPTY) & (code < WALL)


def is_opaque(code: jax.Array) -> jax.Array:
    """Return whether nothing behind it can be seen: walls, and doors that are not open, ``bool[...]``."""
    return (code >= WALL) & (code < KEY)


def is_object(code: jax.Array) -> jax.Array:
    """Return whether it can be picked up: keys, balls and boxes, ``bool[...]``."""
    return code >= KEY


def is_door(code: jax.Array) -> jax.Array:
    """Return whether it is a door, open or not, ``bool[...]``."""
    return ((code >= OPEN_DOOR) & (code < WALL)) | ((code >= CLOSED_DOOR) & (code < KEY))


def appearance(code: jax.Array) -> jax.Array:
    """Return what it looks like, a code below `APPEARANCES`, of the type of ``code``."""
    # Read from a table: in a view that costs half of what the arithmetic does.
    return jnp.asarray(_appearances(), code.dtype).at[code].get(mode="promise_in_bounds")


@functools.cache
def _appearances() -> np.ndarray:
    """Return what each byte looks like, those that are no codes as themselves, ``i32[256]``."""
    looks = np.arange(256, dtype=np.int32)
    looks[[RIGHT_ANSWER, WRONG_ANSWER]] = EMPTY
    looks[FILLED_BOX:NUM_CODES] = BOX + np.arange(NUM_CODES - FILLED_BOX) % NUM_COLOURS
    return looks


def toggled(code: jax.Array, carrying: jax.Array) -> jax.Array:
    """Return what becomes of ``code`` (``i32[...]``) when an agent that carries ``carrying`` toggles it.

    A door opens or closes, a locked one only with the key of its colour; a box gives way to what is in it.
    """
    unlocked = jnp.where(carrying - KEY == code - LOCKED_DOOR, code - LOCKED_DOOR + OPEN_DOOR, code)
    opened = jnp.where(code >= FILLED_BOX, contents(code), EMPTY)
    door = jnp.where(code < LOCKED_DOOR, code - CLOSED_DOOR + OPEN_DOOR, unlocked)
    door = jnp.where(code < WALL, code - OPEN_DOOR + CLOSED_DOOR, door)
    return jnp.where(is_door(code), door, jnp.where(code >= BOX, opened, code))


def filled(box: int | jax.Array, inside: int | jax.Array) -> int | jax.Array:
    """Return the code of an empty ``box`` with a key or ball, ``inside``, put in it; `contents` is the way back."""
    return FILLED_BOX + NUM_COLOURS * (inside - KEY) + (box - BOX)


def contents(filled_box: Any) -> Any:
    """Return the key or ball in a box that has one, of numbers or arrays; of other codes it says nothing."""
    return KEY + (filled_box - FILLED_BOX) // NUM_COLOURS


def kind_of(code: int) -> str:
    """Return which of `KINDS` a code is. Host only."""
    for name, first in (("box", BOX), ("ball", BALL), ("key", KEY), ("door", CLOSED_DOOR), ("wall", WALL)):
        if code >= first:
            return name
    if code >= OPEN_DOOR:
        return "door"
    return {UNSEEN: "unseen", GOAL: "goal", LAVA: "lava"}.get(code, "empty")


def colour_of(code: int) -> str | None:
    """Return the colour of a door or an object, None for all else. Host only."""
    kind = kind_of(code)
    if kind not in _FIRST:
        return None
    first = CLOSED_DOOR if kind == "door" and code > WALL else _FIRST[kind]
    return COLOURS[(code - first) % NUM_COLOURS]


def state_of(code: int) -> int:
    """Return MiniGrid's state of a code: 1 for a closed door, 2 for a locked one, else 0. Host only."""
    if not CLOSED_DOOR <= code < KEY:
        return 0
    return 1 if code < LOCKED_DOOR else 2


def triple(code: int) -> tuple[int, int, int]:
    """Return MiniGrid's (object, colour, state) of a code. Host only."""
    kind = kind_of(code)
    colour = colour_of(code) or _MINIGRID_COLOUR.get(kind, COLOURS[0])
    return _MINIGRID[kind], COLOURS.index(colour), state_of(code)


def light(colour: str | None) -> tuple[float, ...]:
    """Return a colour as a network sees it: red, green and blue, each 0 or 1; nothing for None."""
    return (0.0,) * 3 if colour is None else tuple(float(digit) for digit in _LIGHT[colour])


def _features(code: int) -> tuple[float, ...]:
    kind = kind_of(code)
    kinds = tuple(float(kind == each) for each in KINDS)
    return (*kinds, *light(colour_of(code)), float(state_of(code) == 1), float(state_of(code) == 2))


TRIPLES = tuple(triple(code) for code in range(APPEARANCES))
FEATURES = tuple(_features(code) for code in range(APPEARANCES))
"""What a network sees: which of `KINDS`, its colour as red, green and blue, whether it is a closed or a locked door."""
