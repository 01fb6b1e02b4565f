"""XLand-MiniGrid in minied: rooms of things that turn into others by rules, and its ports of MiniGrid.

Source: Nikulin et al. 2023 (XLand-MiniGrid, arXiv 2312.12044). A level is a room with all that lies in it, where the agent
starts, and the ruleset: what is asked for and what turns into what. The dynamics, rewards and views are the library's.

Deviations. In the paper an episode of meta-learning is several trials on one ruleset, which the agent never sees; here it
is one trial, and by default the ruleset is part of the observation (``shows_ruleset``). Benchmarks of rulesets are not
downloaded: rulesets are drawn by a generator of minied's (see `minied.adapters.xminigrid_rulesets`), or read from a file
that is there (see `minied.adapters.xminigrid_benchmarks`). A time-out is a truncation alone, and nothing is ever reset
within `step`.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.base import AdaptedEnvironment, require, require_finite
from minied.adapters.xminigrid_benchmarks import read_benchmark
from minied.adapters.xminigrid_rulesets import LIBRARY, Rulesets, XLandLevel
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace, hash_words
from minied.spaces import Coded, Dict, Discrete

_TILE_FEATURES = tuple(
    tuple(float(i == kind) for i in range(encoding.NUM_TILES))
    + tuple(float(i == c) for i in range(encoding.NUM_COLOURS))
    for kind in range(encoding.NUM_TILES)
    for c in range(encoding.NUM_COLOURS)
)
_RULE_FEATURES = tuple(
    tuple(float(i == kind) for i in range(len(encoding.RULES))) for kind in range(len(encoding.RULES))
)


class XLandState(struct.PyTreeNode):
    """What changes during an episode."""

    cells: jax.Array  # u8[H, W, 2], kind and colour
    position: jax.Array  # i32[2] (row, col) of the agent
    direction: jax.Array  # i32[]
    pocket: jax.Array  # u8[2], what the agent holds
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class XLandMiniGrid(AdaptedEnvironment[XLandLevel, XLandState]):
    """Any registered world of XLand-MiniGrid. Run with xminigrid 0.9.3."""

    id: str = "XLand-MiniGrid-R1-9x9"
    """The id that the library registers it by: XLand-MiniGrid-… or MiniGrid-…"""
    size: int = 0
    """Side of the room of XLand-MiniGrid-R1, walls included, 5 to 32; 0: that of its id."""
    view_size: int = 0
    """Side of the square that the agent sees, odd; 0: the library's, 5, in MiniGrid 7 and in Memory 3."""
    max_steps: int = 0
    """Steps after which an episode is truncated, which rewards depend on; 0: the library's."""
    num_rules: int = 2
    """Of XLand: most rules of a ruleset that is drawn, 0 to 9; each number from 0 is as likely."""
    num_distractors: int = 2
    """Of XLand: things in the room that nothing needs, 0 to 9."""
    num_colours: int = 10
    """Of XLand: colours of things, 1 to 10; there are six kinds of things, and no two of a ruleset are equal."""
    goal_kinds: tuple[str, ...] = ("agent_hold", "agent_near", "tile_near")
    """Of XLand: what may be asked for, by the library's names of goals: also tile_near_up, agent_near_left, …"""
    rule_kinds: tuple[str, ...] = ("agent_hold", "agent_near", "tile_near")
    """Of XLand: when things may turn into others, likewise."""
    benchmark: str = ""
    """Of XLand: a file ``.npz`` with the arrays goals, rules and init_tiles of a benchmark; empty: rulesets are drawn."""
    shows_ruleset: bool = True
    """Whether goal and rules are part of the observation."""
    shows_pocket: bool = False
    """Whether what the agent holds is; the library never shows it."""
    solved_return: float = 0.0
    """A return above this counts as solved. Reaching the goal after n of T steps is worth 1 − 0.9 n / T."""

    library: ClassVar[Any] = LIBRARY
    offers: ClassVar[tuple[str, ...]] = (
        "mutate", "tasks", "is_valid", "describe", "draw", "to_text", "from_text", "suites",
    )  # fmt: skip

    def __post_init__(self) -> None:
        known = require(LIBRARY).registered_environments()
        if self.id not in known:
            raise unknown_name("environment of xminigrid", self.id, known)
        self._check_numbers()
        if self.is_xland:
            self._check_rulesets()
        elif self.benchmark:
            raise UserError(f"benchmark is {self.benchmark!r}; allowed with {self.id}: none, it has no rulesets")
        if self.max_steps == 0:
            object.__setattr__(self, "max_steps", self._made[1].max_steps)

    def _check_numbers(self) -> None:
        is_sizeable = self.id.startswith("XLand-MiniGrid-R1-")
        if self.size and not (is_sizeable and 5 <= self.size <= 32):
            raise UserError(f"size is {self.size}; allowed: 0, and with XLand-MiniGrid-R1 5 to 32")
        if self.view_size and not (3 <= self.view_size <= 31 and self.view_size % 2):
            raise UserError(f"view_size is {self.view_size}; allowed: 0, and odd numbers from 3 to 31")
        if not 0 <= self.max_steps < 2**24:
            raise UserError(f"max_steps is {self.max_steps}; allowed: 0 to {2**24 - 1}")
        require_finite("solved_return", self.solved_return)

    def _check_rulesets(self) -> None:
        for name, least, most in (
            ("num_rules", 0, encoding.MOST_RULES),
            ("num_distractors", 0, 9),
            ("num_colours", 1, 10),
        ):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: {least} to {most}")
        for name, known in (("goal_kinds", encoding.GOAL_KINDS), ("rule_kinds", encoding.RULE_KINDS)):
            if not getattr(self, name):
                raise UserError(f"{name} is empty; allowed: at least one of {', '.join(known)}")
            for kind in getattr(self, name):
                if kind not in known:
                    raise unknown_name(f"kind in {name}", kind, known)
        rulesets, things = self.rulesets, 2 + self.num_rules + self.num_distractors
        if self.benchmark:
            things = read_benchmark(self.benchmark).init_tiles.shape[1]
        elif rulesets.num_tiles > len(rulesets.pool):
            raise UserError(
                f"num_colours is {self.num_colours}, which makes {len(rulesets.pool)} things; allowed with num_rules ="
                f" {self.num_rules} and num_distractors = {self.num_distractors}: enough for {rulesets.num_tiles}"
            )
        params = self._made[1]
        if params.grid_type == "R1" and 2 * (things + 1) > (params.height - 2) * (params.width - 2):
            raise UserError(f"size is {params.height}; allowed with up to {things} things: twice as many cells inside")

    @property
    def is_xland(self) -> bool:
        """Whether there are rulesets: of XLand-MiniGrid-…, not of MiniGrid-…."""
        return self.id.startswith("XLand")

    @property
    def has_rewards(self) -> bool:
        """False of MiniGrid-Playground, which asks for nothing."""
        return self.id != "MiniGrid-Playground"

    @property
    def rulesets(self) -> Rulesets:
        """What rulesets are drawn from."""
        goals = tuple(sorted(encoding.GOALS.index(kind) for kind in set(self.goal_kinds)))
        rules = tuple(sorted(encoding.RULES.index(kind) for kind in set(self.rule_kinds)))
        return Rulesets(self.num_rules, self.num_distractors, self.num_colours, goals, rules)

    @property
    def action_space(self) -> Discrete:
        """The library's: forward, turn right, turn left, pick up, put down, toggle."""
        world, params = self._made
        return Discrete(world.num_actions(params))

    @property
    def observation_space(self) -> Dict:
        """``view`` ``u8[v, v]``, ``direction`` ``i32[]``, and as far as they are shown ``pocket`` ``u8[]`` and the ruleset.

        A tile is one code, and 13 kinds and 12 colours when decoded. Of the ruleset: ``goal_kind`` ``i32[]``, ``goal_tiles``
        ``u8[2]``, and of XLand ``rule_kinds`` ``u8[R]`` and ``rule_tiles`` ``u8[3 R]``. A position that a goal names, of the
        door in Unlock, is not shown.
        """
        view = Coded((self.seen, self.seen), _TILE_FEATURES)
        parts: list[tuple[str, Any]] = [("view", view), ("direction", Discrete(4))]
        if self.shows_pocket:
            parts.append(("pocket", Coded((), _TILE_FEATURES)))
        if self.shows_ruleset:
            parts += [("goal_kind", Discrete(len(encoding.GOALS))), ("goal_tiles", Coded((2,), _TILE_FEATURES))]
        if self.shows_ruleset and self.is_xland:
            rows = self.num_rows
            parts += [
                ("rule_kinds", Coded((rows,), _RULE_FEATURES)),
                ("rule_tiles", Coded((3 * rows,), _TILE_FEATURES)),
            ]
        return Dict(tuple(parts))

    @property
    def seen(self) -> int:
        """Side of the square that the agent sees, v."""
        return self._made[1].view_size

    @property
    def num_rows(self) -> int:
        """Rules that a level has room for, R."""
        if self.benchmark:
            return read_benchmark(self.benchmark).rules.shape[1]
        return max(1, self.num_rules) if self.is_xland else 1

    @property
    def level_space(self) -> LevelSpace[XLandLevel]:
        """Rooms and rulesets."""
        from minied.adapters import xminigrid_levels

        if not self.is_xland:
            return xminigrid_levels.RoomLevelSpace(self)
        return xminigrid_levels.FiledLevelSpace(self) if self.benchmark else xminigrid_levels.DrawnLevelSpace(self)

    @property
    def _made(self) -> tuple[Any, Any]:
        return _made(self.id, self.size, self.view_size, self.max_steps)

    def room(self, key: jax.Array, ruleset: tuple[jax.Array, jax.Array, jax.Array] | None = None) -> XLandLevel:
        """Return a level of the library's generator, with goal, rules and things of ``ruleset``. Consumes ``key``."""
        world, params = self._made
        if ruleset is not None:
            goal, rules, things = ruleset
            params = params.replace(ruleset=params.ruleset.replace(goal=goal, rules=rules, init_tiles=things))
        state = world.reset(params, key).state
        integers = jax.tree.map(
            lambda leaf: leaf.astype(jnp.int32),
            (state.agent.position, state.agent.direction, jax.tree.leaves(state.carry)),
        )
        small = (leaf.astype(jnp.uint8) for leaf in (state.grid, state.goal_encoding, state.rule_encoding))
        (cells, goal, rules), (position, direction, answers) = small, integers
        return XLandLevel(cells, position, direction, goal, rules, tuple(answers))

    def reset(self, key: jax.Array, level: XLandLevel) -> tuple[dict[str, jax.Array], XLandState]:
        """Return the first observation and state. Nothing is random: ``key`` is not used."""
        pocket = jnp.zeros(2, jnp.uint8)
        state = XLandState(level.cells, level.position, level.direction, pocket, jnp.int32(0))
        seen = require(LIBRARY).environment.transparent_field_of_view(
            state.cells, self._library_state(key, state, level).agent, self.seen, self.seen
        )
        return self._observe(seen, state, level), state

    def step(self, key: jax.Array, state: XLandState, action: jax.Array, level: XLandLevel):
        """Act as the library does. Nothing is random: ``key`` is not used."""
        world, params = self._made
        types = require(LIBRARY).types
        before = types.TimeStep(self._library_state(key, state, level), None, None, None, None)
        after = world.step(params, before, action)
        agent = after.state.agent
        state = XLandState(
            cells=after.state.grid.astype(jnp.uint8),
            position=agent.position.astype(jnp.int32),
            direction=agent.direction.astype(jnp.int32),
            pocket=agent.pocket.astype(jnp.uint8),
            time=state.time + 1,
        )
        terminated = after.discount == 0.0
        truncated = ~terminated & (state.time >= self.max_steps)
        reward = after.reward.astype(jnp.float32)
        observation = self._observe(after.observation, state, level)
        return observation, state, reward, terminated, truncated, {"novelty": novelty(state)}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the return is above ``solved_return``, ``bool[]``."""
        return episode_return > self.solved_return

    def _library_state(self, key: jax.Array, state: XLandState, level: XLandLevel) -> Any:
        """Return the library's own state. It keeps a key there, of which nothing but its automatic reset makes use."""
        types = require(LIBRARY).types
        carry = jax.tree.unflatten(_carry_structure(self.id), level.answers)
        agent = types.AgentState(state.position, state.direction, state.pocket)
        return types.State(key, state.time, state.cells, agent, level.goal, level.rules, carry)

    def _observe(self, seen: jax.Array, state: XLandState, level: XLandLevel) -> dict[str, jax.Array]:
        observation = {"view": encoding.codes(seen).astype(jnp.uint8), "direction": state.direction}
        if self.shows_pocket:
            observation["pocket"] = encoding.codes(state.pocket).astype(jnp.uint8)
        if self.shows_ruleset:
            observation["goal_kind"] = level.goal[0].astype(jnp.int32)
            observation["goal_tiles"] = encoding.goal_tiles(level.goal).astype(jnp.uint8)
        if self.shows_ruleset and self.is_xland:
            observation["rule_kinds"] = level.rules[:, 0]
            observation["rule_tiles"] = encoding.rule_tiles(level.rules).reshape(-1).astype(jnp.uint8)
        return observation


def novelty(state: XLandState) -> jax.Array:
    """Return a hash of all that an agent can change, ``u32[2]``, for bonuses that count states."""
    parts = (encoding.codes(state.cells), state.position, state.direction, encoding.codes(state.pocket))
    return hash_words(jnp.concatenate([part.reshape(-1).astype(jnp.uint32) for part in parts]))


@functools.cache
def _made(world: str, size: int, view_size: int, max_steps: int) -> tuple[Any, Any]:
    """Return the library's environment and its parameters. A time limit that is not given is that of the size."""
    with jax.ensure_compile_time_eval():
        made, params = require(LIBRARY).make(world)
        if size:
            limit = made.default_params(grid_type=params.grid_type, height=size, width=size).max_steps
            params = params.replace(height=size, width=size, max_steps=limit)
        given = {"view_size": view_size, "max_steps": max_steps}
        return made, params.replace(**{name: value for name, value in given.items() if value})


@functools.cache
def _carry_structure(world: str) -> Any:
    made, params = _made(world, 0, 0, 0)
    return jax.tree.structure(jax.eval_shape(lambda key: made.reset(params, key).state.carry, jax.random.key(0)))
