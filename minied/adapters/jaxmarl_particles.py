"""Particle worlds of JaxMARL (MPE): starts that are moved, chosen by numbers, described and drawn.

Positions are (x, y) in [−1, 1], y upwards, as in the library. Letters: ``N`` agents, ``E`` agents and landmarks.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameters import Interval, Parameters

if TYPE_CHECKING:
    from minied.adapters.jaxmarl import JaxMARL

PICTURE = 256
"""Pixels a side."""
SIDE = 1.3
"""What is drawn reaches from −1.3 to 1.3."""
SMALLEST = 0.04
"""Radius of what is smaller."""
_BACKGROUND, _LANDMARK, _AGENTS = (236, 236, 232), (150, 150, 150), ((214, 72, 66), (38, 99, 190))


@dataclasses.dataclass(frozen=True)
class Places(Parameters[Any]):
    """Where everything starts: two numbers for each agent and landmark. Goals are left open."""

    world: "JaxMARL"

    @property
    def parts(self) -> tuple[Interval, ...]:
        """``NAME_x`` and ``NAME_y`` of each agent, then of each landmark."""
        made = self.world.made
        names = (*made.agents, *made.env.landmarks)
        return tuple(Interval(f"{name.replace(' ', '_')}_{axis}", -1.0, 1.0) for name in names for axis in "xy")

    def level(self, key: jax.Array, values: jax.Array) -> Any:
        """Return a start with these positions. Consumes ``key``."""
        return self.world.level_space.sample(key).replace(p_pos=values.reshape(-1, 2))


def moved(key: jax.Array, positions: jax.Array, num_edits: int, size: float) -> jax.Array:
    """Return ``f32[E, 2]`` with ``num_edits`` times one of them moved by up to ``size`` along x and y. Consumes ``key``."""

    def move(positions: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        which_key, step_key = jax.random.split(key)
        which = jax.random.randint(which_key, (), 0, positions.shape[0])
        step = jax.random.uniform(step_key, (2,), minval=-size, maxval=size)
        return positions.at[which].set(jnp.clip(positions[which] + step, -1.0, 1.0)), None

    return jax.lax.scan(move, positions, jax.random.split(key, num_edits))[0]


def distances(positions: jax.Array, teams: tuple[int, ...]) -> dict[str, jax.Array]:
    """Return how near opponents are to each other, and agents on average to their nearest landmark; NaN for none."""
    number = len(teams)
    between = jnp.linalg.norm(positions[:number, None] - positions[None], axis=-1)  # [N, E]
    opponents = np.asarray(teams)[:, None] != np.asarray(teams)[None]
    nearest = jnp.min(jnp.where(opponents, between[:, :number], jnp.inf))
    to_landmark = jnp.mean(jnp.min(between[:, number:], axis=1, initial=jnp.inf))
    found = {"opponent_distance": nearest, "landmark_distance": to_landmark}
    return {name: jnp.where(jnp.isfinite(value), value, jnp.nan) for name, value in found.items()}


def draw(positions: np.ndarray, radii: np.ndarray, teams: tuple[int, ...]) -> np.ndarray:
    """Return a picture, ``u8[256, 256, 3]``, of discs at ``f32[E, 2]``: agents of the lowest team red, others blue."""
    picture = np.full((PICTURE, PICTURE, 3), _BACKGROUND, np.uint8)
    across = np.linspace(-SIDE, SIDE, PICTURE)
    agents = [_AGENTS[int(team > min(teams))] for team in teams]
    colours = [*agents, *[_LANDMARK] * (len(positions) - len(agents))]
    for place, radius, colour in reversed(list(zip(positions, radii, colours, strict=True))):  # agents above landmarks
        picture[np.hypot(across[None, :] - place[0], -across[:, None] - place[1]) <= max(radius, SMALLEST)] = colour
    return picture
