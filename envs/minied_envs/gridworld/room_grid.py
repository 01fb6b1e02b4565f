"""Rooms of one size in rows and columns, as MiniGrid's ``RoomGrid`` has them: what several families are built on.

A room has ``room_size`` cells a side, walls included, and shares them with its neighbours. Letters: ``H W`` grid without the
border, ``R`` rows of rooms, ``C`` columns of rooms, ``E`` walls between neighbours (edges), ``L`` cells of such a wall.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.grid import bitboard
from minied_envs.gridworld import codes
from minied_envs.gridworld.placing import pick_cell, put


@dataclasses.dataclass(frozen=True)
class RoomGrid:
    """The plan of the rooms, all of it known beforehand."""

    num_rows: int
    num_cols: int
    room_size: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of cells, ``H W``."""
        return (self.room_size - 1) * self.num_rows - 1, (self.room_size - 1) * self.num_cols - 1

    @property
    def num_rooms(self) -> int:
        """``R C``; rooms are numbered in reading order."""
        return self.num_rows * self.num_cols

    def room(self, row: int, col: int) -> int:
        """Return the number of a room."""
        return row * self.num_cols + col

    @functools.cached_property
    def edges(self) -> np.ndarray:
        """The two rooms on both sides of each wall between neighbours, the western or northern one first, ``i32[E, 2]``."""
        rooms = np.arange(self.num_rooms).reshape(self.num_rows, self.num_cols)
        beside = np.stack([rooms[:, :-1].ravel(), rooms[:, 1:].ravel()], axis=1)
        below = np.stack([rooms[:-1].ravel(), rooms[1:].ravel()], axis=1)
        return np.concatenate([beside, below]).astype(np.int32)

    def edge(self, room: int, other: int) -> int:
        """Return the number of the wall between two neighbours."""
        pair = sorted((room, other))
        return self.edges.tolist().index(pair)

    @functools.cached_property
    def door_places(self) -> np.ndarray:
        """The cells of each wall between neighbours, ``i32[E, L, 2]``, from west or north on."""
        inner, pitch = self.room_size - 2, self.room_size - 1
        along = np.arange(inner)
        places = []
        for first, second in self.edges.tolist():
            top, left = (pitch * i for i in divmod(first, self.num_cols))
            if second == first + 1:
                places.append(np.stack([top + along, np.full(inner, left + inner)], axis=1))
            else:
                places.append(np.stack([np.full(inner, top + inner), left + along], axis=1))
        return np.array(places, np.int32).reshape(-1, inner, 2)

    @functools.cached_property
    def interiors(self) -> np.ndarray:
        """The cells of each room without its walls, ``bool[R C, H, W]``."""
        height, width = self.size
        inner, pitch = self.room_size - 2, self.room_size - 1
        masks = np.zeros((self.num_rooms, height, width), bool)
        for number in range(self.num_rooms):
            row, col = divmod(number, self.num_cols)
            masks[number, row * pitch : row * pitch + inner, col * pitch : col * pitch + inner] = True
        return masks

    @functools.cached_property
    def walls(self) -> np.ndarray:
        """The map of empty rooms without doors, ``i32[H, W]``."""
        return np.where(self.interiors.any(axis=0), codes.EMPTY, codes.WALL).astype(np.int32)

    def near_middle(self) -> np.ndarray:
        """Return the cells beside which MiniGrid's agent stands before it is placed, where no object is put, ``bool[H, W]``.

        (The middle of the middle room and its four neighbours.)
        """
        pitch = self.room_size - 1
        height, width = self.size
        row, col = (number // 2 * pitch + self.room_size // 2 - 1 for number in (self.num_rows, self.num_cols))
        rows, cols = np.arange(height)[:, None], np.arange(width)[None, :]
        return np.abs(rows - row) + np.abs(cols - col) < 2

    def drawn_doors(self, words: jax.Array) -> jax.Array:
        """Return a uniform cell of each wall between neighbours, ``i32[E, 2]``, by ``u32[E]`` random words."""
        index = bitboard.scale(words, self.room_size - 2)
        places = jnp.asarray(self.door_places)
        return jnp.take_along_axis(places, index[:, None, None], axis=1)[:, 0]

    def place(self, cells: jax.Array, room: int | jax.Array, code: int | jax.Array, word: jax.Array) -> jax.Array:
        """Return ``cells``, ``i32[H, W]``, with ``code`` on a uniform empty cell of a room, as MiniGrid places objects."""
        allowed = jnp.asarray(self.interiors & ~self.near_middle()[None])[room]
        return put(cells, pick_cell(allowed & (cells == codes.EMPTY), word), code)
