"""minied timed as a process, for real but as small as can be: what it counts is what its config says."""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.bench.peers import minied_maze, minied_training
from minied.bench.peers.process import start_peer
from minied.errors import UserError

SMALL = [
    "--env.height", "3", "--env.width", "3", "--env.levels.num-walls", "2", "--env.max-steps", "6", "--num-envs", "4",
    "--num-steps", "8", "--network.memory", "none", "--network.head-size", "4", "--ppo.num-epochs", "1",
]  # fmt: skip
STUDENT = """
from minied.students.networks.actor_critic import ActorCritic
class Narrow(ActorCritic):
    @classmethod
    def of(cls, env, network):
        import dataclasses
        return super().of(env, dataclasses.replace(network, head_size=2))
"""


def test_training_counts_simulated_and_learnt_steps_of_all_members(tmp_path):
    """PLR⊥ that always replays: new levels in the first iteration, of which it does not learn, replays in all later ones."""
    (tmp_path / "narrow.py").write_text(STUDENT)
    options = [
        *SMALL, "--teacher", "robust_plr", "--teacher.replay-probability", "1", "--teacher.minimum-fill", "0.001",
        "--num-seeds", "2", "--student", f"{tmp_path / 'narrow.py'}:Narrow", "--iterations-per-timing", "3",
    ]  # fmt: skip
    with start_peer("minied_training", [*options, "--warm-up-calls", "0"], "cpu") as peer:
        facts = peer.ready["workload"]
        assert (facts["teacher"], facts["num_envs"], facts["num_seeds"]) == ("robust_plr", 4, 2)
        assert facts["precision"] == "float32"
        assert facts["devices"] >= 1
        assert {"minied", "jax", "jaxlib", "python"} <= set(peer.ready["versions"])
        # 3 iterations × 4 environments × 8 steps × 2 members, all learnt from
        seconds, steps = peer.time()
        assert steps == 3 * 4 * 8 * 2
        assert peer.last["learnt"] == 3 * 4 * 8 * 2
        assert (peer.last["updates"], peer.last["gradient_updates"]) == (3, 3)
        assert seconds > 0
        assert peer.time(2)[1] == 2 * 3 * 4 * 8 * 2
        # Of one member: direction 4·5; view by a 3×3 convolution 3·3·3·16 + 16; a plain layer from 9·16 + 5 = 149 features
        # to 256, 149·256 + 256; two heads of 2 hidden units 2·(256·2 + 2), policy 2·7 + 7, value 2 + 1.
        assert facts["parameters"] == 20 + 448 + 38_400 + 1028 + 21 + 3


def test_the_maze_counts_its_steps():
    options = ["--restart", "fresh", "--stock", "7", "--size", "3", "--walls", "2", "--num-envs", "5", "--steps", "16"]
    with start_peer("minied_maze", [*options, "--env.max-steps", "3"], "cpu") as peer:
        assert peer.ready["workload"]["levels_in_stock"] == 7
        assert peer.ready["workload"]["max_episode_steps"] == 3
        assert peer.time()[1] == 5 * 16


@pytest.mark.parametrize("observe", ["images", "codes"])
@pytest.mark.parametrize("restart", ["same", "fresh"])
def test_the_maze_restarts_on_the_level_that_it_should(restart, observe, monkeypatch):
    """Episodes of at most 3 steps, 16 steps a call: nobody is ever older than 2 steps; with fresh levels all have moved."""
    monkeypatch.syspath_prepend(Path(minied_maze.__file__).parent)
    options = argparse.Namespace(
        restart=restart, observe=observe, preset="", size=4, walls=6, stock=0, num_envs=5, steps=16, seed=0,
        config=["--env.max-steps", "3"],
    )  # fmt: skip
    with jax.legacy_prng_key("allow"):  # the loop of worlds works on an old jax too
        workload = minied_maze.build(options)
        ends = [workload.call()[0] for _ in range(3)]
    assert workload.facts["levels_in_stock"] == (4 * 5 if restart == "fresh" else 0)
    (_, levels, states), (_, later, _) = ends[0][1], ends[2][1]
    assert np.all(np.asarray(states.time) <= 2)
    changed = np.any(np.asarray(levels.walls) != np.asarray(later.walls), axis=(1, 2))  # of each environment
    # 32 steps are ten episodes or more: two levels of six walls on a 4×4 grid are hardly ever the same.
    assert changed.all() if restart == "fresh" else not changed.any()
    (view,) = (leaf for leaf in jax.tree.leaves(_observed(options)) if len(leaf.shape) >= 3)
    assert view.shape == ((5, 5, 5, 3) if observe == "images" else (5, 5, 5))


def _observed(options):
    """What the loop sums up: the shapes of one step's observations."""
    seen = []

    def world_workload(options, begin, step, num_actions, facts, batched):
        assert batched
        keys = jax.ShapeDtypeStruct((5, 2), jnp.uint32)
        carry = jax.eval_shape(begin, keys)
        seen.append(jax.eval_shape(step, keys, carry, jax.ShapeDtypeStruct((5,), jnp.int32))[1])

    import world_loop  # pyright: ignore[reportMissingImports]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_loop, "world_workload", world_workload)
        minied_maze.build(options)
    return seen[0]


def test_a_config_that_cannot_be_is_told_with_its_reason():
    with (
        pytest.raises(UserError, match=r"minied_training died .*num_envs is 0"),
        start_peer("minied_training", ["--num-envs", "0"], "cpu"),
    ):
        pass


def test_a_student_that_is_not_there_is_told(tmp_path):
    (tmp_path / "some.py").write_text("x = 1\n")
    for place in ("some.py", str(tmp_path / "none.py:Student"), f"{tmp_path / 'some.py'}:Student"):
        with pytest.raises(UserError, match="allowed: "):
            minied_training.load_student_class(place)
    assert minied_training.load_student_class(f"{tmp_path / 'some.py'}:x") == 1
