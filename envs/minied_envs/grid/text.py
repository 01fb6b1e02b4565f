"""How is the drawing of a grid read, one character a cell? Host only."""

from minied.errors import UserError


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


def require_size(rows: list[str], height: int, width: int) -> None:
    """Raise `UserError` unless a drawing is as large as the world."""
    if (len(rows), len(rows[0])) != (height, width):
        drawn = f"the level is drawn {len(rows)}x{len(rows[0])}"
        raise UserError(f"{drawn}; this world is {height}x{width} (--env.height, --env.width)")
