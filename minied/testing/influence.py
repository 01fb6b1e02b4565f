"""What a level does: is it what is played, and all of it; can it be solved, and by no more than is said?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.testing.comparing import changed_rows, difference, row_of
from minied.testing.level_parts import such_as
from minied.testing.play import World
from minied.testing.report import Failure, Skip
from minied.testing.samples import NUM_SAMPLES


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
    return "a level starts in one way, whatever was played before"


def every_part_matters(world: World) -> str:
    """Each part of a level changes something that is seen, and then the fingerprint too."""
    levels, env = world.levels, world.env
    paths = [jax.tree_util.keystr(path) or "the level" for path, _ in jax.tree_util.tree_leaves_with_path(levels)]
    leaves, structure = jax.tree.flatten(levels)
    actions = jnp.stack(
        [world.action(int(n)) for n in np.random.default_rng(world.seed).integers(0, env.action_space.n, 24)]
    )

    def outcome(level: Any, key: jax.Array) -> Any:
        first, state = env.reset(key, level)

        def step(state: Any, inputs: Any) -> Any:
            observation, state, reward, terminated, truncated, _ = env.step(*_ordered(inputs, state, level))
            return state, (observation, reward, terminated, truncated)

        return first, state, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]

    run = jax.jit(jax.vmap(outcome, in_axes=(0, None)))
    key, space = world.key(40), world.space
    before, prints = run(levels, key), jax.jit(jax.vmap(space.fingerprint))(levels)
    idle, blind = [], []
    for index, path in enumerate(paths):
        swapped = list(leaves)
        swapped[index] = jnp.roll(leaves[index], 1, axis=0)
        differs = np.asarray((leaves[index] != swapped[index]).reshape(world.num_levels, -1).any(axis=1))
        if not differs.any():
            continue
        hybrid = jax.tree.unflatten(structure, swapped)
        after, others = run(hybrid, key), jax.jit(jax.vmap(space.fingerprint))(hybrid)
        changed = changed_rows(before, after)
        if not changed.any():
            idle.append(path)
        blind += [path] * bool((changed & np.asarray((prints == others).all(axis=-1))).any())
    if blind:
        raise Failure(
            f"two levels that differ in {blind[0]} have one fingerprint, and play differently",
            world.blame_levels("fingerprint"),
        )
    if idle:
        raise Failure(
            f"{', '.join(idle)} of a level changes nothing that is seen in {len(actions)} steps", world.blame("reset")
        )
    return f"each of {len(paths)} parts of a level shows in what is seen"


def _ordered(inputs: Any, state: Any, level: Any) -> tuple[Any, Any, Any, Any]:
    return inputs[0], state, inputs[1], level


def not_over(world: World) -> str:
    """No level is over at its first step, whatever is done."""
    env = world.env
    if env.max_steps == 1:
        raise Skip("every episode is one step long")
    number = min(8, env.action_space.n)

    def ends(level: Any, key: jax.Array) -> jax.Array:
        reset_key, key = jax.random.split(key)
        _, state = env.reset(reset_key, level)

        def over(key: jax.Array, action: jax.Array) -> jax.Array:
            _, _, _, terminated, truncated, _ = env.step(key, state, action, level)
            return terminated | truncated

        actions = jnp.stack([world.action(action) for action in range(number)] * 4)  # luck may end one of them
        return jax.vmap(over)(jax.random.split(key, len(actions)), actions).all()

    over = np.asarray(jax.jit(jax.vmap(ends))(world.levels, jax.random.split(world.key(41), world.num_levels)))
    if over.any():
        row = int(over.argmax())
        told = f"{over.sum()} of {world.num_levels} levels are over at the first step, whatever is done"
        raise Failure(told + such_as(world, world.level(row)), world.blame_levels("sample"))
    return f"none of {world.num_levels} levels is over before it begins"


def solvable(world: World) -> str:
    """Enough of the samples can be solved, where the world can tell."""
    space = world.space
    if not space.has("optimal_return"):
        raise Skip("the level space has no optimal_return")
    levels = jax.jit(jax.vmap(space.sample))(jax.random.split(world.key(42), NUM_SAMPLES))
    best = jax.jit(lambda levels: jax.lax.map(space.optimal_return, levels, batch_size=64))(levels)
    best = np.asarray(best)
    if best.shape != (NUM_SAMPLES,) or not np.isfinite(best).all():
        raise Failure(
            f"optimal_return is {best.dtype}{list(best.shape[1:])}, or no finite number",
            world.blame_levels("optimal_return"),
        )
    agents = world.env.num_agents
    each = jnp.asarray(best) if agents == 1 else jnp.repeat(jnp.asarray(best)[:, None], agents, axis=1)
    can_be = np.asarray(jax.vmap(world.env.is_solved)(each))
    told = f"{can_be.mean():.0%} of {NUM_SAMPLES} samples can be solved"
    if can_be.mean() < world.min_solvable:
        told += f", less than {world.min_solvable:.0%} (--min-solvable)"
        told += such_as(world, row_of(levels, int((~can_be).argmax())))
        raise Failure(told, world.blame_levels("sample"))
    return told


def oracle(world: World) -> str:
    """Nothing is better than the best return."""
    space = world.space
    if not space.has("optimal_return"):
        raise Skip("the level space has no optimal_return")
    world = world.shortened
    play, space = world.play, world.space
    best = np.asarray(jax.jit(jax.vmap(space.optimal_return))(world.row_levels))
    returns = play.returns if play.returns.ndim == 2 else play.returns.mean(axis=-1)
    above = np.where(play.ended, returns - best, -np.inf)
    row = int(above.max(axis=0).argmax())
    if above.max() > 1e-4 and _is_deterministic(world):
        most = returns[above[:, row].argmax(), row]
        told = f"a row without a policy has the return {most:g}, above the optimal {best[row]:g}"
        raise Failure(told + such_as(world, world.level(row)), world.blame_levels("optimal_return"))
    each = above[play.ended]
    if len(each) > 1 and each.mean() > 3 * each.std() / np.sqrt(len(each)) + 1e-4:
        told = f"{len(each)} episodes without a policy have on average {each.mean():g} more than the optimal return"
        raise Failure(told, world.blame_levels("optimal_return"))
    return "no row without a policy is better than the best"


def _is_deterministic(world: World) -> bool:
    """Return whether nothing seen depends on a key, as far as a few steps of each level show."""
    env = world.env
    actions = jnp.stack([world.action(number) for number in range(8)])

    def outcome(key: jax.Array, level: Any) -> Any:
        first, state = env.reset(key, level)

        def step(state: Any, inputs: Any) -> Any:
            observation, state, reward, terminated, truncated, _ = env.step(*_ordered(inputs, state, level))
            return state, (observation, reward, terminated, truncated)

        return first, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]

    run = jax.jit(jax.vmap(outcome))
    runs = [run(jax.random.split(world.key(43, number), world.num_levels), world.levels) for number in range(4)]
    return not any(difference(runs[0], other, exact=True) for other in runs[1:])
