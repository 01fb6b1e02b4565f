"""Worlds of JaxMARL, step by step beside the library itself, and worlds of minied as environments of JaxMARL."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_duel import Duel

from minied.adapters.base import quiet, require
from minied.adapters.jaxmarl import JaxMARL, as_jaxmarl
from minied.adapters.jaxmarl_library import ENVIRONMENTS, LIBRARY, REFUSED, resolved
from minied.adapters.jaxmarl_particles import distances
from minied.errors import UserError
from minied.spaces import Box, Discrete, Mask

pytestmark = pytest.mark.usefixtures("library_promotes_ranks")

TAG = JaxMARL(set=("num_adversaries=2",), num_edits=2, edit_size=0.25)


@dataclasses.dataclass
class Played:
    """An environment, its compiled functions, and the library's own environment."""

    env: JaxMARL

    def __post_init__(self):
        self.space = self.env.level_space
        self.sample, self.reset = jax.jit(self.space.sample), jax.jit(self.env.reset)
        self.step = jax.jit(self.env.step)
        options = dict(ENVIRONMENTS[self.env.id].options) | {
            name: json.loads(value) for name, _, value in (each.partition("=") for each in self.env.set)
        }
        with quiet():
            self.library = require(LIBRARY).make(self.env.id, **resolved(self.env.id, options))
        self.library_reset = jax.jit(self.library.reset)
        self.library_step = jax.jit(
            lambda *arguments: self.library.step_env(*arguments)
        )  # which may have been compiled


@pytest.fixture(scope="module")
def tag():
    return Played(TAG)


@pytest.fixture(scope="module")
def riddle():
    return Played(JaxMARL(id="switch_riddle"))


def same(env, observation, theirs):
    """Whether each agent sees what it does in the library, with zeros up to the longest."""
    for index, name in enumerate(env.agents):
        own = observation["seen"][index] if env.num_agents > 1 else observation["seen"]
        wanted = np.asarray(theirs[name], np.float32)
        if own.ndim == 1:
            wanted = np.pad(wanted.ravel(), (0, own.size - wanted.size))
        np.testing.assert_allclose(own, wanted, atol=1e-6, err_msg=name)


def allowed(env, observation, rng):
    everything = np.ones((env.num_agents, env.action_space.n), bool)
    rows = np.asarray(observation.get("available", everything)).reshape(env.num_agents, -1)
    actions = jnp.asarray([rng.choice(np.flatnonzero(row)) for row in rows], jnp.int32)
    return actions if env.num_agents > 1 else actions[0]


def play(played, key, rng):
    """Play an episode in both; return how it ended here, its steps, and at which step it ended in the library."""
    env = played.env
    with quiet():
        seen, theirs = played.library_reset(key)
    level = played.sample(key)
    for ours, wanted in zip(jax.tree.leaves(level), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    observation, state = played.reset(jax.random.key(0), level)
    was_done, time, over_at, terminated, truncated = np.zeros(env.num_agents, bool), 0, 0, False, False
    while not (terminated or truncated):
        same(env, observation, seen)
        rows = jax.tree.map(lambda leaf: leaf[None], observation) if env.num_agents == 1 else observation
        for index in range(env.num_agents):
            assert env.observation_space.contains(jax.tree.map(lambda leaf, i=index: np.asarray(leaf)[i], rows))
        actions, step_key = allowed(env, observation, rng), jax.random.fold_in(key, time)
        with quiet():
            by_name = env.made.action_of(actions.reshape(-1))
            seen, theirs, paid, dones, _ = played.library_step(step_key, theirs, by_name)
        observation, state, reward, terminated, truncated, info = played.step(step_key, state, actions, level)
        time += 1
        np.testing.assert_allclose(reward, np.squeeze([paid[name] for name in env.agents]), atol=1e-4, rtol=1e-5)
        if ENVIRONMENTS[env.id].leaves:
            np.testing.assert_array_equal(info["present"], ~was_done)
        was_done |= np.asarray([dones[name] for name in env.agents])
        over_at = over_at or time * int(dones["__all__"])
        assert not (terminated and truncated)
        assert not over_at or terminated or truncated
    same(env, observation, seen)
    return bool(terminated), bool(truncated), time, over_at


# -- episodes ----------------------------------------------------------------------------------------------------------


def test_tag_is_played_as_in_the_library_but_for_its_last_step(tag):
    """The library, told 25 steps, takes 26."""
    rng = np.random.default_rng(0)
    assert [play(tag, jax.random.key(seed), rng) for seed in (0, 1)] == [(False, True, 25, 0)] * 2


def test_a_time_limit_of_the_library_s_is_taken_off(tag):
    longer = dataclasses.replace(TAG, max_steps=30)
    level, step = tag.sample(jax.random.key(0)), jax.jit(longer.step)
    _, state = longer.reset(jax.random.key(0), level)
    for time in range(1, 31):
        _, state, _, terminated, truncated, _ = step(jax.random.key(time), state, jnp.zeros(3, jnp.int32), level)
        assert (bool(terminated), bool(truncated)) == (False, time == 30)


def test_the_end_of_a_riddle_is_no_time_out(riddle):
    """Whoever is in the room tells (action 2) at the last step, or nobody does; the library says done to both."""
    level = riddle.sample(jax.random.key(0))
    for last, ends in ((2, (True, False)), (0, (False, True))):
        _, state = riddle.reset(jax.random.key(0), level)
        for time in range(1, 7):
            actions = jnp.full(3, last if time == 6 else 0, jnp.int32)
            _, state, reward, terminated, truncated, _ = riddle.step(jax.random.key(time), state, actions, level)
            assert (bool(terminated), bool(truncated)) == (ends if time == 6 else (False, False))
        assert (np.asarray(reward) != 0).all() == ends[0]


def test_spaces_are_told_while_a_program_is_traced(riddle):
    told = []
    jax.jit(lambda: told.append(riddle.env.observation_space))()
    assert told == [riddle.env.observation_space]


def test_a_level_is_a_start(tag):
    level, other = (tag.sample(jax.random.key(seed)) for seed in (0, 1))
    first, second = (tag.reset(jax.random.key(seed), level)[0] for seed in (0, 1))
    np.testing.assert_array_equal(first["seen"], second["seen"])
    assert not np.array_equal(first["seen"], tag.reset(jax.random.key(0), other)[0]["seen"])
    _, state = tag.reset(jax.random.key(0), level)
    _, later, *_ = tag.step(jax.random.key(0), state, jnp.zeros(3, jnp.int32), level)
    forms = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), each) for each in (state, later)]
    assert forms[0] == forms[1]
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((level, state, later)))


def test_one_agent_has_no_axis():
    played = Played(JaxMARL(id="MPE_simple_v3", max_steps=3))
    assert list(dict(played.env.observation_space.parts)) == ["seen"]
    level = played.sample(jax.random.key(0))
    observation, state = played.reset(jax.random.key(0), level)
    observation, _, reward, *_, info = played.step(jax.random.key(0), state, jnp.int32(1), level)
    assert (observation["seen"].shape, reward.shape, info) == ((4,), (), {})
    assert not played.env.is_solved(jnp.float32(0.0))
    assert played.env.is_solved(jnp.float32(0.1))


# -- agents ------------------------------------------------------------------------------------------------------------


def test_agents_and_their_actions_are_told_apart(tag):
    assert TAG.agents == ("adversary_0", "adversary_1", "agent_0")
    parts = dict(TAG.observation_space.parts)
    assert list(parts) == ["seen", "agent"]
    assert (parts["seen"].shape, parts["agent"], TAG.action_space) == ((14,), Discrete(3), Discrete(5))
    observation, _ = tag.reset(jax.random.key(0), tag.sample(jax.random.key(0)))
    assert observation["agent"].tolist() == [0, 1, 2]
    assert not observation["seen"][2, 12:].any()  # the prey sees two numbers less
    listening = JaxMARL(id="MPE_simple_speaker_listener_v4")
    assert dict(listening.observation_space.parts)["available"] == Mask(5)
    observation, _ = listening.reset(jax.random.key(0), listening.level_space.sample(jax.random.key(0)))
    assert observation["available"].tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert {name: int(own) for name, own in listening.made.action_of(jnp.asarray([4, 4])).items()} == {
        "speaker_0": 2, "listener_0": 4,
    }  # fmt: skip


def test_who_is_out_is_absent_and_never_all():
    battle = JaxMARL(id="SMAX")
    out = jnp.zeros(10, bool).at[jnp.asarray([0, 7])].set(True)
    assert battle._present(out)["present"].tolist() == [index not in (0, 7) for index in range(10)]
    assert battle._present(jnp.ones(10, bool))["present"].all()
    scripted = JaxMARL(id="MPE_simple_facmac_6a_v1")._present(jnp.zeros(8, bool))["present"]
    assert scripted.tolist() == [True] * 6 + [False] * 2  # the library itself plays the prey
    assert TAG._present(jnp.zeros(3, bool)) == {}


def test_teams_follow_from_names_and_the_first_is_the_one_that_wins():
    assert JaxMARL().teams == (0, 0, 0, 1)
    assert TAG.teams == (0, 0, 1)
    assert JaxMARL(id="MPE_simple_world_comm_v3").teams == (0, 0, 0, 0, 1, 1)
    assert JaxMARL(id="MPE_simple_crypto_v3").teams == (0, 1, 1)
    assert JaxMARL(id="SMAX").teams == (0,) * 5 + (1,) * 5
    assert JaxMARL(id="HeuristicEnemySMAX").teams == JaxMARL(id="jaxnav", team_of_each=(0, 0)).teams[:1] * 5
    assert JaxMARL(id="coin_game").teams == (0, 1)
    assert JaxMARL(team_of_each=(1, 1, 0, 0)).teams == (1, 1, 0, 0)
    returns = jnp.asarray([30.0, -10.0, -10.0, 50.0])
    assert JaxMARL().is_solved(returns)  # 10 / 3 on average
    assert not JaxMARL(solved_return=4.0).is_solved(returns)
    assert JaxMARL(team_of_each=(1, 1, 1, 0), solved_return=50.0).is_solved(returns)


# -- levels of particles -----------------------------------------------------------------------------------------------


def test_edits_move_few_things_a_little(tag):
    mutate, valid = jax.jit(tag.space.mutate), jax.jit(tag.space.is_valid)
    level, moved = tag.sample(jax.random.key(0)), np.zeros(5, bool)
    for seed in range(30):
        after = mutate(jax.random.key(seed), level)
        steps = np.abs(np.asarray(after.p_pos - level.p_pos))
        assert 1 <= (steps.max(axis=1) > 0).sum() <= 2
        assert steps.max() <= 0.5 + 1e-6  # one thing may move twice
        assert valid(after)
        np.testing.assert_array_equal(after.p_vel, 0)
        moved |= steps.max(axis=1) > 0
        level = after
    assert moved.all()
    assert not valid(level.replace(p_pos=level.p_pos + 2))
    assert not valid(level.replace(p_vel=level.p_vel + 1))
    assert not valid(level.replace(step=level.step + 1))


def test_levels_are_made_of_positions(tag):
    parameters = tag.space.parameters
    names = [part.name for part in parameters.parts]
    assert names[:2] == ["adversary_0_x", "adversary_0_y"]
    assert names[-2:] == ["landmark_1_x", "landmark_1_y"]
    level = parameters.level(jax.random.key(0), jnp.linspace(-1.0, 1.0, 10))
    np.testing.assert_allclose(np.asarray(level.p_pos).ravel(), np.linspace(-1, 1, 10), atol=1e-6)
    assert tag.space.is_valid(level)


def test_distances_by_hand():
    """Hunters at (0, 0) and (1, 0), prey at (0, 0.5), one landmark at (0, −1): 1, √2 and 1.5 to it."""
    positions = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5], [0.0, -1.0]])
    told = distances(positions, (0, 0, 1))
    assert float(told["opponent_distance"]) == pytest.approx(0.5)
    assert float(told["landmark_distance"]) == pytest.approx((1 + 2**0.5 + 1.5) / 3)
    assert np.isnan(distances(positions, (0, 0, 0))["opponent_distance"])


def test_what_is_no_start_is_not_read(tag):
    numbers = json.loads(tag.space.to_text(tag.sample(jax.random.key(5))))
    outside = [[50.0, 0.0], *numbers["p_pos"][1:]]
    for wrong, told in (
        (
            {"p_pos": outside},
            "outside or moving, a goal that is no landmark, or is under way; allowed: positions from -1",
        ),
        ({"step": 7}, "is under way"),
        ({"p_pos": [[float("nan"), 0.0], *outside[1:]]}, "p_pos of a level has numbers that are infinite or NaN"),
    ):
        with pytest.raises(UserError, match=told):
            tag.space.from_text(json.dumps(numbers | wrong))
    hidden = JaxMARL(id="MPE_simple_push_v3").level_space
    level = hidden.sample(jax.random.key(0))
    assert hidden.is_valid(level)
    assert not hidden.is_valid(level.replace(goal=level.goal + 2))


def test_levels_are_read_back_and_drawn(tag):
    level = tag.sample(jax.random.key(5))
    text = tag.space.to_text(level)
    assert tag.space.fingerprint(tag.space.from_text(text)).tolist() == tag.space.fingerprint(level).tolist()
    for wrong, told in (
        ("[1]", "a level has the arrays list; allowed: done, step, p_pos, p_vel, c"),
        (text.replace("p_pos", "place"), "a level has the arrays"),
        (text.replace('"step": 0', '"step": 0.5'), r"step of a level is float64\[\]; allowed: int32\[\]"),
        (text[:-1], "a level is no JSON"),
    ):
        with pytest.raises(UserError, match=told):
            tag.space.from_text(wrong)
    level = level.replace(p_pos=jnp.asarray([[-1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [-1.0, -1.0], [1.0, -1.0]]))
    picture = tag.space.draw(level)
    at = np.round((np.asarray([-1.0, 0.0, 1.0]) + 1.3) / 2.6 * 255).astype(int)
    assert picture[at[0], at[0]].tolist() == [214, 72, 66]  # a hunter, at the upper left
    assert picture[at[1], at[1]].tolist() == [38, 99, 190]
    assert picture[at[2], at[2]].tolist() == [150, 150, 150]
    (suite,) = tag.space.suite("sampled")
    assert len(np.unique(np.asarray(jax.vmap(tag.space.fingerprint)(suite.levels)), axis=0)) == 32


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "MPE_simple_tag"}, "unknown environment of JaxMARL 'MPE_simple_tag' .did you mean 'MPE_simple_tag_v3'"),
        ({"id": "ant_4x2"}, "id is 'ant_4x2', which needs brax"),
        ({"id": "storm"}, "which does not name its agents"),
        ({"set": ("num_adversaries",)}, "set has 'num_adversaries'; allowed: NAME=VALUE"),
        ({"set": ("max_steps=9",)}, "a time limit is given by max_steps"),
        ({"id": "switch_riddle", "set": ("size=9",)}, "unknown argument of switch_riddle 'size'; known: initial_bulb_"),
        (
            {"set": ("num_adversarys=3",)},
            "unknown argument of MPE_simple_tag_v3 'num_adversarys' .did you mean 'num_adv",
        ),
        (
            {"id": "HeuristicEnemySMAX", "set": ("num_ally=3",)},
            "unknown argument of HeuristicEnemySMAX 'num_ally' .did",
        ),
        ({"set": ("num_obs=2", "num_obs=3")}, "set has 'num_obs' twice; allowed: once"),
        ({"set": ("num_adversaries=0", "num_good_agents=0")}, "with which MPE_simple_tag_v3 has 0 agents; allowed: at"),
        ({"set": ("num_adversaries=-1", "num_good_agents=3")}, "of which MPE_simple_tag_v3 makes nothing|has 2 agents"),
        (
            {"set": ("num_adversaries=many",)},
            "of which MPE_simple_tag_v3 makes nothing .*allowed: its arguments, with v",
        ),
        ({"set": ("num_obs=-1",)}, "of which MPE_simple_tag_v3 makes nothing"),
        (
            {"id": "overcooked", "set": ("layout=nope",)},
            "unknown layout of overcooked 'nope'; known: asymm_advantages, ",
        ),
        ({"id": "overcooked_v2", "set": ("layout=nope",)}, "unknown layout of overcooked_v2 'nope'; known: asymm_adva"),
        (
            {"id": "SMAX", "set": ("scenario=3n",)},
            "unknown scenario of SMAX '3n' .did you mean '3m'.*; known: 10m_vs_11m",
        ),
        ({"team_of_each": (0, 1)}, "team_of_each is .0, 1.; allowed: 4 numbers from 0, one for each of adversary_0"),
        ({"max_steps": -1}, "max_steps is -1; allowed: 0 to"),
        ({"id": "coin_game", "max_steps": 101}, "max_steps is 101; allowed for coin_game: at most 100"),
        ({"edit_size": 0.0}, "edit_size is 0.0; allowed: more than 0, at most 2"),
        ({"action_bins": 65}, "action_bins is 65; allowed: 2 to 64"),
        ({"solved_return": float("inf")}, "solved_return is inf"),
    ],
)
def test_wrong_options_are_told_in_a_line(options, told):
    with pytest.raises(UserError, match=told):
        JaxMARL(**options)


def test_what_is_offered_is_there():
    assert JaxMARL().level_space.offered == JaxMARL.offers
    assert JaxMARL(id="hanabi").level_space.offered == ("to_text", "from_text", "suites")
    assert hash(JaxMARL(max_steps=25)) == hash(JaxMARL())
    assert JaxMARL(id="hanabi").max_steps == 128
    assert JaxMARL(id="switch_riddle", set=("num_agents=4",)).max_steps == 10  # 4 · 4 − 6


def test_a_config_is_read_without_the_library_which_then_leaves_the_streams_alone():
    code = (
        "import contextlib, io, sys\n"
        "from minied.adapters.jaxmarl import JaxMARL\n"
        "from minied.adapters.base import require\n"
        "from minied.adapters.jumanji import Jumanji\n"
        "for world in (JaxMARL(), Jumanji(height=7)):\n"
        "    assert world.max_steps and world.teams and world.level_space.offered and world.level_space.suites\n"
        "assert not {'jaxmarl', 'jumanji'} & set(sys.modules)\n"
        "before = sys.stdout, sys.stderr, sys.__stdout__\n"
        "with contextlib.redirect_stdout(io.StringIO()) as told:\n"
        "    require(JaxMARL.library)\n"
        "    assert sys.stdout is told\n"
        "assert (sys.stdout, sys.stderr, sys.__stdout__) == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- the other way -----------------------------------------------------------------------------------------------------


def test_a_world_of_minied_is_played_by_names():
    duel = Duel()
    env = as_jaxmarl(duel, "fair")
    assert env.agents == ["team_0_agent_0", "team_1_agent_0", "team_0_agent_1"]
    assert env.agent_classes == {"team_0": ["team_0_agent_0", "team_0_agent_1"], "team_1": ["team_1_agent_0"]}
    assert (env.num_agents, env.max_steps, env.action_space("team_1_agent_0").n) == (3, 3, 3)
    assert env.observation_space("team_0_agent_0").shape == (3,)
    observations, state = env.reset(jax.random.key(0))
    assert {name: value.tolist() for name, value in observations.items()} == {
        "team_0_agent_0": [1, 0, 0], "team_1_agent_0": [-1, 0, 0], "team_0_agent_1": [1, 0, 0],
    }  # fmt: skip
    # The first team names 2 and 1, the second 1: a point for the first in each of three steps.
    actions = {"team_0_agent_1": jnp.int32(1), "team_0_agent_0": jnp.int32(2), "team_1_agent_0": jnp.int32(1)}
    for time in (1, 2, 3):
        observations, state, rewards, dones, info = env.step_env(jax.random.key(time), state, actions)
        assert {name: float(value) for name, value in rewards.items()} == {
            "team_0_agent_0": 1, "team_1_agent_0": -1, "team_0_agent_1": 1,
        }  # fmt: skip
        assert {bool(done) for done in dones.values()} == {time == 3}
        assert set(dones) == {*env.agents, "__all__"}
        assert bool(info["truncated"]) == bool(info["solved"]) == (time == 3)
        assert observations["team_1_agent_0"].tolist() == pytest.approx([-1, 1, time / 3])
    assert int(state.step) == 3
    assert {name: mask.all() for name, mask in env.get_avail_actions(state).items()} == dict.fromkeys(env.agents, True)


def test_the_library_resets_a_world_of_minied():
    env = as_jaxmarl(Duel(max_steps=1))
    _, state = env.reset(jax.random.key(0))
    actions = dict.fromkeys(env.agents, jnp.int32(0))
    _, after, _, dones, info = env.step(jax.random.key(1), state, actions)
    assert dones["__all__"]
    assert info["truncated"]
    assert int(after.step) == 0  # of the next episode, on another level
    assert float(after.slot.level) != float(state.slot.level)
    _, again, *_ = env.step(jax.random.key(1), state, actions, state)  # to a state that is given
    assert float(again.slot.level) == float(state.slot.level)


def test_parts_of_an_observation_are_a_dict_or_one_vector():
    listening = JaxMARL(id="MPE_simple_speaker_listener_v4")
    flat, parts = as_jaxmarl(listening, "sampled"), as_jaxmarl(listening, "sampled", flat=False)
    assert flat.agents == ["speaker_0", "listener_0"]
    assert flat.observation_space("speaker_0").shape == (13,)  # 11 numbers, and which of two agents; the mask apart
    observations, state = flat.reset(jax.random.key(0))
    told, _ = parts.reset(jax.random.key(0))
    np.testing.assert_array_equal(observations["listener_0"][:11], told["listener_0"]["seen"])
    assert observations["listener_0"][11:].tolist() == [0, 1]
    assert set(parts.observation_space("listener_0").spaces) == {"seen", "agent"}
    assert flat.get_avail_actions(state)["speaker_0"].tolist() == [True] * 3 + [False] * 2
    with pytest.raises(UserError, match="unknown suite"):
        as_jaxmarl(listening, "others")


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("id", sorted(ENVIRONMENTS))
def test_every_environment_is_played_as_in_the_library(id):
    played = Played(JaxMARL(id=id))
    known = ENVIRONMENTS[id]
    assert played.env._own.agents == known.agents == tuple(played.library.agents)
    assert played.env._own.max_steps == known.max_steps
    rng = np.random.default_rng(0)
    terminated, truncated, steps, over_at = play(played, jax.random.key(2), rng)
    assert terminated == (not truncated)
    assert steps == (over_at if terminated else known.max_steps)
    level = played.sample(jax.random.key(0))
    back = played.space.from_text(played.space.to_text(level))
    assert played.space.fingerprint(back).tolist() == played.space.fingerprint(level).tolist()


@pytest.mark.slow
def test_layouts_and_scenarios_are_given_by_name():
    ring = JaxMARL(id="overcooked", set=("layout=coord_ring",))
    assert dict(ring.observation_space.parts)["seen"].shape == (5, 5, 26)
    battle = JaxMARL(id="SMAX", set=("scenario=2s3z",))
    assert battle.agents == JaxMARL(id="SMAX").agents
    types = battle.level_space.sample(jax.random.key(0)).unit_types
    assert sorted(np.asarray(types[:5]).tolist()) == [2, 2, 3, 3, 3]  # stalkers and zealots


@pytest.mark.slow
def test_every_environment_is_played_or_refused():
    assert set(ENVIRONMENTS) | set(REFUSED) == set(require(LIBRARY).registered_envs)
    assert isinstance(JaxMARL().observation_space.spaces["seen"], Box)
