"""Domain randomisation: new levels always, learning always, no state."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_worlds import Corridor, no_probe

from minied.teachers.base import NEW, Schedule
from minied.teachers.domain_randomization import DomainRandomization

SPACE = Corridor(length=200).level_space
TEACHER = DomainRandomization()


def test_plan_is_always_new_levels_and_learning():
    schedule = Schedule.start(jax.random.key(0))
    for k in range(5):
        plan = TEACHER.plan(jax.random.key(k), schedule, 8)
        assert (int(plan.kind), bool(plan.train), bool(plan.refresh)) == (NEW, True, False)
        schedule = schedule.after(plan)
    assert int(schedule.new_batches) == int(schedule.student_updates) == int(schedule.rollouts) == 5
    assert int(schedule.iterations) == 5
    assert int(schedule.last_kind) == NEW


def test_every_iteration_proposes_new_levels_of_the_generator():
    plan = TEACHER.plan(jax.random.key(0), Schedule.start(jax.random.key(0)), 50)
    proposals = [TEACHER.propose(jax.random.key(k), (), plan, SPACE, 50, no_probe)[1] for k in range(2)]
    for proposal in proposals:
        starts = np.asarray(proposal.levels.start)
        assert starts.shape == (50,)
        assert starts.min() >= 1
        assert starts.max() <= 200
        assert len(np.unique(starts)) > 30  # independent levels, not one repeated
        np.testing.assert_array_equal(proposal.slots, -1)
        np.testing.assert_array_equal(proposal.sources, NEW)
        assert np.all(np.isneginf(proposal.max_returns))
    assert np.mean(np.asarray(proposals[0].levels.start) == np.asarray(proposals[1].levels.start)) < 0.2


def test_it_keeps_no_state_and_has_no_options():
    assert TEACHER.init(jax.random.key(0), SPACE, 50) == ()
    assert TEACHER.observe((), None, None, None, SPACE) == ()
    assert jax.tree.leaves(TEACHER) == []
    assert TEACHER.metrics((), SPACE) == {}
    assert TEACHER.num_batches == 1
    assert TEACHER.needs == frozenset()
    assert int(TEACHER.broken_scores(())) == 0


def test_counters_of_the_schedule_count_whole_batches():
    schedule = Schedule.start(jax.random.key(0))
    assert all(leaf.dtype == jnp.int32 for leaf in jax.tree.leaves(schedule.replace(key=())))
