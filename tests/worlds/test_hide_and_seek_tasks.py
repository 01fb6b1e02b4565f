"""The tasks in the world of hide and seek: what each is worth by hand, what is seen, which levels there are, bad options.

Letters: ``N`` agents, ``T`` steps, ``X`` boxes, ``P`` sites.
"""

import dataclasses
import functools
import math
import operator
import tomllib
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.spaces import Entities
from minied_envs.grid import bitboard
from minied_envs.grid.moves import STEPS
from minied_envs.hide_and_seek import HideAndSeek, drawing
from minied_envs.hide_and_seek.level import SINGLE, WIDE, HideAndSeekLevel, is_valid, make_level
from minied_envs.hide_and_seek.rules import NOTHING
from minied_envs.hide_and_seek.tasks import Blueprint, LockAndReturn, ObjectCounting, SequentialLock, Shelter
from minied_envs.hide_and_seek.tasks.base import TaskLevel, TaskState
from minied_envs.hide_and_seek.tasks.blueprint import BlueprintLevel, soft_minimum
from minied_envs.hide_and_seek.tasks.sequential_lock import SequentialLockLevel
from minied_envs.hide_and_seek.tasks.shelter import ShelterLevel

EAST, SOUTH, WEST, NORTH = range(4)
TASKS = {
    "lock_and_return": LockAndReturn,
    "sequential_lock": SequentialLock,
    "blueprint": Blueprint,
    "shelter": Shelter,
    "object_counting": ObjectCounting,
}
all_tasks = pytest.mark.parametrize("name", TASKS)


def arena(task, agent, boxes=(), ramps=(), low=()) -> HideAndSeekLevel:
    """An arena without tall walls: the agent (row, col, direction), boxes (row, col, shape), ramps, low walls (row, col)."""
    walls = np.zeros((task.height, task.width), bool)
    for cell in low:
        walls[cell] = True
    room = (1, 1, task.max_boxes, task.max_ramps)
    level = make_level([agent], [], boxes, ramps, np.zeros_like(walls), walls, room, has_preparation=False)
    return jax.tree.map(jnp.asarray, level)


def encode(text: str) -> list[int]:
    """Actions of tokens as `test_hide_and_seek_ladder` writes them: ``g`` grabs, ``l`` turns a lock, then a move."""
    return [(".ESWN".index(token[-1]) * 2 + ("g" in token)) * 2 + ("l" in token) for token in text.split()]


@functools.partial(jax.jit, static_argnums=0)
def _play(task, level, actions):
    observation, state = task.reset(jax.random.key(0), level)

    def step(state, action):
        observation, state, reward, terminated, truncated, info = task.step(jax.random.key(0), state, action, level)
        return state, (observation, state, reward, terminated, truncated, info)

    return (observation, state), jax.lax.scan(step, state, actions)[1]


STEPS_PLAYED = 12  # always: one compiled program a task


def watch(task, level, text="."):
    """Return the first observation, and what each step of a script gave: observation, state, reward, ends and info."""
    actions = encode(text)
    padded = jnp.asarray(actions + [0] * (STEPS_PLAYED - len(actions)), jnp.int32)
    (first, _), played = _play(task, level, padded)
    return first, jax.tree.map(lambda leaf: np.asarray(leaf)[: len(actions)], played)


def play(task, level, text):
    """Return rewards, which steps terminated, and the last state and info, of an episode's first steps."""
    _, (_, states, rewards, terminated, _, info) = watch(task, level, text)
    last = functools.partial(jax.tree.map, lambda leaf: leaf[-1])
    return rewards, terminated, last(states), last(info)


# -- lock and return ---------------------------------------------------------------------------------------------------

LOCK = LockAndReturn(height=5, width=7, max_steps=12, rooms=1)
# The agent at (2, 1), the box at (2, 4), three cells away.
LOCK_LEVEL = TaskLevel(arena(LOCK, (2, 1, EAST), [(2, 4, SINGLE)]))


def test_lock_and_return_pays_for_locks_for_coming_nearer_and_for_being_back():
    rewards, terminated, state, info = play(LOCK, LOCK_LEVEL, "E E E l. W W . .")
    # The way is 3 cells to the box and 3 back. Two cells nearer to the box: 0.5 each. Into the box: nothing. The lock:
    # 5, and the way is no more 1 + 3 but 2: 1. Back: 1, then 0 cells, 0.5 each; once there, 1 for every step.
    np.testing.assert_allclose(rewards, [0.5, 0.5, 0, 6, 0.5, 1.5, 1, 1])
    assert not terminated.any()
    assert state.progress == 3
    assert info["statistics"] == {"locked": 1, "complete_steps": 3}


def test_lock_and_return_takes_back_what_a_lock_that_is_opened_was_worth():
    rewards, _, _, info = play(LOCK, LOCK_LEVEL, "E E l. W E l. W")
    # Towards the start, the next target, and back to the box: 0.5 for one cell nearer, -0.5 for one farther; the lock
    # opens: -5, and the way is 1 + 3 again and not 2: -1; now a step away from the box costs 0.5.
    np.testing.assert_allclose(rewards, [0.5, 0.5, 6, 0.5, -0.5, -6, -0.5])
    assert info["statistics"] == {"locked": 0, "complete_steps": 0}


@pytest.mark.parametrize("cycle", ["l. lW E", "l. l.", "l. W E l.", "gl. lW gE"])
def test_no_cycle_of_lock_and_return_pays(cycle):
    rewards, _, _, info = play(LOCK, LOCK_LEVEL, f"E E {cycle} {cycle}")
    assert info["statistics"]["complete_steps"] == 0
    # In front of the box after as before it, and the box as open: nothing was won since the two steps of 0.5.
    assert float(np.sum(rewards)) == pytest.approx(1)


def test_lock_and_return_measures_as_the_crow_flies_and_a_box_that_is_dragged_is_no_nearer():
    rewards, _, _, _ = play(LOCK, LOCK_LEVEL, "N E E gE S gW")
    # From (2, 1) to (1, 1): 3 cells before, sqrt(1 + 9) after; then sqrt(1 + 4) at (1, 2), sqrt(2) at (1, 3), sqrt(1 + 0) at
    # (1, 4), above the box; its side is blocked; it faces south and takes hold; both go west: no nearer.
    roots = [3, math.sqrt(10), math.sqrt(5), math.sqrt(2), 1, 1, 1]
    np.testing.assert_allclose(rewards, -0.5 * np.diff(roots), rtol=1e-6)


def test_lock_and_return_a_box_can_be_locked_and_left_in_one_step():
    # 5, and the way was 1 to the box and 3 back, and is 1: 1.5 more.
    rewards, _, _, _ = play(LOCK, LOCK_LEVEL, "E E lW W")
    np.testing.assert_allclose(rewards, [0.5, 0.5, 6.5, 1.5])


def test_lock_and_return_is_truncated_at_its_last_step_and_solved_by_staying():
    _, (_, _, rewards, terminated, truncated, _) = watch(LOCK, LOCK_LEVEL, "E E l. W W . . . . . . .")
    assert truncated.tolist() == [False] * 11 + [True]
    assert not terminated.any()
    # 0.5 + 0.5 + 6 + 0.5 + 1.5 + 7 = 16. Lock and nearness alone: 5 + 0.5 · 2 · sqrt(4² + 6²) = 12.2.
    assert float(rewards.sum()) == 16
    assert LOCK.is_solved(jnp.float32(16))
    assert not LOCK.is_solved(jnp.float32(12.2))


# -- sequential lock ---------------------------------------------------------------------------------------------------

SEQUENCE = SequentialLock(height=7, width=7, max_steps=20, boxes=2, max_boxes=3)
# The agent at (3, 3) between boxes 0 at (3, 4) and 1 at (3, 2), of which 1 has its turn first; no box 2.
SEQUENCE_LEVEL = SequentialLockLevel(
    arena(SEQUENCE, (3, 3, EAST), [(3, 4, SINGLE), (3, 2, SINGLE)], [(6, 0, NORTH), (6, 1, NORTH), (2, 3, EAST)]),
    jnp.array([1, 0, 2], jnp.int32),
)


def test_sequential_lock_closes_in_order_alone():
    rewards, terminated, state, info = play(SEQUENCE, SEQUENCE_LEVEL, "l. W l. E l. . l. l.")
    # Box 0 has not its turn: nothing. Box 1 has: 5, and the way is no more 1 + 2 cells but 1: 1. Then box 0: 5, a way
    # of 1 cell less: 0.5, and all are locked: 1 after every step. Box 0 opens: -5.5, and closes: 5.5 + 1.
    np.testing.assert_allclose(rewards, [0, 0, 6, 0, 6.5, 1, -5.5, 6.5])
    assert not terminated.any()
    assert state.arena.locked_by[:2].tolist() == [0, 0]
    assert info["statistics"] == {"locked": 2, "complete_steps": 3}


def test_sequential_lock_an_earlier_box_that_is_opened_is_next_and_later_ones_stay_closed():
    rewards, _, state, _ = play(SEQUENCE, SEQUENCE_LEVEL, "W l. E l. W l. l.")
    np.testing.assert_allclose(rewards, [0, 6, 0, 6.5, 1, -5.5, 6.5])
    assert state.arena.locked_by[:2].tolist() == [0, 0]


def test_sequential_lock_a_box_out_of_turn_stays_in_hand_and_ramps_have_no_locks():
    # The lock of what is held does nothing, so that it is dragged along: from (3, 4) to (4, 4).
    _, _, state, _ = play(SEQUENCE, SEQUENCE_LEVEL, "g. gl. glS")
    assert state.arena.object_positions[0].tolist() == [4, 4]
    assert state.arena.holding[0] == 0
    # Facing north, the ramp at (2, 3), from its side.
    _, _, state, _ = play(SEQUENCE, SEQUENCE_LEVEL, "N l. gl.")
    assert state.arena.holding[0] == 5
    assert state.arena.locked_by.tolist() == [NOTHING] * 6


def test_sequential_lock_pays_for_coming_nearer_to_the_next_box_in_order():
    level = SEQUENCE_LEVEL.replace(
        arena=arena(SEQUENCE, (3, 3, EAST), [(3, 6, SINGLE), (0, 3, SINGLE)], [(6, 0, 0), (6, 1, 0), (6, 2, 0)])
    )
    rewards, _, _, _ = play(SEQUENCE, level, "N N l. S E")
    # Box 1 at (0, 3) is next: 3, 2, 1 cells away, and sqrt(9 + 9) from box 0 at (3, 6). That is sqrt(4 + 9) from (1, 3),
    # sqrt(1 + 9) from (2, 3), sqrt(1 + 4) from (2, 4).
    lock = 5 + 0.5 * (1 + math.sqrt(18) - math.sqrt(13))
    nearer = [0.5 * (math.sqrt(13) - math.sqrt(10)), 0.5 * (math.sqrt(10) - math.sqrt(5))]
    np.testing.assert_allclose(rewards, [0.5, 0.5, lock, *nearer], rtol=1e-6)


# -- blueprint ---------------------------------------------------------------------------------------------------------

PRINT = Blueprint(height=5, width=6, max_steps=30, max_boxes=3, boxes=2, max_sites=2)


def blueprint_level(sites, agent=(2, 0, EAST), boxes=((2, 1, SINGLE), (0, 5, SINGLE))):
    positions = jnp.array([*sites, (0, 0)][:2], jnp.int32)
    return BlueprintLevel(arena(PRINT, agent, boxes), positions, jnp.arange(2) < len(sites))


def test_the_soft_minimum_by_hand():
    # Distances 1 and 2: exp(-1.5) = 0.223130, exp(-3) = 0.049787; (0.223130 + 2 · 0.049787) / 0.272917 = 1.182426
    values = soft_minimum(jnp.array([[1.0, 2.0, 0.5]]), jnp.array([True, True, False]))
    np.testing.assert_allclose(values, [1.182426], rtol=1e-5)


def test_blueprint_costs_while_boxes_are_away_and_pays_for_all_sites_at_once():
    rewards, terminated, _, info = play(PRINT, blueprint_level([(2, 3)]), "gE gE")

    def soft(*distances):
        weights = [math.exp(-1.5 * each) for each in distances]
        return sum(d * w for d, w in zip(distances, weights, strict=True)) / sum(weights)

    # The box in hand goes from (2, 1) to (2, 2), one cell from the site, and onto it; the other is at (0, 5), sqrt(4 + 4)
    # away. The dense part is paid also in the step that ends.
    far = math.sqrt(8)
    np.testing.assert_allclose(rewards, [-0.05 * soft(1, far), 3 - 0.05 * soft(0, far)], rtol=1e-5)
    assert terminated.tolist() == [False, True]
    assert info["statistics"] == {"covered": 1, "built": 1}


def test_blueprint_needs_every_site_and_means_over_those_that_are_there():
    level = blueprint_level([(2, 2), (4, 5)])
    rewards, terminated, _, info = play(PRINT, level, "gE")
    assert not terminated.any()
    assert info["statistics"] == {"covered": 0.5, "built": 0}
    alone = [play(PRINT, blueprint_level([site]), "gE")[0][0] for site in ((2, 2), (4, 5))]
    np.testing.assert_allclose(rewards[0], (alone[0] - 3 + alone[1]) / 2, rtol=1e-5)
    both = blueprint_level([(2, 2), (0, 5)])
    rewards, terminated, _, _ = play(PRINT, both, "gE")
    assert terminated.all()
    assert 5.8 < rewards[0] < 6  # 3 a site


# -- shelter -----------------------------------------------------------------------------------------------------------

SHELTER = Shelter(height=6, width=8, max_steps=10, max_boxes=2, boxes=2, long=1, pillar=2)
PILLAR = [(2, 3), (2, 4), (3, 3), (3, 4)]


def shelter_level(boxes, agent=(5, 7, NORTH), ramps=()):
    level = arena(SHELTER, agent, boxes, ramps, low=PILLAR)
    return ShelterLevel(level, level.low)


@pytest.mark.parametrize(
    ("boxes", "ramps", "across", "down"),
    [
        ([], (), 4, 4),  # two rows from either side, two columns likewise
        ([(2, 0, SINGLE)], (), 3, 4),  # the upper row from the west
        ([(2, 0, SINGLE), (2, 7, SINGLE)], (), 2, 4),
        ([(0, 3, WIDE)], (), 4, 2),  # both columns from the north
        ([(0, 0, SINGLE), (5, 2, SINGLE)], (), 4, 4),  # beside them
        ([], [(3, 6, EAST)], 3, 4),  # a ramp serves too
    ],
)
def test_shelter_costs_by_the_ray(boxes, ramps, across, down):
    rewards, terminated, _, info = play(SHELTER, shelter_level(boxes, ramps=ramps), ". .")
    # 25 rays a side: a row of 6 stands for 25/6 of them, a column of 8 for 25/8; 0.001 each.
    cost = 0.001 * (across * 25 / 6 + down * 25 / 8)
    np.testing.assert_allclose(rewards, [-cost, -cost], rtol=1e-5)
    share = (across + down) / 8
    assert info["statistics"] == {"lit": share, "mean_lit": share}
    assert not terminated.any()


def test_shelter_an_agent_stops_no_ray_and_three_quarters_are_enough():
    blocked = shelter_level([(2, 0, SINGLE)], agent=(3, 0, EAST))
    np.testing.assert_allclose(play(SHELTER, blocked, ".")[0], [-0.001 * (3 * 25 / 6 + 4 * 25 / 8)], rtol=1e-5)
    quarter = 10 * 0.001 * (25 / 6 + 25 / 8)  # one of four rows and one of four columns, for ten steps
    assert SHELTER.is_solved(jnp.float32(-quarter + 0.001))
    assert not SHELTER.is_solved(jnp.float32(-quarter - 0.001))


# -- object counting ---------------------------------------------------------------------------------------------------

COUNTING = ObjectCounting(height=9, width=7, max_steps=12, max_boxes=5, boxes=4)


def test_counted_boxes_go_where_the_level_says_and_are_seen_only_in_the_opening():
    levels = sampled(COUNTING, 24)
    for number in range(24):
        level = jax.tree.map(lambda leaf, i=number: leaf[i], levels)
        first, (observations, states, rewards, terminated, truncated, info) = watch(COUNTING, level, ". " * 12)
        start = np.asarray(level.arena.box_positions)[:, 1]
        left, waits = np.asarray(level.goes_left), np.asarray(level.waits)
        assert (info["label"] == left[:4].sum()).all()
        assert not rewards.any()
        assert not terminated.any()
        assert truncated.tolist() == [False] * 11 + [True]
        assert np.asarray(first["boxes"]["visible"]).tolist() == [True] * 4 + [False]
        for step in range(12):
            gone = np.maximum(step + 1 - waits, 0)
            cols = np.clip(start + np.where(left, -gone, gone), 0, 6)[:4]
            places = np.asarray(states.arena.object_positions)[step]
            assert places[:4].tolist() == [[2 * i, col] for i, col in enumerate(cols)]
            seen = np.asarray(observations["boxes"]["visible"])[step]
            assert seen.tolist() == [*(abs(cols - 3) <= 1).tolist(), False]
        # Nothing of the answer is left to be seen before the end, while memory is asked.
        assert not np.asarray(observations["boxes"]["visible"])[-2].any()
        assert np.asarray(states.arena.positions)[:, 0].tolist() == [[8, 3]] * 12


def test_all_answers_are_equally_likely():
    labels = np.asarray(sampled(COUNTING, 3000).goes_left).sum(axis=1)
    # 3000 / 5 = 600 of each, with a standard deviation of sqrt(3000 · 0.2 · 0.8) = 22
    assert np.bincount(labels, minlength=5) == pytest.approx([600] * 5, abs=90)


def test_the_agent_that_counts_cannot_do_anything():
    level = jax.tree.map(lambda leaf: leaf[0], sampled(COUNTING, 24))
    one, other = (watch(COUNTING, level, text) for text in ("glE " * 12, ". " * 12))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


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


@functools.cache
def sampled(task, number=1000):
    return jax.jit(jax.vmap(task.sample_level))(jax.random.split(jax.random.key(number), number))


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
