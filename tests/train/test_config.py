"""The description of a run: refused in one line when it cannot work, and told apart by a fingerprint."""

import dataclasses
import json

import pytest
from toy_worlds import Corridor, Meeting

from minied.errors import UserError
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.train.config import TrainConfig


def config(**options):
    return TrainConfig(**{"env": Corridor(), "teacher": DomainRandomization()} | options)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"num_seeds": 0}, ("num_seeds is 0", "at least 1")),
        ({"updates": 0}, ("updates is 0", "at least 1")),
        ({"num_envs": -1}, ("num_envs is -1", "at least 1")),
        ({"num_steps": 0}, ("num_steps is 0", "at least 1")),
        ({"seed": -1}, ("seed is -1", "at least 0")),
        ({"seed": 2**31}, ("seed is 2147483648",)),
        ({"seed": 2**31 - 2, "num_seeds": 3}, ("seed is 2147483646",)),
        ({"evaluate_every": 15}, ("evaluate_every is 15", "multiple of log_every = 10")),
        ({"checkpoint_every": 7}, ("checkpoint_every is 7", "multiple of log_every = 10")),
        ({"num_envs": 6, "ppo": PPOConfig(num_minibatches=4)}, ("ppo.num_minibatches is 4", "num_envs = 6")),
        ({"suite": "held_out"}, ("unknown suite 'held_out'",)),
        ({"env_steps": -1}, ("env_steps is -1", "at least 0")),
        ({"keep_checkpoints": 1}, ("keep_checkpoints is 1", "at least 2")),
        ({"num_train_levels": -1}, ("num_train_levels is -1", "at least 0")),
        ({"train_levels_seed": -1}, ("train_levels_seed is -1", "at least 0")),
        ({"log_score_correlations": ("maxmc",)}, ("unknown score 'maxmc'", "did you mean 'max_mc'")),
        ({"log_score_correlations": ("value_disagreement",)}, ("'value_disagreement'", "num_value_heads is 1")),
        (
            {"log_score_correlations": ("max_mc",), "env": Meeting()},
            ("log_score_correlations needs exact regret", "Meeting"),
        ),
        ({"teacher": RobustPrioritizedLevelReplay(buffer_size=8), "num_envs": 16}, ("teacher.buffer_size is 8", "16")),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        config(**options)
    assert all(part in str(error.value) for part in parts)
    assert "\n" not in str(error.value)


def test_a_budget_of_steps_is_whole_batches_at_least_as_many_and_none_if_it_is_zero():
    # 4 environments of 8 steps: 32 a batch
    sizes = {steps: config(env_steps=steps, num_envs=4, num_steps=8).max_rollouts for steps in (1, 32, 33, 64, 0)}
    assert sizes == {1: 1, 32: 1, 33: 2, 64: 2, 0: 2**31 - 1}


def test_scores_whose_correlation_is_logged_are_part_of_the_config():
    logged = config(log_score_correlations=("max_mc", "learnability"))
    assert logged.to_dict()["log_score_correlations"] == ["max_mc", "learnability"]
    assert logged.fingerprint != config().fingerprint


def test_zero_means_at_the_end_only_and_is_allowed():
    assert config(evaluate_every=0, checkpoint_every=0).evaluate_every == 0


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().seed = 3


def test_dictionary_is_plain_data_with_the_names_of_world_and_teacher():
    data = config(teacher=RobustPrioritizedLevelReplay(temperature=0.1)).to_dict()
    assert data["teacher"]["name"] == "robust_plr"
    assert data["teacher"]["temperature"] == 0.1
    assert data["env"] == {
        "name": "toy_worlds:Corridor", "length": 5, "max_steps": 10, "reveals_distance": True,
    }  # fmt: skip
    assert data["ppo"]["discount"] == 0.995
    assert json.loads(json.dumps(data)) == data


def test_fingerprint_is_equal_for_equal_configs_and_differs_by_any_field():
    assert config().fingerprint == config().fingerprint
    assert len(config().fingerprint) == 12
    int(config().fingerprint, 16)
    others = [
        config(seed=1),
        config(ppo=PPOConfig(learning_rate=2e-4)),
        config(env=Corridor(length=6)),
        config(teacher=RobustPrioritizedLevelReplay()),
        config(schedule_seed=1),
    ]
    assert len({c.fingerprint for c in [config(), *others]}) == 6
