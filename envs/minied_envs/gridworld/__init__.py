"""A gridworld of MiniGrid's kind: doors, keys, balls, boxes, lava and goals, its families of levels, and descriptions."""

from minied_envs.gridworld.described import DescribedLevels
from minied_envs.gridworld.description import Description, Placement
from minied_envs.gridworld.families import GridLevels
from minied_envs.gridworld.level import GridLevel
from minied_envs.gridworld.world import GridWorld

__all__ = ["DescribedLevels", "Description", "GridLevel", "GridLevels", "GridWorld", "Placement"]
