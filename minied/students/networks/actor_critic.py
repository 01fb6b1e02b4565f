"""The student of minied: encoder × memory × heads, a `Student`.

Letters: ``T`` steps, ``M`` rows (environments × agents), ``A`` actions, ``K`` value heads.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.env import Environment
from minied.spaces import Discrete, Space
from minied.students.base import Carry, Parameters
from minied.students.networks.config import NetworkConfig
from minied.students.networks.encoders import Encoder
from minied.students.networks.memory import Memory, initial_carry


class _Network(nn.Module):
    observation_space: Space
    num_actions: int
    config: NetworkConfig

    @nn.compact
    def __call__(self, carry: Carry, observation: Any, reset: jax.Array):
        encoding = Encoder(self.observation_space, self.config, name="encoder")(observation)
        carry, features = Memory(self.config, name="memory")(carry, encoding, reset)
        logits = self._head("policy", features, self.num_actions, *self._policy_init())
        values = [
            self._head(f"value_{k}", features, 1, *self._value_init()) for k in range(self.config.num_value_heads)
        ]
        return carry, logits, jnp.concatenate(values, axis=-1)

    def _head(self, name: str, features: jax.Array, size: int, activation, hidden_init, final_init) -> jax.Array:
        hidden = activation(nn.Dense(self.config.head_size, kernel_init=hidden_init, name=f"{name}_hidden")(features))
        return nn.Dense(size, kernel_init=final_init, name=name)(hidden)

    def _policy_init(self):
        orthogonal = nn.initializers.orthogonal
        if self.config.recipe == "jaxued":
            return nn.relu, orthogonal(2.0), orthogonal(0.01)
        return nn.tanh, orthogonal(2**0.5), nn.initializers.constant(0.01)

    def _value_init(self):
        orthogonal = nn.initializers.orthogonal
        if self.config.recipe == "jaxued":
            return nn.relu, orthogonal(2.0), orthogonal(1.0)
        return nn.tanh, orthogonal(2**0.5), orthogonal(1.0)


@dataclasses.dataclass(frozen=True)
class ActorCritic:
    """A policy and K values from one network. Static and hashable; parameters live outside."""

    observation_space: Space
    action_space: Discrete
    config: NetworkConfig

    @classmethod
    def of(cls, env: Environment, config: NetworkConfig) -> "ActorCritic":
        """Return the student whose network fits ``env``."""
        return cls(env.observation_space, env.action_space, config)

    @property
    def _network(self) -> _Network:
        return _Network(self.observation_space, self.action_space.n, self.config)

    def init(self, key: jax.Array) -> Parameters:
        """Return fresh parameters. Consumes ``key``."""
        # The sample only gives shapes; its key may be any.
        sample = jax.tree.map(
            lambda leaf: jnp.asarray(leaf)[None, None], self.observation_space.sample(jax.random.key(0))
        )
        return self._network.init(key, self.initial_carry(1), sample, jnp.zeros((1, 1), bool))["params"]

    def initial_carry(self, num_rows: int) -> Carry:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        return initial_carry(self.config, num_rows)

    def apply(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run the network over a sequence, see `Student.apply`."""
        return self._network.apply({"params": parameters}, carry, observation, reset)  # type: ignore[return-value]
