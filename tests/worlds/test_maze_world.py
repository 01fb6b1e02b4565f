"""The maze's dynamics: by hand, and step for step against MiniGrid."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from minied.env import with_agent_axis
from minied.errors import UserError
from minied_envs.maze import Maze, MazeLevels
from minied_envs.maze.world import MazeState

LEFT, RIGHT, FORWARD = range(3)
KEY = jax.random.key(0)
NO_WALLS = MazeLevels(num_walls=0)


def play(env: Maze, text: str, actions: list[int]) -> list[tuple]:
    """(position, direction, reward, terminated, truncated) after each action."""
    level = env.level_space.from_text(text)
    _, state = env.reset(KEY, level)
    steps = []
    for action in actions:
        _, state, reward, terminated, truncated, info = env.step(KEY, state, jnp.asarray(action, jnp.int32), level)
        assert info == {}
        position = tuple(np.asarray(state.position).tolist())
        steps.append((position, int(state.direction), float(reward), bool(terminated), bool(truncated)))
    return steps


def small(**options) -> Maze:
    return Maze(height=2, width=3, levels=NO_WALLS, **options)


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_turns_go_around():
    steps = play(small(), ">..\n..G", [LEFT, LEFT, LEFT, LEFT, RIGHT, RIGHT])
    assert [step[1] for step in steps] == [3, 2, 1, 0, 1, 2]
    assert all(step[0] == (0, 0) for step in steps)


def test_walls_and_borders_block():
    steps = play(small(), ">#.\n..G", [FORWARD, LEFT, FORWARD, LEFT, FORWARD, LEFT, FORWARD])
    assert [step[0] for step in steps] == [(0, 0)] * 6 + [(1, 0)]


def test_other_actions_only_cost_time():
    steps = play(small(max_steps=4), ">..\n..G", [3, 4, 5, 6])
    assert [step[:2] for step in steps] == [((0, 0), 0)] * 4
    assert [step[4] for step in steps] == [False, False, False, True]


def test_the_agent_is_rewarded_for_moving_into_the_goal_and_stays_outside():
    # Three actions, T = 10: 1 - 0.9 * 3 / 10 = 0.73
    steps = play(small(max_steps=10), "...\n>.G", [3, FORWARD, FORWARD])
    assert steps[-1][0] == (1, 1)
    np.testing.assert_allclose(steps[-1][2], 0.73, rtol=1e-6)
    assert steps[-1][3:] == (True, False)
    assert [step[2:] for step in steps[:-1]] == [(0.0, False, False)] * 2


def test_an_end_at_the_last_step_is_terminated_not_truncated():
    # The second of T = 2 steps reaches the goal: 1 - 0.9 = 0.1
    steps = play(small(max_steps=2), "...\n>.G", [FORWARD, FORWARD])
    np.testing.assert_allclose(steps[-1][2], 0.1, rtol=1e-6)
    assert steps[-1][3:] == (True, False)
    assert play(small(max_steps=2), "...\n>.G", [FORWARD, LEFT])[-1][2:] == (0.0, False, True)


def test_without_time_penalty_the_goal_is_worth_one():
    assert play(small(time_penalty=False), "...\n.>G", [3, 3, FORWARD])[-1][2] == 1.0


def test_observation_is_of_the_state_after_the_step():
    env = small(view_size=3)
    level = env.level_space.from_text(">.#\n..G")
    observation, state = env.reset(KEY, level)
    np.testing.assert_array_equal(observation["view"], [[1, 1, 2], [1, 0, 0], [1, 0, 0]])
    observation, *_ = env.step(KEY, state, jnp.asarray(FORWARD, jnp.int32), level)
    np.testing.assert_array_equal(observation["view"], [[1, 1, 1], [1, 1, 2], [1, 0, 0]])
    assert int(observation["direction"]) == 0
    assert env.observation_space.contains(observation)
    assert observation["view"].dtype == jnp.uint8
    assert observation["direction"].dtype == jnp.int32


def test_state_is_only_what_changes():
    level = small().level_space.from_text(">..\n..G")
    _, state = small().reset(KEY, level)
    assert isinstance(state, MazeState)
    assert len(jax.tree.leaves(state)) == 3


def test_agent_axis_is_added_by_the_framework():
    env = with_agent_axis(small())
    level = env.level_space.from_text(">.G\n...")
    observation, state = env.reset(KEY, level)
    assert observation["view"].shape == (1, 5, 5)
    _, _, reward, *_ = env.step(KEY, state, jnp.asarray([FORWARD], jnp.int32), level)
    assert reward.shape == (1,)


@pytest.mark.parametrize("num_actions", [3, 7])
def test_spaces(num_actions):
    env = Maze(num_actions=num_actions, view_size=7)
    assert env.action_space.n == num_actions
    assert env.observation_space.spaces["view"].shape == (7, 7)
    assert env.observation_space.spaces["view"].num_codes == 6
    assert env.num_agents == 1
    assert hash(env) == hash(Maze(num_actions=num_actions, view_size=7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "height is 0; allowed: 1 to 255"),
        ({"width": 256}, "width is 256; allowed: 1 to 255"),
        ({"height": 1, "width": 1}, "height x width is 1x1; allowed: at least 2 cells"),
        ({"max_steps": 0}, "max_steps is 0; allowed: 1 to 16777215"),
        ({"view_size": 4}, "view_size is 4; allowed: odd numbers from 1"),
        ({"num_actions": 4}, "num_actions is 4; allowed: 3, 7"),
        ({"height": 3, "width": 3}, "levels.num_walls is 60; allowed in a 3x3 maze: 0 to 7"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError) as error:
        Maze(**options)
    assert str(error.value) == message


# -- compiled ---------------------------------------------------------------------------------------------------------


def test_reset_step_and_sample_trace_once():
    env = Maze()
    space = env.level_space
    sample = jax.jit(chex.assert_max_traces(space.sample, n=1))
    reset = jax.jit(chex.assert_max_traces(env.reset, n=1))
    step = jax.jit(chex.assert_max_traces(env.step, n=1))
    state = None
    for i in range(4):
        level = sample(jax.random.key(i))
        _, state = reset(KEY, level)
        for action in range(3):
            _, state, *_ = step(KEY, state, jnp.asarray(action, jnp.int32), level)
    chex.clear_trace_counter()


def test_vmap_equals_loop_and_jit_equals_eager():
    env = Maze(height=4, width=6, max_steps=9, levels=MazeLevels(num_walls=6))
    space = env.level_space
    keys = jax.random.split(jax.random.key(1), 6)
    levels = jax.jit(jax.vmap(space.sample))(keys)
    actions = jax.random.randint(jax.random.key(2), (6, 3), 0, 3)

    def episode(level, actions):
        observation, state = env.reset(KEY, level)
        outputs = [observation]
        for i in range(3):
            observation, state, *rest = env.step(KEY, state, actions[i], level)
            outputs.append((observation, state, rest))
        return outputs, space.optimal_return(level), space.describe(level), space.fingerprint(level)

    batched = jax.jit(jax.vmap(episode))(levels, actions)
    compiled = jax.jit(episode)
    for i in range(6):
        level = jax.tree.map(lambda leaf, i=i: leaf[i], levels)
        chex.assert_trees_all_equal(level, space.sample(keys[i]))
        alone = compiled(level, actions[i])
        chex.assert_trees_all_equal(alone, jax.tree.map(lambda leaf, i=i: leaf[i], batched))
        if i == 0:
            # A return of 1 − 0.9 n / T may be off by one unit in the last place of the 1 (2⁻²³): a product fused or not.
            chex.assert_trees_all_close(alone, episode(level, actions[i]), rtol=1e-6, atol=2**-23)


# -- against MiniGrid -------------------------------------------------------------------------------------------------


def rollout(env: Maze, levels, actions):
    """Every step's outcome, ``[L, T]``; an end restarts the same level. ``actions`` is ``i32[L, T]``."""

    def one(level, actions):
        def body(state, action):
            observation, after, reward, terminated, truncated, _ = env.step(KEY, state, action, level)
            fresh = env.reset(KEY, level)[1]
            ended = terminated | truncated
            following = jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, after)
            return following, (observation, after, reward, terminated, truncated)

        first, state = env.reset(KEY, level)
        return first, jax.lax.scan(body, state, actions)[1]

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(levels, actions))


def check_against_minigrid(env: Maze, mazes: list[oracles.Maze], num_steps: int, seed: int) -> int:
    """Compare step for step, translating the one named difference; return how many goals were reached.

    MiniGrid's agent steps onto the goal, ours stays in front. So at a goal MiniGrid's agent is put back before its last
    observation is compared; and a step that is both an end and the last is terminated here, both there.
    """
    actions = np.random.default_rng(seed).integers(0, 7, (len(mazes), num_steps))
    first, ours = rollout(env, oracles.to_levels(mazes), jnp.asarray(actions, jnp.int32))
    observations, states, rewards, terminated, truncated = ours
    goals = 0
    for i, maze in enumerate(mazes):
        theirs = oracles.minigrid_env(maze, env.max_steps, env.view_size)
        seen, _ = theirs.reset()
        assert_same_view(first["view"][i], seen)
        for t in range(num_steps):
            before = theirs.agent_pos
            seen, reward, their_end, their_limit, _ = theirs.step(actions[i, t])
            if their_end:
                goals += 1
                theirs.agent_pos = before
                seen = theirs.gen_obs()
            assert_same_view(observations["view"][i, t], seen)
            assert observations["direction"][i, t] == seen["direction"] == states.direction[i, t]
            assert tuple(states.position[i, t] + 1) == (theirs.agent_pos[1], theirs.agent_pos[0])
            np.testing.assert_allclose(rewards[i, t], reward, rtol=1e-6)
            assert terminated[i, t] == their_end
            assert truncated[i, t] == (their_limit and not their_end)
            assert states.time[i, t] == theirs.step_count
            if their_end or their_limit:
                theirs.reset()
    return goals


def assert_same_view(codes: np.ndarray, seen: dict) -> None:
    """MiniGrid's image is [col, row, channel]."""
    triples = np.array([[1, 0, 0], [2, 5, 0], [8, 1, 0]])
    assert np.array_equal(triples[codes], seen["image"].swapaxes(0, 1))


def mazes_of(number: int, height: int, width: int, seed: int) -> list[oracles.Maze]:
    rng = np.random.default_rng(seed)
    return [oracles.random_maze(rng, height, width, rng.uniform(0, 0.4)) for _ in range(number)]


def test_trap_17_minigrid_agrees_step_for_step():
    assert check_against_minigrid(Maze(), mazes_of(60, 13, 13, 0), num_steps=250, seed=0) > 5


@pytest.mark.parametrize(("height", "width", "view_size"), [(3, 5, 5), (5, 2, 7), (2, 34, 3)])
def test_trap_11_minigrid_agrees_on_other_shapes_where_ends_and_limits_meet(height, width, view_size):
    env = Maze(height=height, width=width, view_size=view_size, max_steps=12, levels=NO_WALLS)
    assert check_against_minigrid(env, mazes_of(10, height, width, 1), num_steps=120, seed=1) > 5


@pytest.mark.slow
def test_minigrid_agrees_on_1000_levels():
    assert check_against_minigrid(Maze(), mazes_of(1000, 13, 13, 2), num_steps=250, seed=2) > 100
