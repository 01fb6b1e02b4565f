"""Rows that nobody learns from: an update is that of the batch without them, whatever they hold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spread_runs import SMALL, TWO, WITH_MEMORY, part_of

from minied.spaces import Box, Discrete
from minied.spread import ALONE
from minied.students import ppo
from minied.students.base import Earlier
from minied.students.batch import Batch
from minied.students.networks.actor_critic import ActorCritic
from minied.students.parameter_changes import parameter_changes
from minied.students.ppo import PPOConfig

T, M, A, K = 6, 8, 3, 2
TIMED = ("observations", "resets", "actions", "log_probs", "values", "advantages", "targets", "cloned")
_IN = Box(-9.0, 9.0, (3,))
PLAIN, LSTM = (
    ActorCritic(_IN, Discrete(A), network.__class__(**vars(network) | {"num_value_heads": K}))
    for network in (SMALL, WITH_MEMORY)
)


def batch_of(student, with_earlier=False, num_rows=M):
    """A batch in which every step and row differs much from every other, and the student that learns from it."""
    rng = np.random.default_rng(3)
    f32 = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    shapes = jax.eval_shape(student.init, jax.random.key(0))
    parameters = jax.tree.map(lambda leaf: 0.4 * f32(*leaf.shape), shapes)
    rising = 1.0 + jnp.arange(num_rows, dtype=jnp.float32)[None]
    batch = Batch(
        observations=f32(T, num_rows, 3),
        resets=jnp.asarray(rng.random((T, num_rows)) < 0.3),
        actions=jnp.asarray(rng.integers(A, size=(T, num_rows)), jnp.int32),
        log_probs=jnp.log(1 / A) + 0.3 * f32(T, num_rows),
        values=f32(T, num_rows, K),
        advantages=f32(T, num_rows) * rising + rising,
        targets=f32(T, num_rows) + rising,
        carry=jax.tree.map(lambda leaf: 0.3 * f32(*leaf.shape), student.initial_carry(num_rows)),
        cloned=jax.nn.log_softmax(f32(T, num_rows, A)),
    )
    if with_earlier:
        *_, activations = student.record(parameters, batch.carry, batch.observations, batch.resets)
        batch = batch.replace(earlier=Earlier(activations, jnp.bool_(True)))
    return parameters, batch


@functools.partial(jax.jit, static_argnums=(0, 1, 4))
def _updated(student, static, parameters, batch, spread):
    # ε of Adam so large that a step has the size of its gradient; two epochs, so that its moments matter too.
    config = PPOConfig(**{"num_epochs": 2, "adam_epsilon": 0.1, "entropy_coefficient": 0.05} | dict(static))

    def update(parameters, batch):
        state = ppo.init_student(jax.random.key(0), student, config).replace(parameters=parameters)
        mine = part_of(batch, spread)
        return ppo.update(jax.random.key(4), student, state, mine, config, jnp.float32(0.05), 1, spread)

    return spread.run(update, (parameters, batch), (jax.P(), jax.P()), jax.P())


def updated(student, parameters, batch, spread=ALONE, **options):
    """The student after an update of `batch`, and its metrics, as NumPy."""
    found = _updated(student, tuple(options.items()), parameters, batch, spread)
    return jax.tree.map(np.asarray, found)


def close(a, b, rtol=1e-4, atol=1e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def some(share=0.5):
    """Which steps of which rows count: of rows 5 and 7 none."""
    counts = np.random.default_rng(8).random((T, M)) < share
    counts[:, [5, 7]] = False
    return jnp.asarray(counts)


def rows(batch, chosen):
    timed = {name: getattr(batch, name)[:, chosen] for name in TIMED}
    return batch.replace(**timed, carry=jax.tree.map(lambda leaf: leaf[jnp.asarray(chosen)], batch.carry))


def poisoned(batch, where, **also):
    """The batch with NaN, infinities and absurd actions at ``where`` ``bool[T, M]``."""

    def bad(leaf):
        here = np.asarray(where).reshape(*where.shape, *(1,) * (leaf.ndim - 2))
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        evil = np.resize(np.asarray([np.nan, np.inf, -np.inf, 1e38], np.float32), leaf.shape)
        return jnp.where(here, evil, leaf)

    fields = {name: bad(getattr(batch, name)) for name in TIMED if name != "resets"}
    fields["actions"] = jnp.where(jnp.asarray(where), 2**30, batch.actions)
    if batch.earlier is not None:
        fields["earlier"] = batch.earlier.replace(activations=jax.tree.map(bad, batch.earlier.activations))
    return batch.replace(**fields | also)


# -- what counts -------------------------------------------------------------------------------------------------------


def test_an_update_is_that_of_the_steps_that_count_alone():
    """A student without memory sees steps one by one: those that count, side by side, are a batch of one step."""
    parameters, batch = batch_of(PLAIN)
    counts = some()
    pairs = np.nonzero(np.asarray(counts))
    alone = batch.replace(**{name: getattr(batch, name)[pairs][None] for name in TIMED})
    got, metrics = updated(PLAIN, parameters, batch.replace(counts=counts))
    expected, of_alone = updated(PLAIN, parameters, alone)
    close(got, expected)
    close(metrics, of_alone)
    assert set(metrics) >= {"cloning_divergence", "approximate_kl", "clip_fraction", "first_ratio_error"}
    everything, of_everything = updated(PLAIN, parameters, batch)
    for name in set(metrics) - {"learning_rate"}:  # none of them is by chance what it is with all rows
        assert abs(metrics[name] - of_everything[name]) > 1e-4, name
    assert np.abs(got.parameters["policy"]["kernel"] - everything.parameters["policy"]["kernel"]).max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"normalize_advantages": False, "clip_value": False}])
def test_rows_that_never_count_are_as_if_they_were_not_there(options):
    parameters, batch = batch_of(LSTM)
    keeps = [0, 2, 3, 6]
    counts = jnp.zeros((T, M), bool).at[:, jnp.asarray(keeps)].set(True)
    close(
        updated(LSTM, parameters, batch.replace(counts=counts), **options),
        updated(LSTM, parameters, rows(batch, keeps), **options),
    )


def test_an_update_of_which_all_counts_is_that_without_a_mask():
    parameters, batch = batch_of(LSTM, with_earlier=True)
    close(updated(LSTM, parameters, batch.replace(counts=jnp.ones((T, M), bool))), updated(LSTM, parameters, batch))


# What the rollout computed is the learner's first pass with one minibatch only.
@pytest.mark.parametrize(("with_earlier", "num_minibatches"), [(False, 1), (True, 1), (False, 2)])
@pytest.mark.parametrize("student", [PLAIN, LSTM], ids=["plain", "memory"])
def test_what_does_not_count_changes_nothing_whatever_it_holds(student, with_earlier, num_minibatches):
    """Not a bit: neither values, nor gradients, nor the memory of later episodes. With a memory, what was seen before a step
    that counts, in the same episode, does count."""
    parameters, batch = batch_of(student, with_earlier)
    counts = some(0.3)
    unseen = np.asarray(~counts)
    if student is LSTM:
        resets, leads = np.asarray(batch.resets), np.asarray(counts).copy()
        for t in range(T - 2, -1, -1):
            leads[t] |= leads[t + 1] & ~resets[t + 1]
        assert (leads & unseen).any()
        unseen = ~leads
    assert unseen[:, 0].any()
    batch = batch.replace(counts=counts)
    # Of a row that counts nowhere the memory from which it began may be anything too.
    bad_row = lambda leaf: leaf.at[jnp.asarray([5, 7])].set(jnp.nan)  # noqa: E731
    clean = updated(student, parameters, batch, num_minibatches=num_minibatches)
    bad = poisoned(batch, unseen, carry=jax.tree.map(bad_row, batch.carry))
    equal(updated(student, parameters, bad, num_minibatches=num_minibatches), clean)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))


def test_a_memory_holds_what_a_row_saw_before_a_step_that_counts():
    """Aligned with the rollout: the ratios are 1 only if steps that do not count are remembered."""
    parameters, batch = batch_of(LSTM)
    _, logits, _ = LSTM.apply(parameters, batch.carry, batch.observations, batch.resets)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.actions[..., None], axis=-1)[..., 0]
    counts = jnp.zeros((T, M), bool).at[-1].set(True)
    aligned = batch.replace(log_probs=chosen, counts=counts)
    _, metrics = updated(LSTM, parameters, aligned, num_epochs=1)
    assert metrics["first_ratio_error"] < 1e-5
    before = np.asarray(batch.resets)[-1] == 0
    assert before.any()
    seen_otherwise = aligned.replace(observations=batch.observations.at[-2].add(1.0))
    _, metrics = updated(LSTM, parameters, seen_otherwise, num_epochs=1)
    assert metrics["first_ratio_error"] > 1e-3


def test_nothing_that_counts_is_no_step():
    parameters, batch = batch_of(LSTM)
    nothing = poisoned(batch, np.ones((T, M), bool), counts=jnp.zeros((T, M), bool))
    after, metrics = updated(LSTM, parameters, nothing)
    equal(after.parameters, jax.tree.map(np.asarray, parameters))
    assert {name: float(value) for name, value in metrics.items()} == dict.fromkeys(metrics, 0.0) | {
        "learning_rate": pytest.approx(0.05)
    }


# -- devices and heads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["some", "all of the first device"])
@pytest.mark.parametrize(("num_minibatches", "with_earlier"), [(1, True), (2, False)])
def test_two_devices_with_unequal_numbers_of_counting_rows_learn_what_one_does(mask, num_minibatches, with_earlier):
    parameters, batch = batch_of(LSTM, with_earlier)
    # Fewer on the second device; or none there, so that the mean over devices is of one with a mean and one without.
    counts = some().at[:, 4:6].set(False) if mask == "some" else jnp.zeros((T, M), bool).at[:, :4].set(True)
    batch = batch.replace(counts=counts)
    options = {"num_minibatches": num_minibatches}
    alone, spread = (updated(LSTM, parameters, batch, where, **options) for where in (ALONE, TWO))
    close(spread, alone, rtol=1e-4, atol=1e-6)
    assert alone[1]["gradient_norm"] > 0.1


def test_a_single_step_that_counts_on_one_of_two_devices():
    """Half a step a device: the number by which sums are divided is below 1."""
    parameters, batch = batch_of(PLAIN)
    batch = batch.replace(counts=jnp.zeros((T, M), bool).at[2, 6].set(True))
    options = {"normalize_advantages": False}
    alone, spread = (updated(PLAIN, parameters, batch, where, **options) for where in (ALONE, TWO))
    close(spread, alone, rtol=1e-4, atol=1e-6)
    single = batch.replace(counts=None, **{name: getattr(batch, name)[2:3, 6:7] for name in TIMED})
    close(alone, updated(PLAIN, parameters, single, **options))


class Table:
    """A student that keeps a value of each head for each row of the batch. The observation is the row."""

    def init(self, key):
        return {"values": jnp.zeros((M, K))}

    def initial_carry(self, num_rows):
        return ()

    def apply(self, parameters, carry, observation, reset):
        values = parameters["values"][observation]
        return carry, jnp.zeros_like(values), values


TABLE = Table()


@pytest.mark.parametrize("spread", [ALONE, TWO], ids=["one device", "two devices"])
def test_heads_with_rows_of_their_own_learn_from_those_that_count(spread):
    # ½ mean over the T × 5 errors of (0 − 1)² that count, of each row's one head: a row's value has the gradient −1/5. One
    # step of Adam, g / (|g| + ε) with ε = 0.1, times the rate 0.05.
    _, batch = batch_of(PLAIN)
    every = jnp.broadcast_to(jnp.arange(M, dtype=jnp.int32), (T, M))
    counts = jnp.broadcast_to(jnp.asarray([True, False, True, True, False, True, False, True]), (T, M))
    batch = batch.replace(
        observations=every, actions=0 * every, values=jnp.zeros((T, M, K)), targets=jnp.ones((T, M)), cloned=None,
        log_probs=jnp.full((T, M), -np.log(K), jnp.float32), counts=counts,
    )  # fmt: skip
    options = {"ensemble_data": "own", "num_epochs": 1, "value_coefficient": 1.0, "max_grad_norm": 1e6}
    moved = updated(TABLE, TABLE.init(None), batch, spread, **options)[0].parameters["values"]
    np.testing.assert_array_equal((moved != 0).sum(axis=1), np.asarray(counts[0]).astype(int))
    np.testing.assert_allclose(moved[moved != 0], 0.05 * (1 / 5) / (1 / 5 + 0.1), rtol=1e-5)


def test_change_of_the_parameters_is_that_of_the_rows_that_count():
    """Two agents a level: of the first level both count, of the second one, of the third none."""
    parameters, batch = batch_of(LSTM, num_rows=6)
    counts = jnp.broadcast_to(jnp.asarray([True, True, False, True, False, False]), (T, 6))
    got = parameter_changes(LSTM, parameters, batch.replace(counts=counts), 3)
    both = parameter_changes(LSTM, parameters, rows(batch, [0, 1]), 1)
    one = parameter_changes(LSTM, parameters, rows(batch, [3]), 1)
    np.testing.assert_allclose(got, [both[0], one[0], 0.0], rtol=1e-5)
    bad = poisoned(batch, ~np.asarray(counts), counts=counts)
    equal(parameter_changes(LSTM, parameters, bad, 3), got)
