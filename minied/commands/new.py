"""``minied new world NAME``: a small package with a world of one's own, which installs, is checked and trains as it stands.

The world is minied's example, `minied.testing.lake`, under another name: what is written here is what the tests of minied
hold, and what the guide explains.
"""

import dataclasses
import importlib.metadata
import importlib.util
import keyword
import re
import sys
from pathlib import Path

from minied import registry
from minied.commands.shared import positional
from minied.config.options import parse
from minied.errors import UserError, unknown_name

DESCRIPTION = """Write a package with a world of your own into a new folder: the world and its levels, a test that calls the
conformance kit, an entry point by which minied finds it, and presets. NAME is a word such as frozen_lake."""


@dataclasses.dataclass(frozen=True)
class NewOptions:
    """Options of `minied new world NAME`."""

    folder: str = ""
    """The folder to write, which must not exist; empty: NAME in the current folder."""


def main(arguments: list[str]) -> int:
    """Write the package; return the exit code."""
    if {"-h", "--help"} & set(arguments):
        parse(NewOptions, ["--help"], "minied new world NAME", DESCRIPTION)
    what, _ = positional(arguments[:1])
    if what is None:
        raise UserError("minied new needs what to write and its name: minied new world NAME")
    if what != "world":
        raise unknown_name("kind of thing to write", what, ["world"])
    name, rest = positional(arguments[1:])
    options = parse(NewOptions, rest, "minied new world NAME", DESCRIPTION)
    if name is None:
        raise UserError("minied new world needs a NAME, such as frozen_lake")
    check_name(name)
    folder = Path(options.folder or name)
    if folder.exists():
        raise UserError(f"{folder} exists; allowed: a folder that does not, by --folder or another NAME")
    try:
        for path, text in package(name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; allowed: another --folder") from error
    print(_next_steps(name, folder))
    return 0


def check_name(name: str) -> None:
    """Raise `UserError` unless ``name`` can be that of a package and of a world."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"NAME is {name!r}; allowed: small letters, digits and _, beginning with a letter")
    if name in registry.names("environment"):
        raise UserError(f"NAME is {name!r}, which is registered; allowed: another, see `minied list envs`")
    if name in ("tests", "test") or _is_taken(name):
        raise UserError(f"NAME is {name!r}, which another package has; allowed: another, as yours would hide it")
    words = set(re.findall(r"\w+", _example()))
    replaced = {word for word in words if word.startswith("Lake")}
    new = {word.replace("Lake", title_of(name)) for word in replaced}
    if keyword.iskeyword(title_of(name)) or new & (words - replaced):
        raise UserError(f"NAME is {name!r}, and {title_of(name)} means something else in its file; allowed: another")


def _is_taken(name: str) -> bool:
    """Return whether a module or an installed project has the name. A folder of the current one is no module yet."""
    spec = importlib.util.find_spec(name)
    if name in sys.stdlib_module_names or (spec is not None and spec.origin is not None):
        return True
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def title_of(name: str) -> str:
    """Return the name of the world's class: ``FrozenLake`` of ``frozen_lake``."""
    return "".join(word.capitalize() for word in name.split("_"))


def package(name: str) -> dict[str, str]:
    """Return the text of each file of the package, by its path in the folder."""
    title = title_of(name)
    words = {"NAME": name, "Title": title}
    return {
        f"{name}/__init__.py": f'"""The world {name}."""\n\nfrom {name}.world import {title} as {title}\n',
        f"{name}/world.py": _world(name, title),
        f"{name}/presets/dr.yaml": _filled(_PRESET, words),
        f"{name}/presets/robust_plr.yaml": _filled(_ROBUST_PLR, words),
        f"{name}/presets/accel.yaml": _filled(_ACCEL, words),
        "tests/test_world.py": _filled(_TEST, words),
        "pyproject.toml": _filled(_PYPROJECT, words),
        "README.md": _filled(_README, words),
    }


def _world(name: str, title: str) -> str:
    """Return the example world under another name."""
    _, _, rest = _example().partition("\n")
    return f'"""{name}: begun from the example of minied, a frozen lake. Make it your own.\n{rest}'.replace(
        "Lake", title
    )


def _example() -> str:
    return (Path(__file__).parents[1] / "testing" / "lake.py").read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text.lstrip("\n")


def _next_steps(name: str, folder: Path) -> str:
    return "\n".join([
        f"{folder}: a world, its test, presets, and how to go on in {folder / 'README.md'}",
        "",
        f"  pip install -e {folder}",
        f"  minied check {name}",
        f"  minied train {name}/robust_plr --run-dir runs/robust_plr",
    ])  # fmt: skip


_PRESET = """
# NAME, domain randomisation: an example of a preset; `minied train --help` lists the options.
env:
  name: NAME
teacher:
  name: domain_randomization
network:
  conv_filters: 16
  memory: none
  head_size: 32
ppo:
  learning_rate: 1e-3
  num_epochs: 4
  num_minibatches: 4
  entropy_coefficient: 0.01
num_envs: 32
num_steps: 80
updates: 200
log_every: 10
evaluate_every: 50
checkpoint_every: 50
attempts: 4
"""

_ROBUST_PLR = """
# NAME, robust PLR: replays levels that are won now and then, and learns from those alone; see NAME/dr, with which it shares
# the student. The buffer is large and the temperature high, or else the student learns a few levels by heart.
include: NAME/dr
teacher:
  name: robust_plr
  score: learnability
  buffer_size: 1024
  minimum_fill: 0.5
  temperature: 1.0
"""

_ACCEL = """
# NAME, ACCEL: robust PLR that also edits the levels that it replays; see NAME/robust_plr.
include: NAME/dr
teacher:
  name: accel
  score: learnability
  buffer_size: 1024
  minimum_fill: 0.5
  temperature: 1.0
"""

_TEST = '''
"""Does the world keep its contract? Every rule of minied's conformance kit, as `minied check NAME` runs it."""

from NAME import Title

from minied.testing import check_env, check_level_space


def test_the_world_keeps_the_contract():
    check_env(Title()).require()


def test_the_levels_keep_the_contract():
    check_level_space(Title()).require()
'''

_PYPROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "NAME"
version = "0.1.0"
description = "A world for minied."
requires-python = ">=3.11"
dependencies = ["minied"]

[project.optional-dependencies]
test = ["pytest>=9"]

# By these minied finds the world (--env NAME) and the presets (minied train NAME/dr).
[project.entry-points."minied.envs"]
NAME = "NAME.world:Title"

[project.entry-points."minied.presets"]
NAME = "NAME"

[tool.hatch.build.targets.wheel]
packages = ["NAME"]
"""

_README = """
# NAME

A world for minied, begun from its example, a frozen lake.

```sh
pip install -e ".[test]"
minied check NAME                                 # what is wrong with it, and what that would have broken
pytest                                            # the same as tests
minied draw --env NAME --sample 12                # pictures of levels
minied train NAME/dr --run-dir runs/dr            # domain randomisation
minied train NAME/robust_plr --run-dir runs/plr   # a curriculum: levels that are won now and then are replayed
minied train NAME/accel --run-dir runs/accel      # another: they are edited, too
minied compare runs/dr runs/plr runs/accel
```

A run takes a minute or two. Of the lakes as they were written, 21 % of the episodes on `held_out` are solved before training
and, after 200 updates, 64 % with `dr` (62, 64 and 66 with three seeds), 69 % with `robust_plr` (66, 69, 73), 58 % with
`accel` (52, 58, 65). The two curricula simulate twice as many steps for it: they score levels before they learn from them.

`NAME/world.py` is all there is: what a level is, how the world moves, what the agent sees, and what teachers may do with
levels. Change it step by step, and run `minied check NAME` after each, a minute or so (`--only keys` for one check); of
several failures begin with the first, which may be the cause of the others. Only `sample` must be there of the level space;
what else it has opens more teachers (`minied list envs` says what it has, `minied list teachers` what there is).

Something new in a level goes into `TitleLevel`, `sample` (here by `level_with`), `step`, what is seen (`_observe`,
`SYMBOLS`), `mutate`, `is_valid`, `to_text` and `from_text`, and `draw` (`COLOURS`). If the rules of `step` change, so does
`optimal_return`: a best return that is a little wrong is seen by no check. What is not kept up to date can be taken out:
all but `sample` is optional.
"""
