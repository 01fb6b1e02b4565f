"""MiniGrid's families of rooms in a grid: BlockedUnlockPickup, KeyCorridor and ObstructedMaze.

Each follows the generator of MiniGrid 3.2 decision by decision, so that levels have its distribution; deviations are told.
(Unlock and UnlockPickup are descriptions: `minied_envs.gridworld.described`.) Letters: ``E`` walls between neighbours.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameters import Choice
from minied_envs.grid import bitboard
from minied_envs.grid.moves import STEPS
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, make_level
from minied_envs.gridworld.placing import pick_pose, put
from minied_envs.gridworld.room_grid import RoomGrid

Maze = Literal["1Dl", "1Dlh", "1Dlhb", "2Dl", "2Dlh", "2Dlhb", "1Q", "2Q", "Full"]
_BY_NAME = sorted(codes.COLOURS)  # MiniGrid's COLOR_NAMES
TARGET, BLOCKING, BOX = (codes.COLOURS.index(name) for name in _BY_NAME[:3])  # blue, green, grey


@dataclasses.dataclass(frozen=True)
class BlockedUnlockPickup(Family):
    """Two rooms with a locked door between them, a ball in front of it, and a box to pick up behind it."""

    @property
    def size(self) -> tuple[int, int]:
        """4 × 9."""
        return _two_rooms().size

    @property
    def max_steps(self) -> int:
        """576, MiniGrid's."""
        return 16 * 6**2

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        rooms = _two_rooms()
        words = jax.random.bits(key, (7,), jnp.uint32)
        colours = bitboard.scale(words[:3], codes.NUM_COLOURS)
        cells = rooms.place(jnp.asarray(rooms.walls), 1, codes.BOX + colours[0], words[3])
        door = rooms.drawn_doors(words[4:5])[0]
        cells = put(cells, door, codes.LOCKED_DOOR + colours[1])
        cells = put(cells, door - jnp.array([0, 1], jnp.int32), codes.BALL + colours[2])
        cells = rooms.place(cells, 0, codes.KEY + colours[1], words[5])
        start, direction = pick_pose(cells, jnp.asarray(rooms.interiors[0]), words[6], clear_front=True)
        return make_level(cells, start, direction, missions.pick_up(codes.BOX + colours[0]), self.max_steps)


def _two_rooms() -> RoomGrid:
    return RoomGrid(1, 2, 6)


@dataclasses.dataclass(frozen=True)
class KeyCorridor(Family):
    """A corridor with rooms on both sides: a ball behind a locked door on the right, its key in a room on the left."""

    room_size: int = 3
    num_rows: int = 3

    @property
    def size(self) -> tuple[int, int]:
        """Three rooms wide."""
        return self._rooms.size

    @property
    def max_steps(self) -> int:
        """30 times the cells of a room, walls included."""
        return 30 * self.room_size**2

    @property
    def parts(self) -> tuple[Choice, ...]:
        """``locked_room`` on the right and ``key_room`` on the left, from north to south."""
        return (Choice("locked_room", self.num_rows), Choice("key_room", self.num_rows))

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_rooms, key_rest = jax.random.split(key)
        rows = bitboard.scale(jax.random.bits(key_rooms, (2,), jnp.uint32), self.num_rows)
        return self.level(key_rest, rows.astype(jnp.float32))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        rooms, edges = self._rooms, self._rooms.edges
        number = len(edges)
        words = jax.random.bits(key, (3 * number + 4,), jnp.uint32)
        colours = bitboard.scale(words[:number], codes.NUM_COLOURS)
        order = jnp.argsort(words[number : 2 * number])
        doors = rooms.drawn_doors(words[2 * number : 3 * number])
        rest = words[3 * number :]
        locked_row, key_row = values[0].astype(jnp.int32), values[1].astype(jnp.int32)
        target = codes.BALL + bitboard.scale(rest[0], codes.NUM_COLOURS)

        cells = jnp.asarray(np.where(self._hallway, codes.EMPTY, rooms.walls))
        is_locked = jnp.asarray(self._into_right) == locked_row
        has_door = is_locked | self._opened(order, is_locked, locked_row)
        for edge in range(number):
            code = jnp.where(is_locked[edge], codes.LOCKED_DOOR, codes.CLOSED_DOOR) + colours[edge]
            cells = jnp.where(has_door[edge], put(cells, doors[edge], code), cells)
        lock = jnp.sum(jnp.where(is_locked, colours, 0))
        cells = rooms.place(cells, 3 * locked_row + 2, target, rest[1])
        cells = rooms.place(cells, 3 * key_row, codes.KEY + lock, rest[2])
        start, direction = pick_pose(cells, jnp.asarray(self._start), rest[3], clear_front=True)
        return make_level(cells, start, direction, missions.pick_up(target), self.max_steps)

    @property
    def _rooms(self) -> RoomGrid:
        return RoomGrid(self.num_rows, 3, self.room_size)

    @property
    def _into_right(self) -> np.ndarray:
        """The row of each wall between the corridor and a room on the right, −1 for all others, ``i32[E]``."""
        edges = self._rooms.edges
        is_right = (edges[:, 1] == edges[:, 0] + 1) & (edges[:, 1] % 3 == 2)
        return np.where(is_right, edges[:, 0] // 3, -1).astype(np.int32)

    @property
    def _in_corridor(self) -> np.ndarray:
        """Which walls are those that the corridor does without, ``bool[E]``."""
        return (self._rooms.edges % 3 == 1).all(axis=1)

    @property
    def _hallway(self) -> np.ndarray:
        """The cells of those walls, ``bool[H, W]``."""
        hall = np.zeros(self.size, bool)
        rows, cols = self._rooms.door_places[self._in_corridor].reshape(-1, 2).T
        hall[rows, cols] = True
        return hall

    @property
    def _start(self) -> np.ndarray:
        """Where the agent may begin: the middle room of the corridor and the open walls around it, ``bool[H, W]``."""
        pitch, middle = self.room_size - 1, self.num_rows // 2
        rows = np.arange(self.size[0])[:, None]
        near = (rows >= middle * pitch - 1) & (rows <= middle * pitch + self.room_size - 2)
        return near & (self._hallway | self._rooms.interiors[1::3].any(axis=0))

    def _opened(self, order: jax.Array, is_locked: jax.Array, locked_row: jax.Array) -> jax.Array:
        """Return between which rooms there are closed doors, ``bool[E]``: added in ``order`` until all are connected.

        None leads into the locked room. MiniGrid draws walls until it finds one that will do, which is a uniform order.
        """
        rooms, edges = self._rooms, self._rooms.edges
        locked_room = jnp.uint32(1) << (3 * locked_row + 2).astype(jnp.uint32)
        ends = (np.uint32(1) << edges.astype(np.uint32)).astype(np.uint32)  # as sets of rooms, [E, 2]
        both = jnp.asarray(ends[:, 0] | ends[:, 1])
        allowed = jnp.asarray(~self._in_corridor) & (both & locked_room == 0)
        start = jnp.uint32(1) << np.uint32(rooms.room(self.num_rows // 2, 1))
        everywhere = np.uint32((1 << rooms.num_rooms) - 1)

        def reached(has_door: jax.Array) -> jax.Array:
            """Return the rooms that can be come to, as a set, ``u32[]``."""
            joined = has_door | jnp.asarray(self._in_corridor) | is_locked
            found = start
            for _ in range(rooms.num_rooms - 1):
                touches = joined & (found & both != 0)
                found = found | jax.lax.reduce(
                    jnp.where(touches, both, jnp.uint32(0)), np.uint32(0), jax.lax.bitwise_or, (0,)
                )
            return found

        def add(has_door: jax.Array, edge: jax.Array) -> tuple[jax.Array, None]:
            here = jnp.arange(len(edges), dtype=jnp.int32) == edge
            wanted = reached(has_door) != everywhere
            return has_door | (here & allowed & wanted), None

        return jax.lax.scan(add, jnp.zeros(len(edges), bool), order)[0]


@dataclasses.dataclass(frozen=True)
class ObstructedMaze(Family):
    """Find the blue ball behind locked doors; keys may be in boxes, and doors behind balls.

    As the registered environments "ObstructedMaze-" + ``maze``: of 1D in their version 0, of the others in version 1, which
    puts keys down after all blocking balls (version 0 may put a ball onto a key).
    """

    maze: Maze = "1Dl"

    @property
    def size(self) -> tuple[int, int]:
        """4 × 9 of those with one door, else 14 × 14."""
        return self._rooms.size

    @property
    def max_steps(self) -> int:
        """144 for each room that MiniGrid counts as visited."""
        visited = {"1D": 2, "2D": 4, "1Q": 5, "2Q": 11, "Fu": 25}[self.maze[:2]]
        return 4 * visited * 6**2

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_colours, key_doors, key_rest = jax.random.split(key, 3)
        colours = jnp.argsort(jax.random.bits(key_colours, (codes.NUM_COLOURS,), jnp.uint32)).astype(jnp.int32)
        doors = self._rooms.drawn_doors(jax.random.bits(key_doors, (len(self._rooms.edges),), jnp.uint32))
        words = jax.random.bits(key_rest, (11,), jnp.uint32)  # of at most eight keys, the target and the agent
        build = self._one_door if self.maze.startswith("1D") else self._quarters
        cells, room = build(jnp.asarray(self._rooms.walls), colours, doors, words)
        start, direction = pick_pose(cells, jnp.asarray(self._rooms.interiors[room]), words[10], clear_front=True)
        return make_level(cells, start, direction, missions.pick_up(codes.BALL + TARGET), self.max_steps)

    @property
    def _rooms(self) -> RoomGrid:
        return _two_rooms() if self.maze.startswith("1D") else RoomGrid(3, 3, 6)

    @property
    def _hides_keys(self) -> bool:
        return self.maze not in ("1Dl", "2Dl")

    @property
    def _blocks_doors(self) -> bool:
        return self.maze not in ("1Dl", "1Dlh", "2Dl", "2Dlh")

    def _one_door(self, cells: jax.Array, colours: jax.Array, doors: jax.Array, words: jax.Array):
        cells = self._locked(cells, doors[0], colours[0], 0)
        cells = self._rooms.place(cells, 0, self._key(colours[0]), words[0])
        return self._rooms.place(cells, 1, codes.BALL + TARGET, words[9]), 0

    def _quarters(self, cells: jax.Array, colours: jax.Array, doors: jax.Array, words: jax.Array):
        """Return the map and the agent's room: around the middle, side rooms that lead to the corners."""
        rooms, quarters = self._rooms, {"1Q": 1, "2Q": 2, "Full": 4}.get(self.maze, 1)
        sides = [rooms.room(1, 2), rooms.room(2, 1), rooms.room(1, 0), rooms.room(0, 1)]  # by direction
        corners = [rooms.room(0, 2), rooms.room(2, 2), rooms.room(2, 0), rooms.room(0, 0)]
        middle = rooms.room(1, 1)
        for direction, side in enumerate(sides[:quarters]):
            door = doors[rooms.edge(middle, side)]
            cells = put(cells, door, codes.CLOSED_DOOR + colours[direction])
            for turn in (-1, 1):
                towards = (direction + turn) % 4
                step_row, step_col = STEPS[towards]
                door = doors[rooms.edge(side, side + step_row * rooms.num_cols + step_col)]
                cells = self._locked(cells, door, colours[(direction + turn) % codes.NUM_COLOURS], towards)
            for turn in (-1, 1):
                key_ = self._key(colours[(direction + turn) % codes.NUM_COLOURS])
                cells = rooms.place(cells, side, key_, words[2 * direction + (turn + 1) // 2])
        target_room = jnp.asarray(np.array(corners, np.int32))[bitboard.scale(words[8], quarters)]
        cells = rooms.place(cells, target_room, codes.BALL + TARGET, words[9])
        return cells, sides[0] if self.maze.startswith("2") else middle

    def _locked(self, cells: jax.Array, door: jax.Array, colour: jax.Array, direction: int) -> jax.Array:
        """Return ``cells`` with a locked door that is passed in ``direction``, and perhaps a ball in front of it."""
        cells = put(cells, door, codes.LOCKED_DOOR + colour)
        if not self._blocks_doors:
            return cells
        return put(cells, door - jnp.array(STEPS[direction], jnp.int32), codes.BALL + BLOCKING)

    def _key(self, colour: jax.Array) -> jax.Array:
        """Return the code of a key, or of the grey box that it is in."""
        key = codes.KEY + colour
        return jnp.asarray(codes.filled(codes.BOX + BOX, key)) if self._hides_keys else key
