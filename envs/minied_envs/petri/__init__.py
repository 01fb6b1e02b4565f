"""Worlds so small that it is known what a teacher should do in them: for tests, and to see one think."""

from minied_envs.petri.corridor import Corridor
from minied_envs.petri.noisy_bandit import NoisyBandit

__all__ = ["Corridor", "NoisyBandit"]
