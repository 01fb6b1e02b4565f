"""The compiled chunk: real branches, one trace, members equal to solo runs, chunks that do not matter, exact counts."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import copy, equal, raw
from toy_worlds import TRACES, Corridor, CorridorLevel, CountingCorridor, CountingTeacher, Meeting, ProbingTeacher

from minied.levels.space import Suite
from minied.students import ppo
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.base import NEW, REPLAY, Plan
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.prioritized_level_replay import PrioritizedLevelReplay, RobustPrioritizedLevelReplay
from minied.train.config import TrainConfig
from minied.train.loop import advance
from minied.train.program import Program
from minied.train.update import iterate

B, T = 4, 12
NETWORK = NetworkConfig(memory="gru", memory_size=8, head_size=8, embedding_size=3)
SMALL = NetworkConfig(memory="none", memory_size=4, head_size=4, embedding_size=2)  # where the network does not matter
ROBUST = RobustPrioritizedLevelReplay(buffer_size=16, minimum_fill=0.5, replay_probability=0.5)


def config_of(teacher=ROBUST, **options):
    defaults = {
        "env": Corridor(length=5, max_steps=6),
        "teacher": teacher,
        "network": NETWORK,
        "ppo": PPOConfig(learning_rate=0.01, num_epochs=2),
        "num_envs": B,
        "num_steps": T,
        "updates": 100,
    }
    return TrainConfig(**defaults | options)


@functools.cache
def program_of(config):
    return Program(config)


# -- trap 18: what is not done is not paid for -------------------------------------------------------------------------


def subjaxprs(equation):
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(item, "jaxpr"):
                yield item.jaxpr
            elif hasattr(item, "eqns"):
                yield item


def primitives(jaxpr, inside=()):
    """Yield (equation, primitives around it) everywhere."""
    for equation in jaxpr.eqns:
        yield equation, inside
        for inner in subjaxprs(equation):
            yield from primitives(inner, (*inside, equation.primitive.name))


def jaxpr_of(function, *arguments):
    return jax.make_jaxpr(function)(*arguments).jaxpr


EPOCHS = 17
"""A number of epochs that nothing else in the program has: the update is the scan of that length."""


@functools.cache
def setting_and_state():
    program = Program(config_of(ppo=PPOConfig(num_epochs=EPOCHS), num_seeds=3, network=SMALL))
    return program._setting, program.init()


def update_is_a_real_branch(jaxpr):
    scans = [
        inside
        for equation, inside in primitives(jaxpr)
        if equation.primitive.name == "scan" and equation.params["length"] == EPOCHS
    ]
    assert scans, "there is no update at all"
    return all("cond" in inside for inside in scans)


def test_trap_18_student_update_sits_in_a_conditional_of_the_compiled_loop():
    setting, state = setting_and_state()
    jaxpr = jaxpr_of(advance, setting, state, jnp.int32(3))
    assert update_is_a_real_branch(jaxpr)
    conditions = [(e, inside) for e, inside in primitives(jaxpr) if e.primitive.name == "cond"]
    assert all(e.invars[0].aval.shape == () for e, _ in conditions)
    # propose, learn and observe
    assert len([e for e, inside in conditions if "cond" not in inside and "while" in inside]) >= 3


def test_trap_18_the_check_would_see_a_plan_that_belongs_to_a_member():
    setting, state = setting_and_state()

    def per_member(setting, state):
        plans = jax.vmap(lambda kind: Plan.of(kind, train=kind == REPLAY, new_batches=1))(jnp.zeros(3, jnp.int32))
        return jax.vmap(lambda plan, member: iterate(setting, state.schedule, plan, member))(plans, state.members)

    assert not update_is_a_real_branch(jaxpr_of(per_member, setting, state))

    def shared(setting, state):
        plan = Plan.of(NEW, train=False, new_batches=1)
        return jax.vmap(lambda member: iterate(setting, state.schedule, plan, member))(state.members)

    assert update_is_a_real_branch(jaxpr_of(shared, setting, state))


def test_trap_18_compiled_program_keeps_the_conditional():
    setting, state = setting_and_state()
    text = jax.jit(advance).lower(setting, state, jnp.int32(3)).compile().as_text()
    assert text.count(" conditional(") >= 3


def test_no_callback_leaves_the_device():
    setting, state = setting_and_state()
    names = {e.primitive.name for e, _ in primitives(jaxpr_of(advance, setting, state, jnp.int32(3)))}
    assert not {name for name in names if "callback" in name or "debug" in name or "infeed" in name}
    assert {"while", "scan", "cond"} <= names


def test_state_of_a_run_is_arrays_and_nothing_else():
    _, state = setting_and_state()
    leaves = jax.tree.leaves(state)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    members = jax.tree.leaves(state.members)
    assert all(leaf.shape[0] == 3 for leaf in members)
    assert all(leaf.shape == () for leaf in jax.tree.leaves(state.schedule))


# -- members -----------------------------------------------------------------------------------------------------------


@functools.cache
def played_with(config, pieces=(20,)):
    program, metrics = program_of(config), []
    state = program.init()
    for until in pieces:
        state, row = program.advance(state, until)
        metrics.append(row)
    return state, metrics


@pytest.mark.parametrize(
    ("teacher", "network"),
    [(ROBUST, NETWORK), (DomainRandomization(), SMALL)],
    ids=["robust_plr", "domain_randomization"],
)
def test_member_equals_the_solo_run_of_its_seed(teacher, network):
    # On CPU, where members run one after the other, bit for bit; elsewhere a batched product sums in another order.
    together, rows = played_with(config_of(teacher, num_seeds=3, seed=5, network=network), (1, 20))
    for member in range(3):
        solo, solo_rows = played_with(config_of(teacher, seed=5 + member, network=network), (1, 20))
        mine = jax.tree.map(lambda leaf, member=member: leaf[member], together.members)
        theirs = jax.tree.map(lambda leaf: leaf[0], solo.members)
        exact = jax.default_backend() == "cpu"
        for a, b in zip(raw(mine), raw(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)
        assert equal(together.schedule, solo.schedule)
        for row, solo_row in zip(rows, solo_rows, strict=True):
            for name, value in row.items():
                np.testing.assert_allclose(value[member], solo_row[name][0], rtol=1e-5, atol=1e-5, err_msg=name)


def test_members_of_different_seeds_differ_and_share_their_plans():
    state, rows = played_with(config_of(num_seeds=3, seed=5), (1, 20))
    kernels = np.asarray(state.members.student.parameters["policy"]["kernel"])
    assert not np.array_equal(kernels[0], kernels[1])
    buffers = np.asarray(state.members.teacher.levels.start)
    assert not np.array_equal(buffers[0], buffers[1])
    defined = np.isnan(rows[0]["replay/solve_rate"])
    assert defined.all() or not defined.any()


def test_plan_does_not_depend_on_the_seeds_or_on_their_number():
    counters = {
        str(program_of(config).counters(played_with(config, (1, 20))[0]))
        for config in (config_of(num_seeds=3, seed=5), config_of(seed=5), config_of(seed=6), config_of(seed=7))
    }
    assert len(counters) == 1


def test_plan_depends_on_the_schedule_seed():
    def plans(schedule_seed):
        state = program_of(config_of(seed=5)).init()
        key = jax.random.key(schedule_seed)
        state = state.replace(schedule=state.schedule.replace(key=key))
        trained = []
        for until in range(1, 13):
            before = int(state.schedule.student_updates)
            state, _ = program_of(config_of(seed=5)).advance(state, until)
            trained.append(int(state.schedule.student_updates) - before)
        return tuple(trained)

    assert len({plans(seed) for seed in range(3)}) > 1


# -- keys --------------------------------------------------------------------------------------------------------------


def test_no_key_is_consumed_twice():
    """JAX's own check, over everything that a program does. (It found the plan and the levels of a picture sharing one.)"""
    env = Corridor(length=5, max_steps=6)
    suite = Suite("two", env, CorridorLevel(jnp.asarray([1, 2], jnp.int32)), ("one", "two"))
    with jax.debug_key_reuse(True):
        program = Program(config_of(network=SMALL, ppo=PPOConfig(num_epochs=1, num_minibatches=2)))
        state, _ = program.advance(program.init(), 2)
        program.proposals(state, 3)
        program.evaluate(state, suite, jax.random.key(0), 2)
        program.record_episode(state, env, CorridorLevel(np.int32(2)), jax.random.key(0))
        with pytest.raises(jax.errors.KeyReuseError):
            jax.jit(lambda key: jax.random.uniform(key) + jax.random.uniform(key))(jax.random.key(0))


def test_keys_of_the_schedule_are_no_members_keys():
    """fold_in(k, i) is split(k, n)[i]: equal seeds must not make the plans' keys those of a member."""
    state = program_of(config_of(seed=0, schedule_seed=0)).init()
    words = {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in (jax.random.key(0), state.members.key[0])}
    words |= {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in jax.random.split(jax.random.key(0), 8)}
    plans = {
        tuple(np.asarray(jax.random.key_data(jax.random.fold_in(state.schedule.key, i))).tolist()) for i in range(50)
    }
    assert not words & plans


# -- chunks ------------------------------------------------------------------------------------------------------------


def test_chunks_do_not_matter_to_the_state_bit_for_bit():
    config = config_of(num_seeds=3)
    whole, whole_rows = played_with(config, (7,))
    parts, part_rows = played_with(config, (3, 7))
    assert equal(whole, parts)
    again, again_rows = played_with(config, (3, 5, 7))
    assert equal(whole, again)
    # metrics of a chunk are those of its iterations: the first three are the same in both
    assert equal(part_rows[0], again_rows[0])
    assert set(whole_rows[0]) == set(part_rows[0])
    # 7 iterations = 3 + 4: means of what is defined at every iteration join as weighted means
    name = "teacher/buffer_fill"
    np.testing.assert_allclose(whole_rows[0][name], (3 * part_rows[0][name] + 4 * part_rows[1][name]) / 7, rtol=1e-5)


def test_a_run_repeats_bit_for_bit_metrics_too():
    config = config_of(num_seeds=3)
    first, rows = played_with(config, (3, 7))
    program, again, repeated = program_of(config), program_of(config).init(), []
    for until in (3, 7):
        again, row = program.advance(again, until)
        repeated.append(row)
    assert equal(first, again)
    assert equal(rows, repeated)


def test_advancing_to_where_it_stands_changes_nothing():
    config = config_of(num_seeds=3)
    state, _ = played_with(config, (3, 7))
    after, rows = program_of(config).advance(copy(state), 7)
    assert equal(after, state)
    assert all(np.isnan(value).all() for value in rows.values())


def test_run_stops_exactly_at_its_updates():
    config = config_of(updates=6)
    program, state = program_of(config), program_of(config).init()
    assert not program.is_finished(state)
    while not program.is_finished(state):
        state, _ = program.advance(state, program.counters(state)["iterations"] + 4)
    counters = program.counters(state)
    assert counters["student_updates"] == 6
    after, _ = program.advance(copy(state), counters["iterations"] + 50)
    assert equal(after, state)


def test_state_is_donated():
    program = program_of(config_of())
    state = program.init()
    program.advance(state, 1)
    assert jax.tree.leaves(state.members.student.parameters)[0].is_deleted()


# -- accounting --------------------------------------------------------------------------------------------------------


def test_trap_14_every_simulated_step_is_counted_and_those_learnt_from_apart():
    program = program_of(config_of(num_seeds=3))
    state, _ = played_with(config_of(num_seeds=3), (20,))
    counters = program.counters(state)
    schedule = state.schedule
    assert counters["iterations"] == 20
    assert counters["env_steps"] == 20 * B * T  # of one member; those only for scoring included
    assert counters["train_steps"] == counters["student_updates"] * B * T
    # PLR⊥ learns from replay alone, and every other batch is new.
    assert counters["student_updates"] == 20 - int(schedule.new_batches)
    assert int(schedule.rollouts) == int(schedule.iterations) == 20
    assert 2 < counters["student_updates"] < 18


def test_domain_randomization_learns_from_every_step():
    config = config_of(DomainRandomization(), network=SMALL)
    counters = program_of(config).counters(played_with(config, (5,))[0])
    assert counters == {
        "iterations": 5, "student_updates": 5, "train_steps": 5 * B * T, "env_steps": 5 * B * T,
    }  # fmt: skip


def test_plain_plr_learns_from_every_batch():
    config = config_of(PrioritizedLevelReplay(buffer_size=16), network=SMALL)
    state, _ = played_with(config, (8,))
    counters = program_of(config).counters(state)
    assert counters["student_updates"] == counters["iterations"] == 8
    assert 2 <= int(state.schedule.new_batches) < 8  # two batches of 4 are half of 16; the others may be replayed


# -- what an iteration does to the student -----------------------------------------------------------------------------


@functools.cache
def step_by_step():
    """(state before, state after, metrics) of each of 14 iterations of PLR⊥."""
    program, steps = program_of(config_of(num_seeds=3)), []
    state = program.init()
    for until in range(1, 15):
        before = copy(state)
        state, row = program.advance(state, until)
        steps.append((before, copy(state), row))
    return steps


def trained(before, after):
    return int(after.schedule.student_updates) > int(before.schedule.student_updates)


def test_robust_plr_learns_nothing_from_new_levels_bit_for_bit():
    kinds = collections.Counter()
    for before, after, _ in step_by_step():
        replayed = int(after.schedule.last_kind) == REPLAY
        assert replayed == (int(after.schedule.new_batches) == int(before.schedule.new_batches))
        assert trained(before, after) == replayed
        assert equal(before.members.student, after.members.student) != replayed
        kinds[replayed] += 1
    assert kinds[True] > 2
    assert kinds[False] > 2


def test_first_batches_fill_the_buffer_and_replay_changes_no_level():
    for i, (before, after, _) in enumerate(step_by_step()):
        if i < 2:  # 2 batches of 4 are half of 16
            assert not trained(before, after)
        if trained(before, after):
            assert equal(before.members.teacher.levels, after.members.teacher.levels)
            assert equal(before.members.teacher.filled, after.members.teacher.filled)
        assert int(after.members.teacher.clock[0]) == i + 1


def test_trap_13_best_returns_in_the_buffer_never_fall():
    for before, after, _ in step_by_step():
        same = np.all(
            np.asarray(before.members.teacher.fingerprints) == np.asarray(after.members.teacher.fingerprints), axis=-1
        ) & np.asarray(before.members.teacher.filled)
        old, new = (np.asarray(s.members.teacher.max_returns)[same] for s in (before, after))
        assert np.all(new >= old)


def test_trap_03_score_of_a_replayed_level_measures_against_the_best_return_it_ever_had():
    # No return on the corridor exceeds 1: a stored best return of 100 shows in R⁺ − V, and stays stored.
    config = config_of(dataclasses.replace(ROBUST, replay_probability=1.0), num_seeds=3)
    program = program_of(config)
    state, _ = program.advance(program.init(), 2)
    buffer = state.members.teacher
    buffer = buffer.replace(max_returns=jnp.where(buffer.filled, 100.0, buffer.max_returns))
    state, _ = program.advance(state.replace(members=state.members.replace(teacher=buffer)), 3)
    assert (int(state.schedule.last_kind), int(state.schedule.new_batches)) == (REPLAY, 2)
    buffer = state.members.teacher
    visited = np.asarray(buffer.filled) & (np.asarray(buffer.last_seen) == 3)
    changed = visited & (np.asarray(buffer.scores) > 50)
    assert visited.any(axis=1).all()
    assert changed.sum() >= 0.5 * visited.sum()  # a replayed level on which nothing finished keeps its score
    np.testing.assert_array_equal(np.asarray(buffer.max_returns)[np.asarray(buffer.filled)], 100.0)


def test_iterations_draw_levels_and_actions_of_their_own():
    config = config_of(DomainRandomization(), network=SMALL, ppo=PPOConfig(learning_rate=1e-9, num_epochs=2))
    program, state, rows = program_of(config), program_of(config).init(), []
    for until in range(1, 9):
        state, row = program.advance(state, until)
        rows.append(row)
    assert len({float(row["new/levels/start"][0]) for row in rows}) > 3
    assert len({float(row["student/policy_loss"][0]) for row in rows}) == 8


def test_trap_04_buffer_holds_finite_scores_of_levels_that_finished():
    for _, after, _ in step_by_step():
        buffer = after.members.teacher
        filled = np.asarray(buffer.filled)
        assert np.isfinite(np.asarray(buffer.scores)).all()
        assert np.isfinite(np.asarray(buffer.max_returns)[filled]).all()
        starts = np.asarray(buffer.levels.start)
        for member in range(3):
            assert len(np.unique(starts[member][filled[member]])) == filled[member].sum()  # no level twice


def test_metrics_are_defined_where_they_happened_and_nan_elsewhere():
    for before, after, row in step_by_step():
        did_train = trained(before, after)
        for name, value in row.items():
            if name.startswith(("student/", "replay/")):
                assert np.isnan(value).all() != did_train, name
            if name.startswith("new/"):
                assert np.isnan(value).all() == did_train, name
        assert np.isfinite(row["teacher/buffer_fill"]).all()
        source = "replay" if did_train else "new"
        rate = row[f"{source}/solve_rate"]
        assert np.all((rate >= 0) & (rate <= 1))
        assert np.all(row[f"{source}/levels/start"] >= 1)
        assert all(value.shape == (3,) and value.dtype == np.float32 for value in row.values())


def test_trap_05_update_sees_what_the_rollout_saw():
    # parameters in general position after some updates: a shifted reset or carry would show
    errors = [row["student/first_ratio_error"] for before, after, row in step_by_step() if trained(before, after)]
    assert np.max(errors) < 5e-6


def test_trap_04_a_rollout_too_short_to_finish_anything_stores_nothing_and_breaks_nothing():
    config = config_of(env=Corridor(length=5, max_steps=50), num_steps=1, network=SMALL)
    program = program_of(config)
    state, _ = program.advance(program.init(), 6)
    buffer = state.members.teacher
    starts = np.asarray(buffer.levels.start)[np.asarray(buffer.filled)]
    assert set(starts.tolist()) <= {1}  # one step can finish the corridor from cell 1 only
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.members.student.parameters))


def test_trap_09_linear_rate_is_counted_in_student_updates_and_ends_at_zero_with_the_run():
    config = config_of(ppo=PPOConfig(learning_rate=0.01, anneal="linear", num_epochs=2), updates=4, network=SMALL)
    program, state, rates = program_of(config), program_of(config).init(), []
    while not program.is_finished(state):
        before = program.counters(state)
        state, row = program.advance(state, before["iterations"] + 1)
        if program.counters(state)["student_updates"] > before["student_updates"]:
            rates.append(float(row["student/learning_rate"][0]))
    assert program.counters(state)["iterations"] > 6  # iterations without learning do not count
    np.testing.assert_allclose(rates, [0.01, 0.0075, 0.005, 0.0025], rtol=1e-6)
    assert float(ppo.learning_rate(config.ppo.traced(), jnp.float32(1))) == 0.0


def test_trap_09_a_run_that_ends_by_its_steps_ends_at_rate_zero_too():
    # 9 rollouts: each iteration of PLR⊥ is one, whether it learns or not, and updates alone would be far from the end
    config = config_of(
        ppo=PPOConfig(learning_rate=0.01, anneal="linear", num_epochs=2), env_steps=9 * B * T - 1, network=SMALL
    )
    program, state, seen = program_of(config), program_of(config).init(), []
    while not program.is_finished(state):
        before = program.counters(state)
        state, row = program.advance(state, before["iterations"] + 1)
        if program.counters(state)["student_updates"] > before["student_updates"]:
            seen.append((before["iterations"], float(row["student/learning_rate"][0])))
    assert program.counters(state)["env_steps"] == 9 * B * T  # whole batches
    assert len(seen) > 2
    np.testing.assert_allclose([rate for _, rate in seen], [0.01 * (1 - i / 9) for i, _ in seen], rtol=1e-5)


# -- one trace ---------------------------------------------------------------------------------------------------------


def test_one_trace_serves_all_seeds_levels_and_numeric_hyper_parameters(monkeypatch):
    updates = []
    inner = ppo.update
    monkeypatch.setattr(ppo, "update", lambda *args: updates.append(1) or inner(*args))

    def counting(**options):
        return config_of(
            CountingTeacher(buffer_size=16, **options.pop("teacher", {})),
            env=CountingCorridor(length=5, max_steps=6),
            network=SMALL,
            **options,
        )

    TRACES.clear()
    program = Program(counting())
    state, _ = program.advance(program.init(), 8)
    first, first_updates = dict(TRACES), len(updates)
    assert {"reset", "step", "plan", "propose", "observe"} <= set(first)
    assert first_updates > 0
    state, _ = program.advance(state, 12)
    others = [
        {"seed": 11},
        {"schedule_seed": 3, "updates": 7},
        {"ppo": PPOConfig(num_epochs=2, learning_rate=0.5, clip=0.1, discount=0.9, entropy_coefficient=0.0)},
        {"ppo": PPOConfig(num_epochs=2, max_grad_norm=1.0, gae_lambda=0.5, value_coefficient=1.0, adam_epsilon=1e-8)},
        {"teacher": {"temperature": 0.1, "staleness_coefficient": 0.9, "replay_probability": 1.0, "minimum_fill": 0.7}},
    ]
    for options in others:
        program = Program(counting(**options))
        program.advance(program.init(), 5)
    assert dict(TRACES) == first
    assert len(updates) == first_updates


def test_numeric_hyper_parameters_do_take_effect():
    """The same program with other numbers is another run: nothing was baked in."""
    base = config_of(seed=5)
    reference = played_with(base, (1, 20))[0]
    for change in (
        {"ppo": PPOConfig(learning_rate=0.02, num_epochs=2)},
        {"ppo": PPOConfig(learning_rate=0.01, num_epochs=2, clip=0.01)},
        {"ppo": PPOConfig(learning_rate=0.01, num_epochs=2, discount=0.5)},
        {"ppo": PPOConfig(learning_rate=0.01, num_epochs=2, gae_lambda=0.1)},
        {"ppo": PPOConfig(learning_rate=0.01, num_epochs=2, entropy_coefficient=0.5)},
        {"ppo": PPOConfig(learning_rate=0.01, num_epochs=2, value_coefficient=3.0)},
        {"ppo": PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=0.1)},
        {"teacher": dataclasses.replace(ROBUST, temperature=5.0)},
        {"teacher": dataclasses.replace(ROBUST, staleness_coefficient=1.0)},
        {"teacher": dataclasses.replace(ROBUST, replay_probability=1.0)},
        {"teacher": dataclasses.replace(ROBUST, minimum_fill=1.0)},
    ):
        other = dataclasses.replace(base, **change)
        assert not equal(played_with(other, (1, 20))[0].members, reference.members), change


# -- looking at a run --------------------------------------------------------------------------------------------------


def test_proposals_are_levels_of_the_teacher_and_leave_the_state_alone():
    program = program_of(config_of(num_seeds=3))
    state, _ = played_with(config_of(num_seeds=3), (20,))
    before = copy(state)
    levels = program.proposals(state, 7)
    assert levels.start.shape == (7,)
    assert isinstance(levels.start, np.ndarray)
    assert np.all((levels.start >= 1) & (levels.start <= 5))
    assert equal(before, state)


def test_recorded_episode_begins_at_the_level_and_stops_before_its_end():
    config = config_of(env=Corridor(length=5, max_steps=6), num_seeds=3)
    program = program_of(config)
    state = program.init()
    level = jax.tree.map(lambda leaf: leaf[0], program.proposals(state, 1)).replace(start=np.int32(3))
    parameters = state.members.student.parameters
    policy = parameters["policy"] | {"bias": jnp.asarray([[-50.0, 50.0], [50.0, -50.0], [50.0, -50.0]])}
    student = state.members.student.replace(parameters=parameters | {"policy": policy})
    state = state.replace(members=state.members.replace(student=student))
    states = program.record_episode(state, Corridor(length=5, max_steps=6), level, jax.random.key(0))
    # the first member walks 3 → 2 → 1 → goal; the state at the goal is already the next episode's start
    assert [int(s.distance) for s in states] == [3, 2, 1]
    assert [int(s.time) for s in states] == [0, 1, 2]


def test_trap_16_a_suite_is_played_to_its_own_horizon_and_not_to_that_of_training():
    program = program_of(config_of(num_seeds=3))  # trains with 6 steps
    state = program.init()
    for horizon in (2, 60):
        env = Corridor(length=5, max_steps=horizon)
        suite = Suite("far", env, CorridorLevel(jnp.asarray([5], jnp.int32)), ("far",))
        lengths = program.evaluate(state, suite, jax.random.key(0), 8).mean_length
        assert np.all(lengths == 2) if horizon == 2 else np.all(lengths > 6), horizon


def test_two_agent_world_goes_through_the_same_loop():
    config = config_of(
        RobustPrioritizedLevelReplay(buffer_size=16, score="positive_value_loss"),
        env=Meeting(),
        ppo=PPOConfig(num_minibatches=2, num_epochs=2, bootstrap_truncated=True),
    )
    program = program_of(config)
    state, row = program.advance(program.init(), 10)
    assert float(row["student/first_ratio_error"][0]) < 5e-6
    assert program.counters(state)["env_steps"] == 10 * B * T


def test_a_teacher_may_probe_and_its_steps_are_counted():
    """A probe plays levels with the present student and without learning; every simulated step is in the accounts."""
    program = Program(config_of(ProbingTeacher(), updates=2, network=SMALL))
    state, metrics = program.advance(program.init(), 2)
    batch = program.config.num_envs * program.config.num_steps
    counters = program.counters(state)
    assert counters["student_updates"] == 2
    assert counters["train_steps"] == 2 * batch
    assert counters["env_steps"] == 2 * (1 + 2) * batch  # the rollout that trains, and two probes, each iteration
    assert np.isfinite(metrics["new/episode_length"]).all()
