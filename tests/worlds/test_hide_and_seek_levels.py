"""Levels of hide and seek: what makes one bad, and what is told of them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hide_and_seek_samples import DRAWING, SPACE, WORLD, many

from minied.errors import UserError
from minied_envs.grid import search
from minied_envs.hide_and_seek import HideAndSeek, doors
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.level import make_level

# -- levels of other worlds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room_for", "message"),
    [
        ((2, 1, 1, 0), "the level has room for 3 agents; allowed: 2, as env.max_hiders and env.max_seekers say"),
        ((1, 1, 2, 0), "the level has room for 2 boxes; allowed: 1, as env.max_boxes says"),
        ((1, 1, 0, 0), "the level has room for 0 boxes; allowed: 1, as env.max_boxes says"),
        ((1, 1, 1, 1), "the level has room for 1 ramps; allowed: 0, as env.max_ramps says"),
    ],
    ids=str,
)
def test_levels_with_room_for_other_things_are_refused(room_for, message):
    """Without this a second hider of a world with one would be taken for a seeker."""
    space = HideAndSeek(height=5, width=5, max_hiders=1, max_seekers=1, max_boxes=1, max_ramps=0).level_space
    places = [(0, 0, 0), (0, 1, 0)], [(2, 0, 0)], [(4, 0, 0), (4, 1, 0)], [(3, 3, 0)]
    hiders, seekers, boxes, ramps = (cells[:number] for cells, number in zip(places, room_for, strict=True))
    no_walls = np.zeros((5, 5), bool)
    level = make_level(hiders, seekers, boxes, ramps, no_walls, no_walls, room_for)
    with pytest.raises(UserError, match=re.escape(message)):
        space.check(level)
    assert not space.is_valid(level)
    assert not jax.jit(space.is_valid)(level)


def test_a_level_with_other_rows_is_refused():
    level = HideAndSeek(height=6, width=7).level_space.sample(jax.random.key(0))
    space = HideAndSeek(height=5, width=7).level_space
    with pytest.raises(UserError, match=r"the level has 6 rows; allowed: 5, as env\.height says"):
        space.check(level)
    assert not space.is_valid(level)


def test_a_wall_beyond_the_width_is_refused():
    tall = np.zeros((8, 12), bool)
    tall[3, 10] = True
    level = make_level([(0, 0, 0)], [(7, 7, 0)], [], [], tall, np.zeros_like(tall), (1, 1, 0, 0))
    for width, fits in ((12, True), (11, True), (10, False), (8, False)):
        space = HideAndSeek(height=8, width=width, max_hiders=1, max_seekers=1, max_boxes=0, max_ramps=0).level_space
        assert bool(space.is_valid(level)) == fits
        if fits:
            space.check(level)
            continue
        with pytest.raises(
            UserError, match=rf"a wall of row 3 is beyond col {width - 1}; allowed: cols 0 to {width - 1}"
        ):
            space.check(level)


def test_a_level_is_played_as_it_is_read():
    """Of NumPy arrays, as a drawing is, without a conversion by hand."""
    level = SPACE.from_text(DRAWING)
    observation, state = WORLD.reset(jax.random.key(0), level)
    again, _ = WORLD.reset(jax.random.key(0), jax.tree.map(jnp.asarray, level))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), observation, again)
    _, state, *_ = WORLD.step(jax.random.key(1), state, jnp.full(4, 4, jnp.int32), level)  # east, all of them
    np.testing.assert_array_equal(np.asarray(state.positions)[0], (0, 1))


# -- bad levels -------------------------------------------------------------------------------------------------------


def level_with(**things):
    given = {"hiders": [(1, 1, 0)], "seekers": [(3, 5, 2)], "boxes": [], "ramps": []} | things
    tall = np.zeros((5, 7), bool)
    tall[2, 3] = True
    return make_level(**given, tall=tall, low=np.zeros_like(tall), room_for=(2, 2, 4, 3))


@pytest.mark.parametrize(
    ("things", "message"),
    [
        ({"boxes": [(1, 1, 0)]}, "box 1 is in cell (1, 1), where hider 1 is; allowed: a free cell"),
        ({"boxes": [(1, 2, 1)]}, "box 1 is in cell (1, 1), where hider 1 is; allowed: a free cell"),
        ({"ramps": [(2, 3, 1)]}, "ramp 1 is in cell (2, 3), where a wall is; allowed: a free cell"),
        ({"boxes": [(1, 3, 2)]}, "box 1 is in cell (2, 3), where a wall is; allowed: a free cell"),
        ({"boxes": [(0, 3, 2)]}, "box 1 is in cell (-1, 3); allowed: rows 0 to 4, cols 0 to 6"),
        ({"seekers": [(5, 0, 0)]}, "seeker 1 is in cell (5, 0); allowed: rows 0 to 4, cols 0 to 6"),
        ({"seekers": []}, "the level has 0 seekers; allowed: at least 1"),
        ({"seekers": [(0, 0, 7)]}, "seeker 1 has direction 7; allowed: 0 to 3"),
        ({"ramps": [(0, 0, -1)]}, "ramp 1 has direction -1; allowed: 0 to 3"),
        ({"boxes": [(0, 0, 5)]}, "box 1 has shape 5; allowed: 0 to 2"),
    ],
)
def test_bad_levels_are_told_in_a_line_and_not_valid(things, message):
    level = level_with(**things)
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        SPACE.check(level)
    assert not bool(jax.jit(SPACE.is_valid)(level))
    with pytest.raises(UserError):
        SPACE.to_text(level)


def test_more_than_there_is_room_for():
    with pytest.raises(UserError, match=r"the level has 3 hiders; allowed: at most 2 \(env.max_hiders\)"):
        level_with(hiders=[(1, 1, 0), (1, 2, 0), (1, 3, 0)])


@pytest.mark.parametrize(
    ("drawing", "meet"),
    [
        (".>.\n###\n.E.", False),
        (".>.\n#o#\n.E.", True),  # a box can be moved
        (".>.\n===\n.E.", False),
        (".>n\n===\n.E.", True),  # over the ramp
        (".>n\n###\n.E.", False),
        ("o>.\n#.#\n.E.", True),
    ],
)
def test_who_can_meet_whom(drawing, meet):
    # A world of at least four rows: two more, filled with walls.
    rows = [row + "####" for row in drawing.split("\n")] + ["#######"] * 2
    if meet:
        assert bool(jax.jit(SPACE.is_valid)(SPACE.from_text("\n".join(rows))))
        return
    with pytest.raises(UserError, match="is walled in"):
        SPACE.from_text("\n".join(rows))


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "number"),
    [
        ("....... ....... ....... .......", 0),
        ("...#... ...#... ....... ...#...", 1),
        ("...#... ....... ....... ...#...", 1),  # of two cells
        ("....... ....... ....... ...#...", 0),  # of three
        (".#.#... .#.#... ....... .#.#...", 2),
        ("...#... ....... ...#... .......", 2),  # the second one is at the border
        ("####### ....... ####### .......", 0),  # a corridor
        ("....... #.##### ....... ####.##", 2),
    ],
)
def test_doors_by_hand(rows, number):
    tall = np.array([[cell == "#" for cell in row] for row in rows.split()])
    boards = [make_level([], [], [], [], cells, cells & False, (0, 0, 0, 0)).tall for cells in (tall, tall.T)]
    sizes = [Dimensions(4, 7, 0, 1, 1, 0, 0), Dimensions(7, 4, 0, 1, 1, 0, 0)]
    for board, dimensions in zip(boards, sizes, strict=True):
        assert int(doors.count_doors(jnp.asarray(board), dimensions)) == number


def test_features_by_hand():
    features = jax.jit(SPACE.describe)(SPACE.from_text(DRAWING))
    # Doors are (3, 5), between two walls, and (4, 4), between a wall and the border. The hider at (2, 3) and the seeker at
    # (4, 3) are two steps from each other.
    assert {name: float(value) for name, value in features.items()} == {
        "num_hiders": 2, "num_seekers": 2, "num_boxes": 4, "num_ramps": 3, "num_long": 3, "num_walls": 6, "num_doors": 2,
        "distance": 2,
    }  # fmt: skip
    closed = SPACE.from_text("..#....\n>.#....\n..o.E..\n..#....\n..#....")
    assert np.isnan(float(SPACE.describe(closed)["distance"]))
    opened = SPACE.from_text("..#....\n>.#.o..\n....E..\n..#....\n..#....")
    features = SPACE.describe(opened)
    assert float(features["distance"]) == 5
    assert float(features["num_doors"]) == 1


def test_shortest_path_between_sets_is_the_shortest_of_all_pairs():
    free = jnp.full((4, 1), 0b111111, jnp.uint32).at[2, 0].set(jnp.uint32(0b000001))
    cell = lambda row, col: jnp.zeros((4, 1), jnp.uint32).at[row, 0].set(jnp.uint32(1 << col))  # noqa: E731
    # (3, 5) to (0, 5) only around (2, 0): 5 + 3 + 5 = 13 moves; to (1, 1): 5 + 2 + 1 = 8.
    assert int(search.shortest_path_between(free, cell(3, 5), cell(0, 5), 6)) == 13
    assert int(search.shortest_path_between(free, cell(3, 5), cell(0, 5) | cell(1, 1), 6)) == 8
    assert int(search.shortest_path_between(free, cell(3, 5) | cell(1, 2), cell(0, 5) | cell(1, 1), 6)) == 1
    assert int(search.shortest_path_between(free, cell(3, 5), cell(2, 5), 6)) == search.UNREACHABLE
    assert int(search.shortest_path_between(free, cell(3, 5), jnp.zeros((4, 1), jnp.uint32), 6)) == search.UNREACHABLE


def test_fingerprints_tell_levels_apart():
    world, levels = many()
    texts = {}
    for level in levels:
        print_ = tuple(np.asarray(world.level_space.fingerprint(jax.tree.map(jnp.asarray, level))).tolist())
        key = b"".join(leaf.tobytes() for leaf in jax.tree.leaves(level))
        assert texts.setdefault(print_, key) == key
    assert len(texts) == len(set(texts.values()))
