"""Parameters in general position, and sequences of observations, for the tests of networks. ``T`` steps, ``M`` rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

T, M = 5, 6
RESETS = np.zeros((T, M), bool)
RESETS[0, 0] = RESETS[2, 1] = RESETS[3, 1] = RESETS[4, 4] = True

# Called as functions of a static student, compiled: op by op takes longer here.
apply = jax.jit(lambda student, *given: student.apply(*given), static_argnums=0)
record = jax.jit(lambda student, *given: student.record(*given), static_argnums=0)
repeat = jax.jit(lambda student, *given: student.repeat(*given), static_argnums=0)


def drawn(shapes, seed=0, scale=0.5):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), jnp.float32), shapes)


@functools.cache
def general(student, seed=0):
    """Parameters in general position, made without compiling: fresh ones make the policy uniform whatever it sees."""
    return drawn(jax.eval_shape(student.init, jax.random.key(0)), seed)


@functools.cache
def observations(space, seed=0, steps=T, rows=M):
    flat = jax.vmap(space.sample)(jax.random.split(jax.random.key(seed), steps * rows))
    return jax.tree.map(lambda leaf: leaf.reshape(steps, rows, *leaf.shape[1:]), flat)


def dirty(student, num_rows=M):
    """Memories in the middle of an episode."""
    is_float = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating)  # noqa: E731
    return jax.tree.map(lambda leaf: leaf + 0.3 if is_float(leaf) else leaf, student.initial_carry(num_rows))


def sequence(student, space, seed=0):
    """What `apply` takes."""
    return general(student, seed), dirty(student), observations(space, seed), jnp.asarray(RESETS)


def close(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **({"rtol": 1e-5, "atol": 1e-6} | tolerance)), a, b)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def largest(tree):
    """The largest absolute number in a tree of arrays."""
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
