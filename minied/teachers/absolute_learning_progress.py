"""How much did returns change where a level was played? Absolute learning progress of points, from a history of them.

``ALP(x) = |R(x) − R(x')|``, where x' is the nearest point that was stored before x (Portelas et al. 2019, equation 1). The
history is a ring: the newest take the places of the oldest. Letters: ``C`` points that there is room for, ``B`` points that
come at once, ``h`` coordinates.
"""

import jax
import jax.numpy as jnp
from flax import struct

FEWEST_STORED = 6
"""Points that must be stored before a progress is measured; of the first ones it is 0, as in the authors' program."""
_ROWS_AT_ONCE = 256  # of B for which distances are held: 256 × (C + B) of them, whatever B is


class History(struct.PyTreeNode):
    """The last C points, their returns and the progress that was measured when each came."""

    points: jax.Array  # f32[C, h]
    returns: jax.Array  # f32[C]
    progress: jax.Array  # f32[C], ALP
    next_slot: jax.Array  # i32[], where the next point goes
    stored: jax.Array  # i32[], how many there are, at most C

    @classmethod
    def empty(cls, capacity: int, size: int) -> "History":
        """Return a history with room for ``capacity`` points of ``size`` coordinates."""
        zeros, zero = jnp.zeros(capacity), jnp.zeros((), jnp.int32)
        return cls(jnp.zeros((capacity, size)), zeros, zeros, zero, zero)

    @property
    def capacity(self) -> int:
        """C."""
        return self.returns.shape[0]

    @property
    def times(self) -> jax.Array:
        """When each came, ``i32[C]``: −1 the newest, −2 that before it … A slot without a point comes before all."""
        slots = jnp.arange(self.capacity, dtype=jnp.int32)
        return -1 - (self.next_slot - 1 - slots) % self.capacity


def latest(history: History, number: int) -> tuple[jax.Array, jax.Array]:
    """Return the newest ``number ≤ C`` points ``f32[number, h]`` and their progress ``f32[number]``, oldest first.

    Where fewer are stored, the rest is 0.
    """
    slots = (history.next_slot - number + jnp.arange(number, dtype=jnp.int32)) % history.capacity
    return history.points[slots], history.progress[slots]


def add(history: History, points: jax.Array, returns: jax.Array, valid: jax.Array) -> History:
    """Return the history after points came one after the other, each measured against those before it.

    Args:
        history: before.
        points: ``f32[B, h]``, in their order, B ≤ C.
        returns: ``f32[B]``.
        valid: ``bool[B]``, which of them count; the others leave no trace.

    A point is measured against the last C that were stored before it, those of the same batch among them. Of several that
    are equally near, against the newest.
    """
    capacity = history.capacity
    order = jnp.cumsum(valid, dtype=jnp.int32) - 1  # when each comes, as in `History.times`
    seen_points = jnp.concatenate([history.points, points])
    seen_returns = jnp.concatenate([history.returns, returns])
    seen_times = jnp.concatenate([history.times, order])
    counts = jnp.concatenate([history.times >= -history.stored, valid])

    def progress_of(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        point, own_return, time = row
        is_before = counts & (seen_times < time) & (seen_times >= time - capacity)
        squared = jnp.sum(jnp.square(seen_points - point[None, :]), axis=1)
        squared = jnp.where(is_before, squared, jnp.inf)
        is_nearest = is_before & (squared == jnp.min(squared))
        newest = jnp.argmax(jnp.where(is_nearest, seen_times, -2 * capacity))
        known = jnp.abs(own_return - seen_returns[newest])
        return jnp.where(history.stored + time >= FEWEST_STORED, known, 0.0)

    progress = jax.lax.map(progress_of, (points, returns, order), batch_size=_ROWS_AT_ONCE)
    slots = jnp.where(valid, (history.next_slot + order) % capacity, capacity)  # beyond the end: dropped
    number = jnp.sum(valid, dtype=jnp.int32)
    return History(
        points=history.points.at[slots].set(points, mode="drop"),
        returns=history.returns.at[slots].set(returns, mode="drop"),
        progress=history.progress.at[slots].set(progress, mode="drop"),
        next_slot=(history.next_slot + number) % capacity,
        stored=jnp.minimum(history.stored + number, capacity),
    )
