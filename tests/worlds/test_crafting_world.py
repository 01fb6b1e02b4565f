"""Crafting as a program, as a config, and with a user's own recipes; what is seen, and how it is drawn."""

from itertools import pairwise

import crafting_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crafting_samples import SMALL, WORKSHOP, play

from minied.config.parsing import config_from_dict, load_config
from minied.errors import UserError
from minied_envs.crafting import Crafting
from minied_envs.crafting.level import make_level
from minied_envs.grid.draw import tile_pixels

OWN = Crafting()
MASKED = Crafting(height=5, width=6, num_goals=2, goal_steps=9, mask_actions=True, recipes=SMALL)
SHOP = Crafting(height=3, width=5, max_steps=20, recipes=WORKSHOP)
LEVEL = SHOP.level_space.from_text("goal: chair\nT@...\n.....\n....u")


def sampled(world, number):
    return jax.jit(jax.vmap(world.level_space.sample))(jax.random.split(jax.random.key(2), number))


def equal(one, two):
    """Equal leaf for leaf, NaN like NaN."""
    same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"), one, two)
    return jax.tree.structure(one) == jax.tree.structure(two) and jax.tree.all(same)


# -- as a program ------------------------------------------------------------------------------------------------------


def test_compiled_and_not_are_the_same():
    level = jax.tree.map(lambda leaf: leaf[0], sampled(MASKED, 1))
    key = jax.random.key(0)
    states = [MASKED.reset(key, level)[1]]
    reset, step = samples.compiled(MASKED)
    assert equal(MASKED.reset(key, level), reset(key, level))
    for action in (0, 1, 4, 2, 5, 3):
        plain = MASKED.step(key, states[-1], jnp.int32(action), level)
        assert equal(plain, step(key, states[-1], jnp.int32(action), level))
        states.append(plain[1])


@pytest.mark.parametrize("world", [OWN, MASKED], ids=["own", "masked"])
def test_a_batch_is_its_levels_one_by_one(world):
    levels, keys = sampled(world, 5), jax.random.split(jax.random.key(0), 5)
    actions = jnp.array([4, 1, 0, 6, 5], jnp.int32)
    _, states = jax.vmap(world.reset)(keys, levels)
    states = states.replace(inventory=jnp.full_like(states.inventory, 2))
    batch = jax.jit(jax.vmap(world.step))(keys, states, actions, levels)
    _, step = samples.compiled(world)
    for index in range(5):
        level, state = (jax.tree.map(lambda leaf, i=index: leaf[i], tree) for tree in (levels, states))
        alone = step(keys[index], state, actions[index], level)
        assert equal(jax.tree.map(lambda leaf, i=index: leaf[i], batch), alone)


def test_a_step_and_a_reset_are_traced_once():
    traces = []

    def step(key, state, action, level):
        traces.append("step")
        return OWN.step(key, state, action, level)

    def reset(key, level):
        traces.append("reset")
        return OWN.reset(key, level)

    reset, step = jax.jit(reset), jax.jit(step)
    for seed in range(3):
        level = OWN.level_space.sample(jax.random.key(seed))
        _, state = reset(jax.random.key(seed), level)
        for action in (0, 4, 5, 48):
            _, state, *_ = step(jax.random.key(seed), state, jnp.int32(action), level)
    assert traces == ["reset", "step"]


@pytest.mark.parametrize("world", [OWN, MASKED, SHOP], ids=["own", "masked", "shop"])
def test_observations_are_of_their_space(world):
    level = jax.tree.map(lambda leaf: leaf[0], sampled(world, 1))
    reset, step = samples.compiled(world)
    observation, state = reset(jax.random.key(0), level)
    assert world.observation_space.contains(observation)
    # As much as there can be of all, at the last step, at the end of the map.
    full = state.replace(inventory=jnp.full_like(state.inventory, world.capacity), time=jnp.int32(world.max_steps - 1))
    for action in (0, 1, 2, 3, 4):
        observation = step(jax.random.key(0), full, jnp.int32(action), level)[0]
        assert world.observation_space.contains(observation)
        assert float(observation["time"][0]) == 1


# -- what is seen, by hand ---------------------------------------------------------------------------------------------


def test_what_is_seen_by_hand():
    _, told = play(SHOP, LEVEL, "east, south, west, collect")
    seen = told[2].observation  # at (1, 1), looking west: (0, 1), east (0, 2), south (1, 2), west (1, 1)
    assert seen["direction"] == 2
    outside = 4
    assert seen["view"].tolist() == [
        [outside] * 5,
        [outside, 1, 0, 0, 0],
        [outside, 0, 0, 0, 0],
        [outside, 0, 0, 0, 0],
        [outside] * 5,
    ]
    # The tree is above and to the left, two moves away, the bush below and to the right, four (1 and 3); no bench.
    np.testing.assert_allclose(seen["nearest"], [-1, -1, 1 / 2, 1, 1, 1 / 4, 0, 0, 0], rtol=1e-6)
    assert seen["goal"].tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(seen["time"], [3 / 20, 0], rtol=1e-6)
    assert not np.asarray(seen["inventory"]).any()


def test_what_is_carried_is_seen_as_a_share_and_as_whether_there_is_any():
    _, told = play(SHOP, LEVEL, "west, collect, collect, craft plank")
    # wood 1, berry 0, plank 2, bench 0, chair 0, of at most 9
    np.testing.assert_allclose(told[-1].observation["inventory"], [1 / 9, 0, 2 / 9, 0, 0, 1, 0, 1, 0, 0], rtol=1e-6)
    assert told[-1].observation["makeable"].tolist() == [1, 1, 0]


def test_masked_actions_are_those_that_would_do_nothing():
    world = Crafting(height=3, width=5, mask_actions=True, capacity=2, recipes=WORKSHOP)
    states, told = play(world, LEVEL, "west, collect, collect, craft plank")
    # east south west north, collect, craft plank bench chair, place bench
    masks = [np.asarray(step.observation["mask"]).astype(int).tolist() for step in told]
    assert masks == [
        [1, 1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 1, 0, 0, 0],  # no room for a third wood
        [1, 1, 1, 1, 1, 1, 1, 0, 0],
    ]
    # A bush goes, even if there is no room for its berry.
    full = states[-1].replace(inventory=jnp.full(5, 2, jnp.int32), position=jnp.array([2, 3], jnp.int32))
    after = samples.compiled(world)[1](jax.random.key(0), full, jnp.int32(0), LEVEL)
    assert np.asarray(after[0]["mask"]).tolist() == [True] * 7 + [False, False]
    gone = samples.compiled(world)[1](jax.random.key(0), after[1], jnp.int32(4), LEVEL)[1]
    assert int(gone.blocks[2, 4]) == 0
    assert gone.inventory.tolist() == [2] * 5


# -- options and recipes -----------------------------------------------------------------------------------------------


def test_own_recipes_change_what_is_seen_and_done():
    assert SHOP.action_space.n == 5 + 3 + 1
    observation = SHOP.reset(jax.random.key(0), LEVEL)[0]
    assert {name: part.shape for name, part in observation.items()} == {
        "view": (5, 5), "direction": (), "inventory": (10,), "goal": (5,), "time": (2,), "nearest": (9,), "makeable": (3,),
    }  # fmt: skip
    bare = Crafting(height=3, width=5, view_size=1, compass=False, show_makeable=False, recipes=WORKSHOP)
    assert set(bare.reset(jax.random.key(0), LEVEL)[0]) == {"view", "direction", "inventory", "goal", "time"}


@pytest.mark.parametrize("teacher", ["learning_progress", "domain_randomization", "accel"])
def test_own_recipes_can_be_trained_on(tmp_path, teacher):
    from minied.train.program import Program

    file = tmp_path / "shop.yaml"
    file.write_text(WORKSHOP)
    options = [
        f"--env.recipes={file}", "--env.height=3", "--env.width=5", "--env.view-size=3", f"--teacher={teacher}",
        "--num-envs=4", "--ppo.num-minibatches=2", "--num-steps=8", "--updates=2",
    ]  # fmt: skip
    config = load_config("crafting/uniform", options)
    with jax.numpy_dtype_promotion("standard"):  # what learns is not as strict as worlds are
        Program(config).check()


def test_a_config_holds_the_recipes_themselves(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("---" + SMALL)
    options = [f"--env.recipes={file}", "--env.height=5", "--env.width=6"]
    config = load_config("crafting/uniform", options)
    file.unlink()
    saved = config.to_dict()
    assert saved["env"]["recipes"] == "---" + SMALL
    again = config_from_dict(saved)
    assert again == config
    assert again.fingerprint == config.fingerprint
    assert again.env.graph.item_names == ("log", "oven", "seed", "meal", "iron", "steel")


def test_bad_recipes_are_told_before_anything_compiles(tmp_path):
    file = tmp_path / "cycle.yaml"
    file.write_text(WORKSHOP.replace("wood: {collect: tree}", "wood: {collect: tree, tool: chair}"))
    with pytest.raises(UserError, match="the recipes have a cycle: wood needs chair needs plank needs wood; allowed"):
        load_config("crafting/learning_progress", [f"--env.recipes={file}"])


# -- drawing -----------------------------------------------------------------------------------------------------------

TILE = tile_pixels(3, 5, 32)


def changed_cells(before, after):
    return {
        (row, col)
        for row in range(3)
        for col in range(5)
        if (before != after)[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE].any()
    }


def panel(picture):
    return picture[:, 5 * TILE + 2 :]


def test_a_level_is_drawn_as_its_start():
    picture = SHOP.level_space.draw(LEVEL)
    assert picture.dtype == np.uint8
    assert picture.shape[0] == 3 * TILE
    state = SHOP.reset(jax.random.key(0), LEVEL)[1]
    np.testing.assert_array_equal(picture, SHOP.level_space.draw(LEVEL, state))


def test_drawing_changes_with_what_matters():
    space = SHOP.level_space
    states, _ = play(SHOP, LEVEL, "east, west, collect, craft plank, craft bench, place bench, south")
    pictures = [space.draw(LEVEL, state) for state in states]
    # From (0, 1) to (0, 2), back to (0, 1), which looks at the tree; the rest changes what is carried.
    assert changed_cells(pictures[0], pictures[1]) == {(0, 1), (0, 2)}
    assert changed_cells(pictures[0], pictures[2]) == {(0, 1)}
    changes = [(changed_cells(*pair), bool((panel(pair[0]) != panel(pair[1])).any())) for pair in pairwise(pictures)]
    # Wood, planks, a bench in the hand, and none put down where the tree is: the way south has to be free for that.
    assert changes[2:] == [(set(), True), (set(), True), (set(), True), (set(), False), ({(0, 1), (1, 1)}, False)]
    other = make_level(LEVEL.blocks, LEVEL.agent_position, [0])
    assert changed_cells(space.draw(other), pictures[0]) == set()
    assert (panel(space.draw(other)) != panel(pictures[0])).any()


def test_every_block_has_its_colour_and_symbol():
    space = OWN.level_space
    codes = np.zeros((9, 9), np.uint8)
    codes[:2, :8] = np.arange(1, 17).reshape(2, 8)
    picture = space.draw(make_level(jnp.asarray(codes), jnp.array([8, 8]), [0]))
    tile = tile_pixels(9, 9, 32)
    cells = [picture[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile] for r in range(2) for c in range(8)]
    for block, cell in zip(OWN.graph.blocks, cells, strict=True):
        is_block = (np.abs(cell.astype(int) - block.colour) < 3).all(axis=-1)
        assert 0.4 < is_block.mean() < 0.97, block.name
    assert all((a != b).any() for i, a in enumerate(cells) for b in cells[:i])


def test_goals_are_marked_as_done_missed_under_way_or_later():
    world = Crafting(height=3, width=5, num_goals=2, recipes=WORKSHOP)
    level = make_level(LEVEL.blocks, LEVEL.agent_position, [0, 4])
    state = world.reset(jax.random.key(0), level)[1]
    reached = state.replace(place=jnp.int32(1), done=jnp.array([True, False]))
    missed = state.replace(place=jnp.int32(1))
    pictures = [panel(world.level_space.draw(level, each)) for each in (state, reached, missed)]
    assert all((a != b).any() for i, a in enumerate(pictures) for b in pictures[:i])


def test_the_present_goal_is_told_where_there_is_no_room_for_all():
    world = Crafting(height=3, width=5, num_goals=20, recipes=WORKSHOP)
    level = make_level(LEVEL.blocks, LEVEL.agent_position, [0, 1, 2, 3] * 5)
    state = world.reset(jax.random.key(0), level)[1]
    pictures = [panel(world.level_space.draw(level, state.replace(place=jnp.int32(n)))) for n in (12, 13, 14)]
    assert all((a != b).any() for a, b in pairwise(pictures))
