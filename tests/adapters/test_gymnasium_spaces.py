"""Spaces, pictures and names of worlds in Gymnasium, and what is refused."""

import os
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from toy_worlds import Corridor, CorridorLevel, Meeting

from minied.adapters import gymnasium as adapter
from minied.adapters import outward
from minied.adapters.gymnasium import as_env, as_vector_env
from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, MultiDiscrete, Ring
from minied_envs.petri import Corridor as PetriCorridor


class TwoSizesLevels(type(PetriCorridor().level_space)):
    def suite(self, name):
        return (*PetriCorridor(5).level_space.suite("all"), *PetriCorridor(6).level_space.suite("all"))


class TwoSizes(PetriCorridor):
    """A corridor with a suite of corridors of two lengths."""

    @property
    def level_space(self):
        return TwoSizesLevels(self)


NO_LEVELS = CorridorLevel(np.zeros(0, np.int32))
VALUES = {
    "discrete": (Discrete(4), np.array([3, 0], np.int32)),
    "box": (Box(-1.0, 2.0, (3,)), np.zeros((2, 3), np.float32)),
    "coded": (Coded((2, 2), ((0.0, 0.5), (1.0, 0.0))), np.array([[[0, 1], [1, 0]]] * 2, np.uint8)),
    "mask": (Mask(3), np.array([[True, False, True]] * 2)),
    "ring": (Ring(4, 2), np.ones((2, 4, 2), np.float32)),
    "entities": (
        Entities(2, 1),
        {
            "features": np.array([[[1.0], [np.nan]]] * 2, np.float32),
            "visible": np.array([[True, False]] * 2),
            "present": np.array([[True, True]] * 2),
        },
    ),
}


@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize("kind", VALUES)
def test_values_are_in_the_converted_space(kind, codes):
    space, values = VALUES[kind]
    single = outward.to_space(space, codes)
    found = outward.to_value(space, values, codes)
    assert jax.tree.map(lambda leaf: leaf[0], found) in single
    assert found in gymnasium.vector.utils.batch_space(single, 2)


def test_what_is_converted():
    space = Dict(tuple((name, each) for name, (each, _) in VALUES.items()), privileged=("ring",))
    values = {name: value for name, (_, value) in VALUES.items()}
    found = outward.to_value(space, values)
    assert set(found) == set(VALUES) - {"ring"} == set(outward.to_space(space).spaces)
    assert found["coded"][0].tolist() == [[[0.0, 0.5], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.5]]]
    assert found["entities"]["features"][0].tolist() == [[1.0], [0.0]]  # what is not seen is not told
    assert set(found["entities"]) == {"features", "visible"}
    assert outward.privileged(space, values) == {"privileged": {"ring": values["ring"]}}
    assert outward.to_value(space, values, codes=True)["coded"].dtype == np.uint8


def test_factors_of_an_action_are_joined_as_minied_does():
    space = MultiDiscrete((5, 2, 3))
    single = outward.to_space(space)
    assert single == gymnasium.spaces.MultiDiscrete([5, 2, 3])
    choices = np.array([[4, 1, 2], [3, 0, 1]])
    assert outward.to_actions(space, choices, (2,)).tolist() == space.join(tuple(jnp.asarray(choices.T))).tolist()


def test_pictures_are_those_of_the_level_and_the_state():
    world = PetriCorridor(length=4)
    env = as_vector_env(world, 2, levels=np.array([1, 3], np.int32), render_mode="rgb_array")
    env.reset(seed=0)
    env.step([1, 1])  # away from the goal, here
    left, right = env.render()
    assert np.array_equal(left, world.level_space.draw(jnp.int32(2)))
    assert np.array_equal(right, world.level_space.draw(jnp.int32(3)))
    assert as_env(world).render() is None


def test_worlds_are_known_to_gymnasium_by_name():
    names = adapter.register()
    assert adapter.register() == names  # a second time changes nothing, and warns of nothing
    assert "minied/maze-v0" in names
    arguments = {"options": {"length": 7}, "levels": "far_end"}
    env = gymnasium.make("minied/corridor-v0", **arguments)
    assert env.reset(seed=0)[0] == 6
    vector = gymnasium.make_vec("minied/corridor-v0", num_envs=2, **arguments)
    assert type(vector) is type(as_vector_env(Corridor(), 2))
    assert vector.reset(seed=0)[0].tolist() == [6, 6]
    sync = gymnasium.make_vec("minied/corridor-v0", num_envs=2, vectorization_mode="sync", **arguments)
    assert sync.reset(seed=0)[0].tolist() == [6, 6]
    assert gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())).reset()[0] == 6


def test_registering_imports_no_world():
    code = (
        "import sys\nfrom minied.adapters.gymnasium import register\nassert 'gymnasium' not in sys.modules\nregister()\n"
        "assert 'minied_envs' not in sys.modules"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def stepped(actions):
    env = as_vector_env(Corridor(), 2)
    env.reset(seed=0)
    return env.step(actions)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: as_env(Meeting()), "Meeting has 2 agents; allowed: a world with one, or as_parallel_env"),
        (lambda: as_vector_env(Corridor(), 0), "num_envs is 0; allowed: at least 1, a whole number"),
        (lambda: as_vector_env(Corridor(), 2.5), "num_envs is 2.5; allowed: at least 1, a whole number"),
        (lambda: as_vector_env(Corridor(), "2"), "num_envs is '2'; allowed: at least 1, a whole number"),
        (lambda: as_vector_env(Corridor(), 2, autoreset_mode="nextstep"), "unknown autoreset_mode 'nextstep'"),
        (lambda: as_vector_env(Corridor(), 2, autoreset_mode=AutoresetMode.DISABLED), "known: NextStep, SameStep"),
        (lambda: as_env(Corridor(), render_mode="rgb_array"), "unknown render_mode of Corridor 'rgb_array'"),
        (lambda: as_env(PetriCorridor(), render_mode="human"), "unknown render_mode of Corridor 'human'"),
        (lambda: as_env(PetriCorridor(), levels="al"), "unknown suite 'al' (did you mean 'all'?)"),
        (lambda: as_env(TwoSizes(), levels="both"), "levels is 'both', a suite of 2 worlds; allowed: a suite of one"),
        (lambda: as_env(Corridor(), levels=CorridorLevel(np.int32(1))), "allowed: a batch [L, ...] of levels of shapes"),
        (lambda: as_env(Corridor(), levels=np.ones(3)), "levels is a ndarray of shapes [(3,)]; allowed"),
        (lambda: as_env(Corridor(), levels=NO_LEVELS), "levels is a CorridorLevel of shapes [(0,)]; allowed"),
        (lambda: as_env(Corridor()).step(0), "step comes before reset"),
        (lambda: as_env(Corridor()).reset(seed=2**32), "seed is 4294967296; allowed: 0 to 4294967295"),
        (lambda: as_env(Corridor()).reset(seed=1.5), "seed is 1.5; allowed: 0 to 4294967295"),
        (lambda: as_env(Corridor(), seed=-1).reset(), "seed is -1; allowed: 0 to 4294967295"),
        (lambda: as_vector_env(Corridor(), 2).reset(seed="1"), "seed is '1'; allowed: 0 to 4294967295"),
        (lambda: as_vector_env(Corridor(), 2).reset(seed=2**32 - 1), "seed is 4294967296; allowed: 0 to 4294967295"),
        (lambda: as_vector_env(Corridor(), 2).reset(seed=[None, -1]), "seed is -1; allowed: 0 to 4294967295"),
        (lambda: as_vector_env(Corridor(), 3).reset(seed=[1, 2]), "seed is [1, 2]; allowed: one number, or 3"),
        (lambda: as_env(Corridor()).reset(options={"level": 1}), "unknown option of reset 'level' (did you mean 'levels'?)"),
        (
            lambda: as_env(PetriCorridor(5)).reset(options={"levels": PetriCorridor(6).level_space.suite("all")[0]}),
            "levels are of Corridor(length=6",
        ),
        (lambda: stepped([0, 2]), "action is [0, 2]; allowed: integers [2], from 0 and below 2"),
        (lambda: stepped([0, -1]), "action is [0, -1]"),
        (lambda: stepped([0.0, 1.0]), "action is [0.0, 1.0]"),
        (lambda: stepped([0]), "action is [0]"),
        (lambda: adapter.make("corridor", {"lenght": 3}), "unknown option of Corridor 'lenght' (did you mean 'length'?)"),
        (lambda: adapter.make("maze", {"levels": {"walls": 3}}), "unknown option of MazeLevels 'walls'"),
        (lambda: adapter.make("maze", {"height": "nine"}), "height is 'nine'; allowed: a whole number"),
        (lambda: adapter.make("maze", {"height": True}), "height is True; allowed: a whole number"),
        (lambda: adapter.make("maze", {"height": {}}), "height is {}; allowed: a whole number"),
        (lambda: adapter.make("maze", {"levels": {"num_walls": 2.5}}), "levels.num_walls is 2.5; allowed: a whole number"),
        (lambda: adapter.make("maze", {"levels": "blocks"}), "levels is 'blocks'; allowed: a mapping of options, or a Maze"),
        (lambda: as_env(Corridor()).reset(options=5), "options is 5; allowed: a dict, such as {'levels': ...}, or None"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(call, says):
    with pytest.raises(UserError) as error:
        call()
    assert says in str(error.value)
