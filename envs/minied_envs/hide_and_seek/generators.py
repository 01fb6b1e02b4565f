"""How are random levels of hide and seek drawn? Baker et al. 2019 (arXiv 1909.07528), on a grid.

A draw is a plan, the decisions that a teacher could take as well (`minied_envs.hide_and_seek.parameters`), and then places
for all things. Nothing is tried again: a draw costs the same each time. Letters: ``H W`` grid, ``M`` rooms at most,
``n`` things at most.
"""

import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError, unknown_name
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import placement, walls
from minied_envs.hide_and_seek.dimensions import KINDS, TEAMS, Dimensions
from minied_envs.hide_and_seek.level import HideAndSeekLevel

Scenario = Literal["quadrant", "rooms", "open", "tiny"]

QUADRANT_SIDE = 5  # of the arena, at least: a room of 2 x 2 cells, its walls, and as much outside
DOOR_CELLS = 2  # of a wall between rooms
TINY_ROOMS = 2  # at most; the wall between them has a gap of one cell
SECTORS = 3  # of the arena in each direction, where a teacher may ask for things
MAX_ROOMS = 9
NUM_WORDS = 13  # of random decisions, one each, beside those of walls and things


@dataclasses.dataclass(frozen=True)
class HideAndSeekLevels:
    """How the levels of hide and seek are drawn and edited. How many of each thing there are is uniform up to its max_."""

    scenario: Scenario = "quadrant"
    """quadrant: a room in a corner. rooms: some random rooms. open: no walls. tiny: none, or one with a gap."""
    min_hiders: int = 1
    """Hiders at least, at most max_hiders of the world."""
    min_seekers: int = 1
    """Seekers at least, at most max_seekers of the world."""
    min_boxes: int = 0
    """Boxes at least, at most max_boxes of the world; one that finds no place is left out."""
    min_long: int = 0
    """Boxes of three cells at least, where there are so many boxes."""
    max_long: int = 0
    """Boxes of three cells at most."""
    min_ramps: int = 0
    """Ramps at least, at most max_ramps of the world."""
    ramps: bool = True
    """If not, levels have no ramps: an ablation."""
    locks: bool = True
    """If not, nothing can be locked: an ablation."""
    preparation: bool = True
    """If not, seekers move from the start: an ablation."""
    door_dropout: float = 0.5
    """quadrant only: the chance that one of the two doors is walled up."""
    hiders_in_room: bool = False
    """quadrant only: hiders start in the room; else anywhere."""
    min_rooms: int = 1
    """rooms only: rooms at least, where they fit."""
    max_rooms: int = 4
    """rooms only: rooms at most."""
    min_room_side: int = 3
    """rooms only: rows and columns of a room at least."""
    team_spread: int = 2
    """rooms only: the most cells, in each direction, between an agent and the middle of its team."""
    outer_walls: float = 0.5
    """The chance of walls around the arena, in worlds with a margin."""
    num_edits: int = 5
    """Edits of one mutation."""

    def __post_init__(self) -> None:
        if self.scenario not in get_args(Scenario):
            raise unknown_name("levels.scenario", self.scenario, get_args(Scenario))
        for name in ("door_dropout", "outer_walls"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"levels.{name} is {getattr(self, name)}; allowed: 0 to 1")
        limits = {"min_rooms": (1, self.max_rooms), "max_rooms": (1, MAX_ROOMS), "min_room_side": (DOOR_CELLS, None)}
        limits |= {"team_spread": (1, None), "num_edits": (0, None), "min_long": (0, self.max_long)}
        for name, (least, most) in limits.items():
            _check_between(name, getattr(self, name), least, most)
        for field in dataclasses.fields(self):
            only = _ONLY_WITH.get(field.name, self.scenario)
            if only != self.scenario and getattr(self, field.name) != field.default:
                raise UserError(
                    f"levels.{field.name} is {getattr(self, field.name)} with scenario {self.scenario!r};"
                    f" allowed: only with {only!r}"
                )

    def check_fits(self, world: Any) -> None:
        """Raise `UserError` unless a world has room for the scenario and for what a level has at least.

        Agents, at most six, find place in any arena: the least ground there is, two rooms of 2 x 2 cells, has eight.
        """
        dimensions = Dimensions.of(world)
        sides = dimensions.arena_height, dimensions.arena_width
        if self.scenario == "quadrant" and min(sides) < QUADRANT_SIDE:
            raise UserError(
                f"levels.scenario is 'quadrant' with an arena of {sides[0]}x{sides[1]} cells (height and width less twice"
                f" the margin); allowed: at least {QUADRANT_SIDE} each"
            )
        for name, least, most in zip(KINDS, (1, 1, 0, 0), dimensions.room_for, strict=True):
            _check_between(f"min_{name}", getattr(self, f"min_{name}"), least, most, f" (max_{name})")
        _check_between("max_long", self.max_long, 0, dimensions.max_boxes, " (max_boxes)")

    @property
    def fewest_rooms(self) -> int:
        """Rooms that a draw wants at least."""
        return self.min_rooms if self.scenario == "rooms" else 1

    @property
    def most_rooms(self) -> int:
        """Rooms at most, ``M``."""
        return {"rooms": self.max_rooms, "tiny": TINY_ROOMS}.get(self.scenario, 1)

    def limits(self, dimensions: Dimensions) -> dict[str, tuple[int, int]]:
        """Return the least and the most of each kind of thing."""
        most = dict(zip(KINDS, dimensions.room_for, strict=True)) | ({} if self.ramps else {"ramps": 0})
        return {name: (min(getattr(self, f"min_{name}"), most[name]), most[name]) for name in KINDS}

    def long_limits(self, num_boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the least and the most elongated ones of ``num_boxes`` (``i32[]``) boxes, ``i32[]`` each."""
        return jnp.minimum(self.min_long, num_boxes), jnp.minimum(self.max_long, num_boxes)


_ONLY_WITH = {"door_dropout": "quadrant", "hiders_in_room": "quadrant"} | dict.fromkeys(
    ("min_rooms", "max_rooms", "min_room_side", "team_spread"), "rooms"
)


def _check_between(name: str, value: int, least: int, most: int | None, why: str = "") -> None:
    if value < least or (most is not None and value > most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}{why}"
        raise UserError(f"levels.{name} is {value}; allowed: {allowed}")


class Plan(struct.PyTreeNode):
    """What is decided of a level before anything has a place."""

    counts: jax.Array  # i32[4]: hiders, seekers, boxes, ramps
    num_long: jax.Array  # i32[], elongated boxes
    num_rooms: jax.Array  # i32[]
    wall_words: jax.Array  # u32[M - 1], which lines become walls, see `walls.room_walls`
    door_words: jax.Array  # u32[M - 1], where in them the doors are
    doors: jax.Array  # i32[2], of the quadrant
    closed: jax.Array  # i32[], likewise
    has_outer_walls: jax.Array  # bool[]
    middles: jax.Array  # u32[2], random words: the middles of the teams
    sectors: Any = None  # i32[3], where hiders, seekers and boxes are wanted, or None, which is no leaf: anywhere


def draw(key: jax.Array, options: HideAndSeekLevels, dimensions: Dimensions) -> HideAndSeekLevel:
    """Return one level of the chosen distribution: valid, canonical, and all its agents can meet. Consumes ``key``."""
    # All randomness comes in one call, one word a decision: compiling and running each further call costs as much.
    number = num_decisions(options)
    words = jax.random.bits(key, (number + 2 * sum(dimensions.room_for),), jnp.uint32)
    plan = make_plan(words[:number], options, dimensions)
    return build(words[number:].reshape(2, -1), plan, options, dimensions)


def num_decisions(options: HideAndSeekLevels) -> int:
    """Return how many random words a plan takes: one a decision, two a wall between rooms."""
    return NUM_WORDS + 2 * (options.most_rooms - 1)


def make_plan(words: jax.Array, options: HideAndSeekLevels, dimensions: Dimensions) -> Plan:
    """Return random decisions of random words, ``u32[num_decisions]``."""

    def between(word: jax.Array, least: int | jax.Array, most: int | jax.Array) -> jax.Array:
        return least + bitboard.scale(word, most - least + 1)

    limits = options.limits(dimensions)
    counts = jnp.stack([between(words[i], *limits[name]) for i, name in enumerate(KINDS)])
    rows, cols = walls.quadrant_sides(dimensions)
    which = walls.FIRST_CLOSED + bitboard.scale(words[7], 2)
    num_walls = options.most_rooms - 1
    return Plan(
        counts=counts,
        num_long=between(words[4], *options.long_limits(counts[2])),
        num_rooms=between(words[5], options.fewest_rooms, options.most_rooms),
        wall_words=words[NUM_WORDS : NUM_WORDS + num_walls],
        door_words=words[NUM_WORDS + num_walls :],
        doors=jnp.stack([bitboard.scale(words[8], cols), bitboard.scale(words[9], rows)]),
        closed=jnp.where(_happens(words[6], options.door_dropout), which, walls.BOTH_OPEN),
        has_outer_walls=_happens(words[10], options.outer_walls),
        middles=words[11:13],
    )


def _happens(word: jax.Array, chance: float) -> jax.Array:
    """Return true with a chance, ``bool[]``, exactly never for 0 and always for 1."""
    return (word >> 8) < jnp.uint32(round(chance * (1 << 24)))


def build(words: jax.Array, plan: Plan, options: HideAndSeekLevels, dimensions: Dimensions) -> HideAndSeekLevel:
    """Return the level of a plan; places are chosen by random words, ``u32[2, n]``."""
    inner = _inner_walls(plan, options, dimensions)
    tall = jnp.where(plan.has_outer_walls, inner | dimensions.ring(), inner)
    free = dimensions.arena() & ~tall
    allowed = jnp.broadcast_to(free, (len(KINDS), *free.shape))
    if options.scenario == "quadrant":
        room, outside = walls.quadrant_room(dimensions), walls.quadrant_outside(dimensions)
        allowed = jnp.stack([room if options.hiders_in_room else free, outside, room, outside])
    regions = placement.Regions(_wanted(plan, allowed, options, dimensions), allowed)
    return placement.place(
        words, tall, plan.counts, plan.num_long, regions, dimensions, options.locks, options.preparation
    )


def _inner_walls(plan: Plan, options: HideAndSeekLevels, dimensions: Dimensions) -> jax.Array:
    """Return the walls within the arena, ``u32[H, 1]``."""
    if options.scenario == "quadrant":
        return walls.quadrant_walls(dimensions, plan.doors, plan.closed)
    side, door = (options.min_room_side, DOOR_CELLS) if options.scenario == "rooms" else (1, 1)
    return walls.room_walls(dimensions, plan.num_rooms, plan.wall_words, plan.door_words, side, door)


def _wanted(plan: Plan, allowed: jax.Array, options: HideAndSeekLevels, dimensions: Dimensions) -> jax.Array:
    """Return where things are placed if there is room, a part of ``allowed``, both ``u32[4, H, 1]``."""
    if plan.sectors is not None:
        wanted = jnp.stack([sector(dimensions, plan.sectors[i]) for i in range(3)])
        allowed = allowed.at[:3].set(allowed[:3] & wanted)
    if options.scenario != "rooms":
        return allowed
    spread = options.team_spread
    for team in range(len(TEAMS)):
        row, col = bitboard.pick(allowed[team], plan.middles[team])
        near = walls.rectangle(dimensions.height, row - spread, col - spread, 2 * spread + 1, 2 * spread + 1)
        allowed = allowed.at[team].set(allowed[team] & near)
    return allowed


def sector(dimensions: Dimensions, number: jax.Array) -> jax.Array:
    """Return one of the `SECTORS` x `SECTORS` parts of the arena, in reading order, ``u32[H, 1]``; ``number``: ``i32[]``."""
    rows, cols = (jnp.asarray(cuts(size)) for size in (dimensions.arena_height, dimensions.arena_width))
    down, right = number // SECTORS, number % SECTORS
    top, left, margin = rows[down], cols[right], dimensions.margin
    return walls.rectangle(dimensions.height, margin + top, margin + left, rows[down + 1] - top, cols[right + 1] - left)


def cuts(size: int) -> np.ndarray:
    """Return where the sectors of so many rows or columns begin, and where the last one ends, ``i32[SECTORS + 1]``."""
    return np.arange(SECTORS + 1, dtype=np.int32) * size // SECTORS
