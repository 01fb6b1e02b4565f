"""The families' generators: valid and solvable levels, distributed as MiniGrid's."""

import chex
import gridworld_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied_envs.gridworld import GridLevels, GridWorld, codes, described, missions, reach
from minied_envs.gridworld.families import Mixture, standard
from minied_envs.gridworld.level import is_valid, padded
from minied_envs.gridworld.memory import Memory
from minied_envs.gridworld.multi_room import MultiRoom
from minied_envs.gridworld.open_families import Crossing, DoorKey, FourRooms, LavaGap
from minied_envs.gridworld.room_families import BlockedUnlockPickup, KeyCorridor, ObstructedMaze

FAMILIES = {
    "Empty-8x8-v0": described.empty(6, 6, random_start=False),
    "Empty-Random-5x5-v0": described.empty(3, 3, random_start=True),
    "FourRooms-v0": FourRooms(17, 17),
    "DoorKey-6x6-v0": DoorKey(4, 4),
    "MultiRoom-N2-S4-v0": MultiRoom(23, 23, 2, 2, 4),
    "MultiRoom-N4-S5-v1": MultiRoom(23, 23, 4, 4, 5),
    "KeyCorridorS3R1-v0": KeyCorridor(3, 1),
    "KeyCorridorS3R3-v0": KeyCorridor(3, 3),
    "KeyCorridorS4R3-v0": KeyCorridor(4, 3),
    "Unlock-v0": described.unlock(),
    "UnlockPickup-v0": described.unlock_pickup(),
    "BlockedUnlockPickup-v0": BlockedUnlockPickup(),
    "LavaGapS6-v0": LavaGap(4, 4),
    "LavaCrossingS9N3-v0": Crossing(7, 7, 3),
    "SimpleCrossingS9N2-v0": Crossing(7, 7, 2, "wall"),
    "MemoryS9-v0": Memory(7),
    "MemoryS13Random-v0": Memory(11, random_length=True),
    "ObstructedMaze-1Dlhb-v0": ObstructedMaze("1Dlhb"),
    "ObstructedMaze-2Dl-v0": ObstructedMaze("2Dl"),
    "ObstructedMaze-2Dlhb-v1": ObstructedMaze("2Dlhb"),
    "ObstructedMaze-2Q-v1": ObstructedMaze("2Q"),
    "ObstructedMaze-Full-v1": ObstructedMaze("Full"),
}
SOLVED = ("DoorKey-6x6-v0", "KeyCorridorS3R1-v0", "Unlock-v0", "UnlockPickup-v0", "LavaGapS6-v0", "MemoryS9-v0")


def draw(family, number, seed=0):
    levels = jax.jit(jax.vmap(family.draw))(jax.random.split(jax.random.key(seed), number))
    return jax.tree.map(np.asarray, levels)


def one(levels, index):
    return jax.tree.map(lambda leaf: leaf[index], levels)


def num_closed_doors(level):
    return int(((level.cells >= codes.CLOSED_DOOR) & (level.cells < codes.LOCKED_DOOR)).sum())


def statistics(level):
    """Numbers whose means tell distributions of levels apart."""
    cells = np.asarray(level.cells)
    rows, cols = np.indices(cells.shape)
    start = np.asarray(level.agent_position).astype(float)
    told = {"start row": start[0], "start col": start[1], "facing": float(level.agent_direction)}
    for name, mask in {
        "wall": cells == codes.WALL,
        "lava": cells == codes.LAVA,
        "closed": (cells >= codes.CLOSED_DOOR) & (cells < codes.LOCKED_DOOR),
        "locked": (cells >= codes.LOCKED_DOOR) & (cells < codes.KEY),
        "object": cells >= codes.KEY,
        "ball": (cells >= codes.BALL) & (cells < codes.BOX),
        "box": (cells >= codes.BOX) & (cells < codes.FILLED_BOX),
        "filled": cells >= codes.FILLED_BOX,
        "goal": cells == codes.GOAL,
        "right": cells == codes.RIGHT_ANSWER,
    }.items():
        told[name] = float(mask.sum())
        told[f"{name} row"] = float(rows[mask].sum())
        told[f"{name} col"] = float(cols[mask].sum())
        told[f"{name} spread"] = float((rows[mask] ** 2 + cols[mask] ** 2).sum())
    colours = np.where(cells >= codes.CLOSED_DOOR, (cells - 1) % 6, 0)
    told["colours"] = float(colours.sum())
    told["mission"] = float(level.mission)
    return told


@pytest.mark.parametrize("name", FAMILIES)
def test_levels_are_valid_and_no_longer_or_larger_than_they_say(name):
    family = FAMILIES[name]
    levels = draw(family, 64)
    assert levels.cells.shape[1:] == family.size
    assert np.all(levels.max_steps == family.max_steps)
    assert bool(jax.vmap(is_valid)(levels).all())
    assert bool(jax.jit(jax.vmap(reach.is_solvable))(levels).all())
    assert len({one(levels, i).cells.tobytes() + bytes(one(levels, i).agent_position) for i in range(64)}) > 1 or (
        name in ("Empty-8x8-v0",)
    )


def compare_with_minigrid(name, number):
    """Every statistic's mean within 5 standard errors of MiniGrid's (two samples), and equal where neither varies."""
    env, family = oracle.make(f"MiniGrid-{name}"), FAMILIES[name]
    assert (env.height - 2, env.width - 2) == family.size
    assert env.max_steps == family.max_steps
    theirs = []
    for seed in range(number):
        env.reset(seed=seed)
        theirs.append(statistics(oracle.to_level(env)))
    levels = draw(family, 2 * number)
    ours = [statistics(one(levels, i)) for i in range(2 * number)]
    for key in theirs[0]:
        a, b = (np.array([each[key] for each in sample]) for sample in (theirs, ours))
        error = np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) <= 5 * error + 1e-9, (key, a.mean(), b.mean(), error)


@pytest.mark.parametrize("name", ["DoorKey-6x6-v0", "LavaCrossingS9N3-v0", "UnlockPickup-v0", "KeyCorridorS3R3-v0"])
def test_levels_are_distributed_as_minigrids(name):
    compare_with_minigrid(name, 200)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_levels_are_distributed_as_minigrids_closely(name):
    compare_with_minigrid(name, 1500)


@pytest.mark.parametrize("name", SOLVED)
def test_a_plain_search_solves_every_level(name):
    levels = draw(FAMILIES[name], 8, seed=1)
    for i in range(8):
        actions = oracle.solve(one(levels, i))
        assert actions is not None
        assert len(actions) <= FAMILIES[name].max_steps


def test_what_cannot_be_reached_cannot_be_solved_and_the_plain_search_agrees():
    """On small random maps: the quick answer is never no where the search finds a way, and mostly the same."""
    rng = np.random.default_rng(0)
    things = [codes.WALL] * 8 + [codes.EMPTY] * 12 + [codes.LAVA, codes.LOCKED_DOOR, codes.CLOSED_DOOR + 1, codes.KEY]
    things += [codes.BALL + 1, int(codes.filled(codes.BOX, codes.KEY)), codes.LOCKED_DOOR + 1]
    answers = []
    solvable = jax.jit(reach.is_solvable)
    template = one(draw(described.empty(3, 4, random_start=False), 1), 0)
    for _ in range(60):
        cells = rng.choice(things, (3, 4)).astype(np.uint8)
        cells[0, 0], cells[2, 3] = codes.EMPTY, codes.GOAL
        level = template.replace(cells=cells)
        answers.append((bool(solvable(level)), oracle.solve(level) is not None))
    assert (False, True) not in answers
    assert answers.count((True, True)) > 10
    assert answers.count((False, False)) > 10
    assert answers.count((True, False)) <= 3  # where there is no room to put something down


def test_distance_by_hand():
    #  > . Ly . G   the lock opens with the key below: the way is straight, 4 moves
    #  . Ky # # #
    space = GridWorld(2, 5, levels=GridLevels("empty")).level_space
    level = jax.tree.map(jnp.asarray, space.from_text(">  . Ly . G\n. Ky # # #"))
    assert float(space.describe(level)["distance"]) == 4
    assert float(space.describe(level)["solvable"]) == 1
    without = jax.tree.map(jnp.asarray, space.from_text("> . Ly . G\n. Kr # # #"))
    assert np.isnan(float(space.describe(without)["distance"]))
    told = {name: float(value) for name, value in space.describe(without).items()}
    assert told["solvable"] == 0
    assert (told["num_walls"], told["num_doors"], told["num_locked_doors"], told["num_objects"]) == (3, 1, 1, 1)


def test_the_right_answer_of_a_memory_task_is_beside_the_object_that_was_shown():
    for level in (one(draw(Memory(7, random_length=True), 32), i) for i in range(32)):
        shown = level.cells[2, 0]
        north, south = np.argwhere((level.cells >= codes.KEY) & (np.indices((7, 7))[1] > 3))
        matching = north if level.cells[tuple(north)] == shown else south
        assert level.cells[tuple(matching)] == shown
        (right,) = np.argwhere(level.cells == codes.RIGHT_ANSWER)
        (wrong,) = np.argwhere(level.cells == codes.WRONG_ANSWER)
        assert np.abs(right - matching).sum() == 1
        assert np.abs(wrong - matching).sum() == 3


def test_nothing_is_put_about_the_middle_where_minigrids_agent_stands_first():
    """In two rooms that is row 2, column 7 of the right one: 11 cells are left, each drawn about 18 times."""
    for family in (BlockedUnlockPickup(), described.unlock_pickup(), ObstructedMaze("1Dl")):
        levels = draw(family, 200)
        target = (levels.cells >= codes.BALL) & (np.indices((4, 9))[1] > 4)
        places = {tuple(place[1:].tolist()) for place in np.argwhere(target)}
        assert places == {(row, col) for row in range(4) for col in range(5, 9) if abs(row - 2) + abs(col - 7) > 1}


def test_the_multi_room_chain_has_as_many_rooms_as_asked_for():
    levels = draw(MultiRoom(23, 23, 2, 5, 6), 64)
    doors = ((levels.cells >= codes.CLOSED_DOOR) & (levels.cells < codes.LOCKED_DOOR)).sum(axis=(1, 2))
    assert set(doors.tolist()) == {1, 2, 3, 4}
    for i in range(64):  # each door has another colour than the one before, so that two doors never both have one
        found = levels.cells[i][(levels.cells[i] >= codes.CLOSED_DOOR) & (levels.cells[i] < codes.LOCKED_DOOR)]
        assert len(found) != 2 or found[0] != found[1]


@pytest.mark.parametrize(
    ("family", "values", "says"),
    [
        (FourRooms(9, 9), (0.0,), lambda level: distance(level) == 1),
        (DoorKey(6, 6), (1.0, 0.0), lambda level: level.cells[0, 4] == codes.LOCKED_DOOR + 4),
        (LavaGap(5, 5), (0.0, 1.0), lambda level: level.cells[4, 1] == codes.EMPTY and level.cells[0, 1] == codes.LAVA),
        (Crossing(7, 7, 1), (3,), lambda level: rivers(level) == 4),
        (
            Memory(9),
            (0.0, 0.0),
            lambda level: tuple(level.agent_position) == (4, 0) and level.cells[0, 3] == codes.WALL,
        ),
        (KeyCorridor(3, 3), (2, 0), lambda level: level.cells[4, 4] >= codes.BALL and level.cells[0, 0] >= codes.KEY),
        (MultiRoom(23, 23, 2, 4, 6), (2, 0.0), lambda level: num_closed_doors(level) == 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_levels_are_chosen_by_their_numbers(family, values, says):
    assert len(values) == len(family.parts)
    keys = jax.random.split(jax.random.key(0), 16)
    levels = jax.jit(jax.vmap(family.level, in_axes=(0, None)))(keys, jnp.asarray(values, jnp.float32))
    assert bool(jax.vmap(is_valid)(levels).all())
    assert bool(jax.vmap(reach.is_solvable)(levels).all())
    for i in range(16):
        assert says(jax.tree.map(np.asarray, one(levels, i)))


def rivers(level):
    """Rows and columns of lava but for one opening; all others hold at most three such cells, where rivers cross them."""
    lava = level.cells == codes.LAVA
    return sum(int((lava.sum(axis=axis) >= 6).sum()) for axis in (0, 1))


def distance(level):
    (goal,) = np.argwhere(level.cells == codes.GOAL)
    return np.abs(goal - np.asarray(level.agent_position, int)).sum()


def test_a_padded_level_plays_as_before():
    level = one(draw(DoorKey(3, 3), 1), 0)
    wide = jax.tree.map(np.asarray, padded(jax.tree.map(jnp.asarray, level), 5, 6))
    np.testing.assert_array_equal(wide.cells[:3, :3], level.cells)
    assert np.all(wide.cells[3:] == codes.WALL)
    assert np.all(wide.cells[:, 3:] == codes.WALL)
    options = {"max_steps": 99, "levels": GridLevels("empty")}
    actions = jnp.asarray(np.random.default_rng(0).integers(0, 7, (1, 60)), jnp.int32)
    outcomes = []
    for size, each in (((3, 3), level), ((5, 6), wide)):
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], each)
        first, (observations, states, *rest) = oracle.rollout(GridWorld(*size, **options), batch, actions)
        outcomes.append((first, observations, states.position, rest))
    chex.assert_trees_all_equal(*outcomes)


# -- all in one world -------------------------------------------------------------------------------------------------


def test_standard_families_fit_and_come_in_one_shape():
    sizes = {(1, 2): ["empty"], (6, 6): 11, (4, 9): 13, (14, 14): 19, (23, 23): 20}
    for size, expected in sizes.items():
        names = list(standard(*size))
        assert (names if isinstance(expected, list) else len(names)) == expected, (size, names)
        assert all(family.size[0] <= size[0] and family.size[1] <= size[1] for family in standard(*size).values())


def test_a_mixture_draws_each_family_and_tasks_name_them():
    env = GridWorld(4, 9, levels=GridLevels("mixed"))
    space = env.level_space
    names = list(standard(4, 9))
    assert space.tasks.names == tuple(names)
    assert env.max_steps == max(family.max_steps for family in standard(4, 9).values())
    numbers = jnp.arange(len(names), dtype=jnp.int32)
    keys = jax.random.split(jax.random.key(0), len(names))
    levels = jax.jit(jax.vmap(space.tasks.level))(keys, numbers[:, None])
    assert bool(jax.vmap(space.is_valid)(levels).all())
    for i, name in enumerate(names):
        assert int(levels.max_steps[i]) == standard(4, 9)[name].max_steps, name
    by_missions = {name: int(mission) for name, mission in zip(names, levels.mission, strict=True)}
    assert by_missions["empty"] == by_missions["door_key"] == missions.REACH_GOAL
    assert missions.OPEN <= by_missions["unlock"] < missions.PICK_UP <= by_missions["unlock_pickup"]
    drawn = jax.tree.map(np.asarray, jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(1), 400)))
    counts = np.array(
        [np.sum(drawn.max_steps == steps) for steps in sorted({f.max_steps for f in standard(4, 9).values()})]
    )
    assert counts.min() > 10
    assert isinstance(env.family, Mixture)


def test_parameters_of_a_mixture_and_of_a_family_without():
    space = GridWorld(4, 9, levels=GridLevels("mixed")).level_space
    assert [part.name for part in space.parameters.parts] == ["family"]
    with pytest.raises(ValueError, match="family 'blocked_unlock_pickup' has no parameters"):
        _ = GridWorld(4, 9, levels=GridLevels("blocked_unlock_pickup")).level_space.parameters


@pytest.mark.parametrize(
    ("side", "options", "steps"),
    [
        (80, GridLevels("door_key"), 10 * 82**2),  # 67,240, more than 16 bits hold
        (130, GridLevels("lava_gap"), 4 * 132**2),
        (113, GridLevels("memory"), 5 * 115**2),
    ],
)
def test_large_levels_have_the_time_that_the_world_has(side, options, steps):
    env = GridWorld(side, side, levels=options)
    level = jax.jit(env.level_space.sample)(jax.random.key(0))
    assert int(level.max_steps) == env.max_steps == steps
