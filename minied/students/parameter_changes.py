"""How much would learning from one level alone move the student? Letters: ``B`` levels, ``N`` agents, ``M`` rows."""

import jax
import jax.numpy as jnp

from minied.spread import ALONE
from minied.students import distributions
from minied.students.base import Parameters, Student
from minied.students.batch import Batch, mean_over, with_nothing_else


def parameter_changes(student: Student, parameters: Parameters, batch: Batch, num_levels: int) -> jax.Array:
    """Return how much learning from each level alone would move the student, ``f32[num_levels]``.

    ``‖∇_θ mean_t[A_t log π_θ(a_t | o_t)]‖²``, over all parameters: the squared length of one step of gradient ascent of unit
    rate on the policy objective of PPO, at the parameters that acted, where the ratio is 1 and nothing is clipped. The
    advantages are not normalised, so that levels compare. PACE (Yuan et al. 2026, arXiv 2605.01358) takes the change that
    training itself made; Adam, clipping and the other levels of the batch are left out here. The mean is over the steps that
    count (`Batch.counts`); a level without any moves nothing.

    Args:
        student: the network.
        parameters: that acted.
        batch: rows ``M = num_levels · N``, level-major.
        num_levels: B.
    """

    def objective(parameters: Parameters, level: Batch) -> jax.Array:
        _, logits, _ = student.apply(parameters, level.carry, level.observations, level.resets)
        mean = mean_over(level.counts, ALONE)
        return mean(level.advantages * distributions.log_probability(logits, level.actions))

    def squared_norm(level: Batch) -> jax.Array:
        gradient = jax.grad(objective)(parameters, level)
        return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient)), start=jnp.zeros(()))

    batch = with_nothing_else(batch)
    timed, carry = batch.replace(carry=()), batch.carry
    by_level = jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf.reshape(leaf.shape[0], num_levels, -1, *leaf.shape[2:]), 1, 0), timed
    )
    carry = jax.tree.map(lambda leaf: leaf.reshape(num_levels, -1, *leaf.shape[1:]), carry)
    return jax.vmap(squared_norm)(by_level.replace(carry=carry))
