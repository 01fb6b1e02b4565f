"""What agents do in their turns at hide and seek, by hand; the oracle plays each case too. See the stories' module."""

import dataclasses

import pytest
from hide_and_seek_stories import (
    B1,
    B2,
    EAST,
    GAME,
    H1,
    H2,
    HIDERS,
    HOLD,
    LOCK,
    NOBODY,
    NORTH,
    NOTHING,
    RAMP,
    S1,
    S2,
    SEEKERS,
    SINGLE,
    SOUTH,
    STEPS,
    STRICT,
    SURFING,
    TALL,
    UP,
    WEST,
    WIDE,
    drag,
    go,
    level,
    play,
)

# -- on foot ----------------------------------------------------------------------------------------------------------


def test_an_agent_goes_where_the_ground_is_free_and_turns_in_any_case():
    # North is the border, east a low wall, south a box, west another hider: it only turns. Then the other one leaves.
    arena = level([(0, 1, SOUTH), (0, 0, EAST)], boxes=[(1, 1, SINGLE)], low=[(0, 2)])
    script = [{H1: go(NORTH)}, {H1: go(EAST)}, {H1: go(SOUTH)}, {H1: go(WEST)}, {H2: go(SOUTH)}, {H1: go(WEST)}, {}]
    story = play(arena, script)
    assert story.cells(H1, 7) == [(0, 1)] * 5 + [(0, 0)] * 2
    assert story.all("directions", H1, 7) == [NORTH, EAST, SOUTH, WEST, WEST, WEST, WEST]
    assert not any(story.all("elevated", H1, STEPS))


@pytest.mark.parametrize(("order", "enters"), [((H2, H1, S1, S2), True), ((H1, H2, S1, S2), False)])
def test_a_cell_that_somebody_left_in_an_earlier_turn_is_free(order, enters):
    arena = level([(3, 1, EAST), (3, 2, EAST)])
    story = play(arena, [{H1: go(EAST), H2: go(EAST)}], orders=[order])
    assert story.cells(H2, 1) == [(3, 3)]
    assert story.cells(H1, 1) == [(3, 2) if enters else (3, 1)]


def test_of_two_that_want_one_cell_the_earlier_gets_it():
    arena = level([(3, 1, EAST)], [(3, 3, WEST)])
    script = [{H1: go(EAST), S1: go(WEST)}]
    assert play(arena, script, orders=[(H1, H2, S1, S2)]).cells(H1, 1) == [(3, 2)]
    assert play(arena, script, orders=[(H2, S2, S1, H1)]).cells(H1, 1) == [(3, 1)]
    assert play(arena, script, orders=[(H2, S2, S1, H1)]).cells(S1, 1) == [(3, 2)]


# -- up and down ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "direction", "climbs"),
    [((3, 2), EAST, True), ((3, 4), WEST, False), ((2, 3), SOUTH, False), ((4, 3), NORTH, False)],
)
def test_a_ramp_is_climbed_from_its_low_side_only(start, direction, climbs):
    arena = level([(*start, direction)], ramps=[(3, 3, EAST)])
    story = play(arena, [{H1: go(direction)}])
    assert story.cells(H1, 1) == [(3, 3) if climbs else start]
    assert story.all("elevated", H1, 1) == [climbs]
    assert story.all("directions", H1, 1) == [direction]


def test_walking_over_tops_and_down_but_not_up_again():
    # . . . . . # .    H > B B B - .   - low, # tall: over the ramp, a wide box and a low wall, down at the end; the tall
    # H > B B B - .                    wall stops it on the way, and nothing leads back up.
    arena = level([(3, 0, EAST)], boxes=[(3, 3, WIDE)], ramps=[(3, 1, EAST)], low=[(3, 5)], tall=[(2, 5)])
    script = [{H1: go(EAST)}] * 5 + [{H1: go(NORTH)}, {H1: go(EAST)}, {H1: go(WEST)}]
    story = play(arena, script)
    assert story.cells(H1, 8) == [(3, 1), (3, 2), (3, 3), (3, 4), (3, 5), (3, 5), (3, 6), (3, 6)]
    assert story.all("elevated", H1, 8) == [True] * 6 + [False] * 2
    assert story.all("directions", H1, 8)[5:] == [NORTH, EAST, WEST]


def test_one_steps_down_beside_a_ramp_and_over_its_low_side():
    arena = level([(3, 2, EAST), (4, 2, NORTH)], ramps=[(3, 3, EAST)])
    down_its_low_side = play(arena, [{H1: go(EAST)}, {H1: go(WEST)}])
    assert (down_its_low_side.cells(H1, 2), down_its_low_side.all("elevated", H1, 2)) == (
        [(3, 3), (3, 2)],
        [True, False],
    )
    assert play(arena, [{H1: go(EAST)}, {H1: go(NORTH)}]).cells(H1, 2) == [(3, 3), (2, 3)]


def test_an_agent_below_stops_one_above_and_one_above_stops_one_below():
    # H1 climbs; H2 on the ground beside the ramp stops it, and cannot climb after it while it is there.
    arena = level([(3, 2, EAST), (2, 3, SOUTH)], ramps=[(3, 3, EAST)])
    assert play(arena, [{H1: go(EAST)}, {H1: go(NORTH)}]).cells(H1, 2) == [(3, 3), (3, 3)]
    behind = level([(3, 2, EAST), (3, 1, EAST)], ramps=[(3, 3, EAST)])
    script = [{H1: go(EAST)}, {H2: go(EAST)}, {H2: go(EAST)}, {H1: go(EAST)}, {H2: go(EAST)}]
    story = play(behind, script)
    assert story.cells(H2, 5) == [(3, 1), (3, 2), (3, 2), (3, 2), (3, 3)]
    assert story.all("elevated", H2, 5) == [False] * 4 + [True]


# -- holding ----------------------------------------------------------------------------------------------------------


def test_a_box_is_pushed_pulled_and_taken_along_sideways_at_its_distance():
    # Held from (3, 2), the box at (3, 3) goes wherever the agent goes; let go of, it stays.
    arena = level([(3, 2, EAST)], boxes=[(3, 3, SINGLE)])
    script = [{H1: drag(direction)} for direction in (EAST, NORTH, WEST, SOUTH)] + [{H1: go(NORTH)}]
    story = play(arena, script)
    assert story.cells(H1, 5) == [(3, 3), (2, 3), (2, 2), (3, 2), (2, 2)]
    assert story.places(B1, 5) == [(3, 4), (2, 4), (2, 3), (3, 3), (3, 3)]
    assert story.all("holding", H1, 5) == [B1, B1, B1, B1, NOTHING]
    assert story.all("directions", H1, 5) == [EAST, NORTH, WEST, SOUTH, NORTH]


def test_only_what_is_ahead_before_the_move_is_grabbed():
    # It looks north in its turn: grabbing finds nothing, though it then turns east against the box. The next turn does.
    arena = level([(3, 2, NORTH)], boxes=[(3, 3, SINGLE)])
    story = play(arena, [{H1: drag(EAST)}, {H1: drag(EAST)}])
    assert story.all("holding", H1, 2) == [NOTHING, B1]
    assert story.places(B1, 2) == [(3, 3), (3, 4)]


@pytest.mark.parametrize(
    ("direction", "things"),
    [
        (EAST, {"tall": [(3, 4)]}),  # before the box
        (EAST, {"low": [(3, 4)]}),
        (EAST, {"boxes": [(3, 3, SINGLE), (3, 4, SINGLE)]}),
        (EAST, {"ramps": [(3, 4, EAST)]}),
        (EAST, {"seekers": [(3, 4, NORTH)]}),
        (WEST, {"tall": [(3, 1)]}),  # behind the agent
        (WEST, {"low": [(3, 1)]}),
        (WEST, {"ramps": [(3, 1, WEST)]}),  # nobody climbs with a box in hand
        (WEST, {"seekers": [(3, 1, NORTH)]}),
        (NORTH, {"tall": [(2, 3)]}),  # beside the box
        (NORTH, {"tall": [(2, 2)]}),  # beside the agent
        (NORTH, {"seekers": [(2, 3, NORTH)]}),
    ],
)
def test_nothing_moves_if_agent_or_box_cannot(direction, things):
    arena = level([(3, 2, EAST)], **({"boxes": [(3, 3, SINGLE)]} | things))
    story = play(arena, [{H1: drag(direction)}])
    assert (story.cells(H1, 1), story.places(B1, 1)) == ([(3, 2)], [(3, 3)])
    assert story.all("holding", H1, 1) == [B1]
    assert story.all("directions", H1, 1) == [direction]


def test_borders_stop_agent_and_box():
    by_the_edge = level([(3, 5, EAST)], boxes=[(3, 6, SINGLE)])
    assert play(by_the_edge, [{H1: drag(EAST)}]).cells(H1, 1) == [(3, 5)]
    in_the_corner = level([(0, 0, EAST)], boxes=[(0, 1, SINGLE)])
    assert play(in_the_corner, [{H1: drag(WEST)}, {H1: drag(NORTH)}]).places(B1, 2) == [(0, 1)] * 2
    # One cell before the border a wide box is already there: its east end is in column 6.
    wide = level([(3, 3, EAST)], boxes=[(3, 5, WIDE)])
    assert play(wide, [{H1: drag(EAST)}]).places(B1, 1) == [(3, 5)]


def test_who_drags_a_thing_takes_it_out_of_other_hands():
    arena = level([(3, 2, EAST), (3, 4, WEST)], boxes=[(3, 3, SINGLE)])
    in_turn, against = (H1, H2, S1, S2), (H2, H1, S1, S2)
    story = play(arena, [{H1: HOLD, H2: HOLD}, {H1: drag(NORTH), H2: HOLD}], orders=[in_turn] * 2)
    assert story.all("holding", H1, 2) == [B1, B1]
    assert story.all("holding", H2, 2) == [B1, NOTHING]
    assert story.places(B1, 2) == [(3, 3), (2, 3)]
    # If both drag, whoever has its turn first has it: H2, to (3, 4). H1 then goes west alone.
    both = [{H1: HOLD, H2: HOLD}, {H1: drag(WEST), H2: drag(EAST)}]
    story = play(arena, both, orders=[in_turn, against])
    assert story.places(B1, 2) == [(3, 3), (3, 4)]
    assert story.all("holding", H1, 2) == [B1, NOTHING]
    assert story.cells(H1, 2) == [(3, 2), (3, 1)]
    # A drag that fails takes nothing from anybody: north of (0, 3) there is nothing.
    at_border = level([(0, 2, EAST), (0, 4, WEST)], boxes=[(0, 3, SINGLE)])
    story = play(at_border, [{H1: HOLD, H2: HOLD}, {H1: drag(NORTH), H2: HOLD}])
    assert story.all("holding", H2, 2) == [B1, B1]


def test_somebody_on_top_keeps_a_box_where_it_is_until_it_steps_off():
    # H2 goes over the ramp onto the east end of the wide box; H1 holds the box's west end from below.
    # . . > . .   row 3: H1 B B B . and the ramp at (2, 4), which rises south: from (1, 4) onto (3, 4).
    arena = level([(3, 1, EAST), (1, 4, SOUTH)], boxes=[(3, 3, WIDE)], ramps=[(2, 4, SOUTH)])
    script = [{H2: go(SOUTH)}, {H2: go(SOUTH)}, {H1: drag(WEST)}, {H1: HOLD, H2: go(SOUTH)}, {H1: drag(WEST)}]
    story = play(arena, script)
    assert story.all("elevated", H2, 5) == [True, True, True, False, False]
    assert story.cells(H2, 5) == [(2, 4), (3, 4), (3, 4), (4, 4), (4, 4)]
    assert story.places(B1, 5) == [(3, 3)] * 4 + [(3, 2)]
    assert story.cells(H1, 5) == [(3, 1)] * 4 + [(3, 0)]


def test_somebody_on_a_ramp_keeps_it_where_it_is():
    arena = level([(3, 2, EAST), (3, 4, WEST)], ramps=[(3, 3, EAST)])
    script = [{H2: HOLD}, {H1: go(EAST), H2: HOLD}, {H2: drag(EAST)}, {H1: go(WEST), H2: HOLD}, {H2: drag(EAST)}]
    story = play(arena, script)
    assert story.cells(H1, 5) == [(3, 2), (3, 3), (3, 3), (3, 2), (3, 2)]
    assert story.places(RAMP, 5) == [(3, 3)] * 4 + [(3, 4)]


def test_a_long_box_fits_through_a_door_only_lengthwise():
    # Column 4 is a wall with a door in row 3. A wide box goes through it; one that stands across does not.
    wall = [(row, 4) for row in range(7) if row != 3]
    lengthwise = level([(3, 0, EAST)], boxes=[(3, 2, WIDE)], tall=wall)
    assert play(lengthwise, [{H1: drag(EAST)}] * 4).places(B1, 4) == [(3, 3), (3, 4), (3, 5), (3, 5)]
    across = level([(3, 0, EAST)], boxes=[(3, 1, TALL)], tall=wall)
    assert play(across, [{H1: drag(EAST)}] * 4).places(B1, 4) == [(3, 2), (3, 3), (3, 3), (3, 3)]


def test_long_boxes_end_to_end_do_not_pass():
    # B1 covers cols 1 to 3 of row 3, B2 cols 4 to 6; B1 goes north and back, not east.
    arena = level([(3, 0, EAST)], boxes=[(3, 2, WIDE), (3, 5, WIDE)])
    assert play(arena, [{H1: drag(EAST)}, {H1: drag(NORTH)}, {H1: drag(EAST)}]).places(B1, 3) == [
        (3, 2),
        (2, 2),
        (2, 3),
    ]


def test_a_long_box_is_held_by_any_of_its_cells():
    # From (2, 2) the north end of the box that stands around (3, 3) is ahead.
    arena = level([(2, 2, EAST)], boxes=[(3, 3, TALL)])
    story = play(arena, [{H1: drag(SOUTH)}])
    assert (story.cells(H1, 1), story.places(B1, 1)) == ([(3, 2)], [(4, 3)])


# -- on top of a box --------------------------------------------------------------------------------------------------


def test_an_agent_surfs_on_a_box_that_it_grabs():
    # Up to (3, 2), where a grab with the ramp below holds nothing, then with the box to (3, 3), (4, 3).
    story = play(SURFING, [{H1: go(EAST)}, {H1: drag(EAST)}, {H1: drag(EAST)}, {H1: drag(SOUTH)}])
    assert story.all("holding", H1, 4) == [NOTHING, NOTHING, B1, B1]
    assert story.cells(H1, 4) == [(3, 1), (3, 2), (3, 3), (4, 3)]
    assert story.places(B1, 4) == [(3, 2), (3, 2), (3, 3), (4, 3)]
    assert story.all("elevated", H1, 4) == [True] * 4


def test_without_surf_it_steps_down():
    story = play(SURFING, [*UP, {H1: drag(EAST)}], STRICT)
    assert story.all("holding", H1, 3) == [NOTHING] * 3
    assert story.cells(H1, 3) == [(3, 1), (3, 2), (3, 3)]
    assert story.places(B1, 3) == [(3, 2)] * 3
    assert story.all("elevated", H1, 3) == [True, True, False]


def test_who_surfs_is_stopped_by_what_stops_the_box():
    arena = dataclasses.replace(SURFING, low=frozenset({(3, 3)}))
    story = play(
        arena, [*UP, {H1: drag(EAST)}, {H1: go(EAST)}]
    )  # with the box it cannot go onto the wall; alone it can
    assert story.cells(H1, 4) == [(3, 1), (3, 2), (3, 2), (3, 3)]
    assert story.all("elevated", H1, 4) == [True] * 4
    # Who holds the box from below has it taken away.
    held = dataclasses.replace(SURFING, hiders=((3, 0, EAST), (4, 2, NORTH)))
    story = play(held, [*UP, {H1: drag(EAST), H2: HOLD}, {H1: drag(EAST)}], orders=[(H2, H1, S1, S2)] * 4)
    assert story.places(B1, 4) == [(3, 2), (3, 2), (3, 3), (3, 4)]
    assert story.all("holding", H2, 4) == [NOTHING] * 4


def test_surfing_on_the_end_of_a_long_box_moves_all_of_it():
    arena = level([(3, 0, EAST)], boxes=[(3, 3, WIDE)], ramps=[(3, 1, EAST)])
    story = play(arena, [*UP, {H1: drag(NORTH)}, {H1: drag(EAST)}])
    assert story.cells(H1, 4) == [(3, 1), (3, 2), (2, 2), (2, 3)]
    assert story.places(B1, 4) == [(3, 3), (3, 3), (2, 3), (2, 4)]


# -- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_belongs_to_a_team():
    # H1 locks. S1 can neither unlock nor grab. H2 unlocks, then S1 grabs, and locks what it holds, which lets it go.
    arena = level([(3, 2, EAST), (2, 3, SOUTH)], [(3, 4, WEST)], boxes=[(3, 3, SINGLE)])
    script = [{H1: LOCK}, {S1: LOCK}, {S1: HOLD}, {H2: LOCK}, {S1: HOLD}, {S1: (0, 1, 1)}, {H1: LOCK}]
    story = play(arena, script)
    assert story.all("locked_by", B1, 7) == [HIDERS] * 3 + [NOBODY] * 2 + [SEEKERS] * 2
    assert story.all("holding", S1, 7) == [NOTHING] * 4 + [B1, NOTHING, NOTHING]


def test_a_lock_makes_everybody_let_go():
    arena = level([(3, 2, EAST), (2, 3, SOUTH)], [(3, 4, WEST)], boxes=[(3, 3, SINGLE)])
    script = [{H1: HOLD, H2: HOLD, S1: HOLD}, {H1: HOLD, H2: (0, 1, 1), S1: HOLD}]
    story = play(arena, script, orders=[(H1, S1, H2, S2)] * 2)
    assert [story.all("holding", agent, 2) for agent in (H1, H2, S1)] == [[B1, NOTHING]] * 3
    # Whoever comes after the lock cannot grab it anew, whoever came before has lost it: the same.
    story = play(arena, script, orders=[(H1, S1, H2, S2), (H2, H1, S1, S2)])
    assert [story.all("holding", agent, 2) for agent in (H1, H2, S1)] == [[B1, NOTHING]] * 3


def test_what_is_held_is_locked_even_if_something_else_is_ahead():
    # H1 holds B1 east of it and turns north, against B2: it moves nowhere, and its lock falls on B1.
    arena = level([(3, 2, EAST)], boxes=[(3, 3, SINGLE), (2, 2, SINGLE)])
    story = play(arena, [{H1: drag(NORTH)}, {H1: (0, 1, 1)}])
    assert story.all("directions", H1, 2) == [NORTH] * 2
    assert (story.all("locked_by", B1, 2), story.all("locked_by", B2, 2)) == ([NOBODY, HIDERS], [NOBODY] * 2)


def test_a_grab_and_a_lock_in_one_turn_lock_at_once():
    arena = level([(3, 2, EAST)], boxes=[(3, 3, SINGLE)])
    story = play(arena, [{H1: (1, 1, 1)}, {H1: (1, 1, 1)}])
    # First turn: grabbed, locked, let go of, so that it walks against it. Second: locked, so not grabbed; unlocked.
    assert story.all("locked_by", B1, 2) == [HIDERS, NOBODY]
    assert story.all("holding", H1, 2) == [NOTHING] * 2
    assert story.places(B1, 2) == [(3, 3)] * 2
    assert story.cells(H1, 2) == [(3, 2)] * 2


def test_from_above_one_locks_what_one_stands_on():
    story = play(SURFING, [{H1: go(EAST)}, {H1: (EAST + 1, 0, 1)}, {H1: (0, 1, 1)}, {H1: drag(NORTH)}])
    # On the ramp it locks the ramp, then goes on to the box, grabs it and locks it: let go of, it stays as it steps down.
    assert story.all("locked_by", RAMP, 4) == [NOBODY, HIDERS, HIDERS, HIDERS]
    assert story.all("locked_by", B1, 4) == [NOBODY, NOBODY, HIDERS, HIDERS]
    assert story.places(B1, 4)[-1] == (3, 2)
    assert (story.cells(H1, 4)[-1], story.all("elevated", H1, 4)[-1]) == ((2, 2), False)


@pytest.mark.parametrize("world", [GAME, STRICT], ids=["lockable", "not lockable"])
def test_ramps_are_locked_if_the_world_says_so(world):
    arena = level([(3, 4, WEST)], ramps=[(3, 3, EAST)])
    story = play(arena, [{H1: LOCK}, {H1: (0, 1, 1)}], world)
    lockable = world is GAME
    assert story.all("locked_by", RAMP, 2) == ([HIDERS, NOBODY] if lockable else [NOBODY, NOBODY])
    assert story.all("holding", H1, 2) == [NOTHING, NOTHING if lockable else RAMP]


def test_levels_without_locks_have_none():
    arena = level([(3, 2, EAST)], boxes=[(3, 3, SINGLE)], has_locks=False)
    story = play(arena, [{H1: LOCK}, {H1: (EAST + 1, 1, 1)}])
    assert story.all("locked_by", B1, 2) == [NOBODY] * 2
    assert story.places(B1, 2) == [(3, 3), (3, 4)]
