"""In which order does a teacher give tasks of which each needs the one before? A corridor, its start near the goal or far.

The goal is at one end, cell 0. Random steps reach it from nearby only, and what is learnt there makes the cell behind it
easy: a good teacher moves the start away as the student learns. Letter: ``L`` cells.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.errors import UserError, unknown_name
from minied.levels.parameters import Choice, Parameters
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Discrete
from minied_envs.grid import draw, moves, tiles

MAX_LENGTH = 1000
GOAL, FLOOR, AGENT = "G", ".", "<"


class CorridorState(struct.PyTreeNode):
    """Where the agent is."""

    position: jax.Array  # i32[], cells from the goal
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class Corridor(Environment[jax.Array, CorridorState]):
    """L cells in a row. A level is the cell from which the agent starts, ``i32[]``, 1 to L - 1 cells from the goal."""

    length: int = 16
    """Cells, L, the goal's among them."""
    max_steps: int = 32
    """Steps after which an episode is truncated."""

    def __post_init__(self) -> None:
        if not 2 <= self.length <= MAX_LENGTH:
            raise UserError(f"length is {self.length}; allowed: 2 to {MAX_LENGTH}")
        if not 1 <= self.max_steps < 2**24:
            raise UserError(f"max_steps is {self.max_steps}; allowed: 1 to {2**24 - 1}")

    @property
    def action_space(self) -> Discrete:
        """0 steps towards the goal, 1 away from it; at the far end that changes nothing."""
        return Discrete(2)

    @property
    def observation_space(self) -> Discrete:
        """The agent's cell."""
        return Discrete(self.length)

    @property
    def level_space(self) -> "CorridorLevelSpace":
        """The starts."""
        return CorridorLevelSpace(self)

    def reset(self, key: jax.Array, level: jax.Array) -> tuple[jax.Array, CorridorState]:
        """Return the first cell and state. Nothing is random: ``key`` is not used."""
        return level, CorridorState(level, jnp.int32(0))

    def step(self, key: jax.Array, state: CorridorState, action: jax.Array, level: jax.Array):
        """Step; the goal is rewarded with 1 and ends the episode. Nothing is random: ``key`` is not used."""
        position = jnp.minimum(state.position + jnp.where(action == 0, -1, 1), self.length - 1)
        state = CorridorState(position, state.time + 1)
        terminated = position == 0
        truncated = ~terminated & (state.time >= self.max_steps)
        return position, state, terminated.astype(jnp.float32), terminated, truncated, {}


@dataclasses.dataclass(frozen=True)
class CorridorLevelSpace(LevelSpace[jax.Array]):
    """The starts of ``corridor``."""

    corridor: Corridor

    def sample(self, key: jax.Array) -> jax.Array:
        """Return a uniform start, ``i32[]``. Consumes ``key``."""
        return jax.random.randint(key, (), 1, self.corridor.length)

    def optimal_return(self, level: jax.Array) -> jax.Array:
        """Return 1 where the goal can be reached in time, else 0, ``f32[]``."""
        return (level <= self.corridor.max_steps).astype(jnp.float32)

    @property
    def parameters(self) -> "CorridorParameters":
        """The start."""
        return CorridorParameters(self.corridor.length)

    def describe(self, level: jax.Array) -> dict[str, jax.Array]:
        """Return the distance from start to goal, in cells."""
        return {"distance": level.astype(jnp.float32)}

    def draw(self, level: jax.Array, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``: a corridor that the agent looks along."""
        codes = np.full((1, self.corridor.length), tiles.EMPTY, np.uint8)
        codes[0, 0] = tiles.GOAL
        return draw.draw(codes, (0, int(level if state is None else state.position)), moves.WEST)

    def to_text(self, level: jax.Array) -> str:
        """Return the drawing, such as ``G..<...``."""
        cells = [GOAL, *FLOOR * (self.corridor.length - 1)]
        cells[int(level)] = AGENT
        return "".join(cells)

    def from_text(self, text: str) -> jax.Array:
        """Return the level that ``to_text`` draws like this."""
        cells, free = text.strip(), self.corridor.length - 1
        if len(cells) != free + 1 or cells[0] != GOAL or sorted(cells[1:]) != sorted(AGENT + FLOOR * (free - 1)):
            allowed = f"{GOAL}, then {free} cells, of which one is {AGENT} and the others are {FLOOR}"
            raise UserError(f"the corridor is drawn {cells!r}; allowed: {allowed}")
        return jnp.int32(cells.index(AGENT))

    @property
    def suites(self) -> Mapping[str, str]:
        """The far end, and every start."""
        last, horizon = self.corridor.length - 1, f"horizon {self.corridor.max_steps}"
        far_end = f"The start at the far end, {last} cells from the goal, {horizon}, 1 level."
        return {"far_end": far_end, "all": f"Every start, {horizon}, {last} levels."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the starts of a suite."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        starts = range(self.corridor.length - 1 if name == "far_end" else 1, self.corridor.length)
        names = tuple(f"start {start}" for start in starts)
        with jax.ensure_compile_time_eval():
            return (Suite(name, self.corridor, jnp.asarray(starts, jnp.int32), names, self.suites[name]),)


@dataclasses.dataclass(frozen=True)
class CorridorParameters(Parameters[jax.Array]):
    """One parameter, the start."""

    length: int

    @property
    def parts(self) -> tuple[Choice, ...]:
        """``start``: the choice c is the cell c + 1."""
        return (Choice("start", self.length - 1),)

    def level(self, key: jax.Array, values: jax.Array) -> jax.Array:
        """Return the start, ``i32[]``. Nothing is left open: ``key`` is not used."""
        return values[0].astype(jnp.int32) + 1
