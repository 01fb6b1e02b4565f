"""Does a level space keep the contract of `minied.levels.space`? `check_level_space`, a check a rule."""

import dataclasses
from collections.abc import Callable, Sequence

from minied.env import Environment
from minied.errors import UserError
from minied.testing.best_returns import oracle, solvable
from minied.testing.environment import chosen
from minied.testing.episodes import finite, observations
from minied.testing.influence import every_part_matters, level_decides_start, not_over
from minied.testing.level_forms import description, drawing, fingerprint, suites, text
from minied.testing.level_parts import designer, mutations, parameters, tasks
from minied.testing.play import World
from minied.testing.report import Check, Failure, Finding, Note, Report, Skip, run_checks
from minied.testing.samples import diversity, level_form, level_keys, valid_samples


def check_level_space(
    env: Environment,
    *,
    seed: int = 0,
    num_levels: int = 16,
    most_steps: int | None = None,
    min_solvable: float = 0.5,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    tell: Callable[[Finding], None] | None = None,
) -> Report:
    """Return what is right and wrong with the levels of a world; see `minied.testing.check_env` for the arguments.

    ``min_solvable`` is the share of sampled levels that must be solvable, where ``optimal_return`` can tell.
    """
    world = World(env, seed, num_levels, most_steps or World.most_steps, min_solvable)
    return run_checks(chosen(LEVEL_CHECKS, only, skip), world, type(env.level_space).__name__, tell)


def non_square(world: World) -> str:
    """Maps that are no squares are as good."""
    env = world.env
    fields = {field.name for field in dataclasses.fields(env) if field.init}  # type: ignore[arg-type]
    if not {"height", "width"} <= fields:
        raise Skip("the world has no height and width")
    height, width = (getattr(env, name) for name in ("height", "width"))
    sizes = (height, width + 2), (height + 2, width)
    for size in sizes:
        told = f"{size[0]}x{size[1]}"
        try:
            other = dataclasses.replace(env, height=size[0], width=size[1])  # type: ignore[call-arg]
            variant = dataclasses.replace(world, env=other, num_levels=4, figures={})
        except UserError as error:
            raise Skip(f"{told} is not allowed: {error}") from error
        for check in (valid_samples, text, level_decides_start, mutations, finite, observations):
            try:
                check(variant)
            except (Skip, Note):
                continue
            except Failure as failure:
                raise Failure(f"at {told}: {failure}", failure.look_at) from failure
    return f"also at {' and '.join(f'{rows}x{columns}' for rows, columns in sizes)}"


LEVEL_CHECKS = (
    Check("level_form", level_form, "levels cannot be stored, compared or sent to devices", "sample"),
    Check("level_keys", level_keys, "parts of a level repeat each other: the generator makes fewer worlds than it seems",
          "sample"),
    Check("diversity", diversity, "the student trains on one level", "sample"),
    Check("valid_samples", valid_samples, "the student trains on what is no level", "is_valid"),
    Check("level_decides_start", level_decides_start, "scores and replay are about other levels than those played", "reset"),
    Check("every_part_matters", every_part_matters, "teachers choose what nothing listens to, or take two levels for one",
          "reset"),
    Check("not_over", not_over, "levels give nothing to learn, and look solved or hopeless to scores", "step"),
    Check("solvable", solvable, "the student is sent where nothing can be gained, and regret of it is noise",
          "optimal_return"),
    Check("oracle", oracle, "exact regret is negative: teachers that rank by it chase its mistakes", "optimal_return"),
    Check("fingerprint", fingerprint, "the buffer holds one level many times, or loses levels as copies", "fingerprint"),
    Check("text", text, "levels that a person writes or keeps are not those that are played", "from_text"),
    Check("mutations", mutations, "ACCEL fills its buffer with what is no level", "mutate"),
    Check("parameters", parameters, "ALP-GMM, PAIRED and others that choose numbers make what is no level", "parameters"),
    Check("tasks", tasks, "task curricula send the student to what is no level", "tasks"),
    Check("designer", designer, "PAIRED and others that design build what is no level, or never finish", "designer"),
    Check("description", description, "metrics of levels are missing or stop a run", "describe"),
    Check("drawing", drawing, "reports and pictures of a run fail", "draw"),
    Check("suites", suites, "an evaluation is not on the levels that it says", "suite"),
    Check("non_square", non_square, "rows and columns are exchanged somewhere, and square maps hide it", "sample"),
)  # fmt: skip
"""In the order in which they are run."""
