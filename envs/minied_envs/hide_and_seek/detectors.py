"""Which strategy was played? Numbers of an episode that tell the phases of hide and seek apart, counted in every one.

The returns of two teams that improve together say nothing. Baker et al. 2020 ("Emergent tool use from multi-agent
autocurricula", arXiv 1909.07528) tell phases by how far boxes and ramps were moved and how many were locked, in preparation
and at the end. Beside these are sharper ones of our own: whether the hiders were enclosed, whether and how seekers came
in all the same. The end of preparation is that of the world, in levels without it too: there one also wants to know whether
a fort was built by then. Letters: ``H W`` grid, ``N`` agents, ``X`` boxes, ``R`` ramps, ``O = X + R`` objects.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Milestone
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek.level import HIDERS, HideAndSeekLevel, board_of, object_board
from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek

NAMES = (
    "box_move_preparation", "box_move", "boxes_locked_preparation", "boxes_locked", "boxes_free_preparation",
    "ramp_move_preparation", "ramp_move", "ramps_locked_preparation", "ramps_locked",
    "enclosed", "breach", "fort_held", "via_ramp", "surf_steps", "elevated_steps", "ramp_denied", "hidden",
)  # fmt: skip

MOST_UNROLLED = 4  # sweeps; a step that is all sweeps would take long to compile

_PHASES = (
    Milestone("fort", "enclosed", 0.5, description="In most episodes the hiders are enclosed when preparation ends."),
    Milestone(
        "fort_held", "fort_held", 0.5,
        description="In most episodes the hiders are enclosed, and no seeker comes in or sees one later.",
    ),
    Milestone(
        "ramp_use", "via_ramp", 0.1,
        description="In one episode in ten seekers come into a fort, or see into it, over a ramp.",
    ),
    Milestone("ramp_defence", "ramp_denied", 0.5, description="Most ramps are locked or inside of the fort in time."),
    Milestone("surfing", "surf_steps", 1.0, description="Seekers ride a box for more than a step an episode."),
    Milestone(
        "surf_defence", "boxes_free_preparation", 0.5, below=True,
        description="Hardly a box is left unlocked when preparation ends.",
    ),
)  # fmt: skip
"""When a phase counts as emerged: thresholds of our own, as the published ones are read off curves."""


def phases_of(world: "HideAndSeek") -> tuple[Milestone, ...]:
    """Return the phases that can be seen in ``world``: none of ramps where levels have none, and so on."""
    has_boxes, has_ramps = world.max_boxes > 0, world.max_ramps > 0 and world.levels.ramps
    can_surf = world.surf and has_boxes and has_ramps
    possible = {
        "fort": has_boxes,
        "fort_held": has_boxes,
        "ramp_use": has_boxes and has_ramps,
        "ramp_defence": has_boxes and has_ramps,
        "surfing": can_surf,
        "surf_defence": can_surf and world.levels.locks,
    }
    return tuple(phase for phase in _PHASES if possible[phase.name])


class Record(struct.PyTreeNode):
    """What has to be remembered of an episode. Boards are ``u32[H, 1]``, bits of cells."""

    seen_steps: jax.Array  # i32[], of those that are rewarded, in which a seeker saw a hider
    was_seen: jax.Array  # bool[], a seeker saw a hider, after preparation
    elevated_steps: jax.Array  # i32[], of seekers, after preparation
    surf_steps: jax.Array  # i32[], likewise
    seen_from_above: jax.Array  # where a hider stood whom an elevated seeker saw, after preparation
    trodden: jax.Array  # where a seeker stood on the ground after preparation
    landed: jax.Array  # where one came down to the ground after preparation
    # The rest is of the end of preparation
    seekers: jax.Array  # their cells
    free: jax.Array  # the ground without walls and objects
    fort: jax.Array  # what can be reached from the hiders through `free`, as far as it has been filled
    on_ground: jax.Array  # bool[], no hider was elevated
    object_positions: jax.Array  # i32[O, 2]
    locked_by: jax.Array  # i32[O]


def start(world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState) -> Record:
    """Return the record at the start of an episode, which is the end of preparation in a world without."""
    nothing, none = jnp.zeros_like(level.tall), jnp.int32(0)
    record = Record(
        none, jnp.bool_(False), none, none, nothing, nothing, nothing,
        nothing, nothing, nothing, jnp.bool_(False), state.object_positions, state.locked_by,
    )  # fmt: skip
    return _at_end_of_preparation(world, level, state, record)


def after_step(
    world: "HideAndSeek",
    level: HideAndSeekLevel,
    before: HideAndSeekState,
    state: HideAndSeekState,
    sees: jax.Array,
    surfed: jax.Array,
) -> Record:
    """Return the record one step later.

    Args:
        world: its options.
        level: of the episode.
        before: the state before the step, with its record.
        state: the state after it.
        sees: which agents each agent sees after it, ``bool[N, N]``.
        surfed: which agents moved with the box below them, ``bool[N]``.
    """
    record: Record = before.record
    is_later = before.time >= world.end_of_preparation
    all_seekers = level.agent_present & ~world.is_hider
    seekers = all_seekers & is_later
    high = seekers & state.elevated
    sees_hiders = sees & world.is_hider[None, :]
    is_seen = jnp.any(all_seekers[:, None] & sees_hiders)

    def add(number: jax.Array, which: jax.Array) -> jax.Array:
        return number + jnp.sum(which, dtype=jnp.int32)

    def mark(board: jax.Array, which: jax.Array) -> jax.Array:
        """Return ``board`` with the cells of some agents, ``bool[N]``, added."""
        return board | board_of(world.height, world.width, state.positions, which)

    record = record.replace(
        seen_steps=add(record.seen_steps, is_seen & (before.time >= world.preparation_steps(level))),
        was_seen=record.was_seen | (is_seen & is_later),
        elevated_steps=add(record.elevated_steps, high),
        surf_steps=add(record.surf_steps, seekers & surfed),
        seen_from_above=mark(record.seen_from_above, jnp.any(high[:, None] & sees_hiders, axis=0)),
        trodden=mark(record.trodden, seekers & ~state.elevated),
        landed=mark(record.landed, seekers & before.elevated & ~state.elevated),
    )
    record = _at_end_of_preparation(world, level, state, record)
    return record.replace(fort=_fill(world, record))


def statistics(world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState) -> dict[str, jax.Array]:
    """Return the numbers of `NAMES`, each ``f32[]``, of the episode that ended with ``state``; before that they are not.

    Those of boxes are NaN where a level has none, likewise of ramps.
    """
    record: Record = state.record
    boxes, ramps = _kinds(level)
    moved_before, moved = (
        _displacement(level, positions) for positions in (record.object_positions, state.object_positions)
    )
    # Without preparation seekers may have locked something by then: that is no work of hiders.
    locked_before, locked = record.locked_by == HIDERS, state.locked_by != NOTHING
    has_fort = record.on_ground & ~_meet(record.fort, record.seekers)
    steps = world.max_steps - world.preparation_steps(level)

    def number(which: jax.Array, of: jax.Array) -> jax.Array:
        return _unless_none(of, jnp.sum(which & of).astype(jnp.float32))

    def furthest(distances: jax.Array, of: jax.Array) -> jax.Array:
        return _unless_none(of, jnp.max(jnp.where(of, distances, 0.0), initial=0.0))

    # Published words: a seeker shares the hiders' component. Who sees from the ground does, as a ray that nothing
    # blocks is a way; a door that stands open and that nobody uses does not count here.
    came_in = _meet(record.trodden, record.fort) | record.was_seen
    # A hider who has left the fort is seen from above as anybody is: that is no use of a ramp against a fort.
    over_ramp = _meet(record.landed | record.seen_from_above, record.fort)
    values = {
        "box_move_preparation": furthest(moved_before, boxes),
        "box_move": furthest(moved, boxes),
        "boxes_locked_preparation": number(locked_before, boxes),
        "boxes_locked": number(locked, boxes),
        "boxes_free_preparation": number(~locked_before, boxes),
        "ramp_move_preparation": furthest(moved_before, ramps),
        "ramp_move": furthest(moved, ramps),
        "ramps_locked_preparation": number(locked_before, ramps),
        "ramps_locked": number(locked, ramps),
        "enclosed": has_fort,
        "breach": has_fort & came_in,
        "fort_held": has_fort & ~came_in,
        "via_ramp": has_fort & over_ramp,
        "surf_steps": record.surf_steps,
        "elevated_steps": record.elevated_steps,
        "ramp_denied": _denied(world, level, record, has_fort),
        "hidden": 1.0 - record.seen_steps.astype(jnp.float32) / steps.astype(jnp.float32),
    }
    return {name: values[name].astype(jnp.float32) for name in NAMES}


def _at_end_of_preparation(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, record: Record
) -> Record:
    """Return ``record`` with what ``state`` looks like, if it is that of the end of preparation."""
    height, width = world.height, world.width
    objects = object_board(level, state.object_positions, width)
    hiders = level.agent_present & world.is_hider
    free = bitboard.complement(level.tall | level.low | objects, width)
    now = record.replace(
        seekers=board_of(height, width, state.positions, level.agent_present & ~world.is_hider),
        free=free,
        fort=board_of(height, width, state.positions, hiders) & free,
        on_ground=~jnp.any(hiders & state.elevated),
        object_positions=state.object_positions,
        locked_by=state.locked_by,
    )
    is_now = state.time == world.end_of_preparation
    return jax.tree.map(lambda new, old: jnp.where(is_now, new, old), now, record)


def _fill(world: "HideAndSeek", record: Record) -> jax.Array:
    """Return the fort filled a little further: a few cells a step, so that it is full when the episode ends.

    A whole fill at the end of preparation would be paid for in every step, as a batch of environments does everything
    that any of them does.
    """

    def sweep(_: int, fort: jax.Array) -> jax.Array:
        beside = bitboard.shift_east(fort, world.width) | bitboard.shift_west(fort)
        return (fort | beside | bitboard.shift_north(fort) | bitboard.shift_south(fort)) & record.free

    return jax.lax.fori_loop(0, world.fill_sweeps, sweep, record.fort, unroll=min(world.fill_sweeps, MOST_UNROLLED))


def _denied(world: "HideAndSeek", level: HideAndSeekLevel, record: Record, has_fort: jax.Array) -> jax.Array:
    """Return the share of ramps that were locked by hiders, or inside of the fort, at the end of preparation, ``f32[]``."""
    if level.ramp_present.shape[0] == 0:
        return jnp.float32(jnp.nan)
    positions = record.object_positions[level.num_boxes :]
    locked = record.locked_by[level.num_boxes :] == HIDERS

    def is_inside(position: jax.Array) -> jax.Array:
        at = board_of(world.height, world.width, position[None], jnp.ones(1, bool))
        beside = bitboard.shift_east(at, world.width) | bitboard.shift_west(at)
        beside = (beside | bitboard.shift_north(at) | bitboard.shift_south(at)) & record.free
        return has_fort & _meet(beside, record.fort) & ~_meet(beside, ~record.fort)

    denied = level.ramp_present & (locked | jax.vmap(is_inside)(positions))
    present = jnp.sum(level.ramp_present).astype(jnp.float32)
    return _unless_none(level.ramp_present, jnp.sum(denied).astype(jnp.float32) / jnp.maximum(present, 1.0))


def _kinds(level: HideAndSeekLevel) -> tuple[jax.Array, jax.Array]:
    """Return which objects are boxes that are present and which are ramps that are, ``bool[O]``."""
    is_box = jnp.arange(level.object_present.shape[0], dtype=jnp.int32) < level.num_boxes
    return level.object_present & is_box, level.object_present & ~is_box


def _displacement(level: HideAndSeekLevel, positions: jax.Array) -> jax.Array:
    """Return how far each object is from where it was at the start, ``f32[O]``, in cells."""
    offsets = (positions - level.object_positions).astype(jnp.float32)
    return jnp.sqrt(jnp.sum(jnp.square(offsets), axis=1))


def _meet(one: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.any(one & other != 0)


def _unless_none(which: jax.Array, value: jax.Array) -> jax.Array:
    return jnp.where(jnp.any(which), value, jnp.nan)
