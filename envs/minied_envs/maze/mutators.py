"""How is a maze level edited a little? The mutations of ACCEL (Parker-Holder et al. 2022, arXiv 2203.01302).

Two published editors, on boards of bits. Both keep levels valid: start and goal stay different free cells. A level whose
edits leave no room for a displaced goal or agent (only on tiny grids) is returned as it was.
"""

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard
from minied_envs.maze.acceptance import choose
from minied_envs.maze.generators import MazeLevels
from minied_envs.maze.level import MazeLevel, is_valid, make_level, settled

# Kinds of edits, minimax
NOTHING, FLIP_WALL, MOVE_GOAL = range(3)
# Kinds of edits, DCD: what the cell becomes
WALL, EMPTY, GOAL, AGENT = range(4)


def mutate(key: jax.Array, level: MazeLevel, options: MazeLevels, width: int) -> MazeLevel:
    """Return an edited copy of ``level``, again valid. Consumes ``key``.

    A television stays where it is, unless an edit puts something else there: then there is none.
    """
    if options.num_edits == 0:
        return level
    editor = edit_minimax if options.mutator == "minimax" else edit_dcd
    child = editor(key, level.replace(television=None), options, width)
    return settled(child.replace(television=level.television), width)


def edit_minimax(key: jax.Array, level: MazeLevel, options: MazeLevels, width: int) -> MazeLevel:
    """Return ``level`` after ``num_edits`` edits, each nothing, a flipped wall or a moved goal. Consumes ``key``.

    A flip takes a uniform cell that is neither start nor goal; the goal moves to a uniform free cell that is neither. The
    agent never moves. As in minimax and in jaxued's "minimax" mutator.
    """
    height = level.walls.shape[0]
    kind_bits, place_bits = jax.random.bits(key, (2, options.num_edits), jnp.uint32)
    kinds = bitboard.scale(kind_bits, 3)
    # Flips may go anywhere but to the start, here, and the goal, inside.
    allowed = bitboard.put(bitboard.full(height, width), width, level.start, False)

    def edit(carry: tuple[jax.Array, jax.Array], choice: tuple[jax.Array, jax.Array]):
        walls, goal = carry
        kind, bits = choice
        candidates = bitboard.put(allowed, width, goal, False)
        candidates = jnp.where(kind == MOVE_GOAL, candidates & ~walls, candidates)
        place = bitboard.pick(candidates, bits)
        has_place = jnp.any(candidates != 0)
        flipped = walls ^ bitboard.cell(height, width, place)
        walls = jnp.where(has_place & (kind == FLIP_WALL), flipped, walls)
        goal = jnp.where(has_place & (kind == MOVE_GOAL), place, goal)
        return (walls, goal), None

    (walls, goal), _ = jax.lax.scan(edit, (level.walls, level.goal), (kinds, place_bits))
    return make_level(walls, level.start, level.direction, goal)


def edit_dcd(key: jax.Array, level: MazeLevel, options: MazeLevels, width: int) -> MazeLevel:
    """Return ``level`` with ``num_edits`` uniform cells overwritten, as in DCD. Consumes ``key``.

    Cells are drawn with replacement and repeats are dropped; each cell is cleared and becomes wall, floor or the goal
    (DCD's ``walls_none_goal``), or with ``edit_agent`` the agent. Where several become the goal the last one is it. A
    goal or agent that is left without a cell goes to a uniform free one. The direction is kept.

    DCD edits cell by cell in the order of a Python set; as cells are distinct, all edits are made at once here, and "last"
    is by order of drawing.
    """
    height = level.walls.shape[0]
    number = options.num_edits
    words = jax.random.bits(key, (2 * number + 2,), jnp.uint32)
    cell_bits, kind_bits, repair_bits = words[:number], words[number:-2], words[-2:]
    index = bitboard.scale(cell_bits, height * width)
    kinds = bitboard.scale(kind_bits, 4 if options.edit_agent else 3)
    order = jnp.arange(number, dtype=jnp.int32)
    is_repeat = jnp.any((index[:, None] == index[None, :]) & (order[None, :] < order[:, None]), axis=1)
    positions = jnp.stack([index // width, index % width], axis=-1)

    edited = bitboard.cells(height, width, positions, ~is_repeat)
    built = bitboard.cells(height, width, positions, ~is_repeat & (kinds == WALL))
    walls = (level.walls & ~edited) | built

    def moved(kind: int, old: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return where the thing of ``kind`` is after the edits, and whether it is anywhere."""
        last = jnp.max(jnp.where((kinds == kind) & ~is_repeat, order, -1))
        was_kept = ~bitboard.get(edited, width, old[0], old[1], outside=False)
        return jnp.where(last >= 0, positions[jnp.maximum(last, 0)], old), (last >= 0) | was_kept

    goal, has_goal = moved(GOAL, level.goal)
    start, has_start = moved(AGENT, level.start)
    free = bitboard.complement(walls, width)
    goal_places = jnp.where(has_start, bitboard.put(free, width, start, False), free)
    goal = jnp.where(has_goal, goal, bitboard.pick(goal_places, repair_bits[0]))
    start = jnp.where(has_start, start, bitboard.pick(bitboard.put(free, width, goal, False), repair_bits[1]))
    child = make_level(walls, start, level.direction, goal)
    return choose(is_valid(child, height, width), child, level)
