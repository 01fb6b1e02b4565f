"""What is read off a memory: the classifier by itself, and a world whose question some memories can answer."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from minied.cli import main
from minied.env import Environment, with_agent_axis
from minied.errors import UserError
from minied.evaluate.linear_probe import fit, memories, probe
from minied.levels.space import LevelSpace
from minied.run.session import SessionOptions, train
from minied.spaces import Box, Discrete
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig

SMALL = NetworkConfig(memory="gru", memory_size=8, head_size=4)


class AskerState(struct.PyTreeNode):
    time: jax.Array  # i32[]


@dataclasses.dataclass(frozen=True)
class AskerLevels(LevelSpace):
    def sample(self, key):
        return jax.random.randint(key, (), 0, 3)


@dataclasses.dataclass(frozen=True)
class Asker(Environment):
    """A number from 0 to 2 is shown in the first step alone, and asked for at the end."""

    max_steps: int = 3
    asks: bool = True
    action_space = Discrete(2)
    observation_space = Box(0, 1, (3,))

    @property
    def level_space(self):
        return AskerLevels()

    def reset(self, key, level):
        return jax.nn.one_hot(level, 3), AskerState(jnp.int32(0))

    def step(self, key, state, action, level):
        state = AskerState(state.time + 1)
        info = {"label": level} if self.asks else {}
        return jnp.zeros(3), state, jnp.float32(0), jnp.bool_(False), state.time >= self.max_steps, info


def test_the_weights_by_hand():
    # Two answers, one feature of 1 and -1 that tells them apart. By symmetry the weights are (w, -w) without the last row,
    # and the loss log(1 + exp(-2 w)) + ridge w² has its minimum where 2 / (1 + exp(2 w)) = 2 ridge w: for w = 1 with
    # ridge = 1 / (1 + e²).
    weights = fit(np.array([[-1.0], [1.0]]), np.array([0, 1]), 2, 1 / (1 + math.exp(2)))
    np.testing.assert_allclose(weights, [[-1, 1], [0, 0]], atol=1e-4)


def test_what_does_not_depend_on_the_features_is_guessed_by_the_last_row_which_is_free():
    weights = fit(np.zeros((4, 1)), np.array([0, 0, 0, 1]), 2, 1e6)
    # The frequencies 3/4 and 1/4 are met exactly whatever the ridge: a difference of log 3.
    assert weights[1, 0] - weights[1, 1] == pytest.approx(math.log(3), abs=1e-3)
    assert np.abs(weights[0]).max() < 1e-6


def test_accuracy_and_chance():
    random = np.random.default_rng(0)
    labels, answers = random.integers(0, 3, 400), random.integers(0, 3, 400)
    told = probe(np.eye(3)[labels] * 100 + 7, labels, np.eye(3)[answers] * 100 + 7, answers, 0.01)
    assert told.accuracy == 1
    # 0 is the most frequent to learn from, 1 of those that are asked for.
    chance = probe(np.zeros((3, 1)), np.array([0, 0, 1]), np.zeros((4, 1)), np.array([1, 1, 1, 0]), 0.01).chance
    assert chance == 0.25
    untold = probe(random.normal(size=(400, 2)), labels, random.normal(size=(400, 2)), answers, 0.01)
    # A third, with a standard deviation of sqrt(2/9/400) = 0.024
    assert untold.accuracy == pytest.approx(1 / 3, abs=0.1)
    # A feature that never changes divides by nothing; a label that was not learnt from cannot be chosen.
    few = probe(np.ones((2, 1)), np.array([0, 0]), np.ones((2, 1)), np.array([0, 2]), 0.01)
    assert few == dataclasses.replace(few, accuracy=0.5, chance=0.5)


@pytest.mark.parametrize("options", [{}, {"critic": "own"}, {"num_policy_heads": 2}, {"memory": "lstm"}])
def test_the_memory_is_that_of_the_policy_after_the_last_step(options):
    config = dataclasses.replace(SMALL, **options)
    env = Asker()
    student = ActorCritic.of(env, config)
    parameters, levels = student.init(jax.random.key(1)), jnp.array([2, 0, 1, 2], jnp.int32)
    features, labels = memories(jax.random.key(0), student, parameters, with_agent_axis(env), levels)
    assert labels.tolist() == [2, 0, 1, 2]
    # What it saw: the number, then nothing twice.
    seen = jnp.concatenate([jax.nn.one_hot(levels, 3)[None], jnp.zeros((2, 4, 3))])
    resets = jnp.arange(3)[:, None] == jnp.zeros((1, 4))
    carry = student.apply(parameters, student.initial_carry(4), seen, resets)[0]
    carry = carry[0] if "num_policy_heads" in options else carry
    carry = carry[0] if "critic" in options else carry
    np.testing.assert_allclose(features, jnp.concatenate(jax.tree.leaves(carry), axis=-1), atol=1e-6)
    assert features.shape == (4, 16 if "memory" in options else 8)


def test_what_cannot_be_read_is_told():
    levels = jnp.array([2, 0], jnp.int32)
    for env, config, message in (
        (
            Asker(asks=False),
            SMALL,
            "the world asks nothing: info['label'] is missing or no i32[]; allowed: one that asks,",
        ),
        (Asker(), NetworkConfig(memory="none"), "network.memory is 'none'; allowed with a probe: a memory to read"),
    ):
        student = ActorCritic.of(env, config)
        parameters = student.init(jax.random.key(1))
        with pytest.raises(UserError) as error:
            memories(jax.random.key(0), student, parameters, with_agent_axis(env), levels)
        assert str(error.value).startswith(message)


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run"
    config = TrainConfig(
        env=Asker(),
        teacher=DomainRandomization(),
        network=SMALL,
        ppo=PPOConfig(num_epochs=1),
        num_envs=2,
        num_steps=3,
        num_seeds=2,
        num_devices=1,
        updates=1,
        log_every=1,
        evaluate_every=0,
        checkpoint_every=0,
    )
    assert train(config, path, SessionOptions(quiet=True, pictures=False)) == 0
    return path


def test_the_command(run, capsys, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(run.parent))
    world = ["--env", "test_linear_probe:Asker"]

    def minied(*arguments):
        code = main(["probe", *arguments])
        return code, *capsys.readouterr()

    code, out, _ = minied(str(run), *world, "--levels", "90", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["checkpoint"] == 1
    assert told["levels"] == 90
    # A memory of random weights keeps enough of three numbers for three steps.
    for name in ("trained", "untrained"):
        assert len(told[name]["members"]) == 2
        assert told[name]["value"] > 0.9
    assert told["chance"] < 0.6
    assert told["files"] == [str(run / "evaluation" / "probe-Asker-1.json")]
    kept = json.loads((run / "evaluation" / "probe-Asker-1.json").read_text())
    assert kept == {name: value for name, value in told.items() if name != "files"}
    assert kept["env"]["name"] == "test_linear_probe:Asker"
    for more, name in (
        ((), "probe-Asker-1"),
        (("--ridge", "1"), "probe-Asker-1-2"),
        (("--ridge", "1"), "probe-Asker-1-2"),
    ):
        _, out, _ = minied(str(run), *world, "--levels", "90", *more, "--json")
        assert json.loads(out)["files"] == [str(run / "evaluation" / f"{name}.json")]
    code, out, err = minied(str(run), *world, "--levels", "90")
    assert "playing 90 levels" in err
    assert "probe-Asker-1.json" in out
    assert "on 30 unseen levels" in out
    assert f"{told['chance']:.1%}" in out
    for arguments, message in (
        ([], "minied probe needs the folder of a run"),
        ([str(run)], "minied probe needs a world that asks: --env NAME"),
        ([str(run), *world, "--levels", "10"], "--levels is 10; allowed: 30 to 1000000"),
        ([str(run), *world, "--ridge", "0"], "--ridge is 0.0; allowed: above 0"),
        ([str(run), *world, "--checkpoint", "7"], "--checkpoint is 7; allowed: 1"),
        ([str(run.parent), *world], f"{run.parent} is not a run folder"),
        ([str(run), "--env", "toy_entities:Arena"], "--env has 3 agents; allowed: a world with one"),
        ([str(run), *world, "--env.no-asks"], "info['label']"),
    ):
        code, _, err = minied(*arguments)
        assert code == 2
        assert message in err
        assert "playing" not in err
