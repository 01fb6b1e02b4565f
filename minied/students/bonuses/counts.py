"""How seldom has this been seen? A bonus of ``c / √N(s)`` for each step, ``N`` how often what it led to has been.

Counts as in Strehl and Littman 2008 ("An analysis of model-based interval estimation for Markov decision processes"). What
is the same is said by a hash: the world's own of its state (``info["novelty"]``, ``u32[2]`` after each step), or, where the
world tells none, one of what each agent observes then, or of a part of it. ``N`` counts the steps that have been learnt
from, those of the present rollout among them, all at once: every visit of a state within a rollout is paid the same,
whichever came first.

Counts lie in a table of fixed size, by hash. Two states that share a slot are counted together, so there are two rows of
slots, one for each word of the hash, and the lesser of the two counts is taken (Cormode and Muthukrishnan 2005, the
count-min sketch): it is never too low, and too high only where a state meets others in both rows. With ``n`` states in
tables of ``m`` slots that is a share of about ``(n / m)²`` of them while ``n`` is well below ``m``; past that every state
looks familiar. The metric ``bonus_slots_filled``, about ``1 - exp(-n / m)``, tells: below 0.1 counts are right for 99 of 100
states. Letters: ``T`` steps, ``B`` environments, ``N`` agents, ``G`` hashes of a step: 1, or one an agent.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError
from minied.hashing import hash_tree
from minied.spaces import Dict
from minied.spread import Spread
from minied.students.bonuses.base import Bonus, Experience, Paid, Surroundings

_MOST = np.iinfo(np.uint32).max
STATE, OBSERVATION = "state", "observation"


class Counts(struct.PyTreeNode):
    """How often what falls into each slot was seen."""

    slots: jax.Array  # u32[2, table_size]


class CountBonus(Bonus):
    """what was seen N times pays c / √N: the world's state, the observation or a part of it."""

    coefficient: float = 0.1
    """c, what a state is worth that is seen for the first time."""
    feature: str = STATE
    """What is counted: `state`, what the world says of it (`novelty`); `observation`, all that an agent observes; or the
    name of a part of the observation. Numbers that are not whole are the same only if they are equal."""
    table_size: int = 2**20
    """Slots of the table in which states are counted, eight bytes each, for each seed; ten times the states that are met."""

    @property
    def keeps(self) -> frozenset[str]:
        """The world's hashes, or what was observed after each step."""
        return frozenset({"novelty" if self.feature == STATE else "next_observations"})

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        if not 1 <= self.table_size <= 2**26:
            raise UserError(f"table_size is {self.table_size}; allowed: 1 to {2**26}")

    def validate(self, surroundings: Surroundings) -> None:
        """Raise `UserError` if the observation has no part of the name."""
        space = surroundings.env.observation_space
        parts = tuple(space.spaces) if isinstance(space, Dict) else ()
        known = (STATE, OBSERVATION, *parts)
        if self.feature not in known:
            raise UserError(f"bonus.feature is {self.feature!r}; allowed: {', '.join(known)}")

    def init(self, key: jax.Array, surroundings: Surroundings) -> Counts:
        """Return counts of nothing. Nothing is random: ``key`` is not used."""
        return Counts(jnp.zeros((2, self.table_size), jnp.uint32))

    def pay(
        self,
        key: jax.Array,
        state: Counts,
        experience: Experience,
        mastery: jax.Array | None,
        surroundings: Surroundings,
    ) -> Paid:
        """Return rewards of ``c / √N``. Nothing is random: ``key`` is not used."""
        hashes, is_there = self._seen(experience)
        counts, number = count(state, hashes, is_there, surroundings.spread)
        # What nobody saw is counted for nobody: its number may be 0.
        rewards = self.coefficient / jnp.sqrt(jnp.maximum(number, 1).astype(jnp.float32))
        rewards = experience.where_present(jnp.broadcast_to(rewards, experience.present.shape))
        metrics = {"bonus": experience.mean(rewards, surroundings.spread), "bonus_slots_filled": filled(counts)}
        return Paid(counts, metrics, rewards=rewards)

    def _seen(self, experience: Experience) -> tuple[jax.Array, jax.Array]:
        """Return hashes ``u32[T, B, G, 2]`` of what was seen, and which of them count, ``bool[T, B, G]``."""
        if self.feature == STATE:
            assert experience.novelty is not None
            hashes = experience.novelty[:, :, None]
            return hashes, jnp.ones(hashes.shape[:-1], bool)
        seen = experience.next_observations
        part: Any = seen if self.feature == OBSERVATION else seen[self.feature]
        hashed = jax.vmap(jax.vmap(jax.vmap(lambda each: hash_tree(each, "what bonus.feature names"))))
        return hashed(part), experience.present


def count(counts: Counts, hashes: jax.Array, is_there: jax.Array, spread: Spread) -> tuple[Counts, jax.Array]:
    """Return the counts with one more of each of ``hashes``, and how often each was then seen, ``u32[T, B, G]``.

    Args:
        counts: before, of all devices.
        hashes: ``u32[T, B, G, 2]``, on several devices those of this one.
        is_there: ``bool[T, B, G]``, which of them count.
        spread: over devices.
    """
    size = counts.slots.shape[1]
    all_hashes, all_there = spread.whole((hashes, is_there), axis=1)
    added = jax.vmap(_add, in_axes=(0, 0, None))
    slots = added(counts.slots, _slots_of(all_hashes, size).reshape(2, -1), all_there.reshape(-1))
    own = _slots_of(hashes, size)
    return Counts(slots), jnp.minimum(slots[0][own[0]], slots[1][own[1]])


def filled(counts: Counts) -> jax.Array:
    """Return the share of slots in which something was counted, ``f32[]``."""
    return jnp.mean(counts.slots > 0, dtype=jnp.float32)


def _slots_of(hashes: jax.Array, table_size: int) -> jax.Array:
    """Return the slot of each hash in either row, ``i32[2, ...]``, of ``u32[..., 2]``."""
    return jnp.moveaxis(hashes % jnp.uint32(table_size), -1, 0).astype(jnp.int32)


def _add(row: jax.Array, slots: jax.Array, is_there: jax.Array) -> jax.Array:
    """Return a row of counts ``u32[table_size]`` with one more for each of ``slots`` ``i32[n]`` that ``is_there``.

    The highest count stays.
    """
    seen = jnp.zeros_like(row).at[slots].add(is_there.astype(jnp.uint32))
    most = jnp.uint32(_MOST)
    return jnp.where(row > most - seen, most, row + seen)
