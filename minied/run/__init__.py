"""Runs on disk: the run folder, checkpoints, metrics, pictures, and the session that trains."""
