"""What is seen in the tasks of hide and seek, which levels there are, bad options. Letters: ``N`` agents, ``T`` steps."""

import dataclasses
import operator
import tomllib
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hide_and_seek_scripts import (
    EAST,
    LOCK,
    LOCK_LEVEL,
    NORTH,
    PRINT,
    SEQUENCE,
    SHELTER,
    SOUTH,
    TASKS,
    WEST,
    _play,
    all_tasks,
    arena,
    blueprint_level,
    play,
    sampled,
    shelter_level,
    watch,
)

from minied.errors import UserError
from minied.spaces import Entities
from minied_envs.grid import bitboard
from minied_envs.grid.moves import STEPS
from minied_envs.hide_and_seek import HideAndSeek, drawing
from minied_envs.hide_and_seek.level import SINGLE, WIDE, is_valid, make_level
from minied_envs.hide_and_seek.tasks import Blueprint, LockAndReturn, ObjectCounting, SequentialLock, Shelter
from minied_envs.hide_and_seek.tasks.base import TaskState
from minied_envs.hide_and_seek.tasks.blueprint import BlueprintLevel
from minied_envs.hide_and_seek.tasks.sequential_lock import SequentialLockLevel

# -- what is seen ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_hiders": 3, "max_seekers": 1, "lidar": 12, "lidar_reach": 4, "field_of_view": 90.0, "max_ramps": 4},
        {"observation": "egocentric", "view_size": 5, "lidar": 0},
    ],
    ids=["default", "others", "picture"],
)
@all_tasks
def test_the_space_is_that_of_hide_and_seek_and_goals_of_their_own(name, options):
    task = TASKS[name](**options)
    shared = {field.name for field in dataclasses.fields(HideAndSeek)} & {f.name for f in dataclasses.fields(task)}
    game = HideAndSeek(**{option: getattr(task, option) for option in shared})
    own, theirs = task.observation_space, game.observation_space
    assert own.parts[: len(theirs.parts)] == theirs.parts
    assert own.privileged == theirs.privileged
    goals = own.parts[len(theirs.parts) :]
    # As entities: a further vector would change the shape of what reads all the others.
    assert all(isinstance(space, Entities) for _, space in goals)
    assert not {each for each, _ in goals} & set(theirs.spaces)
    assert task.action_space == game.action_space
    assert task.num_agents == 1


@pytest.mark.parametrize("observation", ["entities", pytest.param("egocentric", marks=pytest.mark.slow)])
def test_the_agent_sees_and_does_what_a_hider_alone_does_in_hide_and_seek(observation):
    size = {"height": 7, "width": 8, "max_steps": 60, "observation": observation, "view_size": 5}
    task = Blueprint(max_boxes=3, boxes=3, max_ramps=2, max_sites=1, **size)
    room = {"max_hiders": 2, "max_seekers": 2, "max_boxes": 3, "max_ramps": 2}
    game = HideAndSeek(**size, **room)
    low, boxes = np.zeros((7, 8), bool), [(2, 4, SINGLE), (4, 3, WIDE), (0, 0, SINGLE)]
    low[5, 1] = True
    arguments = (boxes, [(3, 6, NORTH)], np.zeros_like(low), low)
    alone, crowd = (
        jax.tree.map(jnp.asarray, make_level([(3, 3, EAST)], [], *arguments, each, has_preparation=False))
        for each in ((1, 1, 3, 2), (2, 2, 3, 2))
    )
    level = BlueprintLevel(alone, jnp.array([[6, 6]], jnp.int32), jnp.ones(1, bool))
    actions = jax.random.randint(jax.random.key(3), (60,), 0, 20)
    (first, _), (seen, states, *_) = _play(task, level, actions)

    def step(state, action):
        observation, state, *_ = game.step(jax.random.key(0), state, jnp.full(4, action), crowd)
        return state, (observation, state)

    @jax.jit
    def play_the_game():
        start, state = game.reset(jax.random.key(0), crowd)
        return start, jax.lax.scan(step, state, actions)[1]

    start, (told, expected) = play_the_game()
    assert np.ptp(np.asarray(states.arena.positions)[:, 0], axis=0).min() >= 2  # it went about
    for field in ("object_positions", "locked_by", "time"):
        np.testing.assert_array_equal(getattr(states.arena, field), getattr(expected, field))
    for field in ("positions", "elevated", "holding"):
        np.testing.assert_array_equal(getattr(states.arena, field)[:, 0], getattr(expected, field)[:, 0])
    for mine, theirs in ((first, jax.tree.map(lambda leaf: leaf[0], start)), (seen, _of_agent(told))):
        for name in theirs:
            if name == "agents":  # of those who are not there features may be anything
                mine[name].pop("features"), theirs[name].pop("features")
                assert not np.asarray(mine[name]["present"]).any()
            jax.tree.map(np.testing.assert_array_equal, mine[name], theirs[name])


def _of_agent(observations):
    return jax.tree.map(lambda leaf: leaf[:, 0], observations)


def test_goals_are_seen_from_the_agent():
    first, (seen, *_) = watch(LOCK, LOCK_LEVEL, "E S")
    assert first["start"]["features"].tolist() == [[0, 0]]
    # From (3, 2) the start (2, 1) is a row up and a column west, in parts of the larger side, 7.
    np.testing.assert_allclose(seen["start"]["features"][-1], [[-1 / 7, -1 / 7]], rtol=1e-6)
    assert seen["start"]["visible"].all()

    _, (seen, *_) = watch(PRINT, blueprint_level([(2, 2), (4, 5)]), "gE")
    # From (2, 1), the box on the first site: covered. Parts of 6.
    np.testing.assert_allclose(seen["sites"]["features"][-1], [[0, 1 / 6, 1], [2 / 6, 4 / 6, 0]], rtol=1e-6)
    first, _ = watch(PRINT, blueprint_level([(2, 2)]))
    assert first["sites"]["visible"].tolist() == first["sites"]["present"].tolist() == [True, False]

    first, _ = watch(SHELTER, shelter_level([]))
    # The middle (2.5, 3.5) from (5, 7), and two cells a side, in parts of 8.
    np.testing.assert_allclose(first["pillar"]["features"], [[-2.5 / 8, -3.5 / 8, 2 / 8]], rtol=1e-6)


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_states_are_the_same_to_who_counts_if_boxes_are_in_the_same_cells():
    def novelty(boxes, text=".", agent=(2, 1, EAST)):
        return play(PRINT, blueprint_level([(4, 5)], agent, boxes), text)[3]["novelty"].tolist()

    one, other, third = (2, 2, SINGLE), (0, 5, SINGLE), (4, 0, SINGLE)
    assert novelty((one, other)) == novelty((other, one)) == novelty((one, other), agent=(0, 0, WEST))
    assert novelty((one, other)) == novelty((one, other), "lS lE")  # what the agent does besides does not count
    assert novelty((one, other)) != novelty((one, third))
    assert novelty((one, other)) != novelty((one, other, third))
    assert novelty((one, other), "gE") == novelty(((2, 3, SINGLE), other)) != novelty((one, other))
    assert novelty((one, other), "gE gW") == novelty((one, other))


# -- levels ------------------------------------------------------------------------------------------------------------


NUMBERS = {"lock_and_return": (1, 0), "sequential_lock": (4, 3), "blueprint": (8, 0), "shelter": (8, 0)}


@pytest.mark.parametrize("name", NUMBERS)
def test_drawn_levels_are_valid_and_have_all_that_they_should(name):
    task = TASKS[name]()
    levels = sampled(task)
    assert np.asarray(jax.jit(jax.vmap(lambda level: is_valid(level.arena, task.height, task.width)))(levels)).all()
    assert np.asarray(levels.arena.agent_present).tolist() == [[True, False]] * 1000
    boxes, ramps = NUMBERS[name]
    assert (np.asarray(levels.arena.box_present).sum(axis=1) == boxes).all()
    assert (np.asarray(levels.arena.ramp_present).sum(axis=1) == ramps).all()
    assert not np.asarray(levels.arena.has_preparation).any()
    assert len({leaf.tobytes() for leaf in np.asarray(levels.arena.agent_positions)}) > 30


def test_blueprint_levels_have_sites_apart_without_boxes():
    levels = sampled(Blueprint())
    number = np.asarray(levels.site_present).sum(axis=1)
    # 250 of each, with a standard deviation of sqrt(1000 · 3/16) = 14
    assert np.bincount(number, minlength=5)[1:] == pytest.approx([250] * 4, abs=60)
    each = map(np.asarray, (levels.sites, levels.site_present, levels.arena.box_positions))
    for sites, present, boxes in zip(*each, strict=True):
        cells = {tuple(site) for site in sites[present].tolist()}
        assert len(cells) == present.sum()
        assert not cells & {tuple(box) for box in boxes.tolist()}
        assert not sites[~present].any()


def test_shelter_levels_have_a_pillar_with_room_around():
    task = Shelter()
    levels = sampled(task)
    pillars = np.asarray(jax.vmap(lambda board: bitboard.unpack(board, 9))(levels.pillar))
    assert (pillars.sum(axis=(1, 2)) == 4).all()
    assert pillars.any(axis=0).tolist() == [[2 <= row < 7 and 2 <= col < 7 for col in range(9)] for row in range(9)]
    np.testing.assert_array_equal(levels.pillar, levels.arena.low)
    assert (np.asarray(levels.arena.box_shapes != SINGLE).sum(axis=1) == 3).all()


def test_sequential_levels_have_three_rooms_each_with_a_ramp_that_leads_to_a_wall():
    levels = jax.tree.map(np.asarray, sampled(SequentialLock(), 300))
    assert {tuple(turns) for turns in levels.turns.tolist()} > {(0, 1, 2, 3), (3, 2, 1, 0)}
    assert (np.sort(levels.turns) == np.arange(4)).all()
    for i in range(300):
        level = jax.tree.map(lambda leaf, i=i: leaf[i], levels.arena)
        low = np.asarray(bitboard.unpack(jnp.asarray(level.low), 9))
        rooms = _rooms(~low)
        assert len(rooms) == 3
        assert not level.tall.any()
        at = [
            next(k for k, room in enumerate(rooms) if tuple(place) in room) for place in level.ramp_positions.tolist()
        ]
        assert sorted(at) == [0, 1, 2]
        for room, direction in zip(at, level.ramp_directions.tolist(), strict=True):
            down, right = STEPS[direction]
            assert any(_is_low(low, row + down, col + right) for row, col in rooms[room])
        # Whoever is on top of a wall comes to every room: the walls are of one piece.
        assert len(_rooms(low)) == 1


def _is_low(low, row, col):
    return 0 <= row < low.shape[0] and 0 <= col < low.shape[1] and low[row, col]


def _rooms(free):
    """The parts of a map, each a set of cells."""
    left = {tuple(cell) for cell in np.argwhere(free).tolist()}
    rooms = []
    while left:
        room, reached = set(), {next(iter(left))}
        while reached:
            room |= reached
            reached = {(r + d, c + e) for r, c in reached for d, e in STEPS} & left - room
        rooms.append(room)
        left -= room
    return rooms


def test_in_a_sequential_level_a_ramp_leads_over_the_wall():
    # The agent at (0, 3) climbs the ramp at (1, 3), which rises south to the wall of row 2, and lands beyond it.
    level = arena(SEQUENCE, (0, 3, SOUTH), [(6, 6, SINGLE)], [(1, 3, SOUTH)], low=[(2, col) for col in range(7)])
    states = watch(SEQUENCE, SequentialLockLevel(level, jnp.arange(3)), "S S S")[1][1]
    assert np.asarray(states.arena.positions)[:, 0].tolist() == [[1, 3], [2, 3], [3, 3]]
    assert np.asarray(states.arena.elevated)[:, 0].tolist() == [True, True, False]


@all_tasks
def test_the_suite_is_the_same_at_every_call_and_levels_are_described(name):
    space = TASKS[name]().level_space
    (one,), (other,) = space.suite("held_out"), space.suite("held_out")
    assert jax.tree.all(jax.tree.map(np.array_equal, one.levels, other.levels))
    assert len(one.names) == 32
    assert list(one.names) == sorted(one.names)
    prints = jax.jit(jax.vmap(space.fingerprint))(jax.tree.map(jnp.asarray, one.levels))
    assert len({tuple(each) for each in np.asarray(prints).tolist()}) == 32
    features = jax.jit(space.describe)(jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), one.levels))
    assert all(np.isfinite(value) and value.shape == () for value in features.values())
    with pytest.raises(UserError, match="unknown suite 'all'"):
        space.suite("all")


@all_tasks
def test_pictures_show_the_goal_and_what_has_changed(name):
    task = TASKS[name]()
    level = jax.tree.map(lambda leaf: leaf[0], task.level_space.suite("held_out")[0].levels)
    picture = task.level_space.draw(level)
    number = {"lock_and_return": 1, "blueprint": int(np.sum(getattr(level, "site_present", 0))), "shelter": 4}.get(
        name, 0
    )
    assert len(task.marks(level)) == number
    assert np.any(np.all(picture == drawing.MARK, axis=-1)) == (number > 0)
    arena = jax.tree.map(np.asarray, task.start(jax.tree.map(jnp.asarray, level)).arena)
    moved = np.array(arena.object_positions)
    moved[0] = [task.height - 1, 0]  # where at most the first box may be
    after = TaskState(arena.replace(object_positions=moved, time=np.int32(3)))
    assert not np.array_equal(task.level_space.draw(level, after), picture)


def test_blueprints_are_reported_by_their_number_of_sites():
    assert set(Blueprint().level_space.suite("held_out")[0].names) == {"1 site", "2 sites", "3 sites", "4 sites"}


@all_tasks
def test_a_random_episode_keeps_to_its_spaces(name):
    task = TASKS[name]()
    level = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), task.level_space.suite("held_out")[0].levels)
    (first, _), (seen, _, rewards, *_) = _play(task, level, jax.random.randint(jax.random.key(1), (20,), 0, 20))
    observations = [first, *(jax.tree.map(lambda leaf, i=i: leaf[i], seen) for i in range(20))]
    assert all(task.observation_space.contains(jax.tree.map(np.asarray, each)) for each in observations)
    assert np.isfinite(rewards).all()


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (LockAndReturn, {"height": 3}, "height is 3; allowed: 4 to 20"),
        (LockAndReturn, {"lidar": 2}, "lidar is 2; allowed: 0, or 4 to 64"),
        (LockAndReturn, {"max_hiders": 4}, "max_hiders is 4; allowed: 1 to 3"),
        (LockAndReturn, {"max_boxes": 0}, "max_boxes is 0; allowed: at least 1"),
        (LockAndReturn, {"rooms": 10}, "rooms is 10; allowed: 1 to 9"),
        (LockAndReturn, {"min_room_side": 1}, "min_room_side is 1; allowed: at least 2, a door"),
        (SequentialLock, {"boxes": 5}, "boxes is 5; allowed: 1 to 4 (max_boxes)"),
        (SequentialLock, {"max_ramps": 2}, "max_ramps is 2; allowed: at least 3, one a room"),
        (SequentialLock, {"width": 6}, "width is 6; allowed: at least 7, two rooms and a wall"),
        (Blueprint, {"boxes": 0}, "boxes is 0; allowed: 1 to 8 (max_boxes)"),
        (
            Blueprint,
            {"min_sites": 3, "max_sites": 2},
            "min_sites and max_sites are 3 and 2; allowed: 1 to 4 (boxes), the first not above the second",
        ),
        (
            Blueprint,
            {"boxes": 2, "max_sites": 3},
            "min_sites and max_sites are 1 and 3; allowed: 1 to 2 (boxes), the first not above the second",
        ),
        (Shelter, {"long": 9}, "long is 9; allowed: 0 to 8 (boxes)"),
        (Shelter, {"pillar": 6}, "pillar is 6; allowed: 1 to 5, so that boxes fit around it"),
        (ObjectCounting, {"height": 12}, "height is 12; allowed: at least 13, two a box and one"),
        (ObjectCounting, {"width": 6}, "width is 6; allowed: at least 7"),
        (
            ObjectCounting,
            {"max_steps": 10},
            "max_steps is 10; allowed: at least 11, so that all boxes are at the border",
        ),
    ],
)
def test_bad_options(task, options, message):
    with pytest.raises(UserError) as error:
        task(**options)
    assert str(error.value) == message


def test_every_task_is_registered():
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    entries = pyproject["project"]["entry-points"]["minied.envs"]
    for name, task in TASKS.items():
        module, _, attribute = entries[name].partition(":")
        assert operator.attrgetter(attribute)(import_module(module)) is task
