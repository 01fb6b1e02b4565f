"""How are shapes painted on a picture of cells? Lengths are in cells, edges are smooth. Host only."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SUPERSAMPLING = 3  # of slanted edges

Colour = tuple[int, int, int]
Point = tuple[float, float]  # (row, col) in cells; a cell's middle is at + 0.5


class Canvas:
    """A picture of some rows and columns of cells that shapes are painted on one after the other."""

    def __init__(self, rows: float, cols: float, origin: Point, tile: int, background: Colour) -> None:
        """Make a picture of ``rows`` x ``cols`` cells of ``tile`` pixels; ``origin`` is where cell (0, 0) begins in it."""
        from PIL import Image, ImageDraw

        self._scale, self._origin = tile * SUPERSAMPLING, origin
        self._size = round(cols * tile), round(rows * tile)
        self._image = Image.new("RGB", (self._size[0] * SUPERSAMPLING, self._size[1] * SUPERSAMPLING), background)
        self._draw: Any = ImageDraw.Draw(self._image)

    def picture(self) -> np.ndarray:
        """Return what has been painted, ``u8[height, width, 3]``."""
        from PIL import Image

        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX))

    def rectangle(self, top: float, left: float, bottom: float, right: float, colour: Colour) -> None:
        """Fill a rectangle."""
        ((x0, y0), (x1, y1)) = self._pixels([(top, left), (bottom, right)])
        if x1 > x0 and y1 > y0:
            self._draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=colour)

    def polygon(
        self, points: Sequence[Point], colour: Colour | None, outline: Colour | None = None, width: float = 0.05
    ) -> None:
        """Fill a polygon, or only draw its outline."""
        if colour is not None:
            self._draw.polygon(self._pixels(points), fill=colour)
        if outline is not None:
            around = self._pixels([*points, *points[:2]])  # the first corner again, and round
            self._draw.line(around, fill=outline, width=self._length(width), joint="curve")

    def line(self, start: Point, end: Point, colour: Colour, width: float) -> None:
        """Draw a line."""
        self._draw.line(self._pixels([start, end]), fill=colour, width=self._length(width))

    def disc(
        self, centre: Point, radius: float, colour: Colour | None, outline: Colour | None = None, width: float = 0.05
    ):
        """Fill a disc, or only draw its outline."""
        (row, col) = centre
        (low, high) = self._pixels([(row - radius, col - radius), (row + radius, col + radius)])
        self._draw.ellipse((*low, *high), fill=colour, outline=outline, width=self._length(width))

    def text(self, start: Point, words: str, colour: Colour, height: float) -> None:
        """Write from a point on, to the right of it, in the middle of its row."""
        from PIL import ImageFont

        font = ImageFont.load_default(size=height * self._scale)
        self._draw.text(self._pixels([start])[0], words, fill=colour, font=font, anchor="lm")

    def _pixels(self, points: Sequence[Point]) -> list[tuple[int, int]]:
        top, left = self._origin
        return [(round((left + col) * self._scale), round((top + row) * self._scale)) for row, col in points]

    def _length(self, share: float) -> int:
        return max(1, round(share * self._scale))
