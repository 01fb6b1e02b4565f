"""Recording loops as command buffers: refused without a GPU, and with one it changes no bit."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from minied.cli import main
from minied.run.checkpoint import Checkpoints
from minied.run.folder import open_run
from minied.train.program import Program

OPTIONS = ["small/dr", "--num-envs", "4", "--updates", "3", "--evaluate-every", "0", "--no-pictures", "--quiet"]


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="here it is allowed")
@pytest.mark.parametrize("option", ["--loop-capture", "--loop_capture"])
def test_without_a_gpu_it_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch, option):
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # put back afterwards
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    assert main(["train", *OPTIONS, option, "--run-dir", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "--loop-capture is for GPUs, and JAX computes on cpu here" in told
    assert not folder.exists()


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
def test_a_recorded_loop_computes_the_same_bits(tmp_path):
    states = []
    for name, capture in (("plain", []), ("captured", ["--loop-capture"])):
        folder = tmp_path / name
        command = [sys.executable, "-m", "minied.cli", "train", *OPTIONS, *capture, "--run-dir", str(folder)]
        subprocess.run(command, check=True)
        states.append(final_state(folder))
    for plain, captured in zip(*map(jax.tree.leaves, states), strict=True):
        assert jax.device_get(plain).tobytes() == jax.device_get(captured).tobytes()


def final_state(path: Path):
    """The parameters that a run ended with."""
    folder = open_run(path)
    with Checkpoints(folder.checkpoints, folder.description()["fingerprint"], read_only=True) as checkpoints:
        state = checkpoints.restore(jax.eval_shape(Program(folder.config()).init)).state
    return state.members.student.parameters
