"""A run so small that it compiles soon, to be spread over devices."""

from toy_designers import EditableCorridor

from minied.spread import Spread
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig

B, T, N = 4, 12, 4
TWO = Spread("environments", 2)
WITH_MEMORY = NetworkConfig(memory="lstm", memory_size=5, head_size=4, embedding_size=2)
SMALL = NetworkConfig(memory="none", memory_size=4, head_size=4, embedding_size=2)


def config_of(teacher=None, num_devices=1, **options):
    defaults = {
        "env": EditableCorridor(length=5, max_steps=6),
        "teacher": teacher or DomainRandomization(),
        "network": SMALL,
        # A large ε: where a gradient is next to nothing, its rounding shall not be divided by itself.
        "ppo": PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=1e-3),
        "num_envs": B,
        "num_steps": T,
        "updates": 100,
        "num_devices": num_devices,
    }
    return TrainConfig(**defaults | options)


def part_of(batch, spread):
    """What one device has of a batch that a student learns from."""
    timed, carry, earlier = batch.replace(carry=(), earlier=None), batch.carry, batch.earlier
    if earlier is not None:
        earlier = earlier.replace(activations=spread.part(earlier.activations, axis=1))
    return spread.part(timed, axis=1).replace(carry=spread.part(carry), earlier=earlier)
