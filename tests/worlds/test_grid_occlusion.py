"""What walls hide, against MiniGrid's own sweep."""

import warnings

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied_envs.grid import occlusion

_visible = jax.jit(jax.vmap(occlusion.visible))


def minigrid_visible(opaque):
    """``bool[v, v]`` as MiniGrid has it, of a view in which the agent looks up from the middle of the last row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from minigrid.core.grid import Grid
        from minigrid.core.world_object import Wall
    side = opaque.shape[0]
    grid = Grid(side, side)
    for row, col in np.argwhere(opaque):
        grid.set(int(col), int(row), Wall())
    grid.set(side // 2, side - 1, None)
    return grid.process_vis((side // 2, side - 1)).T


@pytest.mark.parametrize("side", [3, 5, 7, 9, 15, 31])
def test_equals_minigrid_on_random_views(side):
    rng = np.random.default_rng(side)
    number = 300 if side < 15 else 20
    opaque = rng.random((number, side, side)) < rng.uniform(0, 0.6, (number, 1, 1))
    got = np.asarray(_visible(jnp.asarray(opaque)))
    for one, seen in zip(opaque, got, strict=True):
        np.testing.assert_array_equal(seen, minigrid_visible(one), err_msg=str(one.astype(int)))


@hypothesis.settings(deadline=None, max_examples=50, derandomize=True)
@hypothesis.given(st.lists(st.booleans(), min_size=49, max_size=49))
def test_equals_minigrid_on_any_7x7_view(cells):
    opaque = np.array(cells).reshape(7, 7)
    np.testing.assert_array_equal(np.asarray(_visible(jnp.asarray(opaque[None])))[0], minigrid_visible(opaque))


def test_a_view_by_hand():
    # A wall ahead with a gap on the right:   row 0: only what the gap shows, straight and slanting
    opaque = jnp.asarray([[0, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    # Row 2 is all floor and seen; row 1 is seen from it. Of row 1 only the last cell is clear: it shows the one ahead of it
    # and the one ahead to its left; and along row 0 those show the rest.
    np.testing.assert_array_equal(occlusion.visible(opaque), np.ones((3, 3), bool))
    # Without the gap row 0 is hidden.
    closed = opaque.at[1, 2].set(True)
    np.testing.assert_array_equal(occlusion.visible(closed), [[False] * 3, [True] * 3, [True] * 3])


def test_the_agent_sees_even_where_its_own_cell_is_opaque():
    opaque = jnp.zeros((3, 3), bool).at[2, 1].set(True)
    assert bool(occlusion.visible(opaque).all())


def test_vmap_equals_loop():
    opaque = jnp.asarray(np.random.default_rng(0).random((5, 7, 7)) < 0.4)
    alone = jax.jit(occlusion.visible)
    chex.assert_trees_all_equal(_visible(opaque), jnp.stack([alone(one) for one in opaque]))


@pytest.mark.parametrize("shape", [(3, 5), (32, 32)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="allowed: square, with 1 to 31 rows"):
        occlusion.visible(jnp.zeros(shape, bool))
