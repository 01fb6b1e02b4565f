"""What is a level of the gridworld, and when is it one?

One pytree of bytes serves every family of tasks: a map, where the agent begins, what it is to do, and for how long. Letters:
``H W`` grid, without the border, which is an implicit wall.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError
from minied_envs.gridworld import codes, missions

LONGEST = 2**24 - 1  # steps of a level: whole numbers that float32 holds


class GridLevel(struct.PyTreeNode):
    """A map with a start and a mission. Compute with its numbers as ``i32`` (`start`, `direction`, `horizon`)."""

    cells: jax.Array  # u8[H, W], of minied_envs.gridworld.codes
    agent_position: jax.Array  # u8[2] (row, col)
    agent_direction: jax.Array  # u8[]: 0 east, 1 south, 2 west, 3 north
    mission: jax.Array  # u8[], of minied_envs.gridworld.missions
    max_steps: jax.Array  # u32[], after which an episode is truncated; the world's own limit holds too

    @property
    def start(self) -> jax.Array:
        """The agent's first cell, ``i32[2]``."""
        return self.agent_position.astype(jnp.int32)

    @property
    def direction(self) -> jax.Array:
        """The agent's first direction, ``i32[]``."""
        return self.agent_direction.astype(jnp.int32)

    @property
    def task(self) -> jax.Array:
        """The mission, ``i32[]``."""
        return self.mission.astype(jnp.int32)

    def horizon(self, most: int) -> jax.Array:
        """Return the steps of an episode, ``i32[]``, in a world that allows ``most``."""
        return jnp.minimum(self.max_steps.astype(jnp.int32), most)


def make_level(
    cells: jax.Array, start: jax.Array, direction: jax.Array, mission: int | jax.Array, max_steps: int | jax.Array
) -> GridLevel:
    """Return the level with these parts: integer ``[H, W]``, ``[2]``, ``[]``, ``[]`` and ``[]``."""
    return GridLevel(
        cells.astype(jnp.uint8),
        start.astype(jnp.uint8),
        direction.astype(jnp.uint8),
        jnp.asarray(mission).astype(jnp.uint8),
        jnp.asarray(max_steps).astype(jnp.uint32),
    )


def padded(level: GridLevel, height: int, width: int) -> GridLevel:
    """Return ``level`` in the north-west corner of a grid of ``height × width`` cells, the rest of which are walls.

    It plays as before: what is beyond the border of a grid looks like walls.
    """
    rows, cols = level.cells.shape
    if (rows, cols) == (height, width):
        return level
    beyond = ((0, height - rows), (0, width - cols))
    return level.replace(cells=jnp.pad(level.cells, beyond, constant_values=codes.WALL))


def has_target(cells: jax.Array, mission: jax.Array) -> jax.Array:
    """Return whether a map has what ``mission`` (``i32[]``) asks for, ``bool[]``; objects in boxes count."""
    cells = cells.astype(jnp.int32)
    looks = codes.appearance(cells)
    target = mission - missions.PICK_UP + codes.KEY
    is_target = (looks == target) | ((cells >= codes.FILLED_BOX) & (codes.contents(cells) == target))
    colour = mission - missions.OPEN
    is_goal_door = (cells == codes.CLOSED_DOOR + colour) | (cells == codes.LOCKED_DOOR + colour)
    wanted = jnp.where(
        mission >= missions.PICK_UP,
        is_target,
        jnp.where(
            mission >= missions.OPEN,
            is_goal_door,
            cells == jnp.where(mission == missions.REACH_GOAL, codes.GOAL, codes.RIGHT_ANSWER),
        ),
    )
    return jnp.any(wanted)


def is_valid(level: GridLevel) -> jax.Array:
    """Return whether the agent begins on an empty cell and the map has what it is to find, ``bool[]``."""
    height, width = level.cells.shape
    row, col = level.start[0], level.start[1]
    inside = (row < height) & (col < width)
    begins_on = level.cells[jnp.minimum(row, height - 1), jnp.minimum(col, width - 1)]
    known = jnp.all((level.cells < codes.NUM_CODES) & (level.cells != codes.UNSEEN))
    known = known & (level.mission < missions.NUM_MISSIONS) & (level.direction < 4) & (level.max_steps > 0)
    return inside & (begins_on == codes.EMPTY) & known & has_target(level.cells, level.task)


def check(level: GridLevel, height: int, width: int) -> None:
    """Raise `UserError` that says what is wrong with a level, on the host."""
    cells = np.asarray(level.cells)
    if cells.shape != (height, width) or cells.dtype != np.uint8:
        raise UserError(f"the map of the level is {cells.dtype}{list(cells.shape)}; allowed: uint8[{height}, {width}]")
    for name, value, least, most in (
        ("agent_direction", level.agent_direction, 0, 3),
        ("mission", level.mission, 0, missions.NUM_MISSIONS - 1),
        ("max_steps", level.max_steps, 1, LONGEST),
    ):
        if not least <= int(value) <= most:
            raise UserError(f"{name} of the level is {int(value)}; allowed: {least} to {most}")
    for row, col in np.argwhere((cells == codes.UNSEEN) | (cells >= codes.NUM_CODES)):
        raise UserError(
            f"row {row}, column {col} of the level has code {cells[row, col]}; allowed: 1 to {codes.NUM_CODES - 1}"
        )
    row, col = (int(i) for i in np.asarray(level.agent_position))
    if not (row < height and col < width):
        raise UserError(f"the agent is at row {row}, column {col}, outside of a {height}x{width} grid")
    if cells[row, col] != codes.EMPTY:
        raise UserError(
            f"the agent is at row {row}, column {col}, on a {codes.kind_of(int(cells[row, col]))}; allowed: an empty cell"
        )
    if not bool(has_target(jnp.asarray(cells), jnp.asarray(level.mission, jnp.int32))):
        raise UserError(f"the level has nothing to {missions.words()[int(level.mission)]}; allowed: a map that has")
