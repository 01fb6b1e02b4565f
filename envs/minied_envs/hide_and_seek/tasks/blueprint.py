"""Can an agent put things where they belong? Boxes to be dragged onto sites.

After Baker et al. 2020 (arXiv 1909.07528), and their released configuration: eight boxes, one to four sites, 150 steps. A
site counts as covered when a box is in its very cell; the published ones compare corners, as their boxes can lie askew.
Letters: ``P`` sites, ``X`` boxes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.spaces import Entities
from minied_envs.grid import bitboard
from minied_envs.hide_and_seek.rules import HideAndSeekState
from minied_envs.hide_and_seek.tasks import arenas
from minied_envs.hide_and_seek.tasks.base import Task, TaskLevel, TaskState, Verdict, always_seen, distance

DENSE = 0.05
"""Against a cell that boxes are away from the sites, a step."""
BUILT = 3.0
"""For each site once all are covered."""
ALPHA = -1.5
"""How soft the minimum over boxes is: 0 would be their mean, minus infinity their least."""
SITE_FEATURES = 3
MOST_SITES = 4


class BlueprintLevel(TaskLevel):
    """An arena, and where boxes belong."""

    sites: jax.Array  # i32[P, 2] (row, col), (0, 0) for what is not there
    site_present: jax.Array  # bool[P]


@dataclasses.dataclass(frozen=True)
class Blueprint(Task[BlueprintLevel]):
    """Boxes and sites in an open arena: cover every site with a box."""

    max_steps: int = 150
    """Steps of an episode."""
    max_boxes: int = 8
    """Boxes that there is room for in a level and in what is seen."""
    boxes: int = 8
    """Boxes of a level, all of one cell."""
    min_sites: int = 1
    """Sites of a level at least."""
    max_sites: int = 4
    """Sites of a level at most."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        self.check_room("boxes", "boxes")
        most = min(MOST_SITES, self.boxes)
        if not 1 <= self.min_sites <= self.max_sites <= most:
            raise UserError(
                f"min_sites and max_sites are {self.min_sites} and {self.max_sites}; allowed: 1 to {most} (boxes), the first"
                " not above the second"
            )

    def sample_level(self, key: jax.Array) -> BlueprintLevel:
        """Return a level without walls; no box begins on a site. Consumes ``key``."""
        number = arenas.num_words(self)
        words = jax.random.bits(key, (number + 1 + self.max_sites,), jnp.uint32)
        num_sites = self.min_sites + bitboard.scale(words[number], self.max_sites - self.min_sites + 1)
        present = jnp.arange(self.max_sites) < num_sites

        def choose(free: jax.Array, word: jax.Array) -> tuple[jax.Array, jax.Array]:
            site = bitboard.pick(free, word)
            return free & ~bitboard.cell(self.height, self.width, site), site

        _, sites = jax.lax.scan(choose, bitboard.full(self.height, self.width), words[number + 1 :])
        kept_free = bitboard.cells(self.height, self.width, sites, present)
        nothing = bitboard.empty(self.height, self.width)
        arena = arenas.furnished(words[:number], self, nothing, self.boxes, kept_free=kept_free)
        return BlueprintLevel(arena, jnp.where(present[:, None], sites, 0), present)

    def describe_level(self, level: BlueprintLevel) -> dict[str, jax.Array]:
        """Return the number of sites."""
        return {"num_sites": jnp.sum(level.site_present).astype(jnp.float32)}

    def name_level(self, level: BlueprintLevel) -> str:
        """Return the number of sites."""
        number = int(np.sum(level.site_present))
        return "1 site" if number == 1 else f"{number} sites"

    @property
    def goals(self) -> tuple[tuple[str, Entities], ...]:
        """``sites``: where each is, and whether it is covered."""
        return (("sites", Entities(self.max_sites, SITE_FEATURES)),)

    def see_goals(self, level: BlueprintLevel, state: TaskState) -> dict[str, Any]:
        """Return the sites, which the agent always knows."""
        covered = self._covered(level, state.arena).astype(jnp.float32)
        features = jnp.concatenate([self.offsets(state, level.sites), covered[:, None]], axis=-1)
        return {"sites": always_seen(features, level.site_present)}

    def judge(self, level: BlueprintLevel, state: TaskState, arena: HideAndSeekState) -> Verdict:
        """Pay ``−0.05`` times the mean over sites of the soft distance to the boxes, and 3 a site for all, which ends it."""
        soft = soft_minimum(self._distances(level, arena), level.arena.box_present)
        number = jnp.sum(level.site_present).astype(jnp.float32)
        away = jnp.sum(jnp.where(level.site_present, soft, 0.0)) / number
        done = jnp.all(self._covered(level, arena) | ~level.site_present)
        return Verdict(jnp.where(done, BUILT * number, 0.0) - DENSE * away, done)

    def statistics(self, level: BlueprintLevel, state: TaskState) -> dict[str, jax.Array]:
        """Return the share of the sites that were covered at the end, and whether all were."""
        covered = self._covered(level, state.arena)
        share = jnp.sum(covered).astype(jnp.float32) / jnp.sum(level.site_present).astype(jnp.float32)
        return {"covered": share, "built": jnp.all(covered | ~level.site_present).astype(jnp.float32)}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether all was built soon enough to be worth it: a positive return, ``bool[]``."""
        return episode_return > 0

    def marks(self, level: BlueprintLevel) -> list[tuple[int, int]]:
        """Return the sites."""
        return [(int(row), int(col)) for row, col in np.asarray(level.sites)[np.asarray(level.site_present)]]

    def _distances(self, level: BlueprintLevel, arena: HideAndSeekState) -> jax.Array:
        """Return how far each box is from each site, ``f32[P, X]``, in cells."""
        return distance(level.sites[:, None, :], arena.object_positions[None, : self.max_boxes, :])

    def _covered(self, level: BlueprintLevel, arena: HideAndSeekState) -> jax.Array:
        """Return which sites are there and have a box, ``bool[P]``."""
        there = (self._distances(level, arena) == 0) & level.arena.box_present[None, :]
        return level.site_present & jnp.any(there, axis=1)


def soft_minimum(distances: jax.Array, present: jax.Array) -> jax.Array:
    """Return ``Σ d exp(α d) / Σ exp(α d)`` over what is ``present`` ``bool[X]``, ``f32[P]`` of ``f32[P, X]``."""
    weights = jax.nn.softmax(ALPHA * distances, axis=-1, where=present[None, :])
    return jnp.sum(jnp.where(present[None, :], weights * distances, 0.0), axis=-1)
