"""Aggregates by hand and against scipy; intervals by their coverage."""

import functools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from minied.errors import UserError
from minied.evaluate import statistics


def seeded(seed=0):
    return np.random.default_rng(seed)


def matrices(max_runs=7, max_tasks=6):
    # few distinct values, so that ties are common
    def build(shape_and_seed):
        runs, tasks, seed = shape_and_seed
        return seeded(seed).integers(0, 5, (runs, tasks)) / 4

    return st.tuples(st.integers(1, max_runs), st.integers(1, max_tasks), st.integers(0, 999)).map(build)


SCORES = np.asarray([[0.0, 0.9, 0.2], [0.1, 1.5, 0.8]])


def test_aggregates_by_hand():
    # sorted 0 .1 .2 .8 .9 1.5: ⌊6 / 4⌋ = 1 off each end leaves .1 .2 .8 .9, whose mean is 2.0 / 4
    assert statistics.interquartile_mean(SCORES) == pytest.approx(0.5)
    assert statistics.mean(SCORES) == pytest.approx(3.5 / 6)
    # means of the tasks: .05, 1.2, .5, of which .5 is in the middle; the median of the runs' means would be (1.1 + 2.4) / 6
    assert statistics.median(SCORES) == pytest.approx(0.5)
    assert statistics.median(np.asarray([[0.0, 0.0, 0.9], [0.6, 0.0, 0.9]])) == pytest.approx(0.3)
    # 1 − (0 + .9 + .2 + .1 + 1 + .8) / 6: the 1.5 counts as 1
    assert statistics.optimality_gap(SCORES) == pytest.approx(0.5)
    # ½ − (0 + .5 + .2 + .1 + .5 + .5) / 6 = ½ − .3
    assert statistics.optimality_gap(SCORES, target=0.5) == pytest.approx(0.2)


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (3, 1), (4, 1.5), (5, 2), (7, 3), (8, 3.5)])
def test_interquartile_mean_cuts_whole_scores(count, expected):
    # 0 … count − 1 in any order is symmetric about (count − 1) / 2
    assert statistics.interquartile_mean(seeded().permutation(count)[None]) == expected
    # an outlier at the end goes if something is cut at all
    scores = np.append(np.zeros(count), 1e6)[None]
    assert (statistics.interquartile_mean(scores) == 0) == (count + 1 >= 4)


@given(matrices())
@settings(max_examples=60, deadline=None)
def test_interquartile_mean_is_the_trimmed_mean_of_scipy(scores):
    expected = scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None)
    assert statistics.interquartile_mean(scores) == pytest.approx(expected, abs=1e-12)


def test_probability_of_improvement_by_hand():
    x = np.asarray([[1.0, 0.5], [3.0, 0.5]])
    y = np.asarray([[2.0, 0.5], [1.0, 0.5], [0.0, 0.5]])
    # task 0: 1 against 2 1 0 wins 0 + ½ + 1, 3 wins 3: 4.5 of 6 pairs. Task 1: ties only, ½. Mean (.75 + .5) / 2
    assert statistics.probability_of_improvement(x, y) == pytest.approx(0.625)
    assert statistics.probability_of_improvement(y, x) == pytest.approx(0.375)
    assert statistics.probability_of_improvement(x + 9, y) == 1
    assert statistics.probability_of_improvement(x, x) == 0.5
    # only the order counts
    assert statistics.probability_of_improvement(x**3, y**3) == pytest.approx(0.625)


@given(matrices(), matrices())
@settings(max_examples=60, deadline=None)
def test_probability_of_improvement_is_that_of_mann_and_whitney(x, y):
    tasks = min(x.shape[1], y.shape[1])
    x, y = x[:, :tasks], y[:, :tasks]
    by_task = []
    for ours, theirs in zip(x.T, y.T, strict=True):
        # scipy divides by the variance of the ranks, which is 0 if all are equal; the statistic is ½ n m then
        all_equal = len(np.unique(np.concatenate([ours, theirs]))) == 1
        u = 0.5 * len(ours) * len(theirs) if all_equal else scipy.stats.mannwhitneyu(ours, theirs).statistic
        by_task.append(u / (len(ours) * len(theirs)))
    found = statistics.probability_of_improvement(x, y)
    assert found == pytest.approx(np.mean(by_task))
    assert found + statistics.probability_of_improvement(y, x) == pytest.approx(1)


@pytest.mark.parametrize(
    "statistic", [statistics.mean, statistics.median, statistics.interquartile_mean, statistics.optimality_gap]
)
def test_many_matrices_at_once_are_each_by_itself(statistic):
    scores = seeded().random((2, 3, 5, 4))
    together = statistic(scores)
    assert together.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert together[index] == pytest.approx(statistic(scores[index]))


def test_many_pairs_of_matrices_at_once_are_each_by_itself():
    x, y = seeded(1).random((3, 5, 4)), seeded(2).random((3, 2, 4))
    for statistic in (statistics.probability_of_improvement, statistics.difference_of_interquartile_means):
        alone = [statistic(*pair) for pair in zip(x, y, strict=True)]
        np.testing.assert_allclose(statistic(x, y), alone)


def test_difference_of_interquartile_means():
    # the one above is .5; of .1 .1 .1 .1 it is .1
    assert statistics.difference_of_interquartile_means(SCORES, np.full((2, 3), 0.1)) == pytest.approx(0.4)


def test_bootstrap_resamples_runs_task_by_task_and_keeps_the_tasks():
    seen = []

    def spy(scores):
        seen.append(scores)
        return scores.mean(axis=(-2, -1))

    # the digits say where a score comes from: 10 · run + task
    scores = 10.0 * np.arange(5)[:, None] + np.arange(3)
    statistics.stratified_bootstrap(spy, scores, generator=seeded(), repetitions=250)
    drawn = np.concatenate(seen)
    assert drawn.shape == (250, 5, 3)
    np.testing.assert_array_equal(drawn % 10, np.broadcast_to(np.arange(3), drawn.shape))
    runs = drawn // 10
    assert set(np.unique(runs)) == {0, 1, 2, 3, 4}
    assert np.any([len(np.unique(one[:, 0])) < 5 for one in runs])  # with replacement
    # tasks independently: rows whose three scores are of one run are a chance of 1 / 25, not the rule
    same_run = np.mean((runs[:, :, 0] == runs[:, :, 1]) & (runs[:, :, 1] == runs[:, :, 2]))
    assert same_run == pytest.approx(0.04, abs=0.02)


def test_bootstrap_resamples_two_samples_by_themselves():
    seen = []

    def spy(x, y):
        seen.append((x, y))
        return x.mean(axis=(-2, -1)) - y.mean(axis=(-2, -1))

    runs = np.arange(4.0)[:, None]
    statistics.stratified_bootstrap(spy, runs, runs[:3], generator=seeded(), repetitions=200)
    x, y = (np.concatenate(each)[..., 0] for each in zip(*seen, strict=True))
    assert (x.shape, y.shape) == ((200, 4), (200, 3))
    assert abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]) < 0.3


def test_interval_is_of_the_percentiles():
    # the resampled mean of the runs 0 and 1 is 0, ½, 1 with chances ¼, ½, ¼: its 20th percentile is 0, its 40th ½
    scores = np.asarray([[0.0], [1.0]])
    for confidence, expected in ((0.6, (0, 1)), (0.2, (0.5, 0.5))):
        interval = statistics.stratified_bootstrap(statistics.mean, scores, generator=seeded(), confidence=confidence)
        assert tuple(interval) == expected


def test_interval_keeps_the_shape_of_the_statistic_and_is_repeatable():
    scores = seeded(3).random((6, 4))
    by_task = functools.partial(np.mean, axis=-2)
    one = statistics.stratified_bootstrap(by_task, scores, generator=seeded(5))
    again = statistics.stratified_bootstrap(by_task, scores, generator=seeded(5))
    np.testing.assert_array_equal(one, again)
    assert one.low.shape == (4,)
    assert np.all((one.low < scores.mean(axis=0)) & (scores.mean(axis=0) < one.high))


def test_a_single_run_has_no_interval():
    single, several = np.ones((1, 3)), seeded().random((4, 3))
    for samples in ((single, several), (several, single)):
        interval = statistics.stratified_bootstrap(statistics.probability_of_improvement, *samples, generator=seeded())
        assert np.isnan(interval).all()
    assert np.isnan(statistics.stratified_bootstrap(np.mean, single, generator=seeded())).all()


@pytest.mark.parametrize(
    ("statistic", "num_samples", "truth"),
    [
        (statistics.mean, 1, 0.5),
        (statistics.interquartile_mean, 1, 0.5),
        (statistics.probability_of_improvement, 2, 0.5),
        (statistics.difference_of_interquartile_means, 2, 0.0),
    ],
)
def test_intervals_cover_the_truth_as_often_as_they_say(statistic, num_samples, truth):
    # 300 data sets of 20 runs on 3 tasks, symmetric about ½. With n runs the percentile interval of a mean is too narrow by
    # √((n − 1) / n) = 0.975, so 95 % become 94.4 %; σ of the share found is √(.95 · .05 / 300) = 1.3 %
    generator = seeded(11)
    covered = 0
    for _ in range(300):
        samples = [generator.normal(0.5, 0.2, (20, 3)) for _ in range(num_samples)]
        low, high = statistics.stratified_bootstrap(statistic, *samples, generator=generator, repetitions=400)
        covered += low <= truth <= high
    assert 0.90 <= covered / 300 <= 0.985


@pytest.mark.parametrize(
    "scores", [np.ones(3), np.ones((0, 3)), np.ones((3, 0)), np.asarray([[np.nan, 1.0]]), np.asarray([[np.inf]])]
)
def test_what_is_no_matrix_of_numbers_is_refused(scores):
    for statistic in (statistics.mean, statistics.interquartile_mean, statistics.optimality_gap):
        with pytest.raises(UserError, match="allowed"):
            statistic(scores)
    with pytest.raises(UserError, match="allowed"):
        statistics.stratified_bootstrap(statistics.mean, scores, generator=seeded())


def test_samples_of_other_tasks_are_refused():
    for statistic in (statistics.probability_of_improvement, statistics.difference_of_interquartile_means):
        with pytest.raises(UserError, match="3 and 1 tasks"):
            statistic(np.ones((2, 3)), np.ones((2, 1)))


@pytest.mark.parametrize("options", [{"repetitions": 0}, {"confidence": 0.0}, {"confidence": 1.0}])
def test_options_of_the_bootstrap_are_checked(options):
    with pytest.raises(UserError, match="allowed"):
        statistics.stratified_bootstrap(statistics.mean, SCORES, generator=seeded(), **options)
    with pytest.raises(UserError, match="matrices"):
        statistics.stratified_bootstrap(statistics.mean, SCORES[None], generator=seeded())
