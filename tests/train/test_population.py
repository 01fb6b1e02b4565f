"""Several students in one run: each is what it would be alone, and what they do is counted, compared, saved and spread.

Letters: ``P`` students, ``S`` members, ``R`` levels, ``B`` levels in a batch, ``T`` steps.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spread_runs
from population_runs import by_hand, students_of
from spread_runs import TWO
from tiny_runs import (
    ENV,
    LEARNER,
    NETWORK,
    B,
    T,
    compiled_programs,
    config_of,
    copy,
    equal,
    played,
    program_of,
    raw,
    teacher_of,
)
from toy_designers import EditableCorridor
from toy_worlds import TRACES

from minied.errors import UserError
from minied.run.checkpoint import Checkpoints
from minied.spread import ALONE
from minied.students.ppo import PPOConfig
from minied.teachers.paired import Paired
from minied.teachers.pay import Pay
from minied.teachers.repaired import Repaired
from minied.train import loop, update
from minied.train import state as states
from minied.train.loop import iterate_members
from minied.train.program import Program

NO_MEMORY = dataclasses.replace(NETWORK, num_policy_heads=1)
WITH_MEMORY = dataclasses.replace(NETWORK, memory="gru", num_policy_heads=1)


def close(a, b, rtol=1e-4, atol=2e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(raw(a), raw(b), strict=True):
        if x.dtype.kind == "f":
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(x, y)


# -- each is what it would be alone ------------------------------------------------------------------------------------


def regret_by_hand(played):
    """Relative regret, [R], from what students did, the protagonist first."""
    best = np.max([each.outcome.episodes.max_return for each in played[1:]], axis=0)
    return np.maximum(best - np.asarray(played[0].outcome.episodes.mean_return), 0)


def test_students_play_and_learn_as_if_each_were_alone_and_the_pay_compares_them():
    config = config_of(teacher_of("paired", pay=Pay(score="relative_regret")), num_students=3, network=WITH_MEMORY)
    program = program_of(config)
    state = program.init()
    for until in (1, 2):
        before = copy(state)
        _, every, expected = by_hand(program, state)
        state, row = program.advance(state, until)
        for mine, alone, old in zip(students_of(state), expected, students_of(before), strict=True):
            close(mine, alone)
            assert not equal(mine.parameters, old.parameters)
        np.testing.assert_allclose(row["teacher/pay"][0], regret_by_hand(every).mean(), rtol=1e-5)
        for number, name in ((0, "designed"), (1, "student_1/designed"), (2, "student_2/designed")):
            episodes = every[number].outcome.episodes
            np.testing.assert_allclose(row[f"{name}/return"][0], np.mean(episodes.mean_return), rtol=1e-5)
    first = [np.asarray(each.rollout.actions) for each in every]
    assert not np.array_equal(first[0], first[1])  # keys of their own
    assert regret_by_hand(every).std() > 0
    assert not np.allclose(regret_by_hand(every), regret_by_hand(every[::-1]))  # it counts who is the protagonist


def test_a_single_student_uses_the_keys_of_the_loop_themselves():
    program = program_of(config_of("domain_randomization"))
    state = program.init()
    _, _, (expected,) = by_hand(program, state)  # no number is folded into its keys
    state, _ = program.advance(state, 1)
    close(students_of(state)[0], expected)
    assert state.members.others == ()


def test_the_first_student_begins_as_a_single_one_and_the_others_differ():
    one, three = (program_of(config_of("domain_randomization", num_students=p, num_seeds=2)).init() for p in (1, 3))
    assert equal(one.members.student, three.members.student)
    assert equal(one.members.teacher, three.members.teacher)
    assert {leaf.shape[:2] for leaf in raw(three.members.others)} == {(2, 2)}  # S × (P − 1)
    kernels = [np.asarray(each.parameters["memory"]["dense"]["kernel"]) for each in students_of(three)]
    for i in range(3):
        for j in range(i):
            assert not np.allclose(kernels[i], kernels[j])
    other_member = jax.tree.map(lambda leaf: leaf[1], three.members).population
    assert not equal(other_member.parameters, jax.tree.map(lambda leaf: leaf[0], three.members).population.parameters)


# -- counts, traces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "batches"), [("domain_randomization", 1), pytest.param("parallel_plr", 2, marks=pytest.mark.slow)]
)
def test_steps_of_every_student_are_counted(name, batches):
    config = config_of(name, num_students=3, env_steps=10 * batches * B * T)
    program = program_of(config)
    state, _ = program.advance(program.init(), 2)
    counters = program.counters(state)
    learnt = 2 if name == "domain_randomization" else 1  # the first iteration of parallel PLR only looks
    assert counters["env_steps"] == 3 * 2 * batches * B * T
    assert counters["train_steps"] == 3 * learnt * B * T
    assert counters["student_updates"] == learnt
    # 10 batches are a budget of 4 iterations of 3
    state, _ = program.advance(state, 50)
    assert program.is_finished(state)
    assert program.counters(state)["iterations"] == 4


@dataclasses.dataclass(frozen=True)
class TracedCorridor(EditableCorridor):
    def step(self, key, state, action, level):
        TRACES["step of a population"] += 1
        return super().step(key, state, action, level)


def test_however_many_students_the_program_is_traced_and_compiled_as_for_one():
    def traces(num_students):
        before = TRACES["step of a population"]
        program = Program(config_of("domain_randomization", env=TracedCorridor(5, 6), num_students=num_students))
        state, _ = program.advance(program.init(), 1)
        return TRACES["step of a population"] - before, program, state

    (one, _, _), (many, program, state) = traces(1), traces(3)
    assert one == many > 0
    before = compiled_programs(), TRACES["step of a population"]
    program.advance(state, 3)
    assert (compiled_programs(), TRACES["step of a population"]) == before


# -- what is made of them ----------------------------------------------------------------------------------------------


def test_only_the_protagonist_is_evaluated_and_shown():
    config = config_of("paired")
    program = program_of(config)
    state, _ = played(config, (2,))
    (suite,) = ENV.level_space.suite("ends")
    key = jax.random.key(0)
    others = jax.tree.map(
        lambda leaf: jnp.full_like(leaf, jnp.nan) if leaf.dtype.kind == "f" else leaf, state.members.others
    )
    without = state.replace(members=state.members.replace(others=others))
    assert equal(program.evaluate(without, suite, key, 3), program.evaluate(state, suite, key, 3))
    levels = jax.tree.map(lambda leaf: leaf[0], suite.levels)
    assert equal(*(program.record_episode(each, ENV, levels, key) for each in (without, state)))


def test_an_antagonist_that_is_not_finite_stops_the_run():
    program = program_of(config_of("paired"))
    state, _ = program.advance(program.init(), 1)
    bias = state.members.others.parameters["policy"]["bias"]
    state.members.others.parameters["policy"]["bias"] = bias.at[0, 0, 0].set(jnp.nan)
    with pytest.raises(UserError, match=r"^the student's parameters are not finite in iteration 1"):
        program.advance(state, 3)


# -- resuming, devices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["repaired", pytest.param("paired", marks=pytest.mark.slow)])
def test_a_run_that_is_read_back_goes_on_bit_for_bit(name, tmp_path):
    config = config_of(name)
    program = program_of(config)
    middle, _ = played.__wrapped__(config, (3,))
    saved = tmp_path / "checkpoints"
    saved.mkdir()
    with Checkpoints(saved, "f") as checkpoints:
        checkpoints.save(3, middle, program.counters(middle), {}, 3)
        restored: Any = checkpoints.restore(jax.eval_shape(program.init)).state
    assert equal(restored, middle)
    before = compiled_programs()
    restored, _ = program.advance(restored, 6)
    assert compiled_programs() == before
    middle, _ = program.advance(middle, 6)
    assert equal(restored, middle)
    designer = restored.members.teacher if name == "paired" else restored.members.teacher.designer
    assert float(designer.designs[0]) == B * (6 if name == "paired" else 2)


OWN = PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=1e-3, ensemble_data="own")
RUNS = {
    "paired, cloning, own data": {
        "teacher": Paired(
            network=dataclasses.replace(spread_runs.WITH_MEMORY, num_value_heads=2), ppo=OWN, uniform_share=0.1
        ),
        "network": dataclasses.replace(spread_runs.WITH_MEMORY, num_value_heads=2),
        "ppo": OWN,
        "cloning": "all",
    },
    "repaired": {
        "teacher": Repaired(
            network=spread_runs.SMALL, ppo=dataclasses.replace(OWN, ensemble_data="same"), buffer_size=12,
            minimum_fill=0.5, replay_probability=1.0, score="positive_value_loss",
        ),
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_devices_do_what_one_does(name):
    one, two = (Program(spread_runs.config_of(num_devices=number, num_students=2, **RUNS[name])) for number in (1, 2))
    assert (one.spread, two.spread) == (ALONE, TWO)
    state = one.init()
    spread_state = copy(state)
    for until in (2, 4):  # REPAIRED designs twice and then replays twice
        state, row = one.advance(state, until)
        spread_state, spread_row = two.advance(spread_state, until)
        assert row.keys() == spread_row.keys()
        for key, value in row.items():
            np.testing.assert_allclose(spread_row[key], value, rtol=1e-3, atol=1e-5, err_msg=key)
        assert not row["teacher/designer/first_ratio_error"][0] > 1e-5
        assert not row["student/first_ratio_error"][0] > 1e-5
    close(spread_state, state)
    assert one.counters(state) == two.counters(spread_state)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teacher", "options", "line"),
    [
        ("paired", {"num_students": 1},
         "score 'relative_regret' needs the signal population: num_students is 1, allowed: at least 2, a protagonist and"
         " an antagonist"),
        (teacher_of("repaired", pay=Pay(score="entropy")), {"num_students": 1},
         "num_students is 1; allowed with repaired: 2, each with levels of its own"),
        ("repaired", {"num_students": 3}, "num_students is 3; allowed with repaired: 2, each with levels of its own"),
        ("paired", {"num_students": 0}, "num_students is 0; allowed: at least 1"),
        ("domain_randomization", {"cloning": "all"}, "cloning is 'all' and num_students is 1; allowed: at least 2"),
        ("paired", {"cloning": "both"}, "cloning is 'both'; allowed: none, protagonist, all"),
        ("paired", {"ppo": dataclasses.replace(LEARNER, ensemble_data="own"), "network": spread_runs.SMALL},
         "ppo.ensemble_data is 'own' and network.num_value_heads is 1; allowed: at least 2"),
        ("repaired", {"log_score_correlations": ("entropy",)},
         "log_score_correlations is set; allowed where students have levels of their own: nothing"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told_in_one_line(teacher, options, line):
    with pytest.raises(UserError) as error:
        config_of(teacher, **options)
    assert str(error.value) == line


# -- members side by side, as elsewhere than on CPU --------------------------------------------------------------------


def conditions_of(jaxpr):
    """The shape of the predicate of every conditional within a program."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "cond":
            found.append(equation.invars[0].aval.shape)
        for value in equation.params.values():
            for each in value if isinstance(value, (list, tuple)) else [value]:
                inner = getattr(each, "jaxpr", each)
                found += conditions_of(inner) if hasattr(inner, "eqns") else []
    return found


@pytest.mark.parametrize(("name", "least"), [("paired", 1), ("repaired", 3)])
def test_trap_18_members_side_by_side_decide_nothing_of_their_own(name, least, monkeypatch):
    config = config_of(name, num_seeds=2, num_students=2, cloning="all", num_devices=1, network=NO_MEMORY)
    program = Program(config)
    setting, state = program._setting, program.init()
    one_by_one = jax.jit(lambda state: iterate_members(setting, state))
    expected = one_by_one(one_by_one(one_by_one(state)[0])[0])
    monkeypatch.setattr(states, "map_members", lambda function, members: jax.vmap(function)(members))
    monkeypatch.setattr(loop, "map_members", states.map_members)
    monkeypatch.setattr(update, "map_members", states.map_members)
    conditions = conditions_of(jax.make_jaxpr(lambda state: loop.iterate_members(setting, state))(state).jaxpr)
    assert len(conditions) >= least
    assert set(conditions) == {()}  # one decision for all: with one a member both branches would be computed
    side_by_side = jax.jit(lambda state: loop.iterate_members(setting, state))
    found = side_by_side(side_by_side(side_by_side(state)[0])[0])
    close(found, expected)


# -- whose figures are logged ------------------------------------------------------------------------------------------


def test_the_levels_of_the_first_student_are_those_of_the_metrics():
    """REPAIRED replays other levels to each student: the mean is over the protagonist's B, not over both."""
    program = program_of(config_of("repaired"))
    state = program.init()
    for _ in range(20):
        _, every, _ = by_hand(program, state)
        state, row = program.advance(state, program.counters(state)["iterations"] + 1)
        kind = "replay" if np.isfinite(row["replay/return"]).all() else "designed"
        means = [np.nanmean(np.asarray(each.outcome.episodes.mean_return)) for each in every]
        np.testing.assert_allclose(row[f"{kind}/return"][0], means[0], rtol=1e-5, atol=1e-6)
        if kind == "replay" and abs(means[0] - means[1]) > 1e-3:
            return
    raise AssertionError("no replay told the students apart")
