"""What several commands need: where compiled programs are kept, how a config is named, how JSON is printed."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from minied.errors import UserError


def enable_compilation_cache() -> None:
    """Keep compiled programs on disk for the next run, unless the user has already said where JAX keeps them.

    The folder is ``$MINIED_CACHE_DIR/jax``, by default ``~/.cache/minied/jax``. Called by commands, never at import.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    import jax

    folder = Path(os.environ.get("MINIED_CACHE_DIR") or Path("~/.cache/minied").expanduser()) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"minied: compiled programs are not kept: {folder}: {error.strerror}", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def positional(arguments: list[str], default: str | None = None) -> tuple[str | None, list[str]]:
    """Return the first argument if it is not an option, else ``default``, and the rest.

    Raises `UserError` for a second one.
    """
    if not arguments or arguments[0].startswith("-"):
        return default, arguments
    first, *rest = arguments
    if rest and not rest[0].startswith("-"):
        raise UserError(f"unexpected argument {rest[0]!r} after {first!r}; allowed: one at a time, then options")
    return first, rest


def print_json(data: Any) -> None:
    """Print one JSON value to standard output."""
    print(json.dumps(data, allow_nan=False, indent=2), flush=True)
