"""By what are intrinsic rewards divided? By the running standard deviation of their discounted sums.

Errors of prediction have no scale of their own, and fall as the predictor learns. As published (Burda et al. 2018, arXiv
1810.12894, section 2.4; their "reward forward filter") each environment's rewards are summed forward in time,

    R_t = γ R_{t−1} + r_t,

and rewards are divided by the standard deviation of all R so far, those of the present rollout among them.

The stream of an environment goes on from rollout to rollout, and over the ends of episodes; an *episodic* one begins anew
with each of them. Letters: ``T`` steps, ``B`` environments, ``N`` agents.
"""

import jax
import jax.numpy as jnp
from flax import struct

from minied.spread import Spread
from minied.students.running_statistics import Moments


class IntrinsicReturns(struct.PyTreeNode):
    """Where the sums of all environments stand, and the moments of all sums so far."""

    sums: jax.Array  # f32[B, N], after the last step
    moments: Moments  # of f32[]

    @classmethod
    def of_nothing(cls, num_levels: int, num_agents: int) -> "IntrinsicReturns":
        """Return what stands at a run's start."""
        return cls(jnp.zeros((num_levels, num_agents)), Moments.of_nothing())

    def after(
        self, rewards: jax.Array, ended: jax.Array, present: jax.Array, discount: jax.Array | float, spread: Spread
    ) -> "IntrinsicReturns":
        """Return what stands after a rollout.

        Args:
            rewards: ``f32[T, B, N]``, on several devices those of this one.
            ended: ``bool[T, B]``, after which steps a stream begins anew; all False for one that never does.
            present: ``bool[T, B, N]``, which sums count.
            discount: γ.
            spread: over devices; the sums of ``self`` are of all of them.
        """
        sums = discounted_sums(spread.part(self.sums), rewards, ended[..., None], discount)
        last = jnp.where(ended[-1][:, None], 0.0, sums[-1])
        return IntrinsicReturns(spread.whole(last), self.moments.merged(Moments.of(sums, present, spread)))


def discounted_sums(before: jax.Array, rewards: jax.Array, ended: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Return the discounted sums of what was earned until each step, ``f32[T, ...]``.

    Args:
        before: ``f32[...]``, the sum with which the first step begins.
        rewards: ``f32[T, ...]``.
        ended: ``bool[T, ...]``, after which steps a sum begins anew.
        discount: γ.
    """

    def forward(total: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward, ends = step
        total = discount * total + reward
        return jnp.where(ends, 0.0, total), total

    return jax.lax.scan(forward, before, (rewards, ended))[1]
