"""Where presets and config files are found, and how their YAML is read: data only, strictly.

A preset is a YAML file under ``experiments/``, named by its path without the ending (``maze/minimax_dr``). Another package
has presets in its folder ``presets`` and registers itself under the entry-point group ``minied.presets``; they are named
after the entry point (``pond/dr``). A file may start from another one with ``include: NAME``; what it says itself wins.
Nothing in a file is ever executed.
"""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minied.errors import UserError, unknown_name
from minied.yaml_text import read_yaml

ENDINGS = (".yaml", ".yml")
DEFAULT_PRESET = "quick"
SWEEPS = "sweeps/"
"""How the names of sweeps begin, which are no presets (see `minied.sweep.file`)."""
NAMED_SECTIONS = ("env", "teacher", "bonus")
"""Sections whose ``name`` chooses a class, to which the other keys of the section belong."""


def directories() -> list[Path]:
    """Return the folders that hold presets: in the installed package, or at the root of a checkout."""
    package = Path(__file__).parents[1]
    folders = [package / "experiments"]
    if (package.parent / "pyproject.toml").is_file():  # a checkout, not a folder of installed packages
        folders.append(package.parent / "experiments")
    return [folder for folder in folders if folder.is_dir()]


def available() -> dict[str, Path]:
    """Return the file of each preset by name, sorted by name."""
    return {name: paths[0] for name, paths in _files().items() if not name.startswith(SWEEPS)}


def sweeps() -> dict[str, Path]:
    """Return the file of each sweep that comes with minied by name, sorted by name."""
    return {name: paths[0] for name, paths in _files().items() if name.startswith(SWEEPS)}


def _files() -> dict[str, tuple[Path, ...]]:
    """Return the files of each name: of several packages that took the same one, all."""
    own: dict[str, tuple[Path, ...]] = {}
    for folder in reversed(directories()):
        for path in folder.rglob("*.yaml"):
            own[path.relative_to(folder).with_suffix("").as_posix()] = (path,)
    found = dict(own)
    for name, folder in _folders_of_others():
        for path in folder.rglob("*.yaml"):
            full = f"{name}/{path.relative_to(folder).with_suffix('').as_posix()}"
            found[full] = tuple(dict.fromkeys((*found.get(full, ()), path)))
    return dict(sorted(found.items()))


def _folders_of_others() -> list[tuple[str, Path]]:
    """Return the folder of presets of each package that registers one, under its name. None of them is imported."""
    folders = []
    for entry in importlib.metadata.entry_points(group="minied.presets"):
        spec = importlib.util.find_spec(entry.value.partition(".")[0])
        for place in (spec.submodule_search_locations or []) if spec is not None else []:
            folders.append((entry.name, Path(place, *entry.value.split(".")[1:], "presets")))
    return [(name, folder) for name, folder in folders if folder.is_dir()]


def find(name: str) -> Path:
    """Return the file of the preset ``name``, or the file at the path ``name``. Raises `UserError` if there is none."""
    path = Path(name)
    if path.suffix in ENDINGS:
        if not path.is_file():
            found = f"{name} is not a file" if path.exists() else f"the config file {name} does not exist"
            raise UserError(f"{found}; allowed: a YAML file, or a preset by its name alone (`minied list presets`)")
        return path
    presets = available()
    if name not in presets:
        raise unknown_name("preset", name, list(presets))
    first, *others = _files()[name]
    if others:
        paths = ", ".join(map(str, (first, *others)))
        told = f"the preset {name!r} is that of {len(others) + 1} packages: {paths}"
        raise UserError(f"{told}; uninstall all but one, or name it by its file")
    return first


def description(path: Path) -> str:
    """Return the first line of the comment that heads a preset's file, or an empty string."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def read(path: Path, *, _including: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the nested data of a config file, its includes merged in. Raises `UserError` naming the file."""
    if path.resolve() in _including:
        raise UserError(f"{path}: include goes in a circle")
    data = _read_one(path)
    base_name = data.pop("include", None)
    if base_name is None:
        return data
    if not isinstance(base_name, str):
        raise UserError(f"{path}: include is {base_name!r}; allowed: the name of a preset or a file")
    beside = path.parent / base_name
    base_path = beside if beside.suffix in ENDINGS and beside.is_file() else find(base_name)
    return merge(read(base_path, _including=(*_including, path.resolve())), data)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with what ``over`` says on top.

    A section that names another class than the base's (``env``, ``teacher``, ``bonus``) replaces the base's section: its
    options belong to the other class.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not _names_another(key, old, value):
            value = merge(old, value)
        merged[key] = value
    return merged


def _names_another(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return key in NAMED_SECTIONS and "name" in new and new["name"] != old.get("name")


def _read_one(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error
    data = read_yaml(text, str(path))
    if not isinstance(data, dict):
        kind = "empty" if data is None else f"a {type(data).__name__}"
        raise UserError(f"{path} is {kind}; allowed: a mapping of options, such as `seed: 1`")
    return data
