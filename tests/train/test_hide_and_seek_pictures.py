"""A student of hide and seek that sees pictures in place of lists: it is trained like any other, and looks at them."""

import jax
import numpy as np
from tiny_runs import copy

from minied.config import load_config
from minied.train.program import Program

OPTIONS = [
    "--env.observation", "egocentric", "--env.view-size", "5", "--env.max-steps", "8",
    "--num-envs", "4", "--num-steps", "16", "--ppo.num-minibatches", "1", "--ppo.num-epochs", "1",
    "--network.conv-filters", "2", "--network.memory-size", "4", "--network.head-size", "4",
    "--log-every", "1", "--evaluate-every", "0", "--checkpoint-every", "0", "--num-devices", "1",
]  # fmt: skip


def test_an_agent_that_sees_pictures_learns_from_them():
    program = Program(load_config("hide_and_seek/fort", OPTIONS))
    state = program.init()
    before = dict(jax.tree_util.tree_leaves_with_path(copy(state.members.student.parameters)))
    state, metrics = program.advance(state, until=3)
    assert np.isfinite(metrics["student/policy_loss"]).all()
    has_moved = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.members.student.parameters):
        assert np.isfinite(np.asarray(leaf)).all()
        has_moved[jax.tree_util.keystr(path)] = not np.array_equal(leaf, before[path])
    assert all(has_moved.values()), has_moved
    # The policy looks at the agent's own view, the critic at the whole besides.
    views = {name for name in has_moved if "view" in name and "kernel" in name}
    assert views == {
        "['encoder']['view_conv']['kernel']",
        "['critic_encoder']['view_conv']['kernel']",
        "['critic_encoder']['whole_view_conv']['kernel']",
    }
