"""Crafting: a grid with resources, a graph of recipes, and items as tasks."""

from minied_envs.crafting.world import Crafting

__all__ = ["Crafting"]
