"""The random levels of hide and seek: always levels, distributions in closed form, and what the options refuse."""

import collections
import dataclasses
import functools

import hide_and_seek_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from minied.errors import UserError
from minied_envs.hide_and_seek import HideAndSeek, walls
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.generators import HideAndSeekLevels

NUM_LEVELS = 6000

WORLDS = {
    "quadrant": HideAndSeek(
        height=7, width=8, max_boxes=3, max_ramps=2, levels=HideAndSeekLevels(min_boxes=3, max_long=2)
    ),
    "quadrant, hiders in the room": HideAndSeek(
        height=9, width=7, margin=1, max_boxes=9, max_ramps=2,
        levels=HideAndSeekLevels(hiders_in_room=True, door_dropout=1.0, min_long=2, max_long=9, min_boxes=2),
    ),
    "rooms": HideAndSeek(
        height=13, width=12, margin=1, max_hiders=3, max_boxes=4, max_ramps=1,
        levels=HideAndSeekLevels("rooms", min_hiders=3, min_boxes=1, min_long=1, max_long=3, team_spread=1),
    ),
    "open": HideAndSeek(
        height=8, width=9, max_hiders=3, max_seekers=2, max_boxes=3, max_ramps=2,
        levels=HideAndSeekLevels("open", min_boxes=1, max_long=2, min_ramps=1),
    ),
    "tiny": HideAndSeek(
        height=4, width=5, max_hiders=1, max_seekers=1, max_boxes=0, max_ramps=2,
        levels=HideAndSeekLevels("tiny", min_ramps=1, ramps=False, locks=False, preparation=False),
    ),
}  # fmt: skip


@functools.cache
def drawn(name):
    """A batch of levels, as NumPy arrays, with walls as ``bool[L, H, W]``."""
    world = WORLDS[name]
    space = world.level_space

    @jax.jit
    def draw(keys):
        levels = jax.vmap(space.sample)(keys)
        return levels, jax.vmap(space.is_valid)(levels)

    levels, is_valid = jax.tree.map(np.asarray, draw(samples.keys(NUM_LEVELS)))
    return levels, is_valid, samples.cells_of_board(levels.tall, world.width)


def arena_of(world):
    inside = np.zeros((world.height, world.width), bool)
    inside[world.margin : world.height - world.margin, world.margin : world.width - world.margin] = True
    return inside


def assert_likely(counts, chances):
    """Chi-square; a cell of chance 0 must be empty."""
    counts, chances = np.asarray(counts, float), np.asarray(chances, float)
    assert counts[chances == 0].sum() == 0
    counts, chances = counts[chances > 0], chances[chances > 0]
    assert len(counts) == 1 or stats.chisquare(counts, chances / chances.sum() * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", WORLDS)
def test_every_level_is_one(name):
    world = WORLDS[name]
    levels, is_valid, tall = drawn(name)
    assert is_valid.all()
    assert samples.is_canonical(levels).all()
    assert not levels.low.any()
    # Not by the functions of the world: all ground of the arena hangs together, so that everybody can meet everybody.
    ground = arena_of(world) & ~tall
    beside = np.zeros((3, 3, 3), int)
    beside[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    _, number = ndimage.label(ground, beside)
    assert number == NUM_LEVELS
    for level, free in zip(samples.unstack(levels)[:500], ground, strict=False):
        taken = [cell for _, cells, _ in samples.things(level, world.max_hiders) for cell in cells]
        assert len(set(taken)) == len(taken)
        assert all(free[cell] for cell in taken)


@pytest.mark.parametrize("name", WORLDS)
def test_numbers_of_agents_are_uniform_and_nobody_is_left_out(name):
    world = WORLDS[name]
    present = drawn(name)[0].agent_present
    for team, most, least in (
        (present[:, : world.max_hiders], world.max_hiders, world.levels.min_hiders),
        (present[:, world.max_hiders :], world.max_seekers, world.levels.min_seekers),
    ):
        assert np.array_equal(team, np.sort(team, axis=1)[:, ::-1])  # the first places
        assert_likely(np.bincount(team.sum(axis=1), minlength=most + 1), np.arange(most + 1) >= least)


def test_numbers_of_boxes_and_ramps_are_uniform():
    levels = drawn("open")[0]
    boxes = levels.box_present.sum(axis=1)
    assert_likely(np.bincount(boxes, minlength=4), [0, 1, 1, 1])
    assert_likely(np.bincount(levels.ramp_present.sum(axis=1), minlength=3), [0, 1, 1])
    long = (levels.box_shapes > 0).sum(axis=1)
    # At most 2 are elongated, and not more than there are: 0 or 1 of 1, 0 to 2 of 2 or 3.
    assert_likely(np.bincount(long[boxes == 1], minlength=3), [1, 1, 0])
    assert_likely(np.bincount(long[boxes == 2], minlength=3), [1, 1, 1])
    assert_likely(np.bincount(long[boxes == 3], minlength=3), [1, 1, 1])
    assert_likely(np.bincount(levels.box_shapes[levels.box_shapes > 0], minlength=3), [0, 1, 1])


def test_at_least_so_many_boxes_are_elongated_as_there_can_be():
    levels = drawn("rooms")[0]
    boxes, long = levels.box_present.sum(axis=1), (levels.box_shapes > 0).sum(axis=1)
    assert set(zip(boxes.tolist(), long.tolist(), strict=True)) == {
        (1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3),
    }  # fmt: skip


def test_in_the_open_every_cell_and_direction_is_alike():
    levels = drawn("open")[0]
    cells = levels.agent_positions @ [9, 1]
    for agent in (0, 3):  # the first hider, the first seeker
        assert_likely(np.bincount(cells[:, agent], minlength=72), np.ones(72))
        assert_likely(np.bincount(levels.agent_directions[:, agent], minlength=4), np.ones(4))
    assert_likely(np.bincount(levels.ramp_directions[:, 0], minlength=4), np.ones(4))
    ramps = np.bincount(levels.ramp_positions[:, 0] @ [9, 1], minlength=72)
    assert ramps.min() > 0  # every cell, though not quite alike: boxes take more of the middle
    centres = {tuple(place) for place in levels.box_positions[levels.box_shapes == walls_shape("wide")].tolist()}
    assert centres == {(row, col) for row in range(8) for col in range(1, 8)}
    centres = {tuple(place) for place in levels.box_positions[levels.box_shapes == walls_shape("tall")].tolist()}
    assert centres == {(row, col) for row in range(1, 7) for col in range(9)}


def walls_shape(name):
    return {"single": 0, "wide": 1, "tall": 2}[name]


# -- quadrant ---------------------------------------------------------------------------------------------------------

# A 7x8 arena: the room has (7 - 1) // 2 = 3 rows and (8 - 1) // 2 = 3 columns, rows 4 to 6, columns 5 to 7; its walls are
# row 3 and column 4.
ROOM = np.zeros((7, 8), bool)
ROOM[4:, 5:] = True
ROOM_WALLS = np.zeros((7, 8), bool)
ROOM_WALLS[3:, 4:] = True
ROOM_WALLS &= ~ROOM


def test_doors_of_the_quadrant():
    tall = drawn("quadrant")[2]
    assert not tall[:, ~ROOM_WALLS].any()
    assert tall[:, 3, 4].all()  # the corner
    north, west = ~tall[:, 3, 5:], ~tall[:, 4:, 4]
    assert north.sum(axis=1).max() == west.sum(axis=1).max() == 1
    # Both doors with a chance of one half, else one of them.
    kinds = north.any(axis=1) * 2 + west.any(axis=1)
    assert_likely(np.bincount(kinds, minlength=4), [0, 1, 1, 2])
    both = kinds == 3
    places = north[both].argmax(axis=1) * 3 + west[both].argmax(axis=1)
    assert_likely(np.bincount(places, minlength=9), np.ones(9))


def where(levels, kind, shape):
    """Return on how many levels each cell has the centre of something of a kind."""
    counts = np.zeros(shape, int)
    positions, present = getattr(levels, f"{kind}_positions"), getattr(levels, f"{kind}_present")
    np.add.at(counts, tuple(positions[present].T), 1)
    return counts


def test_what_is_inside_of_the_quadrant_and_what_outside():
    levels, _, tall = drawn("quadrant")
    outside = ~ROOM & ~ROOM_WALLS
    seekers = levels.replace(agent_present=levels.agent_present & [False, False, True, True])
    assert np.array_equal(where(seekers, "agent", (7, 8)) > 0, outside)
    assert np.array_equal(where(levels, "ramp", (7, 8)) > 0, outside)
    assert np.array_equal(where(levels, "box", (7, 8)) > 0, ROOM)
    # Hiders are anywhere, the doors among it: the first one is uniform over all cells without a wall.
    first = levels.agent_positions[:, 0]
    chances = np.mean(~tall / (~tall).sum(axis=(1, 2), keepdims=True), axis=0)
    assert_likely(np.bincount(first @ [8, 1], minlength=56), chances.reshape(-1))


def test_hiders_in_the_room_and_one_door_only():
    world = WORLDS["quadrant, hiders in the room"]
    levels, _, tall = drawn("quadrant, hiders in the room")
    # An arena of 7x5 in a grid of 9x7: a room of 3 rows and 2 columns, rows 5 to 7, columns 4 and 5.
    room = np.zeros((9, 7), bool)
    room[5:8, 4:6] = True
    hiders = levels.replace(agent_present=levels.agent_present & (np.arange(4) < 2))
    assert np.array_equal(where(hiders, "agent", (9, 7)) > 0, room)
    assert_likely(np.bincount((~tall[:, 4, 4:6]).sum(axis=1) * 2 + (~tall[:, 5:8, 3]).sum(axis=1)), [0, 1, 1])
    # Three cells beside each other do not fit in two columns: all elongated boxes stand.
    assert set(np.unique(levels.box_shapes)) == {0, 2}
    # Beside a single hider one of the two columns is free, so that one of them stands there, however its coin fell.
    alone = levels.agent_present[:, :2].sum(axis=1) == 1
    assert alone.sum() > 1000
    assert (levels.box_shapes[alone] == 2).any(axis=1).all()
    # 2 to 9 boxes and up to 2 hiders in 6 cells: some find no place, in no draw the agents.
    assert levels.box_present.sum(axis=1).max() <= 5
    assert levels.agent_present.any(axis=0).all()
    assert world.max_boxes == 9


# -- rooms ------------------------------------------------------------------------------------------------------------


def exact_rooms(height, width, num_rooms, min_side, door):
    """Return the chance of each set of wall cells after cutting until there are ``num_rooms``, by plain recursion."""
    chances = collections.defaultdict(float)

    def cut(rooms, cells, chance):
        lines = [
            (room, lies, offset)
            for room in rooms
            for lies in (True, False)
            for offset in range(min_side, room[2 if lies else 3] - min_side)
        ]
        if len(rooms) == num_rooms or not lines:
            chances[frozenset(cells)] += chance
            return
        for room, lies, offset in lines:
            top, left, rows, cols = room
            length = cols if lies else rows
            rest = [other for other in rooms if other != room]
            if lies:
                parts = [(top, left, offset, cols), (top + offset + 1, left, rows - offset - 1, cols)]
                wall = [(top + offset, left + i) for i in range(length)]
            else:
                parts = [(top, left, rows, offset), (top, left + offset + 1, rows, cols - offset - 1)]
                wall = [(top + i, left + offset) for i in range(length)]
            doors = length - door + 1
            for first in range(doors):
                with_door = wall[:first] + wall[first + door :]
                cut(rest + parts, cells | set(with_door), chance / len(lines) / doors)

    cut([(0, 0, height, width)], set(), 1.0)
    return chances


@pytest.mark.parametrize(
    ("height", "width", "num_rooms", "min_side", "door"), [(6, 7, 3, 2, 2), (4, 5, 2, 1, 1), (5, 4, 3, 2, 2)]
)
def test_walls_of_rooms_are_those_of_a_plain_recursion(height, width, num_rooms, min_side, door):
    dimensions = Dimensions(height, width, 0, 1, 1, 0, 0)
    number = 20_000

    @jax.jit
    def draw(key):
        words = jax.random.bits(key, (2, number, num_rooms - 1), jnp.uint32)
        cut = functools.partial(walls.room_walls, dimensions, jnp.int32(num_rooms), min_side=min_side, door_cells=door)
        return jax.vmap(cut)(*words)

    cells = samples.cells_of_board(draw(jax.random.key(0)), width)
    counts = collections.Counter(frozenset(map(tuple, np.argwhere(one).tolist())) for one in cells)
    chances = exact_rooms(height, width, num_rooms, min_side, door)
    assert set(counts) <= set(chances)
    common = [walls for walls, chance in chances.items() if chance * number >= 5]
    rest = [walls for walls in chances if walls not in common]
    pooled = [counts[walls] for walls in common] + [sum(counts[walls] for walls in rest)]
    expected = [chances[walls] for walls in common] + [sum(chances[walls] for walls in rest)]
    assert len(common) >= 3
    assert_likely(pooled, expected)


def test_one_room_in_a_quarter_of_the_levels_with_up_to_four():
    tall = drawn("rooms")[2]
    arena = tall[:, 1:-1, 1:-1]
    share = np.mean(~arena.any(axis=(1, 2)))
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / NUM_LEVELS)


def test_outer_walls_are_a_ring_around_the_arena_in_half_of_the_levels():
    ring = np.ones((13, 12), bool)
    ring[1:-1, 1:-1] = False
    tall = drawn("rooms")[2]
    has_ring = tall[:, ring].all(axis=1)
    assert np.array_equal(has_ring, tall[:, ring].any(axis=1))
    assert abs(has_ring.mean() - 0.5) < 4 * 0.5 / np.sqrt(NUM_LEVELS)
    wide = Dimensions(9, 8, 2, 1, 1, 0, 0)
    second = samples.cells_of_board(wide.ring()[None], 8)[0]
    expected = np.zeros((9, 8), bool)
    expected[1:-1, 1:-1] = True
    expected[2:-2, 2:-2] = False
    np.testing.assert_array_equal(second, expected)
    assert not Dimensions(9, 8, 0, 1, 1, 0, 0).ring().any()


def test_team_mates_start_near_each_other():
    levels = drawn("rooms")[0]
    three = levels.agent_positions[:, :3]  # always three hiders, each at most one cell from the middle of the team
    spans = three.max(axis=1) - three.min(axis=1)
    assert spans.max() == 2
    assert (spans.max(axis=1) == 2).mean() > 0.3
    teams_apart = np.abs(levels.agent_positions[:, 0] - levels.agent_positions[:, 3]).max(axis=1)
    assert teams_apart.max() > 6
    assert teams_apart.min() == 1


def test_tiny_levels_have_no_wall_or_one_with_a_gap():
    tall = drawn("tiny")[2]
    assert abs(np.mean(~tall.any(axis=(1, 2))) - 0.5) < 4 * 0.5 / np.sqrt(NUM_LEVELS)
    one = {frozenset(map(tuple, np.argwhere(cells).tolist())) for cells in tall if cells.any()}
    # A wall along one of the 2 inner rows with 5 places for the gap, or of the 3 inner columns with 4.
    assert len(one) == 2 * 5 + 3 * 4
    assert {len(cells) for cells in one} == {4, 3}


# -- options ----------------------------------------------------------------------------------------------------------


def test_ablations_are_switches_of_the_levels():
    levels = drawn("tiny")[0]
    assert not levels.ramp_present.any()
    assert not levels.has_locks.any()
    assert not levels.has_preparation.any()
    levels = drawn("open")[0]
    assert levels.has_locks.all()
    assert levels.has_preparation.all()


@pytest.mark.parametrize("options", [{"scenario": "rooms", "min_rooms": 9, "max_rooms": 9, "min_room_side": 2}, {}])
def test_six_agents_find_place_in_the_smallest_arenas(options):
    space = HideAndSeek(
        height=5, width=5, max_hiders=3, max_seekers=3, levels=HideAndSeekLevels(min_hiders=3, min_seekers=3, **options)
    ).level_space
    levels = jax.jit(jax.vmap(space.sample))(samples.keys(500))
    assert bool(jax.jit(jax.vmap(space.is_valid))(levels).all())
    assert np.asarray(levels.agent_present).all()


def test_boxes_that_find_no_place_are_left_out():
    # 25 cells: an outside of 25 - 3 * 3 = 16 and a room of 4.
    options = HideAndSeekLevels(min_hiders=3, min_seekers=3, min_boxes=9, max_long=9, min_ramps=4)
    world = HideAndSeek(height=5, width=5, max_hiders=3, max_seekers=3, max_boxes=9, max_ramps=4, levels=options)
    space = world.level_space
    levels = jax.jit(jax.vmap(space.sample))(samples.keys(500))
    assert bool(jax.jit(jax.vmap(space.is_valid))(levels).all())
    assert np.asarray(levels.agent_present).all()
    assert np.asarray(levels.box_present).sum(axis=1).max() == 4
    assert not np.asarray(levels.box_shapes).any()  # there is no place for three cells


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"scenario": "room"},
            r"unknown levels.scenario 'room' \(did you mean 'rooms'\?\); known: open, quadrant, rooms, tiny",
        ),
        ({"door_dropout": 1.5}, "levels.door_dropout is 1.5; allowed: 0 to 1"),
        ({"outer_walls": -0.1}, "levels.outer_walls is -0.1; allowed: 0 to 1"),
        ({"min_long": 2, "max_long": 1}, "levels.min_long is 2; allowed: 0 to 1"),
        ({"scenario": "rooms", "min_rooms": 3, "max_rooms": 2}, "levels.min_rooms is 3; allowed: 1 to 2"),
        ({"scenario": "rooms", "max_rooms": 10}, "levels.max_rooms is 10; allowed: 1 to 9"),
        ({"scenario": "rooms", "min_room_side": 1}, "levels.min_room_side is 1; allowed: at least 2"),
        ({"scenario": "rooms", "team_spread": 0}, "levels.team_spread is 0; allowed: at least 1"),
        ({"num_edits": -1}, "levels.num_edits is -1; allowed: at least 0"),
        ({"max_rooms": 2}, "levels.max_rooms is 2 with scenario 'quadrant'; allowed: only with 'rooms'"),
        (
            {"scenario": "open", "hiders_in_room": True},
            "levels.hiders_in_room is True with scenario 'open'; allowed: only with 'quadrant'",
        ),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        HideAndSeekLevels(**options)


@pytest.mark.parametrize(
    ("world", "options", "message"),
    [
        ({}, {"min_hiders": 3}, r"levels.min_hiders is 3; allowed: 1 to 2 \(max_hiders\)"),
        ({}, {"min_seekers": 0}, r"levels.min_seekers is 0; allowed: 1 to 2 \(max_seekers\)"),
        ({}, {"min_boxes": 3}, r"levels.min_boxes is 3; allowed: 0 to 2 \(max_boxes\)"),
        ({}, {"min_ramps": -1}, r"levels.min_ramps is -1; allowed: 0 to 1 \(max_ramps\)"),
        ({}, {"max_long": 3}, r"levels.max_long is 3; allowed: 0 to 2 \(max_boxes\)"),
        ({"height": 4}, {}, "levels.scenario is 'quadrant' with an arena of 4x12 cells .*allowed: at least 5 each"),
        ({"width": 8, "margin": 2}, {}, "levels.scenario is 'quadrant' with an arena of 8x4 cells .* at least 5 each"),
    ],
)
def test_worlds_that_are_too_small_for_their_levels(world, options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        HideAndSeek(**world, levels=HideAndSeekLevels(**options))


# -- programs ---------------------------------------------------------------------------------------------------------


@functools.cache
def compiled(name):
    return jax.jit(WORLDS[name].level_space.sample)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_key_gives_a_level_that_passes_the_check(seed):
    level = compiled("rooms")(jax.random.key(seed))
    WORLDS["rooms"].level_space.check(level)


def test_vmap_equals_loop_and_keys_are_never_reused():
    levels = drawn("rooms")[0]
    for i, key in enumerate(samples.keys(NUM_LEVELS)[:5]):
        alone = compiled("rooms")(key)
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(levels), strict=True):
            np.testing.assert_array_equal(one, other[i])
    small = WORLDS["tiny"].level_space
    with jax.debug_key_reuse(True):
        jax.jit(small.sample)(jax.random.key(0))


def test_a_world_s_numbers_are_its_dimensions():
    world = WORLDS["rooms"]
    dimensions = world.level_space.dimensions
    assert dataclasses.asdict(dimensions) == {
        "height": 13, "width": 12, "margin": 1, "max_hiders": 3, "max_seekers": 2, "max_boxes": 4, "max_ramps": 1,
    }  # fmt: skip
    assert (dimensions.arena_height, dimensions.arena_width, dimensions.num_agents) == (11, 10, 5)
