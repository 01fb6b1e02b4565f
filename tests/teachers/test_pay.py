"""What a level earns the policy that built it: any score, those that have none, and the scale."""

import dataclasses
import functools
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_made import outcome
from tiny_runs import B, N, T, config_of, equal, played, program_of, raw, teacher_of

from minied import registry
from minied.errors import UserError
from minied.scores import score
from minied.teachers.pay import Pay, RunningPay

quick = hypothesis.settings(deadline=None, max_examples=30, derandomize=True)
MEAN_RETURN = Pay(score="mean_return")
NAMES = registry.names("score")


@functools.cache
def _paid(pay):
    return jax.jit(lambda known, signals: pay.of(known, signals))


def paid(pay, returns, known=None, finished=None):
    """The pay of levels that returned this, and what is known then."""
    given = outcome(returns, finished=finished).signals
    pays, known = _paid(pay)(RunningPay.start() if known is None else known, given)
    return np.asarray(pays), known


# -- the scale ---------------------------------------------------------------------------------------------------------

batches = st.lists(
    st.lists(st.tuples(st.floats(-5, 5, width=32), st.booleans()), min_size=3, max_size=3), min_size=1, max_size=5
)


@quick
@hypothesis.given(batches, st.sampled_from([0.0, 100.0]))
def test_running_deviation_is_that_of_all_that_was_paid(batches, offset):
    """Also where the mean is large against the deviation: it is not computed as a difference of squares."""
    known, every = RunningPay.start(), []
    add = jax.jit(RunningPay.add)
    for batch in batches:
        scores = np.asarray([value + offset for value, _ in batch], np.float32)
        valid = np.asarray([is_valid for _, is_valid in batch])
        known = add(known, jnp.asarray(scores), jnp.asarray(valid), jnp.zeros(3, bool))
        every += scores[valid].tolist()
        last = scores[valid]
        np.testing.assert_allclose(known.last_mean, last.mean() if last.size else np.nan, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(known.unscored, 1 - valid.mean(), atol=1e-6)
    assert float(known.count) == len(every)
    if every and np.std(every) > 1e-3:
        np.testing.assert_allclose(known.mean, np.mean(every), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(known.deviation, np.std(np.asarray(every, np.float64)), rtol=2e-3, atol=1e-4)


def test_levels_that_all_earn_the_same_are_not_divided():
    pays, known = paid(Pay(score="mean_return", normalize=True), [3.0] * 4)
    np.testing.assert_array_equal(pays, [3.0] * 4)
    assert float(known.deviation) == 1.0
    assert float(RunningPay.start().deviation) == 1.0


def test_scale_is_that_of_all_pay_so_far_this_batch_included():
    normalized = Pay(score="mean_return", normalize=True)
    # 0 0 4 4: deviation 2
    pays, known = paid(normalized, [0.0, 0.0, 4.0, 4.0])
    np.testing.assert_allclose(pays, [0, 0, 2, 2], rtol=1e-6)
    # and 2 2 10 10: of the eight the mean is 4 and the deviation √((2·16 + 2·0 + 2·4 + 2·36)/8) = √14
    pays, known = paid(normalized, [2.0, 2.0, 10.0, 10.0], known)
    np.testing.assert_allclose(pays, np.asarray([2, 2, 10, 10]) / np.sqrt(14), rtol=1e-6)
    np.testing.assert_allclose(known.metrics()["pay_deviation"], np.sqrt(14), rtol=1e-6)
    np.testing.assert_allclose(known.metrics()["pay"], 6, rtol=1e-6)  # not brought to scale
    # It is known where it is not used.
    pays, known = paid(MEAN_RETURN, [0.0, 0.0, 4.0, 4.0])
    np.testing.assert_array_equal(pays, [0, 0, 4, 4])
    assert float(known.deviation) == pytest.approx(2)


# -- levels without a score --------------------------------------------------------------------------------------------


def test_a_level_without_a_score_is_paid_the_mean_of_the_others():
    pays, known = paid(MEAN_RETURN, [1.0, 50.0, 3.0, 5.0], finished=[True, False, True, True])
    np.testing.assert_allclose(pays, [1, 3, 3, 5], rtol=1e-6)
    assert float(known.unscored) == pytest.approx(1 / 4)
    assert float(known.count) == 3  # and it is no part of the scale: 1 3 5
    assert float(known.deviation) == pytest.approx(np.std([1, 3, 5]), rel=1e-6)
    assert int(known.broken) == 0
    normalized, _ = paid(
        Pay(score="mean_return", normalize=True), [1.0, 50.0, 3.0, 5.0], finished=[True, False, True, True]
    )
    np.testing.assert_allclose(normalized, np.asarray([1, 3, 3, 5]) / np.std([1, 3, 5]), rtol=1e-6)


def test_where_no_level_has_a_score_all_are_paid_nothing():
    known = paid(MEAN_RETURN, [1.0, 2.0])[1]
    pays, after = paid(MEAN_RETURN, [7.0, 9.0], known, finished=[False, False])
    np.testing.assert_array_equal(pays, [0, 0])
    assert np.isnan(after.last_mean)
    assert float(after.unscored) == 1
    assert (float(after.count), float(after.mean), float(after.deviation)) == (2, 1.5, 0.5)


def test_broken_scores_are_counted_and_paid_as_if_they_were_none():
    @score(needs=("rewards",))
    def broken_when_large(signals):
        return jnp.where(signals.episodes.mean_return > 5, jnp.nan, signals.episodes.mean_return)

    class OfBroken(Pay):
        @property
        def function(self):
            return broken_when_large

    pays, known = paid(OfBroken(), [1.0, 7.0, 3.0, 9.0])
    np.testing.assert_allclose(pays, [1, 2, 2 + 1, 2], rtol=1e-6)
    assert int(known.broken) == 2
    assert int(paid(OfBroken(), [9.0], known)[1].broken) == 3
    assert np.isfinite(known.mean)


# -- any score pays ----------------------------------------------------------------------------------------------------

REFUSED = {"novelty": "neighbour_distances: only a teacher that keeps a buffer has it"}
QUICK = ("value_disagreement", "exact_regret")
OTHERS = [name for name in NAMES if name not in (*QUICK, *REFUSED)]


@pytest.mark.parametrize("name", REFUSED)
def test_scores_whose_signals_are_missing_are_refused(name):
    with pytest.raises(UserError, match=f"^score '{name}' needs the signal {REFUSED[name]}$"):
        config_of(teacher_of("paired", pay=Pay(score=name)))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)])
def test_any_score_can_pay(name):
    config = config_of(teacher_of("paired", pay=Pay(score=name, normalize=True)))
    before = program_of(config).init().members.teacher
    state, rows = played(config, (1, N))
    after = state.members.teacher
    assert float(after.pay.count[0]) > 0
    assert np.isfinite(after.pay.mean).all()
    assert np.isfinite(rows[1]["teacher/pay"]).all()
    assert int(after.pay.broken[0]) == 0
    assert float(after.designs[0]) == N * B
    moved = [not np.array_equal(a, b) for a, b in zip(raw(before.learner), raw(after.learner), strict=True)]
    assert all(moved)
    assert all(np.isfinite(leaf).all() for leaf in raw(after.learner))
    counters = program_of(config).counters(state)
    students = 2 if name.endswith("regret") and name != "exact_regret" else 1
    assert counters["env_steps"] == counters["train_steps"] == N * B * T * students


def test_the_score_and_what_is_made_of_it_decide_what_is_learnt():
    def learner(**options):
        pay: Any = {"score": "value_disagreement"} | options
        return played(config_of(teacher_of("paired", pay=Pay(**pay))), (2,))[0]

    plain = learner().members.teacher.learner
    assert not equal(plain, learner(reduction="sum").members.teacher.learner)


def test_a_pay_that_is_no_number_ends_the_run_and_is_named():
    program = program_of(config_of(teacher_of("paired", pay=Pay(score="toy_worlds:nan_score"))))
    with pytest.raises(UserError) as error:
        program.advance(program.init(), 5)
    assert str(error.value).startswith("teacher.pay.score is 'toy_worlds:nan_score', which gave NaN or infinity for ")
    assert "in iteration 1; what was saved before is kept; allowed: finite numbers" in str(error.value)


def test_options_of_the_pay():
    with pytest.raises(UserError, match=r"^max_share is 1.5; allowed: \[0, 1\]$"):
        Pay(max_share=1.5)
    with pytest.raises(
        UserError, match=r"^teacher.pay.reduction is first; allowed: mean, as 'learnability' does not go"
    ):
        config_of(teacher_of("paired", pay=Pay(score="learnability", reduction="first")))
    assert jax.tree.leaves(dataclasses.replace(MEAN_RETURN, max_share=0.25)) == [0.25]
