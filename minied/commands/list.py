"""``minied list``: what there is to choose from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from minied import registry
from minied.adapters.base import AdaptedEnvironment, is_installed, mend, require
from minied.commands.shared import positional, print_json
from minied.config import load_config, presets
from minied.config.options import parse
from minied.config.parsing import parse_world
from minied.env import Environment
from minied.errors import UserError, unknown_name
from minied.levels.space import LevelSpace

DESCRIPTION = """List KIND: envs, teachers, scores, bonuses, suites, presets or sweeps; without a word, all of them. Suites
are those of every world, or of the one that --env NAME and its options say."""
KINDS = ("envs", "teachers", "scores", "bonuses", "suites", "presets", "sweeps")


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Options of `minied list`."""

    json: bool = False
    """Print JSON: an object of names and descriptions for each kind."""


def main(arguments: list[str]) -> int:
    """List; return the exit code."""
    what, rest = positional(arguments)
    if what is not None and what not in KINDS:
        raise unknown_name("kind of thing to list", what, KINDS)
    world, program = None, "minied list [KIND]"
    options_of_world = [each.partition("=")[0] for each in rest if each.startswith("--env.")]
    if any(each == "--env" or each.startswith("--env=") for each in rest):
        world, options = parse_world(rest, ListOptions, program, DESCRIPTION)
        if isinstance(world, AdaptedEnvironment):
            require(world.library)
    elif options_of_world:
        raise UserError(
            f"{options_of_world[0]} needs a world: --env NAME; known: {', '.join(registry.names('environment'))}"
        )
    else:
        options = parse(ListOptions, rest, program, DESCRIPTION)
    found = {kind: _entries(kind, world) for kind in (KINDS if what is None else (what,))}
    if options.json:
        print_json(found)
        return 0
    for kind, entries in found.items():
        if what is None:
            print(f"{kind}:")
        _print_entries(entries, indent="  " if what is None else "")
    return 0


def _entries(kind: str, world: Environment | None) -> dict[str, Any]:
    """Return the names of a kind with a sentence about each; suites by world."""
    if kind == "presets":
        return {name: presets.description(path) for name, path in presets.available().items()}
    if kind == "sweeps":
        return {name: presets.description(path) for name, path in presets.sweeps().items()}
    if kind == "suites":
        if world is not None:
            return {registry.name_of(type(world)): dict(world.level_space.suites)}
        return {name: _suites_of(name) for name in registry.names("environment")}
    registered = {"envs": "environment", "teachers": "teacher", "scores": "score", "bonuses": "bonus"}[kind]
    more = {"envs": _offers, "scores": _conditions}.get(kind, lambda _: "")
    return {name: f"{_sentence(registered, name)} {more(name)}".rstrip() for name in registry.names(registered)}


def _space_of(name: str) -> LevelSpace:
    """Return the levels of a world with its own defaults. Raises `UserError` if it cannot be made of them."""
    world = registry.load("environment", name)
    try:
        return world().level_space
    except UserError:
        raise
    except Exception as error:  # it is somebody else's code
        raise UserError(f"the environment {name!r} cannot be made of its defaults: {error}") from error


def _is_adapted(name: str) -> bool:
    """Return whether a world is another library's, which is not imported for a list."""
    return issubclass(registry.load("environment", name), AdaptedEnvironment)


def _offers(name: str) -> str:
    """Return what a world's levels can do beyond being sampled: what teachers and scores may ask of them."""
    try:
        if _is_adapted(name):
            world = registry.load("environment", name)
            missing = "" if is_installed(world.library) else f"Not installed here: {mend(world.library)}. "
            return f"{missing}Levels have {', '.join(world.offers)}."
        offered = _space_of(name).offered
    except UserError:
        return ""  # the list of suites says it
    return f"Levels have {', '.join(offered)}." if offered else ""


def _conditions(name: str) -> str:
    """Return what a run must have for the score to be computed, beyond what every run has."""
    from minied.train.missing import CONDITIONS

    try:
        needs = getattr(registry.load("score", name), "needs", ())
    except UserError:
        return ""  # the sentence says it
    conditions = [words for signal, words in CONDITIONS.items() if signal in needs]
    return f"Needs {', '.join(conditions)}." if conditions else ""


def _suites_of(name: str) -> dict[str, str] | str:
    """Return the suites of a world: as the default preset has it, or else with its own defaults."""
    try:
        if _is_adapted(name):
            return f"see minied list suites --env {name}, with the options that make the world"
        preset = load_config(presets.DEFAULT_PRESET).env
        if registry.name_of(type(preset)) == name:
            return dict(preset.level_space.suites)
        return dict(_space_of(name).suites)
    except UserError as error:
        return str(error)  # one world that does not load should not hide the others


def _sentence(kind: str, name: str) -> str:
    """Return the first line of what is registered, or why it does not load."""
    try:
        text = registry.load(kind, name).__doc__ or ""
    except UserError as error:
        return str(error)
    return text.strip().partition("\n")[0]


def _print_entries(entries: Mapping[str, Any], indent: str) -> None:
    width = max((len(name) for name in entries), default=0)
    for name, about in entries.items():
        if isinstance(about, Mapping):
            print(f"{indent}{name}:")
            _print_entries(about, indent + "  ")
        else:
            print(f"{indent}{name:<{width}}  {about}".rstrip())
