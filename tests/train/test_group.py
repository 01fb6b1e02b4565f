"""Members of a group are the runs that they would be alone, whatever lanes and devices they lie in."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import COUNTS, TEACHERS, B, T, config_of, copy, equal, played, program_of, raw, teacher_of

from minied.errors import UserError
from minied.run.checkpoint import Checkpoints
from minied.spread import ALONE, Spread
from minied.train.group import Group
from minied.train.lanes import evenly, lanes_of, plan_numbers, program_key, splitting_fields
from minied.train.program import Program
from minied.train.setting import Setting

N = 7
BY_DEFAULT = ("domain_randomization", "robust_plr")
ROUNDED = ("learning_progress", "windowed_slope")
"""Of these teachers the learner of a group is fused otherwise than alone, at least unoptimised: equal to rounding."""


def other_rates(teacher):
    """The same teacher with other numbers that its plan does not go by."""
    values = {name: 0.9 * getattr(teacher, name) for name in ("temperature", "staleness") if hasattr(teacher, name)}
    return dataclasses.replace(teacher, **values)


def members_of(name):
    """Three members with numbers of their own: seeds, learner, teacher, the schedule's seed, the length."""
    teacher, base = teacher_of(name), config_of(name, num_devices=1)
    ppo = dataclasses.replace(base.ppo, learning_rate=0.003, entropy_coefficient=0.02)
    return [
        base,
        dataclasses.replace(base, seed=9, ppo=ppo, teacher=other_rates(teacher)),
        dataclasses.replace(base, seed=5, schedule_seed=3, updates=3),
    ]


def of_seeds(name, number, **options):
    """So many members that differ in their seeds."""
    return [config_of(name, **{"num_devices": 1, "seed": 5 + i} | options) for i in range(number)]


def advanced(group, untils=None):
    return group.advance(group.arranged(group.init()), untils or [N] * len(group.configs))


def same_run(name, ours, theirs):
    if name not in ROUNDED:
        assert equal(ours, theirs)
    for a, b in zip(raw(ours), raw(theirs), strict=True):
        is_float = a.dtype.kind == "f"
        np.testing.assert_allclose(a, b, rtol=1e-5 if is_float else 0, atol=1e-6 if is_float else 0)


@pytest.mark.parametrize(
    "name", [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in TEACHERS]
)
def test_members_of_a_group_are_their_solo_runs(name):
    """Bit for bit, with numbers of their own: also those by which the plan goes, and members that end before others."""
    configs = members_of(name)
    group = Group(configs)
    state, metrics = advanced(group)
    gathered, counters = group.gathered(state), group.counters(state)
    for number, config in enumerate(configs):
        alone, (row,) = played(config, (N,))
        same_run(name, (group.member(gathered, number), metrics[number]), (alone, row))
        assert counters[number] == program_of(config).counters(alone)
    assert counters[2]["student_updates"] == min(3, COUNTS[name][0])
    assert group.is_finished(state) == [False, False, counters[2]["student_updates"] == 3]
    assert group.complaints(state) == ["", "", ""]
    assert not equal(group.member(gathered, 0).members, group.member(gathered, 1).members)


@pytest.mark.parametrize("name", TEACHERS)
def test_what_a_run_will_come_to_is_foreseen_without_running_it(name):
    config = config_of(name, updates=4, num_devices=1)
    program = Program(config)
    counters = program.foreseen()
    assert counters["student_updates"] == 4
    if name in BY_DEFAULT:
        assert counters == program.counters(played(config, (100,))[0])
    # Of a run of so many updates as were counted by hand in `COUNTS` the iterations are those, too.
    updates, _, rollouts = COUNTS[name]
    by_hand = Program(dataclasses.replace(config, updates=updates, env_steps=B * T * rollouts)).foreseen()
    assert by_hand["iterations"] <= N
    assert by_hand["env_steps"] <= B * T * rollouts


# -- lanes -------------------------------------------------------------------------------------------------------------


def test_members_of_one_lane_are_their_solo_runs_too():
    """With numbers of their own, side by side as on an accelerator (here one after the other)."""
    base = of_seeds("robust_plr", 3)
    rates = [
        dataclasses.replace(config.ppo, learning_rate=rate)
        for config, rate in zip(base, (0.01, 0.03, 0.001), strict=True)
    ]
    configs = [dataclasses.replace(config, ppo=ppo) for config, ppo in zip(base, rates, strict=True)]
    group = Group(configs, width=3)
    assert group.slots.tolist() == [[0, 1, 2]]
    gathered = group.gathered(advanced(group)[0])
    for number, config in enumerate(configs):
        assert equal(group.member(gathered, number), played(config, (N,))[0])


def test_a_lane_holds_members_of_one_schedule():
    configs = [
        *of_seeds("robust_plr", 3),
        *of_seeds("robust_plr", 2, schedule_seed=1),
        dataclasses.replace(
            config_of("robust_plr", num_devices=1), teacher=teacher_of("robust_plr", replay_probability=0.5)
        ),
    ]
    settings = [Setting.of(config, spread=ALONE) for config in configs]
    assert lanes_of(configs, settings, 2)[0].tolist() == [[0, 1], [2, -1], [3, 4], [5, -1]]
    assert lanes_of(configs, settings, 9)[0].tolist() == [[0, 1, 2], [3, 4, -1], [5, -1, -1]]
    slots, spread = lanes_of([dataclasses.replace(config, num_devices=2) for config in configs], settings, 9)
    assert spread == Spread("members", 2)
    assert slots.tolist() == [[0, 1, 2], [3, 4, -1], [5, -1, -1], [-1, -1, -1]]  # an empty one for the second device
    # On CPU by default each by itself.
    assert lanes_of(configs, settings, None)[0].shape == (6, 1)


def test_the_numbers_of_a_plan_are_found():
    plr = Setting.of(config_of("robust_plr"), spread=ALONE)
    changed = dataclasses.replace(teacher_of("robust_plr"), replay_probability=0.25)
    other = Setting.of(dataclasses.replace(config_of("robust_plr"), teacher=changed), spread=ALONE)
    cooler = dataclasses.replace(teacher_of("robust_plr"), temperature=0.25)
    third = Setting.of(dataclasses.replace(config_of("robust_plr"), teacher=cooler), spread=ALONE)
    assert plan_numbers(plr) != plan_numbers(other)
    assert 0.25 in plan_numbers(other)
    assert plan_numbers(plr) == plan_numbers(third)
    assert plan_numbers(Setting.of(config_of("domain_randomization"), spread=ALONE)) == ()


def test_those_that_go_on_are_dealt_evenly_to_the_devices():
    slots = np.arange(6)[:, None]
    active = np.asarray([True, True, True, False, False, False])
    assert evenly(slots, active, 2)[:, 0].tolist() == [0, 2, 4, 1, 3, 5]  # 0 and 2 on the first, 1 on the second
    assert evenly(slots, ~active, 3)[:, 0].tolist() == [3, 0, 4, 1, 5, 2]


def test_an_odd_number_of_members_on_two_devices_is_that_on_one():
    configs = of_seeds("robust_plr", 3)
    one, two = Group(configs), Group([dataclasses.replace(config, num_devices=2) for config in configs])
    assert (one.spread, two.spread) == (ALONE, Spread("members", 2))
    assert two.slots[:, 0].tolist() == [0, 1, 2, -1]
    (state, rows), (spread_state, spread_rows) = advanced(one), advanced(two)
    assert equal(two.gathered(spread_state), one.gathered(state))
    assert equal(rows, spread_rows)
    # and after the lanes were dealt anew
    again = two.arranged(two.gathered(spread_state), [False, True, True])
    assert two.slots[:, 0].tolist() != [0, 1, 2, -1]
    assert equal(two.gathered(again), one.gathered(state))
    further = two.gathered(two.advance(again, [0, N + 2, N + 2])[0])
    alone = one.gathered(one.advance(state, [N + 2] * 3)[0])
    assert equal(two.member(further, 1), one.member(alone, 1))
    assert not equal(two.member(further, 0), one.member(alone, 0))


def test_members_go_as_far_as_they_are_told():
    """And who is told nothing stays bit for bit as it was, and costs no iteration."""
    configs = of_seeds("robust_plr", 3)
    group = Group(configs)
    begun = group.gathered(group.arranged(group.init()))
    state, rows = group.advance(group.arranged(begun), [0, 3, N])
    gathered = group.gathered(state)
    assert [each["iterations"] for each in group.counters(state)] == [0, 3, N]
    assert equal(group.member(gathered, 0), group.member(begun, 0))
    assert equal(group.member(gathered, 1), played(configs[1], (3,))[0])
    assert all(np.isnan(value) for value in rows[0].values())


def test_the_compiled_form_is_the_same_program():
    group = Group(of_seeds("domain_randomization", 2))
    plain = group.gathered(advanced(group)[0])
    memory = group.compile()
    assert memory.state > 0
    assert memory.work > 0
    assert memory.total == memory.state + memory.work
    assert equal(group.gathered(advanced(group)[0]), plain)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [None, 3])
def test_a_broken_member_leaves_the_others_alone(width):
    configs = of_seeds("domain_randomization", 3)
    group = Group(configs, width=width)
    state = group.init()
    bias = state.members.student.parameters["policy"]["bias"]
    state.members.student.parameters["policy"]["bias"] = bias.at[1].set(jnp.nan)
    state, _ = group.advance(group.arranged(state), [N] * 3)
    first, second, third = group.complaints(state)
    assert first == third == ""
    assert "the student's parameters are not finite in iteration" in second
    gathered = group.gathered(state)
    for number in (0, 2):
        assert equal(group.member(gathered, number), played(configs[number], (N,))[0])
    if width is None:
        assert group.counters(state)[1]["iterations"] == 0  # nothing was spent on it


def test_members_that_cannot_share_a_program_are_told_by_their_fields():
    base = config_of("robust_plr")
    others = [
        dataclasses.replace(base, num_envs=8),
        dataclasses.replace(base, ppo=dataclasses.replace(base.ppo, num_epochs=3)),
        dataclasses.replace(base, teacher=teacher_of("robust_plr", score="positive_value_loss")),
        config_of("plr"),
    ]
    assert splitting_fields([base, *others]) == ["num_envs", "ppo.num_epochs", "teacher.score", "teacher.name"]
    with pytest.raises(UserError, match=re.escape("2 members cannot share a program: num_envs is 4 or 8; allowed:")):
        Group([base, others[0]])
    with pytest.raises(UserError, match="num_seeds is 2 in a group"):
        Group([dataclasses.replace(base, num_seeds=2)])
    with pytest.raises(UserError, match="num_devices is 5; allowed here: at most 2"):
        Group([dataclasses.replace(base, num_devices=5)])


def test_numbers_share_a_program():
    base = config_of("robust_plr")
    same = [
        dataclasses.replace(base, seed=1),
        dataclasses.replace(base, schedule_seed=1),
        dataclasses.replace(base, updates=3, env_steps=1000, target=0.5),
        dataclasses.replace(base, ppo=dataclasses.replace(base.ppo, learning_rate=0.5, clip=0.3)),
        dataclasses.replace(
            base, teacher=dataclasses.replace(base.teacher, replay_probability=0.1, staleness_coefficient=0.7)
        ),
    ]
    assert {program_key(each) for each in same} == {program_key(base)}
    assert splitting_fields([base, *same]) == []


# -- evaluation, checkpoints -------------------------------------------------------------------------------------------


def test_an_evaluation_of_members_is_that_of_their_solo_runs():
    configs = of_seeds("domain_randomization", 3)
    group = Group([dataclasses.replace(config, num_devices=2) for config in configs])
    state, _ = advanced(group)
    (suite,) = configs[0].env.level_space.suite("ends")[:1]
    keys = [jax.random.key(4)] * 3
    results = group.evaluate(state, suite, keys, 3, [True, False, True])
    for number in (0, 2):
        alone = program_of(configs[number]).evaluate(played(configs[number], (N,))[0], suite, keys[0], 3)
        assert equal(jax.tree.map(lambda leaf, i=number: leaf[i : i + 1], results), alone)
    assert not results.mean_length[1].any()


def test_a_group_goes_on_from_a_checkpoint_on_other_devices(tmp_path):
    configs = of_seeds("robust_plr", 3)
    two, one = Group([dataclasses.replace(config, num_devices=2) for config in configs]), Group(configs)
    state, _ = advanced(two, [3] * 3)
    (tmp_path / "checkpoints").mkdir()
    with Checkpoints(tmp_path / "checkpoints", "f") as checkpoints:
        checkpoints.save(9, two.gathered(state), {}, {}, 2, {"cut": {"1": "why"}})
        restored = checkpoints.restore(jax.eval_shape(one.init))
    assert restored.notes == {"cut": {"1": "why"}}
    state, _ = one.advance(one.arranged(restored.state), [N] * 3)
    assert equal(one.gathered(state), one.gathered(advanced(Group(configs))[0]))


def test_a_member_goes_on_alone_from_what_the_group_made():
    configs = of_seeds("robust_plr", 2)
    group = Group(configs)
    member = group.member(group.gathered(advanced(group, [3, 3])[0]), 1)
    state, _ = program_of(configs[1]).advance(copy(member), N)
    assert equal(state, played(configs[1], (N,))[0])
