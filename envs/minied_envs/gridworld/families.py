"""Which families of levels are there, which does a world draw, and which of MiniGrid's standard ones fit it?

Letters: ``H W`` grid.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from minied.errors import UserError, unknown_name
from minied.levels.parameters import Choice
from minied_envs.grid import bitboard
from minied_envs.gridworld import described, description_file
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, padded
from minied_envs.gridworld.memory import Memory
from minied_envs.gridworld.multi_room import SMALLEST, MultiRoom
from minied_envs.gridworld.open_families import Crossing, DoorKey, FourRooms, LavaGap, Obstacle
from minied_envs.gridworld.room_families import BlockedUnlockPickup, KeyCorridor, Maze, ObstructedMaze

Name = Literal[
    "empty", "four_rooms", "door_key", "multi_room", "key_corridor", "unlock", "unlock_pickup", "blocked_unlock_pickup",
    "lava_gap", "crossing", "memory", "obstructed_maze", "mixed",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class GridLevels:
    """How levels are drawn and edited."""

    family: Name = "door_key"
    """MiniGrid's family; mixed: one of all standard ones that fit the world, with even chances."""
    description: str = ""
    """A YAML file that describes levels, or its text, in the family's place: `minied_envs.gridworld.description_file`."""
    random_start: bool = False
    """empty: begin anywhere, not in the first corner."""
    obstacle: Obstacle = "lava"
    """lava_gap, crossing: what is in the way, lava or wall."""
    num_crossings: int = 1
    """crossing: rivers to cross."""
    min_rooms: int = 2
    """multi_room: the fewest rooms."""
    max_rooms: int = 2
    """multi_room: the most rooms."""
    room_size: int = 4
    """multi_room: the longest side of a room; key_corridor: the side of every room. Walls included."""
    num_rows: int = 3
    """key_corridor: rows of rooms."""
    random_length: bool = False
    """memory: draw the length of the hallway too."""
    maze: Maze = "1Dl"
    """obstructed_maze: which of MiniGrid's."""
    num_edits: int = 5
    """Edits of one mutation."""
    solvable_only: bool = False
    """Refuse edited levels that cannot be solved, and draw described ones anew until one can, at most 64 times."""

    def __post_init__(self) -> None:
        for name, kinds in (("family", Name), ("obstacle", Obstacle), ("maze", Maze)):
            if getattr(self, name) not in get_args(kinds):
                raise unknown_name(f"levels.{name}", getattr(self, name), get_args(kinds))
        if self.description:
            # The text takes the file's place: it is what the run is made of, and is saved with it.
            object.__setattr__(self, "description", _told("levels.description", self._read_description))
        if not 1 <= self.min_rooms <= self.max_rooms <= 32:
            raise UserError(
                f"levels.min_rooms is {self.min_rooms}, max_rooms {self.max_rooms};"
                " allowed: 1 to 32, the first not larger than the second"
            )
        if self.room_size < (SMALLEST if self.family == "multi_room" else 3):
            raise UserError(f"levels.room_size is {self.room_size}; allowed: at least 3, of multi_room {SMALLEST}")
        if not 1 <= self.num_rows <= 10:  # 30 rooms: a set of them is one word
            raise UserError(f"levels.num_rows is {self.num_rows}; allowed: 1 to 10")
        if self.num_crossings < 1:
            raise UserError(f"levels.num_crossings is {self.num_crossings}; allowed: at least 1")
        if self.num_edits < 0:
            raise UserError(f"levels.num_edits is {self.num_edits}; allowed: at least 0")

    def _read_description(self) -> str:
        text = description_file.read_text(self.description)
        described.DescribedLevels(description_file.from_text(text))
        return text

    def family_of(self, height: int, width: int) -> Family:
        """Return the family that a world of this size draws from. Raises `UserError` if its levels do not fit."""
        return _family_of(self, height, width)


@functools.cache
def _family_of(options: GridLevels, height: int, width: int) -> Family:
    if options.description:
        family: Family = described.DescribedLevels(description_file.from_text(options.description))
        return _required(family, "levels.description", height, width)
    if options.family == "mixed":
        return Mixture(height, width)
    make, least, is_odd = _sized(options)[options.family]
    name = f"levels.family {options.family!r}"
    if height < least[0] or width < least[1] or (is_odd and not height % 2 == width % 2 == 1):
        odd = " and odd" if is_odd else ""
        raise UserError(f"height x width is {height}x{width}; allowed with {name}: at least {least[0]}x{least[1]}{odd}")
    if options.family == "memory" and height != width:
        raise UserError(f"height x width is {height}x{width}; allowed with {name}: a square")
    family = make(height, width)
    if isinstance(family, Crossing) and family.num_crossings > family.most_crossings:
        raise UserError(
            f"levels.num_crossings is {family.num_crossings}; allowed in {height}x{width}: 1 to {family.most_crossings}"
        )
    return _required(family, name, height, width)


def _sized(options: GridLevels) -> dict[str, tuple[Callable[[int, int], Family], tuple[int, int], bool]]:
    """Return how each family is made for a size, the least size, and whether sides must be odd."""
    anywhere = (1, 1)
    return {
        "empty": (lambda h, w: described.empty(h, w, options.random_start), (1, 2), False),
        "four_rooms": (FourRooms, (3, 3), False),
        "door_key": (DoorKey, (3, 3), False),
        "multi_room": (
            lambda h, w: MultiRoom(h, w, options.min_rooms, options.max_rooms, options.room_size),
            (5, 5),
            False,
        ),
        "key_corridor": (lambda *_: KeyCorridor(options.room_size, options.num_rows), anywhere, False),
        "unlock": (lambda *_: described.unlock(), anywhere, False),
        "unlock_pickup": (lambda *_: described.unlock_pickup(), anywhere, False),
        "blocked_unlock_pickup": (lambda *_: BlockedUnlockPickup(), anywhere, False),
        "lava_gap": (lambda h, w: LavaGap(h, w, options.obstacle), (1, 3), False),
        "crossing": (lambda h, w: Crossing(h, w, options.num_crossings, options.obstacle), (3, 3), True),
        "memory": (lambda h, _: Memory(h, options.random_length), (5, 5), True),
        "obstructed_maze": (lambda *_: ObstructedMaze(options.maze), anywhere, False),
    }


def _required(family: Family, name: str, height: int, width: int) -> Family:
    rows, cols = family.size
    if rows > height or cols > width:
        raise UserError(f"height x width is {height}x{width}; allowed with {name}: at least {rows}x{cols}")
    return family


def _told(path: str, make: Callable[[], str]) -> str:
    try:
        return make()
    except UserError as error:
        raise UserError(f"{path} cannot be used: {error}") from error


# -- all of them in one world -----------------------------------------------------------------------------------------


@functools.cache
def standard(height: int, width: int) -> dict[str, Family]:
    """Return MiniGrid's families in standard settings that fit a grid, by name, from easy to hard as far as we know.

    Those of any size are as large as the grid, but for Memory and Crossing, which take the largest odd square in it, and
    MultiRoom, whose rooms of 4 and 5 cells need some space.
    """
    odd = min(height, width) - (min(height, width) % 2 == 0)
    side = min(height, width)
    found: dict[str, tuple[bool, Callable[[], Family]]] = {
        "empty": (width > 1, lambda: described.empty(height, width, random_start=True)),
        "wall_gap": (width > 2, lambda: LavaGap(height, width, "wall")),
        "lava_gap": (width > 2, lambda: LavaGap(height, width, "lava")),
        "four_rooms": (side > 2, lambda: FourRooms(height, width)),
        "simple_crossing": (odd > 2, lambda: Crossing(odd, odd, min(3, odd - 1), "wall")),
        "lava_crossing": (odd > 2, lambda: Crossing(odd, odd, min(3, odd - 1), "lava")),
        "unlock": (True, described.unlock),
        "door_key": (side > 2, lambda: DoorKey(height, width)),
        "memory": (odd > 4, lambda: Memory(odd, random_length=True)),
        "multi_room_2": (side >= 6, lambda: MultiRoom(height, width, 2, 2, 4)),
        "unlock_pickup": (True, described.unlock_pickup),
        "multi_room_4": (side >= 14, lambda: MultiRoom(height, width, 4, 4, 5)),
        "key_corridor_1": (True, lambda: KeyCorridor(3, 1)),
        "key_corridor_2": (True, lambda: KeyCorridor(3, 2)),
        "blocked_unlock_pickup": (True, BlockedUnlockPickup),
        "key_corridor_3": (True, lambda: KeyCorridor(4, 3)),
        "multi_room_6": (side >= 21, lambda: MultiRoom(height, width, 6, 6, 10)),
        "obstructed_maze_1": (True, lambda: ObstructedMaze("1Dlhb")),
        "obstructed_maze_2": (True, lambda: ObstructedMaze("2Dlhb")),
        "obstructed_maze_full": (True, lambda: ObstructedMaze("Full")),
    }
    families = {name: make() for name, (is_possible, make) in found.items() if is_possible}
    return {name: each for name, each in families.items() if each.size[0] <= height and each.size[1] <= width}


@dataclasses.dataclass(frozen=True)
class Mixture(Family):
    """All standard families that fit, in one shape: a level is of any of them with even chances."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if not standard(self.height, self.width):
            raise UserError(
                f"height x width is {self.height}x{self.width}; allowed with levels.family 'mixed': at least 1x2"
            )

    @property
    def size(self) -> tuple[int, int]:
        """As chosen."""
        return self.height, self.width

    @property
    def max_steps(self) -> int:
        """Those of the family that has most; each level has its own."""
        return max(family.max_steps for family in standard(self.height, self.width).values())

    @property
    def parts(self) -> tuple[Choice, ...]:
        """``family``: which, in the order of `standard`."""
        return (Choice("family", len(standard(self.height, self.width))),)

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_family, key_level = jax.random.split(key)
        return self.of(key_level, bitboard.scale(jax.random.bits(key_family), self.parts[0].number))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        return self.of(key, values[0].astype(jnp.int32))

    def of(self, key: jax.Array, family: jax.Array) -> GridLevel:
        """Return a level of a family by its number, ``i32[]``. Consumes ``key``."""
        draws = [functools.partial(_padded_draw, each, self.size) for each in standard(*self.size).values()]
        return jax.lax.switch(family, draws, key)


def _padded_draw(family: Family, size: tuple[int, int], key: jax.Array) -> GridLevel:
    return padded(family.draw(key), *size)
