"""Levels chosen by a few numbers: what an author writes, and the designer that is made of it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_designers import CorridorParameters

from minied.errors import UserError
from minied.levels.parameters import Choice, Interval, ParameterDesigner, Parameters
from minied.spaces import Discrete

DESIGNER = ParameterDesigner(CorridorParameters(length=5), num_bins=4)


def play(actions, key=0, designer=DESIGNER):
    """The observations before each step and after the last, and the last state."""
    reset_key, *keys = jax.random.split(jax.random.key(key), len(actions) + 1)
    observation, state = designer.reset(reset_key, designer.empty())
    observations = [observation]
    for each, action in zip(keys, actions, strict=True):
        observation, state, reward, terminated, truncated, info = designer.step(each, state, jnp.int32(action), None)
        observations.append(observation)
        assert bool(terminated) == (int(state.time) == designer.max_steps)
        assert (float(reward), bool(truncated)) == (0.0, False)
        assert int(info["level"].start) == int(designer.level_of(state).start)
    return observations, state


def test_spaces():
    # 2 halves, 5 cells, 4 bins: one-hot side by side; the longest has 5
    assert (DESIGNER.max_steps, DESIGNER.action_space) == (3, Discrete(5))
    parts: Any = DESIGNER.observation_space.parts
    assert {name: space.shape for name, space in parts} == {
        "time": (), "chosen": (2 + 5 + 4,), "mask": (5,),
    }  # fmt: skip
    for observation in play([1, 3, 2])[0]:
        assert DESIGNER.observation_space.contains(observation)


def test_each_step_chooses_a_parameter_and_sees_those_before():
    observations, state = play([1, 3, 2])
    chosen = [np.flatnonzero(each["chosen"]).tolist() for each in observations]
    assert chosen == [[], [1], [1, 2 + 3], [1, 2 + 3, 2 + 5 + 2]]
    assert [int(each["time"]) for each in observations] == [0, 1, 2, 3]
    np.testing.assert_array_equal(state.choices, [1, 3, 2])
    np.testing.assert_array_equal(state.values[:2], [1, 3])
    assert 1 <= float(state.values[2]) <= 2  # the third quarter of −1 … 3
    assert int(DESIGNER.level_of(state).start) == 1 + 3


def test_masks_leave_what_the_author_allows_given_what_was_chosen():
    near, _ = play([0, 1, 0])
    far, _ = play([1, 3, 0])
    # halves; of 5 cells those below or from 5 // 2 = 2; bins; all padded to 5 actions
    expected = {"near": [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]], "far": [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]}
    np.testing.assert_array_equal([each["mask"] for each in near[:3]], expected["near"])
    np.testing.assert_array_equal([each["mask"] for each in far[:2]], expected["far"])


def test_a_number_of_an_interval_is_uniform_within_its_bin():
    draws = np.asarray(jax.vmap(lambda key: _slope(key))(jax.random.split(jax.random.key(0), 2000)))
    for number, found in enumerate(draws.T):
        low = -1.0 + number  # bins of width 1
        assert (found >= low).all()
        assert (found <= low + 1).all()
        assert found.mean() == pytest.approx(low + 0.5, abs=4 / np.sqrt(12 * 2000))
        assert found.var() == pytest.approx(1 / 12, rel=0.1)


def test_a_number_of_an_interval_never_exceeds_its_upper_end():
    # −1 + 1.1 · (15 + (1 − 2⁻²³)) / 16 rounds to 0.10000002
    designer = ParameterDesigner(Ends(), num_bins=16)
    value = designer._value(Interval("a", -1.0, 0.1), jnp.int32(15), jnp.float32(1 - 2**-23))
    assert float(value) == np.float32(0.1)


def _slope(key):
    _, state = DESIGNER.reset(key, DESIGNER.empty())
    state = state.replace(time=jnp.int32(2))
    return jnp.stack([DESIGNER.build(key, state, jnp.int32(number))[1].values[2] for number in range(4)])


@dataclasses.dataclass(frozen=True)
class Ends(Parameters):
    @property
    def parts(self):
        return (Interval("a", -1.0, 0.1),)

    def level(self, key, values):
        return values


@dataclasses.dataclass(frozen=True)
class Open(Parameters):
    """What its numbers leave open is random."""

    @property
    def parts(self):
        return Choice("a", 1), Choice("b", 2)

    def level(self, key, values):
        return jax.random.uniform(key), values


def test_means_of_what_was_chosen():
    # halves 0 1 1; cells 0 3 4; of the quarters of −1 … 3 the first, the third and the third again: −0.5, 1.5, 1.5
    means = DESIGNER.means(jnp.asarray([[0, 1, 1], [0, 3, 4], [0, 2, 2]]))
    assert {name: pytest.approx(float(mean)) for name, mean in means.items()} == {
        "half": 2 / 3, "cell": 7 / 3, "slope": 2.5 / 3,
    }  # fmt: skip


def test_what_parameters_leave_open_is_drawn_once_a_design():
    designer = ParameterDesigner(Open())
    (first, _), state = designer.level_of(designer.reset(jax.random.key(1), designer.empty())[1]), None
    for key in (1, 2):
        _, begun = designer.reset(jax.random.key(key), designer.empty())
        levels = [designer.level_of(begun)]
        state = begun
        for action in (0, 1):
            _, state = designer.build(jax.random.key(9), state, jnp.int32(action))
            levels.append(designer.level_of(state))
        assert len({float(random) for random, _ in levels}) == 1  # the same throughout
        assert (float(levels[0][0]) == float(first)) == (key == 1)
        np.testing.assert_array_equal(levels[-1][1], [0, 1])
        # not chosen yet: 0
        np.testing.assert_array_equal(levels[0][1], [0, 0])
    assert np.asarray(designer.reset(jax.random.key(0), designer.empty())[0]["mask"]).tolist() == [True, False]


def test_what_is_not_chosen_yet_is_the_lower_end():
    _, state = DESIGNER.reset(jax.random.key(0), DESIGNER.empty())
    np.testing.assert_array_equal(state.values, [0, 0, -1])


def test_bad_parameters_are_told():
    with pytest.raises(UserError, match=r"^the parameter 'cell' has number 0; allowed: at least 1$"):
        Choice("cell", 0)
    for low, high in ((1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(UserError, match=f"^the parameter 'slope' goes from {low} to {high}; allowed: low < high"):
            Interval("slope", low, high)
    wrong = ParameterDesigner(CorridorParameters(length=5, wrong=True))
    told = r"^allowed of CorridorParameters gives \[2\] for the parameter 'cell'; allowed: one bool for each of its 5"
    with pytest.raises(UserError, match=told):
        wrong.reset(jax.random.key(0), wrong.empty())


class Named(Parameters):
    """Parameters whose parts are what a test says, right or wrong."""

    def __init__(self, parts):
        self.given = parts

    @property
    def parts(self):
        return self.given

    def level(self, key, values):
        return values


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (Named, "allowed: an instance of minied.levels.parameters.Parameters"),  # the class and no instance of it
        (Named(Choice("a", 2)), "allowed: a tuple of Choice and Interval"),  # a comma forgotten
        (Named((("a", 2),)), "allowed: a tuple of Choice and Interval"),
        (Named(()), "allowed: at least one, no name twice"),
        (Named((Choice("a", 2), Interval("a", 0.0, 1.0))), "named ['a', 'a']; allowed: at least one, no name twice"),
    ],
    ids=["class", "no-tuple", "no-part", "empty", "twice"],
)
def test_what_is_no_set_of_parameters_is_told(parameters, words):
    with pytest.raises(UserError) as told:
        ParameterDesigner(parameters)
    assert words in str(told.value)
    assert "\n" not in str(told.value)
