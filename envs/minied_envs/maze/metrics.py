"""What can be said of a maze level without a student? Lengths, and the best return that is possible.

Letters: ``H W`` grid.
"""

import jax
import jax.numpy as jnp

from minied_envs.grid import bitboard, search
from minied_envs.maze.level import MazeLevel, passable
from minied_envs.maze.world import goal_reward


def shortest_path(level: MazeLevel, width: int) -> jax.Array:
    """Return the moves from start to goal, not counting turns, ``i32[]``, or `search.UNREACHABLE`."""
    return search.shortest_path(passable(level, width), level.start, level.goal, width)


def fewest_actions(level: MazeLevel, width: int) -> jax.Array:
    """Return the actions that a perfect agent needs, turns included, ``i32[]``, or `search.UNREACHABLE`."""
    return search.fewest_actions(passable(level, width), level.start, level.direction, level.goal, width)


def optimal_return(level: MazeLevel, width: int, max_steps: int, time_penalty: bool) -> jax.Array:
    """Return the highest expected return of any policy, ``f32[]``: at the goal or, if that is more, at the television.

    The television is worth half of what a goal in its place would be. Each ends the episode, so that the way to one does not
    lead through the other.
    """
    best = best_return(fewest_actions(level, width), max_steps, time_penalty)
    if level.television is None:
        return best
    free = bitboard.put(bitboard.complement(level.walls, width), width, level.goal, False)
    actions = search.fewest_actions(free, level.start, level.direction, level.television_cell, width)
    return jnp.maximum(best, 0.5 * best_return(actions, max_steps, time_penalty))


def best_return(actions: jax.Array, max_steps: int, time_penalty: bool, discount: float = 1.0) -> jax.Array:
    """Return the highest return when the goal is at least ``actions`` away, ``f32[]``.

    ``discount^(n - 1) (1 - 0.9 n / T)`` if ``n <= T``, else 0: the n-th action gets the reward, which is discounted n - 1
    times. (jaxued's formula has ``discount^n``, counts one action more and knows no horizon.) No detour pays: both
    factors fall with n.

    Args:
        actions: n, ``i32[]``.
        max_steps: T.
        time_penalty: whether the reward falls with time, else it is 1.
        discount: per step; 1 for the return that is reported and compared.
    """
    reward = goal_reward(actions, max_steps, time_penalty)
    discounted = reward * jnp.float32(discount) ** (actions - 1).astype(jnp.float32)
    return jnp.where(actions <= max_steps, discounted, 0.0)


def describe(level: MazeLevel, width: int, max_steps: int, time_penalty: bool) -> dict[str, jax.Array]:
    """Return features of a level, each ``f32[]``; lengths are NaN where the goal cannot be reached.

    ``max_steps`` and ``time_penalty`` are the world's, for the optimal return.
    """
    moves = shortest_path(level, width)
    is_solvable = moves < search.UNREACHABLE

    actions = fewest_actions(level, width)

    def length(number: jax.Array) -> jax.Array:
        return jnp.where(is_solvable, number.astype(jnp.float32), jnp.nan)

    return {
        "num_walls": bitboard.count(level.walls).astype(jnp.float32),
        "shortest_path": length(moves),
        "fewest_actions": length(actions),
        "optimal_return": optimal_return(level, width, max_steps, time_penalty),
        "solvable": is_solvable.astype(jnp.float32),
        "manhattan_distance": jnp.sum(jnp.abs(level.start - level.goal)).astype(jnp.float32),
    }
