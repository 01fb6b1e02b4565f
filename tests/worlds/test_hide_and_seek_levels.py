"""Levels of hide and seek as text, what makes one bad, what is told of them, and the suites."""

import functools
import re

import hide_and_seek_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.levels.text import levels_of_text
from minied_envs.grid import bitboard, search
from minied_envs.hide_and_seek import HideAndSeek, doors, maps
from minied_envs.hide_and_seek.dimensions import Dimensions
from minied_envs.hide_and_seek.generators import HideAndSeekLevels
from minied_envs.hide_and_seek.level import make_level

WORLD = HideAndSeek(
    height=5, width=7, max_hiders=2, max_seekers=2, max_boxes=4, max_ramps=3, levels=HideAndSeekLevels(max_long=4)
)
SPACE = WORLD.level_space

DRAWING = """\
>.#.==e
++#o+-+
||.v..w
++..#.#
.E.N.s.
"""


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


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


# -- text -------------------------------------------------------------------------------------------------------------


def test_a_drawing_by_hand():
    tall = np.zeros((5, 7), bool)
    tall[[0, 1, 3, 3], [2, 2, 4, 6]] = True
    low = np.zeros((5, 7), bool)
    low[0, 4:6] = True
    by_hand = make_level(
        hiders=[(0, 0, 0), (2, 3, 1)],
        seekers=[(4, 1, 0), (4, 3, 3)],
        boxes=[(1, 3, 0), (1, 5, 1), (2, 0, 2), (2, 1, 2)],
        ramps=[(0, 6, 0), (2, 6, 2), (4, 5, 1)],
        tall=tall,
        low=low,
        room_for=(2, 2, 4, 3),
    )
    level = SPACE.from_text(DRAWING)
    assert same(level, by_hand)
    assert SPACE.to_text(level) == DRAWING.strip()
    assert same(SPACE.from_text(f"\n\n  {DRAWING.strip().replace(chr(10), chr(10) + '  ')}  \n\n"), level)


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("preparation", [True, False])
def test_switches_are_written_if_they_are_off(locks, preparation):
    lines = ["locks: no"] * (not locks) + ["preparation: no"] * (not preparation)
    text = "\n".join([*lines, DRAWING.strip()])
    level = SPACE.from_text(text)
    assert (bool(level.has_locks), bool(level.has_preparation)) == (locks, preparation)
    assert SPACE.to_text(level) == text
    said = f"preparation : {'yes' if preparation else 'no'}\n\nlocks:{'yes' if locks else 'no'}\n{DRAWING}"
    assert same(SPACE.from_text(said), level)


def in_reading_order(level, num_hiders):
    """The level with like things sorted by cell, from plain sorts."""
    order = sorted((kind, cells[len(cells) // 2], other) for kind, cells, other in samples.things(level, num_hiders))
    return order, level.tall.tolist(), level.low.tolist(), bool(level.has_locks), bool(level.has_preparation)


@functools.cache
def many():
    """Levels of all kinds: drawn ones, edited ones, and edited ones with some walls made low."""
    levels = HideAndSeekLevels("rooms", max_long=4, num_edits=30)
    world = HideAndSeek(height=9, width=8, max_boxes=4, max_ramps=3, levels=levels)
    space = world.level_space

    @jax.jit
    def make(keys, words):
        drawn = jax.vmap(space.sample)(keys)
        edited = jax.vmap(space.mutate)(keys, drawn)
        lowered = edited.replace(tall=edited.tall & words, low=edited.tall & ~words)
        return drawn, edited, lowered

    words = jax.random.bits(jax.random.key(1), (60, 9, 1), jnp.uint32)
    batches = make(samples.keys(60), words)
    return world, [level for batch in batches for level in samples.unstack(batch)]


def test_round_trip_up_to_the_order_of_like_things():
    world, levels = many()
    space = world.level_space
    assert sum(level.low.any() for level in levels) > 10
    for level in levels:
        text = space.to_text(level)
        again = space.from_text(text)
        assert in_reading_order(again, 2) == in_reading_order(level, 2)
        assert space.to_text(again) == text
        listed = [thing for thing in samples.things(again, 2) if thing[0] == "box"]
        middles = [cells[len(cells) // 2] for _, cells, _ in listed]
        assert middles == sorted(middles)


def test_a_file_of_several_levels():
    two = f"locks: no\n{DRAWING}\n\n{DRAWING}"
    levels = levels_of_text(SPACE, two, "levels.txt", "this test")
    assert [bool(level.has_locks) for level in levels] == [False, True]
    # A switch, five rows, two empty lines: the second level starts on line 9.
    message = "levels.txt, the level that starts on line 9: unknown symbol '?' at line 5, column 7"
    with pytest.raises(UserError, match=re.escape(message)):
        levels_of_text(SPACE, two.strip()[:-1] + "?", "levels.txt", "this test")


def changed(line, column, symbol):
    lines = DRAWING.strip().split("\n")
    row = lines[line - 1]
    lines[line - 1] = row[: column - 1] + symbol + row[column:]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the level is empty; draw it with 19 symbols, one a cell: #=.>v<^ESWNeswno+-|"),
        (changed(2, 4, "x"), "unknown symbol 'x' at line 2, column 4; known: #=.>v<^ESWNeswno+-|"),
        ("locks: no\n" + changed(2, 4, "x"), "unknown symbol 'x' at line 3, column 4; known: #=.>v<^ESWNeswno+-|"),
        (DRAWING.replace(".E.N.s.", ".E.N.s"), "line 5 of the level has 6 cells; line 1 has 7"),
        ("..E\n>..", "the level is drawn 2x3; this world is 5x7 (--env.height, --env.width)"),
        ("lock: no\n" + DRAWING, "line 1 says 'lock'; allowed before the map: locks, preparation"),
        ("\nlocks: off\n" + DRAWING, "line 2 says locks: 'off'; allowed: yes, no"),
        (DRAWING + "locks: no\n", "unknown symbol 'l' at line 6, column 1; known: #=.>v<^ESWNeswno+-|"),
        (changed(2, 6, "."), "+ at line 2, column 5 is an end of 0 boxes; allowed: 1, of a - beside it or a | above or"
         " below it"),
        (changed(2, 7, "."), "- at line 2, column 6 is no middle of a box; allowed: + on both sides of -, above and"
         " below |"),
        (changed(3, 1, "-"), "- at line 3, column 1 is no middle of a box; allowed: + on both sides of -, above and"
         " below |"),
        (changed(5, 1, "|"), "| at line 5, column 1 is no middle of a box; allowed: + on both sides of -, above and"
         " below |"),
        (changed(5, 1, "+"), "+ at line 5, column 1 is an end of 0 boxes; allowed: 1, of a - beside it or a | above or"
         " below it"),
        (".......\n.+.....\n.|..>..\n.+-+...\n......E", "+ at line 4, column 2 is an end of 2 boxes; allowed: 1, of a -"
         " beside it or a | above or below it"),
        (changed(5, 1, "^"), "^ at line 5, column 1 is one of 3 hiders; allowed: at most 2 (max_hiders)"),
        (changed(1, 4, "W"), "N at line 5, column 4 is one of 3 seekers; allowed: at most 2 (max_seekers)"),
        ("preparation: no\n" + changed(5, 1, "o"), "o at line 6, column 1 is one of 5 boxes; allowed: at most 4"
         " (max_boxes)"),
        (changed(5, 7, "n"), "n at line 5, column 7 is one of 4 ramps; allowed: at most 3 (max_ramps)"),
        (".......\n..o....\n.......\n......w\n......E", "the level has 0 hiders; allowed: at least 1"),
        (".......\n..o....\n.......\n......w\n......v", "the level has 0 seekers; allowed: at least 1"),
        ("...#...\n...#...\n.>.#.E.\n...#...\n...#...", "hider 1 in cell (2, 1) is walled in; allowed: a way to a seeker"
         " that no wall blocks"),
        ("..#....\n>.#....\n..#.E.N\n..#.v..\n..#....", "hider 1 in cell (1, 0) is walled in; allowed: a way to a seeker"
         " that no wall blocks"),
        (".....#.\n>....#E\n.....#.\n..N..=.\n.....#.", "seeker 1 in cell (1, 6) is walled in; allowed: a way to a hider"
         " that no wall blocks"),
    ],
)  # fmt: skip
def test_every_bad_map_is_told_in_a_line(text, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        SPACE.from_text(text)


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


# -- suites -----------------------------------------------------------------------------------------------------------


def test_suites_of_a_world():
    world = HideAndSeek()
    space = world.level_space
    assert list(space.suites) == ["random", "no_ramps", "no_locks", "no_preparation", "fort", "ladder"]
    (random,) = space.suite("random")
    assert len(random.names) == 32
    assert random.env == world
    present = np.asarray(random.levels.agent_present)
    for name, here in zip(random.names, present, strict=True):
        assert name == f"{here[:2].sum()}v{here[2:].sum()}"
    assert set(random.names) == {"1v1", "1v2", "2v1", "2v2"}
    assert bool(jax.jit(jax.vmap(space.is_valid))(random.levels).all())
    assert same(space.suite("random")[0].levels, random.levels)
    with pytest.raises(UserError, match="unknown suite 'randm'"):
        space.suite("randm")


def test_suites_without_one_thing_are_the_same_levels_otherwise():
    space = HideAndSeek().level_space
    levels = space.suite("random")[0].levels
    assert np.asarray(levels.ramp_present).any()
    bare = space.suite("no_ramps")[0].levels
    assert samples.is_canonical(bare).all()
    assert not np.asarray(bare.ramp_present).any()
    ramps = {name: getattr(levels, name) for name in ("ramp_positions", "ramp_directions", "ramp_present")}
    assert same(bare.replace(**ramps), levels)
    for name, switch in (("no_locks", "has_locks"), ("no_preparation", "has_preparation")):
        other = space.suite(name)[0].levels
        assert not np.asarray(getattr(other, switch)).any()
        assert same(other.replace(**{switch: getattr(levels, switch)}), levels)


def test_worlds_have_only_the_suites_that_say_something():
    options = HideAndSeekLevels("open", locks=False, preparation=False)
    assert list(HideAndSeek(max_ramps=0, levels=options).level_space.suites) == ["random", "ladder"]
    assert "no_locks" not in HideAndSeek(max_boxes=0, ramps_lockable=False).level_space.suites
    assert "no_locks" in HideAndSeek(max_boxes=0).level_space.suites
    assert list(HideAndSeek(height=6, width=6, preparation=0.0).level_space.suites) == [
        "random",
        "no_ramps",
        "no_locks",
    ]


@pytest.mark.parametrize("max_boxes", [1, 2, 3])
def test_rooms_of_the_fort_suite_can_be_closed(max_boxes):
    """Whatever training draws: hiders begin in the room, and there are as many boxes as ways out of it."""
    drawn = HideAndSeekLevels(
        door_dropout=0.0 if max_boxes > 1 else 0.5,
        min_boxes=3 if max_boxes == 3 else 0,
        min_long=max_boxes,
        max_long=max_boxes,
        locks=False,
    )
    world = HideAndSeek(height=8, width=8, max_hiders=1, max_seekers=1, max_boxes=max_boxes, max_ramps=0, levels=drawn)
    (fort,) = world.level_space.suite("fort")
    assert fort.env == world
    for level in samples.unstack(fort.levels):
        walls = np.asarray(bitboard.unpack(level.tall, 8))
        # The room is the corner within the walls: its doors are the gaps in the first row and column that have any.
        top, left = np.flatnonzero(walls.any(axis=1))[0], np.flatnonzero(walls.any(axis=0))[0]
        doors = (~walls[top, left:]).sum() + (~walls[top:, left]).sum()
        assert 1 <= doors <= (2 if max_boxes > 1 else 1)
        assert level.box_present.sum() >= (3 if max_boxes == 3 else doors)
        assert (level.box_shapes == 0).all()  # a long one may find no place, or no way through the room
        hider, seeker = np.asarray(level.agent_positions)
        assert (hider > (top, left)).all()
        assert (seeker < (top, left)).any()
        assert not level.has_locks  # an ablation stays one
        assert level.has_preparation
    assert "fort" not in HideAndSeek(max_boxes=0).level_space.suites
    # A room of 2x2 takes three hiders and a box, and then nobody can move.
    small = HideAndSeek(height=5, width=5, max_hiders=3, max_boxes=1, max_ramps=0)
    assert "fort" not in small.level_space.suites
    assert "fort" in HideAndSeek(height=5, width=5, max_hiders=2, max_boxes=1, max_ramps=0).level_space.suites
    assert "fort" not in HideAndSeek(preparation=0.0).level_space.suites
    assert "fort" not in HideAndSeek(levels=HideAndSeekLevels("open")).level_space.suites


def test_the_ladder_lies_in_the_middle_of_the_arena():
    space = HideAndSeek().level_space
    (ladder,) = space.suite("ladder")
    assert ladder.names == tuple(maps.MAPS)
    assert bool(jax.jit(jax.vmap(space.is_valid))(ladder.levels).all())
    field = space.to_text(jax.tree.map(lambda leaf: leaf[0], ladder.levels)).split("\n")
    # 7x7 in 12x12: two rows and columns before, three behind.
    assert field[:2] == ["#" * 12] * 2
    assert field[9:] == ["#" * 12] * 3
    assert [row[2:9] for row in field[2:9]] == maps.rows_of("open_field")
    assert all(row[:2] + row[9:] == "#####" for row in field)


def test_a_world_has_the_maps_it_has_room_for():
    def names(**options):
        return HideAndSeek(**options).level_space.suite("ladder")[0].names

    assert names(max_boxes=0, max_ramps=0) == ("open_field", "around_a_wall", "two_rooms")
    assert "fort_of_two" not in names(max_hiders=1)
    assert names(max_ramps=0) == ("open_field", "around_a_wall", "two_rooms", "fort", "fort_of_two", "wide_door")
    told = HideAndSeek(max_ramps=0).level_space.suites["ladder"]
    assert told.endswith(
        f"the 6 of {len(maps.MAPS)} that fit; the others are larger, or have more agents, boxes or ramps"
        " than the world has room for."
    )
    assert HideAndSeek().level_space.suites["ladder"].endswith(f", {len(maps.MAPS)} levels.")
    assert "fort" not in names(height=9, width=10, margin=1)  # an arena of 7x8
