"""Scores: a number for a level, from what the student did on it. One file each, equation and source in its docstring."""

from minied.scores.base import Score, Signals, score, score_levels

__all__ = ["Score", "Signals", "score", "score_levels"]
