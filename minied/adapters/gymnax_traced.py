"""What shows in the program that an environment of gymnax is traced to: types, whether starts differ, what is not heard."""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from minied.adapters.base import lenient
from minied.adapters.trees import is_key
from minied.errors import UserError

if TYPE_CHECKING:
    from minied.adapters.gymnax import Gymnax

_STARTS = 64  # that are looked at to tell whether any two differ


@functools.cache
def state_form(world: "Gymnax") -> Any:
    """Return the types of a state, shapes of arrays: those which hold what both reset and step give.

    Raises `UserError` if the environment cannot be computed, with what varies above all.
    """
    env, numbers, key = world.made.env, _numbers(world), jax.eval_shape(lambda: jax.random.key(0))

    def first(key: jax.Array, numbers: Any) -> Any:
        return _arrays(env.reset_env(key, world.parameters_with(numbers))[1])

    def second(key: jax.Array, numbers: Any, state: Any) -> Any:
        return _arrays(env.step_env(key, state, world.taken(jnp.int32(0)), world.parameters_with(numbers))[1])

    try:
        with lenient():
            form = jax.eval_shape(first, key, numbers)
            for _ in range(2):  # a wider type may widen another
                form = jax.tree.map(_wider, form, jax.eval_shape(second, key, numbers, form))
            return form
    except Exception as error:  # it is somebody else's code
        told = f" with {', '.join(numbers)} varied" if numbers else ""
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{world.id!r} cannot be computed{told}: {type(error).__name__}, {reason}") from error


def copied(tree: Any) -> Any:
    """Return a copy: without jit a first state may hold an array of the environment's own, which a caller may give away."""
    return jax.tree.map(lambda leaf: leaf if is_key(leaf) else jnp.array(leaf), tree)


@functools.cache
def starts_differ(world: "Gymnax") -> bool:
    """Return whether any two of some first states differ, where numbers are as in gymnax or at their ends."""
    with lenient(), jax.ensure_compile_time_eval():
        for parameters in world.ends():
            keys = jax.random.split(jax.random.key(0), _STARTS)
            starts = jax.jit(jax.vmap(world.made.env.reset_env, in_axes=(0, None)))(keys, parameters)
            for leaf in jax.tree.leaves(starts):
                if not is_key(leaf) and bool((leaf != leaf[:1]).any()):
                    return True
    return False


@functools.cache
def require_heard(world: "Gymnax") -> None:
    """Raise `UserError` for a parameter that varies and from which nothing follows: its levels would be one level."""
    if not world.varied:
        return
    env = world.made.env

    def episode(numbers: Any, key: jax.Array, state: Any) -> Any:
        parameters = world.parameters_with(numbers)
        stepped = env.step_env(key, state, world.taken(jnp.int32(0)), parameters)
        return env.reset_env(key, parameters), stepped, env.is_truncated(stepped[1], parameters)

    numbers = _numbers(world)
    with lenient():
        jaxpr = jax.make_jaxpr(episode)(numbers, jax.random.key(0), state_form(world)).jaxpr
    heard = {id(atom) for atom in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if any(id(each) in heard for each in equation.outvars):
            heard |= {id(atom) for atom in equation.invars}
    for name, variable in zip(sorted(numbers), jaxpr.invars, strict=False):  # the first of them, as a dict is flattened
        if id(variable) not in heard:
            raise UserError(
                f"vary has {name!r}, which changes nothing in {world.id}; allowed: parameters that are used"
            )


def _numbers(world: "Gymnax") -> dict[str, Any]:
    return {each.name: jax.ShapeDtypeStruct((), each.dtype) for each in world.varied}


def _arrays(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


def _wider(one: Any, other: Any) -> Any:
    if one.shape != other.shape:
        raise ValueError(f"a state has an array of shape {one.shape} and then of {other.shape}")
    wider = one.dtype if one.dtype == other.dtype else jnp.promote_types(one.dtype, other.dtype)
    return jax.ShapeDtypeStruct(one.shape, wider)
