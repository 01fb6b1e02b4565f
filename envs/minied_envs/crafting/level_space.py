"""What can be done with the levels of crafting? Letters: ``H W`` grid, ``G`` goals, ``K`` items."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.levels.space import LevelSpace, Suite
from minied.levels.tasks import Tasks
from minied_envs.crafting import generator, graph
from minied_envs.crafting import level as levels
from minied_envs.crafting.level import CraftingLevel
from minied_envs.crafting.world import Crafting, success_statistics


@dataclasses.dataclass(frozen=True)
class CraftingLevelSpace(LevelSpace[CraftingLevel]):
    """Maps on which every kind of block can be reached, each with its goals."""

    world: Crafting

    def sample(self, key: jax.Array) -> CraftingLevel:
        """Return a random map with uniform goals. Consumes ``key``."""
        key_map, key_goals = jax.random.split(key)
        return self.of_goals(
            key_map, jax.random.randint(key_goals, (self.world.num_goals,), 0, len(self.world.graph.items))
        )

    def of_goals(self, key: jax.Array, goals: jax.Array) -> CraftingLevel:
        """Return a random map with these goals, ``i32[G]``. Consumes ``key``."""
        blocks, start = generator.draw_map(key, self.world.graph, self.world.height, self.world.width)
        return levels.make_level(blocks, start, goals)

    def mutate(self, key: jax.Array, level: CraftingLevel) -> CraftingLevel:
        """Return a copy after `num_edits` edits: two cells of the map change places, or a goal is drawn anew.

        Each kind of edit has even chances. A map on which a kind of block can no longer be reached is left as it was.
        Consumes ``key``.
        """
        world, number = self.world, self.world.num_edits
        if not number:
            return level
        keys = jax.random.split(key, 4)
        is_swap = jax.random.bernoulli(keys[0], shape=(number,))
        cells = jax.random.randint(keys[1], (number, 2), 0, world.height * world.width)
        places = jax.random.randint(keys[2], (number,), 0, world.num_goals)
        items = jax.random.randint(keys[3], (number,), 0, len(world.graph.items)).astype(jnp.uint8)
        agent = level.agent_position.astype(jnp.int32)
        start = agent[0] * world.width + agent[1]

        def edit(carry: tuple[jax.Array, jax.Array], choice: tuple[jax.Array, ...]):
            blocks, goals = carry
            is_swap, pair, place, item = choice
            moves = is_swap & jnp.all(pair != start)
            swapped = blocks.at[pair].set(blocks[pair[::-1]])
            return (jnp.where(moves, swapped, blocks), jnp.where(is_swap, goals, goals.at[place].set(item))), None

        first = (level.blocks.reshape(-1), level.goals)
        (blocks, goals), _ = jax.lax.scan(edit, first, (is_swap, cells, places, items))
        blocks = blocks.reshape(level.blocks.shape)
        is_good = generator.all_reached(blocks, agent, world.graph)
        return level.replace(blocks=jnp.where(is_good, blocks, level.blocks), goals=goals)

    @property
    def tasks(self) -> "CraftingTasks":
        """The items, easy ones first."""
        return CraftingTasks(self)

    def describe(self, level: CraftingLevel) -> dict[str, jax.Array]:
        """Return the mean tier of the goals (see `graph.tiers`), and how many blocks there are."""
        tiers = graph.tiers(self.world.graph)
        of_items = jnp.asarray([tiers[name] for name in self.world.graph.item_names], jnp.float32)
        num_blocks = jnp.sum(level.blocks > 0, dtype=jnp.int32).astype(jnp.float32)
        return {"goal_tier": jnp.mean(of_items[level.goals]), "num_blocks": num_blocks}

    def check(self, level: CraftingLevel) -> None:
        """Raise `UserError` that says what is wrong with ``level``. Host only."""
        levels.check(level, self.world.graph, self.world.height, self.world.width, self.world.num_goals)

    # -- host only ----------------------------------------------------------------------------------------------------

    def draw(self, level: CraftingLevel, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``: the map, the goal, and what the agent carries."""
        from minied_envs.crafting import drawing

        return drawing.draw(self.world, level, state)

    def title(self, level: CraftingLevel) -> str:
        """Return the goals."""
        return ", ".join(self.world.graph.item_names[number] for number in np.asarray(level.goals))

    def to_text(self, level: CraftingLevel) -> str:
        """Return the goals and the drawing of ``level``, see `from_text`."""
        self.check(level)
        return levels.to_text(level, self.world.graph)

    def from_text(self, text: str) -> CraftingLevel:
        """Return the level of a line ``goal: ITEM`` and a map of ``.`` floor, ``@`` agent, and the symbols of blocks."""
        world = self.world
        level = levels.from_text(text, world.graph, world.height, world.width, world.num_goals)
        agent = level.agent_position.astype(jnp.int32)
        there = set(np.unique(level.blocks).tolist())
        absent = [block.name for code, block in enumerate(world.graph.blocks, 1) if block.number and code not in there]
        if absent:
            raise UserError(f"the level has no {', '.join(absent)}; allowed: a block of each kind that new maps have")
        if not generator.all_reached(level.blocks, agent, world.graph):
            raise UserError(
                "the level has a kind of block that the agent cannot come to, or too few of one; allowed: one of each kind"
                " beside the agent's way, and of those that deplete as many as new maps have"
            )
        return level

    @property
    def suites(self) -> Mapping[str, str]:
        """The held-out suites, see `minied_envs.crafting.suites`."""
        from minied_envs.crafting import suites

        return suites.descriptions(self.world)

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the parts of a suite, the same at every call."""
        from minied_envs.crafting import suites

        return suites.build(self.world, name)


@dataclasses.dataclass(frozen=True)
class CraftingTasks(Tasks[CraftingLevel]):
    """One task an item: to get one, on a random map. In the order of the items; `by_difficulty` is another."""

    space: CraftingLevelSpace

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the items."""
        return self.space.world.graph.item_names

    @property
    def by_difficulty(self) -> tuple[int, ...]:
        """The items by tier, then by how much there is to do."""
        return graph.easy_to_hard(self.space.world.graph)

    @property
    def success_statistics(self) -> tuple[str, ...]:
        """One a goal, of worlds with several."""
        return success_statistics(self.space.world)

    def level(self, key: jax.Array, tasks: jax.Array) -> CraftingLevel:
        """Return a random map with these items as goals. Consumes ``key``."""
        return self.space.of_goals(key, tasks)
