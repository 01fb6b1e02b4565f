"""What does a policy earn on a maze level, exactly? By dynamic programming, without playing an episode.

A policy without memory turns a level into a Markov chain over the states (direction, row, col), of which the world itself
says where each action leads. One backward sweep over the steps gives the chance to reach the goal at each of them, and
with it the return, the regret and the values that estimates are measured against.

A television ends an episode as the goal does, and counts for what it is worth on average: half of the goal.

A policy is a function of one observation to the probabilities of the actions, ``f32[A]``. Everything is for one level
(vmap at the caller) and can be compiled. Letters: ``H W`` grid, ``T`` the horizon `Maze.max_steps`, ``A`` actions, ``X``
states, ``4 H W`` in the order of direction, row and col.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import struct

from minied_envs.grid import bitboard, moves
from minied_envs.maze.level import MazeLevel, passable
from minied_envs.maze.world import Maze, Observation, goal_reward

Policy = Callable[[Observation], jax.Array]  # observation -> f32[A]


class Chain(struct.PyTreeNode):
    """How a policy moves through the states of one level. Time changes nothing but the reward of the goal."""

    probabilities: jax.Array  # f32[X, A], of the actions; 0 in states that no agent can be in
    successors: jax.Array  # i32[X, A], the state after each action
    at_goal: jax.Array  # bool[X, A], the action moves into the goal and ends the episode
    at_television: jax.Array  # bool[X, A], the action moves into the television and ends the episode
    start: jax.Array  # i32[], the first state

    @property
    def goal_chance(self) -> jax.Array:
        """The chance that the next action moves into the goal, ``f32[X]``."""
        return jnp.sum(jnp.where(self.at_goal, self.probabilities, 0.0), axis=-1)

    @property
    def expected_prize(self) -> jax.Array:
        """The expected reward of the next action, ``f32[X]``, in units of what the goal is worth at that step."""
        prize = jnp.where(self.at_goal, 1.0, jnp.where(self.at_television, 0.5, 0.0))
        return jnp.sum(prize * self.probabilities, axis=-1)

    def expect_next(self, values: jax.Array) -> jax.Array:
        """Return the expectation over one step of ``values``, ``f32[X]``, of which an ended episode has none."""
        has_ended = self.at_goal | self.at_television
        return jnp.sum(jnp.where(has_ended, 0.0, self.probabilities * values[self.successors]), axis=-1)


def arrival_probabilities(maze: Maze, level: MazeLevel, policy: Policy) -> jax.Array:
    """Return the chance that the n-th action of an episode moves into the goal, ``f32[T]`` for n = 1 to T.

    What is missing to 1 is the chance of a time-out, and that of moving into a television.
    """
    chain = chain_of(maze, level, policy)
    return _at_each_action(chain, chain.goal_chance, maze.max_steps)


def solve_probability(maze: Maze, level: MazeLevel, policy: Policy) -> jax.Array:
    """Return the chance that an episode of ``policy`` reaches the goal in time, ``f32[]``."""
    return jnp.sum(arrival_probabilities(maze, level, policy))


def expected_return(maze: Maze, level: MazeLevel, policy: Policy) -> jax.Array:
    """Return the expected undiscounted return of an episode of ``policy``, ``f32[]``."""
    chain = chain_of(maze, level, policy)
    return jnp.sum(_at_each_action(chain, chain.expected_prize, maze.max_steps) * _rewards(maze))


def exact_regret(maze: Maze, level: MazeLevel, policy: Policy) -> jax.Array:
    """Return what ``policy`` falls short of the best policy on ``level``, ``f32[]``.

    The optimal return less the expected one, never negative but for rounding (1e-6), and 0 on levels on which nothing can be
    earned within the horizon. The best policy knows the level; one that sees through the agent's window may not reach it.
    """
    return maze.level_space.optimal_return(level) - expected_return(maze, level, policy)


def exact_values(maze: Maze, level: MazeLevel, policy: Policy, discount: float | jax.Array) -> jax.Array:
    """Return the expected discounted return to come, ``f32[T + 1, 4, H, W]``: the perfect critic.

    Entry ``[t, direction, row, col]`` is of an agent that is there after t steps of the episode; 0 at t = T, on walls, on
    the goal and on a television. A time-out counts as an end, so the values depend on time, which the agent does not see.
    """
    chain = chain_of(maze, level, policy)

    def one_step_before(values: jax.Array, reward: jax.Array) -> tuple[jax.Array, jax.Array]:
        values = chain.expected_prize * reward + discount * chain.expect_next(values)
        return values, values

    last = jnp.zeros(chain.probabilities.shape[0])
    _, values = jax.lax.scan(one_step_before, last, _rewards(maze), reverse=True)
    return jnp.concatenate([values, last[None]]).reshape(-1, 4, maze.height, maze.width)


def chain_of(maze: Maze, level: MazeLevel, policy: Policy) -> Chain:
    """Return the Markov chain of ``policy`` on ``level``, built from the world's own `Maze.reset` and `Maze.step`."""
    key = jax.random.key(0)  # the world draws nothing but what a television pays, which is not read
    directions, rows, cols = jnp.unravel_index(jnp.arange(4 * maze.height * maze.width), (4, maze.height, maze.width))
    positions = jnp.stack([rows, cols], axis=-1)
    actions = jnp.arange(maze.num_actions, dtype=jnp.int32)

    def from_state(position: jax.Array, direction: jax.Array):
        # An agent that is somewhere in an episode sees and does what one does that starts there.
        elsewhere = level.replace(
            agent_position=position.astype(jnp.uint8), agent_direction=direction.astype(jnp.uint8)
        )
        observation, state = maze.reset(key, elsewhere)
        _, after, _, terminated, _, _ = jax.vmap(lambda action: maze.step(key, state, action, level))(actions)
        possible = bitboard.get(passable(level, maze.width), maze.width, position[0], position[1], outside=False)
        possible = possible & ~moves.same(position, level.goal)
        probabilities = policy(observation)
        chex.assert_shape(probabilities, (maze.num_actions,))
        successors = _index(maze, after.position[:, 0], after.position[:, 1], after.direction)
        # An episode ends only by moving into what is ahead.
        at_television = terminated & moves.same(moves.ahead(position, direction), level.television_cell)
        return jnp.where(possible, probabilities, 0.0), successors, terminated & ~at_television, at_television

    parts = jax.vmap(from_state)(positions, directions)
    return Chain(*parts, start=_index(maze, level.start[0], level.start[1], level.direction))


def _at_each_action(chain: Chain, payment: jax.Array, number: int) -> jax.Array:
    """Return what ``payment`` (``f32[X]``, for the next action) is worth at the n-th action, ``f32[number]``."""

    def one_action_more(expected: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        # With exactly n + 1 actions: act once, then what comes with exactly n.
        return chain.expect_next(expected), expected[chain.start]

    return jax.lax.scan(one_action_more, payment, length=number)[1]


def _index(maze: Maze, row: jax.Array, col: jax.Array, direction: jax.Array) -> jax.Array:
    """Return the place of a state among all, ``i32[...]``."""
    return (direction * maze.height + row) * maze.width + col


def _rewards(maze: Maze) -> jax.Array:
    """Return the reward of moving into the goal as the n-th action, ``f32[T]`` for n = 1 to T."""
    numbers = jnp.arange(1, maze.max_steps + 1, dtype=jnp.int32)
    return jnp.broadcast_to(goal_reward(numbers, maze.max_steps, maze.time_penalty), numbers.shape)
