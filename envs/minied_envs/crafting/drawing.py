"""How does the world of crafting look to a person? The map, what the agent carries, and its goal. Host only."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minied_envs.crafting.level import CraftingLevel
from minied_envs.crafting.recipes import Block
from minied_envs.grid import tiles
from minied_envs.grid.canvas import Canvas, Colour
from minied_envs.grid.draw import tile_pixels
from minied_envs.grid.moves import STEPS

if TYPE_CHECKING:
    from minied_envs.crafting.world import Crafting

PANEL = 4.5  # cells, to the right of the map
LINE = 0.55  # cells, from one line of words to the next
INK: Colour = (40, 42, 46)
PAPER: Colour = (250, 250, 248)
FLOOR: Colour = (236, 236, 232)
GOAL: Colour = (30, 110, 60)


def draw(world: "Crafting", level: CraftingLevel, state: Any = None) -> np.ndarray:
    """Return a picture, ``u8[height, width, 3]``, of ``level`` at its start, or of an episode's ``state`` on it."""
    if state is None:
        state = world.reset(jax.random.key(0), level)[1]  # which uses no randomness
    canvas = Canvas(world.height, world.width + PANEL, (0.0, 0.0), tile_pixels(world.height, world.width, 32), PAPER)
    blocks = np.asarray(state.blocks)
    for row in range(world.height):
        for col in range(world.width):
            canvas.rectangle(row, col, row + 1, col + 1, tiles.GRID_LINE)
            canvas.rectangle(row + 0.03, col + 0.03, row + 1, col + 1, FLOOR)
            if code := int(blocks[row, col]):
                _block(canvas, row, col, world.graph.blocks[code - 1])
    _agent(canvas, np.asarray(state.position), int(state.direction))
    _panel(canvas, world, level, state)
    return canvas.picture()


def _block(canvas: Canvas, row: int, col: int, block: Block) -> None:
    """Paint a block: its colour, and its symbol, dark on light and light on dark."""
    canvas.rectangle(row + 0.06, col + 0.06, row + 0.97, col + 0.97, block.colour)
    ink = INK if sum(block.colour) > 380 else PAPER
    canvas.text((row + 0.52, col + 0.34), block.symbol, ink, 0.5)


def _agent(canvas: Canvas, position: np.ndarray, direction: int) -> None:
    """Paint the agent, a triangle that points where it looks."""
    row, col = position + 0.5
    down, right = STEPS[direction]
    tip, back = (row + 0.38 * down, col + 0.38 * right), (row - 0.3 * down, col - 0.3 * right)
    sides = [(back[0] + side * right, back[1] - side * down) for side in (0.32, -0.32)]
    canvas.polygon([tip, *sides], tiles.AGENT_COLOUR)


def _panel(canvas: Canvas, world: "Crafting", level: CraftingLevel, state: Any) -> None:
    """Write the goals, the present one marked, and the inventory, as many lines as there is room for."""
    names, inventory = world.graph.item_names, np.asarray(state.inventory)
    lines: list[tuple[str, Colour]] = []
    for place, number in enumerate(np.asarray(level.goals)):
        told = "goal" if place == int(state.place) else "done" if bool(state.done[place]) else "later"
        told = "missed" if place < int(state.place) and not bool(state.done[place]) else told
        lines.append((f"{told}: {names[number]}", GOAL if told in ("goal", "done") else INK))
    lines += [(f"{count} {names[number]}", INK) for number, count in enumerate(inventory) if count]
    room = int(world.height / LINE) - 1
    lines = lines[max(0, min(int(state.place), len(lines) - room)) :]  # goals that are over give way
    if len(lines) > room:
        lines = [*lines[: room - 1], (f"and {len(lines) - room + 1} more", INK)]
    for number, (words, colour) in enumerate(lines):
        canvas.text((0.5 + number * LINE, world.width + 0.25), words, colour, 0.42)
