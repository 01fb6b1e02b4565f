"""Episode accounting: hand cases, a plain Python loop, and nothing of an unfinished tail, whatever it holds."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.episodes import (
    EpisodeSummary,
    RunningEpisode,
    finished_step_weights,
    mean_of_episode_maxima,
    summarise,
)

T = 8
_summarise = jax.jit(summarise)
_weights = jax.jit(finished_step_weights)
_maxima = jax.jit(mean_of_episode_maxima)


def stream(rewards, ended):
    """Running returns and lengths, step t included, from rewards [T][N]: a plain loop."""
    returns, lengths, total, length = [], [], [0.0] * len(rewards[0]), 0
    for reward, end in zip(rewards, ended, strict=True):
        total = [a + b for a, b in zip(total, reward, strict=True)]
        length += 1
        returns.append(total)
        lengths.append(length)
        if end:
            total, length = [0.0] * len(reward), 0
    return returns, lengths


def call(ended, returns, lengths, solved) -> EpisodeSummary:
    return _summarise(
        jnp.asarray(ended, bool),
        jnp.asarray(returns, jnp.float32),
        jnp.asarray(lengths, jnp.int32),
        jnp.asarray(solved, bool),
    )


def test_two_episodes_and_a_tail_by_hand():
    # episodes: steps 0-1 return 3, steps 2-4 return −1 (solved at neither t=1 but at t=4), tail 5-7
    ended = [0, 1, 0, 0, 1, 0, 0, 0]
    returns = [[1], [3], [0], [-2], [-1], [50], [60], [70]]
    lengths = [1, 2, 1, 2, 3, 1, 2, 3]
    summary = call(ended, returns, lengths, [1, 0, 1, 1, 1, 1, 1, 1])
    assert int(summary.num_finished) == 2
    assert int(summary.num_solved) == 1  # only what is solved at an end counts
    assert float(summary.mean_return) == 1.0  # (3 − 1) / 2
    assert float(summary.max_return) == 3.0
    assert float(summary.mean_length) == 2.5  # (2 + 3) / 2
    assert float(summary.solve_rate) == 0.5
    assert bool(summary.valid)


def test_returns_are_averaged_over_agents():
    # one episode, agents return 4 and −2: mean 1
    summary = call(
        [0, 0, 1, 0, 0, 0, 0, 0], [[0, 0], [9, 9], [4, -2]] + [[9, 9]] * 5, [1, 2, 3, 1, 2, 3, 4, 5], [0] * 8
    )
    assert float(summary.mean_return) == float(summary.max_return) == 1.0


def test_trap_03_highest_return_may_be_negative():
    summary = call([0, 1, 0, 1, 0, 0, 0, 0], [[0], [-5], [0], [-3], [0], [0], [0], [0]], [1, 2] * 4, [0] * 8)
    assert float(summary.max_return) == -3.0


def test_trap_04_without_a_finished_episode_there_is_no_statistic():
    summary = call([0] * T, [[1e9]] * T, list(range(1, T + 1)), [1] * T)
    assert int(summary.num_finished) == 0
    assert int(summary.num_solved) == 0
    assert not bool(summary.valid)
    for name in ("mean_return", "mean_length", "solve_rate"):
        assert np.isnan(getattr(summary, name)), name
    assert float(summary.max_return) == -np.inf


@pytest.mark.parametrize("poison", [1e9, np.nan, np.inf, -np.inf])
def test_unfinished_tail_never_leaks(poison):
    ended = [0, 0, 1, 0, 1, 0, 0, 0]
    returns = [[1.0], [2.0], [3.0], [1.0], [5.0], [poison], [poison], [poison]]
    summary = call(ended, returns, [1, 2, 3, 1, 2, 1, 2, 3], [0, 0, 0, 0, 1, 1, 1, 1])
    assert float(summary.mean_return) == 4.0
    assert float(summary.max_return) == 5.0
    assert float(summary.mean_length) == 2.5
    assert int(summary.num_solved) == 1


def test_step_weights_by_hand():
    # episodes of 2 and 3 steps: each episode weighs ½, so 1/4 a step and 1/6 a step; the tail weighs 0
    got = _weights(jnp.asarray([0, 1, 0, 0, 1, 0, 0, 0], bool))
    np.testing.assert_allclose(got, [1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ([0] * 8, [0] * 8),
        ([1] * 8, [1 / 8] * 8),
        ([0] * 7 + [1], [1 / 8] * 8),
        ([1] + [0] * 7, [1] + [0] * 7),
    ],
)
def test_step_weights_at_the_extremes(ended, expected):
    np.testing.assert_allclose(_weights(jnp.asarray(ended, bool)), expected, rtol=1e-6)


rewards_of_two = st.lists(st.tuples(st.floats(-5, 5, width=16), st.floats(-5, 5, width=16)), min_size=T, max_size=T)
flags = st.lists(st.booleans(), min_size=T, max_size=T)


@hypothesis.settings(deadline=None, max_examples=80, derandomize=True)
@hypothesis.given(rewards_of_two, flags, flags)
def test_summary_equals_a_plain_loop(rewards, ended, solved):
    returns, lengths = stream(rewards, ended)
    finished = [(np.mean(returns[t]), lengths[t], solved[t]) for t in range(T) if ended[t]]
    summary = call(ended, returns, lengths, solved)
    assert int(summary.num_finished) == len(finished)
    assert bool(summary.valid) == bool(finished)
    if finished:
        values, sizes, wins = zip(*finished, strict=True)
        np.testing.assert_allclose(summary.mean_return, np.mean(values), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(summary.max_return, np.max(values), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(summary.mean_length, np.mean(sizes), rtol=1e-6)
        assert int(summary.num_solved) == sum(wins)
        np.testing.assert_allclose(summary.solve_rate, np.mean(wins), rtol=1e-6)


@hypothesis.settings(deadline=None, max_examples=80, derandomize=True)
@hypothesis.given(st.lists(st.floats(-5, 5, width=16), min_size=T, max_size=T), flags)
def test_weighted_sum_is_the_mean_over_episodes_of_their_means(values, ended):
    episodes, episode = [], []
    for value, end in zip(values, ended, strict=True):
        episode.append(value)
        if end:
            episodes.append(np.mean(episode))
            episode = []
    weights = np.asarray(_weights(jnp.asarray(ended, bool)), np.float64)
    np.testing.assert_allclose(weights.sum(), 1.0 if episodes else 0.0, rtol=1e-5)
    assert (weights >= 0).all()
    np.testing.assert_allclose(np.sum(weights * values), np.mean(episodes) if episodes else 0.0, rtol=1e-4, atol=1e-5)


def test_running_episode_adds_and_restarts():
    running = RunningEpisode.start(2).add(jnp.asarray([1.0, -1.0])).add(jnp.asarray([0.5, 2.0]))
    np.testing.assert_array_equal(running.episode_return, [1.5, 1.0])
    assert int(running.length) == 2
    kept, restarted = running.restart_if(jnp.asarray(False)), running.restart_if(jnp.asarray(True))
    jax.tree.map(np.testing.assert_array_equal, kept, running)
    jax.tree.map(np.testing.assert_array_equal, restarted, RunningEpisode.start(2))


def test_return_variance_by_hand():
    # returns of finished episodes 3, −1 and 4, mean 2: (1 + 9 + 4)/3, and not divided by 2; the tail's 50 counts nothing
    returns = [[1], [3], [0], [-1], [4], [50], [60], [70]]
    summary = call([0, 1, 0, 1, 1, 0, 0, 0], returns, [1, 2, 1, 2, 1, 1, 2, 3], [0] * 8)
    assert float(summary.return_variance) == pytest.approx(14 / 3, rel=1e-6)
    # of the mean over agents: (4, −2) and (0, 2) are 1 and 1
    pair = [[0, 0], [4, -2], [0, 0], [0, 2]] + [[9, 9]] * 4
    assert float(call([0, 1, 0, 1, 0, 0, 0, 0], pair, [1, 2] * 4, [0] * 8).return_variance) == 0.0
    # one episode does not vary; none has no variance
    one = call([0, 1] + [0] * 6, returns, list(range(1, 9)), [0] * 8)
    assert float(one.return_variance) == 0.0
    assert np.isnan(call([0] * 8, returns, list(range(1, 9)), [0] * 8).return_variance)


@pytest.mark.parametrize("poison", [1e9, np.nan, np.inf, -np.inf])
def test_unfinished_tail_never_leaks_into_variance_or_maxima(poison):
    ended = [0, 0, 1, 0, 1, 0, 0, 0]
    returns = [[1.0], [2.0], [3.0], [1.0], [5.0], [poison], [poison], [poison]]
    assert float(call(ended, returns, [1, 2, 3, 1, 2, 1, 2, 3], [0] * 8).return_variance) == 1.0  # of 3 and 5
    got = _maxima(jnp.asarray(ended, bool), jnp.asarray([1.0, 7, 2, -3, -4] + [poison] * 3))
    assert float(got) == 2.0  # (7 − 3)/2


@hypothesis.settings(deadline=None, max_examples=80, derandomize=True)
@hypothesis.given(st.lists(st.floats(-5, 5, width=16), min_size=T, max_size=T), flags)
def test_variance_and_maxima_equal_a_plain_loop(values, ended):
    episodes, episode, returns = [], [], []
    for value, end in zip(values, ended, strict=True):
        episode.append(value)
        returns.append([sum(episode)])
        if end:
            episodes.append(episode)
            episode = []
    got = float(_maxima(jnp.asarray(ended, bool), jnp.asarray(values, jnp.float32)))
    assert got == pytest.approx(np.mean([max(e) for e in episodes]) if episodes else 0.0, rel=1e-5, abs=1e-5)
    variance = float(call(ended, returns, [1] * T, [0] * T).return_variance)
    expected = np.var([sum(e) for e in episodes]) if episodes else np.nan
    assert variance == pytest.approx(expected, rel=1e-3, abs=1e-4, nan_ok=True)
