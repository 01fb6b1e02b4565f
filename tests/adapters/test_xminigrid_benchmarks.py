"""Files of rulesets: played, or told in a line what is wrong with them."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xminigrid_rooms import BLUE_SQUARE, RED_BALL

from minied.adapters import xminigrid_benchmarks as benchmarks
from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.xminigrid import XLandMiniGrid
from minied.errors import UserError

pytestmark = pytest.mark.usefixtures("library_promotes_ranks")


RULESETS = {
    "goals": np.asarray([[1, 3, 1, 0, 0], [3, 7, 2, 0, 0]], np.uint8),
    "rules": np.asarray([[[0] * 7] * 3, [[2, 4, 3, 7, 2, 0, 0], [0] * 7, [0] * 7]], np.uint8),
    "init_tiles": np.asarray([[[3, 1], [0, 0]], [[4, 3], [0, 0]]], np.uint8),
}


@pytest.fixture
def benchmark_file(tmp_path):
    """A file of two rulesets of three rules each."""
    path = tmp_path / "two.npz"
    np.savez(path, **RULESETS)
    return path


def test_rulesets_of_a_file_are_played(benchmark_file):
    env = XLandMiniGrid(benchmark=str(benchmark_file), size=7)
    space = env.level_space
    assert env.num_rows == 3
    found = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 20))
    is_second = np.asarray(found.goal[:, 0]) == 3
    assert 0 < is_second.sum() < 20
    things = np.asarray(encoding.codes(found.cells)).reshape(20, -1)
    assert np.array_equal((things == BLUE_SQUARE).sum(axis=1), is_second)
    assert np.array_equal((things == RED_BALL).sum(axis=1), ~is_second)
    assert bool(jax.vmap(space.is_valid)(found).all())
    assert not space.has("tasks")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"goals": RULESETS["goals"][:, :4]}, "whose goals is uint8[2, 4]; allowed: integers, n rows of (5,)"),
        ({"rules": RULESETS["rules"][:1]}, "whose rules is uint8[1, 3, 7]"),
        ({"init_tiles": RULESETS["init_tiles"].astype(np.float32)}, "whose init_tiles is float32"),
        ({"goals": np.asarray([{}, {}])}, "whose goals is object[2]; allowed: integers"),
        ({"goals": np.full((2, 5), 99)}, "whose goals[0] is [99, 99, 99, 99, 99]; allowed: kinds, tiles and colours"),
        ({"goals": np.asarray([[1, 3, 1, 0, 0], [1, 13, 1, 0, 0]])}, "whose goals[1] is [1, 13, 1, 0, 0]"),
        ({"goals": RULESETS["goals"] + np.asarray([256, 0, 0, 0, 0])}, "whose goals[0] is [257, 3, 1, 0, 0]"),
        ({"rules": RULESETS["rules"].astype(int) - 3}, "whose rules[0, 0] is [-3, -3, -3, -3, -3, -3, -3]"),
        (
            {"rules": RULESETS["rules"] + np.uint8([0, 0, 12, 0, 0, 0, 0])},
            "whose rules[0, 0] is [0, 0, 12, 0, 0, 0, 0]",
        ),
        ({"rules": np.zeros((2, 0, 7), int)}, "whose rules is int64[2, 0, 7]; allowed: integers"),
        ({"init_tiles": np.full((2, 2, 2), 250)}, "whose init_tiles[0, 0] is [250, 250]"),
    ],
)
def test_a_file_that_is_no_benchmark_is_told(changed, says, tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, **(RULESETS | changed))
    with pytest.raises(UserError) as error:
        XLandMiniGrid(benchmark=str(path), size=7)
    assert says in str(error.value)


def test_what_a_goal_does_not_name_may_be_anything():
    """A door at (20, 30): a tile, and a place that is none; at a place that is no tile at all."""
    goals = jnp.asarray([[5, 10, 1, 20, 30], [6, 20, 30, 0, 0], [5, 13, 1, 0, 0], [15, 0, 0, 0, 0]], jnp.uint8)
    assert encoding.are_goals(goals).tolist() == [True, True, False, False]


@pytest.mark.parametrize("content", ["npy", "nothing", "cut off", "flipped", "no arrays"])
def test_a_file_that_cannot_be_read_is_told(content, tmp_path, benchmark_file):
    path, whole = tmp_path / "other.npz", benchmark_file.read_bytes()
    with path.open("wb") as file:
        if content == "npy":
            np.save(file, np.zeros(3))
        elif content == "no arrays":
            np.savez(file, goals=RULESETS["goals"])
        else:
            broken = whole[:99] + b"?" * 60 + whole[159:]
            file.write({"nothing": b"", "cut off": whole[:200], "flipped": broken}[content])
    with pytest.raises(UserError, match=r"other.npz', which cannot be read \(.+\); allowed: goals, rules, init_tiles$"):
        XLandMiniGrid(benchmark=str(path))


def test_a_file_that_is_too_large_is_told_before_it_is_in_memory(tmp_path, monkeypatch):
    path = tmp_path / "large.npz"
    np.savez(path, **RULESETS)
    monkeypatch.setattr(benchmarks, "LARGEST_BENCHMARK", 59)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(UserError, match=r"large.npz' of 60 bytes; allowed: at most 59, a part of it"):  # 10 + 42 + 8
        XLandMiniGrid(benchmark=str(path))


def test_the_library_s_own_file_is_not_unpickled(tmp_path):
    """A pickle may hold code; one with another ending, or in the clothes of a .npz, is refused unread."""

    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").write_text, ("boom",))

    for name, says in (("trivial_21k", "allowed: a file .npz"), ("pickle.npz", "which cannot be read")):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(UserError, match=says):
            XLandMiniGrid(benchmark=str(tmp_path / name))
    assert not (tmp_path / "exploded").exists()
