"""The yardstick: the student of minied as one writes it first.

A scan over flax's LSTM cell that automatic differentiation walks back through, flax's convolution, one product for every
layer of every head, every epoch from the observations. Its parameters have the names, shapes and first values of
`minied.students.networks.actor_critic.ActorCritic`, and its results are the same but for rounding; `training_speed.py` times
the two in turn, `learning_unchanged.py` trains both. One policy, images and choices only: what the standard workload needs.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.spaces import Coded, Dict, Discrete, Space
from minied.students.networks.config import NetworkConfig


class _Plain(nn.Module):
    observation_space: Dict
    num_actions: int
    config: NetworkConfig

    @nn.compact
    def __call__(self, carry: Any, observation: Any, reset: jax.Array):
        encoding = _Encoder(self.observation_space, self.config, name="encoder")(observation)
        carry, features = _Memory(self.config.memory_size, name="memory")(carry, encoding, reset)
        orthogonal, size = nn.initializers.orthogonal, self.config.head_size
        hidden = nn.tanh(nn.Dense(size, kernel_init=orthogonal(2**0.5), name="policy_hidden")(features))
        logits = nn.Dense(self.num_actions, kernel_init=nn.initializers.constant(0.01), name="policy")(hidden)
        hidden = nn.tanh(nn.Dense(size, kernel_init=orthogonal(2**0.5), name="value_0_hidden")(features))
        return carry, logits, nn.Dense(1, kernel_init=orthogonal(1.0), name="value_0")(hidden)


class _Encoder(nn.Module):
    space: Dict
    config: NetworkConfig

    @nn.compact
    def __call__(self, observation: Any) -> jax.Array:
        parts = []
        for name, space in self.space.parts:
            value = observation[name]
            if isinstance(space, Coded):
                image = space.decode(value)
                flat = image.reshape(-1, *image.shape[-3:])
                convolution = nn.Conv(
                    self.config.conv_filters, (3, 3), padding="VALID", kernel_init=nn.initializers.orthogonal(2**0.5),
                    name=f"{name}_conv",
                )  # fmt: skip
                parts.append(nn.relu(convolution(flat)).reshape(*image.shape[:-3], -1))
            elif isinstance(space, Discrete):
                embed = nn.Dense(
                    self.config.embedding_size, use_bias=False, kernel_init=nn.initializers.orthogonal(2**0.5),
                    name=f"{name}_embed",
                )  # fmt: skip
                parts.append(embed(jax.nn.one_hot(value, space.n)))
        return jnp.concatenate(parts, axis=-1)


class _Memory(nn.Module):
    size: int

    @nn.compact
    def __call__(self, carry: Any, inputs: jax.Array, reset: jax.Array):
        def step(cell: nn.OptimizedLSTMCell, carry: Any, now: tuple[jax.Array, jax.Array]):
            encoding, starts = now
            return cell(jax.tree.map(lambda leaf: jnp.where(starts[:, None], 0.0, leaf), carry), encoding)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        return scan(nn.OptimizedLSTMCell(self.size, name="cell"), carry, (inputs, reset))


@dataclasses.dataclass(frozen=True)
class PlainStudent:
    """A `minied.students.base.Student` with one policy and one value."""

    observation_space: Space
    action_space: Discrete
    config: NetworkConfig

    @classmethod
    def of(cls, env: Any, config: NetworkConfig) -> "PlainStudent":
        """Return the student whose network fits ``env``."""
        return cls(env.observation_space, env.action_space, config)

    @property
    def _network(self) -> _Plain:
        assert isinstance(self.observation_space, Dict)
        return _Plain(self.observation_space, self.action_space.n, self.config)

    def init(self, key: jax.Array) -> Any:
        """Return fresh parameters. Consumes ``key``."""
        sample = jax.tree.map(
            lambda leaf: jnp.asarray(leaf)[None, None], self.observation_space.sample(jax.random.key(0))
        )
        return self._network.init(key, self.initial_carry(1), sample, jnp.zeros((1, 1), bool))["params"]

    def initial_carry(self, num_rows: int) -> Any:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        zeros = jnp.zeros((num_rows, self.config.memory_size))
        return zeros, zeros

    def apply(self, parameters: Any, carry: Any, observation: Any, reset: jax.Array) -> Any:
        """Run over a sequence, see `minied.students.base.Student.apply`."""
        return self._network.apply({"params": parameters}, carry, observation, reset)

    def policies(self, parameters: Any, carry: Any, observation: Any, reset: jax.Array) -> jax.Array:
        """Return what the one policy says, ``f32[T, M, 1, A]``."""
        return self.apply(parameters, carry, observation, reset)[1][:, :, None]
