"""A score that is no number stops the run in that iteration, in one line, and leaves its last checkpoint as it was."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from tiny_runs import config_of, equal, teacher_of

import minied.train.program as real_program
from minied.errors import UserError
from minied.run.checkpoint import Checkpoints
from minied.run.folder import RunFolder, open_run
from minied.scores import score
from minied.students.ppo import PPOConfig

CONFIDENT = 0.6
"""A mean value that students have learnt to expect after some iterations, and do not start with."""


@score(needs=("values", "ended"))
def broken_when_confident(signals):
    """A number, until the student has learnt something."""
    value = signals.over_episodes(signals.values.mean(axis=-1))
    return jnp.where(value > CONFIDENT, jnp.nan, value)


@score(needs=("rewards",))
def infinite_score(signals):
    return signals.rewards.sum() + jnp.inf


@pytest.fixture(autouse=True)
def _real_program(_workplace, monkeypatch):
    """In this file runs are computed."""
    monkeypatch.setitem(sys.modules, "minied.train.program", real_program)


NAN, INFINITE = "toy_worlds:nan_score", "test_bad_scores:infinite_score"
BROKEN = [("plr", NAN), ("sfl", INFINITE), ("ncc", NAN)]
SAME_CODE = [("plr", INFINITE), *((name, NAN) for name in ("accel", "parallel_plr", "map_elites", "learned_mixture"))]


@pytest.mark.parametrize(
    ("name", "named"), [*BROKEN, *(pytest.param(*each, marks=pytest.mark.slow) for each in SAME_CODE)]
)
def test_the_first_iteration_that_sees_it_is_the_last(name, named):
    program = real_program.Program(config_of(teacher_of(name, score=named)))
    with pytest.raises(UserError) as error:
        program.advance(program.init(), 50)
    line = str(error.value)
    assert "\n" not in line
    assert f"teacher.score is {named!r}" in line
    assert "NaN or infinity" in line
    assert "in iteration 1;" in line  # and not 50
    assert "allowed: finite numbers" in line


def test_a_student_that_diverges_stops_the_run_too():
    program = real_program.Program(config_of("plr", ppo=PPOConfig(learning_rate=3e38, num_epochs=1)))
    with pytest.raises(UserError) as error:
        program.advance(program.init(), 50)
    line = str(error.value)
    assert "\n" not in line
    before, _, after = line.partition(" in iteration ")
    assert before == "the student's parameters are not finite"
    assert int(after.partition(";")[0]) < 5
    assert "ppo.learning_rate is 3e+38" in line


@pytest.fixture
def broken_run(minied, tmp_path):
    """A run that broke in the middle: its folder, what it printed, and a fresh program of its config."""
    document = {
        "env": {"name": "toy_designers:EditableCorridor", "length": 5, "max_steps": 6},
        "teacher": {
            "name": "plr", "score": "test_bad_scores:broken_when_confident", "buffer_size": 12, "replay_probability": 0.5,
        },
        "network": {"memory": "none", "memory_size": 4, "head_size": 4, "embedding_size": 2},
        "ppo": {"learning_rate": 0.02, "num_epochs": 1},
        "num_envs": 4, "num_steps": 12, "updates": 100,
        "log_every": 2, "checkpoint_every": 2, "evaluate_every": 0, "attempts": 1, "seed": 1,
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    result = minied("train", "run.yaml", "--run-dir", "run", "--no-pictures", "--quiet")
    return open_run(tmp_path / "run"), result, real_program.Program(open_run(tmp_path / "run").config())


def restored(folder: RunFolder, program):
    with Checkpoints(folder.checkpoints, program.config.fingerprint) as checkpoints:
        return checkpoints.restore(jax.eval_shape(program.init))


def check_line(result):
    """Exit code 2 and one line; return the iteration that it names."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("minied: error: teacher.score is 'test_bad_scores:broken_when_confident'")
    assert "what was saved before is kept" in err
    return int(err.partition("in iteration ")[2].partition(";")[0])


def test_a_run_whose_score_breaks_keeps_its_last_checkpoint(minied, broken_run):
    folder, result, program = broken_run
    broken_at = check_line(result)
    # The newest checkpoint is that of the last even iteration before.
    last = (broken_at - 1) // 2 * 2
    assert last >= 4
    checkpoint = restored(folder, program)
    assert (checkpoint.step, checkpoint.skipped) == (last, ())
    assert [row["iterations"] for row in folder.read_rows("metrics")] == list(range(2, last + 1, 2))
    # It is, bit for bit, what a run that was never broken had then.
    state = program.init()
    for until in range(2, last + 1, 2):
        state, _ = program.advance(state, until)
    assert equal(checkpoint.state, state)
    assert int(state.members.teacher.broken_scores[0]) == 0
    # Up to the iteration before the break nothing is wrong; there it breaks again, in the same place.
    state, _ = program.advance(state, broken_at - 1)
    with pytest.raises(UserError, match=f"in iteration {broken_at};"):
        program.advance(state, 100)
    # To resume says the same, and harms nothing.
    before = {path: path.stat().st_mtime_ns for path in folder.checkpoints.rglob("*") if path.is_file()}
    assert check_line(minied("resume", "run", "--no-pictures", "--quiet")) == broken_at
    assert before == {path: path.stat().st_mtime_ns for path in folder.checkpoints.rglob("*") if path.is_file()}
    assert equal(restored(folder, program).state, checkpoint.state)
    assert np.isfinite(checkpoint.state.members.teacher.scores).all()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("toy_worlds:wide_score", ["score 'wide_score' returns (12,)", "allowed: one number"]),
        ("toy_worlds:undeclared_score", ["declares no signals"]),
        ("value_disagreement", ["num_value_heads is 1", "at least 2"]),
    ],
)
def test_what_can_be_seen_before_the_run_writes_nothing(minied, tmp_path, named, words):
    document = {
        "env": {"name": "toy_designers:EditableCorridor", "length": 5, "max_steps": 6},
        "teacher": {"name": "plr", "score": named, "buffer_size": 12},
        "network": {"memory": "none", "memory_size": 4, "head_size": 4, "embedding_size": 2},
        "num_envs": 4, "num_steps": 12,
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    code, out, err = minied("train", "run.yaml", "--run-dir", "run", "--no-pictures")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("minied: error: ")
    for word in words:
        assert word in err
    assert not (tmp_path / "run").exists()
