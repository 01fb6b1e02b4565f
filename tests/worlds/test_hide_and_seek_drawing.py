"""Pictures of hide and seek: what is there can be seen, what is not cannot, and every change shows where it happens."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied_envs.hide_and_seek import HideAndSeek, drawing
from minied_envs.hide_and_seek.drawing import BORDER, FLOOR, OUTSIDE, STRIP, TEAM_COLOURS, TILE, WALL

WORLD = HideAndSeek(height=6, width=8, max_steps=20, max_boxes=2, max_ramps=1, lidar=0, observation="egocentric")
SPACE = WORLD.level_space
PREPARATION = 8  # 0.4 of 20 steps
BLUE, RED = TEAM_COLOURS

LEVEL = SPACE.from_text("""
    ........
    .>..#.W.
    ....#...
    .o..=.e.
    ........
    ..+-+...
""")  # the box of three is number 1, the ramp number 2


@functools.cache
def start():
    return jax.jit(WORLD.reset)(jax.random.key(0), jax.tree.map(jnp.asarray, LEVEL))[1]


def later(steps, seen=0, **changes):
    """The state after so many steps in which nothing happened but ``changes``, by array and place."""
    state = start()
    record = state.record.replace(seen_steps=jnp.int32(seen))
    for name, (place, value) in changes.items():
        changes[name] = getattr(state, name).at[place].set(jnp.asarray(value, getattr(state, name).dtype))
    return state.replace(time=jnp.int32(steps), record=record, **changes)


def draw(state=None, level=LEVEL, world=WORLD):
    return world.level_space.draw(level, state).astype(int)


def cell(picture, row, col):
    """The pixels of a cell."""
    top, left = round((STRIP + BORDER + row) * TILE), round((BORDER + col) * TILE)
    return picture[top : top + TILE, left : left + TILE]


def near(pixels, colour, tolerance=40):
    """Which pixels have about this colour."""
    return np.abs(pixels - np.asarray(colour)).max(axis=-1) <= tolerance


def changed_cells(before, after):
    """The cells in which two pictures differ."""
    return {
        (row, col)
        for row in range(WORLD.height)
        for col in range(WORLD.width)
        if np.any(cell(before, row, col) != cell(after, row, col))
    }


def test_a_picture_has_a_border_and_a_strip_on_top():
    picture = SPACE.draw(LEVEL)
    assert picture.dtype == np.uint8
    assert picture.shape == (round((6 + 2 * BORDER + STRIP) * TILE), round((8 + 2 * BORDER) * TILE), 3)
    assert near(picture[-3:].astype(int), WALL, 2).all()
    assert draw(later(PREPARATION)).shape == picture.shape


def test_walls_floor_and_boxes_are_told_apart():
    picture = draw()
    middle = {name: cell(picture, *place)[8:-8, 8:-8].mean(axis=(0, 1)) for name, place in
              {"tall": (1, 4), "low": (3, 4), "floor": (0, 0), "box": (3, 1)}.items()}  # fmt: skip
    assert near(middle["tall"], WALL, 1)
    assert near(middle["floor"], FLOOR, 1)
    brightness = {name: colour.mean() for name, colour in middle.items()}
    assert brightness["tall"] < brightness["low"] - 40 < brightness["floor"] - 80
    assert middle["box"][0] > middle["box"][2] + 50  # brown; walls and floor are grey
    # The box of three cells is one piece: the same across the lines between its cells.
    across = cell(picture, 5, 3)
    assert np.ptp(across[12:20], axis=(0, 1)).max() == 0
    assert (across[12:20, -1] == cell(picture, 5, 4)[12:20, 0]).all()


def test_what_is_absent_does_not_appear():
    roomy = HideAndSeek(height=6, width=8, max_steps=20, max_hiders=3, max_seekers=3, max_boxes=9, max_ramps=4, lidar=0)
    bare = "........\n.<......\n........\n......E.\n........\n........"
    few = draw(level=SPACE.from_text(bare))
    np.testing.assert_array_equal(draw(level=roomy.level_space.from_text(bare), world=roomy), few)
    for row, col in {(row, col) for row in range(6) for col in range(8)} - {(1, 1), (3, 6)}:
        np.testing.assert_array_equal(cell(few, row, col), cell(few, 0, 3))


@pytest.mark.parametrize("team", [0, 1])
def test_agents_are_triangles_that_point_where_they_look(team):
    place, index, colour = ((1, 1), 0, BLUE) if team == 0 else ((1, 6), 2, RED)
    turned = []
    for direction in range(4):
        pixels = cell(draw(later(PREPARATION, directions=(index, direction))), *place)
        inked = near(pixels, colour)
        assert 100 < inked.sum() < 400
        # The broad end has more colour than the tip.
        half = TILE // 2
        tip = (inked[:, half:], inked[half:], inked[:, :half], inked[:half])[direction]
        assert tip.sum() < 0.4 * inked.sum()
        turned.append(inked)
    for direction in range(1, 4):  # a turn to the right each time
        assert (np.rot90(turned[0], -direction) != turned[direction]).mean() < 0.04


def test_a_ramp_gets_lighter_towards_its_high_side():
    for direction, name in enumerate("eswn"):
        level = SPACE.from_text(f"........\n.>....W.\n....{name}...\n........\n........\n........")
        pixels = cell(draw(level=level), 2, 4).mean(axis=-1)[4:-4, 4:-4]
        low = (pixels[:, :6], pixels[:6], pixels[:, -6:], pixels[-6:])[direction]
        high = (pixels[:, -9:-3], pixels[-9:-3], pixels[:, 3:9], pixels[3:9])[direction]  # before its dark edge
        assert high.mean() > low.mean() + 25


def test_a_lock_has_the_colour_of_its_team_and_shows_on_its_thing_only():
    before = draw(later(PREPARATION))
    for team, colour in enumerate(TEAM_COLOURS):
        for number, cells in ((0, {(3, 1)}), (1, {(5, 2), (5, 3), (5, 4)}), (2, {(3, 6)})):
            after = draw(later(PREPARATION, locked_by=(number, team)))
            assert changed_cells(before, after) == cells
            assert all(near(cell(after, *place), colour).sum() > 40 for place in cells)
            assert not any(near(cell(after, *place), TEAM_COLOURS[1 - team]).any() for place in cells)


def test_somebody_who_stands_on_something_has_a_ring():
    before = draw(later(PREPARATION, positions=(0, (3, 1))))
    after = draw(later(PREPARATION, positions=(0, (3, 1)), elevated=(0, True)))
    assert changed_cells(before, after) == {(3, 1)}
    assert near(cell(after, 3, 1), (250, 250, 248), 4).sum() > near(cell(before, 3, 1), (250, 250, 248), 4).sum() + 100


def test_a_bar_leads_to_what_somebody_holds():
    before = draw(later(PREPARATION, positions=(0, (2, 1))))
    after = draw(later(PREPARATION, positions=(0, (2, 1)), holding=(0, 0)))
    assert changed_cells(before, after) == {(2, 1), (3, 1)}
    assert near(cell(after, 3, 1), BLUE).sum() > 60
    # Of three cells the nearest one.
    before = draw(later(PREPARATION, positions=(0, (4, 4))))
    assert changed_cells(before, draw(later(PREPARATION, positions=(0, (4, 4)), holding=(0, 1)))) == {(4, 4), (5, 4)}
    # Who rides on it has a frame.
    on_top = {"positions": (0, (5, 3)), "elevated": (0, True)}
    framed = draw(later(PREPARATION, **on_top, holding=(0, 1)))
    assert changed_cells(draw(later(PREPARATION, **on_top)), framed) == {(5, 3)}


def test_a_line_leads_from_who_sees_to_who_is_seen():
    hidden = draw(later(PREPARATION))  # a wall is between them
    assert not near(cell(hidden, 1, 2), RED).any()
    seen = later(PREPARATION, positions=(0, (0, 1)), directions=(0, 2))  # looks away
    seen = seen.replace(positions=seen.positions.at[2].set(jnp.asarray([0, 6])))
    picture = draw(seen)
    for col in range(2, 6):
        assert near(cell(picture, 0, col), RED).sum() >= TILE
        assert not near(cell(picture, 0, col), BLUE).any()
    # Both see each other: a line each.
    both = draw(seen.replace(directions=seen.directions.at[0].set(0)))
    assert near(cell(both, 0, 3), RED).sum() >= TILE
    assert near(cell(both, 0, 3), BLUE, 60).any()
    # While seekers wait it does not count, and is grey.
    waiting = draw(seen.replace(time=jnp.int32(PREPARATION - 1)))
    assert not near(waiting, RED, 20).any()
    assert np.any(cell(waiting, 0, 3) != cell(waiting, 0, 0))


def test_seekers_that_wait_are_dim():
    before, after = draw(later(PREPARATION - 1)), draw(later(PREPARATION))
    assert changed_cells(before, after) == {(1, 6)}
    assert near(cell(after, 1, 6), RED).sum() > 100
    assert not near(cell(before, 1, 6), RED).any()


def test_the_strip_tells_time_and_score():
    def bar(state):
        """The row of pixels in the middle of the bar, as steps of each colour."""
        row = draw(state)[round((STRIP - 0.3) * TILE), round(BORDER * TILE) : -round(BORDER * TILE)]
        steps = TILE * WORLD.width / WORLD.max_steps
        return {name: round(near(row, colour, 12).sum() / steps, 1) for name, colour in
                {"waited": drawing.PREPARATION, "hidden": BLUE, "seen": RED}.items()}  # fmt: skip

    assert bar(later(0)) == {"waited": 0, "hidden": 0, "seen": 0}
    assert bar(later(5)) == pytest.approx({"waited": 5, "hidden": 0, "seen": 0}, abs=0.2)
    assert bar(later(15, seen=3)) == pytest.approx({"waited": 8, "hidden": 4, "seen": 3}, abs=0.2)
    words = [draw(state)[: round((STRIP - 0.5) * TILE)] for state in (later(15, seen=3), later(15, seen=4), later(5))]
    assert all(np.any(a != b) for a, b in itertools.pairwise(words))
    switched = [LEVEL, LEVEL.replace(has_locks=np.bool_(False)), LEVEL.replace(has_preparation=np.bool_(False))]
    strips = [draw(level=level)[: round(STRIP * TILE)] for level in switched]
    assert all(np.any(a != b) for a, b in zip(strips, strips[1:] + strips[:1], strict=True))


def test_what_is_outside_of_the_arena_is_shaded():
    world = HideAndSeek(height=7, width=8, margin=1, max_boxes=0, max_ramps=0, lidar=0)
    rows = ["........"] * 7
    rows[3] = ".>....W."
    picture = draw(level=world.level_space.from_text("\n".join(rows)), world=world)
    assert near(cell(picture, 0, 4)[16, 16], OUTSIDE, 1)
    assert near(cell(picture, 6, 7)[16, 16], OUTSIDE, 1)
    assert near(cell(picture, 1, 4)[16, 16], FLOOR, 1)


def test_large_arenas_have_smaller_tiles():
    world = HideAndSeek(height=20, width=20, max_boxes=0, max_ramps=0, lidar=0)
    level = jax.jit(world.level_space.sample)(jax.random.key(0))
    assert max(world.level_space.draw(level).shape) <= 1024
