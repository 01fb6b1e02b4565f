"""Levels as text, their validity, their fingerprints, and the options of the level space."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.maze import Maze, MazeLevels

SPACE = Maze(height=2, width=3, levels=MazeLevels(num_walls=0)).level_space


@st.composite
def drawings(draw) -> str:
    height, width = draw(st.integers(1, 6)), draw(st.sampled_from([2, 5, 31, 32, 33, 40]))
    cells = draw(st.lists(st.sampled_from("#."), min_size=height * width, max_size=height * width))
    agent, goal = draw(st.lists(st.integers(0, height * width - 1), min_size=2, max_size=2, unique=True))
    cells[agent], cells[goal] = draw(st.sampled_from(">v<^")), "G"
    return "\n".join("".join(cells[i * width : (i + 1) * width]) for i in range(height))


@settings(max_examples=40, deadline=None)
@given(drawings())
def test_text_round_trip(text):
    rows = text.splitlines()
    space = Maze(height=len(rows), width=len(rows[0]), levels=MazeLevels(num_walls=0)).level_space
    level = space.from_text(text)
    assert space.to_text(level) == text
    assert bool(space.is_valid(level))
    assert [leaf.dtype for leaf in jax.tree.leaves(level)] == [jnp.uint32, jnp.uint8, jnp.uint8, jnp.uint8]


def test_text_is_read_as_documented():
    level = SPACE.from_text("\n  .#v  \n  G..\n\n")
    assert np.asarray(bitboard.unpack(level.walls, 3)).tolist() == [[False, True, False], [False] * 3]
    assert level.agent_position.tolist() == [0, 2]
    assert int(level.agent_direction) == 1
    assert level.goal_position.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the level is empty; draw it with # . G and one of > v < ^"),
        ("\n \n", "the level is empty; draw it with # . G and one of > v < ^"),
        ("...\n..G", "the level has no agent; draw exactly one of: > v < ^"),
        (">..\n...", "the level has no goal; draw exactly one of: G"),
        (">..\n.<G", "second agent '<' at row 2, column 2; the first is at row 1, column 1"),
        (">.G\n..G", "second goal 'G' at row 2, column 3; the first is at row 1, column 3"),
        (">.G\n.x.", "unknown symbol 'x' at line 2, column 2; known: .#G>v<^"),
        (">.G\n....", "line 2 of the level has 4 cells; line 1 has 3"),
        (">.G\n\n...", "line 2 of the level has 0 cells; line 1 has 3"),
        (">.G", "the level is drawn 1x3; this world is 2x3 (--env.height, --env.width)"),
        (">G\n..\n..", "the level is drawn 3x2; this world is 2x3 (--env.height, --env.width)"),
    ],
)
def test_text_errors_name_the_place(text, message):
    with pytest.raises(UserError) as error:
        SPACE.from_text(text)
    assert str(error.value) == message


def edited(**changes):
    return SPACE.from_text(">.#\n..G").replace(**changes)


def byte(*values):
    return jnp.asarray(values, jnp.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"walls": jnp.zeros((3, 1), jnp.uint32)},
            "the walls of the level are uint32[3, 1]; a 2x3 maze has uint32[2, 1]",
        ),
        ({"walls": jnp.full((2, 1), 8, jnp.uint32)}, "the level has walls past column 2, the last of a 2x3 maze"),
        ({"agent_position": byte(2, 0)}, "the agent is at row 2, column 0, outside of a 2x3 maze"),
        ({"goal_position": byte(0, 3)}, "the goal is at row 0, column 3, outside of a 2x3 maze"),
        ({"agent_position": byte(0, 2)}, "the agent is on the wall at row 0, column 2"),
        ({"goal_position": byte(0, 2)}, "the goal is on the wall at row 0, column 2"),
        ({"goal_position": byte(0, 0)}, "the agent is on the goal; they must be different cells"),
        ({"agent_direction": jnp.asarray(4, jnp.uint8)}, "agent_direction is 4; allowed: 0, 1, 2, 3"),
    ],
)
def test_invalid_levels_are_told_apart(changes, message):
    level = edited(**changes)
    with pytest.raises(UserError) as error:
        SPACE.check(level)
    assert str(error.value) == message
    if level.walls.shape == (2, 1):
        assert not bool(SPACE.is_valid(level))


def test_a_valid_level_passes():
    SPACE.check(edited())
    assert bool(SPACE.is_valid(edited()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"generator": "dcf"},
            "unknown levels.generator 'dcf' (did you mean 'dcd'?); known: dcd, jaxued, minimax, uniform",
        ),
        ({"mutator": "jaxued"}, "unknown levels.mutator 'jaxued'; known: dcd, minimax"),
        (
            {"replace_walls": False},
            "levels.replace_walls is False with generator 'uniform'; allowed: only with 'minimax'",
        ),
        (
            {"vary_num_walls": True, "generator": "jaxued"},
            "levels.vary_num_walls is True with generator 'jaxued'; allowed: only with 'minimax' and 'dcd'"
            " ('uniform' always varies it)",
        ),
        (
            {"vary_num_walls": True, "generator": "dcd", "num_walls": 0},
            "levels.num_walls is 0; allowed with vary_num_walls: at least 1",
        ),
        ({"edit_agent": True}, "levels.edit_agent is True with mutator 'minimax'; allowed: only with 'dcd'"),
        ({"holdout": 1}, "levels.holdout is 1; allowed: 0 or 2 to 1000"),
        ({"holdout": -2}, "levels.holdout is -2; allowed: 0 or 2 to 1000"),
        ({"num_edits": -1}, "levels.num_edits is -1; allowed: at least 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError) as error:
        MazeLevels(**options)
    assert str(error.value) == message


@pytest.mark.parametrize("num_walls", [-1, 168])
def test_walls_must_leave_room_for_start_and_goal(num_walls):
    with pytest.raises(UserError, match=rf"levels.num_walls is {num_walls}; allowed in a 13x13 maze: 0 to 167"):
        Maze(levels=MazeLevels(num_walls=num_walls))


def test_fingerprints_tell_levels_apart():
    rng = np.random.default_rng(0)
    mazes = [oracles.random_maze(rng, 13, 13, 0.3) for _ in range(300)]
    base = mazes[0]
    walls, start, direction, goal = base
    for cell in np.argwhere(~walls):  # every single edit of one maze
        if tuple(cell) not in (start, goal):
            changed = walls.copy()
            changed[tuple(cell)] = True
            mazes.append((changed, start, direction, goal))
            mazes.append((walls, start, direction, tuple(cell.tolist())))
            mazes.append((walls, tuple(cell.tolist()), direction, goal))
    mazes += [(walls, start, d, goal) for d in range(4) if d != direction] + [(walls, goal, direction, start)]
    prints = np.asarray(jax.jit(jax.vmap(Maze().level_space.fingerprint))(oracles.to_levels(mazes)))
    assert len({tuple(row) for row in prints.tolist()}) == len(mazes)
    # Each half alone spreads over residues too: holdout uses the first.
    assert 0.02 < np.mean(prints[:, 0] % 10 == 0) < 0.2


def test_equal_levels_have_equal_fingerprints_however_they_were_made():
    space = Maze().level_space
    level = space.sample(jax.random.key(0))
    again = space.from_text(space.to_text(level))
    assert space.fingerprint(level).tolist() == space.fingerprint(again).tolist()


def test_describe_and_optimal_return_by_hand():
    # Forward twice, turn right, forward: 4 actions and 3 moves; T = 250.
    level = SPACE.from_text(">..\n.#G")
    features = {name: float(value) for name, value in SPACE.describe(level).items()}
    assert features.pop("optimal_return") == pytest.approx(1 - 0.9 * 4 / 250, rel=1e-6)
    expected = {"num_walls": 1, "shortest_path": 3, "fewest_actions": 4, "solvable": 1, "manhattan_distance": 3}
    assert features == expected
    np.testing.assert_allclose(SPACE.optimal_return(level), 1 - 0.9 * 4 / 250, rtol=1e-6)
    assert all(value.dtype == jnp.float32 for value in SPACE.describe(level).values())


def test_describe_an_unsolvable_level():
    level = SPACE.from_text(">#.\n.#G")
    features = {name: float(value) for name, value in SPACE.describe(level).items()}
    assert np.isnan(features.pop("shortest_path"))
    assert np.isnan(features.pop("fewest_actions"))
    assert features == {"num_walls": 2, "optimal_return": 0, "solvable": 0, "manhattan_distance": 3}
    assert float(SPACE.optimal_return(level)) == 0


def test_draw_shows_the_state():
    level = SPACE.from_text(">.#\n..G")
    env = SPACE.maze
    _, state = env.reset(jax.random.key(0), level)
    start = SPACE.draw(level)
    assert start.shape == (4 * 24, 5 * 24, 3)
    np.testing.assert_array_equal(start, SPACE.draw(level, state))
    _, later, *_ = env.step(jax.random.key(0), state, jnp.asarray(2, jnp.int32), level)
    assert not np.array_equal(start, SPACE.draw(level, later))
