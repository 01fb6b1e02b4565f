"""Navix in minied: the grid worlds of MiniGrid, written again in JAX.

Source: Pignatelli et al. 2024 (NAVIX, arXiv 2407.19396). A level is what navix's own reset made: walls, and whatever stands,
lies and walks between them. Dynamics, rewards and views are the library's.

Deviations. A time-out is a truncation alone, nothing is reset within `step`, and balls roll by the key of the step. Beside
navix's view the agent is told what navix tells nobody: which way it looks, whether it holds the key, and the colour of the
door that it is sent to.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied.adapters.base import AdaptedEnvironment, Library, lenient, quiet, require, require_finite
from minied.errors import UserError, unknown_name
from minied.spaces import Coded, Dict, Discrete

if TYPE_CHECKING:
    from minied.adapters.navix_levels import NavixLevelSpace

LIBRARY = Library("navix", "navix", at_least="0.7.4", below="0.8", run_with="0.7.4", extra="navix")
SIZES = {
    "Empty-{}": "5x5 6x6 8x8 16x16 Random-5x5 Random-6x6 Random-8x8 Random-16x16",
    "DoorKey-{}": "5x5 6x6 8x8 16x16 Random-5x5 Random-6x6 Random-8x8 Random-16x16",
    "Dynamic-Obstacles-{}": "5x5 5x5-Random 6x6 6x6-Random 8x8 16x16",
    "GoToDoor-{}": "5x5 6x6 8x8",
    "KeyCorridor{}": "S3R1 S3R2 S3R3 S4R3 S5R3 S6R3",
    "LavaGap{}": "S5 S6 S7",
    "SimpleCrossing{}": "S9N1 S9N2 S9N3 S11N5",
    "DistShift{}": "1 2",
    "FourRooms": "-",
}
KNOWN = tuple(f"Navix-{family.format(size)}-v0" for family, sizes in SIZES.items() for size in sizes.split())
"""What navix 0.7.4 has. They are listed here as importing it takes seconds, and starts JAX."""
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
KINDS = {"floor": 1, "wall": 2, "door": 4, "key": 5, "ball": 6, "box": 7, "goal": 8, "lava": 9, "player": 10}
"""What a cell shows, and navix's number for it."""
COLOURLESS, WITH_STATE = ("floor", "lava", "player"), ("door", "player")
NUM_STATES = 4  # of a door open, shut, locked; of a player where it looks
FEATURES = tuple(
    tuple(float(kind == each) for each in KINDS)
    + tuple(float(kind not in COLOURLESS and colour == each) for each in range(len(COLOURS)))
    + tuple(float(kind in WITH_STATE and state == each) for each in range(NUM_STATES))
    for kind in KINDS for colour in range(len(COLOURS)) for state in range(NUM_STATES)
)  # fmt: skip
View = Literal["first_person", "full"]


class NavixLevel(struct.PyTreeNode):
    """Where an episode starts."""

    walls: jax.Array  # bool[H, W], navix's grid
    entities: Any  # navix's, by name: positions (row, col) and whatever else they have
    mission: Any  # navix's: which door to go to, or None


class NavixState(struct.PyTreeNode):
    """What changes during an episode."""

    entities: Any  # as in the level
    events: Any  # navix's: what has happened so far
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class Navix(AdaptedEnvironment[NavixLevel, NavixState]):
    """Any registered world of navix. Run with navix 0.7.4."""

    id: str = "Navix-Empty-Random-8x8-v0"
    """The id that the library registers it by."""
    max_steps: int = 100
    """Steps after which an episode is truncated; 100 are navix's."""
    observation: View = "first_person"
    """first_person: the 7x7 cells in front of the agent, through walls. full: all cells, the agent among them."""
    num_edits: int = 3
    """Changes that an edited level has at most: a wall put up or taken down, the agent or the goal moved."""
    solved_return: float = 1.0
    """The return from which an episode is solved; navix pays 1 for reaching the goal, at any time, and nothing else."""

    library: ClassVar[Library] = LIBRARY
    offers: ClassVar[tuple[str, ...]] = (
        "mutate", "is_valid", "describe", "draw", "to_text", "from_text", "suites",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.id not in KNOWN:
            known = require(LIBRARY).registry()  # others may have registered worlds of their own
            if self.id not in known:
                raise unknown_name("environment of navix", self.id, list(known))
        if not 1 <= self.max_steps < 2**24:
            raise UserError(f"max_steps is {self.max_steps}; allowed: 1 to {2**24 - 1}")
        if self.observation not in get_args(View):
            raise unknown_name("observation", self.observation, get_args(View))
        require_finite("solved_return", self.solved_return)
        if not 1 <= self.num_edits <= 1000:
            raise UserError(f"num_edits is {self.num_edits}; allowed: 1 to 1000")

    @property
    def action_space(self) -> Discrete:
        """MiniGrid's: turn left, turn right, forward, pick up, drop, toggle, done."""
        return Discrete(len(self._made.action_set))

    @property
    def observation_space(self) -> Dict:
        """``view``, codes of what navix shows; ``direction``; ``holding`` the key; ``mission``, a colour, if any."""
        form = start_form(self.id)
        side = 2 * require(LIBRARY).observations.RADIUS + 1
        shape = form.walls.shape if self.observation == "full" else (side, side)
        parts = (("view", Coded(shape, FEATURES)), ("direction", Discrete(4)), ("holding", Discrete(2)))
        mission = () if form.mission is None else (("mission", Discrete(len(COLOURS))),)
        return Dict((*parts, *mission))

    @property
    def level_space(self) -> "NavixLevelSpace":
        """The starts."""
        from minied.adapters.navix_levels import NavixLevelSpace

        return NavixLevelSpace(self)

    def reset(self, key: jax.Array, level: NavixLevel) -> tuple[dict[str, jax.Array], NavixState]:
        """Return the first observation and state. Nothing is random: ``key`` is not used."""
        events = _exact(require(LIBRARY).states.EventsManager())
        state = NavixState(level.entities, events, jnp.int32(0))
        return self._observe(state, level), state

    def step(self, key: jax.Array, state: NavixState, action: jax.Array, level: NavixLevel):
        """Let navix step. Consumes ``key``, which only balls that roll use."""
        made = self._made
        with lenient():
            before = navix_state(state, level, key)
            zero = jnp.zeros(())
            # Of a step of navix's that resets nothing; of the one before it only time and state are read.
            timestep = require(LIBRARY).environments.Timestep(state.time, zero, action, zero, jnp.int32(0), before)
            after = made._step(timestep, action)
        new = NavixState(after.state.entities, after.state.events, after.t)
        new = jax.tree.map(lambda leaf, like: jax.lax.convert_element_type(leaf, like.dtype), new, state)
        terminated = after.is_termination()
        truncated = ~terminated & (new.time >= self.max_steps)
        reward = jnp.asarray(after.reward, jnp.float32)
        return self._observe(new, level), new, reward, terminated, truncated, {}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the return is at least ``solved_return``, ``bool[]``."""
        return episode_return >= self.solved_return

    def _observe(self, state: NavixState, level: NavixLevel) -> dict[str, jax.Array]:
        observations, player = require(LIBRARY).observations, state.entities["player"]
        with lenient():
            codes = code_of(observations.symbolic(navix_state(state, level, None)))
        position, direction = player.position[0], player.direction[0]
        is_full = self.observation == "full"
        observation = {
            "view": codes if is_full else ahead_of(codes, position, direction, observations.RADIUS),
            "direction": direction.astype(jnp.int32),
            "holding": (player.pocket[0] != -1).astype(jnp.int32),
        }
        if level.mission is not None:
            observation["mission"] = level.mission.colour.astype(jnp.int32)
        return observation

    @property
    def _made(self) -> Any:
        return make(self.id, self.max_steps)


@functools.cache
def make(identifier: str, max_steps: int) -> Any:
    """Return navix's own environment."""
    with quiet(), jax.ensure_compile_time_eval():  # it holds arrays, which a trace must not own
        return require(LIBRARY).make(identifier, max_steps=max_steps)


def draw_start(key: jax.Array, identifier: str) -> NavixLevel:
    """Return a start by navix's own generator. Consumes ``key``."""
    navix = require(LIBRARY)
    with lenient():
        # Given pictures of the cells, which only observations in colours are made of, navix renders none.
        pictures = navix.rendering.cache.RenderingCache(jnp.zeros((1, 1, 1, 3), jnp.uint8))
        state = make(identifier, 1).reset(key, pictures).state
    return NavixLevel(state.grid != 0, _exact(state.entities), _exact(state.mission))


@functools.cache
def start_form(identifier: str) -> NavixLevel:
    """Return the shapes and types of a level."""
    with jax.ensure_compile_time_eval():
        return jax.eval_shape(lambda key: draw_start(key, identifier), jax.random.key(0))


def navix_state(state: NavixState, level: NavixLevel, key: Any) -> Any:
    """Return a state as navix has it, without the pictures of its cells."""
    grid = jnp.where(level.walls, jnp.int32(-1), jnp.int32(0))
    entities = dict(state.entities)  # navix writes into this
    return require(LIBRARY).states.State(key, grid, None, entities, state.events, level.mission)


def code_of(symbols: jax.Array) -> jax.Array:
    """Return one code a cell, ``u8[H, W]``, of navix's symbols ``u8[H, W, 3]`` (kind, colour, state): see `FEATURES`.

    Of a locked door of KeyCorridor navix says 254 (−2) where it means 2: only the last two bits are read.
    """
    places = [0] * (max(KINDS.values()) + 1)
    for place, number in enumerate(KINDS.values()):
        places[number] = place
    kind = jnp.asarray(places, jnp.uint8)[symbols[..., 0]]
    return (kind * len(COLOURS) + symbols[..., 1]) * NUM_STATES + symbols[..., 2] % NUM_STATES


def ahead_of(codes: jax.Array, position: jax.Array, direction: jax.Array, radius: int) -> jax.Array:
    """Return what navix's ``symbolic_first_person`` shows, ``u8[2 r + 1, 2 r + 1]``, of the codes of all cells.

    The agent is in the middle of the last row, looking up, and shows as floor; outside is wall. Navix rolls and turns a
    padded grid for it, which on a CPU takes some twenty times as long as the rest of a step.
    """
    ahead = jnp.arange(2 * radius, -1, -1)[:, None]
    aside = jnp.arange(-radius, radius + 1)[None]
    down, right = (jnp.asarray(each, jnp.int32)[direction] for each in ((0, 1, 0, -1), (1, 0, -1, 0)))
    rows = position[0] + ahead * down + aside * right
    cols = position[1] + ahead * right - aside * down
    inside = (rows >= 0) & (rows < codes.shape[0]) & (cols >= 0) & (cols < codes.shape[1])
    floor, wall = (
        code_of(jnp.asarray(symbol, jnp.uint8)) for symbol in ((KINDS["floor"], 0, 0), (KINDS["wall"], 5, 0))
    )
    codes = codes.at[position[0], position[1]].set(floor)
    return jnp.where(inside, codes[jnp.where(inside, rows, 0), jnp.where(inside, cols, 0)], wall)


def _exact(tree: Any) -> Any:
    """Return copies whose types are their own: navix leaves some types open, and gives arrays that it needs again."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, leaf.dtype), tree)
