"""Critics of their own: they see what policies do not, and share nothing with them.

The oracle is the network with a shared critic: each tower is one. Letters: ``T`` steps, ``M`` rows, ``K`` value heads.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_cases import M, T, apply, close, dirty, largest, observations, record, repeat, same, sequence

from minied.errors import UserError
from minied.spaces import Box, Dict, Discrete, Entities
from minied.students import ppo
from minied.students.base import Earlier, RecordingStudent
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import Batch, PPOConfig

K = 3
PARTS = (("self", Box(-1, 1, (2,))), ("boxes", Entities(3, 2)), ("secret", Box(-1, 1, (1,))))
SPACE, OPEN = Dict(PARTS, privileged=("secret",)), Dict(PARTS)
WITHOUT = Dict(PARTS[:2])
OPTIONS = {"entity_size": 4, "memory_size": 5, "head_size": 4, "num_value_heads": K}


@functools.cache
def student(critic, space=SPACE, memory="lstm", **options):
    return ActorCritic(space, Discrete(3), NetworkConfig(**OPTIONS | {"memory": memory, "critic": critic} | options))


def tower(parameters, name, heads):
    """The parameters of a network whose shared encoder and memory are those of one tower."""
    prefix = name and f"{name}_"
    layers = {layer: parameters[prefix + layer] for layer in ("encoder", "memory") if prefix + layer in parameters}
    return layers | {head: parameters[head] for head in heads}


ALL_HEADS = ["policy", "policy_hidden", *(f"value_{k}{layer}" for k in range(K) for layer in ("", "_hidden"))]


# -- parameters and memories -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("critic", "towers"), [("shared", []), ("own", ["critic"]), ("each", ["critic_0", "critic_1", "critic_2"])]
)
def test_towers_by_name_and_a_memory_for_each(critic, towers):
    who = student(critic)
    own = [f"{name}_{layer}" for name in towers for layer in ("encoder", "memory")]
    shapes = jax.eval_shape(who.init, jax.random.key(0))
    assert sorted(shapes) == sorted([*ALL_HEADS, "encoder", "memory", *own])
    memory = student("shared").initial_carry(M)
    same(who.initial_carry(M), (memory,) * (1 + len(towers)) if towers else memory)
    # A critic's encoder reads one number more: the boxes' kernel has 2 + 3 rows where the policy's has 2 + 2.
    rows = {name: shapes[f"{name}_encoder"]["entities"]["boxes_embed"]["kernel"].shape[0] for name in towers}
    assert rows == dict.fromkeys(towers, 5)
    assert shapes["encoder"]["entities"]["boxes_embed"]["kernel"].shape[0] == 4


def test_towers_are_drawn_apart():
    parameters = jax.jit(student("each", memory="none").init)(jax.random.key(0))
    kernels = [parameters[f"critic_{k}_memory"]["dense"]["kernel"] for k in range(K)]
    for a in range(K):
        assert all(np.abs(kernels[a] - kernels[b]).max() > 0.1 for b in range(a))


# -- each tower is a network -------------------------------------------------------------------------------------------


def unhidden(observation):
    """What a critic of its own sees, as a policy would."""
    boxes = observation["boxes"]
    return observation | {"boxes": boxes | {"visible": boxes["present"]}}


@pytest.mark.parametrize("memory", ["lstm", "none"])
@pytest.mark.parametrize("critic", ["own", "each"])
def test_policy_and_critics_are_networks_by_themselves(critic, memory):
    who = student(critic, memory=memory)
    parameters, carry, seen, resets = sequence(who, SPACE)
    (carry_after, logits, values) = apply(who, parameters, carry, seen, resets)
    # The policy is that of a network that has never heard of secrets.
    alone, hidden = student("shared", WITHOUT, memory), {name: seen[name] for name in ("self", "boxes")}
    after, expected, _ = apply(alone, tower(parameters, "", ALL_HEADS), carry[0], hidden, resets)
    close((carry_after[0], logits), (after, expected))
    # A critic is that of a network from which nothing is kept.
    names = ["critic"] if critic == "own" else [f"critic_{k}" for k in range(K)]
    for which, name in enumerate(names):
        open_, heads = student("shared", OPEN, memory), tower(parameters, name, ALL_HEADS)
        after, _, expected = apply(open_, heads, carry[1 + which], unhidden(seen), resets)
        close(carry_after[1 + which], after)
        ks = range(K) if critic == "own" else [which]
        for k in ks:
            close(values[..., k], expected[..., k])
    assert np.abs(values[..., 0] - values[..., 1]).min() > 1e-5


@pytest.mark.parametrize("critic", ["shared", "own", "each"])
def test_what_is_privileged_or_out_of_sight_is_for_critics_of_their_own(critic):
    who = student(critic)
    parameters, carry, seen, resets = sequence(who, SPACE)
    other = observations(SPACE, seed=1)
    out_of_sight = np.asarray(seen["boxes"]["present"] & ~seen["boxes"]["visible"])
    moved = jnp.where(out_of_sight[..., None], seen["boxes"]["features"] + 1.0, seen["boxes"]["features"])
    first, second = ({"secret": other["secret"]}, {"boxes": seen["boxes"] | {"features": moved}})
    _, logits, values = apply(who, parameters, carry, seen, resets)
    for change in (first, second):
        _, changed_logits, changed_values = apply(who, parameters, carry, seen | change, resets)
        same(changed_logits, logits)
        difference = np.abs(changed_values - values).max(axis=(0, 1))
        np.testing.assert_array_equal(difference > 1e-4, np.full(K, critic != "shared"))
    absent = jnp.where(seen["boxes"]["present"][..., None], seen["boxes"]["features"], jnp.nan)
    gone = seen | {"boxes": seen["boxes"] | {"features": absent}}
    same(apply(who, parameters, carry, gone, resets)[1:], (logits, values))


def touched(critic, what):
    """The parts of the parameters that an output depends on."""
    who = student(critic, memory="none")
    parameters, *rest = sequence(who, SPACE)

    def output(parameters):
        _, logits, values = who.apply(parameters, *rest)
        return jnp.sum(jnp.sin(logits)) if what == "policy" else jnp.sum(jnp.sin(values[..., what]))

    gradient = jax.jit(jax.grad(output))(parameters)
    return {name for name, part in gradient.items() if largest(part) > 0}


def test_no_loss_reaches_the_layers_of_another():
    policy = {"encoder", "memory", "policy", "policy_hidden"}
    assert touched("own", "policy") == touched("each", "policy") == policy
    assert touched("own", 1) == {"critic_encoder", "critic_memory", "value_1", "value_1_hidden"}
    assert touched("each", 1) == {"critic_1_encoder", "critic_1_memory", "value_1", "value_1_hidden"}
    assert touched("shared", 1) == {"encoder", "memory", "value_1", "value_1_hidden"}


# -- over time ---------------------------------------------------------------------------------------------------------


def test_sequence_equals_step_by_step():
    who = student("each", num_policy_heads=2)
    parameters, carry, seen, resets = sequence(who, SPACE)
    whole = apply(who, parameters, carry, seen, resets)
    outputs = []
    for t in range(T):
        now = jax.tree.map(lambda leaf, t=t: leaf[t : t + 1], seen)
        carry, *output = apply(who, parameters, carry, now, resets[t : t + 1])
        outputs.append(output)
    close((carry, *(jnp.concatenate(each) for each in zip(*outputs, strict=True))), whole)


MEMORIES = [("each", "lstm"), ("own", "gru"), ("each", "none")]


@pytest.mark.parametrize(("critic", "memory"), MEMORIES)
def test_recording_is_applying_and_so_is_repeating_what_was_recorded(critic, memory):
    who = student(critic, memory=memory)
    assert isinstance(who, RecordingStudent)
    given = sequence(who, SPACE)
    applied = apply(who, *given)
    *recorded, activations = record(who, *given)
    same(tuple(recorded), applied)
    assert activations == () or memory == "lstm"
    if memory == "lstm":
        assert len(activations) == {"own": 2, "each": 1 + K}[critic]
        assert all(leaf.shape[:2] == (T, M) for leaf in jax.tree.leaves(activations))
        for hold in (True, False):
            close(repeat(who, *given, Earlier(activations, jnp.asarray(hold))), applied)


def test_repeating_believes_each_tower_s_own_activations_where_they_hold():
    who = student("each")
    given = sequence(who, SPACE)
    applied, wrong = apply(who, *given), record(who, *given)[3]
    wrong = jax.tree.map(lambda leaf: leaf[:, ::-1], wrong)  # those of other rows
    believed = repeat(who, *given, Earlier(wrong, jnp.asarray(True)))
    close(believed[1:], jax.tree.map(lambda leaf: leaf[:, ::-1], applied[1:]))  # heads read nothing but the memory
    assert np.abs(believed[1] - applied[1]).max() > 1e-3
    close(repeat(who, *given, Earlier(wrong, jnp.asarray(False))), applied)


def test_gradient_of_the_loss_from_an_earlier_pass_is_that_without():
    who = student("each")
    parameters, carry, seen, resets = sequence(who, SPACE)
    rng = np.random.default_rng(0)
    f32 = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    actions = jnp.asarray(rng.integers(3, size=(T, M)), jnp.int32)
    batch = Batch(seen, resets, actions, jnp.full((T, M), -1.1), f32(T, M, K), f32(T, M), 2.0 * f32(T, M), carry)
    gradient = jax.jit(jax.grad(ppo._loss, has_aux=True), static_argnums=1)
    activations = record(who, parameters, carry, seen, resets)[3]
    expected, found = (
        gradient(parameters, who, each, PPOConfig().traced())
        for each in (batch, batch.replace(earlier=Earlier(activations, jnp.asarray(True))))
    )
    close(found, expected, rtol=1e-4)
    assert min(largest(part) for part in expected[0].values()) > 1e-5


def test_memories_travel_with_their_rows():
    who, order = student("own", num_policy_heads=2), np.asarray([4, 0, 5, 1, 3, 2])
    parameters, carry, seen, resets = sequence(who, SPACE)
    _, *straight = apply(who, parameters, carry, seen, resets)
    moved = jax.tree.map(lambda leaf: leaf[order], carry), jax.tree.map(lambda leaf: leaf[:, order], seen)
    _, *permuted = apply(who, parameters, *moved, resets[:, order])
    close(permuted, jax.tree.map(lambda leaf: leaf[:, order], straight))


def test_a_critic_without_such_parts_still_has_layers_of_its_own():
    plain = Box(-1, 1, (2,))
    who = student("own", plain)
    parameters, carry, seen, resets = sequence(who, plain)
    _, _, values = apply(who, parameters, carry, seen, resets)
    alone = student("shared", plain)
    _, _, expected = apply(alone, tower(parameters, "critic", ALL_HEADS), carry[1], seen, resets)
    close(values, expected)
    _, _, of_policy = apply(alone, tower(parameters, "", ALL_HEADS), carry[0], seen, resets)
    assert np.abs(values - of_policy).max() > 1e-3


def test_memories_that_are_dirty_matter():
    """So that the tests above say something of what is carried."""
    who = student("each")
    parameters, carry, seen, _ = sequence(who, SPACE)
    _, _, values = apply(who, parameters, carry, seen, jnp.zeros((T, M), bool))
    for k in range(K):
        changed = list(dirty(who))
        changed[1 + k] = jax.tree.map(lambda leaf: leaf + 1.0, changed[1 + k])
        _, _, other = apply(who, parameters, tuple(changed), seen, jnp.zeros((T, M), bool))
        difference = np.abs(other - values).max(axis=(0, 1)) > 1e-4
        np.testing.assert_array_equal(difference, np.arange(K) == k)


@pytest.mark.parametrize(("name", "value"), [("critic", "mine"), ("parameters", "agent")])
def test_unknown_choices_are_told_in_one_line(name, value):
    with pytest.raises(UserError, match=f"{name} is '{value}'; allowed: shared, "):
        NetworkConfig(**{name: value})
