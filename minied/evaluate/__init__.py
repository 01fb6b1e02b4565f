"""Evaluation of students on held-out levels."""
