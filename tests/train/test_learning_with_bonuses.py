"""Does a bonus find what nobody stumbles on? A corridor whose goal is as far as can be, with none and with each of them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from toy_worlds import Corridor, CorridorLevel, CorridorLevels

from minied.students.bonuses.base import NoBonus
from minied.students.bonuses.counts import CountBonus
from minied.students.bonuses.forward_dynamics import ForwardDynamicsBonus
from minied.students.bonuses.random_network_distillation import RandomNetworkDistillation
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig
from minied.train.program import Program

SIZES = {"learning_rate": 1e-3, "feature_size": 16, "hidden_size": 32}
SEEDS = 4


@dataclasses.dataclass(frozen=True)
class _FarLevels(CorridorLevels):
    def sample(self, key):
        return CorridorLevel(jnp.int32(self.length))


@dataclasses.dataclass(frozen=True)
class _Far(Corridor):
    """Starts at the far end, and which action leads on differs from cell to cell: no direction is a policy.

    Chance gets 50 cells in 100 steps, √100 = 10 a deviation, about once in a million episodes.
    """

    length: int = 50
    max_steps: int = 100

    @property
    def level_space(self):
        return _FarLevels(self.length, self.max_steps)

    def step(self, key, state, action, level):
        leads_on = (state.distance * 7 // 3) % 2
        return super().step(key, state, (action == leads_on).astype(jnp.int32), level)


def solve_rates(bonus, updates=150):
    """Of each member, over the last ten of 150 updates with 16 episodes each."""
    config = TrainConfig(
        env=_Far(),
        teacher=DomainRandomization(),
        network=NetworkConfig(memory="none", memory_size=32, head_size=32, embedding_size=16),
        ppo=PPOConfig(learning_rate=1e-3, discount=0.99, entropy_coefficient=0.01),
        bonus=bonus,
        num_seeds=SEEDS,
        num_envs=16,
        num_steps=100,
        updates=updates,
        num_devices=1,
    )
    program = Program(config)
    state, _ = program.advance(program.init(), updates - 10)
    return program.advance(state, updates)[1]["new/solve_rate"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bonus", "solves"),
    [
        (NoBonus(), False),
        (CountBonus(feature="observation", coefficient=0.1), True),
        (RandomNetworkDistillation(**SIZES), True),
        (ForwardDynamicsBonus(**SIZES, num_blocks=1), True),
        (ForwardDynamicsBonus(**SIZES, num_blocks=1, features="inverse_dynamics"), True),
    ],
    ids=["none", "counts", "distillation", "random features", "inverse dynamics"],
)
def test_a_goal_that_chance_does_not_find(bonus, solves):
    rates = solve_rates(bonus)
    assert np.mean(rates > 0.5) >= 0.75 if solves else np.all(rates == 0)
