"""Files that are whole or not there, and that do not take others with them when they fail."""

from collections.abc import Callable, Mapping
from pathlib import Path

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
