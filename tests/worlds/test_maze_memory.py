"""The memory level: what the clue decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied_envs.grid import bitboard, tiles
from minied_envs.maze import Maze, MemoryMaze, named
from minied_envs.maze.memory import memory_level

KEY = jax.random.key(0)
LEFT, RIGHT, FORWARD = range(3)
GREEN, RED = range(2)
TO_THE_FORK = [FORWARD] * 9


def level_of(clue: int):
    return memory_level(jnp.asarray(clue, jnp.int32))


def play(env: MemoryMaze, clue: int, actions: list[int]):
    level = level_of(clue)
    _, state = env.reset(KEY, level)
    step = jax.jit(env.step)
    last = None
    for action in actions:
        observation, state, reward, terminated, truncated, _ = step(KEY, state, jnp.asarray(action, jnp.int32), level)
        last = observation, state, float(reward), bool(terminated), bool(truncated)
    return last


def test_reference_values():
    drawing = named.drawings()[named.MEMORY]
    assert int(bitboard.count(level_of(GREEN).walls)) == drawing.num_walls
    for clue, (_, actions) in zip((GREEN, RED), drawing.lengths, strict=True):
        best = MemoryMaze().level_space.optimal_return(level_of(clue))
        np.testing.assert_allclose(best, 1 - 0.9 * actions / 250, rtol=1e-6)


@pytest.mark.parametrize(("clue", "turn", "is_right"), [(RED, LEFT, True), (RED, RIGHT, False),
                                                        (GREEN, LEFT, False), (GREEN, RIGHT, True)])  # fmt: skip
def test_only_the_tile_of_the_clues_colour_is_rewarded(clue, turn, is_right):
    # 9 moves to the fork, a turn, a move, and the move into the tile: 12 actions. Red is up (left), green is down.
    _, state, reward, terminated, truncated = play(MemoryMaze(), clue, [*TO_THE_FORK, turn, FORWARD, FORWARD])
    np.testing.assert_allclose(reward, 1 - 0.9 * 12 / 250 if is_right else 0, rtol=1e-6)
    assert (terminated, truncated) == (True, False)
    assert state.position.tolist() == [6 if turn == LEFT else 8, 9]


def test_the_clue_blocks_and_does_not_end_the_episode():
    _, state, reward, terminated, _ = play(MemoryMaze(), RED, [LEFT, FORWARD])
    assert state.position.tolist() == [7, 0]
    assert (reward, terminated) == (0, False)


@pytest.mark.parametrize("view_size", [5, 7])
def test_the_view_honours_its_size_and_shows_colours(view_size):
    env = MemoryMaze(view_size=view_size)
    half = view_size // 2
    for clue, code in ((GREEN, tiles.GOAL), (RED, tiles.RED_GOAL)):
        observation, _ = env.reset(KEY, level_of(clue))
        assert observation["view"].shape == (view_size, view_size)
        assert env.observation_space.contains(observation)
        assert int(observation["view"][-1, half - 1]) == code  # the clue is beside the start, on the left
        observation, *_ = play(env, clue, TO_THE_FORK)
        assert int(observation["view"][-1, half - 2]) == tiles.RED_GOAL
        assert int(observation["view"][-1, half + 2]) == tiles.GOAL


def test_students_of_mazes_can_be_tested_on_it():
    for options in ({}, {"view_size": 7, "num_actions": 3}):
        maze = Maze(**options)
        (part,) = maze.level_space.suite("memory")
        assert part.env.observation_space == maze.observation_space
        assert part.env.action_space == maze.action_space
        assert part.env.max_steps == 250
        assert part.names == ("Memory", "Memory")
        assert part.levels.clue.tolist() == [tiles.GOAL, tiles.RED_GOAL]


def test_time_runs_out():
    assert play(MemoryMaze(max_steps=3), RED, [3, 3, 3])[2:] == (0, False, True)


def test_sample_gives_both_levels():
    space = MemoryMaze().level_space
    clues = jax.vmap(lambda key: space.sample(key).clue)(jax.random.split(KEY, 200))
    assert 70 < int(jnp.sum(clues == tiles.GOAL)) < 130
    assert next(iter(space.suites)) == "memory"
    assert not space.has("mutate")


def test_picture_shows_the_three_tiles():
    space = MemoryMaze(view_size=1).level_space
    picture = space.draw(level_of(RED))
    tile = picture.shape[0] // 17

    def colour(row: int, col: int) -> list[int]:
        return picture[(row + 1) * tile + 3, (col + 1) * tile + 3].tolist()

    assert colour(6, 0) == colour(5, 9) == list(tiles.COLOURS[tiles.RED_GOAL])
    assert colour(9, 9) == list(tiles.COLOURS[tiles.GOAL])


def test_options_and_names_are_checked():
    with pytest.raises(UserError, match="view_size is 4"):
        MemoryMaze(view_size=4)
    with pytest.raises(UserError, match="unknown suite 'memmory'"):
        MemoryMaze().level_space.suite("memmory")
