"""The partially observable maze of the environment design literature, its levels and its held-out suites."""

from minied_envs.maze.design import MazeDesign
from minied_envs.maze.generators import MazeLevels
from minied_envs.maze.level import MazeLevel
from minied_envs.maze.memory import MemoryMaze
from minied_envs.maze.world import Maze

__all__ = ["Maze", "MazeDesign", "MazeLevel", "MazeLevels", "MemoryMaze"]
