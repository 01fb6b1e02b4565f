"""Who can come to whom, if boxes and ramps are out of the way? Flood fill between the teams.

A level in which nobody of the other team can ever be met asks nothing of anybody. Letters: ``H W`` grid, ``N`` agents
(hiders first).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied_envs.grid import bitboard, search
from minied_envs.hide_and_seek.level import HideAndSeekLevel, board_of


def reachable(level: HideAndSeekLevel, width: int, num_hiders: int) -> jax.Array:
    """Return whether every agent that is present can meet one of the other team, ``bool[]``.

    Boxes and ramps are not in the way: they can be moved. Nor are low walls in a level with a ramp, over which one can
    climb; whether the ramp can be brought there is not asked. The first ``num_hiders`` places are of hiders.
    """
    return jnp.all(_can_meet(level, width, num_hiders) | ~level.agent_present)


@functools.partial(jax.jit, static_argnames=("width", "num_hiders"))  # a check, too, may ask once and again
def _can_meet(level: HideAndSeekLevel, width: int, num_hiders: int) -> jax.Array:
    """Return which agents can meet one of the other team, ``bool[N]``; of absent ones it says nothing."""
    height = level.tall.shape[0]
    is_hider = jnp.arange(level.agent_present.shape[0]) < num_hiders
    teams = jnp.stack([level.agent_present & is_hider, level.agent_present & ~is_hider])
    cells = jax.vmap(lambda team: board_of(height, width, level.agent_positions, team))(teams)
    walls = jnp.where(jnp.any(level.ramp_present), level.tall, level.tall | level.low)
    area = search.flood(bitboard.complement(walls, width)[None], cells, width)  # [2, H, 1], of each team
    others = jnp.where(is_hider[:, None, None], area[1], area[0])
    row, col = level.agent_positions[:, 0], level.agent_positions[:, 1]
    return jax.vmap(lambda board, r, c: bitboard.get(board, width, r, c, outside=False))(others, row, col)


def check_reachable(level: HideAndSeekLevel, width: int, num_hiders: int) -> None:
    """Raise `UserError` that names an agent that can never meet the other team, on the host."""
    can_meet = np.asarray(_can_meet(jax.tree.map(jnp.asarray, level), width, num_hiders))
    for i in np.flatnonzero(np.asarray(level.agent_present) & ~can_meet):
        name, other = (f"hider {i + 1}", "seeker") if i < num_hiders else (f"seeker {i + 1 - num_hiders}", "hider")
        row, col = np.asarray(level.agent_positions)[i].tolist()
        raise UserError(f"{name} in cell ({row}, {col}) is walled in; allowed: a way to a {other} that no wall blocks")
