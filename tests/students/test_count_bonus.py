"""A bonus for states that were seldom seen, against a count by hand, on one device and on two."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bonus_experience import experience_of
from toy_worlds import Corridor

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.spread import ALONE, Spread
from minied.students.bonuses.base import Surroundings
from minied.students.bonuses.counts import CountBonus, Counts, filled

TWO = Spread("environments", 2)
BONUS = CountBonus(coefficient=2.0, table_size=10)
CORRIDOR, KEY = with_agent_axis(Corridor()), jax.random.key(0)


def hashes(rows):
    """Hashes ``u32[T, B, 2]``."""
    return jnp.asarray(rows, jnp.uint32)


def pay(counts, words, spread=ALONE, bonus=BONUS):
    """The counts after a rollout, and what one agent is paid, ``f32[T, B]``."""
    experience = experience_of(*words.shape[:2], novelty=words)
    paid = bonus.pay(KEY, counts, experience, None, Surroundings(CORRIDOR, spread=spread))
    assert paid.advantages is None
    return paid.state, paid.rewards[..., 0]


def nothing(bonus=BONUS):
    return bonus.init(KEY, Surroundings(CORRIDOR))


def test_by_hand():
    # Slots 1 and 7, 2 and 8, 3 and 9. In the first rollout the first state is seen three times, the second once.
    a, b, c = (1, 17), (12, 28), (103, 9)
    counts, bonus = pay(nothing(), hashes([[a, b], [a, a]]))
    assert counts.slots.tolist() == [[0, 3, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 3, 1, 0]]
    np.testing.assert_allclose(bonus, [[2 / 3**0.5, 2], [2 / 3**0.5, 2 / 3**0.5]], rtol=1e-6)
    # In the second rollout once more, with a state that was never seen: 4 and 1.
    counts, bonus = pay(counts, hashes([[a, c]]))
    np.testing.assert_allclose(bonus, [[2 / 2, 2]], rtol=1e-6)
    assert counts.slots[0].tolist() == [0, 4, 1, 1, 0, 0, 0, 0, 0, 0]


def test_states_that_meet_in_one_row_are_told_apart_by_the_other_and_in_both_they_are_one():
    a, half, twin = (1, 1), (11, 2), (21, 31)  # in the first row they all have slot 1
    _, bonus = pay(nothing(), hashes([[a, half]]))
    np.testing.assert_allclose(bonus, [[2, 2]])
    _, bonus = pay(nothing(), hashes([[a, twin]]))
    np.testing.assert_allclose(bonus, [[2 / 2**0.5, 2 / 2**0.5]], rtol=1e-6)


def test_counts_stay_at_the_highest_number():
    most = 2**32 - 1
    counts = Counts(jnp.full((2, 10), most - 1, jnp.uint32))
    counts, bonus = pay(counts, hashes([[(1, 1), (1, 1), (1, 1), (2, 2)]]))
    assert counts.slots[:, 1:4].tolist() == [[most, most, most - 1]] * 2
    assert np.all(np.asarray(bonus) > 0)


def test_on_two_devices_the_counts_are_those_of_both():
    words = jax.random.randint(jax.random.key(0), (6, 8, 2), 0, 4).astype(jnp.uint32)
    counts, expected = pay(nothing(), words)

    def on_each(words):
        counts, bonus = pay(nothing(), TWO.part(words, axis=1), TWO)
        return counts, TWO.whole(bonus, axis=1)

    found = jax.jit(functools.partial(TWO.run, on_each, specs=(jax.P(),), out=jax.P()))((words,))
    np.testing.assert_array_equal(found[0].slots, counts.slots)
    np.testing.assert_array_equal(found[1], expected)


def test_how_full_the_table_is():
    counts, _ = pay(nothing(), hashes([[(1, 17), (12, 28), (103, 28)]]))
    assert float(filled(counts)) == pytest.approx(5 / 20)  # slots 1, 2, 3 of the first row, 7 and 8 of the second


def test_the_default_table_holds_the_states_of_a_long_run():
    """100,000 of them, a tenth of the slots: 99 of 100 that are seen once are told as new."""
    bonus = CountBonus(coefficient=1.0)
    words = jax.random.bits(jax.random.key(0), (100, 1000, 2), jnp.uint32)
    counts, paid = jax.jit(lambda words: pay(nothing(bonus), words, bonus=bonus))(words)
    assert float(filled(counts)) == pytest.approx(1 - np.exp(-0.1), abs=0.01)
    assert float(jnp.mean(paid == 1.0)) > 0.985  # 1 - (1 - exp(-0.1))^2 = 0.991


def test_bad_options():
    with pytest.raises(UserError, match=r"^reward_weight is -1.0; allowed: \[0, ∞\)$"):
        CountBonus(coefficient=1.0, reward_weight=-1.0)
    with pytest.raises(
        UserError, match=r"^reward_weight is 0.0; allowed with coefficient 0: more than 0, as nothing else is paid$"
    ):
        CountBonus(coefficient=0.0, reward_weight=0.0)
    with pytest.raises(UserError, match=r"^coefficient is -1.0; allowed: \[0, ∞\)$"):
        CountBonus(coefficient=-1.0)
    with pytest.raises(UserError, match=r"^table_size is 0; allowed: 1 to 67108864$"):
        CountBonus(table_size=0)
