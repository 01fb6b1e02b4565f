"""Regret by comparison: by hand, its properties, and against exact regret on the 5 × 5 mazes of which all is known.

Letters: ``P`` students, ``L`` levels, ``X`` states of a maze, ``A`` actions, ``T`` steps of a rollout.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.episodes import EpisodeSummary, summarise
from minied.scores import Signals, score_levels
from minied.scores.regret import flexible_regret, mean_relative_regret, population_regret, relative_regret
from minied_envs.grid import search
from minied_envs.maze import Maze, MazeLevels, exact, metrics
from minied_envs.maze.enumeration import enumerate_levels

SCORES = (relative_regret, mean_relative_regret, flexible_regret, population_regret)
quick = hypothesis.settings(deadline=None, max_examples=40, derandomize=True)


def population_of(means, best=None, finished=None):
    """The summaries of students, [..., P], with these mean and best returns."""
    means = jnp.asarray(means, jnp.float32)
    finished = jnp.ones(means.shape, bool) if finished is None else jnp.asarray(finished, bool)
    return EpisodeSummary(
        num_finished=finished.astype(jnp.int32),
        num_solved=jnp.zeros(means.shape, jnp.int32),
        mean_return=jnp.where(finished, means, jnp.nan),
        max_return=jnp.where(finished, means if best is None else jnp.asarray(best, jnp.float32), -jnp.inf),
        mean_length=jnp.ones(means.shape),
        return_variance=jnp.zeros(means.shape),
    )


def signals_of(population):
    protagonist = jax.tree.map(lambda leaf: leaf[..., 0], population)
    ended = jnp.ones((*population.num_finished.shape[:-1], 1), bool)
    return Signals(ended=ended, episodes=protagonist, max_return=protagonist.max_return, population=population)


def scored(function, means, best=None, finished=None):
    return np.asarray(score_levels(function, signals_of(population_of(means, best, finished)))[0])


def test_by_hand():
    # A protagonist and two antagonists: means 2 1 5, best episodes 6 4 7; and one that is ahead: 5 1 2 and 6 4 7.
    means, best = [[2, 1, 5], [5, 1, 2]], [[6, 4, 7], [6, 4, 7]]
    expected = {
        relative_regret: [7 - 2, 7 - 5],  # of the best episode of an antagonist
        mean_relative_regret: [5 - 2, 0],  # 2 − 5 is cut off
        flexible_regret: [7 - 1, 7 - 1],  # the best episode of any, less the worst mean of those who have none as good
        population_regret: [5 - 8 / 3, 5 - 8 / 3],
    }
    for function, values in expected.items():
        np.testing.assert_allclose(scored(function, means, best), values, rtol=1e-6)


def test_flexible_roles_go_by_the_best_episode():
    # The second has the best episode, .9, and the lower mean: the antagonist, .9 − .5. Where both are as good, the worst
    # mean counts: .9 − .2.
    found = scored(flexible_regret, [[0.5, 0.4], [0.5, 0.2]], [[0.5, 0.9], [0.9, 0.9]])
    np.testing.assert_allclose(found, [0.4, 0.7], rtol=1e-6)


def test_a_level_that_some_student_did_not_finish_has_no_score():
    signals = signals_of(population_of([[1, 4], [1, 4], [1, 4]], finished=[[1, 1], [1, 0], [0, 1]]))
    for function in SCORES:
        scores, valid, broken = score_levels(function, signals)
        np.testing.assert_array_equal(valid, [True, False, False])
        np.testing.assert_array_equal(broken, [False] * 3)
        np.testing.assert_array_equal(scores[1:], [0, 0])


students = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 4)), min_size=3, max_size=3)
compiled = {function: jax.jit(function) for function in SCORES}


@quick
@hypothesis.given(students, st.integers(-3, 3))
def test_properties(each, shift):
    means = np.asarray([mean for mean, _ in each], np.float32)
    best = means + np.asarray([more for _, more in each], np.float32)

    def of(function, order=(0, 1, 2), plus=0):
        given = population_of(means[list(order)] + plus, best[list(order)] + plus)
        return float(compiled[function](signals_of(given)))

    for function in SCORES:
        found = of(function)
        assert found >= 0
        assert of(function, order=(0, 2, 1)) == pytest.approx(found, abs=1e-5)  # the antagonists have no order
        assert of(function, plus=shift) == pytest.approx(found, abs=1e-5)  # only differences count
    assert of(mean_relative_regret) <= of(relative_regret) + 1e-5  # a best episode is no worse than the mean
    assert of(relative_regret) == pytest.approx(max(0, best[1:].max() - means[0]), abs=1e-5)
    assert of(population_regret) <= 2 / 3 * (means.max() - means.min()) + 1e-5
    if (means == means[0]).all():
        assert of(mean_relative_regret) == of(population_regret) == 0


# -- every maze of 5x5 with at most three walls: regret of a protagonist as its antagonist becomes an optimum ----------

HORIZON, EPSILONS = 25, (1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2, 0.0)


def maze_of_five():
    return Maze(5, 5, HORIZON, num_actions=3, time_penalty=False, levels=MazeLevels(num_walls=0))


@functools.cache
def levels():
    """Every fourth of the 2048 levels, and the 50 that cannot be solved."""
    every = enumerate_levels(maze_of_five(), 3)
    actions = np.asarray(jax.jit(jax.vmap(lambda level: metrics.fewest_actions(level, 5)))(every))
    chosen = np.unique(np.append(np.arange(0, len(actions), 4), np.flatnonzero(actions >= search.UNREACHABLE)))
    return jax.tree.map(lambda leaf: leaf[chosen], every), actions[chosen] < search.UNREACHABLE


def protagonist(observation):
    """Walks on, and turns now and then, whatever it sees."""
    return jnp.asarray([0.15, 0.25, 0.6])


def best_actions(chain):
    """An optimal policy as a table, f32[X, A]: all weight on one action with the fewest steps to go."""

    def closer(distance, _):
        through = 1.0 + jnp.where(chain.at_goal, 0.0, distance[chain.successors])  # [X, A]
        return through.min(axis=1), None

    far = jnp.full(chain.successors.shape[0], 1e6)
    distance, _ = jax.lax.scan(closer, far, length=4 * HORIZON)
    through = 1.0 + jnp.where(chain.at_goal, 0.0, distance[chain.successors])
    return jax.nn.one_hot(jnp.argmin(through, axis=1), chain.successors.shape[1])


def return_of(chain):
    """The expected return within the horizon, f32[]; the goal is worth 1."""

    def one_action_more(expected, _):
        return chain.expect_next(expected), expected[chain.start]

    return jax.lax.scan(one_action_more, chain.goal_chance, length=HORIZON)[1].sum()


@functools.cache
def tables():
    """The chain of the protagonist on each level, and the table of an optimum, f32[L, X, A]."""

    @jax.jit
    @jax.vmap
    def of_level(level):
        chain = exact.chain_of(maze_of_five(), level, protagonist)
        return chain, best_actions(chain)

    return of_level(levels()[0])


def mixed_table(table, epsilon):
    return (1 - epsilon) * table + epsilon / table.shape[-1]


@functools.cache
def exact_returns():
    """Of the protagonist [L], of ε-optimal antagonists [ε, L]; and the exact regret of the protagonist [L]."""
    chains, table = tables()
    possible = chains.probabilities.sum(axis=-1, keepdims=True) > 0

    @jax.jit
    @jax.vmap
    def of_antagonist(chain, table, possible):
        def at(epsilon):
            return return_of(chain.replace(probabilities=jnp.where(possible, mixed_table(table, epsilon), 0.0)))

        return jax.vmap(at)(jnp.asarray(EPSILONS))

    regret = jax.jit(jax.vmap(lambda level: exact.exact_regret(maze_of_five(), level, protagonist)))(levels()[0])
    own = jax.jit(jax.vmap(return_of))(chains)
    return np.asarray(own), np.asarray(of_antagonist(chains, table, possible)).T, np.asarray(regret)


def expected_regret(function, own, antagonist):
    """The score of a protagonist and an antagonist of these mean returns, [L]."""
    return scored(function, np.stack([own, antagonist], axis=1))


def test_expected_regret_rises_to_exact_regret_as_the_antagonist_becomes_an_optimum():
    own, antagonists, regret = exact_returns()
    np.testing.assert_allclose(own[levels()[1]], 1 - regret[levels()[1]], atol=1e-5)
    found = np.stack([expected_regret(mean_relative_regret, own, each) for each in antagonists])  # [ε, L]
    assert np.all(np.diff(found, axis=0) >= -1e-5)  # on every level, as ε falls
    assert np.all(np.diff(found.mean(axis=1)) > 1e-3)
    assert np.all(found <= regret + 1e-5)  # and never more
    np.testing.assert_allclose(found[-1], regret, atol=1e-5)
    assert regret[levels()[1]].min() > 0.1
    np.testing.assert_array_equal(found[:, ~levels()[1]], 0)  # what nobody can solve is worth nothing


def test_two_optima_have_no_regret():
    _, antagonists, _ = exact_returns()
    for function in SCORES:
        np.testing.assert_array_equal(expected_regret(function, antagonists[-1], antagonists[-1]), 0)


T = 300


@functools.partial(jax.jit, static_argnums=2)
def _rolled_out(table, key, num_steps):
    env = maze_of_five()
    reset_key = jax.random.key(0)  # the world draws nothing

    def of_level(level, table, key):
        def step(state, uniform):
            place = (state.direction * 5 + state.position[0]) * 5 + state.position[1]
            cumulative = jnp.cumsum(table[place])
            action = jnp.minimum(jnp.sum(cumulative <= uniform * cumulative[-1], dtype=jnp.int32), 2)
            _, after, reward, terminated, truncated, _ = env.step(reset_key, state, action, level)
            ended = terminated | truncated
            first = env.reset(reset_key, level)[1]
            return jax.tree.map(lambda a, b: jnp.where(ended, a, b), first, after), (reward, ended)

        uniforms = jax.random.uniform(key, (num_steps,))
        _, (rewards, ended) = jax.lax.scan(step, env.reset(reset_key, level)[1], uniforms)
        # No reward but at an end: the return of an episode is the reward of its last step.
        return summarise(ended, rewards[:, None], jnp.ones(num_steps, jnp.int32), rewards > 0)

    return jax.vmap(of_level)(levels()[0], table, jax.random.split(key, table.shape[0]))


def rolled_out(epsilon, seed):
    """What students do on each level in T steps of the real world; ε None is the protagonist."""
    chains, table = tables()
    given = chains.probabilities if epsilon is None else mixed_table(table, epsilon)
    return _rolled_out(given, jax.random.key(seed), T)


def sampled(function, *students):
    population = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *students)
    return np.asarray(score_levels(function, signals_of(population))[0])


def test_regret_of_rollouts_is_the_expected_one_and_of_an_optimum_the_exact_one():
    own, antagonists, regret = exact_returns()
    solvable = levels()[1]
    student = rolled_out(None, 0)
    for index, epsilon in ((3, 0.6), (6, 0.2), (7, 0.0)):
        errors = sampled(mean_relative_regret, student, rolled_out(epsilon, 1)) - expected_regret(
            mean_relative_regret, own, antagonists[index]
        )
        # The cut at 0 only shows where there is next to no difference.
        clear = (antagonists[index] - own > 0.3) & solvable
        assert clear.sum() > 100
        assert abs(errors[clear].mean()) <= 4 * errors[clear].std() / np.sqrt(clear.sum()) + 1e-6
    optimum = rolled_out(0.0, 1)
    np.testing.assert_array_equal(optimum.mean_return[solvable], 1)  # no luck is left
    best, mean = (sampled(function, student, optimum) for function in (relative_regret, mean_relative_regret))
    np.testing.assert_array_equal(best, mean)
    np.testing.assert_allclose(best[solvable], 1 - np.asarray(student.mean_return)[solvable], atol=1e-6)
    errors = (best - regret)[solvable]
    assert abs(errors.mean()) <= 4 * errors.std() / np.sqrt(solvable.sum()) + 1e-6
    np.testing.assert_array_equal(best[~solvable], 0)


def test_best_episodes_of_a_lucky_antagonist_promise_too_much():
    """What `relative_regret` says of its bias: with chance in it, it is above the mean form, though not above the truth."""
    own, antagonists, regret = exact_returns()
    student, lucky = rolled_out(None, 0), rolled_out(0.6, 1)
    found = sampled(relative_regret, student, lucky)
    assert found.mean() > expected_regret(mean_relative_regret, own, antagonists[3]).mean() + 0.05
    assert found.mean() <= regret.mean() + 0.02
