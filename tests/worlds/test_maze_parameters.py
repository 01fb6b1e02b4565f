"""Mazes chosen by a few numbers: what was chosen is what comes, and the rest is uniform."""

import itertools

import designs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.levels.parameters import ParameterDesigner, Parameters
from minied_envs.grid import bitboard
from minied_envs.maze import Maze, MazeLevels

KEY = jax.random.key(0)


def space_of(height, width, num_walls, noisy_tv=False):
    return Maze(height=height, width=width, noisy_tv=noisy_tv, levels=MazeLevels(num_walls=num_walls)).level_space


def levels_of(parameters, values):
    """A level for each row of ``values``, each with its own key."""
    values = jnp.asarray(np.asarray(values, np.float32))
    return jax.jit(jax.vmap(parameters.level))(jax.random.split(KEY, len(values)), values)


def cells_of(positions, width):
    return np.asarray(positions, int) @ [width, 1]


@pytest.mark.parametrize(("height", "width", "noisy_tv"), [(2, 3, False), (2, 3, True), (4, 1, True), (1, 2, False)])
def test_every_choice_gives_a_valid_level_with_exactly_that(height, width, noisy_tv):
    cells = height * width
    space = space_of(height, width, cells - 2, noisy_tv)
    choices = itertools.product(range(cells - 1), range(cells), range(cells), range(2) if noisy_tv else [0])
    values = np.array([c for c in choices if c[1] != c[2] and c[0] + c[3] <= cells - 2])
    values = np.repeat(values, 5, axis=0)  # each with several keys
    levels = levels_of(space.parameters, values[:, : 3 + noisy_tv])
    assert bool(jnp.all(jax.vmap(space.is_valid)(levels)))
    np.testing.assert_array_equal(jax.vmap(bitboard.count)(levels.walls), values[:, 0])
    np.testing.assert_array_equal(cells_of(levels.agent_position, width), values[:, 1])
    np.testing.assert_array_equal(cells_of(levels.goal_position, width), values[:, 2])
    assert (levels.television is not None) == noisy_tv
    if noisy_tv:
        np.testing.assert_array_equal(jax.vmap(lambda level: level.has_television)(levels), values[:, 3] == 1)


def test_what_is_left_open_is_uniform():
    space = space_of(3, 4, 10, noisy_tv=True)
    levels = levels_of(space.parameters, [[4, 2, 7, 1]] * 5000)
    walls = np.asarray(jax.vmap(lambda board: bitboard.unpack(board, 4))(levels.walls)).reshape(5000, 12)
    others = [cell for cell in range(12) if cell not in (2, 7)]
    # 4 of 10 cells are walls: 2000 ± 35 of each; each of them is the television in 1 of 10 levels: 500 ± 21.
    counts = walls.sum(axis=0)
    assert counts[2] == counts[7] == 0
    assert all(abs(counts[cell] - 2000) < 175 for cell in others)
    televisions = np.bincount(cells_of(levels.television, 4), minlength=12)
    assert all(abs(televisions[cell] - 500) < 107 for cell in others)
    # 1250 ± 31 of each direction
    assert all(abs(count - 1250) < 155 for count in np.bincount(np.asarray(levels.agent_direction)))
    # Walls do not come in blocks: two given cells are both walls in 4/10 · 3/9 = 2/15 of the levels: 667 ± 24.
    both = walls.T.astype(int) @ walls
    assert all(abs(both[a, b] - 667) < 120 for a, b in itertools.combinations(others, 2))


def test_parts_and_what_is_allowed_by_hand():
    parameters = space_of(2, 3, 4, noisy_tv=True).parameters
    assert isinstance(parameters, Parameters)
    assert [(part.name, part.number) for part in parameters.parts] == [
        ("num_walls", 5),
        ("start", 6),
        ("goal", 6),
        ("television", 2),
    ]
    assert len(space_of(2, 3, 4).parameters.parts) == 3

    def allowed(part, *chosen):
        values = jnp.asarray([*chosen, *[0] * (4 - len(chosen))], jnp.float32)
        return np.flatnonzero(np.asarray(parameters.allowed(part, values))).tolist()

    assert allowed(0) == [0, 1, 2, 3, 4]
    assert allowed(1, 4) == [0, 1, 2, 3, 4, 5]
    assert allowed(2, 4, 3) == [0, 1, 2, 4, 5]
    assert allowed(3, 4, 3, 0) == [0]  # 4 walls, start and goal leave no cell
    assert allowed(3, 3, 3, 0) == [0, 1]


@pytest.mark.parametrize(("height", "width", "num_walls"), [(2, 3, 4), (13, 13, 60)])
def test_a_teacher_that_chooses_them_makes_valid_levels_only(height, width, num_walls):
    space = space_of(height, width, num_walls, noisy_tv=True)
    designer = ParameterDesigner(space.parameters)
    steps, _, state = designs.random_designs(designer, KEY, 500, designer.empty())
    assert bool(jnp.all(jax.jit(jax.vmap(space.is_valid))(jax.vmap(designer.level_of)(state))))
    assert np.asarray(steps["observation"]["mask"]).any(axis=-1).all()
