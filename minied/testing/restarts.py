"""Does a step start anew by itself? Its state after an end is compared with that of a fresh reset.

Flags do not tell: an honest world may end once and never again (``truncated = time == max_steps``), and one that resets
itself may end just where the honest one would. The state does. Two things are looked for, at the first end of each row,
among ends of one kind (terminated, or truncated):

* **A clock is back at its start.** A clock is a number of the state that rose at every step of every row, or fell at every
  step, as far as rows of three steps or more show; its last step counts as such an end too. An honest clock goes on or
  stands still; none is ever back at exactly its first value at each end. All clocks are back, at the end or a step after
  it: that is a reset. Only some are: it may be one, of a world within the world, or a clock of its parts.
* **The whole state is back**, of a world without a clock, in rows whose state was another before the last step. To the
  student this is as a reset; but a walk that ends where it began does the same, so that it is no failure.

A state that never was another than its start, as in a world of one step, tells nothing. Parts of a state that depend on the
key of a reset are left out. Letters: ``R`` rows, ``D`` numbers of a leaf of the state.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minied.testing.play import World
from minied.testing.report import Failure, Note, Skip

_SHORTEST = 3
"""Steps of a row that shows a clock."""


class _Seen(NamedTuple):
    """What is kept of each row; each a list of leaves ``[R, D]`` of the state, but for the last three."""

    start: Any
    before: Any
    """Of the first end: the state that the last step was taken from."""
    after: Any
    later: Any
    """A step after the end."""
    rises: Any  # bool
    falls: Any  # bool
    fixed: Any  # bool, whether it does not depend on the key of the reset
    length: Any  # i32[R], steps to the first end; 0 for none
    since: Any  # i32[R], steps since
    terminated: Any  # bool[R]


def no_restart(world: World) -> str:
    """A step never starts anew by itself."""
    world = world.shortened
    seen = _played(world)
    if not seen.length.any():
        raise Skip("no episode ended")
    clocks, told = 0, ""
    for kind, is_kind in (("terminated", seen.terminated), ("truncated", ~seen.terminated)):
        rows = (seen.length > 0) & is_kind
        number, back = _clocks(seen, rows)
        clocks = max(clocks, number)
        if number and back == number:
            told = f"after a row is {kind} its clock is back at the start: step resets by itself"
            raise Failure(told, world.blame("step"))
        if back:
            told = f"after a row is {kind} {back} of {number} numbers that count its steps are back at the start"
    if told:
        raise Note(told)
    return _of_states(seen, clocks)


def _clocks(seen: _Seen, rows: np.ndarray) -> tuple[int, int]:
    """Return how many numbers of the state count steps, and how many are back at their start where ``rows`` ended."""
    long = seen.length >= _SHORTEST
    rows = rows & long
    if not rows.any():
        return 0, 0
    number = back = 0
    for start, after, later, rises, falls, fixed in zip(
        seen.start, seen.after, seen.later, seen.rises, seen.falls, seen.fixed, strict=True
    ):
        is_clock = (rises[long].all(axis=0) | falls[long].all(axis=0)) & fixed.all(axis=0)
        is_back = (after == start)[rows].all(axis=0) | (later == start)[rows].all(axis=0)
        number, back = number + int(is_clock.sum()), back + int((is_clock & is_back).sum())
    return number, back


def _of_states(seen: _Seen, clocks: int) -> str:
    """Return what whole states tell, where clocks do not tell of a reset. Raises `Note` and `Skip`."""
    ended = seen.length > 0
    moved = ended & _differ(seen.before, seen.start, seen.fixed)
    same = ended & ~_differ(seen.after, seen.start, seen.fixed)
    if clocks or not same.any():
        return "step never starts anew by itself: its state after an end is no fresh one"
    if not moved.any():
        raise Skip("the state never is another than at the start: a reset would not show")
    if same[moved].all():
        raise Note("after every end the whole state is that of a fresh reset, and nothing in it counts steps")
    return "step never starts anew by itself: its state after an end is not always a fresh one"


def _differ(one: Any, other: Any, fixed: Any) -> np.ndarray:
    """Return in which rows two states differ in what does not depend on a key, ``bool[R]``."""
    each = [((a != b) & counts).any(axis=1) for a, b, counts in zip(one, other, fixed, strict=True)]
    return np.any(each, axis=0) if each else np.zeros(0, bool)


def _played(world: World) -> _Seen:
    """Return what rows show up to a step after their first end, never started anew."""
    env, num_steps = world.env, world.env.max_steps + 1

    def row(keys: jax.Array, actions: jax.Array, level: Any) -> _Seen:
        observation, state = env.reset(keys[0], level)
        start, other = _numbers(state), _numbers(env.reset(keys[1], level)[1])
        yes = [jnp.ones(leaf.shape, bool) for leaf in start]
        fixed = [one == two for one, two in zip(start, other, strict=True)]
        none = jnp.int32(0)
        seen = _Seen(start, start, start, start, yes, yes, fixed, none, none, jnp.bool_(False))
        inputs = jnp.arange(1, num_steps + 1, dtype=jnp.int32), keys[2:], actions

        def step(carry: Any, inputs: Any) -> Any:
            observation, state, seen = carry
            number, key, action = inputs
            action = world.permitted(observation, action)
            observation, after, _, terminated, truncated, _ = env.step(key, state, action, level)
            return (observation, after, _add(seen, number, state, after, terminated, truncated)), None

        return jax.lax.scan(step, (observation, state, seen), inputs)[0][2]

    keys = jax.random.split(world.key(5), (world.num_rows, num_steps + 2))
    actions = jnp.swapaxes(world.plans(num_steps), 0, 1)
    return jax.device_get(jax.jit(jax.vmap(row))(keys, actions, world.row_levels))


def _add(seen: _Seen, number: Any, state: Any, after: Any, terminated: Any, truncated: Any) -> _Seen:
    """Return what is kept of a row after step ``number``, which led from ``state`` to ``after``."""
    old, new = _numbers(state), _numbers(after)
    was_running, ends = seen.length == 0, terminated | truncated
    runs, is_end = was_running & ~ends, was_running & ends

    def where(condition: Any, chosen: Any, otherwise: Any) -> Any:
        return [jnp.where(condition, a, b) for a, b in zip(chosen, otherwise, strict=True)]

    since = jnp.where(was_running, 0, seen.since + 1)
    rises = [a & (two > one) for a, one, two in zip(seen.rises, old, new, strict=True)]
    falls = [a & (two < one) for a, one, two in zip(seen.falls, old, new, strict=True)]
    return seen._replace(
        before=where(is_end, old, seen.before),
        after=where(is_end, new, seen.after),
        later=where(is_end | (since == 1), new, seen.later),
        rises=where(runs, rises, seen.rises),
        falls=where(runs, falls, seen.falls),
        length=jnp.where(is_end, number, seen.length),
        since=since,
        terminated=jnp.where(is_end, terminated, seen.terminated),
    )


def _numbers(state: Any) -> list[jax.Array]:
    """Return the leaves of a state that are numbers, each ``[D]``: typed keys are none."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
    return [leaf.ravel() for leaf in leaves if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
