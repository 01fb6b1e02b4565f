"""Levels of hide and seek chosen by a few numbers: what was chosen is what comes, and every choice gives a level."""

import designs
import hide_and_seek_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.levels.parameters import Choice, Interval, ParameterDesigner
from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.hide_and_seek.generators import HideAndSeekLevels

KEY = jax.random.key(0)
NUM_LEVELS = 600

WORLDS = {
    "quadrant": HideAndSeek(max_boxes=3, max_ramps=2, levels=HideAndSeekLevels(min_long=1, max_long=2)),
    "rooms": HideAndSeek(
        height=14, width=13, margin=1, max_seekers=1, max_boxes=0, levels=HideAndSeekLevels("rooms", max_rooms=3)
    ),
    "tiny": HideAndSeek(height=5, width=4, max_hiders=1, max_seekers=1, max_boxes=0, max_ramps=0,
                        levels=HideAndSeekLevels("tiny")),
}  # fmt: skip


def names_of(world):
    return [part.name for part in world.level_space.parameters.parts]


def levels_of(world, rows):
    values = jnp.asarray(np.asarray(rows, np.float32))
    return jax.jit(jax.vmap(world.level_space.parameters.level))(jax.random.split(KEY, len(values)), values)


def random_values(world, number):
    """Values that are allowed, by the masks alone, one after the other."""
    parameters = world.level_space.parameters
    generator = np.random.default_rng(0)
    rows = np.zeros((number, len(parameters.parts)), np.float32)
    for i, part in enumerate(parameters.parts):
        if isinstance(part, Interval):
            rows[:, i] = generator.uniform(part.low, part.high, number)
            continue
        masks = np.asarray(jax.vmap(lambda values, i=i: parameters.allowed(i, values))(jnp.asarray(rows)))
        assert masks.any(axis=1).all()
        rows[:, i] = (generator.uniform(size=masks.shape) * masks).argmax(axis=1)
    return rows


def test_parts_of_the_scenarios():
    assert names_of(WORLDS["quadrant"]) == [
        "num_hiders", "num_seekers", "num_boxes", "num_ramps", "num_long", "closed_door", "north_door", "west_door",
        "hiders_at", "seekers_at", "boxes_at",
    ]  # fmt: skip
    # One seeker and no box are no choice.
    assert names_of(WORLDS["rooms"]) == [
        "num_hiders", "num_ramps", "num_rooms", "wall_1", "door_1", "wall_2", "door_2", "hiders_at", "seekers_at",
    ]  # fmt: skip
    assert names_of(WORLDS["tiny"]) == ["num_rooms", "wall_1", "door_1", "hiders_at", "seekers_at"]
    plain = HideAndSeek(
        max_ramps=2, levels=HideAndSeekLevels("open", min_hiders=2, min_seekers=2, min_boxes=2, ramps=False)
    )
    assert names_of(plain) == ["hiders_at", "seekers_at", "boxes_at"]
    both_open = HideAndSeek(levels=HideAndSeekLevels(door_dropout=0.0))
    assert "closed_door" not in names_of(both_open)


def allowed(world, name, **chosen):
    parameters, names = world.level_space.parameters, names_of(world)
    values = (
        jnp.zeros(len(names))
        .at[jnp.asarray([names.index(each) for each in chosen], jnp.int32)]
        .set(jnp.asarray(list(chosen.values()), jnp.float32))
    )
    return np.flatnonzero(np.asarray(parameters.allowed(names.index(name), values))).tolist()


def test_what_is_allowed_by_hand():
    world = WORLDS["quadrant"]
    assert allowed(world, "num_hiders") == [1, 2]
    assert allowed(world, "num_boxes") == [0, 1, 2, 3]
    # At least one and at most two of the boxes are elongated, where there are so many.
    assert [allowed(world, "num_long", num_boxes=n) for n in range(4)] == [[0], [1], [1, 2], [1, 2]]
    assert allowed(world, "closed_door") == [0, 1, 2]
    one_door = HideAndSeek(levels=HideAndSeekLevels(door_dropout=1.0))
    assert allowed(one_door, "closed_door") == [1, 2]
    # 12 rows are cut at 4 and 8; the room is rows and columns 7 to 11, its walls 6.
    assert allowed(world, "hiders_at") == list(range(9))
    assert allowed(world, "seekers_at") == [0, 1, 2, 3, 4, 5, 6, 7]
    assert allowed(world, "boxes_at") == [4, 5, 7, 8]
    assert allowed(HideAndSeek(levels=HideAndSeekLevels(hiders_in_room=True)), "hiders_at") == [4, 5, 7, 8]
    assert allowed(WORLDS["rooms"], "num_rooms") == [1, 2, 3]


@pytest.mark.parametrize("name", WORLDS)
def test_every_allowed_choice_gives_a_level_with_exactly_that(name):
    world = WORLDS[name]
    space, names = world.level_space, names_of(world)
    rows = random_values(world, NUM_LEVELS)
    levels = levels_of(world, rows)
    assert bool(jax.jit(jax.vmap(space.is_valid))(levels).all())
    assert samples.is_canonical(levels).all()
    features = {name: np.asarray(value) for name, value in jax.jit(jax.vmap(space.describe))(levels).items()}
    for feature in ("num_hiders", "num_seekers", "num_boxes", "num_ramps", "num_long"):
        if feature in names:
            np.testing.assert_array_equal(features[feature], rows[:, names.index(feature)])
    margin = world.margin
    height, width = world.height - 2 * margin, world.width - 2 * margin
    cuts = [[0, size // 3, 2 * size // 3, size] for size in (height, width)]
    for i, level in enumerate(samples.unstack(levels)):
        for kind, cells, _ in samples.things(level, world.max_hiders):
            at = {"hider": "hiders_at", "seeker": "seekers_at", "box": "boxes_at"}.get(kind)
            if at is None or name != "quadrant":
                continue
            row, col = cells[len(cells) // 2]
            sector = sum(np.searchsorted(cut[1:], place - margin, side="right") * weight
                         for cut, place, weight in zip(cuts, (row, col), (3, 1), strict=True))  # fmt: skip
            # Sector 4 has one cell of the room, 5 and 7 have four: what does not fit is elsewhere in the room.
            if kind != "box" and not (at == "hiders_at" and rows[i, names.index(at)] == 4):
                assert sector == rows[i, names.index(at)]


def test_the_first_box_is_in_its_sector_where_one_cell_is_enough():
    world = WORLDS["quadrant"]
    names = names_of(world)
    chosen = {"num_hiders": 1, "num_seekers": 1, "num_boxes": 1, "num_long": 0, "seekers_at": 0, "hiders_at": 0}
    rows = np.array([[chosen.get(name, at if name == "boxes_at" else 0) for name in names] for at in (4, 5, 7, 8) * 20])
    levels = levels_of(world, rows)
    places = np.asarray(levels.box_positions)[:, 0]
    np.testing.assert_array_equal(places // 4 @ [3, 1], rows[:, names.index("boxes_at")])
    np.testing.assert_array_equal(np.asarray(levels.agent_positions)[:, [0, 2]].max(axis=(1, 2)) < 4, True)


def test_doors_of_the_quadrant_are_those_chosen():
    world = WORLDS["quadrant"]
    names = names_of(world)
    base = {"num_hiders": 1, "num_seekers": 1}
    choices = [(closed, north, west) for closed in range(3) for north in range(5) for west in range(5)]
    rows = np.zeros((len(choices), len(names)))
    for name, value in base.items():
        rows[:, names.index(name)] = value
    for i, name in enumerate(("closed_door", "north_door", "west_door")):
        rows[:, names.index(name)] = [choice[i] for choice in choices]
    for (closed, north, west), tall in zip(
        choices, samples.cells_of_board(levels_of(world, rows).tall, 12), strict=True
    ):
        expected = np.zeros((12, 12), bool)
        expected[6, 6:] = expected[6:, 6] = True
        if closed != 1:
            expected[6, 7 + north] = False
        if closed != 2:
            expected[7 + west, 6] = False
        np.testing.assert_array_equal(tall, expected)


def test_walls_of_tiny_levels_are_those_chosen():
    world = WORLDS["tiny"]  # 5 rows, 4 columns: lines are rows 1, 2, 3, then columns 1, 2
    lines = [(share, share_door) for share in (0.0, 0.3, 0.5, 0.7, 1.0) for share_door in (0.0, 0.5, 1.0)]
    rows = [[2, share, door, 0, 8] for share, door in lines]
    for (share, door), tall in zip(lines, samples.cells_of_board(levels_of(world, rows).tall, 4), strict=True):
        expected = np.zeros((5, 4), bool)
        number = {0.0: 0, 0.3: 1, 0.5: 2, 0.7: 3, 1.0: 4}[share]
        if number < 3:  # the door at 0, 2 or 3 of four cells
            expected[1 + number] = True
            expected[1 + number, {0.0: 0, 0.5: 2, 1.0: 3}[door]] = False
        else:  # at 0, 2 or 4 of five
            expected[:, number - 2] = True
            expected[{0.0: 0, 0.5: 2, 1.0: 4}[door], number - 2] = False
        np.testing.assert_array_equal(tall, expected)
    assert not np.asarray(levels_of(world, [[1, 0.5, 0.5, 0, 8]]).tall).any()


@pytest.mark.parametrize("name", ["quadrant", "tiny"])
def test_a_teacher_that_chooses_them_makes_levels_only(name):
    space = WORLDS[name].level_space
    designer = ParameterDesigner(space.parameters)
    assert all(isinstance(part, (Choice, Interval)) for part in space.parameters.parts)
    steps, _, state = designs.random_designs(designer, KEY, 200, designer.empty())
    assert bool(jnp.all(jax.jit(jax.vmap(lambda state: space.is_valid(designer.level_of(state))))(state)))
    assert np.asarray(steps["observation"]["mask"]).any(axis=-1).all()
