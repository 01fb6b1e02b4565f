"""The student of minied: encoder × memory × heads, a `Student`.

Letters: ``T`` steps, ``M`` rows (environments × agents), ``A`` actions, ``K`` value heads, ``P`` policy heads.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.env import Environment
from minied.errors import UserError
from minied.spaces import ActionSpace, Dict, Mask, MultiDiscrete, Space
from minied.students import distributions
from minied.students.base import Activations, Carry, Earlier, Parameters
from minied.students.networks.affine import Affine, block_diagonal, side_by_side
from minied.students.networks.config import NetworkConfig
from minied.students.networks.encoders import Encoder
from minied.students.networks.memory import Memory, initial_carry


class _Network(nn.Module):
    observation_space: Space
    action_space: ActionSpace
    config: NetworkConfig

    @nn.compact
    def __call__(self, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier | None = None):
        critics = _critics_of(self.config)
        if not critics:
            carry, features, activations = self._tower("", carry, observation, reset, earlier)
            return carry, *self._heads([features]), activations
        spared = [None] * len(carry)
        if earlier is not None:
            spared = [earlier.replace(activations=each) for each in earlier.activations]
        towers = zip(("", *critics), carry, spared, strict=True)
        runs = [self._tower(name, memory, observation, reset, past) for name, memory, past in towers]
        carry, features, activations = zip(*runs, strict=True)
        return carry, *self._heads(features), activations if jax.tree.leaves(activations) else ()

    def _tower(
        self, critic: str, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier | None
    ) -> tuple[Carry, jax.Array, Activations]:
        """Run an encoder and a memory, of the policy (no name) or of a critic: ``(carry, f32[T, M, U], activations)``."""
        name = critic and f"{critic}_"
        sees_all = bool(critic)
        encoding = Encoder(self.observation_space, self.config, sees_all, name=f"{name}encoder")(observation)
        return Memory(self.config, name=f"{name}memory")(carry, encoding, reset, earlier)

    def _heads(self, features: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Return logits ``f32[T, M, P, A]`` and values ``f32[T, M, K]`` from what each tower gives, the policy's first.

        All heads that read one tower are two products.
        """
        num_policies, num_values = self.config.num_policy_heads, self.config.num_value_heads
        factors = self.action_space.numbers if isinstance(self.action_space, MultiDiscrete) else ()
        num_logits = sum(factors) or self.action_space.n
        policies = ("policy", *(f"policy_{p}" for p in range(1, num_policies)))
        heads = [(name, num_logits, *self._policy_init()) for name in policies]
        value_heads = [(f"value_{k}", 1, *self._value_init()) for k in range(num_values)]
        if len(features) == 1:
            outputs = self._outputs(features[0], heads + value_heads)
            logits, values = jnp.split(outputs, [num_policies * num_logits], axis=-1)
        else:
            logits, of_critics = self._outputs(features[0], heads), features[1:]
            groups = [value_heads] if self.config.critic == "own" else [[head] for head in value_heads]
            read = [self._outputs(each, group) for each, group in zip(of_critics, groups, strict=True)]
            values = jnp.concatenate(read, axis=-1)
        logits = logits.reshape(*logits.shape[:-1], num_policies, num_logits)
        return distributions.joint(logits, factors) if factors else logits, values

    def _outputs(self, features: jax.Array, heads: list[tuple]) -> jax.Array:
        """Return the outputs of ``heads``, ``(name, outputs, activation, two initialisers)``, side by side."""
        size, precision = self.config.head_size, self.config.precision
        activation = heads[0][2]  # of one recipe, policies and values have the same
        hidden = [Affine(size, kernel_init=init, name=f"{name}_hidden") for name, _, _, init, _ in heads]
        final = [Affine(outputs, kernel_init=init, name=name) for name, outputs, _, _, init in heads]
        outputs = activation(side_by_side([each(features.shape[-1]) for each in hidden])(features, precision))
        return block_diagonal([each(size) for each in final])(outputs, precision)

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


def _critics_of(config: NetworkConfig) -> tuple[str, ...]:
    """Return the names of the critics that have an encoder and a memory of their own; none if they are shared."""
    each = tuple(f"critic_{k}" for k in range(config.num_value_heads))
    return {"shared": (), "own": ("critic",), "each": each}[config.critic]


@dataclasses.dataclass(frozen=True)
class ActorCritic:
    """A policy and K values from one network. Static and hashable; parameters live outside.

    Where the observation has a `Mask`, actions that it does not allow have no probability. Critics of their own have a
    memory each: what is carried, and the activations, are then tuples, the policy's first.
    """

    observation_space: Space
    action_space: ActionSpace
    config: NetworkConfig
    num_agents: int = 1
    """N, whose rows lie together: those of one environment are all played by one policy of an ensemble."""

    @classmethod
    def of(cls, env: Environment, config: NetworkConfig) -> "ActorCritic":
        """Return the student whose network fits ``env``. Raises `UserError` for a mask of another number of actions."""
        student = cls(env.observation_space, env.action_space, config, env.num_agents)
        number = env.action_space.n
        for name, space in student._spaces.items():
            if isinstance(space, Mask) and space.n != number:
                raise UserError(f"the mask {name!r} is of {space.n} actions; allowed: all of them, {number}")
        return student

    @property
    def _network(self) -> _Network:
        return _Network(self.observation_space, self.action_space, self.config)

    def init(self, key: jax.Array) -> Parameters:
        """Return fresh parameters. Consumes ``key``."""
        # Only shapes are asked for: a traced sample draws nothing, so that its key may be any.
        forms = jax.eval_shape(self.observation_space.sample, jax.random.key(0))
        sample = jax.tree.map(lambda form: jnp.zeros((1, 1, *form.shape), form.dtype), forms)
        return self._network.init(key, self._memories(1), sample, jnp.zeros((1, 1), bool))["params"]

    def initial_carry(self, num_rows: int) -> Carry:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        memory = self._memories(num_rows)
        if self.config.num_policy_heads == 1:
            return memory
        # The acting head travels with the row, so that it stays the row's own when a minibatch shuffles rows.
        environments = jnp.arange(num_rows, dtype=jnp.int32) // self.num_agents
        return memory, environments % self.config.num_policy_heads

    def policy_memory(self, carry: Carry) -> Carry:
        """Return what the policy itself carries, leaves ``[M, ...]``: no memory of a critic, and not which head acts."""
        memory = carry if self.config.num_policy_heads == 1 else carry[0]
        return memory[0] if _critics_of(self.config) else memory

    def _memories(self, num_rows: int) -> Any:
        memory, critics = initial_carry(self.config, num_rows), _critics_of(self.config)
        return (memory, *(memory for _ in critics)) if critics else memory

    def apply(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run the network over a sequence, see `Student.apply`."""
        return self._act(parameters, carry, observation, reset)[:3]

    def record(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array, Activations]:
        """Run the network over a sequence and keep its activations, see `RecordingStudent.record`."""
        return self._act(parameters, carry, observation, reset)

    def repeat(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run the network over a sequence from its activations, see `RecordingStudent.repeat`."""
        return self._act(parameters, carry, observation, reset, earlier)[:3]

    def _act(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier | None = None
    ) -> tuple[Carry, jax.Array, jax.Array, Activations]:
        memory, heads = (carry, None) if self.config.num_policy_heads == 1 else carry
        memory, logits, values, activations = self._run(parameters, memory, observation, reset, earlier)
        if heads is None:
            return memory, logits[:, :, 0], values, activations
        acting = jnp.take_along_axis(logits, heads[None, :, None, None], axis=2)[:, :, 0]
        return (memory, heads), acting, values, activations

    def policies(self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array) -> jax.Array:
        """Run the network over a sequence and return what every policy head says, see `Student.policies`."""
        memory = carry if self.config.num_policy_heads == 1 else carry[0]
        return self._run(parameters, memory, observation, reset)[1]

    def _run(
        self, parameters: Parameters, memory: Any, observation: Any, reset: jax.Array, earlier: Earlier | None = None
    ) -> tuple[Any, jax.Array, jax.Array, Activations]:
        network, variables = self._network, {"params": parameters}
        applied: Any = network.apply(variables, memory, observation, reset, earlier)
        memory, logits, values, activations = applied
        if (mask := self._mask) is not None:
            logits = distributions.masked(logits, observation[mask][:, :, None, :])
        return memory, logits, values, activations

    @property
    def _mask(self) -> str | None:
        """The name of the observation's part that masks actions, if it has one."""
        return next((name for name, space in self._spaces.items() if isinstance(space, Mask)), None)

    @property
    def _spaces(self) -> Mapping[str, Space]:
        """The parts of an observation that has parts."""
        return self.observation_space.spaces if isinstance(self.observation_space, Dict) else {}
