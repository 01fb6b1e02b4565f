"""The agent's view against crop-and-rotate, and the pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from minied_envs.grid import bitboard, draw, tiles, view


@pytest.mark.parametrize("view_size", [1, 3, 5, 7])
@pytest.mark.parametrize("width", [6, 36])
def test_view_equals_crop_and_rotate_everywhere(view_size, width):
    height, goal, red = 4, (1, 3), (2, width - 1)
    walls = np.random.default_rng(view_size).random((height, width)) < 0.4
    walls[goal] = walls[red] = False
    codes = np.where(walls, tiles.WALL, tiles.EMPTY)
    codes[goal], codes[red] = tiles.GOAL, tiles.RED_GOAL
    board = bitboard.pack(jnp.asarray(walls))
    to_array = lambda value: jnp.asarray(value, jnp.int32)  # noqa: E731
    marks = ((to_array(goal), tiles.GOAL), (to_array(red), jnp.asarray(tiles.RED_GOAL, jnp.uint8)))

    def see(position, direction):
        return view.crop(board, width, marks, position, direction, view_size)

    states = [(row, col, d) for row in range(height) for col in range(width) for d in range(4)]
    table = to_array(states)
    got = jax.jit(jax.vmap(see))(table[:, :2], table[:, 2])
    assert got.dtype == jnp.uint8
    for (row, col, direction), seen in zip(states, np.asarray(got), strict=True):
        expected = oracles.rotated_crop(codes, (row, col), direction, view_size)
        np.testing.assert_array_equal(seen, expected, err_msg=f"at {row}, {col} looking {direction}")


def test_a_view_by_hand():
    # The agent at (1, 0) looks east over      . G .      Up is east, left is north, right is south:
    #                                          > . #      row 0 (2 ahead): . # wall; row 1: G . wall; row 2: . > wall
    board = bitboard.pack(jnp.asarray([[False, False, False], [False, False, True]]))
    goal = jnp.asarray([0, 1], jnp.int32)
    here = jnp.asarray([1, 0], jnp.int32)
    got = view.crop(board, 3, ((goal, tiles.GOAL),), here, jnp.asarray(0, jnp.int32), 3)
    np.testing.assert_array_equal(got, [[0, 1, 1], [2, 0, 1], [0, 0, 1]])


def test_image_and_features_are_minigrid_numbers():
    codes = [[tiles.EMPTY, tiles.WALL], [tiles.GOAL, tiles.RED_GOAL], [tiles.AGENT, tiles.TELEVISION]]
    codes = jnp.asarray(codes, jnp.uint8)
    got = view.image(codes)
    assert got.dtype == jnp.uint8
    np.testing.assert_array_equal(got, [[[1, 0, 0], [2, 5, 0]], [[8, 1, 0], [8, 0, 0]], [[10, 0, 0], [7, 3, 0]]])
    np.testing.assert_allclose(np.asarray(tiles.FEATURES) * 10, tiles.TRIPLES)
    assert len(tiles.COLOURS) == len(tiles.TRIPLES) == len(set(tiles.TRIPLES)) == len(set(tiles.COLOURS))


# -- drawing ----------------------------------------------------------------------------------------------------------

CODES = np.array([[0, 1, 0], [0, 0, 2]], np.uint8)


@pytest.mark.parametrize("tile", [4, 16, 32])
def test_picture_has_a_border_and_shows_every_tile(tile):
    picture = draw.draw(CODES, (1, 0), 0, tile=tile)
    assert picture.shape == (4 * tile, 5 * tile, 3)
    assert picture.dtype == np.uint8
    bordered = np.pad(CODES, 1, constant_values=tiles.WALL)
    for (row, col), code in np.ndenumerate(bordered):
        if (row, col) != (2, 1):  # the agent's
            corner = picture[(row + 1) * tile - 1, (col + 1) * tile - 1]
            np.testing.assert_array_equal(corner, tiles.COLOURS[code])


@pytest.mark.parametrize("direction", range(4))
def test_agent_points_where_it_looks(direction):
    tile = 32
    patch = draw.draw(CODES, (1, 0), direction, tile=tile)[2 * tile : 3 * tile, tile : 2 * tile]
    rows, cols = np.nonzero(np.all(patch == tiles.AGENT_COLOUR, axis=-1))
    assert len(rows) > tile * tile / 20
    # The base of the triangle is the heavy end: the centre of mass lies behind the middle of its extent.
    lean = [np.mean(axis) - (axis.min() + axis.max()) / 2 for axis in (rows, cols)]
    step = oracles.STEPS[direction]
    assert lean[0] * step[0] + lean[1] * step[1] < -1
    assert abs(lean[0] * step[1]) + abs(lean[1] * step[0]) < 0.5


def test_only_what_the_agent_sees_is_tinted():
    plain = draw.draw(CODES, (1, 0), 3, tile=16).astype(int)
    tinted = draw.draw(CODES, (1, 0), 3, view_size=3, tile=16).astype(int)
    changed = np.any(plain != tinted, axis=-1).reshape(4, 16, 5, 16).any(axis=(1, 3))
    expected = np.zeros((4, 5), bool)
    expected[0:3, 0:3] = True  # looking north from (1, 0): three rows up to the border, and the border to the west
    np.testing.assert_array_equal(changed, expected)


def test_large_mazes_get_small_tiles():
    assert draw.tile_pixels(13, 13) == 24
    assert draw.tile_pixels(101, 101) * 103 <= draw.MAX_SIDE_PIXELS
    assert draw.draw(np.zeros((101, 101), np.uint8), (0, 0), 0).shape == (927, 927, 3)
