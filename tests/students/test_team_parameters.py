"""A whole set of parameters for every team: each team's network is applied to its own rows, and learns from them alone.

The oracle is a loop over agents. Letters: ``T`` steps, ``B`` environments, ``N`` agents, ``M = B·N`` rows.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_cases import RESETS, M, T, apply, close, dirty, general, largest, observations, record, repeat, same
from tiny_runs import copy, equal, program_of, raw
from toy_entities import Arena
from toy_worlds import Meeting

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.levels.space import Suite
from minied.run.checkpoint import Checkpoints
from minied.spaces import Box, Dict, Entities, MultiDiscrete
from minied.students import ppo
from minied.students.base import Earlier, RecordingStudent
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.networks.teams import TeamStudent, student_of
from minied.students.ppo import Batch, PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.paired import Paired
from minied.train.config import TrainConfig

SPACE = Dict((("self", Box(-1, 1, (2,))), ("others", Entities(2, 2))))
OPTIONS = {"entity_size": 4, "memory_size": 4, "head_size": 3, "ring_filters": 2}
TEAMS = [(0, 1, 1), (2, 5, 2), (1, 0, 0), (2, 1, 0)]
"""One agent and two in line; mixed, of any numbers; the other way round; each agent its own."""


@functools.cache
def student(teams, critic="shared", memory="lstm", **options):
    config = NetworkConfig(**OPTIONS | {"critic": critic, "memory": memory, "parameters": "team"} | options)
    return TeamStudent(ActorCritic(SPACE, MultiDiscrete((2, 2)), config, num_agents=len(teams)), teams)


def sequence(who):
    return general(who), dirty(who), observations(SPACE), jnp.asarray(RESETS)


def rows_of(tree, agents, axis):
    """The rows of some agents, of three."""
    rows = [row for row in range(M) if row % 3 in agents]
    return jax.tree.map(lambda leaf: jnp.take(leaf, np.asarray(rows), axis), tree), rows


def agents_of(teams):
    return {f"team_{team}": [n for n, each in enumerate(teams) if each == team] for team in set(teams)}


def assert_loop(who, method, found, parameters, carry, seen, resets):
    """`found`, carry first if there is one, is what a loop over teams gives."""
    for name, agents in agents_of(who.teams).items():
        (seen_part, resets_part), rows = rows_of((seen, resets), agents, 1)
        of_team = method(who.student, parameters[name], rows_of(carry, agents, 0)[0], seen_part, resets_part)
        close(jax.tree.map(lambda leaf, rows=rows: leaf[np.asarray(rows)], found[0]), of_team[0])
        close(
            [jax.tree.map(lambda leaf, rows=rows: leaf[:, np.asarray(rows)], each) for each in found[1:]],
            [*of_team[1:]],
        )


@pytest.mark.parametrize("teams", TEAMS, ids=str)
def test_each_team_is_played_by_its_own_network(teams):
    who = student(teams)
    given = sequence(who)
    assert sorted(given[0]) == sorted(agents_of(teams))
    found = apply(who, *given)
    assert [leaf.shape[0] for leaf in jax.tree.leaves(found[0])] == [M] * 2
    assert_loop(who, apply, found, *given)
    # And so it matters whose network it is.
    first, last = sorted(given[0])[0], sorted(given[0])[-1]
    swapped = given[0] | {first: given[0][last], last: given[0][first]}
    changed = np.abs(apply(who, swapped, *given[1:])[1] - found[1]).max(axis=(0, 2)) > 1e-4
    np.testing.assert_array_equal(changed, [f"team_{teams[row % 3]}" in (first, last) for row in range(M)])


@pytest.mark.parametrize(("critic", "memory"), [("own", "lstm"), ("shared", "none")])
def test_recording_is_applying_and_so_is_repeating_what_was_recorded(critic, memory):
    who = student((0, 1, 0), critic, memory)
    assert isinstance(who, RecordingStudent)
    given = sequence(who)
    applied = apply(who, *given)
    *recorded, activations = record(who, *given)
    same(tuple(recorded), applied)
    assert bool(activations) == bool(jax.tree.leaves(activations)) == (memory == "lstm")
    if activations:
        assert all(leaf.shape[:2] == (T, M) for leaf in jax.tree.leaves(activations))
        assert_loop(who, record, (*recorded, activations), *given)
        wrong = jax.tree.map(lambda leaf: leaf + 0.1, activations)
        close(repeat(who, *given, Earlier(activations, jnp.asarray(True))), applied)
        close(repeat(who, *given, Earlier(wrong, jnp.asarray(False))), applied)
        assert (
            np.abs(repeat(who, *given, Earlier(wrong, jnp.asarray(True)))[1] - applied[1]).min(axis=(0, 2)).max() > 1e-5
        )


def test_every_team_plays_all_heads_of_an_ensemble():
    who = student((0, 1, 0), memory="none", num_policy_heads=2)
    _, heads = who.initial_carry(4 * 3)
    # All agents of environment b (rows 3b to 3b + 2) are played by head b mod 2, so that each head plays both teams. (By
    # the numbers of rows alone, `row mod 2`, or of a team's rows, some head would never play some agent.)
    np.testing.assert_array_equal(heads, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1])
    given = sequence(who)
    carry = who.initial_carry(M)
    _, acting, _ = apply(who, given[0], carry, *given[2:])
    policies = jax.jit(lambda who, *given: who.policies(*given), static_argnums=0)
    everyone = policies(who, given[0], carry, *given[2:])
    assert everyone.shape == (T, M, 2, 4)
    np.testing.assert_allclose(
        acting, np.stack([everyone[:, row, head] for row, head in enumerate(carry[1])], 1), rtol=1e-6
    )
    assert_loop(who, lambda *a: (a[2], policies(*a)), (carry, everyone), given[0], carry, *given[2:])


def test_first_parameters_of_teams_differ():
    who = student((0, 1, 0), memory="none")
    parameters = jax.jit(who.init)(jax.random.key(0))
    kernels = [parameters[name]["memory"]["dense"]["kernel"] for name in ("team_0", "team_1")]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


def test_a_team_learns_from_its_own_rows_only():
    """Whatever happens in the rows of team 1, the gradient of team 0 is what it was; and the other way round."""
    who = student((0, 1, 0), "own", "none")
    parameters, carry, seen, resets = sequence(who)
    rng = np.random.default_rng(0)
    f32 = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    log_probs = jnp.full((T, M), -float(np.log(4)))
    batch = Batch(seen, resets, jnp.zeros((T, M), jnp.int32), log_probs, f32(T, M, 1), f32(T, M), f32(T, M), carry)
    other = batch.replace(observations=observations(SPACE, 1), advantages=f32(T, M), targets=f32(T, M))
    gradient = jax.jit(jax.grad(ppo._loss, has_aux=True), static_argnums=1)
    settings = PPOConfig().traced()
    whole, _ = gradient(parameters, who, batch, settings)
    for team, untouched in (("team_1", "team_0"), ("team_0", "team_1")):
        is_team = np.arange(M) % 3 == 1 if team == "team_1" else np.arange(M) % 3 != 1

        def mixed(one, two, is_team=is_team):
            return jnp.where(is_team.reshape(1, M, *(1,) * (one.ndim - 2)), two, one)

        changed = jax.tree.map(mixed, *(each.replace(carry=()) for each in (batch, other))).replace(carry=carry)
        found, _ = gradient(parameters, who, changed, settings)
        same(found[untouched], whole[untouched])
        assert min(largest(layer) for layer in whole[team].values()) > 1e-4
        assert largest(jax.tree.map(jnp.subtract, found[team], whole[team])) > 1e-3


# -- which student it is -----------------------------------------------------------------------------------------------


def test_teams_have_their_own_network_where_it_is_asked_for_and_there_are_several():
    shared, by_team = NetworkConfig(**OPTIONS), NetworkConfig(**OPTIONS, parameters="team")
    assert student_of(Arena(), by_team) == TeamStudent(ActorCritic.of(Arena(), by_team), (0, 1, 0))
    assert student_of(Arena(), shared) == ActorCritic.of(Arena(), shared)
    assert student_of(Arena(teams_of=(1, 1, 1)), by_team) == ActorCritic.of(Arena(), by_team)
    assert student_of(with_agent_axis(Meeting()), by_team) == ActorCritic.of(Meeting(), by_team)
    assert hash(student_of(Arena(), by_team)) == hash(student_of(Arena(), by_team))


def test_agents_without_a_team_are_told_in_one_line():
    with pytest.raises(UserError, match=r"teams of Arena is \(0, 1\); allowed: one number an agent, 3 of them"):
        student_of(Arena(teams_of=(0, 1)), NetworkConfig(parameters="team"))


def test_a_designer_is_no_team():
    with pytest.raises(UserError, match=r"network\.parameters is 'team'; allowed for a designer, one agent: shared"):
        Paired(network=NetworkConfig(parameters="team"))


# -- a run -------------------------------------------------------------------------------------------------------------


def config_of(num_minibatches, num_devices=1, **options):
    return TrainConfig(
        env=Arena(),
        teacher=DomainRandomization(),
        network=NetworkConfig(**OPTIONS | {"num_attention_blocks": 0, "parameters": "team"} | options),
        ppo=PPOConfig(learning_rate=0.01, num_epochs=2, num_minibatches=num_minibatches, adam_epsilon=1e-3),
        num_envs=4,
        num_steps=8,
        updates=100,
        num_devices=num_devices,
    )


def test_a_run_learns_and_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    program = program_of(config_of(num_minibatches=2))
    assert isinstance(program.student, TeamStudent)
    first = program.init()
    before = copy(first.members.student.parameters)
    halfway, metrics = program.advance(first, 1)
    assert metrics["student/first_ratio_error"] < 1e-5  # minibatches see what the rollout saw, memories too
    with Checkpoints(tmp_path, "f") as checkpoints:
        checkpoints.save(1, halfway, program.counters(halfway), {"metrics": 1, "timing": 1, "evaluations": 0}, 2)
    unbroken, _ = program.advance(halfway, 3)
    with Checkpoints(tmp_path, "f") as checkpoints:
        restored = checkpoints.restore(jax.eval_shape(program.init)).state
    resumed, _ = program.advance(restored, 3)
    assert equal(resumed, unbroken)
    moved = jax.tree.map(jnp.subtract, before, unbroken.members.student.parameters)
    assert min(largest(layer) for team in ("team_0", "team_1") for layer in moved[team].values()) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("num_minibatches", [1, 2])
def test_two_devices_learn_what_one_does(num_minibatches):
    ends, options = [], {"critic": "each", "num_policy_heads": 2, "num_attention_blocks": 1}
    for num_devices in (1, 2):
        # Not as small as above: a layer's norm over four units, all nearly equal, enlarges rounding a thousand times.
        program = program_of(config_of(num_minibatches, num_devices, entity_size=16, **options))
        state, metrics = program.advance(program.init(), 2)
        assert metrics["student/first_ratio_error"] < 1e-5
        ends.append(raw(state.members.student.parameters))
        results = program.evaluate(state, Suite("one", Arena(), jnp.zeros(1), ("one",)), jax.random.key(0), 2)
        assert np.isfinite(results.mean_return).all()
    for one, two in zip(*ends, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_a_world_of_other_teams_is_refused_before_it_is_played():
    program = program_of(config_of(num_minibatches=2))
    suite = Suite("others", Arena(teams_of=(0, 0, 1)), jnp.zeros(1), ("one",))
    message = r"teams of Arena are \(0, 0, 1\); allowed with network.parameters 'team': .* own world, \(0, 1, 0\)"
    with pytest.raises(UserError, match=message):
        program.evaluate(program.init(), suite, jax.random.key(0), 1)
    with pytest.raises(UserError, match=message):
        program.record_episode(program.init(), suite.env, jnp.zeros(()), jax.random.key(0))
