"""Presets of hide and seek that are meant for a GPU run anywhere, if small: attention, LSTM, a critic of its own."""

import numpy as np
import pytest

from minied.config import load_config
from minied.train.program import Program

SMALL = ["--num-envs", "4", "--num-steps", "8", "--ppo.num-minibatches", "2", "--ppo.num-epochs", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quadrant", "rooms"])
def test_an_update(name):
    program = Program(load_config(f"hide_and_seek/{name}", [*SMALL, "--num-devices", "1"]))
    state, metrics = program.advance(program.init(), 1)
    assert program.counters(state)["student_updates"] == 1
    for loss in ("student/policy_loss", "student/value_loss", "student/gradient_norm"):
        assert np.isfinite(metrics[loss]).all()
    assert (metrics["student/gradient_norm"] > 0).all()


@pytest.mark.parametrize("name", ["quadrant", "rooms"])
def test_minibatches_of_the_whole_preset_fit_a_large_gpu(name):
    """Tokens of a minibatch in float32, twelve such tensors in each of two towers: below 80 GB."""
    config = load_config(f"hide_and_seek/{name}")
    env = config.env
    rows = config.num_envs * env.num_agents * config.num_steps / config.ppo.num_minibatches
    tokens = env.num_agents + env.max_boxes + env.max_ramps
    assert rows * tokens * config.network.entity_size * 4 * 12 * 2 < 80e9
