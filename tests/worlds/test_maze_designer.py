"""The maze's designer: against the published procedures, by hand, and over all designs of tiny mazes."""

import collections
import dataclasses

import chex
import designs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.config import load_config
from minied.errors import UserError
from minied.levels.designer import Designer
from minied_envs.grid import bitboard, tiles
from minied_envs.maze import Maze, MazeDesign, MazeLevels

KEY = jax.random.key(0)
EMPTY, WALL, GOAL, AGENT = tiles.EMPTY, tiles.WALL, tiles.GOAL, tiles.AGENT


def world(height, width, noisy_tv=False, **options):
    return Maze(
        height=height,
        width=width,
        noisy_tv=noisy_tv,
        levels=MazeLevels(num_walls=0),
        design=MazeDesign(**options),
    )


def number(value):
    return jnp.asarray(value, jnp.int32)


def play(designer, actions, level=None):
    """The observations (one more than actions) and states of a design, all actions allowed."""
    step = jax.jit(designer.step)
    observation, state = designer.reset(KEY, designer.empty() if level is None else level)
    observations, states = [observation], [state]
    for action in actions:
        assert bool(observations[-1]["mask"][action]), f"action {action} of step {len(states)} is not allowed"
        observation, state, *_ = step(KEY, states[-1], number(action), level)
        observations.append(observation)
        states.append(state)
    return observations, states


def allowed(observation):
    return np.flatnonzero(np.asarray(observation["mask"])).tolist()


# -- properties -------------------------------------------------------------------------------------------------------

RANDOM = [
    (1, 2, False, {}),
    (2, 3, True, {"vary_num_walls": True, "num_wall_steps": 9, "choose_direction": True}),
    (4, 3, True, {"vary_num_walls": True, "replace_walls": False, "num_wall_steps": 20, "noise_size": 0}),
    (2, 34, False, {"order": "goal_first", "num_wall_steps": 20}),
    (4, 1, True, {"order": "goal_first", "num_wall_steps": 7}),
    (13, 13, True, {}),
    (3, 2, False, {"order": "edits", "num_wall_steps": 8}),
    (1, 4, True, {"order": "edits", "num_wall_steps": 3}),
]


@pytest.mark.parametrize(("height", "width", "noisy_tv", "options"), RANDOM)
def test_trap_06_random_designs_are_valid_and_end_at_the_last_step(height, width, noisy_tv, options):
    space = world(height, width, noisy_tv, **options).level_space
    designer = space.designer
    steps, observation, state = designs.random_designs(designer, KEY, 1000, designer.empty())
    levels = jax.vmap(designer.level_of)(state)
    assert bool(jnp.all(jax.jit(jax.vmap(space.is_valid))(levels)))
    chex.assert_trees_all_equal(levels, jax.tree.map(lambda leaf: leaf[:, -1], steps["level"]))
    # A level of a design can be mixed with those of the generator.
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.tree.map(lambda leaf: leaf[0], levels), space.sample(KEY))
    ends = np.asarray(steps["terminated"])
    assert ends[:, -1].all()
    assert not ends[:, :-1].any()
    assert not np.asarray(steps["truncated"]).any()
    assert not np.asarray(steps["reward"]).any()
    assert np.asarray(steps["observation"]["mask"]).any(axis=-1).all()
    for index in (0, designer.max_steps // 2, designer.max_steps - 1):
        seen = jax.tree.map(lambda leaf, index=index: leaf[3, index], steps["observation"])
        assert designer.observation_space.contains(seen)
    assert designer.observation_space.contains(jax.tree.map(lambda leaf: leaf[3], observation))


ENUMERATED = [
    (2, 2, False, {"num_wall_steps": 2}),
    (2, 2, True, {"num_wall_steps": 1, "vary_num_walls": True, "choose_direction": True}),
    (1, 5, False, {"num_wall_steps": 3, "replace_walls": False}),
    (1, 3, True, {"num_wall_steps": 2, "vary_num_walls": True, "replace_walls": False}),
    (2, 2, True, {"order": "goal_first", "num_wall_steps": 1}),
    (1, 4, False, {"order": "edits", "num_wall_steps": 3}),
]


@pytest.mark.parametrize(("height", "width", "noisy_tv", "options"), ENUMERATED)
def test_probability_of_a_level_is_that_of_its_allowed_actions(height, width, noisy_tv, options):
    designer = world(height, width, noisy_tv, **options).level_space.designer
    states, chances = designs.all_designs(designer, designer.empty())
    assert chances.sum() == pytest.approx(1, abs=1e-5)
    _, _, sampled = designs.random_designs(designer, KEY, 20_000, designer.empty())

    def shares(states, weights):
        level = states.level
        if not options.get("choose_direction") and options.get("order") != "goal_first":
            level = level.replace(agent_direction=jnp.zeros_like(level.agent_direction))  # that of the reset's key
        rows = np.concatenate([np.asarray(leaf).reshape(len(weights), -1) for leaf in jax.tree.leaves(level)], axis=1)
        total = collections.Counter()
        for row, weight in zip(rows.tolist(), weights, strict=True):
            total[tuple(row)] += weight
        return total

    expected, found = shares(states, chances), shares(sampled, np.full(20_000, 1 / 20_000))
    assert set(found) <= set(expected)
    for level, chance in expected.items():
        # Five standard errors of a share of 20,000, and one more level for the rarest.
        assert abs(found[level] - chance) < 5 * (chance / 20_000) ** 0.5 + 1 / 20_000


def test_share_of_walls_that_goal_and_agent_leave_by_hand():
    # One wall step in 1 x 3: the wall stays if neither goal (1/3) nor agent (then 1/2) goes there: 2/3 · 1/2 = 1/3.
    designer = world(1, 3, num_wall_steps=1).level_space.designer
    states, chances = designs.all_designs(designer, designer.empty())
    walls = np.asarray(jax.vmap(bitboard.count)(states.level.walls))
    assert len(chances) == 3 * 3 * 2
    assert chances[walls == 1].sum() == pytest.approx(1 / 3)


def test_vmap_equals_loop_and_a_step_is_traced_once():
    designer = world(3, 4, True, num_wall_steps=3).level_space.designer
    build = jax.jit(chex.assert_max_traces(designer.build, n=1))
    build_batch = jax.jit(jax.vmap(designer.build))
    keys = jax.random.split(KEY, 3)
    actions = number([[5, 5, 0], [1, 2, 11], [3, 0, 7], [4, 4, 4], [0, 1, 2], [1, 0, 1], [1, 2, 1]])
    batched = jax.jit(jax.vmap(designer.reset, in_axes=(0, None)))(keys, designer.empty())
    singles = [designer.reset(key, designer.empty()) for key in keys]
    for i in range(designer.max_steps):
        batched = build_batch(keys, batched[1], actions[i])
        singles = [build(key, single[1], action) for key, single, action in zip(keys, singles, actions[i], strict=True)]
        for j, single in enumerate(singles):
            chex.assert_trees_all_equal(single, jax.tree.map(lambda leaf, j=j: leaf[j], batched))
    chex.clear_trace_counter()


# -- against the published procedures ---------------------------------------------------------------------------------


class Published:
    """The map of walls and positions as minimax's ``UEDMaze`` and jaxued's ``MazeEditor`` keep them, with their repairs."""

    def __init__(self, height, width):
        self.walls = np.zeros((height, width), bool)
        self.goal = self.agent = self.direction = None

    def cell(self, action):
        return divmod(int(action), self.walls.shape[1])

    def place(self, name, action):
        cell = self.cell(action)
        assert name == "goal" or cell != self.goal, "the published ones would move the agent at random"
        self.walls[cell] = False
        setattr(self, name, cell)

    def image(self):
        codes = np.where(self.walls, WALL, EMPTY)
        for position, code in ((self.goal, GOAL), (self.agent, AGENT)):
            if position is not None:
                codes[position] = code
        return codes


def minimax_step(maze, step, action, num_walls):
    """Walls, then the goal, then the agent, then with ``set_agent_dir`` the direction (here the action itself)."""
    if step < num_walls:
        maze.walls[maze.cell(action)] = True
    elif step == num_walls:
        maze.place("goal", action)
    elif step == num_walls + 1:
        maze.place("agent", action)
    else:
        maze.direction = int(action)


def jaxued_step(maze, step, action, num_walls):
    """Goal, direction, agent, then walls toggled unless goal or agent are there."""
    if step == 0:
        maze.place("goal", action)
    elif step == 1:
        maze.direction = int(action) % 4
    elif step == 2:
        maze.place("agent", action)
    elif maze.cell(action) not in (maze.goal, maze.agent):
        maze.walls[maze.cell(action)] ^= True


@pytest.mark.parametrize(("height", "width", "border"), [(4, 4, False), (3, 33, True)])
@pytest.mark.parametrize(
    ("step_of", "options"),
    [(minimax_step, {"choose_direction": True}), (jaxued_step, {"order": "goal_first"})],
    ids=["minimax", "jaxued"],
)
def test_designs_equal_the_published_procedures(step_of, options, height, width, border):
    designer = world(height, width, num_wall_steps=12, border=border, **options).level_space.designer
    steps, last, state = jax.tree.map(np.asarray, designs.random_designs(designer, KEY, 20, designer.empty()))
    images = np.concatenate([steps["observation"]["image"], last["image"][:, None]], axis=1)
    for i in range(20):
        maze = Published(height, width)
        for t in range(designer.max_steps + 1):
            expected = np.pad(maze.image(), 1, constant_values=WALL) if border else maze.image()
            np.testing.assert_array_equal(images[i, t], expected)
            if t < designer.max_steps:
                step_of(maze, t, steps["action"][i, t], 12)
        level = jax.tree.map(lambda leaf, i=i: leaf[i], state.level)
        np.testing.assert_array_equal(bitboard.unpack(jnp.asarray(level.walls), width), maze.walls)
        found = tuple(level.goal_position.tolist()), tuple(level.agent_position.tolist()), int(level.agent_direction)
        assert found == (maze.goal, maze.agent, maze.direction)


# -- masks by hand ----------------------------------------------------------------------------------------------------


def test_goal_last_step_by_step():
    designer = world(2, 3, num_wall_steps=2, choose_direction=True).level_space.designer
    assert designer.max_steps == 5
    observations, states = play(designer, [4, 4, 4, 0, 2])
    everywhere = [0, 1, 2, 3, 4, 5]
    # A wall may be built twice, and the goal stands where it was; the agent anywhere but there.
    assert [allowed(each) for each in observations[:5]] == [everywhere] * 3 + [[0, 1, 2, 3, 5], [0, 1, 2, 3]]
    assert [each["image"].tolist() for each in observations[:5]] == [
        [[0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [0, 2, 0]],
        [[4, 0, 0], [0, 2, 0]],
    ]
    assert [int(each["time"]) for each in observations] == [0, 1, 2, 3, 4, 5]
    space = world(2, 3).level_space
    assert space.to_text(designer.level_of(states[-1])) == "<..\n.G."


def test_goal_first_step_by_step():
    designer = world(2, 3, order="goal_first", num_wall_steps=3).level_space.designer
    assert designer.max_steps == 6
    observations, states = play(designer, [5, 1, 2, 0, 3, 0])
    free = [0, 1, 3, 4]
    assert [allowed(each) for each in observations[:6]] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        free,
        free,
        free,
    ]
    assert observations[1]["image"].tolist() == [[0, 0, 0], [0, 0, 2]]
    assert observations[2]["image"].tolist() == [[0, 0, 0], [0, 0, 2]]
    # The wall at cell 0 is built and torn down again.
    assert world(2, 3).level_space.to_text(designer.level_of(states[-2])) == "#.v\n#.G"
    assert world(2, 3).level_space.to_text(designer.level_of(states[-1])) == "..v\n#.G"


def test_edits_keep_goal_agent_and_direction_and_show_them():
    space = world(2, 3, order="edits", num_wall_steps=2).level_space
    given = space.from_text("#^.\n.G.")
    observations, states = play(space.designer, [0, 2], given)
    assert [allowed(each) for each in observations[:2]] == [[0, 2, 3, 5]] * 2
    assert observations[0]["image"].tolist() == [[1, 4, 0], [0, 2, 0]]
    assert space.to_text(space.designer.level_of(states[-1])) == ".^#\n.G."
    chex.assert_trees_all_equal(states[0].level, given)


def test_new_walls_only_without_replacement():
    designer = world(2, 3, num_wall_steps=6, replace_walls=False).level_space.designer
    observations, states = play(designer, [3, 0, 5, 1, 2, 4, 1, 0])
    lefts = [[0, 1, 2, 3, 4, 5], [0, 1, 2, 4, 5], [1, 2, 4, 5], [1, 2, 4], [2, 4], [4]]
    assert [allowed(each) for each in observations[:6]] == lefts
    assert world(2, 3).level_space.to_text(designer.level_of(states[-1]))[1:] == "G#\n###"  # of a grid full of walls


def test_number_of_walls_is_chosen_and_the_steps_left_do_nothing():
    designer = world(2, 3, num_wall_steps=4, vary_num_walls=True).level_space.designer
    assert designer.max_steps == 7
    observations, states = play(designer, [2, 5, 4, 0, 0, 3, 2])
    assert [allowed(each) for each in observations[:5]] == [[0, 1, 2, 3, 4], [*range(6)], [*range(6)], [0], [0]]
    assert observations[1]["image"].tolist() == observations[0]["image"].tolist()  # a number, not a cell
    assert observations[5]["image"].tolist() == [[0, 0, 0], [0, 1, 1]]
    assert allowed(observations[5]) == [*range(6)]
    assert np.asarray(bitboard.unpack(states[-1].level.walls, 3)).tolist() == [[False] * 3, [False, True, True]]


@pytest.mark.parametrize(("num_wall_steps", "most"), [(4, 4), (5, 5), (6, 5), (60, 5)])
def test_most_walls_that_can_be_chosen(num_wall_steps, most):
    designer = world(2, 3, num_wall_steps=num_wall_steps, vary_num_walls=True).level_space.designer
    observation, _ = designer.reset(KEY, designer.empty())
    assert allowed(observation) == [*range(most + 1)]


@pytest.mark.parametrize("chosen", [0, 1, 3])
def test_as_many_distinct_walls_as_chosen(chosen):
    designer = world(3, 3, num_wall_steps=3, vary_num_walls=True, replace_walls=False).level_space.designer
    observation, state = designer.reset(KEY, designer.empty())
    observation, state = designer.build(KEY, state, number(chosen))
    for _ in range(3):
        observation, state = designer.build(KEY, state, number(allowed(observation)[-1]))
    assert int(bitboard.count(state.level.walls)) == chosen


# -- what building starts from ----------------------------------------------------------------------------------------


def test_empty_level_is_valid_whatever_the_size():
    for height, width in ((1, 2), (2, 1), (1, 7), (9, 1), (13, 13)):
        space = world(height, width).level_space
        space.check(space.designer.empty())
    assert space.to_text(space.designer.empty()).splitlines()[:2] == ["G" + "." * 12, ".>" + "." * 11]


@pytest.mark.parametrize(
    ("options", "actions", "text"),
    [
        ({"num_wall_steps": 1}, [0, 5, 1], "#.#\n#.G"),
        ({"order": "goal_first", "num_wall_steps": 1}, [5, 3, 1, 2], ".^.\n#.G"),
    ],
)
def test_walls_of_a_given_level_are_kept_and_the_rest_placed_anew(options, actions, text):
    space = world(2, 3, **options).level_space
    observations, states = play(space.designer, actions, space.from_text("G.#\n#>."))
    # Neither goal nor agent of the given level is shown.
    assert observations[0]["image"].tolist() == [[0, 0, 1], [1, 0, 0]]
    drawn = space.to_text(space.designer.level_of(states[-1]))
    assert drawn[:1] + "." + drawn[2:] == text[:1] + "." + text[2:]
    assert drawn[1] in ("^" if "order" in options else "<>^v")


def test_given_walls_that_leave_no_cell_are_rebuilt():
    space = world(1, 5, num_wall_steps=4, replace_walls=False).level_space
    observations, states = play(space.designer, [1, 4, 2, 0, 2, 3], space.from_text("#G>#."))
    assert [allowed(each) for each in observations[:4]] == [[1, 2, 4], [2, 4], [2], [0]]
    assert int(bitboard.count(states[4].level.walls)) == 5
    assert space.to_text(space.designer.level_of(states[-1])).replace("G", ".")[:3] == "##."


def test_unchosen_direction_is_uniform_and_fixed_for_a_design():
    designer = world(3, 3, num_wall_steps=2).level_space.designer
    steps, _, state = designs.random_designs(designer, KEY, 4000, designer.empty())
    directions = np.asarray(steps["level"].agent_direction)
    assert (directions == np.asarray(state.level.agent_direction)[:, None]).all()
    # 1000 ± 27 of each
    assert all(abs(np.sum(directions[:, 0] == d) - 1000) < 140 for d in range(4))


# -- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["goal_last", "goal_first", "edits"])
def test_trap_07_noise_is_uniform_and_fresh_at_every_step_or_held(order):
    for noise in ("resampled", "held"):
        designer = world(3, 3, order=order, num_wall_steps=4, noise=noise, noise_size=5).level_space.designer
        steps, last, _ = designs.random_designs(designer, KEY, 1000, designer.empty())
        seen = np.concatenate([steps["observation"]["noise"], last["noise"][:, None]], axis=1)
        assert seen.shape == (1000, designer.max_steps + 1, 5)
        changes = seen[:, 1:] != seen[:, :-1]
        assert changes.all() if noise == "resampled" else not changes.any()
        for t in range(designer.max_steps + 1):
            # Mean 1/2, variance 1/12, standard error of 5000: 0.004; no two numbers are one.
            assert abs(seen[:, t].mean() - 1 / 2) < 0.025
            assert abs(seen[:, t].var() - 1 / 12) < 0.01
            assert len(np.unique(seen[:, t])) > 4990


def test_noise_has_the_size_that_is_asked_for_or_is_left_out():
    designer = world(3, 3).level_space.designer
    assert designer.observation_space.spaces["noise"].shape == (16,)
    silent = dataclasses.replace(designer, options=MazeDesign(noise_size=0))
    observation, _ = silent.reset(KEY, silent.empty())
    assert list(observation) == list(silent.observation_space.spaces) == ["image", "time", "mask"]


# -- televisions ------------------------------------------------------------------------------------------------------


def test_television_is_chosen_in_the_last_two_steps():
    space = world(2, 2, True, num_wall_steps=1).level_space
    designer = space.designer
    assert designer.max_steps == 5
    observations, states = play(designer, [3, 0, 1, 1, 2])
    assert [allowed(each) for each in observations[3:5]] == [[0, 1], [2]]
    assert observations[5]["image"].tolist() == [[GOAL, AGENT], [tiles.TELEVISION, WALL]]
    assert space.to_text(designer.level_of(states[-1]))[3:] == "T#"
    # None wanted: one action, which places nothing.
    observations, states = play(designer, [3, 0, 1, 0, 0])
    assert allowed(observations[4]) == [0]
    assert not bool(designer.level_of(states[-1]).has_television)
    # No cell left: it cannot be wanted.
    space = world(1, 2, True, num_wall_steps=0).level_space
    observations, states = play(space.designer, [1, 0, 0, 0])
    assert [allowed(each) for each in observations[2:4]] == [[0], [0]]
    space.check(space.designer.level_of(states[-1]))


def test_given_television_is_kept_by_edits_and_dropped_by_the_other_orders():
    space = world(2, 3, True, order="edits", num_wall_steps=1).level_space
    given = space.from_text("#^.\nTG.")
    observations, states = play(space.designer, [2], given)
    assert allowed(observations[0]) == [0, 2, 5]
    assert observations[0]["image"].tolist() == [[1, 4, 0], [5, 2, 0]]
    assert space.to_text(space.designer.level_of(states[-1])) == "#^#\nTG."
    for options in ({}, {"order": "goal_first"}):
        _, state = world(2, 3, True, **options).level_space.designer.reset(KEY, given)
        assert not bool(state.level.has_television)
    # A level of a suite or of a world without televisions will do.
    _, state = space.designer.reset(KEY, given.replace(television=None))
    chex.assert_trees_all_equal_shapes_and_dtypes(state.level, given)


# -- options ----------------------------------------------------------------------------------------------------------


def test_spaces():
    designer = Maze().level_space.designer
    assert isinstance(designer, Designer)
    assert designer.max_steps == 62
    assert designer.action_space.n == 169
    spaces = designer.observation_space.spaces
    assert list(spaces) == ["image", "time", "noise", "mask"]
    assert spaces["image"].shape == (13, 13)
    assert spaces["time"].n == 63
    assert spaces["mask"].n == 169
    bordered = Maze(design=MazeDesign(border=True)).level_space.designer
    assert bordered.observation_space.spaces["image"].shape == (15, 15)
    assert hash(designer) == hash(Maze().level_space.designer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "paired"}, "unknown design.order 'paired'; known: edits, goal_first, goal_last"),
        ({"noise": "hold"}, "unknown design.noise 'hold' (did you mean 'held'?); known: held, resampled"),
        (
            {"order": "goal_first", "replace_walls": False},
            "design.replace_walls is False with order 'goal_first'; allowed: only with 'goal_last'",
        ),
        (
            {"order": "edits", "vary_num_walls": True},
            "design.vary_num_walls is True with order 'edits'; allowed: only with 'goal_last'",
        ),
        (
            {"order": "goal_first", "choose_direction": True},
            "design.choose_direction is True with order 'goal_first'; allowed: only with 'goal_last'",
        ),
        ({"num_wall_steps": -1}, "design.num_wall_steps is -1; allowed with order 'goal_last': at least 0"),
        (
            {"num_wall_steps": 0, "order": "edits"},
            "design.num_wall_steps is 0; allowed with order 'edits': at least 1",
        ),
        (
            {"num_wall_steps": 0, "vary_num_walls": True},
            "design.num_wall_steps is 0; allowed with vary_num_walls: at least 1",
        ),
        ({"noise_size": -1}, "design.noise_size is -1; allowed: at least 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError) as error:
        MazeDesign(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("height", "width", "noisy_tv", "options", "message"),
    [
        (
            5,
            5,
            False,
            {"num_wall_steps": 26, "replace_walls": False},
            "design.num_wall_steps is 26: step 26 of a design would have no cell left;"
            " allowed in a 5x5 maze without replace_walls: 0 to 25",
        ),
        (
            1,
            3,
            False,
            {"order": "goal_first"},
            "design.order is 'goal_first': step 2 of a design chooses one of 4 directions, and there are 3 actions;"
            " allowed in a 1x3 maze: 'goal_last' or 'edits'",
        ),
        (
            3,
            1,
            False,
            {"choose_direction": True, "num_wall_steps": 4},
            "design.choose_direction is True: step 7 of a design chooses one of 4 directions, and there are 3 actions;"
            " allowed in a 3x1 maze: False",
        ),
        (
            1,
            2,
            False,
            {"order": "edits"},
            "design.order is 'edits': step 1 of a design would have no cell left beside goal and agent;"
            " allowed in a 1x2 maze: 'goal_last'",
        ),
        (
            1,
            3,
            True,
            {"order": "edits"},
            "design.order is 'edits': step 1 of a design would have no cell left beside goal and agent and television;"
            " allowed in a 1x3 maze: 'goal_last'",
        ),
    ],
)
def test_a_design_that_would_run_out_of_choices_is_refused(height, width, noisy_tv, options, message):
    with pytest.raises(UserError) as error:
        world(height, width, noisy_tv, **options)
    assert str(error.value) == message


def test_the_largest_that_fits_is_allowed():
    world(5, 5, num_wall_steps=25, replace_walls=False)
    world(5, 5, num_wall_steps=26, replace_walls=False, vary_num_walls=True)
    world(2, 2, order="goal_first")
    world(1, 3, order="edits")
    world(1, 4, True, order="edits")


@pytest.mark.parametrize("capability", ["designer", "parameters"])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"holdout": 10}, "env.levels.holdout is 10"),
        ({"solvable_only": True}, "env.levels.solvable_only is True"),
        ({"holdout": 9, "solvable_only": True}, "env.levels.holdout is 9 and env.levels.solvable_only is True"),
    ],
)
def test_levels_cannot_be_kept_from_a_teacher_that_makes_them(capability, options, named):
    space = Maze(levels=MazeLevels(**options)).level_space
    with pytest.raises(UserError) as error:
        getattr(space, capability)
    value = " and ".join(str(type(each)(0)) for each in options.values())
    assert str(error.value) == (
        f"{named}; allowed with a teacher that uses `{capability}`: {value},"
        " because it can make any level, and none can be kept from it"
    )


def test_options_are_options_of_the_command_line():
    config = load_config("quick", ["--env.design.order", "goal_first", "--env.design.noise-size", "3"])
    assert isinstance(config.env, Maze)
    assert config.env.design == MazeDesign(order="goal_first", noise_size=3)
    with pytest.raises(UserError, match=r"env\.design\.noise_size is -3; allowed: at least 0"):
        load_config("quick", ["--env.design.noise-size", "-3"])
