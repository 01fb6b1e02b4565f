"""What can be collected, crafted and placed? The graph of recipes, read from data that a user can replace.

The form of the file is told at the head of ``recipes.yaml``. Nothing of it is executed. An item has one way to it: it is
collected from a block, perhaps with a tool, or crafted of other items, perhaps near a block (smelting is crafting near a
furnace, of a thing and a fuel).
"""

import dataclasses
import functools
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from minied.errors import UserError, suggestion
from minied.yaml_text import read_yaml

MAX_ITEMS = 250  # an item's number is one byte
MAX_BLOCKS = 100
RESERVED = ".#>v<^@"  # what else a drawing of a map is made of


@dataclasses.dataclass(frozen=True)
class Block:
    """A kind of thing that a cell of the map may hold."""

    name: str
    number: int
    """How many a new map has."""
    symbol: str
    colour: tuple[int, int, int]
    depletes: bool = False
    """Whether it is gone when it has been collected."""


@dataclasses.dataclass(frozen=True)
class Item:
    """Something to have, and the one way to it."""

    name: str
    collect: str = ""
    """The block that gives it; empty if it is crafted."""
    tool: str = ""
    """The item that one needs to have to collect it, if any."""
    craft: tuple[tuple[str, int], ...] = ()
    """The items that it is made of, and how many of each."""
    at: str = ""
    """The block that has to be near to craft it, if any."""
    makes: int = 1
    """How many come out."""
    places: str = ""
    """The block that it becomes where it is put down, if it can be."""


@dataclasses.dataclass(frozen=True)
class Recipes:
    """Blocks and items, each in the order of the file."""

    blocks: tuple[Block, ...]
    items: tuple[Item, ...]

    @property
    def item_names(self) -> tuple[str, ...]:
        """The names of the items, ``K``."""
        return tuple(item.name for item in self.items)

    @property
    def block_names(self) -> tuple[str, ...]:
        """The names of the blocks."""
        return tuple(block.name for block in self.blocks)

    @property
    def crafted(self) -> tuple[Item, ...]:
        """The items that are crafted."""
        return tuple(item for item in self.items if item.craft)

    @property
    def placed(self) -> tuple[Item, ...]:
        """The items that can be put down."""
        return tuple(item for item in self.items if item.places)


def text_of(source: str) -> str:
    """Return the text of recipes: ``source`` itself if it has several lines, else what stands in the file of that name.

    Empty: minied's own. Raises `UserError` if the file cannot be read.
    """
    if not source:
        return _own_text()
    if "\n" in source:
        return source
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(
            f"recipes is {source!r}, which cannot be read: {found}; allowed: a YAML file of recipes"
        ) from error
    return text if "\n" in text else f"{text}\n"  # never taken for the name of a file, nor for nothing


@functools.cache
def _own_text() -> str:
    return resources.files("minied_envs.crafting").joinpath("recipes.yaml").read_text(encoding="utf-8")


@functools.cache
def parse(text: str) -> Recipes:
    """Return the recipes that ``text`` describes, in form; whether every item can be had, `graph.check` says.

    Raises `UserError` that names the item or block, the field, and what is allowed.
    """
    document = read_yaml(text, "the text of recipes")
    if not isinstance(document, Mapping) or set(document) != {"blocks", "items"}:
        found = ", ".join(document) if isinstance(document, Mapping) else type(document).__name__
        found = {"list": "a list", "str": "words alone", "NoneType": "nothing"}.get(found, found)
        raise UserError(f"the recipes hold {found or 'nothing'}; allowed: two mappings, blocks and items")
    blocks = tuple(_block(name, data) for name, data in _entries(document["blocks"], "blocks", MAX_BLOCKS))
    items = tuple(_item(name, data) for name, data in _entries(document["items"], "items", MAX_ITEMS))
    recipes = Recipes(blocks, items)
    _check_symbols(recipes)
    _check_names(recipes)
    return recipes


def _entries(section: Any, name: str, most: int) -> list[tuple[str, Any]]:
    if not isinstance(section, Mapping) or not 1 <= len(section) <= most:
        found = f"{len(section)} entries" if isinstance(section, Mapping) else repr(section)
        raise UserError(f"{name} of the recipes: {found}; allowed: a mapping of 1 to {most} entries")
    for each in section:
        if not each or each != each.strip() or "," in each or not each.isprintable():  # a level names items by commas
            raise UserError(f"{name} of the recipes has the name {each!r}; allowed: words without commas")
    return list(section.items())


def _block(name: str, data: Any) -> Block:
    where = f"the block {name!r} of the recipes"
    fields = _fields(
        where, data, {"number": int, "symbol": str, "colour": list, "depletes": bool}, ("symbol", "colour")
    )
    colour = fields["colour"]
    if len(colour) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in colour):
        raise UserError(f"{where}: colour is {colour}; allowed: three whole numbers from 0 to 255")
    number, symbol = fields.get("number", 0), fields["symbol"]
    if not 0 <= number <= 2**15:
        raise UserError(f"{where}: number is {number}; allowed: 0 to {2**15}")
    if len(symbol) != 1 or symbol.isspace() or not symbol.isprintable() or symbol in RESERVED:
        raise UserError(f"{where}: symbol is {symbol!r}; allowed: one character other than {' '.join(RESERVED)}")
    return Block(name, number, symbol, (colour[0], colour[1], colour[2]), fields.get("depletes", False))


def _item(name: str, data: Any) -> Item:
    where = f"the item {name!r} of the recipes"
    kinds = {"collect": str, "tool": str, "craft": Mapping, "at": str, "makes": int, "places": str}
    fields = _fields(where, data, kinds, ())
    ways = [way for way in ("collect", "craft") if fields.get(way)]
    if len(ways) != 1:
        raise UserError(f"{where} has {' and '.join(ways) or 'no way to it'}; allowed: either collect or craft")
    for field, way in (("tool", "collect"), ("at", "craft"), ("makes", "craft")):
        if field in fields and way not in ways:
            raise UserError(f"{where} has {field}; allowed: only with {way}")
    inputs = tuple(fields.get("craft", {}).items())
    for each, number in (*inputs, ("makes", fields.get("makes", 1))):
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 100:
            raise UserError(f"{where}: {each} is {number!r}; allowed: a whole number from 1 to 100")
    return Item(
        name,
        collect=fields.get("collect", ""),
        tool=fields.get("tool", ""),
        craft=inputs,
        at=fields.get("at", ""),
        makes=fields.get("makes", 1),
        places=fields.get("places", ""),
    )


_FORMS = {
    "symbol": "one character, in quotes if YAML takes it for another thing",
    "colour": "three whole numbers from 0 to 255",
    "craft": "items and how many of each, such as {wood: 1}",
}


def _fields(where: str, data: Any, kinds: Mapping[str, type], required: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of an entry, each of its kind. Raises `UserError`."""
    if not isinstance(data, Mapping):
        raise UserError(f"{where} is {data!r}; allowed: a mapping of {', '.join(kinds)}")
    for field, value in data.items():
        if field not in kinds:
            raise UserError(f"{where} has {field!r}{suggestion(field, list(kinds))}; allowed: {', '.join(kinds)}")
        kind = kinds[field]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            told = {int: "a whole number", str: "a word", list: "a list", bool: "true or false", Mapping: "a mapping"}
            raise UserError(f"{where}: {field} is {value!r}; allowed: {_FORMS.get(field, told[kind])}")
    missing = [field for field in required if field not in data]
    if missing:
        raise UserError(f"{where} has no {missing[0]}; allowed: {_FORMS[missing[0]]}")
    return dict(data)


def _check_symbols(recipes: Recipes) -> None:
    symbols = [block.symbol for block in recipes.blocks]
    for block in recipes.blocks:
        if symbols.count(block.symbol) > 1:
            raise UserError(
                f"the block {block.name!r} of the recipes: symbol is {block.symbol!r}, twice; allowed: one of its own"
            )


def _check_names(recipes: Recipes) -> None:
    """Raise `UserError` if something is named that is not there, or a block gives two items."""
    blocks, items = recipes.block_names, recipes.item_names
    first: dict[tuple[str, str], str] = {}  # the first item that is collected from, or places, a block
    for item in recipes.items:
        where = f"the item {item.name!r} of the recipes"
        named = [("collect", item.collect, blocks), ("at", item.at, blocks), ("places", item.places, blocks)]
        named += [("tool", item.tool, items), *(("craft", each, items) for each, _ in item.craft)]
        for field, name, known in named:
            if name and name not in known:
                kind = "block" if known is blocks else "item"
                raise UserError(
                    f"{where}: {field} names the {kind} {name!r}{suggestion(name, known)}; allowed: {', '.join(known)}"
                )
        for field, block in (("collect", item.collect), ("places", item.places)):
            other = first.setdefault((field, block), item.name)
            if block and other != item.name:
                raise UserError(f"{where}: {field} is {block!r}, as that of {other!r} is; allowed: one item a block")
