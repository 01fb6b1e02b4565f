"""How does the world of crafting behave? A grid of blocks, an inventory, and a goal: an item to get.

The compact form of the Minecraft "Simon Says" of Kanitscheider et al. 2021 (arXiv 2106.14876): the agent is told an
item, is rewarded when it obtains one, and is then told the next (`num_goals`), after success or `goal_steps`. Ours is
a grid seen from above as in Crafter (Hafner 2021, arXiv 2109.06780): the agent walks in four directions, collects
from the block that it faces, crafts what it has the parts of, near a table or furnace where that takes one, and puts
blocks down. What can be made of what is data (`recipes`).

Rules: a move turns the agent, and takes it there if floor is there. To collect takes the tool, if the block needs
one; tools do not wear out. What does not work does nothing and costs a step. Nobody carries more than `capacity` of
an item: what is too much is lost, and an item of which nothing could be kept was not obtained. Letters: ``H W`` grid,
``v`` view, ``K`` items, ``A`` actions, ``G`` goals.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from minied.env import Environment
from minied.errors import UserError
from minied.spaces import Dict, Discrete
from minied_envs.crafting import generator, graph, observe, recipes
from minied_envs.crafting.level import CraftingLevel
from minied_envs.crafting.recipes import Recipes
from minied_envs.crafting.rules import CraftingState, act
from minied_envs.crafting.tables import action_names
from minied_envs.grid import bitboard, moves

if TYPE_CHECKING:
    from minied_envs.crafting.level_space import CraftingLevelSpace


MOST_SEEN = 31
"""Side of the largest square that is looked at around the agent."""


@dataclasses.dataclass(frozen=True)
class Crafting(Environment[CraftingLevel, CraftingState]):
    """A grid with resources and a graph of recipes; the goal is an item."""

    height: int = 9
    """Rows of the map."""
    width: int = 9
    """Columns of the map."""
    max_steps: int = 160
    """Steps after which an episode is truncated."""
    num_goals: int = 1
    """G, goals of an episode, one after the other; the map and what the agent carries stay."""
    goal_steps: int = 0
    """Steps after which a goal is given up and the next one told; 0: only the episode's end does that."""
    view_size: int = 5
    """Side of the square around the agent that it sees, odd."""
    compass: bool = True
    """Whether the agent knows where the nearest block of each kind is."""
    show_makeable: bool = True
    """Whether the agent is told what it could craft here and now, as a book of recipes would."""
    show_recipe: bool = False
    """Whether the agent is told, too, what its goal takes and where, as in a book of recipes."""
    walk_to_collect: bool = False
    """Whether a move against a block collects from it, too."""
    mask_actions: bool = False
    """Whether actions that would do nothing have no probability."""
    reach: int = 2
    """How near a block has to be to craft with it, in rows and in columns."""
    capacity: int = 9
    """How many of an item can be carried."""
    num_edits: int = 4
    """Edits of a mutation: two cells are swapped, or a goal is drawn anew."""
    recipes: str = ""
    """YAML file of blocks and items; empty: minied's own. A saved config holds the text itself."""

    solved_means = "with every goal reached"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 2 <= getattr(self, name) <= bitboard.MAX_SIDE:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: 2 to {bitboard.MAX_SIDE}")
        for name, most in (("max_steps", 2**24 - 1), ("num_goals", 100), ("capacity", 100)):
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: 1 to {most}")
        for name, most in (("goal_steps", 2**24 - 1), ("reach", MOST_SEEN // 2), ("num_edits", 2**15 - 1)):
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: 0 to {most}")
        if not 1 <= self.view_size <= MOST_SEEN or self.view_size % 2 == 0:
            raise UserError(f"view_size is {self.view_size}; allowed: odd numbers from 1 to {MOST_SEEN}")
        if self.recipes:  # so that a run is described by its config alone
            object.__setattr__(self, "recipes", recipes.text_of(self.recipes))
        graph.check(self.graph, self.capacity, self.reach)
        generator.check_fits(self.graph, self.height, self.width)

    @property
    def graph(self) -> Recipes:
        """The blocks and items."""
        return recipes.parse(recipes.text_of(self.recipes))

    @property
    def action_space(self) -> Discrete:
        """See `minied_envs.crafting.tables.action_names`."""
        return Discrete(len(action_names(self.graph)))

    @property
    def observation_space(self) -> Dict:
        """See `minied_envs.crafting.observe.space`."""
        return observe.space(self)

    @property
    def level_space(self) -> "CraftingLevelSpace":
        """The levels of this world."""
        from minied_envs.crafting.level_space import CraftingLevelSpace

        return CraftingLevelSpace(self)

    def reset(self, key: jax.Array, level: CraftingLevel):
        """Return the first observation and state. Nothing is random: ``key`` is not used."""
        num_items, zero = len(self.graph.items), jnp.int32(0)
        state = CraftingState(
            blocks=level.blocks,
            position=level.agent_position.astype(jnp.int32),
            direction=jnp.int32(moves.SOUTH),
            inventory=jnp.zeros(num_items, jnp.int32),
            seen=jnp.zeros(num_items, bool),
            place=zero,
            done=jnp.zeros(self.num_goals, bool),
            goal_time=zero,
            time=zero,
        )
        return observe.observe(self, state, level), state

    def step(self, key: jax.Array, state: CraftingState, action: jax.Array, level: CraftingLevel):
        """Move, collect, craft or put down. Nothing is random: ``key`` is not used.

        ``info["achievements"]`` ``bool[K]`` are the items obtained for the first time in this episode, but for the
        goal. ``info["statistics"]``: ``items_obtained``, how many different ones, and with several goals
        ``goal_0_done`` and so on: 1 or 0, NaN for a goal to which no step was given.
        """
        state, obtained = act(self, state, action)
        goal = level.goals[jnp.minimum(state.place, self.num_goals - 1)].astype(jnp.int32)
        is_goal = jnp.arange(obtained.shape[0], dtype=jnp.int32) == goal
        reached = jnp.any(obtained & is_goal)
        achievements = obtained & ~state.seen & ~is_goal
        state = self._after_goal(state.replace(seen=state.seen | obtained, time=state.time + 1), reached)
        terminated = reached & (state.place >= self.num_goals)
        truncated = ~terminated & ((state.time >= self.max_steps) | (state.place >= self.num_goals))
        statistics = {"items_obtained": jnp.sum(state.seen, dtype=jnp.int32).astype(jnp.float32)}
        if self.num_goals > 1:
            # The goal under way at the last step counts as not reached. Not defined: those to which no step was given,
            # also that which was told at the very end.
            num_tried = state.place + (state.goal_time > 0).astype(jnp.int32)
            was_tried = jnp.arange(self.num_goals, dtype=jnp.int32) < num_tried
            success = jnp.where(was_tried, state.done.astype(jnp.float32), jnp.nan)
            statistics |= {name: success[i] for i, name in enumerate(success_statistics(self))}
        info = {"achievements": achievements, "statistics": statistics}
        return observe.observe(self, state, level), state, reached.astype(jnp.float32), terminated, truncated, info

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether all goals were reached, ``bool[]``."""
        return episode_return > self.num_goals - 0.5

    def _after_goal(self, state: CraftingState, reached: jax.Array) -> CraftingState:
        """Return the state with the next goal, if the present one is reached or its time is over."""
        goal_time = state.goal_time + 1
        is_over = reached | (goal_time >= self.goal_steps) if self.goal_steps else reached
        here = jnp.arange(self.num_goals, dtype=jnp.int32) == state.place
        return state.replace(
            done=state.done | (here & reached),
            place=state.place + is_over.astype(jnp.int32),
            goal_time=jnp.where(is_over, 0, goal_time),
        )


def success_statistics(world: Crafting) -> tuple[str, ...]:
    """Return the names of the statistics that tell of each goal whether it was reached, of worlds with several."""
    return tuple(f"goal_{i}_done" for i in range(world.num_goals)) if world.num_goals > 1 else ()
