"""XLand-MiniGrid in minied: step for step the library's, and levels that can be solved, edited and written down."""

import functools
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xminigrid
from xminigrid.core import constants, goals, rules
from xminigrid.types import RuleSet

from minied.adapters import xminigrid_benchmarks as benchmarks
from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.xminigrid import XLandMiniGrid, novelty
from minied.adapters.xminigrid_levels import SUITE_SEED
from minied.adapters.xminigrid_rulesets import XLandLevel
from minied.errors import UserError

FORWARD, RIGHT, LEFT, PICK_UP, PUT_DOWN, TOGGLE = range(6)
SMALL = {"size": 7, "num_rules": 2, "num_distractors": 1, "num_colours": 3, "max_steps": 40, "shows_pocket": True}
RED_BALL, BLUE_SQUARE, GREEN_KEY = 3 * 12 + 1, 4 * 12 + 3, 7 * 12 + 2


@pytest.fixture(autouse=True)
def _library_promotes_ranks():
    with jax.numpy_rank_promotion("allow"):
        yield


@functools.cache
def small():
    return XLandMiniGrid(**SMALL)


@functools.cache
def player(env):
    """Plays 60 actions on a level: (first observation, observations, rewards, terminated, truncated, states)."""

    def play(level, actions):
        first, state = env.reset(jax.random.key(0), level)

        def step(state, action):
            observation, state, reward, terminated, truncated, _ = env.step(jax.random.key(1), state, action, level)
            return state, (observation, reward, terminated, truncated, state)

        return first, *jax.lax.scan(step, state, actions)[1]

    compiled = jax.jit(play)

    def padded(level, actions):
        """Compiled once: what comes after the actions that were asked for is cut off."""
        first, *rest = compiled(level, jnp.zeros(60, jnp.int32).at[: len(actions)].set(jnp.asarray(actions)))
        return first, *jax.tree.map(lambda leaf: np.asarray(leaf)[: len(actions)], rest)

    return padded


@functools.cache
def sampler(env):
    return jax.jit(jax.vmap(env.level_space.sample))


@functools.cache
def levels(env):
    return sampler(env)(jax.random.split(jax.random.key(3), 64))


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def room(goal, things, rules=(), position=(3, 3), direction=0):
    """A level of `small`: things by their cell, a goal and rules as lists of numbers."""
    cells = np.full((7, 7), encoding.BLACK_FLOOR)
    cells[[0, -1]] = cells[:, [0, -1]] = encoding.WALL * 12 + 6
    for cell, code in things.items():
        cells[cell] = code
    encoded = np.zeros((2, 7), np.uint8)
    for i, rule in enumerate(rules):
        encoded[i, : len(rule)] = rule
    return XLandLevel(
        jnp.asarray(np.stack([cells // 12, cells % 12], axis=-1), jnp.uint8),
        jnp.asarray(position, jnp.int32),
        jnp.int32(direction),
        jnp.asarray([*goal, *[0] * (5 - len(goal))], jnp.uint8),
        jnp.asarray(encoded),
        (),
    )


HOLD_BALL = (1, 3, 1)


# -- the encoding ------------------------------------------------------------------------------------------------------


def numbers_of(cls):
    return [name.lower() for name in sorted(cls.__dataclass_fields__, key=lambda name: getattr(cls, name))]


def test_tiles_and_colours_are_the_librarys():
    assert numbers_of(constants.Colors)[1:] == list(encoding.COLOURS[1:])
    words = {"hex": "hexagon", "empty": "nothing"}
    words |= {f"door_{state}": f"{state} door" for state in ("locked", "closed", "open")}
    assert [words.get(name, name) for name in numbers_of(constants.Tiles)] == list(encoding.TILES)
    assert (encoding.FLOOR, encoding.WALL, encoding.GOAL) == (
        constants.Tiles.FLOOR, constants.Tiles.WALL, constants.Tiles.GOAL,
    )  # fmt: skip
    assert sorted(encoding.THINGS) == sorted(np.asarray(constants.PICKABLE).tolist())


@pytest.mark.parametrize(
    ("module", "ending", "names", "numbers"),
    [(goals, "Goal", encoding.GOALS, encoding.TILES_OF_GOAL), (rules, "Rule", encoding.RULES, encoding.TILES_OF_RULE)],
)
def test_goals_and_rules_are_the_librarys(module, ending, names, numbers):
    """Its class of each kind encodes itself under our number, with as many tiles as we say."""
    for number, name in enumerate(names):
        kind = getattr(module, "".join(map(str.title, {"nothing": "empty"}.get(name, name).split("_"))) + ending)
        fields = kind.__dataclass_fields__
        values = {field: jnp.asarray([10 + i, 20 + i], jnp.uint8) for i, field in enumerate(fields)}
        encoded = np.asarray(kind(**values).encode()).tolist()
        assert encoded[0] == number
        flat = [value for pair in values.values() for value in np.asarray(pair).tolist()]
        assert encoded[1 : 1 + len(flat)] == flat
        assert [field for field in fields if field.startswith("tile")] == [*fields][: numbers[number]]


# -- the dynamics ------------------------------------------------------------------------------------------------------


@functools.cache
def library_player(id, **changes):
    """What the library itself plays: from the start that it makes of a key, with a ruleset."""
    world, params = xminigrid.make(id, **changes)

    def step(timestep, action):
        timestep = world.step(params, timestep, action)
        return timestep, timestep

    def play(key, ruleset, actions):
        first = world.reset(params if ruleset is None else params.replace(ruleset=RuleSet(*ruleset)), key)
        return first, jax.lax.scan(step, jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), first), actions)[1]

    return jax.jit(play)


FAST = ("XLand-MiniGrid-R1-9x9", "MiniGrid-MemoryS8")
OTHERS = ("MiniGrid-UnlockPickUp", "MiniGrid-Unlock", "MiniGrid-LockedRoom", "XLand-MiniGrid-R4-9x9")


@pytest.mark.parametrize(
    "id",
    [*FAST, *(pytest.param(id, marks=pytest.mark.slow) for id in OTHERS)],
)
def test_play_is_the_librarys_own(id):
    env = small() if id == small().id else XLandMiniGrid(id=id, max_steps=40)
    sizes = {"height": 7, "width": 7} if id == small().id else {}
    draw, room = jax.jit(env.rulesets.draw), jax.jit(env.room)
    num_changes, num_ends, acts = 0, 0, [PICK_UP, PICK_UP, PUT_DOWN, TOGGLE]
    for seed in range(8):
        key = jax.random.key(seed)
        ruleset = draw(jax.random.key(seed + 9)) if env.is_xland else None
        level = room(key, ruleset)
        # Two moves, and then something is done with what is in front, if there is anything.
        random = np.random.default_rng(seed)
        actions = jnp.asarray([random.choice([FORWARD, FORWARD, RIGHT, LEFT] if t % 3 else acts) for t in range(60)])
        first, theirs = library_player(id, max_steps=40, **sizes)(key, ruleset, actions)
        opening, seen, reward, terminated, truncated, states = player(env)(level, actions)

        def code(tiles):
            return np.asarray(tiles)[..., 0].astype(int) * 12 + np.asarray(tiles)[..., 1]

        assert np.array_equal(opening["view"], code(first.observation))
        assert np.array_equal(seen["view"], code(theirs.observation))
        assert np.array_equal(seen["direction"], theirs.state.agent.direction)
        assert np.array_equal(states.cells, theirs.state.grid)
        assert np.array_equal(states.pocket, theirs.state.agent.pocket)
        assert np.array_equal(reward, theirs.reward)
        assert np.array_equal(terminated, theirs.discount == 0)
        # The library asks for equality with the limit, which it does not pass without a reset; ours is at it and beyond.
        assert np.array_equal((terminated | truncated)[:40], (theirs.step_type == 2)[:40])
        assert truncated[39] != terminated[39]
        num_changes += (states.cells[1:] != states.cells[:-1]).any(axis=(1, 2, 3)).sum()
        num_ends += terminated.any()
    assert num_changes >= 5 or not env.is_xland  # else nothing was tried
    assert num_ends > 0 or id not in FAST


def test_a_thing_in_front_is_held_and_paid_by_time():
    """Reaching the goal in step n of 40 is worth 1 − 0.9 n / 40: 1 − 0.9 · 2 / 40 = 0.955."""
    level = room(HOLD_BALL, {(2, 3): RED_BALL})
    _, seen, reward, terminated, truncated, _ = player(small())(level, [RIGHT, LEFT, PICK_UP, FORWARD])
    assert np.allclose(reward, [0, 0, 1 - 0.9 * 3 / 40, 0])
    assert np.asarray(terminated).tolist() == [False, False, True, False]
    assert not np.asarray(truncated).any()
    assert np.asarray(seen["pocket"]).tolist() == [0, 0, RED_BALL, RED_BALL]


def test_an_end_at_the_limit_is_no_truncation():
    level = room(HOLD_BALL, {(2, 3): RED_BALL})
    for last, is_goal in ((PICK_UP, True), (RIGHT, False)):
        _, _, reward, terminated, truncated, _ = player(small())(level, [TOGGLE] * 39 + [last])
        assert (bool(terminated[-1]), bool(truncated[-1])) == (is_goal, not is_goal)
        assert np.isclose(reward[-1], 0.1 if is_goal else 0.0)


def test_a_rule_turns_a_thing_into_another():
    """Walking next to the square makes it a key (rule 2, agent_near), which is asked for (goal 1)."""
    rule = (2, 4, 3, 7, 2)
    level = room((1, 7, 2), {(1, 3): BLUE_SQUARE}, [rule])
    _, _, reward, terminated, _, states = player(small())(level, [PICK_UP, FORWARD, PICK_UP, PICK_UP])
    fronts = encoding.codes(states.cells)[:, 1, 3]
    assert np.asarray(fronts).tolist() == [BLUE_SQUARE, GREEN_KEY, encoding.BLACK_FLOOR, encoding.BLACK_FLOOR]
    assert np.asarray(terminated).tolist()[:3] == [False, False, True]
    assert np.isclose(reward[2], 1 - 0.9 * 3 / 40)


def test_reset_is_the_levels_start_whatever_the_key():
    env, (one, other) = small(), (at(levels(small()), i) for i in (0, 1))
    reset = jax.jit(env.reset)
    first, again, another = (
        jax.tree.leaves(reset(jax.random.key(seed), level)) for seed, level in ((0, one), (1, one), (0, other))
    )
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, another))


def test_states_are_told_apart_by_what_the_agent_can_change():
    """Turning left and right again comes back to the same state; holding the ball is another than seeing it."""
    level = room(HOLD_BALL, {(2, 3): RED_BALL})
    states = player(small())(level, [LEFT, RIGHT, RIGHT, LEFT, PICK_UP, PUT_DOWN])[-1]
    hashes = [tuple(np.asarray(novelty(at(states, t))).tolist()) for t in range(6)]
    assert hashes[1] == hashes[3] == hashes[5]
    assert len(set(hashes)) == 4


@pytest.mark.parametrize("id", ["XLand-MiniGrid-R1-9x9", "MiniGrid-Empty-5x5", "MiniGrid-MemoryS8"])
def test_no_number_is_weakly_typed(id):
    """Empty and Memory give weakly typed directions, which would trace everything once more."""
    env = small() if id.startswith("XLand") else XLandMiniGrid(id=id)
    level = jax.eval_shape(env.level_space.sample, jax.random.key(0))
    _, state = jax.eval_shape(env.reset, jax.random.key(0), level)
    _, after, *_ = jax.eval_shape(env.step, jax.random.key(0), state, jnp.int32(0), level)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((level, state, after)))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), after
    )


def test_observations_are_in_their_space():
    env = small()
    opening, seen, *_ = player(env)(at(levels(env), 3), jax.random.randint(jax.random.key(5), (60,), 0, 6))
    assert env.observation_space.contains(jax.tree.map(np.asarray, opening))
    assert all(env.observation_space.contains(at(seen, t)) for t in range(60))


def test_the_ruleset_and_the_pocket_are_shown_on_demand():
    level = room((4, 3, 1, 7, 2), {(1, 1): BLUE_SQUARE, (1, 2): RED_BALL}, [(2, 4, 3, 7, 2)])
    observation = jax.tree.map(jnp.asarray, player(small())(level, [TOGGLE])[0])
    assert int(observation["goal_kind"]) == 4
    assert observation["goal_tiles"].tolist() == [RED_BALL, GREEN_KEY]
    assert observation["rule_kinds"].tolist() == [2, 0]
    assert observation["rule_tiles"].tolist() == [BLUE_SQUARE, GREEN_KEY, 0, 0, 0, 0]
    decoded = small().observation_space.spaces["goal_tiles"].decode(observation["goal_tiles"])
    assert np.flatnonzero(np.asarray(decoded[0])).tolist() == [3, 13 + 1]
    door_is_open = jnp.asarray([5, 10, 1, 3, 4], jnp.uint8)  # of a position, which is no tile
    assert encoding.goal_tiles(door_is_open).tolist() == [10 * 12 + 1, 0]
    hidden = XLandMiniGrid(**SMALL | {"shows_ruleset": False, "shows_pocket": False})
    assert set(hidden.observation_space.spaces) == {"view", "direction"}
    assert set(jax.eval_shape(hidden.reset, jax.random.key(0), level)[0]) == {"view", "direction"}


# -- rulesets and edits ------------------------------------------------------------------------------------------------


def codes_of(level):
    """Codes in the room, goal tiles, and rules as (inputs, product)."""
    made = zip(np.asarray(encoding.inputs_of(level.rules)), np.asarray(encoding.products(level.rules)), strict=True)
    return (
        set(np.asarray(encoding.codes(level.cells)).ravel().tolist()),
        {code for code in np.asarray(encoding.goal_tiles(level.goal)).tolist() if code},
        [({code for code in inputs.tolist() if code}, int(product)) for inputs, product in made if product],
    )


def leaves_of(wanted, made):
    """What has to lie in the room: the goal's tiles, each that a rule makes replaced by what it is made of."""
    for _ in made:  # whatever their order
        for inputs, product in made:
            if product in wanted:
                wanted = wanted - {product} | inputs
    return wanted


def check_tree(level):
    """Each tile is made once and needed once, what is needed lies in the room once, and no byte is written for nothing."""
    _, wanted, made = codes_of(level)
    parts = [code for inputs, _ in made for code in inputs]
    assert len(set(parts) | wanted) == len(parts) + len(wanted)
    needed = leaves_of(wanted, made)
    cells = np.asarray(encoding.codes(level.cells)).ravel()
    things = cells[np.isin(cells // 12, encoding.THINGS)].tolist()
    assert len(set(things)) == len(things)
    assert needed <= set(things)
    numbers = np.asarray(encoding.TILES_OF_RULE)[np.asarray(level.rules)[:, 0]]
    assert not any(
        rule[1 + 2 * (n + (n > 0)) :].any() for rule, n in zip(np.asarray(level.rules), numbers, strict=True)
    )
    return len(things) - len(needed), len(made)


def test_drawn_rulesets_are_trees_with_their_leaves_in_the_room():
    seen = []
    for i in range(64):
        level = at(levels(small()), i)
        num_distractors, number = check_tree(level)
        assert num_distractors == small().num_distractors
        seen.append((int(level.goal[0]), number))
    assert {goal for goal, _ in seen} == {1, 3, 4}
    assert {number for _, number in seen} == {0, 1, 2}


@functools.cache
def edited():
    """12 edits in a row of 64 levels: those before each, those after, and whether these are valid, ``[12 · 64]``."""
    space, found = small().level_space, [levels(small())]
    edit, valid = jax.jit(jax.vmap(space.mutate)), jax.jit(jax.vmap(space.is_valid))
    for i in range(12):
        found.append(edit(jax.random.split(jax.random.key(i), 64), found[-1]))

    def joined(parts):
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    after = joined(found[1:])
    return joined(found[:-1]), after, valid(after)


def test_edits_change_one_thing_and_what_is_needed_is_still_there():
    before, after, valid = edited()
    assert bool(valid.all())
    kinds = dict.fromkeys(("moved", "agent", "goal", "added", "dropped", "renamed"), 0)
    for i in range(len(valid)):
        old, new = at(before, i), at(after, i)
        room_codes = codes_of(new)[0]
        check_tree(new)
        assert not (np.diff((np.asarray(new.rules[:, 0]) > 0).astype(int)) > 0).any()  # those that are nothing are last
        number = int((new.rules[:, 0] > 0).sum()) - int((old.rules[:, 0] > 0).sum())
        same = [
            np.array_equal(getattr(old, name), getattr(new, name)) for name in ("cells", "position", "goal", "rules")
        ]
        if number:
            kinds["added" if number > 0 else "dropped"] += 1
            assert same[1:3] == [True, True]
        elif same == [False, True, True, True]:
            is_move = codes_of(old)[0] == room_codes
            kinds["moved" if is_move else "renamed"] += 1  # a thing that nothing needs is renamed in the room alone
        elif same[0] and same[2:] == [True, True]:
            kinds["agent"] += 1
        elif same == [True, True, False, True] and np.array_equal(old.goal[1:], new.goal[1:]):
            kinds["goal"] += 1
            assert encoding.TILES_OF_GOAL[int(old.goal[0])] == encoding.TILES_OF_GOAL[int(new.goal[0])]
        else:
            kinds["renamed"] += 1
            assert same[1]
            assert len(codes_of(old)[0]) == len(room_codes)
    assert min(kinds.values()) > 20, kinds


@functools.cache
def editor():
    return jax.jit(small().level_space.mutate)


def test_what_two_rules_need_is_not_taken_away():
    """The square becomes a ball, which is asked for, or a key: without it there is neither."""
    level = room(HOLD_BALL, {(1, 1): BLUE_SQUARE}, [(2, 4, 3, 3, 1), (1, 4, 3, 7, 2)])
    after = [editor()(jax.random.key(seed), level) for seed in range(40)]
    assert all(np.asarray(each.rules[:, 0] > 0).all() for each in after)
    one_rule = level.replace(rules=level.rules.at[1].set(0))
    assert any(not editor()(jax.random.key(seed), one_rule).rules.any() for seed in range(40))


def test_a_rule_that_is_added_is_undone_by_dropping_it():
    """The ball becomes what a rule makes; what lies there instead can be made into the ball, and back."""
    level, edit = room(HOLD_BALL, {(1, 1): RED_BALL}), editor()
    for seed in range(60):
        more = edit(jax.random.key(seed), level)
        if int(more.rules[0, 0]):
            break
    inputs, product = codes_of(more)[2][0]
    assert product == RED_BALL
    assert inputs <= codes_of(more)[0]
    assert RED_BALL not in codes_of(more)[0]
    for seed in range(100):
        back = edit(jax.random.key(seed), more)
        if not back.rules.any():
            break
    assert np.array_equal(encoding.codes(back.cells), encoding.codes(level.cells))


def test_edits_of_minigrid_keep_things_on_their_side_of_the_door():
    env = XLandMiniGrid(id="MiniGrid-UnlockPickUp")
    space = env.level_space

    def edits(key, level):
        return jax.lax.scan(lambda level, key: (space.mutate(key, level),) * 2, level, key)[1]

    level = jax.jit(space.sample)(jax.random.key(0))
    after = jax.jit(edits)(jax.random.split(jax.random.key(1), 100), level)
    kinds = np.asarray(after.cells)[..., 0]
    wall = kinds.shape[2] // 2
    _, _, key_cols = np.nonzero(kinds == 7)
    _, _, thing_cols = np.nonzero(np.isin(kinds, (3, 4, 5, 11, 12)))
    assert len(key_cols) == len(thing_cols) == 100
    assert (key_cols < wall).all()
    assert (thing_cols > wall).all()
    assert (np.asarray(after.position)[:, 1] < wall).all()
    assert len(set(zip(*np.nonzero(kinds == 7)[1:], strict=True))) > 5
    assert len(np.unique(np.asarray(after.position), axis=0)) > 5


def test_edits_of_memory_move_the_agent_alone():
    """Where the two ends are is in the level, and things that moved would belie it."""
    env = XLandMiniGrid(id="MiniGrid-MemoryS8")
    space = env.level_space
    before = sampler(env)(jax.random.split(jax.random.key(0), 20))
    after = jax.jit(jax.vmap(space.mutate))(jax.random.split(jax.random.key(1), 20), before)
    assert np.array_equal(before.cells, after.cells)
    assert bool(jax.vmap(space.is_valid)(after).all())
    same_end = after.replace(answers=(after.answers[0], after.answers[0]))
    assert not bool(jax.vmap(space.is_valid)(same_end).any())
    for answer in after.answers:
        assert not (np.asarray(after.position) == np.asarray(answer)).all(axis=1).any()


def test_what_is_no_level_is_told():
    space, level = small().level_space, room(HOLD_BALL, {(1, 1): RED_BALL})
    valid = jax.jit(space.is_valid)
    assert bool(valid(level))
    wrong = {
        "the agent is in the wall": level.replace(position=jnp.asarray([0, 3], jnp.int32)),
        "the agent is on the ball": level.replace(position=jnp.asarray([1, 1], jnp.int32)),
        "the agent is outside": level.replace(position=jnp.asarray([7, 3], jnp.int32)),
        "there is no fifth direction": level.replace(direction=jnp.int32(4)),
        "the border is open": level.replace(cells=level.cells.at[0, 2].set(jnp.asarray([1, 7], jnp.uint8))),
        "the square is not there": level.replace(goal=jnp.asarray([1, 4, 3, 0, 0], jnp.uint8)),
        "there is no such goal": level.replace(goal=jnp.asarray([15, 3, 1, 0, 0], jnp.uint8)),
        "there is no such rule": level.replace(rules=level.rules.at[0, 0].set(12)),
        "there is no such thing to hold": level.replace(goal=jnp.asarray([1, 13, 1, 0, 0], jnp.uint8)),
        "a rule has no such tile": level.replace(rules=level.rules.at[1, 3].set(200)),
        "there is no such tile": level.replace(cells=level.cells.at[3, 4].set(jnp.asarray([13, 0], jnp.uint8))),
    }
    assert [what for what, each in wrong.items() if bool(valid(each))] == []
    can_be_made = room((1, 4, 3), {(1, 1): RED_BALL}, [(2, 3, 1, 4, 3)])
    assert bool(valid(can_be_made))
    one_of_two = room((1, 4, 3), {(1, 1): RED_BALL}, [(3, 3, 1, 7, 2, 4, 3)])
    assert not bool(valid(one_of_two))


def test_tasks_are_kinds_of_goals_with_numbers_of_rules():
    space = small().level_space
    tasks = space.tasks
    assert tasks.names[:3] == ("agent_hold, 0 rules", "agent_near, 0 rules", "tile_near, 0 rules")
    assert tasks.names[4] == "agent_near, 1 rule"
    level = jax.jit(tasks.level)
    for task in (0, 4, 8):
        found = level(jax.random.key(task), jnp.asarray([task]))
        assert encoding.GOALS[int(found.goal[0])] == tasks.names[task].split(",")[0]
        assert int((found.rules[:, 0] > 0).sum()) == task // 3
    assert not XLandMiniGrid(id="MiniGrid-Empty-5x5").level_space.has("tasks")


def test_suites_are_the_same_at_every_call_and_hold_each_task():
    space = small().level_space
    (sampled,) = space.suite("sampled")
    again = sampler(small())(jax.random.split(jax.random.key(SUITE_SEED), 64))
    assert all(map(np.array_equal, jax.tree.leaves(sampled.levels), jax.tree.leaves(again)))
    assert len(sampled.names) == 64
    (tasks,) = space.suite("tasks")
    assert len(tasks.names) == 9 * 16
    assert np.asarray((tasks.levels.rules[..., 0] > 0).sum(axis=1)).tolist() == np.repeat([0, 1, 2], 48).tolist()
    with pytest.raises(UserError, match="unknown suite 'task'"):
        space.suite("task")


# -- for people --------------------------------------------------------------------------------------------------------


def test_a_level_is_described_in_numbers_and_words():
    space = small().level_space
    level = room((4, 3, 1, 7, 2), {(1, 1): RED_BALL, (2, 5): BLUE_SQUARE}, [(2, 4, 3, 7, 2)], position=(3, 3))
    described = {name: float(value) for name, value in space.describe(level).items()}
    assert described == {"rules": 1.0, "things": 2.0, "distance": 4.0}  # two rows and two columns to the ball
    assert space.title(level) == "tile near red ball and green key, 1 rule"
    nowhere = room((1, 7, 2), {(2, 5): BLUE_SQUARE}, [(2, 4, 3, 7, 2)])
    assert np.isnan(space.describe(nowhere)["distance"])


def test_pictures_show_level_and_state():
    env = small()
    space, level = env.level_space, at(levels(env), 0)
    picture = space.draw(level)
    assert picture.shape == (7 * 16, 7 * 16, 3)
    assert picture.dtype == np.uint8
    states = player(env)(level, [RIGHT, LEFT])[-1]
    assert not np.array_equal(space.draw(level, at(states, 0)), picture)
    assert np.array_equal(space.draw(level, at(states, 1)), picture)


def test_text_reads_back_and_wrong_text_is_told():
    space, level = small().level_space, at(levels(small()), 5)
    text = space.to_text(level)
    assert all(map(np.array_equal, jax.tree.leaves(level), jax.tree.leaves(space.from_text(text))))
    outside = json.dumps(json.loads(text) | {"position": [0, 0]})
    with pytest.raises(UserError, match="an agent off the floor"):
        space.from_text(outside)
    with pytest.raises(UserError, match="no JSON"):
        space.from_text("?")


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "MiniGrid-DoorKey-7x7"}, "unknown environment of xminigrid 'MiniGrid-DoorKey-7x7' .did you mean"),
        ({"size": 4}, "size is 4; allowed: 0, and with XLand-MiniGrid-R1 5 to 32"),
        ({"id": "XLand-MiniGrid-R4-9x9", "size": 7}, "size is 7; allowed: 0, and with XLand-MiniGrid-R1"),
        ({"size": 5, "num_rules": 9}, "size is 5; allowed with up to 13 things"),
        ({"view_size": 4}, "view_size is 4; allowed: 0, and odd numbers from 3 to 31"),
        ({"max_steps": -1}, "max_steps is -1; allowed: 0 to 16777215"),
        ({"solved_return": float("nan")}, "solved_return is nan; allowed: a finite number"),
        ({"num_rules": 10}, "num_rules is 10; allowed: 0 to 9"),
        ({"num_distractors": -1}, "num_distractors is -1; allowed: 0 to 9"),
        ({"num_colours": 1, "num_rules": 2}, "num_colours is 1, which makes 6 things; allowed .* enough for 8"),
        ({"goal_kinds": ()}, "goal_kinds is empty; allowed: at least one of agent_hold"),
        ({"goal_kinds": ("agent_holds",)}, "unknown kind in goal_kinds 'agent_holds' .did you mean 'agent_hold'"),
        ({"rule_kinds": ("nothing",)}, "unknown kind in rule_kinds 'nothing'"),
        ({"id": "MiniGrid-Empty-5x5", "benchmark": "trivial-21k"}, "benchmark is 'trivial-21k'; allowed with MiniGrid"),
        ({"benchmark": "/nowhere.npz"}, "benchmark is '/nowhere.npz', and there is no such file; allowed: a file"),
    ],
)
def test_options_that_cannot_be_are_told(options, message):
    with pytest.raises(UserError, match=message):
        XLandMiniGrid(**options)


def test_limits_are_the_librarys_or_given():
    assert XLandMiniGrid().max_steps == 3 * 9 * 9
    assert XLandMiniGrid(size=7).max_steps == 3 * 7 * 7
    assert XLandMiniGrid(id="MiniGrid-FourRooms").max_steps == 100
    assert XLandMiniGrid(max_steps=12).max_steps == 12
    assert XLandMiniGrid(size=7) == XLandMiniGrid(size=7)
    assert hash(XLandMiniGrid(size=7)) == hash(XLandMiniGrid(size=7))


def test_a_world_without_goals_has_no_rewards():
    assert not XLandMiniGrid(id="MiniGrid-Playground").has_rewards
    assert XLandMiniGrid().has_rewards


def test_a_return_above_the_mark_is_solved():
    assert bool(small().is_solved(jnp.float32(0.1)))
    assert not bool(small().is_solved(jnp.float32(0.0)))
    assert not bool(XLandMiniGrid(solved_return=0.5).is_solved(jnp.float32(0.4)))


# -- benchmarks --------------------------------------------------------------------------------------------------------


RULESETS = {
    "goals": np.asarray([[1, 3, 1, 0, 0], [3, 7, 2, 0, 0]], np.uint8),
    "rules": np.asarray([[[0] * 7] * 3, [[2, 4, 3, 7, 2, 0, 0], [0] * 7, [0] * 7]], np.uint8),
    "init_tiles": np.asarray([[[3, 1], [0, 0]], [[4, 3], [0, 0]]], np.uint8),
}


@pytest.fixture
def benchmark_file(tmp_path):
    """A file of two rulesets of three rules each."""
    path = tmp_path / "two.npz"
    np.savez(path, **RULESETS)
    return path


def test_rulesets_of_a_file_are_played(benchmark_file):
    env = XLandMiniGrid(benchmark=str(benchmark_file), size=7)
    space = env.level_space
    assert env.num_rows == 3
    found = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 20))
    is_second = np.asarray(found.goal[:, 0]) == 3
    assert 0 < is_second.sum() < 20
    things = np.asarray(encoding.codes(found.cells)).reshape(20, -1)
    assert np.array_equal((things == BLUE_SQUARE).sum(axis=1), is_second)
    assert np.array_equal((things == RED_BALL).sum(axis=1), ~is_second)
    assert bool(jax.vmap(space.is_valid)(found).all())
    assert not space.has("tasks")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"goals": RULESETS["goals"][:, :4]}, "whose goals is uint8[2, 4]; allowed: integers, n rows of (5,)"),
        ({"rules": RULESETS["rules"][:1]}, "whose rules is uint8[1, 3, 7]"),
        ({"init_tiles": RULESETS["init_tiles"].astype(np.float32)}, "whose init_tiles is float32"),
        ({"goals": np.asarray([{}, {}])}, "whose goals is object[2]; allowed: integers"),
        ({"goals": np.full((2, 5), 99)}, "whose goals[0] is [99, 99, 99, 99, 99]; allowed: kinds, tiles and colours"),
        ({"goals": np.asarray([[1, 3, 1, 0, 0], [1, 13, 1, 0, 0]])}, "whose goals[1] is [1, 13, 1, 0, 0]"),
        ({"goals": RULESETS["goals"] + np.asarray([256, 0, 0, 0, 0])}, "whose goals[0] is [257, 3, 1, 0, 0]"),
        ({"rules": RULESETS["rules"].astype(int) - 3}, "whose rules[0, 0] is [-3, -3, -3, -3, -3, -3, -3]"),
        (
            {"rules": RULESETS["rules"] + np.uint8([0, 0, 12, 0, 0, 0, 0])},
            "whose rules[0, 0] is [0, 0, 12, 0, 0, 0, 0]",
        ),
        ({"rules": np.zeros((2, 0, 7), int)}, "whose rules is int64[2, 0, 7]; allowed: integers"),
        ({"init_tiles": np.full((2, 2, 2), 250)}, "whose init_tiles[0, 0] is [250, 250]"),
    ],
)
def test_a_file_that_is_no_benchmark_is_told(changed, says, tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, **(RULESETS | changed))
    with pytest.raises(UserError) as error:
        XLandMiniGrid(benchmark=str(path), size=7)
    assert says in str(error.value)


def test_what_a_goal_does_not_name_may_be_anything():
    """A door at (20, 30): a tile, and a place that is none; at a place that is no tile at all."""
    goals = jnp.asarray([[5, 10, 1, 20, 30], [6, 20, 30, 0, 0], [5, 13, 1, 0, 0], [15, 0, 0, 0, 0]], jnp.uint8)
    assert encoding.are_goals(goals).tolist() == [True, True, False, False]


@pytest.mark.parametrize("content", ["npy", "nothing", "cut off", "flipped", "no arrays"])
def test_a_file_that_cannot_be_read_is_told(content, tmp_path, benchmark_file):
    path, whole = tmp_path / "other.npz", benchmark_file.read_bytes()
    with path.open("wb") as file:
        if content == "npy":
            np.save(file, np.zeros(3))
        elif content == "no arrays":
            np.savez(file, goals=RULESETS["goals"])
        else:
            broken = whole[:99] + b"?" * 60 + whole[159:]
            file.write({"nothing": b"", "cut off": whole[:200], "flipped": broken}[content])
    with pytest.raises(UserError, match=r"other.npz', which cannot be read \(.+\); allowed: goals, rules, init_tiles$"):
        XLandMiniGrid(benchmark=str(path))


def test_a_file_that_is_too_large_is_told_before_it_is_in_memory(tmp_path, monkeypatch):
    path = tmp_path / "large.npz"
    np.savez(path, **RULESETS)
    monkeypatch.setattr(benchmarks, "LARGEST_BENCHMARK", 59)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(UserError, match=r"large.npz' of 60 bytes; allowed: at most 59, a part of it"):  # 10 + 42 + 8
        XLandMiniGrid(benchmark=str(path))


def test_the_library_s_own_file_is_not_unpickled(tmp_path):
    """A pickle may hold code; one with another ending, or in the clothes of a .npz, is refused unread."""

    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").write_text, ("boom",))

    for name, says in (("trivial_21k", "allowed: a file .npz"), ("pickle.npz", "which cannot be read")):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(UserError, match=says):
            XLandMiniGrid(benchmark=str(tmp_path / name))
    assert not (tmp_path / "exploded").exists()
