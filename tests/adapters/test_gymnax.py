"""Environments of gymnax as worlds, compared with gymnax itself step for step."""

import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax_plays import CARTPOLE, gymnax_plays, level_of, play, require_equal_play

from minied.adapters.gymnax import Gymnax
from minied.adapters.gymnax_levels import GymnaxLevel
from minied.errors import UserError
from minied.spaces import Box, Discrete, MultiDiscrete


def test_cart_pole_with_other_physics_is_gymnax_with_those_parameters_and_what_follows_from_them():
    _, parameters = gymnax.make("CartPole-v1")
    # total_mass = 1.0 + 0.4, polemass_length = 0.4 * 0.75
    parameters = parameters.replace(
        masspole=0.4, length=0.75, force_mag=14.0, total_mass=1.4, polemass_length=0.3, max_steps_in_episode=20
    )
    world = Gymnax(vary=CARTPOLE.vary, max_steps=20)
    level = level_of(world, key=3, masspole=0.4, length=0.75, force_mag=14.0)
    alternating = jnp.arange(20, dtype=jnp.int32) % 2
    assert require_equal_play(world, parameters, level, jax.random.key(3), alternating) == 20  # to the time-out
    assert require_equal_play(world, parameters, level, jax.random.key(3), jnp.ones(20, jnp.int32)) < 20  # it falls


def test_a_step_by_hand():
    # theta = 0.1, all else 0, push to the right: masspole 0.5 and length 1, so total_mass 1.5 and polemass_length 0.5.
    # temp = 10 / 1.5 = 6.66667; sin = 0.0998334, cos = 0.995004
    # thetaacc = (9.8 * 0.0998334 - 0.995004 * 6.66667) / (1 * (4/3 - 0.5 * 0.990033 / 1.5))
    #          = -5.654989 / 1.003322 = -5.636265
    # xacc = 6.66667 + 0.5 * 5.636265 * 0.995004 / 1.5 = 8.536032
    world = Gymnax(vary=("masspole=0.05:0.5", "length=0.25:1"))
    level = level_of(world, masspole=0.5, length=1.0)
    _, state = world.reset(jax.random.key(0), level)
    zero = jnp.float32(0)
    inner = state.inner.replace(x=zero, x_dot=zero, theta=jnp.float32(0.1), theta_dot=zero)
    observation, _, reward, terminated, truncated, _ = world.step(
        jax.random.key(0), state.replace(inner=inner), jnp.int32(1), level
    )
    np.testing.assert_allclose(observation, [0, 0.02 * 8.536032, 0.1, 0.02 * -5.636265], rtol=1e-5, atol=1e-7)
    assert (float(reward), bool(terminated), bool(truncated)) == (1.0, False, False)


def test_pendulum_is_cut_into_bins():
    world = Gymnax(id="Pendulum-v1", vary=("l=0.5:2",), max_steps=20)
    assert world.action_space == Discrete(5)
    _, parameters = gymnax.make("Pendulum-v1")
    parameters = parameters.replace(l=1.5, max_steps_in_episode=20)
    actions = jnp.arange(20, dtype=jnp.int32) % 5
    torques = jnp.asarray([-2.0, -1.0, 0.0, 1.0, 2.0])[actions][:, None]
    assert require_equal_play(world, parameters, level_of(world, 4, l=1.5), jax.random.key(4), actions, torques) == 20
    wide = Gymnax(id="Pendulum-v1", vary=("max_torque=1:4",), action_bins=3)
    np.testing.assert_allclose([wide.taken(jnp.int32(i))[0] for i in range(3)], [-4, 0, 4])  # the widest of any level
    assert Gymnax(id="PointRobot-misc", action_bins=3).action_space == MultiDiscrete((3, 3))


def test_time_outs_are_not_ends():
    world = Gymnax(id="MountainCar-v0", max_steps=4)
    _, (_, _, terminated, truncated) = play(world, world.level_space.sample(jax.random.key(0)), jax.random.key(1),
                                            jnp.zeros(6, jnp.int32))  # fmt: skip
    assert not terminated.any()
    assert truncated.tolist() == [False, False, False, True, True, True]  # it goes on: nothing resets itself
    assert Gymnax(id="MountainCar-v0").max_steps == 200
    assert Gymnax(id="DeepSea-bsuite", set=("size=10",)).max_steps == 10


def test_an_end_at_the_last_step_is_no_time_out():
    world = Gymnax(id="DeepSea-bsuite")  # its episodes are as long as its limit
    assert (
        require_equal_play(world, world.fixed_parameters, level_of(world), jax.random.key(0), jnp.zeros(8, jnp.int32))
        == 8
    )
    env, parameters = gymnax.make("DeepSea-bsuite")
    _, (_, _, terminated, truncated) = gymnax_plays(
        env, parameters, jax.random.key(0), jax.random.key(1), jnp.zeros(8, int)
    )
    assert bool(terminated[-1] & truncated[-1])  # gymnax says both
    _, (_, _, terminated, truncated) = play(world, level_of(world), jax.random.key(1), jnp.zeros(8, jnp.int32))
    assert terminated.tolist() == [False] * 7 + [True]
    assert not truncated.any()


def test_the_level_alone_decides_the_start():
    reset = jax.jit(CARTPOLE.reset)
    level = level_of(CARTPOLE, 1, masspole=0.1, length=0.5, force_mag=10.0)
    first, state = reset(jax.random.key(0), level)
    for each, other in zip(
        jax.tree.leaves((first, state)), jax.tree.leaves(reset(jax.random.key(7), level)), strict=True
    ):
        np.testing.assert_array_equal(each, other)
    np.testing.assert_array_equal(first, CARTPOLE.made.env.reset_env(jax.random.key(1), CARTPOLE.fixed_parameters)[0])
    elsewhere, _ = reset(jax.random.key(0), level.replace(start=level_of(CARTPOLE, 2).start))
    assert not np.array_equal(first, elsewhere)


def test_where_all_starts_are_one_levels_have_one():
    fixed = Gymnax(id="FourRooms-misc", vary=("fail_prob=0:0.5",))
    assert not fixed.starts_differ
    level = fixed.level_space.mutate(jax.random.key(1), fixed.level_space.sample(jax.random.key(0)))
    assert level.start.tolist() == [0, 0]
    assert float(level.numbers["fail_prob"]) != float(fixed.level_space.sample(jax.random.key(0)).numbers["fail_prob"])
    assert Gymnax(id="FourRooms-misc", set=("resample_goal_pos=true",)).starts_differ
    assert Gymnax(id="FourRooms-misc", vary=("resample_goal_pos",)).starts_differ  # on some levels
    single = Gymnax(id="FourRooms-misc").level_space.suite("sampled")[0]
    assert len(single.names) == 1
    with pytest.raises(UserError, match="which has one start: zeros"):
        fixed.level_space.from_text('{"numbers.fail_prob": 0.25, "start": [0, 1]}')


def test_observations_are_arrays_that_a_network_reads():
    names = ("Catch-bsuite", "FrozenLake-misc", "SimpleBandit-bsuite", "FourRooms-misc")
    catch, lake, bandit, rooms = (Gymnax(id=name) for name in names)
    assert catch.observation_space == Box(0.0, 1.0, (10, 5, 1))
    level = level_of(catch, 8)
    first, _ = catch.reset(jax.random.key(0), level)
    np.testing.assert_array_equal(first[..., 0], catch.made.env.reset_env(jax.random.key(8), catch.fixed_parameters)[0])
    assert lake.observation_space == Discrete(16)
    first, _ = lake.reset(jax.random.key(0), level_of(lake))
    assert (first.dtype, first.shape) == (jnp.int32, ())
    assert bandit.observation_space.shape == (1,)  # too small for an image
    first, _ = rooms.reset(jax.random.key(0), level_of(rooms))
    assert first.dtype == jnp.float32  # gymnax's are integers in a box of f32
    assert first.tolist() == [4.0, 1.0, 8.0, 9.0]
    assert Gymnax(id="MNISTBandit-bsuite" if False else "Breakout-MinAtar").observation_space == Box(
        0.0, 1.0, (10, 10, 4)
    )


def test_one_program_for_all_levels_and_equal_worlds():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def run(world, level, key):
        traces.append(1)
        return play(world, level, key, jnp.ones(3, jnp.int32))

    for index in range(3):
        world = Gymnax(vary=CARTPOLE.vary)
        level = world.level_space.sample(jax.random.key(index))
        run(world, level, jax.random.key(index))
    read = world.level_space.from_text(world.level_space.to_text(level))
    run(world, world.level_space.mutate(jax.random.key(9), read), jax.random.key(0))
    assert len(traces) == 1


def test_compiled_batched_and_plain_agree_and_no_key_is_used_twice():
    space, actions = CARTPOLE.level_space, jnp.asarray([0, 1, 1, 0, 1], jnp.int32)
    keys = jax.random.split(jax.random.key(2), (3, 3))
    with jax.debug_key_reuse(True):
        levels = jax.jit(jax.vmap(space.sample))(keys[0])
        levels = jax.jit(jax.vmap(space.mutate))(keys[1], levels)
        batch = jax.jit(jax.vmap(lambda level, key: play(CARTPOLE, level, key, actions)))(levels, keys[2])
    for index in range(3):
        level = jax.tree.map(lambda leaf: leaf[index], levels)  # noqa: B023
        alone = play(CARTPOLE, level, keys[2, index], actions)
        for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one[index], other, rtol=1e-5, atol=1e-6)


def test_state_has_one_form():
    for name in ("Breakout-MinAtar", "Catch-bsuite", "PointRobot-misc", "UmbrellaChain-bsuite"):
        world = Gymnax(id=name)
        level = GymnaxLevel({}, jax.ShapeDtypeStruct((2,), jnp.uint32))
        first = jax.eval_shape(world.reset, jax.random.key(0), level)
        after = jax.eval_shape(world.step, jax.random.key(0), first[1], jnp.int32(0), level)
        for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(after[:2]), strict=True):
            assert (one.shape, one.dtype, one.weak_type, other.weak_type) == (other.shape, other.dtype, False, False)
        assert [(leaf.shape, str(leaf.dtype)) for leaf in after[2:5]] == [((), "float32"), ((), "bool"), ((), "bool")]


def test_a_first_state_can_be_given_away():
    world = Gymnax(id="MetaMaze-misc")  # whose first state holds an array of the environment's own
    level = GymnaxLevel({}, jnp.zeros(2, jnp.uint32))
    step = jax.jit(world.step, donate_argnums=1)
    for _ in range(2):
        _, state = world.reset(jax.random.key(0), level)
        step(jax.random.key(0), state, jnp.int32(0), level)


@pytest.mark.parametrize(
    ("options", "just", "not_quite"),
    [
        ({}, 475, 474),
        ({"max_steps": 100}, 95, 94),  # 475 of 500
        ({"id": "Acrobot-v1"}, -100, -101),
        ({"id": "Acrobot-v1", "max_steps": 50}, -49, -50),  # reached in time at all: the last step would be free
        ({"id": "Breakout-MinAtar"}, 1, 0),
        ({"id": "Breakout-MinAtar", "solved_return": 5.0}, 5, 4),
        ({"id": "Pendulum-v1", "solved_return": -150.0}, -150, -151),
    ],
)
def test_what_solved_means(options, just, not_quite):
    world = Gymnax(**options)
    assert bool(world.is_solved(jnp.float32(just)))
    assert not bool(world.is_solved(jnp.float32(not_quite)))
