"""PAIRED and its kin: every level is designed, all of them are learnt from, and the pay makes the teacher."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import outcome
from tiny_runs import ENV, B, N, config_of, equal, played, program_of, teacher_of
from toy_designers import ParameterCorridor
from toy_worlds import no_probe

from minied.errors import UserError
from minied.registry import load
from minied.teachers.base import DESIGNED, SOURCES, Plan, Schedule
from minied.teachers.pay import Pay
from minied.teachers.repaired import Repaired

SPACE = ENV.level_space


def test_defaults_are_those_that_the_names_stand_for():
    paired, adversary, repaired = (load("teacher", name)() for name in ("paired", "minimax_adversary", "repaired"))
    assert paired.pay.score == repaired.pay.score == "relative_regret"
    assert adversary.pay.score == "negative_return"
    assert isinstance(repaired, Repaired)
    assert (paired.num_own_batches, repaired.num_own_batches) == (0, 2)
    assert paired.needs == {"population"}
    assert adversary.needs == {"episodes"}


def test_every_iteration_designs_and_learns():
    for key in range(3):
        plan = teacher_of("paired").plan(jax.random.key(key), Schedule.start(jax.random.key(0)), B)
        assert int(plan.kind) == DESIGNED
        assert bool(plan.train)
        assert (int(plan.new_batches), int(plan.rollouts)) == (0, 1)
    assert SOURCES[DESIGNED] == "designed"


@functools.cache
def taught(pay, returns, iterations=40):
    """The mean start of designs before and after a designer was paid what `returns` says of each start."""
    teacher = teacher_of("paired", pay=pay)
    plan = Plan.of(DESIGNED, train=True, new_batches=0)
    table = jnp.asarray(returns)

    @jax.jit
    def iteration(key, state):
        state, proposal = teacher.propose(key, state, plan, SPACE, 32, no_probe)
        found = outcome(table[proposal.levels.start])
        return teacher.observe(state, plan, proposal, found, SPACE), proposal.levels.start.mean()

    state, starts = teacher.init(jax.random.key(0), SPACE, 32), []
    for number in range(iterations):
        state, mean = iteration(jax.random.key(number), state)
        starts.append(float(mean))
    return np.mean(starts[:5]), np.mean(starts[-5:])


@pytest.mark.parametrize("normalize", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_designer_builds_more_of_what_it_is_paid_for(normalize):
    far, near = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0), (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    pay = Pay(score="mean_return", normalize=normalize)
    first, last = taught(pay, far)
    assert last > first + 1
    first, last = taught(pay, near)
    assert last < first - 0.2
    # and of what its pay turns round: the adversary
    first, last = taught(Pay(score="negative_return", normalize=normalize), far)
    assert last < first


def test_what_a_run_tells():
    _, rows = played(config_of("paired"), (1, N))
    row = rows[1]
    assert np.isfinite(row["designed/return"]).all()
    for source in SOURCES[:-1]:
        assert np.isnan(row[f"{source}/return"]).all()
    for name in ("policy_loss", "value_loss", "entropy", "approximate_kl", "gradient_norm", "first_ratio_error"):
        assert np.isfinite(row[f"teacher/designer/{name}"]).all(), name
    assert row["teacher/unscored_levels"][0] == 0
    assert np.isfinite(row["student_1/policy_loss"]).all()
    assert row["teacher/designs"][0] == pytest.approx(B * (2 + N) / 2)  # the mean over iterations 2 … N


def test_worlds_without_a_designer_are_chosen_by_their_parameters():
    config = config_of(teacher_of("minimax_adversary", uniform_share=0.2), env=ParameterCorridor(length=5, max_steps=6))
    program = program_of(config)
    state, row = program.advance(program.init(), 3)
    assert row["teacher/designer/first_ratio_error"][0] < 1e-5
    starts = program.proposals(state, 12).start
    assert ((starts >= 1) & (starts <= 5)).all()
    assert len({*starts.tolist()}) > 2
    assert equal(program.proposals(state, 12), program.proposals(state, 12))


def test_what_was_chosen_is_told():
    """The cell is the start less one; on two devices the mean is over the levels of both."""
    teacher = teacher_of("minimax_adversary", builds="parameters")
    config = config_of(teacher, env=ParameterCorridor(length=5, max_steps=6))
    for number in (1, 2):
        program = program_of(dataclasses.replace(config, num_devices=number))
        _, row = program.advance(program.init(), 1)
        chosen = {name: row[f"teacher/designer/chosen/{name}"][0] for name in ("half", "cell", "slope")}
        assert chosen["cell"] == pytest.approx(row["designed/levels/start"][0] - 1)
        assert chosen["half"] in {0, 1 / 4, 2 / 4, 3 / 4, 1}  # of 4 levels
        # Middles of 16 bins of −1 … 3, and means of 4 of them, are odd multiples of 1/8, or of 1/32.
        assert -1 < chosen["slope"] < 3
        assert chosen["slope"] * 32 == pytest.approx(round(chosen["slope"] * 32), abs=1e-4)


def test_a_maze_that_holds_levels_out_cannot_be_designed():
    """A designer may build any level, those that are held out too."""
    from minied_envs.maze import Maze, MazeLevels

    maze = Maze(5, 5, levels=MazeLevels(num_walls=3, holdout=10))
    with pytest.raises(UserError) as error:
        config_of("paired", env=maze)
    line = str(error.value)
    assert "\n" not in line
    assert "holdout" in line
    assert "is 10;" in line
