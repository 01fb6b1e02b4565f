"""MiniGrid's MultiRoom: a chain of rooms of random sizes, a closed door from each to the next, the goal in the last.

The chain grows as in MiniGrid 3.2: the next room goes behind a door in a random wall of the last one, eight proposals are
made, and if none fits, the chain begins anew. That is a loop over proposals here. Rooms are counted with their walls and in
MiniGrid's coordinates, in which the border of the grid is row and column 0; letters: ``H W`` grid without the border, ``R``
rooms.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from minied.levels.parameters import Choice, Interval
from minied_envs.grid import bitboard
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, make_level
from minied_envs.gridworld.placing import at, pick_cell, pick_pose, put, scaled

SMALLEST = 4  # side of a room
PROPOSALS = 8  # for each room, until the chain begins anew
MOST_PROPOSALS = 4096  # in all; then the longest chain so far is taken
EAST, SOUTH, WEST, NORTH = range(4)


class Chain(struct.PyTreeNode):
    """Rooms placed so far. A room is (top, left, height, width), walls included."""

    rooms: jax.Array  # i32[R, 4]
    doors: jax.Array  # i32[R, 2], the door into each room (row, col); of the first, where it was begun
    entries: jax.Array  # i32[R], the wall that it is in
    number: jax.Array  # i32[], rooms
    failures: jax.Array  # i32[], proposals refused since the last room


@dataclasses.dataclass(frozen=True)
class MultiRoom(Family):
    """A chain of rooms with doors between them, as MiniGrid's; if it finds no place for all, of fewer."""

    height: int
    width: int
    min_rooms: int = 2
    max_rooms: int = 2
    room_size: int = 4

    @property
    def size(self) -> tuple[int, int]:
        """As chosen; MiniGrid's is 23 × 23."""
        return self.height, self.width

    @property
    def max_steps(self) -> int:
        """20 steps for each room that there may be."""
        return 20 * self.max_rooms

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """``more_rooms``: rooms besides the first; ``room_size``: how large they may be, from 4 cells to as chosen."""
        return (Choice("more_rooms", self.max_rooms), Interval("room_size", 0.0, 1.0))

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_number, key_rest = jax.random.split(key)
        more = bitboard.scale(jax.random.bits(key_number), self.max_rooms - self.min_rooms + 1)
        return self._with(key_rest, self.min_rooms + more, jnp.int32(self.room_size))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        return self._with(key, values[0].astype(jnp.int32) + 1, scaled(values[1], SMALLEST, self.room_size))

    def _with(self, key: jax.Array, number: jax.Array, room_size: jax.Array) -> GridLevel:
        key_rooms, key_rest = jax.random.split(key)
        chain = grown_chain(key_rooms, number, room_size, self.max_rooms, self.height, self.width)
        words = jax.random.bits(key_rest, (self.max_rooms + 2,), jnp.uint32)
        cells = drawn_rooms(chain, words[2:], self.height, self.width)
        is_free = cells == codes.EMPTY
        first, last = _interior(chain.rooms[0], cells), _interior(chain.rooms[jnp.maximum(chain.number, 1) - 1], cells)
        start, direction = pick_pose(cells, first, words[0], clear_front=False)
        goal = pick_cell(last & is_free & ~at(cells.shape, start), words[1])
        return make_level(put(cells, goal, codes.GOAL), start, direction, missions.REACH_GOAL, self.max_steps)


def grown_chain(key: jax.Array, number: jax.Array, room_size: jax.Array, most: int, height: int, width: int) -> Chain:
    """Return a chain of ``number`` rooms (``i32[]``, at most ``most``), or the longest that was found. Consumes ``key``."""
    nothing = jnp.zeros((), jnp.int32)
    begun = Chain(
        jnp.zeros((most, 4), jnp.int32), jnp.zeros((most, 2), jnp.int32), jnp.zeros(most, jnp.int32), nothing, nothing
    )

    def propose(carry: tuple[jax.Array, Chain, Chain]) -> tuple[jax.Array, Chain, Chain]:
        tries, chain, longest = carry
        words = jax.random.bits(jax.random.fold_in(key, tries), (6,), jnp.uint32)
        room, door, entry = _proposal(words, chain, room_size, width)
        fits = _fits(room, chain, height, width)
        place = jnp.arange(most, dtype=jnp.int32) == chain.number
        extended = Chain(
            jnp.where(place[:, None], room[None], chain.rooms),
            jnp.where(place[:, None], door[None], chain.doors),
            jnp.where(place, entry, chain.entries),
            chain.number + 1,
            nothing,
        )
        failures = chain.failures + 1
        is_stuck = failures >= PROPOSALS
        refused = chain.replace(number=jnp.where(is_stuck, 0, chain.number), failures=jnp.where(is_stuck, 0, failures))
        chain = _choose(fits, extended, refused)
        return tries + 1, chain, _choose(chain.number > longest.number, chain, longest)

    def is_short(carry: tuple[jax.Array, Chain, Chain]) -> jax.Array:
        tries, _, longest = carry
        return (longest.number < number) & (tries < MOST_PROPOSALS)

    return jax.lax.while_loop(is_short, propose, (nothing, begun, _one_room(begun)))[2]


def _one_room(chain: Chain) -> Chain:
    """Return the chain that is taken if nothing at all was found: one room in the corner."""
    room = jnp.array([0, 0, SMALLEST, SMALLEST], jnp.int32)
    first = (jnp.arange(chain.rooms.shape[0], dtype=jnp.int32) == 0)[:, None]
    # Not counted, so that every chain that is found counts as longer; `drawn_rooms` takes it for one room.
    return chain.replace(rooms=jnp.where(first, room[None], chain.rooms), number=jnp.zeros((), jnp.int32))


def _proposal(
    words: jax.Array, chain: Chain, room_size: jax.Array, width: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return a room to follow the last one, ``i32[4]``, the door into it, ``i32[2]``, and in which wall, ``i32[]``."""
    last = jnp.maximum(chain.number - 1, 0)
    top, left, high, wide = chain.rooms[last]
    # A wall of the last room other than the one it is entered by, and a place in it that is no corner.
    exit_wall = bitboard.scale(words[0], 3)
    exit_wall = exit_wall + (exit_wall >= chain.entries[last]).astype(jnp.int32)
    row_in_wall, col_in_wall = (
        top + 1 + bitboard.scale(words[1], high - 2),
        left + 1 + bitboard.scale(words[1], wide - 2),
    )
    door_row = jnp.select([exit_wall == SOUTH, exit_wall == NORTH], [top + high - 1, top], row_in_wall)
    door_col = jnp.select([exit_wall == EAST, exit_wall == WEST], [left + wide - 1, left], col_in_wall)
    is_first = chain.number == 0
    corner = bitboard.scale(words[2:4], width)  # MiniGrid draws both coordinates below its width less two
    door_row, door_col = jnp.where(is_first, corner[0], door_row), jnp.where(is_first, corner[1], door_col)
    entry = jnp.where(is_first, WEST, (exit_wall + 2) % 4)
    new_wide = SMALLEST + bitboard.scale(words[4] << 16, room_size - SMALLEST + 1)
    new_high = SMALLEST + bitboard.scale(words[4] & jnp.uint32(0xFFFF0000), room_size - SMALLEST + 1)
    # Beside an east or west door the room may lie higher or lower, so that the door is in no corner of it either.
    new_top = door_row - new_high + 2 + bitboard.scale(words[5], new_high - 2)
    new_left = door_col - new_wide + 2 + bitboard.scale(words[5], new_wide - 2)
    new_top = jnp.select([entry == SOUTH, entry == NORTH], [door_row - new_high + 1, door_row], new_top)
    new_left = jnp.select([entry == EAST, entry == WEST], [door_col - new_wide + 1, door_col], new_left)
    new_top, new_left = jnp.where(is_first, door_row, new_top), jnp.where(is_first, door_col, new_left)
    return jnp.stack([new_top, new_left, new_high, new_wide]), jnp.stack([door_row, door_col]), entry


def _fits(room: jax.Array, chain: Chain, height: int, width: int) -> jax.Array:
    """Return whether a room lies in the grid and clear of all rooms but the last, by MiniGrid's own inequalities."""
    top, left, high, wide = room
    inside = (top >= 0) & (left >= 0) & (left + wide <= width + 2) & (top + high < height + 2)
    tops, lefts, highs, wides = chain.rooms.T
    apart = (left + wide < lefts) | (lefts + wides <= left) | (top + high < tops) | (tops + highs <= top)
    counts = jnp.arange(tops.shape[0], dtype=jnp.int32) < chain.number - 1
    return inside & jnp.all(apart | ~counts)


def drawn_rooms(chain: Chain, words: jax.Array, height: int, width: int) -> jax.Array:
    """Return the walls and doors of a chain, ``i32[H, W]``; each door has another colour than the one before."""
    cells = jnp.full((height, width), codes.EMPTY, jnp.int32)
    colour = jnp.int32(codes.NUM_COLOURS)
    number = jnp.maximum(chain.number, 1)
    for index in range(chain.rooms.shape[0]):
        is_there = index < number
        wall = _rectangle(chain.rooms[index], cells) & ~_interior(chain.rooms[index], cells)
        cells = jnp.where(is_there & wall, codes.WALL, cells)
        if index == 0:
            continue
        others = codes.NUM_COLOURS - (colour < codes.NUM_COLOURS).astype(jnp.int32)
        drawn = bitboard.scale(words[index], others)
        colour = drawn + (drawn >= colour).astype(jnp.int32)
        cells = jnp.where(is_there, put(cells, chain.doors[index] - 1, codes.CLOSED_DOOR + colour), cells)
    return cells


def _rectangle(room: jax.Array, cells: jax.Array) -> jax.Array:
    """Return the cells of a room, walls included, ``bool[H, W]``."""
    return _inset(room, cells, 0)


def _interior(room: jax.Array, cells: jax.Array) -> jax.Array:
    """Return the cells of a room without its walls, ``bool[H, W]``."""
    return _inset(room, cells, 1)


def _inset(room: jax.Array, cells: jax.Array, margin: int) -> jax.Array:
    top, left, high, wide = room
    rows = jnp.arange(cells.shape[0], dtype=jnp.int32)[:, None] + 1
    cols = jnp.arange(cells.shape[1], dtype=jnp.int32)[None, :] + 1
    in_rows = (rows >= top + margin) & (rows < top + high - margin)
    return in_rows & (cols >= left + margin) & (cols < left + wide - margin)


def _choose(condition: jax.Array, a: Chain, b: Chain) -> Chain:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
