import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from run_world import ENV, Line, LineSpace

from minied.run import pictures
from minied.run.pictures import CAPTION_HEIGHT, draw_learning_curve, write_animation
from minied.run.plots import empty_figure


def assert_shows_something(path, least=(100, 40)):
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] >= least[0]
    assert pixels.shape[0] >= least[1]
    assert pixels.std() > 3


def test_pictures_of_a_run(minied, config_file, tmp_path):
    assert minied("train", config_file, "--run-dir", "run", "--num-seeds", "2")[0] == 0
    pictures = tmp_path / "run" / "pictures"
    assert sorted(path.name for path in pictures.iterdir()) == ["agent.gif", "gallery.png", "learning_curve.png"]
    assert_shows_something(pictures / "learning_curve.png", (1000, 400))
    assert_shows_something(pictures / "gallery.png", (1000, 60))  # five different levels, each once: one row
    with Image.open(pictures / "agent.gif") as animation:
        assert animation.n_frames == 6  # the right end's episode has 6 states, the left one's waits
        assert animation.size == (2 * 20 + 8, CAPTION_HEIGHT + 4)


def test_above_a_level_stands_what_it_asks_for_and_what_others_do_not_share(tmp_path, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Goals(LineSpace):
        def describe(self, level):
            return {"num_doors": jnp.float32(2), "distance": level.astype(jnp.float32), "unknown": jnp.float32(jnp.nan)}

        def draw(self, level, state=None):
            return np.zeros((4, 8, 3), np.uint8)

        def title(self, level):
            return f"go {int(level)} steps"

    figures = []
    monkeypatch.setattr(pictures, "empty_figure", lambda *size: figures.append(empty_figure(*size)) or figures[-1])

    def titles(*levels):
        named = [(Goals(Line()), jnp.int32(level), name) for level, name in levels]
        pictures.draw_gallery(named, tmp_path / "gallery.png")
        return [axis.get_title() for axis in figures[-1].axes]

    assert titles((3, "first"), (5, "")) == ["first\ngo 3 steps\ndistance 3", "go 5 steps\ndistance 5"]
    assert titles((3, "alone")) == ["alone\ngo 3 steps\ndistance 3\nnum doors 2"]


def test_learning_curve_of_a_run_that_designs(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "empty_figure", lambda *size: figures.append(empty_figure(*size)) or figures[-1])
    # Two members, two rows; the antagonist's return is not defined in the first.
    values = {"designed/solve_rate": [0.1, 0.3], "teacher/pay": [0.5, 0.7], "designed/return": [0.0, 0.2]}
    rows = [
        {
            "env_steps": 10 * i,
            "student_updates": i,
            "metrics": {**values, "student_1/designed/return": [None, 0.4] if i == 2 else None},
        }
        for i in (1, 2)
    ]
    folder = SimpleNamespace(path=tmp_path, read_rows=lambda name: rows if name == "metrics" else [])
    draw_learning_curve(folder, tmp_path / "a.png")
    solved, _, paid = figures[0].axes
    assert [text.get_text() for text in solved.get_legend().get_texts()] == ["designed levels"]
    # The mean of the members is drawn last, over them.
    means = {line.get_label(): line.get_xydata().tolist() for line in paid.get_lines() if line.get_label()[0] != "_"}
    np.testing.assert_allclose(means.pop("pay of a design"), [[10, 0.6], [20, 0.6]])
    np.testing.assert_allclose(means.pop("return of the student"), [[10, 0.1], [20, 0.1]])
    np.testing.assert_allclose(means.pop("return of the second student"), [[20, 0.4]])
    assert not means
    # Nothing was paid yet: no curve, and no warning.
    for row in rows:
        row["metrics"] = {"teacher/pay": [None, None]}
    draw_learning_curve(folder, tmp_path / "none.png")
    assert not figures.pop().axes[2].get_lines()
    # Of a run that does not design, two panels.
    for row in rows:
        row["metrics"] = {"new/solve_rate": [0.1, 0.3]}
    draw_learning_curve(folder, tmp_path / "b.png")
    assert len(figures[1].axes) == 2


def test_a_picture_that_fails_costs_nothing(minied, config_file, tmp_path, monkeypatch):
    def fail(self, level, state=None):
        raise RuntimeError("no\npaint")

    monkeypatch.setattr(LineSpace, "draw", fail)
    code, out, err = minied("train", config_file, "--run-dir", "run", "--quiet")
    assert code == 0
    assert out == "finished 10 updates: run\n"
    assert set(err.splitlines()) == {
        "minied: gallery.png could not be drawn: RuntimeError: no paint",
        "minied: agent.gif could not be drawn: RuntimeError: no paint",
    }
    assert [path.name for path in (tmp_path / "run" / "pictures").iterdir()] == ["learning_curve.png"]


@pytest.mark.parametrize(("source", "count"), [(["suite:all"], 5), (["--sample", "3"], 3), (["levels.txt"], 2)])
def test_draw(minied, tmp_path, source, count):
    (tmp_path / "levels.txt").write_text("G....\n\n\n..G..\n")
    code, out, err = minied("draw", *source, "--env", ENV, "--env.size", "5", "-o", "out.png")
    assert (code, err) == (0, "")
    assert out == f"out.png: {count} levels\n"
    assert_shows_something(tmp_path / "out.png")


def test_animation_of_different_sizes(tmp_path):
    small, large = np.zeros((4, 6, 3), np.uint8), np.full((8, 10, 3), 200, np.uint8)
    episodes = [("small", [small] * 2), ("large", [large + np.uint8(i) for i in range(3)])]
    write_animation(episodes, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.size == (6 + 8 + 10, CAPTION_HEIGHT + 8)
        assert animation.n_frames == 3
