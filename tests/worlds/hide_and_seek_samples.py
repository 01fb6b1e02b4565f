"""Levels of hide and seek as NumPy arrays, which the tests of generators, edits, parameters, texts and suites look at."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.hide_and_seek.generators import HideAndSeekLevels

WORLD = HideAndSeek(
    height=5, width=7, max_hiders=2, max_seekers=2, max_boxes=4, max_ramps=3, levels=HideAndSeekLevels(max_long=4)
)
SPACE = WORLD.level_space

DRAWING = """\
>.#.==e
++#o+-+
||.v..w
++..#.#
.E.N.s.
"""

SHAPE_CELLS = {0: [(0, 0)], 1: [(0, -1), (0, 0), (0, 1)], 2: [(-1, 0), (0, 0), (1, 0)]}


def keys(number, seed=0):
    return jax.random.split(jax.random.key(seed), number)


def cells_of_board(boards, width):
    """Return ``bool[L, H, W]`` of ``u32[L, H, 1]``."""
    return np.asarray(jax.vmap(lambda board: bitboard.unpack(board, width))(jnp.asarray(boards)))


def unstack(levels):
    leaves, tree = jax.tree.flatten(jax.tree.map(np.asarray, levels))
    return [jax.tree.unflatten(tree, [leaf[i] for leaf in leaves]) for i in range(len(leaves[0]))]


def things(level, num_hiders):
    """Return what is present: (kind, cells, direction or shape) of each, from plain loops."""
    found = []
    for i, here in enumerate(level.agent_present):
        if here:
            kind = "hider" if i < num_hiders else "seeker"
            found.append((kind, [tuple(level.agent_positions[i].tolist())], int(level.agent_directions[i])))
    for i, here in enumerate(level.box_present):
        if here:
            row, col = level.box_positions[i].tolist()
            shape = int(level.box_shapes[i])
            found.append(("box", [(row + down, col + right) for down, right in SHAPE_CELLS[shape]], shape))
    for i, here in enumerate(level.ramp_present):
        if here:
            found.append(("ramp", [tuple(level.ramp_positions[i].tolist())], int(level.ramp_directions[i])))
    return found


def is_canonical(levels):
    """Whether nothing is said of what is absent, for each level of a batch."""
    levels = jax.tree.map(np.asarray, levels)
    good = np.ones(len(levels.has_locks), bool)
    for kind, other in (("agent", "directions"), ("box", "shapes"), ("ramp", "directions")):
        absent = ~getattr(levels, f"{kind}_present")
        good &= np.all((getattr(levels, f"{kind}_positions") == 0) | ~absent[:, :, None], axis=(1, 2))
        good &= np.all((getattr(levels, f"{kind}_{other}") == 0) | ~absent, axis=1)
    return good


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@functools.cache
def many():
    """Levels of all kinds: drawn ones, edited ones, and edited ones with some walls made low."""
    levels = HideAndSeekLevels("rooms", max_long=4, num_edits=30)
    world = HideAndSeek(height=9, width=8, max_boxes=4, max_ramps=3, levels=levels)
    space = world.level_space

    @jax.jit
    def make(keys, words):
        drawn = jax.vmap(space.sample)(keys)
        edited = jax.vmap(space.mutate)(keys, drawn)
        lowered = edited.replace(tall=edited.tall & words, low=edited.tall & ~words)
        return drawn, edited, lowered

    words = jax.random.bits(jax.random.key(1), (60, 9, 1), jnp.uint32)
    batches = make(keys(60), words)
    return world, [level for batch in batches for level in unstack(batch)]
