"""How are random maze levels drawn? One generator for each convention in use, all on boards of bits.

Published students were trained on different distributions that are all called "random mazes with 60 blocks"; each is
named after the code base that has it. `draw` is one raw draw. Which draws are accepted (only solvable ones, none that is
held out) is decided by `minied_envs.maze.acceptance`. Letters: ``H W`` grid.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from minied.errors import UserError, unknown_name
from minied_envs.grid import bitboard
from minied_envs.grid.moves import same
from minied_envs.maze.level import NO_TELEVISION, MazeLevel, make_level, passable

Generator = Literal["uniform", "minimax", "jaxued", "dcd"]
Mutator = Literal["minimax", "dcd"]
MAX_HOLDOUT = 1000  # more would make it slow to find a suite's worth of reserved levels


@dataclasses.dataclass(frozen=True)
class MazeLevels:
    """How the levels of a maze are drawn and edited."""

    generator: Generator = "uniform"
    """uniform: 0 to num_walls walls, all counts equally likely, on distinct cells. minimax, jaxued and dcd: as those."""
    num_walls: int = 60
    """Walls of a random level: the most (uniform), or the number drawn (the others)."""
    replace_walls: bool = True
    """minimax only: draw wall cells with replacement, so that some coincide."""
    vary_num_walls: bool = False
    """minimax and dcd only: draw the number of walls too, below num_walls."""
    solvable_only: bool = False
    """Reject levels whose goal cannot be reached, when sampling and when editing."""
    holdout: int = 0
    """Reserve one level in this many, and the named levels, for evaluation: never sampled, never bred. 0: none."""
    mutator: Mutator = "minimax"
    """minimax: flip a wall, move the goal, or nothing. dcd: overwrite cells."""
    num_edits: int = 20
    """Edits of one mutation."""
    edit_agent: bool = False
    """dcd only: edits may move the agent too."""

    def __post_init__(self) -> None:
        for name, kinds in (("generator", Generator), ("mutator", Mutator)):
            if getattr(self, name) not in get_args(kinds):
                raise unknown_name(f"levels.{name}", getattr(self, name), get_args(kinds))
        if not self.replace_walls and self.generator != "minimax":
            raise UserError(
                f"levels.replace_walls is False with generator {self.generator!r}; allowed: only with 'minimax'"
            )
        if self.vary_num_walls and self.generator not in ("minimax", "dcd"):
            raise UserError(
                f"levels.vary_num_walls is True with generator {self.generator!r};"
                " allowed: only with 'minimax' and 'dcd' ('uniform' always varies it)"
            )
        if self.vary_num_walls and self.num_walls < 1:
            raise UserError(f"levels.num_walls is {self.num_walls}; allowed with vary_num_walls: at least 1")
        if self.edit_agent and self.mutator != "dcd":
            raise UserError(f"levels.edit_agent is True with mutator {self.mutator!r}; allowed: only with 'dcd'")
        if self.holdout != 0 and not 2 <= self.holdout <= MAX_HOLDOUT:
            raise UserError(f"levels.holdout is {self.holdout}; allowed: 0 or 2 to {MAX_HOLDOUT}")
        if self.num_edits < 0:
            raise UserError(f"levels.num_edits is {self.num_edits}; allowed: at least 0")

    def check_fits(self, height: int, width: int) -> None:
        """Raise `UserError` unless start and goal still find a place between ``num_walls`` walls."""
        most = height * width - 2
        if not 0 <= self.num_walls <= most:
            raise UserError(f"levels.num_walls is {self.num_walls}; allowed in a {height}x{width} maze: 0 to {most}")


def draw(key: jax.Array, options: MazeLevels, height: int, width: int) -> MazeLevel:
    """Return one level of the chosen distribution, solvable or not, held out or not. Consumes ``key``."""
    # All randomness comes in one call, one word a decision: compiling and running each further call costs as much.
    number = height * width if _is_distinct(options) else options.num_walls
    words = jax.random.bits(key, (number + 5,), jnp.uint32)
    if options.generator == "dcd":
        return _draw_dcd(words[5:], words[:5], options, height, width)
    walls = _draw_walls(words[5:], words[0], options, height, width)
    free = bitboard.complement(walls, width)
    start = bitboard.pick(free, words[1])
    goal = bitboard.pick(bitboard.put(free, width, start, False), words[2])
    return make_level(walls, start, bitboard.scale(words[3], 4), goal)


def maybe_with_television(key: jax.Array, level: MazeLevel, width: int) -> MazeLevel:
    """Return ``level`` with a television on a uniform free cell, one time in two and if there is one. Consumes ``key``."""
    free = bitboard.put(passable(level, width), width, level.start, False)
    free = bitboard.put(free, width, level.goal, False)
    coin, place = jax.random.bits(key, (2,), jnp.uint32)
    has_one = (bitboard.scale(coin, 2) == 1) & jnp.any(free != 0)
    cell = bitboard.pick(free, place).astype(jnp.uint8)
    return level.replace(television=jnp.where(has_one, cell, jnp.uint8(NO_TELEVISION)))


def _is_distinct(options: MazeLevels) -> bool:
    """Return whether the walls are drawn on distinct cells."""
    is_minimax = options.generator == "minimax"
    return options.generator == "uniform" or (is_minimax and (options.vary_num_walls or not options.replace_walls))


def _draw_walls(words: jax.Array, word: jax.Array, options: MazeLevels, height: int, width: int) -> jax.Array:
    """Return the walls of the three generators that place start and goal on what is left, ``u32[H, K]``.

    - uniform: n ~ U{0..num_walls} distinct cells. Ours: every count is equally likely and means what it says.
    - minimax: num_walls cells with or without replacement; with ``vary_num_walls``, n ~ U{0..num_walls - 1} distinct
      cells, of which the first always becomes a wall, because minimax fills the surplus indices with it.
    - jaxued: num_walls cells with replacement.

    Args:
        words: random words for the cells, one for each cell of the grid or each wall.
        word: a random word for the number of walls.
        options: whose distribution.
        height: ``H``.
        width: ``W``.
    """
    total = options.num_walls
    if not _is_distinct(options):
        return bitboard.cells(height, width, _any_cells(words, height, width), jnp.ones(total, jnp.bool_))
    if options.generator == "uniform":
        number = bitboard.scale(word, total + 1)
    elif options.vary_num_walls:
        number = jnp.maximum(bitboard.scale(word, total), 1)
    else:
        number = jnp.int32(total)
    return _distinct_walls(words, number, height, width)


def _draw_dcd(words: jax.Array, bits: jax.Array, options: MazeLevels, height: int, width: int) -> MazeLevel:
    """Return a level as DCD's teacher builds it with uniform random actions ("GoalLast").

    Walls go to uniform cells (a repeated cell changes nothing), then the goal and then the agent to uniform cells, and
    erase the walls there; an agent on the goal goes to a uniform free cell. With ``vary_num_walls`` the number of draws
    is U{0..num_walls - 1}. (DCD takes it from the first wall action as int(cell · num_walls / cells), which is uniform
    only up to rounding.)
    """
    total = options.num_walls
    number = bitboard.scale(bits[0], total) if options.vary_num_walls else jnp.int32(total)
    is_drawn = jnp.arange(total, dtype=jnp.int32) < number
    walls = bitboard.cells(height, width, _any_cells(words, height, width), is_drawn)
    goal, start = _any_cells(bits[1:3], height, width)
    walls = bitboard.put(walls, width, goal, False)
    free = bitboard.put(bitboard.complement(walls, width), width, goal, False)
    start = jnp.where(same(start, goal), bitboard.pick(free, bits[3]), start)
    walls = bitboard.put(walls, width, start, False)
    return make_level(walls, start, bitboard.scale(bits[4], 4), goal)


def _any_cells(words: jax.Array, height: int, width: int) -> jax.Array:
    """Return independent uniform cells, ``i32[n, 2]``, of ``n`` random words."""
    index = bitboard.scale(words, height * width)
    return jnp.stack([index // width, index % width], axis=-1)


def _distinct_walls(words: jax.Array, number: jax.Array, height: int, width: int) -> jax.Array:
    """Return walls on ``number`` (``i32[]``, less than all) distinct uniform cells, ``u32[H, K]``.

    Of the random words ``u32[H·W]``, one a cell, the smallest become walls: one sort without indices, a sixth of the cost
    of a permutation. If two words tie just there (4e-8 at 13 × 13) there is a wall less.
    """
    return bitboard.pack((words < jnp.sort(words)[number]).reshape(height, width))
