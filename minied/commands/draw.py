"""``minied draw``: a picture of levels from a text file, a suite or the generator."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from minied.commands.shared import positional
from minied.config.options import take_option
from minied.config.parsing import parse_world
from minied.errors import UserError
from minied.levels.space import LevelSpace
from minied.levels.text import read_levels
from minied.registry import name_of

DESCRIPTION = """Draw levels of the world --env NAME (by default that of the preset quick): those of a text FILE (several
levels are parted by empty lines), of a suite (suite:NAME), or --sample N new ones."""
MAX_LEVELS = 64

Picture = tuple[LevelSpace, Any, str]


@dataclasses.dataclass(frozen=True)
class DrawOptions:
    """Options of `minied draw`."""

    output: Annotated[str, tyro.conf.arg(aliases=("-o",))] = "levels.png"
    """The picture to write, a .png file."""
    sample: int = 0
    """Draw this many levels of the world's generator."""
    seed: int = 0
    """Seed of --sample."""


def main(arguments: list[str]) -> int:
    """Draw; return the exit code."""
    source, rest = positional(arguments)
    usage = "minied draw (FILE | suite:NAME | --sample N)"
    chosen = take_option(list(rest), "--env")[0] is not None
    world, options = parse_world(rest, DrawOptions, usage, DESCRIPTION)
    output = Path(options.output)
    if output.suffix.lower() != ".png":
        raise UserError(f"--output is {options.output!r}; allowed: a name that ends in .png")
    if output.is_dir():
        raise UserError(f"--output is {options.output!r}, which is a folder; allowed: a file")
    if not output.parent.is_dir():
        raise UserError(f"--output is {options.output!r}; allowed: a file in a folder that exists")
    if (source is None) == (options.sample == 0):
        raise UserError("minied draw needs one of: a text file, suite:NAME, --sample N")
    world.level_space.require("draw", "minied draw")
    try:
        levels = _levels(world.level_space, source, options)
    except UserError as error:
        if chosen or source is None:
            raise
        raise UserError(f"{error} (the world is {name_of(type(world))!r}; another one: --env NAME)") from error

    from minied.run.pictures import draw_gallery

    draw_gallery(levels[:MAX_LEVELS], output)
    left_out = f" (the first {MAX_LEVELS} of {len(levels)})" if len(levels) > MAX_LEVELS else ""
    print(f"{output}: {min(len(levels), MAX_LEVELS)} levels{left_out}")
    return 0


def _levels(space: LevelSpace, source: str | None, options: DrawOptions) -> list[Picture]:
    if source is None:
        return _sampled(space, options.sample, options.seed)
    if source.startswith("suite:"):
        return _of_suite(space, source.removeprefix("suite:"))
    levels = read_levels(space, Path(source), "minied draw FILE")
    return [(space, level, f"level {index}") for index, level in enumerate(levels, start=1)]


def _sampled(space: LevelSpace, count: int, seed: int) -> list[Picture]:
    import jax

    from minied.run.pictures import unstack
    from minied.teachers.base import sample_levels

    for name, value, most in (("sample", count, MAX_LEVELS), ("seed", seed, 2**31 - 1)):
        least = 1 if name == "sample" else 0
        if not least <= value <= most:
            raise UserError(f"--{name} is {value}; allowed: {least} to {most}")
    levels = jax.device_get(sample_levels(jax.random.key(seed), space, count))
    return [(space, level, f"sample {index}") for index, level in enumerate(unstack(levels))]


def _of_suite(space: LevelSpace, name: str) -> list[Picture]:
    from minied.run.pictures import unstack

    return [
        (part.env.level_space, level, each)
        for part in space.suite(name)
        for each, level in zip(part.names, unstack(part.levels), strict=True)
    ]
