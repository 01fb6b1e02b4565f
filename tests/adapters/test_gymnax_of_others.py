"""Every environment of gymnax, and those that somebody else registers there."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.bsuite import mnist
from gymnax_plays import level_of, play, require_pictures, until_the_end

from minied.adapters.gymnax import Gymnax
from minied.adapters.gymnax_made import make
from minied.errors import UserError
from minied.spaces import Box, Dict, Discrete

EVERY_ID = (
    "CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Asterix-MinAtar",
    "Breakout-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar", "Catch-bsuite", "DeepSea-bsuite",
    "MemoryChain-bsuite", "UmbrellaChain-bsuite", "DiscountingChain-bsuite", "MNISTBandit-bsuite", "SimpleBandit-bsuite",
    "FourRooms-misc", "MetaMaze-misc", "PointRobot-misc", "BernoulliBandit-misc", "GaussianBandit-misc", "Reacher-misc",
    "Swimmer-misc", "Pong-misc", "FrozenLake-misc",
)  # fmt: skip


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
