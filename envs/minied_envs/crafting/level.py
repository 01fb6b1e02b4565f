"""What is a level of crafting, when is it one, and how is it written as text? Letters: ``H W`` grid, ``G`` goals."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.errors import UserError, suggestion
from minied_envs.crafting.recipes import Recipes
from minied_envs.crafting.tables import FLOOR
from minied_envs.grid.text import read_rows, require_size

FLOOR_SYMBOL, AGENT_SYMBOL = ".", "@"
_GOALS = "goal:"


class CraftingLevel(struct.PyTreeNode):
    """A map of blocks, where the agent begins, and the items that it is to get, one after the other."""

    blocks: jax.Array  # u8[H, W], codes of `tables`
    agent_position: jax.Array  # u8[2] (row, col), a cell of floor
    goals: jax.Array  # u8[G], numbers of items


def check(level: CraftingLevel, recipes: Recipes, height: int, width: int, num_goals: int) -> None:
    """Raise `UserError` that says what is wrong with a level. Host only."""
    blocks, goals = np.asarray(level.blocks), np.asarray(level.goals)
    if blocks.shape != (height, width) or blocks.dtype != np.uint8:
        raise UserError(
            f"blocks of the level is {blocks.dtype}{list(blocks.shape)}; allowed here: uint8[{height}, {width}]"
        )
    if blocks.max() > len(recipes.blocks):
        raise UserError(f"blocks of the level has the code {blocks.max()}; allowed: 0 to {len(recipes.blocks)}")
    row, col = (int(part) for part in np.asarray(level.agent_position))
    if not (0 <= row < height and 0 <= col < width):
        raise UserError(f"the agent is at row {row}, column {col}, outside of a {height}x{width} map")
    if blocks[row, col] != FLOOR:
        name = recipes.block_names[blocks[row, col] - 1]
        raise UserError(f"the agent is on a block ({name}) at row {row}, column {col}; allowed: floor")
    if goals.shape != (num_goals,) or goals.dtype != np.uint8:
        raise UserError(f"goals of the level is {goals.dtype}{list(goals.shape)}; allowed here: uint8[{num_goals}]")
    if goals.max() >= len(recipes.items):
        raise UserError(f"goals of the level has the item {goals.max()}; allowed: 0 to {len(recipes.items) - 1}")


def to_text(level: CraftingLevel, recipes: Recipes) -> str:
    """Return a line with the goals and the drawing of the map, which `from_text` reads back."""
    symbols = np.array([FLOOR_SYMBOL, *(block.symbol for block in recipes.blocks)])[np.asarray(level.blocks)]
    symbols[tuple(np.asarray(level.agent_position, int))] = AGENT_SYMBOL
    goals = ", ".join(recipes.item_names[number] for number in np.asarray(level.goals))
    return "\n".join([f"{_GOALS} {goals}", *("".join(row) for row in symbols)])


def from_text(text: str, recipes: Recipes, height: int, width: int, num_goals: int) -> CraftingLevel:
    """Return the level that ``text`` tells: ``goal:`` and items parted by commas, then a map, ``@`` for the agent.

    Raises `UserError` that names the line.
    """
    lines = text.splitlines()
    head = next((number for number, line in enumerate(lines) if line.strip()), 0)
    first, drawing = "".join(lines[head : head + 1]).strip(), "\n" * (head + 1) + "\n".join(lines[head + 1 :])
    if not first.startswith(_GOALS):
        raise UserError(f"the first line of the level is {first!r}; allowed: `{_GOALS} ITEM`, then the map")
    names = [name.strip() for name in first.removeprefix(_GOALS).split(",")]
    known = ", ".join(recipes.item_names)
    for name in names:
        if name not in recipes.item_names:
            raise UserError(
                f"the goal {name!r} of the level is no item{suggestion(name, recipes.item_names)}; allowed: {known}"
            )
    if len(names) != num_goals:
        raise UserError(f"the level has {len(names)} goals; allowed: {num_goals} (--env.num-goals)")
    codes = {FLOOR_SYMBOL: FLOOR, AGENT_SYMBOL: FLOOR} | {b.symbol: i for i, b in enumerate(recipes.blocks, 1)}
    rows, _ = read_rows(drawing, "".join(codes), f"{FLOOR_SYMBOL} {AGENT_SYMBOL} and the symbols of blocks")
    require_size(rows, height, width)
    agents = [(i, j) for i, row in enumerate(rows) for j, symbol in enumerate(row) if symbol == AGENT_SYMBOL]
    if len(agents) != 1:
        raise UserError(f"the level has {len(agents)} agents ({AGENT_SYMBOL}); allowed: one")
    blocks = np.array([[codes[symbol] for symbol in row] for row in rows], np.uint8)
    goals = [recipes.item_names.index(name) for name in names]
    return make_level(jnp.asarray(blocks), jnp.asarray(agents[0]), goals)


def make_level(blocks: jax.Array, position: jax.Array, goals: jax.Array | Sequence[int]) -> CraftingLevel:
    """Return the level with these parts: integer ``[H, W]``, ``[2]`` and ``[G]``."""
    return CraftingLevel(
        blocks=blocks.astype(jnp.uint8),
        agent_position=position.astype(jnp.uint8),
        goals=jnp.asarray(goals).astype(jnp.uint8),
    )
