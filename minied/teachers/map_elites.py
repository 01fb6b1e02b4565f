"""MAP-Elites: an archive that keeps the best level of every kind (Mouret and Clune 2015, arXiv 1504.04909).

What kinds there are is told by features of the level itself (`LevelSpace.describe`): walls, path length … The archive is a
level buffer whose slots are the cells of a grid over them; everything else is ACCEL. DCD's descendants keep diversity by
staleness; here it is by construction.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.levels import buffer as level_buffer
from minied.levels.buffer import LevelBuffer
from minied.levels.features import feature_names, feature_vector
from minied.levels.priority import Prioritization
from minied.levels.space import LevelSpace
from minied.teachers.accel import Accel
from minied.teachers.base import Proposal, sample_levels
from minied.teachers.scoring import Scored

_RANGE_SAMPLE = 1024


class MapElites(Accel):
    """an archive with one level for each kind, the one that scores highest; replay, learn, edit.

    `eviction` and `unique` have no part in it: a level competes for its cell, and there with itself only by being played.
    """

    features: tuple[str, ...] = ()
    """Names of the features that span the archive, as the world describes its levels."""
    feature_ranges: tuple[float, ...] = ()
    """Lowest and highest value of each feature, in turn; levels outside fall into the first or last bin. Empty: what
    1024 levels of the generator span."""
    buffer_size: int = 1024
    """Cells of the archive: with F features each is cut into as many bins as fit, ⌊C^(1/F)⌋."""
    minimum_fill: float = 0.25
    """Share of the buffer that must have been offered levels before any is replayed, counted in batches of new levels."""
    prioritization: Prioritization = "uniform"
    """How a score becomes a chance to be replayed: rank, power, softmax, top_k or uniform (see `minied.levels.priority`)."""
    staleness_coefficient: float = 0.0
    """ρ, the share of the replay distribution that goes by time since the last visit."""

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` for features that the world does not describe or ranges that do not fit, and as ACCEL does."""
        super().validate(space, num_levels, missing)
        space.require("describe", "MAP-Elites")
        known = feature_names(space)
        unknown = [name for name in self.features if name not in known]
        if unknown or not self.features or len(set(self.features)) < len(self.features):
            raise UserError(
                f"teacher.features is {self.features}; allowed: one or more different ones of {', '.join(known)}"
            )
        pairs = list(zip(self.feature_ranges[::2], self.feature_ranges[1::2], strict=False))
        if self.feature_ranges and len(self.feature_ranges) != 2 * len(self.features):
            raise UserError(
                f"teacher.feature_ranges is {self.feature_ranges}; allowed: two numbers for each feature, or none"
            )
        if any(not -np.inf < low < high < np.inf for low, high in pairs):
            raise UserError(f"teacher.feature_ranges is {self.feature_ranges}; allowed: each low less than its high")
        if self.num_bins < 2:
            raise UserError(
                f"teacher.buffer_size is {self.buffer_size}; allowed: at least 2^{len(self.features)}, two bins a feature"
            )

    @property
    def num_bins(self) -> int:
        """Bins of each feature."""
        return int(self.buffer_size ** (1 / len(self.features)) + 1e-9)

    def offer(self, buffer: LevelBuffer, proposal: Proposal, scored: Scored, space: LevelSpace) -> LevelBuffer:
        """Return the archive after levels were offered to it, each to the cell of its kind."""
        candidates = self.candidates(proposal.levels, proposal.ancestry, scored, space)
        cells = self.cells(proposal.levels, space)
        return level_buffer.insert_at(buffer, cells, candidates, smoothing=self.score_smoothing)

    def cells(self, levels: Any, space: LevelSpace) -> jax.Array:
        """Return the slot of the kind of each level ``[B, ...]``, ``i32[B]``; the first feature counts slowest."""
        low, high = self._ranges(space)
        position = (_features(self.features, space, levels) - low[None, :]) / (high - low)[None, :]
        bins = jnp.clip(jnp.floor(position * self.num_bins), 0, self.num_bins - 1).astype(jnp.int32)
        place_values = jnp.asarray([self.num_bins**i for i in reversed(range(len(self.features)))], jnp.int32)
        return jnp.sum(bins * place_values[None, :], axis=1)

    def _ranges(self, space: LevelSpace) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest value of each feature, ``f32[F]``, the same for all members."""
        if self.feature_ranges:
            return np.asarray(self.feature_ranges[::2], np.float32), np.asarray(self.feature_ranges[1::2], np.float32)
        return _spanned(self.features, space)


def _features(names: tuple[str, ...], space: LevelSpace, levels: Any) -> jax.Array:
    index = np.asarray([feature_names(space).index(name) for name in names])
    return jax.vmap(lambda level: feature_vector(space, level)[index])(levels)


@functools.cache
def _spanned(names: tuple[str, ...], space: LevelSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return what `_RANGE_SAMPLE` levels of the generator span; a feature that never varies spans 1."""
    with jax.ensure_compile_time_eval():
        levels = sample_levels(jax.random.key(0), space, _RANGE_SAMPLE)
        seen = np.asarray(_features(names, space, levels))
    low, high = seen.min(axis=0), seen.max(axis=0)
    return low, np.where(high > low, high, low + 1).astype(np.float32)
