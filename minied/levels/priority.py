"""How likely is each level of a buffer to be replayed, and which is let go first?

The replay distribution is that of Jiang et al. 2021 ("Prioritized Level Replay", section 3): a mixture of a
prioritisation by score and of staleness,

    P = (1 − ρ) P_score + ρ P_stale,     P_stale ∝ now − last seen.

P_score over the filled slots, with temperature τ, of scores s:

| kind | P_score ∝ | source |
|---|---|---|
| rank | (1 / rank)^{1/τ}, rank 1 the highest score, ties to the lower slot | PLR, equation 2 |
| power | max(s, 0)^{1/τ}; (max(s, 0) + 0.001)^{1/τ} without staleness | PLR, equation 3; DCD |
| softmax | exp(s / τ) | DCD, level-replay |
| top_k | exp(s / τ) among the k highest, 0 elsewhere | SFL's replay baselines |
| uniform | 1 | |

Letters: ``C`` capacity.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct

Prioritization = Literal["rank", "power", "softmax", "top_k", "uniform"]
Eviction = Literal["weight", "score"]
PRIORITIZATIONS: tuple[str, ...] = get_args(Prioritization)
EVICTIONS: tuple[str, ...] = get_args(Eviction)

_POWER_FLOOR = 1e-3  # keeps levels of score 0 alive where no staleness does


class Priority(struct.PyTreeNode):
    """The rule of replay and eviction. Its numbers may be traced."""

    temperature: jax.Array | float  # τ > 0
    staleness: jax.Array | float  # ρ in [0, 1]
    prioritization: str = struct.field(pytree_node=False, default="rank")
    top_k: int = struct.field(pytree_node=False, default=1)
    eviction: str = struct.field(pytree_node=False, default="weight")

    def distribution(self, scores: jax.Array, ages: jax.Array, filled: jax.Array) -> jax.Array:
        """Return P, ``f32[C]``, summing to 1 over the filled slots (to 0 if there is none).

        Args:
            scores: ``f32[C]``.
            ages: ``i32[C]``, batches since each level was last seen, 0 where not filled.
            filled: ``bool[C]``.
        """
        uniform = filled / jnp.maximum(jnp.sum(filled), 1).astype(jnp.float32)
        by_score = uniform if self.prioritization == "uniform" else self._by_score(scores, filled)
        ages = ages.astype(jnp.float32)
        total = jnp.sum(ages)
        by_staleness = jnp.where(total > 0, ages / jnp.maximum(total, 1.0), uniform)
        return jnp.where(filled, (1.0 - self.staleness) * by_score + self.staleness * by_staleness, 0.0)

    def keep_order(self, scores: jax.Array, ages: jax.Array, filled: jax.Array) -> jax.Array:
        """Return ``f32[C]``: the lowest is let go first. Slots that are not filled come before all others."""
        if self.eviction == "score":
            return jnp.where(filled, scores, -jnp.inf)
        return jnp.where(filled, self.distribution(scores, ages, filled), -1.0)

    def _by_score(self, scores: jax.Array, filled: jax.Array) -> jax.Array:
        """Return P_score. In logarithms, so that small temperatures (exponent 10 and more) neither overflow nor vanish."""
        taken = filled
        if self.prioritization == "rank":
            log_weights = -jnp.log(_ranks(scores, filled).astype(jnp.float32)) / self.temperature
        elif self.prioritization == "power":
            floor = jnp.where(jnp.asarray(self.staleness) > 0, 0.0, _POWER_FLOOR)
            powers = jnp.maximum(scores, 0.0) + floor
            # Where every score is 0 all are alike; elsewhere a score of 0 has no weight.
            powers = jnp.where(jnp.any(filled & (powers > 0)), powers, 1.0)
            taken = filled & (powers > 0)
            log_weights = jnp.log(jnp.where(taken, powers, 1.0)) / self.temperature
        else:
            log_weights = scores / self.temperature
            if self.prioritization == "top_k":
                taken = filled & (_ranks(scores, filled) <= self.top_k)
        weights = jax.nn.softmax(jnp.where(taken, log_weights, jnp.finfo(jnp.float32).min))
        return jnp.where(taken, weights, 0.0)


def _ranks(scores: jax.Array, filled: jax.Array) -> jax.Array:
    """Return ``i32[C]``, 1 for the highest score; stable: ties go to the lower slot; slots not filled come last."""
    order = jnp.argsort(jnp.where(filled, -scores, jnp.inf))
    ranks = jnp.arange(1, scores.shape[0] + 1, dtype=jnp.int32)
    return jnp.zeros(scores.shape[0], jnp.int32).at[order].set(ranks)
