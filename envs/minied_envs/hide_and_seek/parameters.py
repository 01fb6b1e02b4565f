"""By which few numbers is a level of hide and seek chosen? Counts, walls and doors, and about where things begin.

As AutoDIME chooses environments (arXiv 2203.02481): by counts and positions. What has only one value in a world is left out,
and what the parameters leave open is random, as in a draw.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameters import Choice, Interval, Parameters
from minied_envs.hide_and_seek import generators, walls
from minied_envs.hide_and_seek.dimensions import KINDS, Dimensions
from minied_envs.hide_and_seek.generators import SECTORS, HideAndSeekLevels
from minied_envs.hide_and_seek.level import HideAndSeekLevel

PLACED = KINDS[:3]  # hiders, seekers and boxes: their sectors are chosen


@dataclasses.dataclass(frozen=True)
class HideAndSeekParameters(Parameters[HideAndSeekLevel]):
    """The parameters of the levels that ``options`` draw in worlds of these ``dimensions``."""

    options: HideAndSeekLevels
    dimensions: Dimensions

    @property
    def parts(self) -> tuple[Choice | Interval, ...]:
        """The parameters, all that have at least two values.

        - ``num_hiders``, ``num_seekers``, ``num_boxes``, ``num_ramps``; ``num_long``: how many of the boxes are elongated;
        - quadrant: ``closed_door``, 0 none, 1 the north one, 2 the west one; ``north_door``, ``west_door``: beside which
          column and row of the room they are;
        - rooms, tiny: ``num_rooms``; ``wall_1``, ...: which of the lines that fit is the next wall, from 0 to 1 in their
          order; ``door_1``, ...: how far along it its door is;
        - ``hiders_at``, ``seekers_at``, ``boxes_at``: in which of 3 x 3 sectors of the arena, in reading order, they begin
          if there is room.
        """
        return tuple(part for part in self._all_parts() if isinstance(part, Interval) or self._possible(part).sum() > 1)

    def _all_parts(self) -> tuple[Choice | Interval, ...]:
        """Return the parameters, also those of one value. Counts are chosen as they are: too few are not allowed."""
        counts = [Choice(f"num_{kind}", most + 1) for kind, most in zip(KINDS, self.dimensions.room_for, strict=True)]
        sectors = [Choice(f"{kind}_at", SECTORS**2) for kind in PLACED]
        return (*counts, Choice("num_long", self.options.max_long + 1), *self._walls(), *sectors)

    def _walls(self) -> list[Choice | Interval]:
        """Return the parameters of the walls that the scenario has."""
        if self.options.scenario == "quadrant":
            rows, cols = walls.quadrant_sides(self.dimensions)
            return [Choice("closed_door", 3), Choice("north_door", cols), Choice("west_door", rows)]
        parts: list[Choice | Interval] = [Choice("num_rooms", self.options.most_rooms + 1)]
        for i in range(1, self.options.most_rooms):
            parts += [Interval(f"wall_{i}", 0.0, 1.0), Interval(f"door_{i}", 0.0, 1.0)]
        return parts

    def _possible(self, part: Choice) -> np.ndarray:
        """Return which values occur in any level, ``bool[number]``."""
        numbers = np.arange(part.number)
        options = self.options
        limits = {f"num_{kind}": pair for kind, pair in options.limits(self.dimensions).items()}
        limits["num_long"] = (min(options.min_long, limits["num_boxes"][0]), options.max_long)
        limits["num_rooms"] = (options.fewest_rooms, options.most_rooms)
        if part.name in limits:
            least, most = limits[part.name]
            return (numbers >= least) & (numbers <= most)
        if part.name == "closed_door":
            return np.where(numbers == walls.BOTH_OPEN, options.door_dropout < 1, options.door_dropout > 0)
        if part.name.endswith("_at"):
            return self._sectors(part.name.removesuffix("_at"))
        return np.ones(part.number, bool)

    def _sectors(self, kind: str) -> np.ndarray:
        """Return the sectors in which things of a kind may begin, ``bool[9]``; one for things that there are none of."""
        if kind == "boxes" and self.dimensions.max_boxes == 0:
            return np.arange(SECTORS**2) == 0
        height, width = self.dimensions.arena_height, self.dimensions.arena_width
        row, col = np.arange(height)[:, None], np.arange(width)[None, :]
        cells = np.ones((height, width), bool)
        if self.options.scenario == "quadrant":
            rows, cols = walls.quadrant_sides(self.dimensions)
            if kind == "seekers":
                cells = (row < height - rows - 1) | (col < width - cols - 1)
            elif kind == "boxes" or self.options.hiders_in_room:
                cells = (row >= height - rows) & (col >= width - cols)
        down, right = generators.cuts(height)[:-1], generators.cuts(width)[:-1]
        return (np.add.reduceat(np.add.reduceat(cells.astype(int), down, axis=0), right, axis=1) > 0).reshape(-1)

    def allowed(self, part: int, values: jax.Array) -> jax.Array:
        """Return which choices are left, ``bool[number]``: not more elongated boxes than boxes."""
        choice = self.parts[part]
        assert isinstance(choice, Choice)
        if choice.name != "num_long":
            return jnp.asarray(self._possible(choice))
        least, most = self.options.long_limits(self._chosen("num_boxes", values))
        numbers = jnp.arange(choice.number, dtype=jnp.int32)
        return (numbers >= least) & (numbers <= most)

    def level(self, key: jax.Array, values: jax.Array) -> HideAndSeekLevel:
        """Return a level with these parameters, ``f32[h]``. Consumes ``key``."""
        num_decisions = generators.num_decisions(self.options)
        words = jax.random.bits(key, (num_decisions + 2 * sum(self.dimensions.room_for),), jnp.uint32)
        plan = generators.make_plan(words[:num_decisions], self.options, self.dimensions)
        plan = plan.replace(
            counts=jnp.stack([self._chosen(f"num_{kind}", values) for kind in KINDS]),
            num_long=self._chosen("num_long", values),
            sectors=jnp.stack([self._chosen(f"{kind}_at", values) for kind in PLACED]),
        )
        if self.options.scenario == "quadrant":
            doors = [self._chosen(name, values) for name in ("north_door", "west_door")]
            plan = plan.replace(doors=jnp.stack(doors), closed=self._chosen("closed_door", values))
        elif self.options.most_rooms > 1:
            numbers = range(1, self.options.most_rooms)
            plan = plan.replace(
                num_rooms=self._chosen("num_rooms", values),
                wall_words=jnp.stack([self._word(f"wall_{i}", values) for i in numbers]),
                door_words=jnp.stack([self._word(f"door_{i}", values) for i in numbers]),
            )
        return generators.build(words[num_decisions:].reshape(2, -1), plan, self.options, self.dimensions)

    def _chosen(self, name: str, values: jax.Array) -> jax.Array:
        """Return the value of a choice, ``i32[]``: the only one of what is left out."""
        names = [part.name for part in self.parts]
        if name in names:
            return values[names.index(name)].astype(jnp.int32)
        (choice,) = (part for part in self._all_parts() if isinstance(part, Choice) and part.name == name)
        return jnp.int32(np.flatnonzero(self._possible(choice))[0])

    def _word(self, name: str, values: jax.Array) -> jax.Array:
        """Return the share of an interval as a random word would have it, ``u32[]``."""
        share = values[[part.name for part in self.parts].index(name)]
        return jnp.clip(share * 65536.0, 0.0, 65535.0).astype(jnp.uint32) << 16
