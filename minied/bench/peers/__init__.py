"""Other libraries, timed side by side: each in an environment of its own, each in a process of its own.

``environments`` installs them, ``process`` speaks with them. The other modules are scripts that the *peer's* interpreter
runs: they use its public functions, share ``protocol`` and ``world_loop``, and never import minied. minied itself is timed
the same way, by ``minied_training`` and ``minied_maze``, which this very interpreter runs.
"""
