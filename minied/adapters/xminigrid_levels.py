"""What can be done with the levels of XLand-MiniGrid: drawn, edited, told apart, shown, written down."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.base import require, sampled_suite
from minied.adapters.trees import tree_from_text, tree_to_text
from minied.adapters.xminigrid import XLandMiniGrid
from minied.adapters.xminigrid_benchmarks import read_benchmark
from minied.adapters.xminigrid_edits import edit
from minied.adapters.xminigrid_rulesets import LIBRARY, XLandLevel
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace, Suite
from minied.levels.tasks import Tasks

TILE_PIXELS = 16
SUITE_LEVELS, LEVELS_OF_TASK, SUITE_SEED = 64, 16, 20_231_219


@dataclasses.dataclass(frozen=True)
class RoomLevelSpace(LevelSpace[XLandLevel]):
    """The levels of a port of MiniGrid: those of the library's generator, and what edits make of them."""

    env: XLandMiniGrid

    def sample(self, key: jax.Array) -> XLandLevel:
        """Return a level of the library's generator. Consumes ``key``.

        In 1 of 16 of BlockedUnlockPickUp that puts the ball on the key, and the door cannot be opened.
        """
        return self.env.room(key)

    def mutate(self, key: jax.Array, level: XLandLevel) -> XLandLevel:
        """Return a copy with one edit. Consumes ``key``.

        The agent, or a thing or goal, is put elsewhere on the floor, on its side of the doors; of Memory only the agent.
        """
        return edit(key, level, None, moves_things=not level.answers, stays_in_room=True)

    def is_valid(self, level: XLandLevel) -> jax.Array:
        """Return whether the border is a wall, the agent on floor and what is asked for can be made, ``bool[]``.

        Not whether the way to it is free.
        """
        return encoding.is_valid(level)

    def describe(self, level: XLandLevel) -> dict[str, jax.Array]:
        """Return ``rules`` and ``things``, their numbers, and ``distance``.

        That is the distance in cells, along rows and columns, to the nearest tile that the goal names; NaN if there is none.
        """
        codes, wanted = encoding.codes(level.cells), encoding.goal_tiles(level.goal)
        is_wanted = ((codes[..., None] == wanted[None, None, :]) & (wanted > 0)[None, None, :]).any(axis=-1)
        rows, cols = jnp.arange(codes.shape[0])[:, None], jnp.arange(codes.shape[1])[None, :]
        distances = jnp.abs(rows - level.position[0]) + jnp.abs(cols - level.position[1])
        nearest = jnp.where(is_wanted, distances, distances.size).min().astype(jnp.float32)
        things = jnp.isin(level.cells[..., 0], jnp.asarray(encoding.THINGS, jnp.uint8))
        return {
            "rules": (level.rules[:, 0] > 0).sum().astype(jnp.float32),
            "things": things.sum().astype(jnp.float32),
            "distance": jnp.where(is_wanted.any(), nearest, jnp.nan),
        }

    def title(self, level: XLandLevel) -> str:
        """Return the goal and the number of rules, such as ``agent hold red ball, 2 rules``."""
        kind = int(level.goal[0])
        tiles = [_words(code) for code in np.asarray(encoding.goal_tiles(level.goal)) if code]
        number = int((np.asarray(level.rules)[:, 0] > 0).sum())
        parts = [" ".join([encoding.GOALS[kind].replace("_", " "), " and ".join(tiles)]).strip()] if kind else []
        return ", ".join(parts + ([f"{number} rule{'s' * (number != 1)}"] if number else []))

    def draw(self, level: XLandLevel, state: Any = None) -> np.ndarray:
        """Return the library's picture, ``u8[16 H, 16 W, 3]``; what the agent holds is not in it."""
        at = level if state is None else state
        library = require(LIBRARY)
        agent = library.types.AgentState(np.asarray(at.position), int(at.direction), None)
        return library.rendering.rgb_render.render(np.asarray(at.cells), agent, self.env.seen, TILE_PIXELS)

    def to_text(self, level: XLandLevel) -> str:
        """Return the numbers of the level as one line of JSON, in xminigrid's encoding."""
        return tree_to_text(level)

    def from_text(self, text: str) -> XLandLevel:
        """Return the level that `to_text` wrote. Raises `UserError` also for one that is not of this space."""
        level = tree_from_text(text, jax.eval_shape(self.sample, jax.random.key(0)))
        if not bool(self.is_valid(level)):
            raise UserError(
                "the level has an open border, an agent off the floor, a number that stands for nothing, or a goal whose"
                f" tiles cannot be had; allowed: a level of {self.env.id}"
            )
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """Levels of the generator."""
        return {"sampled": f"{SUITE_LEVELS} levels of {self.env.id} as they are drawn in training."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name != "sampled":
            raise unknown_name("suite", name, list(self.suites))
        return sampled_suite(self.env, name, SUITE_LEVELS, SUITE_SEED, self.suites[name])


@dataclasses.dataclass(frozen=True)
class FiledLevelSpace(RoomLevelSpace):
    """The rulesets of a file, each in rooms of the library's generator."""

    def sample(self, key: jax.Array) -> XLandLevel:
        """Return a room with a ruleset of the file. Consumes ``key``."""
        ruleset_key, room_key = jax.random.split(key)
        rulesets = read_benchmark(self.env.benchmark)
        index = jax.random.randint(ruleset_key, (), 0, rulesets.goals.shape[0])
        return self.env.room(room_key, (rulesets.goals[index], rulesets.rules[index], rulesets.init_tiles[index]))

    def mutate(self, key: jax.Array, level: XLandLevel) -> XLandLevel:
        """Return a copy with one edit of room or ruleset, see `minied.adapters.xminigrid_edits`. Consumes ``key``."""
        return edit(key, level, self.env.rulesets, moves_things=True, stays_in_room=False)


@dataclasses.dataclass(frozen=True)
class DrawnLevelSpace(FiledLevelSpace):
    """Rulesets that are drawn, in rooms of the library's generator."""

    def sample(self, key: jax.Array) -> XLandLevel:
        """Return a room with a ruleset of `minied.adapters.xminigrid_rulesets.Rulesets`. Consumes ``key``."""
        ruleset_key, room_key = jax.random.split(key)
        return self.env.room(room_key, self.env.rulesets.draw(ruleset_key))

    @property
    def tasks(self) -> "RulesetTasks":
        """The kinds of goals, each with each number of rules."""
        return RulesetTasks(self)

    @property
    def suites(self) -> Mapping[str, str]:
        """Levels of the generator, and as many of each task."""
        by_task = f"{LEVELS_OF_TASK} levels of each kind of goal with each number of rules, of {self.env.id}."
        return {**super().suites, "tasks": by_task}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name != "tasks":
            return super().suite(name)
        names = tuple(task for task in self.tasks.names for _ in range(LEVELS_OF_TASK))
        with jax.ensure_compile_time_eval():
            keys = jax.random.split(jax.random.key(SUITE_SEED), len(names))
            tasks = jnp.arange(len(names), dtype=jnp.int32)[:, None] // LEVELS_OF_TASK
            levels = jax.jit(jax.vmap(self.tasks.level))(keys, tasks)
        return (Suite(name, self.env, levels, names, self.suites[name]),)


@dataclasses.dataclass(frozen=True)
class RulesetTasks(Tasks[XLandLevel]):
    """One task for each number of rules and each kind of goal, those with fewer rules first."""

    space: DrawnLevelSpace

    @property
    def names(self) -> tuple[str, ...]:
        """Such as ``agent_hold, 2 rules``."""
        kinds = [encoding.GOALS[kind] for kind in self.space.env.rulesets.goals]
        return tuple(f"{kind}, {n} rule{'s' * (n != 1)}" for n in range(self.space.env.num_rules + 1) for kind in kinds)

    def level(self, key: jax.Array, tasks: jax.Array) -> XLandLevel:
        """Return a room with a ruleset of the task ``tasks[0]``. Consumes ``key``."""
        ruleset_key, room_key = jax.random.split(key)
        rulesets = self.space.env.rulesets
        number, goal = jnp.divmod(tasks[0], len(rulesets.goals))
        return self.space.env.room(room_key, rulesets.draw(ruleset_key, goal, number))


def _words(code: int) -> str:
    kind, colour = divmod(int(code), encoding.NUM_COLOURS)
    return f"{encoding.COLOURS[colour]} {encoding.TILES[kind]}"
