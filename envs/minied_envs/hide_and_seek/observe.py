"""What does an agent of hide and seek get to know?

``entities``: lists of agents, boxes and ramps, each seen from the agent, with who is visible and who is there at all
(Baker et al. 2020); a policy reads the visible ones, a critic of its own all that are there. ``egocentric``: a picture
around the agent with nothing in the cells that it does not see; its critic reads the whole picture. In both, what the
agent knows of itself, and lidar. Letters: ``H W`` grid, ``N`` agents, ``X`` boxes, ``R`` ramps.
"""

from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from minied.spaces import Box, Dict, Entities, Mask, Ring, Space
from minied_envs.hide_and_seek import lidar, picture, sight
from minied_envs.hide_and_seek.level import NUM_SHAPES, HideAndSeekLevel
from minied_envs.hide_and_seek.rules import NOTHING, HideAndSeekState

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek

Kind = Literal["entities", "egocentric"]

SELF_FEATURES = 11
AGENT_FEATURES, BOX_FEATURES, RAMP_FEATURES = 9, 9, 10


def observation_space(world: "HideAndSeek") -> Dict:
    """Return the space of one agent's observation."""
    parts: list[tuple[str, Space]] = [
        ("self", Box(-1.0, 1.0, (SELF_FEATURES,))),
        ("allowed", Mask(world.action_space.n)),
    ]
    if world.lidar:
        parts.append(("lidar", Ring(world.lidar)))
    if world.observation == "egocentric":
        view = picture.space(world.view_size)
        return Dict((*parts, ("view", view), ("whole_view", view)), privileged=("whole_view",))
    kinds = (
        ("agents", world.num_agents - 1, AGENT_FEATURES),
        ("boxes", world.max_boxes, BOX_FEATURES),
        ("ramps", world.max_ramps, RAMP_FEATURES),
    )
    return Dict((*parts, *((name, Entities(number, features)) for name, number, features in kinds if number)))


def observe(
    world: "HideAndSeek",
    level: HideAndSeekLevel,
    state: HideAndSeekState,
    sees_agents: jax.Array,
    sees_objects: jax.Array,
) -> dict[str, Any]:
    """Return what each agent gets to know, leaves ``[N, ...]``; of absent ones it means nothing.

    Args:
        world: its options.
        level: of the episode.
        state: now.
        sees_agents: ``bool[N, N]``.
        sees_objects: ``bool[N, O]``.
    """
    observation: dict[str, Any] = {"self": _self(world, level, state), "allowed": _allowed(world, level, state)}
    if world.lidar:
        observation["lidar"] = _lidar(world, level, state)[..., None]
    if world.observation == "egocentric":
        view, whole_view = picture.pictures(world, level, state, sees_agents)
        return observation | {"view": view, "whole_view": whole_view}
    observation["agents"] = _agents(world, level, state, sees_agents)
    of_boxes, of_ramps = jnp.split(sees_objects, [world.max_boxes], axis=1)
    if world.max_boxes:
        observation["boxes"] = _boxes(world, level, state, of_boxes)
    if world.max_ramps:
        observation["ramps"] = _ramps(world, level, state, of_ramps)
    return observation


def _self(world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState) -> jax.Array:
    """Return place, direction (one-hot), elevation, hold, team, how far preparation and episode are, ``f32[N, 11]``."""
    scale = jnp.array([2.0 / (world.height - 1), 2.0 / (world.width - 1)])
    place = state.positions.astype(jnp.float32) * scale[None, :] - 1.0
    preparation = world.preparation_steps(level).astype(jnp.float32)
    time = state.time.astype(jnp.float32)
    over = jnp.where(preparation > 0, jnp.minimum(1.0, time / jnp.maximum(preparation, 1.0)), 1.0)
    flags = [
        state.elevated.astype(jnp.float32),
        (state.holding != NOTHING).astype(jnp.float32),
        jnp.where(world.is_hider, -1.0, 1.0),
        jnp.broadcast_to(over, state.holding.shape),
        jnp.broadcast_to(time / world.max_steps, state.holding.shape),
    ]
    return jnp.concatenate([place, _one_hot(state.directions), jnp.stack(flags, axis=-1)], axis=-1)


def _allowed(world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState) -> jax.Array:
    """Return which actions an agent has, ``bool[N, 20]``: all, but who waits can only wait.

    What a waiting seeker chose would change nothing, and it would learn from it all the same.
    """
    waits = ~jnp.asarray(world.is_hider) & (state.time < world.preparation_steps(level))
    is_nothing = np.arange(world.action_space.n) == 0
    return ~waits[:, None] | jnp.asarray(is_nothing)[None, :]


def _lidar(world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState) -> jax.Array:
    numbers = state.positions[:, 0] * world.width + state.positions[:, 1]
    raised = sight.raised(level, state, world.height, world.width)
    size = (world.height, world.width, world.lidar, world.lidar_reach)
    return lidar.distances(numbers, state.elevated, sight.flat(level.tall, world.width), raised, size)


def _agents(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, sees: jax.Array
) -> dict[str, jax.Array]:
    """Return the other agents: offset, direction, elevation, hold, whether of the own team, ``f32[N, N − 1, 9]``."""
    number = world.num_agents
    others = (np.arange(number)[:, None] + 1 + np.arange(number - 1)[None, :]) % number
    offsets = _offsets(world, state, state.positions)
    own_team = world.is_hider[:, None] == world.is_hider[None, :]
    of_each = [_one_hot(state.directions), state.elevated[:, None], (state.holding != NOTHING)[:, None]]
    each = jnp.concatenate([part.astype(jnp.float32) for part in of_each], axis=-1)
    features = jnp.concatenate(
        [offsets, jnp.broadcast_to(each[None], (number, *each.shape)), jnp.asarray(own_team, jnp.float32)[..., None]],
        axis=-1,
    )
    row = np.arange(number)[:, None]
    return {
        "features": features[row, others],
        "visible": sees[row, others],
        "present": jnp.broadcast_to(level.agent_present[None, :], (number, number))[row, others],
    }


def _boxes(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, sees: jax.Array
) -> dict[str, jax.Array]:
    """Return the boxes: offset, shape (one-hot), locks of either team, held by itself, held by anybody, ``[N, X]``."""
    own, other, mine, held = _bonds(world, state, slice(0, world.max_boxes))
    shapes = jax.nn.one_hot(level.box_shapes, NUM_SHAPES, dtype=jnp.float32)
    parts = [
        _offsets(world, state, state.object_positions[: world.max_boxes]),
        jnp.broadcast_to(shapes[None], (world.num_agents, *shapes.shape)),
        *(bond[..., None] for bond in (own, other, mine, held)),
    ]
    return _seen(jnp.concatenate(parts, axis=-1), sees, level.box_present)


def _ramps(
    world: "HideAndSeek", level: HideAndSeekLevel, state: HideAndSeekState, sees: jax.Array
) -> dict[str, jax.Array]:
    """Return the ramps: offset, direction (one-hot), bonds as those of boxes, ``f32[N, R, 10]``."""
    bonds = _bonds(world, state, slice(world.max_boxes, None))
    directions = _one_hot(level.ramp_directions)
    parts = [
        _offsets(world, state, state.object_positions[world.max_boxes :]),
        jnp.broadcast_to(directions[None], (world.num_agents, *directions.shape)),
        *(bond[..., None] for bond in bonds),
    ]
    return _seen(jnp.concatenate(parts, axis=-1), sees, level.ramp_present)


def _bonds(world: "HideAndSeek", state: HideAndSeekState, which: slice) -> tuple[jax.Array, ...]:
    """Return whether objects are locked by the own team, by the other, held by the agent, by anybody, ``f32[N, n]`` each."""
    locked_by = state.locked_by[which][None, :]
    teams = jnp.asarray(world.teams, jnp.int32)[:, None]
    numbers = jnp.arange(state.locked_by.shape[0], dtype=jnp.int32)[which]
    mine = state.holding[:, None] == numbers[None, :]
    held = jnp.broadcast_to(jnp.any(mine, axis=0)[None, :], mine.shape)
    own = locked_by == teams
    other = (locked_by != NOTHING) & ~own
    return tuple(bond.astype(jnp.float32) for bond in (own, other, mine, held))


def _seen(features: jax.Array, sees: jax.Array, present: jax.Array) -> dict[str, jax.Array]:
    return {"features": features, "visible": sees, "present": jnp.broadcast_to(present[None, :], sees.shape)}


def _offsets(world: "HideAndSeek", state: HideAndSeekState, targets: jax.Array) -> jax.Array:
    """Return where ``targets`` ``i32[n, 2]`` are from each agent, in parts of the grid's larger side, ``f32[N, n, 2]``."""
    offsets = targets[None, :, :] - state.positions[:, None, :]
    return offsets.astype(jnp.float32) / max(world.height, world.width)


def _one_hot(directions: jax.Array) -> jax.Array:
    return jax.nn.one_hot(directions, 4, dtype=jnp.float32)
