"""Levels of XLand-MiniGrid: they can be solved, edited, drawn and written down."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xminigrid_rooms import BLUE_SQUARE, HOLD_BALL, LEFT, RED_BALL, RIGHT, at, levels, player, room, sampler, small

from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.xminigrid import XLandMiniGrid
from minied.adapters.xminigrid_levels import SUITE_SEED
from minied.errors import UserError

pytestmark = pytest.mark.usefixtures("library_promotes_ranks")


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
