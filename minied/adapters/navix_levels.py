"""What can be done with the levels of navix? Draw, edit, describe and show them, and write them down.

Letters: ``H W`` grid.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters.base import lenient, require, sampled_suite
from minied.adapters.cells import beside, enlarged, steps_from
from minied.adapters.navix import COLOURS, LIBRARY, Navix, NavixLevel, NavixState, draw_start, navix_state, start_form
from minied.adapters.trees import tree_from_text, tree_to_text
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace, Suite

SUITE, NUM_LEVELS, SUITE_SEED = "sampled", 32, 1


@dataclasses.dataclass(frozen=True)
class NavixLevelSpace(LevelSpace[NavixLevel]):
    """The starts of a world of navix."""

    env: Navix

    def sample(self, key: jax.Array) -> NavixLevel:
        """Return a start by navix's own generator. Consumes ``key``."""
        return draw_start(key, self.env.id)

    def mutate(self, key: jax.Array, level: NavixLevel) -> NavixLevel:
        """Return a level after ``num_edits`` edits. Consumes ``key``.

        Each puts up or takes down a wall inside the border, where nothing is; or moves the agent to a cell that it can
        reach, doors taken as open, and turns it; or moves the goal to any free cell. All kinds are as likely. A world whose
        goal is no cell to enter (KeyCorridor, GoToDoor) keeps its goal. Whether the goal can be reached is not asked.
        """

        def edit(index: int, level: NavixLevel) -> NavixLevel:
            kind_key, *keys = jax.random.split(jax.random.fold_in(key, index), 4)
            edits = [_flip_wall(keys[0], level), _move_player(keys[1], level)]
            if _has_goal_cell(level):
                edits.append(_move_goal(keys[2], level))
            kind = jax.random.randint(kind_key, (), 0, len(edits))
            return jax.tree.map(lambda *leaves: jax.lax.select_n(kind, *leaves), *edits)

        return jax.lax.fori_loop(0, self.env.num_edits, edit, level)

    def is_valid(self, level: NavixLevel) -> jax.Array:
        """Return whether all things are inside, and the agent and the goal where the agent can be, ``bool[]``.

        They may be in one cell, as navix has it now and then. Colours, doors that are open and chances stand for something.
        """
        positions, player = _positions(level), level.entities["player"]
        if level.mission is not None:
            positions = jnp.concatenate([positions, level.mission.position[None]])
        inside = jnp.all((positions >= 0) & (positions < jnp.asarray([level.walls.shape])))
        blocked = level.walls
        for name in ("wall", "door", "key", "ball", "box"):
            blocked = blocked | _marked(level, name)
        names = ["player", "goal"] if _has_goal_cell(level) else ["player"]
        cells = [level.entities[name].position[0] for name in names]
        free = ~jnp.any(jnp.stack([blocked[cell[0], cell[1]] for cell in cells]))
        return inside & free & jnp.all((player.direction >= 0) & (player.direction < 4)) & _is_known(level)

    def describe(self, level: NavixLevel) -> dict[str, jax.Array]:
        """Return the number of walls inside the border, whether the goal can be reached, and how many cells it is away.

        Doors are taken as open, lava as walls, and what rolls is not looked at. ``distance`` is NaN if there is no way.
        """
        walls = level.walls.at[_border(level)].set(False) | _marked(level, "wall")
        distance = _distance(level)
        reachable = distance >= 0
        return {
            "walls": jnp.sum(walls).astype(jnp.float32),
            "reachable": reachable.astype(jnp.float32),
            "distance": jnp.where(reachable, distance.astype(jnp.float32), jnp.nan),
        }

    def title(self, level: NavixLevel) -> str:
        """Return which door to go to, if one."""
        return "" if level.mission is None else f"go to the {COLOURS[int(level.mission.colour)]} door"

    def draw(self, level: NavixLevel, state: NavixState | None = None) -> np.ndarray:
        """Return navix's picture, twice as large, ``u8[16 H, 16 W, 3]``."""
        navix = require(LIBRARY)
        shown = self.env.reset(jax.random.key(0), level)[1] if state is None else state
        level, shown = jax.tree.map(jnp.asarray, (level, shown))
        with lenient():
            whole = navix_state(shown, level, None)
            pictures = navix.rendering.cache.RenderingCache.init(whole.grid)
            picture = np.array(navix.observations.rgb(whole.replace(cache=pictures)))
        return enlarged(picture, 2)

    def to_text(self, level: NavixLevel) -> str:
        """Return the arrays by name, as JSON."""
        return tree_to_text(level)

    def from_text(self, text: str) -> NavixLevel:
        """Return the level that `to_text` wrote. Raises `UserError` for other arrays, and for no level of this world."""
        level = tree_from_text(text, start_form(self.env.id))
        if not self.is_valid(level):
            raise UserError(
                "a thing of a level is outside, or the agent or the goal where the agent cannot be, or a number stands for"
                f" nothing; allowed: free cells, and colours 0 to {len(COLOURS) - 1}"
            )
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """Levels of navix's generator."""
        return {SUITE: f"{NUM_LEVELS} levels of navix's own generator of {self.env.id}, horizon {self.env.max_steps}."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        return sampled_suite(self.env, name, NUM_LEVELS, SUITE_SEED, self.suites[name])


# -- edits -------------------------------------------------------------------------------------------------------------


def _flip_wall(key: jax.Array, level: NavixLevel) -> NavixLevel:
    inside = jnp.ones_like(level.walls).at[_border(level)].set(False)
    cell, found = _choose(key, inside & (_crowd(level) == 0))
    return level.replace(walls=level.walls.at[cell].set(level.walls[cell] ^ found))


def _move_player(key: jax.Array, level: NavixLevel) -> NavixLevel:
    cell_key, turn_key = jax.random.split(key)
    player = level.entities["player"]
    cell, found = _choose(cell_key, (_steps(level) >= 0) & (_crowd(level) == 0))
    direction = jax.random.randint(turn_key, player.direction.shape, 0, 4).astype(player.direction.dtype)
    return _moved(level, "player", player.replace(direction=direction), cell, found)


def _move_goal(key: jax.Array, level: NavixLevel) -> NavixLevel:
    cell, found = _choose(key, ~level.walls & (_crowd(level) == 0))
    return _moved(level, "goal", level.entities["goal"], cell, found)


def _moved(
    level: NavixLevel, name: str, entity: Any, cell: tuple[jax.Array, jax.Array], found: jax.Array
) -> NavixLevel:
    """Return the level with the thing at ``cell``, or where it is if no cell was found."""
    position = jnp.where(found, jnp.stack(cell)[None], entity.position).astype(entity.position.dtype)
    return level.replace(entities={**level.entities, name: entity.replace(position=position)})


def _choose(key: jax.Array, allowed: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Return (row, col) of a uniform one of the cells that are allowed, ``bool[H, W]``, and whether there is one."""
    index = jax.random.categorical(key, jnp.where(allowed.ravel(), 0.0, -jnp.inf))
    row, col = jnp.divmod(index, allowed.shape[1])
    return (row, col), jnp.any(allowed)


# -- where things are --------------------------------------------------------------------------------------------------


def _has_goal_cell(level: NavixLevel) -> bool:
    return isinstance(level.entities.get("goal"), require(LIBRARY).entities.Goal)


def _is_known(level: NavixLevel) -> jax.Array:
    """Return whether all colours are ones, doors open or not, and chances from 0 to 1, ``bool[]``."""
    known = [jnp.bool_(True)]
    # KeyCorridor writes 2 for the door that is locked.
    for thing in (*level.entities.values(), level.mission):
        for name, most in (("colour", len(COLOURS) - 1), ("open", 2), ("probability", 1)):
            value = jnp.asarray(getattr(thing, name, 0))
            known.append(jnp.all((value >= 0) & (value <= most)))
    return jnp.all(jnp.stack(known))


def _positions(level: NavixLevel) -> jax.Array:
    """Return (row, col) of everything, ``i32[E, 2]``."""
    return jnp.concatenate([level.entities[name].position for name in sorted(level.entities)])


def _crowd(level: NavixLevel) -> jax.Array:
    """Return how many things are in each cell, ``i32[H, W]``."""
    positions = _positions(level)
    return jnp.zeros(level.walls.shape, jnp.int32).at[positions[:, 0], positions[:, 1]].add(1)


def _marked(level: NavixLevel, name: str) -> jax.Array:
    """Return where things of one kind are, ``bool[H, W]``."""
    nowhere = jnp.zeros_like(level.walls)
    if name not in level.entities:
        return nowhere
    positions = level.entities[name].position
    return nowhere.at[positions[:, 0], positions[:, 1]].set(True)


def _border(level: NavixLevel) -> np.ndarray:
    """Return the outermost cells, ``bool[H, W]``, of NumPy."""
    border = np.ones(level.walls.shape, bool)
    border[1:-1, 1:-1] = False
    return border


def _steps(level: NavixLevel) -> jax.Array:
    """Return how far the agent walks to each cell, ``i32[H, W]``; -1: it does not come there."""
    free = ~(level.walls | _marked(level, "wall") | _marked(level, "lava"))
    position = level.entities["player"].position[0]
    return steps_from(free, position)


def _distance(level: NavixLevel) -> jax.Array:
    """Return how many cells the goal, or the door of the mission, is away, ``i32[]``; -1: there is no way."""
    target = level.entities["goal"].position[0] if level.mission is None else level.mission.position
    here = jnp.zeros_like(level.walls).at[target[0], target[1]].set(True)
    steps = _steps(level)
    far = jnp.int32(level.walls.size)
    nearest = jnp.min(jnp.where(beside(here) & (steps >= 0), steps, far))
    return jnp.where(steps[target[0], target[1]] == 0, 0, jnp.where(nearest == far, -1, nearest + 1))
