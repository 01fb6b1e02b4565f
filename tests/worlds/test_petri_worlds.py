"""The two tiny worlds: all of what they do, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.env import with_agent_axis
from minied.errors import UserError
from minied.levels.parameters import ParameterDesigner, Parameters
from minied.levels.tasks import check_tasks
from minied_envs.grid import tiles
from minied_envs.petri import Corridor, NoisyBandit

KEY = jax.random.key(0)


def number(value):
    return jnp.asarray(value, jnp.int32)


# -- the bandit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_arms", "rewards"), [(5, [0, 1 / 3, 2 / 3, 1]), (4, [0, 1 / 2, 1]), (3, [0, 1]), (2, [1])]
)
def test_all_arms_but_the_last_always_pay_the_same(num_arms, rewards):
    env = NoisyBandit(num_arms)
    for arm, expected in enumerate(rewards):
        for seed, action in ((0, 0), (1, 1), (2, 0)):
            observation, state = env.reset(KEY, number(arm))
            assert int(observation) == arm
            assert env.observation_space.contains(observation)
            observation, _, reward, terminated, truncated, _ = env.step(
                jax.random.key(seed), state, number(action), number(arm)
            )
            assert float(reward) == pytest.approx(expected)
            assert (int(observation), bool(terminated), bool(truncated)) == (arm, True, False)
        assert float(env.level_space.optimal_return(number(arm))) == pytest.approx(expected)
    assert float(env.level_space.optimal_return(number(num_arms - 1))) == 0.5


def test_the_last_arm_is_a_fair_coin_whatever_is_done():
    env = NoisyBandit()
    step = jax.jit(jax.vmap(lambda key, action: env.step(key, number(4), action, number(4))[2]))
    actions = jnp.arange(4000, dtype=jnp.int32) % 2
    rewards = np.asarray(step(jax.random.split(KEY, 4000), actions))
    assert set(rewards.tolist()) == {0.0, 1.0}
    for action in (0, 1):
        assert abs(rewards[action::2].sum() - 1000) < 112  # ± 22


def test_bandit_levels():
    space = NoisyBandit(4).level_space
    drawn = np.asarray(jax.vmap(space.sample)(jax.random.split(KEY, 4000)))
    assert drawn.dtype == np.int32
    assert all(abs(count - 1000) < 140 for count in np.bincount(drawn, minlength=4))  # ± 27
    check_tasks(space.tasks, by="a test")
    assert [int(space.tasks.level(KEY, jnp.asarray([task], jnp.int32))) for task in range(4)] == [0, 1, 2, 3]
    assert {name: float(value) for name, value in space.describe(number(3)).items()} == {"is_noisy": 1, "arm": 3}
    assert {name: float(value) for name, value in space.describe(number(1)).items()} == {"is_noisy": 0, "arm": 1}
    (part,) = space.suite("all")
    assert part.levels.tolist() == [0, 1, 2, 3]
    assert part.names == space.tasks.names == ("arm 0", "arm 1", "arm 2", "coin")
    assert len({tuple(space.fingerprint(level).tolist()) for level in part.levels}) == 4


# -- the corridor -----------------------------------------------------------------------------------------------------


def walk(env, start, actions):
    observation, state = env.reset(KEY, number(start))
    steps = [(int(observation), None, None, None)]
    for action in actions:
        observation, state, reward, terminated, truncated, _ = env.step(KEY, state, number(action), number(start))
        assert env.observation_space.contains(observation)
        steps.append((int(observation), float(reward), bool(terminated), bool(truncated)))
    return steps


def test_corridor_by_hand():
    env = Corridor(4, max_steps=5)
    # Away is blocked at the far end, cell 3; at the goal, cell 0, the episode ends.
    steps = walk(env, 2, [1, 1, 0, 0, 0])
    assert [step[0] for step in steps] == [2, 3, 3, 2, 1, 0]
    assert [step[1:] for step in steps[1:5]] == [(0.0, False, False)] * 4
    assert steps[5][1:] == (1.0, True, False)  # at the last step it is an end, no time-out
    assert walk(env, 2, [1, 0, 1, 0, 1])[5][1:] == (0.0, False, True)


def test_corridor_levels():
    env = Corridor(6, max_steps=4)
    space = env.level_space
    drawn = np.asarray(jax.vmap(space.sample)(jax.random.split(KEY, 4000)))
    assert drawn.dtype == np.int32
    counts = np.bincount(drawn, minlength=6)
    assert counts[0] == 0
    assert all(abs(count - 800) < 127 for count in counts[1:])  # ± 25
    assert [float(space.optimal_return(number(start))) for start in range(1, 6)] == [1, 1, 1, 1, 0]
    assert walk(env, 4, [0] * 4)[-1][1:] == (1.0, True, False)
    assert walk(env, 5, [0] * 4)[-1][1:] == (0.0, False, True)
    assert float(space.describe(number(3))["distance"]) == 3
    assert list(space.suites) == ["far_end", "all"]
    assert space.suite("far_end")[0].levels.tolist() == [5]
    assert space.suite("all")[0].levels.tolist() == [1, 2, 3, 4, 5]
    assert space.suite("all")[0].names[0] == "start 1"


def test_corridor_text_and_picture():
    space = Corridor(5).level_space
    assert space.to_text(number(2)) == "G.<.."
    for start in range(1, 5):
        level = space.from_text(f" {space.to_text(number(start))}\n")
        assert (int(level), level.dtype) == (start, jnp.int32)
    for text in ("", "G...", "G<....", "<G...", "G....", "G<<..", "G.>..", "G<.\n.."):
        with pytest.raises(UserError) as error:
            space.from_text(text)
        allowed = "allowed: G, then 4 cells, of which one is < and the others are ."
        assert str(error.value) == f"the corridor is drawn {text!r}; {allowed}"
    picture = space.draw(number(2))
    assert picture.shape == (3 * 24, 7 * 24, 3)
    assert picture[36, 47].tolist() == list(tiles.COLOURS[tiles.GOAL])
    _, state = Corridor(5).reset(KEY, number(2))
    np.testing.assert_array_equal(picture, space.draw(number(2), state))
    _, state, *_ = Corridor(5).step(KEY, state, number(0), number(2))
    np.testing.assert_array_equal(space.draw(number(1)), space.draw(number(2), state))


# -- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "name", "levels"), [(NoisyBandit(3), "arm", [0, 1, 2]), (Corridor(4), "start", [1, 2, 3])]
)
def test_parameters_are_all_levels(env, name, levels):
    parameters = env.level_space.parameters
    assert isinstance(parameters, Parameters)
    assert [(part.name, part.number) for part in parameters.parts] == [(name, 3)]
    designer = ParameterDesigner(parameters)
    made = []
    for choice in range(3):
        observation, state = designer.reset(KEY, designer.empty())
        assert observation["mask"].tolist() == [True] * 3
        _, _, _, terminated, _, info = designer.step(KEY, state, number(choice), designer.empty())
        assert bool(terminated)
        assert info["level"].dtype == env.level_space.sample(KEY).dtype
        made.append(int(info["level"]))
    assert made == levels


@pytest.mark.parametrize("env", [NoisyBandit(), Corridor()])
def test_they_are_worlds_like_others(env):
    assert hash(env) == hash(type(env)())
    assert env.action_space.n == 2
    assert env.num_agents == 1
    wrapped = with_agent_axis(env)
    observation, state = wrapped.reset(KEY, env.level_space.sample(KEY))
    assert observation.shape == (1,)
    _, _, reward, *_ = jax.jit(wrapped.step)(KEY, state, number([0]), env.level_space.sample(KEY))
    assert reward.shape == (1,)
    with pytest.raises(UserError, match="unknown suite 'none'"):
        env.level_space.suite("none")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoisyBandit(1), "num_arms is 1; allowed: 2 to 1000"),
        (lambda: NoisyBandit(1001), "num_arms is 1001; allowed: 2 to 1000"),
        (lambda: Corridor(1), "length is 1; allowed: 2 to 1000"),
        (lambda: Corridor(1001), "length is 1001; allowed: 2 to 1000"),
        (lambda: Corridor(4, max_steps=0), "max_steps is 0; allowed: 1 to 16777215"),
    ],
)
def test_options_are_checked(make, message):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == message
