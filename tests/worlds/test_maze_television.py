"""The noisy television: mazes without one are what they were, and in those with one nobody can learn what it pays."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from minied.errors import UserError
from minied_envs.grid import bitboard, tiles
from minied_envs.maze import Maze, MazeLevels, acceptance, enumeration, exact
from minied_envs.maze import level as levels

KEY = jax.random.key(0)
LEFT, RIGHT, FORWARD = range(3)


def world(height, width, **options):
    options = {"noisy_tv": True, "levels": MazeLevels(num_walls=0)} | options
    return Maze(height=height, width=width, **options)


WORLD = world(2, 3, max_steps=10)
SPACE = WORLD.level_space


step_of = functools.partial(jax.jit, static_argnames="env")(lambda env, *arguments: env.step(*arguments))


def act(env, level, actions, key=KEY):
    """The last observation, state, reward, terminated and truncated of an episode."""
    observation, state = env.reset(key, level)
    rest = ()
    for action in actions:
        observation, state, *rest = step_of(env, key, state, jnp.asarray(action, jnp.int32), level)
    reward, terminated, truncated, _ = rest
    return observation, state, float(reward), bool(terminated), bool(truncated)


# -- worlds without one are what they were -----------------------------------------------------------------------------


def test_levels_without_televisions_have_the_fingerprints_they_always_had():
    """Constants of the code before there were televisions: buffers and holdouts of older runs go by them."""
    space = world(2, 3, noisy_tv=False).level_space
    level = space.from_text(">.#\n..G")
    assert space.fingerprint(level).tolist() == [1983797152, 2429732743]
    assert len(jax.tree.leaves(level)) == 4
    before = {
        "uniform": ([3083115415, 833053452], [929765366, 1391978660]),
        "dcd": ([1240264002, 2490263634], [241224913, 3192909985]),
    }
    for generator, (sampled, mutated) in before.items():
        space = Maze(levels=MazeLevels(generator=generator)).level_space

        @jax.jit
        def prints(key, other, space=space):
            level = space.sample(key)
            return space.fingerprint(level), space.fingerprint(space.mutate(other, level))

        found = prints(jax.random.key(7), jax.random.key(8))
        assert [each.tolist() for each in found] == [sampled, mutated]


def test_the_switch_changes_no_space():
    off = world(2, 3, noisy_tv=False)
    assert off.observation_space == WORLD.observation_space
    assert off.action_space == WORLD.action_space
    assert "television" not in off.level_space.describe(off.level_space.sample(KEY))


# -- the world --------------------------------------------------------------------------------------------------------


def test_entering_it_ends_the_episode_outside_with_the_goals_reward_or_nothing():
    level = SPACE.from_text(">.T\n..G")
    rewards = []
    for seed in range(40):
        _, state, reward, terminated, truncated = act(WORLD, level, [3, FORWARD, FORWARD], jax.random.key(seed))
        assert state.position.tolist() == [0, 1]
        assert (terminated, truncated) == (True, False)
        rewards.append(reward)
    # The third of 10 steps: 1 - 0.9 · 3/10 = 0.73 by a coin: 20 ± 3.2 of 40
    assert set(np.round(rewards, 6)) == {0.0, 0.73}
    assert 7 < sum(reward > 0 for reward in rewards) < 33


def test_coin_is_fair_and_fresh_at_every_step():
    level = SPACE.from_text("...\n>TG")
    _, state = WORLD.reset(KEY, level)
    step = jax.jit(jax.vmap(lambda key: WORLD.step(key, state, jnp.asarray(FORWARD, jnp.int32), level)))
    _, _, rewards, terminated, truncated, _ = step(jax.random.split(KEY, 4000))
    assert bool(jnp.all(terminated))
    assert not bool(jnp.any(truncated))
    paid = np.asarray(rewards) > 0
    np.testing.assert_allclose(np.asarray(rewards)[paid], 0.91, rtol=1e-6)
    assert abs(paid.sum() - 2000) < 160  # ± 32
    assert abs(np.sum(paid[1:] != paid[:-1]) - 2000) < 160


def test_without_time_penalty_it_pays_one_or_nothing():
    level = SPACE.from_text("...\n>TG")
    env = dataclasses.replace(WORLD, time_penalty=False)
    assert {act(env, level, [FORWARD], jax.random.key(seed))[2] for seed in range(20)} == {0.0, 1.0}


@pytest.mark.parametrize("text", [">.T\n..G", ">..\n..G"])
def test_the_goal_pays_always_and_other_moves_nothing(text):
    level = SPACE.from_text(text)
    for seed in range(10):
        key = jax.random.key(seed)
        # Three actions: 0.73; and no way through a wall or the television.
        _, _, reward, terminated, _ = act(WORLD, level, [RIGHT, FORWARD, LEFT, FORWARD, FORWARD], key)
        assert reward == pytest.approx(1 - 0.9 * 5 / 10)
        assert terminated
        assert act(WORLD, level, [LEFT, FORWARD], key)[2:] == (0.0, False, False)


def test_an_end_at_the_last_step_is_terminated_whatever_the_coin():
    level = SPACE.from_text(">T.\n..G")
    env = dataclasses.replace(WORLD, max_steps=2)
    ends = {act(env, level, [3, FORWARD], jax.random.key(seed))[2:] for seed in range(20)}
    assert {end[1:] for end in ends} == {(True, False)}
    assert len(ends) == 2
    assert act(env, level, [3, RIGHT])[2:] == (0.0, False, True)


def test_it_is_seen_and_a_level_without_one_shows_none():
    env = dataclasses.replace(WORLD, view_size=3)
    observation, _ = env.reset(KEY, SPACE.from_text(">T.\n..G"))
    np.testing.assert_array_equal(observation["view"], [[1, 0, 2], [1, tiles.TELEVISION, 0], [1, 0, 0]])
    assert env.observation_space.contains(observation)
    observation, _ = env.reset(KEY, SPACE.from_text(">..\n..G"))
    assert not np.any(observation["view"] == tiles.TELEVISION)
    # Nor past the corner of the largest grid, which the mark of none is next to.
    largest = world(255, 255, view_size=5)
    level = levels.make_level(
        bitboard.empty(255, 255),
        jnp.asarray([254, 254], jnp.int32),
        jnp.asarray(0, jnp.int32),
        jnp.asarray([0, 0], jnp.int32),
    )
    observation, state = largest.reset(KEY, levels.with_television(level, True))
    assert not np.any(observation["view"] == tiles.TELEVISION)
    _, state, _, terminated, *_ = largest.step(KEY, state, jnp.asarray(FORWARD, jnp.int32), level)
    assert not bool(terminated)


def test_a_level_without_the_leaf_is_one_without_a_television():
    level = SPACE.from_text(">.#\n..G")
    for actions in ([FORWARD, FORWARD], [RIGHT, FORWARD, LEFT, FORWARD, FORWARD]):
        with_leaf = act(WORLD, level, actions)
        chex.assert_trees_all_equal(with_leaf, act(WORLD, level.replace(television=None), actions))


# -- levels -----------------------------------------------------------------------------------------------------------


def test_half_of_the_levels_have_one_on_a_uniform_free_cell():
    space = world(3, 3, levels=MazeLevels(num_walls=3)).level_space
    drawn = jax.jit(jax.vmap(space.sample))(jax.random.split(KEY, 8000))
    assert bool(jnp.all(jax.vmap(space.is_valid)(drawn)))
    has_one = np.asarray(jax.vmap(lambda level: level.has_television)(drawn))
    assert abs(has_one.sum() - 4000) < 225  # ± 45
    # By symmetry of the generator every cell is as likely: 444 ± 20 each; and so is any place among the free ones.
    cells = np.asarray(drawn.television, int)[has_one] @ [3, 1]
    assert all(abs(count - has_one.sum() / 9) < 105 for count in np.bincount(cells, minlength=9))
    walls = np.asarray(jax.vmap(lambda board: bitboard.unpack(board, 3))(drawn.walls)).reshape(-1, 9)[has_one]
    taken = walls.copy()
    for positions in (drawn.agent_position, drawn.goal_position):
        taken[np.arange(len(cells)), np.asarray(positions, int)[has_one] @ [3, 1]] = True
    place = np.array([np.sum(~row[:cell]) for row, cell in zip(taken, cells, strict=True)])
    number = np.sum(~taken, axis=1)
    for n in (4, 5):
        shares = np.bincount(place[number == n], minlength=n) / np.sum(number == n)
        assert np.all(np.abs(shares - 1 / n) < 5 * (0.25 / np.sum(number == n)) ** 0.5)
    # The rest of the level says nothing of it.
    assert abs(walls.sum(axis=1).mean() - 1.5) < 0.1


def test_where_no_cell_is_free_there_is_none():
    space = world(1, 3, levels=MazeLevels(num_walls=1, generator="minimax")).level_space
    drawn = jax.jit(jax.vmap(space.sample))(jax.random.split(KEY, 50))
    assert np.all(np.asarray(drawn.television) == 255)


@pytest.mark.parametrize("mutator", ["minimax", "dcd"])
def test_edits_keep_it_unless_something_else_comes_there(mutator):
    edited = MazeLevels(num_walls=5, mutator=mutator, num_edits=6, edit_agent=mutator == "dcd")
    space = world(3, 4, levels=edited).level_space
    plain = world(3, 4, levels=edited, noisy_tv=False).level_space
    parent = space.from_text(">..#\n.T..\n#..G")
    keys = jax.random.split(KEY, 500)
    children = jax.jit(jax.vmap(lambda key: space.mutate(key, parent)))(keys)
    expected = jax.jit(jax.vmap(lambda key: plain.mutate(key, parent.replace(television=None))))(keys)
    chex.assert_trees_all_equal(children.replace(television=None), expected)
    assert bool(jnp.all(jax.vmap(space.is_valid)(children)))
    wall = np.asarray(jax.vmap(lambda board: bitboard.unpack(board, 4)[1, 1])(children.walls))
    is_there = [np.all(np.asarray(leaf) == 1, axis=1) for leaf in (children.agent_position, children.goal_position)]
    is_taken = wall | is_there[0] | is_there[1]
    np.testing.assert_array_equal(children.television, np.where(is_taken, 255, 1)[:, None].repeat(2, axis=1))
    assert 0 < is_taken.sum() < 500
    # One that is none stays none.
    none = space.mutate(KEY, parent.replace(television=jnp.full(2, 255, jnp.uint8)))
    assert none.television.tolist() == [255, 255]


def test_text():
    text = ">.T\n#.G"
    level = SPACE.from_text(text)
    assert level.television.tolist() == [0, 2]
    assert level.television.dtype == jnp.uint8
    assert SPACE.to_text(level) == text
    without = SPACE.from_text(">..\n#.G")
    assert without.television.tolist() == [255, 255]
    assert SPACE.to_text(without) == ">..\n#.G"
    assert SPACE.fingerprint(level).tolist() != SPACE.fingerprint(without).tolist()
    chex.assert_trees_all_equal_shapes_and_dtypes(level, SPACE.sample(KEY))


@pytest.mark.parametrize(
    ("space", "text", "message"),
    [
        (SPACE, ">TT\n..G", "second television 'T' at row 1, column 3; the first is at row 1, column 2"),
        (SPACE, ">x.\n..G", "unknown symbol 'x' at line 1, column 2; known: .#G>v<^T"),
        (
            world(2, 3, noisy_tv=False).level_space,
            ">T.\n..G",
            "unknown symbol 'T' at line 1, column 2; known: .#G>v<^",
        ),
    ],
)
def test_text_errors(space, text, message):
    with pytest.raises(UserError) as error:
        space.from_text(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("television", "message"),
    [
        ((0, 2), "the television is on the wall at row 0, column 2"),
        ((0, 0), "the television is on the agent; they must be different cells"),
        ((1, 2), "the television is on the goal; they must be different cells"),
        ((2, 1), "the television is at row 2, column 1, outside of a 2x3 maze"),
        ((0, 3), "the television is at row 0, column 3, outside of a 2x3 maze"),
        ((255, 1), "the television is at row 255, column 1, outside of a 2x3 maze"),
    ],
)
def test_invalid_televisions(television, message):
    level = SPACE.from_text(">.#\n..G").replace(television=jnp.asarray(television, jnp.uint8))
    assert not bool(SPACE.is_valid(level))
    with pytest.raises(UserError) as error:
        SPACE.check(level)
    assert str(error.value) == message


def test_a_world_without_them_takes_none():
    level = SPACE.from_text(">T.\n..G")
    assert bool(SPACE.is_valid(level))
    SPACE.check(level)
    with pytest.raises(UserError) as error:
        world(2, 3, noisy_tv=False).level_space.to_text(level)
    assert str(error.value) == "the level has a television; allowed: only with noisy_tv"


def test_picture_shows_it():
    shown, without = SPACE.draw(SPACE.from_text(">.T\n..G")), SPACE.draw(SPACE.from_text(">..\n..G"))
    differs = np.any(shown != without, axis=-1)
    rows, cols = np.nonzero(differs)
    # The cell at row 0, column 2 is behind one of border; tiles are 24 pixels.
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (25, 47, 73, 95)
    assert shown[47, 95].tolist() != without[47, 95].tolist()


def test_command_draws_them(tmp_path, monkeypatch):
    from minied.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "levels.txt").write_text(">T.\n..G\n")
    options = [
        "--env",
        "maze",
        "--env.noisy-tv",
        "--env.height",
        "2",
        "--env.width",
        "3",
        "--env.levels.num-walls",
        "0",
    ]
    assert main(["draw", "levels.txt", *options, "-o", "read.png"]) == 0
    assert main(["draw", "--sample", "2", *options, "-o", "sampled.png"]) == 0
    assert (tmp_path / "read.png").stat().st_size > 0


# -- what is best -----------------------------------------------------------------------------------------------------


def test_optimal_return_by_hand():
    def best(text, max_steps=10):
        space = dataclasses.replace(WORLD, max_steps=max_steps).level_space
        return float(space.optimal_return(space.from_text(text)))

    # The goal is 2 actions away (0.82), the television 1: 0.91 / 2.
    assert best(">.G\n.T.") == pytest.approx(0.82)
    assert best(">T.\n..G", 10) == pytest.approx(1 - 0.9 * 5 / 10)
    # Around the television takes 5 of 5 actions, 0.1; the television 1: (1 - 0.9 / 5) / 2 = 0.41.
    assert best(">T.\n..G", 5) == pytest.approx(0.41)
    # Behind a wall there is the television only: 0.455; or nothing. Behind the television is no goal, nor the other way.
    assert best(">T#\n.#G") == pytest.approx(0.455)
    assert best(">TG\n###") == pytest.approx(0.455)
    assert best(">GT\n###") == pytest.approx(0.91)
    assert best(">#T\n##G") == 0
    assert best(">.#\n.#G") == 0


def test_optimal_return_equals_two_searches():
    rng = np.random.default_rng(0)
    space = world(4, 5, max_steps=14).level_space
    found = jax.jit(space.optimal_return)
    pays_more = 0
    for _ in range(60):
        walls, start, direction, goal = oracles.random_maze(rng, 4, 5, 0.3)
        free = [(r, c) for r, c in np.argwhere(~walls).tolist() if (r, c) not in (start, goal)]
        television = free[rng.integers(len(free))]
        level = oracles.to_level((walls, start, direction, goal))
        level = level.replace(television=jnp.asarray(television, jnp.uint8))
        expected = []
        for target, obstacle in ((goal, television), (television, goal)):
            blocked = walls.copy()
            blocked[obstacle] = True
            expected.append(oracles.best_return((blocked, start, direction, target), 14))
        pays_more += 0.5 * expected[1] > expected[0]
        assert float(found(level)) == pytest.approx(max(expected[0], 0.5 * expected[1]), abs=1e-6)
    assert 5 < pays_more < 30


def test_description():
    features = {name: float(value) for name, value in SPACE.describe(SPACE.from_text(">T.\n..G")).items()}
    # Down, twice forward: the goal is 3 moves away around the television.
    expected = {"num_walls": 0, "shortest_path": 3, "fewest_actions": 5, "solvable": 1, "manhattan_distance": 3}
    assert features == expected | {"television": 1, "optimal_return": pytest.approx(0.55)}
    features = {name: float(value) for name, value in SPACE.describe(SPACE.from_text(">T.\n#.G")).items()}
    assert (features["solvable"], features["optimal_return"]) == (0, pytest.approx(0.455))
    assert np.isnan(features["shortest_path"])
    assert float(SPACE.describe(SPACE.from_text(">..\n#.G"))["television"]) == 0


def test_only_levels_whose_goal_can_be_reached_around_it_are_solvable():
    space = world(2, 3, levels=MazeLevels(num_walls=3, solvable_only=True)).level_space
    assert not bool(acceptance.is_solvable(space.from_text(">TG\n.#."), 3))
    drawn = jax.jit(jax.vmap(space.sample))(jax.random.split(KEY, 500))
    features = jax.jit(jax.vmap(space.describe))(drawn)
    assert float(jnp.min(features["solvable"])) == 1
    assert 100 < float(jnp.sum(features["television"])) < 300
    # What is made where no draw is solvable has no television in its way.
    carved = acceptance.carve(space.from_text(">T.\n##G"), 3)
    assert space.to_text(carved) == ">..\n##G"
    assert space.to_text(acceptance.carve(space.from_text(">.#\nT#G"), 3)) == ">..\nT#G"


def forward(observation):
    return jax.nn.one_hot(FORWARD, 3)


def uniform(observation):
    return jnp.full(3, 1 / 3)


def test_exact_answers_count_half_of_the_goal_for_it():
    env = world(1, 3, max_steps=10, num_actions=3)
    level = env.level_space.from_text(">TG")

    @jax.jit
    def answers(level):
        known = (exact.solve_probability, exact.expected_return, exact.exact_regret)
        return [answer(env, level, forward) for answer in known], exact.exact_values(env, level, forward, 0.9)

    (solved, expected, regret), values = answers(level)
    assert float(solved) == 0
    assert float(expected) == pytest.approx(0.455)
    assert float(regret) == pytest.approx(0, abs=1e-6)
    # Facing it after t steps: (1 - 0.9 (t + 1) / 10) / 2; elsewhere nothing is earned.
    earned = np.zeros((11, 4, 1, 3))
    earned[:10, 0, 0, 0] = [0.5 - 0.045 * n for n in range(1, 11)]
    np.testing.assert_allclose(values, earned, atol=1e-6)


def test_exact_return_is_the_mean_of_episodes():
    env = world(2, 3, max_steps=6, num_actions=3)
    level = env.level_space.from_text("v.T\n..G")

    def episode(key):
        def step(carry, key):
            state, alive = carry
            key_action, key_step = jax.random.split(key)
            action = jax.random.randint(key_action, (), 0, 3)
            _, state, reward, terminated, truncated, _ = env.step(key_step, state, action, level)
            return (state, alive & ~terminated & ~truncated), jnp.where(alive, reward, 0.0)

        first = (env.reset(key, level)[1], jnp.bool_(True))
        return jnp.sum(jax.lax.scan(step, first, jax.random.split(key, 6))[1])

    returns = np.asarray(jax.jit(jax.vmap(episode))(jax.random.split(KEY, 20_000)))
    expected = float(jax.jit(lambda level: exact.expected_return(env, level, uniform))(level))
    assert 0 < expected < float(env.level_space.optimal_return(level))
    assert abs(returns.mean() - expected) < 5 * returns.std() / 20_000**0.5


# -- evaluation -------------------------------------------------------------------------------------------------------


def test_suites_have_none_and_are_played_in_the_same_world():
    env = Maze(noisy_tv=True)
    plain = Maze()
    for name in ("jaxued", "corridors", "memory"):
        theirs, ours = plain.level_space.suite(name), env.level_space.suite(name)
        for before, part in zip(theirs, ours, strict=True):
            assert part.names == before.names
            first = jax.tree.map(lambda leaf: leaf[0], part.levels)
            observation, _ = part.env.reset(KEY, first)
            assert part.env.observation_space == env.observation_space
            assert env.observation_space.contains(observation)
            if isinstance(part.env, Maze):
                assert part.env.noisy_tv
                assert np.all(np.asarray(part.levels.television) == 255)
                chex.assert_trees_all_equal(part.levels.replace(television=None), before.levels)
                assert float(part.env.level_space.describe(first)["television"]) == 0


def test_what_is_held_out_is_held_out_with_and_without_a_television():
    options = MazeLevels(num_walls=4, holdout=3)
    space = world(3, 3, levels=options).level_space
    plain = world(3, 3, levels=options, noisy_tv=False).level_space
    named = plain.suite("named")[0].levels
    assert bool(jnp.all(jax.vmap(plain.is_reserved)(named)))
    assert bool(jnp.all(jax.vmap(space.is_reserved)(levels.with_television(named, True))))
    drawn = jax.jit(jax.vmap(space.draw_raw))(jax.random.split(KEY, 300))
    is_reserved = jax.jit(jax.vmap(space.is_reserved))
    reserved = is_reserved(drawn)
    np.testing.assert_array_equal(reserved, jax.jit(jax.vmap(plain.is_reserved))(drawn.replace(television=None)))
    assert 50 < int(jnp.sum(reserved)) < 150
    trained_on = jax.jit(jax.vmap(space.sample))(jax.random.split(KEY, 300))
    assert not bool(jnp.any(is_reserved(trained_on)))
    assert bool(jnp.all(jax.vmap(space.is_reserved)(space.suite("held_out")[0].levels)))


def test_enumerated_levels_can_be_played():
    env = world(2, 2, max_steps=5)
    some = enumeration.enumerate_levels(env, 1)  # which knows no televisions
    returns = jax.vmap(env.level_space.optimal_return)(levels.with_television(some, True))
    np.testing.assert_array_equal(returns, jax.vmap(env.level_space.optimal_return)(some))
