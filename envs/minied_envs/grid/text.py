"""How is the drawing of a grid read, one character or one word a cell? Host only."""

import re
from collections.abc import Mapping, Sequence

from minied.errors import UserError, suggestion


def read_rows(text: str, symbols: str, drawn_with: str) -> tuple[list[str], int]:
    """Return the rows of a drawing, all equally long and of known symbols only, and the number of the first one's line.

    Blank lines around the drawing and blanks around its lines are ignored. Raises `UserError` that names the line and the
    column, both counted from 1 as an editor does, or, of an empty drawing, what it is ``drawn_with``.
    """
    lines = [line.strip() for line in text.splitlines()]
    filled = [number for number, line in enumerate(lines, 1) if line]
    if not filled:
        raise UserError(f"the level is empty; draw it with {drawn_with}")
    first, last = filled[0], filled[-1]
    width = len(lines[first - 1])
    for number in range(first, last + 1):
        line = lines[number - 1]
        for column, symbol in enumerate(line, 1):
            if symbol not in symbols:
                raise UserError(f"unknown symbol {symbol!r} at line {number}, column {column}; known: {symbols}")
        if len(line) != width:
            raise UserError(f"line {number} of the level has {len(line)} cells; line {first} has {width}")
    return lines[first - 1 : last], first


def read_words(text: str, known: Mapping[str, int], drawn_with: str, first_line: int = 1) -> list[list[int]]:
    """Return the rows of a drawing whose cells are words with blanks between them, as numbers, all equally long.

    Args:
        text: the drawing; blank lines around it are ignored.
        known: the number of each word.
        drawn_with: what to name if the drawing is empty.
        first_line: the number of the text's first line, in errors.

    Raises:
        UserError: an unknown word, by line and column as an editor counts them, or rows of different lengths.
    """
    rows: list[list[int]] = []
    first, ended = 0, 0
    for number, line in enumerate(text.splitlines(), first_line):
        found = list(re.finditer(r"\S+", line))
        if not found:
            ended = ended or (number if rows else 0)
            continue
        if ended:
            raise UserError(f"line {ended} is empty, in the middle of the level; allowed: no gaps")
        for word in found:
            if word.group() not in known:
                near = suggestion(word.group(), list(known))
                raise UserError(
                    f"unknown cell {word.group()!r}{near} at line {number}, column {word.start() + 1};"
                    f" allowed: {drawn_with}"
                )
        first = first or number
        if rows and len(found) != len(rows[0]):
            raise UserError(f"line {number} of the level has {len(found)} cells; line {first} has {len(rows[0])}")
        rows.append([known[word.group()] for word in found])
    if not rows:
        raise UserError(f"the level is empty; draw it with {drawn_with}")
    return rows


def require_size(rows: Sequence[Sequence], height: int, width: int) -> None:
    """Raise `UserError` unless a drawing is as large as the world."""
    if (len(rows), len(rows[0])) != (height, width):
        drawn = f"the level is drawn {len(rows)}x{len(rows[0])}"
        raise UserError(f"{drawn}; this world is {height}x{width} (--env.height, --env.width)")
