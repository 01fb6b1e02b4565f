"""What of a gymnax environment varies and what is set: as it is typed, and what is wrong with it."""

import numpy as np
import pytest
from gymnax.environments.bsuite import mnist
from gymnax_plays import level_of

from minied.adapters.gymnax import Gymnax
from minied.adapters.gymnax_made import make
from minied.errors import UserError
from minied.spaces import Discrete


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
