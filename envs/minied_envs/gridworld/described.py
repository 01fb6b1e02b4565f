"""How are levels drawn from a description? And the families that are defined by one: Empty, Unlock and UnlockPickup.

Letters: ``H W`` grid, ``P`` things to put, ``V`` numbers to choose a level by.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameters import Choice, Interval
from minied_envs.gridworld import codes
from minied_envs.gridworld.description import (
    ANY,
    DIRECTIONS,
    Description,
    Placement,
    drawn_agent,
    ground_of,
    mission_of,
    region_of,
    tensors_of,
    uncertain,
)
from minied_envs.gridworld.description_checks import check
from minied_envs.gridworld.family import Family
from minied_envs.gridworld.level import GridLevel, make_level
from minied_envs.gridworld.placing import pick_cell, pick_pose, put, shares
from minied_envs.gridworld.text import AGENT


@dataclasses.dataclass(frozen=True)
class DescribedLevels(Family):
    """The levels that ``description`` tells of. Whether they can be solved is up to who described them.

    Raises:
        UserError: the description names what there is not, is off the map, or puts more than fits.
    """

    description: Description

    def __post_init__(self) -> None:
        check(self.description)

    @property
    def size(self) -> tuple[int, int]:
        """That of the map."""
        return len(self.description.map), len(self.description.map[0])

    @property
    def max_steps(self) -> int:
        """As described."""
        return self.description.max_steps

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """Each choice of a colour, and the probability of each placement that has one."""
        choices = [Choice(name, len(colours)) for name, colours in self.description.choices if len(colours) > 1]
        return (*choices, *(Interval(f"probability_{i + 1}", 0.0, 1.0) for i in uncertain(self.description)))

    def draw(self, key: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        key_choices, key_rest = jax.random.split(key)
        words = jax.random.bits(key_choices, (max(1, len(self.description.choices)),), jnp.uint32)
        drawn = [pick_colour(_mask(colours), words[i]) for i, (_, colours) in enumerate(self.description.choices)]
        return self._with(key_rest, drawn, jnp.asarray(tensors_of(self.description).chances))

    def level(self, key: jax.Array, values: jax.Array) -> GridLevel:
        """Return a level. Consumes ``key``."""
        tensors, drawn, used = tensors_of(self.description), [], 0
        for _, colours in self.description.choices:
            index = values[used].astype(jnp.int32) if len(colours) > 1 else jnp.int32(0)
            used += len(colours) > 1
            drawn.append(jnp.asarray([codes.COLOURS.index(colour) for colour in colours], jnp.int32)[index])
        chances = jnp.asarray(tensors.chances)
        for place, placement in enumerate(uncertain(self.description), used):
            chances = jnp.where(jnp.asarray(tensors.placements == placement), values[place], chances)
        return self._with(key, drawn, chances)

    def _with(self, key: jax.Array, choices: list[jax.Array], chances: jax.Array) -> GridLevel:
        """Return a level with these colours, ``i32[]`` for each choice, and chances, ``f32[P]``. Consumes ``key``."""
        tensors = tensors_of(self.description)
        number = len(tensors.codes)
        words = jax.random.bits(key, (5 * number + 1,), jnp.uint32)
        chosen = jnp.stack([*choices, jnp.int32(0)])

        def place(cells: jax.Array, thing: tuple) -> tuple[jax.Array, None]:
            mask, ground, code, contents, choice, allowed, chance, words = thing
            own = jnp.stack([pick_colour(allowed[i], words[i]) for i in range(2)])
            colour, inner = jnp.where(choice >= 0, chosen[choice], own)
            is_coloured = codes.is_object(code) | codes.is_door(code)
            code = jnp.where(is_coloured, code + colour, code)
            code = jnp.where(contents > 0, codes.filled(code, contents + inner), code)
            free = mask & (cells == ground)
            happens = (shares(words[2]) < chance) & jnp.any(free)
            return jnp.where(happens, put(cells, pick_cell(free, words[3]), code), cells), None

        cells = jnp.asarray(ground_of(self.description))
        if number:
            rows = (*(jnp.asarray(each) for each in tensors[:6]), chances, words[1:].reshape(number, 5))
            cells = jax.lax.scan(place, cells, rows)[0]
        start, direction = self._pose(cells, words[0])
        first, colours = mission_of(self.description)
        target = pick_colour(jnp.asarray(colours.allowed), words[0]) if colours.choice < 0 else chosen[colours.choice]
        return make_level(cells, start, direction, first + target, self.max_steps)

    def _pose(self, cells: jax.Array, word: jax.Array) -> tuple[jax.Array, jax.Array]:
        drawn = drawn_agent(self.description)
        if drawn is not None:
            row, col, direction = drawn
            return jnp.array([row, col], jnp.int32), jnp.int32(direction)
        facing = self.description.agent_facing
        directions = range(4) if facing == ANY else (DIRECTIONS.index(facing),)
        region = jnp.asarray(region_of(self.description, self.description.agent_region))
        return pick_pose(cells, region, word, self.description.agent_clear_front, directions)


def _mask(colours: tuple[str, ...]) -> jax.Array:
    return jnp.asarray(np.isin(codes.COLOURS, colours))


def pick_colour(allowed: jax.Array, word: jax.Array) -> jax.Array:
    """Return a uniform one of the colours that are allowed, ``bool[6]``, by a random word, ``i32[]``."""
    return pick_cell(allowed[None, :], word)[1]


# -- MiniGrid's families that are described ---------------------------------------------------------------------------


def empty(height: int, width: int, random_start: bool) -> DescribedLevels:
    """Return MiniGrid's Empty: the goal in the last corner, the agent in the first, or anywhere."""
    cells = np.full((height, width), codes.EMPTY)
    cells[-1, -1] = codes.GOAL
    if not random_start:
        cells[0, 0] = AGENT
    steps = 4 * (height + 2) * (width + 2)
    return DescribedLevels(Description(tuple(map(tuple, cells.tolist())), max_steps=steps))


def unlock() -> DescribedLevels:
    """Return MiniGrid's Unlock: a room with a locked door in its eastern wall, and the key of its colour."""
    return DescribedLevels(_two_rooms("open the lock door", ()))


def unlock_pickup() -> DescribedLevels:
    """Return MiniGrid's UnlockPickup: as Unlock, with a box behind the door to pick up.

    MiniGrid puts nothing on the five cells about where its agent stands before it is placed.
    """
    return DescribedLevels(_two_rooms("pick up the target box", (Placement("target box", "right"),)))


def _two_rooms(mission: str, first: tuple[Placement, ...]) -> Description:
    cells = np.full((4, 9), codes.EMPTY)
    cells[:, 4] = codes.WALL
    right = ((0, 5, 1, 4), (1, 5, 1, 2), (1, 8, 1, 1), (2, 5, 1, 1), (3, 5, 1, 2), (3, 8, 1, 1))
    return Description(
        map=tuple(map(tuple, cells.tolist())),
        regions=(("left", ((0, 0, 4, 4),)), ("right", right), ("between", ((0, 4, 4, 1),))),
        choices=(("lock", codes.COLOURS), ("target", codes.COLOURS)),
        placements=(*first, Placement("locked lock door", "between", replaces="wall"), Placement("lock key", "left")),
        agent_region="left",
        agent_clear_front=True,
        mission=mission,
        max_steps=8 * 6**2,
    )
