"""Worlds of other libraries in minied, and its own in other libraries: one family of modules a library."""
