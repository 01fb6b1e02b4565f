"""How is a grid world drawn? NumPy only, on the host.

The picture has a border of walls one tile wide, a triangle for the agent, and a tint over what the agent sees.
"""

import numpy as np

from minied_envs.grid import tiles, view
from minied_envs.grid.moves import STEPS

MAX_SIDE_PIXELS = 1024  # large mazes are drawn with smaller tiles
SUPERSAMPLING = 4  # of the agent's slanted edges


def tile_pixels(height: int, width: int, wanted: int = 24) -> int:
    """Return the side of a tile in pixels: ``wanted``, or less where the picture would be too large."""
    return max(4, min(wanted, MAX_SIDE_PIXELS // (max(height, width) + 2)))


def draw(
    codes: np.ndarray,
    position: tuple[int, int],
    direction: int,
    view_size: int | None = None,
    tile: int | None = None,
) -> np.ndarray:
    """Return a picture, ``u8[(H + 2) · tile, (W + 2) · tile, 3]``.

    Args:
        codes: tile codes, ``u8[H, W]``.
        position: (row, col) of the agent.
        direction: of the agent.
        view_size: tint the cells that the agent sees in a view of this size; None tints nothing.
        tile: pixels a tile side; by default `tile_pixels`.
    """
    tile = tile_pixels(*codes.shape) if tile is None else tile
    bordered = np.pad(codes, 1, constant_values=tiles.WALL)
    colours = np.asarray(tiles.COLOURS, np.float32)[bordered]
    if view_size is not None:
        _tint(colours, position, direction, view_size)
    picture = np.kron(colours, np.ones((tile, tile, 1), np.float32))
    _rule(picture, bordered, tile)
    _stamp_agent(picture, position, direction, tile)
    return np.round(picture).astype(np.uint8)


def _tint(colours: np.ndarray, position: tuple[int, int], direction: int, view_size: int) -> None:
    """Mix the highlight into the colours, ``f32[H + 2, W + 2, 3]``, of the cells in view, border included."""
    seen = view.offsets(view_size)[direction].reshape(-1, 2) + np.asarray(position) + 1
    inside = np.all((seen >= 0) & (seen < np.asarray(colours.shape[:2])), axis=1)
    rows, cols = seen[inside].T
    colours[rows, cols] = 0.7 * colours[rows, cols] + 0.3 * np.asarray(tiles.HIGHLIGHT, np.float32)


def _rule(picture: np.ndarray, codes: np.ndarray, tile: int) -> None:
    """Draw a thin line along the upper and left edge of every tile that is no wall."""
    edge = np.zeros((tile, tile), bool)
    edge[0, :] = edge[:, 0] = tile >= 8  # smaller tiles would be all line
    mask = np.kron(codes != tiles.WALL, edge)
    picture[mask] = tiles.GRID_LINE


def _stamp_agent(picture: np.ndarray, position: tuple[int, int], direction: int, tile: int) -> None:
    """Draw the agent, a triangle that points where it looks."""
    alpha = _triangle(direction, tile)[..., None]
    top, left = (position[0] + 1) * tile, (position[1] + 1) * tile
    patch = picture[top : top + tile, left : left + tile]
    patch[:] = (1 - alpha) * patch + alpha * np.asarray(tiles.AGENT_COLOUR, np.float32)


def _triangle(direction: int, tile: int) -> np.ndarray:
    """Return how much of each pixel of a tile the agent covers, ``f32[tile, tile]``."""
    fine = tile * SUPERSAMPLING
    centres = (np.arange(fine) + 0.5) / fine - 0.5
    row, col = np.meshgrid(centres, centres, indexing="ij")
    step_row, step_col = STEPS[direction]
    forward = row * step_row + col * step_col
    sideways = np.abs(row * step_col - col * step_row)
    # From the base at -0.34 to the tip at 0.38 the triangle narrows from 0.32 to 0.
    covered = (forward >= -0.34) & (sideways <= 0.32 * (0.38 - forward) / 0.72)
    return covered.reshape(tile, SUPERSAMPLING, tile, SUPERSAMPLING).mean(axis=(1, 3), dtype=np.float32)
