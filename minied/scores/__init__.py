"""Scores: a number for a level, from what the student did on it, with equation and source in each docstring."""

from minied.scores.base import Score, Signals, score, score_levels

__all__ = ["Score", "Signals", "score", "score_levels"]
