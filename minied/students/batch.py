"""What does a student learn from, and which of it counts?

Letters: ``T`` steps, ``M`` rows (environments × agents), ``K`` value heads, ``A`` actions.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.spread import Spread
from minied.students.base import Earlier

Mean = Callable[[jax.Array], jax.Array]
"""Takes the mean of ``[T, M, ...]`` over everything that counts."""


class Batch(struct.PyTreeNode):
    """What one student update learns from, with leading axes ``[T, M]``; `carry` is ``[M]``."""

    observations: Any
    resets: jax.Array  # bool[T, M]
    actions: jax.Array  # i32[T, M]
    log_probs: jax.Array  # f32[T, M], of the policy that acted
    values: jax.Array  # f32[T, M, K], likewise
    advantages: jax.Array  # f32[T, M], not normalised
    targets: jax.Array  # f32[T, M], advantage + mean value: what every value head learns
    carry: Any  # the memory before the first step
    earlier: Earlier | None = None  # activations of the student that acted, [T, M, ...], if they were kept
    cloned: Any = None  # f32[T, M, A], log-probabilities of the policy to clone, if there is one
    head_of_row: Any = None  # i32[T, M], the value head that alone learns from a row; None where all do
    counts: Any = None  # bool[T, M], whether a row's step is learnt from; None where all are

    def where_it_counts(self, values: jax.Array) -> jax.Array:
        """Return ``values`` ``[T, M]``, 0 where nothing is learnt."""
        return values if self.counts is None else jnp.where(self.counts, values, 0.0)


def mean_over(counts: jax.Array | None, spread: Spread) -> Mean:
    """Return how to take the mean of a device's values ``[T, M, ...]`` over the steps that count.

    The devices' results are such that their mean (`Spread.mean`) is the mean over what counts on all of them, though each
    has another number of it: their sum over that number, times the number of devices. 0 where nothing counts.

    Args:
        counts: ``bool[T, M]`` of this device, or None where everything counts.
        spread: over devices.
    """
    if counts is None:
        return jnp.mean
    number = spread.mean(jnp.sum(counts, dtype=jnp.int32).astype(jnp.float32))
    number = jnp.where(number > 0, number, 1.0)  # below 1 if there are fewer rows than devices

    def mean(values: jax.Array) -> jax.Array:
        within = counts.reshape(*counts.shape, *(1,) * (values.ndim - counts.ndim))
        return jnp.sum(jnp.where(within, values, 0.0)) / (number * (values.size // counts.size))

    return mean


def with_nothing_else(batch: Batch) -> Batch:
    """Return ``batch`` with zeros in place of all that no step that counts depends on.

    A loss that leaves such steps out would still let a NaN of theirs into its gradient, as 0 · NaN. Of a student with a
    memory, what a row saw before a step that counts, in the same episode, stays: the memory of that step is made of it.
    """
    if batch.counts is None:
        return batch
    counts = batch.counts
    remembered = _leads_to_counting(counts, batch.resets) if jax.tree.leaves(batch.carry) else counts
    earlier = batch.earlier
    if earlier is not None:
        earlier = earlier.replace(activations=only(remembered, earlier.activations))
    return batch.replace(
        observations=only(remembered, batch.observations),
        # Of a row of which anything counts, whatever the first step is: a memory may hold what is never forgotten.
        carry=only(jnp.any(counts, axis=0), batch.carry),
        earlier=earlier,
        **{
            name: only(counts, getattr(batch, name))
            for name in ("actions", "log_probs", "values", "advantages", "targets", "cloned")
        },
    )


def _leads_to_counting(counts: jax.Array, resets: jax.Array) -> jax.Array:
    """Return whether each step counts or comes before one that does in the same episode, ``bool[T, M]``."""

    def backward(following: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        counts, starts = step
        leads = counts | following
        return leads & ~starts, leads

    return jax.lax.scan(backward, jnp.zeros_like(counts[0]), (counts, resets), reverse=True)[1]


def only(kept: jax.Array, tree: Any) -> Any:
    """Return ``tree``, whose leaves begin with the axes of ``kept``, with zeros elsewhere."""
    return jax.tree.map(
        lambda leaf: jnp.where(kept.reshape(*kept.shape, *(1,) * (leaf.ndim - kept.ndim)), leaf, jnp.zeros_like(leaf)),
        tree,
    )
