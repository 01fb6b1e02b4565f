"""Crafting once more, from its rules alone: names, dicts and loops; of the world only the recipes' data.

A block or an item is its name, floor is None, a cell is (row, col). An action is its number: east, south, west, north, to
collect, one for each item that is crafted, one for each that is placed.
"""

import collections
import copy
import dataclasses
import math

Cell = tuple[int, int]
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # east, south, west, north
EAST, SOUTH, WEST, NORTH, COLLECT = range(5)
OUTSIDE = "outside"


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of the world that rules and observations depend on."""

    max_steps: int = 60
    num_goals: int = 1
    goal_steps: int = 0
    view_size: int = 5
    compass: bool = True
    show_makeable: bool = True
    mask_actions: bool = False
    show_recipe: bool = False
    walk_to_collect: bool = False
    reach: int = 2
    capacity: int = 9


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a step told, but for the observation."""

    reward: int
    terminated: bool
    truncated: bool
    achievements: frozenset[str]
    statistics: dict[str, float]


class Game:
    """One episode: `step` changes it. ``events`` counts what happened, so that a test knows what it has seen."""

    def __init__(self, options: Options, recipes, blocks: list[list[str | None]], agent: Cell, goals: list[str]):
        self.options, self.recipes = options, recipes
        self.items = {item.name: item for item in recipes.items}
        self.gives = {item.collect: item for item in recipes.items if item.collect}
        self.depleting = {block.name for block in recipes.blocks if block.depletes}
        crafts = [("craft", item) for item in recipes.items if item.craft]
        places = [("place", item) for item in recipes.items if item.places]
        self.makings = crafts + places  # of the actions after COLLECT
        self.blocks, self.agent, self.goals = [list(row) for row in blocks], agent, goals
        self.height, self.width = len(blocks), len(blocks[0])
        self.direction = SOUTH
        self.inventory = dict.fromkeys(self.items, 0)
        self.obtained: set[str] = set()
        self.time = self.goal_time = 0
        self.results: list[bool] = []  # of the goals that are over
        self.events: collections.Counter[str] = collections.Counter()

    # -- rules --------------------------------------------------------------------------------------------------------

    @property
    def num_actions(self) -> int:
        return COLLECT + 1 + len(self.makings)

    @property
    def goal(self) -> str:
        """The goal under way; after the last one, the last."""
        return self.goals[min(len(self.results), len(self.goals) - 1)]

    @property
    def ahead(self) -> Cell:
        down, right = STEPS[self.direction]
        return self.agent[0] + down, self.agent[1] + right

    def at(self, cell: Cell) -> str | None:
        inside = 0 <= cell[0] < self.height and 0 <= cell[1] < self.width
        return self.blocks[cell[0]][cell[1]] if inside else OUTSIDE

    def step(self, action: int) -> Outcome:
        before = dict(self.inventory)
        used = self._act(action)
        # What could be kept of what came in, counted from what was left after parts went out.
        obtained = {name for name in self.items if self.inventory[name] > before[name] - used.get(name, 0)}
        goal, achievements = self.goal, obtained - self.obtained - {self.goal}
        self.obtained |= obtained
        self.time += 1
        self.goal_time += 1
        reached = goal in obtained
        late = bool(self.options.goal_steps) and self.goal_time >= self.options.goal_steps
        self.events["goal reached"] += reached
        self.events["goal timed out"] += late and not reached
        self.events["goal carried, not obtained"] += before[goal] > 0 and not reached
        tried = len(self.results) + 1
        if reached or late:
            self.results.append(reached)
            self.goal_time = 0
        are_over = len(self.results) == self.options.num_goals
        terminated = reached and are_over
        truncated = not terminated and (are_over or self.time >= self.options.max_steps)
        statistics: dict[str, float] = {"items_obtained": len(self.obtained)}
        if self.options.num_goals > 1:
            for i in range(self.options.num_goals):
                done = self.results[i] if i < len(self.results) else False
                statistics[f"goal_{i}_done"] = float(done) if i < tried else math.nan
        return Outcome(int(reached), terminated, truncated, frozenset(achievements), statistics)

    def _act(self, action: int) -> dict[str, int]:
        """Change blocks, agent and inventory; return what went out of the inventory."""
        if action < COLLECT:
            self.direction = action
            there = self.at(self.ahead)
            self.events["walked out"] += there == OUTSIDE
            self.events["walked into a block"] += there not in (None, OUTSIDE)
            if there is None:
                self.agent = self.ahead
            elif self.options.walk_to_collect:
                self._collect()
            return {}
        if action == COLLECT:
            self._collect()
            return {}
        way, item = self.makings[action - COLLECT - 1]
        return self._craft(item) if way == "craft" else self._place(item)

    def _collect(self) -> None:
        block = self.at(self.ahead)
        item = self.gives.get(block) if block else None
        if item is None:
            self.events["nothing to collect"] += 1
        elif item.tool and not self.inventory[item.tool]:
            self.events["no tool"] += 1
        else:
            self.events["collected with a tool" if item.tool else "collected by hand"] += 1
            self._gain(item.name, 1)
            if block in self.depleting:
                self.events["depleted"] += 1
                self.blocks[self.ahead[0]][self.ahead[1]] = None

    def _craft(self, item) -> dict[str, int]:
        if not self.has_parts(item):
            self.events["no parts"] += 1
            return {}
        if not self.is_near(item.at):
            self.events["no station"] += 1
            return {}
        for name, number in item.craft:
            self.inventory[name] -= number
        self.events[f"crafted at {item.at}" if item.at else "crafted by hand"] += 1
        self._gain(item.name, item.makes)
        return dict(item.craft)

    def _place(self, item) -> dict[str, int]:
        if not self.inventory[item.name] or self.at(self.ahead) is not None:
            self.events["not placed"] += 1
            return {}
        self.events["placed"] += 1
        self.inventory[item.name] -= 1
        self.blocks[self.ahead[0]][self.ahead[1]] = item.places
        return {item.name: 1}

    def _gain(self, name: str, number: int) -> None:
        self.events["lost"] += self.inventory[name] + number > self.options.capacity
        self.inventory[name] = min(self.inventory[name] + number, self.options.capacity)

    def has_parts(self, item) -> bool:
        return all(self.inventory[name] >= number for name, number in item.craft)

    def is_near(self, block: str) -> bool:
        """Whether it is within reach, in rows and in columns; no block always is."""
        row, col = self.agent
        span = range(-self.options.reach, self.options.reach + 1)
        return not block or any(self.at((row + down, col + right)) == block for down in span for right in span)

    # -- observations -------------------------------------------------------------------------------------------------

    def does_something(self, action: int) -> bool:
        """Whether the map or the inventory would change, or it is a move."""
        if action < COLLECT:
            return True
        other = copy.copy(self)
        other.blocks, other.inventory = [list(row) for row in self.blocks], dict(self.inventory)
        other.events = collections.Counter()
        other._act(action)
        return other.blocks != self.blocks or other.inventory != self.inventory

    def observation(self) -> dict[str, list[float] | list[list[int]] | list[bool] | int]:
        names, row, col = [block.name for block in self.recipes.blocks], *self.agent
        codes = {None: 0, OUTSIDE: 1 + len(names)} | {name: 1 + i for i, name in enumerate(names)}
        half = self.options.view_size // 2
        span, carried = range(-half, half + 1), list(self.inventory.values())
        seen = {
            "view": [[codes[self.at((row + down, col + right))] for right in span] for down in span],
            "direction": self.direction,
            "inventory": [n / self.options.capacity for n in carried] + [float(n > 0) for n in carried],
            "goal": [float(name == self.goal) for name in self.items],
            "time": [self.time / self.options.max_steps, self._goal_time()],
        }
        if self.options.compass:
            seen["nearest"] = [number for name in names for number in self._nearest(name)]
        if self.options.show_makeable:
            crafted = [item for way, item in self.makings if way == "craft"]
            seen["makeable"] = [float(self.has_parts(item) and self.is_near(item.at)) for item in crafted]
        if self.options.show_recipe:
            item = self.items[self.goal]
            takes = {item.tool, *(name for name, _ in item.craft)}
            block = item.collect or item.at
            seen["recipe"] = [float(name in takes) for name in self.items] + [float(name == block) for name in names]
            if self.options.compass:
                seen["recipe"] += self._nearest(block) if block else (0.0, 0.0, 0.0)
        if self.options.mask_actions:
            seen["mask"] = [self.does_something(action) for action in range(self.num_actions)]
        return seen

    def _goal_time(self) -> float:
        return self.goal_time / self.options.goal_steps if self.options.goal_steps else 0.0

    def _nearest(self, name: str) -> tuple[float, float, float]:
        row, col = self.agent
        cells = [(r, c) for r in range(self.height) for c in range(self.width) if self.blocks[r][c] == name]
        if not cells:
            return 0.0, 0.0, 0.0
        near = min(cells, key=lambda cell: abs(cell[0] - row) + abs(cell[1] - col))  # the first of equals
        down, right = near[0] - row, near[1] - col
        return float((down > 0) - (down < 0)), float((right > 0) - (right < 0)), 1 / max(abs(down) + abs(right), 1)
