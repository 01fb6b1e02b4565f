"""Where a key is used twice, for typed keys and raw words, through calls, branches and loops; and where it is not."""

import jax
import jax.numpy as jnp
import pytest

from minied.testing.keys import key_reuses

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def raw_words_are_allowed():
    """Other libraries keep them; minied's own tests refuse them elsewhere."""
    with jax.legacy_prng_key("allow"):
        yield


def split(key):
    first, second = jax.random.split(key)
    return jax.random.normal(first) + jax.random.uniform(second)


def raw_words(key):
    first, second = jax.random.split(jax.random.key_data(key))
    return jax.random.normal(first) + jax.random.uniform(second)


def different_data(key):
    return jax.random.normal(jax.random.fold_in(key, 1)) + jax.random.normal(jax.random.fold_in(key, 2))


def data_of_a_loop(key):
    return jax.lax.fori_loop(0, 4, lambda i, total: total + jax.random.normal(jax.random.fold_in(key, i)), 0.0)


def carried_through_a_scan(key):
    def body(key, _):
        key, now = jax.random.split(key)
        return key, jax.random.normal(now)

    return jax.lax.scan(body, key, None, length=3)


def a_key_each_turn(key):
    return jax.lax.scan(lambda carry, now: (carry, jax.random.normal(now)), 0, jax.random.split(key, 3))


def one_branch_or_the_other(key):
    return jax.lax.cond(jnp.array(True), jax.random.normal, jax.random.uniform, key)


def folded_for_a_batch(key):
    return jax.vmap(jax.random.normal)(jax.vmap(jax.random.fold_in)(jnp.broadcast_to(key, (4,)), jnp.arange(4)))


def batched(key):
    return jax.vmap(jax.random.normal)(jax.random.split(key, 4))


def in_ways_of_its_own(key):
    """JAX computes several ways to draw from one key, in one function, and takes the result of one of them."""
    keys = jax.random.split(key, 2)
    return jax.random.poisson(keys[0], 3.0) + jax.random.binomial(keys[1], 5, 0.3)


def in_ways_of_its_own_for_a_batch(key):
    return jax.vmap(in_ways_of_its_own)(jax.random.split(key, 3))


@pytest.mark.parametrize(
    "program",
    [split, raw_words, in_ways_of_its_own, in_ways_of_its_own_for_a_batch, jax.jit(in_ways_of_its_own),
     different_data, data_of_a_loop, carried_through_a_scan, a_key_each_turn, one_branch_or_the_other,
     batched, folded_for_a_batch, lambda key: jax.random.permutation(key, 35),
     lambda key: jax.random.choice(key, 9, (3,), replace=False)],
)  # fmt: skip
def test_an_honest_program_uses_no_key_twice(program):
    assert key_reuses(program, KEY) == []


def twice(key):
    return jax.random.normal(key) + jax.random.normal(key, (3,)).sum()


def split_and_used(key):
    first, _ = jax.random.split(key)
    return jax.random.normal(first) + jax.random.normal(key)


def raw_words_twice(key):
    words = jax.random.key_data(key)
    return jax.random.normal(words) + jax.random.uniform(words)


def same_row_twice(key):
    keys = jax.random.split(key, 3)
    return jax.random.normal(keys[1]) + jax.random.uniform(keys[1])


def same_data_twice(key):
    return jax.random.normal(jax.random.fold_in(key, 1)) + jax.random.uniform(jax.random.fold_in(key, 1))


def never_advanced_in_a_scan(key):
    return jax.lax.scan(lambda key, _: (key, jax.random.normal(key)), key, None, length=3)


def closed_over_in_a_scan(key):
    return jax.lax.scan(lambda carry, _: (carry, jax.random.normal(key)), 0, None, length=3)


def in_a_branch_and_after(key):
    return jax.lax.cond(jnp.array(True), jax.random.normal, jax.random.uniform, key) + jax.random.normal(key)


def in_two_batches(key):
    keys = jax.random.split(key, 4)
    return jax.vmap(jax.random.normal)(keys) + jax.vmap(jax.random.uniform)(keys)


def one_key_for_a_batch(key):
    return jax.vmap(jax.random.normal)(jnp.broadcast_to(key, (4,)))


def in_a_while_loop(key):
    return jax.lax.while_loop(lambda total: total < 1, lambda total: total + jax.random.uniform(key) + 0.1, 0.0)


def gamma_twice(key):
    return jax.random.gamma(key, 1.0) + jax.random.gamma(key, 2.0)


def gamma_and_normal(key):
    return jax.random.gamma(key, 1.0) + jax.random.normal(key)


def poisson_twice(key):
    return jax.random.poisson(key, 3.0) + jax.random.poisson(key, 3.0)


def binomial_twice(key):
    return jax.random.binomial(key, 5, 0.3) + jax.random.binomial(key, 5, 0.3)


def binomial_in_a_loop_of_python(key):
    return sum(jax.random.binomial(key, 5, 0.3) for _ in range(2))


def poisson_in_a_loop(key):
    return jax.lax.fori_loop(0, 3, lambda _, total: total + jax.random.poisson(key, 3.0), 0)


def split_and_poisson(key):
    first, _ = jax.random.split(key)
    return jax.random.normal(first) + jax.random.poisson(key, 3.0)


@pytest.mark.parametrize(
    "program",
    [gamma_twice, gamma_and_normal, poisson_twice, binomial_twice, binomial_in_a_loop_of_python, poisson_in_a_loop,
     split_and_poisson, twice, split_and_used, raw_words_twice, same_row_twice, same_data_twice, never_advanced_in_a_scan,
     closed_over_in_a_scan, in_a_branch_and_after, in_two_batches, one_key_for_a_batch, in_a_while_loop],
)  # fmt: skip
@pytest.mark.parametrize("compiled", [False, True])
def test_a_key_that_is_used_twice_is_found_with_its_line(program, compiled):
    found = key_reuses(jax.jit(program) if compiled else program, KEY)
    assert found
    assert not found[0].constant
    assert "test_keys.py" in found[0].where


def test_a_key_of_constants_is_told_apart():
    [found] = key_reuses(lambda key: jax.random.normal(jax.random.key(3)), KEY)
    assert found.constant


def test_jax_s_own_check_agrees_on_typed_keys():
    """An oracle: what JAX finds of typed keys is found here."""
    for program in (twice, split_and_used, never_advanced_in_a_scan, in_two_batches):
        with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
            jax.jit(program)(KEY)
