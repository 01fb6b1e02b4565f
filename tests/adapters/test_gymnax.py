"""Environments of gymnax as worlds, compared with gymnax itself, and worlds as environments of gymnax."""

import dataclasses
import functools
import json

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.bsuite import mnist
from gymnax.experimental import RolloutWrapper
from gymnax.wrappers import LogWrapper

from minied.adapters.gymnax import Gymnax, as_gymnax, register
from minied.adapters.gymnax_export import space_of
from minied.adapters.gymnax_levels import GymnaxLevel
from minied.adapters.gymnax_made import make
from minied.errors import UserError
from minied.levels.parameters import Choice, Interval
from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, MultiDiscrete, Ring
from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.maze import Maze
from minied_envs.maze.generators import MazeLevels
from minied_envs.petri import Corridor

EVERY_ID = (
    "CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Asterix-MinAtar",
    "Breakout-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar", "Catch-bsuite", "DeepSea-bsuite",
    "MemoryChain-bsuite", "UmbrellaChain-bsuite", "DiscountingChain-bsuite", "MNISTBandit-bsuite", "SimpleBandit-bsuite",
    "FourRooms-misc", "MetaMaze-misc", "PointRobot-misc", "BernoulliBandit-misc", "GaussianBandit-misc", "Reacher-misc",
    "Swimmer-misc", "Pong-misc", "FrozenLake-misc",
)  # fmt: skip
SMALL_MAZE = Maze(height=5, width=5, max_steps=9, levels=MazeLevels(num_walls=8))
CARTPOLE = Gymnax(vary=("masspole=0.05:0.5", "length=0.25:1", "force_mag=5:15"))


def level_of(world, key=0, **numbers):
    """A level with these numbers, started from ``jax.random.key(key)``."""
    start = jax.random.key_data(jax.random.key(key)) * jnp.uint32(world.starts_differ)
    return GymnaxLevel({name: jnp.float32(value) for name, value in numbers.items()}, start)


def play(world, level, key, actions):
    """The first observation, and every step's observation, reward, terminated, truncated; nobody resets."""
    first, state = world.reset(jax.random.key(99), level)

    def step(state, given):
        observation, state, *rest, _ = world.step(given[0], state, given[1], level)
        return state, (observation, *rest)

    return first, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]


def gymnax_plays(env, parameters, start, key, actions):
    """The same from gymnax's own `step`, whose resets come after the true last observation that it tells in info."""
    first, state = env.reset(start, parameters)

    def step(state, given):
        # gymnax splits the key of a step; the adapter's key is the first half of it
        _, state, reward, terminated, truncated, info = env.step(given[0], state, given[1], parameters)
        return state, (info["final_observation"], reward, terminated, truncated)

    return first, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]


def until_the_end(steps):
    """How many steps the first episode has."""
    ended = np.asarray(steps[2] | steps[3])
    return int(ended.argmax()) + 1 if ended.any() else len(ended)


def require_equal_play(world, parameters, level, start, actions, taken=None):
    key = jax.random.key(5)
    halves = jax.vmap(jax.random.split)(jax.random.split(key, len(actions)))[:, 0]
    first, state = jax.jit(world.reset)(jax.random.key(99), level)

    def step(state, given):
        observation, state, *rest, _ = world.step(given[0], state, given[1], level)
        return state, (observation, *rest)

    ours = jax.jit(lambda state: jax.lax.scan(step, state, (halves, actions))[1])(state)
    env = world.made.env
    taken = actions if taken is None else taken
    theirs_first, theirs = jax.jit(lambda: gymnax_plays(env, parameters, start, key, taken))()
    np.testing.assert_allclose(first, np.reshape(theirs_first, first.shape), rtol=1e-6)
    length = until_the_end(theirs)
    shape = ours[0].shape
    np.testing.assert_allclose(ours[0][:length], np.reshape(theirs[0], shape)[:length], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(ours[1][:length], theirs[1][:length], rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(ours[2][:length], theirs[2][:length])
    np.testing.assert_array_equal(ours[3][:length], (theirs[3] & ~theirs[2])[:length])
    return length


# -- gymnax in minied --------------------------------------------------------------------------------------------------


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


# -- what varies -------------------------------------------------------------------------------------------------------


def ranges(**options):
    return {each.name: (each.low, each.high) for each in Gymnax(**options).varied}


def test_ranges_as_they_are_typed():
    assert ranges() == {
        "force_mag": (5, 20),
        "length": (0.25, 1),
        "masspole": (0.05, 0.2),
    }  # default / 2 to default * 2
    assert ranges(vary=("gravity",), spread=0.25) == {"gravity": (9.8 / 1.25, 9.8 * 1.25)}
    assert ranges(vary=("usual", "gravity=5:15"))["gravity"] == (5, 15)
    assert ranges(id="MountainCar-v0", vary=("min_position",)) == {"min_position": (-2.4, -0.6)}
    assert ranges(id="MemoryChain-bsuite", vary=("memory_length",)) == {"memory_length": (3, 10)}  # whole: 2.5 to 10
    assert ranges(id="FourRooms-misc", vary=("resample_goal_pos",)) == {"resample_goal_pos": (0, 1)}
    assert ranges(id="Breakout-MinAtar") == {}  # nothing is usual there
    assert ranges(vary=("gravity",), set=("gravity=20",)) == {"gravity": (10, 40)}


BAD = [
    ({"id": "CartPole"}, "unknown environment of gymnax 'CartPole' (did you mean 'CartPole-v1'?); known: "),
    ({"vary": ("masspol",)}, "unknown parameter of CartPole-v1 'masspol' (did you mean 'masspole'?); known: "),
    ({"vary": ("gravity=5-15",)}, "vary has 'gravity=5-15'; allowed: NAME, or NAME=LOW:HIGH"),
    ({"vary": ("gravity=15:5",)}, "vary has 'gravity=15:5', from 15 to 5; allowed: low < high, finite"),
    ({"vary": ("gravity=1:inf",)}, "from 1 to inf; allowed: low < high, finite"),
    ({"vary": ("gravity=1:1e39",)}, "from 1 to 1e+39; allowed: low < high, finite and at most 1e+38"),
    ({"vary": ("gravity=nan:1",)}, "from nan to 1; allowed: low < high, finite"),
    ({"vary": ("usual", "length=1:2")}, "vary has 'length' twice; allowed: once (usual is force_mag, length, masspole)"),
    ({"vary": ("total_mass",)}, "vary has 'total_mass', which follows from masscart and masspole; allowed: those"),
    ({"vary": ("max_steps_in_episode",)}, "vary has 'max_steps_in_episode'; allowed: parameters but this one, which is"),
    ({"id": "Acrobot-v1", "vary": ("available_torque",)}, "which is [-1.0, 0.0, 1.0]; allowed: parameters of one number"),
    ({"id": "Acrobot-v1", "vary": ("torque_noise_max",)}, "default 0 has no range of its own; allowed: torque_"),
    ({"id": "Acrobot-v1", "vary": ("link_length_2",)}, "vary has 'link_length_2', which changes nothing in Acrobot-v1"),
    ({"id": "MemoryChain-bsuite", "vary": ("memory_length=2.5:4",)}, "allowed for memory_length: whole numbers"),
    ({"id": "FourRooms-misc", "vary": ("resample_goal_pos=0:2",)}, "allowed for resample_goal_pos: 0:1"),
    ({"set": ("gravity",)}, "set has 'gravity'; allowed: NAME=VALUE"),
    ({"set": ("gravity=1", "gravity=2")}, "set has 'gravity' twice; allowed: once"),
    ({"set": ("gravity=heavy",)}, "set has gravity=heavy; allowed: a number"),
    ({"set": ("total_mass=2",)}, "set has 'total_mass', which follows from masscart and masspole"),
    ({"set": ("max_steps_in_episode=9",)}, "which is the option max_steps"),
    ({"set": ("gravty=1",)}, "unknown parameter or argument of CartPole-v1 'gravty' (did you mean 'gravity'?)"),
    ({"id": "FrozenLake-misc", "set": ("map_name=9x9",)}, "'FrozenLake-misc' with {'map_name': '9x9'}: "),
    ({"id": "MemoryChain-bsuite", "set": ("memory_length=2.5",)}, "set has memory_length=2.5; allowed: a whole number"),
    ({"id": "Acrobot-v1", "set": ("available_torque=[1,2]",)}, "available_torque=[1,2]; allowed: [3] numbers as a list"),
    ({"id": "FourRooms-misc", "set": ("resample_goal_pos=1",)}, "set has resample_goal_pos=1; allowed: true or false"),
    ({"spread": 0.0}, "spread is 0.0; allowed: more than 0"),
    ({"edit_size": 1.5}, "edit_size is 1.5; allowed: at most 1"),
    ({"max_steps": -1}, "max_steps is -1; allowed: 0 to"),
    ({"action_bins": 1}, "action_bins is 1; allowed: 2 to 64"),
    ({"id": "Pendulum-v1", "action_bins": 65}, "action_bins is 65; allowed: 2 to 64"),
    ({"solved_return": float("nan")}, "solved_return is nan; allowed: a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_what_is_wrong_is_told_in_a_line(options, message):
    with pytest.raises(UserError) as caught:
        Gymnax(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_hold_in_every_level():
    world = Gymnax(set=("masspole=0.3",), vary=("length=0.5:1",))
    parameters = world.parameters_of(level_of(world, length=0.75))
    np.testing.assert_allclose(parameters.polemass_length, 0.225, rtol=1e-6)  # 0.3 * 0.75
    assert (parameters.masspole, parameters.total_mass) == (0.3, 1.3)
    torques = Gymnax(id="Acrobot-v1", set=("available_torque=[-2, 0, 2]",))
    assert torques.fixed_parameters.available_torque.tolist() == [-2, 0, 2]
    assert Gymnax(id="FrozenLake-misc", set=("map_name=8x8", "is_slippery=false")).observation_space == Discrete(64)
    assert Gymnax(id="FourRooms-misc", set=("goal_fixed=[1, 1]",)).made.env.goal_fixed.tolist() == [1, 1]


def test_what_gymnax_cannot_make_is_told_in_a_line(monkeypatch):
    def no_network():
        raise OSError("no network\nat all")

    monkeypatch.setattr(mnist.load_mnist, "load_mnist", no_network)
    make.cache_clear()  # of images that another test made up
    with pytest.raises(UserError, match=r"gymnax does not make 'MNISTBandit-bsuite': no network at all$"):
        Gymnax(id="MNISTBandit-bsuite")


# -- levels ------------------------------------------------------------------------------------------------------------

MIXED = Gymnax(id="MemoryChain-bsuite", vary=("memory_length=2:6",), set=("num_bits=3",))


def test_samples_fill_their_ranges():
    levels = jax.jit(jax.vmap(CARTPOLE.level_space.sample))(jax.random.split(jax.random.key(0), 500))
    for each in CARTPOLE.varied:
        values = np.asarray(levels.numbers[each.name])
        assert each.low <= values.min() < each.low + 0.02 * (each.high - each.low)
        assert each.high - 0.02 * (each.high - each.low) < values.max() <= np.float32(each.high)
    assert len(np.unique(levels.start, axis=0)) == 500
    columns = np.stack(list(levels.numbers.values()))
    assert abs(np.corrcoef(columns) - np.eye(3)).max() < 0.15  # drawn apart from each other
    whole = jax.jit(jax.vmap(MIXED.level_space.sample))(jax.random.split(jax.random.key(0), 200)).numbers[
        "memory_length"
    ]
    assert sorted(set(whole.tolist())) == [2, 3, 4, 5, 6]


def test_an_edit_changes_one_thing_a_little():
    space = CARTPOLE.level_space
    level = space.sample(jax.random.key(0))
    edited = jax.jit(jax.vmap(space.mutate, in_axes=(0, None)))(jax.random.split(jax.random.key(1), 400), level)
    changes = {name: np.asarray(edited.numbers[name] - value) for name, value in level.numbers.items()}
    restarted = (np.asarray(edited.start) != np.asarray(level.start)).any(axis=1)
    number = restarted.astype(int) + sum((change != 0).astype(int) for change in changes.values())
    assert (number == 1).mean() > 0.99  # a noise of zero aside
    assert 0.15 < restarted.mean() < 0.35
    for each in CARTPOLE.varied:
        share = np.abs(changes[each.name]).max() / (each.high - each.low)
        assert 0.08 < share <= 0.1001
    assert bool(jax.jit(jax.vmap(space.is_valid))(edited).all())


def edits(world, number, **numbers):
    """What a number is after each of some edits of a level with these numbers."""
    mutate = jax.jit(jax.vmap(world.level_space.mutate, in_axes=(0, None)))
    (name,) = numbers
    return mutate(jax.random.split(jax.random.key(1), number), level_of(world, **numbers)).numbers[name]


def test_edits_turn_back_at_the_ends():
    assert set(edits(MIXED, 40, memory_length=6).tolist()) == {5.0, 6.0}  # 6 where the start was drawn anew
    flag = Gymnax(id="FourRooms-misc", vary=("resample_goal_pos",))
    assert set(edits(flag, 40, resample_goal_pos=1).tolist()) == {0.0, 1.0}
    values = edits(Gymnax(vary=("gravity=5:15",), edit_size=1.0), 200, gravity=14)
    assert 5 <= float(values.min()) < 5.5
    assert 14.5 < float(values.max()) < 15  # what goes 0.5 beyond ends 0.5 before, and not at the end itself


def test_levels_of_parameters():
    parameters = CARTPOLE.level_space.parameters
    assert parameters.parts == (
        Interval("masspole", 0.05, 0.5),
        Interval("length", 0.25, 1),
        Interval("force_mag", 5, 15),
    )
    level = parameters.level(jax.random.key(0), jnp.asarray([0.3, 0.5, 16.0]))
    assert {name: round(float(value), 4) for name, value in level.numbers.items()} == {
        "masspole": 0.3, "length": 0.5, "force_mag": 15.0,
    }  # fmt: skip
    assert not np.array_equal(level.start, parameters.level(jax.random.key(1), jnp.asarray([0.3, 0.5, 10.0])).start)
    whole = MIXED.level_space.parameters
    assert whole.parts == (Choice("memory_length", 5),)
    assert float(whole.level(jax.random.key(0), jnp.asarray([4.0])).numbers["memory_length"]) == 6.0


def test_what_is_offered():
    assert set(Gymnax.offers) == set(Gymnax().level_space.offered)
    assert {"mutate", "parameters"}.isdisjoint(Gymnax(vary=()).level_space.offered)


def test_suites_are_the_same_at_every_call():
    space = CARTPOLE.level_space
    assert list(space.suites) == ["sampled", "default", "corners", "grid"]
    sizes = {name: len(space.suite(name)[0].names) for name in space.suites}
    assert sizes == {"sampled": 64, "default": 16, "corners": 8, "grid": 64}
    for name in space.suites:
        suite, again = space.suite(name)[0], space.suite(name)[0]
        assert bool(jax.jit(jax.vmap(space.is_valid))(suite.levels).all())
        np.testing.assert_array_equal(suite.levels.start, again.levels.start)
        assert len(np.unique(suite.levels.start, axis=0)) == sizes[name]
        assert jax.tree.structure(suite.levels) == jax.tree.structure(space.sample(jax.random.key(0)))
    assert space.suite("default")[0].levels.numbers["force_mag"].tolist() == [10.0] * 16
    corners = space.suite("corners")[0]
    assert corners.names[0] == "masspole=0.05 length=0.25 force_mag=5"
    assert corners.levels.numbers["force_mag"].tolist() == [5.0, 15.0] * 4
    assert np.unique(space.suite("grid")[0].levels.numbers["force_mag"]).tolist() == [
        5.0, np.float32(25 / 3), np.float32(35 / 3), 15.0,
    ]  # fmt: skip
    assert list(Gymnax(vary=("gravity=12:15",)).level_space.suites) == [
        "sampled",
        "corners",
        "grid",
    ]  # 9.8 is none of them
    assert list(Gymnax(vary=()).level_space.suites) == ["sampled"]
    with pytest.raises(UserError, match="unknown suite 'corner'"):
        space.suite("corner")


def test_levels_as_text():
    space = CARTPOLE.level_space
    level = space.sample(jax.random.key(4))
    read = space.from_text(space.to_text(level))
    for one, other in zip(jax.tree.leaves(level), jax.tree.leaves(read), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(space.fingerprint(level), space.fingerprint(read))
    typed = json.loads(space.to_text(level)) | {"numbers.force_mag": 15.5}
    with pytest.raises(UserError, match=r"force_mag of a level is 15.5; allowed: 5 to 15$"):
        space.from_text(json.dumps(typed))
    with pytest.raises(UserError, match=r"memory_length of a level is 2.5; allowed: 2 to 6, whole numbers"):
        MIXED.level_space.from_text('{"numbers.memory_length": 2.5, "start": [0, 1]}')
    assert not bool(space.is_valid(level.replace(numbers=level.numbers | {"length": jnp.float32(2)})))
    assert not bool(space.is_valid(level.replace(numbers=level.numbers | {"length": jnp.float32(jnp.nan)})))


def require_pictures(world):
    """Pictures of a level and of a state of it, of one size; whether they differ."""
    space = world.level_space
    level = space.sample(jax.random.key(0))
    _, state = jax.jit(world.reset)(jax.random.key(0), level)
    step = jax.jit(world.step)
    for _ in range(2):
        _, state, *_ = step(jax.random.key(1), state, jnp.int32(0), level)
    start, later = space.draw(level), space.draw(level, jax.device_get(state))
    assert (start.dtype, start.shape, start.shape[2]) == (np.uint8, later.shape, 3)
    return (start != later).any()


def test_pictures_and_words():
    assert require_pictures(CARTPOLE)
    assert not require_pictures(MIXED)  # of a chain of bits only the numbers are drawn
    level = level_of(CARTPOLE, masspole=0.123456, length=0.5, force_mag=10)
    assert CARTPOLE.level_space.title(level) == "masspole 0.123, length 0.5, force_mag 10"
    assert {name: float(value) for name, value in CARTPOLE.level_space.describe(level).items()} == {
        "masspole": pytest.approx(0.123456), "length": 0.5, "force_mag": 10,
    }  # fmt: skip


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


# -- environments of others --------------------------------------------------------------------------------------------


@struct.dataclass
class OddParams(environment.EnvParams):
    reward: float = 1.0
    shape: int = 3


class Odd(environment.Environment):
    """Observations of several kinds, Python's numbers in the state, a key in it too, and rewards of 64 kinds."""

    def __init__(self, offset: int = 0):
        super().__init__()
        self.offset = offset

    @property
    def default_params(self):
        return OddParams(max_steps_in_episode=3)

    def reset_env(self, key, params):
        del params
        return self.seen(self.offset), {"time": 0, "sum": 0, "key": key}

    def seen(self, time):
        return {"place": time, "pair": (jnp.ones((2,)) * time, jnp.zeros((4, 4)))}

    def step_env(self, key, state, action, params):
        del key
        time = state["time"] + 1
        noise = jax.random.uniform(state["key"])
        state = {"time": time, "sum": state["sum"] + noise * action, "key": state["key"]}
        return self.seen(time + self.offset), state, params.reward * time, False, {}

    def is_truncated(self, state, params):
        return state["time"] >= params.max_steps_in_episode

    def action_space(self, params):
        return spaces.Discrete(3)

    def observation_space(self, params):
        pair = spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Box(0, 1, (4, 4))))
        return spaces.Dict({"place": spaces.Discrete(9), "pair": pair})


@pytest.fixture
def registry_of_its_own(monkeypatch):
    registration = gymnax.registration
    monkeypatch.setattr(registration, "_registry", dict(registration._registry))
    monkeypatch.setattr(registration, "registered_envs", list(gymnax.registered_envs))
    monkeypatch.setattr(gymnax, "registered_envs", registration.registered_envs)


def test_an_environment_that_somebody_registered(registry_of_its_own):
    gymnax.register("Odd-v0", Odd)
    world = Gymnax(id="Odd-v0", vary=("reward=2:4",), set=("offset=2",))
    pair = Dict((("0", Box(-1e38, 1e38, (2,))), ("1", Box(0.0, 1.0, (4, 4, 1)))))
    assert world.observation_space == Dict((("place", Discrete(9)), ("pair", pair)))
    level = level_of(world, 3, reward=2.5)
    first, (observation, rewards, terminated, truncated) = jax.jit(
        lambda: play(world, level, jax.random.key(0), jnp.ones(3, jnp.int32))
    )()
    assert world.observation_space.contains(jax.device_get(first))
    assert int(first["place"]) == 2
    assert observation["place"].tolist() == [3, 4, 5]
    assert rewards.tolist() == [2.5, 5.0, 7.5]
    assert not terminated.any()
    assert truncated.tolist() == [False, False, True]
    assert world.starts_differ is False  # but for the key that it keeps, which nobody sees at the start
    gymnax.register("Endless-v0", type("Endless", (Odd,), {"is_truncated": lambda self, state, params: False}))
    world = Gymnax(id="Endless-v0", max_steps=2)
    *_, truncated = play(world, level_of(world), jax.random.key(0), jnp.ones(3, jnp.int32))[1]
    assert truncated.tolist() == [False, True, True]  # all the same
    gymnax.register("Shapely-v0", type("Shapely", (Odd,), {"seen": lambda self, time: jnp.zeros(int(time))}))
    with pytest.raises(UserError, match="'Shapely-v0' cannot be computed: "):
        Gymnax(id="Shapely-v0")


# -- minied in gymnax --------------------------------------------------------------------------------------------------


def minied_rollout(env, key, num_steps, level=None):
    """What gymnax's RolloutWrapper does with random actions, in minied: keys are split as gymnax splits them."""

    def start(key):
        level_key, key = jax.random.split(key)
        chosen = env.level_space.sample(level_key) if level is None else level
        observation, state = env.reset(key, chosen)
        return observation, state, chosen

    start_key, key = jax.random.split(key)
    observation, state, chosen = jax.jit(start)(start_key)
    start, step = jax.jit(start), jax.jit(env.step)
    seen = []
    for _ in range(num_steps):
        key, step_key, action_key = jax.random.split(key, 3)
        step_key, reset_key = jax.random.split(step_key)
        action = jax.random.randint(action_key, (), 0, env.action_space.n)
        after, state, reward, terminated, truncated, _ = step(step_key, state, action, chosen)
        if terminated | truncated:
            after, state, chosen = start(reset_key)
        seen.append((observation, action, reward, after, terminated | truncated))
        observation = after
    return jax.tree.map(lambda *leaves: np.stack(leaves), *seen)


def require_same(expected, found):
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)  # two programs, which round as they like


@pytest.mark.parametrize(
    "world",
    [
        Corridor(length=4, max_steps=5),
        SMALL_MAZE,
        dataclasses.replace(CARTPOLE, max_steps=9),
    ],  # its steps read the level
    ids=["corridor", "maze", "cartpole"],
)
def test_gymnax_s_own_rollouts_of_a_world_are_minied_s(world):
    env = as_gymnax(world)
    wrapper = RolloutWrapper(env=env, num_env_steps=25)
    *found, episode_return = wrapper.single_rollout(jax.random.key(6), None)
    expected = minied_rollout(world, jax.random.key(6), 25)
    require_same(expected, tuple(found))
    assert 1 < expected[4].sum() < 25  # episodes ended, and began anew
    first_end = int(expected[4].argmax()) + 1
    assert float(episode_return[0]) == pytest.approx(expected[2][:first_end].sum())


def test_a_level_of_one_s_own_and_a_shorter_limit():
    world = Corridor(length=9, max_steps=20)
    env = as_gymnax(world)
    assert env.default_params.max_steps_in_episode == 20
    params = env.default_params.replace(level=jnp.int32(5), max_steps_in_episode=3)
    observation, state = env.reset(jax.random.key(0), params)
    seen, ends = [int(observation)], []
    for index in range(6):
        observation, state, _, terminated, truncated, info = env.step(jax.random.key(index), state, 1, params)
        seen.append(int(observation))
        ends.append((bool(terminated), bool(truncated), int(info["final_observation"]), float(info["discount"])))
    assert seen == [5, 6, 7, 5, 6, 7, 5]
    assert ends[2] == (False, True, 8, 1.0)
    near = env.default_params.replace(level=jnp.int32(1), max_steps_in_episode=1)
    _, state = env.reset(jax.random.key(0), near)
    *_, terminated, truncated, info = env.step(jax.random.key(0), state, 0, near)
    assert (bool(terminated), bool(truncated), float(info["discount"])) == (True, False, 0.0)


def test_a_world_in_gymnax_is_an_environment_of_gymnax_in_all_parts():
    world = SMALL_MAZE
    env, again = as_gymnax(world), as_gymnax(dataclasses.replace(world))
    assert isinstance(env, environment.Environment)
    assert env == again  # so that gymnax compiles once
    assert hash(env) == hash(again)
    assert env != as_gymnax(dataclasses.replace(SMALL_MAZE, max_steps=8))
    assert env.name == "minied/maze"
    assert env.num_actions == world.action_space.n
    params = env.default_params
    log = LogWrapper(env)
    observation, state = log.reset(jax.random.key(0), params)
    assert bool(env.observation_space(params).contains(observation))
    assert bool(env.state_space(params).contains(state.env_state))
    action = env.action_space(params).sample(jax.random.key(1))
    observation, after, *_, info = log.step(jax.random.key(2), state, action, params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {"terminated", "truncated", "final_observation", "discount", "returned_episode"} <= set(info)
    require_same(env.observe(jax.random.key(0), after.env_state, None, params), observation)
    require_same(env.get_obs(after.env_state, params), observation)
    assert not bool(env.observation_space(params).contains({"view": observation["view"]}))


def test_spaces_in_gymnax():
    codes = space_of(Coded((2, 2), ((0.0,), (1.0,), (2.0,))))
    assert (codes.low, codes.high, codes.shape, codes.dtype) == (0, 2, (2, 2), jnp.uint8)
    assert space_of(MultiDiscrete((2, 3))).n == 6
    wide = space_of(Box(-np.inf, 3.0, (2,)))
    assert (wide.low, wide.high) == (np.finfo(np.float32).max * -1, 3.0)
    space = Dict((("things", Entities(2, 3)), ("mask", Mask(4)), ("ring", Ring(5))))
    value = space.sample(jax.random.key(0))
    assert bool(space_of(space).contains(value))
    assert not bool(space_of(space).contains(value | {"ring": jnp.full((5, 1), jnp.inf)}))
    assert space_of(space).sample(jax.random.key(0))["mask"].dtype == jnp.bool_
    from gymnax.environments.spaces import gymnax_space_to_gym_space

    assert set(gymnax_space_to_gym_space(space_of(space)).spaces) == {"things", "mask", "ring"}


def test_registered_worlds(registry_of_its_own):
    found = register()
    assert {"minied/maze", "minied/corridor", "minied/crafting"} <= set(found) <= set(gymnax.registered_envs)
    assert register() == found
    env, params = gymnax.make("minied/corridor", length=5, max_steps=7)
    assert env.world == Corridor(length=5, max_steps=7)
    assert params.max_steps_in_episode == 7
    assert register("maze") == ("minied/maze",)
    assert register("corridor", env_id="Long-v0", length=40) == ("Long-v0",)
    assert gymnax.make("Long-v0")[0].world == Corridor(length=40)
    assert register("minied_envs.petri:Corridor")[0] in gymnax.registered_envs
    with pytest.raises(UserError, match="env_id is 'Long-v0', which gymnax already has; allowed: another one"):
        register("corridor", env_id="Long-v0", length=50)
    with pytest.raises(UserError, match="unknown environment 'coridor'"):
        register("coridor")
    with pytest.raises(UserError, match="length without the name of a world"):
        register(length=4)
    with pytest.raises(UserError, match=r"unknown option of corridor 'size'"):
        gymnax.make("minied/corridor", size=3)
    with pytest.raises(UserError, match=r"HideAndSeek has \d agents; allowed in gymnax: 1; .*PettingZoo or JaxMARL"):
        as_gymnax(HideAndSeek())


# -- there and back ----------------------------------------------------------------------------------------------------


def test_gymnax_through_minied_is_gymnax():
    env, params = gymnax.make("CartPole-v1")
    back = as_gymnax(Gymnax(vary=()))
    level = level_of(Gymnax(vary=()), 3)
    actions = jnp.asarray([0, 1, 1, 1, 0, 1] * 4, jnp.int32)
    first, theirs = jax.jit(lambda: gymnax_plays(env, params, jax.random.key(3), jax.random.key(1), actions))()
    told = back.default_params.replace(level=level)
    ours_first, ours = jax.jit(lambda: gymnax_plays(back, told, jax.random.key(0), jax.random.key(1), actions))()
    length = until_the_end(theirs)
    np.testing.assert_array_equal(first, ours_first)
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one[:length], other[:length], rtol=1e-5, atol=1e-6)
    assert length > 5


def test_minied_through_gymnax_is_minied(registry_of_its_own):
    register("corridor", env_id="Corridor-back", length=6, max_steps=8)
    there, world = Gymnax(id="Corridor-back"), Corridor(length=6, max_steps=8)
    assert there.max_steps == 8
    level = level_of(there, 2)
    start_key, key = jax.random.split(jax.random.key(2))  # as the environment splits the key of a reset
    start = world.level_space.sample(start_key)
    actions = jnp.asarray([1, 0, 1, 1, 0, 0, 0, 0], jnp.int32)
    first, ours = jax.jit(lambda: play(there, level, jax.random.key(0), actions))()
    _, state = world.reset(key, start)
    assert int(first) == int(start)
    for index, action in enumerate(actions):
        observation, state, reward, terminated, truncated, _ = world.step(key, state, action, start)
        step = (observation, reward, terminated, truncated)
        assert [float(leaf[index]) for leaf in ours] == [float(each) for each in step]
        if terminated:
            break


# -- every environment -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_environments_are_listed():
    assert set(EVERY_ID) == set(gymnax.registered_envs)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_ID)
def test_every_environment_of_gymnax_goes_through(name, monkeypatch):
    images, labels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28), np.asarray([0, 1], np.uint8)
    monkeypatch.setattr(mnist.load_mnist, "load_mnist", lambda: ((images, labels), (images, labels)))  # no network
    make.cache_clear()
    with jax.numpy_rank_promotion("allow"):  # Swimmer has it
        world = Gymnax(id=name, max_steps=40)
        level = jax.jit(world.level_space.sample)(jax.random.key(0))
        key, actions = jax.random.key(1), jax.random.randint(jax.random.key(2), (60,), 0, world.action_space.n)
        first, (observations, rewards, terminated, truncated) = jax.jit(lambda level: play(world, level, key, actions))(
            level
        )
        assert not (terminated & truncated).any()
        assert truncated[39:].tolist() == (~terminated[39:]).tolist()
        assert np.isfinite(rewards).all()
        for index in range(-1, 60):
            one = first if index < 0 else jax.tree.map(lambda leaf: leaf[index], observations)  # noqa: B023
            assert world.observation_space.contains(jax.device_get(one))
        # the same from gymnax: its own step_env from its own reset
        env, parameters = world.made.env, world.parameters_of(level)

        def step(state, given):
            taken = world.taken(given[1])
            observation, state, reward, ended, _ = env.step_env(given[0], state, taken, parameters)
            late = env.is_truncated(state, parameters)
            return state, (observation, reward, ended, late)

        _, state = env.reset(jax.random.wrap_key_data(level.start), parameters)
        _, theirs = jax.jit(lambda state: jax.lax.scan(step, state, (jax.random.split(key, 60), actions)))(state)
        length = until_the_end(theirs)
        np.testing.assert_allclose(
            observations[:length], np.reshape(theirs[0], observations.shape)[:length], rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(rewards[:length], theirs[1][:length], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(terminated[:length], theirs[2][:length])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Acrobot-v1", "Pendulum-v1", "MountainCar-v0", "Breakout-MinAtar", "Catch-bsuite"])
def test_pictures_of_more(name):
    assert require_pictures(Gymnax(id=name))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"id": "FourRooms-misc", "vary": ("fail_prob=0:0.5",), "max_steps": 30}])
def test_the_kit_finds_nothing(options):
    from minied.testing.environment import check_env
    from minied.testing.levels import check_level_space

    world = Gymnax(**options)
    check_env(world, num_levels=4, most_steps=200).require()
    check_level_space(world, num_levels=4, most_steps=200).require()
