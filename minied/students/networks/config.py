"""Options of the student's network: what shapes its parameters."""

import dataclasses
from typing import Literal, get_args

from minied.errors import UserError
from minied.students.networks.affine import Precision

MemoryKind = Literal["none", "lstm", "gru", "min_gru", "s5"]
Critic = Literal["shared", "own", "each"]
Sharing = Literal["shared", "team"]
Recipe = Literal["minimax", "jaxued"]


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Encoder × memory × heads. The defaults are the network of the maze literature (DCD, minimax, jaxued)."""

    conv_filters: int = 16
    """Filters of the 3×3 convolution (stride 1, no padding) over each image of the observation."""
    image_projection: int = 0
    """Units of a dense layer between the convolution of an image and the memory; 0: none, as in the literature. It
    spares the memory a product with every feature of a large image."""
    embedding_size: int = 5
    """Size of the linear embedding of each discrete part of the observation (the direction)."""
    ring_filters: int = 9
    """Filters of the circular convolution (kernel 3) over each ring of directions (lidar)."""
    entity_size: int = 64
    """Size of the embedding of an entity, and of what is made of them all, where the observation has entities."""
    num_attention_blocks: int = 1
    """Blocks of self-attention among entities; 0: their embeddings are only pooled, which is cheaper."""
    num_attention_heads: int = 2
    """Heads of each block; a divisor of entity_size."""
    memory: MemoryKind = "lstm"
    """Recurrent cell between encoder and heads; `none` puts a dense layer of the same size in its place. `min_gru` and `s5`
    have no chain of matrix products over time, and are other networks than the literature's."""
    memory_size: int = 256
    """Units of the memory."""
    num_memory_layers: int = 1
    """Layers of `s5`; the other memories have one."""
    head_size: int = 32
    """Hidden units of the policy head and of each value head."""
    num_value_heads: int = 1
    """K, the size of the ensemble of value heads; scores of disagreement need at least 2."""
    num_policy_heads: int = 1
    """P, the size of the ensemble of policies, which share encoder and memory. The agents
    of environment i of a batch are played by policy i mod P, which alone learns from them, whatever
    ``ppo.ensemble_data`` says; scores of policy disagreement need at least 2."""
    critic: Critic = "shared"
    """What the value heads read: `shared`, the policy's encoder and memory; `own`, an encoder and a memory of their own,
    which see all entities that are present and the privileged parts of the observation; `each`, such ones for every value
    head, the published form of value disagreement."""
    parameters: Sharing = "shared"
    """Whether all agents have one set of parameters, or every `team` of the world a whole one of its own. The learner's
    `max_grad_norm` and normalised advantages are of all teams together."""
    precision: Precision = "float32"
    """Of matrix products: `float32`; `tf32`, inputs rounded to 10 bits where the processor has it; `bfloat16`, inputs
    rounded to 8, and so gradients of the weights outside of the LSTM. Sums, parameters and all the rest are float32."""
    recipe: Recipe = "minimax"
    """Whose activations and initial weights: minimax (tanh heads, policy layer constant 0.01) or jaxued (ReLU heads,
    orthogonal)."""

    def __post_init__(self) -> None:
        sizes = ("conv_filters", "embedding_size", "ring_filters", "entity_size", "memory_size", "head_size")
        numbers = ("num_attention_heads", "num_memory_layers", "num_value_heads", "num_policy_heads")
        least = dict.fromkeys((*sizes, *numbers), 1) | {"image_projection": 0, "num_attention_blocks": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: at least {value}")
        if self.entity_size % self.num_attention_heads:
            raise UserError(
                f"num_attention_heads is {self.num_attention_heads}; allowed: a divisor of entity_size = {self.entity_size}"
            )
        if self.num_memory_layers > 1 and self.memory != "s5":
            raise UserError(f"num_memory_layers is {self.num_memory_layers}; allowed with {self.memory}: 1")
        if self.memory == "s5" and self.memory_size % 2:
            raise UserError(f"memory_size is {self.memory_size}; allowed with s5: even numbers")
        if self.memory == "gru" and self.precision == "bfloat16":
            raise UserError("precision is 'bfloat16'; allowed with gru: float32, tf32")
        kinds = {
            "memory": MemoryKind, "critic": Critic, "parameters": Sharing, "precision": Precision, "recipe": Recipe,
        }  # fmt: skip
        for name, choices in ((name, get_args(kind)) for name, kind in kinds.items()):
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
