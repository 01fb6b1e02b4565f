"""What can be done with the worlds of Craftax: drawn, edited, told apart, shown, written down."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters.base import sampled_suite
from minied.adapters.cells import enlarged, pick
from minied.adapters.craftax import Craftax, CraftaxLevel, Level
from minied.adapters.trees import tree_from_text, tree_to_text
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace, Suite

SUITE_LEVELS, SUITE_SEED = 32, 20_240_226
COUNTED = ("TREE", "WATER", "STONE", "COAL", "IRON", "DIAMOND", "LAVA")
NEAREST = ("TREE", "WATER", "STONE")
PICTURE_SIDE = 256
COLOURS = {
    "INVALID": (0, 0, 0), "OUT_OF_BOUNDS": (0, 0, 0), "GRASS": (96, 160, 64), "WATER": (64, 112, 208),
    "STONE": (128, 128, 128), "TREE": (24, 88, 32), "WOOD": (160, 112, 64), "PATH": (208, 192, 160), "COAL": (48, 48, 48),
    "IRON": (224, 160, 112), "DIAMOND": (240, 255, 255), "CRAFTING_TABLE": (120, 72, 32), "FURNACE": (88, 80, 88),
    "SAND": (232, 216, 144), "LAVA": (240, 96, 16), "PLANT": (128, 208, 64), "RIPE_PLANT": (208, 224, 48),
    "WALL": (72, 72, 88), "DARKNESS": (16, 16, 24), "WALL_MOSS": (64, 88, 72), "STALAGMITE": (104, 96, 104),
    "SAPPHIRE": (32, 64, 255), "RUBY": (224, 16, 64), "CHEST": (184, 136, 32), "FOUNTAIN": (112, 176, 240),
    "FIRE_GRASS": (176, 72, 48), "ICE_GRASS": (192, 224, 240), "GRAVEL": (152, 144, 136), "FIRE_TREE": (136, 32, 16),
    "ICE_SHRUB": (144, 192, 208), "ENCHANTMENT_TABLE_FIRE": (255, 128, 64), "ENCHANTMENT_TABLE_ICE": (128, 192, 255),
    "NECROMANCER": (160, 32, 192), "GRAVE": (96, 104, 96), "GRAVE2": (96, 104, 96), "GRAVE3": (96, 104, 96),
    "NECROMANCER_VULNERABLE": (224, 96, 255),
}  # fmt: skip
ITEM_COLOURS = ((0, 0, 0), (255, 224, 64), (0, 0, 0), (255, 255, 255), (64, 0, 0))
PLAYER, CREATURE = (255, 0, 0), (255, 0, 255)


@dataclasses.dataclass(frozen=True)
class CraftaxLevelSpace(LevelSpace[Level]):
    """The worlds of the library's generator, and what edits make of them."""

    env: Craftax

    def sample(self, key: jax.Array) -> Level:
        """Return a world of the library's generator. Consumes ``key``."""
        return self.env.level_of(self.env.generate(key))

    def mutate(self, key: jax.Array, level: Level) -> Level:
        """Return a copy in which ``num_swaps`` pairs of tiles were exchanged, one pair after the other. Consumes ``key``.

        The first tile of each pair is within ``swap_radius`` of the player, the second anywhere, of another kind. The
        player's own tile stays, and in the full game all that is under ladders and torches, and the floors below. So no
        tile is made or lost; some may become out of reach.
        """
        ground = self._ground(level).reshape(-1)
        free = self._movable(level).reshape(-1)
        near = free & self._near().reshape(-1)

        def swap(ground: jax.Array, chances: jax.Array) -> tuple[jax.Array, None]:
            first = pick(chances[0], near)[0]
            others = free & (ground != ground[first])
            second = jnp.where(others.any() & near.any(), pick(chances[1], others)[0], first)
            return ground.at[first].set(ground[second]).at[second].set(ground[first]), None

        ground, _ = jax.lax.scan(swap, ground, jax.random.uniform(key, (self.env.num_swaps, 2)))
        ground = ground.reshape(self.env.side, self.env.side)
        return level.replace(map=level.map.at[0].set(ground) if isinstance(level, CraftaxLevel) else ground)

    def is_valid(self, level: Level) -> jax.Array:
        """Return whether all numbers stand for something and the player can stand where it starts, ``bool[]``."""
        blocks = self.env.module.BlockType
        valid = (level.map >= blocks.GRASS.value).all() & (level.map < len(blocks)).all()
        middle = self.env.side // 2
        here = self._ground(level)[middle, middle]
        standing = jnp.asarray([self.env.module.BlockType[name].value for name in _GROUND], jnp.uint8)
        valid &= jnp.isin(here, standing)
        if isinstance(level, CraftaxLevel):
            valid &= (level.item_map < len(self.env.module.ItemType)).all()
            valid &= ((level.light_map >= 0.0) & (level.light_map <= 1.0)).all()
            valid &= (level.down_ladders < self.env.side).all() & (level.up_ladders < self.env.side).all()
            valid &= (jnp.sort(level.potion_mapping) == jnp.arange(6, dtype=jnp.uint8)).all()
        return valid

    def describe(self, level: Level) -> dict[str, jax.Array]:
        """Return how many tiles there are of each resource, and how far the nearest of some are, rows and columns added.

        Of the full game, on the floor where the player starts; NaN for the distance to what is not there.
        """
        ground, blocks = self._ground(level), self.env.module.BlockType
        away = jnp.abs(jnp.arange(self.env.side) - self.env.side // 2)
        distances = away[:, None] + away[None, :]
        features = {name.lower(): (ground == blocks[name].value).sum().astype(jnp.float32) for name in COUNTED}
        for name in NEAREST:
            is_one = ground == blocks[name].value
            nearest = jnp.where(is_one, distances, distances.size).min().astype(jnp.float32)
            features[f"{name.lower()}_distance"] = jnp.where(is_one.any(), nearest, jnp.nan)
        return features

    def draw(self, level: Level, state: Any = None) -> np.ndarray:
        """Return a picture of ours, ``u8[height, width, 3]``: a floor in plain colours, the player red, creatures pink.

        Of the full game all nine floors, three in a row. Torches are yellow, ladders black and white.
        """
        seen: Any = level if state is None else state
        middle = self.env.side // 2
        floor, position = (0, (middle, middle)) if state is None else (self._floor(state), state.player_position)
        maps = np.asarray(seen.map).reshape(-1, self.env.side, self.env.side)
        items = np.zeros_like(maps) if self.env.is_classic else np.asarray(seen.item_map)
        floors = [self._picture(*each) for each in zip(maps, items, strict=True)]
        if state is not None:
            for each, creatures in zip(floors, np.asarray(state.mob_map).reshape(maps.shape), strict=True):
                self._mark(each, np.argwhere(creatures), CREATURE)
        self._mark(floors[floor], [position], PLAYER)
        return _shown(np.concatenate([np.concatenate(floors[i : i + 3], axis=1) for i in range(0, len(floors), 3)]))

    def to_text(self, level: Level) -> str:
        """Return the numbers of the level as one line of JSON; blocks and items are the library's numbers."""
        return tree_to_text(level)

    def from_text(self, text: str) -> Level:
        """Return the level that `to_text` wrote. Raises `UserError` also for one that is not of this space."""
        level = tree_from_text(text, jax.eval_shape(self.sample, jax.random.key(0)))
        if not bool(self.is_valid(level)):
            raise UserError(
                "the level has a number that stands for nothing, or a start on which nobody can stand; allowed: a level of"
                f" {self.env.id} of {self.env.side}x{self.env.side}"
            )
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """Worlds of the generator."""
        side = self.env.side
        return {"sampled": f"{SUITE_LEVELS} worlds of {side}x{side} as they are drawn in training."}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the levels of a suite."""
        if name not in self.suites:
            raise unknown_name("suite", name, list(self.suites))
        return sampled_suite(self.env, name, SUITE_LEVELS, SUITE_SEED, self.suites[name])

    def _ground(self, level: Level) -> jax.Array:
        """Return the floor where the player starts, ``u8[H, W]``."""
        return level.map[0] if isinstance(level, CraftaxLevel) else level.map

    def _movable(self, level: Level) -> jax.Array:
        """Return which tiles of that floor may be exchanged, ``bool[H, W]``."""
        middle = self.env.side // 2
        free = jnp.ones((self.env.side, self.env.side), bool).at[middle, middle].set(False)
        if not isinstance(level, CraftaxLevel):
            return free
        for row, col in (level.down_ladders[0], level.up_ladders[0]):
            free = free.at[row, col].set(False)
        return free & (level.item_map[0] == 0)

    def _near(self) -> jax.Array:
        """Return which tiles are near the player, ``bool[H, W]``."""
        away = np.abs(np.arange(self.env.side) - self.env.side // 2) <= (self.env.swap_radius or self.env.side)
        return jnp.asarray(away[:, None] & away[None, :])

    def _floor(self, state: Any) -> int:
        return 0 if self.env.is_classic else int(state.player_level)

    def _picture(self, blocks: np.ndarray, items: np.ndarray) -> np.ndarray:
        colours = np.asarray([COLOURS[block.name] for block in self.env.module.BlockType], np.uint8)
        picture = colours[blocks]
        return np.where((items > 0)[..., None], np.asarray(ITEM_COLOURS, np.uint8)[items], picture)

    def _mark(self, picture: np.ndarray, positions: Any, colour: tuple[int, int, int]) -> None:
        for row, col in np.asarray(positions, int):
            picture[row, col] = colour


_GROUND = ("GRASS", "PATH", "SAND")


def _shown(picture: np.ndarray) -> np.ndarray:
    """Return a picture whose shorter side is not much below PICTURE_SIDE, by repeating pixels: a tile has two at least."""
    return enlarged(picture, max(2, PICTURE_SIDE // min(picture.shape[:2])))
