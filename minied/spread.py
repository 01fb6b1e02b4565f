"""Over which devices is a run spread, and what crosses between them?

A run with as many members as devices, or a multiple, gives each device its own members: nothing crosses. Otherwise the
environments are spread: each device rolls its share of the levels out and differentiates the loss on them; gradients are
averaged, what the teacher reads of each level is gathered, and all the rest (proposing, scoring, the optimiser, the
schedule) is computed alike on every device. All randomness is drawn for the whole batch and each device takes its part, so
the number of devices changes nothing but the order of sums.

Letters: ``R`` levels, ``D`` devices.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from minied.errors import UserError

Axis = Literal["none", "environments", "members"]
Tree = TypeVar("Tree")

LEAST_ROWS = 8
"""Environments a device below which a run on CPU is not spread further on its own: with fewer rows to multiply them with,
reading the weights costs as much as the products."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """What is divided among how many devices. Hashable.

    `run` and `place` are called from outside; the other methods speak of the device that they run on, inside of `run`.
    """

    axis: Axis = "none"
    number: int = 1  # D

    @property
    def of_members(self) -> jax.P:
        """Which part of an array with a leading axis of members each device holds: its own, or all."""
        return jax.P("members") if self.axis == "members" else jax.P()

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...], specs: tuple[Any, ...], out: Any) -> Any:
        """Return ``function(*arguments)``, computed on all devices.

        Args:
            function: pure; inside of it the other methods say what belongs to the device.
            arguments: of it.
            specs: of each argument, `of_members` or ``jax.P()`` for what every device holds whole; prefixes of the pytrees.
            out: likewise, of what it returns.
        """
        if self.axis == "none":
            return function(*arguments)
        return jax.shard_map(function, mesh=self.mesh(), in_specs=specs, out_specs=out, check_vma=False)(*arguments)

    def place(self, tree: Tree, specs: Any) -> Tree:
        """Return ``tree`` where `run` leaves what it returns, so that its first call is compiled for the second too."""
        if self.axis == "none":
            return tree
        mesh = self.mesh()
        shardings = jax.tree.map(
            lambda spec: jax.sharding.NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, jax.P)
        )
        if jax.process_count() == 1:
            return jax.device_put(tree, shardings)
        return jax.tree.map(
            lambda sharding, part: jax.tree.map(lambda leaf: _global(leaf, sharding), part), shardings, tree
        )

    def shapes(self, tree: Tree, spec: jax.P) -> Tree:
        """Return the shapes of arrays that `place` would lay out as ``spec`` says, as a program is lowered for them."""
        sharding = None if self.axis == "none" else jax.sharding.NamedSharding(self.mesh(), spec)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    def mesh(self) -> jax.sharding.Mesh:
        """Return the first D devices of the default backend, as many of every process."""
        every, kind = jax.devices(), jax.sharding.AxisType.Auto
        each = max(self.number // jax.process_count(), 1)
        own = [[device for device in every if device.process_index == i] for i in range(jax.process_count())]
        devices = [device for of_one in own for device in of_one[:each]][: self.number]
        return jax.make_mesh((self.number,), (self.axis,), axis_types=(kind,), devices=devices)

    def shares(self, number: int) -> int:
        """Return into how many parts ``number`` environments are divided: D, or 1 if this spread divides none."""
        if self.axis != "environments":
            return 1
        if number % self.number:
            raise ValueError(f"{number} environments cannot be divided among {self.number} devices")
        return self.number

    def part(self, tree: Tree, groups: int = 1, axis: int = 0) -> Tree:
        """Return this device's part of arrays whose ``axis`` goes over environments: an equal part of each group.

        ``groups`` is the number of batches of levels that lie one after the other.
        """
        if self.axis != "environments":
            return tree
        index = jax.lax.axis_index("environments")

        def part_of(leaf: jax.Array) -> jax.Array:
            shape = leaf.shape
            size = shape[axis] // (groups * self.number)
            leaf = leaf.reshape(*shape[:axis], groups, self.number, size, *shape[axis + 1 :])
            mine = jax.lax.dynamic_index_in_dim(leaf, index, axis + 1, keepdims=False)
            return mine.reshape(*shape[:axis], groups * size, *shape[axis + 1 :])

        return jax.tree.map(part_of, tree)

    def whole(self, tree: Tree, groups: int = 1, axis: int = 0) -> Tree:
        """Return the arrays of which each device has a `part`."""
        if self.axis != "environments":
            return tree

        def whole_of(leaf: Any) -> Any:
            if not isinstance(leaf, jax.Array):  # a setting of all levels
                return leaf
            shape = leaf.shape
            # Sizes are told, not left to be found: a world without ramps has leaves with nothing in them.
            leaf = leaf.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
            leaf = jax.lax.all_gather(leaf, "environments", axis=axis + 1, tiled=True)
            return jax.lax.collapse(leaf, axis, axis + 2)

        return jax.tree.map(whole_of, tree)

    def mean(self, tree: Tree) -> Tree:
        """Return the mean over devices of means over their environments."""
        return jax.lax.pmean(tree, "environments") if self.axis == "environments" else tree

    def highest(self, tree: Tree) -> Tree:
        """Return the highest value on any device, infinity for a NaN on one of several."""
        if self.axis != "environments":
            return tree
        # The maximum of XLA need not be NaN where one of its inputs is.
        return jax.tree.map(lambda x: jax.lax.pmax(jnp.where(jnp.isnan(x), jnp.inf, x), "environments"), tree)

    def any(self, value: jax.Array) -> jax.Array:
        """Return whether ``value``, ``bool[]``, holds on any device.

        What a loop goes on by must be asked so: devices that disagreed would wait for each other for ever.
        """
        return value if self.axis == "none" else jax.lax.pmax(value.astype(jnp.int32), self.axis) > 0


ALONE = Spread()


def _global(leaf: Any, sharding: jax.sharding.NamedSharding) -> jax.Array:
    """Return an array that every process has whole as one over the devices of all processes."""
    if isinstance(leaf, Tracer):
        return leaf  # only its shape is asked for
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        lies_so = leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        return leaf if lies_so else jax.jit(lambda array: array, out_shardings=sharding)(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _global(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    values = np.asarray(leaf)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def fetched(tree: Tree) -> Tree:
    """Return arrays as NumPy, whole, also where other processes hold parts of them (all processes have to ask then)."""

    def fetch(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            from jax.experimental import multihost_utils

            return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)


def spread_of(num_devices: int, num_members: int, num_envs: int, num_minibatches: int, num_cycles: int = 0) -> Spread:
    """Return how a run is spread over ``num_devices``, or for 0 over what serves it best.

    On CPU that is as many devices as the process has been given (`minied.commands` gives it one a core) and as divide the
    work evenly; on other backends one. Of ``num_cycles`` equal parts of a batch, if there are any, each stays whole.

    Raises `UserError` if there are fewer devices, or if so many do not divide the work.
    """
    available = require_devices(num_devices)
    if not num_devices and jax.default_backend() != "cpu" and jax.process_count() == 1:
        return ALONE
    spread = best_spread(available, num_devices, num_members, num_envs, num_minibatches, num_cycles)
    require_all_processes(spread)
    return spread


def require_devices(num_devices: int) -> int:
    """Return how many devices there are, of all processes. Raises `UserError` if ``num_devices`` are more."""
    available = len(jax.devices())
    if num_devices > available:
        raise UserError(
            f"num_devices is {num_devices}; allowed here: at most {available}, the devices of this process (on CPU,"
            " JAX_NUM_CPU_DEVICES=N in its environment gives it more)"
        )
    return available


def require_all_processes(spread: Spread) -> None:
    """Raise `UserError` unless ``spread`` gives every process of a run as many devices as any other."""
    if spread.number % jax.process_count():
        raise UserError(
            f"{jax.process_count()} processes cannot share a run that is spread over {spread.number} devices: allowed are"
            " members, or environments of a minibatch, that a multiple of the processes divides (num_devices says how many)"
        )


def best_spread(
    available: int, num_devices: int, num_members: int, num_envs: int, num_minibatches: int, num_cycles: int = 0
) -> Spread:
    """Return how a run is spread over ``num_devices``, or for 0 over up to ``available`` cores; see `spread_of`.

    Asks no device, so that a process can still be given as many as this says. Raises `UserError` if ``num_devices`` do not
    divide the work.
    """
    if num_devices:
        spread = _fitting(num_devices, num_members, num_envs, num_minibatches, num_cycles)
        if spread is None:
            told = f"the environments of a minibatch, {num_envs // num_minibatches}"
            if num_cycles:
                told = (
                    f"both {told}, and the equal parts of a batch in which self_play seats past policies, {num_cycles}"
                )
            raise UserError(
                f"num_devices is {num_devices}, which divides neither num_seeds = {num_members} nor {told};"
                " allowed: a divisor of one of them"
            )
        return spread
    for number in range(available, 1, -1):
        spread = _fitting(number, num_members, num_envs, num_minibatches, num_cycles)
        if spread and (spread.axis == "members" or num_envs >= LEAST_ROWS * number):
            return spread
    return ALONE


def _fitting(number: int, num_members: int, num_envs: int, num_minibatches: int, num_cycles: int) -> Spread | None:
    if number == 1:
        return ALONE
    if num_members % number == 0:
        return Spread("members", number)
    divided = math.gcd(num_envs // num_minibatches, num_cycles)  # without cycles the first of the two
    return Spread("environments", number) if divided % number == 0 else None
