"""Hide and seek once more, from its rules alone: lists, sets, loops and exact numbers; nothing of the world itself.

Letters: ``H W`` grid, ``N`` agents (hiders first), ``X`` boxes, ``R`` ramps, ``O = X + R`` objects (boxes first). A cell is
(row, col). Sight walks the segment between two centres in fractions; cones compare squares in numbers ``p + q·√2``.
"""

import collections
import dataclasses
import functools
import itertools
import math
from fractions import Fraction

Cell = tuple[int, int]
Placed = tuple[int, int, int]  # row, col, and direction or shape
NOTHING = NOBODY = -1
HIDERS, SEEKERS = 0, 1
SINGLE = 0  # the shape of a box of one cell, and of ramps; 1 is three cells in a row, 2 is three in a column
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # east, south, west, north
FOOTPRINTS = (((0, 0),), ((0, -1), (0, 0), (0, 1)), ((-1, 0), (0, 0), (1, 0)))
# The square of the cosine of half the field of view, p + q·√2: cos² 67.5° = (1 + cos 135°) / 2 = 1/2 - √2/4.
HALF = Fraction(1, 2)
COSINE_SQUARED = {
    90.0: (HALF, Fraction(0)),
    135.0: (HALF, Fraction(-1, 4)),
    180.0: (Fraction(0), Fraction(0)),
}


@dataclasses.dataclass(frozen=True)
class Arena:
    """A level in plain words. What is not present is None."""

    height: int
    width: int
    hiders: tuple[Placed | None, ...]
    seekers: tuple[Placed | None, ...]
    boxes: tuple[Placed | None, ...] = ()  # (row, col, shape)
    ramps: tuple[Placed | None, ...] = ()  # (row, col, direction in which it rises)
    tall: frozenset[Cell] = frozenset()
    low: frozenset[Cell] = frozenset()
    has_locks: bool = True
    has_preparation: bool = True


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of the world that rules depend on."""

    max_steps: int
    preparation: float = 0.4
    reward: str = "joint_zero_sum"
    surf: bool = True
    ramps_lockable: bool = True
    field_of_view: float = 135.0
    margin: int = 0
    leaving_penalty: float = 10.0
    penalize_objects: bool = False


class Game:
    """One episode: `step` changes it. ``events`` counts what happened, so that a test knows what it has seen."""

    def __init__(self, options: Options, arena: Arena):
        self.options, self.arena = options, arena
        agents, objects = arena.hiders + arena.seekers, arena.boxes + arena.ramps
        self.team = [HIDERS] * len(arena.hiders) + [SEEKERS] * len(arena.seekers)
        self.agents = [i for i, placed in enumerate(agents) if placed]
        self.hiders, self.seekers = ([i for i in self.agents if self.team[i] == team] for team in (HIDERS, SEEKERS))
        self.objects = [k for k, placed in enumerate(objects) if placed]
        self.boxes = [k for k in self.objects if k < len(arena.boxes)]
        self.ramps = [k for k in self.objects if k >= len(arena.boxes)]
        self.shapes = [placed[2] if placed else SINGLE for placed in arena.boxes] + [SINGLE] * len(arena.ramps)
        self.rises = {k: objects[k][2] for k in self.ramps}
        self.positions = [placed[:2] if placed else (0, 0) for placed in agents]
        self.directions = [placed[2] if placed else 0 for placed in agents]
        self.elevated = [False] * len(agents)
        self.holding = [NOTHING] * len(agents)
        self.object_positions = [placed[:2] if placed else (0, 0) for placed in objects]  # of the objects' centres
        self.first_positions = list(self.object_positions)
        self.covered = {cell: k for k in self.objects for cell in self.covers(k)}
        self.locked_by = [NOBODY] * len(objects)
        self.time = 0
        # Of the decimal number that was written: 0.29 of 100 steps are 29, of floats 28.999999999999996.
        self.end_of_preparation = int(Fraction(str(options.preparation)) * options.max_steps)
        self.preparation = self.end_of_preparation if arena.has_preparation else 0
        self.events = collections.Counter()
        self.steps_hidden = self.surf_steps = 0
        self._look()
        if self.end_of_preparation == 0:
            self._note_end_of_preparation()

    # -- what is where ------------------------------------------------------------------------------------------------

    def covers(self, k: int) -> set[Cell]:
        row, col = self.object_positions[k]
        return {(row + down, col + right) for down, right in FOOTPRINTS[self.shapes[k]]}

    def object_at(self, cell: Cell) -> int:
        return self.covered.get(cell, NOTHING)

    def is_inside(self, cell: Cell) -> bool:
        return 0 <= cell[0] < self.arena.height and 0 <= cell[1] < self.arena.width

    # -- a step -------------------------------------------------------------------------------------------------------

    def step(self, order: list[int], actions: list[tuple[int, int, int]]) -> list[float]:
        """Play turns in this order with actions (move, grab, lock) by agent; return the rewards."""
        was_elevated, waits = list(self.elevated), self.time < self.preparation
        for i in order:
            if i in self.agents:
                self._turn(i, *((0, 0, 0) if waits and self.team[i] == SEEKERS else actions[i]))
        self.time += 1
        self._look()
        if self.time == self.end_of_preparation:
            self._note_end_of_preparation()
        self.steps_hidden += not (waits or self.found)
        if self.time > self.end_of_preparation:
            self._note_step(was_elevated)
        return [0.0] * len(self.team) if waits else self._rewards()

    def _turn(self, i: int, move: int, grab: int, lock: int) -> None:
        near = self.positions[i] if self.elevated[i] else shifted(self.positions[i], self.directions[i])
        if not grab:
            self.holding[i] = NOTHING
        elif self.holding[i] == NOTHING:
            target = self.object_at(near)
            may_hold = not self.elevated[i] or (self.options.surf and target in self.boxes)
            if target != NOTHING and may_hold and self.locked_by[target] == NOBODY:
                self.holding[i] = target
                self.events["held"] += 1
        if lock and self.arena.has_locks:
            self._turn_lock(i, self.object_at(near) if self.holding[i] == NOTHING else self.holding[i])
        if move:
            self.directions[i] = move - 1
            if self.holding[i] == NOTHING:
                self._walk(i, move - 1)
            else:
                self._drag(i, self.holding[i], move - 1)

    def _turn_lock(self, i: int, k: int) -> None:
        if k == NOTHING or (k in self.ramps and not self.options.ramps_lockable):
            return
        if self.locked_by[k] == self.team[i]:
            self.locked_by[k] = NOBODY
            self.events["unlocked"] += 1
        elif self.locked_by[k] == NOBODY:
            self.locked_by[k] = self.team[i]
            self.events["let go"] += self.holding.count(k)
            self.holding = [NOTHING if held == k else held for held in self.holding]
        else:
            self.events["foreign lock"] += 1

    def _walk(self, i: int, direction: int) -> None:
        b = shifted(self.positions[i], direction)
        if not self.is_inside(b) or b in self.arena.tall or b in (self.positions[j] for j in self.agents):
            return
        on_top = b in self.arena.low or self.object_at(b) != NOTHING
        if on_top and not self.elevated[i]:
            if self.rises.get(self.object_at(b)) != direction:
                self.events["too high"] += 1
                return
            self.events["climbed"] += 1
        elif on_top:
            self.events["walked on tops"] += 1
        elif self.elevated[i]:
            self.events["stepped down"] += 1
        self.positions[i], self.elevated[i] = b, on_top

    def _drag(self, i: int, k: int, direction: int) -> None:
        others = {self.positions[j] for j in self.agents if j != i}
        walls = self.arena.tall | self.arena.low
        other_objects = {cell for cell, j in self.covered.items() if j != k}
        moved = {shifted(cell, direction) for cell in self.covers(k)}
        b = shifted(self.positions[i], direction)
        wanted = moved if self.elevated[i] else moved | {b}
        obstacles = {
            "somebody on it": bool(others & self.covers(k)),
            "drag leaves": not all(self.is_inside(cell) for cell in wanted),
            "drag meets wall": bool(wanted & walls),
            "drag meets object": bool(wanted & other_objects),
            "drag meets agent": bool(wanted & others),
        }
        for name, is_there in obstacles.items():
            self.events[name] += is_there
        if any(obstacles.values()):
            return
        self.positions[i], self.object_positions[k] = b, shifted(self.object_positions[k], direction)
        self.covered = {cell: j for cell, j in self.covered.items() if j != k} | dict.fromkeys(moved, k)
        self.events["surfed" if self.elevated[i] else "dragged"] += 1
        for j, held in enumerate(self.holding):
            if j != i and held == k:
                self.holding[j] = NOTHING
                self.events["taken away"] += 1
        surfed = self.elevated[i] and self.team[i] == SEEKERS
        self.events["seeker surfed"] += surfed
        self.surf_steps += surfed and self.time >= self.end_of_preparation

    # -- sight --------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Note who sees whom (``[i][j]``) and what (``[i][k]``), and the hiders that some seeker sees."""
        agents, objects = range(len(self.team)), range(len(self.object_positions))
        self.sees_agents = [[i != j and j in self.agents and self._sees_agent(i, j) for j in agents] for i in agents]
        self.sees_objects = [[k in self.objects and self._sees_object(i, k) for k in objects] for i in agents]
        self.found = {i for i in self.hiders if any(self.sees_agents[j][i] for j in self.seekers)}

    def _sees_agent(self, i: int, j: int) -> bool:
        return self._sees(i, self.positions[j], self.elevated[i] or self.elevated[j], NOTHING)

    def _sees_object(self, i: int, k: int) -> bool:
        return self._sees(i, self.object_positions[k], self.elevated[i], k)

    def _sees(self, i: int, target: Cell, over_low: bool, looked_at: int) -> bool:
        if i not in self.agents:
            return False
        row, col = self.positions[i]
        down, right = target[0] - row, target[1] - col
        if not in_cone(self.directions[i], down, right, self.options.field_of_view):
            return False
        for r, c in cells_between(down, right):
            cell = (row + r, col + c)
            if cell in self.arena.tall:
                return False
            if not over_low and (cell in self.arena.low or self.object_at(cell) not in (NOTHING, looked_at)):
                return False
        return True

    # -- rewards ------------------------------------------------------------------------------------------------------

    def _rewards(self) -> list[float]:
        reward = [Fraction(0)] * len(self.team)
        for i in self.hiders:
            reward[i] = Fraction(-1 if i in self.found else 1)
        for j in self.seekers:
            reward[j] = Fraction(1 if any(self.sees_agents[j][i] for i in self.hiders) else -1)
        if self.options.reward == "joint_mean":
            means = [sum(reward[i] for i in team) / len(team) for team in (self.hiders, self.seekers)]
            reward = [means[self.team[i]] if i in self.agents else Fraction(0) for i in range(len(reward))]
        if self.options.reward == "joint_zero_sum":
            of_team = (-1, 1) if self.found else (1, -1)
            reward = [Fraction(of_team[self.team[i]] if i in self.agents else 0) for i in range(len(reward))]
        object_left = self.options.penalize_objects and any(self._is_left(cell) for cell in self.covered)
        for i in self.agents:
            if object_left or self._is_left(self.positions[i]):
                reward[i] = Fraction(-self.options.leaving_penalty)
        return [float(value) for value in reward]

    def _is_left(self, cell: Cell) -> bool:
        """Whether a cell is outside the arena: fewer cells from the border than the margin."""
        row, col = cell
        return min(row, col, self.arena.height - 1 - row, self.arena.width - 1 - col) < self.options.margin

    # -- statistics ---------------------------------------------------------------------------------------------------

    def _note_end_of_preparation(self) -> None:
        arena = self.arena
        grid = set(itertools.product(range(arena.height), range(arena.width)))
        free = grid - arena.tall - arena.low - self.covered.keys()
        self.fort = flood(free, [self.positions[i] for i in self.hiders])
        on_ground = not any(self.elevated[i] for i in self.hiders)
        self.is_enclosed = on_ground and not any(self.positions[j] in self.fort for j in self.seekers)
        self.is_breached = self.is_over_ramp = False
        denied = [self.locked_by[k] == HIDERS or self._is_ramp_inside(k, free) for k in self.ramps]
        self.notes = {f"{name}_preparation": value for name, value in self._moved_and_locked((HIDERS,)).items()}
        self.notes["boxes_free_preparation"] = len(self.boxes) - self.notes["boxes_locked_preparation"]
        self.notes["ramp_denied"] = sum(denied) / len(denied) if denied else math.nan

    def _is_ramp_inside(self, k: int, free: set[Cell]) -> bool:
        near = {shifted(self.object_positions[k], direction) for direction in range(4)}
        return self.is_enclosed and bool(near & self.fort) and not near & (free - self.fort)

    def _moved_and_locked(self, teams: tuple[int, ...] = (HIDERS, SEEKERS)) -> dict[str, float]:
        values = {}
        for one, many, objects in (("box", "boxes", self.boxes), ("ramp", "ramps", self.ramps)):
            moves = [math.dist(self.object_positions[k], self.first_positions[k]) for k in objects]
            values[f"{one}_move"] = max(moves, default=math.nan)
            values[f"{many}_locked"] = sum(self.locked_by[k] in teams for k in objects) if objects else math.nan
        return values

    def _note_step(self, was_elevated: list[bool]) -> None:
        for j in self.seekers:
            self.events["seeker elevated"] += self.elevated[j]
            sees_hider = any(self.sees_agents[j][i] for i in self.hiders)
            stands_in = not self.elevated[j] and self.positions[j] in self.fort
            sees_in = any(self.sees_agents[j][i] and self.positions[i] in self.fort for i in self.hiders)
            from_above = (sees_in and self.elevated[j]) or (stands_in and was_elevated[j])
            self.is_breached |= self.is_enclosed and (sees_hider or stands_in)
            self.is_over_ramp |= self.is_enclosed and from_above

    def statistics(self) -> dict[str, float]:
        """What is said of the episode at its last step."""
        return self.notes | self._moved_and_locked() | {
            "enclosed": float(self.is_enclosed),
            "breach": float(self.is_breached),
            "fort_held": float(self.is_enclosed and not self.is_breached),
            "via_ramp": float(self.is_over_ramp),
            "surf_steps": float(self.surf_steps),
            "elevated_steps": float(self.events["seeker elevated"]),
            "hidden": self.steps_hidden / (self.options.max_steps - self.preparation),
        }  # fmt: skip


def have_hiders_won(arena: Arena, returns: list[float]) -> bool:
    earned = [value for value, placed in zip(returns, arena.hiders, strict=False) if placed]
    return sum(earned) / len(earned) > 0


def shifted(cell: Cell, direction: int) -> Cell:
    return cell[0] + STEPS[direction][0], cell[1] + STEPS[direction][1]


def flood(free: set[Cell], sources: list[Cell]) -> set[Cell]:
    """The free cells that can be walked to from the sources, by a queue."""
    reached = set(sources) & free
    queue = collections.deque(reached)
    while queue:
        cell = queue.popleft()
        for near in (shifted(cell, direction) for direction in range(4)):
            if near in free and near not in reached:
                reached.add(near)
                queue.append(near)
    return reached


@functools.cache
def cells_between(down: int, right: int) -> list[Cell]:
    """The cells, seen from the first, whose closed squares the segment from (0, 0) to (down, right) touches, but the ends.

    Every cell around the two is asked, not only those of the box that they span.
    """
    rows, cols = range(min(down, 0) - 1, max(down, 0) + 2), range(min(right, 0) - 1, max(right, 0) + 2)
    cells = [cell for cell in itertools.product(rows, cols) if cell not in ((0, 0), (down, right))]
    return [cell for cell in cells if touches(down, right, cell)]


def touches(down: int, right: int, cell: Cell) -> bool:
    """Whether the segment has a point in the closed unit square around ``cell``: clipped to it, a piece is left."""
    first, last = Fraction(0), Fraction(1)  # of the way
    for length, centre in ((down, cell[0]), (right, cell[1])):
        if length == 0 and not -HALF <= centre <= HALF:
            return False
        if length != 0:
            enters, leaves = sorted(((centre - HALF) / length, (centre + HALF) / length))
            first, last = max(first, enters), min(last, leaves)
    return first <= last


@functools.cache
def in_cone(direction: int, down: int, right: int, field_of_view: float) -> bool:
    """Whether along >= cos(half) · distance, by squares and signs alone. With 360 degrees everything is."""
    if field_of_view == 360.0:
        return True
    along = STEPS[direction][0] * down + STEPS[direction][1] * right
    p, q = COSINE_SQUARED[field_of_view]
    distance_squared = down**2 + right**2
    return along >= 0 and is_not_negative(along**2 - p * distance_squared, -q * distance_squared)


def is_not_negative(p: Fraction, q: Fraction) -> bool:
    """Whether p + q·√2 >= 0: x·|x| grows with x, and takes the root away."""
    return p * abs(p) + 2 * q * abs(q) >= 0
