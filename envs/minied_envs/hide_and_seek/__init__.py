"""Hide and seek on a grid: two teams, boxes, ramps and locks."""

from minied_envs.hide_and_seek.world import HideAndSeek

__all__ = ["HideAndSeek"]
