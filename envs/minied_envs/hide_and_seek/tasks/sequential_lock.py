"""Does an agent try things out in order? Boxes that can be locked in one hidden order alone, in rooms behind low walls.

After Baker et al. 2020 (arXiv 1909.07528), and their released configuration: three rooms without doors, each with a ramp,
four boxes, 120 steps. The walls meet, so that who is on top of them can go down into any room. Deviations: a lock that may
not be closed does nothing; when one is opened again it is the next to be closed, and later ones stay closed.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.grid.moves import EAST, NORTH, SOUTH, WEST
from minied_envs.hide_and_seek import rules, walls
from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState
from minied_envs.hide_and_seek.tasks import arenas, locking
from minied_envs.hide_and_seek.tasks.base import AGENT, Task, TaskLevel, TaskState, Verdict

NUM_ROOMS = 3
SMALLEST_ROOM = 3  # rows and columns: so that one can walk around a ramp


class SequentialLockLevel(TaskLevel):
    """An arena, and when each box has its turn."""

    turns: jax.Array  # i32[X], 0 for the first; those that are not there come last


@dataclasses.dataclass(frozen=True)
class SequentialLock(Task[SequentialLockLevel]):
    """Boxes in three rooms with low walls around: lock them all, in an order that nobody tells."""

    max_boxes: int = 4
    """Boxes that there is room for in a level and in what is seen."""
    max_ramps: int = 3
    """Ramps likewise; a level has one in each room."""
    boxes: int = 4
    """Boxes of a level."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        self.check_room("boxes", "boxes")
        if self.max_ramps < NUM_ROOMS:
            raise UserError(f"max_ramps is {self.max_ramps}; allowed: at least {NUM_ROOMS}, one a room")
        least = 2 * SMALLEST_ROOM + 1
        for name in ("height", "width"):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: at least {least}, two rooms and a wall")

    def sample_level(self, key: jax.Array) -> SequentialLockLevel:
        """Return a level with walls in the shape of a T, upright or upside down. Consumes ``key``."""
        number = arenas.num_words(self)
        words = jax.random.bits(key, (number + 3 + 2 * NUM_ROOMS + self.max_boxes,), jnp.uint32)
        of_walls, of_ramps, of_turns = jnp.split(words[number:], [3, 3 + 2 * NUM_ROOMS])
        low, rooms, directions = self._rooms(of_walls)
        positions = jax.vmap(bitboard.pick)(rooms, of_ramps[:NUM_ROOMS])
        taken = bitboard.cells(self.height, self.width, positions, jnp.ones(NUM_ROOMS, bool))
        arena = arenas.furnished(words[:number], self, low | taken, self.boxes)
        # Which of a room's two walls the ramp leads to; the room on the long side of the T has but one.
        leads_to = jnp.take_along_axis(directions, bitboard.scale(of_ramps[NUM_ROOMS:], 2)[:, None], axis=1)[:, 0]
        rest = self.max_ramps - NUM_ROOMS
        arena = arena.replace(
            tall=jnp.zeros_like(low),
            low=low,
            ramp_positions=jnp.pad(positions, ((0, rest), (0, 0))),
            ramp_directions=jnp.pad(leads_to, (0, rest)),
            ramp_present=jnp.arange(self.max_ramps) < NUM_ROOMS,
        )
        chance = jnp.where(arena.box_present, of_turns >> 1, jnp.uint32(0xFFFFFFFF))
        turns = jnp.argsort(jnp.argsort(chance)).astype(jnp.int32)
        return SequentialLockLevel(arena, turns)

    def _rooms(self, words: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return the low walls ``u32[H, 1]``, the rooms ``u32[3, H, 1]``, and to which sides each has a wall, ``i32[3, 2]``.

        The walls are a row and, on one side of it, a column. ``words`` are ``u32[3]``.
        """
        height, width = self.height, self.width
        row = SMALLEST_ROOM + bitboard.scale(words[0], height - 2 * SMALLEST_ROOM)
        col = SMALLEST_ROOM + bitboard.scale(words[1], width - 2 * SMALLEST_ROOM)
        below = bitboard.scale(words[2], 2) == 0  # where the column is
        top, rows = jnp.where(below, row + 1, 0), jnp.where(below, height - row - 1, row)
        other_top, other_rows = jnp.where(below, 0, row + 1), jnp.where(below, row, height - row - 1)
        low = walls.rectangle(height, row, 0, 1, width) | walls.rectangle(height, top, col, rows, 1)
        rooms = jnp.stack([
            walls.rectangle(height, other_top, 0, other_rows, width),
            walls.rectangle(height, top, 0, rows, col),
            walls.rectangle(height, top, col + 1, rows, width - col - 1),
        ])  # fmt: skip
        upright = np.array([[SOUTH, SOUTH], [NORTH, EAST], [NORTH, WEST]], np.int32)
        upside_down = np.array([[NORTH, NORTH], [SOUTH, EAST], [SOUTH, WEST]], np.int32)
        return low, rooms, jnp.where(below, upright, upside_down)

    def can_be_locked(self, level: SequentialLockLevel, state: TaskState) -> jax.Array:
        """Return the next box and those that are locked, ``bool[O]``."""
        is_next, has_next = self._next(level, state.arena)
        boxes = level.arena.box_present & (state.arena.locked_by[: self.max_boxes] != NOTHING)
        return jnp.pad(boxes | (is_next & has_next), (0, self.max_ramps))

    def start(self, level: SequentialLockLevel) -> TaskState:
        """Return the state at the start; what is remembered are the steps after which all was locked, ``i32[]``."""
        return TaskState(rules.initial_state(level.arena), jnp.int32(0))

    def judge(self, level: SequentialLockLevel, state: TaskState, arena: HideAndSeekState) -> Verdict:
        """Pay as `locking.reward` says; complete: all are locked. The way is over the open boxes in turn."""
        boxes = jnp.pad(level.arena.box_present, (0, self.max_ramps))
        in_turn = jnp.argsort(level.turns)

        def way(each: HideAndSeekState) -> jax.Array:
            is_open = level.arena.box_present & (each.locked_by[: self.max_boxes] == NOTHING)
            return locking.way(each.positions[AGENT], each.object_positions[in_turn], is_open[in_turn])

        locks = locking.num_locked(state.arena, boxes), locking.num_locked(arena, boxes)
        complete = ~self._next(level, arena)[1]
        reward = locking.reward(locks, (way(state.arena), way(arena)), complete)
        return Verdict(reward, jnp.bool_(False), state.progress + complete.astype(jnp.int32))

    def _next(self, level: SequentialLockLevel, state: HideAndSeekState) -> tuple[jax.Array, jax.Array]:
        """Return which box is the first that is not locked, ``bool[X]``, and whether there is one, ``bool[]``."""
        is_open = level.arena.box_present & (state.locked_by[: self.max_boxes] == NOTHING)
        first = jnp.min(jnp.where(is_open, level.turns, self.max_boxes))
        return is_open & (level.turns == first), jnp.any(is_open)

    def statistics(self, level: SequentialLockLevel, state: TaskState) -> dict[str, jax.Array]:
        """Return how many boxes were locked at the end, and the steps after which all were."""
        boxes = jnp.pad(level.arena.box_present, (0, self.max_ramps))
        return {
            "locked": locking.num_locked(state.arena, boxes),
            "complete_steps": state.progress.astype(jnp.float32),
        }

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether all were locked for a while: more than locks and coming nearer can give, ``bool[]``."""
        return episode_return > locking.most_without_completion(self, self.boxes, self.boxes)
