"""Results that are kept as they come, a line of JSON each, so that a second call goes on from there."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """Return the rows of a file, none if there is none. A last line that was cut off while it was written is taken out."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text if _is_row(text.rpartition("\n")[2]) else text[: text.rfind("\n") + 1]
    if whole and not whole.endswith("\n"):  # as an editor may leave it
        whole += "\n"
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _is_row(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def keep(done: list[Row], path: Path, row: Row, unsaid: tuple[str, ...] = ()) -> None:
    """Add a row to those that are ``done`` and to the file, and print it but for what shall stay ``unsaid``."""
    done.append(row)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print({name: value for name, value in row.items() if name not in unsaid}, flush=True)


def found(done: list[Row], what: Row) -> list[Row]:
    """Return the rows that say all that ``what`` does."""
    return [row for row in done if all(row.get(name) == value for name, value in what.items())]
