"""Members of a group are the runs that they would be alone, bit for bit, whatever lanes and devices they lie in."""

import dataclasses

import numpy as np
import pytest
from tiny_runs import TEACHERS, config_of, equal, played, raw, teacher_of

from minied.train.group import Group

N = 7
EVERY_ITERATION_LEARNS = ("domain_randomization", "fixed_curriculum")


def other_rates(teacher):
    """The same teacher with another number wherever the plan does not go by it."""
    values = {name: 0.9 * getattr(teacher, name) for name in ("temperature", "staleness") if hasattr(teacher, name)}
    return dataclasses.replace(teacher, **values)


def members_of(name):
    """Three members with numbers of their own: seeds, learner, teacher, the schedule's seed, the length."""
    teacher, base = teacher_of(name), config_of(name)
    ppo = dataclasses.replace(base.ppo, learning_rate=0.003, entropy_coefficient=0.02)
    return [
        config_of(name),
        dataclasses.replace(base, seed=9, ppo=ppo, teacher=other_rates(teacher)),
        config_of(name, seed=5, schedule_seed=3, updates=3),
    ]


def advanced(group, untils=None):
    return group.advance(group.arranged(group.init()), untils or [N] * len(group.configs))


def same_run(name, ours, theirs):
    """Bit for bit, but of teachers with which every iteration learns: the learner is no branch of its own then, and XLA
    fuses it with what is around it, which rounds otherwise. Whole numbers and levels are the same there too."""
    if name not in EVERY_ITERATION_LEARNS:
        assert equal(ours, theirs)
    for a, b in zip(raw(ours), raw(theirs), strict=True):
        np.testing.assert_allclose(
            a, b, rtol=1e-5 if a.dtype.kind == "f" else 0, atol=1e-6 if a.dtype.kind == "f" else 0
        )


@pytest.mark.parametrize("name", TEACHERS)
def test_members_of_a_group_are_their_solo_runs_bit_for_bit(name):
    configs = members_of(name)
    group = Group(configs)
    state, metrics = advanced(group)
    gathered, counters = group.gathered(state), group.counters(state)
    for number, config in enumerate(configs):
        alone, (row,) = played(dataclasses.replace(config, num_devices=1), (N,))
        same_run(name, (group.member(gathered, number), metrics[number]), (alone, row))
        assert counters[number] == group.programs[number].counters(alone)
    assert counters[2]["student_updates"] == 3 or name in ("sfl",)  # ended before the others
