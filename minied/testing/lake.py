"""A frozen lake, the example world: `minied new world` makes a package of this file, and the guide explains it.

The agent slides from its start to a goal on ``H × W`` cells of ice and must not fall into a hole. A level says where the
holes, the start and the goal are. Positions are ``(row, col)``.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.errors import UserError
from minied.levels.parameters import Choice, Interval, Parameters
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Coded, Dict, Discrete

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]], np.int32)  # up, right, down, left
SYMBOLS = ".OGA"  # ice, hole, goal, agent: as a person writes them
COLOURS = np.array([[225, 240, 250], [40, 60, 110], [60, 170, 80], [220, 60, 50]], np.uint8)


class LakeLevel(struct.PyTreeNode):
    """What a teacher chooses."""

    holes: jax.Array  # bool[H, W]
    start: jax.Array  # i32[2]
    goal: jax.Array  # i32[2]


class LakeState(struct.PyTreeNode):
    """What changes in an episode."""

    position: jax.Array  # i32[2]
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class Lake(Environment[LakeLevel, LakeState]):
    """Cross the ice to the goal. Reaching it pays 1 and ends the episode; so does falling into a hole, which pays 0."""

    height: int = 5
    """Rows, H."""
    width: int = 7
    """Columns, W."""
    max_steps: int = 40
    """Steps after which an episode is truncated."""
    slip: float = 0.1
    """How likely the agent slides in a random direction instead of its own."""
    max_holes: int = 10
    """Most holes of a sampled level."""

    def __post_init__(self) -> None:
        for field in ("height", "width", "max_steps"):
            if getattr(self, field) < 2:
                raise UserError(f"{field} is {getattr(self, field)}; allowed: at least 2")
        if not 0 <= self.slip <= 1:
            raise UserError(f"slip is {self.slip}; allowed: 0 to 1")
        if not 0 <= self.max_holes <= (free := self.height * self.width - 2):
            raise UserError(f"max_holes is {self.max_holes}; allowed: 0 to {free}, the cells beside start and goal")

    @property
    def action_space(self) -> Discrete:
        """Up, right, down, left."""
        return Discrete(len(MOVES))

    @property
    def observation_space(self) -> Dict:
        """``cells``: what lies on each cell, one of `SYMBOLS`, one-hot to the network."""
        one_hot = tuple(map(tuple, np.eye(len(SYMBOLS)).tolist()))
        return Dict((("cells", Coded((self.height, self.width), one_hot)),))

    @property
    def level_space(self) -> "LakeLevels":
        """The lakes of this size."""
        return LakeLevels(self)

    def reset(self, key: jax.Array, level: LakeLevel) -> tuple[dict[str, jax.Array], LakeState]:
        """Return the observation and state at the level's start. Nothing is random: ``key`` is not used."""
        state = LakeState(position=level.start, time=jnp.int32(0))
        return self._observe(state, level), state

    def step(self, key: jax.Array, state: LakeState, action: jax.Array, level: LakeLevel):
        """Slide one cell. Consumes ``key``, which says whether and whereto the agent slips."""
        slip_key, direction_key = jax.random.split(key)
        slips = jax.random.bernoulli(slip_key, self.slip)
        direction = jnp.where(slips, jax.random.randint(direction_key, (), 0, len(MOVES)), action)
        position = self.neighbour(state.position, direction)
        state = LakeState(position=position, time=state.time + 1)
        at_goal = (position == level.goal).all()
        terminated = at_goal | level.holes[position[0], position[1]]
        truncated = ~terminated & (state.time >= self.max_steps)
        return self._observe(state, level), state, at_goal.astype(jnp.float32), terminated, truncated, {}

    def neighbour(self, position: jax.Array, direction: jax.Array) -> jax.Array:
        """Return the position ``i32[2]`` beside ``position`` in a ``direction`` ``i32[]``; the lake ends at its shore."""
        shore = jnp.array([self.height - 1, self.width - 1], jnp.int32)
        return jnp.clip(position + jnp.asarray(MOVES)[direction], 0, shore)

    def _observe(self, state: LakeState, level: LakeLevel) -> dict[str, jax.Array]:
        cells = level.holes.astype(jnp.uint8).at[tuple(level.goal)].set(2)
        return {"cells": cells.at[tuple(state.position)].set(3)}


@dataclasses.dataclass(frozen=True)
class LakeLevels(LevelSpace[LakeLevel]):
    """The levels of ``world``. `sample` is all that a world must have; each of the rest opens more teachers and pictures."""

    world: Lake

    def sample(self, key: jax.Array) -> LakeLevel:
        """Return a lake with up to ``max_holes`` holes. Consumes ``key``."""
        number_key, level_key = jax.random.split(key)
        return self.level_with(level_key, jax.random.randint(number_key, (), 0, self.world.max_holes + 1))

    def level_with(self, key: jax.Array, num_holes: jax.Array) -> LakeLevel:
        """Return a lake with ``num_holes`` ``i32[]`` holes, none of them on start or goal. Consumes ``key``."""
        order = jax.random.permutation(key, self.world.height * self.world.width)
        holes = (order >= 2) & (order < 2 + num_holes)
        start, goal = (self._position(jnp.argmax(order == place)) for place in range(2))
        return LakeLevel(holes.reshape(self.world.height, self.world.width), start, goal)

    def mutate(self, key: jax.Array, level: LakeLevel) -> LakeLevel:
        """Return the lake with one cell changed, a hole to ice or ice to a hole; for ACCEL. Consumes ``key``."""
        free = jnp.ones_like(level.holes).at[tuple(level.start)].set(False).at[tuple(level.goal)].set(False)
        cell = jax.random.categorical(key, jnp.where(free.ravel(), 0.0, -jnp.inf))
        row, col = self._position(cell)
        return level.replace(holes=level.holes.at[row, col].set(~level.holes[row, col]))

    def is_valid(self, level: LakeLevel) -> jax.Array:
        """Return whether start and goal are two cells of ice, ``bool[]``."""
        ends = jnp.stack([level.start, level.goal])
        shore = jnp.array([[self.world.height, self.world.width]], jnp.int32)
        on_ice = ~level.holes[ends[:, 0], ends[:, 1]] & ((ends >= 0) & (ends < shore)).all(axis=1)
        return on_ice.all() & (level.start != level.goal).any()

    def optimal_return(self, level: LakeLevel) -> jax.Array:
        """Return how likely the best policy is to reach the goal in time, ``f32[]``: value iteration over all cells."""
        world = self.world
        is_goal = jnp.zeros_like(level.holes).at[tuple(level.goal)].set(True)
        cells = jnp.stack(jnp.indices(level.holes.shape, jnp.int32), axis=-1).reshape(-1, 2)
        each_cell = jax.vmap(world.neighbour, in_axes=(0, None))
        after = jax.vmap(each_cell, in_axes=(None, 0))(cells, jnp.arange(len(MOVES)))  # i32[4, H·W, 2]

        def back(_, values):  # f32[H, W], with one step more to go
            each = values[after[..., 0], after[..., 1]]  # f32[4, H·W]
            best = (1 - world.slip) * each.max(axis=0) + world.slip * each.mean(axis=0)
            return jnp.where(is_goal, 1.0, jnp.where(level.holes, 0.0, best.reshape(values.shape)))

        values = jax.lax.fori_loop(0, world.max_steps, back, is_goal.astype(jnp.float32))
        return values[tuple(level.start)]

    @property
    def parameters(self) -> "LakeParameters":
        """How many holes there are; for ALP-GMM, PAIRED and others that choose numbers."""
        return LakeParameters(self)

    def describe(self, level: LakeLevel) -> dict[str, jax.Array]:
        """Return the number of holes, and how far the goal is, in cells."""
        distance = jnp.abs(level.start - level.goal).sum()
        return {"holes": level.holes.sum().astype(jnp.float32), "distance": distance.astype(jnp.float32)}

    def draw(self, level: LakeLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[16·H, 16·W, 3]``."""
        codes = np.asarray(level.holes, np.uint8)
        codes[tuple(np.asarray(level.goal))] = 2
        codes[tuple(np.asarray(level.start if state is None else state.position))] = 3
        return COLOURS[codes].repeat(16, axis=0).repeat(16, axis=1)

    def to_text(self, level: LakeLevel) -> str:
        """Return the lake as lines of `SYMBOLS`."""
        codes = np.asarray(level.holes, np.uint8)
        codes[tuple(np.asarray(level.goal))] = 2
        codes[tuple(np.asarray(level.start))] = 3
        return "\n".join("".join(SYMBOLS[code] for code in row) for row in codes)

    def from_text(self, text: str) -> LakeLevel:
        """Return the lake that `to_text` writes like this. Raises `UserError` for another form."""
        lines, shape = text.split(), (self.world.height, self.world.width)
        if len(lines) != shape[0] or any(len(line) != shape[1] for line in lines):
            raise UserError(f"a lake is {text!r}; allowed: {shape[0]} lines of {shape[1]} symbols")
        cells = np.array([list(line) for line in lines])
        if not np.isin(cells, list(SYMBOLS)).all() or any((cells == symbol).sum() != 1 for symbol in "AG"):
            raise UserError(f"a lake is {text!r}; allowed: {SYMBOLS}, one A (the agent) and one G (the goal)")
        start, goal = (np.argwhere(cells == symbol)[0].astype(np.int32) for symbol in "AG")
        return LakeLevel(jnp.asarray(cells == "O"), jnp.asarray(start), jnp.asarray(goal))

    @property
    def suites(self) -> dict[str, str]:
        """The levels on which a run is evaluated."""
        return {
            "held_out": f"64 lakes of the generator, up to {self.world.max_holes} holes, horizon {self.world.max_steps}."
        }

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self.suites:
            raise UserError(f"unknown suite {name!r}; known: {', '.join(self.suites)}")
        with jax.ensure_compile_time_eval():
            levels = jax.vmap(self.sample)(jax.random.split(jax.random.key(2026), 64))
        return (Suite(name, self.world, levels, tuple(f"lake {index}" for index in range(64)), self.suites[name]),)

    def _position(self, cell: jax.Array) -> jax.Array:
        """Return the position ``i32[2]`` of a cell, counted row by row."""
        return jnp.stack([cell // self.world.width, cell % self.world.width]).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class LakeParameters(Parameters[LakeLevel]):
    """One number."""

    levels: LakeLevels

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """``holes``: their number."""
        return (Choice("holes", self.levels.world.max_holes + 1),)

    def level(self, key: jax.Array, values: jax.Array) -> LakeLevel:
        """Return a lake with ``values[0]`` holes. Consumes ``key``."""
        return self.levels.level_with(key, values[0].astype(jnp.int32))
