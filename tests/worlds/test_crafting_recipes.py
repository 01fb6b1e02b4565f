"""The recipes of crafting: tiers and bills by hand, what is refused and how, and a user's own in place of minied's."""

import re

import pytest
from crafting_samples import SMALL, SMALLEST

from minied.errors import UserError
from minied_envs.crafting import Crafting, graph, recipes
from minied_envs.crafting.tables import action_names

OWN = recipes.parse(recipes.text_of(""))
BLOCKS = (
    "blocks: {tree: {number: 2, symbol: T, colour: [0, 90, 0]}, vein: {number: 0, symbol: v0, colour: [0, 0, 0]}}\n"
)
BLOCKS = BLOCKS.replace("v0", "o")


def with_items(*items: str, blocks: str = BLOCKS) -> str:
    return blocks + "items:\n" + "".join(f"  {item}\n" for item in items)


def with_blocks(*blocks: str) -> str:
    return "blocks:\n" + "".join(f"  {block}\n" for block in blocks) + "items: {wood: {collect: tree}}\n"


def refusal(text: str, **options) -> str:
    with pytest.raises(UserError) as error:
        Crafting(recipes=text, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# -- what minied's own say ---------------------------------------------------------------------------------------------


def test_there_are_54_items_and_46_things_to_do_with_them():
    collected = [item for item in OWN.items if item.collect]
    # wood fibre berry sand clay, stone coal wheat fish, iron_ore gold_ore crystal obsidian
    assert len(collected) == 13
    assert (len(OWN.items), len(OWN.crafted), len(OWN.placed)) == (54, 41, 4)
    # Four moves and to collect, 41 to craft, and to place seeds, table, furnace and anvil.
    assert Crafting().action_space.n == 5 + 41 + 4
    names = action_names(OWN)
    assert names[:6] == ("east", "south", "west", "north", "collect", "craft plank")
    assert names[-4:] == ("place seeds", "place table", "place furnace", "place anvil")


def test_tiers_by_hand():
    tiers = graph.tiers(OWN)
    assert tiers["wood"] == 1
    assert tiers["plank"] == tiers["seeds"] == 2
    assert tiers["table"] == 3  # of planks
    assert tiers["wooden_pickaxe"] == 4  # of planks and sticks, 2, at a table, 3
    assert tiers["stone"] == 5  # with a wooden pickaxe, 4
    assert tiers["wheat"] == 5  # with a wooden hoe, 4, from a crop, which seeds, 2, become
    assert tiers["stone_pickaxe"] == tiers["furnace"] == 6  # of stone, 5
    assert tiers["iron_ore"] == 7  # with a stone pickaxe, 6
    assert tiers["iron"] == 8  # of iron ore, 7, at a furnace, 6
    assert tiers["anvil"] == tiers["iron_pickaxe"] == 9
    assert tiers["crystal"] == tiers["gold_ore"] == 10  # with an iron pickaxe, 9
    assert tiers["crystal_pickaxe"] == tiers["gold"] == 11
    assert tiers["obsidian"] == tiers["ring"] == 12
    assert tiers["portal"] == max(tiers.values()) == 13


def test_bills_by_hand():
    assert graph.bill(OWN, "wood") == {"wood": 1}
    assert graph.bill(OWN, "stick") == {"stick": 2, "wood": 1}  # two come out
    # The pickaxe takes a plank and a stick, its table two planks: 3 planks, of which 2 + 2 come out of 2 wood.
    pickaxe = {"wooden_pickaxe": 1, "plank": 4, "stick": 2, "table": 1, "wood": 2 + 1}
    assert graph.bill(OWN, "wooden_pickaxe") == pickaxe
    # Furnace: 2 stone; stone pickaxe: 1 stone and a stick; wooden pickaxe, with which coal is had too: a plank and a stick.
    assert graph.bill(OWN, "iron") == {
        "iron": 1, "iron_ore": 1, "coal": 1, "furnace": 1, "stone_pickaxe": 1, "stone": 2 + 1, **pickaxe,
    }  # fmt: skip


def test_a_bill_wants_what_is_put_down_and_depletes_each_time_and_tools_once():
    small = recipes.parse(SMALL)
    # Steel takes 2 iron, had with one meal, and a meal: 2 meals from 2 crops, of 2 seeds, of which 3 come out of a log;
    # its oven takes 2 logs.
    expected = {"steel": 2, "iron": 2, "meal": 2, "seed": 3, "oven": 1, "log": 1 + 2}
    assert graph.bill(small, "steel") == expected
    # Where a log makes one seed, the two seeds take two; where the crop stays, there is one.
    single = SMALL.replace("makes: 3, ", "")
    assert graph.bill(recipes.parse(single), "steel") == expected | {"seed": 2, "log": 2 + 2}
    lasting = single.replace("colour: [200, 200, 10], depletes: true", "colour: [200, 200, 10]")
    assert graph.bill(recipes.parse(lasting), "steel") == expected | {"seed": 1, "log": 1 + 2}


def test_easy_to_hard_rises_in_tier_and_then_in_work():
    tiers, order = graph.tiers(OWN), graph.easy_to_hard(OWN)
    assert sorted(order) == list(range(54))
    work = [(tiers[OWN.items[i].name], sum(graph.bill(OWN, OWN.items[i].name).values())) for i in order]
    assert work == sorted(work)
    assert [OWN.items[i].name for i in order[5:9]] == ["seeds", "plank", "stick", "rope"]  # 2, then 3 each, as listed


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_cycle_is_told_from_need_to_need():
    text = with_items(
        "wood: {collect: tree}", "a: {craft: {wood: 1, b: 1}}", "b: {craft: {c: 1}}", "c: {craft: {a: 2}}"
    )
    assert refusal(text) == "the recipes have a cycle: a needs b needs c needs a; allowed: none, or nobody can begin"
    assert refusal(with_items("a: {craft: {a: 1}}")) == (
        "the recipes have a cycle: a needs a; allowed: none, or nobody can begin"
    )


def test_cycles_go_over_tools_and_what_places_a_block():
    tool = with_items("wood: {collect: tree, tool: axe}", "axe: {craft: {wood: 1}}")
    assert refusal(tool).startswith("the recipes have a cycle: wood needs axe needs wood;")
    station = with_items("wood: {collect: tree}", "forge: {craft: {wood: 1}, at: vein, places: vein}")
    assert refusal(station).startswith("the recipes have a cycle: forge needs forge;")


def test_what_nobody_can_have_is_refused():
    for item, how in (("ore: {collect: vein}", "collected from"), ("ore: {craft: {wood: 1}, at: vein}", "crafted at")):
        assert refusal(with_items("wood: {collect: tree}", item)) == (
            f"the item 'ore' of the recipes cannot be had: it is {how} 'vein', of which a map has none and which no item"
            " places; allowed: a number above 0, or an item with `places`"
        )


def test_more_than_can_be_carried_is_refused():
    text = with_items("wood: {collect: tree}", "raft: {craft: {wood: 10}}")
    assert refusal(text) == "the item 'raft' of the recipes takes 10 of 'wood'; allowed with capacity = 9: at most 9"
    Crafting(recipes=text, capacity=10)


def test_stations_out_of_reach_are_refused():
    assert refusal("", reach=0) == (
        "reach is 0, and the item 'wooden_pickaxe' of the recipes is crafted at 'table'; allowed: at least 1"
    )
    Crafting(recipes=SMALLEST, reach=0)


def test_too_few_of_a_block_that_depletes_are_refused():
    depleting = BLOCKS.replace("[0, 90, 0]", "[0, 90, 0], depletes: true")
    items = ("wood: {collect: tree}", "plank: {craft: {wood: 1}}", "raft: {craft: {plank: 3}}")
    # 3 planks, a wood each
    assert refusal(with_items(*items, blocks=depleting)) == (
        "the item 'raft' of the recipes takes 3 of 'wood', of whose block 'tree', which depletes, a map has 2; allowed: a"
        " number of at least 3"
    )
    Crafting(recipes=with_items(*items, blocks=depleting.replace("number: 2", "number: 3")))
    # Somebody who can plant trees has as many as they like.
    Crafting(
        recipes=with_items(
            *items, "cone: {collect: vein, places: tree}", blocks=depleting.replace("number: 0", "number: 1")
        )
    )


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a: {collect: treee}", "collect names the block 'treee' (did you mean 'tree'?); allowed: tree, vein"),
        ("a: {collect: xyz}", "collect names the block 'xyz'; allowed: tree, vein"),
        ("a: {craft: {wod: 1}}", "craft names the item 'wod' (did you mean 'wood'?); allowed: wood, a"),
        ("a: {craft: {wood: 1}, at: tre}", "at names the block 'tre' (did you mean 'tree'?); allowed: tree, vein"),
        ("a: {craft: {wood: 1}, places: veim}", "places names the block 'veim' (did you mean 'vein'?); allowed: tree, vein"),
        ("a: {collect: vein, tool: woood}", "tool names the item 'woood' (did you mean 'wood'?); allowed: wood, a"),
        ("a: {collect: tree}", "collect is 'tree', as that of 'wood' is; allowed: one item a block"),
        ("a: {craft: {wood: 0}}", "wood is 0; allowed: a whole number from 1 to 100"),
        ("a: {craft: {wood: 101}}", "wood is 101; allowed: a whole number from 1 to 100"),
        ("a: {craft: {wood: 1.5}}", "wood is 1.5; allowed: a whole number from 1 to 100"),
        ("a: {craft: {wood: true}}", "wood is True; allowed: a whole number from 1 to 100"),
        ("a: {craft: {wood: 1}, makes: 0}", "makes is 0; allowed: a whole number from 1 to 100"),
        ("a: {craft: {wood: 1}, makes: two}", "makes is 'two'; allowed: a whole number"),
        ("a: {craft: wood}", "craft is 'wood'; allowed: items and how many of each, such as {wood: 1}"),
        ("a: {collect: 3}", "collect is 3; allowed: a word"),
    ],
)  # fmt: skip
def test_items_that_are_refused(item, message):
    told = refusal(with_items("wood: {collect: tree}", item))
    assert told == f"the item 'a' of the recipes: {message}"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a: {}", "has no way to it; allowed: either collect or craft"),
        ("a: {collect: vein, craft: {wood: 1}}", "has collect and craft; allowed: either collect or craft"),
        ("a: {collect: vein, at: tree}", "has at; allowed: only with craft"),
        ("a: {collect: vein, makes: 2}", "has makes; allowed: only with craft"),
        ("a: {craft: {wood: 1}, tool: wood}", "has tool; allowed: only with collect"),
        (
            "a: {colect: vein}",
            "has 'colect' (did you mean 'collect'?); allowed: collect, tool, craft, at, makes, places",
        ),
        ("a: 3", "is 3; allowed: a mapping of collect, tool, craft, at, makes, places"),
    ],
)
def test_items_of_another_form_are_refused(item, message):
    assert refusal(with_items("wood: {collect: tree}", item)) == f"the item 'a' of the recipes {message}"


def test_one_item_a_block_is_put_down():
    text = with_items(
        "wood: {collect: tree}", "a: {craft: {wood: 1}, places: vein}", "b: {craft: {a: 1}, places: vein}"
    )
    assert (
        refusal(text) == "the item 'b' of the recipes: places is 'vein', as that of 'a' is; allowed: one item a block"
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{number: 1, symbol: T}", " has no colour; allowed: three whole numbers from 0 to 255"),
        (
            "{number: 1, colour: [0, 0, 0]}",
            " has no symbol; allowed: one character, in quotes if YAML takes it for another thing",
        ),
        ("{symbol: TT, colour: [0, 0, 0]}", ": symbol is 'TT'; allowed: one character other than . # > v < ^ @"),
        ("{symbol: '@', colour: [0, 0, 0]}", ": symbol is '@'; allowed: one character other than . # > v < ^ @"),
        ("{symbol: ' ', colour: [0, 0, 0]}", ": symbol is ' '; allowed: one character other than . # > v < ^ @"),
        ("{symbol: T, colour: [0, 0]}", ": colour is [0, 0]; allowed: three whole numbers from 0 to 255"),
        ("{symbol: T, colour: [0, 0, 256]}", ": colour is [0, 0, 256]; allowed: three whole numbers from 0 to 255"),
        ("{symbol: T, colour: red}", ": colour is 'red'; allowed: three whole numbers from 0 to 255"),
        ("{symbol: T, colour: [0, 0, 0], number: -1}", ": number is -1; allowed: 0 to 32768"),
        ("{symbol: T, colour: [0, 0, 0], number: 1.5}", ": number is 1.5; allowed: a whole number"),
        ("{symbol: T, colour: [0, 0, 0], depletes: 1}", ": depletes is 1; allowed: true or false"),
        ("{symbol: T, colour: [0, 0, 0], shape: 1}", " has 'shape'; allowed: number, symbol, colour, depletes"),
    ],
)
def test_blocks_that_are_refused(block, message):
    assert refusal(with_blocks(f"tree: {block}")) == f"the block 'tree' of the recipes{message}"


def test_a_symbol_that_is_used_twice_is_refused():
    text = with_blocks(*(f"{name}: {{number: 1, symbol: T, colour: [0, 0, 0]}}" for name in ("tree", "bush")))
    assert refusal(text) == "the block 'tree' of the recipes: symbol is 'T', twice; allowed: one of its own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "the recipes hold nothing; allowed: two mappings, blocks and items"),
        ("[]\n", "the recipes hold a list; allowed: two mappings, blocks and items"),
        ("blocks: {}\nitem: {}\n", "the recipes hold blocks, item; allowed: two mappings, blocks and items"),
        ("blocks: {}\nitems: {}\n", "blocks of the recipes: 0 entries; allowed: a mapping of 1 to 100 entries"),
        (BLOCKS + "items: [wood]\n", "items of the recipes: ['wood']; allowed: a mapping of 1 to 250 entries"),
        ("blocks: ]\n", "the text of recipes is not valid YAML: expected the node content, but found ']' (line 1)"),
        (with_items("'': {collect: tree}"), "items of the recipes has the name ''; allowed: words without commas"),
        (with_items("'a, b': {collect: tree}"), "items of the recipes has the name 'a, b'; allowed: words without commas"),
        (with_items("' a': {collect: tree}"), "items of the recipes has the name ' a'; allowed: words without commas"),
        (with_items("on: {collect: tree}"), "the text of recipes is not valid YAML: the key True is not a word (line 3)"),
        (
            with_items("wood: {collect: tree}", "wood: {craft: {wood: 1}}"),
            "the text of recipes is not valid YAML: duplicate key 'wood' (line 4)",
        ),
        (with_items("a: {collect: 2020-99-99}"), "the text of recipes is not valid YAML: month must be in 1..12"),
        (with_items("a: " + 3000 * "["), "the text of recipes is not valid YAML: it is nested too deep"),
    ],
)  # fmt: skip
def test_texts_that_are_no_recipes_are_refused(text, message):
    assert refusal(text) == message


def test_more_items_than_a_byte_counts_are_refused():
    text = with_items("i0: {collect: tree}", *(f"i{i}: {{craft: {{i{i - 1}: 1}}}}" for i in range(1, 251)))
    assert refusal(text) == "items of the recipes: 251 entries; allowed: a mapping of 1 to 250 entries"
    longest = recipes.parse(text[: text.index("  i250:")])
    assert max(graph.tiers(longest).values()) == 250


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.mkdir [{}]", "!!python/name:os.mkdir {}", "!!python/module:os {}"]
)
def test_nothing_is_executed(tmp_path, tag):
    made = tmp_path / "made"
    text = with_items(f"wood: {tag.format(made)}")
    assert re.match(
        "the text of recipes is not valid YAML: could not determine a constructor for the tag", refusal(text)
    )
    assert not made.exists()


def test_a_map_has_room_for_its_blocks():
    # 7 rows and 7 columns: 4 · 4 cells of even row and column; 3 + 2 + 2 + 3 + 1 + 1 + 2 + 2 + 2 + 1 + 1 + 1 = 21 blocks
    assert refusal("", height=7, width=7) == (
        "height x width is 7x7, with room for 16 blocks; allowed with these recipes: room for 21, the sum of their numbers"
    )
    Crafting(height=7, width=11)  # 4 · 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 1}, "height is 1; allowed: 2 to 255"),
        ({"width": 256}, "width is 256; allowed: 2 to 255"),
        ({"max_steps": 0}, "max_steps is 0; allowed: 1 to 16777215"),
        ({"num_goals": 0}, "num_goals is 0; allowed: 1 to 100"),
        ({"capacity": 101}, "capacity is 101; allowed: 1 to 100"),
        ({"goal_steps": -1}, "goal_steps is -1; allowed: 0 to 16777215"),
        ({"num_edits": -1}, "num_edits is -1; allowed: 0 to 32767"),
        ({"reach": 16}, "reach is 16; allowed: 0 to 15"),
        ({"view_size": 4}, "view_size is 4; allowed: odd numbers from 1 to 31"),
        ({"view_size": -1}, "view_size is -1; allowed: odd numbers from 1 to 31"),
        ({"view_size": 33}, "view_size is 33; allowed: odd numbers from 1 to 31"),
    ],
)
def test_options_are_checked(options, message):
    assert refusal("", **options) == message


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_that_cannot_be_read_are_refused(tmp_path):
    missing = str(tmp_path / "none.yaml")
    assert refusal(missing) == (
        f"recipes is {missing!r}, which cannot be read: No such file or directory; allowed: a YAML file of recipes"
    )
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("bl\xf6cke: 1\n".encode("latin-1"))
    assert refusal(str(latin)).endswith("which cannot be read: it is not UTF-8; allowed: a YAML file of recipes")


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        "---" + SMALL,
        "{blocks: {tree: {number: 1, symbol: T, colour: [0, 0, 0]}}, items: {wood: {collect: tree}}}",
    ],
)
def test_a_world_holds_the_text_of_the_file_itself(tmp_path, text):
    file = tmp_path / "recipes.yaml"
    file.write_text(text)
    world = Crafting(recipes=str(file), height=5, width=6)
    file.unlink()
    assert world.recipes.strip() == text.strip()
    assert world.graph == recipes.parse(text)
    assert Crafting(recipes=world.recipes, height=5, width=6) == world


def test_an_empty_file_is_not_taken_for_no_file(tmp_path):
    (tmp_path / "empty.yaml").touch()
    assert refusal(str(tmp_path / "empty.yaml")) == "the recipes hold nothing; allowed: two mappings, blocks and items"
