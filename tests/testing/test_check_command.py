"""``minied check`` and ``minied new world`` from the command line: what is said, what is written, and bad input."""

import importlib
import importlib.metadata
import json
import sys
from typing import NamedTuple

import pytest

from minied import registry
from minied.commands.new import package
from minied.config import load_config, presets


class Entry(NamedTuple):
    name: str
    value: str


@pytest.fixture
def pond(tmp_path, monkeypatch, minied):
    """The package that `minied new world pond` writes, as if it were installed."""
    monkeypatch.chdir(tmp_path)
    code, out, _ = minied("new", "world", "pond")
    assert code == 0
    assert "minied check pond" in out
    monkeypatch.syspath_prepend(tmp_path / "pond")
    real = importlib.metadata.entry_points
    entries = {"minied.envs": Entry("pond", "pond.world:Pond"), "minied.presets": Entry("pond", "pond")}

    def entry_points(group):
        return [*real(group=group), *([entries[group]] if group in entries else [])]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._registered.cache_clear()
    yield tmp_path / "pond"
    registry._registered.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "pond"]:
        del sys.modules[name]


def test_a_new_world_is_a_package_with_all_that_it_needs(pond):
    files = {path.relative_to(pond).as_posix() for path in pond.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "README.md", "pond/world.py", "pond/__init__.py", "tests/test_world.py"} <= files
    assert "pond.world:Pond" in (pond / "pyproject.toml").read_text()
    for path in pond.rglob("*"):
        if path.is_file():
            assert not {"NAME", "Title", "Lake"} & set(path.read_text().replace(".", " ").replace(":", " ").split())
    world = importlib.import_module("pond.world")
    assert world.Pond().level_space.offered == importlib.import_module("minied.testing.lake").Lake().level_space.offered


def test_a_new_world_is_checked_and_its_report_is_kept(pond, minied, tmp_path):
    kept = tmp_path / "report.json"
    code, out, _ = minied("check", "pond", "--only", "forms", "valid_samples", "--report", kept)
    assert code == 0
    assert "pond: 2 passed" in out
    report = json.loads(kept.read_text())
    assert report["good"]
    assert [finding["check"] for finding in report["findings"]] == ["forms", "valid_samples"]


def test_a_failure_names_the_line_and_what_it_breaks_and_is_the_exit_code(pond, minied):
    source = pond / "pond" / "world.py"
    source.write_text(
        source.read_text().replace("at_goal.astype(jnp.float32), term", "at_goal.astype(jnp.int32), term")
    )
    code, out, _ = minied("check", "pond.world:Pond", "--only", "forms", "--json")
    assert code == 1
    [finding] = json.loads(out)["findings"]
    assert finding["detail"] == "reward is int32[]; allowed: float32[]"
    line = source.read_text().splitlines()[int(finding["where"].rpartition(":")[2]) - 1]
    assert "def step(" in line
    assert finding["where"].rpartition(":")[0].endswith("world.py")
    assert "scan" in finding["breaks"]


def test_presets_of_a_package_are_found_by_its_name_without_importing_it(pond):
    assert {"pond/dr", "pond/robust_plr", "pond/accel"} <= set(presets.available())
    assert "pond" not in sys.modules
    document = presets.read(presets.find("pond/accel"))
    assert document["teacher"]["name"] == "accel"
    assert document["num_envs"] == 32  # of pond/dr, which it includes
    config = load_config("pond/accel")
    assert type(config.env).__name__ == "Pond"


def test_a_new_world_trains_as_it_stands(pond, minied, tmp_path):
    run = tmp_path / "run"
    code, _, err = minied("train", "pond/accel", "--updates", 2, "--run-dir", run, "--num-envs", 4,
                          "--num-steps", 40, "--evaluate-every", 0, "--no-pictures")  # fmt: skip
    assert code == 0, err
    assert (run / "metrics.jsonl").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["new"], "minied new needs what to write and its name"),
        (["new", "teacher", "x"], "unknown kind of thing to write 'teacher'"),
        (["new", "world"], "needs a NAME"),
        (["new", "world", "Big-Lake"], "NAME is 'Big-Lake'; allowed: small letters"),
        (["new", "world", "maze"], "'maze', which is registered"),
        (["new", "world", "class"], "NAME is 'class'"),
        (["new", "world", "minied"], "which another package has"),
        (["new", "world", "numpy"], "'numpy', which another package has"),
        (["new", "world", "json"], "'json', which another package has"),
        (["new", "world", "xdist"], "'xdist', which another package has"),
        (["new", "world", "pytest_xdist"], "'pytest_xdist', which another package has"),
        (["new", "world", "_pond"], "NAME is '_pond'; allowed: small letters"),
        (["new", "world", "none"], "'none', and None means something else"),
        (["new", "world", "level_space"], "'level_space', and LevelSpace means something else"),
        (["new", "world", "coded"], "'coded', and Coded means something else"),
        (["new", "--folder", "x"], "minied new needs what to write and its name"),
        (["new", "world", "pond", "--folder", "/dev/null/pond"], "/dev/null/pond cannot be written: Not a directory"),
        (["check"], "needs a TARGET"),
        (["check", "mazze"], "did you mean 'maze'?"),
        (["check", "no_such_module:Thing"], "'no_such_module:Thing' cannot be loaded"),
        (["check", "minied.spaces:Box"], "allowed: an Environment"),
        (["check", "minied.env:Environment"], "lacks action_space"),
        (["check", "max_mc", "--only", "colour"], "unknown check of a score 'colour'"),
        (["check", "corridor", "--skip", "jitt"], "did you mean 'jit'?"),
        (["check", "corridor", "--levels", "1"], "--levels is 1; allowed: at least 2"),
        (["check", "corridor", "--min-solvable", "2"], "--min-solvable is 2.0; allowed: 0 to 1"),
        (["check", "corridor", "--env.length", "1"], "env.length is 1; allowed: 2 to 1000"),
        (["check", "corridor", "--report", "no/such/folder.json"], "--report is 'no/such/folder.json'"),
        (["check", "corridor", "--report", "/"], "--report is '/'; allowed: a file"),
        (["check", "corridor", "--only", "forms", "--skip", "forms"], "--skip leaves none of the checks"),
        (["check", "robust_plr", "--teacher.staleness-coefficient", "2"], "teacher.staleness_coefficient is 2.0"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(arguments, says, minied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = minied(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_folder_that_exists_is_left_alone(minied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pond").mkdir()
    (tmp_path / "pond" / "mine.txt").write_text("mine")
    code, _, err = minied("new", "world", "pond")
    assert code == 2
    assert "pond exists" in err
    assert [path.name for path in (tmp_path / "pond").iterdir()] == ["mine.txt"]


def test_every_file_of_the_package_is_text_that_is_its_own():
    one, other = package("pond"), package("frozen_lake")
    assert {path.replace("pond", "frozen_lake") for path in one} == set(other)
    assert "class FrozenLake(" in other["frozen_lake/world.py"]
    compile(other["frozen_lake/world.py"], "world.py", "exec")
    compile(other["tests/test_world.py"], "test_world.py", "exec")


@pytest.mark.parametrize("command", [("check", "navix"), ("list", "suites", "--env", "jumanji"), ("check", "craftax")])
def test_a_library_that_is_missing_is_one_line_and_no_failure_of_the_world(command, minied, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == command[-1]:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    code, out, err = minied(*command)
    assert (code, out) == (2, "")
    assert f"{command[-1]} is not installed; pip install 'minied[{command[-1]}]'" in err
    assert err.count("\n") == 1


def test_a_world_that_cannot_be_made_is_told_in_a_line(minied, tmp_path, monkeypatch):
    (tmp_path / "shallow.py").write_text(
        "import dataclasses\nfrom minied.testing.lake import Lake\n\n\n@dataclasses.dataclass(frozen=True)\n"
        "class Shallow(Lake):\n    def __post_init__(self):\n        raise ValueError('no water')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = minied("check", "shallow:Shallow")
    assert (code, out) == (2, "")
    assert "cannot be made of its options: ValueError: no water" in err
    assert err.count("\n") == 1


def test_a_list_says_what_is_not_installed(minied, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "navix":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    code, out, _ = minied("list", "envs")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "Not installed here: pip install 'minied[navix]'. Levels have mutate" in lines["navix"]
    assert [name for name, line in lines.items() if "Not installed" in line] == ["navix"]
