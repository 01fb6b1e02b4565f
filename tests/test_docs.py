"""The pages of `docs/` say what the code, the presets and the README say, and lead nowhere else. Nothing is built here."""

import ast
import dataclasses
import importlib.util
import re
import sys
import tomllib
import typing
from pathlib import Path

import jax.numpy as jnp
import pytest

from minied import registry
from minied.config import presets
from minied.errors import UserError
from minied.levels.space import OPTIONAL_CAPABILITIES, LevelSpace
from minied.teachers.given_levels import GivenLevels

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
SITE = {name: text for name, text in PAGES.items() if name != "README.md"}  # that one tells how to build it
TEACHERS = sorted(registry.TEACHERS)  # those of other packages that are installed here are not ours to tell
SECTIONS = [
    "Loop", "Source", "What it needs", "Options", "How it differs from the paper", "Run", "Measured",
]  # fmt: skip


@pytest.fixture(scope="module")
def tables() -> typing.Any:
    """`docs/tables.py`, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("docs_tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def prose(text):
    """A page without its blocks of code and code in lines."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def section(page, title):
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def one_line(text):
    return " ".join(text.split())


# -- teachers ----------------------------------------------------------------------------------------------------------


def test_every_teacher_has_a_page_and_no_other_has_one():
    assert {name for name in SITE if name.startswith("teachers/")} == {
        "teachers/index.md", *(f"teachers/{name}.md" for name in TEACHERS),
    }  # fmt: skip


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_s_page_has_all_its_parts(name):
    page = SITE[f"teachers/{name}.md"]
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    assert all(section(page, title).strip() for title in SECTIONS)


@pytest.mark.parametrize("name", TEACHERS)
def test_the_options_of_a_teacher_s_page_are_its_fields_with_their_defaults(name):
    rows = re.findall(
        r"^\| `([\w.]+)` \| .*? \| `(.*?)` \| (.*) \|$", section(SITE[f"teachers/{name}.md"], "Options"), re.M
    )
    assert all(about for _, _, about in rows)
    told = {option: default for option, default, _ in rows if "." not in option}
    fields = {field.name: field.default for field in dataclasses.fields(registry.load("teacher", name))}
    plain = {each: value for each, value in fields.items() if not dataclasses.is_dataclass(value)}
    assert {each: told[each] for each in plain} == {each: str(value) or '""' for each, value in plain.items()}
    assert list(told) == list(fields)
    for each in fields.keys() - plain.keys():  # a config: as it is written in Python
        config = fields[each]
        assert eval(told[each], {type(config).__name__: type(config)}) == config
        within = {option.partition(".")[2]: default for option, default, _ in rows if option.startswith(f"{each}.")}
        assert within in ({}, {f.name: str(getattr(config, f.name)) for f in dataclasses.fields(config)})


class BareLevels(LevelSpace):
    """Levels that can be drawn, and nothing else."""

    def sample(self, key):
        return jnp.zeros((), jnp.int32)


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_s_page_says_what_it_asks_of_a_level_space(name):
    cls = registry.load("teacher", name)
    has_levels = issubclass(cls, GivenLevels) and name != "learned_mixture"  # which can do without
    teacher = cls(**{"file": "mine.txt", "levels_text": ">"} if has_levels else {})
    try:
        teacher.validate(BareLevels(), 8, {})
        lacking = set()
    except UserError as error:
        asked = str(error).partition(", which BareLevels does not have")
        lacking = set(re.findall(r"`(\w+)`", asked[0])) & {*OPTIONAL_CAPABILITIES} if asked[1] else {str(error)}
    needs = re.search(
        r"^Of a level space: (.*?)\.\n", section(SITE[f"teachers/{name}.md"], "What it needs"), re.M | re.DOTALL
    )
    assert needs is not None
    assert needs[1].startswith("only `sample`") == (not lacking)
    assert lacking <= set(re.findall(r"`(\w+)`", needs[1]))


@pytest.mark.parametrize("name", TEACHERS)
def test_what_was_measured_is_told_with_commands_of_the_readme(name):
    told = one_line((ROOT / "README.md").read_text() + (ROOT / "benchmarks" / "README.md").read_text())
    measured = re.sub(r"<!-- made: .*? -->", "", section(SITE[f"teachers/{name}.md"], "Measured"))
    commands = re.findall(r"`((?:minied|python|pytest) [^`]*)`", one_line(measured.replace("\n> ", " ")))
    assert [command for command in commands if command not in told] == []
    by_hand = re.sub(r"<!-- made.*?<!-- end -->", "", section(SITE[f"teachers/{name}.md"], "Measured"), flags=re.DOTALL)
    assert "not measured yet" in by_hand.lower() or "<!-- made" in section(SITE[f"teachers/{name}.md"], "Measured")
    assert [number for number in re.findall(r"\d[\d,.]*\d|\d", by_hand) if number not in told] == []


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_the_made_parts_are_what_is_made_now(tables):
    assert [path.relative_to(ROOT) for path in tables.outdated()] == [], "run: python docs/tables.py"


def test_presets_are_described_by_whole_sentences(tables):
    headings = tables.headings()
    assert set(headings) <= {*presets.available(), *presets.sweeps()}
    assert {name for name, text in headings.items() if not text.endswith(".")} == set()
    assert {tables.teacher_of(name) for name in headings if not name.startswith(presets.SWEEPS)} <= {*TEACHERS}


def test_the_teacher_of_a_preset_is_read_through_its_includes(tables):
    assert presets.read(presets.available()["crafting/unidirectional"])["teacher"]["name"] == "learning_progress"
    assert tables.teacher_of("crafting/unidirectional") == "learning_progress"
    assert tables.teacher_of("maze/dcd_high_entropy_paired_25") == "paired"  # which says nothing of a name itself


def test_every_page_is_in_the_navigation_once_and_every_entry_leads_to_a_page():
    def pages(entries):
        for entry in entries:
            for target in entry.values():
                yield from pages(target) if isinstance(target, list) else [target]

    navigation = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(pages(navigation)) == sorted(SITE)


def links():
    for name, text in PAGES.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
            if "://" not in link:
                yield name, link


def test_every_relative_link_leads_to_a_file():
    found = list(links())
    assert ("index.md", "teachers/index.md") in found
    broken = [
        (name, link)
        for name, link in found
        if (path := link.partition("#")[0]) and not (DOCS / name).parent.joinpath(path).is_file()
    ]
    assert broken == []


def test_every_preset_that_is_named_in_a_command_exists():
    named = {
        preset
        for text in PAGES.values()
        for preset in re.findall(r"minied train ([\w/.]+)", text)
        if not preset.rpartition("/")[2].isupper() and not preset.endswith(presets.ENDINGS)
    }
    assert {"small/dr", "maze/sfl"} <= named
    assert named - set(presets.available()) == set()


def test_nothing_names_a_path_of_this_machine():
    files = [path for path in DOCS.rglob("*") if path.suffix in (".md", ".py", ".toml")] + [ROOT / "zensical.toml"]
    places = re.compile(r"(?<![\w.~])/(?:home|root|tmp|work|opt|usr|var|mnt|Users|data)\b|\b[A-Z]:\\|file://")
    assert {path.name: found[0] for path in files if (found := places.search(path.read_text(encoding="utf-8")))} == {}


def names_in(module):
    """What a module defines or imports, and of its classes what is in them, without importing it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def test_every_object_of_the_api_pages_exists():
    objects = [each for text in SITE.values() for each in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)]
    assert "minied.env" in objects
    for each in objects:
        module, _, last = each.rpartition(".")
        if last not in names_in(module):
            assert importlib.util.find_spec(each) is not None, each
