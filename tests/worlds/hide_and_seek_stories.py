"""Stories of hide and seek to tell by hand: an arena of 7x7 cells and what agents do in it, played by world and oracle.

Agents are H1 H2 S1 S2, objects the boxes B1 B2 and the ramp. Cells are (row, col), rows go south.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from hide_and_seek_matches import World, assert_same, keys_for, oracle_match, orders_of, world_match
from hide_and_seek_oracle import Arena, Options

H1, H2, S1, S2 = range(4)
B1, B2, RAMP = range(3)
NOTHING = NOBODY = -1
HIDERS, SEEKERS = 0, 1
SINGLE, WIDE, TALL = range(3)
EAST, SOUTH, WEST, NORTH = range(4)  # directions; a move is one more, as 0 stays
STEPS, PREPARATION = 20, 5  # of the worlds below: int(0.25 · 20) = 5

GAME = World(7, 7, (2, 2, 2, 1), Options(STEPS, preparation=0.25))
STRICT = World(7, 7, (2, 2, 2, 1), Options(STEPS, preparation=0.25, reward="selfish", surf=False, ramps_lockable=False))
MARGIN = World(
    7, 7, (2, 2, 2, 1), Options(STEPS, preparation=0.25, reward="joint_mean", margin=1, penalize_objects=True)
)
Action = tuple[int, int, int]  # move, grab, lock
HOLD, LOCK = (0, 1, 0), (0, 0, 1)


def go(direction: int) -> Action:
    return direction + 1, 0, 0


def drag(direction: int) -> Action:
    return direction + 1, 1, 0


def level(hiders, seekers=((6, 6, SOUTH),), boxes=(), ramps=(), tall=(), low=(), **flags) -> Arena:
    """An arena of 7x7 cells, by default without preparation and with a seeker that looks out of the last corner."""
    pad = lambda things, room: (*things, *[None] * (room - len(things)))  # noqa: E731
    flags = {"has_preparation": False} | flags
    parts = (pad(hiders, 2), pad(seekers, 2), pad(boxes, 2), pad(ramps, 1))
    return Arena(7, 7, *parts, frozenset(tall), frozenset(low), **flags)


# A box that H1 comes on top of over the ramp, in two steps
SURFING = level([(3, 0, EAST)], boxes=[(3, 2, SINGLE)], ramps=[(3, 1, EAST)])
UP = [{H1: go(EAST)}, {H1: go(EAST)}]


@dataclasses.dataclass(frozen=True)
class Story:
    """A match of one episode; index 0 is the reset."""

    states: dict[str, list]
    sees_agents: list
    sees_objects: list
    rewards: list
    statistics: dict[str, float]

    def cells(self, agent: int, steps: int) -> list[tuple[int, int]]:
        return [tuple(cells[agent]) for cells in self.states["positions"][1 : steps + 1]]

    def places(self, number: int, steps: int) -> list[tuple[int, int]]:
        return [tuple(places[number]) for places in self.states["object_positions"][1 : steps + 1]]

    def all(self, field: str, number: int, steps: int) -> list:
        return [values[number] for values in self.states[field][1 : steps + 1]]


def play(arena: Arena, script: list[dict[int, Action]], world: World = GAME, orders=None) -> Story:
    """Play the actions of each step, by agent; who is not named stays. Orders of turns are given where they matter."""
    actions = np.zeros((1, STEPS, 4), np.int64)
    for step, acts in enumerate(script):
        for agent, (move, grab, lock) in acts.items():
            actions[0, step, agent] = move * 4 + grab * 2 + lock
    pool, by_order = _keys_by_order()
    chosen = [by_order[tuple(order)] for order in orders or []]
    keys = pool[jnp.array([chosen + [0] * (STEPS - len(chosen))])]
    match = world_match(world, [arena], keys, actions)
    assert_same(match, oracle_match(world, [arena], orders_of(keys, 4), actions)[0])
    first = {name: values[0].tolist() for name, values in match.states.items()}
    seen = (match.sees_agents[0].tolist(), match.sees_objects[0].tolist())
    statistics = {name: float(values[0]) for name, values in match.statistics.items()}
    return Story(first, *seen, match.rewards[0].tolist(), statistics)


@functools.cache
def _keys_by_order() -> tuple[jax.Array, dict[tuple[int, ...], int]]:
    """Keys, and the number of one that gives each order of four agents."""
    keys = keys_for(1, 400, seed=1)
    orders = orders_of(keys, 4)[0].tolist()
    return keys[0], {tuple(order): number for number, order in enumerate(orders)}
