"""A tiny world, a teacher with options, and a program that computes next to nothing: fixtures of the tests of runs.

In a module of its own, so that the registry finds it by import path and subprocesses can import it.
"""

import dataclasses
import os
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment, Milestone
from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Discrete
from minied.teachers.base import NEW, Plan, Teacher, propose_new

ENV = "run_world:Line"
OTHER_ENV = "run_world:OtherLine"
FORT = "run_world:Fort"
TEACHER = "run_world:Picky"
ITERATION_SECONDS = float(os.environ.get("FAKE_ITERATION_SECONDS", "0"))


@dataclasses.dataclass(frozen=True)
class LineLevels:
    """Options of the generator."""

    farthest: int = 3
    """Farthest cell of a goal."""
    spread: float = 1.0
    """How far goals spread."""
    fair: bool = True
    """Whether both sides are alike."""

    def __post_init__(self) -> None:
        if self.farthest < 1:
            raise UserError(f"farthest is {self.farthest}; allowed: at least 1")


@dataclasses.dataclass(frozen=True)
class Line(Environment):
    """Cells in a row; the goal is one of them."""

    size: int = 4
    """Cells."""
    kind: Literal["open", "closed"] = "open"
    """Whether it has ends."""
    bonus: tuple[int, ...] = (1, 2)
    """Cells with a bonus."""
    levels: LineLevels = LineLevels()
    """How goals are drawn."""

    def __post_init__(self) -> None:
        if self.size < 2:
            raise UserError(f"size is {self.size}; allowed: at least 2")

    max_steps = 5
    action_space = Discrete(2)
    observation_space = Discrete(9)

    @property
    def level_space(self) -> "LineSpace":
        return LineSpace(self)

    def reset(self, key, level):
        return level, level

    def step(self, key, state, action, level):
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class OtherLine(Line):
    """Another world, with an option that the first lacks."""

    colour: str = "red"
    """Its colour."""


@dataclasses.dataclass(frozen=True)
class Sides(Line):
    """The line with two agents against each other."""

    num_agents = 2
    teams = (0, 1)


@dataclasses.dataclass(frozen=True)
class Fort(Line):
    """A world with statistics: walls in evaluations and training, moves in training alone (see `Program`)."""

    milestones = (
        Milestone("fort", "walls", 4.0, description="Walls are built."),
        Milestone("rest", "moves", -3.0, below=True),
        Milestone("never", "walls", 1e9),
        Milestone("unknown", "no such", 0.0),
    )


@dataclasses.dataclass(frozen=True)
class LineSpace(LevelSpace):
    world: Line

    def sample(self, key):
        return jax.random.randint(key, (), 0, self.world.size)

    def describe(self, level):
        return {"goal_cell": jnp.asarray(level, jnp.float32), "nothing": jnp.float32(jnp.nan)}

    def draw(self, level, state=None):
        picture = np.zeros((4, 4 * self.world.size, 3), np.uint8)
        picture[:, 4 * int(level) : 4 * int(level) + 4, 1] = 200
        if state is not None:
            picture[:, :, 0] = 30 * int(state)
        return picture

    def from_text(self, text):
        if text.count("G") != 1:
            raise UserError(f"{text.count('G')} goals; allowed: 1")
        return np.int32(text.index("G"))

    @property
    def suites(self):
        return {"ends": "Both ends, 2 levels.", "all": "Every cell, as one entry."}

    def suite(self, name):
        if name == "ends":
            return (Suite("ends", self.world, np.asarray([0, self.world.size - 1], np.int32), ("left", "right")),)
        if name == "all":
            return (Suite("all", self.world, np.arange(self.world.size, dtype=np.int32), ("cell",) * self.world.size),)
        return super().suite(name)


class Picky(Teacher):
    """Chooses with care."""

    score: Literal["max_mc", "positive_value_loss"] = "max_mc"
    """What a level is worth."""
    temperature: float = 0.3
    """How sharp."""
    buffer_size: int = 16
    """Levels kept."""

    def check(self) -> None:
        require_range(self, "temperature", 0, float("inf"), open_low=True)

    def init(self, key, space, num_levels):
        return ()

    def plan(self, key, schedule, num_levels):
        return Plan.of(NEW, train=True, new_batches=1)

    def propose(self, key, state, plan, space, num_levels, probe):
        return state, propose_new(key, space, num_levels)

    def observe(self, state, plan, proposal, outcome, space):
        return ()


class State(struct.PyTreeNode):
    """With every kind of leaf that a run's state has."""

    schedule_key: jax.Array  # key[]
    keys: jax.Array  # key[S]
    weights: jax.Array  # f32[S, 3]
    half: jax.Array  # bf16[S]
    flags: jax.Array  # bool[S]
    nothing: jax.Array  # f32[S, 0]
    named: dict[str, Any]
    iterations: jax.Array  # i32[]


class Results(struct.PyTreeNode):
    solve_rate: Any
    mean_return: Any
    mean_length: Any
    statistics: Any = struct.field(default_factory=dict)
    signs: Any = (1.0,)  # of each team: what one wins, the others lose

    @property
    def team_returns(self):
        return self.mean_return[..., None] * np.asarray(self.signs, np.float32)


@jax.jit
def _iterate(state: State) -> State:
    keys = jax.vmap(lambda key: jax.random.fold_in(key, state.iterations))(state.keys)
    noise = jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)
    return state.replace(
        weights=state.weights * 0.9 + noise, flags=~state.flags, half=state.half + 1, iterations=state.iterations + 1
    )


class Program:
    """The interface of `minied.train.program.Program`; every second iteration trains."""

    def __init__(self, config) -> None:
        self.config = config

    def check(self) -> None:
        pass

    def init(self) -> State:
        count = self.config.num_seeds
        keys = jax.vmap(jax.random.key)(jnp.arange(count, dtype=jnp.uint32) + jnp.uint32(self.config.seed))
        return State(
            schedule_key=jax.random.key(7, impl="rbg"),
            keys=keys,
            weights=jnp.zeros((count, 3)),
            half=jnp.zeros(count, jnp.bfloat16),
            flags=jnp.zeros(count, bool),
            nothing=jnp.zeros((count, 0)),
            named={"a/b": {"c.d": jnp.arange(count)}},
            iterations=jnp.zeros((), jnp.int32),
        )

    def advance(self, state, until):
        before = int(state.iterations)
        while int(state.iterations) < until and not self.is_finished(state):
            old, state = state, _iterate(state)
            time.sleep(ITERATION_SECONDS)
            if old is not None:  # what is donated must not be read again
                jax.tree.map(lambda leaf: leaf.delete(), (old.weights, old.half, old.flags))
        weights = np.asarray(state.weights)
        undefined = np.full(len(weights), np.nan, np.float32)
        rate = 1 / (1 + np.exp(-weights[:, 0]))
        metrics = {"new/solve_rate": rate, "replay/solve_rate": rate if before else undefined, "never": undefined}
        if isinstance(self.config.env, Fort):
            moves = np.full(len(weights), -int(state.iterations), np.float32)
            metrics |= {"new/episode/moves": moves, "new/episode/walls": undefined}
        return state, metrics

    def counters(self, state):
        iterations = int(state.iterations)
        names = {"iterations": iterations, "student_updates": iterations // 2}
        return names | {"train_steps": iterations // 2 * 8, "env_steps": iterations * 8}

    def is_finished(self, state):
        return self.counters(state)["student_updates"] >= self.config.updates

    def evaluate(self, state, suite, key, attempts):
        skill = np.minimum(1.0, int(state.iterations) / 10) * np.ones((self.config.num_seeds, len(suite.names)))
        skill[:, 0] = jax.random.uniform(key)
        signs = (1.0, *(-1.0,) * (len(set(self.config.env.teams)) - 1))
        results = Results(*(skill.astype(np.float32),) * 3, signs=signs)
        if isinstance(self.config.env, Fort):
            # Member 0 builds a wall an iteration, member 1 half as many, the others none.
            rates = np.asarray([1.0, 0.5, *[0.0] * self.config.num_seeds], np.float32)[: self.config.num_seeds, None]
            walls = int(state.iterations) * rates * np.ones_like(skill)
            results = results.replace(statistics={"walls": walls.astype(np.float32)})
        return results

    def proposals(self, state, num_levels):
        return np.arange(num_levels, dtype=np.int32) % self.config.env.size

    def annotated_proposals(self, state, num_levels):
        return self.proposals(state, num_levels), {"score": np.linspace(0, 1, num_levels, dtype=np.float32)}

    def record_episode(self, state, env, level, key, max_states=None):
        return [np.int32(time) for time in range(int(level) + 2)]
