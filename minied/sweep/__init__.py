"""Sweeps: many runs from one file, those that can share a program as members of one, the rest as jobs."""
