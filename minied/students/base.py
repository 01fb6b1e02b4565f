"""The contract of a student: a policy and values behind a few pure functions. The learner and the rollout know no more.

Letters: ``T`` steps, ``M`` rows (environments × agents), ``A`` actions, ``K`` value heads, ``P`` policy heads.
"""

from typing import Any, Protocol, runtime_checkable

import jax
from flax import struct

Parameters = Any  # pytree
Activations = Any  # what a pass over a sequence leaves for its derivative: leaves [T, M, ...], or ()
Carry = Any  # pytree with leading axis M, or () without memory


class Earlier(struct.PyTreeNode):
    """What an earlier pass over the same sequence left: a learner's first pass is that of the rollout itself."""

    activations: Activations
    hold: jax.Array  # bool[], whether the parameters are still those of that pass


class Student(Protocol):
    """Static and hashable; parameters live outside. `networks.teams.student_of` makes that of minied."""

    def init(self, key: jax.Array) -> Parameters:
        """Return fresh parameters. Consumes ``key``."""
        ...

    def initial_carry(self, num_rows: int) -> Carry:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        ...

    def apply(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run over a sequence.

        Args:
            parameters: of `init`.
            carry: memory before the first step.
            observation: leaves ``[T, M, ...]``.
            reset: ``bool[T, M]``, whether step t is the first of an episode; the memory is emptied before it.

        Returns:
            ``(carry, logits f32[T, M, A], values f32[T, M, K])``; the logits are those of the policy that acts.
        """
        ...

    def policies(self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array) -> jax.Array:
        """Return what every policy of an ensemble says, logits ``f32[T, M, P, A]``; arguments as of `apply`.

        Asked for only by scores that read policies; a student with one policy has ``P = 1``.
        """
        ...


@runtime_checkable
class RecordingStudent(Student, Protocol):
    """A student that can spare its learner the first pass over a rollout: the parameters are those that acted."""

    def record(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array, Activations]:
        """Return what `apply` does and the activations, leaves ``[T, M, ...]``, or ``()`` if none are worth keeping."""
        ...

    def repeat(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Return what `apply` does, and its derivative, taking from ``earlier`` what `record` left where it holds."""
        ...
