"""What a bonus reads, of as much as a test says. Letters: ``T`` steps, ``B`` environments, ``N`` agents."""

import jax.numpy as jnp

from minied.students.bonuses.base import Experience


def experience_of(num_steps, num_levels, num_agents=1, present=None, ended=None, actions=None, **kept):
    """An experience of `num_steps` steps in `num_levels` environments without an end; observations are those given."""
    shape = num_steps, num_levels, num_agents
    nothing = {"observations": (), "last_observations": ()}
    return Experience(
        actions=jnp.zeros(shape, jnp.int32) if actions is None else actions,
        ended=jnp.zeros(shape[:2], bool) if ended is None else ended,
        present=jnp.ones(shape, bool) if present is None else present,
        **nothing | kept,
    )
