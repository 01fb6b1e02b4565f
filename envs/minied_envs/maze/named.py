"""Which levels does the literature test on by name? Reads ``levels.txt``, which also tells where each comes from.

A drawing with several possible goals (``g``) stands for one level a goal, its variants, in reading order.
"""

import dataclasses
import functools
import importlib.resources

import jax
import jax.numpy as jnp

from minied.errors import unknown_name
from minied_envs.maze.level import GOAL, MazeLevel, from_text

MEMORY = "Memory"  # needs a world of its own, minied_envs.maze.memory
MAYBE_GOAL = "g"


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One entry of ``levels.txt``."""

    name: str
    rows: tuple[str, ...]
    num_walls: int  # reference value
    lengths: tuple[tuple[int, int], ...]  # reference (shortest path, fewest actions) of each variant

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.rows[0])


@functools.cache
def drawings() -> dict[str, Drawing]:
    """Return the entries of ``levels.txt`` by name, in its order."""
    text = importlib.resources.files("minied_envs.maze").joinpath("levels.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n")]
    entries = [_parse(block) for block in blocks if block and block[0].startswith("[")]
    return {entry.name: entry for entry in entries}


def _parse(lines: list[str]) -> Drawing:
    """Return the entry of a header ``[name]``, ``size: HxW``, ``reference: ...`` and the rows."""
    walls, *lengths = lines[2].removeprefix("reference: ").split()
    pairs = [dict(item.split("=") for item in length.split(",")) for length in lengths]
    return Drawing(
        name=lines[0].strip("[]"),
        rows=tuple(line for line in lines[3:] if line),
        num_walls=int(walls.removeprefix("walls=")),
        lengths=tuple((int(pair["path"]), int(pair["actions"])) for pair in pairs),
    )


def maze_names() -> list[str]:
    """Return the names of all entries that are plain mazes."""
    return [name for name in drawings() if name != MEMORY]


def names_of_size(height: int, width: int) -> list[str]:
    """Return the names of the plain mazes of one size."""
    return [name for name in maze_names() if drawings()[name].size == (height, width)]


def num_variants(name: str) -> int:
    """Return how many levels a name stands for, without making them: a config asks, before JAX may compute."""
    return len(_variants(drawings()[name]))


def _variants(drawing: Drawing) -> list[str]:
    """Return the drawing of each variant: one, or one for each of its possible goals in reading order."""
    text = "\n".join(drawing.rows)
    goals = [place for place, symbol in enumerate(text) if symbol == MAYBE_GOAL]
    return [(text[:place] + GOAL + text[place + 1 :]).replace(MAYBE_GOAL, ".") for place in goals] or [text]


@functools.cache
def named_levels(name: str) -> tuple[MazeLevel, ...]:
    """Return the variants of a named level: one, or one for each of its possible goals in reading order."""
    if name not in maze_names():
        raise unknown_name("named level", name, maze_names())
    drawing = drawings()[name]
    with jax.ensure_compile_time_eval():  # may be first asked for while a program is traced
        return tuple(from_text(variant, *drawing.size) for variant in _variants(drawing))


def named_level(name: str, variant: int = 0) -> MazeLevel:
    """Return a named level; ``variant`` chooses among its possible goals."""
    return named_levels(name)[variant]


def stack_levels(levels: list[MazeLevel]) -> MazeLevel:
    """Return levels of one size as a batch, ``[L, ...]``."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels)
