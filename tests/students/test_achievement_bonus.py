"""A bonus for what a step brings first, by hand: what is paid, for whom, and what the threshold leaves out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bonus_experience import experience_of
from toy_worlds import Corridor

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.students.bonuses.achievements import AchievementBonus
from minied.students.bonuses.base import Surroundings
from minied.students.flags import Flags

HERE = Surroundings(with_agent_axis(Corridor()))
# Two environments, three steps, three tasks: step 0 brings tasks 0 and 2 in the first, step 2 brings task 1 in the second.
ACHIEVED = np.zeros((3, 2, 3), bool)
ACHIEVED[0, 0, [0, 2]] = ACHIEVED[2, 1, 1] = True


def pay(mastery=None, present=None, num_agents=1, **options):
    bonus = AchievementBonus(coefficient=0.5, **options)
    experience = experience_of(3, 2, num_agents, present, achievements=Flags.of(jnp.asarray(ACHIEVED)))
    mastery = None if mastery is None else jnp.asarray(mastery)
    return bonus.pay(jax.random.key(0), bonus.init(jax.random.key(0), HERE), experience, mastery, HERE)


def test_fixed_pays_for_everything_and_dynamic_for_what_is_not_mastered():
    fixed = pay(dynamic=False)
    assert fixed.rewards[..., 0].tolist() == [[1.0, 0], [0, 0], [0, 0.5]]
    dynamic = pay([0.9, 0.0, 0.05])
    assert dynamic.rewards[..., 0].tolist() == [[0.5, 0], [0, 0], [0, 0.5]]
    # Of 6 steps: 3 achievements, 2 of them paid.
    assert [float(dynamic.metrics[name]) for name in ("achievements", "achievements_paid", "bonus")] == pytest.approx(
        [3 / 6, 2 / 6, 2 / 6 * 0.5]
    )
    assert dynamic.advantages is None


def test_what_is_done_as_often_as_the_threshold_is_mastered():
    below = np.nextafter(np.float32(0.25), np.float32(0))
    assert float(pay([0.25, 0.25, 0.25], threshold=0.25).rewards.sum()) == 0
    assert float(pay([below] * 3, threshold=0.25).rewards.sum()) == 1.5
    assert float(pay([0.0] * 3, threshold=0.0).rewards.sum()) == 0


def test_agents_that_are_not_there_are_paid_nothing():
    present = np.ones((3, 2, 2), bool)
    present[0, 0, 1] = False
    paid = pay(present=jnp.asarray(present), num_agents=2, dynamic=False)
    assert paid.rewards[0, 0].tolist() == [1.0, 0.0]
    assert paid.rewards[2, 1].tolist() == [0.5, 0.5]
    # 11 agent-steps; 2 achievements for one agent, 1 for two.
    assert float(paid.metrics["achievements"]) == pytest.approx(4 / 11)


@pytest.mark.parametrize("number", [1, 8, 9, 30])
def test_flags_are_packed_and_come_back(number):
    flags = jax.random.bernoulli(jax.random.key(number), shape=(4, 3, number))
    packed = Flags.of(flags)
    assert packed.bytes.shape == (4, 3, -(-number // 8))
    np.testing.assert_array_equal(packed.unpacked(), flags)
    part = jax.tree.map(lambda leaf: leaf[:, 1:], packed)
    np.testing.assert_array_equal(part.unpacked(), flags[:, 1:])


def test_what_the_teacher_does_not_know_is_told():
    with pytest.raises(UserError, match=r"^bonus.dynamic is True and the teacher does not know .* --bonus.no-dynamic"):
        pay()
    with pytest.raises(UserError, match=r"^info\['achievements'\] has 3 things and the teacher knows 2 tasks; allowed"):
        pay([0.0, 0.0])
    with pytest.raises(UserError, match=r"^threshold is 1.5; allowed: \[0, 1\]$"):
        AchievementBonus(threshold=1.5)
