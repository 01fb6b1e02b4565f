"""What a `Spread` divides and brings together again, and which one a run gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spread_runs import TWO, config_of

from minied.errors import UserError
from minied.spread import ALONE, LEAST_ROWS, Spread, best_spread, spread_of
from minied.train.program import Program

# -- parts and wholes --------------------------------------------------------------------------------------------------


def on_two(function, *arguments, out=None):
    return TWO.run(
        function, arguments, tuple(jax.P() for _ in arguments), jax.P("environments") if out is None else out
    )


def test_parts_are_equal_parts_of_each_group_and_come_together_again():
    # Two groups of 4: device 0 holds the first two of each, device 1 the others.
    leaf = jnp.arange(8, dtype=jnp.int32)
    np.testing.assert_array_equal(on_two(lambda x: TWO.part(x, 2), leaf), [0, 1, 4, 5, 2, 3, 6, 7])
    np.testing.assert_array_equal(on_two(lambda x: TWO.part(x), leaf), leaf)
    wide = jnp.arange(24, dtype=jnp.int32).reshape(3, 8)
    for groups in (1, 2, 4):
        again = on_two(lambda x, g=groups: TWO.whole(TWO.part(x, g, axis=1), g, axis=1), wide, out=jax.P())
        np.testing.assert_array_equal(again, wide)
        again = on_two(lambda x, g=groups: TWO.whole(TWO.part(x, g), g), wide.T, out=jax.P())
        np.testing.assert_array_equal(again, wide.T)


def test_means_and_highest_values_are_of_both_devices():
    mine = lambda x: TWO.part(x).sum()  # noqa: E731, of (1, 2, 3, 6): 3 and 9
    leaf = jnp.asarray([1.0, 2.0, 3.0, 6.0])
    np.testing.assert_array_equal(on_two(lambda x: TWO.mean(mine(x)), leaf, out=jax.P()), 6.0)
    np.testing.assert_array_equal(on_two(lambda x: TWO.highest(mine(x)), leaf, out=jax.P()), 9.0)
    np.testing.assert_array_equal(on_two(lambda x: TWO.highest(-mine(x)), leaf, out=jax.P()), -3.0)


@pytest.mark.parametrize("axis", ["members", "environments"])
@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
def test_any_is_of_all_devices(flags, axis):
    """Of all, and on all: a device that went on alone would wait for the other for ever."""
    spread = Spread(axis, 2)
    ask = lambda x: spread.any(x[0])[None]  # noqa: E731
    found = spread.run(ask, (jnp.asarray(flags),), (jax.P(axis),), jax.P(axis))
    assert found.tolist() == [any(flags)] * 2


@pytest.mark.parametrize("values", [(float("nan"), 1.0), (1.0, float("nan"))])
def test_what_is_no_number_on_one_device_is_not_lost_in_the_highest(values):
    found = on_two(lambda x: TWO.highest(TWO.part(x).sum()), jnp.asarray(values), out=jax.P())
    assert float(found) == float("inf")


@pytest.mark.parametrize("spread", [ALONE, Spread("members", 2)], ids=["alone", "members"])
def test_what_is_not_divided_is_left_as_it_is(spread):
    leaf = jnp.arange(5)
    assert spread.part(leaf, 2) is leaf
    assert spread.whole(leaf) is leaf
    assert spread.mean(leaf) is leaf
    assert spread.highest(leaf) is leaf
    assert spread.shares(5) == 1
    flag = jnp.bool_(True)
    assert ALONE.any(flag) is flag


def test_shares_are_refused_where_they_are_not_equal():
    assert TWO.shares(6) == 2
    with pytest.raises(ValueError, match="5 environments cannot be divided among 2 devices"):
        TWO.shares(5)


# -- which spread ------------------------------------------------------------------------------------------------------


ENOUGH = 4 * LEAST_ROWS


@pytest.mark.parametrize(
    ("available", "num_devices", "num_members", "num_envs", "num_minibatches", "expected"),
    [
        # asked for: members if they divide, else the environments of a minibatch, however few
        (4, 1, 4, ENOUGH, 1, ALONE),
        (4, 2, 4, ENOUGH, 1, Spread("members", 2)),
        (4, 4, 4, 3, 1, Spread("members", 4)),
        (4, 2, 1, 2, 1, Spread("environments", 2)),
        (4, 4, 2, 8, 2, Spread("environments", 4)),
        (4, 2, 3, 6, 3, Spread("environments", 2)),
        # more than there are cores: what is asked for is given here, and refused by `spread_of` if devices lack
        (1, 2, 1, 8, 1, Spread("environments", 2)),
        # left to us: as many as divide the work
        (1, 0, 8, ENOUGH, 1, ALONE),
        (4, 0, 8, ENOUGH, 1, Spread("members", 4)),
        (4, 0, 2, ENOUGH, 1, Spread("environments", 4)),
        (4, 0, 3, 9, 1, Spread("members", 3)),
        (4, 0, 6, 1, 1, Spread("members", 3)),
        (4, 0, 1, ENOUGH, 1, Spread("environments", 4)),
        # eight rows a device at least, unless they are members
        (4, 0, 1, ENOUGH - 1, 1, Spread("environments", 3) if (ENOUGH - 1) % 3 == 0 else ALONE),
        (4, 0, 1, ENOUGH - 2, 1, Spread("environments", 3) if (ENOUGH - 2) % 3 == 0 else Spread("environments", 2)),
        (4, 0, 1, 2 * LEAST_ROWS, 1, Spread("environments", 2)),
        (4, 0, 1, 2 * LEAST_ROWS - 2, 1, ALONE),
        # minibatches are what is divided
        (4, 0, 1, ENOUGH, ENOUGH // 2, Spread("environments", 2)),
        (4, 0, 1, ENOUGH, ENOUGH, ALONE),
        # nothing divides
        (2, 0, 1, 33, 1, ALONE),
    ],
)
def test_choice_of_the_spread(available, num_devices, num_members, num_envs, num_minibatches, expected):
    assert best_spread(available, num_devices, num_members, num_envs, num_minibatches) == expected


def assert_one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message
    for word in (*words, "allowed"):
        assert word in message, message


def test_devices_that_divide_nothing_are_refused_in_one_line():
    for function in (best_spread, lambda _, *numbers: spread_of(*numbers)):
        with pytest.raises(UserError) as error:
            function(2, 2, 3, 10, 2)
        assert_one_line(error, "num_devices is 2", "num_seeds = 3", " 5", "divisor")
    with pytest.raises(UserError) as error:
        Program(config_of(num_devices=2, num_envs=5))
    assert_one_line(error, "num_devices is 2", "num_seeds = 1", " 5")


def test_more_devices_than_there_are_are_refused_in_one_line():
    available = len(jax.devices())
    for call in (
        lambda: spread_of(available + 1, 1, 12, 1),
        lambda: Program(config_of(num_devices=available + 1, num_envs=12)),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert_one_line(error, f"num_devices is {available + 1}", f"at most {available}", "JAX_NUM_CPU_DEVICES=N")
    with pytest.raises(UserError) as error:
        config_of(num_devices=-1)
    assert_one_line(error, "num_devices is -1", "at least 0")


def test_a_run_takes_the_devices_of_its_process_where_they_serve_it():
    assert jax.default_backend() == "cpu"
    assert len(jax.devices()) == 2, "see conftest"
    assert spread_of(0, 1, 2 * LEAST_ROWS, 1) == TWO
    assert spread_of(0, 1, 2 * LEAST_ROWS - 2, 1) == ALONE
    assert spread_of(0, 2, 1, 1) == Spread("members", 2)
    assert Program(config_of(num_devices=0, num_envs=2 * LEAST_ROWS))._setting.spread == TWO
