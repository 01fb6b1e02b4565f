"""``minied new world NAME``: a small package with a world of one's own, which installs, is checked and trains as it stands.

The world is minied's example, `minied.testing.lake`, under another name: what is written here is what the tests of minied
hold, and what the guide explains.
"""

import dataclasses
import keyword
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
    what, rest = positional(arguments[:1])
    if {"-h", "--help"} & set(arguments) or what is None:
        parse(NewOptions, ["--help"] if arguments else [], "minied new world NAME", DESCRIPTION)
    if what != "world":
        raise (
            unknown_name("kind of thing to write", what, ["world"])
            if what
            else UserError("minied new needs what to write and its name: minied new world NAME")
        )
    name, rest = positional(arguments[1:])
    options = parse(NewOptions, rest, "minied new world NAME", DESCRIPTION)
    if name is None:
        raise UserError("minied new world needs a NAME, such as frozen_lake")
    check_name(name)
    folder = Path(options.folder or name)
    if folder.exists():
        raise UserError(f"{folder} exists; allowed: a folder that does not, by --folder or another NAME")
    for path, text in package(name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    print(_next_steps(name, folder))
    return 0


def check_name(name: str) -> None:
    """Raise `UserError` unless ``name`` can be that of a package and of a world."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or not name.isascii():
        raise UserError(f"NAME is {name!r}; allowed: small letters, digits and _, beginning with a letter")
    if name in registry.names("environment"):
        raise UserError(f"NAME is {name!r}, which is registered; allowed: another, see `minied list envs`")
    if name in ("minied", "minied_envs", "tests", "test"):
        raise UserError(f"NAME is {name!r}, which other packages have; allowed: another")


def package(name: str) -> dict[str, str]:
    """Return the text of each file of the package, by its path in the folder."""
    title = "".join(word.capitalize() for word in name.split("_"))
    words = {"NAME": name, "Title": title}
    return {
        f"{name}/__init__.py": f'"""The world {name}."""\n\nfrom {name}.world import {title} as {title}\n',
        f"{name}/world.py": _world(name, title),
        f"{name}/presets/dr.yaml": _filled(_PRESET, words),
        f"{name}/presets/accel.yaml": _filled(_ACCEL, words),
        "tests/test_world.py": _filled(_TEST, words),
        "pyproject.toml": _filled(_PYPROJECT, words),
        "README.md": _filled(_README, words),
    }


def _world(name: str, title: str) -> str:
    """Return the example world under another name."""
    import minied.testing

    source = (Path(minied.testing.__file__).parent / "lake.py").read_text(encoding="utf-8")
    first, _, rest = source.partition("\n")
    del first
    return f'"""{name}: begun from the example of minied, a frozen lake. Make it your own.\n{rest}'.replace(
        "Lake", title
    )


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
        f"  minied train {name}/accel --run-dir runs/{name}",
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

_ACCEL = """
# NAME, ACCEL: replays levels of high score and edits them; see NAME/dr, with which it shares student and budget.
include: NAME/dr
teacher:
  name: accel
  score: max_mc
  buffer_size: 256
  minimum_fill: 0.5
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
minied train NAME/dr --run-dir runs/dr            # a curriculum: domain randomisation
minied train NAME/accel --run-dir runs/accel      # another: ACCEL
minied compare runs/dr runs/accel
```

`NAME/world.py` is all there is: what a level is, how the world moves, what the agent sees, and what teachers may do with
levels. Change it step by step, and run `minied check NAME` after each. Only `sample` must be there of the level space; what
else it has opens more teachers (`minied list envs` says what it has, `minied list teachers` what there is).
"""
