"""Can an agent build around something? A pillar to be hidden from rays that come straight in from the border.

After Baker et al. 2020 (arXiv 1909.07528), and their released configuration: five single and three elongated boxes, 240
steps, 25 rays from each side of which every one that reaches the thing costs 0.001 a step. On a grid each cell of the
border sends one ray into its row or column, at the price of as many as there would be: ``25 / W`` or ``25 / H``. Walls,
boxes and ramps stop rays; agents do not. The pillar is as high as a box.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.spaces import Entities
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import rules, walls
from minied_envs.hide_and_seek.level import object_board
from minied_envs.hide_and_seek.rules import HideAndSeekState
from minied_envs.hide_and_seek.tasks import arenas
from minied_envs.hide_and_seek.tasks.base import Task, TaskLevel, TaskState, Verdict, always_seen

RAYS = 25
"""From each side, as published."""
PRICE = 0.001
"""Of a ray that reaches the pillar, a step."""
PILLAR_FEATURES = 3
SHELTERED = 0.75
"""Share of the rays to be kept off; boxes that lie about at random keep off nearly half."""
MARGIN = 2  # cells that are left between pillar and border at least: a box, and somebody to bring it


class ShelterLevel(TaskLevel):
    """An arena, and which of its low walls are the pillar."""

    pillar: jax.Array  # u32[H, 1]


@dataclasses.dataclass(frozen=True)
class Shelter(Task[ShelterLevel]):
    """Boxes and a pillar in an open arena: hide the pillar from all sides."""

    max_steps: int = 240
    """Steps of an episode."""
    max_boxes: int = 8
    """Boxes that there is room for in a level and in what is seen."""
    boxes: int = 8
    """Boxes of a level, elongated ones among them."""
    long: int = 3
    """Boxes of three cells."""
    pillar: int = 2
    """Rows and columns of the pillar."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        self.check_room("boxes", "boxes")
        for name in ("height", "width"):
            if getattr(self, name) < 2 * MARGIN + 1:
                raise UserError(
                    f"{name} is {getattr(self, name)}; allowed: at least {2 * MARGIN + 1}, a pillar and boxes around"
                )
        if not 0 <= self.long <= self.boxes:
            raise UserError(f"long is {self.long}; allowed: 0 to {self.boxes} (boxes)")
        most = min(self.height, self.width) - 2 * MARGIN
        if not 1 <= self.pillar <= most:
            raise UserError(f"pillar is {self.pillar}; allowed: 1 to {most}, so that boxes fit around it")

    def sample_level(self, key: jax.Array) -> ShelterLevel:
        """Return a level without walls, its pillar off the border. Consumes ``key``."""
        number = arenas.num_words(self)
        words = jax.random.bits(key, (number + 2,), jnp.uint32)
        row, col = (
            MARGIN + bitboard.scale(words[number + axis], size - 2 * MARGIN - self.pillar + 1)
            for axis, size in enumerate((self.height, self.width))
        )
        pillar = walls.rectangle(self.height, row, col, self.pillar, self.pillar)
        arena = arenas.furnished(words[:number], self, pillar, self.boxes, num_long=self.long)
        return ShelterLevel(arena.replace(tall=jnp.zeros_like(pillar), low=pillar), pillar)

    def describe_level(self, level: ShelterLevel) -> dict[str, jax.Array]:
        """Return the share of the pillar's sides that is lit at the start."""
        return {"lit": self._lit(level, rules.initial_state(level.arena))[1]}

    @property
    def goals(self) -> tuple[tuple[str, Entities], ...]:
        """``pillar``: where its middle is, and how large it is."""
        return (("pillar", Entities(1, PILLAR_FEATURES)),)

    def see_goals(self, level: ShelterLevel, state: TaskState) -> dict[str, Any]:
        """Return the pillar, which the agent always knows."""
        cells = bitboard.unpack(level.pillar, self.width)
        number = jnp.sum(cells).astype(jnp.float32)
        middle = [
            jnp.sum(jnp.where(cells, jax.lax.broadcasted_iota(jnp.float32, cells.shape, axis), 0.0)) / number
            for axis in (0, 1)
        ]
        agent, larger = state.arena.positions[0].astype(jnp.float32), max(self.height, self.width)
        features = [*((place - own) / larger for place, own in zip(middle, agent, strict=True)), self.pillar / larger]
        return {"pillar": always_seen(jnp.stack([jnp.float32(each) for each in features])[None], jnp.ones(1, bool))}

    def start(self, level: ShelterLevel) -> TaskState:
        """Return the state at the start; what is remembered is the share that was lit, summed over steps, ``f32[]``."""
        return TaskState(rules.initial_state(level.arena), jnp.float32(0))

    def judge(self, level: ShelterLevel, state: TaskState, arena: HideAndSeekState) -> Verdict:
        """Pay for every ray that reaches the pillar. It never ends before time."""
        price, share = self._lit(level, arena)
        return Verdict(-price, jnp.bool_(False), state.progress + share)

    def statistics(self, level: ShelterLevel, state: TaskState) -> dict[str, jax.Array]:
        """Return the share of the pillar's sides that was lit at the end, and the mean over the episode."""
        steps = jnp.maximum(state.arena.time, 1).astype(jnp.float32)
        return {"lit": self._lit(level, state.arena)[1], "mean_lit": state.progress / steps}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether more than three quarters of the rays were kept off, over the episode, ``bool[]``."""
        return episode_return > -(1 - SHELTERED) * self._price_of_all * self.max_steps

    def marks(self, level: ShelterLevel) -> list[tuple[int, int]]:
        """Return the cells of the pillar."""
        cells = np.argwhere((np.asarray(level.pillar) >> np.arange(self.width, dtype=np.uint32)) & 1)
        return [(int(row), int(col)) for row, col in cells]

    @property
    def _price_of_all(self) -> float:
        """What a step costs while every ray in the pillar's rows and columns reaches it."""
        return 2 * self.pillar * PRICE * RAYS * (1 / self.width + 1 / self.height)

    def _lit(self, level: ShelterLevel, arena: HideAndSeekState) -> tuple[jax.Array, jax.Array]:
        """Return what the rays that reach the pillar cost, and which share they are of all that could, ``f32[]`` each."""
        across, down = rays_that_reach(level, arena, self.width)
        price = PRICE * RAYS * (across / self.height + down / self.width)
        return price, (across + down) / (4 * self.pillar)


def rays_that_reach(level: ShelterLevel, arena: HideAndSeekState, width: int) -> tuple[jax.Array, jax.Array]:
    """Return how many rays reach the pillar along rows, from west and east, and along columns, ``f32[]`` each."""
    boards = level.arena.tall | level.arena.low | object_board(level.arena, arena.object_positions, width)
    blocked, pillar = (bitboard.unpack(board, width) for board in (boards, level.pillar))

    def reached(axis: int) -> jax.Array:
        total = jnp.float32(0)
        for way in (1, -1):
            things = blocked if way == 1 else jnp.flip(blocked, axis)
            is_first = things & (jnp.cumsum(things, axis=axis) == 1)
            is_first = is_first if way == 1 else jnp.flip(is_first, axis)
            total = total + jnp.sum(is_first & pillar).astype(jnp.float32)
        return total

    return reached(1), reached(0)
