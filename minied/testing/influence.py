"""What a level does: is it what is played, and all of it?

Letters: ``L`` levels, ``R`` rows, two for each level, ``T`` steps.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.testing.comparing import changed_rows, difference, differs
from minied.testing.level_parts import such_as
from minied.testing.play import World
from minied.testing.report import Failure, Note, Skip

_FIRST_ACTIONS = 64  # that are tried at a start, to see whether a level is over before it begins


def level_decides_start(world: World) -> str:
    """A level starts in one way, whatever was played before."""
    starts = []
    for index in range(min(4, world.num_levels)):
        level = world.level(index)
        first, _ = world.reset(world.key(36, index), level)
        for other in range(2):
            world.reset(
                world.key(37, index, other), world.level(index + 1)
            )  # what is kept of another level must not show
            again, _ = world.reset(world.key(38, index, other), level)
            if told := difference(first, again, exact=True):
                raise Failure(f"two resets to one level start differently: {told}", world.blame("reset"))
        starts.append(first)
        uncompiled, _ = world.env.reset(world.key(39, index), level)
        if told := difference(first, uncompiled):
            raise Failure(f"a reset without jit does not start where the level says: {told}", world.blame("reset"))
    if not any(difference(starts[0], other, exact=True) for other in starts[1:]):
        # Honest where little is seen at first: whether the level is played at all is for `every_part_matters`.
        raise Note(f"{len(starts)} levels look alike at their start")
    return "a level starts in one way, whatever was played before"


def every_part_matters(world: World) -> str:
    """Each part of a level changes something that is seen, and then the fingerprint too."""
    levels, num_steps = world.levels, min(world.env.max_steps, world.most_steps)
    paths = [jax.tree_util.keystr(path) or "the level" for path, _ in jax.tree_util.tree_leaves_with_path(levels)]
    leaves, structure = jax.tree.flatten(levels)
    compared, fingerprints = _comparison(world, num_steps), jax.jit(jax.vmap(world.space.fingerprint))
    prints = fingerprints(levels)
    idle, blind, whole = [], [], True
    for index, path in enumerate(paths):
        swapped = list(leaves)
        swapped[index] = jnp.roll(leaves[index], 1, axis=0)
        if not changed_rows(leaves[index], swapped[index]).any():
            continue
        hybrid = jax.tree.unflatten(structure, swapped)
        alike = (prints == fingerprints(hybrid)).all(axis=-1)
        shows, over = (np.asarray(each) for each in compared(levels, hybrid, alike))
        if not shows.any():
            idle.append(path)
            whole &= bool(over.all())
        blind += [path] * bool((shows & np.asarray(alike)).any())
    if blind:
        raise Failure(
            f"two levels that differ in {blind[0]} have one fingerprint, and play differently",
            world.blame_levels("fingerprint"),
        )
    if idle:
        told = f"{', '.join(idle)} of a level changes nothing that is seen in {num_steps} steps of random actions"
        if not whole:
            raise Note(f"{told}, and some episodes are longer (--most-steps)")
        raise Failure(f"{told}, to the end of every episode", world.blame("reset"))
    return f"each of {len(paths)} parts of a level shows in what is seen"


def _comparison(world: World, num_steps: int) -> Any:
    """Return what plays levels and others ``[L, ...]`` side by side: which show a difference, which came to an end.

    Only what a student sees counts: observations, rewards, ends, and the answer to a question. A state may hold the level
    whatever is done with it. Two rows a level, of actions that change at each step and of actions that are kept for some,
    which get farther; what comes after an end is seen by nobody.
    """
    env, count = world.env, world.num_levels

    def side_by_side(levels: Any, others: Any, alike: jax.Array) -> tuple[jax.Array, jax.Array]:
        def twice(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), tree)

        levels, others = twice(levels), twice(others)
        key, reset_key = jax.random.split(world.key(40))
        reset_keys = jax.random.split(reset_key, 2 * count)
        first, states = jax.vmap(env.reset)(reset_keys, levels)
        again, other_states = jax.vmap(env.reset)(reset_keys, others)
        start = jnp.int32(0), first, (states, other_states), _rows_that_differ(first, again), jnp.zeros(2 * count, bool)

        def goes_on(carry: Any) -> jax.Array:
            number, _, _, shows, over = carry
            each = shows[:count] | shows[count:]
            is_known = each.any() & (each | ~alike).all()  # longer play could only show levels of one fingerprint apart
            return (number < num_steps) & ~is_known & ~over.all()

        def step(carry: Any) -> Any:
            number, observations, states, shows, over = carry
            actions = jax.vmap(world.permitted)(observations, _actions(world, number))  # while alike, allowed in both
            keys = jax.random.split(jax.random.fold_in(key, number), 2 * count)
            both = [jax.vmap(env.step)(keys, *each) for each in
                    ((states[0], actions, levels), (states[1], actions, others))]  # fmt: skip
            seen = [(each[0], each[2], each[3], each[4], each[5].get("label", 0)) for each in both]
            shows |= ~over & _rows_that_differ(*seen)
            over |= seen[0][2] | seen[0][3] | seen[1][2] | seen[1][3]
            return number + 1, both[0][0], (both[0][1], both[1][1]), shows, over

        *_, shows, over = jax.lax.while_loop(goes_on, step, start)
        return shows[:count] | shows[count:], over

    return jax.jit(side_by_side)


def _actions(world: World, number: jax.Array) -> jax.Array:
    """Return the actions ``i32[R]`` or ``i32[R, N]`` of step ``number``: half of the rows keep each for a while."""
    agents, choices = world.env.num_agents, world.env.action_space.n
    now, kept = (
        jax.random.randint(jax.random.fold_in(world.key(44, row), moment), (world.num_levels, agents), 0, choices)
        for row, moment in enumerate((number, number // 5))
    )
    actions = jnp.concatenate([now, kept])
    return actions[:, 0] if agents == 1 else actions


def _rows_that_differ(one: Any, other: Any) -> jax.Array:
    """Return in which rows two trees of arrays ``[R, ...]`` differ anywhere, ``bool[R]``."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    each = [jnp.atleast_1d(differs(jnp.asarray(a), jnp.asarray(b))) for a, b in pairs]
    rows = [leaf.reshape(len(leaf), -1).any(axis=1) for leaf in each]
    return jnp.stack(jnp.broadcast_arrays(*rows)).any(axis=0)


def not_over(world: World) -> str:
    """No level is over at its first step, whatever is done."""
    env = world.env
    if env.max_steps == 1:
        raise Skip("every episode is one step long")
    number = min(_FIRST_ACTIONS, env.action_space.n)

    def ends(level: Any, key: jax.Array) -> jax.Array:
        reset_key, key = jax.random.split(key)
        observation, state = env.reset(reset_key, level)

        def over(key: jax.Array, action: jax.Array) -> jax.Array:
            _, _, _, terminated, truncated, _ = env.step(key, state, action, level)
            return terminated | truncated

        spread = np.linspace(0, env.action_space.n - 1, number).astype(int)
        actions = jnp.stack([world.action(action) for action in spread.tolist()] * 4)  # luck may end one of them
        # What a mask forbids may end the game, and where all that it leaves is to win at once, the level is no worse for it.
        allowed = jax.vmap(lambda action: world.permitted(observation, action))(actions)
        actions = jnp.concatenate([actions, allowed])
        return jax.vmap(over)(jax.random.split(key, len(actions)), actions).all()

    over = np.asarray(jax.jit(jax.vmap(ends))(world.levels, jax.random.split(world.key(41), world.num_levels)))
    if over.any():
        row = int(over.argmax())
        tried = (
            "whatever is done"
            if number == env.action_space.n
            else f"with any of {number} actions of {env.action_space.n}"
        )
        told = f"{over.sum()} of {world.num_levels} levels are over at the first step, {tried}"
        told += such_as(world, world.level(row))
        if over.all():
            told += "; where that is how the world is meant, its max_steps is 1"
        raise Failure(told, world.blame_levels("sample"))
    return f"none of {world.num_levels} levels is over before it begins"
