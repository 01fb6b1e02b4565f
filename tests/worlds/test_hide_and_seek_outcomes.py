"""What agents of hide and seek see, what they earn and what is told of an episode, by hand. See the stories' module."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hide_and_seek_matches import World, to_levels
from hide_and_seek_oracle import Arena, Options, in_cone
from hide_and_seek_stories import (
    B1,
    EAST,
    GAME,
    H1,
    H2,
    LOCK,
    MARGIN,
    NORTH,
    PREPARATION,
    RAMP,
    S1,
    SINGLE,
    SOUTH,
    STEPS,
    STRICT,
    SURFING,
    TALL,
    UP,
    WEST,
    WIDE,
    Story,
    drag,
    go,
    level,
    play,
)

from minied_envs.hide_and_seek.sight import visible

# -- preparation and rewards ------------------------------------------------------------------------------------------


def test_seekers_wait_and_nothing_is_paid_in_preparation():
    # H1 looks at S1, which looks the other way and tries to walk off all the time: it does so from the sixth step on.
    arena = level([(3, 0, EAST)], [(3, 3, EAST)], has_preparation=True)
    story = play(arena, [{S1: go(EAST)}] * 8)
    assert story.cells(S1, 8) == [(3, 3)] * PREPARATION + [(3, 4), (3, 5), (3, 6)]
    assert story.rewards[:PREPARATION] == [[0.0] * 4] * PREPARATION
    assert story.rewards[PREPARATION:] == [[1.0, 0.0, -1.0, 0.0]] * (STEPS - PREPARATION)
    without = play(dataclasses.replace(arena, has_preparation=False), [])
    assert without.rewards == [[1.0, 0.0, -1.0, 0.0]] * STEPS


def test_preparation_is_a_share_of_the_steps_as_it_was_written():
    # 0.29 · 100 is 28.999999999999996 in floats
    env = World(7, 7, (1, 1, 0, 0), Options(100, preparation=0.29)).env()
    arena = Arena(7, 7, ((0, 0, 0),), ((1, 1, 0),))
    for has_preparation, steps in ((True, 29), (False, 0)):
        levels = to_levels([dataclasses.replace(arena, has_preparation=has_preparation)])
        assert int(env.preparation_steps(jax.tree.map(lambda leaf: leaf[0], levels))) == steps


# A tall wall along row 3 keeps two duels apart: S1 sees H1, S2 looks away from H2.
DUELS = level(
    [(1, 1, SOUTH), (5, 1, SOUTH)], [(1, 4, WEST), (5, 4, EAST)], tall=[(3, col) for col in range(7)]
)  # fmt: skip
# Both hiders are before S1, none before S2
TWO_SEEN = level([(1, 1, SOUTH), (2, 1, SOUTH)], [(1, 4, WEST), (5, 4, EAST)])


@pytest.mark.parametrize(
    ("world", "arena", "expected"),
    [
        (GAME, DUELS, [-1, -1, 1, 1]),  # one is found: all hiders lose
        (GAME, TWO_SEEN, [-1, -1, 1, 1]),
        (STRICT, DUELS, [-1, 1, 1, -1]),  # each by itself
        (STRICT, TWO_SEEN, [-1, -1, 1, -1]),
        (MARGIN, DUELS, [0, 0, 0, 0]),  # means: (-1 + 1) / 2 on both sides
        (MARGIN, TWO_SEEN, [-1, -1, 0, 0]),
        (GAME, dataclasses.replace(DUELS, hiders=(None, (5, 1, SOUTH))), [0, 1, -1, -1]),  # the other one is not found
        (MARGIN, dataclasses.replace(TWO_SEEN, seekers=((1, 4, WEST), None)), [-1, -1, 1, 0]),  # the mean of those here
        (STRICT, dataclasses.replace(DUELS, hiders=((1, 1, SOUTH), None)), [-1, 0, 1, -1]),
    ],
)
def test_rewards_of_three_kinds(world, arena, expected):
    assert play(arena, [], world).rewards == [expected] * STEPS


def test_leaving_the_arena_costs_an_agent_and_a_box_outside_costs_everybody():
    # Rows and cols 1 to 5 of 0 to 6 are inside. H2 goes to col 0, where the duel of the others pays as before: 0 each.
    outside = play(DUELS, [{H2: go(WEST)}, {H2: go(EAST)}], MARGIN)
    assert outside.rewards[:2] == [[0.0, -10.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    # The centre of a wide box at col 4 is inside, and so is its east end; one step on, that end is in col 6.
    arena = dataclasses.replace(DUELS, hiders=((1, 1, SOUTH), (2, 2, EAST)), boxes=((2, 4, WIDE), None))
    story = play(arena, [{}, {H2: drag(EAST)}], MARGIN)
    assert story.rewards[1] == [-10.0] * 4
    assert -10.0 not in story.rewards[0]
    # Absent ones pay nothing, and in preparation nobody does.
    fewer = dataclasses.replace(arena, seekers=((1, 4, WEST), None), has_preparation=True)
    story = play(fewer, [{}, {H2: drag(EAST)}], MARGIN)
    assert story.rewards[1] == [0.0] * 4
    assert story.rewards[PREPARATION] == [-10.0, -10.0, -10.0, 0.0]


def test_hiders_win_by_a_positive_mean_return_of_those_present():
    env = GAME.env()
    for returns, won in (
        ([3, -2, -1, 0], True),
        ([3, -4, 9, 9], False),
        ([0, 0.5, -7, 0], True),
        ([0, 0, -1, -1], False),
    ):
        assert bool(env.is_solved(jnp.array(returns, jnp.float32))) == won


# -- sight ------------------------------------------------------------------------------------------------------------


def face_to_face(start, end, **things) -> Story:
    """H1 and S1 look along the row or column at each other."""
    return play(level([(*start, EAST)], [(*end, WEST)], **things), [])


def sees(story: Story, step: int = 0) -> list[bool]:
    return [story.sees_agents[step][H1][S1], story.sees_agents[step][S1][H1]]


@pytest.mark.parametrize(
    ("things", "clear"),
    [
        ({}, True),
        ({"tall": [(3, 3)]}, False),
        ({"low": [(3, 3)]}, False),
        ({"boxes": [(3, 3, SINGLE)]}, False),
        ({"boxes": [(2, 3, TALL)]}, False),  # its south end
        ({"ramps": [(3, 3, EAST)]}, False),
        ({"tall": [(2, 3), (4, 3)], "low": [(2, 2), (4, 4)], "boxes": [(1, 3, SINGLE)]}, True),  # all beside the ray
        ({"tall": [(3, 0), (3, 6)]}, True),  # behind their backs
    ],
)
def test_what_stands_between_two_on_the_ground_blocks(things, clear):
    assert sees(face_to_face((3, 1), (3, 5), **things)) == [clear, clear]


def test_agents_do_not_block():
    story = play(level([(3, 1, EAST), (3, 3, EAST)], [(3, 5, WEST)]), [])
    assert sees(story) == [True, True]


@pytest.mark.parametrize("corner", [(1, 2), (2, 1), (2, 2), (2, 3), (3, 2)])
def test_a_ray_through_a_corner_touches_all_four_cells(corner):
    # From (1, 1) to (3, 3) it runs along the diagonal: through (2, 2) and the corners where four cells meet.
    assert sees(face_to_face((1, 1), (3, 3), low=[corner])) == [False, False]


def test_a_diagonal_touches_nothing_else():
    around = [(0, 1), (0, 2), (1, 3), (3, 1), (2, 0), (1, 0), (3, 4), (4, 3), (2, 4), (4, 2)]
    assert sees(face_to_face((1, 1), (3, 3), low=around)) == [True, True]


@pytest.mark.parametrize("cell", [(2, 2), (3, 2), (2, 3), (3, 1)])
def test_a_slanted_ray_touches_the_two_cells_between(cell):
    # From (2, 1) by (1, 2): |1 · (c - 1) - 2 · (r - 2)| <= 3/2 holds for (2, 2): 1, (3, 2): |1 - 2| = 1;
    # not for (2, 3): 2, (3, 1): 2. On the way back it is the same cells.
    touched = cell in ((2, 2), (3, 2))
    assert sees(face_to_face((2, 1), (3, 3), tall=[cell])) == [not touched] * 2


def test_from_above_both_look_over_what_is_low_but_not_over_what_is_tall():
    # H1 at (3, 0) goes onto the ramp (3, 1); a box at (3, 3) hid S1 at (3, 5) before.
    arena = level([(3, 0, EAST)], [(3, 5, WEST)], boxes=[(3, 3, SINGLE)], ramps=[(3, 1, EAST)])
    story = play(arena, [{H1: go(EAST)}])
    assert (sees(story, 0), sees(story, 1)) == ([False, False], [True, True])
    behind_a_wall = dataclasses.replace(arena, tall=frozenset({(3, 4)}))
    assert sees(play(behind_a_wall, [{H1: go(EAST)}]), 1) == [False, False]


def test_an_object_is_seen_at_its_centre_over_its_own_cells():
    # H1 at (3, 0) looks east at a wide box around (3, 3), whose west end is at (3, 2), and at a ramp behind it.
    arena = level([(3, 0, EAST)], boxes=[(3, 3, WIDE), (0, 0, SINGLE)], ramps=[(3, 5, WEST)])
    assert play(arena, []).sees_objects[0][H1] == [True, False, False]
    # A low wall at (3, 1) hides it, though one above would see it; and a tall wall always does.
    assert play(dataclasses.replace(arena, low=frozenset({(3, 1)})), []).sees_objects[0][H1] == [False] * 3
    # Only one end is in view: the centre counts. From (3, 0), (5, 1) is 63 degrees off and (6, 1) 72.
    standing = level([(3, 0, EAST)], boxes=[(6, 1, WIDE), (1, 1, TALL)])
    assert play(standing, []).sees_objects[0][H1] == [False, True, False]


def test_from_above_one_looks_over_one_thing_at_another_but_is_not_tall_itself():
    # Row 3: H1, ramp, ., B1, B2. From the ramp H1 sees both boxes; S1 at (3, 6) sees B2 alone, and H1 over both.
    arena = level([(3, 0, EAST)], [(3, 6, WEST)], [(3, 3, SINGLE), (3, 4, SINGLE)], [(3, 1, EAST)])
    story = play(arena, [{H1: go(EAST)}, {H1: go(EAST)}])
    assert [seen[H1] for seen in story.sees_objects[:3]] == [
        [False, False, True],  # the ramp hides the boxes
        [True, True, True],  # at the ramp's centre, it sees it
        [True, False, False],  # on the ground again, the ramp behind it
    ]
    assert [seen[S1][:3] for seen in story.sees_objects[:3]] == [[False, True, False]] * 3
    assert [sees(story, step) for step in range(3)] == [[False, False], [True, True], [False, False]]


def test_who_stands_on_a_centre_sees_the_thing_wherever_it_looks():
    story = play(SURFING, [*UP, {H1: go(NORTH)}])
    assert [seen[H1][RAMP] for seen in story.sees_objects[:4]] == [True, True, False, False]
    # Against the border it only turns: still on the box, which is seen though it looks away from everything.
    by_the_border = level([(0, 0, EAST)], boxes=[(0, 2, SINGLE)], ramps=[(0, 1, EAST)])
    story = play(by_the_border, [*UP, {H1: go(NORTH)}])
    assert story.cells(H1, 3)[-1] == (0, 2)
    assert story.sees_objects[3][H1][B1]


CONES = {  # (down, right) of what somebody who looks east sees, and of what it does not
    # tan 67.5 = 1 + sqrt(2) = 2.4142: 2/1 = 2 and 12/5 = 2.4 are inside, 5/2 = 2.5 and 3/1 outside
    135.0: (
        [(0, 1), (1, 1), (1, 2), (2, 1), (-2, 1), (7, 3), (12, 5), (-12, 5)],
        [(5, 2), (-5, 2), (3, 1), (1, 0), (0, -1)],
    ),
    # The edge is the diagonal itself
    90.0: ([(0, 3), (1, 1), (-1, 1), (3, 3), (7, 7), (-11, 11), (12, 12), (11, 12)], [(12, 11), (2, 1), (1, 0)]),
    180.0: ([(1, 0), (-1, 0), (12, 0), (-7, 0), (3, 1)], [(1, -1), (-12, -1), (0, -1)]),
    360.0: ([(0, 1), (0, -1), (12, 0), (-3, -4)], []),
}


@pytest.mark.parametrize("field_of_view", CONES)
def test_edges_of_cones_looking_all_four_ways(field_of_view):
    world = World(13, 13, (1, 1, 0, 0), Options(20, field_of_view=field_of_view))
    inside, outside = CONES[field_of_view]
    arenas, expected = [], []
    every = [(down, right) for down in range(-12, 13) for right in range(-12, 13) if (down, right) != (0, 0)]
    for down, right in [*inside, *outside, *every]:
        for direction in range(4):
            row, col = 12 * (down < 0) if down else 6, 12 * (right < 0) if right else 6
            if 0 <= row + down < 13 and 0 <= col + right < 13:
                arenas.append(Arena(13, 13, ((row, col, direction),), ((row + down, col + right, 0),)))
                expected.append(in_cone(direction, down, right, field_of_view))
        assert (down, right) not in inside or in_cone(EAST, down, right, field_of_view)
        assert (down, right) not in outside or not in_cone(EAST, down, right, field_of_view)
        # A quarter turn with the clock takes (down, right) to (right, -down) and east to south.
        views = {in_cone(d, *turn, field_of_view) for d, turn in enumerate(quarter_turns(down, right))}
        assert len(views) == 1
    env = world.env()
    look = jax.jit(jax.vmap(lambda level: visible(env, level, env.reset(jax.random.key(0), level)[1])[0][0, 1]))
    np.testing.assert_array_equal(look(to_levels(arenas)), expected)


def quarter_turns(down: int, right: int) -> list[tuple[int, int]]:
    turns = [(down, right)]
    for _ in range(3):
        down, right = right, -down
        turns.append((down, right))
    return turns


# -- statistics -------------------------------------------------------------------------------------------------------


FORT = {"has_preparation": True, "boxes": [(1, 1, SINGLE)]}
PUSH_AND_LOCK = [{H1: drag(EAST)}, {H1: (0, 1, 1)}]  # the box from (1, 1) into the door (1, 2), and locks it there
NONE_PREPARED = [{}] * (PREPARATION - 2)


def test_seekers_that_come_over_the_ramp():
    # . . # . . . .   The room is 2x2 cells. H1 comes from (1, 0), shuts the door and stands at (1, 1) when preparation
    # H b . . . . .   ends. S1 waits at (4, 1) before the ramp at (3, 1), which rises north onto the low wall (2, 1).
    # - - # . . . .   Step 6: up the ramp, sees H1 over the wall. 7: on the wall, H1 goes to (1, 0), seen still,
    # . ^ . . . . .   at 45 degrees. 8: down to (1, 1), looks north past H1: hidden from then on.
    # . S . . . . .
    arena = level(
        [(1, 0, EAST)], [(4, 1, NORTH)], ramps=[(3, 1, NORTH)], tall=[(0, 2), (2, 2)], low=[(2, 0), (2, 1)], **FORT
    )
    script = [*PUSH_AND_LOCK, *NONE_PREPARED, {S1: go(NORTH)}, {S1: go(NORTH), H1: go(WEST)}, {S1: go(NORTH)}]
    story = play(arena, script)
    assert story.cells(S1, 8)[-3:] == [(3, 1), (2, 1), (1, 1)]
    assert [reward[H1] for reward in story.rewards] == [0.0] * 5 + [-1.0] * 2 + [1.0] * 13
    assert story.statistics == pytest.approx(
        {
            "box_move_preparation": 1, "box_move": 1, "boxes_locked_preparation": 1, "boxes_locked": 1,
            "boxes_free_preparation": 0, "ramp_move_preparation": 0, "ramp_move": 0, "ramps_locked_preparation": 0,
            "ramps_locked": 0, "enclosed": 1, "breach": 1, "fort_held": 0, "via_ramp": 1, "surf_steps": 0,
            "elevated_steps": 2,
            "ramp_denied": 0, "hidden": 13 / 15,
        }
    )  # fmt: skip


def test_who_comes_over_the_ramp_counts_though_it_sees_nobody():
    # # # # # # # .   From the ramp at (3, 1), from the low wall at (2, 1) and from (1, 1), always looking north, S1 does
    # # . . . H # .   not see H1 at (1, 4): behind the tall wall, 72 degrees off, 90 degrees off.
    # # - # # # # .
    # . ^ . . . . .
    # . S . . . . .
    walls = [(0, col) for col in range(6)] + [(1, 0), (1, 5)] + [(2, col) for col in (0, 2, 3, 4, 5)]
    arena = level(
        [(1, 4, EAST)], [(4, 1, NORTH)], ramps=[(3, 1, NORTH)], tall=walls, low=[(2, 1)], has_preparation=True
    )
    story = play(arena, [{}] * PREPARATION + [{S1: go(NORTH)}] * 3)
    assert story.cells(S1, 8)[5:] == [(3, 1), (2, 1), (1, 1)]
    expected = {"enclosed": 1, "breach": 1, "via_ramp": 1, "hidden": 1, "elevated_steps": 2}
    assert {name: story.statistics[name] for name in expected} == expected


def test_a_hider_who_leaves_its_fort_is_no_victim_of_a_ramp():
    # . . # . . . .   H1 has shut itself in and stands at (1, 1). Step 6: S1 goes north onto the ramp, (3, 6). From there H1
    # H b . . . . .   is 2 rows up and 5 cols to the left, 68 degrees off a cone of 67.5 either way. 7: H1 pushes its box
    # # # # . . . .   out and stands in the door, (1, 2), 63 degrees off: seen, by somebody who is elevated.
    # . . . . . . ^
    # . . . . . . S
    arena = level([(1, 0, EAST)], [(4, 6, NORTH)], ramps=[(3, 6, NORTH)], tall=[(0, 2), (2, 0), (2, 1), (2, 2)], **FORT)
    script = [{H1: drag(EAST)}, *[{}] * (PREPARATION - 1), {S1: go(NORTH)}, {H1: drag(EAST)}]
    story = play(arena, script)
    assert story.cells(H1, 7)[-3:] == [(1, 1), (1, 1), (1, 2)]
    expected = {"enclosed": 1, "breach": 1, "fort_held": 0, "via_ramp": 0, "elevated_steps": 15, "hidden": 1 / 15}
    assert {name: story.statistics[name] for name in expected} == pytest.approx(expected)


def test_seekers_that_drag_the_door_away():
    # As before, but the walls are tall, the ramp is in the room, and the box is pushed but not locked. S1 waits behind it.
    # . > # . . . .   Steps 6, 7: drags it east, from (1, 2) to (1, 4), itself at (1, 5); 8 to 11: around it to (1, 3);
    # H b . S . . .   12: the door; 13: (1, 1), in the room, while H1 is at (0, 0): a breach, and not from above.
    # # # # . . . .
    arena = level([(1, 0, EAST)], [(1, 3, WEST)], ramps=[(0, 1, EAST)], tall=[(0, 2), (2, 0), (2, 1), (2, 2)], **FORT)
    prepare = [{H1: drag(EAST)}, {H1: go(WEST)}, {H1: go(NORTH)}, {}, {}]
    around = [{S1: go(direction)} for direction in (SOUTH, WEST, WEST, NORTH, WEST, WEST)]
    story = play(arena, [*prepare, {S1: drag(EAST)}, {S1: drag(EAST)}, *around])
    assert story.cells(S1, 13)[5:] == [(1, 4), (1, 5), (2, 5), (2, 4), (2, 3), (1, 3), (1, 2), (1, 1)]
    expected = {"enclosed": 1, "breach": 1, "via_ramp": 0, "boxes_locked": 0, "boxes_free_preparation": 1, "hidden": 1}
    # The ramp's neighbours (0, 0), (1, 1) are in the room, (0, 2) is a wall: seekers cannot come by it.
    expected |= {"box_move_preparation": 1, "box_move": 3, "ramp_denied": 1, "ramps_locked": 0, "elevated_steps": 0}
    assert {name: story.statistics[name] for name in expected} == expected
    # Nor has it to come in: 6, 7 draw the box to (0, 3), 8 goes to (1, 4), 9 to (1, 3), which looks at H1 at (1, 0).
    away = [{S1: drag(EAST)}, {S1: drag(NORTH)}, {S1: go(SOUTH)}, {S1: go(WEST)}]
    looks_in = play(arena, [*prepare[:2], {}, {}, {}, *away])
    assert looks_in.cells(S1, 9)[5:] == [(1, 4), (0, 4), (1, 4), (1, 3)]
    expected = {"enclosed": 1, "breach": 1, "via_ramp": 0, "hidden": 3 / 15}
    assert {name: looks_in.statistics[name] for name in expected} == pytest.approx(expected)
    # Shut in and left alone, nobody breaks in.
    alone = play(arena, prepare).statistics
    assert (alone["enclosed"], alone["breach"], alone["fort_held"], alone["hidden"]) == (1, 0, 1, 1)
    # Without a box the door is open: not enclosed, so that it is no breach that S1 walks in, nor is the ramp out of reach.
    opened = play(dataclasses.replace(arena, boxes=(None, None)), [{}] * 5 + [{S1: go(WEST)}] * 2)
    assert opened.cells(S1, 7)[5:] == [(1, 2), (1, 1)]
    assert [opened.statistics[name] for name in ("enclosed", "breach", "fort_held", "ramp_denied")] == [0, 0, 0, 0]


def test_open_rooms_elevated_hiders_and_locked_ramps():
    # Nothing between hider and seeker: not enclosed, whatever comes. No box: NaN. The ramp is locked by the hider.
    arena = level([(3, 4, WEST)], [(6, 6, SOUTH)], ramps=[(3, 3, EAST)], has_preparation=True)
    story = play(arena, [{H1: LOCK}])
    assert [story.statistics[name] for name in ("enclosed", "breach", "ramp_denied", "ramps_locked")] == [0, 0, 1, 1]
    boxes = ("box_move", "box_move_preparation", "boxes_locked", "boxes_locked_preparation", "boxes_free_preparation")
    assert all(np.isnan(story.statistics[name]) for name in boxes)
    # Shut in by tall walls, but on its ramp when preparation ends: not enclosed.
    room = level(
        [(0, 0, EAST)], ramps=[(0, 1, EAST)], tall=[(0, 2), (1, 0), (1, 1), (1, 2)], has_preparation=True
    )  # fmt: skip
    assert play(room, [{}, {H1: go(EAST)}]).statistics["enclosed"] == 0
    down_in_time = play(room, [{}, {H1: go(EAST)}, {H1: go(WEST)}]).statistics
    assert (down_in_time["enclosed"], down_in_time["ramp_denied"]) == (1, 1)


def test_a_long_way_is_a_way():
    # Walls in rows 1, 3, 5 with gaps at their ends by turns: S1 at (6, 0) is 4 · 6 + 3 · 2 = 30 moves from H1 at (0, 0).
    walls = {1: 6, 3: 0, 5: 6}
    winding = [(row, col) for row, gap in walls.items() for col in range(7) if col != gap]
    arena = level([(0, 0, EAST)], [(6, 0, SOUTH)], tall=winding, has_preparation=True)
    assert play(arena, []).statistics["enclosed"] == 0
    assert play(dataclasses.replace(arena, low=frozenset({(5, 6)})), []).statistics["enclosed"] == 1


def test_statistics_without_preparation_are_of_the_same_moment():
    # The seeker surfs: up in steps 1 and 2, with the box in 3 to 7, against the border in 8; then it stays above. With
    # preparation it would have waited for 5 of 20 steps: of the steps after these, 2 are on a box that moves, and all above.
    arena = level([(0, 0, EAST)], [(3, 0, EAST)], boxes=[(3, 2, SINGLE)], ramps=[(3, 1, EAST)])
    up = [{S1: go(EAST)}, {S1: go(EAST)}]
    story = play(arena, up + [{S1: drag(direction)} for direction in (EAST, SOUTH, EAST, EAST, EAST, EAST)])
    assert story.places(B1, 8) == [(3, 2), (3, 2), (3, 3), (4, 3), (4, 4), (4, 5), (4, 6), (4, 6)]
    # From (3, 2) to (4, 6): sqrt(1 + 16); after five steps at (4, 4): sqrt(1 + 4)
    expected = {
        "surf_steps": 2, "elevated_steps": 15, "box_move": 17**0.5, "box_move_preparation": 5**0.5, "ramp_move": 0,
    }  # fmt: skip
    assert {name: story.statistics[name] for name in expected} == pytest.approx(expected)
