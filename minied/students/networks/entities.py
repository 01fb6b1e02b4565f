"""From entities that come and go, and the agent itself, to one vector that does not depend on their order.

Every entity is embedded beside what the agent knows of itself, they attend to each other, and what they become is averaged
(Baker et al. 2020, arXiv 1909.07528; the attention is that of Vaswani et al. 2017). One deviation: the published code adds
small numbers to denominators, for an agent that sees nothing. Here it always sees itself, what is masked counts 0, and means
are exact. Letters: ``E`` entities (all kinds), ``F`` features, ``S`` numbers of the agent's own, ``D`` size of an embedding.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from minied.students.networks.affine import Affine, AffineWeights, Precision, product, side_by_side
from minied.students.networks.config import NetworkConfig


class EntityEncoder(nn.Module):
    """Encode entities and the agent itself: the agent is one entity more, that it always sees."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, own: jax.Array, entities: Mapping[str, tuple[jax.Array, jax.Array]]) -> jax.Array:
        """Return ``f32[..., D]``.

        Args:
            own: ``f32[..., S]``, what the agent knows of itself.
            entities: of each kind its features ``f32[..., E, F]`` and which of them are seen, ``bool[..., E]``. The
                features of the others may be anything: they are not read.
        """
        size, precision = self.config.entity_size, self.config.precision
        seen = jnp.concatenate(
            [*(seen for _, seen in entities.values()), jnp.ones((*own.shape[:-1], 1), bool)], axis=-1
        )
        tokens = self._embedded(own, entities)
        for block in range(self.config.num_attention_blocks):
            tokens = AttentionBlock(self.config.num_attention_heads, precision, name=f"block_{block}")(tokens, seen)
        pooled = jnp.sum(jnp.where(seen[..., None], tokens, 0.0), axis=-2) / jnp.sum(seen, axis=-1, keepdims=True)
        both = jnp.concatenate([pooled, own], axis=-1)
        joined = Affine(size, kernel_init=nn.initializers.orthogonal(2**0.5), name="joined")(both.shape[-1])
        return nn.LayerNorm(name="norm")(nn.relu(joined(both, precision)))

    def _embedded(self, own: jax.Array, entities: Mapping[str, tuple[jax.Array, jax.Array]]) -> jax.Array:
        """Return ``f32[..., E, D]``, the agent last: of each kind ``relu(W [features, own] + b)``.

        What the own part adds is the same for every entity of a kind, and one product for all kinds.
        """
        size, precision, num_own = self.config.entity_size, self.config.precision, own.shape[-1]
        init = nn.initializers.orthogonal(2**0.5)
        kinds, of_own = [], []
        for name, (features, seen) in entities.items():
            weights = Affine(size, kernel_init=init, name=f"{name}_embed")(features.shape[-1] + num_own)
            of_features, rest = jnp.split(weights.kernel, [features.shape[-1]])
            kinds.append(product(jnp.where(seen[..., None], features, 0.0), of_features, precision))
            of_own.append(AffineWeights(rest, weights.bias))
        of_own.append(Affine(size, kernel_init=init, name="own")(num_own))
        *added, itself = jnp.split(side_by_side(of_own)(own, precision)[..., None, :], len(of_own), axis=-1)
        tokens = [kind + each for kind, each in zip(kinds, added, strict=True)]
        return nn.relu(jnp.concatenate([*tokens, itself], axis=-2))


class AttentionBlock(nn.Module):
    """``x ← norm(x + W attention(x))``: what each entity becomes from all that are seen.

    Weights are drawn with a variance of 0.125 / D, as published, so that a block first changes little.
    """

    num_heads: int
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, tokens: jax.Array, seen: jax.Array) -> jax.Array:
        """``(f32[..., E, D], bool[..., E]) -> f32[..., E, D]``; at least one of E is seen."""
        size, precision = tokens.shape[-1], self.precision
        init = nn.initializers.normal((0.125 / size) ** 0.5)
        projected = Affine(3 * size, kernel_init=init, name="queries_keys_values")(size)(tokens, precision)
        # One product a head over plain matrices: on CPU twice as fast as all heads in one with axes to be moved.
        parts = jnp.split(projected, 3 * self.num_heads, axis=-1)
        heads = (parts[head :: self.num_heads] for head in range(self.num_heads))
        read = [attention(queries, keys, values, seen, precision) for queries, keys, values in heads]
        read = jnp.concatenate(read, axis=-1)
        mixed = Affine(size, kernel_init=init, name="mixed")(size)(read, precision)
        return nn.LayerNorm(name="norm")(tokens + mixed)


def attention(
    queries: jax.Array, keys: jax.Array, values: jax.Array, seen: jax.Array, precision: Precision = "float32"
) -> jax.Array:
    """Return ``softmax(Q Kᵀ / √d) V`` over the keys that are seen, ``f32[..., E, d]``; the others' weight is 0 exactly.

    Args:
        queries: ``f32[..., E, d]``.
        keys: likewise.
        values: likewise.
        seen: ``bool[..., E]``, at least one of them.
        precision: of the products.
    """
    logits = product(queries, jnp.swapaxes(keys, -1, -2), precision) / queries.shape[-1] ** 0.5
    return product(jax.nn.softmax(logits, where=seen[..., None, :]), values, precision)
