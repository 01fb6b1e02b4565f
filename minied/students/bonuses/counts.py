"""How seldom has this state been seen? A bonus of ``c / √N(s)`` for each step, ``N`` how often its state has been.

Counts as in Strehl and Littman 2008 ("An analysis of model-based interval estimation for Markov decision processes"). A
world says which states are the same, ``info["novelty"]``, a hash ``u32[2]`` of the state after each step. ``N`` counts the
steps that have been learnt from, those of the present rollout among them, all at once: every visit of a state within
a rollout is paid the same, whichever came first.

Counts lie in a table of fixed size, by hash. Two states that share a slot are counted together, so there are two rows of
slots, one for each word of the hash, and the lesser of the two counts is taken (Cormode and Muthukrishnan 2005, the
count-min sketch): it is never too low, and too high only where a state meets others in both rows. With ``n`` states in
tables of ``m`` slots that is a share of about ``(n / m)²`` of them while ``n`` is well below ``m``; past that every state
looks familiar. The metric ``bonus_slots_filled``, about ``1 - exp(-n / m)``, tells: below 0.1 counts are right for 99 of 100
states. Letters: ``T`` steps, ``B`` environments.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError
from minied.hyperparameters import Hyperparameters, require_range
from minied.spread import Spread

_MOST = np.iinfo(np.uint32).max


class Counts(struct.PyTreeNode):
    """How often what falls into each slot was seen."""

    slots: jax.Array  # u32[2, table_size]


class CountBonus(Hyperparameters):
    """A bonus for states that were seldom seen."""

    coefficient: float = 0.0
    """c, what a state is worth that is seen for the first time; 0: no bonus. Needs a world that tells `novelty`."""
    reward_weight: float = 1.0
    """What the world's own rewards are multiplied by for the learner; 0: it explores and does nothing else."""
    table_size: int = 2**20
    """Slots of the table in which states are counted, eight bytes each, for each seed; ten times the states that are met."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        require_range(self, "coefficient", 0, float("inf"))
        require_range(self, "reward_weight", 0, float("inf"))
        if self.reward_weight != 1.0 and not self.coefficient:
            raise UserError(
                f"reward_weight is {self.reward_weight}; allowed with coefficient 0: 1, as nothing else is paid"
            )
        if not 1 <= self.table_size <= 2**26:
            raise UserError(f"table_size is {self.table_size}; allowed: 1 to {2**26}")

    def init(self) -> Counts:
        """Return counts of nothing."""
        return Counts(jnp.zeros((2, self.table_size), jnp.uint32))

    def pay(self, counts: Counts, novelty: jax.Array, spread: Spread) -> tuple[Counts, jax.Array]:
        """Return the counts with the states of a rollout, and the bonus of each step, ``f32[T, B]``.

        ``novelty`` are hashes ``u32[T, B, 2]``, on several devices those of this one; the counts are of all.
        """
        slots = jax.vmap(_add)(counts.slots, self._slots_of(spread.whole(novelty, axis=1)).reshape(2, -1))
        own = self._slots_of(novelty)
        number = jnp.minimum(slots[0][own[0]], slots[1][own[1]]).astype(jnp.float32)
        return Counts(slots), self.coefficient / jnp.sqrt(number)

    def filled(self, counts: Counts) -> jax.Array:
        """Return the share of slots in which something was counted, ``f32[]``."""
        return jnp.mean(counts.slots > 0, dtype=jnp.float32)

    def _slots_of(self, novelty: jax.Array) -> jax.Array:
        """Return the slot of each state in either row, ``i32[2, ...]``, of ``u32[..., 2]``."""
        return jnp.moveaxis(novelty % jnp.uint32(self.table_size), -1, 0).astype(jnp.int32)


def _add(row: jax.Array, slots: jax.Array) -> jax.Array:
    """Return a row of counts ``u32[table_size]`` with one more for each of ``slots`` ``i32[n]``; the highest count stays."""
    seen = jnp.zeros_like(row).at[slots].add(jnp.uint32(1))
    most = jnp.uint32(_MOST)
    return jnp.where(row > most - seen, most, row + seen)
