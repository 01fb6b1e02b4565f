"""What a rollout says to scores, through minied's own loop, of a student and levels made by hand."""

import jax
import numpy as np

from minied import registry
from minied.scores import score_levels
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig
from minied.train.playing import probe_of
from minied.train.setting import Setting


def probed(env, student, parameters, levels, scores, num_steps, key=0, **ppo):
    """What a rollout on levels says to scores, as a teacher hears it."""
    num_levels = jax.tree.leaves(levels)[0].shape[0]
    config = TrainConfig(
        env=env,
        teacher=DomainRandomization(),
        network=NetworkConfig(num_value_heads=2, num_policy_heads=2),
        ppo=PPOConfig(**ppo),
        num_envs=num_levels,
        num_steps=num_steps,
        num_devices=1,
    )
    setting = Setting.of(config, student).replace(correlations=tuple(scores))
    return _play(setting, jax.random.key(key), parameters, levels)


@jax.jit
def _play(setting, key, parameters, levels):
    return probe_of(setting, parameters)(key, levels).signals.replace(max_share=None)


_score_levels = jax.jit(score_levels, static_argnums=(0, 3))


def score(name, signals, reduction="mean"):
    scores, valid, _ = _score_levels(registry.load("score", name), signals, 0.0, reduction)
    assert valid.all()
    return np.asarray(scores, np.float64)
