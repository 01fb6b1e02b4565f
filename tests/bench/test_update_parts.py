"""The parts of an update are those that the loop itself runs: they come to the same student and the same teacher."""

import jax
import numpy as np
from tiny_runs import config_of

from minied.bench.parts import parts_of_update


def test_parts_come_to_what_the_whole_comes_to():
    parts = parts_of_update(config_of("robust_plr"))
    assert "score" in parts
    state, _ = parts["whole"]()
    learnt, observed = parts["learn: all epochs"](), parts["observe"]()

    def same(ours, whole):
        for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(np.asarray(mine), np.asarray(other)[0], rtol=1e-5, atol=1e-7)

    same(learnt, state.members.student)
    same(observed, state.members.teacher)
    again = parts["learn: all epochs"]()  # nothing is donated: a part can be run again
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(learnt), jax.tree.leaves(again), strict=True))
