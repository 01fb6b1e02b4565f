"""The worlds that ship with minied, found through the same entry points as anybody's."""
