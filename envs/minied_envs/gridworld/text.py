"""How is a level of the gridworld written, so that people can read and write it? A map of words, one a cell.

    #   wall       Kr  red key       Or  open red door      + -  the right and the wrong answer of a memory task,
    .   floor      Ab  blue ball     Dg  closed green door       which look like floor
    G   goal       Bp  purple box    Ly  locked yellow door
    ~   lava       Be(Ky)  grey box with a yellow key in it        > v < ^  the agent, looking east, south, west, north

Colours are r, g, b, p, y and e (grey). Lines before the map say what the level is for: ``mission: pick up the blue ball``
(by default: get to the goal) and ``max_steps: 100`` (by default the world's). Host only.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid.text import read_words, require_size
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.level import LONGEST, GridLevel, make_level

AGENTS = ">v<^"  # by direction: east, south, west, north
AGENT = codes.NUM_CODES  # + direction: what `cell_codes` gives for an agent's symbol
COLOUR_LETTERS = "rgbpye"
DRAWN_WITH = "# . G ~ + -, O D L (doors) and K A B with a colour of r g b p y e, Br(Ky), and one of > v < ^"
_PLAIN = {"#": codes.WALL, ".": codes.EMPTY, "G": codes.GOAL, "~": codes.LAVA}
_PLAIN |= {"+": codes.RIGHT_ANSWER, "-": codes.WRONG_ANSWER}
_COLOURED = {"O": codes.OPEN_DOOR, "D": codes.CLOSED_DOOR, "L": codes.LOCKED_DOOR}
_COLOURED |= {"K": codes.KEY, "A": codes.BALL, "B": codes.BOX}


@functools.cache
def cell_codes() -> dict[str, int]:
    """Return the code of each word, of the agent's `AGENT` + direction."""
    words = dict(_PLAIN)
    words |= {letter + c: first + i for letter, first in _COLOURED.items() for i, c in enumerate(COLOUR_LETTERS)}
    things = [word for word in words if word[0] in "KA" and len(word) == 2]
    boxes = [word for word in words if word[0] == "B"]
    words |= {f"{box}({thing})": int(codes.filled(words[box], words[thing])) for box in boxes for thing in things}
    return words | {symbol: AGENT + direction for direction, symbol in enumerate(AGENTS)}


@functools.cache
def cell_words() -> dict[int, str]:
    """Return the word of each code."""
    return {code: word for word, code in cell_codes().items()}


def to_text(level: GridLevel) -> str:
    """Return the drawing of a valid level, with the lines before it, that `from_text` reads back."""
    rows = [[cell_words()[code] for code in row] for row in np.asarray(level.cells).tolist()]
    row, col = (int(i) for i in np.asarray(level.agent_position))
    rows[row][col] = AGENTS[int(level.agent_direction)]
    widths = [max(len(row[col]) for row in rows) for col in range(len(rows[0]))]
    lines = [" ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    header = [f"mission: {missions.words()[int(level.mission)]}", f"max_steps: {int(level.max_steps)}"]
    return "\n".join([*header, *lines])


def from_text(text: str, height: int, width: int, max_steps: int) -> GridLevel:
    """Return the level that ``text`` draws (NumPy leaves).

    Raises `UserError` that names the line and the column, both counted from 1 as an editor does.
    """
    said, drawing, first_line = _read_header(text)
    rows = read_words(drawing, cell_codes(), DRAWN_WITH, first_line)
    require_size(rows, height, width)
    cells = np.array(rows, np.int32)
    start, direction = find_agent(cells)
    cells[start] = codes.EMPTY
    mission = missions.from_words(said.get("mission", missions.words()[missions.REACH_GOAL]))
    limit = _whole_number(said["max_steps"]) if "max_steps" in said else max_steps
    return jax.tree.map(
        np.asarray, make_level(jnp.asarray(cells), *map(jnp.asarray, (start, direction, mission, limit)))
    )


def find_agent(cells: np.ndarray) -> tuple[tuple[int, int], int]:
    """Return the place (row, col) and direction of the only agent of a drawing, or raise `UserError`."""
    found = np.argwhere(cells >= AGENT).tolist()
    if not found:
        raise UserError(f"the level has no agent; draw exactly one of: {' '.join(AGENTS)}")
    if len(found) > 1:
        (first_row, first_col), (row, col) = found[:2]
        raise UserError(
            f"second agent at row {row + 1}, cell {col + 1} of the map; the first is at row {first_row + 1},"
            f" cell {first_col + 1}"
        )
    row, col = found[0]
    return (row, col), int(cells[row, col]) - AGENT


def _read_header(text: str) -> tuple[dict[str, str], str, int]:
    """Return what the lines before the map say, the rest of the text, and the number of its first line."""
    lines = text.splitlines()
    said: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not colon:
            return said, "\n".join(lines[number - 1 :]), number
        if name not in ("mission", "max_steps"):
            raise UserError(f"line {number} says {name!r}; allowed before the map: mission, max_steps")
        if name in said:
            raise UserError(f"line {number} says {name!r} again; allowed: once")
        said[name] = value
    return said, "", len(lines)


def _whole_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST:
        raise UserError(f"max_steps of the level is {text!r}; allowed: 1 to {LONGEST}")
    return int(text)
