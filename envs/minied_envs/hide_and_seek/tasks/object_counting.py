"""Does an agent keep in mind what it no longer sees? Boxes go left or right behind a wall; how many went left?

After Baker et al. 2020 (arXiv 1909.07528), who did not release this one. The agent stands still, whatever it does, on a
platform from which it looks over boxes but not over walls. Nothing is rewarded: what is asked is whether the number can be
read off the memory of a policy that was trained elsewhere, by a linear classifier (`minied probe`), and ``info["label"]``
is the answer. The published arrangement of boxes and walls is not known; here each box has a row of its
own, with walls in front of it but for three columns in the middle::

    #1.#    a box goes along row 0, 2, ...; the rows between are walls
     ^      the agent
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.grid.moves import NORTH
from minied_envs.hide_and_seek import rules, walls
from minied_envs.hide_and_seek.level import SINGLE, HideAndSeekLevel
from minied_envs.hide_and_seek.rules import HideAndSeekState
from minied_envs.hide_and_seek.tasks.base import Task, TaskLevel, TaskState, Verdict

OPENING = 3  # columns in the middle without walls
LEAST_WIDTH = OPENING + 4  # two hidden cells on either side


class ObjectCountingLevel(TaskLevel):
    """An arena, and where and when each box goes."""

    goes_left: jax.Array  # bool[X]
    waits: jax.Array  # i32[X], steps until it begins to go


@dataclasses.dataclass(frozen=True)
class ObjectCounting(Task[ObjectCountingLevel]):
    """Boxes that go left or right behind walls, while the agent looks on: how many went left?"""

    has_rewards = False

    height: int = 13
    """Rows of the grid: two a box and one for the agent at least."""
    width: int = 9
    """Columns of the grid."""
    max_steps: int = 20
    """Steps of an episode; in the second half of them no box begins to go."""
    max_boxes: int = 6
    """Boxes that there is room for in a level and in what is seen."""
    boxes: int = 6
    """Boxes of a level."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        self.check_room("boxes", "boxes")
        if self.height < 2 * self.boxes + 1:
            raise UserError(f"height is {self.height}; allowed: at least {2 * self.boxes + 1}, two a box and one")
        if self.width < LEAST_WIDTH:
            raise UserError(f"width is {self.width}; allowed: at least {LEAST_WIDTH}")
        if self.max_steps < self.width + 2:
            raise UserError(
                f"max_steps is {self.max_steps}; allowed: at least {self.width + 2}, so that all boxes are at the border"
            )

    @property
    def num_labels(self) -> int:
        """Answers that there are: none of the boxes to all."""
        return self.boxes + 1

    def sample_level(self, key: jax.Array) -> ObjectCountingLevel:
        """Return a level; all answers are equally likely. Consumes ``key``."""
        words = jax.random.bits(key, (1 + 3 * self.boxes,), jnp.uint32)
        number = bitboard.scale(words[0], self.num_labels)
        order, starts, waits = words[1:].reshape(3, -1)
        goes_left = jnp.argsort(jnp.argsort(order)) < number
        first = self.width // 2 - OPENING // 2
        positions = jnp.stack(
            [2 * jnp.arange(self.boxes, dtype=jnp.int32), first + bitboard.scale(starts, OPENING)], axis=-1
        )
        rest = self.max_boxes - self.boxes
        return ObjectCountingLevel(
            arena=self._arena(jnp.pad(positions, ((0, rest), (0, 0)))),
            goes_left=jnp.pad(goes_left, (0, rest)),
            waits=jnp.pad(bitboard.scale(waits, self.max_steps // 2), (0, rest)),
        )

    def _arena(self, box_positions: jax.Array) -> HideAndSeekLevel:
        """Return the arena with boxes at these cells, ``i32[X, 2]``."""
        height, width = self.height, self.width
        row, first = 2 * self.boxes, width // 2 - OPENING // 2
        is_wall = (np.arange(height) % 2 == 1) & (np.arange(height) < row)
        beside = walls.rectangle(height, 0, 0, height, first)
        beside = beside | walls.rectangle(height, 0, first + OPENING, height, width - first - OPENING)
        none = jnp.zeros(self.max_ramps, jnp.int32)
        return HideAndSeekLevel(
            tall=jnp.where(jnp.asarray(is_wall)[:, None], beside, jnp.uint32(0)),
            low=walls.rectangle(height, row, width // 2, 1, 1),
            agent_positions=jnp.array([[row, width // 2], [0, 0]], jnp.int32),
            agent_directions=jnp.array([NORTH, 0], jnp.int32),
            agent_present=jnp.array([True, False]),
            box_positions=box_positions,
            box_shapes=jnp.full(self.max_boxes, SINGLE, jnp.int32),
            box_present=jnp.arange(self.max_boxes) < self.boxes,
            ramp_positions=jnp.stack([none, none], axis=-1),
            ramp_directions=none,
            ramp_present=none > 0,
            has_locks=jnp.bool_(False),
            has_preparation=jnp.bool_(False),
        )

    def describe_level(self, level: ObjectCountingLevel) -> dict[str, jax.Array]:
        """Return how many boxes go left."""
        return {"num_left": jnp.sum(level.goes_left).astype(jnp.float32)}

    def start(self, level: ObjectCountingLevel) -> TaskState:
        """Return the state at the start, the agent on its platform."""
        arena = rules.initial_state(level.arena)
        return TaskState(arena.replace(elevated=level.arena.agent_present))

    def step(self, key: jax.Array, state: TaskState, action: jax.Array, level: ObjectCountingLevel) -> Any:
        """Move the boxes; also say how many go left, ``info["label"]`` ``i32[]``. Neither ``key`` nor ``action`` matters."""
        *results, info = super().step(key, state, action, level)
        return *results, info | {"label": jnp.sum(level.goes_left, dtype=jnp.int32)}

    def act(self, level: ObjectCountingLevel, state: TaskState, action: jax.Array) -> HideAndSeekState:
        """Return the arena one step later: every box that waits no more is a cell on, until it is at the border."""
        time = state.arena.time + 1
        gone = jnp.maximum(time - level.waits, 0)
        cols = level.arena.box_positions[:, 1] + jnp.where(level.goes_left, -gone, gone)
        cols = jnp.where(level.arena.box_present, jnp.clip(cols, 0, self.width - 1), 0)
        boxes = jnp.stack([level.arena.box_positions[:, 0], cols], axis=-1)
        positions = jnp.concatenate([boxes, level.arena.ramp_positions])
        return state.arena.replace(object_positions=positions, time=time)

    def judge(self, level: ObjectCountingLevel, state: TaskState, arena: HideAndSeekState) -> Verdict:
        """Pay nothing."""
        return Verdict(jnp.float32(0), jnp.bool_(False))
