"""Edits of hide and seek levels: the exact distribution of children, by enumeration in plain Python, and what they keep."""

import collections
import dataclasses
import functools

import hide_and_seek_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from minied_envs.grid import bitboard
from minied_envs.hide_and_seek import HideAndSeek, doors
from minied_envs.hide_and_seek.generators import HideAndSeekLevels

NUM_CHILDREN = 20_000
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))

# A level as sets and tuples: tall walls, low walls, and for each place None or (row, col, direction or shape).
State = tuple[frozenset, frozenset, tuple]


@dataclasses.dataclass(frozen=True)
class Case:
    world: HideAndSeek
    drawing: str


def case(drawing, *, margin=0, room=(1, 2, 2, 1), **options):
    rows = drawing.split()
    names = ("max_hiders", "max_seekers", "max_boxes", "max_ramps")
    levels = HideAndSeekLevels("open", num_edits=1, **options)
    world = HideAndSeek(
        height=len(rows), width=len(rows[0]), margin=margin, **dict(zip(names, room, strict=True)), levels=levels
    )
    return Case(world, "\n".join(rows))


CASES = {
    # A door of one cell; one seeker, box and ramp of two, two and one.
    "a door": case(
        """
        >.#..e
        ..#.o.
        ....W.
        ..#...
        ..#...
        """,
        max_long=1,
    ),
    # In a ring of walls, with low walls that nobody climbs without a ramp, and a door of two cells.
    "low walls": case(
        """
        #######
        #.>=..#
        #..=..#
        #+-+..#
        ####..#
        #..E.S#
        #######
        """,
        margin=1,
        room=(2, 2, 1, 0),
        max_long=1,
        min_boxes=1,
        min_long=1,
        min_hiders=1,
    ),
    # Everything is there that may be, and nothing may be taken away; a thing begins outside of the arena.
    "limits": case(
        """
        .......
        .>..o..
        .#.##..
        .#...N.
        .#.#...
        ......w
        """,
        margin=1,
        room=(1, 1, 1, 1),
        min_boxes=1,
        min_ramps=1,
    ),
}


def kinds_of(world):
    return (
        ["hider"] * world.max_hiders
        + ["seeker"] * world.max_seekers
        + ["box"] * world.max_boxes
        + ["ramp"] * (world.max_ramps)
    )


def state_of(level, width) -> State:
    tall, low = (
        frozenset(map(tuple, np.argwhere(samples.cells_of_board(board[None], width)[0]).tolist()))
        for board in (level.tall, level.low)
    )
    slots = []
    for kind, other in (("agent", "directions"), ("box", "shapes"), ("ramp", "directions")):
        for i, here in enumerate(getattr(level, f"{kind}_present")):
            place = getattr(level, f"{kind}_positions")[i].tolist()
            slots.append((*place, int(getattr(level, f"{kind}_{other}")[i])) if here else None)
    return tall, low, tuple(slots)


def taken(world, slots):
    cells = []
    for kind, slot in zip(kinds_of(world), slots, strict=True):
        if slot is not None:
            row, col, shape = slot
            around = samples.SHAPE_CELLS[shape] if kind == "box" else [(0, 0)]
            cells += [(row + down, col + right) for down, right in around]
    return cells


def arena(world):
    m = world.margin
    return {(r, c) for r in range(m, world.height - m) for c in range(m, world.width - m)}


def can_all_meet(world, state):
    tall, low, slots = state
    kinds = kinds_of(world)
    has_ramp = any(slot and kind == "ramp" for kind, slot in zip(kinds, slots, strict=True))
    walls = tall if has_ramp else tall | low

    def area(cell):
        found, queue = {cell}, [cell]
        while queue:
            row, col = queue.pop()
            for down, right in STEPS:
                near = row + down, col + right
                inside = 0 <= near[0] < world.height and 0 <= near[1] < world.width
                if inside and near not in walls and near not in found:
                    found.add(near)
                    queue.append(near)
        return found

    teams = {
        name: [slot[:2] for kind, slot in zip(kinds, slots, strict=True) if slot and kind == name]
        for name in ("hider", "seeker")
    }
    for own, other in (("hider", "seeker"), ("seeker", "hider")):
        if not all(any(cell in area(agent) for cell in teams[other]) for agent in teams[own]):
            return False
    return True


def numbers(world, slots):
    kinds = kinds_of(world)
    count = {
        kind: sum(slot is not None and kind == each for each, slot in zip(kinds, slots, strict=True))
        for kind in ("hider", "seeker", "box", "ramp")
    }
    count["long"] = sum(
        slot is not None and kind == "box" and slot[2] > 0 for kind, slot in zip(kinds, slots, strict=True)
    )
    return count


def is_allowed(world, parent: State, child: State):
    tall, low, slots = child
    cells = taken(world, slots)
    grid = {(r, c) for r in range(world.height) for c in range(world.width)}
    if len(set(cells)) < len(cells) or not set(cells) <= grid - tall - low:
        return False
    if set(cells) - arena(world) - set(taken(world, parent[2])):
        return False
    now, before = numbers(world, slots), numbers(world, parent[2])
    options = world.levels
    limits = {
        "hider": (options.min_hiders, world.max_hiders),
        "seeker": (options.min_seekers, world.max_seekers),
        "box": (options.min_boxes, world.max_boxes),
        "ramp": (options.min_ramps, world.max_ramps),
        "long": (min(options.min_long, now["box"]), min(options.max_long, now["box"])),
    }
    for name, (least, most) in limits.items():
        if now[name] < least and now[name] < before[name]:
            return False
        if now[name] > most and now[name] > before[name]:
            return False
    return can_all_meet(world, child)


def door_moves(world, tall):
    """Return (cell that closes, cell that opens) of all doors that can go one cell on, cell by cell."""
    inside = arena(world)

    def is_free(cell):
        return cell in inside and cell not in tall

    def add(cell, step, times=1):
        return cell[0] + times * step[0], cell[1] + times * step[1]

    found = []
    for d, step in enumerate(STEPS):
        left, right = STEPS[(d + 3) % 4], STEPS[(d + 1) % 4]
        for length in (1, 2):

            def gap(cell, step=step, length=length):
                """The cells of a gap that begins here, none if it is none."""
                cells = [add(cell, step, i) for i in range(length)]
                ends = add(cell, step, -1), add(cell, step, length)
                return cells if all(map(is_free, cells)) and not any(map(is_free, ends)) else []

            for cell in inside:
                is_passage = all(any(is_free(add(one, side)) for one in gap(cell)) for side in (left, right))
                is_corridor = any(gap(add(cell, side)) for side in (left, right))
                opens = add(cell, step, length)
                if gap(cell) and is_passage and not is_corridor and opens in inside:
                    found.append((cell, opens))
    return found


def children(world, parent: State):
    """Return the chance of each child of one edit."""
    tall, low, slots = parent
    kinds = kinds_of(world)
    chances = collections.defaultdict(float)
    cells = set(taken(world, slots))
    free = [cell for cell in arena(world) if cell not in cells]

    def add(child, chance):
        chances[child if is_allowed(world, parent, child) else parent] += chance

    def with_slot(i, slot):
        return tall, low, (*slots[:i], slot, *slots[i + 1 :])

    present = [i for i, slot in enumerate(slots) if slot is not None]
    for i in present:
        row, col, kind = slots[i]
        for down, right in STEPS:
            add(with_slot(i, (row + down, col + right, kind)), 1 / 5 / len(present) / 4)
        others = [k for k in range(3 if kinds[i] == "box" else 4) if k != kind]
        for other in others:
            add(with_slot(i, (row, col, other)), 1 / 5 / len(present) / len(others))
    ground = [cell for cell in free if cell not in tall | low]
    for i, slot in enumerate(slots):
        if slot is not None:
            add(with_slot(i, None), 1 / 5 / len(slots))
            continue
        choices = range((3 if world.levels.max_long else 1) if kinds[i] == "box" else 4)
        for cell in ground:
            for kind in choices:
                add(with_slot(i, (*cell, kind)), 1 / 5 / len(slots) / len(ground) / len(choices))
    doors = [move for move in door_moves(world, tall) if move[0] in free]
    for closes, opens in doors:
        add(((tall | {closes}) - {opens}, low, slots), 1 / 5 / len(doors))
    if not doors:
        add(parent, 1 / 5)
    for cell in free:
        child = (tall, low - {cell}, slots) if cell in low else (tall ^ {cell}, low, slots)
        add(child, 1 / 5 / len(free))
    return chances


@functools.cache
def edited(name):
    """The parent, the states of its children, and the children."""
    world, drawing = CASES[name].world, CASES[name].drawing
    space = world.level_space
    parent = space.from_text(drawing)
    mutate = jax.jit(jax.vmap(lambda key: space.mutate(key, parent)))
    batch = mutate(samples.keys(NUM_CHILDREN))
    leaves = [np.asarray(leaf).reshape(NUM_CHILDREN, -1).astype(np.int64) for leaf in jax.tree.leaves(batch)]
    _, first, counts = np.unique(np.concatenate(leaves, axis=1), axis=0, return_index=True, return_counts=True)
    found = [state_of(jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], batch), world.width) for i in first]
    return state_of(parent, world.width), collections.Counter(dict(zip(found, counts.tolist(), strict=True))), batch


@pytest.mark.parametrize("name", CASES)
def test_children_of_one_edit_are_those_of_a_plain_enumeration(name):
    parent, counts, batch = edited(name)
    chances = children(CASES[name].world, parent)
    assert sum(chances.values()) == pytest.approx(1)
    assert set(counts) <= set(chances)
    common = [state for state, chance in chances.items() if chance * NUM_CHILDREN >= 5]
    pooled = [counts[state] for state in common] + [NUM_CHILDREN - sum(counts[state] for state in common)]
    expected = [chances[state] * NUM_CHILDREN for state in common]
    expected.append(NUM_CHILDREN - sum(expected))
    keep = np.asarray(expected) > 1e-6
    assert len(common) > 20
    assert stats.chisquare(np.asarray(pooled)[keep], np.asarray(expected)[keep]).pvalue > 1e-3
    assert samples.is_canonical(batch).all()


def test_every_kind_of_edit_occurs():
    parent, counts, _ = edited("a door")
    tall, _, slots = parent
    changed = collections.Counter()
    for child_tall, _, child_slots in counts:
        for i, (old, new) in enumerate(zip(slots, child_slots, strict=True)):
            kind = kinds_of(CASES["a door"].world)[i]
            if old == new:
                continue
            if old is None or new is None:
                changed[kind, "comes" if old is None else "goes"] += 1
            else:
                changed[kind, "moves" if old[:2] != new[:2] else "turns"] += 1
        changed["walls", len(tall ^ child_tall)] += tall != child_tall
    assert set(changed) >= {
        ("hider", "moves"), ("hider", "turns"), ("seeker", "comes"), ("seeker", "moves"), ("seeker", "turns"),
        ("box", "comes"), ("box", "goes"), ("box", "moves"), ("box", "turns"),
        ("ramp", "goes"), ("ramp", "moves"), ("ramp", "turns"), ("walls", 1), ("walls", 2),
    }  # fmt: skip
    assert ("hider", "goes") not in changed  # the only one
    assert ("seeker", "goes") not in changed


def test_doors_of_the_cases():
    # By hand: the door at (2, 2) goes up to (1, 2) or down to (3, 2).
    door = CASES["a door"]
    assert sorted(door_moves(door.world, state_of(door.world.level_space.from_text(door.drawing), 6)[0])) == [
        ((2, 2), (1, 2)),
        ((2, 2), (3, 2)),
    ]
    # The door of two at (4, 4) and (4, 5), next to the ring, goes west: (4, 5) closes and (4, 3) opens.
    low = CASES["low walls"]
    assert door_moves(low.world, state_of(low.world.level_space.from_text(low.drawing), 7)[0]) == [((4, 5), (4, 3))]


@pytest.mark.parametrize("margin", [0, 1])
def test_doors_that_can_be_moved_on_random_walls(margin):
    height, width = 6 + 2 * margin, 7 + 2 * margin
    world = HideAndSeek(height=height, width=width, margin=margin, levels=HideAndSeekLevels("open"))
    dimensions = world.level_space.dimensions
    cells = np.random.default_rng(0).random((300, height, width)) < 0.45
    boards = jax.vmap(bitboard.pack)(jnp.asarray(cells))
    found = jax.jit(jax.vmap(lambda board: doors.movable_doors(board, dimensions)))(boards)
    total = 0
    for tall, moves in zip(cells, np.asarray(found), strict=True):
        expected = door_moves(world, frozenset(map(tuple, np.argwhere(tall).tolist())))
        closing = samples.cells_of_board(moves, width)
        listed = []
        for (direction, length), cell_board in zip(doors.MOVES, closing, strict=True):
            for row, col in np.argwhere(cell_board).tolist():
                down, right = STEPS[direction]
                listed.append(((row, col), (row + length * down, col + length * right)))
        assert sorted(listed) == sorted(expected)
        total += len(expected)
    assert total > 300


def world_of_rooms(**options):
    levels = HideAndSeekLevels("rooms", min_boxes=1, max_long=2, min_long=1, min_ramps=1, **options)
    return HideAndSeek(height=12, width=11, margin=1, max_boxes=4, max_ramps=2, levels=levels)


def test_edited_levels_are_levels_with_as_much_as_a_draw_may_have():
    space = world_of_rooms(num_edits=30).level_space

    @jax.jit
    def bred(keys):
        parents = jax.vmap(space.sample)(keys)
        result = jax.vmap(space.mutate)(keys, parents)
        return parents, result, jax.vmap(space.is_valid)(result)

    parents, result, is_valid = jax.tree.map(np.asarray, bred(samples.keys(1000)))
    assert is_valid.all()
    assert samples.is_canonical(result).all()
    boxes, long = result.box_present.sum(axis=1), (result.box_shapes > 0).sum(axis=1)
    assert set(np.unique(boxes)) == {1, 2, 3, 4}
    assert set(np.unique(long)) == {1, 2}
    assert set(np.unique(result.ramp_present.sum(axis=1))) == {1, 2}
    assert set(np.unique(result.agent_present[:, :2].sum(axis=1))) == {1, 2}
    ring = np.ones((12, 11), bool)
    ring[1:-1, 1:-1] = False
    before, after = (samples.cells_of_board(levels.tall, 11) for levels in (parents, result))
    np.testing.assert_array_equal(before[:, ring], after[:, ring])
    assert (before != after).any(axis=0)[~ring].all()
    positions = np.concatenate([result.agent_positions, result.ramp_positions], axis=1)
    present = np.concatenate([result.agent_present, result.ramp_present], axis=1)
    assert positions[present].min() == 1
    assert np.all(positions[present].max(axis=0) == [10, 9])


def test_no_edits_change_nothing_and_vmap_equals_loop():
    space = world_of_rooms(num_edits=0).level_space
    level = jax.jit(space.sample)(jax.random.key(0))
    child = jax.jit(space.mutate)(jax.random.key(1), level)
    assert all(bool(jnp.all(a == b)) for a, b in zip(jax.tree.leaves(level), jax.tree.leaves(child), strict=True))
    world = CASES["a door"].world
    parent = world.level_space.from_text(CASES["a door"].drawing)
    mutate = jax.jit(world.level_space.mutate)
    batch = edited("a door")[2]
    for i, key in enumerate(samples.keys(NUM_CHILDREN)[:5]):
        for alone, batched in zip(jax.tree.leaves(mutate(key, parent)), jax.tree.leaves(batch), strict=True):
            np.testing.assert_array_equal(alone, batched[i])
