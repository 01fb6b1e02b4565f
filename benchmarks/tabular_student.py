"""Not a script: a student that is a table, for worlds of so few states that everything about it can be said.

One row a state: logits of each policy head, and what each value head expects. Nothing that is learnt in one state is known
in another, so that what a teacher does is its own doing and not that of a network's guesses. Letters: ``T`` steps, ``M``
rows of a batch, ``A`` actions, ``K`` value heads, ``P`` policy heads.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class TabularStudent:
    """A policy and K values by table, a `minied.students.base.Student` for observations that are a state's number."""

    num_states: int
    num_actions: int
    num_value_heads: int = 5
    """K."""
    num_policy_heads: int = 1
    """P. Row i of a batch is played by policy i mod P, which alone learns from it."""
    value_spread: float = 0.0
    """Standard deviation of the first values, drawn for each state and head; all policies start uniform."""

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        """Return fresh tables: ``policy f32[states, P, A]``, ``values f32[states, K]``. Consumes ``key``."""
        return {
            "policy": jnp.zeros((self.num_states, self.num_policy_heads, self.num_actions)),
            "values": self.value_spread * jax.random.normal(key, (self.num_states, self.num_value_heads)),
        }

    def initial_carry(self, num_rows: int) -> jax.Array:
        """Return which policy plays each row, ``i32[num_rows]``. There is no other memory."""
        return jnp.arange(num_rows, dtype=jnp.int32) % self.num_policy_heads

    def apply(
        self, parameters: dict[str, jax.Array], carry: jax.Array, observation: jax.Array, reset: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Look a sequence of states ``i32[T, M]`` up, see `Student.apply`."""
        every = parameters["policy"][observation]
        acting = jnp.take_along_axis(every, carry[None, :, None, None], axis=2)[:, :, 0]
        return carry, acting, parameters["values"][observation]

    def policies(self, parameters: dict[str, jax.Array], carry: Any, observation: jax.Array, reset: Any) -> jax.Array:
        """Return what every policy says, ``f32[T, M, P, A]``, see `Student.policies`."""
        return parameters["policy"][observation]
