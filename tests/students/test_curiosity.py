"""What curiosity pays, step by step: what it reads, its scale, its advantages, who learns, and on how many devices.

Letters: ``T`` steps, ``B`` environments, ``N`` agents.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bonus_experience import experience_of
from toy_entities import Arena
from toy_parties import Party

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.spaces import Box, Discrete, MultiDiscrete
from minied.spread import ALONE, Spread
from minied.students import distributions
from minied.students.bonuses.base import Surroundings
from minied.students.bonuses.counts import CountBonus
from minied.students.bonuses.curiosity import Shapes
from minied.students.bonuses.forward_dynamics import ForwardDynamicsBonus
from minied.students.bonuses.learning import Learner, learn, squared_errors
from minied.students.bonuses.networks import Features, ForwardDynamics, InverseDynamics, one_hot
from minied.students.bonuses.normalization import normalized
from minied.students.bonuses.random_network_distillation import RandomNetworkDistillation
from minied.students.networks.config import NetworkConfig

T, B, N = 8, 4, 3
PARTY = Surroundings(with_agent_axis(Party()), NetworkConfig(), num_levels=B, num_steps=T)
ARENA = dataclasses.replace(PARTY, env=with_agent_axis(Arena()), network=NetworkConfig(entity_size=4, ring_filters=2))
TWO = Spread("environments", 2)
# A large ε: where a gradient is next to nothing, its rounding shall not be divided by itself.
LEARNING = {"learning_rate": 0.01, "adam_epsilon": 1e-3, "num_epochs": 2, "num_minibatches": 2}
SIZES = LEARNING | {"feature_size": 4, "hidden_size": 6}
DISTILLATION = RandomNetworkDistillation(**SIZES)
SHARED = RandomNetworkDistillation(**SIZES, critic="shared")
INVERSE = ForwardDynamicsBonus(features="inverse_dynamics", num_blocks=1, **SIZES)
COUNTS = CountBonus(feature="observation", table_size=64)
BONUSES = {"distillation": DISTILLATION, "inverse dynamics": INVERSE, "counts": COUNTS}


def drawn(seed, *shape, here=PARTY):
    number = int(np.prod(shape))
    flat = jax.vmap(here.env.observation_space.sample)(jax.random.split(jax.random.key(seed), number))
    return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), flat)


def experience(seed=0, here=PARTY, **changes):
    defaults = {
        "observations": drawn(seed, T, B, N, here=here),
        "next_observations": drawn(seed + 1, T, B, N, here=here),
        "last_observations": drawn(seed + 2, B, N, here=here),
        "actions": jax.random.randint(jax.random.key(seed), (T, B, N), 0, here.env.action_space.n),
    }
    return experience_of(T, B, N, **defaults | changes)


@functools.partial(jax.jit, static_argnums=3)
def paid(bonus, state, lived, here=PARTY):
    return bonus.pay(jax.random.key(0), state, lived, None, here)


@functools.partial(jax.jit, static_argnums=1)
def first(bonus, here=PARTY, seed=0):
    return bonus.init(jax.random.key(seed), here)


def close(found, expected):
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-5)


def same(found, expected):
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(leaf, other)


# -- what is read, and where ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BONUSES)
def test_on_two_devices_as_on_one(name):
    bonus, lived = BONUSES[name], experience(present=jax.random.bernoulli(jax.random.key(5), 0.8, (T, B, N)))
    if name == "inverse dynamics":
        bonus = dataclasses.replace(bonus, proportion=0.5)
    expected = paid(bonus, first(bonus), lived)
    spread_here = dataclasses.replace(PARTY, spread=TWO)

    def on_each(state, lived):
        timed = TWO.part(lived.replace(last_observations=()), axis=1)
        result = paid(bonus, state, timed.replace(last_observations=TWO.part(lived.last_observations)), spread_here)
        return TWO.whole((result.rewards, result.advantages), axis=1), result.state, result.metrics

    run = jax.jit(functools.partial(TWO.run, on_each, specs=(jax.P(), jax.P()), out=jax.P()))
    close(run((first(bonus), lived)), ((expected.rewards, expected.advantages), expected.state, expected.metrics))


@pytest.mark.parametrize(("name", "here"), [*((name, PARTY) for name in BONUSES), ("inverse dynamics", ARENA)])
def test_agents_that_are_not_there_are_paid_nothing_and_nothing_of_theirs_is_read(name, here):
    """The second world has entities, a ring, joint actions and a part that no policy reads."""
    bonus = BONUSES[name]
    present = jax.random.bernoulli(jax.random.key(5), 0.7, (T, B, N))
    lived = experience(here=here, present=present)

    def soiled(tree, kept):
        def one(leaf):
            gone = ~kept.reshape(*kept.shape, *(1,) * (leaf.ndim - kept.ndim))
            return jnp.where(gone, jnp.nan, leaf) if leaf.dtype == jnp.float32 else jnp.where(gone, ~leaf, leaf)

        return jax.tree.map(one, tree)

    dirty = lived.replace(
        observations=soiled(lived.observations, present),
        next_observations=soiled(lived.next_observations, present),
        last_observations=soiled(lived.last_observations, present[-1]),
    )
    clean, found = (paid(bonus, first(bonus, here), each, here) for each in (lived, dirty))
    same(found, clean)
    pay = clean.rewards if clean.advantages is None else clean.advantages
    assert not np.any(np.asarray(pay)[~np.asarray(present)])
    assert np.all(np.asarray(pay)[np.asarray(present)] != 0)


@pytest.mark.parametrize("name", ["inverse dynamics", "counts"])
def test_members_side_by_side_are_as_alone(name):
    bonus = BONUSES[name]
    states, lives = zip(*((first(bonus, PARTY, seed), experience(10 * seed)) for seed in (1, 2)), strict=True)
    together = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *each) for each in (states, lives)]
    found = jax.vmap(lambda state, lived: paid(bonus, state, lived))(*together)
    alone = [paid(bonus, state, lived) for state, lived in zip(states, lives, strict=True)]
    close(found, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone))


def test_with_and_without_compilation():
    lived, state = experience(), first(DISTILLATION)
    with jax.disable_jit():
        found = DISTILLATION.pay(jax.random.key(0), state, lived, None, PARTY)
    close(found, paid(DISTILLATION, state, lived))


def test_it_is_paid_for_what_was_observed_next_and_not_for_what_was_before():
    state, lived = first(SHARED), experience()
    other = lived.replace(observations=drawn(77, T, B, N), last_observations=drawn(78, B, N))
    same(paid(SHARED, state, other), paid(SHARED, state, lived))
    following = lived.replace(next_observations=drawn(77, T, B, N))
    assert not np.allclose(paid(SHARED, state, following).rewards, paid(SHARED, state, lived).rewards)


# -- what is paid -----------------------------------------------------------------------------------------------------


def test_rewards_are_errors_over_the_deviation_of_their_discounted_sums():
    bonus = dataclasses.replace(SHARED, coefficient=3.0)
    result = paid(bonus, first(bonus), experience())
    error, deviation = (float(result.metrics[name]) for name in ("prediction_error", "intrinsic_return_deviation"))
    assert result.advantages is None
    np.testing.assert_allclose(float(result.rewards.mean()), 3.0 * error / deviation, rtol=1e-5)
    # All sums of one rollout, of every stream from 0.
    errors = np.asarray(result.rewards) * deviation / 3.0
    sums = np.stack([sum(0.99 ** (t - s) * errors[s] for s in range(t + 1)) for t in range(T)])
    np.testing.assert_allclose(deviation, sums.std(), rtol=1e-3)


def test_it_pays_before_it_learns_and_the_target_never_does():
    bonus = dataclasses.replace(SHARED, num_epochs=30)
    state, lived = first(bonus), experience()
    once = paid(bonus, state, lived)
    np.testing.assert_array_equal(once.rewards, paid(SHARED, state, lived).rewards)  # which learns for two epochs
    again = paid(bonus, once.state, lived)
    assert float(again.metrics["prediction_error"]) < 0.7 * float(once.metrics["prediction_error"])
    same(again.state.fixed, state.fixed)


def test_the_critic_comes_to_know_what_is_to_come():
    """With γ = 0 the advantage is r - V(o), and r is about the same wherever one is: V learns it."""
    bonus = RandomNetworkDistillation(**SIZES | {"num_epochs": 60}, discount=0.0)
    state, lived = first(bonus), experience()
    unknown = result = paid(bonus, state, lived)
    for _ in range(3):
        result = paid(bonus, result.state, lived)
    assert float(jnp.abs(result.advantages).mean()) < 0.5 * float(jnp.abs(unknown.advantages).mean())
    assert float(result.metrics["intrinsic_value_loss"]) < float(unknown.metrics["intrinsic_value_loss"])


# -- its stream (specification E.4 v) ---------------------------------------------------------------------------------


def brute_force(rewards, values, last_value):
    """Equation 16 of Schulman et al. 2016 as a sum, of one stream that nothing cuts; γ = 0.99, λ = 0.95."""
    deltas = rewards + 0.99 * np.append(values[1:], last_value) - values
    steps = range(len(rewards))
    return [sum((0.99 * 0.95) ** (s - t) * deltas[s] for s in steps if s >= t) for t in steps]


def stream(seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    rewards, values = (jax.random.normal(key, (T, B, N)) for key in keys[:2])
    return rewards, values, jax.random.normal(keys[2], (B, N))


EVERYBODY = jnp.ones((T, B, N), bool)


@pytest.mark.parametrize("last_ends", [False, True])
def test_it_goes_on_with_the_observations_after_the_last_step(last_ends):
    """Those of a next episode's start too, if the last step ended one: only what is episodic stops there."""
    lived = experience(ended=jnp.zeros((T, B), bool).at[-1].set(last_ends))
    state = first(DISTILLATION)
    found, shared = paid(DISTILLATION, state, lived), paid(SHARED, state, lived)
    space, shapes = PARTY.env.observation_space, Shapes.of(PARTY)
    critic = Features(shapes.observations, PARTY.network, 1, DISTILLATION.hidden_size)
    rewards, values, last_values = (
        np.asarray(each)
        for each in (
            shared.rewards / SHARED.coefficient,
            *(
                critic.apply(state.learner.parameters["critic"], normalized(found.state.statistics, space, seen))[
                    ..., 0
                ]
                for seen in (lived.observations, lived.last_observations)
            ),
        )
    )
    for b in range(B):
        expected = brute_force(rewards[:, b, 0], values[:, b, 0], last_values[b, 0])
        np.testing.assert_allclose(found.advantages[:, b, 0], expected, rtol=1e-3, atol=1e-4)


def test_not_episodic_the_stream_is_that_of_all_episodes_in_a_row():
    ended = jax.random.bernoulli(jax.random.key(3), 0.4, (T, B))
    state, lived = first(DISTILLATION), experience()
    same(paid(DISTILLATION, state, lived.replace(ended=ended)), paid(DISTILLATION, state, lived))
    rewards, values, last_values = (np.asarray(each) for each in stream())
    found = DISTILLATION.estimates(rewards, values, last_values, jnp.zeros((T, B), bool), EVERYBODY)
    for b in range(B):
        for n in range(N):
            expected = brute_force(rewards[:, b, n], values[:, b, n], last_values[b, n])
            np.testing.assert_allclose(found[:, b, n], expected, rtol=1e-4, atol=1e-5)


def test_episodic_the_ends_cut_it():
    bonus = dataclasses.replace(DISTILLATION, episodic=True)
    ended = jnp.zeros((T, B), bool).at[2].set(True)
    state, lived = first(bonus), experience()
    cut, whole = paid(bonus, state, lived.replace(ended=ended)), paid(bonus, state, lived)
    assert not np.allclose(cut.advantages[:3], whole.advantages[:3])
    assert not np.allclose(cut.state.returns.sums, whole.state.returns.sums)
    # Two episodes, the first of three steps and worth nothing after its end.
    rewards, values, last_values = (np.asarray(each) for each in stream())
    found = bonus.estimates(rewards, values, last_values, ended, EVERYBODY)
    for b in range(B):
        of_first = brute_force(rewards[:3, b, 0], values[:3, b, 0], 0.0)
        of_second = brute_force(rewards[3:, b, 0], values[3:, b, 0], last_values[b, 0])
        np.testing.assert_allclose(found[:, b, 0], of_first + of_second, rtol=1e-4, atol=1e-5)


# -- the networks -----------------------------------------------------------------------------------------------------


def test_the_action_stands_before_every_layer():
    network = ForwardDynamics(NetworkConfig(), hidden_size=6, num_blocks=2)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(4), jnp.zeros(5))["params"]
    kernels = {name: layer["kernel"].shape for name, layer in shapes.items()}
    assert kernels == {
        "first": (4 + 5, 6), "last": (6 + 5, 4),
        "block_0_first": (6 + 5, 6), "block_0_second": (6 + 5, 6),
        "block_1_first": (6 + 5, 6), "block_1_second": (6 + 5, 6),
    }  # fmt: skip


def test_a_residual_block_adds_to_what_it_reads():
    """With zeros in the second layer of every block the blocks do nothing."""
    network = ForwardDynamics(NetworkConfig(), hidden_size=6, num_blocks=2)
    features, action = jax.random.normal(jax.random.key(1), (4,)), jnp.asarray([1.0, 0.0])
    parameters = network.init(jax.random.key(0), features, action)["params"]
    silent = parameters | {
        name: jax.tree.map(jnp.zeros_like, layer) for name, layer in parameters.items() if name.endswith("second")
    }
    plain = ForwardDynamics(NetworkConfig(), hidden_size=6, num_blocks=0)
    ends = {name: parameters[name] for name in ("first", "last")}
    found, expected = (
        net.apply({"params": each}, features, action) for net, each in ((network, silent), (plain, ends))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_joint_actions_are_those_of_their_factors():
    space = MultiDiscrete((3, 2))
    assert one_hot(space, jnp.asarray([0, 3, 5])).tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 1]]
    assert one_hot(Discrete(3), jnp.int32(1)).tolist() == [0, 1, 0]
    network = InverseDynamics(NetworkConfig(), hidden_size=6, action_space=space)
    known = jax.random.normal(jax.random.key(1), (2, 4))
    parameters = network.init(jax.random.key(0), *known)
    assert parameters["params"]["action"]["kernel"].shape == (6, 5)
    logits = network.apply(parameters, *known)
    total = jnp.exp(distributions.log_probabilities(logits)).reshape(3, 2)
    np.testing.assert_allclose(total, jnp.outer(total.sum(axis=1), total.sum(axis=0)), rtol=1e-5)


# -- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proportion", [0.25, 1.0])
def test_a_proportion_of_what_counts_is_learnt_from(proportion):
    """A table with a row for each step: those that were chosen have changed."""
    counts = jax.random.bernoulli(jax.random.key(1), 0.5, (40, 20, 1))

    def loss(table, samples, mean_of_chosen, mean):
        return mean_of_chosen(squared_errors(table[samples], jnp.ones((*samples.shape, 1)))), {}

    learner, _ = learn(
        jax.random.key(0), Learner.of(jnp.zeros((800, 1)), optax.identity()), loss,
        jnp.arange(800, dtype=jnp.int32).reshape(40, 20, 1), counts, rate=1.0, num_epochs=1, num_minibatches=1,
        proportion=proportion, num_levels=20, spread=ALONE, optimizer=optax.identity(),
    )  # fmt: skip
    changed = np.asarray(learner.parameters)[:, 0] > 0
    assert not changed[~np.asarray(counts).reshape(-1)].any()
    share = changed.sum() / np.asarray(counts).sum()
    assert share == pytest.approx(proportion, abs=0.0 if proportion == 1 else 0.07)  # 0.43 √(1 / 400) = 0.02


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": 0.0}, r"^learning_rate is 0.0; allowed: \(0, ∞\)$"),
        ({"proportion": 0.0}, r"^proportion is 0.0; allowed: \(0, 1\]$"),
        ({"discount": 1.5}, r"^discount is 1.5; allowed: \[0, 1\]$"),
        ({"num_epochs": 0}, "^num_epochs is 0; allowed: "),
        ({"feature_size": 0}, "^feature_size is 0; allowed: "),
        ({"critic": "ours"}, "^critic is 'ours'; allowed: own, shared$"),
        ({"features": "pixels"}, "^features is 'pixels'; allowed: random, inverse_dynamics$"),
        ({"num_blocks": -1}, "^num_blocks is -1; allowed: "),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(UserError, match=words):
        ForwardDynamicsBonus(**options)


@dataclasses.dataclass(frozen=True)
class _Tiny(Party):
    """A world whose image is too small for a filter."""

    @property
    def observation_space(self):
        return Box(0.0, 1.0, (2, 2, 1))


def test_what_does_not_fit_the_run():
    with pytest.raises(UserError, match=r"^bonus.num_minibatches is 3, which does not divide num_steps = 8; allowed: "):
        dataclasses.replace(DISTILLATION, num_minibatches=3).validate(PARTY)
    with pytest.raises(UserError, match=r"^bonus.feature is 'sky'; allowed: state, observation, self, lidar, others"):
        CountBonus(feature="sky").validate(ARENA)
    with pytest.raises(UserError, match="at least 3x3"):
        DISTILLATION.validate(dataclasses.replace(PARTY, env=_Tiny()))
