"""Levels of hide and seek as maps that a person draws, and what is said of one that is drawn wrongly."""

import re

import hide_and_seek_samples as samples
import numpy as np
import pytest
from hide_and_seek_samples import DRAWING, SPACE, many, same

from minied.errors import UserError
from minied.levels.text import levels_of_text
from minied_envs.hide_and_seek.level import make_level


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
