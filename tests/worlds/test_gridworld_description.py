"""Descriptions of levels: what they mean, what they refuse, and that one can be trained on."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.config import load_config
from minied.errors import UserError
from minied_envs.gridworld import DescribedLevels, GridLevels, GridWorld, codes, described, missions, reach
from minied_envs.gridworld.description_file import from_text
from minied_envs.gridworld.level import is_valid

TWO_ROOMS = """
map: |
  . . . # . . .
  . . . # . . G
  . . . # . . .
choices:
  lock: [red, blue]
regions:
  left: {top: 0, left: 0, height: 3, width: 3}
  right: {top: 0, left: 4, height: 3, width: 3}
  between: {top: 0, left: 3, height: 3, width: 1}
placements:
  - {put: locked lock door, region: between, replaces: wall}
  - {put: lock key, region: left}
  - {put: any ball, region: right, count: 3, probability: 0.5}
  - {put: grey box with green key, region: right}
agent: {region: left, facing: east}
mission: get to the goal
max_steps: 90
"""


def levels_of(text, number=200, seed=0):
    family = DescribedLevels(from_text(text))
    levels = jax.jit(jax.vmap(family.draw))(jax.random.split(jax.random.key(seed), number))
    return family, jax.tree.map(np.asarray, levels)


def test_things_are_where_and_what_the_description_says():
    family, levels = levels_of(TWO_ROOMS)
    assert family.size == (3, 7)
    assert np.all(levels.max_steps == 90)
    assert np.all(levels.mission == missions.REACH_GOAL)
    assert np.all(levels.agent_direction == 0)
    assert np.all(levels.agent_position[:, 1] < 3)
    assert bool(jax.vmap(is_valid)(levels).all())
    assert bool(jax.vmap(reach.is_solvable)(levels).all())
    cells = levels.cells
    doors = (cells >= codes.LOCKED_DOOR) & (cells < codes.KEY)
    keys = (cells >= codes.KEY) & (cells < codes.BALL)
    assert np.all(doors[:, :, 3].sum(axis=1) == 1)
    assert np.all(doors.sum(axis=(1, 2)) == 1)
    assert np.all(keys[:, :, :3].sum(axis=(1, 2)) == 1)
    np.testing.assert_array_equal(cells[keys] - codes.KEY, cells[doors] - codes.LOCKED_DOOR)
    assert set((cells[keys] - codes.KEY).tolist()) == {0, 2}
    balls = (cells >= codes.BALL) & (cells < codes.BOX)
    assert np.all(balls[:, :, :4] == 0)
    assert set(balls.sum(axis=(1, 2)).tolist()) == {0, 1, 2, 3}
    # 600 tosses of a fair coin: 300 ± 12
    assert abs(int(balls.sum()) - 300) < 60
    assert len(set(cells[balls].tolist())) == 6
    assert np.all((cells == codes.filled(codes.BOX + 5, codes.KEY + 1)).sum(axis=(1, 2)) == 1)


def test_cells_and_poses_are_uniform():
    _, levels = levels_of("map: |\n  . . .\n  . . G\nplacements: [{put: red key}]\nagent: {clear_front: true}", 4000)
    places = np.argwhere(levels.cells == codes.KEY)[:, 1:]
    counts = np.array([np.sum((places == cell).all(axis=1)) for cell in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))])
    # 4000 / 5 = 800 ± 25
    assert np.all(np.abs(counts - 800) < 130)
    in_front = levels.agent_position.astype(int) + np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[levels.agent_direction]
    for cells, (row, col) in zip(levels.cells, in_front, strict=True):
        inside = 0 <= row < 2 and 0 <= col < 3
        assert not inside or cells[row, col] == codes.EMPTY


def test_the_agent_can_be_drawn_and_nothing_is_put_there():
    _, levels = levels_of("map: |\n  . v G\nplacements: [{put: wall}]", 20)
    assert np.all(levels.agent_position == [0, 1])
    assert np.all(levels.agent_direction == 1)
    assert np.all(levels.cells == [codes.WALL, codes.EMPTY, codes.GOAL])


def test_missions_take_the_colour_of_a_choice():
    text = "map: |\n  . . . .\nchoices: {c: any}\nplacements: [{put: c ball}]\nmission: pick up the c ball"
    _, levels = levels_of(text)
    balls = levels.cells[levels.cells >= codes.KEY]
    np.testing.assert_array_equal(levels.mission, missions.PICK_UP + balls.astype(int) - codes.KEY)
    assert len(set(balls.tolist())) == 6


def test_levels_are_chosen_by_colours_and_probabilities():
    family = DescribedLevels(from_text(TWO_ROOMS))
    assert [part.name for part in family.parts] == ["lock", "probability_3"]
    keys = jax.random.split(jax.random.key(0), 32)
    for lock, chance, number in ((0, 1.0, 3), (1, 0.0, 0)):
        values = jnp.asarray([lock, chance], jnp.float32)
        cells = np.asarray(jax.jit(jax.vmap(family.level, in_axes=(0, None)))(keys, values).cells)
        assert np.all((cells == codes.LOCKED_DOOR + 2 * lock).sum(axis=(1, 2)) == 1)
        assert np.all(((cells >= codes.BALL) & (cells < codes.BOX)).sum(axis=(1, 2)) == number)


def test_jit_equals_eager_and_vmap_a_loop():
    family = DescribedLevels(from_text(TWO_ROOMS))
    keys = jax.random.split(jax.random.key(3), 3)
    batched = jax.jit(jax.vmap(family.draw))(keys)
    for i in range(3):
        chex.assert_trees_all_equal(jax.tree.map(lambda leaf, i=i: leaf[i], batched), family.draw(keys[i]))


MAP = "map: |\n  . . . #\n  . . . G\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            MAP
            + "regions: {top: {top: 0, left: 0, height: 1, width: 3}}\nplacements: [{put: red key, region: top, count: 4}]",
            "placement 1 (red key) puts 4 on floor of region 'top'; allowed: 3, as things put before may leave no",
        ),
        (
            MAP + "placements: [{put: lava, count: 4}, {put: any key, count: 3, probability: 0.1}]",
            "placement 2 (any key) puts 3 on floor of region 'everywhere'; allowed: 2",
        ),
        (
            MAP + "placements: [{put: locked red door, replaces: wall, count: 2}]",
            "placement 1 (locked red door) puts 2 on wall of region 'everywhere'; allowed: 1",
        ),
        (MAP + "placements: [{put: lava, count: 6}]", "the agent begins in region 'everywhere', where the 6 things"),
        (
            "map: |\n  > . #\nplacements: [{put: goal, count: 2}]",
            "placement 1 (goal) puts 2 on floor of region 'everywhere'; allowed: 1",
        ),
        (
            MAP + "regions: {far: {top: 1, left: 2, height: 2, width: 1}}",
            "region 'far' has a rectangle of 2x1 cells from row 1, column 2 on; allowed: within the map of 2x4",
        ),
        (MAP + "placements: [{put: red key, region: lft}]", "unknown region 'lft'"),
        (MAP + "agent: {region: lft}", "unknown region 'lft'"),
        (MAP + "placements: [{put: red apple}]", "placement 1 is 'red apple'; allowed: such as goal, lava"),
        (MAP + "placements: [{put: pink key}]", "placement 1: unknown colour 'pink'"),
        (MAP + "placements: [{put: red key, count: 0}]", "placement 1 (red key): count is 0; allowed: at least 1"),
        (
            MAP + "placements: [{put: lava, probability: 1.5}]",
            "placement 1 (lava): probability is 1.5; allowed: (0, 1]",
        ),
        (
            MAP + "placements: [{put: lava, replaces: sea}]",
            "placement 1 (lava): replaces is 'sea'; allowed: floor, wall",
        ),
        (MAP + "placements: [{region: left}]", "placement 1 does not say what to put"),
        (MAP + "placements: [{put: lava, nmber: 2}]", "placement 1: unknown key 'nmber'"),
        (MAP + "placements: {put: lava}", "placements is {'put': 'lava'}; allowed: a list"),
        (MAP + "agent: {facing: up}", "agent: facing is 'up'; allowed: any, east, south, west, north"),
        (MAP + "agent: {clear_front: 1}", "agent: clear_front is 1; allowed: true or false"),
        (MAP + "mission: dance", "mission is 'dance'; allowed: such as 'get to the goal'"),
        (MAP + "mission: open the any door", "mission is 'open the any door'; allowed: one colour"),
        (
            MAP + "placements: [{put: red ball, probability: 0.5}]\nmission: pick up the red ball",
            "mission is 'pick up the red ball', but that may not be there",
        ),
        ("map: |\n  . . .", "mission is 'get to the goal', but that may not be there"),
        (MAP + "choices: {red: any}", "a choice is named 'red'; allowed: a word that means nothing else"),
        (MAP + "choices: {lock: [pink]}", "unknown colour 'pink'"),
        (MAP + "max_steps: 0", "max_steps is 0; allowed: 1 to 16777215"),
        (MAP + "max_steps: many", "the description: max_steps is 'many'; allowed: a whole number"),
        (MAP + "mapp: 1", "the description: unknown key 'mapp' (did you mean 'map'?)"),
        ("max_steps: 3\n", "the description has no map"),
        ("map: |\n  . ? .", "unknown cell '?' at line 1, column 3"),
        ("map: |\n  . .\n  .", "line 2 of the level has 1 cells; line 1 has 2"),
        ("map: |\n  > < G", "map shows more than one agent"),
        ("map: 3\n", "the description: map is 3; allowed: words"),
        (
            MAP + "placements: [{put: red ball, count: 200000000}]",
            "placement 1 (red ball) puts 200000000 on floor of region 'everywhere'; allowed: ",
        ),
        (
            MAP + "regions: {everywhere: {top: 0, left: 0, height: 1, width: 1}}",
            "a region is named 'everywhere', which is the whole map; allowed: another name",
        ),
        (MAP + "choices: {lock: [red, red, blue]}", "choice 'lock' is red, red, blue; allowed: each colour once"),
        (
            "map: |\n  > . G\nagent: {facing: west}",
            "agent: the map shows where it begins and what it faces; allowed: one of the two, map or agent",
        ),
        ("- 1\n- 2", "the description is [1, 2]; allowed: {map: …"),
        ("map: [", "the description is not valid YAML"),
        (MAP + "max_steps: 3\nmax_steps: 4", "duplicate key 'max_steps' (line "),
        (MAP + "regions: {a: {top: 0, left: 0, height: 1}}", "region 'a' has no width"),
        ("map: !!python/object/apply:os.getcwd []", "the description is not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_description_is_told_in_one_line(text, message):
    with pytest.raises(UserError) as error:
        DescribedLevels(from_text(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_may_take_a_part_of_a_region_leaves_the_rest_of_it():
    # Of the three cells of the row `b` the five balls can take one: two keys surely fit, and a third may not.
    text = "map: |\n  > . . . . .\n  . . . G # #\nregions: {a: {top: 0, left: 0, height: 1, width: 6}, "
    text += "b: [{top: 0, left: 5, height: 1, width: 1}, {top: 1, left: 0, height: 1, width: 2}]}\n"
    text += "placements: [{put: red ball, count: 5, region: a}, {put: red key, count: %d, region: b}]"
    _, levels = levels_of(text % 2, 200)
    assert np.all((levels.cells == codes.KEY).sum(axis=(1, 2)) == 2)
    with pytest.raises(UserError, match=r"placement 2 \(red key\) puts 3 on floor of region 'b'; allowed: 2, as"):
        DescribedLevels(from_text(text % 3))


def test_as_many_as_fit_are_put_whatever_the_order_of_draws():
    text = MAP + "placements: [{put: lava, count: 3}, {put: red key, count: 2}]"
    _, levels = levels_of(text, 300)
    assert np.all((levels.cells == codes.LAVA).sum(axis=(1, 2)) == 3)
    assert np.all((levels.cells == codes.KEY).sum(axis=(1, 2)) == 2)


def test_a_world_draws_from_a_file_and_keeps_its_text(tmp_path):
    path = tmp_path / "rooms.yaml"
    path.write_text(TWO_ROOMS)
    options = GridLevels(description=str(path))
    assert options.description == TWO_ROOMS
    path.unlink()
    env = GridWorld(5, 8, levels=options)
    assert env.max_steps == 90
    level = env.level_space.sample(jax.random.key(0))
    assert level.cells.shape == (5, 8)
    assert np.all(np.asarray(level.cells)[3:] == codes.WALL)
    assert GridLevels(description=options.description) == options
    assert GridLevels(description="map: . G").description == "map: . G"


def test_config_files_and_options_name_a_description(tmp_path):
    path = tmp_path / "rooms.yaml"
    path.write_text(TWO_ROOMS)
    options = ["--env", "minied_envs.gridworld:GridWorld", "--env.height", "3", "--env.width", "7"]
    config = load_config("quick", [*options, "--env.levels.description", str(path)])
    assert config.env.levels.description == TWO_ROOMS
    from minied.config.parsing import config_from_dict

    assert config_from_dict(config.to_dict()).env == config.env


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such.yaml", "levels.description cannot be used: no_such.yaml cannot be read: No such file or directory"),
        (
            "rooms",
            "levels.description cannot be used: 'rooms' is no description; allowed: a file that ends in .yaml or .yml",
        ),
        (
            "map: |\n  . .\n",
            "levels.description cannot be used: mission is 'get to the goal', but that may not be there",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(value, message):
    with pytest.raises(UserError) as error:
        GridLevels(description=value)
    assert str(error.value).startswith(message)
    with pytest.raises(UserError) as error:
        load_config("quick", ["--env", "minied_envs.gridworld:GridWorld", f"--env.levels.description={value}"])
    assert str(error.value).startswith("env." + message)


def test_a_description_must_fit_the_world():
    with pytest.raises(UserError, match=r"height x width is 2x7; allowed with levels\.description: at least 3x7"):
        GridWorld(2, 7, levels=GridLevels(description=TWO_ROOMS))


def test_solvable_only_draws_again():
    text = "map: |\n  > . . . G\nplacements: [{put: wall, probability: 0.5}]"
    space = GridWorld(1, 5, levels=GridLevels(description=text, solvable_only=True)).level_space
    levels = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 100))
    assert bool(jax.vmap(reach.is_solvable)(levels).all())
    assert bool(jax.vmap(is_valid)(levels).all())


def test_a_description_of_which_no_level_can_be_solved_is_refused_where_they_must_be():
    text = "map: |\n  > . # . G"
    GridWorld(1, 5, levels=GridLevels(description=text))
    with pytest.raises(UserError, match=r"of 64 levels of levels\.description none can be solved; allowed: a"):
        GridWorld(1, 5, levels=GridLevels(description=text, solvable_only=True))


def test_families_that_are_described_are_minigrids():
    assert described.unlock().max_steps == 288
    assert described.empty(6, 6, random_start=False).max_steps == 256
    assert [part.name for part in described.unlock().parts] == ["lock", "target"]
