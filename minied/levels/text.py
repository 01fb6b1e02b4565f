"""Reading levels that people wrote: text files with several levels, parted by empty lines. Host only."""

from pathlib import Path
from typing import Any

from minied.errors import UserError
from minied.levels.space import LevelSpace


def read_levels(space: LevelSpace, path: Path, by: str) -> list[Any]:
    """Return the levels of a text file, in its order. Raises `UserError` as `read_text` and `levels_of_text` do."""
    space.require("from_text", by)
    return levels_of_text(space, read_text(path), str(path), by)


def read_text(path: Path) -> str:
    """Return what stands in a file. Raises `UserError` naming it if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(f"{path} cannot be read: {found}; allowed: a text file with drawn levels") from error


def levels_of_text(space: LevelSpace, text: str, source: str, by: str) -> list[Any]:
    """Return the levels that ``text`` draws, in its order.

    Raises `UserError` naming ``source``, and the line on which a bad level starts; or that ``space`` reads no text, naming
    ``by``, who wants it to.
    """
    space.require("from_text", by)
    levels = []
    for first_line, block in _blocks(text):
        try:
            levels.append(space.from_text(block))
        except UserError as error:
            raise UserError(f"{source}, the level that starts on line {first_line}: {error}") from error
    if not levels:
        raise UserError(f"{source} holds no level")
    return levels


def _blocks(text: str) -> list[tuple[int, str]]:
    """Return the runs of non-empty lines, each with the number of its first line."""
    blocks: list[tuple[int, list[str]]] = []
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            inside = False
        elif inside:
            blocks[-1][1].append(line)
        else:
            blocks.append((number, [line]))
            inside = True
    return [(number, "\n".join(lines)) for number, lines in blocks]
