"""Which states of hide and seek are the same to who counts them? Those with boxes in the same cells, whichever is where."""

import jax
import jax.numpy as jnp

from minied.levels.space import hash_words
from minied_envs.hide_and_seek.level import HideAndSeekLevel
from minied_envs.hide_and_seek.rules import HideAndSeekState

NOWHERE = -1  # the cell of a box that is not there


def of_boxes(level: HideAndSeekLevel, state: HideAndSeekState, width: int) -> jax.Array:
    """Return a hash of the set of cells that centres of boxes are in, ``u32[2]``.

    Neither the agents nor the order of the boxes counts: the embedding with which counting served Baker et al. 2020.
    """
    positions = state.object_positions[: level.num_boxes]
    cells = jnp.where(level.box_present, positions[:, 0] * width + positions[:, 1], NOWHERE)
    return hash_words(jnp.sort(cells).astype(jnp.uint32))
