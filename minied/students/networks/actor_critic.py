"""The student of minied: encoder × memory × heads, a `Student`.

Letters: ``T`` steps, ``M`` rows (environments × agents), ``A`` actions, ``K`` value heads, ``P`` policy heads.
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
        policies = [
            self._head(name, features, self.num_actions, *self._policy_init())
            for name in ("policy", *(f"policy_{p}" for p in range(1, self.config.num_policy_heads)))
        ]
        values = [
            self._head(f"value_{k}", features, 1, *self._value_init()) for k in range(self.config.num_value_heads)
        ]
        return carry, jnp.stack(policies, axis=-2), jnp.concatenate(values, axis=-1)

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
        return self._network.init(key, initial_carry(self.config, 1), sample, jnp.zeros((1, 1), bool))["params"]

    def initial_carry(self, num_rows: int) -> Carry:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        memory = initial_carry(self.config, num_rows)
        if self.config.num_policy_heads == 1:
            return memory
        # The acting head travels with the row, so that it stays the row's own when a minibatch shuffles rows.
        return memory, jnp.arange(num_rows, dtype=jnp.int32) % self.config.num_policy_heads

    def apply(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run the network over a sequence, see `Student.apply`."""
        if self.config.num_policy_heads == 1:
            memory, logits, values = self._run(parameters, carry, observation, reset)
            return memory, logits[:, :, 0], values
        memory, heads = carry
        memory, logits, values = self._run(parameters, memory, observation, reset)
        acting = jnp.take_along_axis(logits, heads[None, :, None, None], axis=2)[:, :, 0]
        return (memory, heads), acting, values

    def policies(self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array) -> jax.Array:
        """Run the network over a sequence and return what every policy head says, see `Student.policies`."""
        memory = carry if self.config.num_policy_heads == 1 else carry[0]
        return self._run(parameters, memory, observation, reset)[1]

    def _run(
        self, parameters: Parameters, memory: Any, observation: Any, reset: jax.Array
    ) -> tuple[Any, jax.Array, jax.Array]:
        return self._network.apply({"params": parameters}, memory, observation, reset)  # type: ignore[return-value]
