"""Teachers that the gridworld was made for: of parameters of a family, and of the families as tasks."""

import jax
import numpy as np
import pytest

from minied.config import load_config
from minied.errors import UserError
from minied.train.program import Program

SMALL = ["--num-envs", "4", "--num-steps", "8", "--ppo.num-minibatches", "1", "--network.memory-size", "8"]
FIT_OFTEN = ["--teacher.fit-rate", "20", "--teacher.fit-window", "20", "--teacher.history-size", "24"]


def program_of(family, size, *options):
    world = ["--env.height", str(size[0]), "--env.width", str(size[1]), "--env.levels.family", family]
    return Program(load_config("gridworld/door_key", [*world, "--env.max-steps", "4", *SMALL, *options]))


@pytest.mark.parametrize(
    ("family", "size"), [("door_key", (3, 3)), ("unlock", (4, 9)), ("lava_gap", (3, 4)), ("memory", (5, 5))]
)
def test_alp_gmm_takes_the_parameters_of_families(family, size):
    program_of(family, size, "--teacher", "alp_gmm", *FIT_OFTEN).check()


def test_alp_gmm_is_refused_where_a_family_has_no_parameters():
    with pytest.raises(
        UserError, match=r"family 'obstructed_maze' has no parameters; allowed with a teacher that uses"
    ):
        program_of("obstructed_maze", (14, 14), "--teacher", "alp_gmm").check()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--env.levels.family", "unlock"], "env.levels.family is 'unlock'"),
        (
            ["--env.levels.family", "mixed", "--env.levels.description", "map: '> . . G'"],
            "env.levels.description is set",
        ),
    ],
)
def test_tasks_are_the_families_and_nothing_else(options, told):
    size = (
        ["--env.height", "4", "--env.width", "9"] if "unlock" in options else ["--env.height", "1", "--env.width", "4"]
    )
    with pytest.raises(UserError) as error:
        Program(load_config("gridworld/door_key", [*size, *options, "--teacher", "learning_progress", *SMALL])).check()
    assert str(error.value).startswith(f"{told}; allowed with a teacher of tasks")


def test_alp_gmm_fits_where_levels_of_a_family_are_worth_it():
    program = program_of("door_key", (3, 5), "--teacher", "alp_gmm", *FIT_OFTEN)
    state, _ = program.advance(program.init(), 10)  # of 4 levels each
    history = jax.tree.leaves(state.members.teacher)
    assert all(np.all(np.isfinite(leaf)) for leaf in history if np.issubdtype(leaf.dtype, np.floating))
    assert int(state.members.teacher.num_components[0]) >= 1  # 0 before the first fit


def test_families_are_tasks_of_learning_progress():
    options = ["--teacher", "learning_progress", "--teacher.attempts-per-measurement", "1"]
    program = program_of("mixed", (4, 9), *options)
    state, _ = program.advance(program.init(), 3)
    state, metrics = program.advance(state, 4)  # of the last iteration alone
    names = program.config.env.level_space.tasks.names
    shares = np.asarray([metrics[f"teacher/attention/{name}"][0] for name in names])
    assert len(names) > 5
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    # 4 iterations of 4 environments, episodes of 4 steps in rollouts of 8: every level of a batch is measured
    measured = np.asarray(state.members.teacher.averages.measured)[0]
    assert 1 <= measured.sum() <= 16
    assert metrics["teacher/tasks_measured"][0] == measured.sum()
