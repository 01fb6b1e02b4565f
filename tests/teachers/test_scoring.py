"""What teachers that score share: batches played one after the other, what is known of a level, and its neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import TableProbe, fill, outcome, proposal_of
from toy_worlds import Corridor, CorridorLevel, Meeting

from minied.errors import UserError
from minied.students.networks.config import NetworkConfig
from minied.teachers.base import NEW, REPLAY, choose, join
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.train.config import TrainConfig
from minied.train.missing import missing_signals

SPACE = Corridor(length=100).level_space
B = 4


def teacher_of(**options):
    return RobustPrioritizedLevelReplay(**{"buffer_size": 8, "score": "mean_return"} | options)


def buffer_of(teacher, starts=(10, 20, 30), scores=(1, 2, 3)):
    return fill(teacher.init(jax.random.key(0), SPACE, B), SPACE, starts, scores)


def probed(teacher, buffer, starts, slots, probe, num_levels=B, num_rollouts=2):
    levels, slots = CorridorLevel(jnp.asarray(starts, jnp.int32)), jnp.asarray(slots, jnp.int32)
    return teacher.score_by_probe(jax.random.key(0), probe, buffer, levels, slots, num_levels, num_rollouts, SPACE)


def test_levels_are_played_in_batches_and_come_back_in_their_order():
    teacher, probe = teacher_of(), TableProbe(np.arange(101) * 2.0)
    starts = [9, 3, 50, 7, 99, 1, 8, 30, 4, 5, 6, 2]
    scored = probed(teacher, buffer_of(teacher), starts, [-1] * 12, probe)
    assert probe.calls == [(B, 2)]  # one loop over three batches
    np.testing.assert_array_equal(scored.visits.scores, 2.0 * np.asarray(starts))
    np.testing.assert_array_equal(scored.visits.max_returns, 2.0 * np.asarray(starts))
    assert np.asarray(scored.visits.valid).all()


def test_every_batch_is_played_with_a_key_of_its_own():
    teacher = teacher_of()

    def by_key(key, levels, num_rollouts):
        return outcome(jax.random.uniform(key, (levels.start.shape[0],)))

    scores = probed(teacher, buffer_of(teacher), [1] * 12, [-1] * 12, by_key).visits.scores
    assert len(set(np.asarray(scores).tolist())) == 12


def test_a_score_that_compares_levels_compares_all_that_are_played_and_not_those_of_a_batch():
    # mean returns 0 … 11: the standard deviation of all is √(143/12); within each batch of four it would be √(5/4)
    teacher = teacher_of(score="toy_worlds:spread_of_levels")
    scored = probed(teacher, buffer_of(teacher), range(1, 13), [-1] * 12, TableProbe(np.arange(-1.0, 100.0)))
    np.testing.assert_allclose(scored.visits.scores, np.sqrt(143 / 12), rtol=1e-5)
    np.testing.assert_array_equal(scored.visits.max_returns, np.arange(12.0))


def test_trap_03_what_is_known_of_a_level_counts_when_it_is_played_again():
    # MaxMC of one step at value 0 is R⁺: the best known return where it is higher than the one now
    teacher = teacher_of(score="max_mc")
    buffer = buffer_of(teacher).replace(max_returns=jnp.asarray([9.0, -5.0, 3.0, *[-np.inf] * 5]))
    scored = probed(teacher, buffer, [10, 20, 30, 40], [0, 1, 2, -1], TableProbe(np.full(101, 4.0)))
    np.testing.assert_array_equal(scored.visits.scores, [9, 4, 4, 4])
    np.testing.assert_array_equal(scored.visits.max_returns, [9, 4, 4, 4])


def test_trap_04_what_finished_nothing_is_not_valid_and_only_a_finished_one_is_broken():
    teacher = teacher_of()
    table = np.zeros(101)
    table[1], table[2], table[3] = np.nan, np.inf, 5.0
    scored = probed(teacher, buffer_of(teacher), [1, 2, 3, 4], [-1] * 4, TableProbe(table))
    assert scored.visits.valid.tolist() == [False, False, True, True]
    assert scored.broken.tolist() == [False, True, False, False]
    assert scored.visits.scores.tolist() == [0.0, 0.0, 5.0, 0.0]


def test_neighbours_are_the_levels_of_the_buffer_and_no_level_is_its_own():
    # starts 10, 20, 30: deviation √(200/3) = 8.165; of 10, replayed or drawn anew: (10 + 20)/2 = 15; of 40: (10 + 20 + 30)/3
    teacher = teacher_of(score="novelty")
    buffer = buffer_of(teacher)
    buffer = buffer.replace(features=jnp.asarray([[10.0], [20.0], [30.0], *[[0.0]] * 5]))
    proposal = proposal_of([10, 10, 40, 20], [REPLAY, NEW, NEW, REPLAY], [0, -1, -1, 1])
    scored = teacher.score_proposal(buffer, proposal, outcome([0] * 4), SPACE)
    deviation = np.std([10, 20, 30])
    np.testing.assert_allclose(scored.visits.scores, np.asarray([15, 15, 20, 10]) / deviation, rtol=1e-5)
    np.testing.assert_array_equal(scored.features, [[10], [10], [40], [20]])


def test_features_are_kept_only_where_a_score_asks_for_neighbours():
    assert teacher_of().init(jax.random.key(0), SPACE, B).features.shape == (8, 0)
    state = teacher_of(score="novelty").init(jax.random.key(0), SPACE, B)
    np.testing.assert_array_equal(state.features[:, 0], state.levels.start)


def test_novelty_needs_levels_that_describe_themselves():
    TrainConfig(env=Corridor(), teacher=teacher_of(score="novelty"), num_envs=B)
    assert "neighbour_distances" in missing_signals(NetworkConfig(), SPACE, "Corridor")  # for anyone else
    with pytest.raises(UserError, match="Meeting does not describe its levels"):
        TrainConfig(env=Meeting(), teacher=teacher_of(score="novelty"), num_envs=B)


def test_needs_are_those_of_the_score():
    assert teacher_of(score="max_mc").needs == {"values", "max_return", "ended"}
    config = TrainConfig(
        env=Corridor(),
        teacher=teacher_of(score="value_disagreement"),
        num_envs=B,
        network=NetworkConfig(num_value_heads=2),
    )
    assert "value_ensemble" in config.teacher.needs


def test_notes_tell_what_is_known_of_proposed_levels():
    teacher = teacher_of()
    buffer = buffer_of(teacher)
    ancestry = buffer.ancestry.replace(generation=jnp.asarray([0, 5, 0, 0, 0, 0, 0, 0], jnp.int32))
    proposal = proposal_of([20, 40], [REPLAY, NEW], [1, -1])
    notes = teacher.notes(buffer.replace(ancestry=ancestry), proposal)
    for name, values in notes.items():
        assert values.shape == (2,), name
    assert (float(notes["score"][0]), float(notes["generation"][0])) == (2.0, 5.0)
    assert np.isnan(notes["score"][1])


def test_proposals_are_joined_side_by_side_and_chosen_row_by_row():
    first = proposal_of([1, 2], [NEW, NEW])
    second = proposal_of([3, 4], [REPLAY, REPLAY], [7, 8], [0.5, 0.25])
    both = join(first, second)
    assert both.levels.start.tolist() == [1, 2, 3, 4]
    assert both.sources.tolist() == [NEW, NEW, REPLAY, REPLAY]
    assert both.slots.tolist() == [-1, -1, 7, 8]
    mixed = choose(jnp.asarray([False, True]), first, second)
    assert mixed.levels.start.tolist() == [3, 2]
    assert mixed.slots.tolist() == [7, -1]
    assert mixed.max_returns.tolist() == [0.5, -np.inf]
