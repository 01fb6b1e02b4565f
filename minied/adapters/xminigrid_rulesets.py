"""What is asked for in XLand-MiniGrid, and what do things turn into? Rulesets, and the rooms they are about.

Rulesets are drawn backwards, from what the goal asks for to what lies in the room, so that what is needed is there or can
be made; edits keep that true. The numbers are those of xminigrid's encoding: a tile is a kind and a colour (two bytes), a
goal is its kind and up to two tiles, a rule its kind, one or two tiles and what they turn into. In one number a tile is
its code, ``12 · kind + colour``. Letters: ``H W`` grid, ``R`` rules, ``M`` things in the room.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.base import Library
from minied.adapters.cells import below, pick

LIBRARY = Library("xminigrid", "xminigrid", at_least="0.9.3", below="0.10", run_with="0.9.3", extra="xminigrid")
NUM_TILES, NUM_COLOURS = 13, 12
TILES = (
    "nothing", "floor", "wall", "ball", "square", "pyramid", "goal", "key", "locked door", "closed door", "open door",
    "hexagon", "star",
)  # fmt: skip
COLOURS = (
    "no", "red", "green", "blue", "purple", "yellow", "grey", "black", "orange", "white", "brown", "pink",
)  # fmt: skip
FLOOR, WALL, GOAL, DOORS = 1, 2, 6, (8, 9, 10)
BLACK_FLOOR = FLOOR * NUM_COLOURS + COLOURS.index("black")
THINGS = (3, 4, 5, 7, 11, 12)  # what can be picked up
THING_COLOURS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)  # all but the two that stand for nothing and for floor
_SIDES = ("up", "right", "down", "left")
GOALS = (
    "nothing", "agent_hold", "agent_on_tile", "agent_near", "tile_near", "tile_on_position", "agent_on_position",
    *(f"tile_near_{side}" for side in _SIDES), *(f"agent_near_{side}" for side in _SIDES),
)  # fmt: skip
RULES = (
    "nothing", "agent_hold", "agent_near", "tile_near",
    *(f"tile_near_{side}" for side in _SIDES), *(f"agent_near_{side}" for side in _SIDES),
)  # fmt: skip
GOAL_KINDS = tuple(name for name in GOALS if name.startswith(("agent_hold", "agent_near", "tile_near")))
RULE_KINDS = RULES[1:]
TILES_OF_GOAL = tuple({"nothing": 0, "agent_on_position": 0}.get(n, 1 + n.startswith("tile_near")) for n in GOALS)
TILES_OF_RULE = tuple({"nothing": 0}.get(name, 1 + name.startswith("tile_near")) for name in RULES)
MOST_RULES = 9


class XLandLevel(struct.PyTreeNode):
    """The start of an episode, and what it asks for. Bytes: 2 H W + 7 R + 17, of Memory 16 more."""

    cells: jax.Array  # u8[H, W, 2], kind and colour
    position: jax.Array  # i32[2] (row, col) of the agent
    direction: jax.Array  # i32[], 0 up, 1 right, 2 down, 3 left
    goal: jax.Array  # u8[5]
    rules: jax.Array  # u8[R, 7], those that are nothing last
    answers: tuple[jax.Array, ...]  # of Memory, i32[2] each: the right end, the wrong one; of others none


@dataclasses.dataclass(frozen=True)
class Rulesets:
    """Which rulesets are drawn: trees with the goal at the root and things in the room as leaves, all tiles different."""

    num_rules: int
    """Most rules, R; each number from 0 is as likely."""
    num_distractors: int
    """Things in the room that nothing needs."""
    num_colours: int
    """Colours of things."""
    goals: tuple[int, ...]
    """Kinds of goals."""
    rules: tuple[int, ...]
    """Kinds of rules."""

    @property
    def pool(self) -> np.ndarray:
        """The codes of the things that may occur, ``i32[6 · num_colours]``."""
        colours = np.asarray(THING_COLOURS[: self.num_colours], np.int32)
        return (np.asarray(THINGS, np.int32)[:, None] * NUM_COLOURS + colours).reshape(-1)

    @property
    def pool_mask(self) -> jax.Array:
        """Whether each code is in the pool, ``bool[156]``."""
        return jnp.asarray(np.isin(np.arange(NUM_TILES * NUM_COLOURS), self.pool))

    @property
    def num_tiles(self) -> int:
        """Different tiles of a ruleset, at most."""
        return 2 + 2 * self.num_rules + self.num_distractors

    def draw(self, key: jax.Array, goal: jax.Array | None = None, number: jax.Array | None = None):
        """Return goal ``u8[5]``, rules ``u8[R, 7]`` (at least one row) and things ``u8[M, 2]``, M = 2 + R + distractors.

        ``goal`` is the place of its kind in ``goals``, ``number`` that of rules; at random where not given. Things that
        are nothing are (0, 0). Consumes ``key``.
        """
        # All that is random comes of one draw: each one more takes XLA half a second to compile.
        chances = jax.random.uniform(key, (2 + 2 * self.num_rules + len(self.pool),))
        (for_goal, for_number, *for_rules), order = jnp.split(chances, [2 + 2 * self.num_rules])
        tiles = jnp.asarray(self.pool)[jnp.argsort(order)]
        goal = below(for_goal, len(self.goals)) if goal is None else goal
        number = below(for_number, self.num_rules + 1) if number is None else number
        kind = jnp.asarray(self.goals, jnp.int32)[goal]
        second = jnp.where(tiles_of_goal(kind) == 2, tiles[1], 0)
        needed = jnp.zeros(2 + self.num_rules, jnp.int32).at[0].set(tiles[0]).at[1].set(second)
        rules = jnp.zeros((max(1, self.num_rules), 4), jnp.int32)
        for i in range(self.num_rules):  # one of what is needed is made of what is needed then
            place, _ = pick(for_rules[2 * i], needed > 0)
            rule = jnp.asarray(self.rules, jnp.int32)[below(for_rules[2 * i + 1], len(self.rules))]
            row, extra = rule_of(rule, tiles[2 + 2 * i], tiles[3 + 2 * i], needed[place])
            is_used = i < number
            rules = rules.at[i].set(jnp.where(is_used, row, 0))
            needed = needed.at[place].set(jnp.where(is_used, tiles[2 + 2 * i], needed[place]))
            needed = needed.at[2 + i].set(jnp.where(is_used, extra, 0))
        first = 2 + 2 * self.num_rules
        things = jnp.concatenate([needed, tiles[first : first + self.num_distractors]])
        encoded = jnp.concatenate([kind[None].astype(jnp.uint8), tile(tiles[0]), tile(second)])
        return encoded, encoded_rules(rules), tile(things)


# -- codes -------------------------------------------------------------------------------------------------------------


def codes(tiles: jax.Array) -> jax.Array:
    """Return the codes ``i32[...]`` of tiles ``u8[..., 2]``."""
    return tiles[..., 0].astype(jnp.int32) * NUM_COLOURS + tiles[..., 1]


def goal_tiles(goal: jax.Array) -> jax.Array:
    """Return the codes of the tiles that a goal ``u8[5]`` names, ``i32[2]``; 0 for none, and for a position."""
    number = tiles_of_goal(goal[0].astype(jnp.int32))
    return jnp.where(jnp.arange(2) < number, codes(goal[1:].reshape(2, 2)), 0)


def rule_tiles(rules: jax.Array) -> jax.Array:
    """Return the codes of the tiles of rules ``u8[R, 7]``, ``i32[R, 3]``: one or two, what they turn into, then 0."""
    return codes(rules[:, 1:].reshape(-1, 3, 2))


def tile(code: jax.Array) -> jax.Array:
    """Return the tiles ``u8[..., 2]`` of codes ``i32[...]``."""
    return jnp.stack([code // NUM_COLOURS, code % NUM_COLOURS], axis=-1).astype(jnp.uint8)


def tiles_of_goal(kind: jax.Array) -> jax.Array:
    """Return how many tiles a goal of this kind names, ``i32[]``."""
    return jnp.asarray(TILES_OF_GOAL, jnp.int32)[kind]


def tiles_of_rule(kind: jax.Array) -> jax.Array:
    """Return of how many tiles a rule of this kind makes one, ``i32[...]``."""
    return jnp.asarray(TILES_OF_RULE, jnp.int32)[kind]


def rule_of(kind: jax.Array, first: jax.Array, second: jax.Array, product: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return a rule ``i32[4]`` (its kind and three codes), and the code of its second tile, 0 if it has one."""
    has_two = tiles_of_rule(kind) == 2
    row = jnp.stack([kind, first, jnp.where(has_two, second, product), jnp.where(has_two, product, 0)])
    return row, jnp.where(has_two, second, 0)


def encoded_rules(rules: jax.Array) -> jax.Array:
    """Return rules ``i32[R, 4]`` (kind and codes) as ``u8[R, 7]``."""
    return jnp.concatenate([rules[:, :1].astype(jnp.uint8), tile(rules[:, 1:]).reshape(-1, 6)], axis=1)


def products(rules: jax.Array) -> jax.Array:
    """Return the code of what each rule ``u8[R, 7]`` makes, ``i32[R]``; 0 of one that is nothing."""
    number = tiles_of_rule(rules[:, 0].astype(jnp.int32))
    return jnp.where(number > 0, jnp.take_along_axis(rule_tiles(rules), number[:, None], axis=1)[:, 0], 0)


def inputs_of(rules: jax.Array) -> jax.Array:
    """Return the codes of what each rule ``u8[R, 7]`` is made of, ``i32[R, 2]``; 0 for none."""
    number = tiles_of_rule(rules[:, 0].astype(jnp.int32))
    return jnp.where(jnp.arange(2)[None, :] < number[:, None], rule_tiles(rules)[:, :2], 0)


def present(found: jax.Array) -> jax.Array:
    """Return which codes occur in ``i32[n]``, ``bool[156]``."""
    return (found[None, :] == jnp.arange(NUM_TILES * NUM_COLOURS)[:, None]).any(axis=1)


# -- checks ------------------------------------------------------------------------------------------------------------


def obtainable(level: XLandLevel) -> jax.Array:
    """Return which tiles lie in the room or can be made of what does, by code, ``bool[156]``."""
    inputs, made = inputs_of(level.rules), products(level.rules)

    def add(_: Any, found: jax.Array) -> jax.Array:
        works = (found[inputs] | (inputs == 0)).all(axis=1) & (made > 0)
        return found | ((made[None, :] == jnp.arange(found.shape[0])[:, None]) & works[None, :]).any(axis=1)

    return jax.lax.fori_loop(0, level.rules.shape[0], add, present(codes(level.cells).reshape(-1)))


def are_tiles(tiles: jax.Array) -> jax.Array:
    """Return which of ``u8[..., 2]`` stand for a tile, ``bool[...]``."""
    return (tiles[..., 0] < NUM_TILES) & (tiles[..., 1] < NUM_COLOURS)


def are_goals(goals: jax.Array) -> jax.Array:
    """Return which of ``u8[..., 5]`` stand for a goal, ``bool[...]``; what it does not name may be anything."""
    is_named = jnp.arange(2) < tiles_of_goal(goals[..., 0].astype(jnp.int32))[..., None]
    named = are_tiles(goals[..., 1:].reshape(*goals.shape[:-1], 2, 2))
    return (goals[..., 0] < len(GOALS)) & (named | ~is_named).all(axis=-1)


def are_rules(rules: jax.Array) -> jax.Array:
    """Return which of ``u8[..., 7]`` stand for a rule, ``bool[...]``."""
    named = are_tiles(rules[..., 1:].reshape(*rules.shape[:-1], 3, 2))  # all three, as all are shown
    return (rules[..., 0] < len(RULES)) & named.all(axis=-1)


def is_valid(level: XLandLevel) -> jax.Array:
    """Return whether the numbers stand for something, the border is a wall, the agent on floor, the goal obtainable.

    The two ends of a memory task are on floor, too, and not the same.
    """
    kinds = level.cells[..., 0]
    valid = are_tiles(level.cells).all() & are_goals(level.goal) & are_rules(level.rules).all()
    valid &= (level.direction >= 0) & (level.direction < 4)
    valid &= (jnp.concatenate([kinds[0], kinds[-1], kinds[:, 0], kinds[:, -1]]) == WALL).all()
    for place in (level.position, *level.answers):
        inside = ((place >= 0) & (place < jnp.asarray(kinds.shape, jnp.int32))).all()
        valid &= inside & (kinds[place[0], place[1]] == FLOOR)
    if level.answers:
        valid &= (level.answers[0] != level.answers[1]).any()
    # That a door is open comes of acting: not of what lies in the room.
    by_acting = level.goal[0] == GOALS.index("tile_on_position")
    wanted = goal_tiles(level.goal)
    return valid & (by_acting | ((wanted == 0) | obtainable(level)[wanted]).all())
