"""How large is a world of hide and seek, and for how many of each thing has it room?

Letters: ``H W`` grid, ``N`` agents (hiders first), ``X`` boxes, ``R`` ramps.
"""

import dataclasses
from typing import Any

import numpy as np

TEAMS = ("hiders", "seekers")
KINDS = (*TEAMS, "boxes", "ramps")  # of things, in the order of their places in a level


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """The numbers of a world that fix the shape of its levels, and the margin, which fixes where they begin."""

    height: int
    """Rows of the grid, ``H``."""
    width: int
    """Columns of the grid, ``W``."""
    margin: int
    """Cells between the border of the grid and the arena, in which everything starts."""
    max_hiders: int
    max_seekers: int
    max_boxes: int
    max_ramps: int

    @classmethod
    def of(cls, env: Any) -> "Dimensions":
        """Return those of a world, which has fields of the same names."""
        return cls(**{field.name: getattr(env, field.name) for field in dataclasses.fields(cls)})

    @property
    def room_for(self) -> tuple[int, int, int, int]:
        """How many hiders, seekers, boxes and ramps a level has room for."""
        return self.max_hiders, self.max_seekers, self.max_boxes, self.max_ramps

    @property
    def arena_height(self) -> int:
        """Rows of the arena."""
        return self.height - 2 * self.margin

    @property
    def arena_width(self) -> int:
        """Columns of the arena."""
        return self.width - 2 * self.margin

    @property
    def num_agents(self) -> int:
        """Hiders and seekers at most, ``N``."""
        return self.max_hiders + self.max_seekers

    def arena(self) -> np.ndarray:
        """Return the cells of the arena, ``u32[H, 1]``."""
        return self._inside(self.margin)

    def ring(self) -> np.ndarray:
        """Return the cells around the arena, ``u32[H, 1]``; none without a margin."""
        return self._inside(max(self.margin - 1, 0)) & ~self.arena()

    def _inside(self, distance: int) -> np.ndarray:
        """Return the cells at least ``distance`` cells from the border of the grid, ``u32[H, 1]``."""
        board = np.zeros((self.height, 1), np.uint32)
        board[distance : self.height - distance] = ((1 << (self.width - 2 * distance)) - 1) << distance
        return board
