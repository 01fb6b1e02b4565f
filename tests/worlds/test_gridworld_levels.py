"""Levels of the gridworld: texts, edits, suites, pictures, and what a level space tells of them."""

import chex
import gridworld_oracle as oracle
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.levels.tasks import check_tasks
from minied_envs.gridworld import GridLevels, GridWorld, codes, missions, mutators, reach
from minied_envs.gridworld.families import standard
from minied_envs.gridworld.level import GridLevel, is_valid
from minied_envs.gridworld.text import cell_words

SPACE = GridWorld(4, 5, levels=GridLevels("empty", num_edits=12)).level_space
_mutate = jax.jit(SPACE.mutate)
_valid = jax.jit(is_valid)


@st.composite
def any_levels(draw):
    cells = np.array(draw(st.lists(st.integers(1, codes.NUM_CODES - 1), min_size=20, max_size=20)), np.uint8).reshape(
        4, 5
    )
    row, col = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    cells[row, col] = codes.EMPTY
    mission, direction = draw(st.integers(0, missions.NUM_MISSIONS - 1)), draw(st.integers(0, 3))
    level = GridLevel(cells, np.array([row, col], np.uint8), np.uint8(direction), np.uint8(mission), np.uint32(77))
    hypothesis.assume(bool(_valid(level)))
    return level


# -- texts ------------------------------------------------------------------------------------------------------------


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(any_levels())
def test_texts_are_read_back(level):
    SPACE.check(level)
    again = SPACE.from_text(SPACE.to_text(level))
    chex.assert_trees_all_equal(again, jax.tree.map(np.asarray, level))
    assert all(a.dtype == b.dtype for a, b in zip(again.__dict__.values(), level.__dict__.values(), strict=True))


def test_a_text_by_hand():
    drawn = "mission: pick up the grey box\nmax_steps: 7\n\n> #  .  .  .\n. Be . ~ G\n. Dg Be(Kr) . .\n. . . . ."
    level = SPACE.from_text(drawn)
    assert level.cells[0].tolist() == [codes.EMPTY, codes.WALL, codes.EMPTY, codes.EMPTY, codes.EMPTY]
    assert level.cells[1].tolist() == [codes.EMPTY, codes.BOX + 5, codes.EMPTY, codes.LAVA, codes.GOAL]
    assert level.cells[2, 2] == codes.filled(codes.BOX + 5, codes.KEY)
    assert int(level.mission) == missions.pick_up(codes.BOX + 5)
    assert (int(level.max_steps), tuple(level.agent_position), int(level.agent_direction)) == (7, (0, 0), 0)


ROW = "\n. . . . G"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("> . . Kx G" + ROW * 3, "unknown cell 'Kx' (did you mean 'Ky'?) at line 1, column 7"),
        ("mission: get to the goal\n> . . . G\n. . . q ." + ROW * 2, "unknown cell 'q' at line 3, column 7"),
        ("> . . . G\n. . ." + ROW * 2, "line 2 of the level has 3 cells; line 1 has 5"),
        ("> . . . G" + ROW, "the level is drawn 2x5; this world is 4x5"),
        (". . . . G" + ROW * 3, "the level has no agent; draw exactly one of: > v < ^"),
        ("> . . . G\n. . < . ." + ROW * 2, "second agent at row 2, cell 3 of the map; the first is at row 1, cell 1"),
        ("mission: win\n> . . . G" + ROW * 3, "unknown mission 'win'"),
        ("time: 3\n> . . . G" + ROW * 3, "line 1 says 'time'; allowed before the map: mission, max_steps"),
        ("max_steps: 0\n> . . . G" + ROW * 3, "max_steps of the level is '0'; allowed: 1 to 16777215"),
        ("mission: get to the goal\nmission: get to the goal\n> . . . G" + ROW * 3, "line 2 says 'mission' again"),
        ("mission: pick up the red key\n> . . . G" + ROW * 3, "the level has nothing to pick up the red key"),
        ("> . . . .\n\n. . . . ." + ROW * 2, "line 2 is empty, in the middle of the level"),
        ("", "the level is empty; draw it with"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(text, message):
    with pytest.raises(UserError) as error:
        SPACE.from_text(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_word_is_different():
    assert len(cell_words()) == len(set(cell_words().values())) == codes.NUM_CODES - 1 + 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": np.zeros((4, 4), np.uint8)}, "the map of the level is uint8[4, 4]; allowed: uint8[4, 5]"),
        ({"agent_direction": np.uint8(4)}, "agent_direction of the level is 4; allowed: 0 to 3"),
        ({"mission": np.uint8(26)}, "mission of the level is 26; allowed: 0 to 25"),
        ({"max_steps": np.uint32(0)}, "max_steps of the level is 0; allowed: 1 to 16777215"),
        ({"agent_position": np.array([4, 0], np.uint8)}, "the agent is at row 4, column 0, outside of a 4x5 grid"),
        (
            {"agent_position": np.array([3, 4], np.uint8)},
            "the agent is at row 3, column 4, on a goal; allowed: an empty cell",
        ),
    ],
)
def test_what_is_wrong_with_a_level_is_told_and_it_is_not_valid(change, message):
    level = SPACE.from_text("> . . . .\n. . . . .\n. . . . .\n. . . . G").replace(**change)
    with pytest.raises(UserError) as error:
        SPACE.check(level)
    assert str(error.value) == message
    assert "map of the level" in message or not bool(is_valid(level))


# -- edits ------------------------------------------------------------------------------------------------------------


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(any_levels(), st.integers(0, 2**31 - 1))
def test_edited_levels_are_valid_and_keep_mission_and_limit(level, seed):
    child = _mutate(jax.random.key(seed), level)
    assert bool(_valid(child))
    SPACE.check(jax.tree.map(np.asarray, child))
    assert int(child.mission) == int(level.mission)
    assert int(child.max_steps) == int(level.max_steps)
    if int(level.mission) == missions.GO_TO_MATCH:
        kept = (level.cells != codes.EMPTY) & (level.cells != codes.WALL)
        np.testing.assert_array_equal(np.asarray(child.cells)[kept], level.cells[kept])


def test_in_a_memory_task_things_stay():
    space = GridWorld(5, 5, levels=GridLevels("memory", num_edits=8)).level_space
    level = space.sample(jax.random.key(0))
    children = jax.jit(jax.vmap(space.mutate, in_axes=(0, None)))(jax.random.split(jax.random.key(1), 64), level)
    before, after = np.asarray(level.cells), np.asarray(children.cells)
    things = (before != codes.EMPTY) & (before != codes.WALL)
    np.testing.assert_array_equal(after[:, things], np.broadcast_to(before[things], (64, int(things.sum()))))
    assert np.isin(after[:, ~things], (codes.EMPTY, codes.WALL)).all()
    assert (after != before).any()


def test_each_kind_of_edit_happens():
    level = jax.tree.map(jnp.asarray, SPACE.from_text("> # # # .\n. Dr . Kr .\n. # . ~ .\n. . . . G"))
    words = jax.random.bits(jax.random.key(0), (400, 5), jnp.uint32)
    children = jax.tree.map(np.asarray, jax.jit(jax.vmap(mutators.edited, in_axes=(0, None)))(words, level))
    kinds = _kinds(words[:, 0])
    before = np.asarray(level.cells)
    changed = np.array([(child != before).sum() for child in children.cells])
    moved = (children.agent_position != np.asarray(level.agent_position)).any(axis=1)
    assert np.all(changed[kinds == mutators.FLIP_WALL] == 1)
    assert np.all(changed[kinds == mutators.MOVE_THING] == 2)
    assert np.all(changed[kinds == mutators.REMOVE_THING] == 1)
    assert np.all(changed[kinds == mutators.ADD_THING] == 1)
    assert np.all(changed[kinds == mutators.MOVE_AGENT] == 0)
    assert np.all(moved == (kinds == mutators.MOVE_AGENT))
    for child, kind in zip(children.cells, kinds, strict=True):  # doors take the place of walls, and leave one
        if kind == mutators.MOVE_THING and child[1, 1] != codes.CLOSED_DOOR:
            assert child[1, 1] == codes.WALL
            (place,) = np.argwhere(child == codes.CLOSED_DOOR)
            assert before[tuple(place)] == codes.WALL
    added = {int(child[child != before][0]) for child in children.cells[kinds == mutators.ADD_THING]}
    assert added <= set(mutators.ADDED)
    assert len(added) > 15


def _kinds(words):
    return (np.asarray(words).astype(np.uint64) * np.uint64(mutators.NUM_KINDS)) >> np.uint64(32)


def test_solvable_only_keeps_edits_that_can_be_solved():
    space = GridWorld(3, 3, levels=GridLevels("door_key", num_edits=6, solvable_only=True)).level_space
    keys = jax.random.split(jax.random.key(0), 200)
    levels = jax.jit(jax.vmap(space.sample))(keys)
    children = jax.jit(jax.vmap(space.mutate))(keys, levels)
    assert bool(jax.vmap(reach.is_solvable)(children).all())
    free = GridWorld(3, 3, levels=GridLevels("door_key", num_edits=6)).level_space
    assert not bool(jax.vmap(reach.is_solvable)(jax.jit(jax.vmap(free.mutate))(keys, levels)).all())


def test_no_edits_change_nothing():
    space = GridWorld(levels=GridLevels(num_edits=0)).level_space
    level = space.sample(jax.random.key(0))
    chex.assert_trees_all_equal(space.mutate(jax.random.key(1), level), level)


# -- the level space --------------------------------------------------------------------------------------------------


def test_what_the_level_space_offers():
    space = GridWorld().level_space
    assert set(space.offered) == {
        "mutate",
        "tasks",
        "parameters",
        "describe",
        "is_valid",
        "draw",
        "to_text",
        "from_text",
        "suites",
    }
    check_tasks(GridWorld(levels=GridLevels("mixed")).level_space.tasks, by="a test")
    assert [part.name for part in space.parameters.parts] == ["wall", "door"]
    level = space.parameters.level(jax.random.key(0), jnp.asarray([1.0, 0.0]))
    assert bool(space.is_valid(level))
    features = jax.eval_shape(space.describe, level)
    assert all(feature.shape == () and feature.dtype == jnp.float32 for feature in features.values())


def test_fingerprints_tell_levels_apart_by_every_part():
    level = GridWorld().level_space.sample(jax.random.key(0))
    changes = {
        "cells": level.cells.at[5, 0].set(codes.WALL),
        "agent_position": level.agent_position + jnp.uint8(1),
        "agent_direction": (level.agent_direction + jnp.uint8(1)) % jnp.uint8(4),
        "mission": level.mission + jnp.uint8(1),
        "max_steps": level.max_steps + jnp.uint32(1),
    }
    prints = {tuple(np.asarray(SPACE.fingerprint(level.replace(**{name: value})))) for name, value in changes.items()}
    assert len(prints | {tuple(np.asarray(SPACE.fingerprint(level)))}) == 6


def test_suites_are_the_same_at_every_call_and_hold_what_they_say():
    env = GridWorld(4, 9, levels=GridLevels("unlock"))
    space = env.level_space
    names = list(standard(4, 9))
    assert list(space.suites) == ["training", "families", *names]
    (training,) = space.suite("training")
    assert training.env is env
    assert len(training.names) == len(training.levels.mission) == 64
    chex.assert_trees_all_equal(space.suite("training")[0].levels, training.levels)
    (families,) = space.suite("families")
    assert families.names == tuple(name for name in names for _ in range(16))
    assert families.env.max_steps == max(family.max_steps for family in standard(4, 9).values())
    assert bool(jax.vmap(is_valid)(families.levels).all())
    (door_key,) = space.suite("door_key")
    assert door_key.env.max_steps == standard(4, 9)["door_key"].max_steps == int(door_key.levels.max_steps[0])
    start = 16 * names.index("door_key")
    np.testing.assert_array_equal(families.levels.cells[start : start + 16], door_key.levels.cells[:16])
    with pytest.raises(UserError, match="unknown suite 'dor_key'"):
        space.suite("dor_key")


def test_pictures_show_what_there_is():
    text = "> Kr Ab Bg Be(Ky)\n# Dg Ly Op .\n~ . . . .\n. . . . G"
    level = SPACE.from_text(text)
    picture = SPACE.draw(level)
    assert picture.dtype == np.uint8
    tile = 32
    assert picture.shape == (6 * tile, 7 * tile, 3)

    def cell(row, col):
        return picture[(row + 1) * tile : (row + 2) * tile, (col + 1) * tile : (col + 2) * tile]

    pictures = {cell(row, col).tobytes() for row in range(4) for col in range(5)}
    assert len(pictures) >= 12  # all things, and floor seen and unseen
    filled, plain = (
        SPACE.draw(level),
        SPACE.draw(level.replace(cells=np.where(level.cells >= 43, codes.BOX + 5, level.cells))),
    )
    assert (filled != plain).any()


def test_a_picture_of_a_state_shows_what_is_carried():
    env = GridWorld(1, 4, levels=GridLevels("empty"))
    level = jax.tree.map(jnp.asarray, env.level_space.from_text("> Kr . G"))
    _, state = env.reset(jax.random.key(0), level)
    _, after, *_ = env.step(jax.random.key(0), state, jnp.int32(3), level)
    pictures = [env.level_space.draw(level, each) for each in (None, state, after)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[1] != pictures[2]).any()


def test_the_tint_is_what_the_agent_sees():
    """Through an open door more is tinted than through a closed one."""
    space = GridWorld(3, 5, levels=GridLevels("empty")).level_space
    open_, closed = (space.draw(space.from_text(f". # . . .\n> {door} . . G\n. # . . .")) for door in ("Or", "Dr"))
    floor = np.s_[2 * 32 + 4 : 2 * 32 + 28, 4 * 32 + 4 : 4 * 32 + 28]  # of row 1, column 3
    assert (open_[floor] != closed[floor]).all(axis=-1).any()


def test_the_oracle_finds_the_shortest_solution_by_hand():
    # Turn right, pick up the key, turn left, toggle the door ahead, three steps: 7 actions.
    space = GridWorld(2, 4, levels=GridLevels("empty")).level_space
    assert len(oracle.solve(space.from_text("> Lr . G\nKr # # #"))) == 7
    assert oracle.solve(space.from_text("> Lr . G\nKb # # #")) is None
