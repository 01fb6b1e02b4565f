"""Suites of hide and seek: which there are, what distinguishes them, and which of the drawn arenas a world has room for."""

import hide_and_seek_samples as samples
import jax
import numpy as np
import pytest
from hide_and_seek_samples import same

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import HideAndSeek, maps
from minied_envs.hide_and_seek.generators import HideAndSeekLevels


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
