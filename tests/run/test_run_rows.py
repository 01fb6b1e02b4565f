"""Numbers, rows and folders of a run, and what goes to Weights & Biases."""

import json

import numpy as np
import pytest

from minied.config import load_config
from minied.errors import UserError
from minied.run.folder import create, default_path
from minied.run.labels import differences
from minied.run.metrics import JsonlSink, metrics_row, plain


def test_numbers_as_json():
    assert plain(np.asarray([0.1], np.float32)) == 0.1  # not 0.10000000149011612
    assert plain(np.asarray([0.1, np.nan, np.inf], np.float32)) == [0.1, None, None]
    assert plain(np.asarray([3], np.int32)) == 3
    value = np.float32(1) / np.float32(3)
    assert np.float32(plain(np.asarray([value]))) == value


def test_rows_are_cut_back(config_file, tmp_path):
    folder = create(tmp_path / "run", load_config(config_file))
    sink = JsonlSink(folder)
    counters = {"student_updates": 1, "train_steps": 2, "env_steps": 3}
    for iteration in range(4):
        sink.write("metrics", metrics_row(counters | {"iterations": iteration}, {"a": np.zeros(1)}))
    sink.close()
    first = folder.rows_path("metrics").read_bytes().split(b"\n")[0]
    with folder.rows_path("metrics").open("ab") as file:
        file.write(b'{"torn')
    assert folder.row_counts() == {"metrics": 4, "timing": 0, "evaluations": 0}
    assert len(folder.read_rows("metrics")) == 4
    folder.cut_rows({"metrics": 4})
    assert folder.rows_path("metrics").read_bytes().endswith(b"}\n")
    folder.cut_rows({"metrics": 1})
    assert folder.rows_path("metrics").read_bytes() == first + b"\n"
    with pytest.raises(UserError, match=r"metrics\.jsonl has 1 rows; allowed: at least the 2"):
        folder.cut_rows({"metrics": 2})
    folder.cut_rows({})
    assert folder.rows_path("metrics").read_bytes() == b""


def test_folder_is_made_whole_or_not_at_all(config_file, tmp_path, monkeypatch):
    config = load_config(config_file)
    monkeypatch.setattr("minied.run.folder._describe", lambda *_: {"not json": object()})
    with pytest.raises(TypeError):
        create(tmp_path / "runs" / "run", config)
    assert not (tmp_path / "runs" / "run").exists()


def test_default_path(config_file, minied):
    config = load_config(config_file, ["--seed", "3"])
    assert str(default_path("maze/minimax_dr", config)) == f"runs/maze-minimax_dr-3-{config.fingerprint}"
    assert str(default_path("a/small.yaml", config)) == f"runs/small-3-{config.fingerprint}"
    out = minied("train", config_file, "--quiet", "--no-pictures", "--seed", "3")[1]
    assert out == f"finished 10 updates: runs/small-3-{config.fingerprint}\n"


def test_settings_that_differ():
    one = {"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 1}}
    other = {"a": 1, "b": {"c": 4}, "e": {"f": 1}, "g": None}
    assert differences(one, other) == ["b.c", "b.d", "g"]


def test_wandb_offline(start_process, config_file, tmp_path):
    process = start_process("train", config_file, "--run-dir", "run", "--no-pictures", "--quiet", "--wandb", "offline")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "finished 10 updates: run\n"
    run_id = json.loads((tmp_path / "run" / "config.json").read_text())["run_id"]
    assert list((tmp_path / "run" / "wandb").glob(f"offline-run-*/run-{run_id}.wandb"))
