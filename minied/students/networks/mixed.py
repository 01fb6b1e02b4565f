"""A policy that does something uniform now and then, as a `RecordingStudent` around another."""

import dataclasses
from typing import Any

import jax

from minied.spaces import Space
from minied.students import distributions
from minied.students.base import Activations, Carry, Earlier, Parameters
from minied.students.networks.actor_critic import ActorCritic


@dataclasses.dataclass(frozen=True)
class MixedWithUniform:
    """``(1 − share) π + share · u``, with ``u`` uniform over the actions that are not masked.

    Log-probabilities, ratios and entropies are those of the mixture, so that a learner is on-policy. ``share`` may be
    traced; the object is then hashable in name only and lives inside of the traced function.
    """

    student: ActorCritic
    share: jax.Array | float

    @property
    def observation_space(self) -> Space:
        """Of the student."""
        return self.student.observation_space

    def init(self, key: jax.Array) -> Parameters:
        """Return fresh parameters. Consumes ``key``."""
        return self.student.init(key)

    def initial_carry(self, num_rows: int) -> Carry:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        return self.student.initial_carry(num_rows)

    def apply(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run over a sequence, see `Student.apply`."""
        carry, logits, values = self.student.apply(parameters, carry, observation, reset)
        return carry, self._mixed(logits), values

    def record(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array, Activations]:
        """Run over a sequence and keep its activations, see `RecordingStudent.record`."""
        carry, logits, values, activations = self.student.record(parameters, carry, observation, reset)
        return carry, self._mixed(logits), values, activations

    def repeat(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run over a sequence from its activations, see `RecordingStudent.repeat`."""
        carry, logits, values = self.student.repeat(parameters, carry, observation, reset, earlier)
        return carry, self._mixed(logits), values

    def policies(self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array) -> jax.Array:
        """Return what every policy says, see `Student.policies`."""
        return self._mixed(self.student.policies(parameters, carry, observation, reset))

    def _mixed(self, logits: jax.Array) -> jax.Array:
        return distributions.mixed_with_uniform(logits, self.share)
