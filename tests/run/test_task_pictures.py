"""The picture of a teacher's tasks: which cell shows what."""

import numpy as np
import pytest

from minied.run import task_pictures
from minied.run.plots import empty_figure

NAMES = ("near", "far")


def row(env_steps, near, far):
    """One of two members: shares and success of either task, of each member."""
    told = {"near": near, "far": far}
    attention = {f"teacher/attention/{name}": [share, share] for name, (share, _) in told.items()}
    success = {f"teacher/success/{name}": list(done) for name, (_, done) in told.items()}
    return {"env_steps": env_steps, "metrics": attention | success}


ROWS = [row(100, (0.5, (0.2, 0.4)), (0.5, (0.0, 0.0))), row(300, (0.9, (0.9, 1.0)), (0.1, (0.1, None)))]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(task_pictures, "empty_figure", lambda *size: figures.append(empty_figure(*size)) or figures[-1])

    def draw(rows, names):
        task_pictures.draw_tasks(rows, names, tmp_path / "tasks.png")
        assert (tmp_path / "tasks.png").stat().st_size > 1000
        return figures[-1].axes

    return draw


def test_practice_and_success_by_task_and_time(drawn):
    practice, success = (axis.collections[0] for axis in drawn(ROWS, NAMES)[:2])
    # Of two tasks an even share is a half: 0.5, 0.9 and 0.1 are 1, 1.8 and 0.2 of it.
    np.testing.assert_allclose(practice.get_array(), [[1.0, 1.8], [1.0, 0.2]])
    # Means over the members that have one.
    np.testing.assert_allclose(success.get_array(), [[0.3, 0.95], [0.0, 0.1]])
    # A row lasts until its step count; in millions.
    np.testing.assert_allclose(practice.get_coordinates()[0, :, 0], [0, 100e-6, 300e-6])
    turned = drawn(ROWS, NAMES[::-1])
    np.testing.assert_allclose(turned[1].collections[0].get_array(), [[0.0, 0.1], [0.3, 0.95]])
    assert [label.get_text() for label in turned[0].get_yticklabels()] == ["far", "near"]


def test_long_runs_have_a_column_for_every_few_rows(drawn):
    rows = [row(step, (0.5, (0.0, 0.0)), (0.5, (0.0, 0.0))) for step in range(1, 1001)]
    assert drawn(rows, NAMES)[0].collections[0].get_array().shape == (2, 334)  # every third of 1000


def test_only_runs_with_tasks_have_one():
    assert task_pictures.has_tasks(ROWS)
    assert not task_pictures.has_tasks([])
    assert not task_pictures.has_tasks([{"env_steps": 1, "metrics": {"new/return": [0.0]}}])
