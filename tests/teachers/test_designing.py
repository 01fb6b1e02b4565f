"""A policy that builds levels: its memory, its noise, its one reward at the end, and its own rate of learning.

Letters: ``B`` levels, ``L`` steps of a design.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import outcome
from tiny_runs import LEARNER, B, config_of, equal, program_of, raw, teacher_of
from toy_designers import (
    DESIGN_STEPS,
    CorridorDesigner,
    CorridorParameters,
    EditableCorridor,
    EditableCorridorLevels,
    ParameterCorridor,
    ParameterCorridorLevels,
    StuckCorridor,
)

import minied.teachers.designing as designing
from minied.env import with_agent_axis
from minied.errors import UserError
from minied.levels.parameters import ParameterDesigner
from minied.students import distributions
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.base import DESIGNED, Plan
from minied.teachers.pay import Pay

L = DESIGN_STEPS
SPACE = EditableCorridorLevels(5, 6)
WITH_MEMORY = NetworkConfig(memory="lstm", memory_size=5, head_size=4, embedding_size=2, recipe="jaxued")
MEAN_RETURN = Pay(score="mean_return")  # so that a level is worth what an outcome made by hand says


def designer_of(name="paired", **options):
    return teacher_of(name, **{"network": WITH_MEMORY, "pay": MEAN_RETURN} | options)


def plan_of(progress=0.0):
    return Plan.of(DESIGNED, train=True, new_batches=0).replace(progress=jnp.float32(progress))


@functools.cache
def begun(teacher, space=SPACE, key=0):
    """The state of a designer that has built nothing, with parameters so large that what it reads matters."""
    state = jax.jit(lambda key: teacher.init_designer(key, space))(jax.random.key(key))
    learner = state.learner.replace(parameters=jax.tree.map(lambda leaf: 3.0 * leaf, state.learner.parameters))
    return state.replace(learner=learner)


@functools.cache
def _design(teacher, space):
    return jax.jit(lambda key, state: teacher.design(key, state, plan_of(), space, B))


def designed(teacher, key=1, state=None, space: Any = SPACE):
    return _design(teacher, space)(jax.random.key(key), begun(teacher, space) if state is None else state)


@functools.cache
def _learn(teacher, space):
    def learn(state, design, returns, progress):
        return teacher.learn_from_pay(state, plan_of(progress), design, outcome(returns).signals, space)

    return jax.jit(learn)


def learnt(teacher, proposal, returns=(0.0, 3.0, 1.0, 0.0), progress=0.0, state=None):
    state = begun(teacher) if state is None else state
    return _learn(teacher, SPACE)(state, proposal.design, jnp.asarray(returns), progress)


# -- what is built -----------------------------------------------------------------------------------------------------


def test_levels_are_those_that_the_actions_build():
    proposal = designed(designer_of())
    actions = np.asarray(proposal.design.rollout.actions)[..., 0]  # [L, B]
    starts = 1 + np.cumsum(np.asarray([0, 1, -1])[actions], axis=0)
    assert actions.shape == (L, B)
    np.testing.assert_array_equal(proposal.levels.start, starts[-1])
    assert ((starts >= 1) & (starts <= 5)).all()
    assert len({*map(tuple, actions.T)}) > 1
    np.testing.assert_array_equal(proposal.sources, [DESIGNED] * B)
    np.testing.assert_array_equal(proposal.slots, [-1] * B)
    np.testing.assert_array_equal(
        np.asarray(proposal.design.rollout.terminated), np.arange(1, L + 1)[:, None] == [[L] * B]
    )


def test_building_starts_from_nothing_or_from_a_level_of_the_generator():
    beginnings = {"empty": [], "generator": []}
    for start, found in beginnings.items():
        teacher = designer_of(start_from=start)
        for key in range(3):
            proposal = designed(teacher, key)
            found += np.asarray(proposal.design.rollout.observations["start"])[0, :, 0, 0].tolist()
    np.testing.assert_allclose(beginnings["empty"], 1 / 5, rtol=1e-6)
    assert len({*beginnings["generator"]}) >= 3


def test_designs_depend_on_key_and_policy():
    teacher = designer_of()
    assert equal(designed(teacher, 1), designed(teacher, 1))
    assert not equal(designed(teacher, 1), designed(teacher, 2))
    other = begun(teacher, key=9)
    assert not equal(
        designed(teacher, 1).design.rollout.log_probs, designed(teacher, 1, other).design.rollout.log_probs
    )


def test_a_world_with_a_designer_is_built_in_steps_and_another_by_parameters():
    assert designer_of().designer_of(SPACE) == CorridorDesigner(5)
    space = ParameterCorridor().level_space
    assert isinstance(designer_of().designer_of(space), ParameterDesigner)
    assert designer_of(num_bins=7).designer_of(space).num_bins == 7
    proposal = designed(designer_of(builds="parameters"), space=space)
    actions = np.asarray(proposal.design.rollout.actions)[..., 0]
    np.testing.assert_array_equal(proposal.levels.start, 1 + actions[1])
    np.testing.assert_array_equal(actions[0], np.asarray(proposal.levels.start) > 2)  # the mask: near or far cells


# -- trap 5 ------------------------------------------------------------------------------------------------------------


def recomputed(teacher, state, design, carry=None, noise=1.0):
    """What the policy gives the actions of a design when it is run over it from the start, f32[L, B]."""
    policy: Any = teacher._policy(with_agent_axis(teacher.designer_of(SPACE)))
    rollout = design.rollout
    rows = jax.tree.map(lambda leaf: leaf[:, :, 0], rollout.observations)
    rows["noise"] = rows["noise"] * noise
    carry = policy.initial_carry(B) if carry is None else carry
    _, logits, values = policy.apply(state.learner.parameters, carry, rows, rollout.resets)
    return distributions.log_probability(logits, rollout.actions[..., 0]), values


def test_trap_05_every_design_begins_with_an_empty_memory():
    teacher = designer_of()
    first = designed(teacher, 1)
    state = learnt(teacher, first)
    second = designed(teacher, 2, state)  # of a policy that has built and learnt before
    for proposal, before in ((first, begun(teacher)), (second, state)):
        design = proposal.design
        np.testing.assert_array_equal(design.rollout.resets, np.arange(L)[:, None] == [[0] * B])
        log_probs, values = recomputed(teacher, before, design)
        np.testing.assert_allclose(design.rollout.log_probs[..., 0], log_probs, atol=1e-5)
        np.testing.assert_allclose(design.rollout.values[:, :, 0], values, atol=1e-5)
        assert all((leaf == 0).all() for leaf in raw(design.carry))
    # The memory matters: where it is not emptied, a full one gives other probabilities.
    design = first.design.replace(rollout=first.design.rollout.replace(resets=jnp.zeros((L, B), bool)))
    full = jax.tree.map(jnp.ones_like, design.carry)
    log_probs, _ = recomputed(teacher, begun(teacher), design, full)
    assert np.abs(np.asarray(design.rollout.log_probs[..., 0] - log_probs)).max() > 0.01


# -- trap 7 ------------------------------------------------------------------------------------------------------------


def test_trap_07_noise_reaches_the_network_as_the_designer_made_it():
    teacher = designer_of()
    proposal = designed(teacher, 4)
    noise = np.asarray(proposal.design.rollout.observations["noise"])[:, :, 0]  # [L, B, 2]
    # The first is drawn from the keys of the rollout's start.
    start_key = jax.random.split(jax.random.key(4), 4)[1]
    expected = jax.vmap(lambda key: jax.random.normal(key, (2,)))(jax.random.split(start_key, B))
    np.testing.assert_allclose(noise[0], expected, rtol=1e-6)
    assert len(np.unique(noise)) == L * B * 2  # at every step, of every level, another
    with_noise, _ = recomputed(teacher, begun(teacher), proposal.design)
    without, _ = recomputed(teacher, begun(teacher), proposal.design, noise=0.0)
    np.testing.assert_allclose(proposal.design.rollout.log_probs[..., 0], with_noise, atol=1e-5)
    assert np.abs(np.asarray(with_noise - without)).max() > 0.05


# -- trap 6 ------------------------------------------------------------------------------------------------------------


def what_is_learnt_from(teacher, proposal, returns, monkeypatch, progress=0.0):
    """The batch, the rate, and other arguments with which the learner is called."""
    seen: dict[str, Any] = {}

    def update(key, student, state, batch, config, rate, num_agents, spread):
        seen.update(batch=batch, rate=float(rate), num_agents=num_agents)
        return state, {name: jnp.zeros(()) for name in designing._METRICS}

    monkeypatch.setattr(designing.ppo, "update", update)
    plan, signals = plan_of(progress), outcome(returns).signals
    teacher.learn_from_pay(begun(teacher), plan, proposal.design, signals, SPACE)
    return seen


def test_trap_06_the_last_step_is_an_end_and_carries_the_pay(monkeypatch):
    teacher = designer_of(ppo=PPOConfig(discount=0.9, gae_lambda=0.8))
    returns = [0.0, 3.0, 1.0, 0.5]
    proposal = designed(teacher, 1)
    batch = what_is_learnt_from(teacher, proposal, returns, monkeypatch)["batch"]
    values = np.asarray(proposal.design.rollout.values)[:, :, 0, 0]
    # A₃ = r − V₃, and then A_t = (γ V_{t+1} − V_t) + γ λ A_{t+1}; nothing comes after step 3.
    expected = np.zeros((L, B))
    expected[3] = np.asarray(returns) - values[3]
    for step in (2, 1, 0):
        expected[step] = 0.9 * values[step + 1] - values[step] + 0.9 * 0.8 * expected[step + 1]
    np.testing.assert_allclose(batch.advantages, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.targets, expected + values, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(batch.actions, proposal.design.rollout.actions[..., 0])
    # What follows the end is no part of it: all that the rollout says of it changes nothing.
    assert np.abs(values).min() > 1e-3


def test_without_discount_every_step_of_a_design_learns_the_pay(monkeypatch):
    teacher = designer_of(ppo=PPOConfig(discount=1.0, gae_lambda=1.0))
    proposal = designed(teacher, 1)
    batch = what_is_learnt_from(teacher, proposal, [0.0, 3.0, 1.0, 0.5], monkeypatch)["batch"]
    np.testing.assert_allclose(batch.targets, [[0.0, 3.0, 1.0, 0.5]] * L, atol=1e-5)


# -- trap 9 ------------------------------------------------------------------------------------------------------------


def moved(before, after):
    leaves = zip(raw(before.learner.parameters), raw(after.learner.parameters), strict=True)
    return np.concatenate([(b - a).ravel() for a, b in leaves])


def test_trap_09_the_designer_learns_at_its_own_rate():
    once = PPOConfig(learning_rate=0.01, num_epochs=1)
    steps = {}
    for rate in (0.01, 0.02):
        teacher = designer_of(ppo=dataclasses.replace(once, learning_rate=rate))
        proposal = designed(teacher, 1)
        steps[rate] = moved(begun(teacher), learnt(teacher, proposal))
    assert np.abs(steps[0.01]).max() > 0.005  # a first step of Adam: the rate, where there is any gradient
    np.testing.assert_allclose(steps[0.02], 2 * steps[0.01], rtol=1e-3, atol=1e-6)


def test_trap_09_its_rate_falls_with_the_progress_of_the_run_and_ends_at_zero():
    linear = designer_of(ppo=PPOConfig(learning_rate=0.01, num_epochs=1, anneal="linear"))
    proposal = designed(linear, 1)
    full, half, none = (moved(begun(linear), learnt(linear, proposal, progress=p)) for p in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-3, atol=1e-6)
    assert (none == 0).all()
    constant = designer_of(ppo=PPOConfig(learning_rate=0.01, num_epochs=1))
    np.testing.assert_array_equal(moved(begun(constant), learnt(constant, proposal, progress=1.0)), full)


UPDATES = 4


@pytest.mark.parametrize("name", ["repaired", pytest.param("paired", marks=pytest.mark.slow)])
def test_trap_09_rate_of_the_designer_is_counted_in_the_progress_of_the_run(name):
    """Of REPAIRED too, whose students learn in some iterations and its designer in the others."""
    learner = dataclasses.replace(LEARNER, anneal="linear")
    options = {"ppo": learner} | ({"replay_probability": 0.5} if name == "repaired" else {})
    config = config_of(teacher_of(name, **options), updates=UPDATES, ppo=learner)
    program = program_of(config)
    state, rates, of_students, now = program.init(), [], [], 0
    while not program.is_finished(state):
        progress = program.counters(state)["student_updates"] / UPDATES
        state, row = program.advance(state, now := now + 1)
        designed_now = name == "paired" or np.isnan(row["student/learning_rate"][0])
        if designed_now:
            rates.append((progress, float(row["teacher/designer/learning_rate"][0])))
        if not np.isnan(row["student/learning_rate"][0]):
            of_students.append((progress, float(row["student/learning_rate"][0])))
    for progress, rate in rates + of_students:
        assert rate == pytest.approx(0.01 * (1 - progress), rel=1e-5)
    assert len(of_students) == UPDATES
    assert of_students[-1][1] == pytest.approx(0.01 / UPDATES, rel=1e-5)  # and 0 at the end, where it stops
    if name == "repaired":
        assert len(rates) >= 2
        assert now > UPDATES


# -- what a run tells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"network": WITH_MEMORY, "uniform_share": 0.3},
        pytest.param(
            {"network": WITH_MEMORY, "uniform_share": 0.3, "ppo": dataclasses.replace(LEARNER, num_minibatches=2)},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["one minibatch", "two"],
)
def test_what_the_learner_sees_is_what_the_policy_did(options):
    """On two devices: memory, masks, the mixture with uniform, and the rows of each device are aligned."""
    program = program_of(config_of(teacher_of("minimax_adversary", **options), num_devices=2))
    assert program.spread.axis == "environments"
    state = program.init()
    for until in (1, 2, 3):
        state, row = program.advance(state, until)
        assert row["teacher/designer/first_ratio_error"][0] < 1e-5
        assert row["teacher/designer/gradient_norm"][0] > 1e-3


def test_a_policy_that_is_all_uniform_is_uniform_over_what_is_allowed():
    teacher = designer_of(uniform_share=1.0)
    proposal = designed(teacher, 3)
    rollout = proposal.design.rollout
    allowed = np.asarray(rollout.observations["mask"]).sum(axis=-1)
    np.testing.assert_allclose(rollout.log_probs, -np.log(allowed), atol=1e-5)
    assert {*np.unique(allowed)} == {2, 3}


def test_devices_that_do_not_divide_a_minibatch_of_the_designer():
    learner = dataclasses.replace(LEARNER, num_minibatches=B)
    teacher = teacher_of("minimax_adversary", ppo=learner)
    with pytest.raises(
        UserError, match="num_devices is 2, which divides neither num_seeds = 1 nor the environments of"
    ):
        program_of(config_of(teacher, num_devices=2))
    # On its own such a run takes as many devices as it can: 16 environments in 16 minibatches none but one.
    teacher = teacher_of("minimax_adversary", ppo=dataclasses.replace(LEARNER, num_minibatches=16))
    assert program_of(config_of(teacher, num_envs=16)).spread.number == 1
    assert program_of(config_of("minimax_adversary", num_envs=16)).spread.number == 2


def test_a_mask_that_leaves_nothing_stops_the_run_and_names_the_step():
    config = config_of("minimax_adversary", env=StuckCorridor(length=5, max_steps=6, stuck_at=2))
    program = program_of(config)
    with pytest.raises(UserError) as error:
        program.advance(program.init(), 5)
    assert str(error.value) == (
        "the designer's mask leaves no action at step 3 of a design; allowed: at least one in every step,"
        " in iteration 1; what was saved before is kept"
    )


@dataclasses.dataclass(frozen=True)
class NoCellParameters(CorridorParameters):
    """Leaves no cell to choose."""

    def allowed(self, part, values):
        return super().allowed(part, values) & (part != 1)


@dataclasses.dataclass(frozen=True)
class NoCellLevels(ParameterCorridorLevels):
    @property
    def parameters(self):
        return NoCellParameters(self.length)


@dataclasses.dataclass(frozen=True)
class NoCellCorridor(ParameterCorridor):
    @property
    def level_space(self):
        return NoCellLevels(self.length, self.max_steps, self.wrong)


def test_a_parameter_that_has_no_choice_left_stops_the_run_and_is_named():
    program = program_of(config_of("minimax_adversary", env=NoCellCorridor(length=5, max_steps=6)))
    with pytest.raises(UserError, match="leaves no action at step 2 of a design, where 'cell' is chosen; allowed"):
        program.advance(program.init(), 1)


@pytest.mark.parametrize("name", ["minimax_adversary", pytest.param("repaired", marks=pytest.mark.slow)])
def test_a_designer_that_diverges_stops_the_run(name):
    """Its actions would be uniform, and nothing else would show it."""
    teacher = teacher_of(name, ppo=dataclasses.replace(LEARNER, learning_rate=3e38))
    program = program_of(config_of(teacher))
    with pytest.raises(UserError) as error:
        program.advance(program.init(), 50)
    line = str(error.value)
    assert line.startswith(
        "teacher.ppo.learning_rate is 3e+38, allowed here: probably less, as the designer is not finite"
    )
    assert int(line.partition("in iteration ")[2].partition(";")[0]) <= 4


def test_options_out_of_range_are_told_in_one_line():
    for options, told in (
        ({"builds": "walls"}, "builds is 'walls'; allowed: auto, steps, parameters"),
        ({"start_from": "full"}, "start_from is 'full'; allowed: empty, generator"),
        ({"num_bins": 1}, r"num_bins is 1; allowed: \[2, 65536\]"),
        ({"uniform_share": 1.5}, r"uniform_share is 1.5; allowed: \[0, 1\]"),
        ({"network": NetworkConfig(num_policy_heads=2)}, "network.num_policy_heads is 2; allowed for a designer: 1"),
    ):
        with pytest.raises(UserError, match=f"^{told}$"):
            teacher_of("paired", **options)


@dataclasses.dataclass(frozen=True)
class TimelessDesigner(CorridorDesigner):
    """Forgets to count its steps, so that no design ends."""

    def build(self, key, state, action):
        observation, after = super().build(key, state, action)
        return observation, after.replace(time=state.time)


@dataclasses.dataclass(frozen=True)
class WideDesigner(CorridorDesigner):
    """Builds levels whose start is another type than the generator's."""

    def level_of(self, state):
        level = super().level_of(state)
        return level.replace(start=level.start.astype(jnp.float32))


def fields_of(thing):
    return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}


@dataclasses.dataclass(frozen=True)
class GivenDesignerLevels(EditableCorridorLevels):
    kind: type = CorridorDesigner

    @property
    def designer(self):
        return self.kind(**fields_of(super().designer))


@dataclasses.dataclass(frozen=True)
class GivenDesignerCorridor(EditableCorridor):
    kind: type = CorridorDesigner

    @property
    def level_space(self):
        return GivenDesignerLevels(**fields_of(super().level_space), kind=self.kind)


def test_a_design_that_does_not_end_stops_the_run():
    program = program_of(config_of("paired", env=GivenDesignerCorridor(length=5, max_steps=6, kind=TimelessDesigner)))
    with pytest.raises(UserError, match=r"a design does not end with its step max_steps.* in iteration 1;"):
        program.advance(program.init(), 1)


class MethodLevels(EditableCorridorLevels):
    def designer(self):  # without @property
        return CorridorDesigner(self.length)


@pytest.mark.parametrize("space", [MethodLevels(5, 6), GivenDesignerLevels(5, 6, kind=lambda **_: CorridorDesigner)])
def test_what_is_no_designer_is_told(space):
    """A method in place of a property, and a class in place of an instance."""
    with pytest.raises(UserError, match=r"allowed: an instance of minied\.levels\.designer\.Designer, by a property"):
        designer_of().designer_of(space)


def test_levels_of_another_form_than_the_generator_s_are_told_with_both():
    with pytest.raises(
        UserError, match=r"WideDesigner builds levels start float32\[\]; allowed: as .* start int32\[\]"
    ):
        config_of("paired", env=GivenDesignerCorridor(length=5, max_steps=6, kind=WideDesigner))
