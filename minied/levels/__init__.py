"""Levels: what can be done with them (`space`), and the store that teachers replay them from (`buffer`)."""
