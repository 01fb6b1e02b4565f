"""Worlds of minied as Gymnasium's: against Gymnasium's own checker and vector, against play in minied, and by hand."""

import dataclasses
import os
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_worlds
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from toy_worlds import Corridor, CorridorLevel, CountingCorridor, Lottery, Meeting, Script

from minied.adapters import gymnasium as adapter
from minied.adapters import outward
from minied.adapters.gymnasium import as_env, as_vector_env
from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, MultiDiscrete, Ring
from minied_envs.petri import Corridor as PetriCorridor

SEED = 7


def same(one, other):
    """Whether two nests hold the same numbers (arrays of objects by element), and have the same keys."""
    if isinstance(one, dict) or isinstance(other, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype == object and one.shape:
        return one.shape == other.shape and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one.shape == other.shape and np.array_equal(one, other)


def same_step(one, other):
    return all(map(same, one, other))


@dataclasses.dataclass(frozen=True)
class Telling(Lottery):
    """A lottery with an info of every kind, also nested, whose observation has a part that no policy reads."""

    max_steps: int = 3

    @property
    def observation_space(self):
        return Dict((("long", Discrete(2)), ("hint", Box(0.0, 9.0, (2,)))), privileged=("hint",))

    def reset(self, key, level):
        observation, state = super().reset(key, level)
        return {"long": observation, "hint": jnp.full(2, 5.0)}, state

    def step(self, key, state, action, level):
        observation, state, *rest = super().step(key, state, action, level)
        info = {"statistics": {"time": state.time.astype(jnp.float32), "draw": jax.random.uniform(key)}}
        info["statistics"]["odd"] = jnp.where(state.time % 2 == 1, 1.0, jnp.nan)  # not defined at each second step
        info["novelty"] = jnp.stack([state.time, action]).astype(jnp.uint32)
        time = state.time.astype(jnp.float32)
        return {"long": observation, "hint": jnp.stack([time, time])}, state, *rest[:-1], info


class TwoSizesLevels(type(PetriCorridor().level_space)):
    def suite(self, name):
        return (*PetriCorridor(5).level_space.suite("all"), *PetriCorridor(6).level_space.suite("all"))


class TwoSizes(PetriCorridor):
    """A corridor with a suite of corridors of two lengths."""

    @property
    def level_space(self):
        return TwoSizesLevels(self)


# -- Gymnasium's own judgement -----------------------------------------------------------------------------------------


def test_gymnasium_finds_nothing_to_object_to():
    adapter.register()
    options = {"height": 5, "width": 5, "levels": {"num_walls": 5}}
    check_env(
        gymnasium.make("minied/maze-v0", options=options, render_mode="rgb_array").unwrapped
    )  # warnings are errors


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_vector_is_what_gymnasium_makes_of_single_environments(mode):
    """Observations, rewards, ends and all of `info`, over starts and ends, in both modes of Gymnasium's own vector."""
    world, number = Telling(), 4
    ours = as_vector_env(world, number, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: as_env(world)] * number, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(ours, space) == getattr(theirs, space)
    assert same(ours.reset(seed=SEED), theirs.reset(seed=SEED))
    actions, ends = np.random.default_rng(0), np.zeros(2)
    for _ in range(12):
        action = actions.integers(2, size=number)
        one, other = ours.step(action), theirs.step(action)
        for mine, gymnasiums in zip(one, other, strict=True):
            assert same(mine, gymnasiums)
        assert one[0] in ours.observation_space
        ends += np.array([np.sum(one[2]), np.sum(one[3])])
    assert min(ends) > 1  # of both kinds
    assert same(ours.reset(), theirs.reset())  # goes on with the keys


def test_gymnasium_records_the_returns_and_lengths_of_episodes():
    """In its own mode; of SameStep gymnasium 1.3 begins an episode a step late, also with its own vector."""
    env = RecordEpisodeStatistics(as_vector_env(Corridor(3, 4), 2, levels=starts(1, 3)))
    env.reset(seed=SEED)
    found = []
    for _ in range(10):
        *_, infos = env.step(np.ones(2, int))
        for index in np.flatnonzero(infos.get("_episode", [])):
            found.append((int(index), float(infos["episode"]["r"][index]), int(infos["episode"]["l"][index])))
    assert {(0, 1.0, 1), (1, 1.0, 3)} == set(found)


# -- against minied ----------------------------------------------------------------------------------------------------


def test_a_vector_plays_what_minied_plays_with_the_same_keys_and_levels():
    """Lottery: how long an episode is depends on the key of its reset alone, which the state keeps a part of."""
    world, number, steps = Lottery(max_steps=4), 3, 12
    env = as_vector_env(world, number, autoreset_mode="SameStep")
    observations, _ = env.reset(seed=SEED)
    played = [env.step(np.zeros(number, int)) for _ in range(steps)]
    step, reset, sample = map(jax.jit, (world.step, world.reset, world.level_space.sample))
    for i in range(number):
        key, level_key, reset_key = jax.random.split(jax.random.key(SEED + i), 3)
        level = sample(level_key)
        observation, state = reset(reset_key, level)
        assert observations[i] == observation
        for seen, rewards, terminated, truncated, infos in played:
            key, step_key = jax.random.split(key)
            observation, state, reward, over, late, _ = step(step_key, state, jnp.int32(0), level)
            assert (rewards[i], terminated[i], truncated[i]) == (reward, over, late)
            if over or late:
                assert infos["final_obs"][i] == observation
                assert infos["final_info"]["solved"][i] == (reward > 0)
                key, level_key, reset_key = jax.random.split(key, 3)
                level = sample(level_key)
                observation, state = reset(reset_key, level)
            assert seen[i] == observation


def starts(*cells):
    return CorridorLevel(np.asarray(cells, np.int32))


def told(step):
    """What a step of two corridors gave, as lists, without info."""
    observations, rewards, terminated, truncated, _ = step
    return [each.tolist() for each in (observations["distance"], rewards, terminated, truncated)]


FORWARD, BACK = 1, 0


def test_next_step_begins_the_next_episode_a_step_later_whatever_the_action():
    env = as_vector_env(Corridor(length=3, max_steps=2), 2, levels=starts(1, 2, 3))
    observations, infos = env.reset()
    assert observations["distance"].tolist() == [1, 2]
    assert infos["level"].tolist() == [0, 1]
    # Environment 0 is at the goal; it still shows the last observation.
    assert told(last := env.step([FORWARD, BACK])) == [[0, 3], [1, 0], [True, False], [False, False]]
    assert last[4]["solved"].tolist() == [True, False]
    assert last[4]["_solved"].tolist() == [True, False]
    # It begins anew, on level 0 + 2, for nothing; environment 1 runs out of time.
    assert told(last := env.step([FORWARD, FORWARD])) == [[3, 2], [0, 0], [False, False], [False, True]]
    assert last[4]["level"].tolist() == [2, 1]
    assert last[4]["solved"].tolist() == [False, False]
    assert last[4]["_solved"].tolist() == [False, True]
    # Environment 1 begins anew on level 1 + 2, of three levels the first.
    assert told(last := env.step([FORWARD, FORWARD])) == [[2, 1], [0, 0], [False, False], [False, False]]
    assert last[4]["level"].tolist() == [2, 0]
    assert "_solved" not in last[4]
    assert told(env.step([FORWARD, FORWARD])) == [[1, 0], [0, 1], [False, True], [True, False]]


def test_same_step_shows_the_next_episode_and_keeps_the_last_observation():
    env = as_vector_env(Corridor(length=3, max_steps=2), 2, levels=starts(1, 2, 3), autoreset_mode="SameStep")
    env.reset()
    assert told(last := env.step([FORWARD, BACK])) == [[3, 3], [1, 0], [True, False], [False, False]]
    assert last[4]["final_obs"].tolist() == [{"distance": 0}, None]
    assert last[4]["_final_obs"].tolist() == last[4]["_final_info"].tolist() == [True, False]
    assert last[4]["final_info"]["level"].tolist() == [0, 0]  # the second is masked
    assert last[4]["final_info"]["_level"].tolist() == [True, False]
    assert last[4]["level"].tolist() == [2, 1]
    assert told(last := env.step([BACK, FORWARD])) == [[3, 1], [0, 0], [False, False], [False, True]]
    assert last[4]["final_obs"].tolist() == [None, {"distance": 2}]


def test_a_single_environment_plays_the_levels_in_turn():
    env = as_env(Corridor(length=3), levels=starts(1, 3))
    assert [int(env.reset()[0]["distance"]) for _ in range(3)] == [1, 3, 1]
    assert int(env.reset(seed=1)[0]["distance"]) == 1
    observation, reward, terminated, truncated, info = env.step(FORWARD)
    assert (observation["distance"], reward, terminated, truncated) == (0, 1.0, True, False)
    assert info == {"level": 0, "solved": True}


# -- seeds and levels --------------------------------------------------------------------------------------------------


def test_a_seed_says_everything():
    def play(seed, own=None):
        env = as_vector_env(Telling(), 3, seed=own)
        return [env.reset(seed=seed), *(env.step([0, 1, 0]) for _ in range(4)), env.reset()]

    first = play(SEED)
    assert all(map(same_step, first, play(SEED)))
    assert same(first[1][4], play(None, own=SEED)[1][4])
    assert same(first[1][4], play([SEED, SEED + 1, SEED + 2])[1][4])
    assert not same(first[1][4], play(SEED + 1)[1][4])
    assert not same(play(None)[1][4], play(None)[1][4])  # no seed: another one each time


def test_new_levels_at_each_start_differ():
    env = as_vector_env(Corridor(length=1000), 4)
    first, second = (env.reset()[0]["distance"] for _ in range(2))
    assert len({*first.tolist(), *second.tolist()}) > 6


def test_levels_can_be_changed_at_a_reset():
    env = as_vector_env(Corridor(length=5), 2, levels=starts(1))
    assert env.reset(seed=0)[0]["distance"].tolist() == [1, 1]
    assert env.reset(options={"levels": starts(4, 5)})[0]["distance"].tolist() == [4, 5]
    assert env.reset()[0]["distance"].tolist() == [4, 5]
    _, infos = env.reset(options={"levels": None})
    assert infos["level"].tolist() == [-1, -1]


def test_a_suite_by_its_name_is_played_level_by_level():
    env = as_vector_env(PetriCorridor(length=5), 3, levels="all")
    seen = [env.reset(seed=0)[0].tolist(), env.reset()[0].tolist()]
    assert seen == [[1, 2, 3], [4, 1, 2]]
    assert env.reset(options={"levels": "far_end"})[0].tolist() == [4, 4, 4]


# -- memory ------------------------------------------------------------------------------------------------------------


def test_what_the_caller_holds_is_the_caller_s():
    """On CPU NumPy and JAX see each other's memory unless one copies."""
    levels = starts(3, 3)
    env = as_vector_env(Corridor(length=5, max_steps=50), 2, levels=levels)
    levels.start[:] = 1
    first, _ = env.reset(seed=0)
    assert first["distance"].tolist() == [3, 3]
    first["distance"][:] = 0  # writable, and nothing to the environment
    actions = np.array([BACK, BACK])
    second, *_ = env.step(actions)
    actions[:] = FORWARD
    kept = second["distance"].copy()
    second["distance"][0] = 2
    env.step(actions)
    assert kept.tolist() == [4, 4]
    assert second["distance"].tolist() == [2, 4]


def test_observations_are_not_views_of_each_other_or_of_jax():
    env = as_vector_env(Script(), 2)
    first, _ = env.reset(seed=0)
    env.step([0, 0])
    assert first.tolist() == [[0.0], [0.0]]
    owner = first if first.base is None else first.base
    assert isinstance(owner, np.ndarray)
    assert owner.flags.owndata
    assert first.flags.writeable


def test_a_step_is_traced_once():
    world = CountingCorridor(length=4, max_steps=3)
    env = as_vector_env(world, 2)
    toy_worlds.TRACES.clear()
    env.reset(seed=0)
    for _ in range(8):
        env.step([FORWARD, BACK])
    env.reset()
    assert toy_worlds.TRACES["step"] == 1
    assert toy_worlds.TRACES["reset"] == 2  # at the start of all, and of some


# -- spaces and pictures -----------------------------------------------------------------------------------------------

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
    env.step([FORWARD, FORWARD])  # action 1 walks away from the goal, here
    left, right = env.render()
    assert np.array_equal(left, world.level_space.draw(jnp.int32(2)))
    assert np.array_equal(right, world.level_space.draw(jnp.int32(3)))
    assert as_env(world).render() is None


# -- by name -----------------------------------------------------------------------------------------------------------


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


# -- what is refused ---------------------------------------------------------------------------------------------------


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
        (lambda: as_env(Corridor(), levels=starts()), "levels is a CorridorLevel of shapes [(0,)]; allowed"),
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
