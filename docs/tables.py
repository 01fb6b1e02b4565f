"""What do the pages of this folder take from the code, the presets and the README? Run again after any of these changed.

    python docs/tables.py            writes the parts of the pages that are made
    python docs/tables.py --check    names the pages that are out of date, and writes nothing

A page says what it wants in a comment, and what stands from there to ``<!-- end -->`` is made:

    <!-- made: options NAME -->              options of a teacher, with defaults
    <!-- made: presets [TEACHER] -->         presets, all or those of a teacher, with the comment that heads each file
    <!-- made: teachers -->                  all teachers, with the sentence and the source that their pages begin with
    <!-- made: scores -->                    all scores, from their docstrings
    <!-- made: checks -->                    what `minied check` looks at
    <!-- made: planted -->                   the bugs that the tests plant, and the check that catches each
    <!-- made: adapters -->                  the files of ``minied/adapters``, one section a library
    <!-- made: row FILE: HEADER: KEYS -->    rows of the one table of FILE whose header begins like that; several keys by `;`
    <!-- made: text FILE: FIRST … LAST -->   the words of FILE from FIRST to LAST, as a quotation

FILE is relative to the root of the repository. Results that were measured are in the pages by `row` and `text` alone, so
that they are the README's to the letter. Needs minied to be importable, and computes nothing.
"""

import argparse
import ast
import dataclasses
import functools
import importlib.util
import inspect
import itertools
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minied import registry
from minied.config import presets
from minied.testing.environment import ENVIRONMENT_CHECKS
from minied.testing.levels import LEVEL_CHECKS
from minied.testing.score import SCORE_CHECKS
from minied.testing.teacher import TEACHER_CHECKS
from minied.train.missing import CONDITIONS

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WIDTH = 138

LIBRARIES = {
    "craftax": "Craftax",
    "gymnasium": "Gymnasium",
    "gymnax": "gymnax",
    "jaxmarl": "JaxMARL",
    "jumanji": "Jumanji",
    "navix": "NAVIX",
    "pettingzoo": "PettingZoo",
    "xminigrid": "XLand-MiniGrid",
}
"""How the libraries that adapters are named after write themselves. A file of another name counts as shared by adapters."""

_BLOCK = re.compile(r"(<!-- made: (\w+)(?: ([^\n]*))? -->\n).*?(<!-- end -->)", re.DOTALL)


def cell(text: str) -> str:
    """Return ``text`` as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ("---",) * len(header), *(tuple(cell(each) for each in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- options -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Option:
    """A field of a config."""

    name: str
    kind: str
    default: str
    about: str


def options_of(cls: type, default: Any = None, prefix: str = "") -> Iterator[Option]:
    """Yield the fields of the config dataclass ``cls``; its sections too if they are a teacher's own.

    ``default`` is an instance whose values are the defaults, if they are not the class's.
    """
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        value = field.default if default is None else getattr(default, field.name)
        hint, about = hints[field.name], _about(cls, field.name)
        if not dataclasses.is_dataclass(value):
            yield Option(prefix + field.name, _kind(hint), f"`{shown(value)}`", about)
        elif hint.__module__.startswith("minied.teachers"):
            yield Option(prefix + field.name, "section", f"`{_changed(value)}`", about)
            yield from options_of(hint, value, f"{prefix}{field.name}.")
        else:
            link = f"[section](../api/students.md#{hint.__module__}.{hint.__qualname__})"
            yield Option(prefix + field.name, link, f"`{_changed(value)}`", about)


def shown(value: Any) -> str:
    """Return a default as it stands in a table; the empty string is shown as ``""``."""
    return '""' if value == "" else str(value)


def _changed(config: Any) -> str:
    """Return how a config is made, with what differs from its class's defaults alone."""
    fields = dataclasses.fields(config)
    told = [
        f"{each.name}={getattr(config, each.name)!r}" for each in fields if getattr(config, each.name) != each.default
    ]
    return f"{type(config).__name__}({', '.join(told)})"


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{each}`" for each in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"{typing.get_args(hint)[0].__name__} …"
    return hint.__name__


def _about(cls: type, name: str) -> str:
    """Return the docstring of a field, of the class that declares it last."""
    owner = next(each for each in cls.__mro__ if name in vars(each).get("__annotations__", {}))
    return _field_docs(owner)[name]


@functools.cache
def _field_docs(cls: type) -> dict[str, str]:
    """Return the string that follows each field in the body of a class."""
    body = _class_bodies(cls.__module__)[cls.__name__]
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


@functools.cache
def _class_bodies(module: str) -> dict[str, list[ast.stmt]]:
    source = Path(typing.cast(str, sys.modules[module].__file__)).read_text(encoding="utf-8")
    return {node.name: node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def options(name: str) -> str:
    """Return the table of a teacher's options."""
    found = list(options_of(registry.load("teacher", name)))
    if not found:
        return "None."
    rows = [(f"`{each.name}`", each.kind, each.default, each.about) for each in found]
    return table(("option", "type", "default", "what it does"), rows)


# -- presets -----------------------------------------------------------------------------------------------------------


@functools.cache
def files() -> dict[str, Path]:
    """Return the file of each preset and sweep of minied by name; those of other installed packages are not among them."""
    folder = ROOT / "experiments"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


@functools.cache
def headings() -> dict[str, str]:
    """Return what the head of each preset's and each sweep's file says of it."""
    return {name: _heading(path) for name, path in files().items()}


def _heading(path: Path) -> str:
    """Return the first line of the comment that heads a file: its whole sentences, or the first one, to where it ends."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    comment, first = " ".join(lines), lines[0] if lines else ""
    ends = [match.start() + 1 for match in re.finditer(r"(?<!al)\.(?= [A-Z]|$)", comment)]
    within = [end for end in ends if end <= len(first)]
    return comment[: within[-1] if within else (ends or [len(comment)])[0]]


@functools.cache
def teacher_of(name: str) -> str:
    """Return the name of a preset's teacher, its own or that of the preset it includes."""
    text = files()[name].read_text(encoding="utf-8")
    found = re.search(r"^teacher:\n(?:  .*\n)*?  name: (\w+)", text, re.MULTILINE)
    if found:
        return found[1]
    included = re.search(r"^include: (\S+)", text, re.MULTILINE)
    return teacher_of(included[1]) if included else ""


def preset_tables(teacher: str) -> str:
    """Return the presets, a heading and a table a folder; of one teacher: one table."""
    if teacher:
        rows = [(f"`{name}`", about) for name, about in headings().items() if _is_preset_of(name, teacher)]
        return table(("preset", "what it is"), rows) if rows else "No preset has it."
    parts = []
    for folder in sorted({name.rpartition("/")[0] for name in headings()}, key=lambda each: (each == "sweeps", each)):
        inside = {name: about for name, about in headings().items() if name.rpartition("/")[0] == folder}
        if folder == "sweeps":
            parts.append(f"## sweeps\n\n{table(('sweep', 'what it is'), [(f'`{n}`', a) for n, a in inside.items()])}")
            continue
        rows = [
            (f"`{name}`", f"[`{teacher_of(name)}`](teachers/{teacher_of(name)}.md)", inside[name]) for name in inside
        ]
        title = f"## {folder}\n\n" if folder else ""
        parts.append(title + table(("preset", "teacher", "what it is"), rows))
    return "\n\n".join(parts)


def _is_preset_of(name: str, teacher: str) -> bool:
    return not name.startswith(presets.SWEEPS) and teacher_of(name) == teacher


# -- teachers ----------------------------------------------------------------------------------------------------------


def teachers(_: str = "") -> str:
    """Return the index: of each page the first paragraph, the links of its source, and what it needs of a level space."""
    rows = []
    for name in sorted(registry.TEACHERS):
        text = (DOCS / "teachers" / f"{name}.md").read_text(encoding="utf-8")
        sentence = text.split("\n\n")[1]
        source = text.partition("\n## Source\n\n")[2].partition("\n## ")[0]
        needs = re.search(r"^Of a level space: (.*?)\.", text, re.MULTILINE | re.DOTALL)
        links = re.findall(r"\[[^]]*\]\(https[^)]*\)", source)
        rows.append((f"[`{name}`]({name}.md)", sentence, ", ".join(links), needs[1] if needs else ""))
    return table(("teacher", "what it does", "source", "needs of a level space"), rows)


# -- scores ------------------------------------------------------------------------------------------------------------


def scores(_: str = "") -> str:
    """Return an index of the scores and a section on each, from their docstrings."""
    rows, sections = [], []
    for name in sorted(registry.SCORES):
        function = registry.load("score", name)
        sentence, *paragraphs = inspect.cleandoc(function.__doc__).split("\n\n")
        conditions = [words for signal, words in CONDITIONS.items() if signal in function.needs]
        rows.append((f"[`{name}`](#{name})", sentence, ", ".join(conditions)))
        signals = ", ".join(f"`{each}`" for each in sorted(function.needs))
        lines = [f"- Signals: {signals}."] + [f"- A run must have: {', '.join(conditions)}."] * bool(conditions)
        equation = [each for each in paragraphs if not each.startswith("Source:")]
        for each in re.split(r"\n(?=[A-Z]\w+: )", "\n".join(each for each in paragraphs if each not in equation)):
            lines.append(textwrap.fill(f"- {each}", WIDTH, subsequent_indent="  ", **_UNBROKEN))
        body = "\n\n".join([sentence, *equation, "\n".join(lines)])
        sections.append(f"## {name}\n\n{body}")
    return "\n\n".join([table(("score", "what it measures", "a run must have"), rows), *sections])


# -- adapters ----------------------------------------------------------------------------------------------------------


def adapters(_: str = "") -> str:
    """Return a section a library: what its file offers, and what the other files of its name are for."""
    found = importlib.util.find_spec("minied.adapters")
    folder = Path(typing.cast(str, typing.cast(Any, found).origin)).parent
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    libraries = [name for name in names if name in LIBRARIES]
    shared = [name for name in names if not any(name == each or name.startswith(f"{each}_") for each in libraries)]
    sections = []
    for library in libraries:
        parts = [f"## {LIBRARIES[library]}", _identifier(f"minied.adapters.{library}")]
        parts += [
            _identifier(f"minied.adapters.{library}.{name}", "true") for name in _handed_on(folder / f"{library}.py")
        ]
        others = [name for name in names if name.startswith(f"{library}_")]
        sections.append("\n\n".join(parts + [_files(folder, others)] * bool(others)))
    return "\n\n".join([*sections, f"## What adapters share\n\n{_files(folder, shared)}"])


def _identifier(path: str, heading: str = "false") -> str:
    """Return the line that the site's builder puts the docstrings of a module, or of an object of it, in the place of."""
    return f"::: {path}\n    options:\n      show_root_heading: {heading}\n      heading_level: 3"


def _handed_on(file: Path) -> list[str]:
    """Return what a file imports for others to import from it, ``from a import b as b``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return [alias.name for alias in imports if alias.asname == alias.name]


def _files(folder: Path, names: list[str]) -> str:
    def sentence(name: str) -> str:
        text = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
        return text.partition("\n\n")[0]

    return table(("file", "what it is for"), [(f"`minied.adapters.{name}`", sentence(name)) for name in names])


# -- what was measured -------------------------------------------------------------------------------------------------


@functools.cache
def _read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def row(what: str) -> str:
    """Return rows of a table of a file, header and all, as they stand there: ``FILE: HEADER: KEY; KEY``."""
    file, header, keys = (part.strip() for part in what.split(": ", 2))
    lines = _read(file).splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith(f"| {header}")]
    if len(starts) != 1:
        raise SystemExit(f"{file} has {len(starts)} tables whose header begins with {header!r}; allowed: one")
    found = []
    body = []
    for line in lines[starts[0] + 2 :]:
        if not line.startswith("|"):
            break
        body.append(line)
    for key in keys.split(";"):
        mine = [line for line in body if line.split("|")[1].strip() == key.strip()]
        if not mine:
            raise SystemExit(f"the table {header!r} of {file} has no row {key.strip()!r}")
        found += mine
    return "\n".join([*lines[starts[0] : starts[0] + 2], *found])


def text(what: str) -> str:
    """Return a passage of a file as a quotation: ``FILE: FIRST … LAST``, words that it begins and ends with."""
    file, _, ends = what.partition(": ")
    first, _, last = ends.partition(" … ")
    whole = " ".join(_read(file).split())
    start = whole.find(first)
    if start < 0 or whole.count(first) > 1:
        raise SystemExit(f"{file} has {whole.count(first)} passages that begin with {first!r}; allowed: one")
    end = whole.find(last, start)
    if end < 0:
        raise SystemExit(f"{file} has no {last!r} after {first!r}")
    passage = whole[start : end + len(last)]
    for width in range(WIDTH - 2, WIDTH - 40, -1):
        lines = textwrap.wrap(passage, width, **_UNBROKEN)
        if not any(re.match(r"[-+*>#]|\d+[.)]", line) for line in lines[1:]):  # which would begin a list
            return "\n".join(f"> {line}" for line in lines)
    raise SystemExit(f"the passage of {file} that begins with {first!r} cannot be divided into lines")


_UNBROKEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}

# -- the kit -----------------------------------------------------------------------------------------------------------


def checks(argument: str) -> str:
    """Return a table of the checks of each kind of thing."""
    del argument
    kinds = {
        "A world": ENVIRONMENT_CHECKS, "Its levels": LEVEL_CHECKS, "A teacher": TEACHER_CHECKS, "A score": SCORE_CHECKS,
    }  # fmt: skip
    header = ("check", "holds when", "otherwise")
    return "\n\n".join(
        f"### {kind}\n\n"
        + table(header, [(f"`{check.name}`", inspect.getdoc(check.run) or "", check.breaks) for check in each])
        for kind, each in kinds.items()
    )


def planted(argument: str) -> str:
    """Return a table of the bugs that the tests plant into the example world."""
    del argument
    path = ROOT / "tests" / "testing" / "planted.py"
    spec = importlib.util.spec_from_file_location("planted", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = [(bug.name.replace("_", " "), bug.seen, f"`{bug.check}`") for bug in module.BUGS]
    return table(("bug", "as in", "caught by"), rows)


MAKERS: dict[str, Callable[[str], str]] = {
    "adapters": adapters, "checks": checks, "options": options, "planted": planted, "presets": preset_tables, "row": row,
    "scores": scores, "teachers": teachers, "text": text,
}  # fmt: skip


def made(page: str) -> str:
    """Return a page with its made parts as they should be."""

    def fill(block: re.Match[str]) -> str:
        return f"{block[1]}\n{MAKERS[block[2]](block[3] or '')}\n\n{block[4]}"

    return _BLOCK.sub(fill, page)


def outdated() -> dict[Path, str]:
    """Return what the pages that are out of date should be."""
    found = {}
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if (right := made(text)) != text:
            found[path] = right
    return found


def main() -> int:
    """Write, or check; return the exit code."""
    parser = argparse.ArgumentParser(description="Make the parts of the pages that come from code, presets and README.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    only_check = parser.parse_args().check
    pages = outdated()
    for path, right in pages.items():
        print(f"{'out of date' if only_check else 'written'}: {path.relative_to(ROOT)}")
        if not only_check:
            path.write_text(right, encoding="utf-8")
    return int(only_check and bool(pages))


if __name__ == "__main__":
    raise SystemExit(main())
