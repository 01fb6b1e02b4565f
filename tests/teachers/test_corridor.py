"""The corridor, its tabular student and its exact chances; value disagreement moves the start outward (spec A.5.6)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import TabularStudent, benchmark

from minied.env import with_agent_axis
from minied.evaluate.episodes import evaluate_levels
from minied_envs.petri import Corridor


def test_rows_of_a_table_are_played_by_its_policies_in_turn():
    student = TabularStudent(2, 3, 1, num_policy_heads=2)
    tables = student.init(jax.random.key(0)) | {"policy": jnp.arange(12.0).reshape(2, 2, 3)}
    states = jnp.asarray([[0, 1, 1, 0]], jnp.int32)
    resets = jnp.zeros((1, 4), bool)
    _, acting, _ = student.apply(tables, student.initial_carry(4), states, resets)
    # state s and policy p say 6 s + 3 p + (0, 1, 2); rows 0 to 3 are of policies 0, 1, 0, 1
    np.testing.assert_array_equal(acting[0, :, 0], [0, 9, 6, 3])
    np.testing.assert_array_equal(student.policies(tables, (), states, resets)[0, 1, :, 0], [6, 9])


@pytest.mark.parametrize(
    ("max_steps", "expected"),
    [
        # Cells 0 (the goal), 1 and 2; towards the goal with chance 0.6 in cell 1 and 0.5 in cell 2, behind which is a wall.
        (1, 0.0),
        (2, 0.5 * 0.6),
        (3, 0.3 + 0.5 * 0.5 * 0.6),  # stays once
        # stays twice, or goes back from cell 1: 2 1 2 1 0
        (4, 0.3 + 0.15 + 0.25 * 0.5 * 0.6 + 0.5 * 0.4 * 0.5 * 0.6),
    ],
)
def test_the_chance_from_the_far_end_by_hand(max_steps, expected):
    towards = np.array([0.9, 0.6, 0.5])
    policy = np.stack([towards, 1 - towards], axis=-1)[None, :, None]
    got = benchmark("corridor").chances_from_the_far_end(policy, max_steps)
    assert got.shape == (1,)
    assert got[0] == pytest.approx(expected)


def test_the_chance_from_the_far_end_is_that_of_the_world():
    env, rng = Corridor(5, 8), np.random.default_rng(0)
    tables = {"policy": jnp.asarray(rng.normal(size=(5, 1, 2)), jnp.float32), "values": jnp.zeros((5, 1))}
    student, levels = TabularStudent(5, 2, 1), jnp.asarray([4], jnp.int32)
    results = jax.jit(evaluate_levels, static_argnums=(1, 3, 5))(
        jax.random.key(0), student, tables, with_agent_axis(env), levels, 2000
    )
    expected = benchmark("corridor").chances_from_the_far_end(
        np.asarray(jax.nn.softmax(tables["policy"]), np.float64)[None], env.max_steps
    )[0]
    assert 0.1 < expected < 0.9
    assert float(results.solve_rate[0]) == pytest.approx(expected, abs=0.04)  # of 2,000: three standard deviations


@pytest.mark.slow
def test_a_teacher_paid_for_disagreement_moves_the_start_outward_and_beats_uniform_starts():
    """`benchmarks/corridor.py` with three seeds: there 1.5 times and more over ten."""
    corridor = benchmark("corridor")
    arguments = corridor.parser().parse_args(["--seeds", "3"])
    results = {
        name: corridor.result_of(corridor.train(config, student, 100))
        for name in ("uniform", "value_disagreement")
        for config, student in [corridor.setting_of(name, arguments)]
    }
    uniform, taught = results["uniform"], results["value_disagreement"]
    assert uniform["solved"] == taught["solved"] == 3
    assert np.mean(uniform["env_steps"]) > 1.35 * np.mean(taught["env_steps"])
    distances = np.array(taught["mean_distance_by_look"])
    assert distances[0] < 9  # uniform: 16
    assert distances.max() > 19
    assert taught["outward"]["spearman"] > 0.7
