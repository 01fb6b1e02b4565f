"""Matches of hide and seek that are played twice, by the world and by the oracle, and the crowded arenas for them.

Letters: ``E`` episodes, ``T`` steps, ``N`` agents, ``O`` objects. A match begins with the state at reset, so what is said of
states has ``T + 1`` rows.
"""

import collections
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hide_and_seek_oracle import FOOTPRINTS, STEPS, Arena, Cell, Game, Options, Placed

from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.hide_and_seek.level import HideAndSeekLevel
from minied_envs.hide_and_seek.rules import turn_order
from minied_envs.hide_and_seek.sight import visible

STATE_FIELDS = ("positions", "directions", "elevated", "holding", "object_positions", "locked_by", "time")


@dataclasses.dataclass(frozen=True)
class World:
    """A size of grid, how many hiders, seekers, boxes and ramps there is room for, and the options of the rules."""

    height: int
    width: int
    room: tuple[int, int, int, int]
    options: Options

    @property
    def num_agents(self) -> int:
        return self.room[0] + self.room[1]

    def env(self) -> HideAndSeek:
        names = ("max_hiders", "max_seekers", "max_boxes", "max_ramps")
        room = dict(zip(names, self.room, strict=True))
        return HideAndSeek(height=self.height, width=self.width, **room, **dataclasses.asdict(self.options))


@dataclasses.dataclass(frozen=True)
class Match:
    """``E`` episodes: NumPy arrays by name."""

    states: dict[str, np.ndarray]  # [E, T + 1, ...]
    sees_agents: np.ndarray  # bool[E, T + 1, N, N]
    sees_objects: np.ndarray  # bool[E, T + 1, N, O]
    rewards: np.ndarray  # f32[E, T, N]
    statistics: dict[str, np.ndarray]  # f32[E], of the last step


# -- the world --------------------------------------------------------------------------------------------------------


def keys_for(num_episodes: int, num_steps: int, seed: int) -> jax.Array:
    """Keys of the steps, ``key[E, T]``."""
    return jax.random.split(jax.random.key(seed), (num_episodes, num_steps))


def world_match(world: World, arenas: list[Arena], keys: jax.Array, actions: np.ndarray) -> Match:
    """Play in the world; check what it says of ends and of who is present."""
    result = jax.tree.map(np.asarray, _program(world)(keys, to_levels(arenas), jnp.asarray(actions, jnp.int32)))
    present = np.array([[placed is not None for placed in arena.hiders + arena.seekers] for arena in arenas])
    np.testing.assert_array_equal(result["present"], np.broadcast_to(present[:, None], result["present"].shape))
    assert not result["terminated"].any()
    is_last = np.arange(1, world.options.max_steps + 1) == world.options.max_steps
    np.testing.assert_array_equal(result["truncated"], np.broadcast_to(is_last, result["truncated"].shape))
    return Match(**{field.name: result[field.name] for field in dataclasses.fields(Match)})


@functools.cache
def _program(world: World) -> Any:
    env = world.env()

    def episode(keys: jax.Array, level: HideAndSeekLevel, actions: jax.Array) -> dict[str, Any]:
        _, first = env.reset(keys[0], level)

        def step(state: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
            _, state, reward, terminated, truncated, info = env.step(inputs[0], state, inputs[1], level)
            return state, (state, reward, terminated, truncated, info["present"], info["statistics"])

        _, (later, rewards, terminated, truncated, present, statistics) = jax.lax.scan(step, first, (keys, actions))
        states = jax.tree.map(lambda one, many: jnp.concatenate([one[None], many]), first, later)
        sees_agents, sees_objects = jax.vmap(lambda state: visible(env, level, state))(states)
        return {
            "states": {name: getattr(states, name) for name in STATE_FIELDS},
            "sees_agents": sees_agents,
            "sees_objects": sees_objects,
            "rewards": rewards,
            "statistics": {name: values[-1] for name, values in statistics.items()},
            "terminated": terminated,
            "truncated": truncated,
            "present": present,
        }

    return jax.jit(jax.vmap(episode))


def orders_of(keys: jax.Array, num_agents: int) -> np.ndarray:
    """In which order agents take turns, ``i32[E, T, N]``."""
    return np.asarray(_orders(keys, num_agents))


@functools.partial(jax.jit, static_argnums=1)
def _orders(keys: jax.Array, num_agents: int) -> jax.Array:
    return jax.vmap(jax.vmap(lambda key: turn_order(key, num_agents)))(keys)


def to_levels(arenas: list[Arena]) -> HideAndSeekLevel:
    """A batch of levels of NumPy arrays; packed anew, a second opinion on `make_level`."""

    def table(things: tuple[Placed | None, ...]) -> np.ndarray:
        return np.array([placed or (0, 0, 0) for placed in things], np.int32).reshape(-1, 3)

    def present(things: tuple[Placed | None, ...]) -> np.ndarray:
        return np.array([placed is not None for placed in things], bool)

    def board(arena: Arena, cells: frozenset[Cell]) -> np.ndarray:
        return np.array([[sum(2**c for r, c in cells if r == row)] for row in range(arena.height)], np.uint32)

    def leaves(arena: Arena) -> tuple[np.ndarray, ...]:
        parts: tuple[Any, ...] = (board(arena, arena.tall), board(arena, arena.low))
        for things in (arena.hiders + arena.seekers, arena.boxes, arena.ramps):
            parts += (table(things)[:, :2], table(things)[:, 2], present(things))
        return (*parts, np.bool_(arena.has_locks), np.bool_(arena.has_preparation))

    return HideAndSeekLevel(*(np.stack(parts) for parts in zip(*map(leaves, arenas), strict=True)))


# -- the oracle -------------------------------------------------------------------------------------------------------


def oracle_match(
    world: World, arenas: list[Arena], orders: np.ndarray, actions: np.ndarray
) -> tuple[Match, collections.Counter[str]]:
    """Play with the oracle; also return how often what happened."""
    episodes, events = [], collections.Counter[str]()
    for arena, order, action in zip(arenas, orders.tolist(), actions.tolist(), strict=True):
        game = Game(world.options, arena)
        seen, rewards = [_seen(game)], []
        for turns, numbers in zip(order, action, strict=True):
            rewards.append(game.step(turns, [(number // 4, number // 2 % 2, number % 2) for number in numbers]))
            seen.append(_seen(game))
        episodes.append((seen, rewards, game.statistics()))
        events += game.events
    column = lambda name: np.array([[state[name] for state in seen] for seen, _, _ in episodes])  # noqa: E731
    num_objects = world.room[2] + world.room[3]
    shapes = {"sees_objects": (world.num_agents, num_objects), "object_positions": (num_objects, 2)}
    values = {name: column(name) for name in (*STATE_FIELDS, "sees_agents", "sees_objects")}
    values |= {name: values[name].reshape(*values["time"].shape, *shape) for name, shape in shapes.items()}
    match = Match(
        states={name: values[name] for name in STATE_FIELDS},
        sees_agents=values["sees_agents"],
        sees_objects=values["sees_objects"],
        rewards=np.array([rewards for _, rewards, _ in episodes], np.float32),
        statistics={name: np.array([ends[name] for *_, ends in episodes]) for name in episodes[0][2]},
    )
    return match, events


def _seen(game: Game) -> dict[str, Any]:
    """What is compared of a state; lists that the game changes are copied."""
    names = (*STATE_FIELDS, "sees_agents", "sees_objects")
    return {name: list(value) if isinstance(value := getattr(game, name), list) else value for name in names}


def assert_same(found: Match, expected: Match) -> None:
    """Compare everything; of states, name the first step at which any episode differs."""
    seen = {"sees_agents": (found.sees_agents, expected.sees_agents)}
    seen["sees_objects"] = (found.sees_objects, expected.sees_objects)
    seen |= {name: (found.states[name], expected.states[name]) for name in STATE_FIELDS}
    assert all(ours.shape == theirs.shape for ours, theirs in seen.values())
    differs = {name: _where_first(ours, theirs) for name, (ours, theirs) in seen.items()}
    first = min((place, name) for name, place in differs.items())
    assert first[0][0] == NEVER, f"{first[1]} differs first, after step {first[0][0]} of episode {first[0][1]}"
    np.testing.assert_allclose(found.rewards, expected.rewards, rtol=1e-6)
    assert found.statistics.keys() == expected.statistics.keys()
    for name, values in found.statistics.items():
        np.testing.assert_allclose(values, expected.statistics[name], rtol=1e-6, err_msg=name)


NEVER = 10**9


def _where_first(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int]:
    """The first step and the episode at which ``[E, T + 1, ...]`` differ."""
    episodes, steps = np.nonzero((ours != theirs).reshape(*ours.shape[:2], -1).any(axis=-1))
    return min(zip(steps.tolist(), episodes.tolist(), strict=True), default=(NEVER, 0))


# -- arenas and actions at random -------------------------------------------------------------------------------------


def random_arena(rng: np.random.Generator, world: World) -> Arena:
    """A valid level on which things are close to each other, ramps often lead onto boxes, and some things are absent."""
    cells = [divmod(int(i), world.width) for i in rng.permutation(world.height * world.width)]
    free = set(cells)
    boxes = [_random_box(rng, cells, free) if rng.random() < 0.85 else None for _ in range(world.room[2])]

    def placed(is_present: bool, wanted: list[Placed]) -> Placed | None:
        """One of those wanted if there is room, else anywhere and anyhow."""
        if not is_present:
            return None
        anywhere = next((*cell, int(rng.integers(4))) for cell in cells if cell in free)
        thing = next((thing for thing in wanted if thing[:2] in free and rng.random() < 0.8), anywhere)
        free.remove(thing[:2])
        return thing

    def leading_to(places: set[Cell]) -> list[Placed]:
        """From where which direction leads to these cells."""
        ways = [(row - STEPS[d][0], col - STEPS[d][1], d) for row, col in sorted(places) for d in range(4)]
        return [ways[i] for i in rng.permutation(len(ways))]

    ramps = tuple(placed(rng.random() < 0.85, leading_to(set(cells) - free)) for _ in range(world.room[3]))
    feet = [(row - STEPS[d][0], col - STEPS[d][1], d) for row, col, d in filter(None, ramps)]

    def team(size: int) -> tuple[Placed | None, ...]:
        is_present = rng.random(size) < 0.85
        is_present[rng.integers(size)] = True
        return tuple(placed(bool(here), feet) for here in is_present)

    hiders, seekers = team(world.room[0]), team(world.room[1])
    walls = rng.choice([0.1, 0.3, 0.5])  # with many of them, hiders are shut in at times
    kinds = {cell: rng.choice(3, p=[1 - walls, walls / 2, walls / 2]) for cell in sorted(free)}
    tall, low = (frozenset(cell for cell, drawn in kinds.items() if drawn == kind) for kind in (1, 2))
    has_locks, has_preparation = bool(rng.random() < 0.9), bool(rng.random() < 0.5)
    return Arena(world.height, world.width, hiders, seekers, tuple(boxes), ramps, tall, low, has_locks, has_preparation)


def _random_box(rng: np.random.Generator, cells: list[Cell], free: set[Cell]) -> Placed | None:
    shape = int(rng.integers(3))
    for row, col in cells:
        taken = {(row + down, col + right) for down, right in FOOTPRINTS[shape]}
        if taken <= free:
            free -= taken
            return row, col, shape
    return None


def random_actions(rng: np.random.Generator, arenas: list[Arena], num_steps: int) -> np.ndarray:
    """Joint numbers of actions, ``i64[E, T, N]``: agents keep on moving and holding for some steps, and lock at times.

    Half of them begin by walking ahead, onto a ramp if one is there.
    """
    ahead = np.array([[placed[2] if placed else 0 for placed in arena.hiders + arena.seekers] for arena in arenas])
    shape = (len(arenas), num_steps, ahead.shape[1])
    drawn = rng.choice(5, shape, p=[0.08, 0.23, 0.23, 0.23, 0.23])
    drawn[:, 0] = np.where(rng.random(ahead.shape) < 0.5, ahead + 1, drawn[:, 0])
    moves = _kept(rng, drawn, 0.4)
    grabs = _kept(rng, rng.random(shape) < 0.5, 0.7)
    return moves * 4 + grabs * 2 + (rng.random(shape) < 0.08)


def _kept(rng: np.random.Generator, drawn: np.ndarray, chance: float) -> np.ndarray:
    """The draws, each kept on at the next step with this chance."""
    values = drawn.copy()
    keeps = rng.random(drawn.shape) < chance
    for step in range(1, drawn.shape[1]):
        values[:, step] = np.where(keeps[:, step], values[:, step - 1], values[:, step])
    return values


# -- a quarter turn ---------------------------------------------------------------------------------------------------


def turned(arena: Arena) -> Arena:
    """The arena after a quarter turn with the clock: (row, col) goes to (col, H - 1 - row), east to south."""

    def cell(row: int, col: int) -> Cell:
        return col, arena.height - 1 - row

    def things(placed: tuple[Placed | None, ...], codes: dict[int, int]) -> tuple[Placed | None, ...]:
        return tuple(thing and (*cell(*thing[:2]), codes[thing[2]]) for thing in placed)

    directions = {direction: (direction + 1) % 4 for direction in range(4)}
    return dataclasses.replace(
        arena,
        height=arena.width,
        width=arena.height,
        hiders=things(arena.hiders, directions),
        seekers=things(arena.seekers, directions),
        boxes=things(arena.boxes, {0: 0, 1: 2, 2: 1}),
        ramps=things(arena.ramps, directions),
        tall=frozenset(cell(*place) for place in arena.tall),
        low=frozenset(cell(*place) for place in arena.low),
    )
