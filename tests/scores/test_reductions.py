"""What a score takes of the steps of an episode: their mean, the first, the highest, or the sum."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.episodes import finished_step_weights, summarise
from minied.errors import UserError
from minied.scores import Signals, score_levels
from minied.scores.base import validate_reduction
from minied.scores.disagreement import value_disagreement
from minied.scores.learnability import learnability
from minied.scores.value_errors import l1_value_loss
from minied.teachers.pay import Pay

quick = hypothesis.settings(deadline=None, max_examples=40, derandomize=True)
# Two episodes, steps 0-1 and 2-4, and a tail of two steps.
ENDED = [0, 1, 0, 0, 1, 0, 0]
ADVANTAGES = [4, -2, 3, -1, 6, 1e9, 1e9]
BY_HAND = {
    "mean": ((4 + 2) / 2 + (3 + 1 + 6) / 3) / 2,
    "first": (4 + 3) / 2,
    "max": (4 + 6) / 2,
    "sum": ((4 + 2) + (3 + 1 + 6)) / 2,
}
REDUCTIONS: Any = tuple(BY_HAND)


def signals_of(ended, per_step):
    """Signals of one level, `per_step` `[T, N]` in place of advantages; two heads that differ by twice as much."""
    ended, per_step = jnp.asarray(ended, bool), jnp.asarray(per_step, jnp.float32)
    zeros = jnp.zeros(ended.shape[0])
    episodes = summarise(ended, zeros[:, None], zeros.astype(jnp.int32), zeros > 0)
    heads = jnp.stack([per_step, -per_step], axis=-1)
    return Signals(ended=ended, episodes=episodes, max_return=jnp.float32(0), advantages=per_step, value_ensemble=heads)


def batch_of(*signals):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *signals)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("function", [l1_value_loss, value_disagreement])
def test_by_hand(function, reduction):
    given = signals_of(ENDED, np.asarray(ADVANTAGES)[:, None])
    unfinished = signals_of([0] * 7, np.asarray(ADVANTAGES)[:, None])
    scores, valid, broken = score_levels(function, batch_of(given, unfinished), 0.0, reduction)
    assert float(scores[0]) == pytest.approx(BY_HAND[reduction], rel=1e-6)
    np.testing.assert_array_equal(valid, [True, False])
    assert not broken.any()


def test_agents_are_averaged_before_the_steps_are_reduced():
    # Agents 4 2 | 3 1 6 and 0 6 | 1 9 0: their means 2 4 | 2 5 3, of which first 2, max (4 + 5)/2, sum (6 + 10)/2
    second = [0, 6, 1, 9, 0, 1e9, 1e9]
    given = batch_of(signals_of(ENDED, np.stack([np.abs(ADVANTAGES), second], axis=1)))
    expected = {"mean": (3 + 10 / 3) / 2, "first": 2.0, "max": 4.5, "sum": 8.0}
    for reduction in REDUCTIONS:
        assert float(score_levels(l1_value_loss, given, 0.0, reduction)[0][0]) == pytest.approx(expected[reduction])


def reference(ended, per_step, reduction):
    """The same in plain Python."""
    of = {"mean": np.mean, "first": lambda steps: steps[0], "max": np.max, "sum": np.sum}[reduction]
    episodes, begun = [], 0
    for step, is_end in enumerate(ended):
        if is_end:
            episodes.append(of(per_step[begun : step + 1]))
            begun = step + 1
    return np.mean(episodes) if episodes else 0.0


reduced = {
    reduction: jax.jit(lambda signals, r=reduction: signals.replace(reduction=r).over_episodes(signals.advantages))
    for reduction in REDUCTIONS
}


@quick
@hypothesis.given(st.lists(st.tuples(st.booleans(), st.integers(-8, 8)), min_size=9, max_size=9))
def test_reductions_equal_plain_python(steps):
    ended, per_step = [end for end, _ in steps], np.asarray([value for _, value in steps], np.float32)
    given = signals_of(ended, per_step[:, None])
    for reduction, function in reduced.items():
        np.testing.assert_allclose(function(given), reference(ended, per_step, reduction), rtol=1e-5, atol=1e-6)


@quick
@hypothesis.given(st.lists(st.booleans(), min_size=7, max_size=7))
def test_weights_of_steps(ended):
    weights = {of: np.asarray(finished_step_weights(jnp.asarray(ended), of)) for of in ("mean", "first", "sum")}
    number = sum(ended)
    length = max((i + 1 for i, end in enumerate(ended) if end), default=0)  # of all finished episodes together
    total = {"mean": min(number, 1), "first": min(number, 1), "sum": length / max(number, 1)}
    for of, weight in weights.items():
        assert weight.sum() == pytest.approx(total[of], rel=1e-6)
        assert (weight[length:] == 0).all()
    assert (weights["first"] > 0).sum() == number


def test_what_does_not_go_by_steps_is_not_told_how_to():
    with pytest.raises(UserError, match=r"^teacher.pay.reduction is max; allowed: mean, as 'learnability' does not go"):
        validate_reduction(learnability, "learnability", 0.0, "max", "teacher.pay.")
    with pytest.raises(UserError, match=r"^teacher.score_max_share is 0.5; allowed: 0, as 'learnability' does not go"):
        validate_reduction(learnability, "learnability", 0.5, "mean", "teacher.score_")
    with pytest.raises(UserError, match=r"^teacher.pay.max_share is 0.5; allowed with teacher.pay.reduction 'sum': 0$"):
        validate_reduction(l1_value_loss, "l1_value_loss", 0.5, "sum", "teacher.pay.")
    validate_reduction(l1_value_loss, "l1_value_loss", 0.5, "mean", "teacher.pay.")
    validate_reduction(l1_value_loss, "l1_value_loss", 0.0, "sum", "teacher.pay.")
    unknown: Any = "median"
    with pytest.raises(UserError, match=r"^reduction is 'median'; allowed: mean, first, max, sum$"):
        Pay(reduction=unknown)
