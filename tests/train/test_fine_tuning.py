"""Runs that go on from another run: what they take, that they need it no more, and what is refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from tiny_runs import equal
from toy_entities import Arena

from minied.errors import UserError
from minied.run.checkpoint import Checkpoints
from minied.run.folder import open_run
from minied.run.session import SessionOptions, resume, train
from minied.run.transfer import earlier_of
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.students.transfer import named, plain
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import StartFrom, TrainConfig
from minied.train.program import Program
from minied.train.self_play import SelfPlayConfig

QUIET = SessionOptions(quiet=True, pictures=False)
NETWORK = NetworkConfig(memory="none", entity_size=4, num_attention_blocks=0, memory_size=3, head_size=3)
CONFIG = TrainConfig(
    env=Arena(),
    teacher=DomainRandomization(),
    network=NETWORK,
    ppo=PPOConfig(learning_rate=0.01, num_epochs=1),
    num_envs=2,
    num_steps=4,
    updates=3,
    num_seeds=2,
    num_devices=1,
    log_every=1,
    evaluate_every=0,
    checkpoint_every=1,
    keep_checkpoints=9,
)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run, of two members."""
    path = tmp_path_factory.mktemp("runs") / "first"
    assert train(CONFIG, path, QUIET) == 0
    return path


@pytest.fixture(autouse=True)
def _workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tuned(path, reset="last", checkpoint=0, **changes):
    return dataclasses.replace(CONFIG, start_from=StartFrom(str(path), checkpoint, reset), seed=7, **changes)


def state_of(path, step=None):
    folder = open_run(path)
    config = folder.config()
    with Checkpoints(folder.checkpoints, config.fingerprint, read_only=True) as checkpoints:
        return checkpoints.restore(jax.eval_shape(Program(config).init), step).state


def parameters(state):
    return {plain(name): np.asarray(leaf) for name, leaf in named(state.members.student.parameters).items()}


def test_a_run_starts_from_the_newest_parameters_of_another_and_from_a_fresh_optimiser(first, tmp_path):
    config = tuned(first, num_seeds=3)
    assert train(config, tmp_path / "second", QUIET) == 0
    begun, theirs = state_of(tmp_path / "second", 0), parameters(state_of(first))
    fresh = Program(config).init()
    drawn = {"encoder/entities/joined/kernel", "encoder/entities/joined/bias"}
    drawn |= {"encoder/entities/norm/scale", "encoder/entities/norm/bias"}
    for name, leaf in parameters(begun).items():
        expected = parameters(fresh)[name] if name in drawn else theirs[name][[0, 1, 0]]
        np.testing.assert_array_equal(leaf, expected, err_msg=name)
    assert not np.array_equal(parameters(begun)["policy/kernel"], parameters(fresh)["policy/kernel"])
    # All the rest is that of a new run.
    assert equal(begun.members.student.optimizer, fresh.members.student.optimizer)
    assert equal(begun.members.key, fresh.members.key)
    assert equal(begun.schedule, fresh.schedule)


def test_a_checkpoint_can_be_chosen_and_layers_kept(first, tmp_path):
    assert train(tuned(first, "none", 1), tmp_path / "second", QUIET) == 0
    theirs = parameters(state_of(first, 1))
    assert not np.array_equal(theirs["policy/kernel"], parameters(state_of(first))["policy/kernel"])
    begun = parameters(state_of(tmp_path / "second", 0))
    assert all(np.array_equal(leaf, theirs[name]) for name, leaf in begun.items())


def test_a_run_that_is_resumed_needs_the_other_no_more(first, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(first, other)
    config = tuned(other)
    assert train(config, tmp_path / "unbroken", QUIET) == 0
    shutil.copytree(tmp_path / "unbroken", tmp_path / "broken")
    shutil.rmtree(other)
    for step in (1, 2, 3):  # as if it had been killed in the first iteration
        shutil.rmtree(tmp_path / "broken" / "checkpoints" / str(step))
    folder = open_run(tmp_path / "broken")
    assert resume(folder, folder.config(), QUIET) == 0
    assert equal(state_of(tmp_path / "broken"), state_of(tmp_path / "unbroken"))
    # Before there was any checkpoint it would have begun again, and then it has to read.
    shutil.rmtree(tmp_path / "broken" / "checkpoints")
    (tmp_path / "broken" / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"start_from.run: .* is not a run folder: it does not exist"):
        resume(folder, folder.config(), QUIET)


def test_what_was_taken_is_told(first, tmp_path, capsys):
    assert train(tuned(first), tmp_path / "second", SessionOptions(pictures=False)) == 0
    told = next(line for line in capsys.readouterr().err.splitlines() if "parameters are those" in line)
    total = len(parameters(state_of(first)))
    assert told.endswith(
        f"{total - 4} of {total} parameters are those of {first}, iteration 3; drawn anew: encoder/entities/joined,"
        " encoder/entities/norm"
    )


def test_shared_parameters_go_on_with_other_teams_and_that_is_told(first, tmp_path, capsys):
    """A shared policy is the same for any number of players; whom it was learnt with is not for the reader to guess."""
    config = tuned(first, "none", env=Arena(teams_of=(0, 1, 1)))
    assert train(config, tmp_path / "second", SessionOptions(pictures=False)) == 0
    told = next(line for line in capsys.readouterr().err.splitlines() if "parameters are those" in line)
    assert told.endswith(f"{first}, iteration 3; learnt 2 against 1, goes on 1 against 2")
    begun, theirs = parameters(state_of(tmp_path / "second", 0)), parameters(state_of(first))
    assert all(np.array_equal(leaf, theirs[name]) for name, leaf in begun.items())


def test_a_run_whose_config_is_of_another_version_can_be_gone_on_from(first, tmp_path, capsys):
    """Parameters are taken by name: an option that its world no longer has does not matter to them."""
    other = tmp_path / "other"
    shutil.copytree(first, other)
    file = other / "config.json"
    description = json.loads(file.read_text())
    description["config"]["env"]["gone"] = 1
    file.write_text(json.dumps(description))
    with pytest.raises(UserError, match="gone"):
        open_run(other).config()
    assert train(tuned(other), tmp_path / "second", SessionOptions(pictures=False)) == 0
    told = next(line for line in capsys.readouterr().err.splitlines() if "parameters are those" in line)
    assert "learnt" not in told


def test_a_damaged_checkpoint_is_passed_over(first, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(first, other)
    for file in (other / "checkpoints" / "3" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    earlier = earlier_of(tuned(other))
    assert earlier.step == 2
    assert len(earlier.skipped) == 1


def test_without_a_run_nothing_is_read_and_the_program_is_the_same():
    assert earlier_of(CONFIG) is None
    program, other = Program(CONFIG), Program(dataclasses.replace(CONFIG, start_from=StartFrom(reset="heads")))
    assert hash(jax.tree.structure(program._setting)) == hash(jax.tree.structure(other._setting))
    assert jax.tree.structure(program._setting) == jax.tree.structure(other._setting)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": 4}, "start_from.checkpoint is 4; allowed: 0, the newest, or 1, 2, 3"),
        (
            {"network": dataclasses.replace(NETWORK, memory_size=4)},
            "start_from.run has memory/dense/bias of shape [3]; allowed: [4], as network and observation have it here",
        ),
        (
            {"network": dataclasses.replace(NETWORK, parameters="team")},
            "start_from.run has parameters 'shared' for teams (0, 1, 0); allowed with network.parameters 'team' and teams"
            " (0, 1, 0): the same",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(first, tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        train(tuned(first, **changes), tmp_path / "second", QUIET)
    assert str(error.value) == message
    assert not (tmp_path / "second").exists()


def test_parameters_of_each_team_go_to_the_same_teams_alone(first, tmp_path):
    of_teams = dataclasses.replace(CONFIG, network=dataclasses.replace(NETWORK, parameters="team"), updates=1)
    run = tmp_path / "teams"
    assert train(of_teams, run, QUIET) == 0
    same = dataclasses.replace(of_teams, start_from=StartFrom(str(run), reset="none"))
    assert len(Program(same).transfer(earlier_of(same).parameters).new) == 0
    for env, network in (
        (Arena(teams_of=(0, 1, 1)), of_teams.network),  # one more in the other team
        (Arena(teams_of=(0, 0, 0)), of_teams.network),
        (Arena(), NETWORK),
    ):
        config = dataclasses.replace(same, env=env, network=network)
        with pytest.raises(
            UserError, match=r"start_from.run has parameters 'team' for teams \(0, 1, 0\); allowed with"
        ):
            earlier_of(config)


def test_a_pool_of_past_policies_begins_with_what_was_taken(first):
    config = tuned(first, self_play=SelfPlayConfig(past_share=1.0, pool_size=2), num_seeds=1)
    state = Program(config).init(earlier_of(config).parameters)
    begun = jax.tree.map(lambda leaf: leaf[:, None], state.members.student.parameters)
    assert equal(jax.tree.map(lambda leaf: leaf[:, :, 0], state.members.pool), begun)
    assert not equal(state.members.student.parameters, Program(config).init().members.student.parameters)


def test_a_missing_run_and_options_that_make_no_sense():
    with pytest.raises(UserError, match=r"^start_from.run: nowhere is not a run folder: it does not exist; allowed: "):
        earlier_of(tuned("nowhere"))
    with pytest.raises(UserError, match=r"^reset is 'all'; allowed: none, last, heads$"):
        StartFrom("run", reset="all")
    with pytest.raises(UserError, match=r"^checkpoint is -1; allowed: at least 0$"):
        StartFrom("run", checkpoint=-1)
    with pytest.raises(UserError, match=r"^checkpoint is 3 without start_from.run; allowed: 0$"):
        StartFrom(checkpoint=3)
    with pytest.raises(UserError, match=r"^num_students is 2; allowed with start_from.run: 1$"):
        tuned("run", num_students=2)
