"""Parallel PLR: replayed and new levels side by side, learning from the replayed half alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import fill, held, outcome, proposal_of
from toy_worlds import Corridor, CorridorLevel, no_probe

from minied.errors import UserError
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.base import NEW, REPLAY, Plan, Schedule, propose_levels
from minied.teachers.prioritized_level_replay import ParallelPrioritizedLevelReplay
from minied.train.config import TrainConfig
from minied.train.setting import Setting
from minied.train.state import init_state
from minied.train.update import iterate

ENV = Corridor(length=100)
SPACE = ENV.level_space
B = 4
TEACHER = ParallelPrioritizedLevelReplay(buffer_size=16, score="mean_return").traced()
COLD = Plan.of(NEW, train=False, new_batches=2, rollouts=2)
WARM = Plan.of(REPLAY, train=True, new_batches=1, rollouts=2)
_propose = jax.jit(lambda teacher, key, state, plan: teacher.propose(key, state, plan, SPACE, B, no_probe)[1])
_observe = jax.jit(lambda state, plan, proposal, outcome: TEACHER.observe(state, plan, proposal, outcome, SPACE))


@functools.cache
def filled_buffer():
    """Levels 1 … 8 with scores 0.1 … 0.8 in a buffer of 16."""
    empty = TEACHER.init(jax.random.key(0), SPACE, B)
    return fill(empty, SPACE, range(1, 9), [s / 10 for s in range(1, 9)], clock=3)


def test_plan_replays_and_learns_always_once_warm_and_never_before():
    schedule = Schedule.start(jax.random.key(0))
    kinds, offered = [], []
    for k in range(5):
        plan = TEACHER.plan(jax.random.key(k), schedule, B)
        kinds.append((int(plan.kind), bool(plan.train), int(plan.new_batches), int(plan.rollouts)))
        schedule = schedule.after(plan)
        offered.append(int(schedule.new_batches))
    # C = 16, B = 4: the first iteration offers two batches, which is half of the buffer
    assert kinds == [(NEW, False, 2, 2)] + [(REPLAY, True, 1, 2)] * 4
    assert offered == [2, 3, 4, 5, 6]
    assert int(schedule.rollouts) == 10
    assert int(schedule.student_updates) == 4


def test_proposal_is_a_replayed_batch_and_a_new_one_or_two_new_ones():
    assert TEACHER.num_batches == 2
    cold = _propose(TEACHER, jax.random.key(0), filled_buffer(), COLD)
    assert cold.sources.tolist() == [NEW] * 8
    assert cold.slots.tolist() == [-1] * 8
    assert len(set(cold.levels.start.tolist())) > 5  # not one batch twice
    warm = _propose(TEACHER, jax.random.key(0), filled_buffer(), WARM)
    assert warm.sources.tolist() == [REPLAY] * 4 + [NEW] * 4
    slots = np.asarray(warm.slots)
    assert np.all(slots[:4] >= 0)
    assert slots[4:].tolist() == [-1] * 4
    np.testing.assert_array_equal(warm.levels.start[:4], slots[:4] + 1)
    np.testing.assert_allclose(warm.max_returns[:4], (slots[:4] + 1) / 10, rtol=1e-6)


def test_the_replayed_half_is_rescored_and_the_new_half_is_offered():
    starts = [3, 1, 3, 2, 50, 4, 60, 70]
    proposal = proposal_of(starts, [REPLAY] * 4 + [NEW] * 4, [2, 0, 2, 1, -1, -1, -1, -1])
    result = outcome([5, 0.15, 7, 9, 0.35, 0.01, 9, 9], finished=[1, 1, 1, 0, 1, 1, 0, 1])
    after = _observe(filled_buffer(), WARM, proposal, result)
    expected = {s: s / 10 for s in range(1, 9)}
    expected |= {3: 6.0, 1: 0.15}  # the mean of two visits; level 2 finished nothing and keeps its score
    expected |= {4: 0.01, 50: 0.35, 70: 9.0}  # 4 is known and is rescored; 60 finished nothing
    assert held(after) == pytest.approx(expected)
    assert int(after.clock) == 4


def test_before_it_is_warm_both_halves_are_offered_together():
    state = TEACHER.init(jax.random.key(0), SPACE, B)
    proposal = proposal_of([10, 11, 12, 10, 14, 15, 16, 10], [NEW] * 8)
    after = _observe(state, COLD, proposal, outcome([1, 2, 3, 4, 5, 6, 7, 7]))
    assert held(after) == pytest.approx({10: 4.0, 11: 2.0, 12: 3.0, 14: 5.0, 15: 6.0, 16: 7.0})  # (1 + 4 + 7) / 3


def test_what_is_offered_at_once_must_fit():
    ParallelPrioritizedLevelReplay(buffer_size=8, score="mean_return").validate(SPACE, 4, {})
    with pytest.raises(UserError, match=r"teacher\.buffer_size is 7; allowed: at least num_envs x 2 = 8"):
        ParallelPrioritizedLevelReplay(buffer_size=7, score="mean_return").validate(SPACE, 4, {})


# -- what the student learns from --------------------------------------------------------------------------------------


class NewLevelsOf(ParallelPrioritizedLevelReplay):
    """Every new level is the corridor that starts ``start`` cells from the goal."""

    start: float = 1.0

    def new(self, key, buffer, space, num_levels):
        return propose_levels(CorridorLevel(jnp.full(num_levels, self.start, jnp.float32).astype(jnp.int32)), NEW)


WORLD = Corridor(length=9, max_steps=12)


def setting_of(start):
    config = TrainConfig(
        env=WORLD,
        teacher=NewLevelsOf(buffer_size=16, score="mean_return", start=start),
        network=NetworkConfig(memory="none", memory_size=4, head_size=4, embedding_size=2),
        ppo=PPOConfig(learning_rate=0.01, num_epochs=1),
        num_envs=B,
        num_steps=24,
    )
    return Setting.of(config)


@functools.cache
def before():
    """A member with an empty buffer, and the schedule."""
    state = init_state(setting_of(1), jnp.zeros(1, jnp.uint32), jnp.uint32(0))
    return jax.tree.map(lambda leaf: leaf[0], state.members), state.schedule


@jax.jit
def _iterate(setting, plan, member, schedule):
    return iterate(setting, schedule, plan, member)


def after(start, buffer, plan):
    """The member after one iteration whose new levels start ``start`` cells from the goal, and its metrics."""
    member, schedule = before()
    return _iterate(setting_of(start), plan, member.replace(teacher=buffer), schedule)


def parameters(member):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(member.student.parameters)])


def test_the_student_learns_from_the_replayed_half_alone_bit_for_bit():
    member, _ = before()
    near, far = (fill(member.teacher, WORLD.level_space, [start] * 2, [1, 1]) for start in (2, 7))
    by_near_new, metrics = after(1, near, WARM)
    by_far_new, other = after(9, near, WARM)
    assert (float(metrics["new/levels/start"]), float(other["new/levels/start"])) == (1.0, 9.0)
    assert float(metrics["replay/levels/start"]) == float(other["replay/levels/start"]) == 2.0
    assert float(metrics["new/solve_rate"]) != float(other["new/solve_rate"])
    np.testing.assert_array_equal(parameters(by_near_new), parameters(by_far_new))
    assert not np.array_equal(parameters(by_near_new), parameters(member))
    # and it does learn from what it replays
    by_far_replay, _ = after(1, far, WARM)
    assert not np.array_equal(parameters(by_near_new), parameters(by_far_replay))


def test_the_student_learns_nothing_before_the_buffer_is_warm():
    member, _ = before()
    later, metrics = after(1, member.teacher, COLD)
    np.testing.assert_array_equal(parameters(later), parameters(member))
    assert np.isnan(metrics["student/policy_loss"])
    assert held(later.teacher).keys() == {1}  # both halves were scored and stored all the same
