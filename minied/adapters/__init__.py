"""Worlds of other libraries in minied, and its own in other libraries: one file a library, imported when asked for."""
