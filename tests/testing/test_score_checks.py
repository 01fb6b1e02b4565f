"""Every score of minied passes; each mistake that a score can make is caught by the check that is there for it."""

import jax.numpy as jnp
import pytest

from minied import registry
from minied.scores import score
from minied.testing import check_score
from minied.testing.score import SCORE_CHECKS

QUICK = ("max_mc", "learnability", "generalized_learnability", "population_regret")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in registry.names("score")]
)
def test_a_score_of_minied_passes(name):
    report = check_score(registry.load("score", name), name).require()
    assert len(report.findings) == len(SCORE_CHECKS)


@score(needs=("values",))
def reads_what_it_does_not_declare(signals):
    return signals.over_episodes(signals.advantages)


@score(needs=("advantages",))
def one_number_a_step(signals):
    return signals.advantages.mean(axis=-1)


@score(needs=("advantages",))
def divides_by_nothing(signals):
    return jnp.log(jnp.zeros(())) * signals.over_episodes(signals.advantages)


@score(needs=("advantages",))
def counts_the_unfinished_tail(signals):
    return signals.advantages.mean()


@score(needs=("advantages", "ended"))
def counts_who_is_absent(signals):
    last = jnp.where(signals.ended.any(), jnp.arange(signals.ended.shape[0])[::-1][jnp.argmax(signals.ended[::-1])], -1)
    counts = jnp.arange(signals.ended.shape[0]) <= last
    return jnp.where(counts, signals.advantages.mean(axis=-1), 0.0).sum()


@score(needs=("advantages",))
def says_the_same_of_all(signals):
    return jnp.float32(1.0)


def undeclared(signals):
    return jnp.float32(0.0)


_CALLS = [0]


@score(needs=("advantages",))
def remembers(signals):
    _CALLS[0] += 1
    return signals.over_episodes(signals.advantages) + _CALLS[0]


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        (reads_what_it_does_not_declare, "declares"),
        (one_number_a_step, "declares"),
        (undeclared, "declares"),
        (divides_by_nothing, "finite"),
        (counts_the_unfinished_tail, "unfinished_episodes"),
        (counts_who_is_absent, "absent_agents"),
        (says_the_same_of_all, "tells_levels_apart"),
        (remembers, "jit"),
    ],
)
def test_a_planted_mistake_is_caught(planted, check):
    finding = check_score(planted).of(check)
    assert finding.verdict == "failed"
    assert finding.breaks


@score(needs=("advantages",))
def no_number_anywhere(signals):
    return jnp.float32(jnp.nan) * signals.over_episodes(signals.advantages)


def test_where_no_score_counts_levels_are_not_compared():
    report = check_score(no_number_anywhere)
    assert report.of("finite").verdict == "failed"
    assert report.of("tells_levels_apart").verdict == "skipped"


def test_an_error_without_a_line_of_its_own_is_at_the_score():
    """Nothing of the author is in the traceback of a refusal: the score itself is named."""
    finding = check_score(undeclared).of("declares")
    assert "test_score_checks.py:" in finding.where


@score(needs=("advantages",))
def asymmetric(signals):
    return signals.over_episodes(signals.advantages * jnp.array([[1.0, 2.0]]))


def test_what_is_unusual_and_allowed_is_noted():
    assert check_score(asymmetric).of("order_of_agents").verdict == "noted"
