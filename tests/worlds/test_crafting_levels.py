"""Levels of crafting: how maps are drawn and edited, written as text, checked, and told as suites and tasks."""

import functools

import crafting_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crafting_samples import SMALL, WORKSHOP
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.errors import UserError
from minied.levels.tasks import check_tasks
from minied_envs.crafting import Crafting, generator, graph
from minied_envs.crafting.level import CraftingLevel
from minied_envs.crafting.recipes import Block, Item, Recipes

OWN = Crafting()
CROWDED = Crafting(height=7, width=11)  # room for 4 · 6 = 24, and 21 blocks
DEPLETING = Crafting(height=5, width=6, recipes=SMALL)
TIGHT = Crafting(height=2, width=3, recipes=samples.SMALLEST)  # 2 sites, 1 block
WORLDS = {"minied's own": OWN, "crowded": CROWDED, "depleting": DEPLETING, "tight": TIGHT}
SPACE = Crafting(height=3, width=4, recipes=WORKSHOP).level_space
TEXT = "goal: chair\nT@..\n....\n...u"
all_worlds = pytest.mark.parametrize("name", WORLDS)


@functools.cache
def sampled(world: Crafting, number: int = 300, seed: int = 0) -> CraftingLevel:
    """``[number, ...]``, as NumPy."""
    keys = jax.random.split(jax.random.key(seed), number)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(world.level_space.sample))(keys))


@functools.cache
def mutated(world: Crafting, number: int = 300) -> CraftingLevel:
    keys = jax.random.split(jax.random.key(1), number)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(world.level_space.mutate))(keys, sampled(world, number)))


def one(levels, index):
    return jax.tree.map(lambda leaf: leaf[index], levels)


def beside(blocks: np.ndarray, start: tuple[int, ...]) -> list[int]:
    """The codes of the blocks beside the cells that can be reached, each block once; by a stack."""
    height, width = blocks.shape
    stack, seen = [start], {start}
    while stack:
        row, col = stack.pop()
        for near in ((row, col + 1), (row + 1, col), (row, col - 1), (row - 1, col)):
            if near not in seen and 0 <= near[0] < height and 0 <= near[1] < width:
                seen.add(near)
                if not blocks[near]:
                    stack.append(near)
    return [int(blocks[cell]) for cell in seen if blocks[cell]]


def assert_sound(world: Crafting, level: CraftingLevel) -> None:
    blocks, start = level.blocks, tuple(level.agent_position.tolist())
    world.level_space.check(level)
    assert blocks[start] == 0
    reached = beside(blocks, start)
    for code, block in enumerate(world.graph.blocks, 1):
        assert (blocks == code).sum() == block.number, block.name
        assert reached.count(code) >= (block.number if block.depletes else min(block.number, 1)), block.name


def is_tidy(level: CraftingLevel) -> bool:
    return not level.blocks[1::2].any() and not level.blocks[:, 1::2].any()


# -- maps --------------------------------------------------------------------------------------------------------------


@all_worlds
def test_every_kind_of_block_is_there_and_can_be_reached(name):
    for index in range(300):
        assert_sound(WORLDS[name], one(sampled(WORLDS[name]), index))


def test_both_layouts_occur():
    tidy = {name: sum(is_tidy(one(sampled(world), i)) for i in range(300)) for name, world in WORLDS.items()}
    assert 30 < tidy["minied's own"] < 100
    assert 60 < tidy["crowded"] < 150


def test_a_tidy_map_is_drawn_only_where_the_other_is_not_good():
    keys = jax.random.split(jax.random.key(0), 300)
    codes = generator.codes_of(CROWDED.graph)
    for index in range(300):
        level = one(sampled(CROWDED), index)
        # The draw of the generator once more.
        order = np.asarray(jax.random.permutation(jax.random.split(jax.random.split(keys[index])[0])[0], 77))
        drawn = np.zeros(77, np.uint8)
        drawn[order[:21]] = codes
        reached = set(beside(drawn.reshape(7, 11), tuple(int(n) for n in divmod(int(order[21]), 11))))
        if reached >= set(codes.tolist()):
            np.testing.assert_array_equal(level.blocks.reshape(-1), drawn)
            assert level.agent_position.tolist() == list(divmod(int(order[21]), 11))
        else:
            assert is_tidy(level)


def test_blocks_agents_and_goals_are_anywhere():
    levels = sampled(OWN, 3000, 1)
    loose = np.array([not is_tidy(one(levels, index)) for index in range(3000)])
    assert 0.7 < loose.mean() < 0.9
    # 21 blocks on 81 cells: 0.26 a cell, with a standard deviation of sqrt(0.26 · 0.74 / 2400) = 0.009.
    np.testing.assert_allclose((levels.blocks[loose] > 0).mean(axis=0), 21 / 81, atol=0.05)
    starts = (levels.agent_position[loose].astype(int) * [9, 1]).sum(axis=1)
    # 2400 / 81 = 30 a cell, sqrt(30) = 5.4
    np.testing.assert_allclose(np.bincount(starts, minlength=81), loose.sum() / 81, atol=5 * 5.4)
    goals = np.bincount(levels.goals[:, 0], minlength=54)
    np.testing.assert_allclose(goals, 3000 / 54, atol=5 * 7.5)  # 55.6, sqrt(55.6) = 7.5


def test_maps_without_a_block_are_drawn_too():
    empty = Recipes((Block("crop", 0, "y", (0, 0, 0)),), (Item("seed"),))
    blocks, start = generator.draw_map(jax.random.key(0), empty, 2, 2)
    assert not np.asarray(blocks).any()
    assert start.shape == (2,)


@all_worlds
def test_mutants_are_sound(name):
    world = WORLDS[name]
    for index in range(300):
        assert_sound(world, one(mutated(world), index))


def test_a_mutation_swaps_cells_or_draws_goals_anew():
    before, after = sampled(OWN), mutated(OWN)
    changed = (before.blocks != after.blocks).sum(axis=(1, 2))
    assert changed.max() <= 2 * OWN.num_edits
    assert 0.5 < (changed > 0).mean() < 1
    assert (before.agent_position == after.agent_position).all()
    # An edit is one of a goal with chance 1/2, and draws another one with 53/54: no change has (1 - 0.49)^4 = 0.07.
    assert (before.goals != after.goals).mean() == pytest.approx(0.93, abs=0.06)


def test_a_mutation_that_hides_a_kind_of_block_leaves_the_map_as_it_was():
    space = Crafting(height=3, width=4, num_edits=1, recipes=WORKSHOP).level_space
    level = space.from_text("goal: wood\n@.bT\n....\nu..b")
    keys = jax.random.split(jax.random.key(0), 2000)
    maps = np.asarray(jax.jit(jax.vmap(space.mutate, in_axes=(0, None)))(keys, level).blocks)
    assert all({1, 2} <= set(beside(each, (0, 0))) for each in np.unique(maps, axis=0))
    hidden = np.asarray(level.blocks).copy()
    hidden[1, 3], hidden[2, 3] = hidden[2, 3], hidden[1, 3]  # the second bench closes the tree's corner
    assert set(beside(hidden, (0, 0))) == {2, 3}
    assert not (maps == hidden).all(axis=(1, 2)).any()
    assert len(np.unique(maps, axis=0)) > 20


def test_without_edits_a_level_is_its_own_mutant():
    space = Crafting(num_edits=0).level_space
    level = one(sampled(OWN), 0)
    assert jax.tree.all(jax.tree.map(np.array_equal, space.mutate(jax.random.key(0), level), level))


# -- text --------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 299), st.sampled_from(list(WORLDS)))
def test_text_round_trip(index, name):
    space, level = WORLDS[name].level_space, one(sampled(WORLDS[name]), index)
    again = space.from_text(space.to_text(level))
    assert jax.tree.all(jax.tree.map(np.array_equal, again, level))
    assert [leaf.dtype for leaf in jax.tree.leaves(again)] == [jnp.uint8] * 3
    assert space.fingerprint(again).tolist() == space.fingerprint(level).tolist()


def test_text_is_read_as_documented():
    level = SPACE.from_text("\n\n  goal:  chair \r\n  T@..\n....\n b..u \n\n")
    assert np.asarray(level.blocks).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [3, 0, 0, 2]]
    assert level.agent_position.tolist() == [0, 1]
    assert level.goals.tolist() == [4]
    assert SPACE.to_text(level) == "goal: chair\nT@..\n....\nb..u"


def test_several_goals_are_parted_by_commas():
    space = Crafting(height=3, width=4, num_goals=3, recipes=WORKSHOP).level_space
    text = TEXT.replace("chair", "wood, chair, wood")
    assert space.from_text(text).goals.tolist() == [0, 4, 0]
    assert space.to_text(space.from_text(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line of the level is ''; allowed: `goal: ITEM`, then the map"),
        ("T@..\n....\n...u", "the first line of the level is 'T@..'; allowed: `goal: ITEM`, then the map"),
        (
            "goal: chai\n...",
            "the goal 'chai' of the level is no item (did you mean 'chair'?); allowed: wood, berry, plank, bench, chair",
        ),
        ("goal:\n...", "the goal '' of the level is no item; allowed: wood, berry, plank, bench, chair"),
        ("goal: wood, chair\n...", "the level has 2 goals; allowed: 1 (--env.num-goals)"),
        ("goal: wood", "the level is empty; draw it with . @ and the symbols of blocks"),
        ("goal: wood\nT@..\n..x.\n...u", "unknown symbol 'x' at line 3, column 3; known: .@Tub"),
        ("\n\ngoal: wood\nT@..\n..x.\n...u", "unknown symbol 'x' at line 5, column 3; known: .@Tub"),
        ("goal: wood\nT@..\n...\n...u", "line 3 of the level has 3 cells; line 2 has 4"),
        ("goal: wood\nT@..\n...u", "the level is drawn 2x4; this world is 3x4 (--env.height, --env.width)"),
        ("goal: wood\nT...\n....\n...u", "the level has 0 agents (@); allowed: one"),
        ("goal: wood\nT@..\n....\n@..u", "the level has 2 agents (@); allowed: one"),
        ("goal: wood\nT@..\n....\n....", "the level has no bush; allowed: a block of each kind that new maps have"),
        (
            "goal: wood\n@...\n..TT\n..Tu",
            "the level has a kind of block that the agent cannot come to, or too few of one; allowed: one of each kind"
            " beside the agent's way, and of those that deplete as many as new maps have",
        ),
    ],
)
def test_text_errors_name_the_place(text, message):
    with pytest.raises(UserError) as error:
        SPACE.from_text(text)
    assert str(error.value) == message


def byte(*values):
    return np.array(values, np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": np.zeros((2, 4), np.uint8)}, "blocks of the level is uint8[2, 4]; allowed here: uint8[3, 4]"),
        ({"blocks": np.zeros((3, 4), np.int32)}, "blocks of the level is int32[3, 4]; allowed here: uint8[3, 4]"),
        ({"blocks": np.full((3, 4), 4, np.uint8)}, "blocks of the level has the code 4; allowed: 0 to 3"),
        ({"agent_position": byte(3, 0)}, "the agent is at row 3, column 0, outside of a 3x4 map"),
        ({"agent_position": byte(0, 4)}, "the agent is at row 0, column 4, outside of a 3x4 map"),
        ({"agent_position": np.array([-1, 0])}, "the agent is at row -1, column 0, outside of a 3x4 map"),
        ({"agent_position": byte(0, 0)}, "the agent is on a block (tree) at row 0, column 0; allowed: floor"),
        ({"goals": byte(0, 0)}, "goals of the level is uint8[2]; allowed here: uint8[1]"),
        ({"goals": byte(5)}, "goals of the level has the item 5; allowed: 0 to 4"),
    ],
)
def test_invalid_levels_are_told_apart(changes, message):
    level = SPACE.from_text(TEXT).replace(**changes)
    for judge in (SPACE.check, SPACE.to_text):
        with pytest.raises(UserError) as error:
            judge(level)
        assert str(error.value) == message


def test_levels_are_described_by_their_goals_and_blocks():
    space = Crafting(num_goals=2).level_space
    names = OWN.graph.item_names
    goals = jnp.array([names.index("wood"), names.index("portal")])
    level = space.of_goals(jax.random.key(0), goals)
    assert {name: float(value) for name, value in space.describe(level).items()} == {
        "goal_tier": (1 + 13) / 2,
        "num_blocks": 21,  # 3 + 2 + 2 + 3 + 1 + 1 + 2 + 2 + 2 + 1 + 1 + 1
    }
    assert all(value.dtype == jnp.float32 for value in space.describe(level).values())


# -- suites and tasks --------------------------------------------------------------------------------------------------


def test_suites_ask_for_every_item_on_the_same_maps():
    space = OWN.level_space
    assert space.suites == {
        "items": "Every item as the only goal on 8 maps: 54 entries, 9x9, horizon 160.",
        "deepest": "The 2 items of the deepest tier, 8 maps each, 9x9, horizon 160.",
    }
    (items,) = space.suite("items")
    assert items.env == OWN
    assert len(items.names) == 54 * 8
    goals = np.asarray(items.levels.goals)[:, 0]
    assert [OWN.graph.item_names[goal] for goal in goals] == list(items.names)
    blocks = np.asarray(items.levels.blocks).reshape(54, 8, 9, 9)
    assert (blocks == blocks[:1]).all()
    assert len(np.unique(blocks[0], axis=0)) == 8
    for index in range(8):
        assert_sound(OWN, one(jax.tree.map(np.asarray, items.levels), index))
    (deepest,) = space.suite("deepest")
    assert sorted(set(deepest.names)) == ["obsidian_blade", "portal"]
    assert (np.asarray(deepest.levels.blocks).reshape(2, 8, 9, 9) == blocks[0]).all()


def test_a_suite_is_the_same_at_every_call():
    from minied_envs.crafting import suites

    first = OWN.level_space.suite("deepest")[0].levels
    suites.build.cache_clear()
    again = Crafting().level_space.suite("deepest")[0].levels
    assert jax.tree.all(jax.tree.map(np.array_equal, first, again))


def test_worlds_with_several_goals_also_have_a_suite_of_sequences():
    several = Crafting(num_goals=3, goal_steps=50)
    space = several.level_space
    assert list(space.suites) == ["items", "deepest", "sequences"]
    assert space.suites["sequences"] == "64 maps with 3 uniform goals one after the other, 9x9, horizon 160."
    (sequences,) = space.suite("sequences")
    assert sequences.env == several
    assert np.asarray(sequences.levels.goals).shape == (64, 3)
    assert len(set(sequences.names)) == 64
    # Items are asked for one by one in a world that looks the same to a student.
    (items,) = space.suite("items")
    assert (items.env.num_goals, items.env.goal_steps) == (1, 0)
    assert items.env.observation_space == several.observation_space
    assert np.asarray(items.levels.goals).shape == (54 * 8, 1)


def test_tasks_are_the_items_from_easy_to_hard():
    tasks = OWN.level_space.tasks
    check_tasks(tasks, "a test")
    assert tasks.names == OWN.graph.item_names
    assert tasks.per_level == 1
    assert tasks.success_statistics == ()
    tiers = [graph.tiers(OWN.graph)[tasks.names[i]] for i in tasks.by_difficulty]
    assert tiers == sorted(tiers)


def test_a_level_of_tasks_has_them_as_goals_on_a_random_map():
    space = Crafting(num_goals=3).level_space
    tasks = space.tasks
    assert tasks.per_level == 3
    assert tasks.success_statistics == ("goal_0_done", "goal_1_done", "goal_2_done")
    wanted = jnp.array([5, 0, 53])
    levels = [tasks.level(jax.random.key(seed), wanted) for seed in range(2)]
    assert all(level.goals.tolist() == [5, 0, 53] for level in levels)
    assert (np.asarray(levels[0].blocks) != np.asarray(levels[1].blocks)).any()
    again = tasks.level(jax.random.key(0), wanted[::-1])
    assert (np.asarray(again.blocks) == np.asarray(levels[0].blocks)).all()  # goals do not change the map
