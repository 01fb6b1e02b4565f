"""Scores: every one by hand on two episodes and a tail, its bounds, what it reads, and what makes a score valid."""

import functools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from toy_worlds import failure_rate, nan_score, undeclared_score

from minied import registry
from minied.episodes import summarise
from minied.errors import UserError
from minied.scores import Signals, score, score_levels
from minied.scores.base import SIGNALS, needs_of, validate_score
from minied.scores.disagreement import policy_disagreement, value_disagreement
from minied.scores.learnability import SMALLEST_STD, generalized_learnability, learnability, return_variance
from minied.scores.max_mc import max_mc
from minied.scores.negative_advantage_if_solved import negative_advantage_if_solved
from minied.scores.novelty import novelty
from minied.scores.positive_value_loss import positive_value_loss
from minied.scores.returns import exact_regret
from minied.scores.uncertainty import entropy, least_confidence, min_margin

LOG2, LOG3 = math.log(2), math.log(3)
NAMES = registry.names("score")
jitted = {name: jax.jit(registry.load("score", name)) for name in NAMES}
levels_by = {name: jax.jit(functools.partial(score_levels, registry.load("score", name))) for name in NAMES}
PER_STEP = ("rewards", "values", "advantages", "td_errors", "log_policy", "value_ensemble", "policy_ensemble")

# Two episodes, steps 0-1 (solved) and 2-4 (not), and a tail of two steps. Returns of agent X: 3 and −1; of agent Y: 1 and 3.
ENDED = [0, 1, 0, 0, 1, 0, 0]
SOLVED = [0, 1, 0, 0, 0, 1, 1]
LENGTHS = [1, 2, 1, 2, 3, 1, 2]
TAIL = 2
FIRST, EVEN, PAIR, OTHERS = (1, 0, 0, 0), (1 / 4,) * 4, (1 / 2, 1 / 2, 0, 0), (0, 0, 1 / 2, 1 / 2)
X = {
    "rewards": [1, 2, 0, 0, -1],
    "returns": [1, 3, 0, 0, -1],
    "values": [1, 2, 0, 3, 6],
    "spread": [1, 3, 0, 2, 7],  # the two value heads are this far below and above the value
    "advantages": [4, -2, 3, -1, 6],
    "td_errors": [1, -3, 2, 0, -7],
    "policy": [PAIR, FIRST, EVEN, (1 / 2, 1 / 4, 1 / 8, 1 / 8), FIRST],
    "policies": [(PAIR, PAIR), (FIRST, (0, 1, 0, 0)), (FIRST, PAIR), (PAIR, OTHERS), (EVEN, EVEN)],
}
Y = {
    "rewards": [0, 1, 0, 0, 3],
    "returns": [0, 1, 0, 0, 3],
    "values": [0] * 5,
    "spread": [0] * 5,
    "advantages": [-4, 2, -3, 1, -6],
    "td_errors": [0] * 5,
    "policy": [EVEN] * 5,
    "policies": [(FIRST, (0, 0, 0, 1))] * 5,
}


def signals(*agents, tail=1e9, ended=ENDED, solved=SOLVED, **changes):
    """All signals of one level; `tail` stands in every per-step signal after the last finished episode."""
    agents = agents or (X,)

    def steps(field, logarithm=False):
        values = np.stack([np.asarray(agent[field], np.float64) for agent in agents], axis=1)
        with np.errstate(divide="ignore"):
            values = np.log(values) if logarithm else values
        return jnp.asarray(np.concatenate([values, np.full((TAIL, *values.shape[1:]), tail)]), jnp.float32)

    # Every student did what these agents did, but for what it earned: nothing, these returns, and another fourth of them.
    by_agent = steps("returns").mean(axis=-1, keepdims=True)
    population = [
        summarise(jnp.asarray(ended, bool), returns, jnp.asarray(LENGTHS, jnp.int32), jnp.asarray(solved, bool))
        for returns in (jnp.zeros_like(by_agent), by_agent, 1.25 * by_agent)
    ]
    heads = steps("values")[..., None] + steps("spread")[..., None] * jnp.asarray([-1.0, 1.0])[None, None]
    ended = jnp.asarray(ended, bool)
    episodes = summarise(ended, steps("returns"), jnp.asarray(LENGTHS, jnp.int32), jnp.asarray(solved, bool))
    every = Signals(
        ended=ended,
        episodes=episodes,
        max_return=episodes.max_return,
        rewards=steps("rewards"),
        values=heads,
        advantages=steps("advantages"),
        td_errors=steps("td_errors"),
        log_policy=steps("policy", logarithm=True),
        value_ensemble=heads,
        policy_ensemble=steps("policies", logarithm=True),
        optimal_return=jnp.float32(4.25),
        neighbour_distances=jnp.asarray([0.5, 2.0, jnp.inf]),
        population=jax.tree.map(lambda *leaves: jnp.stack(leaves), *population),
        parameter_change=jnp.float32(0.125),
        mean_return_of_levels=jnp.float32(0.0),
        std_return_of_levels=jnp.float32(2.0),
    )
    return every.replace(**changes)


def changed(agent, **changes):
    return agent | changes


def stack(*items):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)


# Policy disagreement of step 2, (1, 0, 0, 0) against (½, ½, 0, 0): the mean is (¾, ¼), of entropy ¾ log 4/3 + ¼ log 4
# = 2 log 2 − ¾ log 3; the mean entropy is (0 + log 2)/2. Steps 0 and 4: 0. Steps 1 and 3, disjoint: log 2.
STEP_2 = 1.5 * LOG2 - 0.75 * LOG3

# What each score is for agent X alone, for X and Y together, and for X with max_share = 1 (None where that changes nothing).
# Hence e.g. of X: (first episode + second episode) / 2, the mean over two steps and the mean over three.
EXPECTED = {
    # R⁺ = 3: (2 + 1)/2 and (3 + 0 − 3)/3. Both: R⁺ = (3 + 1)/2 = 2, V = ½, 1, 0, 1½, 3: (1½ + 1)/2 and (2 + ½ − 1)/3.
    "max_mc": ((1.5 + 0.0) / 2, (1.25 + 0.5) / 2, (2 + 3) / 2),
    # (4 + 0)/2 and (3 + 0 + 6)/3. Both: positive parts before the mean over agents: 2, 1, 1½, ½, 3.
    "positive_value_loss": ((2 + 3) / 2, (1.5 + 5 / 3) / 2, (4 + 6) / 2),
    # (4 + 2)/2 and (3 + 1 + 6)/3; Y's are as large.
    "l1_value_loss": ((3 + 10 / 3) / 2, (3 + 10 / 3) / 2, (4 + 6) / 2),
    # (4 − 2)/2 and (3 − 1 + 6)/3; Y's are the opposite.
    "signed_gae": ((1 + 8 / 3) / 2, 0.0, (4 + 6) / 2),
    # (1 + 3)/2 and (2 + 0 + 7)/3; Y's are 0.
    "one_step_td": ((2 + 3) / 2, (2 + 3) / 4, (3 + 7) / 2),
    # (0 + 2)/2 and (0 + 1 + 0)/3, solved once. Both: 2, 1, 1½, ½, 3.
    "negative_advantage_if_solved": ((1 + 1 / 3) / 2, (1.5 + 5 / 3) / 2, (2 + 1) / 2),
    # log 2, 0 | 2 log 2, (½ + ½ + 3/8 + 3/8) log 2 = 1¾ log 2, 0. Y: 2 log 2 throughout.
    "entropy": ((1 / 2 + 5 / 4) / 2 * LOG2, ((1 / 2 + 5 / 4) / 2 + 2) / 2 * LOG2, (1 + 2) / 2 * LOG2),
    # ½, 0 | ¾, ½, 0. Y: ¾.
    "least_confidence": ((1 / 4 + 5 / 12) / 2, ((1 / 4 + 5 / 12) / 2 + 3 / 4) / 2, (1 / 2 + 3 / 4) / 2),
    # 1 − 0, 1 − 1 | 1, 1 − ¼, 0. Y: 1.
    "min_margin": ((1 / 2 + 7 / 12) / 2, ((1 / 2 + 7 / 12) / 2 + 1) / 2, 1.0),
    # two heads v ± d have the standard deviation d: 1, 3 | 0, 2, 7. Y: 0.
    "value_disagreement": ((2 + 3) / 2, (2 + 3) / 4, (3 + 7) / 2),
    # 0, log 2 | above, log 2, 0. Y: log 2.
    "policy_disagreement": (
        (LOG2 / 2 + (STEP_2 + LOG2) / 3) / 2,
        ((LOG2 / 2 + (STEP_2 + LOG2) / 3) / 2 + LOG2) / 2,
        LOG2,
    ),
    "learnability": (1 / 4, 1 / 4, None),  # one of two solved
    # σ_θ = 2, (1 − 0)/2 from the middle: 2 · e^(−1/8) / (2 √2π). Both: returns 2 and 1, σ_θ = ½, (1½ − 0)/2: e^(−9/32).
    "generalized_learnability": (
        2 * math.exp(-1 / 8) / (2 * math.sqrt(2 * math.pi)),
        0.5 * math.exp(-9 / 32) / (2 * math.sqrt(2 * math.pi)),
        None,
    ),
    # returns 3 and −1: ((3 − 1)² + (−1 − 1)²)/2. Both: returns 2 and 1.
    "return_variance": (4.0, 0.25, None),
    "mean_return": ((3 - 1) / 2, (2 + 1) / 2, None),
    "negative_return": (-(3 - 1) / 2, -(2 + 1) / 2, None),
    "exact_regret": (4.25 - 1, 4.25 - 1.5, None),
    "novelty": ((0.5 + 2.0) / 2, (0.5 + 2.0) / 2, None),  # the third neighbour is not there
    "parameter_change": (0.125, 0.125, None),
    # Episodes of the students: 0, 0 | 3, −1 | 3¾, −1¼, of means 0, 1, 1¼. Both: 0, 0 | 2, 1 | 2½, 1¼, of means 0, 1½, 1⅞.
    "relative_regret": (3.75, 2.5, None),
    "mean_relative_regret": (1.25, 1.875, None),
    "flexible_regret": (3.75, 2.5, None),
    "population_regret": (1.25 - 0.75, 1.875 - 1.125, None),
}
OVER_STEPS = [name for name, (_, _, highest) in EXPECTED.items() if highest is not None]


def test_every_registered_score_has_its_hand_computed_values():
    assert sorted(EXPECTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_by_hand_with_one_agent(name):
    assert float(registry.load("score", name)(signals(X))) == pytest.approx(EXPECTED[name][0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_by_hand_with_two_agents_in_either_order(name):
    function = registry.load("score", name)
    assert float(function(signals(X, Y))) == pytest.approx(EXPECTED[name][1], rel=1e-5, abs=1e-6)
    assert float(function(signals(Y, X))) == pytest.approx(EXPECTED[name][1], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_max_share_mixes_the_mean_and_the_highest_step_of_each_episode(name):
    mean, _, highest = EXPECTED[name]
    highest = mean if highest is None else highest
    for share in (0.0, 0.25, 1.0):
        got = float(jitted[name](signals(X, max_share=jnp.float32(share))))
        assert got == pytest.approx((1 - share) * mean + share * highest, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", OVER_STEPS)
def test_max_share_reaches_every_level_of_a_batch(name):
    _, _, highest = EXPECTED[name]
    scores, valid, broken = levels_by[name](stack(signals(X), signals(X)), 1.0)
    np.testing.assert_allclose(scores, [highest] * 2, rtol=1e-5, atol=1e-6)
    assert valid.all()
    assert not broken.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e9])
def test_unfinished_tail_never_reaches_a_score(name, poison):
    for share in (0.0, 0.5):
        got = [jitted[name](signals(X, Y, tail=tail, max_share=jnp.float32(share))) for tail in (poison, 0.0)]
        assert float(got[0]) == float(got[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_score_reads_what_it_declares_and_nothing_else(name):
    function = registry.load("score", name)
    needs = needs_of(function)
    alone = signals(X, Y).replace(**{other: None for other in SIGNALS if other not in needs})
    assert float(function(alone)) == float(function(signals(X, Y)))
    for needed in needs:
        with pytest.raises((AssertionError, AttributeError, TypeError, ValueError)):
            float(function(alone.replace(**{needed: None})))  # what is not there is not a number either


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_says_where_a_score_is_from_and_where_it_errs(name):
    text = registry.load("score", name).__doc__
    first, _, rest = text.partition("\n")
    assert first.endswith(".")
    assert first.count(". ") == 0  # the one sentence of `minied list scores`
    assert 20 < len(first) <= 110
    for part in ("Source: ", "High: ", "Bias: "):
        assert part in rest, part


@pytest.mark.parametrize("name", NAMES)
def test_trap_04_a_level_without_a_finished_episode_is_neither_valid_nor_broken(name):
    for tail in (0.0, np.nan):
        batch = stack(signals(X), signals(X, tail=tail, ended=[0] * 7))
        scores, valid, broken = levels_by[name](batch, 0.0)
        np.testing.assert_array_equal(valid, [True, False])
        np.testing.assert_array_equal(broken, [False, False])
        assert float(scores[1]) == 0.0
        if name != "generalized_learnability":  # which the batch decides, see below
            assert float(scores[0]) == pytest.approx(EXPECTED[name][0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", OVER_STEPS)
def test_a_number_that_is_none_within_a_finished_episode_breaks_the_score(name):
    """However the score is made, a NaN of the network comes through and is not taken for 0."""
    good = signals(X)
    bad = good.replace(**{field: getattr(good, field).at[3].set(jnp.nan) for field in PER_STEP})
    scores, valid, broken = levels_by[name](stack(good, bad), 0.0)
    np.testing.assert_array_equal(valid, [True, False])
    np.testing.assert_array_equal(broken, [False, True])
    assert float(scores[1]) == 0.0


def test_scores_that_are_not_finite_are_broken():
    batch = stack(signals(X), *(signals(X, max_return=jnp.float32(value)) for value in (np.nan, np.inf, -np.inf)))
    scores, valid, broken = score_levels(max_mc, batch)
    np.testing.assert_array_equal(valid, [True, False, False, False])
    np.testing.assert_array_equal(broken, [False, True, True, True])
    np.testing.assert_array_equal(scores[1:], [0, 0, 0])
    scores, valid, broken = score_levels(nan_score, stack(signals(X), signals(X, ended=[0] * 7)))
    np.testing.assert_array_equal(valid, [False, False])
    np.testing.assert_array_equal(broken, [True, False])
    np.testing.assert_array_equal(scores, [0, 0])


def test_max_mc_measures_against_the_best_return_ever_seen():
    # R⁺ = 5: (4 + 3)/2 = 3.5 and (5 + 2 − 1)/3 = 2
    assert float(max_mc(signals(X, max_return=jnp.float32(5.0)))) == pytest.approx((3.5 + 2) / 2, rel=1e-6)


def test_trap_03_max_mc_of_negative_returns_is_not_lifted_to_zero():
    # the best return ever is −1 (not 0): (−1−1 −1−2)/2 = −2.5 and (−1 −4 −7)/3 = −4
    got = max_mc(signals(changed(X, returns=[-1, -2, 0, 0, -1])))
    assert float(got) == pytest.approx((-2.5 - 4) / 2, rel=1e-6)


def test_positive_value_loss_is_never_negative():
    assert float(positive_value_loss(signals(changed(X, advantages=[-1] * 5)))) == 0.0


def test_negative_advantage_counts_only_where_an_episode_of_the_rollout_was_solved():
    # only what is solved at an end counts: the flags of steps 0, 2 and 5 say nothing
    assert float(negative_advantage_if_solved(signals(X, solved=[1, 0, 1, 0, 0, 1, 1]))) == 0.0
    # and once is enough: twice solved is no more than once, (1 + ⅓)/2
    assert float(negative_advantage_if_solved(signals(X, solved=[1] * 7))) == pytest.approx(2 / 3, rel=1e-6)


weights_of_three = st.tuples(*[st.integers(0, 4)] * 3).filter(any)
episode_of = {1: st.lists(weights_of_three, min_size=5, max_size=5)}
episode_of[3] = st.lists(st.tuples(*[weights_of_three] * 3), min_size=5, max_size=5)
quick = hypothesis.settings(deadline=None, max_examples=60, derandomize=True)


def normalised(weights):
    weights = np.asarray(weights, np.float64)
    return weights / weights.sum(axis=-1, keepdims=True)


@quick
@hypothesis.given(episode_of[1])
def test_uncertainty_is_bounded_and_agrees_with_scipy(weights):
    policy = normalised(weights)
    given = signals(changed(X, policy=policy, policies=np.stack([policy, policy], axis=1)))
    got = {name: float(jitted[name](given)) for name in ("entropy", "least_confidence", "min_margin")}
    assert 0 <= got["entropy"] <= LOG3 + 1e-6
    assert 0 <= got["least_confidence"] <= 2 / 3 + 1e-6
    assert 0 <= got["min_margin"] <= 1 + 1e-6
    per_step = np.asarray([scipy.stats.entropy(row) for row in policy])
    assert got["entropy"] == pytest.approx((per_step[:2].mean() + per_step[2:].mean()) / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("row", "expected"),
    [(EVEN, (2 * LOG2, 3 / 4, 1.0)), (FIRST, (0.0, 0.0, 0.0)), (PAIR, (LOG2, 1 / 2, 1.0))],
)
def test_uncertainty_reaches_its_bounds(row, expected):
    given = signals(changed(X, policy=[row] * 5))
    np.testing.assert_allclose([f(given) for f in (entropy, least_confidence, min_margin)], expected, atol=1e-6)


@quick
@hypothesis.given(episode_of[3], st.permutations(range(3)))
def test_policy_disagreement_is_bounded_and_blind_to_the_order_of_the_heads(weights, order):
    policies = normalised(weights)  # [steps, P, A]
    given = signals(changed(X, policy=policies[:, 0], policies=policies))
    turned = signals(changed(X, policy=policies[:, 0], policies=policies[:, list(order)]))
    got = float(jitted["policy_disagreement"](given))
    assert 0 <= got <= LOG3 + 1e-6
    assert got == pytest.approx(float(jitted["policy_disagreement"](turned)), abs=1e-6)
    mixed = [scipy.stats.entropy(p.mean(axis=0)) - np.mean([scipy.stats.entropy(q) for q in p]) for p in policies]
    assert got == pytest.approx((np.mean(mixed[:2]) + np.mean(mixed[2:])) / 2, abs=1e-5)


def test_policy_disagreement_reaches_its_bounds():
    same, disjoint = [((0.3, 0.6, 0.1),) * 3] * 5, [np.eye(3)] * 5
    policy = [(0.3, 0.6, 0.1)] * 5
    assert float(policy_disagreement(signals(changed(X, policy=policy, policies=same)))) == pytest.approx(0, abs=1e-6)
    got = policy_disagreement(signals(changed(X, policy=policy, policies=disjoint)))
    assert float(got) == pytest.approx(LOG3, rel=1e-6)


def test_policy_disagreement_of_equal_heads_is_not_below_zero_by_rounding():
    # of most of these the difference of the two entropies is about −1e-7
    for policy in np.random.default_rng(0).dirichlet(np.ones(3), (20, 5)):
        got = jitted["policy_disagreement"](signals(changed(X, policy=policy, policies=np.stack([policy] * 3, axis=1))))
        assert 0 <= float(got) <= 1e-6


def test_value_disagreement_divides_by_the_number_of_heads():
    # heads 0, 3, 6: √((9 + 0 + 9)/3) = √6, and not √(18/2) = 3
    heads = jnp.broadcast_to(jnp.asarray([0.0, 3.0, 6.0])[None, None], (7, 1, 3))
    assert float(value_disagreement(signals(X, value_ensemble=heads))) == pytest.approx(math.sqrt(6), rel=1e-6)


def finished(outcomes, optimal=4.25):
    """Signals of a level on which each step is an episode with that return; solved if it is positive."""
    returns = jnp.asarray(outcomes, jnp.float32)
    count = returns.shape[0]
    episodes = summarise(jnp.ones(count, bool), returns[:, None], jnp.ones(count, jnp.int32), returns > 0)
    return Signals(
        ended=jnp.ones(count, bool),
        episodes=episodes,
        max_return=episodes.max_return,
        optimal_return=jnp.float32(optimal),
    )


@quick
@hypothesis.given(st.lists(st.booleans(), min_size=6, max_size=6))
def test_learnability_is_the_variance_of_success_and_at_most_a_quarter(solved):
    given = finished(solved)
    got = float(jitted["learnability"](given))
    assert got == pytest.approx(np.mean(solved) * (1 - np.mean(solved)), abs=1e-6)  # in place of p alone or 1 − p
    assert 0 <= got <= 0.25
    assert got == pytest.approx(float(jitted["return_variance"](given)), abs=1e-6)


def test_plug_in_learnability_is_too_small_by_the_factor_that_its_documentation_names():
    # p = ½, n = 2 episodes: outcomes 00, 01, 10, 11 are equally probable, p̂(1 − p̂) = 0, ¼, ¼, 0: mean ⅛ = ½ · ¼
    every = [[a, b] for a in (0, 1) for b in (0, 1)]
    for function in (learnability, return_variance):
        assert np.mean([float(function(finished(outcome))) for outcome in every]) == pytest.approx(1 / 8, abs=1e-6)


@quick
@hypothesis.given(st.lists(st.floats(-3, float(np.float32(0.91)), width=32), min_size=7, max_size=7))
def test_exact_regret_is_not_negative_if_no_return_exceeds_the_optimal_one(returns):
    optimal = float(np.float32(0.91))
    assert float(jitted["exact_regret"](finished(returns, optimal))) >= -1e-6
    assert float(exact_regret(finished([optimal] * 7, optimal))) == pytest.approx(0, abs=1e-6)


@quick
@hypothesis.given(st.floats(-4, 4), st.floats(0.01, 5))
def test_generalized_learnability_weighs_by_the_normal_density(mean, std):
    given = signals(X, mean_return_of_levels=jnp.float32(mean), std_return_of_levels=jnp.float32(std))
    got = float(jitted["generalized_learnability"](given))
    assert got == pytest.approx(2 * scipy.stats.norm.pdf(1, mean, std), rel=1e-3, abs=1e-5)


def test_generalized_learnability_compares_the_valid_levels_of_its_batch():
    # Mean returns 1 (of 3, −1), 4 (of 5, 3) and 0 (of 1, −1), σ_θ = 2, 1, 1; a level that finished nothing counts nothing.
    # μ = 5/3, σ² = (1 + 16 + 0)/3 − 25/9 = 26/9
    others = [changed(X, returns=[0, 5, 0, 0, 3]), changed(X, returns=[0, 1, 0, 0, -1])]
    unfinished = signals(changed(X, returns=[100] * 5), ended=[0] * 7)
    batch = stack(signals(X), signals(others[0]), unfinished, signals(others[1]))
    scores, valid, _ = score_levels(generalized_learnability, batch)
    density = scipy.stats.norm.pdf([1, 4, 0, 0], 5 / 3, math.sqrt(26 / 9))
    np.testing.assert_allclose(scores, density * [2, 1, 0, 1], rtol=1e-4)
    np.testing.assert_array_equal(valid, [True, True, False, True])


def test_generalized_learnability_of_levels_of_one_mean_return_goes_by_their_spread():
    # σ = 0 counts as the smallest: σ_θ / (10⁻³ √2π), for σ_θ = 2 and, of returns 1 and 1, 0
    scores, valid, _ = score_levels(
        generalized_learnability, stack(signals(X), signals(changed(X, returns=[0, 1, 0, 0, 1])))
    )
    np.testing.assert_allclose(scores, [2 / (SMALLEST_STD * math.sqrt(2 * math.pi)), 0], rtol=1e-5)
    assert valid.all()


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([1.0, 2.0, 6.0], 3.0),
        ([4.0, np.inf, np.inf], 4.0),
        ([np.inf] * 3, 1.0),  # nothing known: one standard deviation of the features
        ([0.0, 0.0, 0.0], 0.0),
        ([0.0, np.inf, np.inf], 0.0),  # a copy of the only known level
    ],
)
def test_novelty_is_the_mean_over_the_neighbours_that_are_there(distances, expected):
    got = novelty(signals(X, neighbour_distances=jnp.asarray(distances)))
    assert float(got) == pytest.approx(expected, rel=1e-6)


def test_a_distance_that_is_no_number_breaks_the_novelty():
    batch = stack(signals(X, neighbour_distances=jnp.asarray([1.0, jnp.nan, jnp.inf])))
    scores, valid, broken = score_levels(novelty, batch)
    assert (float(scores[0]), bool(valid[0]), bool(broken[0])) == (0.0, False, True)


def test_over_episodes_averages_agents_first():
    # agents 1 and 3 → 2 at every step; highest steps: agents (4, 0), (0, 4) → 2 and not 4
    per_step = jnp.broadcast_to(jnp.asarray([1.0, 3.0])[None], (7, 2))
    assert float(signals(X).over_episodes(per_step)) == pytest.approx(2.0, rel=1e-6)
    assert float(signals(X, ended=[0] * 7).over_episodes(per_step)) == 0.0
    crossed = jnp.asarray([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [9.0, 9.0], [9.0, 9.0]])
    assert float(signals(X, max_share=1.0).over_episodes(crossed)) == pytest.approx(2.0, rel=1e-6)


def test_over_episodes_weighs_episodes_not_steps():
    # a step of the short episode weighs ¼, one of the long ⅙: indicator of the short episode gives ½
    per_step = jnp.asarray([1.0, 1, 0, 0, 0, 9, 9])[:, None]
    assert float(signals(X).over_episodes(per_step)) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "generalized_learnability"])  # the batch decides
def test_a_score_made_under_jit_for_a_batch_is_that_of_each_level(name):
    function = registry.load("score", name)
    levels = signals(X), signals(Y, max_return=jnp.float32(9.0), parameter_change=jnp.float32(2.0))
    scores, _, _ = levels_by[name](stack(*levels), 0.0)
    np.testing.assert_allclose(scores, [function(level) for level in levels], rtol=1e-5, atol=1e-6)


def test_a_need_that_no_signal_meets_is_refused_at_once():
    with pytest.raises(UserError, match="vaules") as error:
        score(needs=("vaules",))
    assert "values" in str(error.value)
    assert "\n" not in str(error.value)


def test_validation_refuses_what_declares_nothing_or_needs_what_a_run_cannot_compute():
    missing = {"value_ensemble": "network.num_value_heads is 1; allowed: at least 2"}
    validate_score(max_mc, "max_mc", missing)
    validate_score(value_disagreement, "mine", {})
    with pytest.raises(UserError, match="'mine' declares no signals"):
        validate_score(undeclared_score, "mine", {})
    with pytest.raises(UserError, match=r"'mine' needs the signal value_ensemble: .*num_value_heads is 1.*at least 2"):
        validate_score(value_disagreement, "mine", missing)


@pytest.mark.parametrize("read", [lambda s: jnp.maximum(s.advantages, 0.0).sum(), lambda s: s.advantages.mean()])
def test_reading_a_signal_that_is_not_declared_is_told_in_one_line(read):
    """Though the batch holds it: a score must not work in one run and fail in the next."""

    @score(needs=("values",))
    def forgetful(given):
        return read(given)

    with pytest.raises(UserError, match=r"score 'forgetful' .*does not declare .*advantages") as error:
        score_levels(forgetful, stack(signals(X), signals(X)))
    assert "\n" not in str(error.value)


def test_decorated_score_is_the_function_itself_and_a_users_own_is_scored_like_any():
    @score(needs=("rewards",))
    def plain(given):
        return given.rewards.sum()

    assert needs_of(plain) == {"rewards"}
    assert float(plain(signals(X, tail=50.0))) == 102.0  # 1 + 2 − 1 + 50 + 50
    scores, valid, _ = score_levels(failure_rate, stack(signals(X), signals(X, ended=[0] * 7)))
    np.testing.assert_array_equal(scores, [0.5, 0.0])
    np.testing.assert_array_equal(valid, [True, False])


def test_a_score_that_is_not_one_number_is_told_in_one_line():
    @score(needs=("rewards",))
    def per_step(given):
        return given.rewards[:, 0]

    with pytest.raises(UserError, match=r"score 'per_step' returns \(7,\); allowed: one number"):
        score_levels(per_step, stack(signals(X), signals(X)))
