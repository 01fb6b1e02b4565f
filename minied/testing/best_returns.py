"""What a world says of the best return of a level: can levels be solved, and by no more than is said?

``optimal_return`` is the best *expected* return. Where keys decide what happens, an episode may return more, and whether an
episode counts as solved cannot be read off an average: such a world is judged by levels on which nothing can be gained.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.testing.comparing import difference, row_of
from minied.testing.level_parts import such_as
from minied.testing.play import World
from minied.testing.report import Failure, Note, Skip
from minied.testing.samples import NUM_SAMPLES

_TOLERANCE = 1e-4
"""Of a return, and of its size: sums of many rewards in 32 bits round."""


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
        hopeless = ~can_be & ((best <= _lowest_return(world)) | _is_deterministic(world))
        if 1 - hopeless.mean() >= world.min_solvable:
            raise Note(f"{told}, by the return of the best policy on average: one episode may return more")
        told += such_as(world, row_of(levels, int(hopeless.argmax())))
        raise Failure(told, world.blame_levels("sample"))
    return told


def _lowest_return(world: World) -> float:
    """Return the lowest return of an episode that was seen: who does no better on average has nothing to gain."""
    if world.env.max_steps > (world.most_steps - 1) // 2:  # returns of shortened episodes are of another world
        return -np.inf
    play = world.play
    returns = play.returns if play.returns.ndim == 2 else play.returns.mean(axis=-1)
    return float(returns[play.ended].min()) if play.ended.any() else -np.inf


def oracle(world: World) -> str:
    """Nothing is better than the best return."""
    space = world.space
    if not space.has("optimal_return"):
        raise Skip("the level space has no optimal_return")
    world = world.shortened
    play, space = world.play, world.space
    best = np.asarray(jax.jit(jax.vmap(space.optimal_return))(world.row_levels))
    returns = play.returns if play.returns.ndim == 2 else play.returns.mean(axis=-1)
    above = np.where(play.ended, returns - best - _TOLERANCE * (1 + np.abs(best)), -np.inf)
    row = int(above.max(axis=0).argmax())
    if above.max() > 0 and _is_deterministic(world):
        most = returns[above[:, row].argmax(), row]
        told = f"a row without a policy has the return {most:g}, above the optimal {best[row]:g}"
        raise Failure(told + such_as(world, world.level(row)), world.blame_levels("optimal_return"))
    each = above[play.ended]
    if len(each) > 1 and each.mean() > 3 * each.std() / np.sqrt(len(each)):
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
            key, action = inputs
            observation, state, reward, terminated, truncated, _ = env.step(key, state, action, level)
            return state, (observation, reward, terminated, truncated)

        return first, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]

    run = jax.jit(jax.vmap(outcome))
    runs = [run(jax.random.split(world.key(43, number), world.num_levels), world.levels) for number in range(4)]
    return not any(difference(runs[0], other, exact=True) for other in runs[1:])
