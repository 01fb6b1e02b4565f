"""Files that are whole or not there, and that do not take others with them when they fail."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Write = Callable[[Path], object]


def write_whole(path: Path, write: Write) -> None:
    """Let ``write`` make a file beside ``path`` and put it in its place once it is whole."""
    path.parent.mkdir(exist_ok=True)
    half_made = path.with_stem(f".{path.stem}.tmp")
    try:
        write(half_made)
        half_made.replace(path)
    finally:
        half_made.unlink(missing_ok=True)


def write_all(files: Mapping[Path, Write], made: str = "written") -> tuple[list[Path], list[str]]:
    """Write each file whole; return those that were, and one line for each that could not be ``made``."""
    written, failures = [], []
    for path, write in files.items():
        try:
            write_whole(path, write)
            written.append(path)
        # A world's own drawing code may raise anything, and what the files tell of matters more than they do.
        except Exception as error:
            failures.append(f"{path.name} could not be {made}: {type(error).__name__}: {' '.join(str(error).split())}")
    return written, failures


def free_stem(folder: Path, name: str, report: Mapping[str, Any], question: Sequence[str]) -> str:
    """Return ``name``, or ``name-2`` and so on: the first under which nothing is lost if ``report`` is written as JSON.

    That is one that is not there, or a report with the same answers at the keys ``question``: the same asked again.
    """
    stems = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(stem for stem in stems if _is_free(folder / f"{stem}.json", report, question))


def _is_free(path: Path, report: Mapping[str, Any], question: Sequence[str]) -> bool:
    if not path.exists():
        return True
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return all(kept[name] == report[name] for name in question)
    except (OSError, ValueError, KeyError, TypeError):
        return False
