"""Bit-parallel search against queues in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from minied_envs.grid import bitboard, search
from minied_envs.maze import metrics

# (height, width): non-square, one row, one column, a word's end, several words
SIZES = [(13, 13), (5, 8), (1, 12), (12, 1), (7, 32), (9, 40), (4, 70)]


def lengths(mazes: list[oracles.Maze], width: int) -> tuple[np.ndarray, np.ndarray]:
    levels = oracles.to_levels(mazes)
    both = jax.jit(jax.vmap(lambda level: (metrics.shortest_path(level, width), metrics.fewest_actions(level, width))))
    moves, actions = both(levels)
    return np.asarray(moves), np.asarray(actions)


def check_lengths(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for height, width in SIZES:
        mazes = [oracles.random_maze(rng, height, width, rng.uniform(0, 0.5)) for _ in range(number)]
        moves, actions = lengths(mazes, width)
        np.testing.assert_array_equal(moves, [oracles.distances(maze[0], maze[1])[maze[3]] for maze in mazes])
        np.testing.assert_array_equal(actions, [oracles.fewest_actions(maze) for maze in mazes])
        if min(height, width) > 1:
            assert 0 < np.mean(moves == search.UNREACHABLE) < 1, "the sample should have both kinds"


def test_trap_11_lengths_equal_a_queue_on_any_shape():
    check_lengths(number=45, seed=0)


@pytest.mark.slow
def test_lengths_equal_a_queue_on_10_000():
    check_lengths(number=1430, seed=1)


def test_turns_count_and_the_goal_need_not_be_entered():
    # > . .     East, east, turn right, south into the goal: 4 actions for 3 moves. Facing west first: 2 turns more.
    # # # G
    walls = np.array([[0, 0, 0], [1, 1, 0]], bool)
    for direction, expected in ((0, 4), (1, 5), (2, 6), (3, 5)):
        level = oracles.to_level((walls, (0, 0), direction, (1, 2)))
        assert int(metrics.fewest_actions(level, 3)) == expected
        assert int(metrics.shortest_path(level, 3)) == 3


def test_adjacent_goal_is_one_action():
    level = oracles.to_level((np.zeros((1, 2), bool), (0, 0), 0, (0, 1)))
    assert int(metrics.fewest_actions(level, 2)) == 1
    assert int(metrics.shortest_path(level, 2)) == 1


def test_distance_to_itself_is_zero():
    free = bitboard.full(3, 3)
    here = jnp.asarray([1, 1], jnp.int32)
    assert int(search.shortest_path(free, here, here, 3)) == 0


@pytest.mark.parametrize(("height", "width"), [(6, 9), (4, 40)])
def test_distance_field(height, width):
    rng = np.random.default_rng(2)
    field = jax.jit(lambda free, source: search.distance_field(free, source, width))
    for _ in range(15):
        walls, start, _, _ = oracles.random_maze(rng, height, width, 0.35)
        got = field(bitboard.pack(jnp.asarray(~walls)), jnp.asarray(start, jnp.int32))
        np.testing.assert_array_equal(got, oracles.distances(walls, start))


@pytest.mark.parametrize(("height", "width"), [(5, 6), (3, 34)])
def test_action_distance_field(height, width):
    rng = np.random.default_rng(3)
    field = jax.jit(lambda free, goal: search.action_distance_field(free, goal, width))
    for _ in range(8):
        walls, _, _, goal = oracles.random_maze(rng, height, width, 0.35)
        expected = np.full((4, height, width), search.UNREACHABLE)
        for row, col in np.argwhere(~walls):
            if (row, col) != goal:
                for direction in range(4):
                    maze = (walls, (int(row), int(col)), direction, goal)
                    expected[direction, row, col] = oracles.fewest_actions(maze)
        got = field(bitboard.pack(jnp.asarray(~walls)), jnp.asarray(goal, jnp.int32))
        np.testing.assert_array_equal(got, expected)


def test_flood_is_the_connected_component():
    rng = np.random.default_rng(4)
    for height, width in ((6, 9), (5, 50)):
        walls, start, _, _ = oracles.random_maze(rng, height, width, 0.4)
        source = bitboard.cell(height, width, jnp.asarray(start, jnp.int32))
        got = bitboard.unpack(search.flood(bitboard.pack(jnp.asarray(~walls)), source, width), width)
        np.testing.assert_array_equal(got, oracles.distances(walls, start) < search.UNREACHABLE)


def test_a_batch_gives_what_each_maze_gives_alone():
    rng = np.random.default_rng(5)
    mazes = [oracles.random_maze(rng, 6, 9, 0.3) for _ in range(8)]
    moves, actions = lengths(mazes, 9)
    for i, maze in enumerate(mazes):
        level = oracles.to_level(maze)
        assert int(metrics.shortest_path(level, 9)) == moves[i]
        assert int(metrics.fewest_actions(level, 9)) == actions[i]


# -- the best return --------------------------------------------------------------------------------------------------


def check_best_returns(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bitten = 0
    for height, width in ((3, 4), (5, 4)):
        mazes = [oracles.random_maze(rng, height, width, rng.uniform(0, 0.5)) for _ in range(number // 2)]
        _, actions = lengths(mazes, width)
        for maze, n in zip(mazes, actions, strict=True):
            for max_steps in (4, 9, 30):
                bitten += max_steps < n < search.UNREACHABLE
                for discount, time_penalty in ((1.0, True), (1.0, False), (0.9, True)):
                    got = metrics.best_return(jnp.asarray(n), max_steps, time_penalty, discount)
                    expected = oracles.best_return(maze, max_steps, discount, time_penalty)
                    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert bitten > number // 4, "the horizon should end some episodes"


def test_trap_12_best_return_equals_backward_induction():
    check_best_returns(number=60, seed=6)


@pytest.mark.slow
def test_trap_12_best_return_equals_backward_induction_on_300():
    check_best_returns(number=300, seed=7)
