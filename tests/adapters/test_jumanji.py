"""Worlds of Jumanji, step by step beside the library itself."""

import collections
import dataclasses
import json

import jax
import jax.numpy as jnp
import jumanji
import numpy as np
import pytest

from minied.adapters import jumanji_maze
from minied.adapters.jumanji import LIMITS, REFUSED, Jumanji
from minied.adapters.jumanji_library import joint_mask, time_limit
from minied.errors import UserError
from minied.levels.space import LevelSpace
from minied.spaces import Box, Coded, Discrete, Mask

pytestmark = [
    pytest.mark.usefixtures("library_promotes_ranks"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of the library, where it is called beside the adapter
]
MAZE = Jumanji(height=5, width=6, max_steps=7, num_edits=3)
DRAWN = "A....#\n.####.\n.#....\n.#.##.\n...#G."  # 14 steps from A to G: down 4, right 2, up 2, right 3, down 2, left 1
UP, RIGHT, DOWN, LEFT = range(4)


@dataclasses.dataclass
class Played:
    """An environment, its compiled functions, and the library's own environment."""

    env: Jumanji

    def __post_init__(self):
        self.space: LevelSpace = self.env.level_space
        self.sample, self.reset = jax.jit(self.space.sample), jax.jit(self.env.reset)
        self.step = jax.jit(self.env.step)
        self.library = jumanji.make(self.env.id)
        self.library_reset, self.library_step = jax.jit(self.library.reset), jax.jit(self.library.step)
        self.read = jax.jit(self.env.adapted.read)


@pytest.fixture(scope="module")
def maze():
    return Played(MAZE)


@pytest.fixture(scope="module")
def board():
    return Played(Jumanji(id="Game2048-v1"))


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def play(played, key, rng, most=100):
    """Play allowed random actions in both; return how the episode ended, and the steps."""
    state, timestep = played.library_reset(key)
    level = played.sample(key)
    observation, own = played.reset(state.key, level)
    names = [part.name for part in played.env.adapted.parts]
    steps = 0
    while steps < most:
        steps += 1
        same(observation, played.read(timestep.observation))
        assert played.env.observation_space.contains(observation)
        assert len(names) == len(jax.tree.leaves(timestep.observation))
        mask = np.asarray(observation.get("action_mask", np.ones(played.env.action_space.n, bool)))
        action = jnp.int32(rng.choice(np.flatnonzero(mask)))
        state, timestep = played.library_step(state, played.env.adapted.action(action))
        observation, own, reward, terminated, truncated, info = played.step(jax.random.key(0), own, action, level)
        assert reward == np.sum(timestep.reward)
        assert bool(terminated | truncated) == bool(timestep.last())
        assert not (terminated and truncated)
        assert {name: float(value) for name, value in info["statistics"].items()} == {
            name: float(value) for name, value in timestep.extras.items()
        }
        if terminated or truncated:
            break
    same(observation, played.read(timestep.observation))
    return bool(terminated), bool(truncated), steps


# -- episodes ----------------------------------------------------------------------------------------------------------


def test_a_board_goes_on_as_in_the_library(board):
    assert play(board, jax.random.key(3), np.random.default_rng(0), 40) == (False, False, 40)


def test_a_maze_is_played_as_in_the_library():
    """With its limit of 100: what ends there ends here; the grid is its walls, agent and target."""
    played = Played(Jumanji())
    ends = [play(played, jax.random.key(seed), np.random.default_rng(seed)) for seed in (3, 4)]
    assert ends == [(True, False, ends[0][2]), (False, True, 100)]
    state, timestep = played.library_reset(jax.random.key(3))
    grid = np.asarray(played.read(timestep.observation)["grid"])
    np.testing.assert_array_equal(grid == jumanji_maze.WALL, state.walls)
    assert np.argwhere(grid == jumanji_maze.AGENT).tolist() == [list(map(int, state.agent_position))]
    assert np.argwhere(grid == jumanji_maze.TARGET).tolist() == [list(map(int, state.target_position))]


def test_a_time_limit_truncates_and_the_target_terminates(maze):
    """Seven steps at most; in the library both ends look alike."""
    near = maze.space.from_text("A....#\n.####.\n.#....\n.#.##.\n..G#..")
    far = maze.space.from_text(DRAWN)
    for level, ends in ((near, (True, False)), (far, (False, True))):
        observation, state = maze.reset(jax.random.key(0), level)
        for time, action in enumerate((LEFT, DOWN, DOWN, DOWN, DOWN, RIGHT, RIGHT)):  # the first into the border
            assert float(observation["step_count"]) == pytest.approx(time / 7)
            observation, state, reward, terminated, truncated, _ = maze.step(jax.random.key(0), state, action, level)
            assert (bool(terminated), bool(truncated)) == (ends if time == 6 else (False, False))
            assert reward == float(ends[0] and time == 6)
    assert np.argwhere(np.asarray(observation["grid"]) == jumanji_maze.AGENT).tolist() == [[4, 2]]


def test_what_a_library_without_a_limit_never_ends_is_cut_off(board):
    env = dataclasses.replace(board.env, max_steps=2)
    level = board.sample(jax.random.key(0))
    _, state = env.reset(jax.random.key(0), level)
    for expected in (False, True):
        action = jnp.argmax(state.inner.action_mask).astype(jnp.int32)
        _, state, _, terminated, truncated, _ = env.step(jax.random.key(0), state, action, level)
        assert (bool(terminated), bool(truncated)) == (False, expected)
    assert (board.env.max_steps, MAZE.max_steps, Jumanji(height=5).max_steps) == (1000, 7, 50)


def test_a_level_is_a_start_and_no_randomness(board):
    """The key of a reset changes what comes later, not what is seen; the key that made a level is not in it."""
    level, other = (board.sample(jax.random.key(seed)) for seed in (0, 1))
    starts = [board.reset(jax.random.key(seed), level) for seed in (0, 1)]
    same(starts[0][0], starts[1][0])
    assert not np.array_equal(starts[0][0]["board"], board.reset(jax.random.key(0), other)[0]["board"])
    action = jnp.argmax(starts[0][0]["action_mask"]).astype(jnp.int32)
    boards = [board.step(jax.random.key(0), state, action, level)[0]["board"] for _, state in starts]
    assert not np.array_equal(*boards)
    assert len(level.state) == 4  # action mask, board, score, step count; the key is not
    assert level.observation == ()


def test_states_keep_their_form_and_nothing_is_weak(maze, board):
    for played in (maze, board):
        level = played.sample(jax.random.key(0))
        observation, state = played.reset(jax.random.key(0), level)
        after, later, reward, *ends, _ = played.step(jax.random.key(0), state, jnp.int32(0), level)
        forms = [
            jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), each) for each in (state, later, observation, after)
        ]
        assert forms[0] == forms[1]
        assert forms[2] == forms[3]
        assert (reward.shape, reward.dtype) == ((), jnp.float32)
        assert [(end.shape, end.dtype) for end in ends] == [((), jnp.bool_)] * 2
        arrays = jax.tree.leaves((level, state, later, observation))
        assert not any(getattr(array, "weak_type", False) for array in arrays)


# -- spaces ------------------------------------------------------------------------------------------------------------


def test_masks_of_factors_become_one_of_joint_actions():
    mask = jnp.asarray([[True, False], [True, True]])
    assert joint_mask(mask, (2, 2)).tolist() == [True, False, True, True]  # a table of joint actions already
    rows = jnp.asarray(
        [[True, False, True], [False, True, False]]
    )  # first factor 0 or 2, second 1: 0·3 + 1 and 2·3 + 1
    assert np.flatnonzero(joint_mask(rows, (3, 3))).tolist() == [1, 7]
    assert joint_mask(jnp.zeros((2, 3), bool), (3, 3)).all()  # an environment that is over allows nothing


def test_parts_are_read_by_what_they_are():
    maze = dict(MAZE.observation_space.parts)
    assert list(maze) == ["grid", "action_mask", "step_count"]
    assert (maze["grid"].shape, maze["grid"].num_codes) == ((5, 6), 4)
    assert (maze["action_mask"], maze["step_count"]) == (Mask(4), Box(0.0, 1.0, ()))
    foraging = Jumanji(id="LevelBasedForaging-v0")
    assert foraging.action_space.numbers == (6, 6)
    parts = dict(foraging.observation_space.parts)
    assert isinstance(parts["agents_view"], Coded)
    assert (parts["agents_view"].shape, parts["agents_view"].num_codes) == ((24,), 10)  # two of twelve, from −1 to 8
    route = dict(Jumanji(id="TSP-v1").observation_space.parts)
    assert route["position"] == Discrete(21)  # the library says 20, and begins at −1
    assert route["coordinates"] == Box(0.0, 1.0, (40,))
    assert dict(Jumanji(id="Game2048-v1").observation_space.parts)["board"].num_codes == 18
    assert dict(Jumanji(id="RubiksCube-v0").observation_space.parts)["cube"].shape == (54,)


def test_joint_actions_are_those_of_the_library():
    foraging = Jumanji(id="LevelBasedForaging-v0")
    assert foraging.adapted.action(jnp.int32(4 * 6 + 3)).tolist() == [4, 3]


# -- mazes -------------------------------------------------------------------------------------------------------------


def on_host(maze):
    """The steps from agent to target, by a search of its own; None if there is no path."""
    walls, start, target = np.asarray(maze.walls), tuple(map(int, maze.agent)), tuple(map(int, maze.target))
    steps, queue = {start: 0}, collections.deque([start])
    while queue:
        row, col = queue.popleft()
        for cell in ((row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)):
            is_inside = all(0 <= at < end for at, end in zip(cell, walls.shape, strict=True))
            if is_inside and not walls[cell] and cell not in steps:
                steps[cell] = steps[row, col] + 1
                queue.append(cell)
    return steps.get(target)


def test_edits_are_few_and_leave_a_maze(maze):
    mutate, valid = jax.jit(maze.space.mutate), jax.jit(maze.space.is_valid)
    describe, best = jax.jit(maze.space.describe), jax.jit(maze.space.optimal_return)
    level, seen = maze.space.from_text(DRAWN), set()
    for seed in range(40):
        before, level = maze.space.maze_of(level), mutate(jax.random.key(seed), level)
        assert valid(level)
        after = maze.space.maze_of(level)
        moves = [int((getattr(before, name) != getattr(after, name)).any()) for name in ("agent", "target")]
        toggled = int((before.walls != after.walls).sum())
        assert toggled + sum(moves) <= 3
        seen |= {("wall", toggled > 0), ("agent", moves[0] > 0), ("target", moves[1] > 0)}
        steps, told = on_host(after), describe(level)
        assert float(told["walls"]) == np.asarray(after.walls).sum()
        np.testing.assert_equal(float(told["shortest_path"]), np.nan if steps is None else steps)
        assert float(best(level)) == float(steps is not None and steps <= 7)
    assert {("wall", True), ("agent", True), ("target", True)} <= seen
    for steps, wanted in ((7, 1.0), (8, 0.0)):  # along a corridor, in the time that there is and in a step more
        last = {7: "#####G\n......", 8: "#####.\n.....G"}
        drawn = "A.....\n#####.\n" + last[steps] + "\n######"
        assert float(best(maze.space.from_text(drawn))) == wanted


def test_what_is_no_maze_is_not_valid(maze):
    level = maze.space.from_text(DRAWN)
    good, valid = maze.space.maze_of(level), jax.jit(maze.space.is_valid)
    assert valid(level)
    bad = [
        good.replace(agent=jnp.asarray([0, 5], jnp.int32)),  # in a wall
        good.replace(target=good.agent),
        good.replace(target=jnp.asarray([5, 0], jnp.int32)),  # outside
    ]
    assert not any(valid(maze.space.level_of(each)) for each in bad)
    leaves = list(level.state)
    places = [place for place, leaf in enumerate(leaves) if leaf.shape == (4,)]  # the mask of actions
    leaves[places[0]] = ~leaves[places[0]]
    assert not valid(level.replace(state=tuple(leaves)))


def test_the_library_completes_the_start_of_a_drawn_maze(maze):
    observation, state = maze.reset(jax.random.key(0), maze.space.from_text(DRAWN))
    assert observation["action_mask"].tolist() == [False, True, True, False]
    assert int(state.inner.step_count) == 0
    assert on_host(maze.space.maze_of(maze.space.from_text(DRAWN))) == 14


def test_levels_are_read_back(maze, board):
    assert maze.space.to_text(maze.space.from_text(DRAWN)) == DRAWN
    for played in (maze, board):
        level = played.sample(jax.random.key(5))
        back = played.space.from_text(played.space.to_text(level))
        assert played.space.fingerprint(back).tolist() == played.space.fingerprint(level).tolist()
        assert jax.tree.map(lambda leaf: leaf.dtype, back) == jax.tree.map(lambda leaf: leaf.dtype, level)


def test_numbers_that_no_start_has_are_told(board):
    """Tiles 0 to 17 are the adapter's own bounds of 2048; the library tells those of the snake's board and clock."""
    snake = Jumanji(id="Snake-v1").level_space
    for space, wrong, told in (
        (board.space, {"state.1": 99}, r"board of a level has numbers from 99 to 99; allowed at a start: 0 to 17"),
        (board.space, {"state.1": -1}, r"board of a level has numbers from -1 to -1"),
        (snake, {"state.8": 99}, r"step_count of a level has numbers from 99 to 99; allowed at a start: 0 to 1"),
        (snake, {"observation.0": 99.0}, r"grid of a level has numbers from 99 to 99; allowed at a start: 0 to 1"),
        (snake, {"observation.0": float("nan")}, r"observation.0 of a level has numbers that are infinite or NaN"),
    ):
        numbers = json.loads(space.to_text(jax.jit(space.sample)(jax.random.key(0))))
        space.from_text(json.dumps(numbers))
        changed = {name: np.full(np.shape(numbers[name]), value).tolist() for name, value in wrong.items()}
        with pytest.raises(UserError, match=told):
            space.from_text(json.dumps(numbers | changed))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (DRAWN[:-7], "has 4 lines; allowed: 5"),
        (DRAWN.replace(".####.", ".###."), "line 2 of the maze has 5 symbols; allowed: 6"),
        (DRAWN.replace(".####.", ".#?##."), "line 2 of the maze has '?'; allowed: ., #, G, A"),
        (DRAWN.replace("G", "."), "has 0 cells 'G'; allowed: 1, of the target"),
        (DRAWN.replace(".####.", ".A###."), "has 2 cells 'A'; allowed: 1, of the agent"),
    ],
)
def test_what_is_wrong_in_a_drawing_is_told(maze, text, told):
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        maze.space.from_text(text)


def test_suites_and_pictures(maze, board):
    (suite,) = maze.space.suite("sampled")
    assert len(suite.names) == 32
    assert jax.tree.leaves(suite.levels)[0].shape[0] == 32
    prints = jax.vmap(maze.space.fingerprint)(suite.levels)
    assert len(np.unique(np.asarray(prints), axis=0)) == 32
    level = maze.space.from_text(DRAWN)
    picture = maze.space.draw(level)
    tile = picture.shape[0] // 7  # a wall around
    assert picture.shape == (7 * tile, 8 * tile, 3)
    colours = picture[tile + tile // 2 :: tile, tile + tile // 2 :: tile]
    assert colours[0, 0].tolist() == [38, 99, 190]  # the agent
    assert colours[4, 4].tolist() == [76, 175, 100]
    state = maze.step(jax.random.key(0), maze.reset(jax.random.key(0), level)[1], RIGHT, level)[1]
    assert not np.array_equal(maze.space.draw(level, state), picture)
    assert board.space.draw(board.sample(jax.random.key(0))).dtype == np.uint8
    with pytest.raises(UserError, match="unknown suite 'all'"):
        maze.space.suite("all")


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "Maze-v1"}, "unknown environment of Jumanji 'Maze-v1' .did you mean 'Maze-v0'"),
        ({"id": "Connector-v3"}, "id is 'Connector-v3', which has 9,765,625 joint actions"),
        ({"id": "Sokoban-v0"}, "downloads its levels"),
        ({"height": 3}, "height is 3; allowed: 0, the library's, or 4 to 100"),
        ({"id": "TSP-v1", "width": 9}, "width is 9; allowed for TSP-v1: 0"),
        ({"max_steps": -1}, "max_steps is -1; allowed: 0 to"),
        ({"num_edits": 0}, "num_edits is 0; allowed: 1 to"),
        ({"solved_return": float("nan")}, "solved_return is nan; allowed: a finite number"),
    ],
)
def test_wrong_options_are_told_in_a_line(options, told):
    with pytest.raises(UserError, match=told):
        Jumanji(**options)


def test_what_is_offered_is_there_and_worlds_are_equal_by_their_fields():
    assert Jumanji().level_space.offered == Jumanji.offers
    assert Jumanji(id="TSP-v1").level_space.offered == ("to_text", "from_text", "suites")
    assert Jumanji(id="Snake-v1").level_space.offered == ("draw", "to_text", "from_text", "suites")
    assert Jumanji(height=5, width=6, max_steps=7, num_edits=3) == MAZE
    assert hash(Jumanji(max_steps=100)) == hash(Jumanji())
    assert Jumanji().is_solved(jnp.float32(0.5))
    assert not Jumanji().is_solved(jnp.float32(0.0))
    assert Jumanji(solved_return=-3.0).is_solved(jnp.float32(-3.0))


@pytest.mark.parametrize(("id", "rows", "cols"), [("Cleaner-v0", 6, 7), ("Snake-v1", 5, 6), ("Tetris-v0", 8, 5)])
def test_sizes_are_given_to_the_library(id, rows, cols):
    env = Jumanji(id=id, height=rows, width=cols)
    assert dict(env.observation_space.parts)["grid"].shape[:2] == (rows, cols)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("id", sorted(LIMITS))
def test_every_environment_goes_on_as_in_the_library(id):
    played = Played(Jumanji(id=id))
    assert time_limit(id) == LIMITS[id]
    rng = np.random.default_rng(1)
    ends = [play(played, jax.random.key(seed), rng, 200) for seed in range(3)]
    assert all(not truncated or steps == LIMITS[id] for _, truncated, steps in ends)
    level = played.sample(jax.random.key(0))
    back = played.space.from_text(played.space.to_text(level))
    assert played.space.fingerprint(back).tolist() == played.space.fingerprint(level).tolist()


@pytest.mark.slow
def test_every_environment_is_played_or_refused():
    assert set(LIMITS) | set(REFUSED) == set(jumanji.registered_environments())
    assert set(LIMITS).isdisjoint(REFUSED)
