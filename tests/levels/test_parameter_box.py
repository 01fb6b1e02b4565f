"""Parameters as points of a box: there and back, what is nearest, what is uniform, and nothing that is ruled out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from toy_designers import CorridorParameters

from minied.errors import UserError
from minied.levels.parameter_box import ParameterBox
from minied.levels.parameters import Choice, Interval, Parameters
from minied_envs.maze import Maze, MazeLevels


@dataclasses.dataclass(frozen=True)
class Mixed(Parameters):
    @property
    def parts(self):
        return Choice("kind", 4), Interval("size", -1.0, 3.0), Choice("only", 1)

    def level(self, key, values):
        return values

    def allowed(self, part, values):
        if part == 0:
            return jnp.asarray([True, False, True, True])
        return super().allowed(part, values)


BOX = ParameterBox(Mixed())


def nearest(*point):
    return np.asarray(BOX.nearest(jnp.asarray(point, jnp.float32))).tolist()


def test_there_by_hand():
    # a choice stands at the middle of its bin: (3 + ½) / 4; 2 is three quarters of the way from −1 to 3
    np.testing.assert_allclose(BOX.point(jnp.asarray([3.0, 2.0, 0.0])), [0.875, 0.75, 0.5])
    np.testing.assert_allclose(BOX.point(jnp.asarray([0.0, -1.0, 0.0])), [0.125, 0.0, 0.5])
    assert (BOX.size, BOX.names) == (3, ("kind", "size", "only"))


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((0.875, 0.75, 0.5), [3, 2, 0]),
        ((0.74, 0.5, 0.0), [2, 1, 0]),  # bins end at quarters
        ((0.76, 0.5, 1.0), [3, 1, 0]),
        ((-7.0, -7.0, -7.0), [0, -1, 0]),
        ((7.0, 7.0, 7.0), [3, 3, 0]),
        ((0.36, 0.5, 0.5), [0, 1, 0]),  # of kind 1, which is ruled out: 0 and 2 stand at 0.125 and 0.625
        ((0.39, 0.5, 0.5), [2, 1, 0]),
        ((0.375, 0.5, 0.5), [0, 1, 0]),  # equally near: the lower
    ],
)
def test_nearest_by_hand(point, expected):
    assert nearest(*point) == expected


def test_there_and_back():
    maze = ParameterBox(Maze(height=5, width=7, levels=MazeLevels(num_walls=20)).level_space.parameters)
    values = jax.vmap(maze.uniform)(jax.random.split(jax.random.key(0), 500))
    again = jax.vmap(lambda each: maze.nearest(maze.point(each)))(values)
    np.testing.assert_array_equal(again, values)
    points = np.asarray(jax.vmap(maze.point)(values))
    assert points.min() > 0
    assert points.max() < 1


def test_what_is_ruled_out_by_earlier_choices_is_never_chosen():
    """Cells 0 and 1 are near and 2 to 4 far; whatever the point is, the cell is of the half that was chosen."""
    box = ParameterBox(CorridorParameters(length=5))
    keys = jax.random.split(jax.random.key(1), 2000)
    points = jax.vmap(lambda key: jax.random.uniform(key, (3,), minval=-0.3, maxval=1.3))(keys)
    for values in (jax.vmap(box.nearest)(points), jax.vmap(box.uniform)(keys)):
        half, cell, slope = np.asarray(values).T
        np.testing.assert_array_equal(half, cell >= 2)
        assert set(cell.tolist()) == {0, 1, 2, 3, 4}
        assert slope.min() >= -1
        assert slope.max() <= 3


def test_uniform_values_are_uniform_over_what_is_left():
    values = np.asarray(jax.jit(jax.vmap(BOX.uniform))(jax.random.split(jax.random.key(2), 6000)))
    counts = np.bincount(values[:, 0].astype(int), minlength=4)
    assert counts[1] == 0
    assert scipy.stats.chisquare(counts[[0, 2, 3]]).pvalue > 1e-3
    assert scipy.stats.kstest((values[:, 1] + 1) / 4, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(values[:, 2], 0)
    # a half first, then a cell of that half: 1/2 · 1/2 and 1/2 · 1/3
    box = ParameterBox(CorridorParameters(length=5))
    cells = np.asarray(jax.jit(jax.vmap(box.uniform))(jax.random.split(jax.random.key(3), 6000)))[:, 1].astype(int)
    expected = 6000 * np.array([1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6])
    assert scipy.stats.chisquare(np.bincount(cells, minlength=5), expected).pvalue > 1e-3


def test_every_choice_of_a_uniform_point_is_as_likely():
    """The ends are no half bins."""
    box = ParameterBox(CorridorParameters(length=40))
    halves = np.asarray(jax.vmap(box.nearest)(jnp.stack([jnp.linspace(0.0005, 0.9995, 1000)] * 3, axis=1)))[:, 0]
    assert (halves == 0).sum() == 500


def test_a_number_of_an_interval_stays_inside():
    @dataclasses.dataclass(frozen=True)
    class Ends(Mixed):
        @property
        def parts(self):
            return (Interval("a", -1.0, 0.1),)

    box = ParameterBox(Ends())
    values = [float(box.nearest(jnp.asarray([x], jnp.float32))[0]) for x in (0.0, 1.0, 2.0, -1.0)]
    assert values == [-1.0, np.float32(0.1), np.float32(0.1), -1.0]


def test_bad_parameters_are_told():
    with pytest.raises(UserError, match=r"allowed: an instance of minied\.levels\.parameters\.Parameters"):
        ParameterBox(Mixed)  # pyright: ignore
    wrong = ParameterBox(CorridorParameters(length=5, wrong=True))
    told = r"^allowed of CorridorParameters gives \[2\] for the parameter 'cell'; allowed: one bool for each of its 5"
    for choose in (lambda: wrong.nearest(jnp.zeros(3)), lambda: wrong.uniform(jax.random.key(0))):
        with pytest.raises(UserError, match=told):
            choose()
