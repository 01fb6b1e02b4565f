"""What Simon says in the world of crafting, by hand: goals, time-outs, ends, statistics and achievements."""

import math

import crafting_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crafting_samples import WORKSHOP, carried, play

from minied_envs.crafting import Crafting

ONE = Crafting(height=3, width=4, max_steps=8, recipes=WORKSHOP)
THREE = Crafting(height=3, width=4, max_steps=8, num_goals=3, goal_steps=3, recipes=WORKSHOP)
MAP = "T@..\n....\n...u"


def level(world, *goals):
    return world.level_space.from_text(f"goal: {', '.join(goals)}\n{MAP}")


def rewards(told):
    return [step.reward for step in told]


def told_goal(world, step):
    (number,) = np.flatnonzero(step.observation["goal"])
    return world.graph.item_names[number]


def test_an_episode_ends_with_its_goal():
    states, told = play(ONE, level(ONE, "bench"), "west, collect, craft plank, craft bench")
    assert rewards(told) == [0, 0, 0, 1]
    assert [step.terminated for step in told] == [False, False, False, True]
    assert not any(step.truncated for step in told)
    assert carried(ONE, states[-1]) == {"bench": 1}
    assert ONE.is_solved(jnp.float32(1))
    assert not ONE.is_solved(jnp.float32(0))


def test_an_episode_without_its_goal_is_truncated_at_its_last_step():
    _, told = play(ONE, level(ONE, "bench"), ", ".join(["east"] * 8))
    assert [step.truncated for step in told] == [False] * 7 + [True]
    assert not any(step.terminated for step in told)


def test_a_goal_at_the_last_step_is_an_end_and_no_time_out():
    _, told = play(ONE, level(ONE, "wood"), "east, east, east, west, west, west, west, collect")
    assert rewards(told) == [0] * 7 + [1]
    assert [step.terminated for step in told] == [False] * 7 + [True]
    assert not any(step.truncated for step in told)


def test_the_next_goal_is_told_after_success_and_time_and_map_and_inventory_stay():
    states, told = play(THREE, level(THREE, "wood", "plank", "bench"), "west, collect, craft plank, craft bench")
    assert rewards(told) == [0, 1, 1, 1]
    assert [told_goal(THREE, step) for step in told] == ["wood", "plank", "bench", "bench"]
    assert [int(state.place) for state in states] == [0, 0, 1, 2, 3]
    assert [int(state.goal_time) for state in states] == [0, 1, 0, 0, 0]
    assert [int(state.time) for state in states] == [0, 1, 2, 3, 4]
    assert carried(THREE, states[2]) == {"wood": 1}
    assert told[-1].terminated
    assert [THREE.is_solved(jnp.float32(total)).item() for total in (3, 2)] == [True, False]
    assert told[-1].statistics == {"items_obtained": 3, "goal_0_done": 1, "goal_1_done": 1, "goal_2_done": 1}


def test_a_goal_is_given_up_when_its_time_is_over():
    states, told = play(THREE, level(THREE, "berry", "wood", "plank"), "west, west, west, west, collect, craft plank")
    # Three steps for a berry, then the next is told; wood in the second of its three.
    assert [told_goal(THREE, step) for step in told] == ["berry", "berry", "wood", "wood", "plank", "plank"]
    assert rewards(told) == [0, 0, 0, 0, 1, 1]
    assert [int(state.goal_time) for state in states] == [0, 1, 2, 0, 1, 0, 0]
    # The last one reached is an end, though the first was not.
    assert told[-1].terminated
    assert told[-1].statistics == {"items_obtained": 2, "goal_0_done": 0, "goal_1_done": 1, "goal_2_done": 1}


def test_a_goal_at_the_last_of_its_steps_is_reached():
    _, told = play(THREE, level(THREE, "wood", "plank", "bench"), "west, west, collect")
    assert rewards(told) == [0, 0, 1]
    assert told[-1].statistics["goal_0_done"] == 1


def test_the_last_goal_given_up_is_a_time_out():
    _, told = play(THREE, level(THREE, "wood", "plank", "berry"), "west, collect, craft plank, east, east, east")
    assert [step.truncated for step in told] == [False] * 5 + [True]
    assert not any(step.terminated for step in told)
    assert told[-1].statistics["goal_2_done"] == 0


def test_goals_that_were_not_come_to_are_not_defined():
    _, told = play(THREE, level(THREE, "wood", "plank", "bench"), "west, collect, east")
    first = {"items_obtained": 0, "goal_0_done": 0, "goal_1_done": math.nan, "goal_2_done": math.nan}
    np.testing.assert_equal(told[0].statistics, first)
    # Told in this very step: nothing was done for it yet.
    second = {"items_obtained": 1, "goal_0_done": 1, "goal_1_done": math.nan, "goal_2_done": math.nan}
    np.testing.assert_equal(told[1].statistics, second)
    np.testing.assert_equal(told[2].statistics, second | {"goal_1_done": 0})


def test_a_goal_that_is_told_at_the_last_step_was_not_missed():
    world = Crafting(height=3, width=4, max_steps=2, num_goals=2, recipes=WORKSHOP)
    _, told = play(world, level(world, "wood", "plank"), "west, collect")
    assert told[-1].truncated
    assert not told[-1].terminated
    assert told[-1].reward == 1
    np.testing.assert_equal(told[-1].statistics, {"items_obtained": 1, "goal_0_done": 1, "goal_1_done": math.nan})


def test_one_goal_needs_no_statistics_of_goals():
    _, told = play(ONE, level(ONE, "wood"), "west")
    assert set(told[0].statistics) == {"items_obtained"}


def test_without_a_limit_only_the_end_of_the_episode_gives_a_goal_up():
    world = Crafting(height=3, width=4, max_steps=6, num_goals=2, recipes=WORKSHOP)
    _, told = play(world, level(world, "berry", "wood"), ", ".join(["west"] * 6))
    assert {told_goal(world, step) for step in told} == {"berry"}
    assert [step.truncated for step in told] == [False] * 5 + [True]


def test_what_is_carried_counts_only_when_it_is_obtained_anew():
    world = Crafting(height=3, width=4, max_steps=20, num_goals=3, capacity=2, recipes=WORKSHOP)
    words = "west, collect, collect, west, collect, craft plank, collect"
    states, told = play(world, level(world, "wood", "wood", "wood"), words)
    # One wood, a second one; a third has no room, until one has become planks.
    assert rewards(told) == [0, 1, 1, 0, 0, 0, 1]
    assert carried(world, states[5]) == {"wood": 2}


def test_an_item_of_which_nothing_could_be_kept_was_not_obtained():
    world = Crafting(height=3, width=4, num_goals=2, capacity=2, recipes=WORKSHOP)
    states, told = play(world, level(world, "plank", "plank"), f"west{2 * ', collect, craft plank'}")
    assert rewards(told) == [0, 0, 1, 0, 0]
    assert carried(world, states[-1]) == {"plank": 2}  # and the wood is gone


def test_what_comes_out_is_lost_where_there_is_no_room():
    world = Crafting(height=3, width=4, capacity=3, recipes=WORKSHOP)
    states, told = play(
        world, level(world, "chair"), "west, collect, craft plank, collect, craft plank, collect, craft plank"
    )
    assert [carried(world, state).get("plank", 0) for state in states] == [0, 0, 0, 2, 2, 3, 3, 3]
    assert carried(world, states[-1]) == {"plank": 3}  # the last wood was wasted
    assert [bool(step.observation["makeable"][0]) for step in told] == [False, True, False, True, False, True, False]


def test_achievements_come_once_an_episode_and_are_never_the_goal():
    world = Crafting(height=3, width=4, max_steps=20, num_goals=2, recipes=WORKSHOP)
    words = "west, collect, collect, craft plank, craft plank, craft bench, collect"
    _, told = play(world, level(world, "plank", "wood"), words)
    # Wood is achieved in the second step, and is the goal only later; plank is the goal first, and never new again.
    assert [step.achieved for step in told] == [[], ["wood"], [], [], [], ["bench"], []]
    assert rewards(told) == [0, 0, 0, 1, 0, 0, 1]
    assert [step.statistics["items_obtained"] for step in told] == [0, 1, 1, 2, 2, 3, 3]


def test_tools_stay_and_blocks_that_deplete_go():
    world = Crafting(height=3, width=4, recipes=WORKSHOP)
    words = "west, collect, craft plank, south, south, east, east, collect, collect, east"
    states, _ = play(world, level(world, "chair"), words)
    # From (0, 1), past (1, 1) to (2, 1), to (2, 2) below which nothing is, beside the bush at (2, 3).
    assert states[7].position.tolist() == [2, 2]
    assert int(states[7].blocks[2, 3]) == 2
    assert carried(world, states[8]) == {"berry": 1, "plank": 2}
    assert int(states[8].blocks[2, 3]) == 0
    assert carried(world, states[9]) == {"berry": 1, "plank": 2}
    assert states[10].position.tolist() == [2, 3]


def test_who_has_no_tool_gets_nothing():
    words = "south, south, east, east, collect"
    states, _ = play(ONE, level(ONE, "berry"), words)
    assert carried(ONE, states[-1]) == {}
    assert int(states[-1].blocks[2, 3]) == 2


@pytest.mark.parametrize(("reach", "far"), [(1, 2), (2, 3)])
def test_what_is_crafted_at_a_block_needs_it_within_reach(reach, far):
    world = Crafting(height=2, width=6, reach=reach, max_steps=40, recipes=WORKSHOP)
    text = "goal: chair\nT@....\nu....."
    start = world.level_space.from_text(text)
    words = f"west{3 * ', collect'}{3 * ', craft plank'}, craft bench, south, east, east, place bench"
    # South to (1, 1), east to (1, 3), and the bench to (1, 4).
    states, _ = play(world, start, words)
    assert states[-1].position.tolist() == [1, 3]
    assert int(states[-1].blocks[1, 4]) == 3
    assert carried(world, states[-1]) == {"plank": 4}
    away = ["west"] * (far - 1)
    for steps, works in ((away[:-1], True), (away, False)):
        states, told = play(world, start, ", ".join([words, *steps, "craft chair"]))
        assert states[-1].position.tolist() == [1, 3 - len(steps)]
        assert carried(world, states[-1]) == ({"plank": 3, "chair": 1} if works else {"plank": 4})
        assert told[-1].reward == works
        assert bool(told[-2].observation["makeable"][2]) == works


def test_nothing_is_put_down_on_a_block_or_outside():
    world = Crafting(height=3, width=4, max_steps=40, recipes=WORKSHOP)
    words = "west, collect, craft plank, craft bench, place bench"
    states, _ = play(world, level(world, "chair"), words)
    assert carried(world, states[-1]) == {"bench": 1}  # at a tree
    states, _ = play(world, level(world, "chair"), f"{words}, north, place bench")
    assert carried(world, states[-1]) == {"bench": 1}  # at the end of the map
    assert (states[-1].blocks == states[0].blocks).all()
    states, _ = play(world, level(world, "chair"), f"{words}, south, place bench, south")
    assert carried(world, states[-1]) == {}
    assert int(states[-1].blocks[2, 1]) == 3
    assert states[-1].position.tolist() == [1, 1]


def test_nothing_is_random():
    world, start = ONE, level(ONE, "bench")
    reset, step = samples.compiled(world)
    one, two = (reset(jax.random.key(seed), start) for seed in (0, 1))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, two))
    stepped = [step(jax.random.key(seed), one[1], jnp.int32(2), start) for seed in (0, 1)]
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), *stepped))
