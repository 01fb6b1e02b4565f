"""Scores on levels of which everything is known: how far each is off, and whether it ranks levels by their regret.

Three petri dishes. T1: levels that pay 1 with a chance p, where all outcomes can be listed. T2: a corridor, where the
value is a power of the discount. T8: the 2048 mazes of 5 × 5 cells with at most three walls, on which the return of a
policy, its regret and a perfect critic are exact. Letters: ``T`` steps, ``B`` levels, ``K`` value heads.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import rankdata
from toy_worlds import Corridor, CorridorLevel

from minied.episodes import RunningEpisode, summarise
from minied.scores import Signals, score_levels
from minied.scores.disagreement import value_disagreement
from minied.scores.learnability import learnability, return_variance
from minied.scores.max_mc import max_mc
from minied.scores.negative_advantage_if_solved import negative_advantage_if_solved
from minied.scores.positive_value_loss import positive_value_loss
from minied.scores.returns import exact_regret, negative_return
from minied.scores.value_errors import l1_value_loss, one_step_td, signed_gae
from minied.students.advantages import generalized_advantages
from minied_envs.grid import search, tiles
from minied_envs.maze import Maze, MazeLevels, exact, metrics
from minied_envs.maze.enumeration import enumerate_levels

KEY = jax.random.key(0)


def signals_of(rewards, values, ended, last_value, discount, gae_lambda, optimal_return=1.0):
    """Signals of one level from what happened: `f32[T]`, `f32[T, K]`, `bool[T]`, `f32[]`. A return above 0 is solved."""

    def advantages(gae_lambda):
        nothing = jnp.zeros_like(rewards)
        return generalized_advantages(rewards, values.mean(-1), last_value, ended, nothing, discount, gae_lambda)[
            :, None
        ]

    def account(running, step):
        running = running.add(step[0][None])
        return running.restart_if(step[1]), (running.episode_return, running.length)

    _, (returns, lengths) = jax.lax.scan(account, RunningEpisode.start(1), (rewards, ended))
    episodes = summarise(ended, returns, lengths, returns[:, 0] > 0)
    return Signals(
        ended=ended,
        episodes=episodes,
        max_return=episodes.max_return,
        rewards=rewards[:, None],
        values=values[:, None],
        value_ensemble=values[:, None],
        advantages=advantages(gae_lambda),
        td_errors=advantages(0.0),
        optimal_return=jnp.asarray(optimal_return, jnp.float32),
    )


compiled_scores = jax.jit(score_levels, static_argnames="function")


def scored(function, signals):
    return np.asarray(compiled_scores(function, signals)[0], np.float64)


# -- T1: levels that pay by chance ------------------------------------------------------------------------------------


MOST = 6  # episodes in a rollout


@jax.jit
def of_outcomes(outcomes, values, number):
    """Signals of rows of episodes of one step, reward 1 or 0, `f32[B, MOST]`, of which the first `number` are finished.

    `values` is what the critic says before each step.
    """
    ended = jnp.arange(MOST) < number

    def one(rewards, values):
        return signals_of(rewards, values[:, None], ended, jnp.float32(1e6), 0.9, 0.95)  # nothing follows an end

    return jax.vmap(one)(outcomes, values)


def every_outcome(number, chance):
    """All outcomes of a number of tries, `[2^number, number]`, and how probable each is."""
    outcomes = np.array(list(itertools.product((0.0, 1.0), repeat=number)), np.float32)
    return outcomes, np.prod(np.where(outcomes == 1, chance, 1 - chance), axis=1)


def expectation(function, number, chance, value):
    """The mean of a score over all outcomes of a number of episodes with a critic that always says `value`."""
    outcomes, probabilities = every_outcome(MOST, chance)
    return float(probabilities @ scored(function, of_outcomes(outcomes, np.full_like(outcomes, value), number)))


CHANCES = [0.0, 0.1, 0.5, 0.8, 1.0]


@pytest.mark.parametrize("function", [learnability, return_variance])
@pytest.mark.parametrize("chance", CHANCES)
def test_learnability_of_n_episodes_is_too_small_by_one_nth(function, chance):
    # With k of n successes, E[(k/n)(1 - k/n)] = p - E[k²]/n² = p - (n p (1 - p) + n² p²)/n² = p (1 - p) (n - 1)/n
    for number in (1, 2, 3, 6):
        expected = chance * (1 - chance) * (number - 1) / number
        assert expectation(function, number, chance, 0.5) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("chance", CHANCES)
@pytest.mark.parametrize("number", [1, 4])
def test_errors_of_a_perfect_critic_are_those_of_chance_itself(chance, number):
    # The advantage is 1 - p with chance p and -p with chance 1 - p: its mean is 0, that of its size 2 p (1 - p).
    noise = chance * (1 - chance)
    perfect = functools.partial(expectation, number=number, chance=chance, value=chance)
    assert perfect(l1_value_loss) == pytest.approx(2 * noise, abs=1e-6)
    assert perfect(one_step_td) == pytest.approx(2 * noise, abs=1e-6)
    assert perfect(positive_value_loss) == pytest.approx(noise, abs=1e-6)
    assert perfect(signed_gae) == pytest.approx(0, abs=1e-6)
    assert expectation(signed_gae, number, chance, 0.3) == pytest.approx(chance - 0.3, abs=1e-6)  # of another critic
    # Loss counts where anything was solved: p (1 - p) less what the case of no success, (1 - p)^n, adds: p each time
    lucky = chance * ((1 - chance) - (1 - chance) ** number)
    assert perfect(negative_advantage_if_solved) == pytest.approx(lucky, abs=1e-6)


@pytest.mark.parametrize("chance", [0.2, 0.7])
def test_max_mc_of_a_perfect_critic_grows_with_every_episode_that_is_played(chance):
    # R⁺ is 1 unless all n failed: E = 1 - (1 - p)^n - p, 0 for one episode, 1 - p in the end: the regret, from below
    found = [expectation(max_mc, number, chance, chance) for number in (1, 2, 5)]
    np.testing.assert_allclose(found, [1 - (1 - chance) ** n - chance for n in (1, 2, 5)], atol=1e-6)
    assert found[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("chance", CHANCES)
def test_regret_by_the_oracle_has_no_bias(chance):
    for number in (1, 5):
        assert expectation(exact_regret, number, chance, 0.3) == pytest.approx(1 - chance, abs=1e-6)
        assert expectation(negative_return, number, chance, 0.3) == pytest.approx(-chance, abs=1e-6)


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_scores_of_a_learning_critic_approach_their_floor_geometrically(chance):
    # A critic that moves by a share α towards each outcome: E[V_n] = p + (1 - α)^n (V_0 - p). All three scores of the next
    # episode are linear in V: signed p - V, positive p (1 - V), absolute p (1 - V) + (1 - p) V.
    share, first = 0.25, 0.9
    for number in (0, 1, 3, 5):
        outcomes, probabilities = every_outcome(MOST, chance)
        value = np.full(len(outcomes), first, np.float32)
        for outcome in outcomes.T[:number]:
            value += np.float32(share) * (outcome - value)
        following = np.roll(outcomes, -number, axis=1)
        signals = of_outcomes(following, np.repeat(value[:, None], MOST, axis=1), 1)
        error = (1 - share) ** number * (first - chance)
        noise = chance * (1 - chance)
        for function, expected in (
            (signed_gae, -error),
            (positive_value_loss, noise - chance * error),
            (l1_value_loss, 2 * noise + (1 - 2 * chance) * error),
        ):
            assert probabilities @ scored(function, signals) == pytest.approx(expected, abs=1e-6), function


def two_tries(num_steps, chance, values=(0.0, 0.0)):
    """All rollouts of a level whose episodes are two tries, over at a success: signals, and how probable each is."""
    tries, probabilities = every_outcome(num_steps, chance)
    ended, second = np.zeros(tries.shape, bool), np.zeros(len(tries), bool)
    is_second = np.zeros(tries.shape, bool)
    for step in range(num_steps):
        is_second[:, step] = second
        ended[:, step] = second | (tries[:, step] == 1)
        second = ~ended[:, step]
    critic = np.where(is_second, np.float32(values[1]), np.float32(values[0]))
    last = np.where(second, np.float32(values[1]), np.float32(values[0]))
    batch = jax.vmap(lambda r, v, e, last: signals_of(r, v[:, None], e, last, 1.0, 1.0))
    return jax.jit(batch)(tries, critic, ended, last), probabilities


@pytest.mark.parametrize("chance", [0.2, 0.5])
def test_a_rollout_shorter_than_an_episode_can_be_sees_successes_only(chance):
    # One step: what finishes is a success, so regret is 0 by sight, (1 - p)² in truth. Two steps: no bias.
    truth = (1 - chance) ** 2
    for num_steps, expected in ((1, 0.0), (2, truth)):
        signals, probabilities = two_tries(num_steps, chance)
        scores, valid, _ = score_levels(exact_regret, signals)
        found = float(probabilities @ np.asarray(scores)) / float(probabilities @ np.asarray(valid))
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("chance", [0.2, 0.5])
def test_signed_errors_of_a_perfect_critic_lean_to_the_episodes_that_are_short(chance):
    # V = p + (1 - p) p, then p. E[A_0] = E[A_1] = 0. But a success at once is alone in its mean, and all else is halved:
    # p (1 - V) + ½ (0 - p (1 - V)) + 0 = ½ p (1 - p)²
    signals, probabilities = two_tries(2, chance, values=(chance + (1 - chance) * chance, chance))
    # only the first episode of a rollout of two steps is looked at
    first = signals.ended & (np.cumsum(signals.ended, axis=1) == 1)
    found = probabilities @ scored(signed_gae, signals.replace(ended=first))
    assert found == pytest.approx(0.5 * chance * (1 - chance) ** 2, abs=1e-6)


# -- playing with a critic that knows the state -----------------------------------------------------------------------


def play(env, level, policy, critic, uniforms, discount, gae_lambda, optimal_return):
    """Signals of one level after `T` steps of the real world; `critic(state) -> f32[K]` sees what the student cannot."""

    def step(carry, uniform):
        observation, state = carry
        action = jnp.sum(jnp.cumsum(policy(observation))[:-1] <= uniform, dtype=jnp.int32)
        *after, reward, terminated, truncated, _ = env.step(KEY, state, action, level)
        ended = terminated | truncated
        following = jax.tree.map(lambda a, b: jnp.where(ended, a, b), env.reset(KEY, level), tuple(after))
        return following, (reward, critic(state), ended)

    (_, state), (rewards, values, ended) = jax.lax.scan(step, env.reset(KEY, level), uniforms)
    return signals_of(rewards, values, ended, critic(state).mean(), discount, gae_lambda, optimal_return)


# -- T2: the corridor -------------------------------------------------------------------------------------------------

LENGTH, DISCOUNT = 6, 0.5
STARTS = np.arange(1, LENGTH + 1)


@jax.jit
def walked(table):
    """Signals of the corridor's levels, one episode from each start straight to the goal; values `f32[LENGTH + 1, K]`.

    λ is 0: an advantage is the error of one step.
    """
    env = Corridor(length=LENGTH, max_steps=20)

    def one(start):
        signals = play(
            env, CorridorLevel(start), lambda observation: jnp.asarray([0.0, 1.0]), lambda state: table[state.distance],
            jnp.full(LENGTH, 0.5), DISCOUNT, 0.0, 1.0,
        )  # fmt: skip
        return signals.replace(ended=signals.ended & (jnp.arange(LENGTH) == start - 1))  # the first episode

    return jax.vmap(one)(jnp.asarray(STARTS, jnp.int32))


def learned(sweeps):
    """The critic after some sweeps: each cell learns, from the advantage at it, what its neighbour knew before."""
    table = np.zeros((LENGTH + 1, 1), np.float32)
    for _ in range(sweeps):
        from_the_end = jax.tree.map(lambda leaf: leaf[-1], walked(table))
        table[LENGTH:0:-1, 0] += np.asarray(from_the_end.advantages)[:, 0]
    return table


def test_values_of_a_corridor_are_powers_of_the_discount():
    # The last step is paid in full: γ^(d - 1) with d steps to go. One cell a sweep is reached.
    powers = DISCOUNT ** (STARTS - 1)
    np.testing.assert_allclose(learned(LENGTH)[1:, 0], powers)
    np.testing.assert_allclose(learned(2)[1:, 0], np.where(STARTS <= 2, powers, 0))


@pytest.mark.parametrize("function", [one_step_td, l1_value_loss, positive_value_loss, signed_gae])
def test_the_frontier_of_learning_moves_outwards_and_leaves_nothing_behind(function):
    # After n sweeps the only error is γ^n, at n + 1 cells from the goal; it is shared by the d steps of the episode.
    for sweeps in range(LENGTH):
        found = scored(function, walked(learned(sweeps)))
        np.testing.assert_allclose(found, np.where(sweeps < STARTS, DISCOUNT**sweeps / STARTS, 0), atol=1e-6)
        assert STARTS[np.argmax(found)] == sweeps + 1
    np.testing.assert_allclose(scored(function, walked(learned(LENGTH))), 0, atol=1e-6)


def test_heads_that_learned_for_different_times_disagree_at_the_frontier():
    # Heads of n and n + 1 sweeps differ at n + 1 cells from the goal alone, by γ^n: a standard deviation of γ^n / 2
    for sweeps in range(LENGTH):
        table = np.concatenate([learned(sweeps), learned(sweeps + 1)], axis=1)
        found = scored(value_disagreement, walked(table))
        np.testing.assert_allclose(found, np.where(sweeps < STARTS, DISCOUNT**sweeps / 2 / STARTS, 0), atol=1e-6)


def test_max_mc_of_a_perfect_critic_and_the_best_policy_is_what_discounting_takes():
    # From three cells: V = 1/4, 1/2, 1, mean 7/12; R⁺ = 1: 5/12. It grows with the way, though there is nothing to gain.
    found = scored(max_mc, walked(learned(LENGTH)))
    assert found[2] == pytest.approx(5 / 12, abs=1e-6)
    means = np.cumsum(DISCOUNT ** (STARTS - 1)) / STARTS
    np.testing.assert_allclose(found, 1 - means, atol=1e-6)
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(scored(exact_regret, walked(learned(LENGTH))), 0)


def test_max_mc_is_negative_where_the_critic_promises_too_much():
    # every value is too high by 2: 2 less, on every level alike
    table = learned(LENGTH)
    honest, boastful = (scored(max_mc, walked(values)) for values in (table, table + 2))
    np.testing.assert_allclose(boastful, honest - 2, atol=1e-6)
    assert np.all(boastful < 0)


# -- T8: every maze of 5x5 with at most three walls -------------------------------------------------------------------

NUM_STEPS, HORIZON = 600, 25
RANDOM, DECENT, RIGID = 0.0, 6.0, 1000.0  # how firmly the policy keeps to what it prefers


def maze_of_five():
    return Maze(5, 5, HORIZON, num_actions=3, time_penalty=False, levels=MazeLevels(num_walls=0))


def seeker(firmness):
    """Turns to the goal if it sees it, else walks on where it can, else turns right; RANDOM prefers nothing."""

    def policy(observation):
        codes = observation["view"]
        rows, cols = jnp.indices(codes.shape)
        middle, bottom = codes.shape[1] // 2, codes.shape[0] - 1
        goal = codes == tiles.GOAL
        seen, left, right = jnp.any(goal), jnp.any(goal & (cols < middle)), jnp.any(goal & (cols > middle))
        ahead = jnp.any(goal & (rows < bottom))
        blocked = codes[bottom - 1, middle] == tiles.WALL
        forward = jnp.where(blocked, -1.0, jnp.where(seen, ahead.astype(jnp.float32), 0.6))
        turn_left = jnp.where(left, 0.7, jnp.where(seen, -0.2, 0.0))
        turn_right = jnp.where(right, 0.7, jnp.where(seen, -0.1, 0.2))
        return jax.nn.softmax(firmness * jnp.stack([turn_left, turn_right, forward]))

    return policy


@jax.jit
def measured(firmness, levels, uniforms):
    """The signals of each level with a perfect critic, and its exact (regret, chance to be solved)."""
    maze, policy = maze_of_five(), seeker(firmness)

    def one(level, uniforms):
        values = exact.exact_values(maze, level, policy, 1.0)
        signals = play(
            maze, level, policy,
            lambda state: values[state.time, state.direction, state.position[0], state.position[1]][None],
            uniforms, 1.0, 0.95, maze.level_space.optimal_return(level),
        )  # fmt: skip
        return signals, exact.exact_regret(maze, level, policy), exact.solve_probability(maze, level, policy)

    return jax.vmap(one)(levels, uniforms)


@functools.cache
def every_level():
    return enumerate_levels(maze_of_five(), 3)


@functools.cache
def results(firmness):
    levels = every_level()
    uniforms = jax.random.uniform(jax.random.key(1), (levels.walls.shape[0], NUM_STEPS))
    signals, regrets, chances = measured(jnp.float32(firmness), levels, uniforms)
    return signals, np.asarray(regrets, np.float64), np.asarray(chances, np.float64)


@functools.cache
def solvable():
    actions = jax.jit(jax.vmap(lambda level: metrics.fewest_actions(level, 5)))(every_level())
    return np.asarray(actions) < search.UNREACHABLE


def rank_correlation(a, b):
    """Spearman's: the correlation of the ranks, ties sharing the mean of theirs."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def test_the_bench_has_mazes_of_all_kinds():
    _, regrets, chances = results(DECENT)
    assert np.sum(~solvable()) == 50
    assert np.all(regrets[~solvable()] == 0)
    assert min(np.sum(solvable() & (chances < 0.5)), np.sum(chances > 0.5)) > 800
    np.testing.assert_allclose(regrets[solvable()], 1 - chances[solvable()], atol=1e-5)  # no time penalty
    assert int(results(DECENT)[0].episodes.num_finished.min()) >= NUM_STEPS // HORIZON


@pytest.mark.parametrize("firmness", [RANDOM, DECENT, RIGID])
def test_the_oracle_s_regret_is_exact_up_to_luck(firmness):
    signals, regrets, _ = results(firmness)
    errors = scored(exact_regret, signals) - regrets
    assert abs(errors.mean()) <= 4 * errors.std() / np.sqrt(len(errors)) + 1e-6
    if firmness == RIGID:
        np.testing.assert_allclose(errors, 0, atol=1e-6)
    else:
        assert 0.001 < errors.std() < 0.1


def test_the_oracle_s_regret_ranks_levels_by_regret_and_better_with_more_episodes():
    signals, regrets, _ = results(DECENT)

    @jax.jit
    def ranked(num_steps):
        def cut(rewards, values, ended, best):
            ended = ended & (jnp.arange(NUM_STEPS) < num_steps)
            return signals_of(rewards[:, 0], values[:, 0], ended, jnp.float32(0), 1.0, 0.95, best)

        shorter = jax.vmap(cut)(signals.rewards, signals.values, signals.ended, signals.optimal_return)
        return score_levels(exact_regret, shorter)[0]

    def after(num_steps):
        return rank_correlation(ranked(num_steps), regrets)

    few, some, many = after(HORIZON * 2), after(HORIZON * 6), after(NUM_STEPS)
    assert few < some < many
    assert many > 0.9


def test_negative_return_takes_what_nobody_can_solve_for_the_most_regrettable():
    signals, regrets, _ = results(DECENT)
    found = scored(negative_return, signals)
    assert np.all(found[~solvable()] == found.max())
    # Where all can be solved, for a reward of 1, it is regret less a constant.
    assert rank_correlation(found[solvable()], regrets[solvable()]) > 0.9
    assert rank_correlation(found, regrets) < rank_correlation(scored(exact_regret, signals), regrets) - 0.1


VARIANCES = [learnability, positive_value_loss, l1_value_loss, one_step_td]


@pytest.mark.parametrize("function", VARIANCES)
def test_scores_of_variance_follow_regret_above_one_half_and_turn_against_it_below(function):
    # A perfect critic errs by chance alone, by p (1 - p) and the like, which falls with the regret 1 - p where p < ½:
    # levels that the student nearly always fails rank low though they are worth the most.
    signals, regrets, chances = results(DECENT)
    found = scored(function, signals)
    assert rank_correlation(found[solvable()], (chances * (1 - chances))[solvable()]) > 0.75
    assert rank_correlation(found[chances > 0.5], regrets[chances > 0.5]) > 0.6
    hard = solvable() & (chances < 0.5)
    assert rank_correlation(found[hard], regrets[hard]) < -0.6
    assert np.all(found[~solvable()] == 0)


@pytest.mark.parametrize("function", [positive_value_loss, l1_value_loss, one_step_td])
def test_a_random_student_s_errors_rank_the_easiest_levels_first(function):
    # nobody who acts at random solves any level half the time: all are on the wrong side
    signals, regrets, chances = results(RANDOM)
    assert chances.max() < 0.05
    assert rank_correlation(scored(function, signals)[solvable()], regrets[solvable()]) < -0.2


BLIND = [*VARIANCES, return_variance, signed_gae, negative_advantage_if_solved, max_mc]


@pytest.mark.parametrize("function", BLIND)
def test_nothing_that_compares_with_the_critic_sees_the_regret_of_a_student_without_doubts(function):
    # What always happens is what a perfect critic says: all scores are 0, and the regret is 1 on nearly half the levels.
    signals, regrets, _ = results(RIGID)
    np.testing.assert_allclose(scored(function, signals), 0, atol=1e-6)
    assert np.sum(regrets == 1) > 900


def test_max_mc_of_a_perfect_critic_ranks_levels_by_regret():
    # R⁺ is 1 on every level that was ever solved, and V without discount is the chance of what is left
    signals, regrets, _ = results(DECENT)
    assert rank_correlation(scored(max_mc, signals), regrets) > 0.8
    # It lacks what was never seen: with the true optimum in place of R⁺ it does better, and far better for a weak student.
    for firmness, gain in ((DECENT, 0.03), (RANDOM, 0.3)):
        signals, regrets, _ = results(firmness)
        with_optimum = signals.replace(max_return=signals.optimal_return)
        known, seen = (rank_correlation(scored(max_mc, given), regrets) for given in (with_optimum, signals))
        assert known > seen + gain


def test_max_mc_is_below_zero_on_levels_that_the_student_has_not_solved_yet():
    # R⁺ = 0 < V: the more regrettable a level, the likelier it has never been solved, and then it ranks last of all
    signals, regrets, _ = results(DECENT)
    unseen = solvable() & (np.asarray(signals.episodes.num_solved) == 0)
    assert np.sum(unseen) > 10
    assert np.all(scored(max_mc, signals)[unseen] < 0)
    assert np.all(regrets[unseen] > 0.7)
