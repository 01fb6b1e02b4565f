"""The held-out levels: published reference values, the structure of procedural mazes, worlds and horizons."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy import stats

from minied.errors import UserError
from minied_envs.grid import bitboard, search
from minied_envs.maze import Maze, MazeLevels, acceptance, metrics, named, procedural, suites

SPACE = Maze().level_space


@pytest.mark.parametrize("name", named.maze_names())
def test_reference_values_of_named_levels(name):
    drawing = named.drawings()[name]
    width = drawing.size[1]
    levels = named.named_levels(name)
    assert len(levels) == len(drawing.lengths)
    for level, (path, actions) in zip(levels, drawing.lengths, strict=True):
        assert int(bitboard.count(level.walls)) == drawing.num_walls
        assert int(metrics.shortest_path(level, width)) == path
        assert int(metrics.fewest_actions(level, width)) == actions


def test_all_entries_of_the_file_are_read():
    sizes = collections.Counter(drawing.size for drawing in named.drawings().values())
    assert sizes == {(13, 13): 11, (19, 19): 1, (15, 15): 1, (8, 8): 1, (4, 4): 1, (3, 3): 1, (5, 5): 1, (7, 7): 1}
    assert len(named.named_levels("SmallCorridor")) == 10
    assert len(named.named_levels("LargeCorridor")) == 16


def test_variants_of_a_corridor_differ_in_the_goal_only():
    goals = [tuple(level.goal_position.tolist()) for level in named.named_levels("SmallCorridor")]
    assert goals == [(row, col) for row in (5, 7) for col in (2, 4, 6, 8, 10)]
    assert named.named_level("SmallCorridor", 3).goal_position.tolist() == [5, 8]
    assert len({level.walls.tobytes() for level in map(jax.device_get, named.named_levels("SmallCorridor"))}) == 1


def test_trap_15_start_direction_is_the_drawn_one():
    assert int(named.named_level("LabyrinthFlipped").agent_direction) == 2
    assert int(named.named_level("Labyrinth").agent_direction) == 0


def test_unknown_named_level():
    with pytest.raises(UserError, match=r"unknown named level 'Labyrint' \(did you mean 'Labyrinth'\?\)"):
        named.named_level("Labyrint")


# -- procedural -------------------------------------------------------------------------------------------------------


def is_spanning_tree(walls: np.ndarray) -> bool:
    """The free cells are connected and one fewer are their borders: a tree. Every even cell is free."""
    free = ~walls
    borders = np.sum(free[1:] & free[:-1]) + np.sum(free[:, 1:] & free[:, :-1])
    source = tuple(np.argwhere(free)[0].tolist())
    reached = np.sum(oracles.distances(walls, source) < search.UNREACHABLE)
    return bool(free[::2, ::2].all() and reached == free.sum() and borders == free.sum() - 1)


@pytest.mark.parametrize("make", [procedural.perfect_maze_dfs, procedural.perfect_maze_kruskal])
@pytest.mark.parametrize("size", [(3, 3), (13, 13), (7, 21), (101, 101)], ids=str)
def test_perfect_mazes_are_spanning_trees(make, size):
    for seed in range(3):
        plan = make(np.random.default_rng(seed), *size)
        assert plan.walls.shape == size
        assert is_spanning_tree(plan.walls)
        assert plan.start != plan.goal
        assert not plan.walls[plan.start]
        assert not plan.walls[plan.goal]


def test_kruskal_ends_are_distinct_corners_all_alike():
    rng = np.random.default_rng(0)
    plans = [procedural.perfect_maze_kruskal(rng, 5, 7) for _ in range(1200)]
    ends = collections.Counter((plan.start, plan.goal) for plan in plans)
    corners = {(0, 0), (0, 6), (4, 0), (4, 6)}
    assert set(ends) == {(a, b) for a in corners for b in corners if a != b}
    assert min(ends.values()) > 60  # of 100 expected


def test_dfs_ends_may_be_anywhere():
    rng = np.random.default_rng(0)
    plans = [procedural.perfect_maze_dfs(rng, 5, 5) for _ in range(300)]
    assert {cell for plan in plans for cell in (plan.start, plan.goal)} > {(0, 0), (0, 1), (1, 2), (4, 4)}
    assert {plan.direction for plan in plans} == {0, 1, 2, 3}


def test_dfs_corridors_are_longer_than_kruskals():
    def dead_ends(make) -> float:
        walls = make(np.random.default_rng(0), 51, 51).walls
        free = np.pad(~walls, 1)
        ways = free[2:, 1:-1].astype(int) + free[:-2, 1:-1] + free[1:-1, 2:] + free[1:-1, :-2]
        return float(np.mean(ways[::2, ::2] == 1))

    # Known for large mazes: depth-first search leaves about a tenth of the cells as dead ends, Kruskal about three.
    assert dead_ends(procedural.perfect_maze_dfs) < 0.15
    assert dead_ends(procedural.perfect_maze_kruskal) > 0.25


@pytest.mark.parametrize("size", [(4, 5), (5, 4), (1, 5)])
def test_perfect_mazes_need_odd_sizes(size):
    with pytest.raises(UserError, match="allowed: odd numbers from 3"):
        procedural.perfect_maze_dfs(np.random.default_rng(0), *size)


def test_four_rooms_have_a_door_in_each_wall():
    rng = np.random.default_rng(0)
    doors = set()
    for _ in range(200):
        plan = procedural.four_rooms(rng)
        assert plan.walls.sum() == 2 * 17 - 1 - 4
        assert plan.walls[8, 8]
        for segment in (plan.walls[8, :8], plan.walls[8, 9:], plan.walls[:8, 8], plan.walls[9:, 8]):
            assert np.sum(~segment) == 1
        doors.add(int(np.argmin(plan.walls[8, 9:])))
        assert oracles.distances(plan.walls, plan.start)[plan.goal] < search.UNREACHABLE
    assert doors == set(range(8))


@pytest.mark.parametrize(("size", "num_rivers"), [(7, 1), (7, 2), (7, 3), (9, 5), (9, 8)])
def test_crossings_have_one_opening_a_river_and_need_them_all(size, num_rivers):
    rng = np.random.default_rng(0)
    lines = collections.Counter()
    for _ in range(150):
        plan = procedural.simple_crossing(rng, size, num_rivers)
        assert (plan.start, plan.direction, plan.goal) == ((0, 0), 0, (size - 1, size - 1))
        assert oracles.distances(plan.walls, plan.start)[plan.goal] < search.UNREACHABLE
        # A river is a line with one opening; other lines have walls only where rivers of the other axis cross them.
        rivers = [(0, i) for i in range(size) if plan.walls[i].sum() == size - 1]
        rivers += [(1, j) for j in range(size) if plan.walls[:, j].sum() == size - 1]
        assert len(rivers) == num_rivers
        lines.update(rivers)
        for axis, place in rivers:
            closed = plan.walls.copy()
            closed[(place, slice(None)) if axis == 0 else (slice(None), place)] = True
            assert oracles.distances(closed, plan.start)[plan.goal] == search.UNREACHABLE
    # Every odd row and column is as likely.
    assert set(lines) == {(axis, place) for axis in (0, 1) for place in range(1, size - 1, 2)}
    assert stats.chisquare(list(lines.values())).pvalue > 1e-3


def test_crossing_openings_may_be_anywhere_along_their_room():
    rng = np.random.default_rng(0)
    openings = collections.Counter()
    for _ in range(600):
        walls = procedural.simple_crossing(rng, 7, 1).walls
        openings[
            tuple(np.argwhere(~walls & ((walls.sum(0) == 6)[None] | (walls.sum(1) == 6)[:, None]))[0].tolist())
        ] += 1
    assert len(openings) == 6 * 7 - 9  # three rows and three columns, whose nine crossings count for both
    rows = collections.Counter(row for row, _ in openings)
    assert set(rows) == set(range(7))


# -- suites -----------------------------------------------------------------------------------------------------------

EXPECTED = {  # (height, width, horizon, levels) of each part
    "jaxued": [(13, 13, 450, 8)],
    "random": [(13, 13, 250, 100)],
    "named": [(13, 13, 450, 20)],
    "minimax": [(13, 13, 450, 3)],
    "dcd": [(13, 13, 450, 17), (19, 19, 882, 16), (9, 9, 484, 100), (17, 17, 250, 100), (19, 19, 882, 100)],
    "corridors": [(13, 13, 450, 10), (19, 19, 882, 16)],
    "rooms": [(13, 13, 450, 4)],
    "labyrinths": [(13, 13, 450, 3)],
    "trivial": [(3, 3, 50, 1), (5, 5, 98, 1), (7, 7, 162, 1)],
    "small": [(4, 4, 72, 1), (8, 8, 200, 1)],
    "four_rooms": [(17, 17, 250, 100)],
    "simple_crossing": [(7, 7, 324, 300), (9, 9, 484, 100)],
    **{f"perfect_maze_{kind}_{n}": [(n, n, 2 * (n + 2) ** 2, 100)]
       for kind in ("dfs", "kruskal") for n in (13, 19, 51, 99, 101)},
}  # fmt: skip


def test_every_suite_is_expected_and_described():
    assert set(SPACE.suites) == {*EXPECTED, "memory"}
    for name, sentence in SPACE.suites.items():
        assert sentence.endswith(".")
        for _, _, horizon, _ in EXPECTED.get(name, []):
            assert str(horizon) in sentence, name


@pytest.mark.parametrize("name", EXPECTED)
def test_suite_has_its_parts(name):
    maze = Maze(view_size=7, num_actions=3, levels=MazeLevels(num_walls=100))
    parts = maze.level_space.suite(name)
    shapes = [(part.env.height, part.env.width, part.env.max_steps, len(part.names)) for part in parts]
    assert shapes == EXPECTED[name]
    assert maze.level_space.suite(name) is parts
    for part in parts:
        assert (part.env.view_size, part.env.num_actions, part.name) == (7, 3, name)
        levels = part.levels
        assert levels.agent_direction.shape == (len(part.names),)
        space = part.env.level_space
        first = jax.tree.map(lambda leaf: leaf[0], levels)
        space.check(first)
        good = jax.jit(jax.vmap(lambda level, s=space: s.is_valid(level) & acceptance.is_solvable(level, s.maze.width)))
        if part.env.height <= 19:  # the larger ones are spanning trees by another test
            assert bool(good(levels).all())


def test_names_of_parts():
    (part,) = SPACE.suite("jaxued")
    assert part.names == ("SixteenRooms", "SixteenRooms2", "Labyrinth", "LabyrinthFlipped", "Labyrinth2",
                          "StandardMaze", "StandardMaze2", "StandardMaze3")  # fmt: skip
    names = {name for part in SPACE.suite("dcd") for name in part.names}
    assert len(names) == 12
    assert [name for name in names if "Kruskal" in name] == ["PerfectMazeKruskal19"]


def test_procedural_sets_are_diverse_and_the_same_in_every_world():
    (part,) = SPACE.suite("perfect_maze_kruskal_13")
    prints = np.asarray(jax.vmap(SPACE.fingerprint)(part.levels))
    assert len({tuple(row) for row in prints.tolist()}) == 100
    (other,) = Maze(time_penalty=False).level_space.suite("perfect_maze_kruskal_13")
    np.testing.assert_array_equal(part.levels.walls, other.levels.walls)


def test_the_first_suite_is_the_default():
    assert next(iter(SPACE.suites)) == "jaxued"
    small = Maze(height=5, width=6, levels=MazeLevels(num_walls=3))
    assert next(iter(small.level_space.suites)) == "random"
    assert "named" not in small.level_space.suites
    assert "held_out" not in small.level_space.suites
    held = dataclasses.replace(small, levels=MazeLevels(num_walls=3, holdout=5))
    assert next(iter(held.level_space.suites)) == "held_out"


def test_held_out_levels_are_reserved_solvable_and_different():
    space = Maze(levels=MazeLevels(holdout=20)).level_space
    reserved, together = space.suite("held_out")
    prints = np.asarray(jax.jit(jax.vmap(space.fingerprint))(reserved.levels))
    assert len(reserved.names) == 100
    assert np.all(prints[:, 0] % 20 == 0)
    assert len({tuple(row) for row in prints.tolist()}) == 100
    assert bool(jax.jit(jax.vmap(lambda level: acceptance.is_solvable(level, 13)))(reserved.levels).all())
    assert bool(jax.jit(jax.vmap(space.is_reserved))(together.levels).all())
    assert together.env.max_steps == 450
    assert reserved.env.max_steps == 250
    assert "20 named" in space.suites["held_out"]


def test_a_small_world_has_fewer_reserved_levels():
    space = Maze(height=2, width=3, levels=MazeLevels(num_walls=0, holdout=4)).level_space
    (reserved,) = space.suite("held_out")
    assert 5 < len(reserved.names) < 60  # of 6 · 5 · 4 = 120 levels about a quarter
    everything = jax.jit(jax.vmap(space.draw_raw))(jax.random.split(jax.random.key(0), 5000))
    prints = np.asarray(jax.jit(jax.vmap(space.fingerprint))(everything))
    assert len(reserved.names) == len({tuple(row) for row in prints.tolist() if row[0] % 4 == 0})


def test_unknown_suite():
    with pytest.raises(UserError, match=r"unknown suite 'jaxud' \(did you mean 'jaxued'\?\)"):
        SPACE.suite("jaxud")


def test_suites_may_be_asked_for_while_tracing():
    suites.build.cache_clear()
    named.named_levels.cache_clear()
    jax.jit(lambda x: (SPACE.suite("jaxued"), x)[1])(jnp.float32(0))
    (part,) = SPACE.suite("jaxued")
    assert not isinstance(part.levels.walls, jax.core.Tracer)
