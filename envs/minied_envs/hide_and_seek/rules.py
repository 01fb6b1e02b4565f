"""What does an agent of hide and seek do in its turn? Grab, lock, move: on the ground, over the top, with a box or on one.

Agents take their turns one after the other in a random order, so that no two ever claim one cell. Letters: ``N`` agents,
``O`` objects.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import struct

from minied_envs.grid import bitboard, moves
from minied_envs.hide_and_seek.level import HideAndSeekLevel, half_extents

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek

NOTHING = -1  # held by an agent, or the team that an object is locked by
STAY = 0  # the first of five moves; the others go east, south, west, north


class HideAndSeekState(struct.PyTreeNode):
    """What changes during an episode."""

    positions: jax.Array  # i32[N, 2] (row, col)
    directions: jax.Array  # i32[N]
    elevated: jax.Array  # bool[N], stands on a box, a ramp or a low wall
    holding: jax.Array  # i32[N], an object's number or `NOTHING`
    object_positions: jax.Array  # i32[O, 2] (row, col) of the centres
    locked_by: jax.Array  # i32[O], a team or `NOTHING`
    time: jax.Array  # i32[], steps taken
    record: Any = ()  # what the detectors remember, `minied_envs.hide_and_seek.detectors.Record`


class Turn(struct.PyTreeNode):
    """Who acts, and what it sees of the board."""

    own: jax.Array  # bool[N], one of them
    position: jax.Array  # i32[2]
    direction: jax.Array  # i32[], before its move
    elevated: jax.Array  # bool[]
    team: jax.Array  # i32[]


def initial_state(level: HideAndSeekLevel) -> HideAndSeekState:
    """Return the state at the start of an episode, without a record."""
    return HideAndSeekState(
        positions=level.agent_positions,
        directions=level.agent_directions,
        elevated=jnp.zeros_like(level.agent_present),
        holding=jnp.full_like(level.agent_directions, NOTHING),
        object_positions=level.object_positions,
        locked_by=jnp.full(level.object_present.shape, NOTHING, jnp.int32),
        time=jnp.int32(0),
    )


def turn_order(key: jax.Array, num_agents: int) -> jax.Array:
    """Return the agents in the order of their turns, ``i32[N]``, all orders equally likely. Consumes ``key``."""
    bits = jax.random.bits(key, (num_agents,), jnp.uint32)
    index = jnp.arange(num_agents, dtype=jnp.int32)
    # Ranks by counting: for so few, sooner than a sort.
    is_before = (bits[None, :] < bits[:, None]) | ((bits[None, :] == bits[:, None]) & (index[None, :] < index[:, None]))
    ranks = jnp.sum(is_before, axis=1, dtype=jnp.int32)
    return jnp.sum(jnp.where(ranks[None, :] == index[:, None], index[None, :], 0), axis=1)


def play_turns(
    world: "HideAndSeek",
    level: HideAndSeekLevel,
    state: HideAndSeekState,
    order: jax.Array,
    actions: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[HideAndSeekState, jax.Array]:
    """Let every agent have its turn.

    Args:
        world: its options.
        level: of the episode.
        state: before; its time is left as it is.
        order: of the turns, ``i32[N]``.
        actions: moves ``i32[N]`` (0 stays, 1 to 4 go east, south, west, north), grabs and locks ``bool[N]``; those of
            absent agents are ``STAY``, false and false.

    Returns:
        The state after, and who surfed, ``bool[N]``: moved together with the box that it stands on.
    """

    def take_turn(carry: tuple[HideAndSeekState, jax.Array], agent: jax.Array):
        state, surfed = carry
        own = jnp.arange(world.num_agents, dtype=jnp.int32) == agent
        move, grab, lock = (_only(own, part) for part in actions)
        turn = _turn(world, state, own)
        state = _grab(world, level, state, turn, grab)
        state = _lock(world, level, state, turn, lock)
        state, has_surfed = _move(world, level, state, turn, move)
        return (state, surfed | (own & has_surfed)), None

    # Not unrolled: XLA would compute what a turn reads of the turns before anew for each reader (seventy times as slow).
    return jax.lax.scan(take_turn, (state, jnp.zeros_like(state.elevated)), order)[0]


def _turn(world: "HideAndSeek", state: HideAndSeekState, own: jax.Array) -> Turn:
    return Turn(
        own=own,
        position=jnp.sum(jnp.where(own[:, None], state.positions, 0), axis=0),
        direction=_only(own, state.directions),
        elevated=_only(own, state.elevated),
        team=_only(own, jnp.asarray(world.teams, jnp.int32)),
    )


def _only(own: jax.Array, values: jax.Array) -> jax.Array:
    """Return the value of the one agent, ``[]``, of ``values`` ``[N]``: a sum, which is sooner than a gather."""
    if values.dtype == bool:
        return jnp.any(own & values)
    return jnp.sum(jnp.where(own, values, 0))


def _grab(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, turn: Turn, grab: jax.Array
) -> HideAndSeekState:
    """Take hold of what is ahead, on the ground, or of the box below; or let go."""
    numbers = _numbers(state)
    is_box = numbers < level.num_boxes
    touched = _touched(level, state, turn) & (state.locked_by == NOTHING)
    touched = touched & (~turn.elevated | (is_box & world.surf))
    found = jnp.max(jnp.where(touched, numbers, NOTHING), initial=NOTHING)
    held = _only(turn.own, state.holding)
    held = jnp.where(grab, jnp.where(held == NOTHING, found, held), NOTHING)
    return state.replace(holding=jnp.where(turn.own, held, state.holding))


def _lock(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, turn: Turn, lock: jax.Array
) -> HideAndSeekState:
    """Lock what is held, else what is ahead or below, or unlock what the own team locked. Who holds it lets go."""
    held = _only(turn.own, state.holding)
    numbers = _numbers(state)
    is_target = jnp.where(held == NOTHING, _touched(level, state, turn), numbers == held)
    is_target = is_target & lock & level.has_locks & (world.ramps_lockable | (numbers < level.num_boxes))
    closes = is_target & (state.locked_by == NOTHING)
    opens = is_target & (state.locked_by == turn.team)
    locked_by = jnp.where(closes, turn.team, jnp.where(opens, NOTHING, state.locked_by))
    closed = jnp.max(jnp.where(closes, numbers, NOTHING), initial=NOTHING)  # at most one
    return state.replace(locked_by=locked_by, holding=jnp.where(state.holding == closed, NOTHING, state.holding))


def _move(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, turn: Turn, move: jax.Array
) -> tuple[HideAndSeekState, jax.Array]:
    """Turn towards ``move`` and go there, if that can be, with what is held. Also return whether the agent surfed."""
    direction = jnp.where(move == STAY, turn.direction, move - 1)
    target = moves.ahead(turn.position, direction)
    numbers = _numbers(state)
    held = _only(turn.own, state.holding)
    is_holding, mine = held != NOTHING, numbers == held
    others = level.agent_present & ~turn.own
    covered = _covered(level, state, target)
    is_ramp_up = covered[level.num_boxes :] & (level.ramp_directions == direction)
    blocked = _is_on(world, level.tall, target) | jnp.any(others & _same(state.positions, target))
    low = _is_on(world, level.low, target)

    has_height = low | jnp.any(covered)
    walks = ~blocked & (turn.elevated | ~has_height | jnp.any(is_ramp_up))
    fits = ~blocked & ~low & ~jnp.any(covered & ~mine)
    drags = (turn.elevated | fits) & _can_be_dragged(world, level, state, held, others, direction)
    goes = (move != STAY) & jnp.where(is_holding, drags, walks)
    step = target - turn.position
    return state.replace(
        positions=jnp.where((turn.own & goes)[:, None], target[None, :], state.positions),
        directions=jnp.where(turn.own, direction, state.directions),
        elevated=jnp.where(turn.own & goes & ~is_holding, has_height, state.elevated),
        object_positions=state.object_positions + jnp.where((mine & goes)[:, None], step[None, :], 0),
        # Out of the hands of everybody else: or else to hold were as good as to lock.
        holding=jnp.where(is_holding & goes & ~turn.own & (state.holding == held), NOTHING, state.holding),
    ), goes & is_holding & turn.elevated


def _can_be_dragged(
    world: "HideAndSeek",
    level: HideAndSeekLevel,
    state: HideAndSeekState,
    held: jax.Array,
    others: jax.Array,
    direction: jax.Array,
) -> jax.Array:
    """Return whether the held object can go one cell in ``direction``, ``bool[]``.

    Args:
        world: its options.
        level: of the episode.
        state: before.
        held: the object's number, ``i32[]``.
        others: all agents that are present but the one that holds it, ``bool[N]``.
        direction: ``i32[]``.
    """
    mine = _numbers(state) == held
    reach = half_extents(level.object_shapes)
    own_reach = jnp.sum(jnp.where(mine[:, None], reach, 0), axis=0)
    before = jnp.sum(jnp.where(mine[:, None], state.object_positions, 0), axis=0)
    after = moves.ahead(before, direction)

    wall = level.tall | level.low
    ends = (after - own_reach, after, after + own_reach)
    in_wall = _is_on(world, wall, ends[0]) | _is_on(world, wall, ends[1]) | _is_on(world, wall, ends[2])
    in_object = level.object_present & ~mine & _within(state.object_positions, after, reach + own_reach[None, :])
    near = _within(state.positions, before, own_reach[None, :]) | _within(state.positions, after, own_reach[None, :])
    in_agent = others & near
    return ~(in_wall | jnp.any(in_object) | jnp.any(in_agent))


def _touched(level: HideAndSeekLevel, state: HideAndSeekState, turn: Turn) -> jax.Array:
    """Return the object that the agent can lay hands on, ``bool[O]``: ahead, or below if it is elevated."""
    ahead = moves.ahead(turn.position, turn.direction)
    return _covered(level, state, jnp.where(turn.elevated, turn.position, ahead))


def _covered(level: HideAndSeekLevel, state: HideAndSeekState, cell: jax.Array) -> jax.Array:
    """Return which object takes ``cell``, ``bool[O]``, at most one."""
    return level.object_present & _within(state.object_positions, cell, half_extents(level.object_shapes))


def _is_on(world: "HideAndSeek", board: jax.Array, cell: jax.Array) -> jax.Array:
    """Return whether ``cell`` is set, ``bool[]``; what is outside of the grid counts as set."""
    return bitboard.get(board, world.width, cell[0], cell[1], outside=True)


def _same(positions: jax.Array, cell: jax.Array) -> jax.Array:
    """Return whether positions ``i32[n, 2]`` are one cell ``i32[2]``, ``bool[n]``."""
    return (positions[:, 0] == cell[0]) & (positions[:, 1] == cell[1])


def _within(positions: jax.Array, cell: jax.Array, reach: jax.Array) -> jax.Array:
    """Return whether ``cell`` ``i32[2]`` is as near as ``reach`` ``i32[n or 1, 2]`` to ``positions`` ``i32[n, 2]``."""
    near_row = jnp.abs(positions[:, 0] - cell[0]) <= reach[:, 0]
    return near_row & (jnp.abs(positions[:, 1] - cell[1]) <= reach[:, 1])


def _numbers(state: HideAndSeekState) -> jax.Array:
    return jnp.arange(state.locked_by.shape[0], dtype=jnp.int32)
