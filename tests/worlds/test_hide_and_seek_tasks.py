"""What the tasks in the world of hide and seek are worth, by hand. Letters: ``T`` steps, ``X`` boxes, ``P`` sites."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hide_and_seek_scripts import (
    EAST,
    LOCK,
    LOCK_LEVEL,
    NORTH,
    PRINT,
    SEQUENCE,
    SHELTER,
    arena,
    blueprint_level,
    play,
    sampled,
    shelter_level,
    watch,
)

from minied_envs.hide_and_seek.level import SINGLE, WIDE
from minied_envs.hide_and_seek.rules import NOTHING
from minied_envs.hide_and_seek.tasks import ObjectCounting
from minied_envs.hide_and_seek.tasks.blueprint import soft_minimum
from minied_envs.hide_and_seek.tasks.sequential_lock import SequentialLockLevel

# -- lock and return ---------------------------------------------------------------------------------------------------


def test_lock_and_return_pays_for_locks_for_coming_nearer_and_for_being_back():
    rewards, terminated, state, info = play(LOCK, LOCK_LEVEL, "E E E l. W W . .")
    # The way is 3 cells to the box and 3 back. Two cells nearer to the box: 0.5 each. Into the box: nothing. The lock:
    # 5, and the way is no more 1 + 3 but 2: 1. Back: 1, then 0 cells, 0.5 each; once there, 1 for every step.
    np.testing.assert_allclose(rewards, [0.5, 0.5, 0, 6, 0.5, 1.5, 1, 1])
    assert not terminated.any()
    assert state.progress == 3
    assert info["statistics"] == {"locked": 1, "complete_steps": 3}


def test_lock_and_return_takes_back_what_a_lock_that_is_opened_was_worth():
    rewards, _, _, info = play(LOCK, LOCK_LEVEL, "E E l. W E l. W")
    # Towards the start, the next target, and back to the box: 0.5 for one cell nearer, -0.5 for one farther; the lock
    # opens: -5, and the way is 1 + 3 again and not 2: -1; now a step away from the box costs 0.5.
    np.testing.assert_allclose(rewards, [0.5, 0.5, 6, 0.5, -0.5, -6, -0.5])
    assert info["statistics"] == {"locked": 0, "complete_steps": 0}


@pytest.mark.parametrize("cycle", ["l. lW E", "l. l.", "l. W E l.", "gl. lW gE"])
def test_no_cycle_of_lock_and_return_pays(cycle):
    rewards, _, _, info = play(LOCK, LOCK_LEVEL, f"E E {cycle} {cycle}")
    assert info["statistics"]["complete_steps"] == 0
    # In front of the box after as before it, and the box as open: nothing was won since the two steps of 0.5.
    assert float(np.sum(rewards)) == pytest.approx(1)


def test_lock_and_return_measures_as_the_crow_flies_and_a_box_that_is_dragged_is_no_nearer():
    rewards, _, _, _ = play(LOCK, LOCK_LEVEL, "N E E gE S gW")
    # From (2, 1) to (1, 1): 3 cells before, sqrt(1 + 9) after; then sqrt(1 + 4) at (1, 2), sqrt(2) at (1, 3), sqrt(1 + 0) at
    # (1, 4), above the box; its side is blocked; it faces south and takes hold; both go west: no nearer.
    roots = [3, math.sqrt(10), math.sqrt(5), math.sqrt(2), 1, 1, 1]
    np.testing.assert_allclose(rewards, -0.5 * np.diff(roots), rtol=1e-6)


def test_lock_and_return_a_box_can_be_locked_and_left_in_one_step():
    # 5, and the way was 1 to the box and 3 back, and is 1: 1.5 more.
    rewards, _, _, _ = play(LOCK, LOCK_LEVEL, "E E lW W")
    np.testing.assert_allclose(rewards, [0.5, 0.5, 6.5, 1.5])


def test_lock_and_return_is_truncated_at_its_last_step_and_solved_by_staying():
    _, (_, _, rewards, terminated, truncated, _) = watch(LOCK, LOCK_LEVEL, "E E l. W W . . . . . . .")
    assert truncated.tolist() == [False] * 11 + [True]
    assert not terminated.any()
    # 0.5 + 0.5 + 6 + 0.5 + 1.5 + 7 = 16. Lock and nearness alone: 5 + 0.5 · 2 · sqrt(4² + 6²) = 12.2.
    assert float(rewards.sum()) == 16
    assert LOCK.is_solved(jnp.float32(16))
    assert not LOCK.is_solved(jnp.float32(12.2))


# -- sequential lock ---------------------------------------------------------------------------------------------------

# The agent at (3, 3) between boxes 0 at (3, 4) and 1 at (3, 2), of which 1 has its turn first; no box 2.
SEQUENCE_LEVEL = SequentialLockLevel(
    arena(SEQUENCE, (3, 3, EAST), [(3, 4, SINGLE), (3, 2, SINGLE)], [(6, 0, NORTH), (6, 1, NORTH), (2, 3, EAST)]),
    jnp.array([1, 0, 2], jnp.int32),
)


def test_sequential_lock_closes_in_order_alone():
    rewards, terminated, state, info = play(SEQUENCE, SEQUENCE_LEVEL, "l. W l. E l. . l. l.")
    # Box 0 has not its turn: nothing. Box 1 has: 5, and the way is no more 1 + 2 cells but 1: 1. Then box 0: 5, a way
    # of 1 cell less: 0.5, and all are locked: 1 after every step. Box 0 opens: -5.5, and closes: 5.5 + 1.
    np.testing.assert_allclose(rewards, [0, 0, 6, 0, 6.5, 1, -5.5, 6.5])
    assert not terminated.any()
    assert state.arena.locked_by[:2].tolist() == [0, 0]
    assert info["statistics"] == {"locked": 2, "complete_steps": 3}


def test_sequential_lock_an_earlier_box_that_is_opened_is_next_and_later_ones_stay_closed():
    rewards, _, state, _ = play(SEQUENCE, SEQUENCE_LEVEL, "W l. E l. W l. l.")
    np.testing.assert_allclose(rewards, [0, 6, 0, 6.5, 1, -5.5, 6.5])
    assert state.arena.locked_by[:2].tolist() == [0, 0]


def test_sequential_lock_a_box_out_of_turn_stays_in_hand_and_ramps_have_no_locks():
    # The lock of what is held does nothing, so that it is dragged along: from (3, 4) to (4, 4).
    _, _, state, _ = play(SEQUENCE, SEQUENCE_LEVEL, "g. gl. glS")
    assert state.arena.object_positions[0].tolist() == [4, 4]
    assert state.arena.holding[0] == 0
    # Facing north, the ramp at (2, 3), from its side.
    _, _, state, _ = play(SEQUENCE, SEQUENCE_LEVEL, "N l. gl.")
    assert state.arena.holding[0] == 5
    assert state.arena.locked_by.tolist() == [NOTHING] * 6


def test_sequential_lock_pays_for_coming_nearer_to_the_next_box_in_order():
    level = SEQUENCE_LEVEL.replace(
        arena=arena(SEQUENCE, (3, 3, EAST), [(3, 6, SINGLE), (0, 3, SINGLE)], [(6, 0, 0), (6, 1, 0), (6, 2, 0)])
    )
    rewards, _, _, _ = play(SEQUENCE, level, "N N l. S E")
    # Box 1 at (0, 3) is next: 3, 2, 1 cells away, and sqrt(9 + 9) from box 0 at (3, 6). That is sqrt(4 + 9) from (1, 3),
    # sqrt(1 + 9) from (2, 3), sqrt(1 + 4) from (2, 4).
    lock = 5 + 0.5 * (1 + math.sqrt(18) - math.sqrt(13))
    nearer = [0.5 * (math.sqrt(13) - math.sqrt(10)), 0.5 * (math.sqrt(10) - math.sqrt(5))]
    np.testing.assert_allclose(rewards, [0.5, 0.5, lock, *nearer], rtol=1e-6)


# -- blueprint ---------------------------------------------------------------------------------------------------------


def test_the_soft_minimum_by_hand():
    # Distances 1 and 2: exp(-1.5) = 0.223130, exp(-3) = 0.049787; (0.223130 + 2 · 0.049787) / 0.272917 = 1.182426
    values = soft_minimum(jnp.array([[1.0, 2.0, 0.5]]), jnp.array([True, True, False]))
    np.testing.assert_allclose(values, [1.182426], rtol=1e-5)


def test_blueprint_costs_while_boxes_are_away_and_pays_for_all_sites_at_once():
    rewards, terminated, _, info = play(PRINT, blueprint_level([(2, 3)]), "gE gE")

    def soft(*distances):
        weights = [math.exp(-1.5 * each) for each in distances]
        return sum(d * w for d, w in zip(distances, weights, strict=True)) / sum(weights)

    # The box in hand goes from (2, 1) to (2, 2), one cell from the site, and onto it; the other is at (0, 5), sqrt(4 + 4)
    # away. The dense part is paid also in the step that ends.
    far = math.sqrt(8)
    np.testing.assert_allclose(rewards, [-0.05 * soft(1, far), 3 - 0.05 * soft(0, far)], rtol=1e-5)
    assert terminated.tolist() == [False, True]
    assert info["statistics"] == {"covered": 1, "built": 1}


def test_blueprint_needs_every_site_and_means_over_those_that_are_there():
    level = blueprint_level([(2, 2), (4, 5)])
    rewards, terminated, _, info = play(PRINT, level, "gE")
    assert not terminated.any()
    assert info["statistics"] == {"covered": 0.5, "built": 0}
    alone = [play(PRINT, blueprint_level([site]), "gE")[0][0] for site in ((2, 2), (4, 5))]
    np.testing.assert_allclose(rewards[0], (alone[0] - 3 + alone[1]) / 2, rtol=1e-5)
    both = blueprint_level([(2, 2), (0, 5)])
    rewards, terminated, _, _ = play(PRINT, both, "gE")
    assert terminated.all()
    assert 5.8 < rewards[0] < 6  # 3 a site


# -- shelter -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "ramps", "across", "down"),
    [
        ([], (), 4, 4),  # two rows from either side, two columns likewise
        ([(2, 0, SINGLE)], (), 3, 4),  # the upper row from the west
        ([(2, 0, SINGLE), (2, 7, SINGLE)], (), 2, 4),
        ([(0, 3, WIDE)], (), 4, 2),  # both columns from the north
        ([(0, 0, SINGLE), (5, 2, SINGLE)], (), 4, 4),  # beside them
        ([], [(3, 6, EAST)], 3, 4),  # a ramp serves too
    ],
)
def test_shelter_costs_by_the_ray(boxes, ramps, across, down):
    rewards, terminated, _, info = play(SHELTER, shelter_level(boxes, ramps=ramps), ". .")
    # 25 rays a side: a row of 6 stands for 25/6 of them, a column of 8 for 25/8; 0.001 each.
    cost = 0.001 * (across * 25 / 6 + down * 25 / 8)
    np.testing.assert_allclose(rewards, [-cost, -cost], rtol=1e-5)
    share = (across + down) / 8
    assert info["statistics"] == {"lit": share, "mean_lit": share}
    assert not terminated.any()


def test_shelter_an_agent_stops_no_ray_and_three_quarters_are_enough():
    blocked = shelter_level([(2, 0, SINGLE)], agent=(3, 0, EAST))
    np.testing.assert_allclose(play(SHELTER, blocked, ".")[0], [-0.001 * (3 * 25 / 6 + 4 * 25 / 8)], rtol=1e-5)
    quarter = 10 * 0.001 * (25 / 6 + 25 / 8)  # one of four rows and one of four columns, for ten steps
    assert SHELTER.is_solved(jnp.float32(-quarter + 0.001))
    assert not SHELTER.is_solved(jnp.float32(-quarter - 0.001))


# -- object counting ---------------------------------------------------------------------------------------------------

COUNTING = ObjectCounting(height=9, width=7, max_steps=12, max_boxes=5, boxes=4)


def test_counted_boxes_go_where_the_level_says_and_are_seen_only_in_the_opening():
    levels = sampled(COUNTING, 24)
    for number in range(24):
        level = jax.tree.map(lambda leaf, i=number: leaf[i], levels)
        first, (observations, states, rewards, terminated, truncated, info) = watch(COUNTING, level, ". " * 12)
        start = np.asarray(level.arena.box_positions)[:, 1]
        left, waits = np.asarray(level.goes_left), np.asarray(level.waits)
        assert (info["label"] == left[:4].sum()).all()
        assert not rewards.any()
        assert not terminated.any()
        assert truncated.tolist() == [False] * 11 + [True]
        assert np.asarray(first["boxes"]["visible"]).tolist() == [True] * 4 + [False]
        for step in range(12):
            gone = np.maximum(step + 1 - waits, 0)
            cols = np.clip(start + np.where(left, -gone, gone), 0, 6)[:4]
            places = np.asarray(states.arena.object_positions)[step]
            assert places[:4].tolist() == [[2 * i, col] for i, col in enumerate(cols)]
            seen = np.asarray(observations["boxes"]["visible"])[step]
            assert seen.tolist() == [*(abs(cols - 3) <= 1).tolist(), False]
        # Nothing of the answer is left to be seen before the end, while memory is asked.
        assert not np.asarray(observations["boxes"]["visible"])[-2].any()
        assert np.asarray(states.arena.positions)[:, 0].tolist() == [[8, 3]] * 12


def test_all_answers_are_equally_likely():
    labels = np.asarray(sampled(COUNTING, 3000).goes_left).sum(axis=1)
    # 3000 / 5 = 600 of each, with a standard deviation of sqrt(3000 · 0.2 · 0.8) = 22
    assert np.bincount(labels, minlength=5) == pytest.approx([600] * 5, abs=90)


def test_the_agent_that_counts_cannot_do_anything():
    level = jax.tree.map(lambda leaf: leaf[0], sampled(COUNTING, 24))
    one, other = (watch(COUNTING, level, text) for text in ("glE " * 12, ". " * 12))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))
