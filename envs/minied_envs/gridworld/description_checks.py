"""What is wrong with a description of levels? It puts more than fits, or asks for what may not be there."""

import numpy as np

from minied.errors import UserError
from minied_envs.gridworld import codes, missions
from minied_envs.gridworld.description import (
    ANY,
    DIRECTIONS,
    EVERYWHERE,
    Colours,
    Description,
    Tensors,
    drawn_agent,
    ground_of,
    mission_of,
    no_room,
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
    told = (description.agent_region, description.agent_facing, description.agent_clear_front)
    if drawn_agent(description) is not None and told != (EVERYWHERE, ANY, False):
        raise UserError("agent: the map shows where it begins and what it faces; allowed: one of the two, map or agent")


def _check_fits(description: Description, tensors: Tensors) -> None:
    """Raise `UserError` if a thing, or the agent, might find no place: with all others put where it could go.

    Of a region ``A``, things put before into regions ``B`` take at most as many cells as there are of them, and at most all
    that ``A`` shares with the ``B``.
    """
    cells = ground_of(description)
    last = [int(np.flatnonzero(tensors.placements == index)[-1]) for index in range(len(description.placements))]
    candidates = [tensors.masks[row] & (cells == tensors.grounds[row]) for row in last]
    counts = [placement.count for placement in description.placements]

    def left(own: np.ndarray, before: int) -> int:
        """Return how many cells of ``own`` are surely left by the placements ``before`` it."""
        rivals = [index for index in range(before) if (candidates[index] & own).any()]
        shared = np.logical_or.reduce([np.zeros_like(own), *(candidates[index] & own for index in rivals)])
        return int(own.sum()) - min(sum(counts[index] for index in rivals), int(shared.sum()))

    for index, own in enumerate(candidates):
        if counts[index] > left(own, index):
            raise no_room(description, index, left(own, index))
    agent = region_of(description, description.agent_region) & (np.asarray(description.map) < AGENT)
    if drawn_agent(description) is None and left(agent & (cells == codes.EMPTY), len(candidates)) < 1:
        raise UserError(
            f"the agent begins in region {description.agent_region!r}, where the {sum(counts)} things put before may"
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
