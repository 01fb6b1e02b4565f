"""A run over two devices is the run of one: environments to rounding, members bit for bit, evaluations from the same draws.

The process of the tests has two CPU devices (`conftest`). Letters: ``S`` members, ``B`` levels, ``T`` steps, ``N``
iterations, ``D`` devices.
"""

import contextlib
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spread_runs import SMALL, TWO, WITH_MEMORY, N, T, config_of, part_of
from tiny_runs import TEACHERS, copy, equal, raw
from tiny_runs import config_of as tiny_config_of
from toy_designers import EditableCorridor
from toy_worlds import Corridor, CorridorLevel, Lottery, Meeting

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.evaluate.episodes import evaluate_levels
from minied.levels.space import Suite
from minied.run.checkpoint import Checkpoints
from minied.spaces import Discrete
from minied.spread import ALONE, Spread
from minied.students import ppo
from minied.students.base import Earlier
from minied.students.networks.actor_critic import ActorCritic
from minied.students.ppo import Batch, PPOConfig
from minied.teachers.accel import ParallelAccel
from minied.teachers.base import NEW, Plan, propose_new
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.teachers.sampling_for_learnability import SamplingForLearnability
from minied.train import program as programs
from minied.train.program import Program

ROUNDING: dict[str, Any] = {
    "rtol": 1e-4,
    "atol": 2e-5,
}  # of parameters that moved by 0.01 an update; seen here: at most 2e-6


def close(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(raw(a), raw(b), strict=True):
        if x.dtype.kind == "f":
            np.testing.assert_allclose(x, y, **(ROUNDING | tolerance))
        else:  # levels, slots, counts, keys: exactly
            np.testing.assert_array_equal(x, y)


# -- environments ------------------------------------------------------------------------------------------------------


class ProbesUnevenly(DomainRandomization):
    """Proposes new levels of which the present student did well on some: it probes 6 and 3, which are no batches of 4."""

    def plan(self, key, schedule, num_levels):
        return Plan.of(NEW, train=True, new_batches=1, rollouts=1 + 3)

    def propose(self, key, state, plan, space, num_levels, probe):
        keys = jax.random.split(key, 5)
        first, second = (propose_new(each, space, num_levels) for each in keys[:2])
        six = jax.vmap(space.sample)(jax.random.split(keys[2], 6))
        three = jax.tree.map(lambda leaf: leaf[:3], six)
        a, b = probe(keys[3], six).episodes.mean_return, probe(keys[4], three, 2).episodes.mean_length
        assert (a.shape, b.shape) == ((6,), (3,))
        # Weighted by place, so that levels in another order would show.
        weigh = lambda leaf: jnp.sum(jnp.nan_to_num(leaf) * jnp.arange(1.0, leaf.shape[0] + 1))  # noqa: E731
        is_first = (jnp.round(weigh(a) * 16) + jnp.round(weigh(b) * 16)).astype(jnp.int32) % 2 == 0
        return state, jax.tree.map(lambda x, y: jnp.where(is_first, x, y), first, second)


_REPLAY = {"buffer_size": 12, "minimum_fill": 0.5}
_MIXED = {"teacher": RobustPrioritizedLevelReplay(**_REPLAY, replay_probability=0.6, score="positive_value_loss")}
_TWO_MINIBATCHES = PPOConfig(learning_rate=0.01, num_epochs=2, num_minibatches=2, adam_epsilon=1e-3)
RUNS = {
    "domain randomisation, time-outs": {
        "env": EditableCorridor(length=5, max_steps=3),
        "ppo": PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=1e-3, bootstrap_truncated=True),
        "network": WITH_MEMORY,
    },
    "robust PLR": _MIXED,
    "parallel ACCEL": {"teacher": ParallelAccel(**_REPLAY, score="max_mc"), "network": WITH_MEMORY},
    "SFL": {
        "teacher": SamplingForLearnability(
            buffer_size=6, num_candidates=10, candidate_rollouts=2, refresh_every=2, score="learnability"
        )
    },
    "two agents, two minibatches, two policies": {
        "env": Meeting(),
        "network": dataclasses.replace(WITH_MEMORY, num_policy_heads=2, num_value_heads=2),
        "ppo": _TWO_MINIBATCHES,
    },
    "probes of other numbers, keys in the state of the world": {"env": Lottery(), "teacher": ProbesUnevenly()},
    # each of these alone, and a score that differentiates
    "two minibatches": {"ppo": _TWO_MINIBATCHES},
    "two agents": {"env": Meeting(chase=True), "network": WITH_MEMORY},
    "change of the parameters": {
        "teacher": dataclasses.replace(_MIXED["teacher"], score="parameter_change"),
        "network": WITH_MEMORY,
    },
}
LONGER = ("two minibatches", "two agents", "change of the parameters")


@functools.cache
def played(name, num_devices):
    """The program, the states after N / 2 and N iterations, and the metrics of each iteration."""
    program, rows, middle = Program(config_of(num_devices=num_devices, **RUNS[name])), [], None
    # A start made by the other program: it is the same, and not compiled twice. Of the second run each makes its own.
    state = program.init() if name == "robust PLR" else Program(config_of(**RUNS[name])).init()
    for until in range(1, N + 1):
        state, row = program.advance(state, until)
        middle = copy(state) if until == N // 2 else middle
        rows.append(row)
    return program, middle, state, rows


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONGER else name for name in RUNS]
)
def test_environments_on_two_devices_are_those_on_one(name):
    one, _, state, rows = played(name, 1)
    two, _, spread_state, spread_rows = played(name, 2)
    assert (one._setting.spread, two._setting.spread) == (ALONE, TWO)
    # Parameters to rounding; of the teacher levels, slots and visits exactly; all keys and counts exactly.
    close(spread_state, state)
    assert two.counters(spread_state) == one.counters(state)
    for row, spread_row in zip(rows, spread_rows, strict=True):
        assert row.keys() == spread_row.keys()
        for key, value in row.items():
            np.testing.assert_allclose(spread_row[key], value, rtol=1e-3, atol=1e-5, err_msg=key)
            if "/levels/" in key or "solve_rate" in key or "episode_length" in key:  # what was proposed and done
                np.testing.assert_array_equal(spread_row[key], value, err_msg=key)
    assert two.counters(spread_state)["student_updates"] >= 1
    assert max(np.nanmax(row["student/gradient_norm"]) for row in rows if row["student/gradient_norm"] > 0) > 0.01


@pytest.mark.parametrize("name", ["domain randomisation, time-outs", "parallel ACCEL"])
def test_the_learner_starts_where_the_rollout_was_on_every_device(name):
    """The activations kept are those of the rows that are learnt from, of three batches too."""
    for num_devices in (1, 2):
        errors = [row["student/first_ratio_error"] for row in played(name, num_devices)[3]]
        assert np.nanmax(errors) < 1e-5


def test_a_look_at_a_run_on_two_devices_is_that_at_one():
    """At a teacher that probes, which alone needs to know of devices."""
    (one, _, state, _), (two, _, spread_state, _) = (played("SFL", number) for number in (1, 2))
    close(two.annotated_proposals(spread_state, 6), one.annotated_proposals(state, 6))
    episode = [
        each.record_episode(at, each.config.env, CorridorLevel(jnp.int32(4)), jax.random.key(1))
        for each, at in ((one, state), (two, spread_state))
    ]
    close(*episode, rtol=0, atol=0)


# -- members -----------------------------------------------------------------------------------------------------------


@functools.cache
def members(num_devices):
    """The program, the states of four members after 3 and 6 iterations, and the metrics of both pieces."""
    program = Program(config_of(num_devices=num_devices, num_seeds=4, seed=5, **_MIXED))
    middle, early = program.advance(program.init(), 3)
    state, late = program.advance(copy(middle), 6)
    return program, middle, state, (early, late)


def test_members_on_two_devices_are_those_on_one_bit_for_bit():
    one, _, state, rows = members(1)
    two, _, spread_state, spread_rows = members(2)
    assert two._setting.spread == Spread("members", 2)
    assert equal(spread_state, state)
    assert equal(spread_rows, rows)
    assert one.counters(state) == two.counters(spread_state)
    leaf = jax.tree.leaves(spread_state.members.student.parameters)[0]
    assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {2}  # two members a device, none twice
    assert len({shard.device for shard in leaf.addressable_shards}) == 2


def test_a_look_at_members_on_two_devices_is_computed_on_the_first_alone(monkeypatch):
    """Ninety small programs over both devices at once have been seen to wait for each other for ever."""
    (one, _, state, _), (two, _, spread_state, _) = members(1), members(2)
    seen, alone = [], programs._alone
    monkeypatch.setattr(programs, "_alone", lambda tree: seen.extend(jax.tree.leaves(tree)) or alone(tree))
    assert equal(programs._first(spread_state.members), programs._first(state.members))
    assert len(seen) > 50
    assert {len(leaf.sharding.device_set) for leaf in seen} == {1}
    assert equal(two.proposals(spread_state, 6), one.proposals(state, 6))


def test_what_is_broken_in_a_member_of_one_device_stops_all():
    program = Program(config_of(num_devices=2, num_seeds=2))
    state = program.init()
    parameters = state.members.student.parameters
    parameters["policy"]["bias"] = parameters["policy"]["bias"].at[1].set(jnp.nan)  # of the second device's member
    with pytest.raises(UserError, match="not finite in iteration 0"):
        program.advance(state.replace(members=state.members), 3)


# -- evaluation --------------------------------------------------------------------------------------------------------


def suite_of(num_levels=5):
    env = Corridor(length=5, max_steps=40)
    levels = CorridorLevel(jnp.arange(1, num_levels + 1, dtype=jnp.int32) % 5 + 1)
    return Suite("some", env, levels, tuple(f"level {i}" for i in range(num_levels)))


def test_evaluation_on_two_devices_is_that_on_one():
    """Of the same parameters: of members each by its own, and of one spread over its environments."""
    key = jax.random.key(3)
    (one, _, state, _), (two, _, spread_state, _) = members(1), members(2)
    assert equal(two.evaluate(spread_state, suite_of(), key, 3), one.evaluate(state, suite_of(), key, 3))
    (one, _, state, _), (two, *_) = (played("domain randomisation, time-outs", number) for number in (1, 2))
    results = one.evaluate(state, suite_of(), key, 3)
    assert equal(two.evaluate(state, suite_of(), key, 3), results)
    assert results.solve_rate.shape == (1, 5)
    assert len(np.unique(results.mean_length)) > 2


@pytest.mark.parametrize("env", [Lottery(max_steps=70), Meeting(max_steps=70)], ids=["lottery", "two agents"])
@pytest.mark.parametrize("rows_at_once", [8, 100])
def test_rows_that_wait_take_the_same_places_on_two_devices(env, rows_at_once):
    """36 rows in 8 places, or in 40; which of them comes when depends on what happened on both devices."""
    world = with_agent_axis(env)
    student = ActorCritic.of(env, SMALL)
    levels = jax.vmap(env.level_space.sample)(jax.random.split(jax.random.key(0), 12))

    def evaluate(spread, parameters, levels):
        return evaluate_levels(jax.random.key(1), student, parameters, world, levels, 3, rows_at_once, spread)

    @functools.partial(jax.jit, static_argnums=0)
    def on(spread, parameters, levels):
        return spread.run(functools.partial(evaluate, spread), (parameters, levels), (jax.P(), jax.P()), jax.P())

    parameters = jax.jit(student.init)(jax.random.key(2))
    results = on(ALONE, parameters, levels)
    assert equal(on(TWO, parameters, levels), results)
    assert len(np.unique(results.mean_length)) > 2


# -- gradients ---------------------------------------------------------------------------------------------------------


def batch_of(student, num_rows, with_earlier):
    """A batch whose rows differ so much that a mean over half of them is another."""
    rng = np.random.default_rng(0)
    f32 = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    rising = jnp.arange(num_rows, dtype=jnp.float32)[None]
    batch = Batch(
        observations=jnp.asarray(rng.integers(4, size=(T, num_rows)), jnp.int32),
        resets=jnp.asarray(rng.random((T, num_rows)) < 0.2),
        actions=jnp.asarray(rng.integers(3, size=(T, num_rows)), jnp.int32),
        log_probs=jnp.log(1 / 3) + 0.3 * f32(T, num_rows),
        values=f32(T, num_rows, 1),
        advantages=f32(T, num_rows) * (1 + rising) + rising,
        targets=f32(T, num_rows) + rising,
        carry=jax.tree.map(lambda leaf: 0.3 * f32(*leaf.shape), student.initial_carry(num_rows)),
    )
    parameters = jax.jit(student.init)(jax.random.key(0))
    rng = np.random.default_rng(1)
    parameters = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), parameters)
    if with_earlier:
        *_, activations = student.record(parameters, batch.carry, batch.observations, batch.resets)
        batch = batch.replace(earlier=Earlier(activations, jnp.bool_(True)))
    return parameters, batch


@pytest.mark.parametrize(
    ("num_minibatches", "num_agents", "with_earlier"),
    [(1, 1, False), (1, 2, True), (2, 1, False), (2, 2, False)],
)
def test_an_update_on_two_devices_is_that_on_one(num_minibatches, num_agents, with_earlier):
    student = ActorCritic(Discrete(4), Discrete(3), WITH_MEMORY)
    config = PPOConfig(num_minibatches=num_minibatches, num_epochs=2, adam_epsilon=0.1)
    parameters, batch = batch_of(student, 8, with_earlier)
    state = ppo.init_student(jax.random.key(0), student, config).replace(parameters=parameters)

    @functools.partial(jax.jit, static_argnums=0)
    def on(spread, state, batch):
        def update(state, batch):
            mine = part_of(batch, spread)
            return ppo.update(
                jax.random.key(4), student, state, mine, config, jnp.float32(0.05), num_agents, spread
            )  # fmt: skip

        return spread.run(update, (state, batch), (jax.P(), jax.P()), jax.P())

    (alone, metrics), (spread, spread_metrics) = on(ALONE, state, batch), on(TWO, state, batch)
    close(spread, alone, rtol=1e-4, atol=1e-6)  # the moments of Adam too, which have the size of the gradient
    close(spread_metrics, metrics, rtol=1e-4, atol=1e-6)
    assert metrics["gradient_norm"] > 0.1
    assert metrics["first_ratio_error"] > 0.1  # of a batch whose log-probabilities are others


# -- checkpoints, and what is compiled ---------------------------------------------------------------------------------


@contextlib.contextmanager
def compilations():
    """Note what is traced, lowered or compiled meanwhile: a list with an entry for each."""
    found = []

    def listen(event: str, duration_secs: float, **about: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            found.append((event, about))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_compilations_are_seen():
    with compilations() as found:
        jax.jit(lambda x: x * 17.25)(jnp.float32(1.0))
    assert any("trace" in event for event, _ in found)
    assert any("backend" in event for event, _ in found)


def saved(program, state, directory, step):
    directory.mkdir()
    with Checkpoints(directory, "f") as checkpoints:
        checkpoints.save(step, state, program.counters(state), {}, 3)
        return checkpoints.restore(jax.eval_shape(program.init)).state


@pytest.mark.parametrize("kind", ["alone", "environments", "members"])
def test_one_program_serves_every_call_after_the_start_and_after_a_restore(kind, tmp_path):
    options = {"num_seeds": 2} if kind == "members" else {}
    config = config_of(num_devices=1 if kind == "alone" else 2, num_steps=7, **options)
    program = Program(config)
    assert program._setting.spread.axis == ("none" if kind == "alone" else kind)
    with compilations() as found:
        state, _ = program.advance(program.init(), 1)
    assert found
    with compilations() as found:
        state, _ = program.advance(state, 2)
        state, _ = program.advance(state, 4)
    assert not found
    restored = saved(program, state, tmp_path / "checkpoints", 4)
    again = Program(config)
    with compilations() as found:
        restored, _ = again.advance(restored, 5)
        restored, _ = again.advance(restored, 6)
        started, _ = again.advance(again.init(), 1)
    assert not found
    unbroken, _ = program.advance(state, 6)
    assert equal(restored, unbroken)
    assert int(started.schedule.iterations) == 1


def test_a_buffer_that_was_read_back_is_served_by_the_same_program(tmp_path):
    program, middle, state, _ = played("parallel ACCEL", 1)
    restored = saved(program, middle, tmp_path / "checkpoints", N // 2)
    with compilations() as found:
        again, _ = program.advance(restored, N)
    assert equal(again, state)
    assert not found


@pytest.mark.parametrize("name", TEACHERS)
def test_a_new_state_has_the_types_that_a_checkpoint_gives_back(name):
    """None of them weak, as a Python number is: the program would be compiled again for a state that was read back."""
    state = jax.eval_shape(Program(tiny_config_of(name)).init)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    assert [jax.tree_util.keystr(path) for path, leaf in leaves if leaf.weak_type] == []


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_goes_on_on_another_number_of_devices(before, after, tmp_path):
    """Over environments: to rounding what it would have been."""
    (first, middle, _, _), (second, *_) = (played("parallel ACCEL", number) for number in (before, after))
    state, _ = second.advance(saved(first, middle, tmp_path / "checkpoints", N // 2), N)
    unbroken = played("parallel ACCEL", 1)[2]
    close(state, unbroken)
    assert second.counters(state) == first.counters(unbroken)


def test_members_go_on_on_another_number_of_devices_bit_for_bit(tmp_path):
    (one, middle, state, _), (two, spread_middle, _, _) = members(1), members(2)
    assert equal(two.advance(saved(one, middle, tmp_path / "to two", 3), 6)[0], state)
    assert equal(one.advance(saved(two, spread_middle, tmp_path / "to one", 3), 6)[0], state)


def test_a_state_may_be_handed_from_one_number_of_devices_to_another_as_it_is():
    (one, _, state, _), (two, _, spread_state, _) = (played("robust PLR", number) for number in (1, 2))
    close(two.advance(copy(state), N + 1)[0], one.advance(copy(spread_state), N + 1)[0])
