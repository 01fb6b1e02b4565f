"""A gridworld of MiniGrid's kind: doors, keys, balls, boxes, lava and goals, its families of levels, and descriptions."""

from minied_envs.gridworld.level import GridLevel
from minied_envs.gridworld.world import GridWorld

__all__ = ["GridLevel", "GridWorld"]
