"""Teachers of tasks: what is measured, when, and what is drawn from it.

The tasks are the starts of a corridor, ``K`` of them; outcomes are made by hand.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import TableProbe, outcome
from toy_designers import CorridorTasks, EditableCorridor, EditableCorridorLevels
from toy_worlds import CorridorLevels, no_probe

from minied.errors import UserError
from minied.levels.tasks import Tasks
from minied.students.networks.config import NetworkConfig
from minied.teachers.base import Plan
from minied.teachers.learning_progress import LearningProgress
from minied.teachers.ordered_tasks import OrderedTasks
from minied.teachers.progress import Averages, attention, reweighted
from minied.teachers.tasks import UniformTasks
from minied.teachers.windowed_slope import WindowedSlope
from minied.train.config import TrainConfig
from minied.train.program import Program

K, B = 4, 6
SPACE = EditableCorridorLevels(K, 8)
PLAN = Plan.of(0, train=True, new_batches=1)


def proposed(teacher, state, tasks, space=SPACE):
    """A proposal of these tasks, as if they had been drawn."""
    _, proposal = teacher.propose(jax.random.key(0), state, PLAN, space, len(tasks), no_probe)
    return proposal.replace(design=jnp.asarray(tasks, jnp.int32)[:, None])


def observed(teacher, state, tasks, successes, space=SPACE):
    """The state after levels of these tasks were played once each; NaN: no episode finished."""
    successes = jnp.asarray(successes, jnp.float32)
    finished = ~jnp.isnan(successes)
    result = outcome(jnp.where(finished, successes, 0.0), finished=finished)
    return teacher.observe(state, PLAN, proposed(teacher, state, tasks, space), result, space)


def state_of(teacher, fast, slow=None, first=None, memory=None):
    """A state in which these averages are known."""
    fast = jnp.asarray(fast, jnp.float32)
    slow, first = (fast if each is None else jnp.asarray(each, jnp.float32) for each in (slow, first))
    state = teacher.init(jax.random.key(0), SPACE, B)
    known = Averages(fast, slow, first, jnp.ones(fast.shape, bool))
    return state.replace(averages=known, memory=state.memory if memory is None else memory)


# -- measuring ---------------------------------------------------------------------------------------------------------


def test_success_is_measured_over_as_many_attempts_as_asked_for():
    teacher = UniformTasks(attempts_per_measurement=3, rate=0.5)
    state = teacher.init(jax.random.key(0), SPACE, B)
    state = observed(teacher, state, [0, 0, 1, 2], [1, 0, 1, np.nan])
    np.testing.assert_array_equal(state.attempts, [2, 1, 0, 0])  # of task 2 no episode finished: no attempt
    assert not state.averages.measured.any()
    state = observed(teacher, state, [0, 0, 1, 3], [1, 1, 0, 1])
    # Task 0 has 4 attempts now and 3 successes; the others go on counting.
    assert state.averages.measured.tolist() == [True, False, False, False]
    np.testing.assert_allclose(state.averages.fast, [0.75, 0, 0, 0])
    np.testing.assert_array_equal(state.attempts, [0, 2, 0, 1])
    np.testing.assert_array_equal(state.successes, [0, 1, 0, 1])
    state = observed(teacher, state, [0, 0, 0, 1], [0, 0, 0, 1])
    np.testing.assert_allclose(state.averages.fast, [0.375, 2 / 3, 0, 0])  # 0.75 + (0 − 0.75) / 2; 2 of 3
    assert int(state.measurements) == 2
    np.testing.assert_allclose(teacher.mastery(state), state.averages.fast)


def test_a_level_counts_once_however_many_episodes_it_had():
    """Success is quick and failure is slow: who counted episodes would take a task of even chances for an easy one."""
    teacher = UniformTasks(attempts_per_measurement=2)
    state = teacher.init(jax.random.key(0), SPACE, B)
    result = outcome([1.0, 0.0])
    many = dataclasses.replace(
        result.episodes, num_finished=jnp.asarray([9, 1], jnp.int32), num_solved=jnp.asarray([9, 0], jnp.int32)
    )
    state = teacher.observe(state, PLAN, proposed(teacher, state, [2, 2]), result.replace(episodes=many), SPACE)
    np.testing.assert_allclose(state.averages.fast, [0, 0, 0.5, 0])


def test_probes_play_every_task_alike_and_training_episodes_are_not_counted():
    teacher = LearningProgress(measure="probe", probe_every=2, probe_levels=9, attempts_per_measurement=1)
    state = teacher.init(jax.random.key(0), SPACE, B)
    probe = TableProbe([np.nan, 1.0, 0.0, 1.0, 1.0])  # by the start, 1 to 4
    plan = PLAN.replace(refresh=jnp.bool_(True))
    state, proposal = teacher.propose(jax.random.key(0), state, plan, SPACE, B, probe)
    assert {*probe.calls} == {(12, 1)}  # 9 levels are two batches of 6, three for each task
    np.testing.assert_allclose(state.averages.fast, [1, 0, 1, 1])
    after = teacher.observe(state, plan, proposal, outcome(np.zeros(B)), SPACE)
    np.testing.assert_allclose(after.averages.fast, [1, 0, 1, 1])
    without, _ = teacher.propose(jax.random.key(0), state, PLAN, SPACE, B, probe)
    np.testing.assert_array_equal(without.averages.measured, state.averages.measured)
    np.testing.assert_array_equal(without.measurements, 1)


def test_levels_are_those_of_the_tasks_that_were_drawn():
    teacher = UniformTasks()
    _, proposal = teacher.propose(
        jax.random.key(1), teacher.init(jax.random.key(0), SPACE, 400), PLAN, SPACE, 400, no_probe
    )
    np.testing.assert_array_equal(proposal.levels.start, proposal.design[:, 0] + 1)
    # 400 draws of 4 tasks: 100 each, three standard deviations are 3 √(400 · ¼ · ¾) = 26.
    assert np.all(np.abs(np.bincount(proposal.design[:, 0], minlength=K) - 100) < 26)


# -- learning progress -------------------------------------------------------------------------------------------------


def test_attention_follows_reweighted_progress():
    fast, slow = [0.0, 0.10, 0.9, 0.5], [0.0, 0.05, 0.8, 0.7]
    f = [np.asarray(reweighted(np.float64(p), 0.1)) for p in (fast, slow)]
    # f(p) = 0.9 p / (p + 0.1 (1 − 2 p)): of 0.10 a half, of 0.05 0.045 / 0.14 = 0.321
    assert f[0][1] - f[1][1] == pytest.approx(0.5 - 0.045 / 0.14)
    everything = jnp.ones(K, bool)
    for bidirectional, made in ((True, np.abs(f[0] - f[1])), (False, np.maximum(f[0] - f[1], 0))):
        teacher = LearningProgress(bidirectional=bidirectional)
        got = teacher.distribution(state_of(teacher, fast, slow), PLAN, SPACE)
        np.testing.assert_allclose(got, attention(jnp.asarray(made), everything, 1.28, 3.0), rtol=1e-4)
        assert (float(got[3]) > float(got[0]) * 1.01) == bidirectional  # what is being forgotten


def test_nothing_known_or_nothing_moving_is_uniform():
    for bidirectional in (True, False):
        teacher = LearningProgress(bidirectional=bidirectional)
        np.testing.assert_allclose(
            teacher.distribution(teacher.init(jax.random.key(0), SPACE, B), PLAN, SPACE), [1 / K] * K
        )
        flat = state_of(teacher, [0.0, 0.3, 1.0, 0.5])
        np.testing.assert_allclose(teacher.distribution(flat, PLAN, SPACE), [1 / K] * K)
    falling = state_of(LearningProgress(bidirectional=False), [0.1, 0.2, 0.3, 0.0], [0.4, 0.6, 0.5, 0.0])
    np.testing.assert_allclose(LearningProgress(bidirectional=False).distribution(falling, PLAN, SPACE), [1 / K] * K)


def test_a_uniform_share_is_mixed_in():
    fast, slow = [0.0, 0.1, 0.9, 0.5], [0.0, 0.05, 0.8, 0.7]
    plain, mixed = LearningProgress(), LearningProgress(uniform_share=0.25)
    shares = plain.distribution(state_of(plain, fast, slow), PLAN, SPACE)
    got = mixed.distribution(state_of(mixed, fast, slow), PLAN, SPACE)
    np.testing.assert_allclose(got, 0.75 * shares + 0.25 / K, rtol=1e-6)


def test_omni_counts_what_is_beyond_chance_and_drops_what_neither_moves_nor_succeeds():
    teacher = LearningProgress(variant="omni", measure="probe")
    # Task 0 never succeeded; task 1 is at chance, 0.4, as ever; task 2 rose from 0.2; task 3 is level at 0.6, chance 0.2.
    state = state_of(teacher, [0.0, 0.4, 0.6, 0.6], [0.0, 0.4, 0.5, 0.6], [0.0, 0.4, 0.2, 0.2])
    shares = np.asarray(teacher.distribution(state, PLAN, SPACE))
    assert shares[:2].tolist() == [0.0, 0.0]
    # Of two that are left z is 1 and −1, whatever the progress: σ(1) to σ(−1) is e.
    assert shares[2] / shares[3] == pytest.approx(np.e, rel=1e-4)
    standard = np.asarray(LearningProgress().distribution(state, PLAN, SPACE))
    assert np.all(standard > 0)


def test_the_fast_average_has_its_own_rate_and_the_slow_one_follows_it():
    teacher = LearningProgress(attempts_per_measurement=1, rate=0.5, slow_rate=0.25)
    state = observed(teacher, teacher.init(jax.random.key(0), SPACE, B), [0], [0])
    state = observed(teacher, state, [0], [1])
    np.testing.assert_allclose([state.averages.fast[0], state.averages.slow[0]], [0.5, 0.125])
    made = teacher.progress_of(state)[0]
    np.testing.assert_allclose(made, reweighted(0.5, 0.1) - reweighted(0.125, 0.1), rtol=1e-5)


# -- the others --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Around(CorridorTasks):
    """The nearest start is the hardest: an order that is not its own inverse."""

    @property
    def by_difficulty(self):
        return (*range(1, self.length), 0)


@dataclasses.dataclass(frozen=True)
class AroundLevels(EditableCorridorLevels):
    @property
    def tasks(self):
        return Around(self.length)


@pytest.mark.parametrize(("space", "order"), [(SPACE, [0, 1, 2, 3]), (AroundLevels(K, 8), [1, 2, 3, 0])])
def test_tasks_in_order_go_on_when_one_is_mastered(space, order):
    teacher = OrderedTasks(attempts_per_measurement=1, rate=1.0, mastered_from=0.5, review_share=0.4)
    state = teacher.init(jax.random.key(0), space, B)

    def shares(state):
        return np.asarray(teacher.distribution(state, PLAN, space))[order]

    np.testing.assert_allclose(shares(state), [1, 0, 0, 0])  # nothing to review
    state = observed(teacher, state, [order[1]], [1], space)  # of a task that is not the present one
    state = observed(teacher, state, [order[0]], [0], space)
    np.testing.assert_allclose(shares(state), [1, 0, 0, 0])
    state = observed(teacher, state, [order[0]], [1], space)
    np.testing.assert_allclose(shares(state), [0.4, 0.6, 0, 0])
    state = observed(teacher, state, [order[0]], [0], space)  # the second had been mastered before
    np.testing.assert_allclose(shares(state), [0.2, 0.2, 0.6, 0])
    for _ in range(4):  # the last is the last
        state = observed(teacher, state, [order[2], order[3]], [1, 1], space)
    np.testing.assert_allclose(shares(state), [0.4 / 3, 0.4 / 3, 0.4 / 3, 0.6], rtol=1e-6)


def test_tasks_in_order_by_time_divide_the_run():
    teacher = OrderedTasks(advance="time", review_share=0.0)
    state = teacher.init(jax.random.key(0), SPACE, B)
    for progress, task in ((0.0, 0), (0.24, 0), (0.26, 1), (0.74, 2), (0.76, 3), (1.0, 3)):
        shares = teacher.distribution(state, PLAN.replace(progress=jnp.float32(progress)), SPACE)
        np.testing.assert_allclose(shares, np.eye(K)[task])


def test_a_window_holds_the_last_measurements_and_goes_by_their_slope():
    teacher = WindowedSlope(attempts_per_measurement=1, window=3, selection="greedy", exploration=0.2)
    state = teacher.init(jax.random.key(0), SPACE, B)
    np.testing.assert_allclose(teacher.distribution(state, PLAN, SPACE), [1 / K] * K)
    for tasks, successes in (([0], [1]), ([0, 1], [0, 0]), ([0, 1], [0, 0.5]), ([0, 1], [0, 1])):
        successes = jnp.asarray(successes, jnp.float32)
        result = outcome(jnp.ones(len(tasks)))
        rated = dataclasses.replace(
            result.episodes,
            num_finished=jnp.full(len(tasks), 2, jnp.int32),
            num_solved=(2 * successes).astype(jnp.int32),
        )
        state = teacher.observe(state, PLAN, proposed(teacher, state, tasks), result.replace(episodes=rated), SPACE)
    # Of task 0 the first success has left the window: flat. Task 1: 0, 0.5, 1 at times 2, 3, 4.
    np.testing.assert_allclose(state.memory.successes[:2], [[0, 0, 0], [0, 0.5, 1]])
    np.testing.assert_allclose(state.memory.times[:2], [[2, 3, 4], [2, 3, 4]])
    assert state.memory.known.sum(axis=1).tolist() == [3, 3, 0, 0]
    np.testing.assert_allclose(teacher.distribution(state, PLAN, SPACE), [0.05, 0.85, 0.05, 0.05], rtol=1e-6)
    falling = state.replace(memory=state.memory.replace(successes=1.0 - state.memory.successes))
    np.testing.assert_allclose(teacher.distribution(falling, PLAN, SPACE), [0.05, 0.85, 0.05, 0.05], rtol=1e-6)
    soft = WindowedSlope(attempts_per_measurement=1, window=3, temperature=0.5, exploration=0.0)
    # exp(1 / 0.5) to exp(0), three times
    expected = np.exp([0, 2, 0, 0]) / np.exp([0, 2, 0, 0]).sum()
    np.testing.assert_allclose(soft.distribution(state, PLAN, SPACE), expected, rtol=1e-5)


# -- several tasks in a level ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pairs(CorridorTasks):
    """Two tasks a level, told apart by statistics."""

    @property
    def success_statistics(self):
        return ("first", "second")


@dataclasses.dataclass(frozen=True)
class PairLevels(EditableCorridorLevels):
    @property
    def tasks(self):
        return Pairs(self.length)


def told(first, second):
    """An outcome whose levels' statistics are these."""
    result = outcome(np.zeros(len(first)))
    statistics = {"first": jnp.asarray(first, jnp.float32), "second": jnp.asarray(second, jnp.float32)}
    return result.replace(episodes=dataclasses.replace(result.episodes, statistics=statistics))


def test_of_several_tasks_in_a_level_each_is_measured():
    space, teacher = PairLevels(K, 8), UniformTasks(attempts_per_measurement=2)
    state = teacher.init(jax.random.key(0), space, 2)
    state, proposal = teacher.propose(jax.random.key(0), state, PLAN, space, 2, no_probe)
    assert proposal.design.shape == (2, 2)
    proposal = proposal.replace(design=jnp.asarray([[0, 1], [1, 3]], jnp.int32))
    state = teacher.observe(state, PLAN, proposal, told([1.0, 0.5], [0.0, np.nan]), space)
    np.testing.assert_array_equal(state.attempts, [1, 0, 0, 0])  # task 3 was not come to
    np.testing.assert_allclose(state.averages.fast, [0, 0.25, 0, 0])  # (0 + 0.5) / 2


@pytest.mark.parametrize("wrong", [1.5, -0.5])
def test_impossible_success_stops_the_run_and_is_told(wrong):
    space, teacher = PairLevels(K, 8), UniformTasks(attempts_per_measurement=1)
    state = teacher.init(jax.random.key(0), space, 1)
    _, proposal = teacher.propose(jax.random.key(0), state, PLAN, space, 1, no_probe)
    proposal = proposal.replace(design=jnp.asarray([[1, 2]], jnp.int32))
    good = teacher.observe(state, PLAN, proposal, told([1.0], [0.0]), space)
    assert int(teacher.fault(good)) == 0
    bad = teacher.observe(good, PLAN, proposal, told([1.0], [wrong]), space)
    assert int(teacher.fault(bad)) == 3
    bad = teacher.observe(bad, PLAN, proposal, told([wrong], [1.0]), space)  # the first one stays to be told
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), good, bad)
    assert teacher.explain(3, members, space) == (
        f"the success of the task 'start_3' was told to be {wrong}; allowed for the statistics first, second of the world:"
        " 0, 1, or NaN"
    )
    assert np.all((np.asarray(bad.averages.fast) >= 0) & (np.asarray(bad.averages.fast) <= 1))


def test_one_impossible_success_does_not_hide_behind_others():
    space, teacher = PairLevels(K, 8), UniformTasks(attempts_per_measurement=2)
    state = teacher.init(jax.random.key(0), space, 2)
    _, proposal = teacher.propose(jax.random.key(0), state, PLAN, space, 2, no_probe)
    proposal = proposal.replace(design=jnp.asarray([[1, 0], [1, 0]], jnp.int32))
    state = teacher.observe(state, PLAN, proposal, told([1.5, 0.5], [0.0, 0.0]), space)  # a mean of 1
    assert int(teacher.fault(state)) == 2
    assert float(state.impossible_success) == 1.5


# -- bad input ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Named(Tasks):
    names: tuple[str, ...] = ()
    order: tuple[int, ...] = ()

    @property
    def by_difficulty(self):
        return self.order

    def level(self, key, tasks):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (Named(), "names of Named is empty; allowed with a teacher of tasks: at least one task"),
        (Named(("a", "b", "a"), (0, 1, 2)), "names of Named has 'a' twice; allowed: different names"),
        (
            Named(("a", "b"), (0, 0)),
            "by_difficulty of Named is (0, 0); allowed: every number from 0 to 1 once",
        ),
        (
            ("a",),
            "`tasks` of a level space is ('a',); allowed: an instance of minied.levels.tasks.Tasks, by a property",
        ),
    ],
)
def test_a_bad_list_of_tasks_is_told_before_anything_compiles(tasks, message):
    @dataclasses.dataclass(frozen=True)
    class Levels(EditableCorridorLevels):
        @property
        def tasks(self):
            return tasks

    with pytest.raises(UserError) as error:
        UniformTasks().validate(Levels(K, 8), B, {})
    assert str(error.value) == message


def test_a_world_without_tasks_is_told():
    with pytest.raises(UserError) as error:
        LearningProgress().validate(CorridorLevels(K, 8), B, {})
    assert str(error.value).startswith("a teacher of tasks needs `tasks`, which CorridorLevels does not have")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearningProgress(magnified=0.0), "magnified is 0.0; allowed: [1e-06, 0.999999]"),
        (lambda: LearningProgress(rate=0.0), "rate is 0.0; allowed: (0, 1]"),
        (lambda: LearningProgress(slow_rate=1.5), "slow_rate is 1.5; allowed: (0, 1]"),
        (lambda: LearningProgress(sharpness=0.0), "sharpness is 0.0; allowed: (0, 100]"),
        (lambda: LearningProgress(uniform_share=-0.1), "uniform_share is -0.1; allowed: [0, 1]"),
        (lambda: LearningProgress(variant="other"), "variant is 'other'; allowed: standard, omni"),
        (
            lambda: LearningProgress(variant="omni"),
            "uniform_share is 0; allowed with variant 'omni' and measure 'training': more than 0, as a task without a share"
            " would never be measured again",
        ),
        (lambda: UniformTasks(measure="guess"), "measure is 'guess'; allowed: training, probe"),
        (lambda: UniformTasks(attempts_per_measurement=0), "attempts_per_measurement is 0; allowed: [1, 1048576]"),
        (lambda: OrderedTasks(advance="never"), "advance is 'never'; allowed: mastery, time"),
        (lambda: WindowedSlope(window=1), "window is 1; allowed: [2, 10000]"),
        (lambda: WindowedSlope(selection="best"), "selection is 'best'; allowed: greedy, boltzmann"),
    ],
)
def test_a_bad_option_is_told(make, message):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == message


def test_a_probe_too_small_for_the_tasks_is_told():
    with pytest.raises(UserError) as error:
        UniformTasks(measure="probe", probe_levels=3).validate(SPACE, B, {})
    assert str(error.value) == "teacher.probe_levels is 3; allowed: at least one a task, 4"


# -- in the loop -------------------------------------------------------------------------------------------------------


def test_learning_progress_goes_from_near_to_far_starts():
    """A tabular corridor of 8 cells: the mean start that is practised moves outward as the near ones are learnt."""
    from minied.students.ppo import PPOConfig

    config = TrainConfig(
        env=EditableCorridor(length=8, max_steps=16),
        teacher=LearningProgress(attempts_per_measurement=8),
        network=NetworkConfig(memory="none", memory_size=16, head_size=16, embedding_size=8),
        ppo=PPOConfig(learning_rate=3e-3, num_epochs=2, entropy_coefficient=0.01, discount=0.95),
        num_envs=64,
        num_steps=16,
        updates=150,
    )
    program = Program(config)
    state, rows = program.init(), []
    for until in (10, 150):
        state, row = program.advance(state, until)
        rows.append(row)
    success = [np.asarray([row[f"teacher/success/start_{i}"][0] for i in range(1, 9)]) for row in rows]
    assert success[1][:4].min() > 0.6
    assert success[1].mean() > success[0].mean() + 0.1
    for row in rows:
        shares = [row[f"teacher/attention/start_{i}"][0] for i in range(1, 9)]
        assert sum(shares) == pytest.approx(1.0, abs=1e-4)
        assert 1 <= row["teacher/tasks_attended_to"][0] <= 8.001
    assert rows[1]["teacher/tasks_measured"][0] == pytest.approx(8, abs=0.3)
