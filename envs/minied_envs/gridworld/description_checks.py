"""What is wrong with a description of levels? It puts more than fits, or asks for what may not be there."""

import numpy as np

from minied.errors import UserError
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.description import (
    ANY,
    DIRECTIONS,
    Colours,
    Description,
    Tensors,
    drawn_agent,
    ground_of,
    mission_of,
    region_of,
    tensors_of,
    thing_of,
)
from minied_envs.gridworld.level import LONGEST
from minied_envs.gridworld.text import AGENT


def check(description: Description) -> None:
    """Raise `UserError` that says what is wrong with a description."""
    tensors, mission = tensors_of(description), mission_of(description)
    _check_agent(description)
    _check_fits(description, tensors)
    _check_target(description, mission)
    if not 1 <= description.max_steps <= LONGEST:
        raise UserError(f"max_steps is {description.max_steps}; allowed: 1 to {LONGEST}")


def _check_agent(description: Description) -> None:
    region_of(description, description.agent_region)
    if description.agent_facing not in (ANY, *DIRECTIONS):
        raise UserError(f"agent: facing is {description.agent_facing!r}; allowed: {', '.join((ANY, *DIRECTIONS))}")


def _check_fits(description: Description, tensors: Tensors) -> None:
    """Raise `UserError` if a thing, or the agent, might find no place: with all others put where it could go.

    Of a region ``A``, things put before into regions ``B`` take at most as many cells as there are of them, and at most all
    that ``A`` shares with the ``B``.
    """
    cells = ground_of(description)
    agent = region_of(description, description.agent_region) & (np.asarray(description.map) < AGENT)
    candidates = [mask & (cells == ground) for mask, ground in zip(tensors.masks, tensors.grounds, strict=True)]

    def left(own: np.ndarray, before: int) -> int:
        """Return the cells of ``own`` that are surely left after the things ``before`` this one."""
        rivals = [each & own for each in candidates[:before] if (each & own).any()]
        shared = int(np.logical_or.reduce(rivals).sum()) if rivals else 0
        return int(own.sum()) - min(len(rivals), shared)

    for index, own in enumerate(candidates):
        if left(own, index) < 1:
            placement = int(tensors.placements[index])
            each = description.placements[placement]
            nth = int(np.sum(tensors.placements[:index] == placement)) + 1
            raise UserError(
                f"placement {placement + 1} ({each.put}) puts {each.count} on {each.replaces} of region {each.region!r};"
                f" allowed: {nth - 1}, as things put before may leave no other cell there"
            )
    if drawn_agent(description) is None and left(agent & (cells == codes.EMPTY), len(candidates)) < 1:
        raise UserError(
            f"the agent begins in region {description.agent_region!r}, where the {len(candidates)} things put before may"
            " leave no floor; allowed: fewer things, or a larger region"
        )


def _check_target(description: Description, mission: tuple[int, Colours]) -> None:
    """Raise `UserError` unless what the mission asks for is surely there: drawn, or put with probability 1."""
    first, colours = mission
    if not _is_sure(description, first, colours):
        raise UserError(
            f"mission is {description.mission!r}, but that may not be there; allowed: to draw it, or to put it with"
            " probability 1 in the same colour or choice"
        )


def _is_sure(description: Description, first: int, colours: Colours) -> bool:
    cells = ground_of(description)
    if first == missions.REACH_GOAL or first == missions.GO_TO_MATCH:
        wanted: tuple[int, ...] = (codes.GOAL if first == missions.REACH_GOAL else codes.RIGHT_ANSWER,)
    elif first == missions.OPEN:
        wanted = (codes.CLOSED_DOOR, codes.LOCKED_DOOR)
    else:
        wanted = (first - missions.PICK_UP + codes.KEY,)
    if colours.choice < 0:
        colour = colours.allowed.index(True) if first > missions.GO_TO_MATCH else 0
        if any((cells == code + colour).any() for code in wanted):
            return True
    for index, placement in enumerate(description.placements):
        thing = thing_of(description, placement.put, f"placement {index + 1}")
        matches = {thing.code: thing.colour, thing.contents: thing.contents_colour}
        for code in wanted:
            if placement.probability == 1 and code in matches and matches[code] in (colours, None):
                return True
    return False
