"""Every level there is, and what a policy earns on it: by hand, by brute force, and by playing the real world."""

import dataclasses
import functools
import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied_envs.grid import bitboard, search, tiles
from minied_envs.maze import Maze, MazeLevels, metrics
from minied_envs.maze.enumeration import all_cells, enumerate_levels
from minied_envs.maze.exact import (
    arrival_probabilities,
    chain_of,
    exact_regret,
    exact_values,
    expected_return,
    solve_probability,
)
from minied_envs.maze.level import make_level

KEY = jax.random.key(0)


def world(height, width, max_steps=20, **options) -> Maze:
    return Maze(height=height, width=width, max_steps=max_steps, levels=MazeLevels(num_walls=0), **options)


def texts(maze, levels):
    number = levels.walls.shape[0]
    return [maze.level_space.to_text(jax.tree.map(lambda leaf, i=i: leaf[i], levels)) for i in range(number)]


# -- every level ------------------------------------------------------------------------------------------------------


def test_there_are_2048_mazes_of_5x5_with_at_most_three_walls():
    maze = world(5, 5)
    levels = enumerate_levels(maze, 3)
    walls = np.asarray(jax.jit(jax.vmap(lambda board: bitboard.unpack(board, 5)))(levels.walls)).reshape(-1, 25)
    # C(23,0) + C(23,1) + C(23,2) + C(23,3) = 1 + 23 + 253 + 1771
    assert walls.shape[0] == len(np.unique(walls, axis=0)) == 2048
    np.testing.assert_array_equal(np.bincount(walls.sum(axis=1)), [1, 23, 253, 1771])
    assert np.all(jax.jit(jax.vmap(maze.level_space.is_valid))(levels))
    assert np.all(levels.agent_position == 0)
    assert np.all(levels.agent_direction == 0)
    assert np.all(levels.goal_position == 4)
    # Two walls cut off a corner in one way, which leaves 21 cells for a third. Three do it in three more: the diagonal
    # . . #   and   . . #  . # .
    # . # .         # # .  . # .    which leave room for one cell more at the corner. Both corners: 2 and 2 (21 + 3).
    # # . .         . . .  # . .
    moves = np.asarray(jax.jit(jax.vmap(lambda level: metrics.shortest_path(level, 5)))(levels))
    unsolvable = np.bincount(walls.sum(axis=1)[moves == search.UNREACHABLE], minlength=4)
    np.testing.assert_array_equal(unsolvable, [0, 0, 2, 48])


def test_levels_come_in_the_order_that_is_promised():
    levels = enumerate_levels(world(1, 4), 2, starts=[(0, 0), (0, 1)], directions=[2, 0], goals=[(0, 3)])
    expected = (
        "<..G <#.G <.#G <##G"  # the first start and direction: none, one, two walls
        " >..G >#.G >.#G >##G"
        " .<.G #<.G .<#G #<#G"
        " .>.G #>.G .>#G #>#G"
    )
    assert texts(world(1, 4), levels) == expected.split()


def test_all_levels_of_a_small_grid_equal_brute_force():
    maze = world(2, 3)
    cells = all_cells(maze)
    levels = enumerate_levels(maze, 2, starts=cells, directions=range(4), goals=cells)
    expected = set()
    for walls in itertools.product(".#", repeat=6):
        for start, goal in itertools.permutations([place for place in range(6) if walls[place] == "."], 2):
            if walls.count("#") <= 2:
                for symbol in ">v<^":
                    drawn = list(walls)
                    drawn[start], drawn[goal] = symbol, "G"
                    expected.add("".join(drawn[:3]) + "\n" + "".join(drawn[3:]))
    found = texts(maze, levels)
    # 6 · 5 pairs of start and goal, 4 directions, 1 + 4 + 6 sets of walls
    assert len(found) == len(set(found)) == 6 * 5 * 4 * 11
    assert set(found) == expected


@pytest.mark.parametrize(("height", "width", "max_walls"), [(3, 4, 4), (1, 40, 2), (1, 2, 0), (5, 1, 3)])
def test_number_of_levels_follows_the_formula(height, width, max_walls):
    maze = world(height, width)
    cells = all_cells(maze)
    levels = enumerate_levels(maze, max_walls, starts=cells[:3], directions=[1, 3], goals=cells)
    pairs = sum(start != goal for start in cells[:3] for goal in cells)
    expected = 2 * pairs * sum(math.comb(height * width - 2, k) for k in range(max_walls + 1))
    prints = np.asarray(jax.jit(jax.vmap(maze.level_space.fingerprint))(levels))
    assert len(prints) == len(np.unique(prints, axis=0)) == expected
    assert np.all(jax.jit(jax.vmap(maze.level_space.is_valid))(levels))


def test_what_is_asked_for_twice_comes_once():
    maze = world(2, 2)
    twice = enumerate_levels(maze, 1, starts=[(0, 0), (0, 0)], directions=[1, 1], goals=[(1, 1), (1, 1), (0, 0)])
    chex.assert_trees_all_equal(twice, enumerate_levels(maze, 1, directions=[1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_walls": 5}, "max_walls is 5; allowed in a 2x3 maze: 0 to 4"),
        ({"max_walls": -1}, "max_walls is -1; allowed in a 2x3 maze: 0 to 4"),
        ({"starts": [(0, 0), (2, 0)]}, "starts has row 2, column 0; allowed: rows 0 to 1, columns 0 to 2"),
        ({"goals": [(0, -1)]}, "goals has row 0, column -1; allowed: rows 0 to 1, columns 0 to 2"),
        ({"directions": [4]}, "directions has 4; allowed: 0, 1, 2, 3"),
        ({"goals": [(0, 0)]}, "starts, directions and goals leave no level;"),
        ({"directions": []}, "starts, directions and goals leave no level;"),
    ],
)
def test_what_cannot_be_enumerated_is_told(options, message):
    with pytest.raises(UserError) as error:
        enumerate_levels(world(2, 3), **({"max_walls": 1} | options))
    assert str(error.value).startswith(message)


def test_too_many_levels_are_refused_before_any_is_built():
    # C(167, k) for k = 0 … 5: 1 + 167 + 13 861 + 762 355 + 31 256 555 + 1 018 963 693
    with pytest.raises(UserError, match=r"make 1050996632 levels; allowed: 8388608"):
        enumerate_levels(world(13, 13), 5)


# -- by hand ----------------------------------------------------------------------------------------------------------


@functools.cache
def uniform(num_actions):
    return lambda observation: jnp.full(num_actions, 1 / num_actions)


@functools.partial(jax.jit, static_argnames=("maze", "policy"))
def answers(maze, level, policy):
    """Arrivals, solve probability, return and regret."""
    return tuple(
        answer(maze, level, policy)
        for answer in (arrival_probabilities, solve_probability, expected_return, exact_regret)
    )


values_of = jax.jit(exact_values, static_argnames=("maze", "policy"))


def corridor(max_steps, **options):
    maze = world(1, 3, max_steps, **options)
    return maze, maze.level_space.from_text(">.G")


def test_uniform_policy_in_a_corridor_of_three_cells_with_three_actions():
    # Words of n actions that end by moving into the goal, of 3^n:
    # n = 2: forward forward. n = 3: none (one turn is one too many). n = 4: a pair of opposite turns (2) before or
    # after the first forward; between two turns a forward runs into the border, so 2 · 2 = 4.
    chances = [0, 1 / 9, 0, 4 / 81]
    maze, level = corridor(4, num_actions=3)
    arrivals, solved, earned, regret = answers(maze, level, uniform(3))
    np.testing.assert_allclose(arrivals, chances, rtol=1e-6)
    np.testing.assert_allclose(solved, 1 / 9 + 4 / 81, rtol=1e-6)
    # The goal is worth 1 - 0.9 · 2 / 4 = 0.55 at n = 2 and 0.1 at n = 4.
    np.testing.assert_allclose(earned, 0.55 / 9 + 0.1 * 4 / 81, rtol=1e-6)
    np.testing.assert_allclose(regret, 0.55 - 0.55 / 9 - 0.1 * 4 / 81, rtol=1e-6)


def test_uniform_policy_in_a_corridor_with_seven_actions_of_which_four_only_cost_time():
    # n = 3: one idle action (4) in one of 2 places. n = 4: two idle ones (16) in 3 ways of placing them, or 4 as above.
    chances = [0, 1 / 49, 8 / 343, 52 / 2401]
    maze, level = corridor(4, num_actions=7, time_penalty=False)
    arrivals, solved, earned, regret = answers(maze, level, uniform(7))
    np.testing.assert_allclose(arrivals, chances, rtol=1e-6)
    np.testing.assert_allclose([solved, earned, 1 - regret], [sum(chances)] * 3, rtol=1e-6)


def test_the_horizon_cuts_episodes_off():
    maze, level = corridor(3, num_actions=3, time_penalty=False)
    np.testing.assert_allclose(answers(maze, level, uniform(3))[0], [0, 1 / 9, 0], rtol=1e-6)
    maze, level = corridor(1, num_actions=3, time_penalty=False)
    _, solved, earned, regret = answers(maze, level, uniform(3))
    assert float(solved) == float(earned) == float(regret) == 0  # nobody reaches the goal in one action


def test_discounted_values_in_a_corridor_by_hand():
    maze, level = corridor(4, num_actions=3, time_penalty=False)
    values = values_of(maze, level, uniform(3), 0.5)
    assert values.shape == (5, 4, 1, 3)
    # At the start with four steps left: 1/9 after one discount and 4/81 after three.
    np.testing.assert_allclose(values[0, 0, 0, 0], 0.5 / 9 + 0.125 * 4 / 81, rtol=1e-6)
    np.testing.assert_allclose(values[2, 0, 0, 0], 0.5 / 9, rtol=1e-6)
    np.testing.assert_allclose(values[3, :, 0, 1], [1 / 3, 0, 0, 0], rtol=1e-6)  # one step left: only eastwards
    np.testing.assert_allclose(values[2, :, 0, 1], [1 / 3, 1 / 18, 0, 1 / 18], rtol=1e-6)  # two: one turn will do
    assert np.all(np.asarray(values[4]) == 0)
    assert np.all(np.asarray(values[..., 2]) == 0)  # nobody stands on the goal


def test_values_count_the_reward_of_the_step_it_comes_at():
    # With a penalty and T = 4 the goal is worth 0.1 as the fourth action and 0.325 as the third.
    maze, level = corridor(4, num_actions=3)
    values = values_of(maze, level, uniform(3), 1.0)
    np.testing.assert_allclose(values[3, 0, 0, 1], 0.1 / 3, rtol=1e-5)
    # two steps left, eastwards: forward now (third action), or waste it and have turned: nothing
    np.testing.assert_allclose(values[2, 0, 0, 1], 0.325 / 3, rtol=1e-5)


# -- against the world ------------------------------------------------------------------------------------------------


@functools.cache
def written_policy(num_actions):
    """Prefers forward where it is free, more so towards the goal, and one turn over the other by direction."""

    def policy(observation):
        ahead = observation["view"][-2, observation["view"].shape[1] // 2]
        sees_goal = jnp.any(observation["view"] == tiles.GOAL)
        forward = jnp.where(ahead == tiles.WALL, 0.3, jnp.where(sees_goal, 4.0, 2.0))
        left = 0.5 + 0.4 * observation["direction"].astype(jnp.float32)
        weights = jnp.concatenate([jnp.stack([left, jnp.float32(1), forward]), jnp.full(num_actions - 3, 0.1)])
        return weights / weights.sum()

    return policy


@functools.partial(jax.jit, static_argnames=("maze", "number"))
def played(maze, level, state, number, discount):
    """Discounted returns of `number` episodes of the written policy from a state of the world, and their lengths."""
    policy = written_policy(maze.num_actions)
    observation, _ = maze.reset(KEY, make_level(level.walls, state.position, state.direction, level.goal))

    def episode(uniforms):
        def step(carry, uniform):
            observation, state, weight, total, length, over = carry
            action = jnp.sum(jnp.cumsum(policy(observation))[:-1] <= uniform, dtype=jnp.int32)
            observation, state, reward, terminated, truncated, _ = maze.step(KEY, state, action, level)
            total = total + jnp.where(over, 0.0, weight * reward)
            length = length + jnp.where(over, 0, 1)
            return (observation, state, weight * discount, total, length, over | terminated | truncated), None

        first = (observation, state, jnp.float32(1), jnp.float32(0), jnp.int32(0), jnp.bool_(False))
        return jax.lax.scan(step, first, uniforms)[0][3:5]

    return jax.vmap(episode)(jax.random.uniform(jax.random.key(1), (number, maze.max_steps)))


MAPS = (
    ">...\n.##.\n...G",
    "..v.\n.#..\nG..#",
    "G#..\n.#<.\n....",
    ">#..\n##..\n...G",
)


@pytest.mark.parametrize(
    ("num_actions", "time_penalty", "max_steps"), [(3, True, 12), (7, False, 9)], ids=["three", "seven"]
)
def test_exact_numbers_equal_episodes_of_the_real_world(num_actions, time_penalty, max_steps):
    maze = world(3, 4, max_steps, num_actions=num_actions, time_penalty=time_penalty, view_size=3)
    policy = written_policy(num_actions)
    number = 20_000
    for text in MAPS:
        level = maze.level_space.from_text(text)
        returns, lengths = (np.asarray(x) for x in played(maze, level, maze.reset(KEY, level)[1], number, 1.0))
        exact, solved, earned, _ = answers(maze, level, policy)
        within(returns, earned)
        within(returns > 0, solved)
        arrivals = np.bincount(lengths[returns > 0], minlength=max_steps + 1)[1:] / number
        np.testing.assert_allclose(arrivals, exact, atol=4 * np.sqrt(exact.max() / number) + 1e-9)


def test_exact_values_equal_what_episodes_earn_from_the_middle_on():
    maze = world(3, 4, 12, num_actions=3, view_size=3)
    level = maze.level_space.from_text(MAPS[0])
    values = values_of(maze, level, written_policy(3), 0.9)
    _, state = maze.reset(KEY, level)
    for time, row, col, direction in ((0, 0, 0, 0), (5, 0, 3, 0), (7, 2, 1, 3), (11, 1, 3, 1)):
        place = jnp.asarray([row, col], jnp.int32)
        there = state.replace(position=place, direction=jnp.int32(direction), time=jnp.int32(time))
        returns, _ = played(maze, level, there, 20_000, 0.9)
        within(np.asarray(returns), values[time, direction, row, col])


def within(sample, exact):
    """The mean of a sample is within four standard errors, and the sample says something."""
    error = np.std(sample) / np.sqrt(len(sample))
    assert abs(np.mean(sample) - float(exact)) <= 4 * error + 1e-7
    assert error < 0.02


# -- the best policy --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class OpenMaze(Maze):
    """The same maze, of which the agent sees everything."""

    def _observe(self, state, level):
        return state, level


def best_policy(maze):
    """All actions that come closer to the goal, equally often; any action where there is no way."""

    def policy(observation):
        state, level = observation
        free = bitboard.complement(level.walls, maze.width)
        field = search.action_distance_field(free, level.goal, maze.width)

        def distance(place):
            return field[place.direction, place.position[0], place.position[1]]

        def comes_closer(action):
            _, after, _, terminated, _, _ = maze.step(KEY, state, action, level)
            return jnp.where(terminated, 0, distance(after)) == distance(state) - 1

        good = jax.vmap(comes_closer)(jnp.arange(maze.num_actions, dtype=jnp.int32))
        good = (good | ~jnp.any(good)).astype(jnp.float32)
        return good / good.sum()

    return policy


@pytest.mark.parametrize(("max_steps", "time_penalty"), [(30, True), (30, False), (9, True)])
def test_the_best_policy_has_no_regret_on_any_of_the_2048_levels(max_steps, time_penalty):
    maze = OpenMaze(5, 5, max_steps, num_actions=3, time_penalty=time_penalty, levels=MazeLevels(num_walls=0))
    levels = enumerate_levels(maze, 3)
    policy = best_policy(maze)
    found = jax.jit(
        jax.vmap(
            lambda level: (
                exact_regret(maze, level, policy),
                expected_return(maze, level, policy),
                solve_probability(maze, level, policy),
                metrics.fewest_actions(level, 5),
            )
        )
    )(levels)
    regrets, returns, solved, actions = (np.asarray(x) for x in found)
    np.testing.assert_allclose(regrets, 0, atol=1e-5)
    within_horizon = actions <= max_steps
    assert 0 < np.mean(within_horizon) < 1
    np.testing.assert_allclose(solved, within_horizon, atol=1e-5)
    # 1 - 0.9 n / T, by the queue-checked number of actions
    worth = 1 - 0.9 * actions / max_steps if time_penalty else np.ones(len(actions))
    np.testing.assert_allclose(returns, np.where(within_horizon, worth, 0), atol=1e-5)


def test_every_other_policy_has_regret_where_the_goal_can_be_reached_and_none_elsewhere():
    maze = world(5, 5, 30, num_actions=3)
    levels = enumerate_levels(maze, 3)
    for policy in (uniform(3), written_policy(3)):
        regrets, returns, actions = jax.jit(
            jax.vmap(
                lambda level, policy=policy: (
                    exact_regret(maze, level, policy),
                    expected_return(maze, level, policy),
                    metrics.fewest_actions(level, 5),
                )
            )
        )(levels)
        solvable = np.asarray(actions) < search.UNREACHABLE
        assert np.all(np.asarray(regrets)[solvable] > 0.01)
        assert np.all(np.asarray(regrets)[~solvable] == 0)
        assert np.all(np.asarray(returns)[~solvable] == 0)


# -- what must hold ---------------------------------------------------------------------------------------------------


def test_a_longer_horizon_adds_chances_and_changes_none():
    for text in MAPS:
        level = world(3, 4).level_space.from_text(text)
        short, long = (
            np.asarray(answers(world(3, 4, steps, num_actions=3, view_size=3), level, written_policy(3))[0])
            for steps in (6, 12)
        )
        np.testing.assert_allclose(short, long[:6], rtol=1e-6)
        assert np.all(long >= 0)
        assert long.sum() <= 1 + 1e-6


def test_return_is_the_undiscounted_value_of_the_start():
    maze = world(3, 4, 12, num_actions=3, view_size=3)
    for text in MAPS:
        level = maze.level_space.from_text(text)
        row, col = np.asarray(level.start)
        values = values_of(maze, level, written_policy(3), 1.0)
        expected = answers(maze, level, written_policy(3))[2]
        np.testing.assert_allclose(values[0, level.direction, row, col], expected, rtol=1e-5)


def test_states_that_nobody_can_be_in_have_no_chances_and_no_value():
    maze = world(3, 4, 12, num_actions=3, view_size=3)
    level = maze.level_space.from_text(MAPS[1])
    impossible = np.array(bitboard.unpack(level.walls, 4))
    impossible[2, 0] = True  # the goal
    values = np.asarray(values_of(maze, level, written_policy(3), 0.9))
    assert np.all(values[:, :, impossible] == 0)
    assert np.all(values[0][:, ~impossible] > 0)
    chain = jax.jit(lambda level: chain_of(maze, level, written_policy(3)))(level)
    totals = np.asarray(chain.probabilities).sum(axis=-1).reshape(4, 3, 4)
    np.testing.assert_allclose(totals, np.broadcast_to(~impossible, (4, 3, 4)), atol=1e-6)


def test_a_batch_gives_what_each_level_gives_alone():
    maze = world(3, 4, 8, num_actions=3, view_size=3)
    levels = [maze.level_space.from_text(text) for text in MAPS[:2]]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels)

    def everything(level):
        policy = written_policy(3)
        return exact_regret(maze, level, policy), exact_values(maze, level, policy, jnp.float32(0.9))

    together = jax.jit(jax.vmap(everything))(batch)
    compiled = jax.jit(everything)
    for i, level in enumerate(levels):
        alone = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        chex.assert_trees_all_close(compiled(level), alone, rtol=1e-5, atol=1e-7)


def test_a_policy_of_another_number_of_actions_is_refused():
    maze, level = corridor(4, num_actions=3)
    with pytest.raises(AssertionError):
        jax.eval_shape(lambda level: expected_return(maze, level, uniform(7)), level)
