"""Does an agent remember where it came from, and that things stay where they are? Lock the box, and return to the start.

After Baker et al. 2020 (arXiv 1909.07528), and their released configuration: six rooms, one box, 120 steps. The box has to
be found behind doors, and the way back after it. Deviations: rooms as those of minied's hide and seek; the start counts
when the agent is in its very cell.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.spaces import Entities
from minied_envs.hide_and_seek import rules, walls
from minied_envs.hide_and_seek.generators import DOOR_CELLS, MAX_ROOMS
from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState
from minied_envs.hide_and_seek.tasks import arenas, locking
from minied_envs.hide_and_seek.tasks.base import AGENT, Task, TaskLevel, TaskState, Verdict, always_seen, distance

BOX = 0  # its number
START_FEATURES = 2


@dataclasses.dataclass(frozen=True)
class LockAndReturn(Task[TaskLevel]):
    """Rooms and one box: lock it, then be back at the start and stay."""

    height: int = 11
    """Rows of the grid."""
    width: int = 11
    """Columns of the grid."""
    max_boxes: int = 1
    """Boxes that there is room for in what is seen; a level has one."""
    rooms: int = 6
    """Rooms; fewer where they do not fit."""
    min_room_side: int = 2
    """Rows and columns of a room at least."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        if self.max_boxes < 1:
            raise UserError(f"max_boxes is {self.max_boxes}; allowed: at least 1")
        if not 1 <= self.rooms <= MAX_ROOMS:
            raise UserError(f"rooms is {self.rooms}; allowed: 1 to {MAX_ROOMS}")
        if self.min_room_side < DOOR_CELLS:
            raise UserError(f"min_room_side is {self.min_room_side}; allowed: at least {DOOR_CELLS}, a door")

    def sample_level(self, key: jax.Array) -> TaskLevel:
        """Return rooms, and agent and box anywhere in them. Consumes ``key``."""
        doors = 2 * (self.rooms - 1)
        words = jax.random.bits(key, (doors + arenas.num_words(self),), jnp.uint32)
        of_walls, of_doors = words[:doors].reshape(2, -1)
        dimensions = arenas.dimensions_of(self)
        rooms = jnp.int32(self.rooms)
        tall = walls.room_walls(dimensions, rooms, of_walls, of_doors, self.min_room_side, DOOR_CELLS)
        return TaskLevel(arenas.furnished(words[doors:], self, tall, num_boxes=1))

    def describe_level(self, level: TaskLevel) -> dict[str, jax.Array]:
        """Return how far the box is from the start, in cells."""
        return {"distance": distance(level.arena.agent_positions[AGENT], level.arena.box_positions[BOX])}

    @property
    def goals(self) -> tuple[tuple[str, Entities], ...]:
        """``start``: where it is."""
        return (("start", Entities(1, START_FEATURES)),)

    def see_goals(self, level: TaskLevel, state: TaskState) -> dict[str, Any]:
        """Return where the start is from the agent, which it always knows."""
        start = level.arena.agent_positions[AGENT][None, :]
        return {"start": always_seen(self.offsets(state, start), jnp.ones(1, bool))}

    def start(self, level: TaskLevel) -> TaskState:
        """Return the state at the start; what is remembered are the steps after which all was done, ``i32[]``."""
        return TaskState(rules.initial_state(level.arena), jnp.int32(0))

    def judge(self, level: TaskLevel, state: TaskState, arena: HideAndSeekState) -> Verdict:
        """Pay as `locking.reward` says; complete: the box is locked and the agent at its start. Never ends early."""
        start, is_box = level.arena.agent_positions[AGENT], jnp.arange(arena.locked_by.shape[0]) == BOX

        def way(each: HideAndSeekState) -> jax.Array:
            # The way back is that from the box's first place: to drag it home is no shorter.
            is_open, place = each.locked_by[BOX] == NOTHING, each.object_positions[BOX]
            there = locking.way(each.positions[AGENT], jnp.stack([place, start]), jnp.stack([is_open, ~is_open]))
            return there + jnp.where(is_open, distance(level.arena.box_positions[BOX], start), 0.0)

        locks = locking.num_locked(state.arena, is_box), locking.num_locked(arena, is_box)
        complete = (arena.locked_by[BOX] != NOTHING) & jnp.all(arena.positions[AGENT] == start)
        reward = locking.reward(locks, (way(state.arena), way(arena)), complete)
        return Verdict(reward, jnp.bool_(False), state.progress + complete.astype(jnp.int32))

    def statistics(self, level: TaskLevel, state: TaskState) -> dict[str, jax.Array]:
        """Return whether the box was locked at the end, and the steps after which all was done."""
        locked = (state.arena.locked_by[BOX] != NOTHING).astype(jnp.float32)
        return {"locked": locked, "complete_steps": state.progress.astype(jnp.float32)}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the agent was back for a while: more than the lock and coming nearer can give, ``bool[]``."""
        return episode_return > locking.most_without_completion(self, num_locks=1, num_targets=2)

    def marks(self, level: TaskLevel) -> list[tuple[int, int]]:
        """Return the start."""
        row, col = level.arena.agent_positions[AGENT]
        return [(int(row), int(col))]
