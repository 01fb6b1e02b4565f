"""What is an agent of the gridworld to do? One byte, a mission; in words for people, in numbers for networks.

Reaching a goal always ends an episode with its reward, and lava without, whatever the mission is, as in MiniGrid. The other
missions add an end: to open a door of a colour, to pick up an object, or to go where the object is that was shown at first.
"""

import functools

import jax

from minied.errors import unknown_name
from minied_envs.gridworld.codes import BOX, COLOURS, KEY, KINDS, NUM_COLOURS, OPEN_DOOR, WALL, appearance, light

REACH_GOAL, GO_TO_MATCH = range(2)
OPEN = 2  # + colour of the door
PICK_UP = 8  # + code of the object − KEY
NUM_OBJECTS = BOX + NUM_COLOURS - KEY  # 18
NUM_MISSIONS = PICK_UP + NUM_OBJECTS  # 26


def pick_up(code: int | jax.Array) -> int | jax.Array:
    """Return the mission to pick up a key, ball or (empty) box."""
    return PICK_UP + (code - KEY)


def is_picked_up(mission: jax.Array, code: jax.Array) -> jax.Array:
    """Return whether an object, ``code``, is the one that ``mission`` asks to pick up, ``bool[]``; any that looks so is."""
    return (mission >= PICK_UP) & (appearance(code) - KEY == mission - PICK_UP)


def is_opened(mission: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    """Return whether a cell that was ``before`` and is ``after`` is the door that ``mission`` asks to open, ``bool[]``."""
    is_open = (after >= OPEN_DOOR) & (after < WALL)
    return is_open & (before != after) & (after - OPEN_DOOR == mission - OPEN) & (mission < PICK_UP)


@functools.cache
def words() -> tuple[str, ...]:
    """Return each mission in words."""
    objects = [f"pick up the {colour} {kind}" for kind in ("key", "ball", "box") for colour in COLOURS]
    doors = [f"open the {colour} door" for colour in COLOURS]
    return ("get to the goal", "go to the matching object", *doors, *objects)


def from_words(text: str) -> int:
    """Return the mission that ``text`` says. Raises `UserError` if there is none."""
    said = " ".join(text.split())
    if said not in words():
        raise unknown_name("mission", said, words())
    return words().index(said)


def _features(mission: int) -> tuple[float, ...]:
    kinds = (mission == REACH_GOAL, mission == GO_TO_MATCH, OPEN <= mission < PICK_UP, mission >= PICK_UP)
    kind, colour = None, None
    if mission >= PICK_UP:
        kind, colour = ("key", "ball", "box")[(mission - PICK_UP) // NUM_COLOURS], COLOURS[(mission - PICK_UP) % 6]
    elif mission >= OPEN:
        kind, colour = "door", COLOURS[mission - OPEN]
    elif mission == REACH_GOAL:
        kind = "goal"
    return (*map(float, kinds), *(float(kind == each) for each in KINDS[3:]), *light(colour))


FEATURES = tuple(_features(mission) for mission in range(NUM_MISSIONS))
"""The goal vector: which of the four kinds; goal, lava, door, key, ball or box; the colour as red, green and blue."""
