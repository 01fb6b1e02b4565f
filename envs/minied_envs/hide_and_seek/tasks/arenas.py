"""In which arenas do tasks begin? The agent and its things on cells of their own, laid out as hide and seek is."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import placement
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.level import HideAndSeekLevel

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.tasks.base import Task


def dimensions_of(task: "Task") -> Dimensions:
    """Return the size of a task's arena and its room for things: one hider, and a seeker that is never there."""
    return Dimensions.of(task.arena)


def num_words(task: "Task") -> int:
    """Return how many random words `furnished` takes."""
    return 2 * sum(dimensions_of(task).room_for)


def furnished(
    words: jax.Array,
    task: "Task",
    walls: jax.Array,
    num_boxes: jax.Array | int,
    num_ramps: jax.Array | int = 0,
    num_long: jax.Array | int = 0,
    kept_free: jax.Array | None = None,
) -> HideAndSeekLevel:
    """Return an arena with ``walls`` of height 2, the agent, boxes and ramps on uniform free cells.

    Args:
        words: random words, ``u32[num_words(task)]``.
        task: its options.
        walls: ``u32[H, 1]``.
        num_boxes: how many, ``i32[]``; one that finds no place is left out, likewise a ramp.
        num_ramps: how many, ``i32[]``.
        num_long: how many of the boxes take three cells, ``i32[]``.
        kept_free: cells on which neither boxes nor ramps begin, ``u32[H, 1]``.
    """
    free = bitboard.complement(walls, task.width)
    left = free if kept_free is None else free & ~kept_free
    allowed = jnp.stack([free, free, left, left])
    counts = jnp.stack([jnp.asarray(each, jnp.int32) for each in (1, 0, num_boxes, num_ramps)])
    regions = placement.Regions(allowed, allowed)
    return placement.place(
        words.reshape(2, -1),
        walls,
        counts,
        jnp.asarray(num_long, jnp.int32),
        regions,
        dimensions_of(task),
        has_locks=True,
        has_preparation=False,
    )
